"""Losses of margins: a score shall be on the right side by 1, or ahead of the others by 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import Operand, Tensor, as_operand
from ...ops import equal, mean, multiply, relu, square, subtract, take, where
from ...ops import sum as sum_of
from ...ops.checks import are_signs
from ..targets import (
    alike,
    as_class_indices,
    as_class_weight,
    as_scores,
    check_targets,
    is_number,
    narrowed,
    number_like,
    widened,
)
from .reduction import reduced, weighted


def hinge_loss(
    prediction: Operand,
    target: Operand,
    *,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return max(0, 1 - target * prediction), with slope 0 at the kink.

    Args:
        prediction: float[...], scores.
        target: float[...], of the same shape: -1 or 1.
        reduction: "mean", "sum" or "none".
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: a target is neither -1 nor 1, `reduction` is not known, or a weight is negative
            or not finite. Or a mean is wanted, and every sample_weight is 0.

    Source: Cortes & Vapnik (1995).

    >>> import microgrid as mg
    >>> mg.hinge_loss(mg.tensor([0.5, -2.0, 1.0]), [1, -1, -1], reduction="none")
    tensor([0.5, 0. , 2. ])
    """
    losses = relu(_shortfall("hinge_loss", prediction, target))
    return reduced("hinge_loss", losses, reduction, sample_weight)


def squared_hinge_loss(
    prediction: Operand,
    target: Operand,
    *,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return max(0, 1 - target * prediction)**2.

    Args:
        prediction: float[...], scores.
        target: float[...], of the same shape: -1 or 1.
        reduction: "mean", "sum" or "none".
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: a target is neither -1 nor 1, `reduction` is not known, or a weight is negative
            or not finite. Or a mean is wanted, and every sample_weight is 0.

    >>> import microgrid as mg
    >>> mg.squared_hinge_loss(mg.tensor([0.5, -2.0, 1.0]), [1, -1, -1], reduction="none")
    tensor([0.25, 0.  , 4.  ])
    """
    losses = square(relu(_shortfall("squared_hinge_loss", prediction, target)))
    return reduced("squared_hinge_loss", losses, reduction, sample_weight)


def multi_margin_loss(
    scores: Operand,
    labels: Operand,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Operand | None = None,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return for each row the mean over classes of max(0, margin - scores[label] + scores[j])**p.

    The class j = label adds nothing. With p = 1 the slope at each kink is 0.

    Args:
        scores: float[batch, classes].
        labels: int[batch] of class indices.
        p: 1, or 2 for the squares.
        margin: how far the score of the label shall be ahead of each other.
        weight: float[classes], how much the rows of each class count. As in PyTorch the mean is not
            divided by them.
        reduction: "mean", "sum" or "none".
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[batch] with reduction="none", in the dtype of `scores`.

    Raises:
        ShapeError: the shapes do not fit, or there is not one sample_weight for each sample.
        DtypeError: labels are not integers, or what is given holds no numbers.
        ValueError: a label is negative or not below `classes`, a weight is negative or not finite,
            or an option makes no sense. Or a mean is wanted, and every sample_weight is 0.

    Source: Crammer & Singer (2001), summed over all classes as by Weston & Watkins (1999).

    >>> import microgrid as mg
    >>> mg.multi_margin_loss(mg.tensor([[2.0, 1.5, -1.0, 2.0]]), [0])
    tensor(0.375)
    """
    who = "multi_margin_loss"
    if not is_number(p) or p not in (1, 2):
        raise ValueError(f"{who}: p={p!r} was given; it must be 1 or 2.")
    if not is_number(margin) or not math.isfinite(margin):
        raise ValueError(f"{who}: margin={margin!r} was given; it must be a finite number.")
    given = as_scores(who, scores)
    z = widened(given, weight)
    indices = as_class_indices(who, as_operand(who, labels), z)
    own = equal(np.arange(z.shape[1]), indices.reshape((-1, 1)))
    # A sum with zeros, not take_along_axis, which takes more time even of 100 classes.
    of_label = sum_of(where(own, z, 0), axis=1, keepdims=True)
    short = where(own, 0, relu(subtract(number_like(z, margin), of_label) + z))
    losses = mean(short if p == 1 else square(short), axis=1)
    share = as_class_weight(who, weight, z)
    if share is not None:
        losses = weighted(losses, take(share, indices, axis=0))
    return narrowed(reduced(who, losses, reduction, sample_weight), given, z)


def _shortfall(who: str, prediction: Operand, target: Operand) -> Any:
    """Return 1 - target * prediction."""
    p, t = alike(who, prediction, target)
    check_targets(who, are_signs, t)
    return subtract(1, multiply(t, p))
