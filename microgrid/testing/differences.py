"""Derivatives of functions of one step, from values alone.

Two ways. Of a smooth function central differences at shrinking steps are extrapolated to step 0. Of
a function that may have a kink anywhere, slopes at growing steps, each with its rounding interval,
are intersected as long as they agree: that brackets the slope on each side.

Functions here take a step and return one number for each of several quantities.

Sources: Ridders (1982), Accurate computation of F'(x) and F'(x)F''(x); Neville's scheme.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array

COLUMNS = 7  # of Neville's scheme: more gains nothing in double precision
PATIENCE = 5  # halvings without an improvement
HALVINGS = 60
BEND = 1e-5  # relative difference of two slopes beyond which there is a kink between them
LOOKS = 4  # at the noise of values close by
SMALL = 2.0**-20  # the size that an input of 0 is taken to have at most
CLOSER = 2.0**-10, 2.0**-20  # steps from which to look again
DOUBT = 32  # times the errors of two estimates, by which they contradict each other
POOR = 1e-5  # an estimate with a larger relative error may be better from nearby
TIGHT = 1e-9  # bounds of a slope, by the size of the steepest, that are close enough
COARSE = 1e-7  # an estimate with a larger relative error is looked at further

Function = Callable[[float], Array]
Slope = Callable[[Any], tuple[Array, Array]]


@dataclass
class Estimate:
    """Slopes with an estimate of their errors.

    Attributes:
        step: of the best.
        kinks: where there is one.
        narrow: whether steps close by tell of other slopes than those from afar.
    """

    value: Array
    error: Array
    step: float
    kinks: Array
    narrow: bool = False


def derivative(
    slope: Slope, looks: Sequence[float] = CLOSER, exact: bool = False, first: float = 1
) -> Estimate:
    """Return the limit of the central difference `slope(h)` for h to 0.

    The first step is 1: of a straight line any step gives the slope, a large one without rounding.
    But from afar sqrt(x² + 10⁻²⁰) looks like |x|. So a look from nearby has to agree; where it does
    not, the extrapolation starts over from there.

    Args:
        slope: of a step to (differences, their rounding errors); nan where they cannot be taken.
        looks: steps that are small, also beside the point, for looks from nearby.
        exact: compute in Fractions, from values of type object.
        first: the first step, larger than 1 where 1 is lost in the rounding of the point.
    """
    slope = functools.cache(slope)
    best = extrapolated(slope, 1 if exact else first, exact)
    if exact:
        return best
    for step in looks:
        here, noise = slope(step)
        poor = ~(best.error <= POOR * np.maximum(np.abs(best.value), 1))
        if poor.any() or _contradicted(best, here, noise).any():
            again = extrapolated(slope, step)
            wrong = _contradicted(best, again.value, again.error)
            wrong |= poor & (again.error < best.error)
            best.value = np.where(wrong, again.value, best.value)
            best.error = np.where(wrong, again.error, best.error)
            best.step = again.step if wrong.any() else best.step
            best.narrow = best.narrow or bool(wrong.any())
    return best


@np.errstate(invalid="ignore")
def _contradicted(best: Estimate, value: Array, error: Array) -> Array:
    margin = DOUBT * (best.error + error) + COARSE * np.maximum(np.abs(best.value), np.abs(value))
    return np.asarray(~(np.abs(value - best.value) <= margin) & np.isfinite(value))


def extrapolated(slope: Slope, first: float, exact: bool = False) -> Estimate:
    """Return the limit of `slope(h)` for h to 0, from the step `first` on."""
    start = _half_to_the(0, exact) * first
    best, last = _nothing(slope(start)), list[Array]()
    waited = 0
    for halvings in range(HALVINGS):
        h = start * _half_to_the(halvings, exact)
        here, noise = slope(h)
        row = _neville_row(here, last)
        waited = 0 if _improve(best, row, last, noise, h) else waited + 1
        last = row if np.isfinite(here.astype(float)).any() else []
        known = np.isfinite(best.error)
        settled = known & (best.error <= 4 * noise + COARSE**2 * np.abs(best.value))
        good = known & (best.error <= COARSE * np.maximum(np.abs(best.value), 1))
        if settled.all() or (waited >= PATIENCE and good.all()):
            holds = _holds_between(slope, best, start, exact)
            if holds.all():
                break
            best.error, last = np.where(holds, best.error, np.inf), []
    return best


def _nothing(found: tuple[Array, Array]) -> Estimate:
    value = np.array(found[0])
    return Estimate(value, np.full(value.shape, np.inf), 1.0, np.zeros(value.shape, bool))


def _half_to_the(power: int, exact: bool) -> Any:
    if exact:
        from fractions import Fraction

        return Fraction(1, 2**power)
    return 0.5**power


def _neville_row(first: Array, last: list[Array]) -> list[Array]:
    """Return the next row of the scheme: entry k is free of the error's terms up to h**(2k)."""
    row = [first]
    for k, above in enumerate(last[: COLUMNS - 1]):
        row.append(row[k] + (row[k] - above) / (4 ** (k + 1) - 1))
    return row


@np.errstate(invalid="ignore", over="ignore")
def _improve(best: Estimate, row: list[Array], last: list[Array], noise: Array, h: Any) -> bool:
    """Take over what is better in the row; return whether something is."""
    improved, before, seen = False, best.value, best.error
    for k in range(1, len(row)):
        spread = np.maximum(np.abs(row[k] - row[k - 1]), np.abs(row[k] - last[k - 1]))
        error = (spread + noise).astype(float)
        better = error < best.error
        if better.any():
            improved = improved or bool((error[better] < 0.5 * best.error[better]).any())
            best.value = np.where(better, row[k], best.value)
            best.error = np.where(better, error, best.error)
            best.step = float(h)
    # Neighbours may agree by chance, so what the rows before said counts too.
    told = (best.error < seen) & np.isfinite(seen)
    apart = np.where(told, np.abs(best.value - before).astype(float), 0.0)
    best.error = np.maximum(best.error, np.minimum(apart, seen))
    return improved


@np.errstate(invalid="ignore")
def _holds_between(slope: Slope, best: Estimate, start: Any, exact: bool) -> Array:
    """Return where a step that is no power of two agrees: a periodic function may fool those."""
    at_step, _ = slope(start if exact else best.step)
    between, noise = slope(start * 3 / 4 if exact else 0.7316 * best.step)
    allowed = 2 * np.abs(at_step - best.value) + 16 * best.error + 4 * noise
    close = np.abs(between - best.value) <= allowed + COARSE * np.abs(best.value)
    return np.asarray(close)


@dataclass
class Bracket:
    """Bounds of the slopes on the left and on the right of a point."""

    left: tuple[float, float]
    right: tuple[float, float]

    @property
    def bends(self) -> bool:
        """Whether the two sides differ beyond doubt: by more than curvature close by explains."""
        gap = max(self.right[0] - self.left[1], self.left[0] - self.right[1])
        return gap > BEND * max(map(abs, self.hull))

    @property
    def middles(self) -> tuple[float, float]:
        """The slopes themselves, to as many digits as the bounds tell."""
        return _middle(*self.left), _middle(*self.right)

    @property
    def hull(self) -> tuple[float, float]:
        """The bounds of both."""
        return min(self.left[0], self.right[0]), max(self.left[1], self.right[1])


def _middle(low: float, high: float) -> float:
    if low <= 0 <= high:
        return 0.0
    middle = (low + high) / 2
    digits = int(np.log10(max(abs(middle) / (high - low), 10))) if high > low else 17
    return float(f"{middle:.{digits}g}")


@np.errstate(all="ignore")
def one_sided(
    rise: Callable[[float], tuple[Array, Array]], steps: Sequence[float] | Array, steepest: float
) -> list[tuple[float, float]]:
    """Return bounds of the slopes at step 0 from steps of one sign, the smallest first.

    Each step gives an interval, (rise ± noise) / step. They are intersected until nothing is left,
    where the function's curvature shows, or little enough. The last interval may then miss the
    slope by as much as its own width, and the first by what the slope changes up to the second: the
    bounds are widened by both.

    Args:
        rise: of a step to (values there less those here, their rounding errors).
        steps: in the order in which they are taken.
        steepest: the size of the slopes, in which "little enough" is measured.
    """
    low: Any = -np.inf
    high: Any = np.inf
    change: Any = np.inf
    last: Any = np.nan
    width: Any = np.inf
    meet: Any = True
    for h in steps:
        rises, noise = rise(h)
        slope, radius = rises / h, noise / abs(h)
        # fmax and fmin pass over nan, where the function could not be called.
        above, below = np.fmax(low, slope - radius), np.fmin(high, slope + radius)
        meet = meet & (above <= below)
        low, high = np.where(meet, above, low), np.where(meet, below, high)
        change, last = np.fmin(change, np.abs(slope - last) + radius), slope
        width = high - low + 2 * change
        if not (meet & (width > TIGHT * steepest)).any():
            break
    return [(float(a), float(b)) for a, b in zip(low - width, high + width, strict=True)]


def noise_of(function: Function, step: float) -> Array:
    """Return the noise of a function near step 0, from the third differences of close values.

    Source: Moré & Wild (2011), Estimating computational noise.
    """
    values = np.array([function(i * step) for i in range(-3, 4)], float)
    third = np.diff(values, 3, axis=0)
    # The variance of a third difference is (6 choose 3) times that of a value.
    return np.asarray(root_mean_square(third) / np.sqrt(20))


def root_mean_square(x: Array) -> Array:
    """Return the root of the mean square over the first axis; of nothing, 0."""
    if not len(x):
        return np.zeros(x.shape[1:])
    scale = np.abs(x).max(axis=0, initial=np.finfo(float).tiny)  # whose square may overflow
    return np.asarray(scale * np.sqrt(np.mean(np.square(x / scale), axis=0)))


def noise_close_by(
    function: Callable[[Array], Array], point: Array, unit: float, rng: np.random.Generator
) -> Array:
    """Return the noise of a function's values close to a point, as of a sum's terms inside an op.

    Steps are far beyond the unit roundoff, and their cube, with which curvature goes, is far below.
    """
    least = np.abs(point[point != 0]).min(initial=SMALL)
    sizes = np.where(point == 0, least, np.abs(point))
    found = np.zeros(())
    # Coarse values may lie on a parabola by chance, as where a step goes on by whole units of their
    # last place: so there are several looks, each with a step of its own.
    for _ in range(LOOKS):
        v = sizes * rng.choice([-1, 1], len(point)) * rng.uniform(1, 2)

        def along(t: float, v: Array = v) -> Array:
            return function(point + t * v)

        found = np.fmax(found, noise_of(along, unit ** (2 / 3)))
    return np.asarray(found)
