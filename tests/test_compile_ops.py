"""Every op, compiled: traced on one draw and replayed on another, bit for bit as eager code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import Twins, bits, redrawn, with_the_loops_of_new_numpy
from every_op import cases_for
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid.ops import PUBLIC
from microgrid.testing.strategies import OpCall, op_calls

EVERY_OP = sorted(mg.OPS)
# The last one is long enough for the loops of wide registers, with a rest.
SHAPES = [(), (3,), (2, 3), (0,), (2, 0), (2, 2, 4), (9, 33)]
every_op = pytest.mark.parametrize("name", EVERY_OP)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
seeds = st.integers(0, 2**32 - 1)


def forward_of(call: OpCall) -> Callable[[], Any]:
    """Return a builder of a step that calls the op on its arguments."""

    def build() -> Any:
        def step(*inputs: Any) -> Any:
            return call.op(*inputs, **call.params)

        return step, lambda: None

    return build


def backward_of(call: OpCall) -> Callable[[], Any]:
    """Return a builder of a step that calls the op on leaves, and goes backward.

    Its arguments are the weights of the sum, and what is written into the leaves before.
    """
    rules = call.op.rules(len(call.inputs))

    def build() -> Any:
        leaves = [
            mg.tensor(a, requires_grad=a.dtype.kind == "f" and rule is not None)
            for a, rule in zip(call.inputs, rules, strict=True)
        ]

        def step(weights: Any, *inputs: Any) -> Any:
            for leaf, x in zip(leaves, inputs, strict=True):
                mg.assign(leaf, x)
                leaf.zero_grad()
            y = call.op(*leaves, **call.params)
            (y * weights).sum().backward()
            return y

        return step, lambda: [[leaf.grad for leaf in leaves], [leaf.data for leaf in leaves]]

    return build


def other_inputs(call: OpCall, seed: int) -> list[list[np.ndarray]]:
    """Return the inputs of the call, and twice others like them: a trace and two replays."""
    others = [redrawn(call.op, call.inputs, call.params, seed + i) for i in range(2)]
    return [list(call.inputs), *others]


@every_op
@each_dtype
@settings(max_examples=6)
@given(data=st.data(), seed=seeds)
def test_value_of_a_replay_is_that_of_eager_code(
    name: str, dtype: str, data: Any, seed: int
) -> None:
    call = data.draw(op_calls(name, dtype=dtype))
    twins = Twins(forward_of(call))
    twins.call_each(other_inputs(call, seed))
    assert twins.compiled.traces == 1


def differentiates(call: OpCall) -> bool:
    """Return whether a gradient can be asked for."""
    rules = call.op.rules(len(call.inputs))
    floats = [a.dtype.kind == "f" for a in call.inputs]
    wanted = any(f and rule is not None for f, rule in zip(floats, rules, strict=True))
    return wanted and np.asarray(call.result()).dtype.kind == "f"


@pytest.mark.parametrize("name", [name for name in EVERY_OP if mg.OPS[name].has_gradient])
@each_dtype
@settings(max_examples=6)
@given(data=st.data(), seed=seeds)
def test_gradients_of_a_replay_are_those_of_eager_code(
    name: str, dtype: str, data: Any, seed: int
) -> None:
    call = data.draw(op_calls(name, dtype=dtype))
    if not differentiates(call):
        return
    result = np.asarray(call.result())
    twins = Twins(backward_of(call))
    rng = np.random.default_rng(seed)
    for inputs in other_inputs(call, seed):
        twins.call(rng.normal(size=result.shape).astype(result.dtype), *inputs)
    assert twins.compiled.traces == 1


# --- functions of several ops --------------------------------------------------------------------


def values_of(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Return positive and negative numbers, zeros of both signs, whole ones, and ties."""
    rng = np.random.default_rng([seed, *shape])
    points = rng.choice([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 6.0, -3.0], shape)
    return np.asarray(np.where(rng.random(shape) < 0.5, points, rng.normal(size=shape)), dtype)


def function_of_a_leaf(function: Callable[[Any], Any], first: np.ndarray) -> Callable[[], Any]:
    """Return a builder of a step that applies the function to a leaf, and goes backward."""

    def build() -> Any:
        leaf = mg.tensor(first, requires_grad=True)

        def step(x: Any) -> Any:
            mg.assign(leaf, x)
            leaf.zero_grad()
            y = function(leaf)
            if y.dtype.kind == "f" and y.requires_grad:
                (y * y).sum().backward()
            return y

        return step, lambda: leaf.grad

    return build


CALLS = [
    pytest.param(shape, call, id=f"{name}-{'x'.join(map(str, shape)) or 'number'}")
    for shape in SHAPES
    for name, call in cases_for(shape)
]


@each_dtype
@pytest.mark.parametrize(("shape", "function"), CALLS)
def test_functions_on_a_leaf_are_those_of_eager_code(
    shape: tuple[int, ...], function: Callable[[Any], Any], dtype: str
) -> None:
    twins = Twins(function_of_a_leaf(function, values_of(shape, dtype, 0)))
    # Arrays that the calls make themselves are compared in a second trace: so four calls.
    for seed in range(4):
        twins.call(values_of(shape, dtype, seed))
    assert twins.compiled.traces == 1


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Fortran": np.asfortranarray,
    "gaps": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}


@with_the_loops_of_new_numpy
@each_dtype
@pytest.mark.parametrize("name", sorted({name for name, _ in cases_for((9, 33))}))
def test_functions_of_arguments_in_any_layout_are_those_of_eager_code(
    name: str, dtype: str
) -> None:
    function = dict(cases_for((9, 33)))[name]
    for layout in LAYOUTS.values():
        twins = Twins(lambda: (lambda t: function(t), lambda: None))
        for seed in range(3):
            x = mg.tensor(np.zeros((9, 33), dtype))
            x._data = layout(values_of((9, 33), dtype, seed))  # mg.tensor() would copy it
            twins.call(x)


@pytest.mark.parametrize(("shape", "function"), CALLS)
def test_functions_of_an_argument_are_those_of_eager_code(
    shape: tuple[int, ...], function: Callable[[Any], Any]
) -> None:
    twins = Twins(lambda: (lambda x: function(x), lambda: None))
    for seed in range(3):
        twins.call(values_of(shape, "float32", seed))


WITHOUT_GRADIENT: dict[str, Callable[[Any], Any]] = {
    "argmax": lambda x: mg.argmax(x, axis=-1),
    "argmin": mg.argmin,
    "equal": lambda x: mg.equal(x, 1.0),
    "greater": lambda x: mg.greater(x, 0),
    "greater_equal": lambda x: mg.greater_equal(0.5, x),
    "isfinite": lambda x: mg.isfinite(1 / x),
    "less": lambda x: mg.less(x, x[..., ::-1]),
    "less_equal": lambda x: mg.less_equal(x, 1),
    "not_equal": lambda x: x != 1,
    "one_hot": lambda x: mg.one_hot((x > 0).astype(int), 2),
}


@each_dtype
@pytest.mark.parametrize("function", WITHOUT_GRADIENT.values(), ids=list(WITHOUT_GRADIENT))
def test_functions_without_a_gradient_are_those_of_eager_code(
    function: Callable[[Any], Any], dtype: str
) -> None:
    # A Tensor, since comparisons of arrays by operators are NumPy's own.
    twins = Twins(lambda: (lambda x: function(x), lambda: None))
    for seed in range(4):
        twins.call(mg.tensor(values_of((2, 4), dtype, seed)))
    assert twins.compiled.traces == 1


def test_all_public_functions_are_compared() -> None:
    compared = {name for shape in SHAPES for name, _ in cases_for(shape)}
    names = {name.rstrip("0123456789") for name in compared} | {"expm1", "log1p", "relu6"}
    assert set(PUBLIC) <= names | set(WITHOUT_GRADIENT)


# --- random draws --------------------------------------------------------------------------------


def noisy(training: bool = True) -> Any:
    """Return a step with a layer that draws, and what its generator gives next."""
    layer = mg.nn.RReLU(rng=7)
    layer.train(training)
    x = mg.tensor(-np.arange(1.0, 7.0).reshape(2, 3), requires_grad=True)

    def step(scale: Any) -> Any:
        x.zero_grad()
        y = layer(x * scale)
        y.sum().backward()
        return y

    return step, lambda: [x.grad, layer.rng.bit_generator.state["state"]["state"]]


def test_random_numbers_are_those_that_eager_code_draws() -> None:
    twins = Twins(noisy)
    for i in range(5):
        twins.call(np.array(1.0 + i))
    assert twins.compiled.traces == 1


def test_each_replay_draws_anew() -> None:
    step = mg.compile(noisy()[0])
    results = [bits(step(np.array(1.0))) for _ in range(5)]
    assert len({result[2] for result in results}) == 5


def test_outside_training_nothing_is_drawn() -> None:
    twins = Twins(lambda: noisy(training=False))
    for i in range(3):
        twins.call(np.array(1.0 + i))


def test_two_draws_of_one_generator_are_two_draws() -> None:
    def build() -> Any:
        rng = np.random.default_rng(0)
        uniform = mg.OPS["uniform_like"]

        def step(x: Any) -> Any:
            first = uniform(x, low=0.0, high=1.0, rng=rng)
            return first, uniform(x, low=0.0, high=1.0, rng=rng)

        return step, lambda: rng.bit_generator.state["state"]["state"]

    twins = Twins(build)
    for _ in range(3):
        a, b = twins.call(mg.ones((3,)))
        assert bits(a) != bits(b)


def test_a_generator_set_back_draws_the_same_again() -> None:
    rng = np.random.default_rng(0)
    start = rng.bit_generator.state
    step = mg.compile(lambda x: mg.rrelu(x, training=True, rng=rng))
    x = -np.ones(4)
    step(x)
    rng.bit_generator.state = start
    first = bits(step(x))
    rng.bit_generator.state = start
    assert bits(step(x)) == first
