"""The selection check: a gradient is that of the function whose choices are held fast.

Every op that bends chooses one of its pieces. With the choices recorded at a point and held fast,
the function is smooth everywhere, equals the function at the point, and its gradient is what
backward must return. So differences of that function verify a gradient at kinks too; if it is
piecewise linear, with any step and without truncation error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, exact
from ..recording import Watcher
from ..replay import PathError, Recorder
from .differences import (
    CLOSER,
    Bracket,
    Estimate,
    Slope,
    bracket,
    derivative,
    noise_close_by,
    root_mean_square,
)
from .findings import TOO_COARSE, Failure, unverified
from .subject import (
    PERTURBATION,
    Continued,
    Frozen,
    Perturbed,
    Subject,
    coarser,
    may_bend_unseen,
    only,
    recorded,
    smallest,
    unit_roundoff,
)
from .values import faults_of_value

ENTRIES, INPUTS, RESULTS = 4096, 128, 256  # up to which a Jacobian is compared by entries
DIRECTIONS = 10
INTEGERS = tuple(i for i in range(-8, 9) if i)  # of random directions: small, to stay exact
DOUBLE = np.dtype(float)
SAFETY = 16  # the observed error of 800 nets never passed 1.7 of the estimate
BITS = 30  # that the first step is smaller than the point at most
LOST = 1e-3  # share of a step by which rounding may change it
WIDE = {"e": 3, "f": 20, "d": 40}  # powers of 2 by which a gradient of each dtype is scaled
DRAWS = 4  # perturbed runs, of which the root mean square is taken

NOT_LINEAR = "The gradients of the results do not add up: a rule is not linear in g."
RECORDED = (
    " That was with the inputs moved and the gradient recorded: compute in the function all that "
    "depends on its inputs, and write rules in ops."
)


class Check:
    """The comparison of a function's gradient with its values, at one point.

    Attributes:
        directions: integer[k, inputs], along which slopes are compared.
        upstream: integer[m, results], which results, or which sums of them.
        entrywise: whether both are all unit vectors.
    """

    def __init__(
        self,
        subject: Subject,
        rng: np.random.Generator,
        atol: float = 1e-5,
        rtol: float = 1e-3,
        exact: bool = False,
    ) -> None:
        self.subject, self.rng = subject, rng
        self.atol, self.rtol, self.exact = atol, rtol, exact or subject.exact
        self.calls, self.results = recorded(subject)
        subject.native = coarser(subject.native, self.calls.coarsest)
        self.here = subject.values(self.results)
        self.blind = any(may_bend_unseen(op) for op, _, _ in self.calls.calls)
        self._choose_directions()
        self.unit = 0 if subject.exact else unit_roundoff(DOUBLE)
        self.grain = smallest(DOUBLE)

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
        self.rows = self.noise = self.off_rows = np.zeros(0)
        self.raised, self.source = "", "backward"

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

    # --- what the gradient says ------------------------------------------------------------------

    def gradients(self) -> Array:
        """Return the gradient of each upstream sum: one row each, over all inputs."""
        rows = [self.subject.gradient(self.results, u) for u in self.upstream]
        return np.array(rows).reshape(len(rows), len(self.subject.start))

    def wide_gradients(self, watcher: Watcher, point: Array) -> tuple[Array, Array]:
        """Return the values and the gradients in double precision, the rules watched too."""
        with self.subject.moved_to(point), watcher:
            results = self.subject.call()
            rows = [self.subject.gradient(results, u, create_graph=True) for u in self.upstream]
            values = self.upstream @ self.subject.values(results)
        return values, np.array(rows).reshape(len(rows), len(self.subject.start))

    # --- what the values say ---------------------------------------------------------------------

    def value_at(self, point: Array, choices: Recorder | None = None) -> Array:
        """Return the upstream sums at another point, the choices held fast; nan where it fails."""
        try:
            values = self.subject.value_at(point, Frozen(choices or self.calls))
        except PathError:
            raise
        except Exception as error:  # outside of where the function is defined, in its own way
            self.raised = f" Beside the point it raised {type(error).__name__}: {error}"
            values = np.full(len(self.here), np.nan)
        if len(values) != len(self.here):
            raise PathError("replay: the result's shape depends on values. Let no shape do so.")
        with np.errstate(all="ignore"):
            return np.asarray(self.upstream @ values)

    def reach(self, point: Array) -> Array:
        """Return the point nearest to this one at which the function can be called."""
        return point

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

    def rounding(self) -> tuple[Array, Array]:
        """Return the rounding errors of the values, and some of the gradient's, drawn.

        Of values in double precision; of gradients in the dtype of the function.
        """
        subject = self.subject
        if subject.exact:
            return np.zeros(len(self.upstream)), np.zeros(0)
        whole = Continued(self.calls)
        values, rows = self.wide_gradients(whole, subject.start)
        # In double precision the differences' own errors are larger than the gradient's.
        draws = range(DRAWS if subject.native == DOUBLE else 2 * DRAWS)
        drawn = [self.wide_gradients(Perturbed(whole, self.rng), subject.start) for _ in draws]
        # What is off may be undefined, as x**2.000001 at a negative x; the next draw is not.
        off_values = np.nan_to_num([there - values for there, _ in drawn]) / PERTURBATION
        off_rows = np.nan_to_num([there - rows for _, there in drawn]) / PERTURBATION
        # The function may cast to something coarser than double by itself.
        self.unit, self.grain = unit_roundoff(whole.coarsest), smallest(whole.coarsest)
        inside = noise_close_by(self.value_or_nan, subject.start, self.unit, self.rng)
        noise = np.fmax(root_mean_square(off_values) * self.unit, inside)
        return noise, off_rows * unit_roundoff(subject.native)

    def value_or_nan(self, point: Array, choices: Recorder | None = None) -> Array:
        """Return the same, and nan too where the function takes another path."""
        try:
            return self.value_at(point, choices)
        except PathError as error:
            self.raised = f" Beside the point it takes another path: {error}"
            return np.full(len(self.upstream), np.nan)

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
            how = RECORDED
            self.noise, self.off_rows = self.rounding()
        except Exception as error:  # a rule may fail in any way
            why = f"It raised {type(error).__name__}: {error}{how}"
            return [unverified(self.source, why)], np.inf
        if not self.subject.exact and not np.isfinite(self.rows).all():
            k, i = map(int, np.argwhere(~np.isfinite(self.rows))[0])
            why = f"The gradient is {self.rows[k, i]}. Check it elsewhere."
            return [unverified(self.what(k, np.arange(len(self.subject.start)) == i), why)], np.inf
        failures, worst = self._not_linear(), 0.0
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

    @property
    def native_noise(self) -> Array:
        """The rounding errors of the values in the dtype of the function."""
        return np.asarray(self.noise * (unit_roundoff(self.subject.native) / (self.unit or 1)))

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

    def _not_linear(self) -> list[Failure]:
        """Return where the gradient is no linear function of the one that comes in.

        What comes in is large and then small: a rule may be right in between alone.
        """
        power = WIDE.get(self.subject.native.char, max(WIDE.values()))
        found: list[Failure] = []
        for scale in (exact(2**power), exact(1, 2**power)):
            found = found or self._not_linear_at(scale if self.subject.exact else float(scale))
        return found

    def _not_linear_at(self, scale: Any) -> list[Failure]:
        weights = self.rng.choice(INTEGERS, len(self.upstream)).astype(self.rows.dtype)
        whole = self.subject.gradient(self.results, scale * (weights @ self.upstream))
        if not self.subject.exact and not np.isfinite(whole).all():
            return []  # scaled beyond what the dtype holds
        summed = scale * (weights @ self.rows)
        tolerance = 0 * np.abs(summed).astype(float)
        if not self.exact:
            rounding = np.abs(weights) @ root_mean_square(self.off_rows)
            terms = np.abs(weights) @ np.abs(self.rows)
            unit, least = unit_roundoff(self.subject.native), smallest(self.subject.native)
            tolerance = SAFETY * (scale * (rounding + unit * terms) + least)
        fine = np.less_equal(np.abs(whole - summed), tolerance).astype(bool)
        return [
            Failure(
                f"the slope of a weighted sum towards {self.subject.name(i)}",
                whole[i],
                summed[i],
                float(tolerance[i]),
                1.0,
                "smooth",
                NOT_LINEAR,
            )
            for i in map(int, np.flatnonzero(~fine))
        ]

    def faults_of_value(self) -> list[Failure]:
        """Return why the value here tells nothing of its slopes."""
        return faults_of_value(self.subject, self.calls, self.here)

    def what(self, k: int, v: Array) -> str:
        """Return a slope's name: which result, towards which input."""
        result, towards = self.upstream[k], np.flatnonzero(v)
        of = self.subject.result_name(int(np.flatnonzero(result)[0]))
        if len(np.flatnonzero(result)) > 1:
            of = "a weighted sum of the results"
        if len(towards) == 1:
            return f"the slope of {of} towards {self.subject.name(int(towards[0]))}"
        return f"the slope of {of} along a random direction of all inputs"

    # --- functions that may bend unseen ----------------------------------------------------------

    def slopes(self, v: Array, choices: Recorder | None = None) -> Estimate:
        """Return the slopes along v that the values give, with the choices held fast."""
        sizes = np.abs(self.subject.start).astype(float)
        powers = np.unique(np.frexp(sizes[sizes > 0])[1] // 16) * 16 - 8
        near = {2.0 ** float(power) for power in powers if power < np.log2(min(CLOSER))}
        largest = np.frexp(sizes[np.flatnonzero(v)].max(initial=1))[1]
        first = 2.0 ** max(0, int(largest) - BITS)
        slope = self.central(v, choices)
        found = derivative(slope, sorted(near)[::-1], self.subject.exact, first)
        unseen = self.blind and not self.subject.exact
        return self._with_unseen_kinks(v, found) if unseen else found

    def _with_unseen_kinks(self, v: Array, found: Estimate) -> Estimate:
        """Return what values close by say, where the extrapolation from afar contradicts them."""
        analytic = self.rows @ v
        for k, sides in enumerate(self.brackets(v)):
            low, high = sides.hull
            found.kinks[k] = sides.bends
            if sides.bends and low <= analytic[k] <= high:
                found.value[k], found.error[k] = analytic[k], 0  # any slope between is one
            elif not low <= found.value[k] <= high:
                found.value[k], found.error[k] = (low + high) / 2, (high - low) / 2 / SAFETY
        return found

    def brackets(self, v: Array) -> list[Bracket]:
        """Return bounds of the slopes on both sides along v, one for each upstream sum."""
        reach = np.abs(self.subject.start[np.flatnonzero(v)]).max(initial=0.0)
        power = int(np.log2(max(reach, 2.0**-20)))
        steps = 2.0 ** np.arange(power - 40, max(power - 20, 0) + 1)
        here = self.value_at(self.subject.start)
        sides = []
        for sign in (-1, 1):
            with np.errstate(all="ignore"):
                values = np.array(
                    [self.value_or_nan(self.subject.start + sign * h * v) for h in steps]
                )
            errors = self.noise + 4 * self.unit * (np.abs(values) + np.abs(here))
            errors = errors + 2 * self.unit * reach * np.abs(self.rows) @ np.abs(v)
            sides.append(
                [
                    bracket(values[:, k], sign * steps, here[k], errors[:, k])
                    for k in range(len(self.upstream))
                ]
            )
        return [Bracket(left, right) for left, right in zip(*sides, strict=True)]
