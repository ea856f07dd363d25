"""Columns brought to mean 0 and standard deviation 1, as networks like them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..core import Operand
from ..errors import ShapeError
from .tables import SHOWN, as_numbers, columns_of

WHO = "Standardizer"


class Standardizer:
    """Takes the mean of the training data away and divides by its standard deviation.

    What it learned from the training data it applies to any other: data for testing must not tell
    how it is scaled. A column that is constant in training is divided by 1 and so becomes 0.

    Args:
        axis: over which axes mean and deviation are taken: 0 for a mean for each column; None for
            one of all numbers; (0, 2, 3) for one a channel of images[n, channel, row, column].

    Attributes:
        mean: float64, with length 1 along `axis`.
        std: float64, of the same shape; 0 where the training data is constant.

    >>> import microgrid as mg
    >>> x = np.array([[1.0, 10.0, 7.0], [3.0, 30.0, 7.0]])
    >>> scaler = mg.datasets.Standardizer().fit(x)
    >>> scaler.transform(x)
    array([[-1., -1.,  0.],
           [ 1.,  1.,  0.]])
    >>> scaler.transform([[2.0, 40.0, 8.0]])
    array([[0., 2., 1.]])
    >>> scaler.inverse([[0.0, 2.0, 1.0]])
    array([[ 2., 40.,  8.]])
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def __init__(self, axis: int | tuple[int, ...] | None = 0) -> None:
        self.axis = axis

    def fit(self, x: Operand) -> Standardizer:
        """Learn mean and standard deviation, and return this object.

        Args:
            x: any[n, ...], numbers that are finite.

        Raises:
            DtypeError: x is not numeric.
            ShapeError: x has no such axis.
            ValueError: there is nothing to learn from, or a number is nan or infinite.
        """
        array = _checked(f"{WHO}.fit", x)
        axes = self._axes(array.ndim)
        if not all(array.shape[axis] for axis in axes):
            raise ValueError(
                f"{WHO}.fit: shape {array.shape} was given, which has no samples; it needs one."
            )
        first = array[tuple(slice(1) if i in axes else slice(None) for i in range(array.ndim))]
        # From the first sample on: so the deviation of equal numbers is 0 and not what rounding is.
        apart = array - first
        # In units of the largest, so that squares neither overflow nor vanish.
        unit = np.abs(apart).max(axis=axes, keepdims=True, initial=0.0)
        scaled = np.divide(apart, unit, out=np.zeros_like(apart), where=unit > 0)
        self.mean = first + unit * scaled.mean(axis=axes, keepdims=True)
        self.std = unit * scaled.std(axis=axes, keepdims=True)
        return self

    def transform(self, x: Operand) -> Array:
        """Return (x - mean) / std.

        Args:
            x: any[n, ...], of the same columns as the training data.

        Returns:
            an array of the shape of x, in its dtype if that is a float, else float64.

        Raises:
            DtypeError, ShapeError: x is not numeric, or has other columns.
            ValueError: a number is nan or infinite, or `fit` was not called.
        """
        return self._applied("transform", x)

    def inverse(self, z: Operand) -> Array:
        """Return z * std + mean, the numbers whose `transform` is z.

        Errors are those of `transform`.
        """
        return self._applied("inverse", z)

    def fit_transform(self, x: Operand) -> Array:
        """Return the training data, standardised: `fit(x).transform(x)`."""
        return self.fit(x).transform(x)

    def __repr__(self) -> str:
        return f"Standardizer(axis={self.axis})"

    def _applied(self, name: str, x: Any) -> Array:
        who = f"{WHO}.{name}"
        if not hasattr(self, "mean"):
            raise ValueError(f"{who}: there is no mean yet. Call fit with the training data first.")
        given = as_numbers(who, x)
        array = _checked(who, x)
        axes = self._axes(array.ndim)
        kept = tuple(1 if i in axes else length for i, length in enumerate(array.shape))
        if kept != self.mean.shape:
            raise ShapeError(
                f"{who}: shape {array.shape} was given, and mean and std have shape "
                f"{self.mean.shape}; apart from axis {self.axis} they must be the same."
            )
        scale = np.where(self.std > 0, self.std, 1.0)
        forward = name == "transform"
        result = (array - self.mean) / scale if forward else array * scale + self.mean
        return result.astype(given.dtype if given.dtype.kind == "f" else np.float64, copy=False)

    def _axes(self, ndim: int) -> tuple[int, ...]:
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        if self.axis is None:
            return tuple(range(ndim))
        if not all(isinstance(axis, int) and -ndim <= axis < ndim for axis in axes):
            raise ShapeError(
                f"{WHO}: axis={self.axis} was given for data of {ndim} dimensions; it needs axes "
                "that there are."
            )
        return tuple(axis % ndim for axis in axes if axis is not None)


def standardise(train: Operand, *others: Operand) -> list[Array]:
    """Return arrays brought to mean 0 and standard deviation 1, by the columns of the first.

    Args:
        train: any[n, ...], from which mean and deviation are taken, over the first axis.
        others: any[..., ...], of the same columns, as data for testing.

    Returns:
        an array for each, as `Standardizer.transform` gives it.

    Raises:
        DtypeError, ShapeError, ValueError: as `Standardizer`.

    >>> import microgrid as mg
    >>> train, test = mg.datasets.standardise([[1.0], [3.0]], [[4.0]])
    >>> train.ravel(), test.ravel()
    (array([-1.,  1.]), array([2.]))
    """
    scaler = Standardizer().fit(train)
    return [scaler.transform(array) for array in (train, *others)]


def _checked(who: str, x: Any) -> NDArray[np.float64]:
    """Return x as float64, all of it finite."""
    array = as_numbers(who, x).astype(np.float64)
    if not array.ndim:
        raise ShapeError(f"{who}: a single number was given; it needs samples. Put it in a list.")
    if np.isfinite(array).all():
        return array
    raise ValueError(
        f"{who}: nan or inf was given{_where(x, array)}. Remove or replace what is missing."
    )


def _where(x: Any, array: Array) -> str:
    """Return in which columns numbers are not finite, if there are columns."""
    if array.ndim != 2:
        return ""
    names = columns_of(x) or range(array.shape[1])
    finite = zip(names, np.isfinite(array.T), strict=True)
    found = [repr(name) for name, column in finite if not column.all()]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f" in column{'s' * (len(found) > 1)} {', '.join(found[:SHOWN])}{more}"
