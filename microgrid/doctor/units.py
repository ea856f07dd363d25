"""The units of an activation: dead, saturated, linear, or at work."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..pieces import places
from .scan import Activation

FLAT = 1 / math.cosh(2) ** 2
"""A slope below this share of the steepest is flat: tanh is beyond 2, and the sigmoid beyond 4."""

NEARLY_ALL = 0.95
"""The share of the samples on which a saturated unit is flat. On the other 5% it can learn."""

BENT = 0.01
"""Slopes that differ by less than this share of the steepest are one: what is left is linear."""


class Units(NamedTuple):
    """Which units of one activation are what: bool[units] each, at most one of them True.

    A unit that gets or gives nan or infinities is none of it: its slopes say nothing.

    Attributes:
        dead: the slope is 0 on all samples.
        saturated: the slope is tiny on nearly all samples.
        linear: the slope is the same on all samples.
    """

    dead: Array
    saturated: Array
    linear: Array


def units_of(activation: Activation) -> Units:
    """Return what the units are; those are the last axis, and all others count samples."""
    slopes = rows(activation.slopes())
    sound: Array = _finite(activation.x._data) & _finite(activation.y._data)
    dead: Array = sound & np.all(slopes == 0, axis=0)
    busy = sound & ~dead
    saturated: Array = busy & (np.mean(_flat(activation, slopes), axis=0) >= NEARLY_ALL)
    return Units(dead, saturated, busy & ~saturated & _same(activation, slopes))


def _finite(array: Array) -> Array:
    found: Array = np.all(np.isfinite(rows(array).astype(np.float64)), axis=0)
    return found


def _flat(activation: Activation, slopes: Array) -> Array:
    """Return where a unit is at the end of its range."""
    flat: Array = slopes == 0
    if activation.straight:
        # At 0 it is switched off, as a relu is on most samples: that is sparsity.
        flat &= rows(activation.y._data) != 0
    else:
        flat = np.abs(slopes) < FLAT * activation.steepest
    return flat


def _same(activation: Activation, slopes: Array) -> Array:
    """Return which units stay on one straight line."""
    if not activation.straight:
        nearly: Array = np.ptp(slopes, axis=0) <= BENT * activation.steepest
        return nearly
    on = slopes
    if activation.pieces is not None:
        on = rows(places(activation.x._data, activation.pieces))
    same: Array = np.all(on == on[0], axis=0)
    return same


def rows(array: Array) -> Array:
    """Return an array as [samples, units]; of one axis each element is a sample of one unit."""
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
