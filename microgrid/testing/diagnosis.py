"""After a failure: which op is to blame, what to do, and how to see it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Op, Tensor
from .findings import Failure
from .orders import slopes_of
from .selection_check import Check
from .subject import Subject, recorded, unit_roundoff
from .values import not_finite

SPELLED = 24  # elements of inputs up to which a report spells them out
CALLS = 300  # that are looked at one by one
ORDINARY = 1000  # size of numbers inside a kernel that may be its business


def failing_op(func: Any, inputs: list[Any], seed: int, order: int) -> str:
    """Return the first call of an op that fails the check by itself, as text; or nothing."""
    calls = recorded(Subject(func, inputs))[0].calls
    for number, (op, arrays, params) in enumerate(calls[:CALLS]):
        tensors = _as_variables(op, arrays)
        if not any(x.requires_grad for x in tensors):
            continue
        failures = _failures(op, tensors, params, seed, order)
        if failures:
            shapes = ", ".join(str(a.shape) for a in arrays)
            given = f" and {params}" if params else ""
            call = f"{op.name}, call {number} of {len(calls)}, on shapes {shapes}{given}"
            # In less than double precision it is the gradient's rounding that counts.
            double = all(a.dtype == np.float64 for a in arrays if a.dtype.kind == "f")
            return call + (_of_rounding(failures) if double and op.inner is None else "")
    return ""


def _of_rounding(failures: list[Failure]) -> str:
    """Return how large numbers inside a kernel must be to explain all of it; nothing if huge."""
    unit = unit_roundoff(np.dtype(float))
    sizes = []
    for failure in failures:
        if not isinstance(failure.analytic, float) or not isinstance(failure.numerical, float):
            return ""
        sizes.append(abs(failure.analytic - failure.numerical) * failure.step / unit)
    if not max(sizes) <= ORDINARY:
        return ""
    return (
        f". Or its values are rounded: numbers of size {max(1, *sizes):.0f} inside the kernel "
        "would explain the difference. If there are such, say so in its record, as by "
        f"inner=lambda x: {max(1, *sizes):.0f}"
    )


def _failures(
    op: Op, tensors: list[Tensor], params: dict[str, Any], seed: int, order: int
) -> list[Failure]:
    """Return what is wrong with an op by itself, in the lowest order in which anything is."""

    def func(*xs: Any) -> Any:
        return op(*xs, **params)

    function, inputs = func, list[Any](tensors)
    for number in range(1, order + 1):
        rng = np.random.default_rng(seed)
        if number > 1:
            function, inputs = slopes_of(function, inputs, rng)
        subject = Subject(function, inputs)
        check = Check(subject, rng)
        if not_finite(subject, check.here):
            return []
        failures = check.compare(locate=False)[0]
        if failures:
            return failures
    return []


def _as_variables(op: Op, arrays: Sequence[Any]) -> list[Tensor]:
    return [
        Tensor(a, requires_grad=rule is not None and a.dtype.kind in "fO")
        for a, rule in zip(arrays, op.rules(len(arrays)), strict=True)
    ]


def advice(subject: Subject, seed: int) -> str:
    """Return what to do about a failure in less than double precision."""
    if subject.exact or subject.native == np.float64:
        return ""
    name = str(subject.native)
    # The inputs themselves are widened, since the function may use them by another name.
    with subject.moved_to(subject.start):
        wide = Subject(subject.func, subject.inputs)
        fails = Check(wide, np.random.default_rng(seed)).compare(locate=False)[0]
    if fails:
        return f"In float64 it fails as well: the formula is wrong, not the rounding of {name}."
    return (
        f"In float64 the same check passes: the formula is right, but in {name} it loses more "
        "digits than its terms explain. Look for a difference of nearly equal numbers, or for a "
        "constant rounded too early; or check in float64, with astype('float64')."
    )


def again(func: Any, inputs: list[Any], seed: int, name: str = "gradcheck", **options: Any) -> str:
    """Return a call that runs the same check again, with the options that are not the usual ones.

    Options that are functions are named, and so is the function if it has a name.
    """
    more = "".join(f", {option}={_spelled(value)}" for option, value in options.items())
    given = f"[{', '.join(map(_spelled, inputs))}]"
    if sum(np.size(x) for x in inputs) > SPELLED:
        return f"mg.testing.{name}({_name(func)}, inputs, rng={seed}{more}), with the same inputs"
    return f"mg.testing.{name}({_name(func)}, {given}, rng={seed}{more})"


def _name(func: Any, otherwise: str = "func") -> str:
    name = getattr(func, "__name__", otherwise)
    return name if name.isidentifier() else otherwise


def _spelled(x: Any) -> str:
    if isinstance(x, (list, tuple)):
        return f"[{', '.join(map(_spelled, x))}]"
    if callable(x):
        return _name(x, "gradient")
    if not isinstance(x, (Tensor, np.ndarray)):
        return repr(x)
    array = x.data if isinstance(x, Tensor) else x
    values = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(array.tolist()))
    dtype = "" if array.dtype in (np.float64, object) else f", dtype='{array.dtype}'"
    if not array.size:
        values, dtype = f"np.zeros({array.shape}{dtype})", ""
    if isinstance(x, Tensor):
        return f"mg.tensor({values}{dtype}{', requires_grad=True' * x.requires_grad})"
    return f"np.array({values}{dtype})"
