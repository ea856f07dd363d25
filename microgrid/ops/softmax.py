"""Softmax and its kin, shifted by the maximum so that nothing overflows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, into
from ..core import Op, Operand, Tensor, as_operand
from ..record import Domain
from .arithmetic import ANY, chain, quiet
from .axes import Axes, Axis, keep_dims, normalise, reduction_params
from .index import one_hot
from .reduction import fold, sum_over


def _shift(x: Array, axis: Axes) -> tuple[Array, Array]:
    """Return x less its maximum, 0 at a maximum that is infinite, and the maximum."""
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    top = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    z = np.asarray(x - top)
    if not np.isfinite(top).all():
        np.copyto(z, 0, where=(x == top) & np.isinf(top))
    return z, top


@quiet
def _logsumexp_kernel(x: Array, out: Array | None = None, *, axis: Axes, keepdims: bool) -> Any:
    z, top = _shift(x, axis)
    y = top + np.log(np.add.reduce(np.exp(z), axis=axis, keepdims=True))
    if not keepdims:
        y = y.reshape([n for i, n in enumerate(x.shape) if i not in axis])
    return into(out, y)


_logsumexp = Op(
    name="logsumexp",
    doc="The logarithm of the sum of exponentials, shifted by the maximum so that none overflows. "
    "Its slopes are a softmax's weights.",
    kernel=_logsumexp_kernel,
    vjps=(
        lambda g, y, x, axis, keepdims: chain(
            keep_dims(g, x.shape, axis), _softmax_over(x, axis=axis)
        ),
    ),
    domains=(ANY,),
    signature="(...)->(...)",
    params=reduction_params,
    reference=lambda x, axis, keepdims: fold(
        lambda xs: math.log(math.fsum(map(math.exp, xs))) if xs else -math.inf, x, axis, keepdims
    ),
    formula="ln Σ exp(x[i])",
    inner=lambda x, **axes: 1,
)


@quiet
def _softmax(x: Array, out: Array | None = None, *, axis: Axes) -> Any:
    weights = np.exp(_shift(x, axis)[0])
    return np.divide(weights, np.add.reduce(weights, axis=axis, keepdims=True), out=out)


def softmax_rule(g: Any, y: Any, axis: Axes | None = None) -> Any:
    """Return the rule of softmax along `axis`, by default the last, from its result y."""
    axis = (y.ndim - 1,) if axis is None else axis
    return chain(y, g - sum_over(chain(g, y), axis=axis, keepdims=True))


_softmax_over: Op = Op(
    name="softmax",
    doc="Positive weights along an axis that sum to 1, in the ratio of the exponentials.",
    kernel=_softmax,
    vjps=(lambda g, y, x, axis: softmax_rule(g, y, axis),),
    domains=(ANY,),
    signature="(...)->(...)",
    params=lambda shape: [{"axis": (i,)} for i in range(len(shape))],
    reference=lambda x, axis: np.exp(x) / np.sum(np.exp(x), axis[0], keepdims=True),
    formula="exp(x[i]) / Σ exp(x[j])",
)


@quiet
def _log_softmax_kernel(x: Array, out: Array | None = None, *, axis: Axes) -> Any:
    z, _ = _shift(x, axis)
    return np.subtract(z, np.log(np.add.reduce(np.exp(z), axis=axis, keepdims=True)), out=out)


_log_softmax = Op(
    name="log_softmax",
    doc="The logarithm of softmax, without taking the logarithm of what vanished.",
    kernel=_log_softmax_kernel,
    vjps=(
        lambda g, y, x, axis: (
            g - chain(_softmax_over(x, axis=axis), sum_over(g, axis=axis, keepdims=True))
        ),
    ),
    domains=(ANY,),
    signature="(...)->(...)",
    params=lambda shape: [{"axis": (i,)} for i in range(len(shape))],
    reference=lambda x, axis: np.log(np.exp(x) / np.sum(np.exp(x), axis[0], keepdims=True)),
    formula="x[i] - ln Σ exp(x[j])",
    inner=lambda x, **axes: 1,
)


@quiet
def _cross_entropy_kernel(logits: Array, labels: Array, out: Array | None = None) -> Any:
    z, _ = _shift(logits, (logits.ndim - 1,))
    norm = np.log(np.add.reduce(np.exp(z), axis=-1))
    if labels.dtype.kind == "f":  # probabilities; those of 0 add nothing, even where z is -inf
        terms = np.where(labels == 0, 0, labels * (norm[..., None] - z))
        return np.add.reduce(terms, axis=-1, out=out)
    rows = z.reshape(-1, z.shape[-1])
    chosen = rows[np.arange(len(rows)), labels.reshape(-1)].reshape(labels.shape)
    return np.subtract(norm, chosen, out=out)


def _cross_entropy_rule(g: Any, y: Any, logits: Any, labels: Any) -> Any:
    weights = _softmax_over(logits, axis=(logits.ndim - 1,))
    if labels.dtype.kind == "f":
        total = sum_over(labels, axis=(labels.ndim - 1,), keepdims=True)
        excess = weights * total - labels
    else:
        excess = weights - one_hot(labels, logits.shape[-1], weights.dtype)
    return chain(g.reshape((*g.shape, 1)), excess)


softmax_cross_entropy = Op(
    name="softmax_cross_entropy",
    doc="The cross-entropy of a softmax against labels, for each row: indices of classes, or "
    "probabilities. One op for speed: log_softmax, a choice and their rules take three times the "
    "calls.",
    kernel=_cross_entropy_kernel,
    vjps=(
        _cross_entropy_rule,
        lambda g, y, logits, labels: chain(
            -g.reshape((*g.shape, 1)), _log_softmax(logits, axis=(logits.ndim - 1,))
        ),
    ),
    domains=(ANY, Domain(0.1, 1.0, include=(0.0,))),
    signature="(n),(n)->()",
    reference=lambda logits, labels: (
        -np.sum(labels * np.log(np.exp(logits) / np.sum(np.exp(logits), -1, keepdims=True)), -1)
    ),
    formula="-Σ labels[i] * log_softmax(logits)[i]",
    inner=lambda logits, labels: 1,
    private=True,
)


def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return ln Σ exp(x) over the given axes, or over all, without overflow; of nothing, -inf.

    Args:
        x: float[...].
        axis: an axis, several, or None for all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import logsumexp
    >>> logsumexp([1000.0, 1000.0])
    np.float64(1000.6931471805599)
    """
    t = as_operand("logsumexp", x)
    return _logsumexp(t, axis=normalise("logsumexp", axis, t), keepdims=keepdims)


def softmax(x: Operand, axis: Axis = -1) -> Tensor:
    """Return positive weights along an axis that sum to 1, in the ratio of the exponentials.

    Args:
        x: float[..., n, ...].
        axis: along which the weights sum to 1; several, or None for all.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import softmax
    >>> softmax([1000.0, 1000.0])
    array([0.5, 0.5])
    """
    t = as_operand("softmax", x)
    return _softmax_over(t, axis=normalise("softmax", axis, t))


def log_softmax(x: Operand, axis: Axis = -1) -> Tensor:
    """Return the logarithm of softmax, exact also where a weight vanishes.

    Args:
        x: float[..., n, ...].
        axis: along which the weights sum to 1; several, or None for all.

    Raises:
        numpy.exceptions.AxisError: an axis is out of bounds.

    >>> from microgrid import log_softmax
    >>> log_softmax([1000.0, 0.0])
    array([    0., -1000.])
    """
    t = as_operand("log_softmax", x)
    return _log_softmax(t, axis=normalise("log_softmax", axis, t))
