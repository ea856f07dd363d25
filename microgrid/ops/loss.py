"""Losses that are one op for speed: in a small network's step the loss takes the most calls."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..arrays import Array, exact, into
from ..core import Op
from ..errors import ShapeError
from ..record import Domain
from .arithmetic import ANY, chain, quiet
from .linear import ones
from .reduction import mean_kernel, sum_over
from .softmax import softmax, softmax_cross_entropy, softmax_rule


@quiet
def _mean_square(a: Array, b: Array, out: Array | None = None) -> Any:
    if a.shape != b.shape:
        raise ShapeError(
            f"mean_squared_error: shapes {a.shape} and {b.shape} were given; they must be equal. "
            "Reshape one of them."
        )
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":  # differences of unsigned ones wrap around
        a = a.astype(float)
    d = np.asarray(np.subtract(a, b))
    if d.itemsize == 2 and d.dtype.kind == "f":
        # Of halves the sum of squares overflows long before their mean.
        wide = d.astype(np.float32).ravel()
        return into(out, np.float16(wide.dot(wide) / d.size))
    if d.dtype.kind != "f":
        return into(out, np.mean(d * d))
    flat = d.ravel()
    return into(out, flat.dot(flat) / d.dtype.type(d.size))


def _over(number: int, a: Any) -> Any:
    return exact(number, a.size or 1) if a.dtype.kind == "O" else number / (a.size or 1)


mean_squared_error = Op(
    name="mean_squared_error",
    doc="The mean of the squared differences of two arrays of one shape.",
    kernel=_mean_square,
    vjps=(
        lambda g, y, a, b: chain(g, (a - b) * _over(2, a)),
        lambda g, y, a, b: chain(g, (b - a) * _over(2, a)),
    ),
    domains=(ANY, ANY),
    signature="(...),(...)->()",
    shapes=(((3,), (3,)), ((2, 3), (2, 3)), ((), ()), ((1, 1), (1, 1))),
    reference=lambda a, b: np.mean(np.square(a - b)),
    formula="Σ (a[i] - b[i])² / n",
)


@functools.lru_cache(maxsize=32)
def _row_constants(rows: int, classes: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the flat index at which each row starts, and a one for each class."""
    starts = np.arange(0, rows * classes, classes)
    starts.flags.writeable = False
    return starts, ones(classes, dtype)


def _row_margins(logits: Array, labels: Array) -> tuple[Array, Array, Array]:
    """Return the flat index of the labels, exp(logits - that of the label), and its row sums.

    Relative to the label's logit, not to the largest: that needs no search, and where it overflows
    the callers see a sum that is not finite and take the longer way. Flat indices, because take and
    put are several times as fast as an index of two arrays.
    """
    rows, classes = logits.shape
    starts, one_each = _row_constants(rows, classes, logits.dtype)
    at = labels + starts
    weights = logits - logits.take(at).reshape(rows, 1)
    np.exp(weights, out=weights)
    return at, weights, weights.dot(one_each)


@quiet
def _mean_cross_entropy(logits: Array, labels: Array, out: Array | None = None) -> Any:
    y = _mean(np.log(_row_margins(logits, labels)[2]))
    if not math.isfinite(y):
        y = _mean(softmax_cross_entropy.kernel(logits, labels))
    return into(out, y)


def _mean(losses: Array) -> Any:
    if losses.itemsize == 2:  # of halves
        return mean_kernel(losses, axis=(0,), keepdims=False)
    return losses.dot(ones(len(losses), losses.dtype)) / len(losses)


LABELS = Domain(0, 1, include=(0.0, 1.0), kind="int")
SHAPES = ((3, 4), (3,)), ((1, 2), (1,)), ((4, 3), (4,))

mean_cross_entropy = Op(
    name="mean_cross_entropy",
    doc="The mean over the rows of the cross-entropy of a softmax, against indices of classes.",
    kernel=_mean_cross_entropy,
    vjps=(lambda g, y, logits, labels: _slope(g, logits, labels), None),
    domains=(ANY, LABELS),
    signature="(n,c),(n)->()",
    shapes=SHAPES,
    reference=lambda logits, labels: np.mean(
        [math.log(sum(map(math.exp, row))) - row[i] for row, i in zip(logits, labels, strict=True)]
    ),
    formula="-Σ log_softmax(logits[i])[labels[i]] / n",
    private=True,
)


def _slope_kernel(g: Array, logits: Array, labels: Array, out: Array | None = None) -> Any:
    at, weights, sums = _row_margins(logits, labels)
    if math.isfinite(sums.dot(sums)):
        share = g / len(labels)
        scale = share / sums
        weights *= scale.reshape(-1, 1)
        weights.put(at, scale - share)  # of the label itself, exp is 1
    else:
        weights = np.asarray(softmax(logits, axis=-1))
        weights.put(at, weights.take(at) - 1)
        weights = chain.kernel(g / len(labels), weights)
    return into(out, weights)


_slope: Op = Op(
    name="cross_entropy_slope",
    doc="The slope of mean cross-entropy times g: softmax's weights, less 1 at each row's label, "
    "over n.",
    kernel=_slope_kernel,
    vjps=(
        lambda g, y, a, logits, labels: sum_over(
            chain(g, _slope(0 * a + 1, logits, labels)), axis=(0, 1), keepdims=False
        ),
        lambda g, y, a, logits, labels: softmax_rule(
            chain(g, a) / len(labels), softmax(logits, axis=-1)
        ),
        None,
    ),
    domains=(ANY, ANY, LABELS),
    signature="(),(n,c),(n)->(n,c)",
    shapes=tuple(((), *pair) for pair in SHAPES),
    reference=lambda g, logits, labels: (
        (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True) - np.eye(logits.shape[1])[labels])
        * (g / len(labels))
    ),
    formula="g * (softmax(logits) - one_hot(labels)) / n",
    private=True,
)
