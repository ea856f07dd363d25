"""What each sample weighs in the loss: given for samples, for classes, or both."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, TypeAlias, cast

import numpy as np

from ..arrays import Array, as_array
from ..errors import DtypeError, ShapeError
from ..ops import mean, reshape
from .names import Loss

ClassWeight: TypeAlias = Mapping[int, float] | str | None
BALANCED = "balanced"
SHOWN = 10  # classes that an error names


def as_weights(
    who: str,
    sample_weight: Any,
    class_weight: ClassWeight,
    y: Array,
    dtype: np.dtype[Any],
    *,
    some_weigh: bool = True,
) -> Array | None:
    """Return float[n], the product of what samples and their classes weigh, or None for no weights.

    If `some_weigh`, not all may weigh 0.

    Raises:
        ShapeError: there is not one weight for each sample.
        ValueError: a weight is negative, nan or infinite, or all are 0.
        TypeError: `class_weight` is not a dict of numbers.
    """
    weights = None
    if sample_weight is not None:
        with np.errstate(over="ignore"):  # found by the check
            weights = as_array(who, sample_weight).astype(dtype)
        if weights.shape != (len(y),):
            raise ShapeError(
                f"{who}: sample_weight has shape {weights.shape} for {len(y)} samples; it needs "
                f"one weight for each, of shape ({len(y)},)."
            )
        _check(who, "sample_weight", weights, some_weigh)
    if class_weight is not None:
        of_classes = _of_classes(who, class_weight, y).astype(dtype)
        weights = of_classes if weights is None else weights * of_classes
    return weights


def _of_classes(who: str, class_weight: Mapping[int, float] | str, y: Array) -> Array:
    labels = _labels(who, y)
    if isinstance(class_weight, str):
        if class_weight != BALANCED:
            raise ValueError(
                f'{who}: class_weight={class_weight!r} was given; it must be "balanced" or a dict '
                "{class: weight}."
            )
        classes, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
        return np.asarray((len(labels) / (len(classes) * counts))[places.reshape(-1)])
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"{who}: class_weight of type {type(class_weight).__name__} was given; it needs a dict "
            '{class: weight} or "balanced".'
        )
    for label, weight in class_weight.items():
        if not isinstance(label, Real) or not isinstance(weight, Real):
            raise TypeError(
                f"{who}: class_weight has {label!r}: {weight!r}; it needs the numbers that y has, "
                "and what they weigh."
            )
    _check(who, "class_weight", np.array([*class_weight.values()], float), True)
    weights = np.ones(len(labels))
    for label, weight in class_weight.items():
        weights[labels == label] = weight
    return weights


def check_classes(who: str, class_weight: ClassWeight, y: Array) -> None:
    """Raise if a class is given a weight that none of the targets is of.

    A column of y is a class, though no target may be of it.

    Raises:
        ValueError: there is such a class.
    """
    if not isinstance(class_weight, Mapping):
        return
    labels, columns = _labels(who, y), y.shape[1] if y.ndim == 2 else 1
    classes = np.arange(columns) if columns > 1 else labels
    numbers = [label for label in class_weight if isinstance(label, Real)]
    strange = [label for label in numbers if not (classes == label).any()]
    if strange:
        known = np.unique(classes).tolist()
        more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        raise ValueError(
            f"{who}: class_weight has the class {strange[0]}, which y has not; the classes of y "
            f"are {', '.join(map(str, known[:SHOWN]))}{more}. Leave it out, or number the classes "
            "as y does."
        )


def _labels(who: str, y: Array) -> Array:
    """Return the class of each sample: its number, or the column that is largest."""
    if y.ndim == 2 and y.shape[1] > 1:
        return np.asarray(y.argmax(axis=1))
    if y.size != len(y):
        raise ShapeError(
            f"{who}: class_weight was given and y has shape {y.shape}; it needs one class a sample."
        )
    return y.reshape(-1)


def _check(who: str, name: str, weights: Array, some_weigh: bool) -> None:
    if weights.dtype.kind not in "fiu":
        raise DtypeError(f"{who}: {name} of dtype {weights.dtype} was given; it needs numbers.")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(
            f"{who}: {name} has numbers that are negative, nan or beyond {weights.dtype}; it needs "
            "weights of at least 0."
        )
    if some_weigh and weights.size and not weights.any():
        raise ValueError(f"{who}: {name} has zeros only; nothing would be learned.")


def weighted(who: str, loss: Loss, prediction: Any, y: Any, weight: Any) -> Any:
    """Return the mean over the samples of weight * loss.

    Raises:
        TypeError: the loss cannot tell what it is for each sample.
        ShapeError: it is not of one row a sample.
    """
    try:
        losses = cast(Any, loss)(prediction, y, reduction="none")
    except TypeError as error:
        if "reduction" not in str(error):
            raise
        raise TypeError(
            f"{who}: weights were given, and the loss takes no reduction; it needs to return one "
            'loss a sample for reduction="none". Add that argument to it.'
        ) from None
    if losses.shape[:1] != weight.shape:
        raise ShapeError(
            f"{who}: the loss returned shape {losses.shape} for {weight.shape[0]} samples with "
            'weights; it must return one row a sample for reduction="none".'
        )
    if losses.ndim > 1:
        losses = mean(reshape(losses, (losses.shape[0], -1)), axis=1)
    return mean(losses * weight)
