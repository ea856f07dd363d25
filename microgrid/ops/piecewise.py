"""Piecewise-linear ops.

Those of one variable are data: knots, slopes and a point (`Pieces`), from which the value, the rule
and the slope at each kink are derived; a faster kernel may be given.

The slope at a kink is the subgradient of least norm: 0 if the slopes left and right differ in sign,
else the one nearer 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, exact, into
from ..core import Op, Operand, Tensor, as_operand
from ..pieces import (
    Pieces,
    check_pieces,
    evaluate,
    value_by_integration,
)
from ..record import Domain, no_params
from ..selection import Selection, constant, order, signs_like
from .arithmetic import ANY, chain, quiet
from .axes import check_numbers
from .comparison import where
from .draws import uniform_like
from .slopes import direction, gate, slopes_at

KINKY = Domain(-4.0, 4.0, include=(0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -0.5, 5e-7, -5e-7))


def _piecewise(
    name: str,
    doc: str,
    formula: str,
    pieces: Callable[..., Pieces],
    reference: Callable[..., Any],
    kernel: Callable[..., Any] | None = None,
    rule: Callable[..., Any] | None = None,
    params: Callable[..., Sequence[dict[str, Any]]] = no_params,
    in_place: bool = False,
    inline: Callable[..., bool] | None = None,
) -> Op:
    """Declare a piecewise-linear op of one variable: what is not given follows from its pieces."""
    return Op(
        name=name,
        doc=doc,
        formula=formula,
        kernel=kernel or (lambda x, out=None, **given: evaluate(x, pieces(**given), out)),
        vjps=(rule or (lambda g, y, x, **given: chain(g, slopes_at(x, pieces=pieces(**given)))),),
        domains=(KINKY,),
        params=params,
        pieces=pieces,
        reference=reference,
        in_place=in_place,
        inline=inline,
    )


@functools.lru_cache(maxsize=32)
def zero(dtype: np.dtype[Any]) -> Array:
    """Return 0 as an array of no dimensions, always the same."""
    nought = np.zeros((), dtype)
    nought.flags.writeable = False
    return nought


def _write_relu(line: Any, out: Array, x: Any) -> bool:
    # Twice as fast as with a single 0.
    line(np.maximum, x, line.filled(out.shape, out.dtype, 0), out=out)
    return True


relu = _piecewise(
    name="relu",
    doc="The rectified linear unit. The slope at the kink x = 0 is 0.",
    formula="max(x, 0)",
    # An array of no dimensions is compared twice as fast as a Python number.
    kernel=lambda x, out=None: np.maximum(x, zero(x.dtype), out=out),
    # y, not x: the slope is the same, 0 or 1 or nan, and x may die early.
    rule=lambda g, y, x: gate(g, y),
    pieces=lambda: Pieces(knots=(0,), slopes=(0, 1)),
    reference=lambda x: x if x > 0 else 0,
    in_place=True,
    inline=_write_relu,
)

absolute = _piecewise(
    name="absolute",
    doc="The absolute value. The slope at the kink x = 0 is 0.",
    formula="|x|",
    kernel=np.absolute,
    rule=lambda g, y, x: chain(g, direction(x)),
    pieces=lambda: Pieces(knots=(0,), slopes=(-1, 1)),
    reference=abs,
    in_place=True,
)

sign = Op(
    name="sign",
    doc="The sign: -1, 0 or 1. Its slope is 0, at the jump too.",
    formula="1 if x > 0, -1 if x < 0, 0 at 0",
    kernel=np.sign,
    # nan at nan, as a constant: x itself would have a slope there.
    vjps=(lambda g, y, x: chain(g, where(x == x, 0, direction(x))),),
    domains=(ANY,),
    reference=lambda x: (x > 0) - (x < 0),
    selection=constant(lambda x: signs_like(order(x, 0), x.value.dtype)),
    in_place=True,
)

_leaky_relu = _piecewise(
    name="leaky_relu",
    doc="A relu that keeps `negative_slope` of what is negative. The slope at the kink x = 0 is "
    "the smaller of the two, or 0 if `negative_slope` is not positive.",
    formula="x if x > 0, else negative_slope * x",
    kernel=lambda x, out=None, *, negative_slope: _leak(x, out, negative_slope),
    pieces=lambda negative_slope: Pieces(knots=(0,), slopes=(negative_slope, 1)),
    params=lambda shape: [{"negative_slope": s} for s in (0.01, 0.0, 0.3, 1.0, 2.0, -0.5)],
    reference=lambda x, negative_slope: x if x > 0 else negative_slope * x,
)

relu6 = _piecewise(
    name="relu6",
    doc="A relu that stops growing at 6. The slope at the kinks 0 and 6 is 0.",
    formula="min(max(x, 0), 6)",
    kernel=lambda x, out=None: np.clip(x, 0, 6, out=out),
    pieces=lambda: Pieces(knots=(0, 6), slopes=(0, 1, 0)),
    reference=lambda x: min(max(x, 0), 6),
    in_place=True,
)

_hardtanh = _piecewise(
    name="hardtanh",
    doc="x, held between two bounds. The slope at the bounds is 0.",
    formula="min(max(x, min_val), max_val)",
    kernel=lambda x, out=None, *, min_val, max_val: _hold(x, out, min_val, max_val),
    pieces=lambda min_val, max_val: _band(min_val, max_val),
    params=lambda shape: [{"min_val": -1.0, "max_val": 1.0}, {"min_val": -0.5, "max_val": 3.0}],
    reference=lambda x, min_val, max_val: min(max(x, min_val), max_val),
    in_place=True,
)

hardsigmoid = _piecewise(
    name="hardsigmoid",
    doc="A sigmoid of three straight pieces. The slope at the kinks -3 and 3 is 0.",
    formula="min(max(x / 6 + 1/2, 0), 1)",
    pieces=lambda: Pieces(knots=(-3, 3), slopes=(0, exact(1, 6), 0), through=(0, exact(1, 2))),
    reference=lambda x: min(max(x / 6 + 0.5, 0.0), 1.0),
)

clip_between = _piecewise(
    name="clip",
    doc="x, held between two bounds, either of which may be None. The slope at a bound is 0.",
    formula="min(max(x, a_min), a_max)",
    kernel=lambda x, out=None, *, a_min, a_max: _hold(x, out, a_min, a_max),
    pieces=lambda a_min, a_max: _band(a_min, a_max),
    params=lambda shape: [
        {"a_min": low, "a_max": high}
        for low, high in ((-1.0, 1.0), (0.0, None), (None, 3.0), (None, None), (1.0, -1.0))
    ],
    reference=lambda x, a_min, a_max: _hold_number(x, a_min, a_max),
)

_softshrink = _piecewise(
    name="softshrink",
    doc="x moved towards 0 by `lambd`, and 0 on the way. The slope at the kinks is 0.",
    formula="x - lambd if x > lambd, x + lambd if x < -lambd, else 0",
    pieces=lambda lambd: (
        Pieces(knots=(-lambd, lambd), slopes=(1, 0, 1)) if lambd else Pieces((), (1,))
    ),
    params=lambda shape: [{"lambd": 0.5}, {"lambd": 1.0}, {"lambd": 0.0}],
    reference=lambda x, lambd: x - lambd if x > lambd else x + lambd if x < -lambd else 0,
)

_piecewise_linear = _piecewise(
    name="piecewise_linear",
    doc="The continuous function of given knots and slopes through a given point. The slope at a "
    "knot is the one of least norm between those on its sides.",
    formula="the line of slope slopes[i] between knots i - 1 and i",
    pieces=lambda pieces: pieces,
    params=lambda shape: [
        {"pieces": Pieces((-1.0, 0.5, 3.0), (2.0, -1.0, 0.25, 0.0), (1.0, 2.0))},
        {"pieces": Pieces((), (2.0,), (1.0, 2.0))},
        {"pieces": Pieces((0.0,), (-1.0, -0.5), (-2.0, 0.0))},
    ],
    reference=lambda x, pieces: value_by_integration(x, pieces),
)


def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Tensor:
    """Return x where it is positive and negative_slope * x elsewhere.

    The slope at 0 is the one of least norm: `negative_slope` if that is between 0 and 1.

    Args:
        x: float[...].
        negative_slope: the slope for negative x, a number. For a slope to be learned see `prelu`.

    Raises:
        TypeError: `negative_slope` is no number.

    >>> from microgrid import leaky_relu
    >>> leaky_relu([-2.0, 0.0, 3.0], 0.5)
    array([-1.,  0.,  3.])
    """
    check_numbers("leaky_relu", negative_slope=negative_slope)
    return _leaky_relu(x, negative_slope=negative_slope)


def hardtanh(x: Operand, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Return x held between two bounds; the slope at the bounds is 0.

    Args:
        x: float[...].
        min_val: the lower bound.
        max_val: the upper bound, above the lower one.

    Raises:
        TypeError: a bound is no number.
        ValueError: the bounds are not in order.

    >>> from microgrid import hardtanh
    >>> hardtanh([-2.0, 0.5, 3.0])
    array([-1. ,  0.5,  1. ])
    """
    check_numbers("hardtanh", min_val=min_val, max_val=max_val)
    if not min_val < max_val:
        raise ValueError(
            f"hardtanh: min_val={min_val} and max_val={max_val} were given; the first must be "
            "below the second. Swap them."
        )
    return _hardtanh(x, min_val=min_val, max_val=max_val)


def softshrink(x: Operand, lambd: float = 0.5) -> Tensor:
    """Return x moved towards 0 by `lambd`, and 0 where it would pass it. The slope at a kink is 0.

    Args:
        x: float[...].
        lambd: not negative.

    Raises:
        TypeError: `lambd` is no number.
        ValueError: it is negative.

    >>> from microgrid import softshrink
    >>> softshrink([-2.0, 0.25, 3.0])
    array([-1.5,  0. ,  2.5])
    """
    check_numbers("softshrink", lambd=lambd)
    if not lambd >= 0:
        raise ValueError(f"softshrink: lambd={lambd} was given; it must not be negative.")
    return _softshrink(x, lambd=lambd)


def piecewise_linear(
    x: Operand,
    knots: Sequence[float],
    slopes: Sequence[float],
    through: tuple[float, float] = (0, 0),
) -> Tensor:
    """Return the continuous piecewise-linear function of given knots and slopes.

    The slope at a knot is the one of least norm between those on its sides.

    Args:
        x: float[...].
        knots: increasing numbers, where the slope changes.
        slopes: one more than knots: left of the first, between neighbours, right of the last.
        through: a point (x, y) on the graph.

    Raises:
        ValueError: the knots do not increase, their number does not fit, or a number is not finite.

    >>> from microgrid import piecewise_linear
    >>> piecewise_linear([-2.0, 0.0, 3.0], knots=[0], slopes=[-1, 2])
    array([2., 0., 6.])
    """
    pieces = Pieces(*(tuple(_as_numbers(part)) for part in (knots, slopes, through)))
    check_pieces("piecewise_linear", pieces)
    return _piecewise_linear(x, pieces=pieces)


def _as_numbers(part: Any) -> list[Any]:
    if isinstance(part, Tensor) or any(isinstance(value, Tensor) for value in part):
        raise TypeError(
            "piecewise_linear: a Tensor was given as knots, slopes or point, which are data and "
            "get no gradient. Pass its tolist()."
        )
    return part.tolist() if isinstance(part, np.ndarray) else list(part)


def rrelu(
    x: Operand,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    rng: np.random.Generator | int | None = None,
) -> Tensor:
    """Return a leaky relu whose slope is drawn anew for each element while training.

    Args:
        x: float[...].
        lower, upper: the slopes are uniform in between; outside training they are the middle.
        training: whether to draw.
        rng: None, a seed or a generator.

    Raises:
        TypeError: a bound is no number, or rng is none of these.
        ValueError: the bounds are not in order.

    Source: Xu, Wang, Chen & Li (2015), Empirical evaluation of rectified activations.

    >>> from microgrid import rrelu
    >>> rrelu([-24.0, 3.0])
    array([-5.5,  3. ])
    """
    check_numbers("rrelu", lower=lower, upper=upper)
    if not lower <= upper:
        raise ValueError(
            f"rrelu: lower={lower} and upper={upper} were given; the first must not be above the "
            "second. Swap them."
        )
    t = as_operand("rrelu", x)
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    return prelu(t, uniform_like(t, low=lower, high=upper, rng=rng))


def _leak(x: Array, out: Array | None, slope: float) -> Any:
    if 0 < slope <= 1 and not x.dtype.hasobject:  # a float slope would make Fractions floats
        return np.maximum(x, slope * x, out=out)
    return evaluate(x, Pieces((0,), (slope, 1)), out)


def _band(low: float | None, high: float | None) -> Pieces:
    """Return the pieces of x held between two bounds; as in NumPy the upper one wins."""
    if low is None and high is None:
        return Pieces((), (1,))
    if low is None:
        return Pieces((high,), (1, 0), (high, high))
    if high is None:
        return Pieces((low,), (0, 1), (low, low))
    return Pieces((low, high), (0, 1, 0), (low, low)) if low < high else Pieces((), (0,), (0, high))


def _hold(x: Array, out: Array | None, low: float | None, high: float | None) -> Any:
    if x.dtype.hasobject:  # a float bound would make Fractions floats
        return evaluate(x, _band(low, high), out)
    if high is None:
        return np.positive(x, out=out) if low is None else np.maximum(x, low, out=out)
    # Not np.clip, which takes longer on small arrays.
    return np.minimum(x if low is None else np.maximum(x, low), high, out=out)


def _hold_number(x: float, low: float | None, high: float | None) -> float:
    x = x if low is None else max(x, low)
    return x if high is None else min(x, high)


@quiet
def _zero_times(slope: Array, x: Array) -> Any:
    """Return slope * x, 0 where the slope is 0 although x may be infinite; but nan stays nan."""
    return np.where(np.equal(slope, 0) & np.equal(x, x), 0, slope * x)


prelu = Op(
    name="prelu",
    doc="A leaky relu whose slope is an operand, to be learned. Towards x the slope at the kink "
    "x = 0 is `slope` held between 0 and 1, towards `slope` it is 0 there.",
    kernel=lambda x, slope, out=None: into(out, np.where(x > 0, x, _zero_times(slope, x))),
    vjps=(
        lambda g, y, x, slope: chain(g, _prelu_slope(x, slope)),
        lambda g, y, x, slope: chain(g, clip_between(x, a_min=None, a_max=0)),
    ),
    domains=(KINKY, Domain(-0.5, 1.5, include=(0.0, 1.0, 0.25))),
    signature="(),()->()",
    reference=lambda x, slope: x if x > 0 else slope * x,
    formula="x if x > 0, else slope * x",
    selection=Selection(
        choose=lambda x, slope: (order(x, 0), _hold(slope.value, None, 0, 1)),
        piece=lambda chosen, x, slope: _prelu_piece(chosen[0], chosen[1], x, slope),
    ),
)


def _prelu_piece(side: Array, kink: Array, x: Array, slope: Array) -> Any:
    return np.where(side > 0, x, _zero_times(np.where(side == 0, kink, slope), x))


def _prelu_slope(x: Any, slope: Any) -> Any:
    elsewhere = where(x == x, slope, direction(x))  # nan at nan, as a constant
    return where(x > 0, 1, where(x == 0, clip_between(slope, a_min=0, a_max=1), elsewhere))
