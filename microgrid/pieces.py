"""Piecewise-linear functions of one variable as data, and what follows from the data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .arrays import Array, exact, into


@dataclass(frozen=True)
class Pieces:
    """A piecewise-linear function of one variable, as data.

    `slopes` has one entry more than `knots`: the slope left of the first knot, between neighbours,
    and right of the last. `through` is one point (x, y) on the graph. Whether the data describe one
    function is looked at where they are used: by `Op`, `check_op` and `piecewise_linear`.

    Args:
        knots: numbers[k], strictly increasing.
        slopes: numbers[k + 1].
        through: two numbers.

    Raises:
        TypeError: a field is missing.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> from microgrid.pieces import evaluate
    >>> held = mg.Pieces(knots=(-1, 1), slopes=(0, 1, 0))  # between -1 and 1
    >>> evaluate(np.array([-3.0, 0.5, 2.0]), held)
    array([-1. ,  0.5,  1. ])
    """

    knots: tuple[Any, ...]
    slopes: tuple[Any, ...]
    through: tuple[Any, Any] = (0, 0)


def check_pieces(who: str, pieces: Pieces) -> None:
    """Raise unless the data describes one function.

    Raises:
        TypeError: it is no `Pieces`, or its fields are no tuples.
        ValueError: the numbers of knots and slopes do not fit, the knots do not increase, or a
            number is not finite.
    """
    if not isinstance(pieces, Pieces):
        raise TypeError(
            f"{who}: pieces gave a value of type {type(pieces).__name__}; it must return "
            "Pieces(knots, slopes)."
        )
    for name in ("knots", "slopes", "through"):
        value = getattr(pieces, name)
        if not isinstance(value, tuple):
            raise TypeError(
                f"{who}: {name} is a {type(value).__name__}; it needs a tuple of numbers."
            )
    if len(pieces.through) != 2:
        raise ValueError(f"{who}: through is {pieces.through}; it needs one point, (x, y).")
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


def lines(pieces: Pieces) -> list[tuple[Any, Any, Any]]:
    """Return the straight lines that make the function up, each as (slope, x, y) of a point on it.

    Line 2i is that of piece i; line 2i + 1 goes through knot i with the slope used there.
    """
    if not pieces.knots:
        return [(pieces.slopes[0], *_origin_if_on(pieces.slopes[0], *pieces.through))]
    knots = list(zip(pieces.knots, values_at_knots(pieces), strict=True))
    found = [(pieces.slopes[0], *_origin_if_on(pieces.slopes[0], *knots[0]))]
    for i, (x, y) in enumerate(knots):
        left, right = pieces.slopes[i : i + 2]
        found += [(least_norm(left, right), x, y), (right, *_origin_if_on(right, x, y))]
    return found


def _origin_if_on(slope: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Return (x, y), or the origin if the line passes through it: slope * x rounds once."""
    return (0, 0) if y - slope * x == 0 else (x, y)


def places(x: Array, pieces: Pieces) -> Array:
    """Return the number of each element's line: 2i on piece i, 2i + 1 at knot i."""
    place = np.zeros(x.shape, np.intp)
    for knot in pieces.knots:
        place += np.greater(x, knot)
        place += np.greater_equal(x, knot)
    return place


@np.errstate(all="ignore")
def along(place: Array, x: Array, pieces: Pieces) -> Array:
    """Return the values at x of each element's line, which x may have left."""
    dtype = _dtype_for(x)
    slope, knot, value = (
        _table(column, dtype)[place] for column in zip(*lines(pieces), strict=True)
    )
    steps = np.multiply(slope, x - knot)
    if dtype.kind == "f":  # a flat piece reaches to infinity, where 0 * inf is nan
        steps = np.where(np.equal(slope, 0) & ~np.isnan(x), 0, steps)
    return np.asarray(value + steps).astype(dtype, copy=False)


def slopes_along(place: Array, x: Array, pieces: Pieces) -> Array:
    """Return the slope of each element's line, and nan where x is nan."""
    dtype = _dtype_for(x)
    y = np.asarray(_table([slope for slope, _, _ in lines(pieces)], dtype)[place])
    return np.where(np.isnan(x), x, y).astype(dtype, copy=False) if dtype.kind == "f" else y


def evaluate(x: Array, pieces: Pieces, out: Array | None = None) -> Any:
    """Return the function's value."""
    return into(out, along(places(x, pieces), x, pieces))


def _dtype_for(x: Array) -> np.dtype[Any]:
    return x.dtype if x.dtype.kind in "fO" else np.result_type(x.dtype, np.float64)


def _table(numbers: Any, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "O":  # Fractions stay exact, and floats do not spoil them
        numbers = [exact(n) if isinstance(n, float) else n for n in numbers]
    return np.array(numbers, dtype)


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
