"""Losses of classes: how surprising the label is to the probabilities that are predicted."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import Operand, Tensor, as_operand
from ...ops import multiply, one_hot, softplus, subtract, take, take_along_axis
from ...ops.arithmetic import chain
from ...ops.checks import are_fractions
from ...ops.loss import mean_cross_entropy
from ...ops.softmax import softmax_cross_entropy
from ..targets import (
    alike,
    as_class_indices,
    as_class_weight,
    as_counted_indices,
    as_probabilities,
    as_sample_weight,
    as_scores,
    as_weights,
    check_targets,
    data_of,
    narrowed,
    smoothed,
    widened,
)
from .reduction import reduced, total_of, weighted


def cross_entropy(
    logits: Operand,
    labels: Operand,
    *,
    reduction: str = "mean",
    weight: Operand | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return -log softmax(logits)[label] for each row.

    Args:
        logits: float[batch, classes], unnormalised.
        labels: int[batch] of class indices, or float[batch, classes] whose rows sum to 1.
        reduction: "mean", "sum" or "none". With weights and class indices the mean is divided by
            the sum of the weights of the labels.
        weight: float[classes], how much each class counts.
        label_smoothing: how much of a label is shared out evenly over all classes, from 0 to 1.
        ignore_index: rows with this label count nothing, in the mean too; of nothing else it is
            nan. There is no default: PyTorch's -100 would hide wrong labels.
        sample_weight: float[batch], how much each row counts; the mean is divided by their sum,
            or, with `weight`, by that of the products.

    Returns:
        float[], or float[batch] with reduction="none", in the dtype of `logits`.

    Raises:
        ShapeError: the shapes do not fit, or there is not one sample_weight for each sample.
        DtypeError: labels of shape (batch,) are not integers, or what is given holds no numbers.
        TypeError: `ignore_index` is no integer.
        ValueError: a label is negative or not below `classes`, probabilities are negative or do not
            sum to 1, a weight is negative or not finite, or an option makes no sense. Or a mean is
            wanted, and every sample_weight is 0.

    Source: Goodfellow, Bengio & Courville (2016), section 6.2.2.3; label smoothing: Szegedy,
        Vanhoucke, Ioffe, Shlens & Wojna (2016), section 7.

    >>> import microgrid as mg
    >>> mg.cross_entropy(mg.tensor([[1000.0, 0.0], [0.0, 0.0]]), [0, 1], reduction="none")
    tensor([0.        , 0.69314718])
    """
    who = "cross_entropy"
    z = as_scores(who, logits)
    target = labels if isinstance(labels, Tensor) else as_operand(who, labels)
    if data_of(target).ndim != 1:
        wide = widened(z, weight)
        soft = _shared(target, wide, weight, label_smoothing, ignore_index)
        losses = softmax_cross_entropy(wide, soft)
        return narrowed(reduced(who, losses, reduction, sample_weight), z, wide)
    plain = weight is None and sample_weight is None and ignore_index is None
    if plain and label_smoothing == 0:
        target = as_class_indices(who, target, z)
        if reduction == "mean":
            return mean_cross_entropy(z, target)
        return total_of(who, softmax_cross_entropy(z, target), reduction)
    wide = widened(z, weight, sample_weight, ignore_index)
    share = as_class_weight(who, weight, wide, reduction == "mean")
    indices, counts = _counted(who, target, wide, ignore_index, sample_weight, reduction)
    total = _product(None if share is None else take(share, indices, axis=0), counts)
    if label_smoothing == 0:
        counts = total
    else:
        indices = smoothed(one_hot(indices, z.shape[1], wide.dtype), label_smoothing, z.shape[1])
        indices = _product(indices, share)
    losses = softmax_cross_entropy(wide, indices)
    losses = losses if counts is None else weighted(losses, counts)
    return narrowed(total_of(who, losses, reduction, total), z, wide)


def nll_loss(
    log_probabilities: Operand,
    labels: Operand,
    *,
    reduction: str = "mean",
    weight: Operand | None = None,
    ignore_index: int | None = None,
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return -log_probabilities[label] for each row: cross-entropy after log_softmax.

    Args:
        log_probabilities: float[batch, classes].
        labels: int[batch] of class indices.
        reduction: "mean", "sum" or "none". With weights the mean is divided by the sum of the
            weights of the labels.
        weight: float[classes], how much each class counts.
        ignore_index: rows with this label count nothing, in the mean too; of nothing else it is
            nan. There is no default.
        sample_weight: float[batch], how much each row counts; the mean is divided by their sum,
            or, with `weight`, by that of the products.

    Returns:
        float[], or float[batch] with reduction="none", in the dtype of `log_probabilities`.

    Raises:
        ShapeError: the shapes do not fit, or there is not one sample_weight for each sample.
        DtypeError: labels are not integers, or what is given holds no numbers.
        TypeError: `ignore_index` is no integer.
        ValueError: a label is negative or not below `classes`, `reduction` is not known, or a
            weight is negative or not finite. Or a mean is wanted, and every sample_weight is 0.

    >>> import microgrid as mg
    >>> logs = mg.log(mg.tensor([[0.5, 0.5], [0.25, 0.75]]))
    >>> mg.nll_loss(logs, [0, 1], reduction="none")
    tensor([0.69314718, 0.28768207])
    """
    who = "nll_loss"
    given = as_scores(who, log_probabilities)
    logs = widened(given, weight, sample_weight, ignore_index)
    target = as_operand(who, labels)
    indices, counts = _counted(who, target, logs, ignore_index, sample_weight, reduction)
    losses = -take_along_axis(logs, indices.reshape((-1, 1)), axis=1).reshape((-1,))
    share = as_class_weight(who, weight, logs, reduction == "mean")
    counts = _product(None if share is None else take(share, indices, axis=0), counts)
    losses = losses if counts is None else weighted(losses, counts)
    return narrowed(total_of(who, losses, reduction, counts), given, logs)


def binary_cross_entropy_with_logits(
    logits: Operand,
    target: Operand,
    *,
    reduction: str = "mean",
    weight: Operand | None = None,
    pos_weight: Operand | None = None,
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return -(t * log sigmoid(z) + (1 - t) * log sigmoid(-z)) for logits z and targets t.

    Both tails keep their relative accuracy: a logit of 50 for a target of 1 gives 1.9e-22.

    Args:
        logits: float[...], unnormalised.
        target: float[...], of the same shape, from 0 to 1.
        reduction: "mean", "sum" or "none".
        weight: float[...] that broadcasts to it, how much each element counts. As in PyTorch the
            mean is not divided by them.
        pos_weight: float[...] that broadcasts to it, how much the first term counts.
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `logits`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: a target is not between 0 and 1, `reduction` is not known, or a weight is
            negative or not finite. Or a mean is wanted, and every sample_weight is 0.

    >>> import microgrid as mg
    >>> mg.binary_cross_entropy_with_logits(mg.tensor([1000.0, -1000.0]), [0, 0], reduction="none")
    tensor([1000.,    0.])
    """
    who = "binary_cross_entropy_with_logits"
    given, t = alike(who, logits, target)
    check_targets(who, are_fractions, t)
    z = widened(given, weight, pos_weight)
    # chain: what a weight of exactly 0 takes out stays out, even if it is infinite.
    with np.errstate(all="ignore"):  # 0 * inf, before it becomes 0, and halves squared
        positive, negative = chain(t, softplus(-z)), chain(subtract(1, t), softplus(z))
    if pos_weight is not None:
        positive = multiply(positive, as_weights(who, pos_weight, z, "pos_weight"))
    losses = positive + negative
    if weight is not None:
        losses = multiply(losses, as_weights(who, weight, z))
    return narrowed(reduced(who, losses, reduction, sample_weight), given, z)


def _shared(
    labels: Any, z: Any, weight: Operand | None, smoothing: float, ignored: int | None
) -> Any:
    """Return probabilities as labels of cross-entropy, smoothed, times the weight of each class."""
    if ignored is not None:
        raise ValueError(
            f"cross_entropy: ignore_index={ignored!r} was given with labels of shape "
            f"{labels.shape}; it is for class indices, of shape (batch,). Give rows that shall not "
            "count a sample_weight of 0."
        )
    share = as_class_weight("cross_entropy", weight, z)
    soft = as_probabilities(labels, z)
    if smoothing != 0:
        soft = smoothed(soft, smoothing, z.shape[1])
    return _product(soft, share)


def _counted(
    who: str, labels: Any, z: Any, ignored: int | None, weight: Operand | None, reduction: str
) -> tuple[Any, Any]:
    """Return class indices, and how much each row counts; None if all count the same."""
    indices, counts = as_counted_indices(who, labels, z, ignored)
    if weight is not None:
        shares = as_sample_weight(who, weight, z, z.shape[:1], reduction)
        counts = _product(shares, counts)
    return indices, counts


def _product(a: Any, b: Any) -> Any:
    """Return a * b, of which either may be left out as None."""
    if a is None or b is None:
        return b if a is None else a
    return multiply(a, b)
