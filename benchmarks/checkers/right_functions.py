"""Right functions: on purpose at their kinks, beside them, and where differences are hard."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cases import Function, Right, composed, draw, op_fault, positive
from .faults_kinks import BARE, RELU, bent

A, W, N, D, H, C = "at a kink", "several kinks", "hard scale", "shape", "dtype", "own op"

BESIDE = (0.0, 5e-7, -5e-7, 1e-12, -1e-12)

# Functions of one variable and their kinks.
KINKY: dict[str, tuple[Function, tuple[float, ...]]] = {
    "relu": (lambda m, x: m.relu(x), (0,)),
    "leaky_relu": (lambda m, x: m.leaky_relu(x), (0,)),
    "absolute": (lambda m, x: m.absolute(x), (0,)),
    "relu6": (lambda m, x: m.relu6(x), (0, 6)),
    "hardtanh": (lambda m, x: m.hardtanh(x), (-1, 1)),
    "hardsigmoid": (lambda m, x: m.hardsigmoid(x), (-3, 3)),
    "hardswish": (lambda m, x: m.hardswish(x), (-3, 3)),
    "clip": (lambda m, x: m.clip(x, -0.5, 2.0), (-0.5, 2)),
    "softshrink": (lambda m, x: m.softshrink(x), (-0.5, 0.5)),
    "elu of alpha 2": (lambda m, x: m.elu(x, 2.0), (0,)),
    "huber": (lambda m, x: m.huber(x), (-1, 1)),
    "hinge": (lambda m, x: m.relu(1 - x), (1,)),
    "where": (lambda m, x: m.where(x > 0, x, 0.5 * x), (0,)),
    "square of relu": (lambda m, x: m.relu(x) ** 2, (0,)),
}


def at_kinks() -> list[Right]:
    """Return every function at each of its kinks, and beside it."""
    return [
        composed(
            Right, A, f"{name} at {kink} {beside:+g}" if beside else f"{name} at {kink}",
            f, [kink + beside, kink + 0.25],
        )
        for name, (f, kinks) in KINKY.items()
        for kink in kinks
        for beside in BESIDE
    ]  # fmt: skip


def median(m: Any, a: Any, b: Any, c: Any) -> Any:
    return m.maximum(m.minimum(a, b), m.minimum(m.maximum(a, b), c))


def sorted_three(m: Any, a: Any, b: Any, c: Any) -> Any:
    """Return the sum of the sorted values times 1, 2 and 3."""
    low, high = m.minimum(a, b), m.maximum(a, b)
    middle, top = m.minimum(high, c), m.maximum(high, c)
    return m.minimum(low, middle) + 2 * m.maximum(low, middle) + 3 * top


def margins(m: Any, w: Any) -> Any:
    return m.array(np.array([[1.0, 3.0], [0.0, 2.0], [2.0, -1.0]]), w) @ w


def several(name: str, f: Function, *at: Any) -> Right:
    return composed(Right, W, name, f, *at)  # type: ignore[no-any-return]


SEVERAL = [
    several("relu(x) - relu(-x) at 0", lambda m, x: m.relu(x) - m.relu(-x), [0, 1]),
    several("|x| + x - 2 relu(x) at 0", lambda m, x: m.absolute(x) + x - 2 * m.relu(x), [0]),
    several("x + 0.02 relu(x) at 0", lambda m, x: x + 0.02 * m.relu(x), [0, -1]),
    several("max(y - |x|, 0) at 0", lambda m, x, y: m.relu(y - m.absolute(x)), 0, 0),
    several("max(y - |x|, 0) at (1, 1)", lambda m, x, y: m.relu(y - m.absolute(x)), 1, 1),
    several("max(y - |x|, 0) at (0, 1)", lambda m, x, y: m.relu(y - m.absolute(x)), 0, 1),
    several("x³ at 0", lambda m, x: x * x * x, [0.0, -0.0]),
    several("x |x| at 0", lambda m, x: x * m.absolute(x), [0, 1]),
    several("relu(x)² at 0", lambda m, x: m.relu(x) * m.relu(x), [0, -1]),
    several("relu of relu at 0", lambda m, x: m.relu(m.relu(x)), [0.0, -0.0]),
    several("absolute of absolute - 1 at ±1", lambda m, x: m.absolute(m.absolute(x) - 1), [1, -1]),
    several("clip by maximum and minimum", lambda m, x: m.minimum(m.maximum(x, -1), 1), [-1, 1]),
    several("maximum at a tie", lambda m, a, b: m.maximum(a, b), [1, 2, 3], [2, 2, 2]),
    several("minimum at a tie", lambda m, a, b: m.minimum(a, b), [1, 2, 3], [2, 2, 2]),
    several("maximum of x and x", lambda m, x: m.maximum(x, x), [1, -2, 0]),
    several("maximum of x and -x at 0", lambda m, x: m.maximum(x, -x), [0, 1]),
    several("maximum minus minimum at a tie",
            lambda m, a, b: m.maximum(a, b) - m.minimum(a, b), [1.0, 2.0], [1.0, 0.0]),
    several("max, a tie of three", lambda m, x: m.max(x, axis=-1), [[3, 3, 1, 3]]),
    several("max, all equal", lambda m, x: m.max(x), np.full((3, 4), 2.0)),
    several("min, a tie of two", lambda m, x: m.min(x, axis=0), [[1, 2], [1, 0]]),
    several("max minus min, all equal", lambda m, x: m.max(x) - m.min(x), np.zeros(4)),
    several("max of relu, ties at 0", lambda m, x: m.max(m.relu(x)), [0, -1, 0]),
    several("max pool with ties", lambda m, x: m.max(m.reshape(x, (3, 2)), axis=1),
            [1.0, 1.0, 0.0, 2.0, -1.0, -1.0]),
    several("median of three, two equal", median, [1, 2], [1, 3], [4, 3]),
    several("median of three, all equal", median, [1], [1], [1]),
    several("a sorting network with ties", sorted_three, [1, 2, 3], [1, 2, 1], [0, 2, 1]),
    several("L1 at 0", lambda m, a, b: m.sum(m.absolute(a - b)), [1, 2], [1, 0]),
    several("L1 mean at 0", lambda m, a, b: m.mean(m.absolute(a - b)), [1, 2], [1, 2]),
    several("hinge, several margins of 1", lambda m, w: m.mean(m.relu(1 - margins(m, w))), [1, 0]),
    several("epsilon-insensitive at its knots",
            lambda m, x: m.relu(m.absolute(x) - 0.5), [0.5, -0.5, 0.0, 2.0]),
    several("pinball at 0", lambda m, x: m.maximum(0.75 * x, -0.25 * x), [0, 1, -1]),
    several("huber at its knots and 0", lambda m, x: m.sum(m.huber(x)), [1, -1, 0, 2]),
    several("norm at 0", lambda m, x: m.norm(x), [0, 0, 0]),
    several("norm plus a slope at 0", lambda m, x: m.norm(x) + m.sum(2 * x), [0, 0]),
    several("std of equal values", lambda m, x: m.std(x), [2, 2, 2]),
    several("x / (1 + |x|) at 0", lambda m, x: x / (1 + m.absolute(x)), [0, 1, -2]),
    several("softsign at 0", lambda m, x: m.softsign(x), [0, 5e-7]),
    several("tanh of relu at 0", lambda m, x: m.tanh(m.relu(x)), [0, 1, -1]),
    several("exp of -|x| at 0", lambda m, x: m.exp(-m.absolute(x)), [0, 1]),
    several("log(1 + relu(x)) at 0", lambda m, x: m.log1p(m.relu(x)), [0, 1]),
    several("product of relus, both at 0", lambda m, x, y: m.relu(x) * m.relu(y), [0, 0], [0, 2]),
    several("|x y| at 0", lambda m, x, y: m.absolute(x * y), [0, 1], [2, 0]),
    several("|sin x| at 0", lambda m, x: m.absolute(m.sin(x)), [0, 1]),
    several("relu of a product of matrices, zeros in it",
            lambda m, a, b: m.relu(a @ b), [[1.0, -1.0], [2.0, 1.0]], [[1.0, 2.0], [1.0, -4.0]]),
    several("relu of x - mean at equal values", lambda m, x: m.relu(x - m.mean(x)), [1, 1, 1]),
    several("where on two branches at a jump of slope",
            lambda m, x: m.where(x > 1, 2 * x - 1, x * x), [1.0, 0.5, 2.0]),
    several("where on a constant condition", lambda m, a, b: m.where(a > 5, a, b), [1, 9], [0, 0]),
    several("a residual block, sums at 0",
            lambda m, x: x + m.relu(x - m.relu(x)), [0.0, 1.0, -1.0]),
    several("twice the same unit at 0", lambda m, x: m.relu(x) + m.relu(x), [0]),
    several("leaky relu built of two relus at 0",
            lambda m, x: m.relu(x) - 0.25 * m.relu(-x), [0.0, 1.0, -1.0]),
    several("softmax of relu, ties at 0", lambda m, x: m.softmax(m.relu(x)), [[0, -1, 0]]),
    several("cumsum of |x| at 0", lambda m, x: m.cumsum(m.absolute(x), axis=0), [0, 1, 0]),
    several("max of |x|, a tie of signs", lambda m, x: m.max(m.absolute(x)), [2, -2, 1]),
]  # fmt: skip


def chain(m: Any, x: Any) -> Any:
    for _ in range(20):
        x = m.sin(1.5 * x)
    return x


def scaled(name: str, f: Function, *at: Any) -> Right:
    return composed(Right, N, name, f, *at)  # type: ignore[no-any-return]


X = draw(4, seed=70)
SCALES = [
    scaled("relu of large numbers", lambda m, x: m.relu(x), X * 1e8),
    scaled("relu of small numbers", lambda m, x: m.relu(x), X * 1e-8),
    scaled("square of large numbers", lambda m, x: x * x, X * 1e8),
    scaled("square of small numbers", lambda m, x: x * x, X * 1e-8),
    scaled("product of large and small", lambda m, a, b: a * b, X * 1e8, X * 1e-8),
    scaled("quotient of small by large", lambda m, a, b: a / b, X * 1e-8, X * 1e8),
    scaled("quotient of large by small", lambda m, a, b: a / b, X * 1e4, X * 1e-4),
    scaled("sum of large and small squares", lambda m, x: m.sum(x * x), [1e6, 1e-6, 1.0]),
    scaled("a million times sin", lambda m, x: 1e6 * m.sin(x), X),
    scaled("a millionth of sin", lambda m, x: 1e-6 * m.sin(x), X),
    scaled("exp(30 x)", lambda m, x: m.exp(30 * x), [1.0, -1.0, 0.1]),
    scaled("sin(100 x)", lambda m, x: m.sin(100 * x), X),
    scaled("sin(1000 x)", lambda m, x: m.sin(1000 * x), X),
    scaled("tanh(100 x) at its bend", lambda m, x: m.tanh(100 * x), [0.0, 0.01, -0.02]),
    scaled("tanh, saturated", lambda m, x: m.tanh(x), [20.0, -25.0, 8.0]),
    scaled("sigmoid, saturated", lambda m, x: m.sigmoid(x), [40.0, -40.0, 800.0]),
    scaled("softplus, far out", lambda m, x: m.softplus(x), [50.0, -50.0, 700.0]),
    scaled("sqrt near 0", lambda m, x: m.sqrt(x), [1e-10, 1e-6, 1.0]),
    scaled("log near 0", lambda m, x: m.log(x), [1e-9, 1e-5, 1.0]),
    scaled("x log x near 0", lambda m, x: x * m.log(x), [1e-9, 1e-3]),
    scaled("reciprocal near 0", lambda m, x: 1 / x, [1e-5, -1e-4, 1.0]),
    scaled("log1p near -1", lambda m, x: m.log1p(x), [-1 + 1e-6, 0.0]),
    scaled("norm of small numbers", lambda m, x: m.norm(x), X * 1e-8),
    scaled("norm of large numbers", lambda m, x: m.norm(x), X * 1e8),
    scaled("softmax at ±1000", lambda m, x: m.softmax(x), [[1000.0, -1000.0, 0.0]]),
    scaled("softmax, a tie at 1000", lambda m, x: m.softmax(x), [[1000.0, 1000.0, 0.0]]),
    scaled("log_softmax at ±1000", lambda m, x: m.log_softmax(x), [[1000.0, -1000.0, 0.0]]),
    scaled("logsumexp at 1000", lambda m, x: m.logsumexp(x), [1000.0, 999.0, -1000.0]),
    scaled("mean of far numbers", lambda m, x: m.mean(x), X + 1e8),
    scaled("std of far numbers", lambda m, x: m.std(x), X + 1e4),
    scaled("tenth power", lambda m, x: x**10, [0.5, 3.0, -2.0]),
    scaled("prod with a zero", lambda m, x: m.prod(x), [2.0, 0.0, -3.0]),
    scaled("a chain of 20 sines", lambda m, x: chain(m, x), X),
    scaled("a small difference of large squares", lambda m, x: (x + 1e4) ** 2 - x * x, X),
]


def shaped(name: str, f: Function, *at: Any) -> Right:
    return composed(Right, D, name, f, *at)  # type: ignore[no-any-return]


SHAPES = [
    shaped("relu of nothing", lambda m, x: m.relu(x), np.zeros((0, 3))),
    shaped("sum of nothing", lambda m, x: m.sum(x * x), np.zeros(0)),
    shaped("relu of one number", lambda m, x: m.relu(x), 0),
    shaped("absolute of one number, squared", lambda m, x: m.absolute(x) ** 2, -2),
    shaped("matmul over an empty axis", lambda m, a, b: a @ b, np.zeros((2, 0)), np.zeros((0, 3))),
    shaped("matmul of integers", lambda m, a, b: a @ b, [[1, 2], [0, -1]], [[3, 0], [1, 1]]),
    shaped("a row added to a matrix", lambda m, a, b: m.relu(a + b), [[1, 2], [0, 3]], [-1, 0]),
    shaped("a column times a row", lambda m, a, b: a * b, [[1], [2]], [[3, 0, -1]]),
    shaped("a number times a matrix", lambda m, a, b: a * b, 0, [[1, 2], [3, 4]]),
    shaped("repeated places", lambda m, x: m.absolute(x[np.array([0, 1, 1, 1])]), [1, 0]),
    shaped("an input that is not used", lambda m, a, b: m.relu(a) + 0 * m.sum(b), [0, 1], [2]),
    shaped("concatenate with itself", lambda m, x: m.concatenate([x, -x]), [0, 1]),
    shaped("20 000 units, a third at 0", lambda m, x: m.mean(m.relu(x)),
           np.random.default_rng(71).integers(-1, 2, 20_000).astype(np.float64)),
]  # fmt: skip


DTYPES = [
    composed(Right, H, f"{name}, {np.dtype(dtype)}", f, np.array(at, dtype))
    for dtype in (np.float32, np.float16)
    for name, f, at in (
        ("relu at 0", lambda m, x: m.relu(x), [0.0, 1.0, -1.0]),
        ("relu beside 0", lambda m, x: m.relu(x), [5e-7, -5e-7]),
        ("absolute at 0", lambda m, x: m.absolute(x), [0.0, -0.0, 3.0]),
        ("clip at its bounds", lambda m, x: m.clip(x, -1.0, 1.0), [-1.0, 1.0, 0.5]),
        ("hardtanh of a sum of thirds", lambda m, x: m.hardtanh(x + x + x), [1 / 3, -1 / 3, 0.1]),
        ("tie in max", lambda m, x: m.max(x), [2.0, 2.0, 1.0]),
        ("square", lambda m, x: x * x, [0.5, 3.0, -2.0]),
        ("tanh", lambda m, x: m.tanh(x), [0.5, 1.0, -2.0]),
        ("exp", lambda m, x: m.exp(x), [0.5, 1.0, -2.0]),
        ("softmax", lambda m, x: m.softmax(x), [0.5, 1.0, -2.0]),
        ("sigmoid, saturated", lambda m, x: m.sigmoid(x), [0.0, 8.0, -8.0]),
        ("log", lambda m, x: m.log(x), [0.5, 1.0, 4.0]),
        ("x³ at 0", lambda m, x: x * x * x, [0.0, 1.0]),
        ("quotient", lambda m, x: 1 / (1 + x * x), [0.5, 1.0, -2.0]),
    )
]


def own(name: str, forward: Function, *rules: Function, at: Any, **fields: Any) -> Right:
    """Return an op of the user's own with a right rule."""
    case = op_fault(C, name, forward, *rules, at=at, **fields)
    return Right(case.name, case.family, case.build, case.inputs, case.order)


def relu_with(at_zero: float) -> Function:
    """Return a rule of relu with a slope at 0 that is in Clarke's set."""
    return lambda m, g, y, x: m.where(x > 0, g, m.where(x == 0, at_zero * g, 0.0))


OWN = [
    own("own relu with pieces at 0", lambda k, x: k.maximum(x, 0.0), relu_with(0.0),
        at=[0.0, 1.0, -1.0], **RELU),
    *(own(f"own relu without pieces at 0: {s}", lambda k, x: k.maximum(x, 0.0), relu_with(s),
          at=[0.0, 1.0, -1.0], **BARE) for s in (0.0, 0.5, 1.0)),
    own("own relu without pieces beside 0", lambda k, x: k.maximum(x, 0.0), relu_with(0.0),
        at=[5e-7, -5e-7, 1e-12], **BARE),
    own("own bent line without pieces at a knot", bent,
        lambda m, g, y, x: m.where(x <= -1, 3.0, m.where(x <= 2, 1.0, 2.0)) * g,
        at=[-1.0, 2.0, 0.0], **BARE),
    own("own maximum at a tie: 1, 0", lambda k, a, b: k.maximum(a, b),
        lambda m, g, y, a, b: m.where(a >= b, g, 0.0), lambda m, g, y, a, b: m.where(b > a, g, 0.0),
        at=([1.0, 2.0], [1.0, 3.0]), **BARE),
    own("own max, a tie to the first", lambda k, x: k.max(x),
        lambda m, g, y, x: g * m.array(np.array([0.0, 1.0, 0.0, 0.0]), x), at=[1.0, 3.0, 3.0, 2.0]),
    own("own cube", lambda k, x: x * x * x, lambda m, g, y, x: 3 * g * x * x,
        at=[0.0, 2.0, -1.0], order=2, **BARE),
    own("own matmul", lambda k, a, b: a @ b,
        lambda m, g, y, a, b: g @ b.T, lambda m, g, y, a, b: a.T @ g,
        at=(draw(2, 3, seed=72), draw(3, 2, seed=73)), order=2),
    own("own log", lambda k, x: k.log(x), lambda m, g, y, x: g / x, at=positive(3, seed=74),
        order=2, **BARE),
    own("own norm", lambda k, x: k.sqrt(k.sum(x * x)), lambda m, g, y, x: g * x / y,
        at=draw(3, seed=75), order=2),
]  # fmt: skip


def second(name: str, f: Function, *at: Any) -> Right:
    return composed(Right, "second order", name, f, *at, order=2)  # type: ignore[no-any-return]


SECOND = [
    second("tanh, twice", lambda m, x: m.tanh(x), X),
    second("softmax, twice", lambda m, x: m.softmax(x), X),
    second("quotient, twice", lambda m, a, b: a / (1 + b * b), X, draw(4, seed=76)),
    second("matmul of tanh, twice", lambda m, a, b: m.tanh(a @ b), draw(2, 3), draw(3, 2, seed=77)),
    second("relu times x at 0, twice", lambda m, x: m.relu(x) * x, [0.0, 1.0, -1.0]),
    second("square of relu at 0, twice", lambda m, x: m.relu(x) ** 2, [0.0, 1.0, -1.0]),
    second("relu at 0, twice", lambda m, x: m.relu(x), [0.0, 1.0, -1.0]),
    second("max of squares, a tie, twice", lambda m, x: m.max(x * x), [2.0, -2.0, 1.0]),
    second("mean of x⁴, twice", lambda m, x: m.mean(x * x * x * x), X),
]


RIGHT = [*at_kinks(), *SEVERAL, *SCALES, *SHAPES, *DTYPES, *OWN, *SECOND]
