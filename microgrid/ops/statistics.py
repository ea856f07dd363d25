"""Variance, standard deviation and norm, safe where values are equal, tiny or huge."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, into
from ..core import Op, Operand, Tensor, as_operand
from ..record import Domain
from ..selection import Moving, Selection
from .arithmetic import ANY, chain, chain_divide, quiet
from .axes import Axes, Axis, count, keep_dims, normalise, ratio, reduction_params
from .comparison import where
from .extremes import max
from .piecewise import absolute
from .reduction import fold, mean_kernel, sum


def _wide(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return the kernel, for halves computed in single precision: their squares overflow early.

    Integers are computed in double: the differences of unsigned ones wrap around.
    """

    @quiet
    def wider(x: Array, out: Array | None = None, **params: Any) -> Any:
        if x.dtype == np.float16:
            y = np.asarray(kernel(x.astype(np.float32), **params))
            return into(out, y.astype(np.float16))
        return into(out, kernel(x if x.dtype.kind in "fO" else x.astype(float), **params))

    return wider


@_wide
def _centre(x: Array, *, axis: Axes) -> Any:
    # Relative to the first element, so that equal values give exactly 0.
    first = x[tuple(slice(0, 1) if i in axis else slice(None) for i in range(x.ndim))]
    shifted = np.asarray(x - first)
    return np.asarray(shifted - mean_kernel(shifted, axis=axis, keepdims=True))


_centred: Op = Op(
    name="centred",
    doc="x less its mean over some axes.",
    kernel=_centre,
    vjps=(lambda g, y, x, axis: _centred(g, axis=axis),),
    domains=(ANY,),
    signature="(...)->(...)",
    params=lambda shape: [{"axis": p["axis"]} for p in reduction_params(shape, empty=False)],
    reference=lambda x, axis: x - np.mean(x, axis, keepdims=True),
    formula="x - mean x",
    private=True,
)


@_wide
def _var_kernel(x: Array, *, axis: Axes, keepdims: bool, ddof: float) -> Any:
    squares = np.square(_centre(x, axis=axis))
    return np.sum(squares, axis=axis, keepdims=keepdims) * _per_degree(x, axis, ddof)


def _per_degree(x: Any, axis: Axes, ddof: float) -> Any:
    return ratio(1, np.maximum(count(x.shape, axis) - ddof, 0))


def _var_rule(g: Any, y: Any, x: Any, *, axis: Axes, keepdims: bool, ddof: float) -> Any:
    slope = _centred(x, axis=axis) * (2 * _per_degree(x, axis, ddof))
    return chain(keep_dims(g, x.shape, axis), slope)


def _var_params(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return legal parameters; of a single value the deviation is 0 whatever it is."""
    several = [p for p in reduction_params(shape) if count(shape, p["axis"]) > 1]
    return [p | {"ddof": ddof} for p in several for ddof in (0, 1)]


_var = Op(
    name="var",
    doc="The variance over some axes or all: the mean square distance from the mean, with n - ddof "
    "in place of n.",
    kernel=_var_kernel,
    vjps=(_var_rule,),
    domains=(ANY,),
    signature="(...)->(...)",
    params=_var_params,
    reference=lambda x, axis, keepdims, ddof: np.var(x, axis, keepdims=keepdims, ddof=ddof),
    formula="Σ (x[i] - mean x)² / (n - ddof)",
)


@_wide
def _euclid(x: Array, *, axis: Axes, keepdims: bool) -> Any:
    """Return the Euclidean norm, scaled by a power of two so that no square over- or underflows."""
    largest = np.maximum.reduce(np.absolute(x), axis=axis, keepdims=True, initial=0)
    exponent = np.frexp(largest)[1] - 1
    scaled = np.ldexp(x, -exponent)
    root = np.sqrt(np.add.reduce(np.square(scaled), axis=axis, keepdims=True))
    y = np.where(np.isinf(largest), largest, np.ldexp(root, exponent))
    return y if keepdims else y.reshape([n for i, n in enumerate(x.shape) if i not in axis])


def _unit(x: Moving, axis: Axes) -> tuple[Array, Array]:
    """Return where the length is 0, and the slopes of the norm: unit vectors.

    Where the length is 0 that is the direction in which x goes, and 0 if it stays.
    """
    length = Moving(
        _euclid(x.value, axis=axis, keepdims=True),
        lambda: tuple(_euclid(v, axis=axis, keepdims=True) for v in x.tangents),
    )
    return _over_length(x, length, axis)


def _over_length(x: Moving, length: Moving, axis: Axes) -> tuple[Array, Array]:
    zero = np.equal(length.value, 0)
    ratio_of = unit_vector.kernel
    unit = ratio_of(x.value, length.value, axis=axis)
    if zero.any():  # the limit of the ratio of two that start at 0
        for step, growth in reversed(list(zip(x.tangents, length.tangents, strict=False))):
            unit = np.where(zero & (growth != 0), ratio_of(step, growth, axis=axis), unit)
    return zero, unit


@quiet
def _length(chosen: tuple[Array, Array], x: Array, *, axis: Axes, keepdims: bool) -> Any:
    """Return the norm, or, where it was 0, how far x has gone along the unit vector."""
    zero, _ = chosen
    length = _euclid(x, axis=axis, keepdims=True)
    y = np.where(zero, _along(chosen, x, axis=axis, keepdims=True), length)
    return y if keepdims else y.reshape([n for i, n in enumerate(x.shape) if i not in axis])


@quiet
def _along(chosen: tuple[Array, Array], v: Array, *, axis: Axes, keepdims: bool) -> Any:
    return np.sum(chosen[1] * v, axis=axis, keepdims=keepdims)


unit_vector: Op = Op(
    name="unit_vector",
    doc="x over its length; where that is 0, the kink of the norm, 0.",
    kernel=quiet(
        lambda x, length, out=None, *, axis: into(
            out, np.where(np.equal(length, 0), 0, chain_divide.kernel(x, length))
        )
    ),
    vjps=(
        lambda g, y, x, length, axis: where(length == 0, 0, chain_divide(g, length)),
        lambda g, y, x, length, axis: where(length == 0, 0, chain(-g, chain_divide(y, length))),
    ),
    domains=(ANY, Domain(0.5, 3.0, include=(0.0, 1.0))),
    signature="(n),(1)->(n)",
    params=lambda *shapes: [{"axis": (-1,)}],
    reference=lambda x, length, axis: x / np.where(length == 0, np.inf, length),
    formula="x / length",
    selection=Selection(
        choose=lambda x, length, axis: _over_length(x, length, axis),
        piece=lambda chosen, x, length, axis: np.where(
            chosen[0], chosen[1], unit_vector.kernel(x, length, axis=axis)
        ),
    ),
    private=True,
)


_norm = Op(
    name="norm",
    doc="The Euclidean norm over some axes or all. Its slope at 0 is 0. It neither overflows nor "
    "vanishes where the squares of its components do.",
    kernel=_euclid,
    vjps=(
        lambda g, y, x, axis, keepdims: chain(
            keep_dims(g, x.shape, axis), unit_vector(x, keep_dims(y, x.shape, axis), axis=axis)
        ),
    ),
    domains=(ANY,),
    signature="(...)->(...)",
    params=reduction_params,
    reference=lambda x, axis, keepdims: fold(lambda xs: math.hypot(*xs), x, axis, keepdims),
    formula="sqrt(Σ x[i]²)",
    selection=Selection(
        choose=lambda x, axis, keepdims: _unit(x, axis), piece=_length, tangent=_along
    ),
)


@_wide
def _std_kernel(x: Array, *, axis: Axes, keepdims: bool, ddof: float) -> Any:
    centred = _centre(x, axis=axis)
    return _euclid(centred, axis=axis, keepdims=keepdims) * math.sqrt(_per_degree(x, axis, ddof))


def _std_rule(g: Any, y: Any, x: Any, *, axis: Axes, keepdims: bool, ddof: float) -> Any:
    scaled = _centred(x, axis=axis) * _per_degree(x, axis, ddof)
    kept = keep_dims(y, x.shape, axis)
    return chain(keep_dims(g, x.shape, axis), unit_vector(scaled, kept, axis=axis))


def _std_choice(x: Moving, *, axis: Axes, keepdims: bool, ddof: float) -> tuple[Array, Array]:
    centred = Moving(
        _centre(x.value, axis=axis), lambda: tuple(_centre(v, axis=axis) for v in x.tangents)
    )
    return _unit(centred, axis)


def _std_piece(chosen: Any, x: Array, *, axis: Axes, keepdims: bool, ddof: float) -> Any:
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    length = _length(chosen, _centre(wide, axis=axis), axis=axis, keepdims=keepdims)
    return np.asarray(length * math.sqrt(_per_degree(x, axis, ddof))).astype(x.dtype)


def _std_tangent(chosen: Any, v: Array, *, axis: Axes, keepdims: bool, ddof: float) -> Any:
    along = _along(chosen, v, axis=axis, keepdims=keepdims)
    return along * math.sqrt(_per_degree(v, axis, ddof))


_std = Op(
    name="std",
    doc="The standard deviation over some axes or all: the root of the variance. Its slope where "
    "all values are equal is 0.",
    kernel=_std_kernel,
    vjps=(_std_rule,),
    domains=(ANY,),
    signature="(...)->(...)",
    params=_var_params,
    reference=lambda x, axis, keepdims, ddof: np.std(x, axis, keepdims=keepdims, ddof=ddof),
    formula="sqrt(Σ (x[i] - mean x)² / (n - ddof))",
    selection=Selection(choose=_std_choice, piece=_std_piece, tangent=_std_tangent),
)


def var(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Return the variance over the given axes, or over all.

    Args:
        x: float[...]; integers give float64.
        axis: an axis, several, or None for all.
        ddof: subtracted from the number of elements in the divisor (PyTorch's default is 1).
        keepdims: keep the reduced axes with size 1.

    Returns:
        float[...]; nan where at most `ddof` elements are reduced.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import var
    >>> var([1.0, 2.0, 3.0, 4.0])
    np.float64(1.25)
    """
    t = as_operand("var", x)
    axes = normalise("var", axis, t)
    return _var(t, axis=axes, keepdims=keepdims, ddof=ddof)


def std(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Return the standard deviation over the given axes, or over all; its slope at 0 is 0.

    Args:
        x: float[...]; integers give float64.
        axis: an axis, several, or None for all.
        ddof: subtracted from the number of elements in the divisor (PyTorch's default is 1).
        keepdims: keep the reduced axes with size 1.

    Returns:
        float[...]; nan where at most `ddof` elements are reduced.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import std
    >>> std([1.0, 1.0, 4.0, 4.0])
    np.float64(1.5)
    """
    t = as_operand("std", x)
    axes = normalise("std", axis, t)
    return _std(t, axis=axes, keepdims=keepdims, ddof=ddof)


def norm(
    x: Operand,
    ord: float | None = None,  # noqa: A002  NumPy's name
    axis: Axis = None,
    keepdims: bool = False,
) -> Tensor:
    """Return the norm of vectors: over the given axes, or of all elements.

    Args:
        x: float[...].
        ord: 2 or None for the Euclidean norm, 1 for the sum of magnitudes, inf for the largest.
        axis: an axis, several, or None for all.
        keepdims: keep the reduced axes with size 1.

    Returns:
        float[...]. The slope at 0 is 0.

    Raises:
        ValueError: another `ord` is given.
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import norm
    >>> norm([3.0, 4.0]), norm([3.0, -4.0], ord=1)
    (np.float64(5.0), np.float64(7.0))
    """
    t = as_operand("norm", x)
    if ord == 1:
        return sum(absolute(t), axis, keepdims)
    if ord == math.inf:
        return max(absolute(t), axis, keepdims)
    if ord not in (None, 2):
        raise ValueError(
            f"norm: ord={ord!r} was given; it knows 1, 2 and inf. Compose others, as in "
            "sum(absolute(t) ** p) ** (1 / p)."
        )
    return _norm(t, axis=normalise("norm", axis, t), keepdims=keepdims)
