"""Training, measuring and using a model on arrays: `fit`, `evaluate`, `predict`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Operand, Tensor, wrap
from ..errors import NonFiniteError, ShapeError
from ..nn import Module
from ..nn.init import Rng
from ..optim import Optimizer
from ..recording import no_grad
from .batches import Samples, as_count, as_inputs, as_samples, held_out
from .history import History
from .interruption import Interruption
from .metrics import Metric, named_metrics
from .names import Loss, named_loss, named_optimizer
from .nonfinite import explain, unsound_parameter, word
from .progress import Progress, make_progress
from .steps import NotFiniteLoss, TrainingStep, predictor, value_of, values


def fit(
    model: Module,
    x: Operand,
    y: Operand,
    *,
    loss: str | Loss,
    optimizer: str | Optimizer,
    batch_size: int = 32,
    epochs: int = 1,
    validation_data: tuple[Operand, Operand] | None = None,
    validation_split: float = 0.0,
    metrics: str | Metric | Sequence[str | Metric] | None = (),
    shuffle: bool = True,
    verbose: int | str = "auto",
    rng: Rng = None,
    compile: bool = True,  # noqa: A002
) -> History:
    """Train the model, and return the course of its loss.

    Ctrl-C ends the training after a whole step; the history so far is returned.

    Args:
        model: a Module; its parameters are changed.
        x: float[n, ...], cast to the dtype of the parameters.
        y: any[n, ...], the targets; floats are cast too, integers stay.
        loss: a function of (prediction, target) that returns one number, or the name of one:
            "cross_entropy", "mse", "mae", "huber", "binary_cross_entropy", "hinge", ...
        optimizer: an optimiser with the model's parameters, or "sgd".
        batch_size: samples per step; the last batch of an epoch may be smaller.
        epochs: how many times all samples are used.
        validation_data: (x, y) on which loss and metrics are measured after each epoch.
        validation_split: the share of the samples, the last ones before shuffling, that is taken
            away from training and used as validation data.
        metrics: names ("accuracy", "mse", "mae") or functions of (prediction, target) on arrays.
        shuffle: whether each epoch has an order of its own.
        verbose: 0 shows nothing, 1 a bar, 2 a line per epoch, "auto" a bar on a terminal or in a
            notebook and lines elsewhere.
        rng: None, a seed, or a generator, for the shuffling.
        compile: whether to compile the step, for the same results several times as fast on small
            nets. What cannot be traced runs uncompiled, with a warning.

    Returns:
        A History, whose `history` has a list per name: "loss", the metrics, and, if there is
        validation data, "val_loss" and so on: means over the samples, one value an epoch.

    Raises:
        ShapeError: x and y are not of the same length.
        ValueError: there are no samples, some are not finite, or an option makes no sense.
        NonFiniteError: the loss became nan or infinite. The error has the `history` so far.

    >>> import microgrid as mg
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = mg.nn.MLP([1, 8, 1], rng=0)
    >>> optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> run = mg.fit(model, x, x**2, loss="mse", optimizer=optimizer, epochs=20, verbose=0, rng=0)
    >>> run.history["loss"][-1] < 0.1 * run.history["loss"][0]
    True
    """
    dtype = _dtype_of("fit", model)
    samples, validation = _samples(x, y, dtype, validation_data, validation_split)
    batch_size = as_count("fit", "batch_size", batch_size, 1)
    epochs = as_count("fit", "epochs", epochs, 0)
    training = _Training(
        model,
        named_loss("fit", loss),
        named_optimizer("fit", optimizer, model),
        named_metrics("fit", metrics),
        compile,
    )
    if shuffle not in (True, False):
        raise ValueError(f"fit: shuffle={shuffle!r} was given; it must be True or False.")
    progress = make_progress("fit", verbose, epochs, math.ceil(samples.count / batch_size))
    generator = np.random.default_rng(rng)
    orders = (generator.permutation(samples.count) if shuffle else None for _ in range(epochs))
    return training.run(samples, validation, batch_size, orders, progress)


def evaluate(
    model: Module,
    x: Operand,
    y: Operand,
    *,
    loss: str | Loss,
    metrics: str | Metric | Sequence[str | Metric] | None = (),
    batch_size: int = 256,
    compile: bool = True,  # noqa: A002
) -> dict[str, float]:
    """Return the mean loss and metrics over the samples, in evaluation mode.

    Args:
        model: a Module.
        x: float[n, ...], cast to the dtype of the parameters.
        y: any[n, ...], the targets.
        loss: a function of (prediction, target) or its name, as for `fit`.
        metrics: names or functions, as for `fit`.
        batch_size: samples at a time; it only decides how much memory is needed.
        compile: whether to compile the model if there are many batches.

    Returns:
        {"loss": ..., and a number per metric}.

    Raises:
        ShapeError: x and y are not of the same length.
        ValueError: there are no samples, some are not finite, or an option makes no sense.

    >>> import microgrid as mg
    >>> model = mg.nn.MLP([2, 1], rng=0)
    >>> sorted(mg.evaluate(model, np.zeros((4, 2)), np.ones((4, 1)), loss="mse", metrics="mae"))
    ['loss', 'mae']
    """
    samples = as_samples("evaluate", x, y, _dtype_of("evaluate", model))
    return _evaluate(
        model,
        samples,
        named_loss("evaluate", loss),
        named_metrics("evaluate", metrics),
        as_count("evaluate", "batch_size", batch_size, 1),
        compile,
    )


def predict(
    model: Module,
    x: Operand,
    batch_size: int = 256,
    compile: bool = True,  # noqa: A002
) -> Array:
    """Return the model's results for the samples, in evaluation mode, as an array.

    Args:
        model: a Module.
        x: float[n, ...], cast to the dtype of the parameters.
        batch_size: samples at a time; it only decides how much memory is needed.
        compile: whether to compile the model if there are many batches.

    Raises:
        ShapeError: x is a single number, or the results are not one a sample.
        TypeError: the model returns something else than a Tensor or an array.

    >>> import microgrid as mg
    >>> mg.predict(mg.nn.MLP([2, 3], rng=0), np.zeros((5, 2))).shape
    (5, 3)
    """
    inputs = as_inputs("predict", x, _dtype_of("predict", model))
    size = as_count("predict", "batch_size", batch_size, 1)
    starts = range(0, max(len(inputs), 1), size)  # one empty batch tells the shape for none
    with _mode(model, training=False), np.errstate(all="ignore"):
        run = predictor("predict", model, len(starts), compile)
        batches = (inputs[start : start + size] for start in starts)
        return np.concatenate([_rows(run(batch), len(batch)) for batch in batches])


class _Training:
    """One call of `fit`: what its epochs share."""

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        metrics: Mapping[str, Metric],
        compiled: bool,
    ) -> None:
        self.model = model
        self.loss = loss
        self.metrics = metrics
        self.interruption = Interruption()
        groups = optimizer.param_groups
        every = [*model.parameters(), *(p for group in groups for p in group["params"])]
        parameters = {id(p): p for p in every}.values()
        self.step = TrainingStep(
            model, loss, optimizer, parameters, self.interruption, bool(metrics), compiled
        )

    def run(
        self,
        samples: Samples,
        validation: Samples | None,
        batch_size: int,
        orders: Iterable[Array | None],
        progress: Progress,
    ) -> History:
        """Train one epoch per order."""
        history = History()
        try:
            with _mode(self.model, training=True), np.errstate(all="ignore"), self.interruption:
                for epoch, order in enumerate(orders):
                    progress.begin_epoch(epoch)
                    results = self._epoch(samples.batches(batch_size, order), progress)
                    if validation is not None:
                        measured = _evaluate(
                            self.model, validation, self.loss, self.metrics, batch_size,
                            self.step.compiled is not None,
                        )  # fmt: skip
                        self._check_validation(measured["loss"], epoch)
                        results |= {f"val_{name}": value for name, value in measured.items()}
                    self.interruption.hold()  # so that all lists have a value for each epoch
                    history.add(epoch, results)
                    progress.end_epoch(results)
                    self.interruption.release()
                self._check_last_update()
        except KeyboardInterrupt:
            history.interrupted = True
            done = len(history.epoch)
            progress.stop(f"fit: interrupted in epoch {done + 1}; the model keeps what it learned.")
        except BaseException as error:
            progress.stop()
            if isinstance(error, NonFiniteError):
                error.history = history
            raise
        finally:
            self.step.forget_gradients()
            history.programs = self.step.programs
        return history

    def _epoch(
        self, batches: Iterable[tuple[Array, Array]], progress: Progress
    ) -> dict[str, float]:
        means = _Means(self.metrics)
        for number, (x, y) in enumerate(batches, 1):
            try:
                value, prediction = self.step(x, y)
            except NotFiniteLoss as error:
                where = f"epoch {progress.epoch + 1}, batch {number}"
                raise self._not_finite(error.loss, where) from None
            means.add(value, prediction, y)
            progress.after_batch(number, means.results)
        return means.results()

    def _not_finite(self, loss: Tensor, place: str) -> NonFiniteError:
        reason = explain(loss, self.model.named_parameters())
        return NonFiniteError(
            f"fit: the loss is {word(loss.item())} in {place}; {reason}. "
            "Lower the learning rate or scale the inputs."
        )

    def _check_validation(self, loss: float, epoch: int) -> None:
        if math.isfinite(loss):
            return
        parameter = unsound_parameter(self.model.named_parameters())
        reason = f"{parameter} is not finite" if parameter else "all parameters are finite"
        raise NonFiniteError(
            f"fit: the loss is {word(loss)} in epoch {epoch + 1}, validation; {reason}. "
            "Lower the learning rate or scale the inputs."
        )

    def _check_last_update(self) -> None:
        """Raise if the last step, whose loss nobody will compute, left the numbers."""
        parameter = unsound_parameter(self.model.named_parameters())
        if parameter:
            raise NonFiniteError(
                f"fit: the last step left {parameter} with nan or inf. Lower the learning rate or "
                "scale the inputs."
            )


class _Means:
    """Means over samples, of which batches of different sizes bring their own means."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = metrics
        self.sums = dict.fromkeys(("loss", *metrics), 0.0)
        self.count = 0

    def add(self, loss: float, prediction: Any, y: Array) -> None:
        count = len(y)
        self.count += count
        self.sums["loss"] += loss * count
        for name, metric in self.metrics.items():
            self.sums[name] += float(metric(values(prediction), y)) * count

    def results(self) -> dict[str, float]:
        return {name: total / self.count for name, total in self.sums.items()}


def _evaluate(
    model: Module,
    samples: Samples,
    loss: Loss,
    metrics: Mapping[str, Metric],
    size: int,
    compiled: bool,
) -> dict[str, float]:
    means = _Means(metrics)
    with _mode(model, training=False), no_grad(), np.errstate(all="ignore"):
        run = predictor("evaluate", model, math.ceil(samples.count / size), compiled)
        for x, y in samples.batches(size):
            prediction = run(x)
            means.add(value_of("evaluate", loss(prediction, wrap(y))), prediction, y)
    return means.results()


@contextmanager
def _mode(model: Module, training: bool) -> Iterator[None]:
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def _samples(
    x: Operand,
    y: Operand,
    dtype: np.dtype[Any],
    validation_data: tuple[Operand, Operand] | None,
    validation_split: float,
) -> tuple[Samples, Samples | None]:
    samples = as_samples("fit", x, y, dtype)
    if validation_data is None:
        return held_out("fit", samples, validation_split) if validation_split else (samples, None)
    if validation_split:
        raise ValueError(
            "fit: validation_data and validation_split were both given; only one can be used. "
            "Leave one out."
        )
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
        raise ValueError("fit: validation_data was given; it must be a pair (x, y).")
    names = "validation x and validation y"
    return samples, as_samples("fit", *validation_data, dtype, names)


def _dtype_of(who: str, model: Module) -> np.dtype[Any]:
    """Return the dtype of the model's first parameter, to which inputs are cast."""
    if not isinstance(model, Module):
        raise TypeError(
            f"{who}: the model given is of type {type(model).__name__}; it needs a Module. "
            "Subclass mg.nn.Module, or use Sequential."
        )
    return next((p.dtype for p in model.parameters()), np.dtype(np.float32))


def _rows(prediction: Any, count: int) -> Array:
    """Return the results for `count` samples as an array."""
    if not isinstance(prediction, (Tensor, np.ndarray, np.generic)):
        raise TypeError(
            f"predict: the model returned type {type(prediction).__name__}; it must return one "
            "Tensor or array. Call the model itself for other results."
        )
    found = values(prediction)
    if found.shape[:1] != (count,):
        raise ShapeError(
            f"predict: the model returned shape {found.shape} for {count} samples; the first "
            "dimension must count the samples. Call the model itself for other results."
        )
    return found
