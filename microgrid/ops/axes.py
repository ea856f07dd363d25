"""The axes of a reduction: reading them, and putting them back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Number
from operator import index
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

Axis: TypeAlias = "int | Sequence[int] | None"
Axes: TypeAlias = tuple[int, ...]


def normalise(who: str, axis: Axis, x: Any) -> tuple[int, ...]:
    """Return the axes as a tuple of numbers from 0, all of them for None.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds (a ValueError and an IndexError).
        ValueError: an axis is named twice.
        TypeError: an axis is not an integer.
    """
    ndim = np.ndim(x) if not hasattr(x, "ndim") else x.ndim
    if axis is None:
        return tuple(range(ndim))
    try:
        found = normalize_axis_tuple(axis, ndim, argname=who, allow_duplicate=True)
    except TypeError:
        raise TypeError(
            f"{who}: axis={axis!r} was given; it needs an integer, a tuple of them, or None."
        ) from None
    if len({*found}) < len(found):
        raise ValueError(f"{who}: axis={axis!r} names an axis twice; name each once.")
    return found


def one_axis(who: str, axis: int, x: Any) -> int:
    """Return the axis as a number from 0.

    Raises:
        numpy.exceptions.AxisError: it is out of bounds.
        TypeError: it is not one integer.
    """
    try:
        return normalise(who, index(axis), x)[0]
    except TypeError:
        raise TypeError(f"{who}: axis={axis!r} was given; it needs one integer.") from None


def sizes(who: str, shape: Any) -> tuple[int, ...]:
    """Return a shape, given as a number or a sequence of them, as a tuple of Python's integers.

    Raises:
        TypeError: a size is not an integer.
    """
    given = shape if np.ndim(shape) else (shape,)
    try:
        return tuple(map(index, given))
    except TypeError:
        raise TypeError(f"{who}: shape {shape!r} was given; it needs integers.") from None


def count(shape: tuple[int, ...], axis: tuple[int, ...]) -> int:
    """Return how many elements are reduced to one."""
    return math.prod(shape[i] for i in axis)


def check_numbers(who: str, **given: Any) -> None:
    """Raise a TypeError if an option is no number; of a Tensor the op itself says more."""
    for name, value in given.items():
        if not isinstance(value, Number) and not hasattr(value, "dtype"):
            raise TypeError(f"{who}: {name}={value!r} was given; it needs a number.")


def ratio(a: float, b: float) -> float:
    """Return a / b as IEEE arithmetic has it, without an exception."""
    with np.errstate(all="ignore"):
        return float(np.divide(a, b))


def kept_shape(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape after a reduction that keeps its axes, with size 1."""
    return tuple(1 if i in axis else size for i, size in enumerate(shape))


def keep_dims(reduced: Any, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """Return the result of a reduction of `shape`, or its gradient, with its axes put back."""
    wanted = kept_shape(shape, axis)
    return reduced if reduced.shape == wanted else reduced.reshape(wanted)


def reduction_params(shape: tuple[int, ...], empty: bool = True) -> list[dict[str, Any]]:
    """Return the legal axes and keepdims for a shape; if `empty`, also where nothing is reduced."""
    ndim = len(shape)
    axes: list[tuple[int, ...]] = [tuple(range(ndim)), (), *((i,) for i in range(ndim))]
    axes += [(i, j) for i in range(ndim) for j in range(i)]
    if not empty:
        axes = [axis for axis in axes if count(shape, axis)]
    return [
        {"axis": axis, "keepdims": keep} for axis in dict.fromkeys(axes) for keep in (False, True)
    ]
