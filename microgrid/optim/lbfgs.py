"""L-BFGS: a quasi-Newton method that remembers the last steps instead of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Tensor
from ..errors import NonFiniteError
from ..ops.arithmetic import quiet
from .line_search import Trial, strong_wolfe
from .second_order import SecondOrder
from .settings import check_at_least_zero, check_count

Closure = Callable[[], Any]


class LBFGS(SecondOrder):
    """A quasi-Newton method for losses without noise: all samples in each step.

    It goes along d = -H g, where H approximates the inverse of the Hessian by the changes of the
    gradient in the last `history_size` iterations (two-loop recursion, which stores no matrix), as
    far as a line search says.

    Args:
        params: an iterable of Tensors, float[...] each.
        lr: the step length that is tried first; in the first iteration of all it is
            lr * min(1, 1 / sum |g|).
        max_iter: iterations in one call of `step`.
        max_eval: evaluations of the closure in one call, after which it ends; 5/4 of max_iter if
            None.
        tolerance_grad: it ends when no number of the gradient is larger.
        tolerance_change: it ends when no parameter, or the loss, changes by more than that.
        history_size: how many iterations are remembered.
        line_search_fn: "strong_wolfe", or None for steps of lr.

    Attributes:
        loss: what the last step has reached.
        status: why it ended: "gradient", "change", "slope" (the direction goes down no more),
            "iterations" or "evaluations".

    The direction is computed in float64 whatever the dtype of the parameters. In float64 its
    trajectory equals PyTorch's, where `line_search_fn` is None and `history_size` 100 if nothing
    else is said. A loss of nan or inf within the line search counts as too far.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, a setting makes no sense, or there
            are several groups.
        GraphError: a Tensor is not a leaf.
        DtypeError: one is not of floats.

    Source: Nocedal & Wright (2006), algorithm 7.5.

    >>> import microgrid as mg
    >>> p = mg.tensor([-1.2, 1.0], requires_grad=True)
    >>> optimizer = mg.optim.LBFGS([p], max_iter=100)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure) > 24
    True
    >>> p.numpy().round(3).tolist(), optimizer.loss < 1e-8
    ([1.0, 1.0], True)
    """

    memory = (
        "iterations", "evaluations", "direction", "length", "gradient", "changes", "steps",
        "scale",
    )  # fmt: skip
    tallies = ("iterations", "evaluations")
    example = (
        "optimizer.step(closure), where closure() calls optimizer.zero_grad(), computes the loss, "
        "calls loss.backward() and returns the loss"
    )

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 10,
        line_search_fn: str | None = "strong_wolfe",
    ) -> None:
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise a ValueError if the settings make no sense."""
        check_at_least_zero(self._name, settings, "lr", "tolerance_grad", "tolerance_change")
        for name in ("max_iter", "history_size"):
            check_count(self._name, name, settings[name])
        if settings["max_eval"] is not None:
            check_count(self._name, "max_eval", settings["max_eval"])
        if settings["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                f"{self._name}: line_search_fn={settings['line_search_fn']!r} was given; it must "
                'be "strong_wolfe" or None.'
            )

    @quiet
    def step(self, closure: Closure | None = None) -> float:  # type: ignore[override]
        """Make up to `max_iter` iterations, and return the loss before them.

        Args:
            closure: computes the loss and its gradients, and returns the loss, float[]: it calls
                `zero_grad`, and `backward` on the loss. It may be compiled.

        Raises:
            TypeError: there is no closure, or it returns no number or goes not backward.
            ValueError: a parameter has a constraint, or none requires a gradient.
            ShapeError: a gradient, set by hand, has not the shape of its parameter.
            TraceError: it is called in a compiled step.
            NonFiniteError: the loss, or its gradient, is nan or infinite at the start.
        """
        self.check_call(closure)
        if closure is None:
            return math.nan
        run = _Run(self, closure)
        before = run.now.loss
        self.status = run.iterate()
        self.loss = run.now.loss
        run.keep()
        return before

    def faults_of_memory(self, saved: Mapping[str, Array]) -> list[str]:
        """Return what does not fit in saved arrays, in words."""
        n, stored = sum(p.size for p in self.trained()), saved["steps"].shape[0:1]
        needed = {
            "iterations": (), "evaluations": (), "length": (), "scale": (), "direction": (n,),
            "gradient": (n,), "changes": (*stored, n), "steps": (*stored, n),
        }  # fmt: skip
        return [
            f"{name} has shape {saved[name].shape}, needed {shape}"
            for name, shape in needed.items()
            if saved[name].shape != shape
        ]


class _Run:
    """The iterations of one call of `step`."""

    def __init__(self, optimizer: LBFGS, closure: Closure) -> None:
        self.optimizer, self.closure = optimizer, closure
        self.settings = optimizer.settings
        self.calls = 0
        self.point = optimizer.point()
        kept = optimizer.recall()
        self.iterations = int(kept.get("iterations", 0))
        self.earlier = int(kept.get("evaluations", 0))
        zeros = np.zeros_like(self.point)
        self.direction, self.gradient = kept.get("direction", zeros), kept.get("gradient", zeros)
        self.length, self.scale = float(kept.get("length", 0.0)), float(kept.get("scale", 1.0))
        self.changes, self.steps = list(kept.get("changes", ())), list(kept.get("steps", ()))
        self.now = self._evaluate()
        if not (math.isfinite(self.now.loss) and np.isfinite(self.now.gradient).all()):
            raise NonFiniteError(
                f"LBFGS: the loss is {self.now.loss} where the step begins, and its gradient "
                f"{_finite(self.now.gradient)}; both must be finite. Look for the first nan with "
                "mg.detect_anomaly()."
            )

    def keep(self) -> None:
        """Let the optimiser remember where the run stands."""
        n = self.point.size
        self.optimizer.remember(
            iterations=self.iterations, evaluations=self.earlier + self.calls,
            direction=self.direction, length=self.length, gradient=self.gradient,
            changes=np.reshape(self.changes, (len(self.changes), n)),
            steps=np.reshape(self.steps, (len(self.steps), n)), scale=self.scale,
        )  # fmt: skip

    def iterate(self) -> str:
        """Go on until there is a reason to end; return that."""
        s = self.settings
        most = s["max_eval"] if s["max_eval"] is not None else s["max_iter"] * 5 // 4
        if self._is_level():
            return "gradient"
        for i in range(1, s["max_iter"] + 1):
            self.iterations += 1
            self._turn()
            first = self.iterations == 1
            self.length = s["lr"] * (min(1.0, 1 / np.abs(self.gradient).sum()) if first else 1.0)
            slope = float(self.gradient @ self.direction)
            if slope > -s["tolerance_change"]:
                return "slope"
            before = self.now.loss
            self._go(slope, last=i == s["max_iter"])
            if i == s["max_iter"]:
                break
            if self.calls >= most:
                return "evaluations"
            if self._is_level():
                return "gradient"
            change = np.abs(self.direction * self.length).max(initial=0)
            if min(change, abs(self.now.loss - before)) <= s["tolerance_change"]:
                return "change"
        return "iterations"

    def _is_level(self) -> bool:
        return bool(np.abs(self.now.gradient).max(initial=0) <= self.settings["tolerance_grad"])

    def _turn(self) -> None:
        """Take the direction from the gradient here and the steps so far."""
        g = self.now.gradient
        if self.iterations == 1:
            self.direction, self.scale = -g, 1.0
            self.changes, self.steps = [], []
        else:
            change, step = g - self.gradient, self.direction * self.length
            curvature = float(change @ step)
            if curvature > 1e-10:  # else the approximation would not stay positive
                self.changes.append(change)
                self.steps.append(step)
                surplus = len(self.steps) - self.settings["history_size"]
                del self.changes[: max(surplus, 0)], self.steps[: max(surplus, 0)]
                self.scale = curvature / float(change @ change)
            self.direction = -product(g, self.changes, self.steps, self.scale)
        self.gradient = g

    def _go(self, slope: float, last: bool) -> None:
        """Move along the direction, as far as the line search says."""
        if self.settings["line_search_fn"] is None:
            # The next call begins with an evaluation, which the last iteration can leave to it.
            arrived = self._move(self.length)
            self.now = self.now if last else arrived()
            self.point = self.optimizer.point()
            return
        largest = float(np.abs(self.direction).max())
        start = Trial(0.0, self.now.loss, slope, self.now.gradient)
        self.now, _ = strong_wolfe(
            lambda t: self._move(t)(), start, self.length, largest,
            tolerance=self.settings["tolerance_change"],
        )  # fmt: skip
        self.length = self.now.length
        self._move(self.length)
        self.point = self.optimizer.point()

    def _move(self, length: float) -> Callable[[], Trial]:
        self.optimizer.move(self.point + length * self.direction)
        return lambda: self._evaluate(length)

    def _evaluate(self, length: float = 0.0) -> Trial:
        self.calls += 1
        loss = self.closure()
        value = _number(loss)
        gradient = _gradient(self.optimizer)
        return Trial(length, value, float(gradient @ self.direction), gradient)


def product(g: Array, changes: list[Array], steps: list[Array], scale: float) -> Array:
    """Return H g, for H the inverse Hessian by L-BFGS, by the two-loop recursion.

    Args:
        g: float[n].
        changes, steps: of gradient and parameters, float[n] each, the oldest first.
        scale: H without any of them is scale times the identity.

    Source: Nocedal & Wright (2006), algorithm 7.4.

    >>> product(np.array([2.0, 3.0]), [np.array([4.0, 0.0])], [np.array([1.0, 0.0])], 1.0)
    array([0.5, 3. ])
    """
    q, shares = g.copy(), []
    inverses = [1 / float(y @ s) for y, s in zip(changes, steps, strict=True)]
    for y, s, rho in reversed(list(zip(changes, steps, inverses, strict=True))):
        shares.append(rho * float(s @ q))
        q -= shares[-1] * y
    q *= scale
    for y, s, rho, share in zip(changes, steps, inverses, reversed(shares), strict=True):
        q += (share - rho * float(y @ q)) * s
    return q


def _gradient(optimizer: LBFGS) -> Array:
    """Return the gradient as float64[n]; a parameter whose `grad` is None has zeros.

    Raises:
        TypeError: every `grad` is None.
    """
    trained = optimizer.trained()
    if all(p.grad is None for p in trained):
        raise TypeError(
            "LBFGS: no parameter has a gradient after the closure was called; it must call "
            "backward() on the loss."
        )
    optimizer.check_gradients()
    given = (np.zeros(p.shape) if p.grad is None else p.grad for p in trained)
    return np.concatenate([np.ravel(g).astype(np.float64) for g in given])


def _number(loss: Any) -> float:
    """Return the loss as a float.

    Raises:
        TypeError: it is no number.
    """
    if isinstance(loss, (Tensor, np.ndarray)) and loss.size == 1:
        return float(loss.item())
    if not isinstance(loss, Real):
        what = f"a {type(loss).__name__}"
        what += f" of shape {loss.shape}" if isinstance(loss, (Tensor, np.ndarray)) else ""
        raise TypeError(
            f"LBFGS: the closure returned {what}; it must return the loss, one number. Write "
            "`return loss` at its end."
        )
    return float(loss)


def _finite(gradient: Array) -> str:
    count = int((~np.isfinite(gradient)).sum())
    return f"has {count} numbers that are not" if count else "is finite"
