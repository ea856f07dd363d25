"""Which smooth piece of an op each element is on.

relu has two pieces, max as many as there are elements. An op that has several says how one is
chosen, and what the function of a chosen piece is. With the choice held fast a network is smooth
everywhere, and its gradient is what backward must return: the check of gradients stands on that.
And with the choice made an instant later on a path, slopes through kinks are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from .arrays import Array
from .pieces import Pieces, along, slopes_along


@dataclass(frozen=True)
class Selection:
    """How an op chooses among its pieces, and what the pieces are.

    Attributes:
        choose: `choose(*inputs, **params)` returns the choice, of any type, from inputs that are
            `Moving`: as it is if they have no tangents, and as it will be an instant later on
            their way if they have.
        piece: `piece(choice, *arrays, **params)` returns the value of the chosen pieces, smooth
            wherever the arrays are, and equal to the op's where the choice was made.
        tangent: `tangent(choice, *tangents, **params)` returns the derivative of `piece` along
            tangents of the inputs. None: it is derived from the op's rules.

    Raises:
        TypeError: a field is no function.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> from microgrid.selection import Moving, order
    >>> maximum = mg.Selection(choose=order, piece=lambda side, a, b: np.where(side > 0, a, b))
    >>> side = maximum.choose(Moving(np.array([1.0, 7.0])), Moving(np.array([2.0, 2.0])))
    >>> maximum.piece(side, np.array([10.0, 70.0]), np.array([20.0, 20.0]))
    array([20., 70.])
    """

    choose: Callable[..., Any]
    piece: Callable[..., Any]
    tangent: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        for name in ("choose", "piece", "tangent"):
            value = getattr(self, name)
            if not callable(value) and (name != "tangent" or value is not None):
                raise TypeError(
                    f"Selection: {name} is a value of type {type(value).__name__}; it needs a "
                    "function."
                )


class Moving:
    """An array on its way: its values, and where they go, which is found out only if asked for.

    Attributes:
        value: where it is now.
    """

    def __init__(self, value: Array, find: Callable[[], tuple[Array, ...]] = tuple) -> None:
        self.value = value
        self._find = find

    @property
    def tangents(self) -> tuple[Array, ...]:
        """Its first derivative, then others to tell what this leaves tied; empty if it stays."""
        return self._find()


def order(a: Moving, b: Any) -> Array:
    """Return 1 where a > b an instant later, -1 where a < b, 0 where they tie, nan at nan.

    `b` may be a number, which stays.
    """
    there = b if isinstance(b, Moving) else Moving(b)
    result = _sign(a.value, there.value)
    if (result == 0).any():
        for mine, other in zip_longest(a.tangents, there.tangents, fillvalue=0):
            result = np.where(result == 0, _sign(mine, other), result)
    return result


@np.errstate(invalid="ignore")
def _sign(a: Any, b: Any) -> Array:
    sign = np.greater(a, b).astype(float) - np.less(a, b)
    nan = np.not_equal(a, a) | np.not_equal(b, b)
    return np.where(nan.astype(bool), np.nan, sign)


def signs_like(signs: Array, dtype: np.dtype[Any]) -> Array:
    """Return signs in a dtype; as integers if that is object, which keeps Fractions exact."""
    return signs.astype(int).astype(object) if dtype.kind == "O" else signs.astype(dtype)


def leaders(x: Moving, axis: tuple[int, ...], largest: bool = True) -> Array:
    """Return where x is the largest (or smallest) along the axes an instant later; not at nan."""
    ahead = _extremes(np.ones(np.shape(x.value), bool), x.value, axis, largest)
    if (np.add.reduce(ahead, axis=axis) > 1).any():
        for tangent in x.tangents:
            ahead = _extremes(ahead, tangent, axis, largest)
    return ahead


def _extremes(among: Array, x: Array, axis: tuple[int, ...], largest: bool) -> Array:
    best, worst = (np.maximum, -np.inf) if largest else (np.minimum, np.inf)
    candidates = np.where(among, x, worst)
    top = best.reduce(candidates, axis=axis, keepdims=True)
    leading: Array = np.equal(candidates, top).astype(bool)
    return among & leading


def line_of(x: Moving, pieces: Pieces) -> Array:
    """Return the number of each element's line, as `pieces.places` does, an instant later."""
    place = np.zeros(np.shape(x.value), np.intp)
    for knot in pieces.knots:
        side = order(x, knot)
        place += np.where(np.isnan(side), 0, 1 + side).astype(np.intp)
    return place


def selection_of_pieces(pieces: Callable[..., Pieces]) -> Selection:
    """Return the selection of a piecewise-linear op of one variable: the line of each element."""

    def tangent(choice: Array, direction: Array, **params: Any) -> Any:
        slope = slopes_along(choice, direction, pieces(**params))
        return np.where(np.equal(slope, 0) | np.equal(direction, 0), 0, slope * direction)

    return Selection(
        choose=lambda x, **params: line_of(x, pieces(**params)),
        piece=lambda choice, x, **params: along(choice, x, pieces(**params)),
        tangent=tangent,
    )


def constant(choose: Callable[..., Any]) -> Selection:
    """Return the selection of an op whose value is itself a choice, as that of a comparison is."""
    return Selection(
        choose=choose,
        piece=lambda choice, *arrays, **params: np.array(choice),  # a result has its own memory
        tangent=lambda choice, *tangents, **params: np.zeros_like(choice),
    )
