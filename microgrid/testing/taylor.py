"""Taylor's test: what is left of a value after its linear part falls as the square of the step.

If the gradient is wrong by a little, a linear part remains and falls only as the step itself.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from .comparison import INTEGERS, SAFETY
from .selection_check import Check

HALVINGS = 60
PATIENCE = 10  # halvings without a clear remainder: after them there will be none
NEAR = 2.0**-40  # a function may be curved on the scale of its inputs: these steps must be smaller
CLEAR = 100  # times its rounding error, above which a remainder tells something
PAIRS = 4  # of remainders, the smallest that are clear, from which the order is taken
GROWTH = 1.5  # of their distance to 1 with each halving, where it will be 2 in the end
SPREAD = 0.2  # of the powers between those pairs, and of their distance to 1


def remainder_orders(check: Check) -> Array:
    """Return for each upstream sum the power of the step with which its remainder falls.

    It is taken along one random direction, with the choices held fast: 2 or more if the gradient is
    right, 1 if it is wrong, inf if no remainder rises above rounding, as in straight lines, or if
    those that do are too far away to fall evenly, or if an input is itself too small for the steps.
    """
    v = check.rng.choice(INTEGERS, len(check.subject.start)).astype(float)
    start = check.subject.start
    if not start.size or ((start != 0) & (np.abs(start) < NEAR)).any():
        return np.full(len(check.upstream), np.inf)
    here = check.value_or_nan(start)
    steepness = check.slope_rounding(v)
    remainders, clear, waited = [], [], 0
    for halvings in range(HALVINGS):
        point = start + 0.5**halvings * v
        there = check.value_or_nan(point)
        linear = check.rows @ (point - start)  # of the step that was reached
        rounding = check.noise + 4 * check.unit * (np.abs(there) + np.abs(here) + np.abs(linear))
        rounding = rounding + 0.5**halvings * steepness
        remainder = np.abs(there - here - linear)
        remainders.append(remainder)
        level = CLEAR * SAFETY * (rounding + 16 * check.grain)
        clear.append(remainder > level)
        waited = waited + 1 if (remainder <= level).all() else 0
        if waited > PATIENCE:
            break
    rows = zip(np.array(remainders).T, np.array(clear).T, strict=True)
    return np.array([_order(*row) for row in rows])


def _order(remainders: Array, clear: Array) -> float:
    """Return the median power over the smallest steps whose remainders are clear."""
    steps = [i for i in range(len(clear) - 1) if clear[i] and clear[i + 1]]
    powers = [float(np.log2(remainders[i] / remainders[i + 1])) for i in steps[-PAIRS:]]
    even = len(powers) == PAIRS and max(powers) - min(powers) < SPREAD
    # Of a wrong gradient the power comes closer to 1 as the step falls. Far from a narrow bend, as
    # of the standard deviation of nearly equal numbers, it is 1 too, but goes away from it.
    off = np.abs(np.array(powers) - 1)
    leaving = even and bool((off[1:] > GROWTH * off[:-1]).all())
    return float(np.median(powers)) if even and not leaving else np.inf


def is_linear(order: float) -> bool:
    """Return whether a remainder that falls so is that of a wrong gradient."""
    return abs(order - 1) < SPREAD
