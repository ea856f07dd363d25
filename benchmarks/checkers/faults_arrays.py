"""Planted faults of functions of whole arrays: products, sums, broadcasting, indexing, shapes."""

from __future__ import annotations

import numpy as np

from .cases import Fault, draw, op_fault, positive

L, R, B, I = "product", "reduction", "broadcast", "index and shape"  # noqa: E741

SQUARE = draw(3, 3, seed=10)
OTHER = draw(3, 3, seed=11)
ROWS = draw(4, 3, seed=12)
BATCH = draw(5, 3, 3, seed=13)
ROW = draw(3, seed=14)


def matmul(k, a, b):
    return a @ b


def conv(k, x, w):
    return x[:-2] * w[0] + x[1:-1] * w[1] + x[2:] * w[2]


def conv_rule(weights):
    """Return the rule towards x of `conv`, with the weights in some order."""

    def rule(m, g, y, x, w):
        zeros = 0 * x[:2]
        g = m.concatenate([zeros, g, zeros])
        a, b, c = weights(w)
        return g[2:] * a + g[1:-1] * b + g[:-2] * c

    return rule


PRODUCTS: list[Fault] = [
    op_fault(
        L, "matmul: second factor not transposed", matmul,
        lambda m, g, y, a, b: g @ b, lambda m, g, y, a, b: a.T @ g, at=(SQUARE, OTHER),
    ),
    op_fault(
        L, "matmul: gradient of the second factor transposed", matmul,
        lambda m, g, y, a, b: g @ b.T, lambda m, g, y, a, b: g.T @ a, at=(SQUARE, OTHER),
    ),
    op_fault(
        L, "matmul: gradients of the factors swapped", matmul,
        lambda m, g, y, a, b: a.T @ g, lambda m, g, y, a, b: g @ b.T, at=(SQUARE, OTHER),
    ),
    op_fault(
        L, "matmul: first factor dropped from its rule", matmul,
        lambda m, g, y, a, b: g @ b.T, lambda m, g, y, a, b: 0 * b + m.sum(g), at=(SQUARE, OTHER),
    ),
    op_fault(
        L, "batched matmul: not summed over the batch", lambda k, a, b: k.matmul(a, b),
        lambda m, g, y, a, b: m.matmul(g, b.T),
        lambda m, g, y, a, b: m.transpose(a, (0, 2, 1))[0] @ g[0], at=(BATCH, OTHER),
    ),
    op_fault(
        L, "layer: gradient of the bias averaged over the batch", lambda k, x, w, b: x @ w + b,
        lambda m, g, y, x, w, b: g @ w.T, lambda m, g, y, x, w, b: x.T @ g,
        lambda m, g, y, x, w, b: m.mean(g, axis=0), at=(ROWS, OTHER, ROW),
    ),
    op_fault(
        L, "layer: gradient of the bias summed over the features", lambda k, x, w, b: x @ w + b,
        lambda m, g, y, x, w, b: g @ w.T, lambda m, g, y, x, w, b: x.T @ g,
        lambda m, g, y, x, w, b: m.sum(g, axis=1), at=(SQUARE, OTHER, ROW),
    ),
    op_fault(
        L, "layer: gradient of the weight divided by the batch twice",
        lambda k, x, w, b: (x @ w + b) / 4,
        lambda m, g, y, x, w, b: g @ w.T / 4, lambda m, g, y, x, w, b: x.T @ g / 16,
        lambda m, g, y, x, w, b: m.sum(g, axis=0) / 4, at=(ROWS, OTHER, ROW),
    ),
    op_fault(
        L, "layer: no gradient for the bias", lambda k, x, w, b: x @ w + b,
        lambda m, g, y, x, w, b: g @ w.T, lambda m, g, y, x, w, b: x.T @ g,
        lambda m, g, y, x, w, b: 0 * b, at=(ROWS, OTHER, ROW),
    ),
    op_fault(
        L, "outer: operands swapped", lambda k, a, b: k.outer(a, b),
        lambda m, g, y, a, b: g.T @ b, lambda m, g, y, a, b: g @ a, at=(ROW, draw(3, seed=15)),
    ),
    op_fault(
        L, "x'Ax: 2Ax although A is not symmetric", lambda k, x: x @ k.array(SQUARE, x) @ x,
        lambda m, g, y, x: g * 2 * (m.array(SQUARE, x) @ x), at=ROW,
    ),
    op_fault(
        L, "x'Ax: one of two terms dropped", lambda k, x: x @ k.array(SQUARE, x) @ x,
        lambda m, g, y, x: g * (m.array(SQUARE, x) @ x), at=ROW,
    ),
    op_fault(
        L, "determinant: cofactors transposed",
        lambda k, x: x[0, 0] * x[1, 1] - x[0, 1] * x[1, 0],
        lambda m, g, y, x: g * m.stack(
            [m.stack([x[1, 1], -x[0, 1]]), m.stack([-x[1, 0], x[0, 0]])]
        ),
        at=draw(2, 2, seed=16),
    ),
    op_fault(
        L, "convolution: weights not turned round", conv,
        conv_rule(lambda w: (w[2], w[1], w[0])),
        lambda m, g, y, x, w: m.stack([m.sum(g * x[:-2]), m.sum(g * x[1:-1]), m.sum(g * x[2:])]),
        at=(draw(6, seed=17), ROW),
    ),
    op_fault(
        L, "convolution: gradient of the weights shifted by one", conv,
        conv_rule(lambda w: (w[0], w[1], w[2])),
        lambda m, g, y, x, w: m.stack([m.sum(g * x[1:-1]), m.sum(g * x[2:]), m.sum(g * x[:-2])]),
        at=(draw(6, seed=17), ROW),
    ),
]  # fmt: skip


def centred(m, x):
    return x - m.mean(x)


def normed(k, x):
    """Return the rows of x with mean 0 and variance 1."""
    c = x - k.mean(x, axis=-1, keepdims=True)
    return c / k.sqrt(k.mean(c * c, axis=-1, keepdims=True))


def scale(m, x):
    c = x - m.mean(x, axis=-1, keepdims=True)
    return m.sqrt(m.mean(c * c, axis=-1, keepdims=True))


def std(k, x):
    c = centred(k, x)
    return k.sqrt(k.sum(c * c) / (x.shape[0] - 1))


def squared_error(k, a, b):
    return k.mean((a - b) * (a - b))


def cross_entropy(k, x):
    return -k.mean(k.sum(k.log_softmax(x) * k.array(ONE_HOT, x), axis=-1))


ONE_HOT = np.eye(3)[[0, 2, 1, 2]]

REDUCTIONS: list[Fault] = [
    op_fault(
        R, "mean: not divided", lambda k, x: k.mean(x), lambda m, g, y, x: g + 0 * x, at=ROWS
    ),
    op_fault(
        R, "mean over rows: divided by the size of the array", lambda k, x: k.mean(x, axis=0),
        lambda m, g, y, x: g / 12 + 0 * x, at=ROWS,
    ),
    op_fault(
        R, "sum over an axis: repeated along the other", lambda k, x: k.sum(x, axis=1),
        lambda m, g, y, x: g + 0 * x, at=SQUARE,
    ),
    op_fault(
        R, "std: divisor n, not n - 1", std,
        lambda m, g, y, x: g * centred(m, x) / (y * x.shape[0]), at=draw(6, seed=20),
    ),
    op_fault(
        R, "std: not divided by itself", std,
        lambda m, g, y, x: g * centred(m, x) / (x.shape[0] - 1), at=draw(6, seed=20),
    ),
    op_fault(
        R, "std: mean not subtracted", std,
        lambda m, g, y, x: g * x / (y * (x.shape[0] - 1)), at=draw(6, seed=20),
    ),
    op_fault(
        R, "norm: not divided", lambda k, x: k.norm(x), lambda m, g, y, x: g * x, at=ROW
    ),
    op_fault(
        R, "norm: divided by its square", lambda k, x: k.norm(x),
        lambda m, g, y, x: g * x / (y * y), at=ROW,
    ),
    op_fault(
        R, "cumsum: summed from the front", lambda k, x: k.cumsum(x, axis=0),
        lambda m, g, y, x: m.cumsum(g, axis=0), at=draw(5, seed=21),
    ),
    op_fault(
        R, "prod: not divided by the element", lambda k, x: k.prod(x),
        lambda m, g, y, x: g * y + 0 * x, at=draw(4, seed=22),
    ),
    op_fault(
        R, "logsumexp: not normalised", lambda k, x: k.logsumexp(x),
        lambda m, g, y, x: g * m.exp(x - m.max(x)), at=draw(4, seed=23),
    ),
    op_fault(
        R, "softmax: nothing subtracted", lambda k, x: k.softmax(x),
        lambda m, g, y, x: g * y, at=draw(2, 4, seed=24),
    ),
    op_fault(
        R, "softmax: subtracted sum over the wrong axis", lambda k, x: k.softmax(x),
        lambda m, g, y, x: y * (g - m.sum(g * y, axis=0, keepdims=True)), at=SQUARE,
    ),
    op_fault(
        R, "log_softmax: g - softmax, right if g sums to 1", lambda k, x: k.log_softmax(x),
        lambda m, g, y, x: g - m.exp(y), at=draw(2, 4, seed=24),
    ),
    op_fault(
        R, "cross entropy: not divided by the batch", cross_entropy,
        lambda m, g, y, x: g * (m.softmax(x) - m.array(ONE_HOT, x)), at=ROWS,
    ),
    op_fault(
        R, "cross entropy: label subtracted from the logits", cross_entropy,
        lambda m, g, y, x: g * (x - m.array(ONE_HOT, x)) / 4, at=ROWS,
    ),
    op_fault(
        R, "squared error: the 2 forgotten", squared_error,
        lambda m, g, y, a, b: g * (a - b) / 12, lambda m, g, y, a, b: g * (b - a) / 12,
        at=(ROWS, draw(4, 3, seed=25)),
    ),
    op_fault(
        R, "squared error: the target's sign", squared_error,
        lambda m, g, y, a, b: g * (a - b) / 6, lambda m, g, y, a, b: g * (a - b) / 6,
        at=(ROWS, draw(4, 3, seed=25)),
    ),
    op_fault(
        R, "layer norm: the variance as a constant", normed,
        lambda m, g, y, x: (g - m.mean(g, axis=-1, keepdims=True)) / scale(m, x), at=ROWS,
    ),
    op_fault(
        R, "layer norm: mean and variance as constants", normed,
        lambda m, g, y, x: g / scale(m, x), at=ROWS,
    ),
]  # fmt: skip

BROADCASTS: list[Fault] = [
    op_fault(
        B, "adding a row: mean instead of sum", lambda k, a, b: a + b,
        lambda m, g, y, a, b: 1.0 * g, lambda m, g, y, a, b: m.mean(g, axis=0), at=(ROWS, ROW),
    ),
    op_fault(
        B, "adding a row: the first row of the gradient", lambda k, a, b: a + b,
        lambda m, g, y, a, b: 1.0 * g, lambda m, g, y, a, b: g[0], at=(ROWS, ROW),
    ),
    op_fault(
        B, "adding a row: summed over the wrong axis", lambda k, a, b: a + b,
        lambda m, g, y, a, b: 1.0 * g, lambda m, g, y, a, b: m.sum(g, axis=1), at=(SQUARE, ROW),
    ),
    op_fault(
        B, "multiplying by a row: the array forgotten", lambda k, a, b: a * b,
        lambda m, g, y, a, b: g * b, lambda m, g, y, a, b: m.sum(g, axis=0), at=(ROWS, ROW),
    ),
    op_fault(
        B, "multiplying by a number: the last element's share", lambda k, a, b: a * b,
        lambda m, g, y, a, b: g * b, lambda m, g, y, a, b: (g * a)[-1, -1], at=(ROWS, 1.5),
    ),
    op_fault(
        B, "a repeated column and row: summed over one axis",
        lambda k, a: a + 0 * k.array(SQUARE, a),
        lambda m, g, y, a: m.sum(g, axis=0, keepdims=True)[:, :1], at=[[0.5]],
    ),
    op_fault(
        B, "a column: gradient in the shape of a row", lambda k, a: a + 0 * k.array(SQUARE, a),
        lambda m, g, y, a: m.reshape(m.sum(g, axis=1), (1, 3)), at=draw(3, 1, seed=26),
    ),
]  # fmt: skip

REPEATED = np.array([0, 2, 2, 1, 2])
CYCLE = np.array([1, 2, 0])

INDEXING: list[Fault] = [
    op_fault(
        I, "take: repeated indices not accumulated", lambda k, x: x[REPEATED],
        lambda m, g, y, x: m.put(x, REPEATED, g), at=draw(4, seed=30),
    ),
    op_fault(
        I, "slice: gradient one place too far", lambda k, x: x[1:3],
        lambda m, g, y, x: m.concatenate([0 * x[:2], g]), at=draw(4, seed=31),
    ),
    op_fault(
        I, "permutation: not inverted", lambda k, x: x[CYCLE], lambda m, g, y, x: g[CYCLE], at=ROW
    ),
    op_fault(
        I, "sort: gradient left in sorted order", lambda k, x: k.sort(x),
        lambda m, g, y, x: 1.0 * g, at=[0.5, -1.0, 2.0, -0.25],
    ),
    op_fault(
        I, "sort: the permutation not inverted", lambda k, x: k.sort(x),
        lambda m, g, y, x: g[m.argsort(x)], at=[0.5, -1.0, 2.0, -0.25],
    ),
    op_fault(
        I, "transpose: not undone", lambda k, x: 1.0 * x.T, lambda m, g, y, x: 1.0 * g, at=SQUARE
    ),
    op_fault(
        I, "three axes: moved on, not back", lambda k, x: 1.0 * k.transpose(x, (2, 0, 1)),
        lambda m, g, y, x: m.transpose(g, (2, 0, 1)), at=draw(3, 3, 3, seed=32),
    ),
    op_fault(
        I, "reshape: columns read as rows", lambda k, x: 1.0 * k.reshape(x, (-1,)),
        lambda m, g, y, x: m.reshape(g, (3, 3)).T, at=SQUARE,
    ),
    op_fault(
        I, "concatenate: parts swapped", lambda k, a, b: k.concatenate([a, b]),
        lambda m, g, y, a, b: g[3:], lambda m, g, y, a, b: g[:3], at=(ROW, draw(3, seed=33)),
    ),
    op_fault(
        I, "flip: not turned back", lambda k, x: 1.0 * k.flip(x, 0),
        lambda m, g, y, x: 1.0 * g, at=ROW,
    ),
    op_fault(
        I, "roll: rolled on, not back", lambda k, x: k.concatenate([x[-1:], x[:-1]]),
        lambda m, g, y, x: m.concatenate([g[-1:], g[:-1]]), at=ROW,
    ),
    op_fault(
        I, "pad: cut off at the wrong end", lambda k, x: k.concatenate([0 * x[:1], x]),
        lambda m, g, y, x: g[:-1], at=ROW,
    ),
    op_fault(
        I, "trace: every element instead of the diagonal", lambda k, x: x[0, 0] + x[1, 1] + x[2, 2],
        lambda m, g, y, x: g + 0 * x, at=positive(3, 3, seed=34),
    ),
    op_fault(
        I, "repeat: mean instead of sum", lambda k, x: k.concatenate([x, x]),
        lambda m, g, y, x: (g[:3] + g[3:]) / 2, at=ROW,
    ),
]  # fmt: skip

FAULTS = [*PRODUCTS, *REDUCTIONS, *BROADCASTS, *INDEXING]
