"""nan, infinities, overflow, saturation: what must come through, and what must not.

`filterwarnings = error` makes every warning a failure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from every_op import ELEMENTWISE, cases, cases_for
from hypothesis import given
from hypothesis import strategies as st

import microgrid as mg
from microgrid.finite import is_finite

Function = Callable[..., Any]
INF, NAN = math.inf, math.nan


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def slope(f: Function, x: float, g: float = 1.0, dtype: Any = float) -> float:
    t = leaf(x, dtype)
    f(t).backward(g)
    return float(t.grad)


def value_and_slope(f: Function, x: float) -> tuple[float, float]:
    t = leaf(x)
    y = f(t)
    y.backward()
    return y.item(), float(t.grad)


# --- 13. nan goes in, nan comes out --------------------------------------------------------------

# Whose slope does not depend on x, or which NumPy defines at nan.
LINEAR = {
    "add", "copy", "divide0", "multiply0", "multiply1", "multiply3", "negative", "power1", "prelu1",
    "subtract", "where",
}  # fmt: skip


def is_linear(name: str) -> bool:
    return name in LINEAR or name.rstrip("0123456789") in LINEAR


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_passes_through_every_elementwise_op_and_its_slope(dtype: Any) -> None:
    for name, call in cases_for(()):
        if name[:-1] not in ELEMENTWISE or name in ("power1", "where1"):
            continue
        x = leaf(NAN, dtype)
        y = call(x)
        assert np.isnan(y.data), name
        y.backward()
        assert is_linear(name) or np.isnan(x.grad), name


def test_nan_to_the_power_0_is_1_as_in_ieee() -> None:
    assert value_and_slope(lambda x: x**0, NAN) == (1.0, 0.0)


@pytest.mark.parametrize(
    "name", ["sum", "mean", "var", "std", "prod", "max", "min", "norm", "logsumexp"]
)
def test_nan_spoils_every_reduction(name: str) -> None:
    y = getattr(mg, name)(leaf([1.0, NAN, 3.0]))
    assert math.isnan(y.item())


@pytest.mark.parametrize("f", [mg.softmax, mg.log_softmax, mg.cumsum])
def test_nan_spoils_its_row(f: Function) -> None:
    assert np.isnan(f(leaf([NAN, 1.0, 3.0])).data).all()


@pytest.mark.parametrize("f", [mg.maximum, mg.minimum])
def test_nan_of_either_operand_spoils_maximum_and_both_slopes(f: Function) -> None:
    for a, b in [(NAN, 1.0), (1.0, NAN), (NAN, NAN), (NAN, INF)]:
        x, y = leaf(a), leaf(b)
        z = f(x, y)
        assert math.isnan(z.item())
        z.backward()
        assert math.isnan(x.grad)
        assert math.isnan(y.grad)
    assert math.isnan(f(leaf(NAN), 0).item())
    assert math.isnan(mg.clip(leaf(NAN), -1, 1).item())


# --- infinities at piecewise-linear ops ----------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (mg.relu, -INF, 0, 0),
        (mg.relu, INF, INF, 1),
        (mg.relu6, -INF, 0, 0),
        (mg.relu6, INF, 6, 0),
        (mg.leaky_relu, -INF, -INF, 0.01),
        (lambda x: mg.leaky_relu(x, 0), -INF, 0, 0),
        (lambda x: mg.leaky_relu(x, -2), -INF, INF, -2),
        (mg.hardtanh, -INF, -1, 0),
        (mg.hardtanh, INF, 1, 0),
        (mg.hardsigmoid, -INF, 0, 0),
        (mg.hardsigmoid, INF, 1, 0),
        (mg.hardswish, -INF, 0, 0),
        (mg.hardswish, INF, INF, 1),
        (mg.absolute, -INF, INF, -1),
        (mg.softshrink, -INF, -INF, 1),
        (lambda x: mg.clip(x, -2, 3), INF, 3, 0),
        (lambda x: mg.clip(x, None, None), INF, INF, 1),
        (lambda x: mg.clip(x, -INF, INF), INF, INF, 0),
        (lambda x: mg.prelu(x, 0.0), -INF, 0, 0),
        (lambda x: mg.prelu(x, 0.25), -INF, -INF, 0.25),
        (lambda x: mg.maximum(x, 0), -INF, 0, 0),
        (mg.sign, -INF, -1, 0),
        (mg.elu, -INF, -1, 0),
        (mg.elu, INF, INF, 1),
        (lambda x: mg.elu(x, 2.0), -INF, -2, 0),
        (mg.celu, -INF, -1, 0),
        (lambda x: mg.piecewise_linear(x, [0, 1], [0, 1, 0], (0, 5)), -INF, 5, 0),
        (lambda x: mg.piecewise_linear(x, [0, 1], [0, 1, 0], (0, 5)), INF, 6, 0),
        # smooth ones that level off
        (mg.sigmoid, -INF, 0, 0),
        (mg.sigmoid, INF, 1, 0),
        (mg.tanh, -INF, -1, 0),
        (mg.tanh, INF, 1, 0),
        (mg.softsign, -INF, -1, 0),
        (mg.softsign, INF, 1, 0),
        (mg.softplus, -INF, 0, 0),
        (mg.softplus, INF, INF, 1),
        (mg.silu, -INF, 0, 0),
        (mg.silu, INF, INF, 1),
        (mg.gelu, -INF, 0, 0),
        (mg.gelu, INF, INF, 1),
        (lambda x: mg.gelu(x, "tanh"), -INF, 0, 0),
        (mg.mish, -INF, 0, 0),
        (mg.mish, INF, INF, 1),
        (mg.exp, -INF, 0, 0),
        (mg.exp, INF, INF, INF),
        (mg.expm1, -INF, -1, 0),
        (mg.log, INF, INF, 0),
        (mg.log1p, INF, INF, 0),
        (mg.sqrt, INF, INF, 0),
        (mg.reciprocal, INF, 0, 0),
        (mg.reciprocal, -INF, 0, 0),
    ],
)
def test_value_and_slope_at_infinity(f: Function, x: float, value: float, slope: float) -> None:
    assert value_and_slope(f, x) == (value, slope)


def test_an_infinite_gradient_into_a_dead_unit_gives_0() -> None:
    for f, at in [
        (mg.relu, -1.0), (mg.relu, 0.0), (mg.relu6, 7.0), (mg.hardtanh, 2.0),
        (mg.hardsigmoid, -5.0), (mg.hardswish, -4.0), (lambda x: mg.clip(x, 0, 1), 3.0),
        (mg.softshrink, 0.25), (mg.absolute, 0.0),
        (mg.sign, 2.0), (lambda x: mg.maximum(x, 5), 1.0), (lambda x: mg.leaky_relu(x, 0), -1.0),
        (lambda x: mg.prelu(x, 0.0), -1.0), (lambda x: mg.maximum(x, leaf(5.0)), 1.0),
        (lambda x: mg.where(x > 9, x, 0.0), 1.0), (lambda x: x * 0.0, 1.0), (lambda x: x**0, 3.0),
        (mg.exp, -INF), (mg.sigmoid, -INF), (mg.elu, -INF), (mg.norm, 0.0), (mg.std, 1.0),
        (lambda x: mg.prod(mg.stack([x, mg.tensor(0.0)])), 2.0),
        (lambda x: mg.max(mg.stack([x, mg.tensor(9.0)])), 2.0),
        (lambda x: mg.softmax(mg.stack([x, mg.tensor(INF)]))[1], 2.0),
    ]:  # fmt: skip
        for g in (INF, -INF):
            assert slope(f, at, g) == 0


def test_a_chain_of_dead_units_behind_an_overflow() -> None:
    x = leaf(-1.0)
    with np.errstate(invalid="ignore"):  # the value is inf * 0
        y = mg.exp(mg.relu(x) + 1000.0) * mg.relu(x)
    y.backward()
    assert x.grad == 0


# --- 14. a branch not taken contributes nothing --------------------------------------------------

SPECIAL = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e300, -1e300, 1e-320, 1000.0, -1000.0, 0.5, 3.0]


def special(dtype: Any, shape: tuple[int, ...], roll: int = 0) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.resize(np.roll(np.array(SPECIAL), -roll), shape).astype(dtype)


def quietly(call: Function, x: Any) -> Any:
    """Return call(x) where sums and products may overflow with NumPy's own warning."""
    with np.errstate(all="ignore"):
        return call(x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (14,), (2, 7)], ids=str)
def test_a_gradient_of_zero_contributes_zero_whatever_the_operand(dtype: Any, shape: Any) -> None:
    for name, call in cases_for(shape):
        for roll in range(len(SPECIAL) if shape == () else 1):
            x = mg.tensor(special(dtype, shape, roll), requires_grad=True)
            y = quietly(call, x)
            y.backward(np.zeros(y.shape))
            assert (x.grad == 0).all(), f"{name} at {x.data}"


@pytest.mark.parametrize("call", cases("elementwise"))
def test_a_branch_not_taken_contributes_nothing(call: Function) -> None:
    """where(chosen, x, f(x)): where x is taken the slope is exactly 1, whatever f does there."""
    a = np.array(SPECIAL)
    x = leaf(a)
    y = mg.where(np.ones(len(a), bool), x, quietly(call, x))
    y.backward(np.ones(len(a)))
    assert (x.grad == 1).all()


@pytest.mark.parametrize("call", cases("elementwise"))
def test_second_derivatives_of_a_branch_not_taken_are_nothing(call: Function) -> None:
    x = leaf(np.array(SPECIAL))
    y = mg.where(np.ones(len(SPECIAL), bool), x * 2, quietly(call, x))
    first = mg.gradients(y, x, np.ones(len(SPECIAL)), create_graph=True)
    assert (first.data == 2).all()
    if first.requires_grad:
        assert (mg.gradients(first, x, np.ones(len(SPECIAL))).data == 0).all()


@pytest.mark.parametrize(
    ("f", "bad"),
    [
        (mg.log, [0.0, -1.0]),
        (mg.log1p, [-1.0, -2.0]),
        (mg.sqrt, [0.0, -1.0]),
        (mg.reciprocal, [0.0, -0.0]),
        (lambda x: 1 / x, [0.0]),
        (lambda x: x / x, [0.0]),
        (lambda x: x**0.5, [0.0, -2.0]),
        (lambda x: x**-1, [0.0]),
        (lambda x: x**-2.5, [0.0, -1.0]),
        (lambda x: x**x, [0.0, -1.5]),
        (lambda x: mg.power(0.0, x), [-1.0, 0.0]),
        (mg.exp, [1000.0, INF]),
        (mg.expm1, [1000.0]),
        (lambda x: x * INF, [0.0, 1.0]),
        (lambda x: x * NAN, [0.0, 1.0]),
        (lambda x: INF / x, [0.0, 1.0]),
        (lambda x: x / 0.0, [0.0, 1.0]),
        (lambda x: mg.log(x) / mg.sqrt(x), [0.0, -1.0]),
        (lambda x: mg.exp(mg.exp(x)), [1000.0]),
        (lambda x: mg.sqrt(mg.sqrt(x)), [0.0]),
        (lambda x: mg.tanh(mg.log(x)), [0.0, -1.0]),
        (lambda x: mg.norm(mg.stack([x, x]), axis=0) / x, [0.0, INF]),
        (lambda x: mg.std(mg.stack([x, x]), axis=0) / 0.0, [2.0, INF]),
        (lambda x: mg.logsumexp(mg.stack([x, x * INF]), axis=0), [0.0, INF]),
        (lambda x: mg.softmax(mg.stack([x, x * NAN]), axis=0)[0], [0.0, INF]),
        (lambda x: mg.prod(mg.stack([x, x * INF]), axis=0), [0.0, 1.0]),
        (lambda x: mg.cumsum(mg.log(x)), [0.0, 0.0]),
        (lambda x: mg.max(mg.stack([x, mg.log(x)]), axis=0), [-1.0, 0.0]),
        (lambda x: mg.gelu(mg.log(x)), [0.0, -1.0]),
        (lambda x: mg.prelu(x, x * NAN), [-1.0, 1.0]),
    ],
)
def test_singularities_behind_a_guard(f: Function, bad: list[float]) -> None:
    x = leaf(bad)
    mg.where(np.ones(len(bad), bool), x, quietly(f, x)).sum().backward()
    assert x.grad.tolist() == [1.0] * len(bad)


def test_the_case_that_gave_the_rule_its_name() -> None:
    x = leaf([0.0, 2.0])
    mg.where(x > 0, mg.log(x), x).sum().backward()
    assert x.grad.tolist() == [1.0, 0.5]


def test_guards_by_multiplication_with_a_mask_of_zeros() -> None:
    x = leaf([0.0, 4.0])
    mask = np.array([0.0, 1.0])
    (mg.where(mask > 0, mg.sqrt(x), 0) * mask).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_a_masked_row_of_nan_does_not_reach_the_parameters_of_a_reduction() -> None:
    data = np.array([[1.0, 2.0], [NAN, INF]])
    w = leaf([1.0, 1.0])
    rows = quietly(lambda t: (data * t).sum(axis=1), w)
    mg.where([True, False], rows, 0).sum().backward()
    assert w.grad.tolist() == [1.0, 2.0]


# --- 15. softmax and its kin at ±1000 ------------------------------------------------------------

DTYPES = [np.float16, np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_family_at_a_thousand(dtype: Any) -> None:
    x = leaf([1000, 0, -1000], dtype)
    for f, value, slope in [
        (lambda t: mg.log_softmax(t)[0], 0, [0, 0, 0]),
        (lambda t: mg.log_softmax(t)[1], -1000, [-1, 1, 0]),
        (lambda t: mg.log_softmax(t)[2], -2000, [-1, 0, 1]),
        (mg.logsumexp, 1000, [1, 0, 0]),
        (lambda t: mg.softmax(t)[0], 1, [0, 0, 0]),
        (lambda t: mg.softmax(t)[2], 0, [0, 0, 0]),
        (lambda t: mg.cross_entropy(t[None], [0]), 0, [0, 0, 0]),
        (lambda t: mg.cross_entropy(t[None], [1]), 1000, [1, -1, 0]),
        (lambda t: mg.cross_entropy(t[None], [2]), 2000, [1, 0, -1]),
        (lambda t: mg.cross_entropy(t[None], [2], reduction="none")[0], 2000, [1, 0, -1]),
        (lambda t: mg.cross_entropy(t[None], np.array([[0, 1, 0]], dtype)), 1000, [1, -1, 0]),
    ]:
        x.zero_grad()
        y = f(x)
        assert y.item() == value
        y.backward()
        assert x.grad.tolist() == slope


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_at_a_thousand(dtype: Any) -> None:
    for z, target, value, slope in [
        (1000, 1, 0, 0), (1000, 0, 1000, 1), (-1000, 0, 0, 0), (-1000, 1, 1000, -1),
        (1000, 0.5, 500, 0.5),
    ]:  # fmt: skip
        x = leaf(z, dtype)
        y = mg.binary_cross_entropy_with_logits(x, np.array(target, dtype))
        y.backward()
        assert (y.item(), x.grad) == (value, slope)


@pytest.mark.parametrize("shift", [0.0, 1000.0, -1000.0, 2.0**20])
def test_shifting_the_scores_changes_no_weight(shift: float) -> None:
    scores = np.array([[0.5, 2.0, -1.0], [0.25, 0.0, 4.0]])  # exact after the shift
    for f in (mg.softmax, mg.log_softmax, lambda t: mg.logsumexp(t, axis=1)):
        x, moved = leaf(scores), leaf(scores + shift)
        y, z = f(x), f(moved)
        if f in (mg.softmax, mg.log_softmax):
            assert (z.data == y.data).all()
        else:
            np.testing.assert_allclose(z.data - shift, y.data, rtol=1e-15, atol=2e-16 * abs(shift))
        weights = np.arange(y.size).reshape(y.shape) + 1.0
        y.backward(weights)
        z.backward(weights)
        assert (moved.grad == x.grad).all()


@pytest.mark.parametrize("value", [0.0, 1000.0, -1000.0, INF, -INF])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_weights_of_equal_scores_are_equal_and_sum_to_one(value: float, n: int) -> None:
    x = leaf([value] * n)
    y = mg.logsumexp(x)
    assert y.item() == (value + math.log(n) if math.isfinite(value) else value)
    y.backward()
    assert x.grad.tolist() == [1 / n] * n
    assert mg.softmax(x).data.tolist() == [1 / n] * n


@pytest.mark.parametrize(
    ("a", "b", "value", "weights"),
    [
        (-INF, -INF, -INF, (0.5, 0.5)),
        (INF, INF, INF, (0.5, 0.5)),
        (-INF, INF, INF, (0, 1)),
        (-INF, 3.0, 3.0, (0, 1)),
        (INF, 3.0, INF, (1, 0)),
        (1000.0, 1000.0, 1000 + math.log(2), (0.5, 0.5)),
        (-1000.0, 1000.0, 1000.0, (0, 1)),
    ],
)
def test_logaddexp_and_logsumexp_agree_at_infinities(
    a: float, b: float, value: float, weights: Any
) -> None:
    x, y = leaf(a), leaf(b)
    z = mg.logaddexp(x, y)
    assert z.item() == value
    z.backward()
    assert (x.grad, y.grad) == weights
    both = leaf([a, b])
    total = mg.logsumexp(both)
    assert total.item() == value
    total.backward()
    assert both.grad.tolist() == list(weights)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=6))
def test_weights_sum_to_one_anywhere(scores: list[float]) -> None:
    x = leaf(scores)
    mg.logsumexp(x).backward()
    assert x.grad.sum() == pytest.approx(1, abs=1e-15 * len(scores))
    assert (x.grad >= 0).all()
    np.testing.assert_array_equal(x.grad, mg.softmax(np.array(scores)))


def test_scores_that_are_minus_infinity_are_masked() -> None:
    x = leaf([0.0, -INF, 0.0])
    assert mg.softmax(x).data.tolist() == [0.5, 0, 0.5]
    mg.log_softmax(x)[0].backward()
    assert x.grad.tolist() == [0.5, 0, -0.5]
    x.zero_grad()
    mg.cross_entropy(x[None], [0]).backward()
    assert x.grad.tolist() == [-0.5, 0, 0.5]


# --- 16. tails -----------------------------------------------------------------------------------


def log_tail(name: str, x: float) -> float:
    """Return the logarithm of the slope far out, where it is a plain exponential."""
    return {"sigmoid": -abs(x), "tanh": math.log(4) - 2 * abs(x), "softplus": x}[name]


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slopes_in_the_tails_keep_relative_accuracy(name: str, dtype: Any) -> None:
    tiny = math.log(float(np.finfo(dtype).smallest_normal))
    for x in (-20.0, 20.0, -30.0, 40.0, -85.0, 300.0, -340.0, 700.0, -700.0):
        if name == "softplus" and x > 0:
            continue
        expected = log_tail(name, x)
        if expected < tiny:
            continue
        s = slope(getattr(mg, name), x, dtype=dtype)
        assert s > 0
        # exp's argument is exact; a few roundings follow, and the neglected term is below e^-20.
        assert s == pytest.approx(
            math.exp(expected), rel=max(4e-7 if dtype == np.float32 else 1e-15, 5e-9)
        )


@given(st.floats(-30, 30))
def test_slope_of_sigmoid_is_s_of_x_times_s_of_minus_x(x: float) -> None:
    exact = 1 / ((1 + math.exp(-x)) * (1 + math.exp(x)))
    assert slope(mg.sigmoid, x) == pytest.approx(exact, rel=1e-15)
    assert slope(mg.tanh, x) == pytest.approx(1 / math.cosh(x) ** 2, rel=2e-15)


def test_slope_of_tanh_where_one_minus_y_squared_is_zero() -> None:
    assert math.tanh(20) == 1
    assert slope(mg.tanh, 20) == pytest.approx(4 * math.exp(-40), rel=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softplus_at_a_thousand(dtype: Any) -> None:
    x = leaf([1000, -1000], dtype)
    y = mg.softplus(x)
    y.backward([1, 1])
    assert y.data.tolist() == [1000, 0]
    assert x.grad.tolist() == [1, 0]


@pytest.mark.parametrize(
    "f", [mg.silu, mg.gelu, mg.mish, lambda x: mg.gelu(x, "tanh"), mg.hardswish]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gated_units_far_out(f: Function, dtype: Any) -> None:
    x = leaf([1000, -1000], dtype)
    y = f(x)
    y.backward([1, 1])
    assert y.data.tolist() == [1000, 0]
    assert x.grad.tolist() == [1, 0]


@pytest.mark.parametrize("f", [mg.gelu, mg.silu, mg.mish])
def test_left_tails_of_gated_units_do_not_vanish_early(f: Function) -> None:
    y, s = value_and_slope(f, -30.0)
    assert -1e-10 < y < 0
    assert -1e-10 < s < 0


@pytest.mark.parametrize("x", [-36.0, -10.0, -5.0])
def test_left_tail_of_gelu_against_the_asymptotic_series(x: float) -> None:
    density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    y, s = value_and_slope(mg.gelu, x)
    assert y == pytest.approx(x * math.erfc(-x / math.sqrt(2)) / 2, rel=1e-12)
    assert s == pytest.approx(math.erfc(-x / math.sqrt(2)) / 2 + x * density, rel=1e-12)


@pytest.mark.parametrize("x", [1e-5, -1e-9, 1e-300])
def test_small_arguments_keep_their_digits(x: float) -> None:
    assert mg.expm1(x) == math.expm1(x)
    assert mg.log1p(x) == math.log1p(x)
    assert mg.elu(-abs(x)) == math.expm1(-abs(x))
    assert mg.softsign(x) == x / (1 + abs(x))
    assert mg.tanh(x) == pytest.approx(math.tanh(x), rel=1e-15)


# --- 17. sqrt, division, overflow ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (mg.sqrt, 0.0, 0, INF),
        (mg.log, 0.0, -INF, INF),
        (mg.log1p, -1.0, -INF, INF),
        (lambda x: x / 0.0, 2.0, INF, INF),
        (lambda x: x / 0.0, -2.0, -INF, INF),
        (lambda x: 1 / x, 0.0, INF, -INF),
        (lambda x: -1 / x, 0.0, -INF, INF),
        (mg.reciprocal, 0.0, INF, -INF),
        (mg.exp, 1000.0, INF, INF),
        (mg.exp, -1000.0, 0, 0),
        (mg.expm1, 1000.0, INF, INF),
        (lambda x: x**0.5, 0.0, 0, INF),
        (lambda x: x**-1, 0.0, INF, -INF),
        (lambda x: 2.0**x, 5000.0, INF, INF),
        (lambda x: x**3, 1e200, INF, INF),
    ],
)
def test_ieee_without_exceptions_or_warnings(
    f: Function, x: float, value: float, slope: float
) -> None:
    assert value_and_slope(f, x) == (value, slope)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (mg.sqrt, -1.0),
        (mg.log, -1.0),
        (mg.log1p, -2.0),
        (lambda x: x**0.5, -1.0),
        (lambda x: x / x, 0.0),
    ],
)
def test_outside_the_domain_is_nan_without_a_warning(f: Function, x: float) -> None:
    assert math.isnan(value_and_slope(f, x)[0])


@pytest.mark.parametrize("numerator", [0.0, 1.0, -1.0, INF, NAN])
@pytest.mark.parametrize("denominator", [0.0, -0.0, 2.0, INF, -INF, NAN])
def test_division_follows_ieee(numerator: float, denominator: float) -> None:
    with np.errstate(all="ignore"):
        expected = np.float64(numerator) / np.float64(denominator)
    for a, b in [
        (mg.tensor(numerator), denominator), (numerator, mg.tensor(denominator)),
        (mg.tensor(numerator), mg.tensor(denominator)),
        (np.array(numerator), mg.tensor(denominator)),
    ]:  # fmt: skip
        np.testing.assert_array_equal((a / b).data, expected)
    np.testing.assert_array_equal(mg.divide(numerator, denominator), expected)


def test_division_of_plain_numbers_by_zero_raises_nothing() -> None:
    assert mg.divide(1, 0) == INF
    assert math.isnan(mg.divide(0, 0))
    assert mg.log(0) == -INF
    assert mg.exp(10_000) == INF


# --- 18. power -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "exponent", "value", "slope"),
    [
        (0.0, 0, 1, 0),
        (-0.0, 0, 1, 0),
        (5.0, 0, 1, 0),
        (INF, 0, 1, 0),
        (0.0, 1, 0, 1),
        (-3.0, 1, -3, 1),
        (0.0, 2, 0, 0),
        (0.0, 3, 0, 0),
        (-2.0, 2, 4, -4),
        (-2.0, 3, -8, 12),
        (-2.0, -1, -0.5, -0.25),
        (-2.0, -2, 0.25, 0.25),
        (0.0, -1, INF, -INF),
        (0.0, 0.5, 0, INF),
        (0.0, 1.5, 0, 0),
        (4.0, 0.5, 2, 0.25),
        (INF, 2, INF, INF),
        (INF, -1, 0, 0),
    ],
)
@pytest.mark.parametrize("kind", ["number", "float", "numpy", "array", "tensor", "learned"])
def test_power_towards_its_base(
    base: float, exponent: float, value: float, slope: float, kind: str
) -> None:
    b = {
        "number": exponent, "float": float(exponent), "numpy": np.float64(exponent),
        "array": np.array(float(exponent)), "tensor": mg.tensor(float(exponent)),
        "learned": leaf(float(exponent)),
    }[kind]  # fmt: skip
    assert value_and_slope(lambda x: x**b, base) == (value, slope)


@pytest.mark.parametrize("base", [-2.0, 0.0, -0.0, INF, -INF, NAN, 3.0])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5])
def test_a_constant_exponent_brings_no_nan_through_its_own_gradient(
    base: float, exponent: float
) -> None:
    """The slope towards the base is the same whether or not the exponent is learned."""
    constant, learned = leaf(base), leaf(base)
    (constant**exponent).backward()
    (learned ** leaf(float(exponent))).backward()
    np.testing.assert_array_equal(constant.grad, learned.grad)
    if math.isfinite(base) and base >= 0:
        assert not math.isnan(constant.grad)


@pytest.mark.parametrize(
    ("base", "exponent", "slope"),
    [
        (2.0, 3.0, 8 * math.log(2)),
        (1.0, 7.0, 0.0),
        (0.0, 2.0, 0.0),
        (0.0, 0.0, 0.0),
        (INF, -1.0, 0.0),
    ],
)
def test_power_towards_its_exponent(base: float, exponent: float, slope: float) -> None:
    b = leaf(exponent)
    (mg.tensor(base) ** b).backward()
    assert float(b.grad) == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize("n", range(6))
@pytest.mark.parametrize("x", [0.0, -1.5, 2.0])
def test_every_derivative_of_an_integer_power(n: int, x: float) -> None:
    """Also at 0, where x**(n - k) of later derivatives has exponents below 0."""
    t = leaf(x)
    y = t**n
    for k in range(5):
        exact = math.prod(range(n - k + 1, n + 1)) * Fraction(x) ** max(n - k, 0) if k <= n else 0
        assert y.item() == float(exact)
        if not y.requires_grad:
            break
        y = mg.gradients(y, t, create_graph=True)


@given(st.floats(0.1, 5), st.floats(-3, 3))
def test_power_is_exp_of_log(base: float, exponent: float) -> None:
    a, b, c, d = leaf(base), leaf(exponent), leaf(base), leaf(exponent)
    (a**b).backward()
    mg.exp(mg.log(c) * d).backward()
    assert float(a.grad) == pytest.approx(float(c.grad), rel=1e-13)
    assert float(b.grad) == pytest.approx(float(d.grad), rel=1e-13, abs=1e-300)


# --- the check -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("change", [np.array, np.transpose, lambda x: x[::2, ::3]])
def test_the_largest_numbers_are_finite_and_a_single_nan_or_inf_is_not(
    dtype: Any, change: Callable[[Any], Any]
) -> None:
    x = np.full((6, 9), np.finfo(dtype).max)  # the sum of squares overflows
    assert is_finite(change(x))
    for bad in (NAN, INF, -INF):
        x[4, 6] = bad
        assert not is_finite(change(x))


def test_integers_and_nothing_are_finite() -> None:
    for array in (np.arange(3), np.array([True]), np.zeros((0, 2))):
        assert is_finite(array)
