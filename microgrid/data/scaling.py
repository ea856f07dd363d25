"""Columns brought to mean 0 and standard deviation 1, as networks like them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..core import Operand
from ..errors import ShapeError
from ..finite import is_finite
from .tables import SHOWN, as_numbers, columns_of

WHO = "Standardizer"
HUGE = 2.0**1000
"""Numbers beyond it are computed with by the quarter, so that no difference of two overflows."""


class Standardizer:
    """Takes the mean of the training data away and divides by its standard deviation.

    What it learned from the training data it applies to any other: data for testing must not tell
    how it is scaled. A column that is constant in training is divided by 1 and so becomes 0.

    Args:
        axis: over which axes mean and deviation are taken: 0 for a mean for each column of
            any[n, columns]; None for one of all numbers; (0, 2, 3) for one a channel of
            any[n, channel, row, column], images.

    Attributes:
        mean: float64, with length 1 along `axis`.
        std: float64, of the same shape; 0 where the training data is constant.

    Raises:
        DtypeError, ShapeError, ValueError: from `fit`, `transform` and `inverse`: data is not
            numeric, has not the axes or columns, or is not finite; or `fit` was not called.

    >>> import numpy as np
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
            ValueError: there is nothing to learn from, or a number is nan, infinite or beyond
                float64.
        """
        array = _checked(f"{WHO}.fit", x)
        axes = self._axes(array.ndim)
        if not all(array.shape[axis] for axis in axes):
            raise ValueError(
                f"{WHO}.fit: shape {array.shape} was given, which has no samples; it needs one."
            )
        largest = np.abs(array).max(axis=axes, keepdims=True)
        # A power of two, which rounds nothing.
        scale = np.where(largest > HUGE, 0.25, 1.0)
        array *= scale
        first = array[tuple(slice(1) if i in axes else slice(None) for i in range(array.ndim))]
        # From the first sample on: so the deviation of equal numbers is 0 and not what rounding is.
        apart = array - first
        # In units of the largest, so that squares neither overflow nor vanish.
        unit = np.abs(apart).max(axis=axes, keepdims=True, initial=0.0)
        scaled = np.divide(apart, unit, out=np.zeros_like(apart), where=unit > 0)
        self.mean = (first + unit * scaled.mean(axis=axes, keepdims=True)) / scale
        self.std = unit * scaled.std(axis=axes, keepdims=True) / scale
        return self

    def transform(self, x: Operand) -> Array:
        """Return (x - mean) / std.

        Args:
            x: any[n, ...], of the same columns as the training data.

        Returns:
            an array of the shape of x, in its dtype if that is a float, else float64.

        Raises:
            DtypeError, ShapeError: x is not numeric, or has other columns.
            ValueError: a number is nan or infinite, a result is beyond the dtype, or `fit` was not
                called.
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
        apply = _forward if name == "transform" else _back
        scale = np.where(self.std > 0, self.std, 1.0)
        dtype = given.dtype if given.dtype.kind == "f" else np.dtype(np.float64)
        with np.errstate(all="ignore"):
            result = apply(array, self.mean, scale)
            lost = ~np.isfinite(result)
            if lost.any():  # perhaps on the way only: once more by the quarter
                result = np.where(lost, apply(array, self.mean, scale, 0.25), result)
            result = result.astype(dtype, copy=False)
        _check_fits(who, result)
        return result

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


def _forward(x: Array, mean: Array, std: Array, unit: float = 1.0) -> Array:
    result: Array = (x * unit - mean * unit) / std / unit
    return result


def _back(z: Array, mean: Array, std: Array, unit: float = 1.0) -> Array:
    result: Array = (z * (std * unit) + mean * unit) / unit
    return result


def _check_fits(who: str, result: Array) -> None:
    """Raise unless all results are finite.

    Raises:
        ValueError: some are beyond their dtype.
    """
    if is_finite(result):
        return
    fix = "Give what lies nearer to the training data."
    if result.dtype != np.float64:
        fix = "Give float64."
    beyond = int(np.count_nonzero(~np.isfinite(result)))
    raise ValueError(
        f"{who}: {beyond} of {result.size} results are beyond {result.dtype}, whose largest number "
        f"is {float(np.finfo(result.dtype).max):.3g}. {fix}"
    )


def _checked(who: str, x: Any) -> NDArray[np.float64]:
    """Return x as float64, a copy, all of it finite."""
    array = _as_float64(who, as_numbers(who, x))
    if not array.ndim:
        raise ShapeError(f"{who}: a single number was given; it needs samples. Put it in a list.")
    if np.isfinite(array).all():
        return array
    raise ValueError(
        f"{who}: nan or inf was given{_where(x, array)}. Remove or replace what is missing."
    )


def _as_float64(who: str, given: Array) -> NDArray[np.float64]:
    """Return a copy as float64.

    Raises:
        ValueError: a finite number is too large for it.
    """
    try:
        with np.errstate(over="raise"):
            return given.astype(np.float64)
    except (OverflowError, FloatingPointError):  # the first of exact numbers
        raise ValueError(
            f"{who}: numbers beyond float64 were given; it needs some up to 1.8e308. Scale them "
            "down first."
        ) from None


def _where(x: Any, array: Array) -> str:
    """Return in which columns numbers are not finite, if there are columns."""
    if array.ndim != 2:
        return ""
    names = columns_of(x) or range(array.shape[1])
    finite = zip(names, np.isfinite(array.T), strict=True)
    found = [repr(name) for name, column in finite if not column.all()]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f" in column{'s' * (len(found) > 1)} {', '.join(found[:SHOWN])}{more}"
