"""NumPy's gufunc notation, `(n,k),(k,m)->(n,m)`: reading it, and saying why shapes do not fit it.

A dimension that may be missing has a question mark, as in `np.matmul.signature`. An operand written
`(...)` takes any shape, with no broadcasting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from .errors import MicrogridError

Shape = tuple[int, ...]


@cache
def parse(signature: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Return the core dimensions of each input, and those of the result.

    >>> parse("(n,k),(k)->(n)")
    ((('n', 'k'), ('k',)), ('n',))
    """
    inputs, output = signature.split("->")
    operands = re.findall(r"\(([^)]*)\)", inputs)
    return tuple(_names(operand) for operand in operands), _names(output.strip("()"))


def _names(operand: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in operand.split(",") if name.strip())


def explain_misfit(
    who: str, signature: str, shapes: Sequence[Shape], error: ValueError | None = None
) -> str | None:
    """Return the sentence that says why `shapes` do not fit, or None if they do.

    Where the signature does not tell, as "(...)" does not, the `error` that NumPy raised has to.

    >>> explain_misfit("add", "(),()->()", [(2, 3), (4,)])
    'add: shapes (2, 3) and (4,) do not broadcast together: 3 and 4 in the last place.'
    >>> explain_misfit("matmul", "(n?,k),(k,m?)->(n?,m?)", [(32, 784), (128, 10)])
    'matmul: shapes (32, 784) and (128, 10) do not fit (n,k),(k,m)->(n,m): k is 784 and 128.'
    >>> explain_misfit("max", "(...)->(...)", [(0,)], ValueError("there is no largest of nothing"))
    'max: shape (0,) does not fit: there is no largest of nothing'
    """
    given = " and ".join(map(str, shapes))
    shown = signature.replace("?", "")
    operands, _ = parse(signature)
    if any("..." in operand for operand in operands) or len(shapes) != len(operands):
        if error is None or isinstance(error, (MicrogridError, IndexError)):
            return None  # an axis out of bounds is an IndexError, whatever the shapes
        fit = "does not fit" if len(shapes) == 1 else "do not fit"
        return f"{who}: shape{'s' * (len(shapes) > 1)} {given} {fit}: {str(error).strip()}"
    sizes: dict[str, int] = {}
    batches = []
    for shape, names in zip(shapes, operands, strict=True):
        core = _present(names, len(shape))
        if core is None:
            return f"{who}: shapes {given} do not fit {shown}: {shape} has too few dimensions."
        batch = len(shape) - len(core)
        batches.append(shape[:batch])
        for name, size in zip(core, shape[batch:], strict=True):
            if sizes.setdefault(name, size) != size:
                return (
                    f"{who}: shapes {given} do not fit {shown}: {name} is {sizes[name]} and {size}."
                )
    try:
        np.broadcast_shapes(*batches)
    except ValueError:
        return f"{who}: shapes {given} do not broadcast together: {_clash(batches)}."
    return None


def _present(names: tuple[str, ...], ndim: int) -> tuple[str, ...] | None:
    """Return the core dimensions an operand of `ndim` has: optional ones only if there is room."""
    plain = tuple(name for name in names if not name.endswith("?"))
    core = tuple(name.rstrip("?") for name in names) if ndim >= len(names) else plain
    return core if ndim >= len(core) else None


def _clash(batches: Sequence[Shape]) -> str:
    for place in range(1, max(map(len, batches)) + 1):
        sizes = [shape[-place] for shape in batches if len(shape) >= place and shape[-place] != 1]
        if len(set(sizes)) > 1:
            where = "the last place" if place == 1 else f"place {place} from the end"
            return " and ".join(map(str, dict.fromkeys(sizes))) + f" in {where}"
    return "a size differs"
