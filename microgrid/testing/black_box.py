"""The check of any function of arrays with its claimed gradient.

Nothing is known of its kinks. So slopes are taken at growing steps, each with its rounding
interval: they bracket the slope on each side. Where both sides agree and the values far away do not
contradict, extrapolation gives more digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, as_array
from ..errors import ShapeError
from ..recording import Watcher
from .comparison import DOUBLE, Comparison
from .differences import noise_close_by, noise_of
from .findings import Failure
from .subject import Subject, coarser, smallest, unit_roundoff
from .values import RANDOM, not_finite, unequal


class ArrayFunction(Subject):
    """A function of arrays and the point at which its gradient is checked."""

    def __init__(self, func: Callable[..., Any], inputs: Sequence[Any], gradient: Any) -> None:
        self.func, self.claimed = func, gradient
        self.arrays = [as_array("gradcheck", x) for x in inputs]
        self.positions = [i for i, x in enumerate(self.arrays) if x.dtype.kind == "f"]
        self.leaves: list[Any] = [self.arrays[i] for i in self.positions]
        if not self.leaves:
            raise ValueError("gradcheck: no input is an array of floats. Convert one to float64.")
        self.native = min((x.dtype for x in self.leaves), key=lambda d: 1 / np.finfo(d).eps)
        self.exact = False
        self.start = self._flat(self.leaves)
        self.shapes = []

    def at(self, point: Array) -> list[Array]:
        """Return the inputs with those that are checked moved to a point."""
        moved = list(self.arrays)
        for i, x, part in zip(self.positions, self.leaves, self.split(point), strict=True):
            moved[i] = self.held(part, x)
        return moved

    def held(self, part: Array, x: Array) -> Array:
        """Return an input as the function takes it: in its dtype, and no finer than it computes."""
        return part.astype(coarser(x.dtype, self.native)).astype(x.dtype)

    def find_precision(self, rng: np.random.Generator) -> None:
        """Find out whether the function rounds its inputs, as JAX does unless told otherwise."""
        near = self.start * (1 + rng.uniform(0.001, 0.002, self.start.shape))
        value = self.value_at(near)
        if np.array_equal(value, self.value_at(self.start)):
            return
        for dtype in map(np.dtype, (np.float32, np.float16)):
            with np.errstate(over="ignore"):
                rounded = near.astype(dtype).astype(DOUBLE)
            # Where it is flat it tells nothing: it must feel a little more than the rounding.
            felt = self.value_at(near * (1 + 16 * unit_roundoff(dtype)))
            same = np.array_equal(value, self.value_at(rounded))
            if same and not np.equal(value, felt).any():
                self.native = coarser(self.native, dtype)

    def value_at(self, point: Array, watcher: Watcher | None = None) -> Array:
        """Return the elements of the function's value."""
        y = np.asarray(self.func(*self.at(point)))
        self.shapes = [y.shape]
        self.native = coarser(self.native, y.dtype)
        return np.asarray(y, DOUBLE).reshape(-1)

    def jacobian(self) -> Array:
        """Return what is claimed: float[results, inputs].

        Raises:
            ShapeError: it does not have the shapes of a gradient, or of a Jacobian.
        """
        claim = self.claimed(*self.arrays)
        several = isinstance(claim, (tuple, list)) and len(claim) == len(self.arrays)
        parts = [claim[i] for i in self.positions] if several else [claim]
        shape, columns = self.shapes[0], []
        if len(parts) != len(self.leaves):
            raise ShapeError(
                f"gradcheck: {len(self.leaves)} arrays are checked and the gradient is one. Let it "
                "return a tuple with one for each input."
            )
        for part, x in zip(parts, self.leaves, strict=True):
            g = np.asarray(part, DOUBLE)
            if g.shape != shape + x.shape:
                raise ShapeError(
                    f"gradcheck: the claimed gradient has shape {g.shape}; it needs "
                    f"{shape + x.shape}, the shape of the result, {shape}, and that of the input, "
                    f"{x.shape}."
                )
            columns.append(g.reshape(int(np.prod(shape)), x.size))
        return np.concatenate(columns, axis=1)


class BlackBoxCheck(Comparison):
    """The comparison of a claimed gradient with the function's values."""

    subject: ArrayFunction
    source = "the claimed gradient"

    def __init__(
        self, subject: ArrayFunction, rng: np.random.Generator, eps: float, atol: float, rtol: float
    ) -> None:
        self.eps = eps
        here = subject.value_at(subject.start)
        subject.find_precision(rng)
        super().__init__(subject, rng, here, True, atol, rtol, False)
        self.unit, self.grain = unit_roundoff(subject.native), smallest(subject.native)

    def gradients(self) -> Array:
        """Return the claimed gradient of each upstream sum."""
        return np.asarray(self.upstream @ self.subject.jacobian())

    def reach(self, point: Array) -> Array:
        """Return the point as the inputs' dtypes can hold it."""
        arrays = zip(self.subject.split(point), self.subject.leaves, strict=True)
        held = [self.subject.held(part, x).astype(DOUBLE).ravel() for part, x in arrays]
        return np.concatenate(held)

    def value_at(self, point: Array, choices: Any = None) -> Array:
        """Return the upstream sums at another point; nan where the function fails."""
        try:
            with np.errstate(all="ignore"):
                return np.asarray(self.upstream @ self.subject.value_at(point))
        except (ValueError, ArithmeticError):
            return np.full(len(self.upstream), np.nan)

    def rounding(self) -> tuple[Array, Array]:
        """Return the noise of the values, and none of the gradient, of which nothing is known."""
        start = self.subject.start
        v = self.rng.choice([-1.0, 1.0], len(start))
        step = 64 * self.unit * max(np.abs(start).max(initial=0), self.eps)
        noise = noise_of(lambda t: self.value_at(self.reach(start + t * v)), step)
        # Steps so small may leave a value as it is that is coarser than they are.
        close = noise_close_by(lambda x: self.value_at(self.reach(x)), start, self.unit, self.rng)
        noise = np.fmax(np.nan_to_num(noise), np.nan_to_num(close))
        rounding = np.sqrt(len(self.subject.start)) * self.unit * np.abs(self.rows)
        return noise, rounding[None]

    def faults_of_value(self) -> list[Failure]:
        """Return why the value here tells nothing of its slopes."""
        again = self.subject.value_at(self.subject.start)
        return not_finite(self.subject, self.here) or unequal(
            self.subject, self.here, again, RANDOM
        )
