"""Metrics that `fit` knows by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from .. import metrics as known
from ..metrics import Metric as Metric
from ..metrics.metric import copied

# A name, an object, or a function of (prediction, target).
Given: TypeAlias = str | Metric | Callable[[Any, Any], Any]
Metrics: TypeAlias = Given | Iterable[Given] | Mapping[str, Given] | None

METRICS: dict[str, Callable[[], Metric]] = {
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


def named_metrics(who: str, metrics: Metrics) -> dict[str, Metric]:
    """Return the metrics, given by name or as functions or objects, by name.

    Objects are copied: one that is given twice, as to an `evaluate` in the middle of a `fit`, is
    not to be started anew by the other. A dict has the names under which metrics are reported.

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
            "function, a list of them, a dict of them by name, or None."
        )
    found: dict[str, Metric] = {}
    for metric in _listed(who, metrics):
        name = metric.name or type(metric).__name__
        if name in found or name == "loss":
            raise ValueError(f"{who}: the name {name!r} stands for two results. Rename a metric.")
        found[name] = metric
    return found


def _listed(who: str, metrics: Any) -> Iterator[Metric]:
    if isinstance(metrics, str) or callable(metrics):
        yield _as_metric(who, metrics)
    elif not isinstance(metrics, Mapping):
        yield from (_as_metric(who, item) for item in metrics)
    else:
        for name, item in metrics.items():
            if not isinstance(name, str) or not name:
                raise TypeError(
                    f"{who}: a metric was given under {name!r}; it needs a name. Write "
                    '{"name": metric}.'
                )
            metric = _as_metric(who, item)
            metric.name = name
            yield metric


def _as_metric(who: str, given: Any) -> Metric:
    """Return a metric that nobody else has."""
    if isinstance(given, Metric):
        return copied(given)
    if isinstance(given, str):
        return _by_name(who, given)
    if isinstance(given, type) and issubclass(given, Metric):
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


def _by_name(who: str, name: str) -> Metric:
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
