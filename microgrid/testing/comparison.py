"""A gradient compared with the values of its function, whatever is known of both.

Along each direction the values give a slope by differences, with an estimate of its error, and the
gradient gives one with the error that rounding explains. They must agree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..arrays import Array
from ..replay import PathError, Recorder
from .differences import (
    CLOSER,
    Bracket,
    Estimate,
    Slope,
    derivative,
    one_sided,
    root_mean_square,
)
from .findings import TOO_COARSE, Bend, Failure, unverified
from .subject import Subject, only, smallest, unit_roundoff

ENTRIES, INPUTS, RESULTS = 4096, 128, 256  # up to which a Jacobian is compared by entries
DIRECTIONS = 10
INTEGERS = tuple(i for i in range(-8, 9) if i)  # of random directions: small, to stay exact
DOUBLE = np.dtype(float)
BOUND = 6  # root mean squares of the noise of two values, which no difference of them exceeds
SAFETY = 16  # the observed error of 800 nets never passed 1.7 of the estimate
BITS = 30  # that the first step is smaller than the point at most
RANDOMLY = "along a random direction of all inputs"
LOST = 1e-3  # share of a step by which rounding may change it


class Comparison(ABC):
    """The comparison of a gradient with its function's values, at one point.

    Attributes:
        here: the results' elements at the point.
        blind: whether the function may have kinks of which nothing is known.
        directions: integer[k, inputs], along which slopes are compared.
        upstream: integer[m, results], which results, or which sums of them.
        entrywise: whether both are all unit vectors.
        rows: the gradient of each upstream sum; noise: the rounding errors of the sums themselves;
            off_rows: those of the gradients, some of them, drawn.
        narrow: whether values close by contradicted those from afar.
        unseen: the kinks that only the values tell of.
        unit, grain: the unit roundoff and the smallest number of the differences.
    """

    source: str  # where the gradient comes from
    how: str = ""  # what a user should know if computing its rounding errors fails

    def __init__(
        self, subject: Subject, rng: np.random.Generator, here: Array, blind: bool,
        atol: float, rtol: float, exact: bool,
    ) -> None:  # fmt: skip
        self.subject, self.rng, self.here, self.blind = subject, rng, here, blind
        self.atol, self.rtol, self.exact = atol, rtol, exact or subject.exact
        self.unit = 0.0 if subject.exact else unit_roundoff(DOUBLE)
        self.grain = smallest(DOUBLE)
        self.rows = self.noise = self.off_rows = np.zeros(0)
        self.raised, self.narrow = "", False
        self.unseen: list[Bend] = []
        self._choose_directions()

    # --- what is known of the gradient and of the function ---------------------------------------

    @abstractmethod
    def gradients(self) -> Array:
        """Return the gradient of each upstream sum: one row each, over all inputs."""

    @abstractmethod
    def value_at(self, point: Array, choices: Recorder | None = None) -> Array:
        """Return the upstream sums at another point; nan where the function fails there."""

    @abstractmethod
    def rounding(self) -> tuple[Array, Array]:
        """Return the rounding errors of the values, and some of the gradient's, drawn."""

    @abstractmethod
    def faults_of_value(self) -> list[Failure]:
        """Return why the value here tells nothing of its slopes."""

    def not_linear(self) -> list[Failure]:
        """Return where the gradient is no linear function of the one that comes in."""
        return []

    def reach(self, point: Array) -> Array:
        """Return the point nearest to this one at which the function can be called."""
        return point

    def value_or_nan(self, point: Array, choices: Recorder | None = None) -> Array:
        """Return the upstream sums, and nan too where the function takes another path."""
        try:
            return self.value_at(point, choices)
        except PathError as error:
            self.raised = f" Beside the point it takes another path: {error}"
            return np.full(len(self.upstream), np.nan)

    # --- where to look ----------------------------------------------------------------------------

    def _choose_directions(self) -> None:
        n, m = len(self.subject.start), len(self.here)
        self.entrywise = n * m <= ENTRIES and n <= INPUTS and m <= RESULTS
        # Of few there are no more unit vectors than directions.
        self.directions = self._units(n) if self.entrywise or n <= DIRECTIONS else self._integers(n)
        if self.blind and 1 < n == len(self.directions):
            # A slope towards each input may be right where the sum is not, as 1 and 1 at a tie.
            ones = np.ones((1, n), self.directions.dtype)
            self.directions = np.concatenate([self.directions, ones, self._integers(n)])
        self.upstream = self._units(m) if self.entrywise or m <= DIRECTIONS else self._integers(m)

    def _units(self, n: int) -> Array:
        units = np.eye(n, dtype=int)
        return units.astype(object) if self.subject.exact else units.astype(float)

    def _integers(self, n: int) -> Array:
        drawn = self.rng.choice(INTEGERS, (min(DIRECTIONS, n), n))
        return drawn.astype(object) if self.subject.exact else drawn.astype(float)

    @property
    def miss(self) -> float:
        """The probability of missing a wrong Jacobian (Schwartz, 1980; Zippel, 1979)."""
        if self.entrywise:
            return 0.0
        n, m = len(self.subject.start), len(self.here)
        return sum(float(len(INTEGERS)) ** -DIRECTIONS for count in (n, m) if count > DIRECTIONS)

    # --- the slopes that the values give ----------------------------------------------------------

    def slopes(self, v: Array, choices: Recorder | None = None) -> Estimate:
        """Return the slopes along v that the values give, with the choices held fast."""
        sizes = np.abs(self.subject.start).astype(float)
        powers = np.unique(np.frexp(sizes[sizes > 0])[1] // 16) * 16 - 8
        near = {2.0 ** float(power) for power in powers if power < np.log2(min(CLOSER))}
        largest = np.frexp(sizes[np.flatnonzero(v)].max(initial=1))[1]
        first = 2.0 ** max(0, int(largest) - BITS)
        looks = (*CLOSER, *sorted(near)[::-1])
        if choices is not None and not self.narrow:
            looks = ()  # with the choices of the point nothing was hidden close by
        found = derivative(self.central(v, choices), looks, self.subject.exact, first)
        self.narrow = self.narrow or found.narrow
        unseen = self.blind and not self.subject.exact
        return self._with_unseen_kinks(v, found, choices) if unseen else found

    def central(self, v: Array, choices: Recorder | None = None) -> Slope:
        """Return the central difference along v and its rounding error, as a function of the step.

        The points are rounded: the displacement that was reached differs from the one wanted by
        very little, and for that little the gradient is used.
        """
        start, unit = self.subject.start, self.unit

        def slope(h: Any) -> tuple[Array, Array]:
            ahead, behind = self.reach(start + h * v), self.reach(start - h * v)
            high, low = self.value_or_nan(ahead, choices), self.value_or_nan(behind, choices)
            excess = (ahead - behind) - 2 * h * v
            difference = np.asarray((high - low - self.rows @ excess) / (2 * h))
            if not unit:
                return difference, np.zeros(difference.shape)
            missed = np.abs(self.rows) @ np.abs(excess)
            rounding = 2 * unit * (np.abs(high) + np.abs(low)) + 16 * self.grain
            noise = np.asarray((self.noise + rounding + missed) / h)
            lost = np.abs(excess).max(initial=0) > LOST * h * np.abs(v).max(initial=0)
            return np.where(lost, np.nan, difference), noise

        return slope

    def _with_unseen_kinks(self, v: Array, found: Estimate, choices: Recorder | None) -> Estimate:
        """Return what values close by say, where the extrapolation from afar contradicts them."""
        analytic = self.rows @ v
        steepest = np.nanmax(np.abs([analytic, found.value]), initial=0)
        for k, sides in enumerate(self.brackets(v, float(steepest), choices)):
            low, high = sides.hull
            found.kinks[k] = sides.bends
            if sides.bends and low <= analytic[k] <= high:
                found.value[k], found.error[k] = analytic[k], 0  # any slope between is one
                if choices is None:
                    bend = Bend(self.what(k, v), analytic[k], *sides.middles, "kink")
                    self.unseen.append(bend)
            elif not low <= found.value[k] <= high:
                found.value[k], found.error[k] = (low + high) / 2, (high - low) / 2 / SAFETY
        return found

    def brackets(self, v: Array, steepest: float, choices: Recorder | None = None) -> list[Bracket]:
        """Return bounds of the slopes on both sides along v, one for each upstream sum.

        They are as close as the size of the steepest slope asks for.
        """
        start, here = self.subject.start, self.value_at(self.subject.start, choices)
        reach = np.abs(start[np.flatnonzero(v)]).max(initial=0.0)
        rounding = 2 * self.unit * reach * np.abs(self.rows) @ np.abs(v)

        def rise(h: float) -> tuple[Array, Array]:
            there = self.value_or_nan(start + h * v, choices)
            sizes = np.abs(there) + np.abs(here)
            # Noise is a root mean square, of either value: bounds have to hold for all of many.
            return there - here, BOUND * self.noise + 4 * self.unit * sizes + rounding

        power = int(np.log2(max(reach, 2.0**-20)))
        steps = 2.0 ** np.arange(power - 40, max(power - 20, 0) + 1, 2)
        left, right = (one_sided(rise, sign * steps, steepest) for sign in (-1, 1))
        return [Bracket(*sides) for sides in zip(left, right, strict=True)]

    # --- the two compared ------------------------------------------------------------------------

    def compare(self, locate: bool = True) -> tuple[list[Failure], float]:
        """Return the slopes that are wrong, and the largest error as a share of the tolerance.

        If directions tell of a wrong slope, `locate` looks for an entry that is.
        """
        failures = self.faults_of_value() if len(self.subject.start) else []
        if failures:
            return failures, np.inf
        how = ""
        try:
            self.rows = self.gradients()
            how = self.how
            self.noise, self.off_rows = self.rounding()
        except Exception as error:  # a rule may fail in any way
            why = f"It raised {type(error).__name__}: {error}{how}"
            return [unverified(self.source, why)], np.inf
        if not self.subject.exact and not np.isfinite(self.rows).all():
            k, i = map(int, np.argwhere(~np.isfinite(self.rows))[0])
            why = f"The gradient is {self.rows[k, i]}. Check it elsewhere."
            return [unverified(self.what(k, np.arange(len(self.subject.start)) == i), why)], np.inf
        failures, worst = self.not_linear(), 0.0
        for v in self.directions:
            wrong, share = self._compare_along(v)
            failures += wrong
            worst = max(worst, share)
        if failures and locate and not self.entrywise:
            failures = self._wrong_entry() + failures
        return failures, worst

    def _compare_along(self, v: Array) -> tuple[list[Failure], float]:
        found, analytic = self.slopes(v), self.rows @ v
        tolerance = self._tolerance(v, found.error)
        apart = np.abs(analytic - found.value)
        fine = np.less_equal(apart, tolerance).astype(bool)
        shares = apart[fine].astype(float) / np.maximum(tolerance[fine], smallest(DOUBLE))
        steepest = np.abs(self.rows).max(axis=1, initial=0).astype(float)
        scale = np.fmax(np.abs(found.value).astype(float), steepest)
        coarse = ~(found.error <= self.atol + self.rtol * scale)
        failures = [
            Failure(
                self.what(k, v),
                analytic[k],
                found.value[k],
                float(tolerance[k]),
                found.step,
                "unverified" if coarse[k] else "kink" if found.kinks[k] else "smooth",
                TOO_COARSE + self.raised if coarse[k] else "",
            )
            for k in map(int, np.flatnonzero(~fine | coarse))
        ]
        return failures, float(shares.max(initial=0.0))

    def _tolerance(self, v: Array, error: Array) -> Array:
        if self.exact:  # of Fractions the limit itself is exact, unless there are divisions
            return SAFETY * error if self.subject.exact else np.zeros(len(self.rows))
        return np.asarray(SAFETY * (self.slope_rounding(v) + error))

    def slope_rounding(self, v: Array) -> Array:
        """Return the rounding errors of the gradient's slopes along v."""
        if self.subject.exact:
            return np.zeros(len(self.rows))
        native, sizes = self.subject.native, np.abs(v)
        # Entries that are off in any way add up as a random walk, if the signs of v are random.
        alike = (v >= 0).all() or (v <= 0).all()
        walk = root_mean_square((self.rows * v).T) * np.sqrt(len(v))
        terms = np.abs(self.rows) @ sizes if alike else walk
        measured = root_mean_square(self.off_rows @ v)
        return np.asarray(
            measured + terms * unit_roundoff(native) / 2 + smallest(native) * sizes.sum()
        )

    def _wrong_entry(self) -> list[Failure]:
        """Return an entry of the Jacobian that is wrong, by halving a direction that told of it."""
        for v in self.directions:
            if not self._compare_along(v)[0]:
                continue
            inputs = np.flatnonzero(v)
            while len(inputs) > 1:
                half = inputs[: len(inputs) // 2]
                wrong = self._compare_along(only(v, half))[0]
                inputs = half if wrong else inputs[len(inputs) // 2 :]
            return self._compare_along(only(v, inputs))[0]
        return []

    def what(self, k: int, v: Array) -> str:
        """Return a slope's name: which result, towards which input."""
        result, towards = self.upstream[k], np.flatnonzero(v)
        of = self.subject.result_name(int(np.flatnonzero(result)[0]))
        if len(np.flatnonzero(result)) > 1:
            of = "a weighted sum of the results"
        if len(towards) == 1:
            return f"the slope of {of} towards {self.subject.name(int(towards[0]))}"
        return f"the slope of {of} {RANDOMLY}"
