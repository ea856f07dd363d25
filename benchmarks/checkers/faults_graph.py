"""Planted faults of what surrounds a formula: the upstream gradient, state, graph, second order."""

from __future__ import annotations

from itertools import count

import numpy as np

from .cases import Fault, Primitive, composed, draw, op_fault, positive

U, T, C, O = "upstream", "state", "graph", "second order"  # noqa: E741
BARE = {"elementwise": True}

X = draw(4, seed=60)
Y = draw(4, seed=61)
POSITIVE = positive(4, seed=62)
ROW, SQUARE, OTHER = draw(3, seed=63), draw(3, 3, seed=64), draw(3, 3, seed=65)


def square(k, x):
    return x * x


UPSTREAM: list[Fault] = [
    op_fault(
        U, "sum of squares: g ignored", lambda k, x: k.sum(x * x), lambda m, g, y, x: 2 * x, at=X
    ),
    op_fault(
        U, "square: |g|", square, lambda m, g, y, x: 2 * x * m.absolute(g), at=X, **BARE
    ),
    op_fault(
        U, "square: g held between -1 and 1", square,
        lambda m, g, y, x: 2 * x * m.clip(g, -1.0, 1.0), at=X, **BARE,
    ),
    op_fault(
        U, "square: g held between -100 and 100", square,
        lambda m, g, y, x: 2 * x * m.clip(g, -100.0, 100.0), at=X, **BARE,
    ),
    op_fault(
        U, "square: mean of g, right if g is uniform", square,
        lambda m, g, y, x: 2 * x * m.mean(g), at=X, **BARE,
    ),
    op_fault(
        U, "relu: passes positive g only", lambda k, x: k.maximum(x, 0.0),
        lambda m, g, y, x: m.where(x > 0, m.where(g > 0, g, 0.0), 0.0),
        at=X, knots=(0,), slopes=(0, 1), **BARE,
    ),
    op_fault(
        U, "square: g squared, right for 0 and 1", square, lambda m, g, y, x: 2 * x * g * g, at=X,
        **BARE,
    ),
    op_fault(
        U, "square: g turned round", square, lambda m, g, y, x: 2 * x * m.flip(g, 0), at=X, **BARE
    ),
    op_fault(
        U, "normalised gradient: divided by its norm", square,
        lambda m, g, y, x: 2 * x * g / m.sqrt(m.sum(g * g) + 1e-12), at=X, **BARE,
    ),
]  # fmt: skip


def _overwritten(m):
    """Return a sum of two calls of an op that keeps its input in one place for both."""
    saved = {}

    def forward(k, x):
        saved["x"] = x
        return x * x

    op = m.op(Primitive(forward, (lambda m, g, y, x: 2 * g * saved["x"],), elementwise=True))
    return lambda a, b: op(a) + op(b)


def _every_second_call(m):
    """Return a square whose rule is right every other time that it is called."""
    calls = count()
    rule = lambda m, g, y, x: 2 * g * x * (1.0 + next(calls) % 2)  # noqa: E731
    return m.op(Primitive(square, (rule,), elementwise=True))


def _noisy(m):
    """Return a square whose rule has 1 % of noise."""
    rng = np.random.default_rng(0)

    def rule(m, g, y, x):
        return 2 * g * x * m.array(rng.uniform(0.99, 1.01, x.shape), x)

    return m.op(Primitive(square, (rule,), elementwise=True))


STATE: list[Fault] = [
    op_fault(
        T, "square: the input of an earlier call", square,
        lambda m, g, y, x: 2 * g * m.array(Y, x), at=X, **BARE,
    ),
    op_fault(
        T, "relu: the mask of an earlier call", lambda k, x: k.maximum(x, 0.0),
        lambda m, g, y, x: m.where(m.array(Y, x) > 0, g, 0.0),
        at=X, knots=(0,), slopes=(0, 1), **BARE,
    ),
    op_fault(
        T, "square: an earlier call's gradient left in the buffer", square,
        lambda m, g, y, x: 2 * g * x + m.array(Y, x), at=X, **BARE,
    ),
    Fault("square: input overwritten by a later call", T, _overwritten, (X, Y)),
    Fault("square: twice the gradient at every second call", T, _every_second_call, (X,)),
    Fault("square: 1 % of noise in the rule", T, _noisy, (X,)),
]  # fmt: skip

GRAPH: list[Fault] = [
    op_fault(
        C, "residual: the way around forgotten", lambda k, x: x + k.tanh(x),
        lambda m, g, y, x: g * (1 - m.tanh(x) ** 2), at=X, **BARE,
    ),
    op_fault(
        C, "residual: only the way around", lambda k, x: x + k.tanh(x),
        lambda m, g, y, x: 1.0 * g, at=X, **BARE,
    ),
    op_fault(
        C, "diamond: one of two uses overwrites the other", lambda k, x: k.sin(x) * k.exp(x),
        lambda m, g, y, x: g * m.sin(x) * m.exp(x), at=X, **BARE,
    ),
    composed(Fault, C, "a detached factor", lambda m, x: m.tanh(x) * m.frozen(x), X),
    composed(Fault, C, "one of two uses detached", lambda m, x: x * x + m.frozen(x), X),
    composed(
        Fault, C, "softmax by hand: the sum detached",
        lambda m, x: m.exp(x) / m.frozen(m.sum(m.exp(x))), X,
    ),
    composed(
        Fault, C, "a detached bias in a layer with relu",
        lambda m, x, w, b: m.relu(x @ w + m.frozen(b)), draw(4, 3, seed=66), OTHER, ROW,
    ),
    composed(
        Fault, C, "the whole result detached but for a zero",
        lambda m, x: m.frozen(m.exp(x)) + 0 * x, X,
    ),
    op_fault(
        C, "identity: half the gradient", lambda k, x: 1.0 * x, lambda m, g, y, x: 0.5 * g, at=X,
        **BARE,
    ),
    op_fault(
        C, "add: the second operand's gradient for both", lambda k, a, b: a + 2 * b,
        lambda m, g, y, a, b: 2 * g, lambda m, g, y, a, b: 2 * g, at=(X, Y), **BARE,
    ),
]  # fmt: skip


def _rule_of_the_rule(name, forward, slope, wrong_second, at):
    """Return a fault whose rule is right, and calls an op whose own rule is wrong."""

    def build(m):
        inner = m.op(
            Primitive(
                lambda k, x: slope(k, x),
                (lambda m, g, y, x: g * wrong_second(m, x),),
                elementwise=True,
            )
        )
        outer = Primitive(forward, (lambda m, g, y, x: g * inner(x),), elementwise=True)
        return m.op(outer)

    return Fault(name, O, build, (np.array(at),), order=2)


def _squared_after(m, rule):
    """Return x -> sum of squares of x³, where the cube has a rule of its own."""
    cube = m.op(Primitive(lambda k, x: x * x * x, (rule,), elementwise=True))

    def f(x):
        y = cube(x)
        return m.sum(y * y)

    return f


SECOND: list[Fault] = [
    op_fault(
        O, "cube: rule of the raw values", lambda k, x: x * x * x,
        lambda m, g, y, x: 3 * g * m.frozen(x * x), at=X, order=2, **BARE,
    ),
    op_fault(
        O, "tanh: rule of the raw result", lambda k, x: k.tanh(x),
        lambda m, g, y, x: g * (1 - m.frozen(y) ** 2), at=X, order=2, **BARE,
    ),
    op_fault(
        O, "divide: rule of the raw divisor", lambda k, a, b: a / b,
        lambda m, g, y, a, b: g / m.frozen(b), lambda m, g, y, a, b: -g * a / (b * b),
        at=(X, POSITIVE), order=2, **BARE,
    ),
    op_fault(
        O, "multiply: rule of raw factors", lambda k, a, b: a * b,
        lambda m, g, y, a, b: g * m.frozen(b), lambda m, g, y, a, b: g * m.frozen(a),
        at=(X, Y), order=2, **BARE,
    ),
    op_fault(
        O, "matmul: rule of the raw second factor", lambda k, a, b: a @ b,
        lambda m, g, y, a, b: g @ m.frozen(b).T, lambda m, g, y, a, b: a.T @ g,
        at=(SQUARE, OTHER), order=2,
    ),
    op_fault(
        O, "softmax: rule of the raw result", lambda k, x: k.softmax(x),
        lambda m, g, y, x: m.frozen(y) * (g - m.sum(g * m.frozen(y), axis=-1, keepdims=True)),
        at=ROW, order=2,
    ),
    op_fault(
        O, "norm: rule of the raw result", lambda k, x: k.norm(x),
        lambda m, g, y, x: g * x / m.frozen(y), at=ROW, order=2,
    ),
    Fault(
        "cube inside a square: rule of the raw g", O,
        lambda m: _squared_after(m, lambda m, g, y, x: 3 * m.frozen(g) * x * x), (X,), order=2,
    ),
    _rule_of_the_rule(
        "cube: second derivative 3x", lambda k, x: x * x * x, lambda k, x: 3 * x * x,
        lambda m, x: 3 * x, X,
    ),
    _rule_of_the_rule(
        "sin: sign of the second derivative", lambda k, x: k.sin(x), lambda k, x: k.cos(x),
        lambda m, x: m.sin(x), X,
    ),
    _rule_of_the_rule(
        "log: second derivative 1 / x²", lambda k, x: k.log(x), lambda k, x: 1 / x,
        lambda m, x: 1 / (x * x), POSITIVE,
    ),
    _rule_of_the_rule(
        "exp: second derivative off by 1e-4", lambda k, x: k.exp(x), lambda k, x: k.exp(x),
        lambda m, x: (1 + 1e-4) * m.exp(x), X,
    ),
]  # fmt: skip

FAULTS = [*UPSTREAM, *STATE, *GRAPH, *SECOND]
