"""What several pictures are given, checked: a model, points with labels, samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_array
from ..core import Operand
from ..errors import ShapeError
from ..nn import Module
from ..train import predict
from ..train.batches import Samples, as_samples

Model = Module | Callable[[Any], Any]

BATCH = 4096


def check_module(who: str, model: Any) -> None:
    """Raise unless the model is a Module.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"{who}: the model given is of type {type(model).__name__}; it needs a Module. "
            "Subclass mg.nn.Module, or use Sequential."
        )


def samples_for(who: str, model: Module, x: Operand, y: Operand) -> Samples:
    """Return x and y as the model takes them.

    Raises:
        TypeError: the model is no Module.
        ShapeError: x and y are not of the same length.
    """
    check_module(who, model)
    return as_samples(who, x, y, dtype_of(model))


def dtype_of(model: Module) -> np.dtype[Any]:
    """Return the dtype of the model's first parameter."""
    return next((p.dtype for p in model.parameters()), np.dtype(np.float32))


def twin_of(model: Module) -> Module:
    """Return a copy in evaluation mode: what is done with it leaves no trace."""
    return deepcopy(model).eval()


def scores_of(who: str, model: Model, points: Array, batch_size: int = BATCH) -> Array:
    """Return what a classifier gives for each point: float[n, classes], or float[n] of one score.

    Raises:
        TypeError: the model is neither a Module nor a function.
        ShapeError: it gives something else.
    """
    if isinstance(model, Module):
        scores = predict(model, points, batch_size, compile=False)
    elif callable(model):
        scores = np.asarray(model(points))
    else:
        raise TypeError(
            f"{who}: a value of type {type(model).__name__} was given as the model; it needs a "
            "Module, or a function of float[n, 2]."
        )
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if scores.shape[:1] != (len(points),) or scores.ndim > 2:
        raise ShapeError(
            f"{who}: the model returned shape {scores.shape} for {len(points)} points; it must "
            "return a score for each, or one for each class."
        )
    return scores.astype(float)


def points_with_labels(who: str, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Return float[n, 2] and any[n].

    Raises:
        ShapeError: the points are not of two numbers, or there is not one label for each.
    """
    points, labels = as_array(who, x), as_array(who, y)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ShapeError(
            f"{who}: x has shape {points.shape}; it needs float[n, 2], two numbers a point. "
            "Choose two columns, as in x[:, :2]."
        )
    if labels.size != len(points):
        raise ShapeError(
            f"{who}: x has shape {points.shape} and y {labels.shape}; it needs one label a point."
        )
    return points, labels.reshape(-1)


def class_indices(who: str, labels: Array, count: int) -> Array:
    """Return int[n] from 0 to below `count`.

    For two classes any two values do, as -1 and 1: the smaller one is the first class.

    Raises:
        ValueError: a label is no such class.
    """
    values = np.unique(labels)
    if count == 2 and len(values) == 2 and not np.isin(values, (0, 1)).all():
        return np.searchsorted(values, labels)
    if not np.isin(values, np.arange(count)).all():
        raise ValueError(
            f"{who}: y has labels from {values[0]:g} to {values[-1]:g}, and the model tells "
            f"{count} classes; it needs whole numbers from 0 to {count - 1}."
        )
    return labels.astype(int)


def names_for(who: str, class_names: Sequence[Any] | None, count: int) -> list[str]:
    """Return a name for each class: "0", "1", ... if none are given.

    Raises:
        ValueError: there are not as many names as classes.
    """
    if class_names is None:
        return [str(i) for i in range(count)]
    names = [str(name) for name in class_names]
    if len(names) != count:
        raise ValueError(
            f"{who}: {len(names)} class names were given for {count} classes; it needs one each."
        )
    return names
