"""Piecewise-linear functions whose knots and slopes are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..arrays import Array
from ..core import Operand, Tensor
from ..errors import ShapeError
from ..recording import no_grad
from .module import Module, Parameter, as_integer, float_dtype, in_dtype_of
from .targets import is_number


class PiecewiseLinear(Module):
    """A continuous function of straight pieces, applied to each element; it is learned.

    value + the integral of the slopes from the first knot to x. Training moves the knots, but never
    past each other: what is learned are the first one and the logarithms of the gaps. The slope at
    a knot is the one of least norm between those on its sides, as in `mg.piecewise_linear`.

    Args:
        knots: increasing numbers, where the slope changes at first.
        slopes: one more than knots, at first: left of the first knot, between neighbours, right of
            the last. None for 1 everywhere; if convex, for 0.5 rising evenly to 1.5.
        value: of the function at the first knot, at first; None for that knot itself, so that with
            slopes of 1 the layer begins as the identity.
        features: None for one function for all elements, or the size of the last dimension of x for
            a function each.
        monotone: keep all slopes positive, so that the function increases; where rounding makes
            them 0, it still never falls.
        convex: keep each slope above the one to its left, or equal where rounding makes it so.
        learn_knots: without, knots stay where they are.
        dtype: of the parameters.

    Input shape: float[...], or float[..., features]. Output shape: the same.

    Attributes:
        first_knot, log_gaps, raw_slopes, value: what is learned, float[(features,) n].
        knots: float[(features,) n] and slopes: float[(features,) n + 1], as Tensors computed from
            them.

    Raises:
        ValueError: the knots do not increase, the number of slopes does not fit, a number is not
            finite in the dtype, the slopes given are not monotone or convex, or features is below
            1.
        TypeError: knots or slopes are no lists, or features is no integer.
        DtypeError: the dtype is not one of floats. In a call, x does not hold numbers.
        ShapeError: in a call, the last dimension of x is not `features`.

    >>> import microgrid as mg
    >>> layer = mg.nn.PiecewiseLinear(knots=[-1.0, 1.0], slopes=[0.0, 0.5, 0.0], value=0.0)
    >>> layer([-5.0, 0.0, 5.0])
    tensor([0. , 0.5, 1. ], dtype=float32, op=add)
    >>> [name for name, _ in layer.named_parameters()]
    ['first_knot', 'log_gaps', 'raw_slopes', 'value']
    """

    def __init__(
        self,
        knots: Sequence[float],
        slopes: Sequence[float] | None = None,
        value: float | None = None,
        features: int | None = None,
        monotone: bool = False,
        convex: bool = False,
        learn_knots: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if features is not None:
            features = as_integer("PiecewiseLinear", "features", features, least=1)
        self.features, self.monotone, self.convex = features, bool(monotone), bool(convex)
        dtype = float_dtype("PiecewiseLinear", dtype)
        places = _numbers("knots", knots)
        if not places or any(not a < b for a, b in pairwise(places)):
            raise ValueError(
                f"PiecewiseLinear: knots={list(knots)} was given; it needs one or more numbers "
                "that increase strictly. Sort them, each once."
            )
        steep = self._first_slopes(len(places), slopes)
        start = _numbers("value", [places[0] if value is None else value])
        with np.errstate(all="ignore"):  # what the dtype does not hold is told by name
            gaps = np.log(np.diff(places))
            self.first_knot = Parameter(self._each(places[:1]), dtype, learn_knots)
            self.log_gaps = Parameter(self._each(gaps), dtype, learn_knots)
            self.raw_slopes = Parameter(self._each(self._raw(steep)), dtype)
            self.value = Parameter(self._each(start), dtype)
            self._check_finite(knots=places, slopes=steep.tolist(), value=start[0])

    def _each(self, numbers: Any) -> Array:
        """Return the numbers, once or for every feature."""
        row = np.asarray(numbers, float)
        return row if self.features is None else np.tile(row, (self.features, 1))

    def _first_slopes(self, knots: int, slopes: Sequence[float] | None) -> Array:
        if slopes is None:
            return np.linspace(0.5, 1.5, knots + 1) if self.convex else np.ones(knots + 1)
        steep = _numbers("slopes", slopes)
        if len(steep) != knots + 1:
            raise ValueError(
                f"PiecewiseLinear: {knots} knots and {len(steep)} slopes were given; it needs one "
                "slope more than knots. Give those left of the first knot, between knots, and "
                "right of the last."
            )
        if self.monotone and min(steep) <= 0:
            raise ValueError(
                f"PiecewiseLinear: slopes={list(slopes)} was given with monotone=True; all must be "
                "positive. Begin with small ones in place of 0."
            )
        if self.convex and any(not a < b for a, b in pairwise(steep)):
            raise ValueError(
                f"PiecewiseLinear: slopes={list(slopes)} was given with convex=True; each must be "
                "above the one before. Begin with small steps in place of none."
            )
        return np.array(steep)

    def _check_finite(self, **given: Any) -> None:
        """Raise unless what is computed from the parameters is finite in their dtype."""
        for name, numbers in given.items():
            with no_grad():
                found: Array = getattr(self, name)._data
            if not np.isfinite(found).all():
                raise ValueError(
                    f"PiecewiseLinear: {name}={numbers} was given, which {self.value.dtype} does "
                    "not hold. Choose smaller numbers, or another dtype."
                )

    # --- from what is learned to the function ----------------------------------------------------

    def _raw(self, slopes: Array) -> Array:
        """Return what `slopes` computes these slopes from."""
        raw = slopes.copy()
        if self.convex:
            raw[1:] = _softplus_of(np.diff(slopes))
        if self.monotone:
            raw[: 1 if self.convex else None] = _softplus_of(slopes[: 1 if self.convex else None])
        return raw

    @property
    def slopes(self) -> Any:
        """The slopes as they are now: float[(features,) n + 1]."""
        raw = self.raw_slopes
        if not self.convex:
            return ops.softplus(raw) if self.monotone else raw
        first, steps = raw[..., :1], ops.softplus(raw[..., 1:])
        first = ops.softplus(first) if self.monotone else first
        return ops.cumsum(ops.concatenate([first, steps], axis=-1), axis=-1)

    @property
    def knots(self) -> Any:
        """The knots as they are now: float[(features,) n], never out of order."""
        gaps = ops.exp(self.log_gaps)
        return ops.cumsum(ops.concatenate([self.first_knot, gaps], axis=-1), axis=-1)

    def forward(self, x: Operand) -> Any:
        """Return the function's value at each element of x."""
        t = in_dtype_of("PiecewiseLinear", self.raw_slopes, x)
        if self.features is not None and t.shape[-1:] != (self.features,):
            raise ShapeError(
                f"{self!r}: an input of shape {t.shape} was given; its last dimension must be "
                f"{self.features}. Reshape it, or change features."
            )
        knots, slopes, at = self.knots, self.slopes, ops.expand_dims(t, -1)
        passed, entered = _course(at, knots, slopes)
        begins = ops.concatenate([knots[..., :1], knots], axis=-1)
        # Of the knots as they were rounded: by exp(log_gaps) a monotone function could fall at one.
        lengths = _beside(knots[..., 1:] - knots[..., :-1], 0, 0)
        covered = ops.where(passed, lengths, ops.where(entered, at - begins, 0))
        return ops.sum(slopes * covered, axis=-1) + self.value[..., 0]

    def extra_repr(self) -> str:
        """Return the number of knots, and what is not the default."""
        parts = [f"{self.raw_slopes.shape[-1] - 1} knots"]
        parts += [f"features={self.features}"] * (self.features is not None)
        parts += ["monotone=True"] * self.monotone + ["convex=True"] * self.convex
        return ", ".join(parts + ["learn_knots=False"] * (not self.log_gaps.requires_grad))


def _course(at: Tensor, knots: Any, slopes: Any) -> tuple[Any, Any]:
    """Return for each piece whether x has passed it, and whether x has entered it.

    On a knot x belongs to the piece with the slope of least norm. If the slopes differ in sign that
    is neither: the one is passed, the other not entered, and the slope is 0.
    """
    with no_grad():
        left, right = slopes[..., :-1], slopes[..., 1:]
        agree = left * right > 0
        flatter = ops.absolute(left) <= ops.absolute(right)
        left_wins = ops.where(agree, flatter, False)
        right_wins = ops.where(agree, ops.equal(flatter, False), False)
        passed = _beside(ops.where(left_wins, at > knots, at >= knots), None, 0)
        entered = _beside(ops.where(right_wins, at >= knots, at > knots), 1, None)
        # A flat piece reaches to infinity, where 0 * inf is nan.
        flat = ops.where(ops.absolute(at) == np.inf, slopes == 0, False)
        entered = ops.where(flat, False, entered)
    return passed, entered


def _beside(x: Any, before: float | None, after: float | None) -> Any:
    """Return x with constants before and after it along its last axis."""
    for value, width in ((before, (1, 0)), (after, (0, 1))):
        if value is not None:
            x = ops.pad(x, [(0, 0)] * (x.ndim - 1) + [width], constant_values=value)
    return x


def _softplus_of(y: Array) -> Array:
    """Return the x at which softplus is y, which is positive."""
    return np.asarray(y + np.log(-np.expm1(-y)))


def _numbers(name: str, given: Any) -> list[float]:
    try:
        values = list(given)
    except TypeError:
        raise TypeError(
            f"PiecewiseLinear: {name}={given!r} was given; it needs a list of numbers."
        ) from None
    if not all(is_number(v) and math.isfinite(v) for v in values):
        raise ValueError(f"PiecewiseLinear: {name}={values} was given; it needs finite numbers.")
    return [float(v) for v in values]
