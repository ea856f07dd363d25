"""The larger and the smaller of two or of many, and how those that tie share the gradient."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array, exact, into
from ..core import Op, Operand, Tensor, as_operand
from ..errors import ShapeError
from ..selection import Selection, constant, leaders, order, signs_like
from .arithmetic import ANY, chain, quiet
from .axes import Axis, keep_dims, normalise, one_axis, reduction_params
from .joining import concatenate
from .piecewise import clip_between, relu
from .shape import reshape


def _of_two(name: str, ufunc: np.ufunc, word: str, formula: str, reference: Any) -> Op:
    def shares(g: Any, mine: Any, other: Any) -> Any:
        low, high = (other, mine) if ufunc is np.maximum else (mine, other)
        return chain(g, _preference(high, low))

    # 1 where a is taken, -1 where b is, 0 where both are, by halves.
    sign = 1 if ufunc is np.maximum else -1

    return Op(
        name=name,
        doc=f"The {word} of two. A tie of two tensors shares the gradient evenly; a plain number "
        "as one operand is a bound, as in clip, and the slope at it is 0.",
        kernel=ufunc,
        vjps=(lambda g, y, a, b: shares(g, a, b), lambda g, y, a, b: shares(g, b, a)),
        domains=(ANY, ANY),
        signature="(),()->()",
        reference=reference,
        formula=formula,
        selection=Selection(choose=lambda a, b: sign * order(a, b), piece=_taken, tangent=_taken),
        in_place=True,
    )


def _taken(side: Array, a: Array, b: Array) -> Any:
    return np.where(side > 0, a, np.where(side < 0, b, (a + b) * _half(a, b)))


def _half(a: Any, b: Any) -> Any:
    return exact(1, 2) if a.dtype.kind == "O" or b.dtype.kind == "O" else 0.5


_maximum = _of_two("maximum", np.maximum, "larger", "max(a, b)", max)
_minimum = _of_two("minimum", np.minimum, "smaller", "min(a, b)", min)


@quiet
def exact_ratio(numerator: Array, denominator: Any, dtype: np.dtype[Any]) -> Array:
    """Return the ratio of integers in `dtype`; as Fractions if that is object."""
    if dtype.kind == "O":
        return np.asarray(np.frompyfunc(exact, 2, 1)(numerator, denominator), dtype=object)
    return np.asarray(np.divide(numerator, denominator)).astype(dtype, copy=False)


def _prefer(a: Array, b: Array, out: Array | None = None) -> Any:
    twice = 1 + np.greater(a, b).astype(np.int64) - np.less(a, b)
    y = exact_ratio(twice, 2, np.result_type(a, b))
    if y.dtype.kind == "f":
        np.copyto(y, np.nan, where=np.isnan(a) | np.isnan(b))
    return into(out, y)


_preference: Op = Op(
    name="preference",
    doc="How much of a maximum's gradient a gets: 1 if it is larger, 1/2 at a tie, 0 if smaller.",
    kernel=_prefer,
    vjps=(None, None),
    domains=(ANY, ANY),
    signature="(),()->()",
    reference=lambda a, b: 1.0 if a > b else 0.5 if a == b else 0.0,
    formula="1 if a > b, 1/2 if a = b, else 0",
    selection=constant(
        lambda a, b: (
            signs_like(1 + order(a, b), np.result_type(a.value, b.value)) * _half(a.value, b.value)
        )
    ),
    private=True,
)


def _share(x: Array, y: Array, out: Array | None = None, *, axis: tuple[int, ...]) -> Any:
    return into(out, _shared(np.equal(x, y), axis, x.dtype))


def _shared(ties: Array, axis: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    count = np.add.reduce(ties, axis=axis, keepdims=True, dtype=np.int64)
    # All of them nan if y is: no element equals it, and 0/0 is nan.
    return exact_ratio(ties.astype(np.int64), count, dtype)


def _shares_by_counting(ties: Array) -> Array:
    ties = np.asarray(ties)
    count = ties.sum(axis=-1, keepdims=True)
    return np.asarray(ties / np.where(count == 0, np.nan, count))


_shares = Op(
    name="shares",
    doc="What each element gets of a max's or min's gradient: the extremes share it evenly.",
    kernel=_share,
    vjps=(None, None),
    domains=(ANY, ANY),
    signature="(n),(n)->(n)",
    params=lambda *shapes: [{"axis": (-1,)}],
    reference=lambda x, y, axis: _shares_by_counting(x == y),
    formula="1/k for each of the k elements equal to y",
    selection=constant(lambda x, y, axis: _shared(order(x, y) == 0, axis, x.value.dtype)),
    private=True,
)


def _extreme(name: str, ufunc: np.ufunc, word: str, reference: Callable[..., Any]) -> Op:
    def kernel(x: Array, out: Array | None = None, *, axis: Any, keepdims: bool) -> Any:
        return ufunc.reduce(x, axis=axis, keepdims=keepdims, out=out)

    def rule(g: Any, y: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
        kept = keep_dims(y, x.shape, axis)
        return chain(keep_dims(g, x.shape, axis), _shares(x, kept, axis=axis))

    return Op(
        name=name,
        doc=f"The {word} element, over some axes or all. Those that tie share the gradient evenly.",
        kernel=kernel,
        vjps=(rule,),
        domains=(ANY,),
        signature="(...)->(...)",
        params=lambda shape: reduction_params(shape, empty=False),
        reference=reference,
        selection=Selection(
            choose=lambda x, axis, keepdims: leaders(x, axis, largest=ufunc is np.maximum),
            piece=_mean_of_leaders,
            tangent=_mean_of_leaders,
        ),
        formula=f"{name} x[i]",
    )


@quiet
def _mean_of_leaders(ahead: Array, x: Array, *, axis: Any, keepdims: bool) -> Any:
    """Return the mean of those that led; relative to one of them, so that equal values give it."""
    one = np.maximum.reduce(np.where(ahead, x, -np.inf), axis=axis, keepdims=True)
    steps = np.where(ahead & np.not_equal(x, one), x - one, 0) * _shared(ahead, axis, x.dtype)
    y = np.asarray(one + np.add.reduce(steps, axis=axis, keepdims=True)).astype(x.dtype, copy=False)
    return y if keepdims else y.reshape([n for i, n in enumerate(x.shape) if i not in axis])


_max = _extreme(
    "max", np.maximum, "largest", lambda x, axis, keepdims: np.amax(x, axis, keepdims=keepdims)
)
_min = _extreme(
    "min", np.minimum, "smallest", lambda x, axis, keepdims: np.amin(x, axis, keepdims=keepdims)
)


def maximum(a: Operand, b: Operand) -> Tensor:
    """Return the larger of two, elementwise; nan if either is nan.

    Where two tensors tie, each gets half of the gradient. A plain number is no operand but a bound:
    `maximum(x, 0)` is `clip(x, 0, None)`, with slope 0 at x = 0.

    Args:
        a, b: any[...].

    Raises:
        ShapeError: the shapes do not broadcast together.

    >>> from microgrid import maximum
    >>> maximum(3, 5), maximum([1.0, 7.0], 4.0)
    (5, array([4., 7.]))
    """
    if _is_number(b) and not _is_number(a) and b == b:  # a bound of nan makes all nan
        return clip(a, b, None)
    if _is_number(a) and not _is_number(b) and a == a:
        return clip(b, a, None)
    return _maximum(a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """Return the smaller of two, elementwise; nan if either is nan.

    Where two tensors tie, each gets half of the gradient. A plain number is no operand but a bound:
    `minimum(x, 6)` is `clip(x, None, 6)`, with slope 0 at x = 6.

    Args:
        a, b: any[...].

    Raises:
        ShapeError: the shapes do not broadcast together.

    >>> from microgrid import minimum
    >>> minimum(3, 5), minimum([1.0, 7.0], 4.0)
    (3, array([1., 4.]))
    """
    if _is_number(b) and not _is_number(a) and b == b:
        return clip(a, None, b)
    if _is_number(a) and not _is_number(b) and a == a:
        return clip(b, None, a)
    return _minimum(a, b)


def _is_number(x: object) -> bool:
    # Complex numbers and dates are no bounds; NumPy takes a span of time for an integer.
    return isinstance(x, (Real, np.bool_)) and not isinstance(x, np.timedelta64)


def clip(x: Operand, a_min: Operand | None = None, a_max: Operand | None = None) -> Tensor:
    """Return x held between two bounds; if they cross, the upper one wins, as in NumPy.

    A bound that is a number is no operand, and the slope of x at it is 0. Bounds that are arrays or
    Tensors are operands, as in `minimum(maximum(x, a_min), a_max)`.

    Args:
        x: float[...].
        a_min: the lower bound, or None.
        a_max: the upper bound, or None.

    Raises:
        ValueError: a bound is nan.
        ShapeError: the shapes do not broadcast together.

    >>> from microgrid import clip
    >>> clip([-2.0, 0.5, 3.0], 0, 1), clip(7, None, 5)
    (array([0. , 0.5, 1. ]), 5)
    """
    if not (_is_bound(a_min) and _is_bound(a_max)):
        t = as_operand("clip", x) if a_min is None else maximum(x, a_min)
        return t if a_max is None else minimum(t, a_max)
    for bound in (a_min, a_max):
        if bound is not None and bound != bound:
            raise ValueError("clip: a bound is nan; it needs numbers. Pass None for no bound.")
    return clip_between(x, a_min=a_min, a_max=a_max)


def _is_bound(x: object) -> bool:
    return x is None or _is_number(x)


def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return the largest element, over the given axes or over all; nan if one of them is nan.

    The elements that tie share the gradient evenly.

    Args:
        x: float[...].
        axis: an axis, several, or None for all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ValueError: there is no element to choose from.

    >>> from microgrid import max, tensor
    >>> x = tensor([3.0, 3.0, 1.0], requires_grad=True)
    >>> max(x).backward()
    >>> x.grad
    array([0.5, 0.5, 0. ])
    """
    return _max(x, axis=normalise("max", axis, x), keepdims=keepdims)


def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return the smallest element, over the given axes or over all; nan if one of them is nan.

    The elements that tie share the gradient evenly.

    Args:
        x: float[...].
        axis: an axis, several, or None for all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ValueError: there is no element to choose from.

    >>> from microgrid import min
    >>> min([[3.0, 1.0], [2.0, 5.0]], axis=1)
    array([1., 2.])
    """
    return _min(x, axis=normalise("min", axis, x), keepdims=keepdims)


def maxout(x: Operand, pool_size: int = 2, axis: int = -1) -> Tensor:
    """Return the largest of each group of `pool_size` neighbours along an axis.

    Composed of reshape and max: those that tie share the gradient evenly.

    Args:
        x: float[..., n * pool_size, ...].
        pool_size: how many linear pieces each unit chooses from.
        axis: where the groups lie.

    Returns:
        float[..., n, ...].

    Raises:
        ShapeError: the axis does not divide into groups.

    Source: Goodfellow et al. (2013), Maxout networks.

    >>> from microgrid import maxout
    >>> maxout([1.0, 4.0, 3.0, 2.0])
    array([4., 3.])
    """
    t = as_operand("maxout", x)
    place = one_axis("maxout", axis, t)
    groups, rest = divmod(t.shape[place], pool_size) if pool_size > 0 else (0, 1)
    if rest:
        raise ShapeError(
            f"maxout: axis {axis} of shape {t.shape} has {t.shape[place]} elements, which do not "
            f"make groups of {pool_size}. Change pool_size or the layer before."
        )
    shape = (*t.shape[:place], groups, pool_size, *t.shape[place + 1 :])
    return max(reshape(t, shape), axis=place + 1)


def crelu(x: Operand, axis: int = -1) -> Tensor:
    """Return relu(x) and relu(-x), side by side along an axis, which doubles.

    Composed of relu and concatenate.

    Args:
        x: float[..., n, ...].
        axis: along which the two are joined.

    Returns:
        float[..., 2 * n, ...].

    Raises:
        numpy.exceptions.AxisError: the axis is out of bounds.

    Source: Shang, Sohn, Almeida & Lee (2016), Concatenated rectified linear units.

    >>> from microgrid import crelu
    >>> crelu([1.0, -2.0])
    array([1., 0., 0., 2.])
    """
    t = as_operand("crelu", x)
    place = one_axis("crelu", axis, t)
    return concatenate([relu(t), relu(-t)], axis=place)
