"""NumPy's own inner loops, by their addresses: what a ufunc runs after looking at its operands.

A call of a ufunc on small arrays takes half a microsecond, of which its loop takes a tenth. Where
the loops lie a ufunc keeps in a table, which NumPy's C API declares (PyUFuncObject, ufuncobject.h).
They are called with the addresses of the operands, the counts, and the bytes between elements.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import Array

HEADER = object.__basicsize__
"""The bytes that each Python object begins with; in an array, the address of its data follows."""


@dataclass(frozen=True)
class Loop:
    """One call of an inner loop, or several side by side.

    Attributes:
        function, data: what NumPy calls, and what it is given last.
        addresses: of the first element of each operand.
        counts: how many elements, and for a matrix product the sizes of the axes.
        strides: the bytes from an element to the next, of each operand.
        times: how often it is called.
        jumps: the bytes that the operands are moved by between two calls.
    """

    function: int
    data: int
    addresses: tuple[int, ...]
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    times: int = 1
    jumps: tuple[int, ...] = ()


def address(array: Array) -> int:
    """Return where the first element lies."""
    return int(array.__array_interface__["data"][0])


@functools.cache
def lies_where_expected() -> bool:
    """Return whether an array keeps the address of its data where it is looked for."""
    probe = np.zeros(1)
    found = ctypes.c_void_p.from_address(id(probe) + HEADER).value
    return found == address(probe) and np.dtype(np.intp).itemsize == 8


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

    def read(kind: Any, offset: int) -> int:
        return int(kind.from_address(id(ufunc) + HEADER + offset).value)

    if not lies_where_expected() or any(dtype.hasobject for dtype in dtypes):
        return None
    whole, pointer = ctypes.c_int, ctypes.c_void_p
    counted = tuple(read(whole, offset) for offset in (0, 4, 8, 32))
    if counted != (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes):
        return None  # another NumPy keeps its table in another way
    for i, signature in enumerate(ufunc.types):
        if tuple(map(np.dtype, signature.replace("->", ""))) == dtypes:
            functions, data = (read(pointer, offset) + i * 8 for offset in (16, 24))
            return _pointer(functions), _pointer(data)
    return None


def _pointer(where: int) -> int:
    return ctypes.c_void_p.from_address(where).value or 0


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


def products(a: Array, b: Array, out: Array) -> list[list[Loop]]:
    """Return calls that may be those for a.dot(b, out), of vectors and matrices, the fastest first.

    NumPy hands matrices on in several ways, by their shapes, which differ in what 0 * -1 is.
    """
    a, out = (a, out) if a.ndim == 2 else (a.reshape(1, -1), out.reshape(1, -1))
    b, out = (b, out) if b.ndim == 2 else (b.reshape(-1, 1), out.reshape(-1, 1))
    found = find(np.matmul, (a.dtype, b.dtype, out.dtype))
    if found is None:
        return []
    counts = (1, *a.shape, b.shape[1])
    strides = (0, 0, 0, *a.strides, *b.strides, *out.strides)
    whole = Loop(*found, tuple(map(address, (a, b, out))), counts, strides)
    if a.shape[1] != 1:
        return [[whole]]
    times = elementwise(np.multiply, (a, b, out), True)
    plus = elementwise(np.add, (out, zero(out.dtype), out), True)  # a sum is never -0
    if times is None or plus is None:
        return [[whole]]
    return [[times], [times, plus], [whole]]


@functools.cache
def zero(dtype: Any) -> Array:
    """Return 0 as an array of no dimensions, always the same."""
    return np.zeros((), dtype)
