"""Reductions: axes of every kind, nothing to reduce, equal values, zeros, overflow on the way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgrid as mg

Function = Callable[..., Any]


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def gradient(f: Function, value: Any, weights: Any = None, dtype: Any = float) -> np.ndarray:
    x = leaf(value, dtype)
    y = f(x)
    y.backward(np.ones(y.shape) if weights is None else weights)
    return x.grad


# --- axes ----------------------------------------------------------------------------------------

REDUCTIONS: dict[str, tuple[Function, Function]] = {
    "sum": (mg.sum, np.sum),
    "mean": (mg.mean, np.mean),
    "var": (mg.var, np.var),
    "std": (mg.std, np.std),
    "prod": (mg.prod, np.prod),
    "max": (mg.max, np.max),
    "min": (mg.min, np.min),
    "norm": (mg.norm, lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis, keepdims=keepdims))),
    "norm 1": (
        lambda x, **how: mg.norm(x, 1, **how),
        lambda x, **how: np.sum(np.abs(x), **how),
    ),
    "norm inf": (
        lambda x, **how: mg.norm(x, math.inf, **how),
        lambda x, **how: np.max(np.abs(x), **how),
    ),
    "logsumexp": (mg.logsumexp, lambda x, **how: np.log(np.sum(np.exp(x), **how))),
}


def slope_of_each(name: str, group: list[float]) -> list[float]:
    """Return the slopes of one reduction of distinct numbers, from the textbook."""
    n, mean = len(group), math.fsum(group) / len(group)
    root = math.sqrt(math.fsum((v - mean) ** 2 for v in group) / n)
    total = math.fsum(map(math.exp, group))
    rule: Function = {
        "sum": lambda v: 1.0,
        "mean": lambda v: 1 / n,
        "var": lambda v: 2 * (v - mean) / n,
        "std": lambda v: (v - mean) / (n * root) if root else 0.0,
        "prod": lambda v: math.prod(w for w in group if w != v),
        "max": lambda v: float(v == max(group)),
        "min": lambda v: float(v == min(group)),
        "norm": lambda v: v / math.hypot(*group),
        "norm 1": lambda v: math.copysign(1, v),
        "norm inf": lambda v: math.copysign(abs(v) == max(map(abs, group)), v),
        "logsumexp": lambda v: math.exp(v) / total,
    }[name]
    return [rule(v) for v in group]


AXES = [
    None, (), 0, 1, 2, -1, -2, -3, (0,), (0, 1), (1, 0), (-1, 0), (0, 1, 2), (2, 0, 1), (-3, -1),
    [0, 2],
]  # fmt: skip


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_every_axis_and_keepdims(name: str, axis: Any, keepdims: bool) -> None:
    ours, numpys = REDUCTIONS[name]
    a = np.random.default_rng(5).permutation(24).reshape(2, 3, 4) / 8 - 1.3
    numpy_axis = tuple(axis) if isinstance(axis, list) else axis
    expected = np.asarray(numpys(a, axis=numpy_axis, keepdims=keepdims))
    x = leaf(a)
    y = ours(x, axis=axis, keepdims=keepdims)
    assert y.shape == expected.shape
    # Sums of 24 terms in another order.
    np.testing.assert_allclose(y.data, expected, rtol=1e-13, atol=1e-15)
    weights = np.random.default_rng(6).integers(-3, 4, y.shape).astype(float)
    y.backward(weights)
    axes = tuple(range(3)) if axis is None else tuple(np.atleast_1d(axis).astype(int) % 3)
    kept = weights.reshape([1 if i in axes else n for i, n in enumerate(a.shape)])
    spread = np.broadcast_to(kept, a.shape)
    rest = [i for i in range(3) if i not in axes]
    for place in itertools.product(*(range(a.shape[i]) for i in rest)):
        where = tuple(place[rest.index(i)] if i in rest else slice(None) for i in range(3))
        values = np.ravel(a[where]).tolist()
        expected_grad = np.array(slope_of_each(name, values)) * np.ravel(spread[where])
        np.testing.assert_allclose(np.ravel(x.grad[where]), expected_grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [3, -4, (0, 3), (0, 0), (0, -3)], ids=str)
def test_axes_that_do_not_exist_or_repeat_are_errors(name: str, axis: Any) -> None:
    with pytest.raises(ValueError, match=r"axis|out of bounds|duplicate"):
        REDUCTIONS[name][0](leaf(np.ones((2, 3, 4))), axis=axis)


# --- nothing to reduce ---------------------------------------------------------------------------

OF_NOTHING = {"sum": 0.0, "prod": 1.0, "norm": 0.0, "norm 1": 0.0, "logsumexp": -math.inf}


@pytest.mark.parametrize("name", OF_NOTHING)
def test_reduction_of_nothing(name: str) -> None:
    f = REDUCTIONS[name][0]
    x = leaf(np.ones((0, 3)))
    y = f(x)
    assert y.item() == OF_NOTHING[name]
    y.backward()
    assert x.grad.shape == (0, 3)
    rows = f(leaf(np.ones((3, 0))), axis=1, keepdims=True)
    assert rows.data.tolist() == [[OF_NOTHING[name]]] * 3
    rows.backward(np.ones((3, 1)))
    none = f(leaf(np.ones((3, 0))), axis=0)
    assert none.shape == (0,)
    none.backward(np.ones(0))


@pytest.mark.parametrize("name", ["mean", "var", "std"])
def test_mean_of_nothing_is_nan_without_a_crash_or_a_warning(name: str) -> None:
    f = REDUCTIONS[name][0]
    x = leaf(np.ones((0, 3)))
    y = f(x)
    assert math.isnan(y.item())
    y.backward()
    assert x.grad.shape == (0, 3)
    assert np.isnan(f(leaf(np.ones((2, 0))), axis=1).data).all()
    assert f(leaf(np.ones((2, 0))), axis=0).shape == (0,)


@pytest.mark.parametrize(
    "f", [mg.max, mg.min, mg.argmax, mg.argmin, lambda x: mg.norm(x, math.inf)]
)
def test_max_of_nothing_is_a_value_error(f: Function) -> None:
    with pytest.raises(ValueError, match=r"\(0,\)|sequence|zero-size"):
        f(leaf(np.ones(0)))


def test_max_along_an_axis_where_no_group_is_empty() -> None:
    x = leaf(np.ones((0, 3)))
    y = mg.max(x, axis=1)
    assert y.shape == (0,)
    y.backward(np.ones(0))
    assert x.grad.shape == (0, 3)
    with pytest.raises(ValueError, match="max"):
        mg.max(x, axis=0)


def test_a_sum_over_an_axis_of_size_zero_passes_nothing_back() -> None:
    x = leaf(np.ones((2, 0, 3)))
    y = x.sum(axis=1)
    assert y.data.tolist() == [[0, 0, 0], [0, 0, 0]]
    y.backward(np.ones((2, 3)))
    assert x.grad.shape == (2, 0, 3)


# --- mean, variance, deviation -------------------------------------------------------------------


@pytest.mark.parametrize("ddof", [0, 1, 2, 0.5])
@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_variance_and_deviation_with_ddof(ddof: float, axis: Any) -> None:
    a = np.array([[1.0, 2.0, 4.0], [8.0, -3.0, 0.5], [0.25, 6.0, -7.0], [2.5, 3.0, 9.0]])
    n = a.size if axis != 0 else 4
    centred = a - a.mean(axis=axis, keepdims=True)
    for f, expected, slope in [
        (mg.var, np.var(a, axis=axis, ddof=ddof), 2 * centred / (n - ddof)),
        (
            mg.std,
            np.std(a, axis=axis, ddof=ddof),
            centred / (n - ddof) / np.std(a, axis=axis, ddof=ddof),
        ),
    ]:
        x = leaf(a)
        y = f(x, axis=axis, ddof=ddof)
        np.testing.assert_allclose(y.data, expected, rtol=1e-14)
        y.backward(np.ones(y.shape))
        np.testing.assert_allclose(x.grad, slope, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("f", [mg.var, mg.std])
def test_too_few_degrees_of_freedom_give_nan_without_a_warning(f: Function) -> None:
    x = leaf([5.0])
    y = f(x, ddof=1)
    assert math.isnan(y.item())
    y.backward()
    assert math.isnan(x.grad[0])


@given(
    st.floats(-1e300, 1e300),
    st.integers(1, 7),
    st.sampled_from([0, 1]),
    st.sampled_from(["e", "f", "d"]),
)
def test_deviation_of_equal_values_is_exactly_zero(v: float, n: int, ddof: int, dtype: str) -> None:
    limit = float(np.finfo(dtype).max)
    a = np.full(n, min(max(v, -limit), limit)).astype(dtype)
    if n <= ddof:
        return
    for f in (mg.std, mg.var):
        x = mg.tensor(a, requires_grad=True)
        y = f(x, ddof=ddof)
        y.backward()
        assert y.item() == 0
        assert (x.grad == 0).all()


@pytest.mark.parametrize(("f", "at"), [(mg.std, 2.0), (mg.norm, 0.0)])
def test_the_slope_at_the_kink_is_a_constant(f: Function, at: float) -> None:
    x = leaf([at, at])
    first = mg.gradients(f(x), x, create_graph=True)
    assert first.data.tolist() == [0, 0]
    assert mg.gradients((first * [1.0, 3.0]).sum(), x).data.tolist() == [0, 0]


@pytest.mark.parametrize("offset", [0.0, 1e8, -1e12])
def test_variance_far_from_zero_keeps_its_digits(offset: float) -> None:
    a = offset + np.array([1.0, 2.0, 3.0, 4.0])
    assert mg.var(a) == 1.25
    assert gradient(mg.var, a).tolist() == [-0.75, -0.25, 0.25, 0.75]


# --- products ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "slopes"),
    [
        ([0, 2, 3], [6, 0, 0]),
        ([0, 0, 3], [0, 0, 0]),
        ([0, 0, 0], [0, 0, 0]),
        ([-0.0, 5, 1], [5, 0, 0]),
        ([2, 3, 5], [15, 10, 6]),
        ([7], [1]),
        ([0], [1]),
        ([], []),
        ([[1, 2], [0, 4]], [[0, 0], [8, 0]]),
    ],
)
def test_product_with_zeros(values: Any, slopes: Any) -> None:
    assert gradient(mg.prod, values).tolist() == slopes


def test_product_along_axes_with_zeros_in_some_rows() -> None:
    a = [[0, 2, 3], [0, 0, 3], [1, 2, 3]]
    assert gradient(lambda x: mg.prod(x, axis=1), a).tolist() == [[6, 0, 0], [0, 0, 0], [6, 3, 2]]
    assert gradient(lambda x: mg.prod(x, axis=0), a).tolist() == [[0, 0, 9], [0, 4, 9], [0, 0, 9]]


@given(hnp.arrays(object, st.integers(0, 5), elements=st.integers(-2, 2)), st.integers(0, 4))
def test_derivatives_of_a_product_of_any_order_are_products_of_the_rest(a: Any, order: int) -> None:
    """Differentiating once by each of the first entries leaves the product of the others."""
    a = np.array([Fraction(v) for v in a], object)
    order = min(order, len(a))
    x = mg.tensor(a, requires_grad=True)
    y = mg.prod(x)
    for i in range(order):
        if not y.requires_grad:
            break
        y = mg.gradients(y, x, create_graph=True)[i]
    assert y.item() == math.prod(a[order:])


def test_product_of_huge_and_tiny_factors() -> None:
    # Dividing the product by each factor would give 0, inf or nan.
    assert gradient(mg.prod, [1e-200, 1e-200, 1e200]).tolist() == [
        1e-200 * 1e200,
        1e-200 * 1e200,
        0.0,
    ]


# --- norms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 1e-3, 1e150, 1e200, 1e307, 1e-160, 1e-200, 1e-300, -1e200])
def test_norm_neither_overflows_nor_vanishes(scale: float) -> None:
    x = leaf(np.array([3.0, 4.0]) * scale)
    y = mg.norm(x)
    y.backward()
    # Two roundings for the scaled operand, one each for square, sum, root and quotient.
    assert y.item() == pytest.approx(5 * abs(scale), rel=4e-16)
    np.testing.assert_allclose(x.grad, np.array([0.6, 0.8]) * np.sign(scale), rtol=4e-16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_norm_at_the_ends_of_each_dtype(dtype: Any) -> None:
    info = np.finfo(dtype)
    for largest in (info.max / 2, info.smallest_normal, info.smallest_subnormal * 8):
        a = np.array([largest, 0, largest], dtype)
        expected = (
            math.hypot(*map(float, a)) if dtype != np.float64 else float(largest) * math.sqrt(2)
        )
        x = mg.tensor(a, requires_grad=True)
        y = mg.norm(x)
        y.backward()
        unit = max(float(info.eps), float(info.smallest_subnormal / largest))
        assert float(y.item()) == pytest.approx(expected, rel=2 * unit)
        np.testing.assert_allclose(x.grad, np.array([1, 0, 1]) / math.sqrt(2), rtol=4 * unit)


@given(
    hnp.arrays(float, st.integers(1, 4), elements=st.floats(-1e300, 1e300)),
)
def test_norm_is_the_hypotenuse(a: np.ndarray) -> None:
    expected = math.hypot(*a)
    assert mg.norm(a) == pytest.approx(expected, rel=1e-15, abs=5e-324)
    grad = gradient(mg.norm, a)
    assert np.isfinite(grad).all()
    assert (np.abs(grad) <= 1 + 1e-15).all()
    if expected > 1e-300:  # below, the quotient of two subnormals has few digits
        np.testing.assert_allclose(grad, [v / expected for v in a], rtol=1e-14, atol=1e-307)
    elif expected == 0:
        assert (grad == 0).all()


@pytest.mark.parametrize(("order", "value"), [(None, 5), (2, 5), (1, 7), (math.inf, 4)])
def test_the_norms(order: Any, value: float) -> None:
    assert mg.norm([3.0, -4.0], order) == value
    assert mg.norm(np.array([[3.0, -4.0]]), order, axis=1).tolist() == [value]
    assert mg.norm(mg.tensor([[3.0, -4.0]]), ord=order, keepdims=True).shape == (1, 1)


def test_norm_of_rows_of_which_one_is_zero() -> None:
    a = [[3, 4], [0, 0], [0, -2]]
    grad = gradient(lambda x: mg.norm(x, axis=1), a)
    np.testing.assert_allclose(grad, [[0.6, 0.8], [0, 0], [0, -1]], rtol=4e-16)


def test_norm_at_infinity() -> None:
    assert mg.norm([math.inf, 1.0]) == math.inf
    assert mg.norm([-math.inf]) == math.inf
    assert math.isnan(mg.norm([math.nan, 1.0]))
    x = leaf([math.inf, 1.0])
    mg.norm(x).backward()
    assert x.grad[1] == 0


# --- running sums --------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_cumsum_counts_how_often_each_element_is_summed(axis: Any) -> None:
    a = np.arange(6.0).reshape(2, 3)
    grad = gradient(lambda x: mg.cumsum(x, axis=axis), a)
    expected = {None: [[6, 5, 4], [3, 2, 1]], 0: [[2, 2, 2], [1, 1, 1]]}.get(axis, [[3, 2, 1]] * 2)
    assert grad.tolist() == expected


def test_a_sum_of_many_is_as_accurate_as_numpy() -> None:
    a = np.full(1_000_000, 0.1, np.float32)
    assert mg.sum(mg.tensor(a)).item() == np.sum(a)
    assert mg.mean(mg.tensor(a)).item() == pytest.approx(0.1, rel=1e-6)
