"""How far to go along a direction: a line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..arrays import Array

SUFFICIENT, FLAT = 1e-4, 0.9  # the constants c1 and c2 of the conditions


class Trial(NamedTuple):
    """What was found at a step length."""

    length: float
    loss: float
    slope: float  # of the loss along the direction
    gradient: Array

    @property
    def is_finite(self) -> bool:
        """Whether loss and slope are."""
        return math.isfinite(self.loss) and math.isfinite(self.slope)


def strong_wolfe(
    evaluate: Callable[[float], Trial],
    start: Trial,
    length: float,
    largest: float,
    tolerance: float = 1e-9,
    evaluations: int = 25,
) -> tuple[Trial, int]:
    """Return a step where the loss has fallen enough and its slope is flat enough.

    With the slope s at the start: loss(t) <= loss(0) + c1 t s, and |slope(t)| <= c2 |s|. If that is
    not reached, the best step that was found, which may be `start` itself. A loss of nan or inf
    counts as too far.

    Args:
        evaluate: from a step length to what is there.
        start: what is at length 0, with a negative slope.
        length: the first that is tried.
        largest: the largest number of the direction, by magnitude.
        tolerance: how far numbers move in the smallest step that is looked for.
        evaluations: after so many it ends, without the first.

    Returns:
        The step, and how often `evaluate` was called.

    Source: Nocedal & Wright (2006), algorithms 3.5 and 3.6; how far steps grow and shrink is
        chosen as by PyTorch, after Schmidt's minFunc (2005).

    >>> import numpy as np
    >>> def bowl(t):
    ...     return Trial(t, (t - 3) ** 2, 2 * (t - 3), np.array([2 * (t - 3)]))
    >>> found, calls = strong_wolfe(bowl, bowl(0.0), length=1.0, largest=1.0)
    >>> found.length, calls
    (1.0, 1)
    >>> strong_wolfe(bowl, bowl(0.0), length=100.0, largest=1.0)[0].length
    3.0
    """
    return _Search(evaluate, start, largest, tolerance, evaluations).run(length)


class _Search:
    def __init__(
        self,
        evaluate: Callable[[float], Trial],
        start: Trial,
        largest: float,
        tolerance: float,
        evaluations: int,
    ) -> None:
        self.evaluate, self.start = evaluate, start
        self.largest, self.tolerance, self.evaluations = largest, tolerance, evaluations
        self.rounds = 0

    def run(self, length: float) -> tuple[Trial, int]:
        ends = self._bracket(length)
        best = ends[0] if len(ends) == 1 else self._zoom(*ends)
        return best, self.rounds + 1

    def _falls_enough(self, trial: Trial) -> bool:
        bound = self.start.loss + SUFFICIENT * trial.length * self.start.slope
        return trial.loss <= bound  # and not if it is nan

    def _is_flat(self, trial: Trial) -> bool:
        return abs(trial.slope) <= -FLAT * self.start.slope

    def _bracket(self, length: float) -> tuple[Trial, ...]:
        """Return two steps between which there is a good one, the lower first; or that alone."""
        before, trial = self.start, self.evaluate(length)
        while self.rounds < self.evaluations:
            rose = self.rounds > 1 and not trial.loss < before.loss
            if rose or not self._falls_enough(trial) or not math.isfinite(trial.slope):
                return before, trial
            if self._is_flat(trial):
                return (trial,)
            if trial.slope >= 0:
                return trial, before
            t = trial.length
            further = interpolated(before, trial, (t + 0.01 * (t - before.length), 10 * t))
            before, trial = trial, self.evaluate(further)
            self.rounds += 1
        return (trial if trial.is_finite and trial.loss < self.start.loss else self.start,)

    def _zoom(self, low: Trial, high: Trial) -> Trial:
        """Return a good step between two; in the first the loss has fallen enough, or it is 0."""
        slow = False  # whether the last step was at the edge
        while self.rounds < self.evaluations:
            left, right = sorted((low.length, high.length))
            if (right - left) * self.largest < self.tolerance:
                break
            t = interpolated(low, high, (left, right))
            edge = 0.1 * (right - left)
            near = min(right - t, t - left) < edge
            if near and (slow or t >= right or t <= left):
                t = right - edge if abs(t - right) < abs(t - left) else left + edge
                near = False
            slow = near
            trial = self.evaluate(t)
            self.rounds += 1
            if not self._falls_enough(trial) or not trial.loss < low.loss or not trial.is_finite:
                high = trial
                continue
            if self._is_flat(trial):
                return trial
            high = low if trial.slope * (high.length - low.length) >= 0 else high
            low = trial
        return low


def interpolated(a: Trial, b: Trial, bounds: tuple[float, float]) -> float:
    """Return where the cubic through two trials is lowest, within bounds; else their middle.

    Source: Nocedal & Wright (2006), equation 3.59.

    >>> import numpy as np
    >>> def quartic(t):
    ...     return Trial(t, (t - 1) ** 4, 4 * (t - 1) ** 3, np.zeros(1))
    >>> round(interpolated(quartic(0.0), quartic(2.0), (0.0, 2.0)), 12)
    1.0
    """
    least, most = bounds
    middle = (least + most) / 2
    if not (a.is_finite and b.is_finite) or a.length == b.length:
        return middle
    if a.length > b.length:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.length - b.length)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return middle
    d2 = math.sqrt(square)
    below = b.slope - a.slope + 2 * d2
    if below == 0:
        return middle
    t = b.length - (b.length - a.length) * ((b.slope + d2 - d1) / below)
    return min(max(t, least), most)
