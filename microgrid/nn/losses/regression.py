"""Losses of numbers: squared, absolute, or in between; of quantiles, and of errors that matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import Operand, Tensor, as_operand
from ...errors import ShapeError
from ...ops import (
    absolute,
    broadcast_to,
    clip,
    divide,
    mean_squared_error,
    multiply,
    relu,
    square,
    subtract,
)
from ..targets import alike, is_number, number_like
from .reduction import reduced


def mse_loss(
    prediction: Operand,
    target: Operand,
    *,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return the squared error, (prediction - target)**2.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        reduction: "mean", "sum" or "none".
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: `reduction` is not known, or a weight is negative or not finite. Or a mean is
            wanted, and every sample_weight is 0.

    >>> import microgrid as mg
    >>> mg.mse_loss(mg.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2.)
    >>> mg.mse_loss(mg.tensor([1.0, 2.0]), [1.0, 4.0], sample_weight=[3, 1])
    tensor(1.)
    """
    p, t = alike("mse_loss", prediction, target)
    if reduction == "mean" and sample_weight is None:
        loss: Tensor = mean_squared_error(p, t)
        return loss
    return reduced("mse_loss", square(subtract(p, t)), reduction, sample_weight)


def l1_loss(
    prediction: Operand,
    target: Operand,
    *,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return the absolute error, |prediction - target|, with slope 0 where it is 0.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        reduction: "mean", "sum" or "none".
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: `reduction` is not known, or a weight is negative or not finite. Or a mean is
            wanted, and every sample_weight is 0.

    >>> import microgrid as mg
    >>> mg.l1_loss(mg.tensor([1.0, 2.0]), [0.0, 4.0], reduction="none")
    tensor([1., 2.])
    """
    p, t = alike("l1_loss", prediction, target)
    return reduced("l1_loss", absolute(subtract(p, t)), reduction, sample_weight)


def huber_loss(
    prediction: Operand,
    target: Operand,
    *,
    reduction: str = "mean",
    delta: float = 1.0,
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return d**2 / 2 for errors d up to delta, and delta * (|d| - delta / 2) beyond.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        reduction: "mean", "sum" or "none".
        delta: where the square turns into a line.
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: delta is not positive, `reduction` is not known, or a weight is negative or not
            finite. Or a mean is wanted, and every sample_weight is 0.

    Source: Huber (1964).

    >>> import microgrid as mg
    >>> mg.huber_loss(mg.tensor([0.5, 3.0]), [0.0, 0.0], reduction="none")
    tensor([0.125, 2.5  ])
    """
    if not is_number(delta) or not delta > 0:
        raise ValueError(f"huber_loss: delta={delta!r} was given; it must be a number above 0.")
    losses = _huber("huber_loss", prediction, target, delta)
    return reduced("huber_loss", losses, reduction, sample_weight)


def smooth_l1_loss(
    prediction: Operand,
    target: Operand,
    *,
    reduction: str = "mean",
    beta: float = 1.0,
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return d**2 / (2 * beta) for errors d up to beta, and |d| - beta / 2 beyond.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        reduction: "mean", "sum" or "none".
        beta: where the square turns into a line; with 0 it is `l1_loss`.
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: beta is negative, `reduction` is not known, or a weight is negative or not
            finite. Or a mean is wanted, and every sample_weight is 0.

    Source: Girshick (2015), equation 3.

    >>> import microgrid as mg
    >>> mg.smooth_l1_loss(mg.tensor([0.5, 3.0]), [0.0, 0.0], beta=2.0, reduction="none")
    tensor([0.0625, 2.    ])
    """
    if not is_number(beta) or not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta={beta!r} was given; it must be a number from 0 up.")
    losses = _huber("smooth_l1_loss", prediction, target, beta, divided=True)
    return reduced("smooth_l1_loss", losses, reduction, sample_weight)


def pinball_loss(
    prediction: Operand,
    target: Operand,
    *,
    quantile: float | Sequence[float] = 0.5,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return quantile * d where the error d = target - prediction is positive, else (quantile-1)*d.

    The prediction that makes it least is the quantile: what a share `quantile` of the targets stays
    below. The slope at d = 0 is 0.

    Args:
        prediction: float[...]; for several quantiles float[..., quantiles], a column for each.
        target: float[...], of the shape of the prediction; for several quantiles without its last
            axis, or with one of size 1.
        quantile: a number between 0 and 1, or several.
        reduction: "mean", "sum" or "none".
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes do not fit, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: a quantile is not between 0 and 1, `reduction` is not known, or a weight is
            negative or not finite. Or a mean is wanted, and every sample_weight is 0.

    Source: Koenker & Bassett (1978).

    >>> import microgrid as mg
    >>> prediction = mg.tensor([[1.0, 3.0]])
    >>> mg.pinball_loss(prediction, [2.0], quantile=[0.25, 0.75], reduction="none")
    tensor([[0.25, 0.25]])
    """
    who = "pinball_loss"
    one = is_number(quantile)
    given: list[Any] = [quantile] if one else _listed(quantile)
    if not given or not all(is_number(q) and 0 < q < 1 for q in given):
        raise ValueError(
            f"{who}: quantile={quantile!r} was given; it must be a number above 0 and below 1, or "
            "several of them in a list."
        )
    if not one:
        prediction, target = _columns(who, prediction, target, len(given))
    p, t = alike(who, prediction, target)
    d = subtract(t, p)
    above = [number_like(d, q) for q in given]
    below = [1 - q for q in above]
    up, down = (above[0], below[0]) if one else (np.array(x, d.dtype) for x in (above, below))
    # Not maximum(q * d, (q - 1) * d), which at a tie takes the middle of its two slopes.
    losses = multiply(relu(d), up) + multiply(relu(-d), down)
    return reduced(who, losses, reduction, sample_weight)


def epsilon_insensitive_loss(
    prediction: Operand,
    target: Operand,
    *,
    epsilon: float = 0.1,
    reduction: str = "mean",
    sample_weight: Operand | None = None,
) -> Tensor:
    """Return max(0, |prediction - target| - epsilon), with slope 0 at the kinks.

    Args:
        prediction: float[...].
        target: float[...], of the same shape.
        epsilon: errors up to it cost nothing; with 0 it is `l1_loss`.
        reduction: "mean", "sum" or "none".
        sample_weight: float[batch], how much each sample counts; the mean is divided by their sum.

    Returns:
        float[], or float[...] with reduction="none", in the dtype of `prediction`.

    Raises:
        ShapeError: the shapes differ, or there is not one sample_weight for each sample.
        DtypeError: what is given does not hold numbers.
        ValueError: epsilon is negative or not finite, `reduction` is not known, or a weight is
            negative or not finite. Or a mean is wanted, and every sample_weight is 0.

    Source: Drucker, Burges, Kaufman, Smola & Vapnik (1997), support vector regression.

    >>> import microgrid as mg
    >>> mg.epsilon_insensitive_loss(
    ...     mg.tensor([0.25, -3.0]), [0.0, 0.0], epsilon=0.5, reduction="none")
    tensor([0. , 2.5])
    """
    who = "epsilon_insensitive_loss"
    if not is_number(epsilon) or not 0 <= epsilon < math.inf:
        raise ValueError(
            f"{who}: epsilon={epsilon!r} was given; it must be a finite number from 0 up."
        )
    p, t = alike(who, prediction, target)
    d = subtract(p, t)
    losses = relu(subtract(absolute(d), number_like(d, epsilon)))
    return reduced(who, losses, reduction, sample_weight)


def _huber(
    who: str, prediction: Operand, target: Operand, delta: float, divided: bool = False
) -> Any:
    """Return the losses, or, if `divided`, those over delta."""
    p, t = alike(who, prediction, target)
    d = subtract(p, t)
    bound = number_like(d, delta)
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
    return multiply(share, subtract(d, multiply(c, number_like(d, 0.5))))


def _listed(quantile: Any) -> list[Any]:
    """Return several quantiles as a list; of what is none, an empty one."""
    if isinstance(quantile, np.ndarray):
        quantile = quantile.tolist()
    return list(quantile) if isinstance(quantile, (list, tuple)) else []


def _columns(who: str, prediction: Operand, target: Operand, count: int) -> tuple[Any, Any]:
    """Return a prediction of `count` columns, and the target repeated for each of them."""
    p, t = as_operand(who, prediction), as_operand(who, target)
    if not p.ndim or p.shape[-1] != count:
        raise ShapeError(
            f"{who}: a prediction of shape {p.shape} was given for {count} quantiles; it needs one "
            f"column for each, (..., {count})."
        )
    rows = p.shape[:-1]
    if t.shape not in (rows, (*rows, 1)):
        raise ShapeError(
            f"{who}: a prediction of shape {p.shape} for {count} quantiles and a target of shape "
            f"{t.shape} were given; the target needs the shape {rows} or {(*rows, 1)}. Reshape it."
        )
    return p, broadcast_to(t.reshape((*rows, 1)), p.shape)
