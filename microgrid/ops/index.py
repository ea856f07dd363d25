"""Indexing: choosing elements, and, going back, adding gradients at the places chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Array, into, own_index
from ..core import Op, Operand, Tensor, as_operand
from ..errors import DtypeError, ShapeError
from ..operators import is_basic, pick
from ..record import Domain
from .arithmetic import ANY
from .axes import one_axis
from .shape import broadcast_to, reshape

PLACES = Domain(0, 0, include=(0.0,), kind="int")  # index 0 exists whatever the size


def _add_at(g: Array, out: Array | None = None, *, index: Any, shape: tuple[int, ...]) -> Any:
    y = np.zeros(shape, g.dtype)
    if is_basic(index):
        y[index] = g
    else:
        np.add.at(y, index, g)  # not y[index] += g, which adds only once where an index repeats
    return into(out, y)


def _indices(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    views = [(..., slice(None, None, -1)), (..., None, slice(1, None)), (..., 0)]
    found: list[Any] = [(...,)] + (views if shape and shape[-1] else [])
    return [{"index": index} for index in found]


def _fancy_indices(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    if not shape or not shape[0]:
        return [{"index": (..., np.zeros(shape[:1], bool))}] if shape and len(shape) == 1 else []
    mask = np.zeros(shape[0], bool)
    mask[::2] = True
    return [{"index": (np.array([0, 0, -1]), ...)}, {"index": (mask, ...)}]


_slice = Op(
    name="getitem",
    doc="The elements at an index of integers, slices, None and an ellipsis: a view.",
    kernel=lambda x, out=None, *, index: into(out, x[index]),
    vjps=(lambda g, y, x, index: _scatter(g, index=index, shape=x.shape),),
    domains=(ANY,),
    signature="(...)->(...)",
    params=_indices,
    reference=lambda x, index: (
        np.arange(x.size).reshape(x.shape)[index] * 0.0
        + np.take(x, np.arange(x.size).reshape(x.shape)[index])
        if x.size
        else x[index]
    ),
    formula="x[index]",
    view=True,
)

_gather = Op(
    name="gather",
    doc="The elements at an index with arrays of integers or a mask: a copy. Where an index "
    "repeats, the gradients add up.",
    kernel=lambda x, out=None, *, index: into(out, x[index]),
    vjps=(lambda g, y, x, index: _scatter(g, index=index, shape=x.shape),),
    domains=(ANY,),
    signature="(...)->(...)",
    params=_fancy_indices,
    reference=lambda x, index: (
        np.take(x, np.arange(x.size).reshape(x.shape)[index]) if x.size else x[index]
    ),
    formula="x[index]",
    private=True,
)

_scatter: Op = Op(
    name="scatter_add",
    doc="Zeros of a given shape with g added at an index: what undoes an indexing.",
    kernel=_add_at,
    vjps=(lambda g, y, x, index, shape: pick(g, index),),
    domains=(ANY,),
    signature="(...)->(...)",
    params=lambda shape: [{"index": (np.arange(n) // 2, ...), "shape": shape} for n in shape[:1]],
    reference=lambda x, index, shape: (
        np.stack(
            [
                sum((x[j] for j in range(len(x)) if index[0][j] == i), 0 * x[0])
                for i in range(len(x))
            ]
        )
        if len(x)
        else x
    ),
    formula="y[index] += x",
    private=True,
)


def getitem(x: Operand, index: Any) -> Tensor:
    """Return x[index], for every index that NumPy takes.

    Args:
        x: any[...].
        index: integers, slices, None, an ellipsis, arrays of integers, masks; or a tuple of them.

    Raises:
        IndexError: the index does not fit.

    >>> from microgrid import tensor
    >>> x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, 0, 1]].sum().backward()
    >>> x.grad
    array([2., 1., 0.])
    """
    return pick(as_operand("getitem", x), own_index(index))


def _within_range(who: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel that says who was asked if an index is out of range."""

    def kernel(x: Array, indices: Array, out: Array | None = None, *, axis: int) -> Any:
        try:
            return function(x, indices, axis, out)
        except IndexError as error:
            remedy = "Indices count from 0, or from the end below 0."
            raise IndexError(f"{who}: {error}. {remedy}") from error

    return kernel


def _take_rule(g: Any, y: Any, x: Any, indices: Any, *, axis: int) -> Any:
    return _put(g, indices, axis=axis, size=x.shape[axis])


def _put_kernel(g: Array, indices: Array, out: Array | None = None, *, axis: int, size: int) -> Any:
    rest = g.shape[axis + indices.ndim :]
    y = np.zeros((*g.shape[:axis], size, *rest), g.dtype)
    index: Any = (*(slice(None),) * axis, indices)
    np.add.at(y, index, g)
    return into(out, y)


_take = Op(
    name="take",
    doc="The slices of x along an axis at the given indices. Where an index repeats, the gradients "
    "add up.",
    kernel=_within_range("take", lambda x, i, axis, out: np.take(x, i, axis, out=out)),
    vjps=(_take_rule, None),
    domains=(ANY, PLACES),
    signature="(...),(...)->(...)",
    shapes=(
        ((3,), (2,)),
        ((3, 2), (4,)),
        ((2, 3), (2, 2)),
        ((3,), ()),
        ((2, 0), (3,)),
        ((3,), (0,)),
    ),
    params=lambda shape, indices: [{"axis": i} for i in range(len(shape)) if shape[i]],
    reference=lambda x, indices, axis: x[(slice(None),) * axis + (indices,)],
    formula="np.take(x, indices, axis)",
)

_put = Op(
    name="put_add",
    doc="Zeros with slices added along an axis at the given indices: what undoes take.",
    kernel=_put_kernel,
    vjps=(lambda g, y, x, indices, axis, size: _take(g, indices, axis=axis), None),
    domains=(ANY, PLACES),
    signature="(...),(...)->(...)",
    shapes=(((3,), (3,)), ((1,), (1,)), ((0,), (0,))),
    params=lambda shape, indices: [{"axis": 0, "size": 3}],
    reference=lambda x, indices, axis, size: np.bincount(indices, x, size),
    formula="y[indices] += x",
    private=True,
)


def _along(indices: Array, axis: int) -> tuple[Array, ...]:
    grid = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grid[axis] = indices
    return tuple(grid)


def _put_along_kernel(
    g: Array, indices: Array, out: Array | None = None, *, axis: int, size: int
) -> Any:
    y = np.zeros([size if i == axis else n for i, n in enumerate(indices.shape)], g.dtype)
    np.add.at(y, _along(indices, axis), g)
    return into(out, y)


_take_along_axis = Op(
    name="take_along_axis",
    doc="For each place of `indices` the element of x there, its index along one axis replaced.",
    kernel=_within_range(
        "take_along_axis", lambda x, i, axis, out: into(out, np.take_along_axis(x, i, axis))
    ),
    vjps=(
        lambda g, y, x, indices, axis: _put_along(g, indices, axis=axis, size=x.shape[axis]),
        None,
    ),
    domains=(ANY, PLACES),
    signature="(...),(...)->(...)",
    shapes=(((3,), (2,)), ((1,), (1,)), ((3,), (0,))),
    params=lambda shape, indices: [{"axis": 0}],
    reference=lambda x, indices, axis: np.array([x[i] for i in indices], x.dtype),
    formula="np.take_along_axis(x, indices, axis)",
)

_put_along: Op = Op(
    name="put_along_axis_add",
    doc="Zeros with elements added at indices along one axis: what undoes take_along_axis.",
    kernel=_put_along_kernel,
    vjps=(lambda g, y, x, indices, axis, size: _take_along_axis(g, indices, axis=axis), None),
    domains=(ANY, PLACES),
    signature="(...),(...)->(...)",
    shapes=(((3,), (3,)), ((1,), (1,)), ((0,), (0,))),
    params=lambda shape, indices: [{"axis": 0, "size": 3}],
    reference=lambda x, indices, axis, size: np.bincount(indices, x, size),
    formula="y[indices] += x",
    private=True,
)


def _one_hot_kernel(x: Array, out: Array | None = None, *, num_classes: int, dtype: Any) -> Any:
    if x.size and not (x.min() >= 0 and x.max() < num_classes):
        raise ValueError(
            f"one_hot: indices from {x.min()} to {x.max()} were given; with "
            f"num_classes={num_classes} they must lie between 0 and {num_classes - 1}."
        )
    return into(out, np.equal(x[..., None], np.arange(num_classes)).astype(dtype))


_one_hot = Op(
    name="one_hot",
    doc="1 at the place of each index, 0 elsewhere, along a new last axis; no gradient.",
    kernel=_one_hot_kernel,
    vjps=(None,),
    domains=(PLACES,),
    signature="()->(c)",
    params=lambda shape: [{"num_classes": 3, "dtype": np.dtype(np.float32)}],
    reference=lambda x, num_classes, dtype: np.eye(num_classes)[x],
    formula="1 if x = c, else 0",
)


def take(x: Operand, indices: Operand, axis: int | None = None) -> Tensor:
    """Return the slices of x along an axis at the given indices.

    Args:
        x: any[...].
        indices: int[...].
        axis: along which; None takes from the flattened array, as in NumPy.

    Raises:
        IndexError: an index is out of range.

    >>> from microgrid import take
    >>> take([10, 20, 30], [2, 0, 0])
    array([30, 10, 10])
    """
    t = as_operand("take", x)
    if axis is None:
        t, axis = reshape(t, (t.size,)), 0
    place, places = one_axis("take", axis, t), as_operand("take", indices)
    return _take(t, places, axis=place)


def take_along_axis(x: Operand, indices: Operand, axis: int) -> Tensor:
    """Return, for each place of `indices`, the element of x there with one index replaced.

    Args:
        x: any[..., n, ...].
        indices: int[..., m, ...], of as many dimensions; they broadcast but for `axis`.
        axis: along which.

    Raises:
        IndexError: an index is out of range.
        ShapeError: the numbers of dimensions differ, or sizes in another axis.

    >>> from microgrid import take_along_axis
    >>> take_along_axis([[10, 20], [30, 40]], [[1], [0]], axis=1)
    array([[20],
           [30]])
    """
    t = as_operand("take_along_axis", x)
    places = as_operand("take_along_axis", indices)
    place = one_axis("take_along_axis", axis, t)
    rest = [(*s[:place], 1, *s[place + 1 :]) for s in (t.shape, places.shape)]
    try:
        if t.ndim != places.ndim:
            raise ValueError
        shape = np.broadcast_shapes(*rest)
    except ValueError:
        raise ShapeError(
            f"take_along_axis: shapes {t.shape} and {places.shape} do not broadcast together but "
            f"for axis {axis}; they need as many dimensions. Use expand_dims()."
        ) from None
    t = broadcast_to(t, [n if i != place else t.shape[place] for i, n in enumerate(shape)])
    places = broadcast_to(
        places, [n if i != place else places.shape[place] for i, n in enumerate(shape)]
    )
    return _take_along_axis(t, places, axis=place)


def one_hot(x: Operand, num_classes: int, dtype: DTypeLike = np.float32) -> Tensor:
    """Return 1 at the place of each index and 0 elsewhere, along a new last axis.

    Args:
        x: int[...], from 0 to num_classes - 1.
        num_classes: the size of the new axis.
        dtype: of the result.

    Raises:
        DtypeError: x does not hold integers.
        ValueError: an index is out of range.

    >>> from microgrid import one_hot
    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    t = as_operand("one_hot", x)
    if t.dtype.kind not in "iu":
        raise DtypeError(
            f"one_hot: indices of dtype {t.dtype} were given; it needs integers. Use astype(int)."
        )
    return _one_hot(t, num_classes=num_classes, dtype=np.dtype(dtype).newbyteorder("="))
