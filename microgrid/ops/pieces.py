"""What follows from the data of a piecewise-linear function of one variable."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array, exact, into
from ..core import Op
from ..record import Pieces
from .arithmetic import ANY, quiet


def check_pieces(who: str, pieces: Pieces) -> None:
    """Raise unless the data describes one function.

    Raises:
        ValueError: the numbers of knots and slopes do not fit, the knots do not increase, or a
            number is not finite.
    """
    knots, slopes = pieces.knots, pieces.slopes
    if len(slopes) != len(knots) + 1:
        raise ValueError(
            f"{who}: {len(knots)} knots and {len(slopes)} slopes were given; it needs one slope "
            "more than knots. Give the slopes left of the first knot, between knots, and right of "
            "the last."
        )
    if any(not a < b for a, b in pairwise(knots)):
        raise ValueError(
            f"{who}: the knots {knots} do not increase strictly. Sort them, each once."
        )
    if any(value - value != 0 for value in (*knots, *slopes, *pieces.through)):
        raise ValueError(f"{who}: knots, slopes and the point must be finite; got {pieces}.")


def least_norm(left: Any, right: Any) -> Any:
    """Return the slope at a kink: the number nearest 0 between the slopes on its two sides.

    >>> least_norm(0.01, 1), least_norm(-1, 1), least_norm(-3, -2)
    (0.01, 0, -2)
    """
    if left * right <= 0:
        return 0
    return min(left, right, key=abs)


def values_at_knots(pieces: Pieces) -> list[Any]:
    """Return the function's value at each knot, walking there from the point that is known."""
    x, y = pieces.through
    values: list[Any] = [None] * len(pieces.knots)
    start = sum(knot < x for knot in pieces.knots)
    at, value = x, y
    for i in range(start, len(values)):
        value = value + pieces.slopes[i] * (pieces.knots[i] - at)
        at, values[i] = pieces.knots[i], value
    at, value = x, y
    for i in reversed(range(start)):
        value = value + pieces.slopes[i + 1] * (pieces.knots[i] - at)
        at, values[i] = pieces.knots[i], value
    return values


@quiet
def evaluate(x: Array, pieces: Pieces, out: Array | None = None) -> Any:
    """Return the function's value: from the knot left of x (right of it, on the first piece)."""
    knots = pieces.knots or pieces.through[:1]
    values = values_at_knots(pieces) if pieces.knots else pieces.through[1:]
    piece = np.zeros(x.shape, np.intp)
    for knot in pieces.knots:
        piece += np.greater(x, knot)
    anchor = np.maximum(piece - 1, 0)
    dtype = _dtype_for(x)
    slope = _table(pieces.slopes, dtype)[piece]
    steps = np.multiply(slope, x - _table(knots, dtype)[anchor])
    if dtype.kind == "f":  # a flat piece reaches to infinity, where 0 * inf is nan
        steps = np.where(np.equal(slope, 0) & ~np.isnan(x), 0, steps)
    y = np.asarray(_table(values, dtype)[anchor] + steps)
    return into(out, y.astype(dtype, copy=False))


def _dtype_for(x: Array) -> np.dtype[Any]:
    return x.dtype if x.dtype.kind in "fO" else np.result_type(x.dtype, np.float64)


def _table(numbers: Any, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "O":  # Fractions stay exact, and floats do not spoil them
        numbers = [exact(n) if isinstance(n, float) else n for n in numbers]
    return np.array(numbers, dtype)


def _slopes(x: Array, out: Array | None = None, *, pieces: Pieces) -> Any:
    kinks = map(least_norm, pieces.slopes, pieces.slopes[1:])
    table = [pieces.slopes[0]]
    for kink, slope in zip(kinks, pieces.slopes[1:], strict=True):
        table += [kink, slope]
    place = np.zeros(x.shape, np.intp)  # 2i on piece i, 2i + 1 at knot i
    for knot in pieces.knots:
        place += np.greater(x, knot)
        place += np.greater_equal(x, knot)
    dtype = _dtype_for(x)
    y = np.asarray(_table(table, dtype)[place])
    if dtype.kind == "f":
        y = np.where(np.isnan(x), x, y).astype(dtype, copy=False)
    return into(out, y)


slopes_at = Op(
    name="slopes_at",
    doc="The slope of a piecewise-linear function, at a kink the one of least norm; nan at nan.",
    kernel=_slopes,
    vjps=(None,),
    domains=(ANY,),
    params=lambda shape: [{"pieces": Pieces((-1.0, 0.0, 1.0), (2.0, -1.0, 0.5, 1.0))}],
    reference=lambda x, pieces: slope_by_search(x, pieces),
    formula="f'(x)",
    private=True,
)


def slope_by_search(x: Any, pieces: Pieces) -> Any:
    """Return the slope at the number x, from the definition."""
    for i, knot in enumerate(pieces.knots):
        if x < knot:
            return pieces.slopes[i]
        if x == knot:
            return least_norm(pieces.slopes[i], pieces.slopes[i + 1])
    return pieces.slopes[-1]


def value_by_integration(x: float, pieces: Pieces) -> float:
    """Return the value at x: the value known elsewhere plus slope times length, piece by piece."""
    start, value = pieces.through
    ends = (-np.inf, *pieces.knots, np.inf)
    for slope, left, right in zip(pieces.slopes, ends, ends[1:], strict=False):
        low, high = sorted(min(max(p, left), right) for p in (start, x))
        value += slope * (high - low) * (1 if x >= start else -1)
    return float(value)
