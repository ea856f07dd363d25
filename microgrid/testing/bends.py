"""What kind of point it is: smooth, a kink, or an artifact of the convention at kinks.

Along a direction every tie is broken an instant later. With the pieces that come next, and with
those on the other side, the function has its two one-sided slopes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array, exact
from ..directional import Toward
from ..replay import Recorder, Replay
from .comparison import RANDOMLY, SAFETY
from .findings import Bend, Failure
from .selection_check import Check

FINE, COARSE = 2**17, 8  # a random direction has components below 8, in steps of 2**-17
DIRECTIONS = 32  # at most, along which one-sided slopes are taken

Choices: TypeAlias = list[tuple[Any, Any]]

ARTIFACT = (
    "Each op follows its convention, but their composition has another slope. grad(f, toward=v) "
    "gives one that the function has."
)
JUMP = "The value jumps here, so that the function has no slope."


def bends_of(check: Check) -> list[Bend]:
    """Return the directions along which the point is no smooth one."""
    n = len(check.subject.start)
    # Of many digits, as small integers may be equal and leave a tie tied.
    drawn = check.rng.integers(1, FINE * COARSE, n) * check.rng.choice([-1, 1], n)
    anywhere = drawn.astype(check.subject.start.dtype) / (
        exact(FINE) if check.subject.exact else FINE
    )
    # Both ways: what is chosen at a kink may be what is chosen on one of its sides.
    if all(_same(way, check.calls.choices) for way in _both_ways(check, anywhere)):
        return []
    some = check.rng.permutation(n)[: DIRECTIONS if check.entrywise else 0]
    along_axes = [bend for i in sorted(some) for bend in _bends_along(check, check.directions[i])]
    return along_axes or _bends_along(check, anywhere)


def _bends_along(check: Check, v: Array) -> list[Bend]:
    behind, ahead = ways = _both_ways(check, v)
    if _same(behind, ahead) and _same(ahead, check.calls.choices):
        return []  # no choice is open along v, and the slope there was compared
    analytic = check.rows @ v
    left, right = (check.slopes(v, _recorder(way)) for way in ways)
    jumps = np.logical_or(*(_jumps_to(check, way) for way in ways))
    errors = left.error + right.error + check.slope_rounding(v)
    tolerance = SAFETY * errors + 1e-9 * np.abs(analytic).astype(float)
    found = []
    for k, (a, low, high, slack) in enumerate(
        zip(analytic, left.value, right.value, tolerance, strict=True)
    ):
        if abs(high - low) <= slack and abs(a - low) <= slack and not jumps[k]:
            continue
        between = min(low, high) - slack <= a <= max(low, high) + slack
        kind = "jump" if jumps[k] else "kink" if between else "artifact"
        found.append(Bend(check.what(k, v), a, low, high, kind))
    return found


def _jumps_to(check: Check, choices: Choices) -> Array:
    """Return which of the upstream sums have another value here with the choices of one side."""
    with Replay(_recorder(choices)):
        there = check.subject.values(check.subject.call())
    return np.asarray(np.abs(check.upstream @ (there - check.here)) > SAFETY * check.native_noise)


def told_once(bends: list[Bend]) -> list[Bend]:
    """Return one bend for each slope; those towards single inputs, if there are any."""
    first = {bend.what: bend for bend in reversed(bends)}
    single = [what for what in first if RANDOMLY not in what]
    return [first[what] for what in reversed(single or list(first))]


def as_failures(bends: list[Bend]) -> list[Failure]:
    """Return as failures what is no slope of the function: for those who want true gradients."""
    return [
        Failure(
            bend.what,
            bend.analytic,
            f"{float(bend.left)!r} on the left and {float(bend.right)!r} on the right",
            0.0,
            0.0,
            bend.kind,
            JUMP if bend.kind == "jump" else ARTIFACT,
        )
        for bend in bends
        if bend.kind != "kink"
    ]


def _both_ways(check: Check, v: Array) -> list[Choices]:
    """Return the choices an instant later on the way against v, and along it."""
    return [_choices_toward(check, sign * v) for sign in (-1, 1)]


def _choices_toward(check: Check, v: Array) -> Choices:
    with Toward() as toward:
        for x, part in zip(check.subject.leaves, check.subject.split(v), strict=True):
            toward.send(x, part.astype(x.dtype))
        check.subject.call()
    choices: Choices = toward.choices
    return choices


def _recorder(choices: Choices) -> Recorder:
    recorder = Recorder()
    recorder.choices = choices
    return recorder


def _same(a: Choices, b: Choices) -> bool:
    return len(a) == len(b) and all(_equal(x, y) for (_, x), (_, y) in zip(a, b, strict=True))


def _equal(x: Any, y: Any) -> bool:
    if isinstance(x, tuple):
        return all(map(_equal, x, y))
    return bool(np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f"))
