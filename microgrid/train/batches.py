"""Samples, checked before training starts, and cut into batches."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array, as_array
from ..data.split import rows_in
from ..errors import ShapeError

GATHERED = 1 << 18  # bytes


@dataclass(frozen=True)
class Samples:
    """Inputs and targets of as many samples: any[n, ...] each."""

    x: Array
    y: Array

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.x)

    def split(self, first: int) -> tuple[Samples, Samples]:
        """Return the first samples and the others."""
        return Samples(self.x[:first], self.y[:first]), Samples(self.x[first:], self.y[first:])

    def batches(self, size: int, order: Array | None = None) -> Iterator[tuple[Array, Array]]:
        """Yield batches of x and y, in the given order of samples or as they come."""
        x, y = self.x, self.y
        if order is None:
            for start in range(0, self.count, size):
                yield x[start : start + size], y[start : start + size]
            return
        # Several batches are gathered at once, as many as stay in the cache.
        sample = max(x[:1].nbytes, 1)
        many = size * max(GATHERED // (sample * size), 1)
        for first in range(0, self.count, many):
            chosen = order[first : first + many]
            xs, ys = x.take(chosen, axis=0), y.take(chosen, axis=0)
            for start in range(0, len(chosen), size):
                yield xs[start : start + size], ys[start : start + size]


def as_samples(who: str, x: Any, y: Any, dtype: np.dtype[Any], names: str = "x and y") -> Samples:
    """Return x and y, checked: floats and all of x in `dtype`, integers of y as they are.

    Raises:
        DtypeError: one is not numeric.
        ShapeError: their lengths differ, or one is a single number.
        ValueError: there are no samples, or one is nan or infinite.
    """
    x_name, y_name = names.split(" and ")
    inputs = as_inputs(who, x, dtype, x_name)
    targets = as_array(who, y)
    if targets.dtype.kind in "fO":
        targets = _cast(targets, dtype)
    if not targets.ndim or len(inputs) != len(targets):
        raise ShapeError(
            f"{who}: {x_name} has shape {inputs.shape} and {y_name} {targets.shape}; "
            "the first dimension counts the samples and must be the same."
        )
    if not len(inputs):
        raise ValueError(f"{who}: {x_name} has shape {inputs.shape}: there are no samples.")
    for name, array in ((x_name, inputs), (y_name, targets)):
        _check_finite(who, name, array)
    return Samples(inputs, targets)


def as_inputs(who: str, x: Any, dtype: np.dtype[Any], name: str = "x") -> Array:
    """Return x as an array of samples in `dtype`.

    Raises:
        DtypeError: x is not numeric.
        ShapeError: x is a single number.
    """
    inputs = _cast(as_array(who, x), dtype)
    if not inputs.ndim:
        raise ShapeError(
            f"{who}: {name} is a single number; its first dimension must count the samples. "
            "Put it in a list."
        )
    return inputs


def held_out(who: str, samples: Samples, fraction: float) -> tuple[Samples, Samples]:
    """Return all but the last `fraction` of the samples, and those.

    Raises:
        ValueError: the fraction is not between 0 and 1, or leaves one side empty.
        TypeError: it is not a number.
    """
    if not isinstance(fraction, Real):
        raise TypeError(
            f"{who}: validation_split={fraction!r} was given; it must be a number, at least 0 and "
            "below 1."
        )
    if not 0 < fraction < 1:
        raise ValueError(
            f"{who}: validation_split={fraction!r} was given; it must be at least 0 and below 1."
        )
    first = samples.count - rows_in(float(fraction), samples.count)
    if not 0 < first < samples.count:
        raise ValueError(
            f"{who}: validation_split={fraction!r} of {samples.count} samples leaves {first} to "
            f"train on and {samples.count - first} to validate; both need at least one."
        )
    return samples.split(first)


def as_count(who: str, name: str, value: Any, least: int) -> int:
    """Return value as an int.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is below `least`.
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{who}: {name}={value!r} was given; it must be an integer.") from None
    if count < least:
        raise ValueError(f"{who}: {name}={count} was given; it must be at least {least}.")
    return count


def is_finite(array: Array) -> bool:
    """Return whether all numbers are finite."""
    if array.dtype.kind not in "f":
        return True
    with np.errstate(all="ignore"):
        # One pass without a temporary array. It may overflow where all are finite: then look again.
        if array.flags.c_contiguous and math.isfinite(np.vdot(array, array)):
            return True
        return bool(np.isfinite(array).all())


def _cast(array: Array, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):  # what is too large becomes inf, and is found by the check
        return array.astype(dtype, copy=False)


def _check_finite(who: str, name: str, array: Array) -> None:
    if is_finite(array):
        return
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    raise ValueError(
        f"{who}: {name} has nan, inf or numbers beyond {array.dtype} in {bad.sum()} of "
        f"{len(array)} samples, the first at {name}[{bad.argmax()}]. Remove or replace them."
    )
