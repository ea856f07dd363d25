"""Slopes at kinks: the subgradient of least norm, per op, over the op's tensor operands.

Everything here is exact: slopes are compared with `==`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgrid as mg

Function = Callable[..., Any]
DTYPES = [np.float16, np.float32, np.float64]
SCALE = 1.0507009873554805  # of selu


def leaf(value: Any, dtype: Any = np.float64) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def slopes(f: Function, *values: Any, dtype: Any = np.float64) -> list[Any]:
    """Return the gradients of sum(f) towards each operand."""
    operands = [leaf(v, dtype) for v in values]
    mg.sum(f(*operands)).backward()
    return [None if x.grad is None else x.grad.tolist() for x in operands]


# --- the table -----------------------------------------------------------------------------------

TABLE: list[tuple[str, Function, float, float]] = [
    ("relu at 0", mg.relu, 0.0, 0),
    ("relu at -0", mg.relu, -0.0, 0),
    ("relu6 at 0", mg.relu6, 0.0, 0),
    ("relu6 at 6", mg.relu6, 6.0, 0),
    ("leaky_relu", mg.leaky_relu, 0.0, 0.01),
    ("leaky_relu at -0", mg.leaky_relu, -0.0, 0.01),
    ("leaky_relu, steeper on the left", lambda x: mg.leaky_relu(x, 3), 0.0, 1),
    ("leaky_relu, falling on the left", lambda x: mg.leaky_relu(x, -0.5), 0.0, 0),
    ("leaky_relu, flat on the left", lambda x: mg.leaky_relu(x, 0), 0.0, 0),
    ("leaky_relu, straight", lambda x: mg.leaky_relu(x, 1), 0.0, 1),
    ("hardtanh at -1", mg.hardtanh, -1.0, 0),
    ("hardtanh at 1", mg.hardtanh, 1.0, 0),
    ("hardsigmoid at -3", mg.hardsigmoid, -3.0, 0),
    ("hardsigmoid at 3", mg.hardsigmoid, 3.0, 0),
    ("hardswish at -3", mg.hardswish, -3.0, 0),
    ("hardswish at 3", mg.hardswish, 3.0, 1),
    ("clip at the lower bound", lambda x: mg.clip(x, -1, 2), -1.0, 0),
    ("clip at the upper bound", lambda x: mg.clip(x, -1, 2), 2.0, 0),
    ("clip from below only", lambda x: mg.clip(x, 1, None), 1.0, 0),
    ("clip from above only", lambda x: mg.clip(x, None, 1), 1.0, 0),
    ("clip at NumPy's number", lambda x: mg.clip(x, np.float64(1), None), 1.0, 0),
    ("clip with equal bounds", lambda x: mg.clip(x, 1, 1), 1.0, 0),
    ("clip with crossed bounds", lambda x: mg.clip(x, 2, 1), 1.0, 0),
    ("absolute at 0", mg.absolute, 0.0, 0),
    ("absolute at -0", mg.absolute, -0.0, 0),
    ("abs()", abs, 0.0, 0),
    ("softshrink at -0.5", mg.softshrink, -0.5, 0),
    ("softshrink at 0.5", mg.softshrink, 0.5, 0),
    ("softshrink that shrinks nothing", lambda x: mg.softshrink(x, 0.0), 0.0, 1),
    ("sign", mg.sign, 0.0, 0),
    ("elu", mg.elu, 0.0, 1),
    ("elu, alpha=2", lambda x: mg.elu(x, 2.0), 0.0, 1),
    ("elu, alpha=2, at -0", lambda x: mg.elu(x, 2.0), -0.0, 1),
    ("elu, alpha=1/2", lambda x: mg.elu(x, 0.5), 0.0, 0.5),
    ("elu, alpha=-1", lambda x: mg.elu(x, -1.0), 0.0, 0),
    ("celu, alpha=2", lambda x: mg.celu(x, 2.0), 0.0, 1),
    ("selu", mg.selu, 0.0, SCALE),
    ("prelu", lambda x: mg.prelu(x, 0.25), 0.0, 0.25),
    ("prelu, steep", lambda x: mg.prelu(x, 2.5), 0.0, 1),
    ("prelu, falling", lambda x: mg.prelu(x, -2.5), 0.0, 0),
    ("rrelu", lambda x: mg.rrelu(x, 0.25, 0.5), 0.0, 0.375),
    ("maximum with a number", lambda x: mg.maximum(x, 0), 0.0, 0),
    ("maximum with a number before", lambda x: mg.maximum(0.0, x), 0.0, 0),
    ("maximum with a NumPy number", lambda x: mg.maximum(x, np.float64(0)), 0.0, 0),
    ("minimum with a number", lambda x: mg.minimum(x, 6), 6.0, 0),
    ("minimum with a number before", lambda x: mg.minimum(6.0, x), 6.0, 0),
    ("maximum with a constant array", lambda x: mg.maximum(x, np.array(1.0)), 1.0, 0.5),
    ("minimum with a constant tensor", lambda x: mg.minimum(x, mg.tensor(1.0)), 1.0, 0.5),
    ("maximum with itself", lambda x: mg.maximum(x, x), 3.0, 1),
    ("minimum with itself", lambda x: mg.minimum(x, x), 3.0, 1),
    ("maximum with its negative", lambda x: mg.maximum(x, -x), 0.0, 0),
    ("hinge", lambda m: mg.relu(1 - m), 1.0, 0),
    ("norm at 0", lambda x: mg.norm(x[None]), 0.0, 0),
    ("norm of a number at 0", mg.norm, 0.0, 0),
    ("1-norm at 0", lambda x: mg.norm(x[None], 1), 0.0, 0),
    ("max-norm at 0", lambda x: mg.norm(x[None], math.inf), 0.0, 0),
    ("std of one value", mg.std, 5.0, 0),
    ("piecewise_linear, a valley", lambda x: mg.piecewise_linear(x, [1], [-2, 3]), 1.0, 0),
    ("piecewise_linear, a ridge", lambda x: mg.piecewise_linear(x, [1], [2, -3]), 1.0, 0),
    ("piecewise_linear, rising", lambda x: mg.piecewise_linear(x, [1], [2, 3]), 1.0, 2),
    ("piecewise_linear, falling", lambda x: mg.piecewise_linear(x, [1], [-2, -3]), 1.0, -2),
    ("piecewise_linear, falling less", lambda x: mg.piecewise_linear(x, [1], [-3, -2]), 1.0, -2),
    ("piecewise_linear, a step up", lambda x: mg.piecewise_linear(x, [1], [0, 3]), 1.0, 0),
    ("piecewise_linear, no bend", lambda x: mg.piecewise_linear(x, [1], [2, 2]), 1.0, 2),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "f", "at", "slope"), TABLE, ids=[row[0] for row in TABLE])
def test_slope_at_a_kink(name: str, f: Function, at: float, slope: float, dtype: Any) -> None:
    for shape in [(), (3,), (2, 1)]:
        if shape and "std" in name:
            continue
        x = leaf(np.full(shape, at), dtype)
        if shape and "norm" in name:
            x = leaf(at, dtype)
        y = f(x)
        y.backward(np.ones(y.shape))
        assert (x.grad == dtype(slope)).all()


@pytest.mark.parametrize("g", [-2.0, 0.5, 1e300, math.inf])
def test_the_incoming_gradient_does_not_choose_the_side(g: float) -> None:
    for f, at, slope in [(mg.relu, 0.0, 0), (abs, 0.0, 0), (lambda x: mg.elu(x, 2.0), 0.0, 1)]:
        x = leaf(at)
        f(x).backward(g)
        assert x.grad == (g * slope if slope else 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_hair_beside_the_kink_the_slope_is_that_of_the_side(dtype: Any) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    below, above = np.nextafter(dtype(6), dtype(0)), np.nextafter(dtype(6), dtype(7))
    assert slopes(mg.relu, [-tiny, tiny], dtype=dtype) == [[0, 1]]
    assert slopes(mg.relu6, [below, above], dtype=dtype) == [[1, 0]]
    assert slopes(mg.absolute, [-tiny, tiny], dtype=dtype) == [[-1, 1]]
    assert slopes(mg.leaky_relu, [tiny], dtype=dtype) == [[1]]
    assert slopes(lambda x: mg.elu(x, 2.0), [tiny], dtype=dtype) == [[1]]
    assert slopes(mg.relu, [5e-7], dtype=np.float64) == [[1]]  # at which checkers stumble


# --- ties of two ---------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [mg.maximum, mg.minimum])
@pytest.mark.parametrize("value", [0.0, -3.5, 1e-300, math.inf, -math.inf])
def test_two_tensors_that_tie_share_evenly(f: Function, value: float) -> None:
    assert slopes(f, value, value) == [0.5, 0.5]
    assert slopes(f, [value] * 3, value) == [[0.5] * 3, 1.5]


def test_zeros_of_either_sign_tie() -> None:
    for f in (mg.maximum, mg.minimum):
        assert slopes(f, [0.0, -0.0], [-0.0, 0.0]) == [[0.5, 0.5]] * 2


def test_the_larger_takes_all() -> None:
    assert slopes(mg.maximum, [1.0, 2.0], [2.0, 1.0]) == [[0, 1], [1, 0]]
    assert slopes(mg.minimum, [1.0, 2.0], [2.0, 1.0]) == [[1, 0], [0, 1]]


def test_clip_between_tensors_is_composed_of_maximum_and_minimum() -> None:
    f = lambda x, low, high: mg.clip(x, low, high)  # noqa: E731
    assert slopes(f, [0.0, 1.0, 2.0], [0.0] * 3, [2.0] * 3) == [
        [0.5, 1, 0.5],
        [0.5, 0, 0],
        [0, 0, 0.5],
    ]
    assert slopes(lambda x, low: mg.clip(x, low), [0.0, 1.0], [0.0, 0.0]) == [[0.5, 1], [0.5, 0]]
    # A bound that is an array is an operand too, although it gets no gradient.
    assert slopes(lambda x: mg.clip(x, np.zeros(2), None), [0.0, 1.0]) == [[0.5, 1]]


def test_prelu_towards_its_slope() -> None:
    assert slopes(mg.prelu, [-2.0, 0.0, -0.0, 3.0], [0.25] * 4) == [
        [0.25, 0.25, 0.25, 1],
        [-2, 0, 0, 0],
    ]
    assert slopes(mg.prelu, [-2.0, 0.0, 3.0], 0.25)[1] == -2


# --- ties of many --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "values", "expected"),
    [
        (mg.max, [3, 3, 1], [0.5, 0.5, 0]),
        (mg.min, [3, 1, 1], [0, 0.5, 0.5]),
        (mg.max, [2, 2, 2, 2], [0.25] * 4),
        (mg.max, [-math.inf] * 2, [0.5, 0.5]),
        (mg.max, [math.inf, 1, math.inf], [0.5, 0, 0.5]),
        (mg.max, [0.0, -0.0], [0.5, 0.5]),
        (mg.max, [7], [1]),
        (lambda x: mg.norm(x, math.inf), [-3, 3, 1, 0], [-0.5, 0.5, 0, 0]),
        (lambda x: mg.norm(x, math.inf), [0, 0], [0, 0]),
        (lambda x: mg.norm(x, 1), [-3, 0, 2], [-1, 0, 1]),
        (lambda x: mg.maxout(x, 4), [1, 5, 5, 0], [0, 0.5, 0.5, 0]),
        (mg.norm, [0, 0, 0], [0, 0, 0]),
        (mg.std, [2, 2, 2], [0, 0, 0]),
        (mg.std, [0.1, 0.1, 0.1], [0, 0, 0]),  # whose mean is not 0.1
        (lambda x: mg.std(x, ddof=1), [0.3] * 7, [0] * 7),
        (mg.crelu, [0, 1, -1], [0, 1, -1]),
    ],
)
def test_those_that_tie_share_evenly(f: Function, values: Any, expected: Any) -> None:
    assert slopes(f, values) == [expected]


def test_ties_are_counted_along_the_axis() -> None:
    x = [[3, 3, 1], [2, 4, 4]]
    assert slopes(lambda t: mg.max(t, axis=1), x) == [[[0.5, 0.5, 0], [0, 0.5, 0.5]]]
    assert slopes(lambda t: mg.max(t, axis=0), x) == [[[1, 0, 0], [0, 1, 1]]]
    assert slopes(lambda t: mg.max(t), x) == [[[0, 0, 0], [0, 0.5, 0.5]]]
    assert slopes(lambda t: mg.max(t, axis=()), x) == [[[1] * 3] * 2]


@given(
    hnp.arrays(object, hnp.array_shapes(max_dims=3, max_side=4), elements=st.integers(-1, 1)),
    st.booleans(),
    st.data(),
)
def test_shares_sum_to_one_exactly(values: Any, keepdims: bool, data: Any) -> None:
    axes = data.draw(st.sets(st.integers(0, values.ndim - 1)))
    a = np.array([Fraction(v) for v in values.flat], object).reshape(values.shape)
    for f in (mg.max, mg.min):
        x = mg.tensor(a, requires_grad=True)
        y = f(x, axis=tuple(axes), keepdims=keepdims)
        y.backward(np.ones(y.shape, int))
        kept = f(a, axis=tuple(axes), keepdims=True)
        assert np.all(np.equal(x.grad.sum(axis=tuple(axes)), 1))
        assert ((x.grad > 0) == (a == kept)).all()
        count = (a == kept).sum(axis=tuple(axes), keepdims=True)
        assert (x.grad * count == (a == kept)).all()


# --- nan -----------------------------------------------------------------------------------------

ONE_OPERAND = {
    "relu": mg.relu, "relu6": mg.relu6, "leaky_relu": mg.leaky_relu, "hardtanh": mg.hardtanh,
    "hardsigmoid": mg.hardsigmoid, "hardswish": mg.hardswish, "absolute": mg.absolute,
    "clip": lambda x: mg.clip(x, -1, 1), "clip, low": lambda x: mg.clip(x, 0, None),
    "clip, high": lambda x: mg.clip(x, None, 0), "softshrink": mg.softshrink, "elu": mg.elu,
    "celu": mg.celu, "selu": mg.selu, "sign": mg.sign, "prelu": lambda x: mg.prelu(x, 0.25),
    "rrelu": mg.rrelu, "maximum": lambda x: mg.maximum(x, 0), "minimum": lambda x: mg.minimum(x, 0),
    "maximum of two": lambda x: mg.maximum(x, mg.tensor(0.0)), "max": mg.max, "min": mg.min,
    "maxout": lambda x: mg.maxout(mg.stack([x, x])[None], 2, axis=1),
    "piecewise_linear": lambda x: mg.piecewise_linear(x, [0, 1], [1, 0, 2]),
    "norm": mg.norm, "1-norm": lambda x: mg.norm(x, 1), "max-norm": lambda x: mg.norm(x, math.inf),
    "std": lambda x: mg.std(mg.stack([x, x])),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_OPERAND)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_nan_is_never_laundered(name: str, dtype: Any) -> None:
    x = leaf(math.nan, dtype)
    y = ONE_OPERAND[name](x)
    assert np.isnan(y.data).all()
    y.backward(np.ones(y.shape))
    assert np.isnan(x.grad)


def test_a_nan_among_the_elements_of_a_max_spoils_all_of_them() -> None:
    for f in (mg.max, mg.min):
        (grad,) = slopes(f, [1.0, math.nan, 2.0])
        assert all(map(math.isnan, grad))


# --- identities ----------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0, 6.0, -6.0, 0.5, 5e-7, -5e-7, 5e-324, -5e-324, 1e300, -1e300]
kinky = hnp.arrays(
    float,
    hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4),
    elements=st.one_of(
        st.sampled_from([*SPECIAL, math.inf, -math.inf]), st.integers(-8, 8).map(float)
    ),
    fill=st.nothing(),
)

UNARY_IDENTITIES: dict[str, tuple[Function, Function]] = {
    "absolute": (mg.absolute, lambda x: mg.relu(x) + mg.relu(-x)),
    "clip": (lambda x: mg.clip(x, -1, 2), lambda x: mg.minimum(mg.maximum(x, -1), 2)),
    "clip, crossed": (lambda x: mg.clip(x, 2, -1), lambda x: mg.minimum(mg.maximum(x, 2), -1)),
    "clip, one bound": (lambda x: mg.clip(x, 0, None), lambda x: mg.maximum(x, 0)),
    "hardtanh": (mg.hardtanh, lambda x: mg.clip(x, -1, 1)),
    "hardtanh by maximum": (mg.hardtanh, lambda x: mg.maximum(mg.minimum(x, 1), -1)),
    "relu6": (mg.relu6, lambda x: mg.clip(x, 0, 6)),
    "relu6 by relu": (mg.relu6, lambda x: mg.minimum(mg.relu(x), 6)),
    "relu": (mg.relu, lambda x: mg.maximum(x, 0)),
    "relu as data": (mg.relu, lambda x: mg.piecewise_linear(x, [0], [0, 1])),
    "absolute as data": (mg.absolute, lambda x: mg.piecewise_linear(x, [0], [-1, 1])),
    "relu6 as data": (mg.relu6, lambda x: mg.piecewise_linear(x, [0, 6], [0, 1, 0])),
    "maximum with itself": (lambda x: mg.maximum(x, x), lambda x: x),
    "minimum with itself": (lambda x: mg.minimum(x, x), lambda x: x),
    "leaky as prelu": (mg.leaky_relu, lambda x: mg.prelu(x, 0.01)),
    "leaky of 0": (lambda x: mg.leaky_relu(x, 0), mg.relu),
    "leaky of 1": (lambda x: mg.leaky_relu(x, 1), lambda x: x),
    "leaky of -1": (lambda x: mg.leaky_relu(x, -1), mg.absolute),
    "minimum": (lambda x: mg.minimum(x, 0), lambda x: -mg.maximum(-x, 0)),
    "1-norm": (lambda x: mg.norm(x, 1), lambda x: mg.absolute(x).sum()),
    "max of two": (lambda x: mg.max(mg.stack([x, -x]), axis=0), lambda x: mg.maximum(x, -x)),
    "min": (lambda x: mg.min(x, axis=()), lambda x: -mg.max(-x, axis=())),
    "crelu": (mg.crelu, lambda x: mg.concatenate([mg.maximum(x, 0), mg.maximum(-x, 0)], axis=-1)),
}


@pytest.mark.parametrize("name", UNARY_IDENTITIES)
@settings(max_examples=40)
@given(a=kinky)
def test_identity_holds_exactly_in_value_and_slope(name: str, a: np.ndarray) -> None:
    if "norm" in name:
        a = np.clip(a, -8, 8)  # no overflow
    if "crelu" in name:
        a = np.atleast_1d(a)
    sides = []
    for f in UNARY_IDENTITIES[name]:
        x = mg.tensor(a, requires_grad=True)
        y = f(x)
        weights = np.resize([1.0, -2.0, 0.5], y.shape)
        y.backward(weights)
        sides.append((y.data, x.grad))
    (value, slope), (value2, slope2) = sides
    assert (value == value2).all()
    assert (slope == slope2).all()


@settings(max_examples=60)
@given(a=kinky, data=st.data())
def test_maximum_and_minimum_together_are_both_operands(a: np.ndarray, data: Any) -> None:
    a = np.clip(a, -8, 8)
    b = data.draw(hnp.arrays(float, a.shape, elements=st.sampled_from([0.0, -0.0, 1.0, -6.0, 2.0])))
    b = np.where(data.draw(hnp.arrays(bool, a.shape)), a, b)  # ties on purpose
    x, y = leaf(a), leaf(b)
    total = mg.maximum(x, y) + mg.minimum(x, y)
    assert (total.data == a + b).all()
    total.backward(np.ones(a.shape))
    assert (x.grad == 1).all()
    assert (y.grad == 1).all()


@pytest.mark.parametrize("margin", [1.0, 0.5, 2.0, -3.0])
def test_hinge_loss_is_relu_of_one_less_the_margin(margin: float) -> None:
    for target in (1, -1):
        x, m = leaf([margin * target]), leaf([margin * target])
        mg.hinge_loss(x, np.array([target]), reduction="sum").backward()
        mg.relu(1 - m * target).sum().backward()
        assert x.grad.tolist() == m.grad.tolist()


@pytest.mark.parametrize(
    ("loss", "slope"),
    [(mg.l1_loss, 0.0), (mg.mse_loss, 0.0), (mg.huber_loss, 0.0), (mg.smooth_l1_loss, 0.0)],
)
def test_losses_are_flat_at_a_perfect_prediction(loss: Function, slope: float) -> None:
    x = leaf([2.0, -1.0])
    loss(x, np.array([2.0, -1.0])).backward()
    assert x.grad.tolist() == [slope, slope]


def test_what_no_constant_slope_of_relu_at_0_can_satisfy() -> None:
    # relu(x) - relu(-x) is x, but each relu's slope at 0 is 0: an artifact of the composition.
    assert slopes(lambda x: mg.relu(x) - mg.relu(-x), 0.0) == [0]
    assert slopes(lambda x: mg.relu(x) - mg.relu(-x), 1e-9) == [1]
    # which is why leaky_relu is an op of its own.
    assert slopes(lambda x: mg.relu(x) - 0.01 * mg.relu(-x), 0.0) == [0]
    assert slopes(mg.leaky_relu, 0.0) == [0.01]


# --- exact differences through random piecewise-linear nets --------------------------------------

LAYERS: list[Function] = [
    mg.relu, mg.absolute, mg.relu6, mg.hardtanh, lambda x: mg.leaky_relu(x, Fraction(1, 8)),
    lambda x: mg.clip(x, -2, 1), mg.softshrink, lambda x: mg.maximum(x, x[::-1]),
    lambda x: mg.piecewise_linear(x, [-1, 2], [Fraction(1, 2), -1, 3]),
    lambda x: mg.maxout(mg.concatenate([x, 1 - x]), 2), mg.hardsigmoid,
    lambda x: mg.where(x.data > 0, x, -2 * x),
]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.integers(0, len(LAYERS) - 1), st.integers(-3, 3)), min_size=1, max_size=4
    ),
    st.lists(st.integers(-12, 12), min_size=4, max_size=4),
    st.lists(st.integers(-2, 2), min_size=16, max_size=16),
)
def test_between_kinks_backward_is_the_difference_exactly(
    layers: list[tuple[int, int]], entries: list[int], weights: list[int]
) -> None:
    """Rational arithmetic, a step too small to reach a kink: no tolerance."""
    matrix = np.array([Fraction(w) for w in weights], object).reshape(4, 4)

    def net(x: Any) -> Any:
        for which, bias in layers:
            x = LAYERS[which](x @ matrix + Fraction(bias, 3))
        return x.sum()

    # Entries at odd multiples of a tiny unit: a kink at such a point would be a coincidence, and
    # where the two one-sided differences disagree there is one.
    a = np.array(
        [Fraction(e, 4) + Fraction(2 * i + 1, 10**9 + 7) for i, e in enumerate(entries)], object
    )
    x = mg.tensor(a, requires_grad=True)
    net(x).backward()
    step = Fraction(1, 10**40)
    for i in range(4):
        e = np.array([step if j == i else Fraction(0) for j in range(4)], object)
        right = Fraction(net(mg.tensor(a + e)).item() - net(mg.tensor(a)).item()) / step
        left = Fraction(net(mg.tensor(a)).item() - net(mg.tensor(a - e)).item()) / step
        if right == left:
            assert x.grad is not None
            assert x.grad[i] == right


@pytest.mark.parametrize("name", sorted(n for n, op in mg.OPS.items() if op.pieces is not None))
def test_slopes_beside_every_knot_are_the_exact_differences(name: str) -> None:
    """For every piecewise-linear op: at each knot's sides the slope is the difference quotient."""
    op = mg.OPS[name]
    for params in op.params(()):
        pieces = op.pieces(**params)
        points = [Fraction(k) for k in pieces.knots] or [Fraction(0)]
        for knot in points:
            for at in (knot - Fraction(1, 64), knot + Fraction(1, 64)):
                x = mg.tensor(at, requires_grad=True)
                op(x, **params).backward()
                h = Fraction(1, 256)
                here, there = (op(mg.tensor(at + d), **params).item() for d in (0, h))
                assert x.grad == (Fraction(there) - Fraction(here)) / h


def test_second_derivatives_of_piecewise_linear_ops_are_zero() -> None:
    for name, op in mg.OPS.items():
        if op.pieces is None:
            continue
        for params in op.params(()):
            for at in (*map(float, op.pieces(**params).knots), 0.3, -2.0, 100.0):
                x = leaf(at)
                first = mg.gradients(op(x, **params), x, create_graph=True)
                if first.requires_grad:
                    assert mg.gradients(first, x).item() == 0, name
