"""What `fit`, `evaluate` and `predict` do with one batch, compiled where that can be done."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..arrays import Array
from ..compiler import Compiled, check_backend
from ..compiler.chance import Chance
from ..compiler.guards import Guard
from ..core import Tensor, assign, wrap
from ..errors import ShapeError, TraceError
from ..nn import Module
from ..nn.penalties import penalty_of
from ..ops.checks import NotFiniteHere, are_finite
from ..optim import Optimizer
from ..recording import no_grad
from .names import Loss
from .weights import weighted


class NotFiniteLoss(Exception):
    """The loss of a batch is nan or infinite; nothing was updated."""

    def __init__(self, loss: Tensor) -> None:
        super().__init__()
        self.loss = loss


class TrainingStep:
    """Forward, loss, backward and update for one batch.

    Args:
        model, loss, optimizer: what is trained, and how.
        parameters: whose gradients are forgotten first.
        predicts: whether the prediction is wanted too, for metrics.
        backend: what to compile for, or None; what cannot be traced runs as it is, with a warning.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        parameters: Iterable[Tensor],
        predicts: bool,
        backend: str | None,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.parameters = list(parameters)
        self._predicts = predicts
        self._before: Callable[[], None] | None = None
        self.compiled = None if backend is None else Compiled(self._whole, backend)
        if self.compiled is not None:
            self.compiled.before_trace = self._remember

    def guarded(self) -> Iterator[tuple[str, str, tuple[Any, ...], Any]]:
        """Yield what the compiled step relies on."""
        for name in ("model", "loss", "optimizer"):
            part = getattr(self, name)
            yield name, f"{{0}}.{name} is {{1}}", (self, part), part

    def __call__(self, x: Array, y: Array, *weight: Array) -> tuple[float, Any]:
        """Return the loss and, if it is wanted, the prediction.

        Args:
            x, y: a batch.
            weight: of its samples, if they weigh differently.

        Raises:
            NotFiniteLoss: the loss is nan or infinite.
        """
        if self.compiled is None:
            return self._eager(x, y, *weight)
        self._before = None
        try:
            result = self.compiled.quietly(x, y, *weight)
        except TraceError as error:
            self._give_up(error)
            return self._eager(x, y, *weight)
        except NotFiniteHere:
            wrapped = [wrap(array) for array in (y, *weight)]
            raise NotFiniteLoss(self._loss(self.model(wrap(x)), *wrapped)) from None
        if self._predicts:
            return result[0]._data.item(), result[1]
        return result._data.item(), None

    def close(self) -> None:
        """Drop the programs, for good."""
        if self.compiled is not None:
            self.compiled.forget()
            self.compiled = None

    @property
    def backend(self) -> str | None:
        """What it is compiled for, None if it runs as it is."""
        return None if self.compiled is None else self.compiled.backend

    @property
    def programs(self) -> int:
        """How many programs were compiled."""
        return 0 if self.compiled is None else self.compiled.traces

    def _loss(self, prediction: Any, y: Tensor, *weight: Tensor) -> Any:
        """Return what is minimised: the loss of the batch and the penalties of the model."""
        if weight:
            loss = weighted("fit", self.loss, prediction, y, *weight)
        else:
            loss = self.loss(prediction, y)
        check_loss("fit", loss)
        penalty = penalty_of(self.model)
        return loss if penalty is None else loss + penalty

    def _whole(self, x: Tensor, y: Tensor, *weight: Tensor) -> Any:
        """The step as it is traced."""
        prediction = self.model(x)
        loss = self._loss(prediction, y, *weight)
        are_finite(loss, who="fit")
        self.forget_gradients()
        loss.backward()
        self.optimizer.step()
        return (loss, prediction) if self._predicts else loss

    def _eager(self, x: Array, *others: Array) -> tuple[float, Any]:
        prediction = self.model(wrap(x))
        loss = self._loss(prediction, *map(wrap, others))
        value = float(loss.item())
        if not math.isfinite(value):
            raise NotFiniteLoss(loss)
        self.forget_gradients()
        loss.backward()
        self.optimizer.step()
        return value, prediction

    def _remember(self, guard: Guard, chance: Chance) -> None:
        """Keep what a step may change, so that one that cannot be traced can be undone."""
        leaves = {id(p): p for p in (*self.parameters, *guard.tensors)}.values()
        values = [(p, p._data.copy()) for p in leaves if p.is_leaf]
        state = self.optimizer.state_dict()

        def restore() -> None:
            for p, before in values:
                assign(p, before)
            self.optimizer.load_state_dict(state)
            chance.restore()

        self._before = restore

    def _give_up(self, error: TraceError) -> None:
        self.compiled = None
        if self._before is not None:
            self._before()
            self._before = None
        warn_uncompiled("fit", "step", error)

    def forget_gradients(self) -> None:
        """Set `.grad` of every parameter to None."""
        for p in self.parameters:
            p.zero_grad()


# A call of fewer batches would be over before its program is written.
WORTH_COMPILING = 8


def backend_of(who: str, compile: bool | str) -> str | None:  # noqa: A002
    """Return what to compile for: for compile=True "numpy", for False None, or else its name."""
    if not isinstance(compile, str):
        return "numpy" if compile else None
    check_backend(f"{who}: compile", compile)
    return compile


def predictor(
    who: str, model: Module, batches: int | None, backend: str | None
) -> Callable[[Array], Any]:
    """Return the model as a function of a batch, in evaluation mode and without gradients."""
    if backend is None:
        return lambda x: _without_graph(model, x)
    known = vars(model).get("_predictor")
    if known is None and batches is not None and batches < WORTH_COMPILING:
        return lambda x: _without_graph(model, x)
    if known is None or known.backend != backend:
        known = vars(model)["_predictor"] = Compiled(model, backend)
    can_be_traced = True

    def run(x: Array) -> Any:
        nonlocal can_be_traced
        if can_be_traced:
            try:
                return known.quietly(x)
            except TraceError as error:
                can_be_traced = False
                warn_uncompiled(who, "model", error)
        return _without_graph(model, x)

    return run


def warn_uncompiled(who: str, what: str, error: TraceError) -> None:
    """Say that something runs as it is, and why."""
    warnings.warn(
        f"{who}: the {what} runs uncompiled, as it cannot be traced: {error} "
        "Pass compile=False if that is meant.",
        stacklevel=_depth_of_user(),
    )


def _depth_of_user() -> int:
    """Return how many calls lie between the caller's warning and the user's line."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("microgrid"):
        frame, depth = frame.f_back, depth + 1
    return depth


def _without_graph(model: Module, x: Array) -> Any:
    with no_grad():
        return model(wrap(x))


def check_loss(who: str, loss: Any) -> None:
    """Raise unless a loss is one number.

    Raises:
        TypeError: it is no Tensor.
        ShapeError: it has several elements.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"{who}: the loss returned type {type(loss).__name__}; it must return a Tensor. "
            "Compute it with operations on the prediction."
        )
    if loss.size != 1:
        raise ShapeError(
            f"{who}: the loss returned shape {loss.shape}; it must be one number. "
            'Use reduction="mean".'
        )


def value_of(who: str, loss: Any) -> float:
    """Return a loss as a number."""
    check_loss(who, loss)
    return float(loss.item())


def values(prediction: Any) -> Array:
    """Return a prediction as an array.

    Raises:
        TypeError: it is several.
    """
    if isinstance(prediction, (tuple, list, dict)):
        raise TypeError(
            f"fit: the model returned type {type(prediction).__name__}, and metrics need one array "
            "of predictions. Leave metrics out, or measure in a callback."
        )
    return prediction._data if isinstance(prediction, Tensor) else np.asarray(prediction)
