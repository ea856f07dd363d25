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
from .arithmetic import ANY, POSITIVE, add, chain, divide, quiet, subtract
from .linear import dot, ones
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
    composed=lambda a, b: _square_of_difference(a, b),
)


@quiet
def _mean_of_squares_kernel(d: Array, out: Array | None = None) -> Any:
    flat = d.ravel()
    return into(out, flat.dot(flat) / d.dtype.type(d.size))


def _write_mean_of_squares(line: Any, out: Array, d: Any) -> bool:
    if not isinstance(d, np.ndarray) or not d.flags.c_contiguous:
        return False
    flat = d.reshape(-1)
    total = line.scratch((), d.dtype)
    line.text("{0}.dot({0}, {1})", flat, total)
    line(np.divide, total, np.array(d.size, d.dtype), out)
    return True


mean_of_squares: Op = Op(
    name="mean_of_squares",
    doc="The mean of the squares of float32 or float64 numbers.",
    kernel=_mean_of_squares_kernel,
    vjps=(lambda g, y, x: chain(g, x * _over(2, x)),),
    domains=(ANY,),
    signature="(...)->()",
    shapes=(((3,),), ((2, 3),), ((),)),
    reference=lambda x: np.mean(np.square(x)),
    formula="Σ x[i]² / n",
    inline=_write_mean_of_squares,
    private=True,
)


def _square_of_difference(a: Any, b: Any) -> Any:
    """Return the mean squared error by smaller ops, of which its slope shares the difference."""
    if a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind != "f" or a.dtype.itemsize == 2:
        return None
    return mean_of_squares(subtract(a, b))


@functools.lru_cache(maxsize=32)
def _starts_of_rows(rows: int, classes: int) -> Array:
    """Return the flat index at which each row starts."""
    starts = np.arange(0, rows * classes, classes)
    starts.flags.writeable = False
    return starts


# The kernels of mean cross-entropy and of its slope, step by step. As ops the steps are what a
# compiler sees: most of them are common to both.


def _row_margins(logits: Array, at: Array, out: Array | None = None) -> Array:
    """Return exp(logits - that of the label), whose flat index is `at`.

    Relative to the label's logit, not to the largest: that needs no search, and where it overflows
    the callers see a sum that is not finite and take the longer way. Flat indices, because take and
    put are several times as fast as an index of two arrays.
    """
    weights = np.subtract(logits, logits.take(at).reshape(-1, 1), out=out)
    return np.exp(weights, out=weights)


def _write_row_margins(line: Any, out: Array, logits: Any, at: Any) -> bool:
    if not isinstance(logits, np.ndarray) or not logits.flags.c_contiguous:
        return False
    chosen = line.scratch(at.shape, out.dtype)
    # "clip" writes right into `chosen`; the indices were checked.
    line.text("{0}.take({1}, None, {2}, 'clip')", logits.reshape(-1), at, chosen)
    line.each(np.subtract, logits, chosen.reshape(-1, 1), out)
    line(np.exp, out, out)
    return True


def _mean_of_logs(sums: Array, logits: Array, labels: Array, out: Array | None = None) -> Any:
    y = _mean(np.log(sums))
    if not math.isfinite(y):
        y = _mean(softmax_cross_entropy.kernel(logits, labels))
    return into(out, y)


def _write_mean_of_logs(line: Any, out: Array, sums: Any, logits: Any, labels: Any) -> bool:
    if out.itemsize == 2 or not isinstance(sums, np.ndarray):
        return False
    logs, n = line.scratch(sums.shape, out.dtype), len(sums)
    total = line.scratch((), out.dtype)
    line(np.log, sums, logs)
    line.text("{0}.dot({1}, {2})", logs, ones(n, out.dtype), total)
    line(np.divide, total, np.array(n, out.dtype), out)
    line.text("if not isfinite({0}): {1}({2}, {3}, {4}, {0})",
              out, _mean_of_logs, sums, logits, labels)  # fmt: skip
    return True


def _slope_of_margins(
    weights: Array, sums: Array, share: Array, at: Array, logits: Array, labels: Array,
    out: Array | None = None,
) -> Any:  # fmt: skip
    if not math.isfinite(sums.dot(sums)):
        weights = np.asarray(softmax(logits, axis=-1))
        weights.put(at, weights.take(at) - 1)
        return into(out, chain.kernel(share, weights))
    scale = share / sums
    y = np.multiply(weights, scale.reshape(-1, 1), out=out)
    y.put(at, scale - share)  # of the label itself, exp is 1
    return y


def _write_slope_of_margins(
    line: Any, out: Array, weights: Any, sums: Any, share: Any, at: Any, logits: Any, labels: Any
) -> bool:
    if not out.flags.c_contiguous or not isinstance(sums, np.ndarray):
        return False
    scale, label = line.scratch(sums.shape, out.dtype), line.scratch(sums.shape, out.dtype)
    line.text("if not isfinite({0}.dot({0})): {1}({2}, {0}, {3}, {4}, {5}, {6}, {7})",
              sums, _slope_of_margins, weights, share, at, logits, labels, out)  # fmt: skip
    with line.otherwise():
        line(np.divide, share, sums, scale)
        line(np.subtract, scale, share, label)
        line.each(np.multiply, weights, scale.reshape(-1, 1), out)
        line.text("{0}.put({1}, {2})", out, at, label)
    return True


def _row_sums(weights: Array) -> Any:
    return weights.dot(ones(weights.shape[1], weights.dtype))


@quiet
def _mean_cross_entropy(logits: Array, labels: Array, out: Array | None = None) -> Any:
    at = labels + _starts_of_rows(*logits.shape)
    return _mean_of_logs(_row_sums(_row_margins(logits, at)), logits, labels, out)


def _slope_kernel(g: Array, logits: Array, labels: Array, out: Array | None = None) -> Any:
    at = labels + _starts_of_rows(*logits.shape)
    weights = _row_margins(logits, at, out)
    share = g / len(labels)
    return _slope_of_margins(weights, _row_sums(weights), share, at, logits, labels, weights)


def _mean(losses: Array) -> Any:
    if losses.itemsize == 2:  # of halves
        return mean_kernel(losses, axis=(0,), keepdims=False)
    return losses.dot(ones(len(losses), losses.dtype)) / len(losses)


LABELS = Domain(0, 1, include=(0.0, 1.0), kind="int")
SHAPES = ((3, 4), (3,)), ((1, 2), (1,)), ((4, 3), (4,))


# The steps as ops. They stand in for the whole in compiled programs only, so they have no rules.

row_margins = Op(
    name="row_margins",
    doc="exp(logits - that of the label of their row), by the flat index of the labels.",
    kernel=quiet(_row_margins),
    vjps=(None, None),
    domains=(ANY, LABELS),
    signature="(n,c),(n)->(n,c)",
    shapes=SHAPES,
    reference=lambda logits, at: np.exp(logits - logits.ravel()[at].reshape(-1, 1)),
    formula="exp(logits[i, j] - logits[at[i]])",
    inline=_write_row_margins,
    part=True,
    private=True,
)
mean_of_logs = Op(
    name="mean_of_logs",
    doc="The mean of log(sums); where it is not finite, mean cross-entropy the long way.",
    kernel=quiet(_mean_of_logs),
    vjps=(None, None, None),
    domains=(POSITIVE, ANY, LABELS),
    signature="(n),(n,c),(n)->()",
    shapes=tuple((rows, logits, rows) for logits, rows in SHAPES),
    reference=lambda sums, logits, labels: np.mean(np.log(sums)),
    formula="Σ log(sums[i]) / n",
    inline=_write_mean_of_logs,
    part=True,
    private=True,
)


def _margins_to_slope(weights: Any, sums: Any, share: Any, at: Any, *more: Any) -> Any:
    y = weights / sums.reshape(-1, 1)
    y.ravel()[at] = 1 / sums - 1
    return share * y


slope_of_margins = Op(
    name="slope_of_margins",
    doc="The slope of mean cross-entropy, from row_margins and their sums.",
    kernel=quiet(_slope_of_margins),
    vjps=(None,) * 6,
    domains=(ANY, POSITIVE, ANY, LABELS, ANY, LABELS),
    signature="(n,c),(n),(),(n),(n,c),(n)->(n,c)",
    shapes=tuple((logits, rows, (), rows, logits, rows) for logits, rows in SHAPES),
    reference=_margins_to_slope,
    formula="share * (weights / sums - one_hot(labels))",
    inline=_write_slope_of_margins,
    part=True,
    in_place=True,
    private=True,
)


def _margins(logits: Any, labels: Any) -> tuple[Any, Any, Any]:
    """Return the flat index of the labels, the margins and their sums, by ops."""
    at = add(labels, _starts_of_rows(*logits.shape))
    weights = row_margins(logits, at)
    return at, weights, dot(weights, ones(logits.shape[1], logits.dtype))


def _composed_loss(logits: Any, labels: Any) -> Any:
    return mean_of_logs(_margins(logits, labels)[2], logits, labels)


def _composed_slope(g: Any, logits: Any, labels: Any) -> Any:
    at, weights, sums = _margins(logits, labels)
    share = divide(g, labels.shape[0])
    return slope_of_margins(weights, sums, share, at, logits, labels)


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
    composed=_composed_loss,
    inner=lambda logits, labels: 1,
    private=True,
)


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
    composed=_composed_slope,
    inner=lambda g, logits, labels: np.abs(g) / len(labels),
    private=True,
)
