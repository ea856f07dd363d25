"""NumPy's own inner loops, by their addresses: what a ufunc runs after looking at its operands.

A call of a ufunc on small arrays takes half a microsecond, of which its loop takes a tenth. Where
the loops lie a ufunc keeps in a table, which NumPy's C API declares (PyUFuncObject, ufuncobject.h).
They are called with the addresses of the operands, the counts, and the bytes between elements.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Array
from .arena import address
from .table import OUTER, Loop, Other

FLOATS = np.float32, np.float64

HEADER = object.__basicsize__
"""The bytes that each Python object begins with; in an array, the address of its data follows."""

WRITEABLE = 0x400  # among the flags, by ndarraytypes.h


def header_of(array: Array) -> list[tuple[int, int]]:
    """Return where an array keeps its data, shape, strides, dtype and flags, and what stands there.

    The addresses come before what lies at them.
    """
    start = id(array) + HEADER
    fields = [start + offset for offset in (0, 16, 24, 40, 48)]
    _, shape, strides, _, _ = map(_word, fields)
    fields += [first + 8 * i for first in (shape, strides) for i in range(array.ndim)]
    return [(where, _word(where)) for where in fields]


@functools.cache
def lies_where_expected() -> bool:
    """Return whether an array keeps what `header_of` tells, where it is looked for."""
    if np.dtype(np.intp).itemsize != 8:
        return False
    probe = np.zeros((2, 3))
    start, shape, strides = id(probe) + HEADER, probe.shape, probe.strides
    if (_word(start), _word(start + 40)) != (address(probe), id(probe.dtype)):
        return False
    flags = _word(start + 48)
    probe.flags.writeable = False
    if flags ^ _word(start + 48) != WRITEABLE:
        return False
    return tuple(value for _, value in header_of(probe)[5:]) == shape + strides


def is_numpys(function: Any) -> bool:
    """Return whether it is a ufunc of NumPy itself that works element by element, for one result.

    Of those of others nobody knows what they rely on when they are called.
    """
    if not isinstance(function, np.ufunc) or function.signature is not None:
        return False
    ours: Any = getattr(np, function.__name__, None)
    return ours is function and function.nout == 1


@functools.cache
def find(ufunc: np.ufunc, dtypes: tuple[Any, ...]) -> tuple[int, int] | None:
    """Return the address of the loop for these dtypes and of its data, None if there is none."""
    if not lies_where_expected() or any(dtype.hasobject for dtype in dtypes):
        return None
    if ufunc is np.power and dtypes[0].kind in "iu":  # the loop may raise an error
        return None
    struct = id(ufunc) + HEADER
    counted = tuple(ctypes.c_int.from_address(struct + offset).value for offset in (0, 4, 8, 32))
    if counted != (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes):
        return None  # another NumPy keeps its table in another way
    functions, data = _word(struct + 16), _word(struct + 24)
    for i, signature in enumerate(ufunc.types):
        if tuple(map(np.dtype, signature.replace("->", ""))) == dtypes:
            return _word(functions + 8 * i), _word(data + 8 * i) if data else 0
    return None


def _word(where: int) -> int:
    return int(ctypes.c_int64.from_address(where).value)


def elementwise(ufunc: np.ufunc, operands: Sequence[Array], any_stride: bool) -> Loop | None:
    """Return the call for operands of which the last is the result; None if one is not enough.

    Args:
        any_stride: whether the ufunc gives the same bits whatever the strides, so that it may be
            called row by row. If not, the call must be the one that NumPy makes.
    """
    found = find(ufunc, tuple(x.dtype for x in operands))
    if found is None:
        return None
    sizes, strides = _merged(operands)
    if len(sizes) > (2 if any_stride else 1):
        return None
    counts, steps = sizes[-1:] or (1,), tuple(s[-1] if s else 0 for s in strides)
    if not any_stride and any(
        s not in (0, x.itemsize) for s, x in zip(steps, operands, strict=True)
    ):
        return None
    call = Loop(*found, tuple(map(address, operands)), counts, steps)
    if len(sizes) < 2:
        return call
    return replace(call, times=sizes[0], jumps=tuple(s[0] for s in strides))


def _merged(operands: Sequence[Array]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Return sizes and strides with as few axes as can be, in the order of the result's memory."""
    shape = operands[-1].shape
    strides = [np.broadcast_to(x, shape).strides for x in operands]
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    axes.sort(key=lambda axis: -abs(strides[-1][axis]))
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in operands]
    for axis in axes:
        mine = [s[axis] for s in strides]
        if sizes and all(kept[-1] == s * shape[axis] for kept, s in zip(steps, mine, strict=True)):
            sizes[-1] *= shape[axis]
            for kept, s in zip(steps, mine, strict=True):
                kept[-1] = s
        else:
            sizes.append(shape[axis])
            for kept, s in zip(steps, mine, strict=True):
                kept.append(s)
    return tuple(sizes), list(map(tuple, steps))


def products(a: Array, b: Array, out: Array) -> list[Loop | Other]:
    """Return rows that may do what a.dot(b, out) does, of vectors and matrices, the fastest first.

    NumPy hands matrices on in several ways, by their shapes, which differ in what 0 * -1 is.
    """
    a, out = (a, out) if a.ndim == 2 else (a.reshape(1, -1), out.reshape(1, -1))
    b, out = (b, out) if b.ndim == 2 else (b.reshape(-1, 1), out.reshape(-1, 1))
    found = find(np.matmul, (a.dtype, b.dtype, out.dtype))
    if found is None:
        return []
    where = tuple(map(address, (a, b, out)))
    strides = (0, 0, 0, *a.strides, *b.strides, *out.strides)
    whole = Loop(*found, where, (1, *a.shape, b.shape[1]), strides)
    if a.shape[1] != 1 or a.dtype not in FLOATS:
        return [whole]
    sizes = len(a), b.shape[1], a.itemsize
    simple = all(x.flags.c_contiguous or x.flags.f_contiguous for x in (a, b))
    outer: list[Loop | Other] = [(OUTER, where, (*sizes, fused)) for fused in (0, 1) if simple]
    times = elementwise(np.multiply, (a, b, out), True)
    return [*outer, *([times] if times else []), whole]
