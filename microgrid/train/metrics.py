"""Metrics that `fit` knows by name, and what those of many batches come to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from .. import metrics as known
from ..arrays import Array
from ..core import Tensor
from ..metrics.metric import as_number

Metric: TypeAlias = Callable[[Any, Any], Any]

METRICS: dict[str, Callable[[], known.Metric]] = {
    "accuracy": known.Accuracy,
    "balanced_accuracy": known.BalancedAccuracy,
    "precision": known.Precision,
    "recall": known.Recall,
    "f1": known.F1,
    "roc_auc": known.RocAuc,
    "average_precision": known.AveragePrecision,
    "log_loss": known.LogLoss,
    "top_k_accuracy": lambda: known.TopKAccuracy(5),
    "mse": known.MSE,
    "rmse": known.RMSE,
    "mae": known.MAE,
    "max_error": known.MaxError,
    "r2": known.R2,
}
# The functions of those names, which are better accumulated than called on all samples.
FUNCTIONS = {getattr(known, name): make for name, make in METRICS.items()}


def named_metrics(
    who: str, metrics: str | Metric | Sequence[str | Metric] | None
) -> dict[str, known.Metric]:
    """Return the metrics, given by name or as functions or objects, by name.

    A function of (prediction, target) that is not of `mg.metrics` is called once an epoch, with all
    its predictions and targets: most figures are no means over batches.

    Raises:
        ValueError: a name is not known, or stands for two.
        TypeError: something is neither a name nor a function.
    """
    if metrics is None:
        return {}
    if not (isinstance(metrics, (str, Iterable)) or callable(metrics)):
        raise TypeError(
            f"{who}: metrics of type {type(metrics).__name__} were given; it needs a name, a "
            "function, a list of them, or None."
        )
    given = [metrics] if isinstance(metrics, str) or callable(metrics) else list(metrics)
    found: dict[str, known.Metric] = {}
    for item in given:
        metric = _as_metric(who, item)
        name = metric.name or type(metric).__name__
        if name in found or name == "loss":
            raise ValueError(f"{who}: the name {name!r} stands for two results. Rename a metric.")
        found[name] = metric
    return found


def _as_metric(who: str, given: Any) -> known.Metric:
    if isinstance(given, known.Metric):
        return given
    if isinstance(given, str):
        return _by_name(who, given)
    if isinstance(given, type) and issubclass(given, known.Metric):
        raise TypeError(
            f"{who}: the class {given.__name__} was given as a metric; it needs an object. "
            f"Write {given.__name__}()."
        )
    if not callable(given):
        raise TypeError(
            f"{who}: a metric of type {type(given).__name__} was given; it needs a name or a "
            "function of (prediction, target)."
        )
    make = FUNCTIONS.get(given) if getattr(given, "__hash__", None) else None
    return known.Collected(given) if make is None else make()


def _by_name(who: str, name: str) -> known.Metric:
    if name in METRICS:
        return METRICS[name]()
    top = re.fullmatch(r"top_([1-9]\d{0,8})_accuracy", name)
    if top:
        return known.TopKAccuracy(int(top[1]))
    shown = ["top_5_accuracy" if known == "top_k_accuracy" else known for known in METRICS]
    raise ValueError(
        f"{who}: the metric {name!r} is not known; the names are {', '.join(shown)}. "
        "Pass a function for another."
    )


class Tally:
    """The loss and the metrics of the batches so far: what an epoch or an evaluation comes to.

    Args:
        metrics: by name; they are started.
    """

    def __init__(self, metrics: Mapping[str, known.Metric]) -> None:
        self._metrics = metrics
        self._loss, self._count = 0.0, 0
        for metric in metrics.values():
            metric.start()

    def add(
        self, loss: float, prediction: Any, target: Array, sample_weight: Array | None = None
    ) -> None:
        """Take in a batch: its mean loss, and what it is made of."""
        self._loss += loss * len(target)
        self._count += len(target)
        arrays = prediction._data if isinstance(prediction, Tensor) else prediction
        for metric in self._metrics.values():
            metric.add(arrays, target, sample_weight)

    def results(self) -> dict[str, float]:
        """Return the mean loss over the samples, and the metrics of all of them."""
        return self._results(self._metrics)

    def so_far(self) -> dict[str, float]:
        """Return those of the results that are cheap to know while batches come in."""
        return self._results({name: m for name, m in self._metrics.items() if m.running})

    def _results(self, metrics: Mapping[str, known.Metric]) -> dict[str, float]:
        measured = {name: as_number(name, metric.result()) for name, metric in metrics.items()}
        return {"loss": self._loss / self._count, **measured}

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be saved to go on in the middle of an epoch: numbers and arrays."""
        state: dict[str, Any] = {"loss": self._loss, "count": self._count}
        for name, metric in self._metrics.items():
            state |= {f"{name}/{key}": value for key, value in metric.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._loss, self._count = state["loss"], state["count"]
        for name, metric in self._metrics.items():
            start = f"{name}/"
            own = {key[len(start) :]: v for key, v in state.items() if key.startswith(start)}
            metric.load_state_dict(own)
