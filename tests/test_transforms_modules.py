"""Transforms of functions of Modules, and what every transform leaves untouched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn

Function = Callable[..., Any]
X = np.random.default_rng(1).standard_normal((5, 3))


def leaf(value: Any) -> mg.Tensor:
    return mg.tensor(np.array(value, float), requires_grad=True)


# --- Modules -------------------------------------------------------------------------------------


def model(**options: Any) -> nn.Module:
    return nn.MLP([3, 4, 2], activation="tanh", rng=0, **options)


def loss(net: Any) -> Any:
    return (net(X.astype(np.float32)) ** 2).mean()


def test_gradient_of_a_module_is_that_of_backward_by_name() -> None:
    net = model()
    gradient = mg.grad(loss)(net)
    loss(net).backward()
    assert list(gradient) == [name for name, _ in net.named_parameters()]
    for name, p in net.named_parameters():
        assert gradient[name].data.tobytes() == p.grad.tobytes()
        assert gradient[name].dtype == np.float32


def test_a_module_inside_a_structure_and_as_a_dict_of_its_parameters() -> None:
    net = model()

    def scaled(p: Any) -> Any:
        return p["scale"] * loss(p["net"])

    def functional(p: Any) -> Any:
        hidden = mg.tanh(X.astype(np.float32) @ p["0.weight"] + p["0.bias"])
        return ((hidden @ p["1.weight"] + p["1.bias"]) ** 2).mean()

    inside = mg.grad(scaled)({"scale": 2.0, "net": net})
    np.testing.assert_allclose(inside["scale"], loss(net).item(), rtol=1e-6)
    plain = mg.grad(functional)(dict(net.named_parameters()))
    for name in plain:
        np.testing.assert_allclose(inside["net"][name].data, 2 * plain[name].data, rtol=1e-5)


def test_jvp_hvp_and_jacobian_of_a_module_are_those_of_its_dict() -> None:
    net = nn.Dense(3, 2, rng=0)
    tangents = {"weight": np.ones((3, 2)), "bias": np.array([1.0, -1.0])}
    x = X.astype(np.float32)

    def functional(p: Any) -> Any:
        return mg.tanh(x @ p["weight"] + p["bias"])

    parameters = dict(net.named_parameters())
    y, tangent = mg.jvp(lambda m: mg.tanh(m(x)), (net,), (tangents,))
    same_y, same = mg.jvp(functional, (parameters,), (tangents,))
    np.testing.assert_allclose(tangent.data, same.data, rtol=1e-5, atol=1e-6)  # of float32
    np.testing.assert_allclose(y.data, same_y.data, rtol=1e-5)
    jacobian = mg.jacobian(lambda m: mg.tanh(m(x)))(net)
    along = sum(
        np.tensordot(jacobian[name].data, t, t.ndim) for name, t in tangents.items()
    )  # fmt: skip
    np.testing.assert_allclose(tangent.data, along, rtol=1e-5, atol=1e-6)
    product = mg.hvp(lambda m: mg.tanh(m(x)).sum(), (net,), (tangents,))
    hessian = mg.hessian(lambda m: mg.tanh(m(x)).sum())(net)
    for name in tangents:
        expected = sum(np.tensordot(hessian[name][k].data, tangents[k], tangents[k].ndim)
                       for k in tangents)  # fmt: skip
        np.testing.assert_allclose(product[name].data, expected, rtol=1e-4, atol=1e-5)


class Tied(nn.Module):
    """x W Wᵀ."""

    def __init__(self, weight: Any) -> None:
        self.weight = nn.Parameter(np.array(weight))
        self.same = self.weight

    def forward(self, x: Any) -> Any:
        return x @ self.weight @ self.same.T


def test_a_shared_parameter_has_one_gradient_the_sum() -> None:
    W = np.array([[1.0, 2.0], [3.0, 4.0]])
    gradient = mg.grad(lambda m: m(np.ones(2)).sum())(Tied(W))
    assert list(gradient) == ["weight"]
    assert gradient["weight"].tolist() == (2 * np.ones((2, 2)) @ W).tolist()


def test_a_frozen_parameter_has_no_gradient() -> None:
    net = model()
    net[0].weight.requires_grad = False
    assert "0.weight" not in mg.grad(loss)(net)
    assert "0.bias" in mg.grad(loss)(net)


def test_what_a_module_gave_before_is_a_constant_to_f() -> None:
    """d/dm (m·c) is c, although c was computed from m; by m it changes all the same."""

    class Number(nn.Module):
        def __init__(self) -> None:
            self.value = nn.Parameter(np.array(3.0))

    def outer(m: Any) -> Any:
        c = m.value**2
        slope = mg.grad(lambda m: m.value * c)(m)["value"]
        assert slope.item() == 9
        return slope * m.value  # m³

    assert mg.grad(outer)(Number())["value"].item() == 27
    assert mg.grad(lambda m: mg.grad(outer)(m)["value"])(Number())["value"].item() == 18


def test_a_step_of_descent_can_be_differentiated_by_what_it_started_from() -> None:
    """As in meta-learning: w' = w - (w - a) / 2, and d (w' - b)² / dw = (w' - b)."""
    w, a, b = 3.0, 1.0, 5.0

    def after_a_step(w: Any) -> Any:
        w = w - mg.grad(lambda w: (w - a) ** 2)(w) / 4
        return (w - b) ** 2

    assert mg.grad(after_a_step)(w) == (w + a) / 2 - b


# --- what stays as it was ------------------------------------------------------------------------


def everything(f: Function, x: Any, t: Any) -> None:
    mg.value_and_grad(f)(x)
    mg.grad(f)(x)
    mg.jacobian(f)(x)
    mg.hessian(f)(x)
    mg.jvp(f, (x,), (t,))
    mg.vjp(f, x)[1](1.0)
    mg.hvp(f, (x,), (t,))


def test_no_grad_attribute_and_no_value_changes() -> None:
    net = nn.Dense(3, 1, rng=0)
    mine = np.ones((3, 1), np.float32)
    net.weight.grad = mine
    x, before = leaf(X[0]), net.state_dict()
    everything(lambda x: mg.tanh(net(x)).sum(), x, np.ones(3))
    everything(lambda m: mg.tanh(m(X[0])).sum(), net, before)
    assert (x.grad, net.bias.grad) == (None, None)
    assert net.weight.grad is mine
    assert mine.tolist() == [[1]] * 3
    assert all(p.requires_grad and p.is_leaf for p in net.parameters())
    for name, p in net.named_parameters():
        assert np.array_equal(p.data, before[name])


def test_an_error_inside_f_leaves_recording_and_the_module_as_they_were() -> None:
    net = model()

    def fails(*args: Any) -> Any:
        loss(net)
        raise KeyError("inside")

    with mg.no_grad():
        for transform in (mg.grad, mg.jacobian, mg.hessian):
            with pytest.raises(KeyError, match="inside"):
                transform(fails)(net)
        with pytest.raises(KeyError, match="inside"):
            mg.vjp(fails, net)
        assert not mg.is_grad_enabled()
    assert all(p.requires_grad and p.is_leaf and p.grad is None for p in net.parameters())


def test_arguments_and_results_share_no_memory() -> None:
    x, t = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    y, tangent = mg.jvp(lambda x: x, (x,), (t,))
    (cotangent,) = mg.vjp(lambda x: x, x)[1](t)
    (gradient,) = mg.vjp(lambda x: x.reshape((2, 1)), x)[1](t.reshape(2, 1))
    for found in (y.data, tangent, cotangent, gradient):
        assert not np.shares_memory(found, x)
        assert not np.shares_memory(found, t)
        found += 1  # and may be written to
    assert (x.tolist(), t.tolist()) == ([1, 2], [3, 4])


def test_threads_may_differentiate_one_model_at_the_same_time() -> None:
    net = model()
    expected = {name: g.tolist() for name, g in mg.grad(loss)(net).items()}
    results: list[Any] = []

    def work() -> None:
        for _ in range(20):
            results.append({name: g.tolist() for name, g in mg.grad(loss)(net).items()})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    assert all(result == expected for result in results)


def test_a_function_that_uses_the_transform_of_itself() -> None:
    def f(x: Any, depth: int = 3) -> Any:
        return x * x if depth == 0 else mg.grad(f)(x, depth - 1) + x**3

    # x² -> 2x + x³ -> 2 + 3x² + x³ -> 6x + 3x² + x³
    assert f(mg.tensor(2.0)).item() == 12 + 12 + 8


def test_f_may_return_a_closed_over_tensor_or_its_argument() -> None:
    p = leaf(3.0)
    assert mg.grad(lambda x: p)(2.0) == 0
    assert mg.grad(lambda x: x)(2.0) == 1
    assert mg.jvp(lambda x: x, (2.0,), (5.0,))[1] == 5
    assert mg.hessian(lambda x: x)(2.0) == 0
    y, slope = mg.value_and_grad(lambda x: x)(p)
    (y * 2).backward()
    assert (slope.item(), p.grad) == (1, 2)
