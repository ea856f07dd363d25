"""Losses: how wrong a prediction is, as one number to go downhill on.

Each takes (prediction, target) of equal shapes, or class labels as the target, and `reduction`:
"mean" over the elements, their "sum", or "none" for all of them. A target that needs no gradient is
cast to the dtype of the prediction, which is that of the result. A target of shape (n,) for a
prediction of shape (n, 1) is an error: broadcasting would compare everything with everything.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import Operand, Tensor, as_operand
from ..ops import (
    absolute,
    clip,
    divide,
    mean,
    mean_squared_error,
    multiply,
    one_hot,
    relu,
    softplus,
    square,
    subtract,
    take,
    take_along_axis,
)
from ..ops import sum as sum_of
from ..ops.arithmetic import chain
from ..ops.checks import are_fractions, are_signs
from ..ops.loss import mean_cross_entropy
from ..ops.softmax import softmax_cross_entropy
from .targets import (
    alike,
    as_class_indices,
    as_class_weight,
    as_probabilities,
    as_scores,
    as_weights,
    check_targets,
    data_of,
    is_number,
    smoothed,
)


def mse_loss(prediction: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    """Return the squared error, (prediction - target)**2.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: the shapes differ.
        ValueError: `reduction` is not known.

    >>> import microgrid as mg
    >>> mg.mse_loss(mg.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2.)
    """
    p, t = alike("mse_loss", prediction, target)
    if reduction == "mean":
        loss: Tensor = mean_squared_error(p, t)
        return loss
    return _reduced("mse_loss", square(subtract(p, t)), reduction)


def l1_loss(prediction: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    """Return the absolute error, |prediction - target|, with slope 0 where it is 0.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: the shapes differ.
        ValueError: `reduction` is not known.
    """
    p, t = alike("l1_loss", prediction, target)
    return _reduced("l1_loss", absolute(subtract(p, t)), reduction)


def huber_loss(
    prediction: Operand, target: Operand, *, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """Return d**2 / 2 for errors d up to delta, and delta * (|d| - delta / 2) beyond.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        reduction: "mean", "sum" or "none".
        delta: where the square turns into a line.

    Raises:
        ShapeError: the shapes differ.
        ValueError: delta is not positive, or `reduction` is not known.

    Source: Huber (1964).

    >>> import microgrid as mg
    >>> mg.huber_loss(mg.tensor([0.5, 3.0]), [0.0, 0.0], reduction="none")
    tensor([0.125, 2.5  ])
    """
    if not is_number(delta) or not delta > 0:
        raise ValueError(f"huber_loss: delta={delta!r} was given; it must be a number above 0.")
    return _reduced("huber_loss", _huber("huber_loss", prediction, target, delta), reduction)


def smooth_l1_loss(
    prediction: Operand, target: Operand, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Return d**2 / (2 * beta) for errors d up to beta, and |d| - beta / 2 beyond.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        reduction: "mean", "sum" or "none".
        beta: where the square turns into a line; with 0 it is `l1_loss`.

    Raises:
        ShapeError: the shapes differ.
        ValueError: beta is negative, or `reduction` is not known.

    Source: Girshick (2015), equation 3.
    """
    if not is_number(beta) or not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta={beta!r} was given; it must be a number from 0 up.")
    losses = _huber("smooth_l1_loss", prediction, target, beta, divided=True)
    return _reduced("smooth_l1_loss", losses, reduction)


def cross_entropy(
    logits: Operand,
    labels: Operand,
    *,
    reduction: str = "mean",
    weight: Operand | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return -log softmax(logits)[label] for each row.

    Args:
        logits: float[batch, classes], unnormalised.
        labels: int[batch] of class indices, or float[batch, classes] whose rows sum to 1.
        reduction: "mean", "sum" or "none". With weights and class indices the mean is divided by
            the sum of the weights of the labels.
        weight: float[classes], how much each class counts.
        label_smoothing: how much of a label is shared out evenly over all classes, from 0 to 1.

    Raises:
        ShapeError: the shapes do not fit.
        DtypeError: labels of shape (batch,) are not integers.
        ValueError: a label is negative or not below `classes`, probabilities are negative or do not
            sum to 1, or an option makes no sense.

    Source: Goodfellow, Bengio & Courville (2016), section 6.2.2.3; label smoothing: Szegedy,
        Vanhoucke, Ioffe, Shlens & Wojna (2016), section 7.

    >>> import microgrid as mg
    >>> mg.cross_entropy(mg.tensor([[1000.0, 0.0], [0.0, 0.0]]), [0, 1], reduction="none")
    tensor([0.        , 0.69314718])
    """
    z = as_scores("cross_entropy", logits)
    target = labels if isinstance(labels, Tensor) else as_operand("cross_entropy", labels)
    share = None if weight is None else as_class_weight("cross_entropy", weight, z)
    counted = None
    if data_of(target).ndim != 1:
        target = as_probabilities(target, z)
    else:
        target = as_class_indices("cross_entropy", target, z)
        counted = None if share is None else take(share, target, axis=0)
        if not label_smoothing:
            if counted is None and reduction == "mean":
                return mean_cross_entropy(z, target)
            losses = softmax_cross_entropy(z, target)
            losses = losses if counted is None else multiply(losses, counted)
            return _reduced("cross_entropy", losses, reduction, counted)
        target = one_hot(target, z.shape[1], z.dtype)
    if label_smoothing:
        target = smoothed(target, label_smoothing, z.shape[1])
    if share is not None:
        target = multiply(target, share)
    return _reduced("cross_entropy", softmax_cross_entropy(z, target), reduction, counted)


def nll_loss(
    log_probabilities: Operand,
    labels: Operand,
    *,
    reduction: str = "mean",
    weight: Operand | None = None,
) -> Tensor:
    """Return -log_probabilities[label] for each row: cross-entropy after log_softmax.

    Args:
        log_probabilities: float[batch, classes].
        labels: int[batch] of class indices.
        reduction: "mean", "sum" or "none". With weights the mean is divided by the sum of the
            weights of the labels.
        weight: float[classes], how much each class counts.

    Raises:
        ShapeError: the shapes do not fit.
        DtypeError: labels are not integers.
        ValueError: a label is negative or not below `classes`, or `reduction` is not known.
    """
    logs = as_scores("nll_loss", log_probabilities)
    indices = as_class_indices("nll_loss", as_operand("nll_loss", labels), logs)
    losses = -take_along_axis(logs, indices.reshape((-1, 1)), axis=1).reshape((-1,))
    share = as_class_weight("nll_loss", weight, logs)
    if share is None:
        return _reduced("nll_loss", losses, reduction)
    counted = take(share, indices, axis=0)
    return _reduced("nll_loss", multiply(losses, counted), reduction, counted)


def binary_cross_entropy_with_logits(
    logits: Operand,
    target: Operand,
    *,
    reduction: str = "mean",
    weight: Operand | None = None,
    pos_weight: Operand | None = None,
) -> Tensor:
    """Return -(t * log sigmoid(z) + (1 - t) * log sigmoid(-z)) for logits z and targets t.

    Both tails keep their relative accuracy: a logit of 50 for a target of 1 gives 1.9e-22.

    Args:
        logits: float[...], unnormalised.
        target: float[...], of the same shape, from 0 to 1.
        reduction: "mean", "sum" or "none".
        weight: float that broadcasts to the shape, how much each element counts.
        pos_weight: float that broadcasts to the shape, how much the first term counts.

    Raises:
        ShapeError: the shapes differ.
        ValueError: a target is not between 0 and 1, or `reduction` is not known.

    >>> import microgrid as mg
    >>> mg.binary_cross_entropy_with_logits(mg.tensor([1000.0, -1000.0]), [0, 0], reduction="none")
    tensor([1000.,    0.])
    """
    who = "binary_cross_entropy_with_logits"
    z, t = alike(who, logits, target)
    check_targets(who, are_fractions, t)
    # chain: what a weight of exactly 0 takes out stays out, even if it is infinite.
    with np.errstate(all="ignore"):  # 0 * inf, before it becomes 0, and halves squared
        positive, negative = chain(t, softplus(-z)), chain(subtract(1, t), softplus(z))
    if pos_weight is not None:
        positive = multiply(positive, as_weights(who, pos_weight, z))
    losses = positive + negative
    if weight is not None:
        losses = multiply(losses, as_weights(who, weight, z))
    return _reduced(who, losses, reduction)


def hinge_loss(prediction: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    """Return max(0, 1 - target * prediction), with slope 0 at the kink.

    Args:
        prediction: float[...], scores.
        target: of the same shape, -1 or 1.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: the shapes differ.
        ValueError: a target is neither -1 nor 1, or `reduction` is not known.

    Source: Cortes & Vapnik (1995).

    >>> import microgrid as mg
    >>> mg.hinge_loss(mg.tensor([0.5, -2.0, 1.0]), [1, -1, -1], reduction="none")
    tensor([0.5, 0. , 2. ])
    """
    losses = relu(_shortfall("hinge_loss", prediction, target))
    return _reduced("hinge_loss", losses, reduction)


def squared_hinge_loss(prediction: Operand, target: Operand, *, reduction: str = "mean") -> Tensor:
    """Return max(0, 1 - target * prediction)**2.

    Args:
        prediction: float[...], scores.
        target: of the same shape, -1 or 1.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: the shapes differ.
        ValueError: a target is neither -1 nor 1, or `reduction` is not known.
    """
    losses = square(relu(_shortfall("squared_hinge_loss", prediction, target)))
    return _reduced("squared_hinge_loss", losses, reduction)


def _huber(
    who: str, prediction: Operand, target: Operand, delta: float, divided: bool = False
) -> Any:
    """Return the losses, or, if `divided`, those over delta."""
    p, t = alike(who, prediction, target)
    d = subtract(p, t)
    bound = float(delta)
    if d.dtype.kind == "f":
        limits = np.finfo(d.dtype)
        if divided and bound < float(limits.tiny):  # too small to be seen in |d|
            return absolute(d)
        bound = math.inf if bound > float(limits.max) else bound
    elif divided and not bound:
        return absolute(d)
    # With c the error held within delta, c * (d - c / 2) is both cases in one; nothing overflows.
    c = clip(d, -bound, bound)
    share = c
    if divided:  # before the product, which could vanish or overflow
        share = divide(c, bound) if bound < math.inf else multiply(c, 1 / float(delta))
    return multiply(share, subtract(d, multiply(c, 0.5)))


def _shortfall(who: str, prediction: Operand, target: Operand) -> Any:
    """Return 1 - target * prediction."""
    p, t = alike(who, prediction, target)
    check_targets(who, are_signs, t)
    return subtract(1, multiply(t, p))


def _reduced(who: str, losses: Any, reduction: str, weight: Any = None) -> Tensor:
    """Return the losses reduced; `weight` is what their mean is divided by the sum of."""
    result: Tensor
    if reduction == "mean":
        result = mean(losses) if weight is None else divide(sum_of(losses), weight.sum())
    elif reduction == "sum":
        result = sum_of(losses)
    elif reduction == "none":
        result = losses
    else:
        raise ValueError(
            f'{who}: reduction={reduction!r} was given; it must be "mean", "sum" or "none".'
        )
    return result
