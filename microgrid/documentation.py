"""What `help(op)` shows: the words of a record, its shapes, and an example that is run for it."""

from __future__ import annotations

import inspect
import itertools
import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from .signatures import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .core import Op
    from .record import Domain

# Where the domain allows, one operand goes through 0; two are smaller, larger and equal.
ONE, FIRST, LAST = (-2, 0, 2), (-2, 1, 2), (3, -1, 2)
SIZES = (2, 3, 2)  # of the dimensions of a signature, in order
KINDS = {"f": "float", "i": "int", "b": "bool"}


class Documentation:
    """The docstring of a class and, from the record of each, of its instances.

    It is composed when somebody asks for it: an import does not wait for the examples.
    """

    def __init__(self, of_class: str | None) -> None:
        self.of_class = of_class

    def __get__(self, op: Op | None, owner: type) -> str | None:
        return self.of_class if op is None else documentation(op)


def documentation(op: Op) -> str:
    """Return the docstring of an op."""
    if ">>>" in op.doc or len(_names(op)) != op.arity:  # whoever declared it wrote all of it
        return op.doc
    words = op.doc if "\n" in op.doc else textwrap.fill(op.doc, 88)
    value = f"Value: `{op.formula}`." if op.formula else ""
    try:
        parts = [words, value, _shapes(op), _errors(op), example(op)]
    except Exception:  # of the user's own `params` or `pieces`: the words must show still
        parts = [words, value]
    return "\n\n".join(filter(None, parts))


def _names(op: Op) -> list[str]:
    return list(inspect.signature(op).parameters)


def _shapes(op: Op) -> str:
    """Return dtypes and shapes of what goes in and comes out."""
    inputs, output = parse(op.signature)
    from_floats, from_integers = _result(op, float), _result(op, int)
    keeps = from_integers != "float"  # integers stay such, or become truth values
    lines = ["Args:"]
    for name, domain, dims in zip(_names(op), op.domains, inputs, strict=True):
        kind = "any" if keeps and domain.kind == "float" else domain.kind
        lines.append(f"    {name}: {_shape(kind, dims)}.")
    lines += [f"    {name}: a parameter, as {value!r}." for name, value in _params(op).items()]
    result = from_floats if from_floats == from_integers else "any"
    return "\n".join([*lines, "", "Returns:", f"    {_shape(result, output)}."])


def _result(op: Op, number: type) -> str:
    """Return the kind of what the op makes of numbers of a type."""
    try:
        values = [np.array(value) for value in operands(op, number)]
        made = op(*values, **_params(op)).dtype.kind
    except Exception:  # the user's kernel may refuse these numbers
        return "any"
    return KINDS.get(made, "any")


def _shape(kind: str, dims: tuple[str, ...]) -> str:
    """Return a shape in our notation; a dimension with a question mark may be missing."""
    return f"{kind}[{', '.join(['...', *(dim for dim in dims if dim != '...')])}]"


def _errors(op: Op) -> str:
    """Return what the call path raises for operands that do not fit."""
    lines = ["Raises:", "    DtypeError: an operand does not hold numbers."]
    if not op.signature.replace("(),", "").startswith("()->"):
        known = "" if "..." in op.signature else op.signature.replace("?", "")
        lines.append(f"    ShapeError: the shapes do not fit {known or 'together'}.")
    elif op.arity != 1:
        lines.append("    ShapeError: the shapes do not broadcast together.")
    if _params(op):
        lines.append("    TypeError: a parameter is missing, or not known.")
    return "\n".join(lines)


# --- the example ---------------------------------------------------------------------------------


def example(op: Op) -> str:
    """Return an example with what it gives, or nothing for an op that refuses the numbers."""
    space: dict[str, Any] = {}
    exec("import microgrid as mg", space)
    public = getattr(space["mg"], op.name, None) is op
    call = f"{'mg.' * public}{op.name}"
    space.setdefault(op.name, op)
    lines = ["import microgrid as mg"] * (public or op.has_gradient) + _lines(op, call)
    try:
        return "\n".join(shown for line in lines for shown in _run(line, space))
    except Exception:  # the user's kernel may refuse these numbers
        return ""


def _lines(op: Op, call: str) -> list[str]:
    """Return the code of an example: the op's value and, where it has them, its gradients."""
    values = operands(op)
    options = [f"{key}={value!r}" for key, value in _params(op).items()]
    if not op.has_gradient:
        return [f"{call}({', '.join([*map(str, values), *options])})"]
    names = _names(op)
    lines = []
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        tracked = ", requires_grad=True" if i in op.varying else ""
        lines.append(f"{name} = mg.tensor({value}{tracked})")
    lines += [f"y = {call}({', '.join([*names, *options])})", "y", "y.sum().backward()"]
    return [*lines, *(f"{names[i]}.grad" for i in op.varying)]


def _params(op: Op) -> dict[str, Any]:
    """Return the parameters that the record lists first for the operands."""
    found = op.params(*(np.shape(value) for value in operands(op)))
    return dict(found[0]) if found else {}


def operands(op: Op, number: type = float) -> list[Any]:
    """Return small operands as nested lists: whole numbers from the domains, and the kinks."""
    inputs, _ = parse(op.signature)
    if op.pieces is not None:
        return [[number(x) for x in _around(op.pieces(**op.params((3,))[0]).knots)]]
    names = dict.fromkeys(dim for dims in inputs for dim in dims)
    sizes = dict(zip(names, SIZES, strict=False))
    found = []
    for place, (domain, dims) in enumerate(zip(op.domains, inputs, strict=True)):
        shape = [sizes[dim] for dim in dims if dim != "..."]
        wanted: Sequence[float] = (
            ONE if len(inputs) == 1 else FIRST if place < len(inputs) - 1 else LAST
        )
        wanted = range(1, math.prod(shape) + 1) if shape else wanted
        found.append(_nested(_within(domain, wanted, number), shape))
    return found


def _within(domain: Domain, wanted: Sequence[float], number: type) -> list[Any]:
    """Return the numbers wanted, or as many others where the domain does not hold them."""
    low, high = domain.low, domain.high
    if domain.kind == "bool":
        return [n > 0 for n in wanted]
    if not all(low <= n <= high for n in wanted):
        whole = range(math.ceil(low), math.floor(high) + 1)
        others = whole if len(whole) > 2 else (low, (low + high) / 2, high)
        wanted = [others[i % 3] for i in range(len(wanted))]
    return [int(n) if domain.kind == "int" else number(n) for n in wanted]


def _around(knots: Sequence[Any]) -> list[Any]:
    """Return the knots, the middles between them, and a number beyond on each side."""
    middles = [(left + right) / 2 for left, right in itertools.pairwise(knots)]
    return sorted([knots[0] - 2, *knots, *middles, knots[-1] + 2])


def _nested(numbers: list[Any], shape: list[int]) -> list[Any]:
    for size in reversed(shape[1:]):
        numbers = [numbers[i : i + size] for i in range(0, len(numbers), size)]
    return numbers


def _run(line: str, space: dict[str, Any]) -> list[str]:
    """Run a line; return it with a prompt, and what Python would show of it."""
    prompted = f">>> {line}"
    try:
        code = compile(line, "<example>", "eval")
    except SyntaxError:
        exec(line, space)
        return [prompted]
    value = eval(code, space)
    return [prompted] if value is None else [prompted, repr(value)]
