"""Training, measuring and using a model on arrays: `fit`, `evaluate`, `predict`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Tensor
from ..errors import ShapeError
from ..nn import Module
from ..nn.init import Rng
from ..optim import Optimizer
from .batches import (
    Samples,
    Source,
    as_count,
    as_inputs,
    as_samples,
    as_stream,
    held_out,
    is_stream,
)
from .callbacks import Callback, Callbacks
from .history import History
from .loop import Plan, Training, measure, mode
from .metrics import Metrics, named_metrics
from .monitors import ModelCheckpoint
from .names import Loss, named_loss, named_optimizer
from .progress import make_progress
from .resume import resume_run
from .steps import backend_of, predictor, values
from .weights import ClassWeight, as_weights, check_classes


def fit(
    model: Module,
    x: Any,
    y: Any = None,
    *,
    loss: str | Loss,
    optimizer: str | Optimizer,
    batch_size: int = 32,
    epochs: int = 1,
    validation_data: Any = None,
    validation_split: float = 0.0,
    metrics: Metrics = (),
    callbacks: Callback | Iterable[Callback] | None = (),
    shuffle: bool = True,
    sample_weight: Any = None,
    class_weight: ClassWeight = None,
    verbose: int | str = "auto",
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    rng: Rng = None,
    compile: bool | str = True,  # noqa: A002
) -> History:
    """Train the model, and return the course of its loss.

    Ctrl-C ends the training after a whole step; the history so far is returned.

    Args:
        model: a Module; its parameters are changed.
        x: float[n, ...], cast to the dtype of the parameters. A np.memmap is read batch by batch.
            Or, without y, what yields batches (x, y) or (x, y, sample_weight): something that can
            be iterated over anew each epoch, a function that returns a generator, or, with
            `steps_per_epoch`, an iterator that goes on.
        y: any[n, ...], the targets; floats are cast too, integers stay.
        loss: a function of (prediction, target) that returns one number, or the name of one:
            "cross_entropy", "mse", "mae", "huber", "binary_cross_entropy", "hinge", ...
        optimizer: an optimiser with the model's parameters, or the name of one: "sgd", "adam", ...
        batch_size: samples per step; the last batch of an epoch may be smaller.
        epochs: the number of the epoch at which training ends: how many times all samples are used,
            those before `initial_epoch` included.
        validation_data: (x, y) or (x, y, sample_weight) on which loss and metrics are measured
            after each epoch, or what yields batches anew each time.
        validation_split: the share of the samples, the last ones before shuffling, that is taken
            away from training and used as validation data.
        metrics: names ("accuracy", "f1", "roc_auc", "rmse", ...), objects of `mg.metrics`, or
            functions of (prediction, target), which are called once an epoch on all its arrays.
        callbacks: objects of `mg.callbacks`, told of each turn.
        shuffle: whether each epoch has an order of its own.
        sample_weight: float[n], at least 0: what each sample's loss is multiplied by. The loss is
            the mean of these products; metrics do not know of weights.
        class_weight: {class: weight}, 1 for those left out, or "balanced": n / (classes * count).
            A class that y has not is refused; where x yields batches, that cannot be known.
        verbose: 0 shows nothing, 1 a bar, 2 a line per epoch, "auto" a bar on a terminal or in a
            notebook and lines elsewhere.
        initial_epoch: the number of the first epoch.
        steps_per_epoch: how many batches of an iterator are an epoch.
        resume: a file of ModelCheckpoint: the run goes on where that one stood, as if it had never
            been interrupted. The file may be missing if one of `callbacks` is going to write it.
        rng: None, a seed, or a generator, for the shuffling.
        compile: whether to compile the step, for the same results several times as fast on small
            nets; or for which backend. What cannot be traced runs uncompiled, with a warning.

    Returns:
        A History, whose `history` has a list per name: "loss", the metrics, and, if there is
        validation data, "val_loss" and so on: those of all samples, one value an epoch. "loss" is
        what is minimised: the model's penalties are in it; they are not in "val_loss".

    Raises:
        ShapeError: x and y are not of the same length, or x does not fit the model.
        TypeError: the model is no Module, or another argument of a type that cannot be used.
        ValueError: there are no samples, some are not finite, or an option makes no sense.
        NonFiniteError: the loss became nan or infinite. The error has the `history` so far.
        FileFormatError, StateError: `resume` is damaged, or of another run; nothing was changed.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = mg.nn.MLP([1, 8, 1], rng=0)
    >>> optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> run = mg.fit(model, x, x**2, loss="mse", optimizer=optimizer, epochs=20, verbose=0, rng=0)
    >>> run.history["loss"][-1] < 0.1 * run.history["loss"][0]
    True
    """
    dtype = _dtype_of("fit", model)
    if shuffle not in (True, False):
        raise ValueError(f"fit: shuffle={shuffle!r} was given; it must be True or False.")
    size, last = as_count("fit", "batch_size", batch_size, 1), as_count("fit", "epochs", epochs, 0)
    first = as_count("fit", "initial_epoch", initial_epoch, 0)
    source = _source(x, y, dtype, sample_weight, class_weight, steps_per_epoch, last - first > 1)
    source, validation = _validation(source, dtype, validation_data, validation_split)
    if isinstance(source, Samples):  # what is held out is no part of the balance
        source = _weighted(source, source.weight, class_weight)
    told, steps = Callbacks("fit", callbacks), source.steps(size)
    training = Training(
        model,
        named_loss("fit", loss),
        named_optimizer("fit", optimizer, model),
        Plan(
            source,
            validation,
            named_metrics("fit", metrics),
            size,
            last,
            shuffle,
            np.random.default_rng(rng),
            backend_of("fit", compile),
        ),
        told,
        make_progress("fit", verbose, last, steps),
        first,
    )
    told.attach(training, {"epochs": last, "steps": steps, "verbose": verbose})
    if resume is not None and _is_there(resume, told):
        resume_run(resume, training)
    return training.run()


def evaluate(
    model: Module,
    x: Any,
    y: Any = None,
    *,
    loss: str | Loss,
    metrics: Metrics = (),
    sample_weight: Any = None,
    batch_size: int = 256,
    compile: bool | str = True,  # noqa: A002
) -> dict[str, float]:
    """Return the mean loss and metrics over the samples, in evaluation mode.

    Args:
        model: a Module.
        x: float[n, ...], cast to the dtype of the parameters; or, without y, what yields batches,
            as for `fit`.
        y: any[n, ...], the targets.
        loss: a function of (prediction, target) or its name, as for `fit`.
        metrics: names, objects or functions, as for `fit`.
        sample_weight: float[n]; the loss is the mean of weight times loss, as in `fit`.
        batch_size: samples at a time; it only decides how much memory is needed.
        compile: whether to compile the model if there are many batches, or for which backend.

    Returns:
        {"loss": ..., and a number per metric}.

    Raises:
        ShapeError: x and y are not of the same length, or x does not fit the model.
        TypeError: the model is no Module, or another argument of a type that cannot be used.
        ValueError: there are no samples, some are not finite, or an option makes no sense.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.nn.MLP([2, 1], rng=0)
    >>> sorted(mg.evaluate(model, np.zeros((4, 2)), np.ones((4, 1)), loss="mse", metrics="mae"))
    ['loss', 'mae']
    """
    dtype = _dtype_of("evaluate", model)
    return measure(
        "evaluate",
        model,
        _given("evaluate", x, y, dtype, sample_weight),
        named_loss("evaluate", loss),
        named_metrics("evaluate", metrics),
        as_count("evaluate", "batch_size", batch_size, 1),
        backend_of("evaluate", compile),
    )


def predict(
    model: Module,
    x: Any,
    batch_size: int = 256,
    compile: bool | str = True,  # noqa: A002
) -> Array:
    """Return the model's results for the samples, in evaluation mode, as an array.

    Args:
        model: a Module.
        x: float[n, ...], cast to the dtype of the parameters. A np.memmap is read batch by batch.
            Or what yields batches of x, or batches as of `fit`; but a list is an array.
        batch_size: samples at a time; it only decides how much memory is needed.
        compile: whether to compile the model if there are many batches, or for which backend.

    Returns:
        any[n, ...], a row for each sample.

    Raises:
        ShapeError: x is a single number or does not fit the model, or the results are not one a
            sample.
        TypeError: the model is no Module, or returns something else than a Tensor or an array.
        ValueError: `batch_size` is below 1, or no batches came.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.predict(mg.nn.MLP([2, 3], rng=0), np.zeros((5, 2))).shape
    (5, 3)
    """
    dtype = _dtype_of("predict", model)
    size = as_count("predict", "batch_size", batch_size, 1)
    batches, count = _inputs(x, dtype, size)
    with mode(model, training=False), np.errstate(all="ignore"):
        run = predictor("predict", model, count, backend_of("predict", compile))
        results = [_rows(run(batch), len(batch)) for batch in batches]
    if not results:
        raise ValueError("predict: x yielded no batches; it needs at least one.")
    return np.concatenate(results)


def _inputs(x: Any, dtype: np.dtype[Any], size: int) -> tuple[Iterator[Array], int | None]:
    """Return the batches of x, and how many there are if that is known."""
    if is_stream(x) and not isinstance(x, (list, tuple)):
        source = x() if callable(x) else x
        return (as_inputs("predict", _without_targets(batch), dtype) for batch in source), None
    inputs = as_inputs("predict", x, dtype)
    starts = range(0, max(len(inputs), 1), size)  # one empty batch tells the shape for none
    parts = (inputs[start : start + size] for start in starts)
    return (np.asarray(part, dtype) for part in parts), len(starts)


def _without_targets(batch: Any) -> Any:
    """Return x, of a batch that may be (x, y) or (x, y, sample_weight)."""
    several = isinstance(batch, (tuple, list)) and len(batch) in (2, 3)
    return batch[0] if several and all(hasattr(part, "__array__") for part in batch) else batch


def _source(
    x: Any,
    y: Any,
    dtype: np.dtype[Any],
    sample_weight: Any,
    class_weight: ClassWeight,
    steps: int | None,
    again: bool,
) -> Source:
    """Return what fit trains on.

    Raises:
        ValueError: an option does not go with what x is.
    """
    if y is None:
        if sample_weight is not None:
            raise ValueError(
                "fit: sample_weight was given, and x yields batches; they need to have their "
                "weights with them. Yield (x, y, sample_weight)."
            )
        steps = None if steps is None else as_count("fit", "steps_per_epoch", steps, 1)
        return as_stream("fit", x, dtype, class_weight=class_weight, steps=steps, again=again)
    if steps is not None:
        raise ValueError(
            "fit: steps_per_epoch was given with arrays, of which an epoch uses all. Leave it out."
        )
    samples = as_samples("fit", x, y, dtype)
    check_classes("fit", class_weight, samples.y)
    return _weighted(samples, sample_weight)


def _weighted(samples: Samples, sample_weight: Any, class_weight: ClassWeight = None) -> Samples:
    weight = as_weights(samples.who, sample_weight, class_weight, samples.y, samples.dtype)
    return samples if weight is None else replace(samples, weight=weight)


def _given(
    who: str,
    x: Any,
    y: Any,
    dtype: np.dtype[Any],
    sample_weight: Any = None,
    names: str = "x and y",
) -> Source:
    """Return what is measured on."""
    if y is None and is_stream(x):
        return as_stream(who, x, dtype)
    return _weighted(as_samples(who, x, y, dtype, names), sample_weight)


def _validation(
    source: Source, dtype: np.dtype[Any], validation_data: Any, validation_split: float
) -> tuple[Source, Source | None]:
    """Return what to train on and what to validate on.

    Raises:
        ValueError: both ways to validate were given, or one that cannot be followed.
    """
    if validation_data is not None and validation_split:
        raise ValueError(
            "fit: validation_data and validation_split were both given; only one can be used. "
            "Leave one out."
        )
    if validation_split:
        if not isinstance(source, Samples):
            raise ValueError(
                "fit: validation_split was given, and x yields batches; it needs arrays. Give "
                "validation_data."
            )
        return held_out("fit", source, validation_split)
    if validation_data is None:
        return source, None
    batches = isinstance(validation_data, list) and all(
        isinstance(b, tuple) for b in validation_data
    )
    pair = isinstance(validation_data, (tuple, list)) and len(validation_data) in (2, 3)
    if pair and not batches:
        x, y, *weight = validation_data
        names = "validation x and validation y"
        return source, _given("fit", x, y, dtype, weight[0] if weight else None, names)
    if batches or (is_stream(validation_data) and not isinstance(validation_data, (tuple, list))):
        return source, as_stream("fit", validation_data, dtype, "validation_data", again=True)
    raise ValueError(
        "fit: validation_data was given; it must be a pair (x, y), a triple (x, y, sample_weight), "
        "or what yields such batches anew each time."
    )


def _is_there(path: str | os.PathLike[str], callbacks: Callbacks) -> bool:
    """Return whether there is a state to go on from; a missing one is fine if it will be written.

    Raises:
        FileNotFoundError: there is none, and none will be.
        ValueError: the path has fields.
    """
    if "{" in os.fspath(path):
        raise ValueError(
            f"fit: resume={os.fspath(path)!r} was given; it needs the name of one file, without "
            "fields. Let a ModelCheckpoint write to a path without them."
        )
    if os.path.exists(path):
        return True
    written = [os.fspath(c.path) for c in callbacks.all if isinstance(c, ModelCheckpoint)]
    if os.fspath(path) in written:
        return False
    raise FileNotFoundError(
        f"fit: resume={os.fspath(path)!r} was given, and there is no such file. Write it with a "
        "ModelCheckpoint of that path among the callbacks."
    )


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
