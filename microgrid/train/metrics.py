"""Figures that tell how good predictions are: arrays in, a number out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array
from ..errors import ShapeError

Metric: TypeAlias = Callable[[Any, Any], Any]


def accuracy(prediction: Array, target: Array) -> float:
    """Return the share of samples that are classified correctly.

    Args:
        prediction: float[batch, classes] of scores, the largest of which decides; or float[batch]
            or float[batch, 1] of scores for one class against another, decided by their sign, as
            from logits or for the hinge loss.
        target: int[batch] of class indices or float[batch, classes], of which the largest counts;
            with one score a sample, numbers whose sign counts: 0 and 1, or -1 and 1.

    A sample with a score that is nan is not classified, so it counts as wrong.

    Raises:
        ShapeError: the shapes do not fit.

    >>> accuracy(np.array([[2.0, -1.0], [0.1, 0.2]]), np.array([0, 0]))
    0.5
    """
    p, t = np.asarray(prediction), np.asarray(target)
    rows = p.shape[:1]
    if p.ndim == 2 and p.shape[1] > 1:
        given = t.argmax(axis=1) if t.shape == p.shape else t
        if given.shape in (rows, (*rows, 1)):
            answers = p.argmax(axis=1)  # of a row with nan, the place of the first
            best = np.take_along_axis(p, answers[:, None], axis=1)[:, 0]
            return float(np.mean((answers == given.reshape(rows)) & _is_number(best)))
    elif p.shape in (rows, (*rows, 1)) and t.shape in (rows, (*rows, 1)):
        scores = p.reshape(rows)
        right = (scores > 0) == (t.reshape(rows) > 0)
        return float(np.mean(right & _is_number(scores)))
    raise ShapeError(
        f"accuracy: a prediction of shape {p.shape} and a target of shape {t.shape} were given; it "
        "needs (n, classes) and (n,) or the same shape, or one score and one target per sample."
    )


def _is_number(scores: Array) -> Any:
    return np.equal(scores, scores)  # nan equals nothing


def mse(prediction: Array, target: Array) -> float:
    """Return the mean of the squared errors.

    Raises:
        ShapeError: the shapes differ.
    """
    return float(np.mean(np.square(_errors("mse", prediction, target))))


def mae(prediction: Array, target: Array) -> float:
    """Return the mean of the absolute errors.

    Raises:
        ShapeError: the shapes differ.
    """
    return float(np.mean(np.abs(_errors("mae", prediction, target))))


METRICS: dict[str, Metric] = {"accuracy": accuracy, "mse": mse, "mae": mae}


def named_metrics(
    who: str, metrics: str | Metric | Sequence[str | Metric] | None
) -> dict[str, Metric]:
    """Return the metrics, given by name or as functions, by name.

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
    found: dict[str, Metric] = {}
    for metric in given:
        if isinstance(metric, str):
            if metric not in METRICS:
                raise ValueError(
                    f"{who}: the metric {metric!r} is not known; the names are "
                    f"{', '.join(METRICS)}. Pass a function for another."
                )
            name, function = metric, METRICS[metric]
        elif callable(metric):
            name, function = getattr(metric, "__name__", type(metric).__name__), metric
        else:
            raise TypeError(
                f"{who}: a metric of type {type(metric).__name__} was given; it needs a name or a "
                "function of (prediction, target)."
            )
        if name in found or name == "loss":
            raise ValueError(f"{who}: the name {name!r} stands for two results. Rename a metric.")
        found[name] = function
    return found


def _errors(who: str, prediction: Array, target: Array) -> Array:
    p, t = np.asarray(prediction), np.asarray(target)
    if p.shape != t.shape:
        raise ShapeError(
            f"{who}: a prediction of shape {p.shape} and a target of shape {t.shape} were given; "
            "the shapes must be equal. Reshape one of them."
        )
    # float64: a mean of many float32 squares would lose digits, and integers would wrap.
    errors: Array = np.subtract(p, t, dtype=np.float64)
    return errors
