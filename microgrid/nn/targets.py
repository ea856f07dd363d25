"""What losses take: predictions and targets that fit each other, labels, weights."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Op, Operand, Tensor, as_operand
from ..errors import DtypeError, ShapeError
from ..ops.checks import are_distributions, as_indices, class_indices
from ..recording import watchers


def alike(who: str, prediction: Operand, target: Operand) -> tuple[Any, Any]:
    """Return both as floats of one shape, the target in the dtype of the prediction.

    Integers become float64: as they are, differences of unsigned ones would wrap around.
    """
    if isinstance(prediction, Tensor) and isinstance(target, Tensor):
        a, b = prediction._data, target._data
        dtype = a.dtype
        # The usual case, which must cost little.
        if a.shape == b.shape and dtype is b.dtype and dtype.kind == "f":
            return prediction, target
    p, t = as_operand(who, prediction), as_operand(who, target)
    if p.shape != t.shape:
        raise ShapeError(
            f"{who}: a prediction of shape {p.shape} and a target of shape {t.shape} were given; "
            "the shapes must be equal. Reshape the target."
        )
    if data_of(t).dtype.kind != "O":
        p = as_floats(p)
    return p, _cast(t, p)


def as_floats(x: Any) -> Any:
    """Return an array or Tensor as it is, or in float64 if it has integers or truth values."""
    values = data_of(x)
    if values.dtype.kind not in "iub":
        return x
    return x.astype(float)


def _cast(t: Any, like: Any) -> Any:
    """Return t in the dtype of `like` if that is one of floats and t carries no gradient."""
    if t.dtype == like.dtype or like.dtype.kind not in "fO":
        return t
    if isinstance(t, Tensor) and t.requires_grad:
        return t
    with np.errstate(all="ignore"):  # what is too large for the prediction's dtype becomes inf
        return t.astype(like.dtype)


def data_of(x: Any) -> Array:
    """Return the values of an array or Tensor."""
    values: Array = x._data if isinstance(x, Tensor) else x
    return values


def is_number(value: object) -> bool:
    """Return whether value is a real number, as options are."""
    return isinstance(value, Real)


def as_scores(who: str, logits: Operand) -> Any:
    """Return scores of shape (batch, classes), as floats."""
    z = logits if isinstance(logits, Tensor) else as_operand(who, logits)
    values = data_of(z)
    shape = values.shape
    if values.dtype.kind != "f":
        z = as_floats(z)
    if len(shape) != 2 or not shape[1]:
        raise ShapeError(
            f"{who}: scores of shape {shape} were given; it needs (batch, classes). Reshape them."
        )
    return z


def as_class_indices(who: str, labels: Any, z: Any) -> Any:
    """Return one index of a class for each row of the scores z, as int[batch]."""
    values, scores = data_of(labels), data_of(z)  # whose attributes are found faster
    rows, classes = scores.shape
    if values.dtype.kind not in "iub":
        raise DtypeError(
            f"{who}: labels of dtype {values.dtype} and shape {values.shape} were given; class "
            "indices are integers. Use astype(int)."
        )
    if values.shape != (rows,):
        raise ShapeError(
            f"{who}: scores of shape {scores.shape} and labels of shape {values.shape} were given; "
            f"it needs one class index per row, shape {(rows,)}. Reshape the labels."
        )
    if watchers and isinstance(labels, Tensor):
        return class_indices(labels, classes=classes, who=who)
    checked = as_indices(values, classes, who)
    return labels if checked is values else checked


def as_probabilities(labels: Any, z: Any) -> Any:
    """Return labels that are probabilities, in the shape and dtype of the scores z."""
    if labels.shape != z.shape:
        raise ShapeError(
            f"cross_entropy: scores of shape {z.shape} and labels of shape {labels.shape} were "
            f"given; it needs {z.shape[:1]} class indices, or {z.shape} probabilities."
        )
    labels = _cast(labels, z)
    check_targets("cross_entropy", are_distributions, labels)
    return labels


def check_targets(who: str, check: Op, targets: Any) -> None:
    """Raise unless targets pass a check, which is an op so that a compiled step makes it too."""
    check(targets, who=who)


def smoothed(labels: Any, smoothing: float, classes: int) -> Any:
    """Return probabilities of which a share is spread evenly over the classes."""
    if not is_number(smoothing) or not 0 <= smoothing <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing={smoothing!r} was given; it must lie between 0 and 1."
        )
    return labels * (1 - float(smoothing)) + float(smoothing) / classes


def as_weights(who: str, weight: Operand, like: Any) -> Any:
    """Return weights in the dtype of `like`: they are constants."""
    given = as_operand(who, weight)
    if isinstance(given, Tensor):
        given = given.detach()
    values = given.astype(like.dtype if like.dtype.kind in "fO" else float)
    sizes = zip(values.shape[::-1], like.shape[::-1], strict=False)
    if values.ndim > like.ndim or any(size not in (1, needed) for size, needed in sizes):
        raise ShapeError(
            f"{who}: a weight of shape {values.shape} was given; it must broadcast to {like.shape}."
        )
    return values


def as_class_weight(who: str, weight: Operand | None, z: Any) -> Any:
    """Return a weight for each class of the scores z, if there is one."""
    if weight is None:
        return None
    values = as_operand(who, weight)
    if values.shape != z.shape[1:]:
        raise ShapeError(
            f"{who}: a weight of shape {values.shape} was given; it needs one number per class, "
            f"shape {z.shape[1:]}."
        )
    return as_weights(who, values, z)
