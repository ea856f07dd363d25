"""The loop of `fit`: epochs, batches, validation, and what is told on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import wrap
from ..errors import NonFiniteError
from ..metrics import Metric
from ..nn import Module
from ..optim import Optimizer
from ..recording import no_grad
from .batches import Batch, Source
from .callbacks import Callbacks
from .history import History
from .interruption import Interruption
from .names import Loss
from .nonfinite import explain, unsound_parameter, word
from .progress import Progress
from .resume import Position, save_run
from .steps import NotFiniteLoss, TrainingStep, predictor, value_of
from .tally import Tally
from .weights import weighted

ADVICE = "Lower the learning rate or scale the inputs."


@dataclass
class Plan:
    """What one call of `fit` was asked for, checked."""

    source: Source
    validation: Source | None
    metrics: Mapping[str, Metric]
    batch_size: int
    epochs: int
    shuffle: bool
    rng: np.random.Generator
    backend: str | None


class Training:
    """One run of `fit`: what its epochs share.

    Attributes:
        model, loss, optimizer: what is trained, and how.
        history: the course so far.
        position: the epoch, and how many of its batches are done.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        plan: Plan,
        callbacks: Callbacks,
        progress: Progress,
        first: int = 0,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.plan, self.callbacks, self._progress = plan, callbacks, progress
        self.history = History()
        self.position = Position(epoch=first)
        self.tally = Tally(plan.metrics)
        self.interruption = Interruption()
        self._results: dict[str, float] | None = None  # of an epoch that is about to be over
        self.step = TrainingStep(
            model,
            loss,
            optimizer,
            _parameters(model, optimizer),
            bool(plan.metrics),
            plan.backend,
        )

    def save(self, path: Any) -> None:
        """Write the whole state of the run to a file, with which `fit(..., resume=path)` goes on.

        Args:
            path: where to write: a str or a Path.

        Raises:
            OSError: the file cannot be written. An old one is as it was.
        """
        save_run(path, self, self._results)

    def run(self) -> History:
        """Train until all epochs are done, or somebody ends it."""
        history = self.history
        vars(self.model)["stop_training"] = self.position.stopped
        try:
            with mode(self.model, training=True), np.errstate(all="ignore"), self.interruption:
                self.callbacks.tell("on_train_begin", {})
                while self.position.epoch < self.plan.epochs and not self._stopped():
                    self._epoch()
                self._check_last_update()
        except KeyboardInterrupt:
            history.interrupted = True
            self._stop(
                f"fit: interrupted in epoch {self.position.epoch + 1}; "
                "the model keeps what it learned."
            )
        except NonFiniteError as error:
            if not self.callbacks.accept(error):
                self._progress.stop()
                error.history = history
                raise
            self._stop(str(error))
        except BaseException:
            self._progress.stop()
            raise
        finally:
            self.step.forget_gradients()
            history.programs = self.step.programs
        self.callbacks.tell("on_train_end", history.last())
        self.step.close()  # what a compiled step holds on to waits for Python's collector otherwise
        return history

    def _stopped(self) -> bool:
        return bool(vars(self.model).get("stop_training"))

    def _stop(self, reason: str) -> None:
        self.history.reason = reason
        self._progress.stop(reason)

    def _epoch(self) -> None:
        epoch = self.position.epoch
        self._progress.begin_epoch(epoch)
        if not self.position.batch:
            self.callbacks.tell("on_epoch_begin", epoch, {})
            self.tally = Tally(self.plan.metrics)
            self.position.order = self._order()
        results = self._batches()
        if self.plan.validation is not None:
            self.callbacks.tell("on_test_begin", {})
            measured = self._validated(self.plan.validation, epoch)
            self.callbacks.tell("on_test_end", measured)
            results |= measured
        self._results = results
        self.callbacks.tell("on_epoch_end", epoch, results)
        for name, value in results.items():
            results[name] = _number(name, value)
        self.callbacks.tell("conclude", epoch, results)
        self._results = None
        self.interruption.hold()  # so that all lists have a value for each epoch
        self.history.add(epoch, results)
        self.position = Position(epoch + 1)
        self._progress.end_epoch(results)
        self.interruption.release()

    def _order(self) -> Array | None:
        """Return the order of the samples of an epoch, or None for that in which they come."""
        count = getattr(self.plan.source, "count", None)
        return self.plan.rng.permutation(count) if self.plan.shuffle and count else None

    def _batches(self) -> dict[str, float]:
        position, progress, tally, step = self.position, self._progress, self.tally, self.step
        listen = self.callbacks.listen
        begins = listen("on_train_batch_begin")
        ends = listen("on_train_batch_end") or listen("conclude")
        hold, release, model = self.interruption.hold, self.interruption.release, vars(self.model)
        for batch in self.plan.source.batches(self.plan.batch_size, position.order, position.batch):
            hold()  # a step, and who hears of it, is done wholly or not at all
            try:
                if begins:
                    self.callbacks.tell("on_train_batch_begin", position.batch, {})
                value, prediction = step(*batch)
                tally.add(value, prediction, batch[1])
                position.batch += 1
                if ends:
                    self._tell_of_batch(position.batch - 1)
            except NotFiniteLoss as error:
                raise self._not_finite(error) from None
            finally:
                release()
            progress.after_batch(position.batch, tally.so_far)
            if model["stop_training"]:
                break
        return tally.results()

    def _tell_of_batch(self, number: int) -> None:
        logs = self.tally.so_far()
        self.callbacks.tell("on_train_batch_end", number, logs)
        self.callbacks.tell("conclude", None, logs)

    def _validated(self, source: Source, epoch: int) -> dict[str, float]:
        measured = measure(
            "fit", self.model, source, self.loss, self.plan.metrics, self.plan.batch_size,
            self.step.backend,
        )  # fmt: skip
        if not math.isfinite(measured["loss"]):
            parameter = unsound_parameter(self.model.named_parameters())
            reason = f"{parameter} is not finite" if parameter else "all parameters are finite"
            raise NonFiniteError(
                f"fit: the loss is {word(measured['loss'])} in epoch {epoch + 1}, validation; "
                f"{reason}. {ADVICE}"
            )
        return {f"val_{name}": value for name, value in measured.items()}

    def _not_finite(self, error: NotFiniteLoss) -> NonFiniteError:
        place = f"epoch {self.position.epoch + 1}, batch {self.position.batch + 1}"
        reason = explain(error.loss, self.model.named_parameters())
        return NonFiniteError(
            f"fit: the loss is {word(error.loss.item())} in {place}; {reason}. {ADVICE}"
        )

    def _check_last_update(self) -> None:
        """Raise if the last step, whose loss nobody will compute, left the numbers."""
        parameter = unsound_parameter(self.model.named_parameters())
        if parameter:
            raise NonFiniteError(f"fit: the last step left {parameter} with nan or inf. {ADVICE}")


def _number(name: str, value: Any) -> float:
    """Return what a callback may have added to the results as a number.

    Raises:
        TypeError: it is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"fit: the result {name!r} of type {type(value).__name__} was added to the logs; it "
            "needs a number. Keep other things in the callback."
        ) from None


def _parameters(model: Module, optimizer: Optimizer) -> Iterable[Any]:
    groups = optimizer.param_groups
    every = [*model.parameters(), *(p for group in groups for p in group["params"])]
    return {id(p): p for p in every}.values()


def measure(
    who: str,
    model: Module,
    source: Source,
    loss: Loss,
    metrics: Mapping[str, Metric],
    size: int,
    backend: str | None,
) -> dict[str, float]:
    """Return the mean loss and the metrics of all samples, in evaluation mode."""
    tally = Tally(metrics)
    with mode(model, training=False), no_grad(), np.errstate(all="ignore"):
        run: Callable[[Array], Any] = predictor(who, model, source.steps(size), backend)
        for batch in source.batches(size):
            prediction = run(batch[0])
            tally.add(_loss_of(who, loss, prediction, batch), prediction, batch[1])
    return tally.results()


def _loss_of(who: str, loss: Loss, prediction: Any, batch: Batch) -> float:
    _, y, *weight = batch
    if weight:
        return value_of(who, weighted(who, loss, prediction, wrap(y), wrap(weight[0])))
    return value_of(who, loss(prediction, wrap(y)))


@contextmanager
def mode(model: Module, training: bool) -> Iterator[None]:
    """Let a model train, or not, for a while."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
