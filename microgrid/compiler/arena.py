"""Memory for a program: aligned, used again when it is free, and one piece for many parameters."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Tensor, wrap

ALIGNMENT = 64  # bytes: a line of the cache, and the widest vector register


def aligned(nbytes: int) -> Array:
    """Return uint8[nbytes] of zeros that starts at a line of the cache."""
    raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -address(raw) % ALIGNMENT
    return raw[start : start + nbytes]


def shaped(memory: Array, shape: tuple[int, ...], dtype: Any, strides: Sequence[int]) -> Array:
    """Return the start of the memory as an array of this shape whose axes lie as `strides` do."""
    # An axis of size 1 may have any stride; the order of the others tells how the array lies.
    order = sorted(range(len(shape)), key=lambda i: -abs(strides[i]) if shape[i] > 1 else 0)
    if _is_row_major(shape, strides, dtype.itemsize):
        order = list(range(len(shape)))
    sizes = [shape[i] for i in order]
    count = math.prod(sizes)
    array: Array = memory[: count * dtype.itemsize].view(dtype).reshape(sizes)
    return array.transpose(np.argsort(order)) if order else array


class Pool:
    """Pieces of memory that are taken and given back while a program is planned."""

    def __init__(self) -> None:
        self._shaped: dict[Any, Array] = {}
        self.pieces: list[Array] = []
        self._free: list[Array] = []
        self.reused = 0

    def take(self, nbytes: int) -> Array:
        """Return the smallest free piece that is large enough, or a new one."""
        fitting = [piece for piece in self._free if len(piece) >= nbytes]
        if fitting:
            best = min(fitting, key=len)
            self._free = [piece for piece in self._free if piece is not best]
            self.reused += 1
            return best
        piece = aligned(max(nbytes, 1))
        self.pieces.append(piece)
        return piece

    def array(
        self, piece: Array, shape: tuple[int, ...], dtype: Any, strides: Sequence[int]
    ) -> Array:
        """Return the piece as an array, the same one if it was such an array before."""
        key = id(piece), shape, dtype, tuple(strides)
        if key not in self._shaped:
            self._shaped[key] = shaped(piece, shape, dtype, strides)
        return self._shaped[key]

    def give_back(self, piece: Array) -> None:
        """Let the piece be taken again."""
        self._free.append(piece)

    @property
    def nbytes(self) -> int:
        """How much memory there is in all."""
        return sum(map(len, self.pieces))


def side_by_side(shapes: Sequence[tuple[int, ...]], dtype: Any) -> tuple[Array, list[Array]]:
    """Return a vector of zeros, and a part of it for each shape, each at a line of the cache."""
    starts = _starts(shapes, dtype)
    flat = aligned(starts[-1]).view(dtype)
    size = dtype.itemsize
    return flat, [
        flat[start // size : start // size + math.prod(shape)].reshape(shape)
        for start, shape in zip(starts, shapes, strict=False)
    ]


def already_side_by_side(arrays: Sequence[Array]) -> Array | None:
    """Return the vector whose parts the arrays are, if they lie as `side_by_side` lays them."""
    owner: Any = arrays[0].base
    dtype = arrays[0].dtype
    if not isinstance(owner, np.ndarray) or owner.dtype != np.uint8:
        return None
    starts = _starts([a.shape for a in arrays], dtype)
    first = address(arrays[0])
    for array, start in zip(arrays, starts, strict=False):
        same = array.base is owner and array.dtype == dtype and array.flags.c_contiguous
        if not same or (array.size and address(array) != first + start):
            return None
    begin = first - address(owner)
    return owner[begin : begin + starts[-1]].view(dtype) if begin >= 0 else None


def is_held_once(leaf: Tensor) -> bool:
    """Return whether nobody but the Tensor itself can see in which memory its values lie."""
    alone = sys.getrefcount(leaf._data) <= _ALONE  # and views of it, which hold it, there are none
    return alone and leaf._data.base is None and leaf._data.flags.c_contiguous


def is_kept_once(arrays: dict[str, Array]) -> bool:
    """Return whether nobody but this dict can see in which memory the arrays lie."""
    return all(
        sys.getrefcount(arrays[name]) <= _ALONE and arrays[name].base is None for name in arrays
    )


def _starts(shapes: Sequence[tuple[int, ...]], dtype: Any) -> list[int]:
    """Return where each part starts, in bytes, and where the last one ends."""
    starts = [0]
    for shape in shapes:
        nbytes = math.prod(shape) * dtype.itemsize
        starts.append(starts[-1] + nbytes + -nbytes % ALIGNMENT)
    return starts


def _is_row_major(shape: tuple[int, ...], strides: Sequence[int], itemsize: int) -> bool:
    expected = itemsize
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def address(array: Array) -> int:
    """Return where the first element lies."""
    return int(array.__array_interface__["data"][0])


_probe = wrap(np.zeros(1))
_ALONE = sys.getrefcount(_probe._data)
