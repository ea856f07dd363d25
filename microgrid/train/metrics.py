"""Metrics that `fit` knows by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from .. import metrics as known

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
