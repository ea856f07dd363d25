"""Transforms inside transforms, and of nested arguments and results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import microgrid as mg

Function = Callable[..., Any]


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def close(actual: Any, expected: Any) -> None:
    # Some tens of roundings of numbers below 100.
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=1e-12, atol=1e-12)


# --- variables of different levels ---------------------------------------------------------------


def times_slope_of_product(x: Any) -> Any:
    """x · d/dy (x·y) = x²."""
    return x * mg.grad(lambda y: x * y)(1.0)


def times_slope_of_sum(x: Any) -> Any:
    """x · d/dy (x + y) = x."""
    return x * mg.grad(lambda y: x + y)(1.0)


def times_forward_slope(x: Any) -> Any:
    """x · d/dy (x·y²) at 3 = 6 x²."""
    return x * mg.jvp(lambda y: x * y * y, (3.0,), (1.0,))[1]


def slope_at_itself(x: Any) -> Any:
    """d/dy (x·y²) at y = x is 2 x²."""
    return mg.grad(lambda y: x * y * y)(x)


LEVELS = [
    (times_slope_of_product, 2.0, 4.0),
    (times_slope_of_sum, 2.0, 1.0),
    (times_forward_slope, 2.0, 24.0),
    (slope_at_itself, 2.0, 8.0),
    (lambda x: mg.grad(lambda y: mg.grad(lambda z: x * y * y * z**3)(x))(x), 2.0, 192.0),
    (lambda x: x * mg.hvp(lambda y: x * y**3, (1.0,), (1.0,)), 2.0, 24.0),
    (lambda x: mg.vjp(lambda y: x * x * y, 5.0)[1](1.0)[0], 3.0, 6.0),
    (lambda x: mg.jacobian(lambda y: x * y * y)(x), 3.0, 12.0),
    (lambda x: mg.hessian(lambda y: x * y**3)(x), 3.0, 36.0),
]


@pytest.mark.parametrize(("f", "at", "slope"), LEVELS)
def test_variables_of_two_levels_are_told_apart(f: Function, at: float, slope: float) -> None:
    assert mg.grad(f)(at) == slope
    assert mg.grad(f)(mg.tensor(at)).item() == slope
    assert mg.jvp(f, (at,), (1.0,))[1] == slope
    assert mg.vjp(f, at)[1](1.0) == (slope,)
    assert mg.jacobian(f)(at) == slope


@pytest.mark.parametrize(("f", "at", "slope"), LEVELS)
def test_a_derivative_leads_to_a_leaf_that_f_used(f: Function, at: float, slope: float) -> None:
    x = leaf(at)
    f(x).backward()
    assert x.grad == slope


def test_a_pullback_called_inside_another_transform_is_differentiated() -> None:
    def f(x: Any) -> Any:
        y, pullback = mg.vjp(mg.square, x)
        return pullback(y)[0]  # 2x · x²

    assert mg.grad(f)(3.0) == 54


def test_jvp_is_linear_in_its_tangent() -> None:
    def along(t: Any) -> Any:
        return mg.jvp(lambda x: x**3, (2.0,), (t,))[1]

    assert mg.grad(along)(5.0) == 12
    assert mg.grad(lambda t: along(t) ** 2)(5.0) == 2 * 60 * 12


def test_forward_over_forward() -> None:
    def slope(x: Any) -> Any:
        return mg.jvp(mg.sin, (x,), (1.0,))[1]

    close(mg.jvp(slope, (0.5,), (1.0,))[1], -np.sin(0.5))


# --- of which type a derivative is ---------------------------------------------------------------


def test_arrays_come_for_arrays_and_tensors_for_tensors() -> None:
    x = np.array([1.0, 2.0])

    def f(x: Any) -> Any:
        return (x * x).sum()

    assert isinstance(mg.grad(f)(x), np.ndarray)
    assert isinstance(mg.grad(f)(mg.tensor(x)), mg.Tensor)
    assert isinstance(mg.jvp(f, (x,), (x,))[1], np.float64)
    assert isinstance(mg.jvp(f, (mg.tensor(x),), (x,))[1], mg.Tensor)
    assert isinstance(mg.hvp(f, (x,), (x,)), np.ndarray)
    assert isinstance(mg.hessian(f)(mg.tensor(x)), mg.Tensor)
    assert isinstance(mg.jacobian(mg.square)(x), np.ndarray)


def test_a_derivative_has_a_graph_if_something_requires_a_gradient() -> None:
    p = leaf(3.0)
    assert mg.grad(lambda x: x * x)(p).requires_grad
    assert mg.grad(lambda x: p * x)(2.0).requires_grad
    assert not mg.grad(lambda x: x * x)(mg.tensor(3.0)).requires_grad
    value, slope = mg.value_and_grad(lambda x: p * x)(2.0)
    (value * slope).backward()
    assert p.grad == 2 * 2 * 3


def test_under_no_grad_derivatives_are_computed_and_have_no_graph() -> None:
    p = leaf(3.0)

    def f(x: Any) -> Any:
        return p * x**2

    with mg.no_grad():
        value, slope = mg.value_and_grad(f)(p)
        assert (value.item(), slope.item(), value.requires_grad, slope.requires_grad) == (
            27, 18, False, False,
        )  # fmt: skip
        assert mg.grad(f)(2.0) == 12
        assert mg.jvp(f, (2.0,), (1.0,))[1] == 12
        assert mg.hessian(f)(2.0) == 6
        assert mg.jacobian(f)(2.0) == 12
        assert mg.hvp(f, (2.0,), (1.0,)) == 6
        assert mg.grad(mg.grad(f))(2.0) == 6
        y, pullback = mg.vjp(f, 2.0)
    assert not y.requires_grad
    assert pullback(1.0) == (12,)


def test_a_pullback_keeps_to_where_it_was_made_and_to_where_it_is_called() -> None:
    x, u = leaf(3.0), leaf(1.0)
    with mg.no_grad():
        _, pullback = mg.vjp(mg.square, x)
    pullback(u)[0].backward()
    assert (x.grad, u.grad) == (None, 6)
    _, pullback = mg.vjp(mg.square, x)
    with mg.no_grad():
        assert not pullback(u)[0].requires_grad
    pullback(u)[0].backward()
    assert x.grad == 2


def test_gradient_penalty_reaches_the_parameters() -> None:
    """The gradient of |d/dx wᵀtanh(x)|² by w is 2 w sech⁴ x, also where x is an array."""
    w = leaf([1.0, -2.0])
    x = np.array([0.5, 1.5])
    slope = mg.grad(lambda x: w @ mg.tanh(x))(x)
    (slope * slope).sum().backward()
    close(w.grad, 2 * w.data / np.cosh(x) ** 4)


# --- structures ----------------------------------------------------------------------------------


class Pair(NamedTuple):
    first: Any
    second: Any


def test_a_gradient_has_the_structure_of_its_argument() -> None:
    def f(p: Any) -> Any:
        return p["w"][0] * p["w"][1].sum() * p["pair"].first + p["pair"].second[0]

    p = {"w": [2.0, mg.tensor([3.0, 4.0])], "pair": Pair(5, (6.0,)), "none": None, "empty": []}
    g = mg.grad(f)(p)
    assert list(g) == ["w", "pair", "none", "empty"]
    assert g["w"][0] == 35
    assert g["w"][1].tolist() == [10, 10]
    assert isinstance(g["w"][1], mg.Tensor)
    assert g["pair"] == Pair(14, (1,))
    assert (g["none"], g["empty"]) == (None, [])


def test_results_may_be_nested() -> None:
    def f(x: Any, y: Any) -> Any:
        return {"product": x * y, "both": (x + y, [x - y])}

    y, tangent = mg.jvp(f, (2.0, 3.0), (1.0, 10.0))
    assert y["both"][1][0].item() == -1
    assert tangent == {"product": 23, "both": (11, [-9])}
    _, pullback = mg.vjp(f, 2.0, 3.0)
    assert pullback({"product": 1.0, "both": (10.0, [100.0])}) == (113, -88)
    assert mg.jacobian(f, (0, 1))(2.0, 3.0) == {"product": (3, 2), "both": ((1, 1), [(1, -1)])}


def test_jacobian_and_hessian_of_nested_arguments_are_nested_likewise() -> None:
    def f(p: Any) -> Any:
        return p["a"] ** 2 * p["b"].sum()

    p = {"a": 3.0, "b": np.array([1.0, 2.0])}
    jacobian, hessian = mg.jacobian(f)(p), mg.hessian(f)(p)
    assert (jacobian["a"], jacobian["b"].tolist()) == (18, [9, 9])
    assert hessian["a"]["a"] == 6
    assert hessian["a"]["b"].tolist() == hessian["b"]["a"].tolist() == [6, 6]
    assert hessian["b"]["b"].tolist() == [[0, 0], [0, 0]]
    product = mg.hvp(f, (p,), ({"a": 1.0, "b": np.array([10.0, 100.0])},))
    assert (product["a"], product["b"].tolist()) == (6 + 660, [6, 6])


def test_a_result_that_is_returned_twice_counts_twice() -> None:
    assert mg.vjp(lambda x: (x, x, x * x), 3.0)[1]((1.0, 10.0, 100.0)) == (611,)
    assert mg.jvp(lambda x: (x, x), (3.0,), (2.0,))[1] == (2, 2)
    assert mg.vjp(lambda x: (x, x), 3.0)[1]((1e308, 1e308)) == (np.inf,)  # without a warning
    x = leaf(3.0)
    u = leaf(1.0)
    slope = mg.vjp(lambda x: (x, x), x)[1]((u, u))[0]
    slope.backward()
    assert (slope.item(), u.grad) == (2, 2)


def test_one_tensor_in_two_places_has_a_gradient_in_each() -> None:
    x = leaf(3.0)
    assert [g.item() for g in mg.grad(lambda a, b: a * b**2, (0, 1))(x, x)] == [9, 18]
    assert [g.item() for g in mg.grad(lambda p: p[0] * p[1] ** 2)([x, x])] == [9, 18]


def test_what_the_result_does_not_depend_on_has_derivatives_0() -> None:
    x, y = np.array([1.0, 2.0]), np.zeros((3, 0))

    def f(x: Any, y: Any) -> Any:
        return x.sum() ** 2

    gx, gy = mg.grad(f, (0, 1))(x, y)
    assert (gx.tolist(), gy.shape) == ([6, 6], (3, 0))
    assert mg.jacobian(f, 1)(mg.tensor(x), y).shape == (3, 0)
    assert mg.grad(lambda x: mg.tensor(4.0))(x).tolist() == [0, 0]
    assert mg.jacobian(lambda x: mg.tensor([1.0, 2.0, 3.0]))(x).tolist() == [[0, 0]] * 3
    assert mg.jvp(lambda x: mg.tensor([1.0]), (x,), (x,))[1].tolist() == [0]
    assert mg.jvp(lambda x: mg.argmax(x), (x,), (x,))[1] == 0
    assert mg.hessian(lambda x: 3 * x.sum())(x).tolist() == [[0, 0], [0, 0]]
    assert mg.hvp(lambda x: 3 * x.sum(), (x,), (x,)).tolist() == [0, 0]


def test_dtypes_are_those_of_the_arguments() -> None:
    x = np.array([1.0, 2.0], np.float32)

    def f(x: Any) -> Any:
        return (x**3).sum()

    assert mg.grad(f)(x).dtype == np.float32
    assert mg.hessian(f)(x).dtype == np.float32
    assert mg.hvp(f, (x,), (x.astype(float),)).dtype == np.float32
    assert mg.jvp(f, (x,), ([1.0, 2.0],))[1].dtype == np.float32
    t = mg.tensor([1.0, 2.0])
    assert mg.jvp(lambda x: x, (x,), (t,))[1].dtype == np.float32
    assert mg.vjp(lambda x: x, x)[1](t)[0].dtype == np.float32
    wide = np.arange(1.0, 7.0).reshape(3, 2)
    assert mg.jacobian(lambda x: x @ wide.T[:, :1])(x).dtype == np.float32  # by rows
    assert mg.jacobian(lambda x: wide @ x)(x).dtype == np.float32  # by columns
    assert mg.vjp(lambda x: wide @ x, x)[1](np.ones(3))[0].dtype == np.float32


def test_integers_and_booleans_are_converted() -> None:
    assert mg.grad(lambda x: x**2)(3) == 6
    assert mg.grad(lambda x: (x**2).sum())(np.array([1, 2])).tolist() == [2, 4]
    assert mg.jvp(lambda x: x**2, (3,), (1,))[1] == 6


def test_auxiliary_data_are_handed_out_without_the_inner_graph() -> None:
    def f(x: Any) -> Any:
        return x * x, {"twice": 2 * x, "name": "f"}

    (value, aux), slope = mg.value_and_grad(f, has_aux=True)(3.0)
    assert (value.item(), slope, aux["twice"].item(), aux["name"]) == (9, 6, 6, "f")
    assert not aux["twice"].requires_grad
    slope, aux = mg.grad(f, has_aux=True)(leaf(3.0))
    assert (slope.item(), aux["twice"].requires_grad) == (6, True)


def test_keywords_are_passed_on_and_places_may_count_from_the_end() -> None:
    def f(x: Any, y: Any, *, power: int) -> Any:
        return x * y**power

    assert mg.grad(f, -1)(2.0, 3.0, power=2) == 12
    assert mg.hessian(f, (1, 0))(2.0, 3.0, power=2) == ((4, 6), (6, 0))
    assert mg.grad(f, np.int64(1))(2.0, 3.0, power=2) == 12
