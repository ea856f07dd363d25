"""Making Tensors from nothing but data, a shape or a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .core import Operand, Tensor


def tensor(data: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a Tensor with a copy of the data, as `numpy.array` copies.

    Args:
        data: numbers, nested lists of them, an array, a Tensor; of floats, integers, truth values
            or Fractions.
        dtype: of the result; that of the data if None.
        requires_grad: whether `backward` shall give it a gradient.

    Raises:
        DtypeError: the data is not numeric, or of a dtype that carries no gradient although one is
            required.

    >>> tensor([1.0, 2.0], requires_grad=True)
    tensor([1., 2.], requires_grad=True)
    """
    return Tensor(data, dtype, requires_grad)


def full(
    shape: int | Sequence[int],
    fill_value: Any,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a Tensor filled with one value; the dtype follows from the value, as in NumPy.

    >>> full((2,), 7.0)
    tensor([7., 7.])
    """
    return Tensor(np.full(shape, fill_value, dtype), requires_grad=requires_grad)


def zeros(
    shape: int | Sequence[int], dtype: DTypeLike = np.float64, requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of zeros.

    >>> zeros((2,))
    tensor([0., 0.])
    """
    return Tensor(np.zeros(shape, dtype), requires_grad=requires_grad)


def ones(
    shape: int | Sequence[int], dtype: DTypeLike = np.float64, requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of ones.

    >>> ones((2,))
    tensor([1., 1.])
    """
    return Tensor(np.ones(shape, dtype), requires_grad=requires_grad)


def zeros_like(x: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return zeros of the shape and dtype of x.

    >>> zeros_like([1.0, 2.0])
    tensor([0., 0.])
    """
    return Tensor(np.zeros_like(_values(x), dtype), requires_grad=requires_grad)


def ones_like(x: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return ones of the shape and dtype of x.

    >>> ones_like([1.0, 2.0])
    tensor([1., 1.])
    """
    return Tensor(np.ones_like(_values(x), dtype), requires_grad=requires_grad)


def _values(x: Operand) -> Any:
    return x._data if isinstance(x, Tensor) else x
