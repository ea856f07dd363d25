"""Making Tensors from nothing but data, a shape or a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .arrays import Array, as_array, check_can_carry_gradient, is_weak
from .core import Operand, Tensor
from .errors import DtypeError, ShapeError


def tensor(data: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a Tensor with a copy of the data, as `numpy.array` copies.

    Args:
        data: any[...]: numbers, nested lists of them, an array, a Tensor; of floats, integers,
            truth values or Fractions.
        dtype: of the result; that of the data if None.
        requires_grad: whether `backward` shall give it a gradient.

    Returns:
        any[...], of the shape of the data.

    Raises:
        DtypeError: the data is not numeric, or of a dtype that carries no gradient although one is
            required.
        ShapeError: lists of unequal lengths are in it.
        TypeError: NumPy knows no such dtype.

    >>> import microgrid as mg
    >>> mg.tensor([1.0, 2.0], requires_grad=True)
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

    Args:
        shape: its size along each axis, an integer or several; () for a single number.
        fill_value: a number; or any[...], which is broadcast to the shape.
        dtype: of the result; that of the value if None.
        requires_grad: whether `backward` shall give it a gradient.

    Returns:
        any[*shape].

    Raises:
        DtypeError: the value or the dtype is not numeric, or carries no gradient although one is
            required.
        ShapeError: a size is negative or too large, or the value does not broadcast to the shape.
        TypeError: the shape is made of something else than integers.

    >>> import microgrid as mg
    >>> mg.full((2,), 7.0)
    tensor([7., 7.])
    """
    value = as_array("full", fill_value)
    array = _made("full", np.empty, shape, value.dtype if dtype is None else dtype, requires_grad)
    try:
        # As NumPy does it: a Python number that the dtype cannot hold is refused, an array wraps.
        np.copyto(array, fill_value if is_weak(fill_value) else value, casting="unsafe")
    except ValueError:
        raise ShapeError(
            f"full: a fill_value of shape {value.shape} was given for shape {array.shape}; it must "
            "broadcast to it. Pass one number, or give the shape of the value."
        ) from None
    return Tensor(array, requires_grad=requires_grad)


def zeros(
    shape: int | Sequence[int], dtype: DTypeLike = np.float64, requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of zeros.

    Args:
        shape: its size along each axis, an integer or several; () for a single number.
        dtype: of the result.
        requires_grad: whether `backward` shall give it a gradient.

    Returns:
        any[*shape].

    Raises:
        DtypeError: the dtype is not numeric, or carries no gradient although one is required.
        ShapeError: a size is negative or too large.
        TypeError: the shape is made of something else than integers.

    >>> import microgrid as mg
    >>> mg.zeros((2,))
    tensor([0., 0.])
    """
    array = _made("zeros", np.zeros, shape, dtype, requires_grad)
    return Tensor(array, requires_grad=requires_grad)


def ones(
    shape: int | Sequence[int], dtype: DTypeLike = np.float64, requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of ones.

    Args:
        shape: its size along each axis, an integer or several; () for a single number.
        dtype: of the result.
        requires_grad: whether `backward` shall give it a gradient.

    Returns:
        any[*shape].

    Raises:
        DtypeError: the dtype is not numeric, or carries no gradient although one is required.
        ShapeError: a size is negative or too large.
        TypeError: the shape is made of something else than integers.

    >>> import microgrid as mg
    >>> mg.ones((2,))
    tensor([1., 1.])
    """
    array = _made("ones", np.ones, shape, dtype, requires_grad)
    return Tensor(array, requires_grad=requires_grad)


def zeros_like(x: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return zeros of the shape and dtype of x.

    Args:
        x: any[...], a Tensor, an array, a list or a number.
        dtype: of the result; that of x if None.
        requires_grad: whether `backward` shall give it a gradient.

    Returns:
        any[...], of the shape of x.

    Raises:
        DtypeError: x or the dtype is not numeric, or carries no gradient although one is required.

    >>> import microgrid as mg
    >>> mg.zeros_like([1.0, 2.0])
    tensor([0., 0.])
    """
    return _like("zeros_like", np.zeros_like, x, dtype, requires_grad)


def ones_like(x: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return ones of the shape and dtype of x.

    Args:
        x: any[...], a Tensor, an array, a list or a number.
        dtype: of the result; that of x if None.
        requires_grad: whether `backward` shall give it a gradient.

    Returns:
        any[...], of the shape of x.

    Raises:
        DtypeError: x or the dtype is not numeric, or carries no gradient although one is required.

    >>> import microgrid as mg
    >>> mg.ones_like([1.0, 2.0])
    tensor([1., 1.])
    """
    return _like("ones_like", np.ones_like, x, dtype, requires_grad)


def _like(
    who: str, make: Callable[..., Array], x: Operand, dtype: DTypeLike | None, requires_grad: bool
) -> Tensor:
    values = x._data if isinstance(x, Tensor) else as_array(who, x)
    kind = _kind(who, values.dtype if dtype is None else dtype, requires_grad)
    return Tensor(make(values, kind), requires_grad=requires_grad)


def _made(
    who: str, make: Callable[..., Array], shape: Any, dtype: DTypeLike, requires_grad: bool
) -> Array:
    """Return what `make` makes of a shape and a dtype.

    Raises:
        DtypeError: the dtype is not numeric, or carries no gradient although one is required.
        ShapeError: a size is negative or too large.
        TypeError: the shape is made of something else than integers.
    """
    kind = _kind(who, dtype, requires_grad)
    try:
        if shape is None:  # NumPy before 2.4 takes it for ()
            raise TypeError
        return make(shape, kind)
    except ValueError:
        raise ShapeError(
            f"{who}: shape {shape!r} was given; each size must be 0 or more, and the whole what "
            "NumPy can hold. Give the sizes themselves: -1 for what is left is for reshape()."
        ) from None
    except TypeError:
        raise TypeError(
            f"{who}: shape {shape!r} was given; it needs an integer, or several in a tuple. Pass "
            "() for a single number."
        ) from None


def _kind(who: str, dtype: DTypeLike, requires_grad: bool) -> np.dtype[Any]:
    """Return a dtype as NumPy has it.

    Raises:
        DtypeError: it is not numeric, or carries no gradient although one is required.
    """
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise DtypeError(
            f"{who}: dtype={dtype!r} was given; NumPy knows no such dtype. Pass float, int or "
            "bool, or one of NumPy's."
        ) from None
    as_array(who, np.empty(0, kind))
    if requires_grad:
        check_can_carry_gradient(who, kind)
    return kind
