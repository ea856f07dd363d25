"""Losses of distributions: how far one is from another, and how likely counts are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import Operand, Tensor
from ...ops import exp, log, multiply, subtract, where
from ...ops import sum as sum_of
from ...ops.arithmetic import chain
from ...ops.checks import are_counts, are_fractions
from ..targets import alike, check_targets, is_number
from .reduction import reduced


def kl_div_loss(
    log_probabilities: Operand,
    target: Operand,
    *,
    log_target: bool = False,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return target * (log(target) - log_probabilities), which is 0 where the target is 0.

    Its sum over the classes is the divergence of Kullback and Leibler, KL(target || prediction).

    Args:
        log_probabilities: float[...], as of `log_softmax`.
        target: float[...], of the same shape: probabilities, or their logarithms.
        log_target: whether the targets are logarithms.
        reduction: "mean" over all numbers, "batchmean" for the mean of the divergences of the
            samples, "sum" or "none".
        sample_weight: float[batch], how much each sample counts; a mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `log_probabilities`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: a probability is not between 0 and 1, `reduction` is not known, or a weight is
            negative or not finite. Or a mean is wanted, and every sample_weight is 0.

    Source: Kullback & Leibler (1951).

    >>> import microgrid as mg
    >>> prediction = mg.log_softmax(mg.tensor([[0.0, 0.0]]))
    >>> mg.kl_div_loss(prediction, [[1.0, 0.0]], reduction="batchmean")
    tensor(0.69314718)
    """
    who = "kl_div_loss"
    if reduction not in ("mean", "batchmean", "sum", "none"):
        raise ValueError(
            f"{who}: reduction={reduction!r} was given; it must be "
            '"mean", "batchmean", "sum" or "none".'
        )
    p, t = alike(who, log_probabilities, target)
    # chain: a probability of exactly 0 takes out even a logarithm of -inf.
    with np.errstate(all="ignore"):
        if log_target:
            losses = chain(exp(t), subtract(t, p))
        else:
            check_targets(who, are_fractions, t)
            losses = chain(t, subtract(log(t), p))
    if reduction == "batchmean":
        reduction = "mean"
        losses = sum_of(losses, axis=tuple(range(1, losses.ndim))) if losses.ndim > 1 else losses
    return reduced(who, losses, reduction, sample_weight)


def poisson_nll_loss(
    prediction: Operand,
    target: Operand,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return rate - target * log(rate): how unlikely counts are if their rate is predicted.

    Args:
        prediction: float[...], the logarithms of the rates, or the rates.
        target: float[...], of the same shape: counts.
        log_input: whether predictions are logarithms.
        full: whether to add what depends on the target alone, log(target!), by Stirling's formula,
            where the target is above 1.
        eps: added to rates, so that the logarithm of 0 is finite.
        reduction: "mean", "sum" or "none".
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: a count is negative or not finite, eps is negative, `reduction` is not known, or
            a weight is negative or not finite. Or a mean is wanted, and every sample_weight is 0.

    >>> import microgrid as mg
    >>> mg.poisson_nll_loss(mg.tensor([0.0, 0.0]), [0, 3], reduction="none")
    tensor([1., 1.])
    >>> mg.poisson_nll_loss(mg.tensor([1.0, 4.0]), [1, 4], log_input=False, reduction="sum")
    tensor(-0.54517746)
    """
    who = "poisson_nll_loss"
    if not is_number(eps) or not 0 <= eps < math.inf:
        raise ValueError(f"{who}: eps={eps!r} was given; it must be a finite number from 0 up.")
    z, t = alike(who, prediction, target)
    check_targets(who, are_counts, t)
    with np.errstate(all="ignore"):
        if log_input:
            losses = subtract(exp(z), chain(t, z))
        else:
            losses = subtract(z, chain(t, log(z + float(eps))))
        if full:
            losses = losses + _log_factorial(t)
    return reduced(who, losses, reduction, sample_weight)


def _log_factorial(t: Any) -> Any:
    """Return log(t!) for t above 1, by Stirling's formula, else 0."""
    t = where(t > 1, t, 1)
    return where(t > 1, multiply(t, log(t)) - t + 0.5 * log(2 * math.pi * t), 0)
