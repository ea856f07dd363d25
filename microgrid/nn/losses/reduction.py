"""The last step of every loss: samples are weighted, and many losses become one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import Operand, Tensor
from ...ops import divide, mean
from ...ops import sum as sum_of
from ...ops.arithmetic import chain
from ..targets import as_sample_weight, narrowed, widened


def reduced(who: str, losses: Any, reduction: str, sample_weight: Operand | None = None) -> Tensor:
    """Return losses, whose first axis is that of the samples, weighted and reduced.

    Raises:
        ShapeError: there is not one weight for each sample.
        ValueError: a weight makes no sense, or `reduction` is not known.
    """
    if sample_weight is None:
        return total_of(who, losses, reduction)
    wide = widened(losses, sample_weight)
    weight = as_sample_weight(who, sample_weight, wide, losses.shape, reduction)
    return narrowed(total_of(who, weighted(wide, weight), reduction, weight), losses, wide)


def weighted(losses: Any, weight: Any) -> Any:
    """Return losses times weights; a weight of exactly 0 takes out what is infinite or nan, too."""
    with np.errstate(all="ignore"):  # 0 * inf, before it becomes 0, and halves squared
        return chain(losses, weight)


def total_of(who: str, losses: Any, reduction: str, weight: Any = None) -> Tensor:
    """Return the losses reduced; `weight` is what their mean is divided by the mean of.

    Raises:
        ValueError: `reduction` is not known.
    """
    result: Tensor
    if reduction == "mean":
        # Means, not sums, of which halves overflow.
        result = mean(losses) if weight is None else divide(mean(losses), mean(weight))
    elif reduction == "sum":
        result = sum_of(losses)
    elif reduction == "none":
        result = losses
    else:
        raise ValueError(
            f'{who}: reduction={reduction!r} was given; it must be "mean", "sum" or "none".'
        )
    return result
