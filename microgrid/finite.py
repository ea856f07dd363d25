"""What is not finite: nan and infinities, in arrays and in graphs."""

from __future__ import annotations

import math

import numpy as np

from .arrays import Array
from .core import Tensor


def is_finite(array: Array) -> bool:
    """Return whether all numbers are finite."""
    if array.dtype.kind not in "f":
        return True
    with np.errstate(all="ignore"):
        # One pass without a temporary array. It may overflow where all are finite: then look again.
        if array.flags.c_contiguous and math.isfinite(np.vdot(array, array)):
            return True
        return bool(np.isfinite(array).all())


def first_not_finite(result: Tensor) -> Tensor | None:
    """Return the earliest result that made this one not finite, if the graph still tells.

    Only inputs that are not finite are followed: another part of the graph may hold infinities
    that went nowhere, as behind where().
    """
    if is_finite(result._data):
        return None
    first = None
    seen = {result}
    stack = [result]
    while stack:
        node = stack.pop()
        if node.op is None:
            continue
        if first is None or node.serial < first.serial:  # serial numbers are times of creation
            first = node
        for x in node.inputs or ():
            if x not in seen and not is_finite(x._data):
                seen.add(x)
                stack.append(x)
    return first


def word(value: float) -> str:
    """Return how a number that is not finite is called: nan, inf or -inf."""
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def first_place(array: Array) -> tuple[int, ...]:
    """Return the index of the first element that is not finite."""
    return tuple(map(int, np.unravel_index(int(np.isfinite(array).argmin()), array.shape)))


def describe(array: Array) -> str:
    """Return what is not finite, how often and where first, of an array that is not all finite.

    >>> describe(np.array([[1.0, np.inf, np.nan], [0.0, np.nan, 2.0]]))
    'nan in 2 and inf in 1 of 6 elements, the first at (0, 1)'
    >>> describe(np.array(-np.inf))
    '-inf'
    """
    if not array.ndim:
        return word(float(array))
    found = " and ".join(f"{kind} in {count}" for kind, count in kinds(array).items())
    elements = "element" if array.size == 1 else "elements"
    return f"{found} of {array.size} {elements}, the first at {first_place(array)}"


def kinds(array: Array) -> dict[str, int]:
    """Return how many elements are nan, inf and -inf, of the kinds that there are.

    >>> kinds(np.array([1.0, np.nan, -np.inf, np.nan]))
    {'nan': 2, '-inf': 1}
    """
    masks = {"nan": np.isnan(array), "inf": np.isposinf(array), "-inf": np.isneginf(array)}
    counts = {kind: int(np.count_nonzero(mask)) for kind, mask in masks.items()}
    return {kind: count for kind, count in counts.items() if count}
