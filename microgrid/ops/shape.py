"""Shape: the same elements, arranged anew. Where it can be a view it is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Array, into, native
from ..backward import broadcast_to as _broadcast_to
from ..core import Op, Operand, Tensor, as_operand
from ..errors import DtypeError, ShapeError
from .arithmetic import ANY
from .axes import normalise, one_axis, sizes


def _view(
    name: str,
    doc: str,
    formula: str,
    function: Callable[..., Any],
    rule: Callable[..., Any],
    params: Callable[..., Sequence[dict[str, Any]]],
    reference: Callable[..., Any],
    inline: Callable[..., bool] | None = None,
) -> Op:
    """Declare an op whose result is a view, made by a NumPy function that takes no `out`."""

    def kernel(x: Array, out: Array | None = None, **given: Any) -> Any:
        # A view has the byte order of its array; whatever comes in, what leaves is native.
        return into(out, function(x if x.dtype.isnative else native(x), **given))

    return Op(
        name=name,
        doc=doc,
        formula=formula,
        kernel=kernel,
        vjps=(rule,),
        domains=(ANY,),
        signature="(...)->(...)",
        params=params,
        reference=reference,
        view=True,
        inline=inline,
    )


_reshape = _view(
    "reshape",
    "The same elements in another shape, last axis fastest.",
    "x.reshape(shape)",
    lambda x, shape: x.reshape(shape),  # np.reshape calls it newshape before NumPy 2.1
    lambda g, y, x, shape: reshape(g, x.shape),
    lambda shape: [{"shape": (math.prod(shape),)}, {"shape": (1, *shape)}, {"shape": shape[::-1]}],
    lambda x, shape: np.fromiter(x.flat, x.dtype, x.size).reshape(shape),
)


def _write_transpose(line: Any, out: Array | None, x: Any, *, axes: Any) -> bool:
    if out is not None or axes is not None:
        return False
    line.same(line.local("{0}.T", x))
    return True


_transpose = _view(
    "transpose",
    "The axes in another order; reversed if none is given.",
    "x.transpose(axes)",
    np.transpose,
    lambda g, y, x, axes: transpose(g, None if axes is None else tuple(map(int, np.argsort(axes)))),
    lambda shape: [
        {"axes": None},
        {"axes": tuple(range(len(shape)))},
        {"axes": tuple(range(1, len(shape))) + (0,) * bool(shape)},
    ],
    lambda x, axes: np.einsum(
        x, list(range(x.ndim)), list(range(x.ndim))[::-1] if axes is None else list(axes)
    ),
    _write_transpose,
)

_swapaxes: Op = _view(
    "swapaxes",
    "Two axes exchanged.",
    "x.swapaxes(axis1, axis2)",
    np.swapaxes,
    lambda g, y, x, axis1, axis2: _swapaxes(g, axis1=axis1, axis2=axis2),
    lambda shape: [{"axis1": i, "axis2": -1} for i in range(len(shape))],
    lambda x, axis1, axis2: (
        np.moveaxis(np.moveaxis(x, axis1 % x.ndim, -1), axis2 % x.ndim - 1, axis1 % x.ndim)
        if axis1 % x.ndim < x.ndim - 1
        else x
    ),
)

_moveaxis: Op = _view(
    "moveaxis",
    "Axes moved to other places; the rest keep their order.",
    "np.moveaxis(x, source, destination)",
    np.moveaxis,
    lambda g, y, x, source, destination: _moveaxis(g, source=destination, destination=source),
    lambda shape: [{"source": i, "destination": 0} for i in range(len(shape))],
    lambda x, source, destination: np.rollaxis(x, source, destination),
)

_squeeze = _view(
    "squeeze",
    "Without the axes of size 1, all of them or those given.",
    "x.squeeze(axis)",
    np.squeeze,
    lambda g, y, x, axis: reshape(g, x.shape),
    lambda shape: [{"axis": None}, {"axis": tuple(i for i, n in enumerate(shape) if n == 1)}],
    lambda x, axis: x.reshape(tuple(n for n in x.shape if n != 1)),
)

_expand_dims = _view(
    "expand_dims",
    "With new axes of size 1, at the given places of the result.",
    "np.expand_dims(x, axis)",
    np.expand_dims,
    lambda g, y, x, axis: reshape(g, x.shape),
    lambda shape: [{"axis": 0}, {"axis": -1}, {"axis": (0, len(shape) + 1)}],
    lambda x, axis: (
        x[None, ..., None] if axis not in (0, -1) else x[None] if axis == 0 else x[..., None]
    ),
)

_flip: Op = _view(
    "flip",
    "The elements in reverse order along some axes, or all.",
    "np.flip(x, axis)",
    lambda x, axis: np.flip(x, axis) if x.ndim else x[...],
    lambda g, y, x, axis: _flip(g, axis=axis),
    lambda shape: [{"axis": None}, *({"axis": i} for i in range(len(shape)))],
    lambda x, axis: (
        np.take(x, range(x.shape[axis])[::-1], axis)
        if axis is not None
        else np.array(list(x.flat)[::-1], x.dtype).reshape(x.shape)
    ),
)

copy = Op(
    name="copy",
    doc="The same values in memory of their own, C-contiguous.",
    kernel=lambda x, out=None: np.array(native(x), order="C") if out is None else into(out, x),
    vjps=(lambda g, y, x: g,),
    domains=(ANY,),
    reference=lambda x: x,
    formula="x",
)

_astype = Op(
    name="astype",
    doc="The values in another dtype. The gradient comes back in the dtype of x.",
    kernel=lambda x, out=None, *, dtype: np.array(x, dtype) if out is None else into(out, x),
    vjps=(lambda g, y, x, dtype: g,),
    domains=(ANY,),
    params=lambda shape: [{"dtype": np.dtype(t)} for t in (np.float64, np.float32)],
    reference=lambda x, dtype: float(dtype.type(x)),
    formula="x",
)


def reshape(x: Operand, *shape: Any) -> Tensor:
    """Return the same elements in another shape.

    Args:
        x: any[...].
        shape: the sizes, as numbers or one tuple; one may be -1, to be worked out.

    Raises:
        ShapeError: the number of elements differs.

    >>> from microgrid import reshape
    >>> reshape([1, 2, 3, 4], (2, 2))
    array([[1, 2],
           [3, 4]])
    """
    t = as_operand("reshape", x)
    wanted = sizes("reshape", shape[0] if len(shape) == 1 and np.ndim(shape[0]) else shape)
    known = math.prod(n for n in wanted if n != -1)
    if -1 in wanted and wanted.count(-1) == 1 and known and t.size % known == 0:
        wanted = tuple(t.size // known if n == -1 else n for n in wanted)
    if math.prod(wanted) != t.size or any(n < 0 for n in wanted):
        raise ShapeError(
            f"reshape: shape {t.shape} has {t.size} elements, which do not fill {wanted}. "
            "Give sizes whose product is that number, at most one of them -1."
        )
    data = t._data if isinstance(t, Tensor) else t
    # A reshape that had to copy would not be a view: the copy is an op of its own.
    fits = data.flags.c_contiguous or np.may_share_memory(data.reshape(wanted), data)
    return _reshape(t if fits else copy(t), shape=wanted)


def transpose(x: Operand, *axes: Any) -> Tensor:
    """Return x with its axes in another order, reversed by default.

    Args:
        x: any[...].
        axes: a permutation of the axes, as numbers or one tuple; None or nothing reverses them.

    Raises:
        ValueError: the axes are not a permutation.

    >>> from microgrid import transpose
    >>> transpose([[1, 2], [3, 4]])
    array([[1, 3],
           [2, 4]])
    """
    if len(axes) == 1 and (axes[0] is None or np.ndim(axes[0])):
        axes = axes[0]
    t = as_operand("transpose", x)
    order = None
    if axes:
        order = normalise("transpose", axes, t)
        if len(order) != t.ndim:
            raise ShapeError(
                f"transpose: axes {tuple(axes)} were given for shape {t.shape}; it needs each of "
                f"the {t.ndim} axes once. Name them all, or none to reverse them."
            )
    return _transpose(t, axes=order)


def swapaxes(x: Operand, axis1: int, axis2: int) -> Tensor:
    """Return x with two axes exchanged.

    Args:
        x: any[...].
        axis1, axis2: which.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import swapaxes
    >>> swapaxes([[1, 2, 3]], 0, 1).shape
    (3, 1)
    """
    t = as_operand("swapaxes", x)
    first, second = (one_axis("swapaxes", axis, t) for axis in (axis1, axis2))
    return _swapaxes(t, axis1=first, axis2=second)


def moveaxis(x: Operand, source: Any, destination: Any) -> Tensor:
    """Return x with axes moved to other places; the rest keep their order.

    Args:
        x: any[...].
        source: an axis or several.
        destination: where each goes.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import moveaxis, zeros
    >>> moveaxis(zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    t = as_operand("moveaxis", x)
    # As tuples: a list that is changed later must not change the gradient.
    places = [normalise("moveaxis", axis, t) for axis in (source, destination)]
    return _moveaxis(t, source=places[0], destination=places[1])


def squeeze(x: Operand, axis: Any = None) -> Tensor:
    """Return x without axes of size 1.

    Args:
        x: any[...].
        axis: an axis or several, each of size 1; None for all of that size.

    Raises:
        ShapeError: a given axis has another size.

    >>> from microgrid import squeeze
    >>> squeeze([[1, 2, 3]])
    array([1, 2, 3])
    """
    t = as_operand("squeeze", x)
    return _squeeze(t, axis=None if axis is None else normalise("squeeze", axis, t))


def expand_dims(x: Operand, axis: Any) -> Tensor:
    """Return x with new axes of size 1.

    Args:
        x: any[...].
        axis: their place or places in the result.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import expand_dims
    >>> expand_dims([1, 2, 3], 1).shape
    (3, 1)
    """
    t = as_operand("expand_dims", x)
    result = np.empty((0,) * (t.ndim + np.size(axis)))  # the places are counted in the result
    return _expand_dims(t, axis=normalise("expand_dims", (0,) if axis is None else axis, result))


def broadcast_to(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """Return x repeated along new axes and those of size 1, to fill `shape`.

    Args:
        x: any[...].
        shape: of the result.

    Raises:
        ShapeError: x does not broadcast to it.

    >>> from microgrid import broadcast_to
    >>> broadcast_to([1, 2], (2, 2))
    array([[1, 2],
           [1, 2]])
    """
    return _broadcast_to(x, shape=sizes("broadcast_to", shape))


def flip(x: Operand, axis: Any = None) -> Tensor:
    """Return x with the elements in reverse order along an axis, several, or all.

    Args:
        x: any[...].
        axis: an axis, several, or None for all.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import flip
    >>> flip([1, 2, 3])
    array([3, 2, 1])
    """
    t = as_operand("flip", x)
    return _flip(t, axis=None if axis is None else normalise("flip", axis, t))


def astype(x: Operand, dtype: DTypeLike) -> Tensor:
    """Return the values in another dtype; the gradient comes back in the dtype of x.

    To a dtype of integers or truth values no gradient passes.

    Args:
        x: any[...].
        dtype: of the result: floats, integers, truth values or objects.

    Raises:
        DtypeError: it is none of these.

    >>> from microgrid import astype
    >>> astype([1.9, -1.9], int)
    array([ 1, -1])
    """
    t = as_operand("astype", x)
    wanted = np.dtype(dtype).newbyteorder("=")
    if wanted.kind not in "biufO":
        raise DtypeError(
            f"astype: dtype {wanted} was given; it needs one of real numbers: floats, integers, "
            "truth values or objects."
        )
    if isinstance(t, Tensor) and wanted.kind not in "fO":
        t = t.detach()
    return _astype(t, dtype=wanted)
