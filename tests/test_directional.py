"""True derivatives through kinks: along a direction, and gradients that are limits of gradients."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.directional import SPREAD
from microgrid.errors import GraphError, ShapeError

TINY = Fraction(1, 10**30)  # a step that passes no other kink: their data are small fractions


def fractions(array: Any) -> np.ndarray:
    return np.frompyfunc(Fraction, 1, 1)(np.asarray(array)).astype(object)


def random_net(rng: np.random.Generator) -> tuple[Callable[[Any], Any], np.ndarray]:
    """Return a net of kinked layers with weights that are small integers, and an input of it."""
    width = int(rng.integers(2, 6))
    layers = []
    for _ in range(int(rng.integers(1, 5))):
        weight = rng.integers(-2, 3, (width, width))
        bias = rng.integers(-1, 2, width)
        layers.append((weight, bias, str(rng.choice(list(KINKED)))))
    loss = str(rng.choice(["sum", "l1", "hinge", "max"]))

    def net(x: Any) -> Any:
        for weight, bias, name in layers:
            x = KINKED[name](
                mg.affine(x, *(fractions(a) if exact(x) else a * 1.0 for a in (weight, bias)))
            )
        return LOSSES[loss](x)

    return net, rng.integers(-1, 2, (1, width))


def exact(x: Any) -> bool:
    return bool(x.dtype == object)


def at(x: Any, number: str) -> Any:
    """Return a number that keeps x exact."""
    return Fraction(number) if exact(x) else float(Fraction(number))


KINKED: dict[str, Callable[[Any], Any]] = {
    "relu": mg.relu,
    "leaky": lambda x: mg.leaky_relu(x, 0.25),
    "abs": mg.absolute,
    "clip": lambda x: mg.clip(x, -1, 1),
    "relu6": mg.relu6,
    "shrink": mg.softshrink,
    "bent": lambda x: mg.piecewise_linear(x, [-1, 0, 2], [2, -1, 0.5, 1]),
    "maximum": lambda x: mg.maximum(x, mg.flip(x, -1)),
    "minimum": lambda x: mg.minimum(x, -x),
    "where": lambda x: mg.where(x > 0, x, x * -2),
    "mask": lambda x: x * (x >= 0),
    "sorted": lambda x: mg.concatenate(
        [mg.max(x, axis=-1, keepdims=True), mg.min(x, axis=-1, keepdims=True), x[:, 2:]], axis=-1
    ),
    "both": lambda x: mg.relu(x) - mg.relu(-x),
}
LOSSES: dict[str, Callable[[Any], Any]] = {
    "sum": mg.sum,
    "l1": lambda x: mg.sum(mg.absolute(x - 1)),
    "hinge": lambda x: mg.sum(mg.relu(1 - x)),
    "max": mg.max,
}


@pytest.mark.parametrize("seed", range(400))
def test_slopes_through_nets_with_ties_are_those_a_tiny_step_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, x = random_net(rng)
    v = rng.integers(-2, 3, x.shape)
    start, direction = fractions(x), fractions(v)
    here, there = (net(mg.tensor(p)).item() for p in (start, start + TINY * direction))
    slope = (there - here) / TINY
    assert mg.directional_derivative(net, start, direction) == slope
    assert mg.directional_derivative(net, x * 1.0, v * 1.0) == slope  # dyadic floats are exact too
    gradient = mg.grad(net, toward=direction)(start)
    assert np.sum(gradient * direction) == slope
    np.testing.assert_array_equal(mg.grad(net, toward=v * 1.0)(x * 1.0), gradient.astype(float))


@pytest.mark.parametrize("seed", range(400))
def test_the_gradient_toward_a_direction_is_one_that_the_net_has_nearby(seed: int) -> None:
    """Next to x, off the direction by far less still, all is smooth and the gradient the same."""
    rng = np.random.default_rng(seed)
    net, x = random_net(rng)
    v = fractions(rng.integers(-2, 3, x.shape))
    gradient = mg.grad(net, toward=v)(fractions(x))
    tie_breaker = np.random.default_rng(0)
    aside = tie_breaker.integers(1, SPREAD, x.shape) * tie_breaker.choice([-1, 1], x.shape)
    near = fractions(x) + TINY * v + TINY**2 * fractions(aside)
    np.testing.assert_array_equal(mg.grad(net)(near), gradient)


@pytest.mark.parametrize(
    ("f", "slopes"),
    [
        (lambda x: mg.relu(x) - mg.relu(-x), (1, 1)),
        (lambda x: mg.absolute(x) + x - 2 * mg.relu(x), (0, 0)),
        (mg.relu, (1, 0)),
        (mg.absolute, (1, -1)),
        (lambda x: mg.leaky_relu(x, 0.25), (1, 0.25)),
        (lambda x: mg.maximum(x, 0.0), (1, 0)),
        (lambda x: mg.elu(x, alpha=2.0), (1, 2)),
        (lambda x: mg.prelu(x, 0.25), (1, 0.25)),
        (lambda x: mg.hardswish(x - 3.0), (-0.5, 0)),
        (lambda x: mg.hardswish(x + 3.0), (1, 1.5)),
        (lambda x: mg.norm(mg.stack([3 * x, 4 * x])), (5, -5)),
        (lambda x: mg.std(mg.stack([x, -x])), (1, -1)),
        (lambda x: mg.where(x > 0, 3 * x, 5 * x), (3, 5)),
        (lambda x: x * (x >= 0), (1, 0)),
        (lambda x: mg.softsign(x) * (x != 0), (1, 1)),
        (lambda x: mg.max(mg.stack([x, 2 * x, x * x])), (2, 0)),
        (lambda x: mg.getitem(mg.stack([x, 3 * x]), mg.argmax(mg.stack([x, 3 * x]))), (3, 1)),
        (lambda x: mg.hinge_loss(x + 1.0, 1.0), (0, -1)),
        (lambda x: mg.l1_loss(x + 2.0, 2.0), (1, -1)),
        (lambda x: mg.sin(mg.relu(mg.tanh(x))), (1, 0)),
    ],
)
def test_slopes_at_zero_to_the_right_and_to_the_left(f: Any, slopes: tuple[float, float]) -> None:
    right, left = slopes
    zero = np.array(0.0)
    assert mg.directional_derivative(f, zero, 1.0) == right
    assert mg.directional_derivative(f, zero, -1.0) == -left
    assert mg.grad(f, toward=1.0)(zero) == right
    assert mg.grad(f, toward=-1.0)(zero) == left


def test_the_norm_grows_by_the_length_of_the_direction() -> None:
    assert mg.directional_derivative(mg.norm, np.zeros(2), np.array([3.0, -4.0])) == 5
    gradient = mg.grad(mg.norm, toward=np.array([3.0, -4.0]))(np.zeros(2))
    np.testing.assert_array_equal(gradient, [0.6, -0.8])


def test_of_those_that_tie_in_max_the_fastest_leads() -> None:
    x = np.array([3.0, 3.0, 1.0])
    assert mg.directional_derivative(mg.max, x, np.array([1.0, 2.0, 9.0])) == 2
    assert mg.directional_derivative(mg.min, x[:2], np.array([1.0, 2.0])) == 1
    np.testing.assert_array_equal(mg.grad(mg.max, toward=np.array([1.0, 2.0, 9.0]))(x), [0, 1, 0])


def test_where_the_direction_leaves_a_tie_the_gradient_is_of_one_side() -> None:
    def f(x: Any) -> Any:
        return (mg.relu(x) - mg.relu(-x)).sum()  # the sum of x

    np.testing.assert_array_equal(mg.grad(f, toward=np.zeros(3))(np.zeros(3)), [1, 1, 1])


def test_at_smooth_points_it_is_the_gradient() -> None:
    x = np.array([0.5, -2.0])
    f = lambda x: (mg.tanh(x) * mg.exp(x)).sum()  # noqa: E731
    np.testing.assert_array_equal(mg.grad(f, toward=np.ones(2))(x), mg.grad(f)(x))
    slope = mg.directional_derivative(f, x, np.array([1.0, 3.0]))
    # Two orders of the same few products: within some units in the last place.
    np.testing.assert_allclose(slope, mg.grad(f)(x) @ [1.0, 3.0], rtol=1e-14)


def test_the_slope_at_an_infinite_one_is_infinite() -> None:
    assert mg.directional_derivative(mg.sqrt, 0.0, 1.0) == np.inf


def test_arguments_may_be_nested_and_modules() -> None:
    model = mg.nn.MLP([2, 3, 1], rng=0)
    for p in model.parameters():
        mg.assign(p, np.zeros(p.shape))
    ones = {name: np.ones(p.shape) for name, p in model.named_parameters()}
    x = mg.ones((4, 2))
    slope = mg.directional_derivative(lambda m: m(x).sum(), model, ones)
    assert isinstance(slope, mg.Tensor)
    assert slope.item() == 4  # the hidden layer is 0, so only the last bias moves the result
    found = mg.grad(lambda m: m(x).sum(), toward=ones)(model)
    assert set(found) == set(ones)
    np.testing.assert_array_equal(found["2.bias" if "2.bias" in found else "1.bias"].data, [4])
    pair = mg.directional_derivative(lambda p: {"y": p[0] * p[1]}, [2.0, 3.0], [1.0, 1.0])
    assert pair == {"y": 5.0}


def test_several_arguments_take_a_tuple_of_directions() -> None:
    f = lambda a, b: mg.maximum(a, b)  # noqa: E731
    assert mg.grad(f, argnums=(0, 1), toward=(1.0, 2.0))(3.0, 3.0) == (0.0, 1.0)
    assert mg.grad(f, argnums=1, toward=-1.0)(3.0, mg.tensor(3.0)).item() == 0


def test_float32_stays_float32_and_halves_stay_halves() -> None:
    for dtype in (np.float32, np.float16):
        x = np.zeros(3, dtype)
        slope = mg.directional_derivative(mg.relu, x, np.ones(3, dtype))
        gradient = mg.grad(lambda x: mg.relu(x).sum(), toward=np.ones(3))(x)
        assert slope.dtype == gradient.dtype == dtype
        np.testing.assert_array_equal(gradient, [1, 1, 1])


def test_nothing_is_left_behind() -> None:
    from microgrid.recording import watchers

    x = mg.tensor([0.0, 1.0], requires_grad=True)
    mg.grad(lambda x: mg.relu(x).sum(), toward=np.ones(2))(x)
    with pytest.raises(ZeroDivisionError):
        mg.directional_derivative(lambda x: 1 // 0, 0.0, 1.0)
    assert x.grad is None
    assert not watchers


def test_a_deep_chain_needs_no_stack() -> None:
    def chain(x: Any) -> Any:
        for _ in range(5000):
            x = mg.relu(x)
        return x

    assert mg.directional_derivative(chain, 0.0, 1.0) == 1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"^directional_derivative: v has shape \(3,\) and x \(2,\)"
    ):
        mg.directional_derivative(mg.relu, np.zeros(2), np.zeros(3))
    with pytest.raises(ShapeError, match=r"^grad: toward"):
        mg.grad(mg.sum, toward=np.zeros(3))(np.zeros(2))
    with pytest.raises(GraphError, match=r"^directional_derivative: the function returned a float"):
        mg.directional_derivative(lambda x: 1.0, 0.0, 1.0)
