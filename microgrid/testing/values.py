"""Whether a function's value tells of its slopes: finite, the same in every call, of its pieces."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..replay import Recorder, Replay
from .findings import Failure, unverified
from .subject import Subject, smallest_normal, unit_roundoff

FLOAT = "The value {} is a float among Fractions, not exact. Keep to Fractions, or give floats."
NOT_FINITE = "The value {} is not finite. Check the gradient elsewhere."
RANDOM = "Two calls give {} and {}. Give the function's random numbers a fixed seed."
RANDOM_PATH = "Two calls take different paths. Give the function's random numbers a fixed seed."
UNEQUAL = "The value is {}, and {} with the choices of the ops held fast: a wrong mask, or pieces."


def faults_of_value(subject: Subject, recorder: Recorder, here: Array) -> list[Failure]:
    """Return why the value at the point tells nothing of its slopes; nothing if it does."""
    return not_finite(subject, here) or _not_repeated(subject, recorder, here)


def not_finite(subject: Subject, here: Array) -> list[Failure]:
    """Return the first input or result that is not finite, or not exact where all should be."""
    for name, values in ((subject.name, subject.start), (subject.result_name, here)):
        bad = [isinstance(x, float) for x in values] if subject.exact else ~np.isfinite(values)
        for k in map(int, np.flatnonzero(bad)[:1]):
            why = FLOAT if subject.exact else NOT_FINITE
            return [unverified(name(k), why.format(values[k]))]
    return []


def _not_repeated(subject: Subject, recorder: Recorder, here: Array) -> list[Failure]:
    second = Recorder()
    with second:
        again = subject.values(subject.call())
    if [op for op, _ in second.choices] != [op for op, _ in recorder.choices]:
        return [unverified("the function", RANDOM_PATH)]
    try:
        with Replay(recorder):
            held = subject.values(subject.call())
    except Exception as error:  # a user's piece may fail in any way
        why = f"Held fast, the choices of the ops raised {type(error).__name__}: {error}"
        return [unverified("the pieces", why)]
    if len(held) != len(here):
        return [unverified("the function", RANDOM_PATH)]
    third = again if np.array_equal(held, here) else subject.values(subject.call())
    for found, why in ((again, RANDOM), (third, RANDOM), (held, UNEQUAL)):
        differing = unequal(subject, here, found, why)
        if differing:
            return differing
    return []


def unequal(subject: Subject, here: Array, found: Array, why: str) -> list[Failure]:
    """Return where the value found differs from the one here by more than its last bits."""
    if len(found) != len(here):
        return [unverified("the function", RANDOM_PATH)]
    allowed = 4 * unit_roundoff(subject.native) * np.abs(here) + 4 * smallest_normal(subject.native)
    return [
        unverified(subject.result_name(k), why.format(here[k], found[k]))
        for k in map(int, np.flatnonzero(np.abs(found - here) > allowed))
    ]
