"""Levenberg-Marquardt: damped Gauss-Newton steps for least squares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_array
from ..core import Operand, Tensor
from ..errors import NonFiniteError, ShapeError
from ..ops.arithmetic import quiet
from .damped import SOLVERS, damped_step
from .second_order import SecondOrder
from .settings import check_at_least_zero, check_count, check_flags

LEAST = 1e-8  # the damping after a step without any that failed, over the largest of J'J
UNSEEN = 1e-10  # a change of the loss, relative to it, that may be roundoff of the residuals
TRIES = 30  # of dampings that grow by 2, 4, 8, ...: by 1e139 in all


class LevenbergMarquardt(SecondOrder):
    """Damped Gauss-Newton steps: for least squares on small networks and curves, to high precision.

    With residuals r, their Jacobian J and the damping u, a step h solves

        (J'J + u D) h = -J'r

    where D is 1, or the diagonal of J'J. If the loss falls, h is taken; u becomes smaller the
    better the linear model has foretold the loss. Else u grows, and h is computed anew.

    Args:
        params: an iterable of Tensors, float[...] each; up to a few thousand numbers.
        damping: u at the start, over the largest number on the diagonal of J'J; with `scaled` u
            itself. 0 is Gauss-Newton until a step fails.
        max_iter: steps in one call of `step`.
        scaled: whether D is the diagonal of J'J, the largest that it has been: steps then do not
            depend on the units of the parameters.
        tolerance_grad: it ends when no number of J'r is larger.
        tolerance_step: it ends when the length of h, over that of the parameters, is no larger.
        tolerance_loss: it ends when a step lowers the loss by no more than this share, and was
            foretold to.
        solver: "qr", or "normal" for the normal equations: up to four times as fast, and with half
            the digits.
        compile: whether to compile residuals and Jacobian, if they are given arrays.

    Attributes:
        loss: what the last step has reached: half the sum of the squared residuals.
        status: why it ended: "gradient", "step", "loss", "iterations", or "stuck" if no damping
            made the loss fall.

    Jacobian and residuals are computed in the dtype of the parameters, the rest in float64. J may
    be rank-deficient, and there may be more parameters than residuals. A step to where residuals
    are nan or inf is not taken.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, a setting makes no sense, or there
            are several groups.
        GraphError: a Tensor is not a leaf.
        DtypeError: one is not of floats.

    Source: Marquardt (1963); the damping is Nielsen's (1999), as in Madsen, Nielsen & Tingleff
        (2004), algorithm 3.16; the scaling Moré's (1978).

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x = np.linspace(-1, 1, 40)[:, None]
    >>> y = np.sin(3 * x)
    >>> model = mg.nn.MLP([1, 8, 1], "tanh", rng=0, dtype=np.float64)
    >>> optimizer = mg.optim.LevenbergMarquardt(model.parameters(), max_iter=50)
    >>> def residuals(x, y):
    ...     return model(x) - y
    >>> optimizer.step(residuals, x, y) > 1
    True
    >>> optimizer.loss < 1e-4
    True
    """

    memory = ("damping", "growth", "scale")
    example = "optimizer.step(residuals, x, y), where residuals(x, y) returns model(x) - y"

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        damping: float = 1e-3,
        max_iter: int = 20,
        scaled: bool = False,
        tolerance_grad: float = 1e-12,
        tolerance_step: float = 1e-12,
        tolerance_loss: float = 1e-15,
        solver: str = "qr",
        compile: bool = True,  # noqa: A002
    ) -> None:
        defaults = {
            "damping": damping, "max_iter": max_iter, "scaled": scaled,
            "tolerance_grad": tolerance_grad, "tolerance_step": tolerance_step,
            "tolerance_loss": tolerance_loss, "solver": solver, "compile": compile,
        }  # fmt: skip
        super().__init__(params, defaults)
        self._residuals: Any = None

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise a ValueError if the settings make no sense."""
        tolerances = ("tolerance_grad", "tolerance_step", "tolerance_loss")
        check_at_least_zero(self._name, settings, "damping", *tolerances)
        check_count(self._name, "max_iter", settings["max_iter"])
        check_flags(self._name, settings, "scaled", "compile")
        if settings["solver"] not in SOLVERS:
            raise ValueError(
                f"{self._name}: solver={settings['solver']!r} was given; it must be one of "
                f"{SOLVERS}."
            )

    @quiet
    def step(  # type: ignore[override]
        self,
        residuals: Callable[..., Any] | None = None,
        *batch: Operand,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Make up to `max_iter` steps that lower the loss, and return the loss before them.

        Args:
            residuals: a function of the arrays in `batch` that returns float[n, ...]. It computes
                no loss and no gradient. Pass the same function in each call: what is compiled is
                kept with it.
            batch: arrays with a row for each sample, if row i of the residuals depends on row i of
                each and on no other. Without any, `residuals()` may be anything, and J takes much
                longer: a pass back for each residual, or two for each parameter.
            sample_weight: float[n], how much the squares of each row count.

        Raises:
            TypeError: there is no function, or it returns no Tensor.
            ValueError: a weight is negative or not finite, a parameter has a constraint, or none
                requires a gradient.
            ShapeError: residuals, arrays and weights do not fit each other.
            DtypeError: the weights are no numbers.
            TraceError: it is called in a compiled step.
            GraphError: residuals of a sample depend on others.
            NonFiniteError: a residual, or J, is nan or infinite at the start.
        """
        self.check_call(residuals)
        if residuals is None:
            return math.nan
        run = _Run(self, residuals, batch, sample_weight)
        before = run.loss
        self.status = run.iterate()
        self.loss = run.loss
        self.remember(damping=run.damping, growth=run.growth, scale=run.scale)
        return before

    def residuals_of(self, function: Callable[..., Any]) -> Any:
        """Return the function with its Jacobian, the same as in the last call if it was given."""
        from .residuals import Residuals  # here, since few programs need it and the compiler

        trained, compiled = self.trained(), bool(self.settings["compile"])
        known = self._residuals
        if known is None or not known.is_of(function, trained, compiled):
            self._residuals = Residuals(self._name, function, trained, compiled)
        return self._residuals

    def faults_of_memory(self, saved: Mapping[str, Array]) -> list[str]:
        """Return what does not fit in saved arrays, in words."""
        n = sum(p.size for p in self.trained())
        needed = {"damping": (), "growth": (), "scale": (n,)}
        return [
            f"{name} has shape {saved[name].shape}, needed {shape}"
            for name, shape in needed.items()
            if saved[name].shape != shape
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_residuals": None}


class _Run:
    """The steps of one call of `step`."""

    def __init__(
        self,
        optimizer: LevenbergMarquardt,
        residuals: Callable[..., Any],
        batch: tuple[Operand, ...],
        sample_weight: ArrayLike | None,
    ) -> None:
        self.optimizer, self.settings, self.batch = optimizer, optimizer.settings, batch
        self.residuals = optimizer.residuals_of(residuals)
        self.point = optimizer.point()
        self.root: Any = None  # of the weights
        r, J = self.residuals.both(batch)
        if sample_weight is not None:
            self.root = _root_of_weights(sample_weight, len(r))
        self.r, self.J = self._weighted(r), self._weighted(J)
        self.loss = half_square(self.r)
        if not (math.isfinite(self.loss) and np.isfinite(self.J).all()):
            raise NonFiniteError(
                f"LevenbergMarquardt: the loss is {self.loss} where the step begins, or its "
                "Jacobian is not finite; both must be. Look for the first nan with "
                "mg.detect_anomaly()."
            )
        kept = optimizer.recall()
        self.scale = kept.get("scale", np.zeros(len(self.point)))
        self._rescale()
        largest = 1.0 if self.settings["scaled"] else self._largest()
        self.damping = float(kept.get("damping", self.settings["damping"] * largest))
        self.growth = float(kept.get("growth", 2.0))

    def iterate(self) -> str:
        """Go on until there is a reason to end; return that."""
        for i in range(self.settings["max_iter"]):
            if i:
                r, J = self.residuals.both(self.batch)
                self.r, self.J = self._weighted(r), self._weighted(J)
                if not np.isfinite(self.J).all():
                    return "stuck"
                self._rescale()
            self.slope = self.J.T @ self.r
            if np.abs(self.slope).max(initial=0) <= self.settings["tolerance_grad"]:
                return "gradient"
            reason = self._descend()
            if reason:
                return reason
        return "iterations"

    def _descend(self) -> str:
        """Take the first step that lowers the loss; return a reason to end, or ""."""
        s, before = self.settings, (self.damping, self.growth)
        for _ in range(TRIES):
            weights = self.damping * (self.scale if s["scaled"] else np.ones(len(self.point)))
            h = damped_step(self.J, self.r, weights, s["solver"])
            along = self.J @ h
            foretold = -float(self.r @ along) - half_square(along)
            size = np.linalg.norm(self.point)
            if np.linalg.norm(h) <= s["tolerance_step"] * (size + s["tolerance_step"]):
                self.damping, self.growth = before  # other data may allow larger steps
                return "step"
            self.optimizer.move(self.point + h)
            reached = half_square(self._weighted(self.residuals.values(self.batch)))
            fell = self.loss - reached
            if fell > 0:  # and not if it is nan
                self._ease(fell / foretold if foretold > 0 else 0.0)
                enough = max(fell, foretold) > s["tolerance_loss"] * self.loss
                self.point, self.loss = self.optimizer.point(), reached
                return "" if enough else "loss"
            if max(-fell, foretold) <= UNSEEN * self.loss and self._is_flatter():
                self.point, self.loss = self.optimizer.point(), reached
                return "loss"
            self.optimizer.move(self.point)
            self._damp()
        self.damping, self.growth = before
        return "stuck"

    def _is_flatter(self) -> bool:
        """Return whether the gradient is smaller where the parameters are: the loss cannot tell."""
        r, J = self.residuals.both(self.batch)
        slope = self._weighted(J).T @ self._weighted(r)
        units = np.sqrt(self.scale)
        return bool(np.linalg.norm(slope / units) < np.linalg.norm(self.slope / units))

    def _ease(self, gain: float) -> None:
        """Damp less, the better the linear model has foretold the loss."""
        self.damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3) if gain < 2 else 1 / 3
        self.growth = 2.0

    def _damp(self) -> None:
        if self.damping == 0:
            self.damping = LEAST * (1.0 if self.settings["scaled"] else self._largest())
        self.damping *= self.growth
        self.growth *= 2

    def _rescale(self) -> None:
        """Let the scale be the largest diagonal of J'J so far; 1 where that is 0."""
        diagonal = np.einsum("ij,ij->j", self.J, self.J)
        self.scale = np.maximum(np.where(diagonal > 0, diagonal, 1.0), self.scale)

    def _largest(self) -> float:
        return float(np.einsum("ij,ij->j", self.J, self.J).max(initial=0)) or 1.0

    def _weighted(self, rows: Array) -> Array:
        """Return rows of residuals as a vector, or of their Jacobian as a matrix, weighted."""
        if self.root is not None:
            rows = rows * self.root.reshape((-1,) + (1,) * (rows.ndim - 1))
        return rows.reshape(rows.shape[0] * rows.shape[1], *rows.shape[2:])


def half_square(r: Array) -> float:
    """Return half the sum of squares.

    >>> half_square(np.array([3.0, 4.0]))
    12.5
    """
    return float(r @ r) / 2


def _root_of_weights(given: ArrayLike, rows: int) -> Array:
    weights = np.asarray(as_array("LevenbergMarquardt", given), np.float64)
    if weights.shape != (rows,):
        raise ShapeError(
            f"LevenbergMarquardt: sample_weight of shape {weights.shape} was given for {rows} rows "
            f"of residuals; it needs ({rows},)."
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(
            "LevenbergMarquardt: sample_weight has a number that is negative, nan or infinite; it "
            "needs numbers from 0 up."
        )
    return np.sqrt(weights)
