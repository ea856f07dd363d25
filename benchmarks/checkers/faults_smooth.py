"""Planted faults of smooth functions: formulas, precision, single entries, large arrays."""

from __future__ import annotations

import numpy as np

from .cases import Fault, draw, op_fault, positive

S, P, E, Z = "formula", "precision", "one entry", "size"
BARE = {"elementwise": True}

X = draw(4, seed=40)
POSITIVE = positive(4, seed=41)
Q = positive(4, seed=42)


def sigmoid(m, x):
    return m.sigmoid(x)


def gelu(k, x):
    return 0.5 * x * (1 + k.tanh(0.8 * x))


def scalar_rules(a_rule, b_rule):
    """Return rules towards two operands, from slopes."""
    return (
        lambda m, g, y, a, b: g * a_rule(m, y, a, b),
        lambda m, g, y, a, b: g * b_rule(m, y, a, b),
    )


FORMULAS: list[Fault] = [
    op_fault(
        S, "tanh: 1 - y", lambda k, x: k.tanh(x), lambda m, g, y, x: g * (1 - y), at=X, **BARE
    ),
    op_fault(
        S, "sigmoid: x (1 - x)", lambda k, x: k.sigmoid(x), lambda m, g, y, x: g * x * (1 - x),
        at=X, **BARE,
    ),
    op_fault(S, "exp: x, not y", lambda k, x: k.exp(x), lambda m, g, y, x: g * x, at=X, **BARE),
    op_fault(
        S, "cos: sign", lambda k, x: k.cos(x), lambda m, g, y, x: g * m.sin(x), at=X, **BARE
    ),
    op_fault(
        S, "log1p: 1 / x", lambda k, x: k.log1p(x), lambda m, g, y, x: g / x, at=POSITIVE, **BARE
    ),
    op_fault(
        S, "expm1: y, not y + 1", lambda k, x: k.expm1(x), lambda m, g, y, x: g * y, at=X, **BARE
    ),
    op_fault(
        S, "sqrt: the 2 forgotten", lambda k, x: k.sqrt(x), lambda m, g, y, x: g / y, at=POSITIVE,
        **BARE,
    ),
    op_fault(
        S, "cube: exponent not lowered", lambda k, x: x * x * x, lambda m, g, y, x: 3 * g * y,
        at=X, **BARE,
    ),
    op_fault(
        S, "cube: factor not brought down", lambda k, x: x * x * x, lambda m, g, y, x: g * x * x,
        at=X, **BARE,
    ),
    op_fault(
        S, "multiply: each gets its own factor", lambda k, a, b: a * b,
        *scalar_rules(lambda m, y, a, b: a, lambda m, y, a, b: b), at=(X, Q), **BARE,
    ),
    op_fault(
        S, "subtract: second sign", lambda k, a, b: a - b,
        *scalar_rules(lambda m, y, a, b: 1.0, lambda m, y, a, b: 1.0), at=(X, Q), **BARE,
    ),
    op_fault(
        S, "divide: second sign", lambda k, a, b: a / b,
        *scalar_rules(lambda m, y, a, b: 1 / b, lambda m, y, a, b: a / (b * b)), at=(X, Q), **BARE,
    ),
    op_fault(
        S, "divide: divisor not squared", lambda k, a, b: a / b,
        *scalar_rules(lambda m, y, a, b: 1 / b, lambda m, y, a, b: -a / b), at=(X, Q), **BARE,
    ),
    op_fault(
        S, "power: log of the exponent", lambda k, a, b: a**b,
        *scalar_rules(lambda m, y, a, b: b * y / a, lambda m, y, a, b: y * m.log(b)),
        at=(POSITIVE, Q), **BARE,
    ),
    op_fault(
        S, "logaddexp: weights swapped", lambda k, a, b: k.logaddexp(a, b),
        *scalar_rules(lambda m, y, a, b: m.exp(b - y), lambda m, y, a, b: m.exp(a - y)),
        at=(X, Q), **BARE,
    ),
    op_fault(
        S, "gelu: second term of the product rule dropped", gelu,
        lambda m, g, y, x: g * 0.5 * (1 + m.tanh(0.8 * x)), at=X, **BARE,
    ),
    op_fault(
        S, "gelu: inner derivative dropped", gelu,
        lambda m, g, y, x: 0.5 * g * (1 + m.tanh(0.8 * x) + x * (1 - m.tanh(0.8 * x) ** 2)),
        at=X, **BARE,
    ),
    op_fault(
        S, "softplus: sigmoid of -x", lambda k, x: k.logaddexp(x, 0 * x),
        lambda m, g, y, x: g * sigmoid(m, -x), at=X, **BARE,
    ),
    op_fault(
        S, "sin(3x): the 3 forgotten", lambda k, x: k.sin(3 * x),
        lambda m, g, y, x: g * m.cos(3 * x), at=X, **BARE,
    ),
    op_fault(
        S, "exp(-x²/2): sign", lambda k, x: k.exp(-0.5 * x * x), lambda m, g, y, x: g * x * y,
        at=X, **BARE,
    ),
    op_fault(
        S, "identity: sign", lambda k, x: 1.0 * x, lambda m, g, y, x: -g, at=X, **BARE
    ),
    op_fault(
        S, "tanh: zero everywhere", lambda k, x: k.tanh(x), lambda m, g, y, x: 0 * g, at=X, **BARE
    ),
    op_fault(
        S, "tanh: nan for one element", lambda k, x: k.tanh(x),
        lambda m, g, y, x: m.where(x == x[1], np.nan, g * (1 - y * y)), at=X, **BARE,
    ),
]  # fmt: skip

WIDE = draw(6, 20, seed=43)


def matrix(weight):
    """Return x -> weight @ x as a forward."""
    return lambda k, x: k.array(weight, x) @ x


def entry(weight, place, change):
    """Return the weight with one entry changed by a factor."""
    other = weight.copy()
    other[place] *= change
    return other


def linear_rule(weight):
    return lambda m, g, y, x: m.array(weight, x).T @ g


def in_precision(weight, dtype):
    """Return the rule of x -> weight @ x, computed in another dtype."""

    def rule(m, g, y, x):
        low = m.array(weight.T.copy(), m.astype(x, dtype)) @ m.astype(g, dtype)
        return m.astype(low, "float32" if dtype == "float16" else "float64")

    return rule


PRECISION: list[Fault] = [
    op_fault(
        P, "float32: rule computed in float16", matrix(WIDE), in_precision(WIDE, "float16"),
        at=draw(20, seed=44).astype(np.float32),
    ),
    op_fault(
        P, "float64: rule computed in float32", matrix(WIDE), in_precision(WIDE, "float32"),
        at=draw(20, seed=44),
    ),
    op_fault(
        P, "sin(pi x): pi as 3.1416", lambda k, x: k.sin(np.pi * x),
        lambda m, g, y, x: g * 3.1416 * m.cos(np.pi * x), at=X, **BARE,
    ),
    op_fault(
        P, "log: 1 / (x + 1e-5)", lambda k, x: k.log(x), lambda m, g, y, x: g / (x + 1e-5),
        at=POSITIVE, **BARE,
    ),
    op_fault(
        P, "norm: x / (y + 1e-5)", lambda k, x: k.norm(x), lambda m, g, y, x: g * x / (y + 1e-5),
        at=X,
    ),
    op_fault(
        P, "exp: a difference with step 1e-5 as the rule", lambda k, x: k.exp(x),
        lambda m, g, y, x: g * (m.exp(x + 1e-5) - y) / 1e-5, at=X, **BARE,
    ),
    op_fault(
        P, "exp: 1 + x + x²/2 + x³/6 as the rule, near 0", lambda k, x: k.exp(x),
        lambda m, g, y, x: g * (1 + x + x * x / 2 + x * x * x / 6), at=draw(4, seed=45) / 10,
        **BARE,
    ),
]  # fmt: skip


def layer(weight, f):
    return lambda k, x: getattr(k, f)(k.array(weight, x) @ x)


def tanh_rule(weight):
    return lambda m, g, y, x: m.array(weight, x).T @ (g * (1 - y * y))


def relu_rule(weight):
    return lambda m, g, y, x: m.array(weight, x).T @ m.where(y > 0, g, 0.0)


LARGE = draw(30, 30, seed=46)
SINGLE = draw(20, seed=47).astype(np.float32)
DOUBLE = draw(20, seed=47)


def only_first(count):
    """Return a rule of the sum of squares that forgets all elements after the first `count`."""
    return lambda m, g, y, x: m.concatenate([2 * g * x[:count], 0 * x[count:]])


def total(k, x):
    return k.sum(x * x)


ENTRIES: list[Fault] = [
    op_fault(
        E, "one of 120 entries off by 1e-6, linear, float64", matrix(WIDE),
        linear_rule(entry(WIDE, (2, 7), 1 + 1e-6)), at=DOUBLE,
    ),
    op_fault(
        E, "one of 120 entries off by 1e-3, linear, float32", matrix(WIDE),
        linear_rule(entry(WIDE, (2, 7), 1 + 1e-3)), at=SINGLE,
    ),
    op_fault(
        E, "one of 120 entries off by 1e-6, relu, float64", layer(WIDE, "relu"),
        relu_rule(entry(WIDE, (2, 7), 1 + 1e-6)), at=DOUBLE,
    ),
    op_fault(
        E, "one of 120 entries off by 1e-3, relu, float32", layer(WIDE, "relu"),
        relu_rule(entry(WIDE, (2, 7), 1 + 1e-3)), at=SINGLE,
    ),
    op_fault(
        E, "one of 120 entries off by 1e-6, tanh, float64", layer(WIDE / 8, "tanh"),
        tanh_rule(entry(WIDE / 8, (5, 2), 1 + 1e-6)), at=DOUBLE,
    ),
    op_fault(
        E, "one of 120 entries off by 1e-3, tanh, float32", layer(WIDE / 8, "tanh"),
        tanh_rule(entry(WIDE / 8, (5, 2), 1 + 1e-3)), at=SINGLE,
    ),
    op_fault(
        E, "one of 900 entries off by 0.1", matrix(LARGE),
        lambda m, g, y, x: m.array(LARGE.T + 0.1 * np.eye(30)[:, 4:5] * np.eye(30)[9], x) @ g,
        at=draw(30, seed=48),
    ),
    op_fault(E, "the last of 7 elements forgotten", total, only_first(6), at=draw(7, seed=49)),
]  # fmt: skip

MANY = draw(100_000, seed=50)
FAR = np.array([3, 39_999, 20])


def wrong_from(count):
    """Return a rule of the sum of squares that is twice as large from `count` entries on."""
    return lambda m, g, y, x: g * x * (4.0 if x.shape[0] >= count else 2.0)


UNEVEN = positive(10_000, seed=54)
NEARLY = UNEVEN.copy()
NEARLY[1234] *= 1 + 1e-6

SIZES: list[Fault] = [
    op_fault(
        Z, "one of 10 000 entries off by 1e-6", lambda k, x: k.sum(k.array(UNEVEN, x) * x),
        lambda m, g, y, x: g * m.array(NEARLY, x), at=draw(10_000, seed=55),
    ),
    op_fault(Z, "a factor 2 at 100 000 entries", total, wrong_from(100_000), at=MANY),
    op_fault(
        Z, "sum of squares: blocks of 1024, the rest forgotten", total, only_first(2048),
        at=draw(2500, seed=51),
    ),
    op_fault(
        Z, "take: places beyond 32767 wrapped round", lambda k, x: x[FAR],
        lambda m, g, y, x: m.put_add(x, FAR.astype(np.int16).astype(np.int64), g),
        at=draw(40_000, seed=52),
    ),
    op_fault(
        Z, "mean: divided by a size held to 1000", lambda k, x: k.mean(x),
        lambda m, g, y, x: g / min(x.shape[0], 1000) + 0 * x, at=draw(1500, seed=53),
    ),
]  # fmt: skip

FAULTS = [*FORMULAS, *PRECISION, *ENTRIES, *SIZES]
