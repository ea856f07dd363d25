"""What adaptive optimisers compute with: running means of gradients and of their squares."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array


@lru_cache(maxsize=64)
def number(value: float, dtype: np.dtype[Any]) -> Array:
    """Return a setting as an array, which is multiplied twice as fast as a float."""
    return np.array(value, dtype)


def with_decay(g: Array, data: Array, decay: float) -> Array:
    """Return the gradient with that of decay / 2 * data**2 added, in memory of its own."""
    pulled: Array = np.asarray(np.multiply(data, number(decay, data.dtype)))
    np.add(g, pulled, pulled)
    return pulled


def shrink(data: Array, share: float) -> None:
    """Take a share of the values away from them."""
    np.multiply(data, np.array(1 - share, data.dtype), data)


def running_mean(mean: Array, x: Array, share: float, scratch: Array) -> None:
    """Move a mean towards x by a share of the way."""
    np.subtract(x, mean, scratch)
    if share < 0.5:
        np.multiply(scratch, number(share, mean.dtype), scratch)
        np.add(mean, scratch, mean)
    else:  # from the other end, so that a share of 1 gives exactly x
        np.multiply(scratch, number(1 - share, mean.dtype), scratch)
        np.subtract(x, scratch, mean)


def running_square(mean: Array, x: Array, kept: float, scratch: Array) -> None:
    """Keep a share of a mean of squares, and give the rest to the square of x."""
    np.multiply(mean, number(kept, mean.dtype), mean)
    np.multiply(x, x, scratch)
    np.multiply(scratch, number(1 - kept, mean.dtype), scratch)
    np.add(mean, scratch, mean)


def step_down(data: Array, rate: float, direction: Array) -> None:
    """Subtract rate * direction from the values; the direction is used up."""
    np.multiply(direction, np.array(rate, data.dtype), direction)
    np.subtract(data, direction, data)
