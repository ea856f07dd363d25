"""Callbacks: what `fit` tells at each turn of a training, under Keras's names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import NonFiniteError
from ..nn import Module
from ..optim import Optimizer, ReduceLROnPlateau

if TYPE_CHECKING:
    from .loop import Training

Logs = dict[str, float]


class Callback:
    """What is told of a training as it runs; override the methods that you need.

    Epochs and batches are counted from 0. `logs` are means over the samples so far: "loss", the
    metrics and, at the end of an epoch, "val_loss" and so on. Setting `self.model.stop_training` to
    True ends the training after the batch, with all that belongs to the end of its epoch. What a
    method raises ends it too, and `fit` raises it.

    Attributes:
        model: the model that is trained.
        optimizer: what trains it.
        params: {"epochs": ..., "steps": batches an epoch, or None if unknown, "verbose": ...}.
        training: the run; `training.save(path)` writes its whole state.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> class Shown(mg.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    >>> x = np.ones((4, 1))
    >>> run = mg.fit(mg.nn.Dense(1, 1), x, x, loss="mse", optimizer="sgd", epochs=2, verbose=0,
    ...              validation_data=(x, x), callbacks=[Shown()])
    0 ['loss', 'val_loss']
    1 ['loss', 'val_loss']
    """

    model: Module
    optimizer: Optimizer
    params: Mapping[str, Any]
    training: Training
    is_last = False  # whether it hears after those that come later in the list

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Hear how long the training is to be, before it begins."""
        self.params = params

    def set_model(self, model: Module) -> None:
        """Hear what is trained, before it begins."""
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Hear that training begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Hear that training has ended, and the results of its last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Hear that an epoch begins."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Hear the results of an epoch; what is added to `logs` is seen by later callbacks."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Hear that a batch begins."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Hear the means so far, after a batch."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Hear that the validation of an epoch begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Hear the results of the validation."""

    def conclude(self, epoch: int | None, logs: Logs | None = None) -> None:
        """Hear that all callbacks have heard of a batch, or of the end of this epoch."""

    def on_nonfinite(self, error: NonFiniteError) -> bool:
        """Return whether a loss that is nan or infinite ends the training without the error."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be saved to go on later: arrays, and values that JSON has."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


class Callbacks:
    """All callbacks of a run: each hook is a list of the methods that are not the empty ones."""

    def __init__(self, who: str, callbacks: Callback | Iterable[Callback] | None) -> None:
        self.all = sorted(_listed(who, callbacks), key=lambda callback: callback.is_last)
        self._methods = {hook: self._overridden(hook) for hook in (*HOOKS, "conclude")}

    def _overridden(self, hook: str) -> list[Callable[..., Any]]:
        empty = getattr(Callback, hook)
        methods = [getattr(callback, hook) for callback in self.all]
        return [method for method in methods if getattr(method, "__func__", None) is not empty]

    def attach(self, training: Training, params: Mapping[str, Any]) -> None:
        """Tell each what is trained."""
        for callback in self.all:
            callback.training, callback.optimizer = training, training.optimizer
            callback.set_params(params)
            callback.set_model(training.model)

    def listen(self, hook: str) -> bool:
        """Return whether somebody would hear; if not, logs need not be made."""
        return bool(self._methods[hook])

    def tell(self, hook: str, *what: Any) -> None:
        """Call the hook of each callback, in their order."""
        for method in self._methods[hook]:
            method(*what)

    def accept(self, error: NonFiniteError) -> bool:
        """Return whether a callback takes the error for the end of the training."""
        answers = [method(error) for method in self._methods["on_nonfinite"]]  # all are to hear
        return any(answers)


def _listed(who: str, callbacks: Callback | Iterable[Callback] | None) -> list[Callback]:
    """Return the callbacks as a list.

    Raises:
        TypeError: one is not a Callback.
    """
    if callbacks is None:
        return []
    given = [callbacks] if isinstance(callbacks, Callback) else callbacks
    if isinstance(given, Iterable) and not isinstance(given, (str, Mapping)):
        given = list(given)
        strange = [type(c).__name__ for c in given if not isinstance(c, Callback)]
    else:
        strange = [type(given).__name__]
    if strange:
        raise TypeError(
            f"{who}: a callback of type {strange[0]} was given; it needs a mg.callbacks.Callback. "
            "Make an object of the class, or subclass Callback."
        )
    return list(given)


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        functions: by the name of their hook, as `on_epoch_end=lambda epoch, logs: ...`.

    Raises:
        TypeError: there is no such hook, or something is not a function.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> shown = mg.callbacks.LambdaCallback(on_train_end=lambda logs: print(sorted(logs)))
    >>> x = np.ones((4, 1))
    >>> run = mg.fit(mg.nn.Dense(1, 1), x, x, loss="mse", optimizer="sgd", verbose=0,
    ...              callbacks=shown)
    ['loss']
    """

    def __init__(self, **functions: Callable[..., Any] | None) -> None:
        for name, function in functions.items():
            if name not in HOOKS:
                raise TypeError(
                    f"LambdaCallback: there is no hook {name}; the hooks are {', '.join(HOOKS)}."
                )
            if function is not None and not callable(function):
                raise TypeError(
                    f"LambdaCallback: {name} of type {type(function).__name__} was given; it needs "
                    "a function."
                )
            if function is not None:
                setattr(self, name, function)


class TerminateOnNaN(Callback):
    """End the training, without the error, if the loss becomes nan or infinite.

    The History has what came before; its `reason` says what happened.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, far = np.ones((4, 1)), np.full((4, 1), 1e30)  # its square is beyond float32
    >>> run = mg.fit(mg.nn.Dense(1, 1), x, far, loss="mse", optimizer="sgd", verbose=0,
    ...              callbacks=mg.callbacks.TerminateOnNaN())
    >>> run.reason.partition(";")[0]
    'fit: the loss is inf in epoch 1, batch 1'
    """

    def conclude(self, epoch: int | None, logs: Logs | None = None) -> None:
        """Hear that all callbacks have heard of a batch, or of the end of this epoch."""

    def on_nonfinite(self, error: NonFiniteError) -> bool:
        """Accept it."""
        return True


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch, or let a schedule of `mg.optim` do it.

    Args:
        schedule: a function of (epoch, present rate) that returns the rate; or a schedule such as
            `mg.optim.StepLR`, made for the same optimiser, of which `step()` is called.
        every: "epoch" or "batch": after what a schedule's `step()` is called.
        monitor: the result that a ReduceLROnPlateau looks at.

    Raises:
        TypeError: `schedule` is neither.
        ValueError: `every` is neither. In `fit`: the schedule is of another optimiser, a function
            returned something that is no rate, or there is no result `monitor`.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model, x = mg.nn.Dense(1, 1), np.ones((4, 1))
    >>> optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    >>> halving = mg.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / 2**epoch)
    >>> run = mg.fit(model, x, x, loss="mse", optimizer=optimizer, epochs=3, verbose=0,
    ...              callbacks=halving)
    >>> optimizer.param_groups[0]["lr"]
    0.025
    """

    def __init__(self, schedule: Any, *, every: str = "epoch", monitor: str = "val_loss") -> None:
        if not callable(schedule) and not hasattr(schedule, "step"):
            raise TypeError(
                f"LearningRateScheduler: a schedule of type {type(schedule).__name__} was given; "
                "it needs a function of (epoch, rate) or a schedule of mg.optim."
            )
        if every not in ("epoch", "batch"):
            raise ValueError(
                f'LearningRateScheduler: every={every!r} was given; it must be "epoch" or "batch".'
            )
        self.schedule, self.every, self.monitor = schedule, every, monitor
        self._steps = hasattr(schedule, "step")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check that a schedule is one of the optimiser that trains.

        Raises:
            ValueError: it is not.
        """
        if self._steps and getattr(self.schedule, "optimizer", None) is not self.optimizer:
            raise ValueError(
                "LearningRateScheduler: the schedule was made for another optimizer than fit's; it "
                "would change nothing. Make it with the optimizer that fit gets."
            )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate that a function tells."""
        if self._steps:
            return
        for group in self.optimizer.param_groups:
            rate = self.schedule(epoch, float(group["lr"]))
            if not hasattr(rate, "__float__") or not 0 <= float(rate) < math.inf:
                raise ValueError(
                    f"LearningRateScheduler: the function returned {rate!r}; it must return the "
                    "learning rate, a number of at least 0."
                )
            group["lr"] = float(rate)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Let the schedule make its step, if it makes one a batch."""
        if self._steps and self.every == "batch":
            self._step(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Let the schedule make its step, if it makes one an epoch."""
        if self._steps and self.every == "epoch":
            self._step(logs)

    def _step(self, logs: Logs | None) -> None:
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(monitored("LearningRateScheduler", logs, self.monitor))
        else:
            self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the schedule's own."""
        return dict(self.schedule.state_dict()) if self._steps else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give the schedule its own back."""
        if self._steps:
            self.schedule.load_state_dict(state)


def monitored(who: str, logs: Logs | None, name: str) -> float:
    """Return a result by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if not logs or name not in logs:
        needs = " Give fit validation data." if name.startswith("val_") else ""
        raise ValueError(
            f"{who}: monitor={name!r} was given; the results are {', '.join(logs or ())}.{needs}"
        )
    return logs[name]
