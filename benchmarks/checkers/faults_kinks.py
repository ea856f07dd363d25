"""Planted faults of functions with kinks: wrong slopes at the kink, and wrong masks beside it.

A value at a kink is a fault only outside Clarke's set, the slopes between left and right: inside it
libraries may differ.
"""

from __future__ import annotations

import numpy as np

from .cases import Fault, Primitive, composed, draw, op_fault

RELU = {"knots": (0,), "slopes": (0, 1), "elementwise": True}
ABSOLUTE = {"knots": (0,), "slopes": (-1, 1), "elementwise": True}
LEAKY = {"knots": (0,), "slopes": (0.01, 1), "elementwise": True}
CLIP = {"knots": (-1, 1), "slopes": (0, 1, 0), "through": (-1, -1), "elementwise": True}
HINGE = {"knots": (1,), "slopes": (-1, 0), "through": (1, 0), "elementwise": True}
SHRINK = {"knots": (-0.5, 0.5), "slopes": (1, 0, 1), "elementwise": True}
BENT = {"knots": (-1, 2), "slopes": (3, 1, 2), "through": (-1, 0), "elementwise": True}
NEARLY = {"knots": (0,), "slopes": (1, 1.02), "elementwise": True}
BARE = {"elementwise": True}
KEPT = np.array([1.0, 0.0, 1.0, 0.0])

ZERO = [-1.5, 0.0, 0.75]  # a kink of relu between smooth points
SMOOTH = [-1.5, -0.5, 0.25, 0.75, 3.0]  # no kink of relu nearer than 1/4


def relu(k, x):
    return k.maximum(x, 0.0)


def relu_rule(at_zero):
    """Return relu's rule, with a slope at 0."""
    return lambda m, g, y, x: m.where(x == 0, at_zero * g, m.where(x > 0, g, 0.0))


def leaky(k, x):
    return k.where(x > 0, x, 0.01 * x)


def clip(k, x):
    return k.minimum(k.maximum(x, -1.0), 1.0)


def shrink(k, x):
    return x - clip(k, 2 * x) / 2


def bent(k, x):
    return 3 * (x + 1) - 2 * k.maximum(x + 1, 0.0) + k.maximum(x - 2, 0.0)


def top(k, x):
    return k.max(x, axis=-1)


def ties(m, x):
    """Return 1 where x is the largest of its row, and the number of those."""
    mask = m.where(x == m.max(x, axis=-1, keepdims=True), 1.0, 0.0)
    return mask, m.sum(mask, axis=-1, keepdims=True)


K, M = "slope at a kink", "mask"

AT_KINKS: list[Fault] = [
    op_fault(K, "relu at 0: 1.5", relu, relu_rule(1.5), at=ZERO, **RELU),
    op_fault(K, "relu at 0: -1", relu, relu_rule(-1.0), at=ZERO, **RELU),
    op_fault(K, "relu at 0: nan", relu, relu_rule(np.nan), at=ZERO, **RELU),
    op_fault(
        K, "relu at -0.0 only: 1.5", relu,
        lambda m, g, y, x: m.where(x == 0, m.where(m.signbit(x), 1.5 * g, 0.0), relu_rule(0.0)(
            m, g, y, x
        )),
        at=[0.0, -0.0, 1.0], **RELU,
    ),
    op_fault(K, "relu at 0, without pieces: 1.5", relu, relu_rule(1.5), at=ZERO, **BARE),
    op_fault(K, "relu at 0, without pieces: -1", relu, relu_rule(-1.0), at=ZERO, **BARE),
    op_fault(
        K, "leaky relu at 0: 0, below both slopes", leaky,
        lambda m, g, y, x: m.where(x > 0, g, m.where(x < 0, 0.01 * g, 0.0)), at=ZERO, **LEAKY,
    ),
    op_fault(
        K, "absolute at 0: the difference of both slopes", lambda k, x: k.absolute(x),
        lambda m, g, y, x: m.where(x > 0, g, m.where(x < 0, -g, 2 * g)), at=ZERO, **ABSOLUTE,
    ),
    op_fault(
        K, "absolute at 0: x / |x|", lambda k, x: k.absolute(x),
        lambda m, g, y, x: g * (x / y), at=ZERO, **ABSOLUTE,
    ),
    op_fault(
        K, "a bent line at its knots: the sum of both slopes", bent,
        lambda m, g, y, x: (
            g * (m.where(x <= -1, 3.0, 0.0) + m.where(x >= -1, m.where(x <= 2, 1.0, 0.0), 0.0))
            + g * m.where(x >= 2, 2.0, 0.0)
        ),
        at=[-2.0, -1.0, 0.5, 2.0, 2.5], **BENT,
    ),
    op_fault(
        K, "hinge at margin 1: +1", lambda k, x: k.maximum(1 - x, 0.0),
        lambda m, g, y, x: m.where(x < 1, -g, m.where(x == 1, g, 0.0)), at=[0.5, 1.0, 2.0], **HINGE,
    ),
    op_fault(
        K, "clip at the bounds: both masks added", clip,
        lambda m, g, y, x: m.where(
            m.absolute(x) == 1, 2 * g, m.where(m.absolute(x) < 1, g, 0.0)
        ),
        at=[-2.0, -1.0, 0.5, 1.0], **CLIP,
    ),
    op_fault(
        K, "softshrink at 1/2: -1", shrink,
        lambda m, g, y, x: m.where(x == 0.5, -g, m.where(m.absolute(x) > 0.5, g, 0.0)),
        at=[-1.0, 0.25, 0.5], **SHRINK,
    ),
    op_fault(
        K, "x + 0.02 relu(x) at 0: 1.05", lambda k, x: x + 0.02 * k.maximum(x, 0.0),
        lambda m, g, y, x: m.where(x > 0, 1.02 * g, m.where(x < 0, g, 1.05 * g)), at=ZERO, **NEARLY,
    ),
    op_fault(
        K, "elu of alpha 2 at 0: 0, below both slopes",
        lambda k, x: k.where(x > 0, x, 2 * k.expm1(k.minimum(x, 0.0))),
        lambda m, g, y, x: m.where(x > 0, g, m.where(x < 0, g * (y + 2), 0.0)), at=ZERO, **BARE,
    ),
    op_fault(
        K, "prelu at 0: 0, below both slopes", lambda k, x, s: k.where(x > 0, x, s * x),
        lambda m, g, y, x, s: m.where(x > 0, g, m.where(x < 0, s * g, 0.0)),
        lambda m, g, y, x, s: m.where(x < 0, x * g, 0.0),
        at=(ZERO, [0.25, 0.25, 0.5]), **BARE,
    ),
    op_fault(
        K, "maximum at a tie: 1, 1", lambda k, a, b: k.maximum(a, b),
        lambda m, g, y, a, b: m.where(a >= b, g, 0.0),
        lambda m, g, y, a, b: m.where(b >= a, g, 0.0),
        at=([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), **BARE,
    ),
    op_fault(
        K, "minimum at a tie: 2, -1", lambda k, a, b: k.minimum(a, b),
        lambda m, g, y, a, b: m.where(a < b, g, m.where(a == b, 2 * g, 0.0)),
        lambda m, g, y, a, b: m.where(b < a, g, m.where(a == b, -g, 0.0)),
        at=([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), **BARE,
    ),
    op_fault(
        K, "a tie of three in max: 1 for each", top,
        lambda m, g, y, x: g[..., None] * ties(m, x)[0], at=[[3.0, 3.0, 1.0, 3.0]],
    ),
    op_fault(
        K, "a tie of three in max: 1/2 for each", top,
        lambda m, g, y, x: g[..., None] * ties(m, x)[0] / m.minimum(ties(m, x)[1], 2.0),
        at=[[3.0, 3.0, 1.0, 3.0]],
    ),
    op_fault(
        K, "a tie of three in max: 0 for each", top,
        lambda m, g, y, x: g[..., None] * m.where(ties(m, x)[1] == 1, ties(m, x)[0], 0.0),
        at=[[3.0, 3.0, 1.0, 3.0]],
    ),
    op_fault(
        K, "norm at 0: ones, outside the unit ball", lambda k, x: k.sqrt(k.sum(x * x)),
        lambda m, g, y, x: g * m.where(y == 0, 1.0 + 0 * x, x / m.where(y == 0, 1.0, y)),
        at=[0.0, 0.0, 0.0],
    ),
]  # fmt: skip


def _maximum_of_itself(m):
    op = m.op(
        Primitive(
            lambda k, a, b: k.maximum(a, b),
            (
                lambda m, g, y, a, b: m.where(a > b, g, 0.0),
                lambda m, g, y, a, b: m.where(b > a, g, 0.0),
            ),
            elementwise=True,
        )
    )
    return lambda x: op(x, x)


AT_KINKS.append(Fault("maximum(x, x), which is x: 0", K, _maximum_of_itself, (draw(4, seed=1),)))


MASKS: list[Fault] = [
    op_fault(
        M, "relu: mask of x > 1", relu, lambda m, g, y, x: m.where(x > 1, g, 0.0), at=SMOOTH, **RELU
    ),
    op_fault(
        M, "relu: mask turned round", relu, lambda m, g, y, x: m.where(x < 0, g, 0.0), at=SMOOTH,
        **RELU,
    ),
    op_fault(M, "relu: no mask", relu, lambda m, g, y, x: 1.0 * g, at=SMOOTH, **RELU),
    op_fault(
        M, "relu: 1/100 leaks through", relu, lambda m, g, y, x: m.where(x > 0, g, 0.01 * g),
        at=SMOOTH, **RELU,
    ),
    op_fault(
        M, "relu: rule and pieces of a leaky relu", relu,
        lambda m, g, y, x: m.where(x > 0, g, 0.01 * g), at=SMOOTH, **LEAKY,
    ),
    op_fault(
        M, "relu: mask of x > 1e-6, at 5e-7", relu, lambda m, g, y, x: m.where(x > 1e-6, g, 0.0),
        at=[5e-7, -5e-7, 1.0], **RELU,
    ),
    op_fault(
        M, "relu: mask of x > -1e-6, at -5e-7", relu, lambda m, g, y, x: m.where(x > -1e-6, g, 0.0),
        at=[5e-7, -5e-7, 1.0], **RELU,
    ),
    op_fault(
        M, "relu: the neighbour's mask", relu,
        lambda m, g, y, x: m.where(m.flip(x, 0) > 0, g, 0.0), at=SMOOTH, **RELU,
    ),
    op_fault(
        M, "relu: slope 2 where positive", relu, lambda m, g, y, x: m.where(x > 0, 2 * g, 0.0),
        at=SMOOTH, **RELU,
    ),
    op_fault(
        M, "relu without pieces: slope 2 where positive", relu,
        lambda m, g, y, x: m.where(x > 0, 2 * g, 0.0), at=SMOOTH, **BARE,
    ),
    op_fault(
        M, "relu without pieces: no mask, a kink among the points", relu,
        lambda m, g, y, x: 1.0 * g, at=ZERO, **BARE,
    ),
    op_fault(
        M, "leaky relu: slopes swapped", leaky,
        lambda m, g, y, x: m.where(x > 0, 0.01 * g, g), at=SMOOTH, **LEAKY,
    ),
    op_fault(
        M, "leaky relu: nothing leaks", leaky,
        lambda m, g, y, x: m.where(x > 0, g, 0.0), at=SMOOTH, **LEAKY,
    ),
    op_fault(
        M, "absolute: slope 1 everywhere", lambda k, x: k.absolute(x), lambda m, g, y, x: 1.0 * g,
        at=SMOOTH, **ABSOLUTE,
    ),
    op_fault(
        M, "absolute without pieces: sign turned round", lambda k, x: k.absolute(x),
        lambda m, g, y, x: m.where(x > 0, -g, g), at=SMOOTH, **BARE,
    ),
    op_fault(
        M, "clip: passes above the upper bound", clip,
        lambda m, g, y, x: m.where(x > -1, g, 0.0), at=SMOOTH, **CLIP,
    ),
    op_fault(
        M, "clip: mask of the result, not of the input", clip,
        lambda m, g, y, x: m.where(m.absolute(y) <= 1, g, 0.0), at=SMOOTH, **CLIP,
    ),
    op_fault(
        M, "softshrink: passes inside too", shrink,
        lambda m, g, y, x: 1.0 * g, at=[-1.5, -0.25, 0.25, 0.75], **SHRINK,
    ),
    op_fault(
        M, "hinge: active and inactive swapped", lambda k, x: k.maximum(1 - x, 0.0),
        lambda m, g, y, x: m.where(x < 1, 0.0, -g), at=SMOOTH, **HINGE,
    ),
    op_fault(
        M, "where: both branches get the gradient", lambda k, a, b: k.where(a > 0, a, b),
        lambda m, g, y, a, b: m.where(a > 0, g, 0.0), lambda m, g, y, a, b: 1.0 * g,
        at=(draw(5, seed=2), draw(5, seed=3)), **BARE,
    ),
    op_fault(
        M, "maximum: gradients of the operands swapped", lambda k, a, b: k.maximum(a, b),
        lambda m, g, y, a, b: m.where(b > a, g, 0.0), lambda m, g, y, a, b: m.where(a > b, g, 0.0),
        at=(draw(5, seed=4), draw(5, seed=5)), **BARE,
    ),
    op_fault(
        M, "maximum: everything to the first operand", lambda k, a, b: k.maximum(a, b),
        lambda m, g, y, a, b: 1.0 * g, lambda m, g, y, a, b: 0.0 * g,
        at=(draw(5, seed=4), draw(5, seed=5)), **BARE,
    ),
    op_fault(
        M, "max over rows: place of the whole array's maximum", top,
        lambda m, g, y, x: m.where(x == m.max(x), 1.0, 0.0) * g[..., None], at=draw(3, 4, seed=6),
    ),
    op_fault(
        M, "max over rows: spread over the row", top,
        lambda m, g, y, x: g[..., None] / 4 + 0 * x, at=draw(3, 4, seed=6),
    ),
    op_fault(
        M, "dropout: another mask backwards", lambda k, x: x * k.array(KEPT, x),
        lambda m, g, y, x: g * m.array(KEPT[::-1].copy(), x), at=draw(4, seed=7), **BARE,
    ),
    op_fault(
        M, "huber: not held beyond 1", lambda k, x: k.huber(x), lambda m, g, y, x: g * x,
        at=SMOOTH, **BARE,
    ),
    composed(
        Fault, M, "round: passed straight through",
        lambda m, x: x + m.frozen(m.where(x > 0, 1.0, -1.0) - x), draw(4, seed=8),
    ),
]  # fmt: skip

FAULTS = [*AT_KINKS, *MASKS]
