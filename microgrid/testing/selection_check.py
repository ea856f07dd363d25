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
from .comparison import DOUBLE, INTEGERS, SAFETY, Comparison
from .differences import noise_close_by, root_mean_square
from .findings import Failure
from .subject import (
    PERTURBATION,
    Continued,
    Frozen,
    Perturbed,
    Subject,
    coarser,
    may_bend_unseen,
    recorded,
    smallest,
    unit_roundoff,
)
from .values import faults_of_value

WIDE = {"e": 3, "f": 20, "d": 40}  # powers of 2 by which a gradient of each dtype is scaled
DRAWS = 4  # perturbed runs, of which the root mean square is taken

NOT_LINEAR = "The gradients of the results do not add up: a rule is not linear in g."
RECORDED = (
    " That was with the inputs moved and the gradient recorded: compute in the function all that "
    "depends on its inputs, and write rules in ops."
)


class Check(Comparison):
    """The comparison of a function of ops with its gradient by backward.

    Attributes:
        calls: the ops that were called at the point, with their choices.
        results: the Tensors that the function returned there.
    """

    source, how = "backward", RECORDED

    def __init__(
        self,
        subject: Subject,
        rng: np.random.Generator,
        atol: float = 1e-5,
        rtol: float = 1e-3,
        exact: bool = False,
    ) -> None:
        self.calls, self.results = recorded(subject)
        subject.native = coarser(subject.native, self.calls.coarsest)
        here = subject.values(self.results)
        blind = any(may_bend_unseen(op) for op, _, _ in self.calls.calls)
        super().__init__(subject, rng, here, blind, atol, rtol, exact)

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

    @property
    def native_noise(self) -> Array:
        """The rounding errors of the values in the dtype of the function."""
        return np.asarray(self.noise * (unit_roundoff(self.subject.native) / (self.unit or 1)))

    def not_linear(self) -> list[Failure]:
        """Return where the gradient is no linear function of the one that comes in.

        What comes in is large and then small: a rule may be right in between alone. And it has both
        signs, as a rule may be right for one.
        """
        power = WIDE.get(self.subject.native.char, max(WIDE.values()))
        weights = self.rng.choice(INTEGERS, len(self.upstream)).astype(self.rows.dtype)
        found: list[Failure] = []
        for scale, signed in ((exact(2**power), weights), (exact(1, 2**power), -weights)):
            scaled = scale if self.subject.exact else float(scale)
            found = found or self._not_linear_at(scaled, signed)
        return found

    def _not_linear_at(self, scale: Any, weights: Array) -> list[Failure]:
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
