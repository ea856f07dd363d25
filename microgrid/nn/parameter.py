"""Tensors that a layer keeps: what is learned, what is not, and inputs in their dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import as_array
from ..core import ArrayInTrace, Operand, Tensor, as_operand, wrap
from ..recording import sees_arrays, watchers


class Parameter(Tensor):
    """A Tensor that training changes: a leaf that requires a gradient.

    An array or Tensor is copied in its dtype; plain numbers and lists become float32, the dtype of
    layers, since one float64 number would turn a whole float32 net to float64.

    Raises:
        DtypeError: the dtype cannot carry a gradient.

    >>> Parameter([1, 2]).dtype
    dtype('float32')
    """

    __slots__ = ()

    def __init__(
        self, data: Operand, dtype: DTypeLike | None = None, requires_grad: bool = True
    ) -> None:
        super().__init__(_with_float32_numbers("Parameter", data, dtype), dtype, requires_grad)


class Buffer(Tensor):
    """A Tensor that a layer keeps and training does not learn: `state_dict` saves it too.

    A leaf without a gradient, as a running mean. Layers write to it with `mg.assign`, which a
    compiled step sees. Like a Parameter it copies its data; numbers and lists become float32.

    >>> Buffer([1, 2])
    tensor([1., 2.], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, data: Operand, dtype: DTypeLike | None = None) -> None:
        super().__init__(_with_float32_numbers("Buffer", data, dtype), dtype)


def _with_float32_numbers(who: str, data: Operand, dtype: DTypeLike | None) -> Operand:
    """Return the data, numbers and lists of them as float32 if no dtype is given."""
    if dtype is not None or isinstance(data, (np.ndarray, np.generic, Tensor)):
        return data
    array = as_array(who, data)
    return array if array.dtype.kind == "O" else array.astype(np.float32)


def in_dtype_of(who: str, parameter: Tensor, x: Operand) -> Tensor:
    """Return x as a Tensor: arrays, and integers, are cast to the dtype of the parameter.

    A Tensor of floats stays as it is, whatever their precision, as in any op.
    """
    return in_dtype(who, parameter.dtype, x)


def in_dtype(who: str, dtype: np.dtype[Any], x: Operand) -> Tensor:
    """Return x as `in_dtype_of` does, for a layer of this dtype."""
    if isinstance(x, ArrayInTrace):
        return x if x.dtype == dtype else x.astype(dtype)
    if isinstance(x, Tensor):
        return x if x.dtype.kind in "fO" else x.astype(dtype)
    if watchers and sees_arrays():
        return in_dtype(who, dtype, as_operand(who, x))
    # A copy, since the graph must not see later changes of the array.
    return wrap(np.array(as_array(who, x), dtype))
