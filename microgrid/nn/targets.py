"""What losses take: predictions and targets that fit each other, labels, weights."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from ..arrays import Array, exact
from ..core import Op, Operand, Tensor, as_operand
from ..errors import DtypeError, ShapeError
from ..ops import multiply, not_equal, where
from ..ops.checks import (
    are_distributions,
    are_factors,
    are_weights,
    are_weights_of_mean,
    as_indices,
    class_indices,
    unit_of,
)
from ..recording import watchers

HALF = np.dtype(np.float16)


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


def number_like(x: Any, number: Any) -> Any:
    """Return an option as a number that may meet x: Fractions stay exact, floats stay floats."""
    return exact(number) if x.dtype.hasobject else float(number)


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


def as_counted_indices(who: str, labels: Any, z: Any, ignored: int | None) -> tuple[Any, Any]:
    """Return class indices, and 1 for each that counts, else 0; None where all of them count."""
    if ignored is None:
        return as_class_indices(who, labels, z), None
    if isinstance(ignored, bool) or not isinstance(ignored, Integral):
        raise TypeError(
            f"{who}: ignore_index={ignored!r} was given; it must be an integer or None."
        )
    if _can_be(int(ignored), data_of(labels).dtype):
        counts = not_equal(labels, int(ignored))
        indices = as_class_indices(who, where(counts, labels, 0), z)
        return indices, counts.astype(z.dtype)
    return as_class_indices(who, labels, z), None


def _can_be(number: int, dtype: np.dtype[Any]) -> bool:
    """Return whether a label of this dtype can be the number."""
    if dtype.kind == "b":
        return number in (0, 1)
    return dtype.kind in "iu" and bool(np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)


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


def widened(x: Any, *weights: Operand | None) -> Any:
    """Return x, halves in single precision if there are weights: of their products halves overflow.

    A mean of millions, of which few count, would lose its digits too.
    """
    if x.dtype == HALF and any(weight is not None for weight in weights):
        return x.astype(np.float32)
    return x


def narrowed(y: Tensor, x: Any, wide: Any) -> Tensor:
    """Return what was computed from `wide`, in halves again if x has them and was widened."""
    if wide is x:
        return y
    with np.errstate(all="ignore"):  # what is too large becomes inf
        return y.astype(x.dtype)


def as_weights(
    who: str, weight: Operand, like: Any, name: str = "weight", of_mean: bool = False
) -> Any:
    """Return checked weights in the dtype of `like`: they are constants.

    Args:
        who, weight, like: what asks, what was given, and what the weights are to multiply.
        name: of the option.
        of_mean: whether the result is divided by the weights, so that only their ratios count.

    Raises:
        ShapeError: they do not broadcast to `like`.
        ValueError: one is not finite.
    """
    values = as_operand(who, weight)
    sizes = zip(values.shape[::-1], like.shape[::-1], strict=False)
    if values.ndim > like.ndim or any(size not in (1, needed) for size, needed in sizes):
        raise ShapeError(
            f"{who}: a {name} of shape {values.shape} was given; it must broadcast to {like.shape}."
        )
    check_targets(f"{who}: {name}", are_factors, values)
    return _constant(values, like, of_mean)


def _constant(given: Any, like: Any, of_mean: bool) -> Any:
    """Return an array or Tensor in the dtype of `like` if that is one of floats, and detached.

    If only the ratios count, it is scaled first, so that nothing is beyond that dtype.
    """
    if isinstance(given, Tensor) and given.requires_grad:
        given = given.detach()
    if of_mean:
        given = multiply(given, unit_of(given))  # by a power of 2, which rounds nothing
    needed = like.dtype if like.dtype.kind in "fO" else np.dtype(float)
    if given.dtype == needed:
        return given
    with np.errstate(all="ignore"):  # what is too large becomes inf
        return given.astype(needed)


def as_sample_weight(
    who: str, weight: Operand, like: Any, shape: tuple[int, ...], reduction: str
) -> Any:
    """Return checked weights of samples, in the dtype of `like`, to multiply losses of `shape` by.

    Raises:
        ShapeError: there is not one for each sample along the first axis.
        ValueError: one is negative or not finite, or they are zeros that a mean is divided by.
    """
    given = as_operand(who, weight)
    if not shape:
        raise ShapeError(
            f"{who}: a sample_weight was given for a prediction of shape (); it needs samples "
            "along a first axis. Leave it out."
        )
    if given.shape != shape[:1]:
        raise ShapeError(
            f"{who}: a sample_weight of shape {given.shape} was given; it needs one number for "
            f"each sample along the first axis, shape {shape[:1]}."
        )
    of_mean = reduction == "mean"
    check_targets(who, are_weights_of_mean if of_mean else are_weights, given)
    values = _constant(given, like, of_mean)
    return values.reshape((*shape[:1], *(1,) * (len(shape) - 1))) if len(shape) > 1 else values


def as_class_weight(who: str, weight: Operand | None, z: Any, of_mean: bool = False) -> Any:
    """Return a checked weight for each class of the scores z, if there is one."""
    if weight is None:
        return None
    values = as_operand(who, weight)
    if values.shape != z.shape[1:]:
        raise ShapeError(
            f"{who}: a weight of shape {values.shape} was given; it needs one number per class, "
            f"shape {z.shape[1:]}."
        )
    return as_weights(who, values, z, of_mean=of_mean)
