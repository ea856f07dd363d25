"""Flatten, Identity and Lambda."""

import copy
import pickle
import re

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn
from microgrid.errors import ShapeError

X = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("start", "shape"), [(0, (24,)), (1, (2, 12)), (2, (2, 3, 4)), (3, (2, 3, 4, 1)), (-2, (2, 12))]
)
def test_flatten_joins_the_axes_from_start_on(start, shape):
    y = nn.Flatten(start)(mg.tensor(X))
    assert np.array_equal(y.data, X.reshape(shape))


@pytest.mark.parametrize(
    ("given", "flat"), [((0, 3, 4), (0, 12)), ((5, 0, 2), (5, 0)), ((3,), (3, 1))]
)
def test_flatten_of_nothing_and_of_one_axis(given, flat):
    assert nn.Flatten()(np.zeros(given)).shape == flat


def test_the_gradient_of_flatten_has_the_shape_of_the_input():
    x = mg.tensor(X, requires_grad=True)
    (nn.Flatten()(x) * np.arange(24.0).reshape(2, 12)).sum().backward()
    assert np.array_equal(x.grad, X)


@pytest.mark.parametrize(("start", "shape", "axes"), [(1, (), 1), (3, (2, 2), 3), (-3, (2, 2), 3)])
def test_flatten_needs_the_axes_that_it_keeps(start, shape, axes):
    message = (
        f"Flatten: an input of shape {shape} was given; it needs at least {axes} axes for "
        f"start={start}. Reshape it, or change start."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        nn.Flatten(start)(np.zeros(shape))


def test_the_start_of_flatten_is_an_integer():
    with pytest.raises(TypeError, match=r"^Flatten: start=1.5 was given; it must be an integer.$"):
        nn.Flatten(1.5)


def test_identity_returns_the_very_thing():
    x = mg.tensor([1.0])
    assert nn.Identity()(x) is x


def test_lambda_calls_the_function_and_shows_its_name():
    layer = nn.Lambda(mg.square)
    x = mg.tensor([3.0], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [6.0]
    assert repr(layer) == "Lambda(square)"
    assert nn.Lambda(lambda a, b: a + b)(1, 2) == 3


def test_what_cannot_be_called_is_no_lambda():
    message = "Lambda: a value of type int was given; it needs a function of a Tensor."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        nn.Lambda(3)
    message = "Lambda: the function given is the class ReLU; it needs a layer. Make one: ReLU(...)."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        nn.Lambda(nn.ReLU)


def test_parameters_of_a_layer_in_a_lambda_are_found():
    assert [name for name, _ in nn.Lambda(nn.PReLU()).named_parameters()] == ["function.slope"]


def test_layers_can_be_copied_and_shown():
    for layer in (nn.Flatten(2), nn.Flatten(), nn.Identity(), nn.Lambda(mg.square)):
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert np.array_equal(twin(X), layer(X))
            assert repr(twin) == repr(layer)
    assert repr(nn.Flatten(2)) == "Flatten(start=2)"
    assert repr(nn.Flatten()) == "Flatten()"


def test_compiled_they_do_what_they_do_eagerly():
    model = nn.Sequential(
        nn.Identity(), nn.Flatten(), nn.Lambda(lambda x: mg.exp(-x)), nn.Dense(12, 2, rng=0)
    )
    predict = mg.compile(model)
    for scale in (1, 0.5):
        x = (scale * X).astype("f")
        assert np.array_equal(predict(x).data, model(x).data)
    assert predict.traces == 1
