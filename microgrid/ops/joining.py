"""Joining, cutting and framing arrays."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..arrays import Array, into
from ..core import Op, Operand, Tensor, as_operand
from ..errors import ShapeError
from ..record import EachInput
from .arithmetic import ANY
from .axes import check_numbers, one_axis
from .shape import reshape


def _concatenate_rules(wanted: list[bool], g: Any, y: Any, *xs: Any, axis: int) -> list[Any]:
    ends = list(itertools.accumulate(x.shape[axis] for x in xs))
    before = (slice(None),) * axis
    parts = zip(wanted, [0, *ends], ends, strict=False)
    return [g[(*before, slice(start, end))] if want else None for want, start, end in parts]


_concatenate: Op = Op(
    name="concatenate",
    doc="Arrays joined along an axis that they have.",
    kernel=lambda *xs, out=None, axis: np.concatenate(xs, axis, out=out),
    vjps=EachInput(_concatenate_rules),
    domains=(ANY,),
    signature="(...)->(...)",
    shapes=(((2, 3), (2, 3), (2, 3)), ((1,), (1,)), ((0, 2), (0, 2)), ((2,),)),
    params=lambda *shapes: [{"axis": i} for i in range(len(shapes[0]))],
    reference=lambda *xs, axis: functools.reduce(lambda a, b: np.append(a, b, axis), xs),
    formula="np.concatenate(arrays, axis)",
)

_stack = Op(
    name="stack",
    doc="Arrays of one shape joined along a new axis.",
    kernel=lambda *xs, out=None, axis: np.stack(xs, axis, out=out),
    vjps=EachInput(
        lambda wanted, g, y, *xs, axis: [
            g[(slice(None),) * axis + (i,)] if wanted[i] else None for i in range(len(xs))
        ]
    ),
    domains=(ANY,),
    signature="(...)->(...)",
    shapes=(((2, 3), (2, 3), (2, 3)), ((), ()), ((0,), (0,))),
    params=lambda *shapes: [{"axis": i} for i in range(len(shapes[0]) + 1)],
    reference=lambda *xs, axis: np.moveaxis(np.array(xs), 0, axis),
    formula="np.stack(arrays, axis)",
)


def _pad_rule(g: Any, y: Any, x: Any, pad_width: Any, constant_values: float) -> Any:
    inner = (
        slice(before, before + size) for (before, _), size in zip(pad_width, x.shape, strict=True)
    )
    return g[tuple(inner)]


_pad = Op(
    name="pad",
    doc="A frame of constant values around the array.",
    kernel=lambda x, out=None, *, pad_width, constant_values: into(
        out, np.pad(x, pad_width, constant_values=constant_values) if pad_width else np.array(x)
    ),
    vjps=(_pad_rule,),
    domains=(ANY,),
    signature="(...)->(...)",
    params=lambda shape: [
        {"pad_width": tuple((i % 2, 2) for i in range(len(shape))), "constant_values": 0.5},
        {"pad_width": ((0, 0),) * len(shape), "constant_values": 0},
    ],
    reference=lambda x, pad_width, constant_values: _pad_by_elements(x, pad_width, constant_values),
    formula="np.pad(x, pad_width)",
)


def _pad_by_elements(x: Array, pad_width: Any, constant_values: float) -> Array:
    shape = [n + sum(width) for n, width in zip(x.shape, pad_width, strict=True)]
    y = np.full(shape, constant_values, x.dtype)
    for place in np.ndindex(x.shape):
        y[tuple(i + before for i, (before, _) in zip(place, pad_width, strict=True))] = x[place]
    return y


def concatenate(tensors: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """Return Tensors or arrays joined along an axis that they have.

    Args:
        tensors: any[..., n, ...] each, at least one, alike in all other axes.
        axis: along which; None flattens first, as in NumPy.

    Raises:
        ShapeError: the shapes do not fit, or nothing was given.
        numpy.exceptions.AxisError: the axis is out of bounds.

    >>> from microgrid import concatenate
    >>> concatenate([[1, 2], [3]])
    array([1, 2, 3])
    """
    parts = [as_operand("concatenate", x) for x in tensors]
    if not parts:
        raise ShapeError("concatenate: no array was given; it needs at least one.")
    if axis is None:
        parts, axis = [reshape(x, (x.size,)) for x in parts], 0
    return _concatenate(*parts, axis=one_axis("concatenate", axis, parts[0]))


def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Return Tensors or arrays of one shape joined along a new axis.

    Args:
        tensors: any[...] each, at least one, of one shape.
        axis: the place of the new axis in the result.

    Raises:
        ShapeError: the shapes differ, or nothing was given.
        numpy.exceptions.AxisError: the axis is out of bounds.

    >>> from microgrid import stack
    >>> stack([[1, 2], [3, 4]], axis=1)
    array([[1, 3],
           [2, 4]])
    """
    parts = [as_operand("stack", x) for x in tensors]
    if not parts:
        raise ShapeError("stack: no array was given; it needs at least one.")
    ndim = parts[0].ndim + 1
    return _stack(*parts, axis=one_axis("stack", axis, np.empty((0,) * ndim)))


def split(x: Operand, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Return x cut along an axis, as `numpy.split` cuts. Composed of slices.

    Args:
        x: any[...].
        indices_or_sections: a number of equal parts, or the places to cut at.
        axis: along which.

    Raises:
        ShapeError: the axis does not divide into that many parts.

    >>> from microgrid import split
    >>> split([1, 2, 3, 4], [1, 3])
    [array([1]), array([2, 3]), array([4])]
    """
    t = as_operand("split", x)
    place = one_axis("split", axis, t)
    size = t.shape[place]
    if np.ndim(indices_or_sections) == 0:
        sections = index(indices_or_sections)  # type: ignore[arg-type]
        if sections < 1 or size % sections:
            raise ShapeError(
                f"split: axis {axis} of shape {t.shape} has {size} elements, which do not make "
                f"{sections} equal parts. Give the places to cut at instead."
            )
        cuts = [size // sections * i for i in range(1, sections)]
    else:
        cuts = list(indices_or_sections)  # type: ignore[arg-type]
    ends = zip([0, *cuts], [*cuts, size], strict=True)
    return [t[(slice(None),) * place + (slice(a, b),)] for a, b in ends]


def pad(x: Operand, pad_width: Any, constant_values: float = 0.0) -> Tensor:
    """Return x in a frame of constant values.

    Args:
        x: any[...].
        pad_width: as in `numpy.pad`: a number, (before, after), or one such pair per axis.
        constant_values: the number to fill the frame with.

    Raises:
        ShapeError: the pairs do not fit the axes, or a width is negative.
        TypeError: `constant_values` is no number.

    >>> from microgrid import pad
    >>> pad([1.0, 2.0], (1, 2))
    array([0., 1., 2., 0., 0.])
    """
    t = as_operand("pad", x)
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (t.ndim, 2))
    except ValueError:
        widths = np.array([[-1, -1]])
    if widths.dtype.kind not in "iu" or (widths < 0).any():
        raise ShapeError(
            f"pad: pad_width={pad_width} was given for shape {t.shape}; it needs an integer, a "
            "pair or a pair per axis, none negative."
        )
    check_numbers("pad", constant_values=constant_values)
    pairs = tuple((int(before), int(after)) for before, after in widths)
    return _pad(t, pad_width=pairs, constant_values=constant_values)
