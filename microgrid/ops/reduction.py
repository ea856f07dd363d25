"""Sums, means and products: many elements to one, along some axes or all.

The records take axes that are normalised already, as a tuple; the functions take NumPy's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, exact, into
from ..backward import broadcast_to
from ..core import Op, Operand, Tensor, as_operand
from .arithmetic import ANY, chain, quiet
from .axes import Axes, Axis, count, keep_dims, kept_shape, normalise, one_axis, reduction_params
from .comparison import where
from .shape import flip, reshape


def _sum_kernel(x: Any, out: Any = None, *, axis: Axes, keepdims: bool) -> Any:
    return np.add.reduce(x, axis=axis, keepdims=keepdims, out=out)


def _sum_rule(g: Any, y: Any, x: Any, *, axis: Axes, keepdims: bool) -> Any:
    return broadcast_to(keep_dims(g, x.shape, axis), shape=x.shape)


sum_over = Op(
    name="sum",
    doc="The sum over some axes or all; of nothing, 0.",
    kernel=_sum_kernel,
    vjps=(_sum_rule,),
    domains=(ANY,),
    signature="(...)->(...)",
    params=reduction_params,
    reference=lambda x, axis, keepdims: fold(math.fsum, x, axis, keepdims),
    formula="Σ x[i]",
)


def fold(function: Any, x: Array, axis: Axes, keepdims: bool) -> Array:
    """Return function(list of numbers) for each group that is reduced to one."""
    rest = [i for i in range(x.ndim) if i not in axis]
    groups = np.transpose(x, (*rest, *axis))
    groups = groups.reshape((*(x.shape[i] for i in rest), count(x.shape, axis)))
    y = np.empty(groups.shape[:-1])
    for place in np.ndindex(y.shape):
        y[place] = function(groups[place].tolist())
    return y.reshape(kept_shape(x.shape, axis)) if keepdims else y


@quiet
def mean_kernel(x: Array, out: Array | None = None, *, axis: Axes, keepdims: bool) -> Any:
    """Return the mean over some axes in the dtype of x; of integers, as doubles."""
    # A sum of many halves overflows early: it is taken in single precision, as NumPy does.
    wide: Any = np.float32 if x.dtype == np.float16 else None
    total = np.sum(x, axis=axis, keepdims=keepdims, dtype=wide)
    y = np.asarray(total / divisor(count(x.shape, axis), x.dtype))
    return into(out, y.astype(x.dtype if x.dtype.kind in "fO" else np.float64, copy=False))


def _mean_rule(g: Any, y: Any, x: Any, *, axis: Axes, keepdims: bool) -> Any:
    kept = keep_dims(g, x.shape, axis)
    return broadcast_to(kept / divisor(count(x.shape, axis) or 1, x.dtype), shape=x.shape)


def divisor(n: int, dtype: np.dtype[Any]) -> Any:
    """Return n as a number that may divide values of this dtype without harm."""
    if dtype == np.float16:
        return np.float32(n)  # as a half, 70 000 is infinite
    return exact(n) if dtype.hasobject and n else n  # 1 / n would be a float


_mean = Op(
    name="mean",
    doc="The arithmetic mean over some axes or all; of nothing, nan.",
    kernel=mean_kernel,
    vjps=(_mean_rule,),
    domains=(ANY,),
    signature="(...)->(...)",
    params=reduction_params,
    reference=lambda x, axis, keepdims: fold(
        lambda xs: math.fsum(xs) / len(xs) if xs else math.nan, x, axis, keepdims
    ),
    formula="Σ x[i] / n",
)


_prod = Op(
    name="prod",
    doc="The product along the last axis; of nothing, 1.",
    kernel=lambda x, out=None: np.multiply.reduce(x, axis=-1, out=out),
    vjps=(lambda g, y, x: chain(g.reshape((*g.shape, 1)), _others(x)),),
    domains=(ANY,),
    signature="(n)->()",
    reference=lambda x: fold(math.prod, x, (x.ndim - 1,), False),
    formula="Π x[i]",
)


def _product_of_others(x: Array, out: Array | None = None) -> Any:
    y = np.ones_like(x)
    np.multiply.accumulate(x[..., :-1], axis=-1, out=y[..., 1:])
    after = np.ones_like(x)
    np.multiply.accumulate(x[..., :0:-1], axis=-1, out=after[..., -2::-1])
    return np.multiply(y, after, out=out)


def _others_rule(g: Any, y: Any, x: Any) -> Any:
    """Row i of a square leaves out x[i]; the derivative towards x[j] leaves out x[j] as well."""
    n = x.shape[-1]
    same = np.eye(n, dtype=bool)
    rows = _others(where(same, 1, x.reshape((*x.shape[:-1], 1, n))))
    weighted = chain(g.reshape((*g.shape, 1)), where(same, 0, rows))
    return sum_over(weighted, axis=(x.ndim - 1,), keepdims=False)


_others: Op = Op(
    name="product_of_others",
    doc="For each element the product of all others along the last axis, without dividing by it.",
    kernel=_product_of_others,
    vjps=(_others_rule,),
    domains=(ANY,),
    signature="(n)->(n)",
    reference=lambda x: (
        np.stack([np.prod(np.delete(x, i, -1), -1) for i in range(x.shape[-1])], -1)
        if x.shape[-1]
        else x
    ),
    formula="Π x[j] over j ≠ i",
    private=True,
)

_cumsum: Op = Op(
    name="cumsum",
    doc="The sum of the elements up to each, along an axis.",
    kernel=lambda x, out=None, *, axis: np.add.accumulate(x, axis=axis, out=out),
    vjps=(lambda g, y, x, axis: flip(_cumsum(flip(g, axis), axis=axis), axis),),
    domains=(ANY,),
    signature="(...)->(...)",
    params=lambda shape: [{"axis": i} for i in range(len(shape))],
    reference=lambda x, axis: (
        np.apply_along_axis(lambda row: np.tri(len(row)) @ row, axis, x) if x.size else x
    ),
    formula="Σ x[j] over j ≤ i",
)


def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return the sum over the given axes, or over all; of nothing, 0.

    Args:
        x: any[...].
        axis: an axis, several, none (an empty tuple), or None for all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import sum
    >>> sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([4., 6.])
    """
    t = as_operand("sum", x)
    return sum_over(t, axis=normalise("sum", axis, t), keepdims=keepdims)


def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the arithmetic mean over the given axes, or over all; of nothing, nan.

    Args:
        x: float[...]; integers give float64.
        axis: an axis, several, none (an empty tuple), or None for all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import mean
    >>> mean([[1.0, 2.0], [3.0, 4.0]], axis=1)
    array([1.5, 3.5])
    """
    t = as_operand("mean", x)
    return _mean(t, axis=normalise("mean", axis, t), keepdims=keepdims)


def prod(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the product over the given axes, or over all; of nothing, 1.

    The gradient does not divide by x, so zeros do it no harm.

    Args:
        x: any[...].
        axis: an axis, several, none (an empty tuple), or None for all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import prod, tensor
    >>> x = tensor([0.0, 2.0, 3.0], requires_grad=True)
    >>> prod(x).backward()
    >>> x.grad
    array([6., 0., 0.])
    """
    t = as_operand("prod", x)
    axes = normalise("prod", axis, t)
    rest = tuple(i for i in range(t.ndim) if i not in axes)
    rows = t.transpose((*rest, *axes)) if t.ndim else t
    rows = reshape(rows, (*(t.shape[i] for i in rest), count(t.shape, axes)))
    y = _prod(rows)
    return reshape(y, kept_shape(t.shape, axes)) if keepdims else y


def cumsum(x: Operand, axis: int | None = None) -> Tensor:
    """Return the running sum along an axis, or of the flattened array.

    Args:
        x: any[...].
        axis: along which; None flattens first, as in NumPy.

    Raises:
        numpy.exceptions.AxisError: the axis is out of bounds.

    >>> from microgrid import cumsum
    >>> cumsum([1.0, 2.0, 3.0])
    array([1., 3., 6.])
    """
    t = as_operand("cumsum", x)
    if axis is None:
        t, axis = reshape(t, -1 if t.size else 0), 0
    return _cumsum(t, axis=one_axis("cumsum", axis, t))
