"""Bugs once found at the edge of an op's domain, so that they stay away."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import microgrid as mg


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_softmax_family_takes_an_infinity_without_dimensions(value: float) -> None:
    # NumPy returns a scalar for x - max(x) then, into which nothing can be written.
    x = mg.tensor(value, requires_grad=True)
    y = mg.logsumexp(x)
    y.backward()
    assert (y.item(), x.grad) == (value, 1.0)
    assert mg.softmax(np.array(value), axis=()) == 1.0
    assert mg.log_softmax(np.array(value), axis=()) == 0.0


@pytest.mark.parametrize("op", [mg.sign, lambda x: mg.prelu(x, 0.25)])
def test_slope_that_is_nan_is_a_constant(op: Callable[[Any], Any]) -> None:
    # It was taken from x, as if the slope grew with x.
    x = mg.tensor([math.nan, -2.0], requires_grad=True)
    slope = mg.gradients(op(x).sum(), x, create_graph=True)
    assert math.isnan(slope.data[0])
    assert not slope.requires_grad or (mg.gradients(slope.sum(), x).data == 0).all()


def test_what_a_kernel_cannot_compute_with_is_named():
    with pytest.raises(mg.errors.DtypeError, match=r"^add: data of dtype <U1 was given; it needs"):
        mg.add(np.array(["a"]), np.ones(1))
    with pytest.raises(
        mg.errors.DtypeError,
        match=r"^exp: an array of objects was given, and there is no exp of those; it needs",
    ):
        mg.exp(mg.tensor([Fraction(1, 2)]))


def test_assign_refuses_what_it_cannot_write():
    with pytest.raises(
        TypeError, match=r"^assign: a str was given; only a Tensor can be written to"
    ):
        mg.assign("t", 1)
    integers = mg.tensor([1, 2])
    with pytest.raises(mg.errors.DtypeError, match=r"^assign: a value of dtype float64 was given"):
        mg.assign(integers, [1.5, 2.5])
    assert integers.tolist() == [1, 2]


def test_a_gradient_of_a_constant_is_zero():
    assert mg.grad(mg.grad(lambda x: 3 * x))(2.0) == 0
    assert mg.grad(mg.grad(mg.grad(lambda x: x * x)))(2.0) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda x, p: mg.leaky_relu(x, p),
        lambda x, p: mg.elu(x, p),
        lambda x, p: mg.softshrink(x, p),
        lambda x, p: mg.hardtanh(x, -1, p),
        lambda x, p: mg.pad(x, 1, p),
    ],
)
def test_a_tensor_as_a_parameter_is_refused_since_it_would_get_no_gradient(call):
    x, p = mg.tensor([-2.0], requires_grad=True), mg.tensor(0.5, requires_grad=True)
    with pytest.raises(TypeError, match=r"^\w+: a Tensor was given as \w+, which is a number that"):
        call(x, p)
    with pytest.raises(TypeError, match=r"^piecewise_linear: a Tensor was given as knots, slopes"):
        mg.piecewise_linear(x, [0], [p, p])


def test_out_and_unknown_parameters_are_refused_by_name():
    x = mg.tensor([1.0])
    with pytest.raises(TypeError, match=r"^exp: out was given; an op returns memory of its own\."):
        mg.exp(x, out=np.zeros(1))
    with pytest.raises(TypeError, match=r"^relu: got an unexpected keyword argument 'inplace'"):
        mg.relu(x, inplace=True)


def test_a_list_of_axes_changed_after_the_forward_changes_no_gradient():
    x, source = mg.tensor(np.arange(8.0).reshape(2, 2, 2), requires_grad=True), [0, 1]
    y = (mg.moveaxis(x, source, [1, 2]) * np.arange(8.0).reshape(2, 2, 2)).sum()
    source[:] = [2, 0]
    y.backward()
    assert x.grad.ravel().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_fractions_stay_fractions_through_a_division_and_a_mean_square():
    x = mg.tensor([Fraction(1, 2)], requires_grad=True)
    (x / 3).sum().backward()
    assert x.grad.tolist() == [Fraction(1, 3)]
    a = mg.tensor([Fraction(1, 2), Fraction(1, 3)], requires_grad=True)
    mg.mse_loss(a, mg.tensor([Fraction(0), Fraction(0)])).backward()
    assert a.grad.tolist() == [Fraction(1, 2), Fraction(1, 3)]
    assert all(isinstance(value, Fraction) for value in [*x.grad, *a.grad])


def test_sigmoid_of_halves_keeps_its_left_tail():
    y = mg.sigmoid(np.float16([-12, -11.2]))
    np.testing.assert_allclose(y, [6.144e-06, 1.367e-05], rtol=5e-3)  # subnormal in float16
    assert 0 < mg.sigmoid(-720.0) < 1e-300


def test_a_nan_as_the_other_operand_makes_a_maximum_nan():
    assert np.isnan(mg.maximum(mg.tensor([1.0]), float("nan")).item())
    assert np.isnan(mg.minimum(float("nan"), mg.tensor([1.0])).item())


@pytest.mark.parametrize("name", ["flip", "squeeze", "copy", "swapaxes", "moveaxis"])
def test_a_foreign_byte_order_leaves_native(name):
    args = {"swapaxes": (0, 1), "moveaxis": (0, 1)}.get(name, ())
    y = getattr(mg, name)(np.ones((2, 2), ">f8"), *args)
    assert y.dtype.isnative


def test_an_update_in_place_under_no_grad_reaches_the_leaf():
    w = same = mg.tensor([1.0, 2.0], requires_grad=True)
    with mg.no_grad():
        w -= 0.5
        w *= 2
    assert w is same
    assert w.tolist() == [1.0, 3.0]
    w += 1  # while recording, the name is bound to a result
    assert w is not same
    assert same.tolist() == [1.0, 3.0]


def test_the_values_of_a_result_cannot_be_written_to():
    x = mg.tensor([1.0], requires_grad=True)
    y = x.exp()
    with pytest.raises(ValueError, match="read-only"):
        y.data -= 1
    y.sum().backward()
    assert x.grad.tolist() == [np.exp(1.0)]


def test_a_grad_of_another_shape_is_refused():
    x = mg.tensor([1.0], requires_grad=True)
    x.grad = np.ones(3)
    with pytest.raises(mg.errors.ShapeError, match=r"^backward: \.grad of a leaf has shape \(3,\)"):
        (x * x).backward()


def test_a_rule_of_the_wrong_shape_is_named():
    double = {"doc": "Twice x.", "kernel": lambda x, out=None: np.multiply(2, x, out=out)}
    wrong = mg.Op(name="wrong", vjps=(lambda g, y, x: None,), domains=(mg.Domain(),), **double)
    try:
        x = mg.tensor([1.0, 2.0], requires_grad=True)
        with pytest.raises(
            mg.errors.ShapeError, match=r"^backward: the rule of wrong gave a gradient"
        ):
            wrong(x).sum().backward()
        with pytest.raises(TypeError, match=r"^Op wrong: vjps is a function; it needs a tuple"):
            mg.Op(name="wrong", vjps=lambda g, y, x: g, domains=(mg.Domain(),), **double)
        with pytest.raises(ValueError, match=r"^Op wrong: signature 'nonsense' was given;"):
            mg.Op(
                name="wrong",
                vjps=(lambda g, y, x: g,),
                domains=(mg.Domain(),),
                signature="nonsense",
                **double,
            )
    finally:
        del mg.OPS["wrong"]


def test_a_kernel_that_returns_its_input_gives_a_result_with_memory_of_its_own():
    reverse = mg.Op(
        name="reverse",
        doc="x, with its gradient reversed.",
        kernel=lambda x, out=None: x,
        vjps=(lambda g, y, x: -g,),
        domains=(mg.Domain(),),
    )
    try:
        x = mg.tensor([1.0], requires_grad=True)
        assert not np.shares_memory(reverse(x).data, x.data)
    finally:
        del mg.OPS["reverse"]


def test_every_public_op_is_a_name_of_microgrid():
    assert set(mg.ops.PUBLIC) <= set(dir(mg))
