"""Random programs and networks, compiled: values and gradients are those of eager code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import Twins, check_same, laid_out_as, with_the_loops_of_new_numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid.testing.strategies import Network, NetworkCall, Program, networks, programs

CALLS = 3
seeds = st.integers(0, 2**32 - 1)


def changed(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return numbers in the range of those of the array, many of them the same."""
    if not a.size:
        return a.copy()
    new = np.where(rng.random(a.shape) < 0.5, rng.choice(a.ravel(), a.shape), a)
    low, high = float(a.min()), float(a.max())
    return laid_out_as(a, np.where(rng.random(a.shape) < 0.3, rng.uniform(low, high, a.shape), new))


def trained(program: Program) -> Callable[[], Any]:
    """Return a builder of a step that runs the program on leaves, and goes backward."""

    def build() -> Any:
        leaves = [mg.tensor(x, requires_grad=True) for x in program.inputs]

        def step(*inputs: Any) -> Any:
            for leaf, x in zip(leaves, inputs, strict=True):
                mg.assign(leaf, x)
                leaf.zero_grad()
            y = program(*leaves)
            if y.requires_grad:
                (y * y).sum().backward()
            return y

        return step, lambda: [[leaf.data, leaf.grad] for leaf in leaves]

    return build


def check_program(program: Program, seed: int, **options: Any) -> None:
    """Raise unless the compiled program gives what the program gives, in each of several calls."""
    rng = np.random.default_rng(seed)
    twins = Twins(trained(program), **options)
    twins.call(*program.inputs)
    for _ in range(CALLS - 1):
        twins.call(*(changed(x, rng) for x in program.inputs))
    assert twins.compiled.traces == 1


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(max_calls=16), seed=seeds)
def test_programs_compiled_are_programs(program: Program, seed: int) -> None:
    check_program(program, seed)


@with_the_loops_of_new_numpy
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(dtype=np.float32, max_calls=16), seed=seeds)
def test_programs_in_single_precision_compiled_are_programs(program: Program, seed: int) -> None:
    check_program(program, seed)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(dtype=object, piecewise_linear=True), seed=seeds)
def test_programs_of_fractions_compiled_are_programs(program: Program, seed: int) -> None:
    twins = Twins(trained(program))
    for _ in range(CALLS):
        twins.call(*program.inputs)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(dtype=np.float16), seed=seeds)
def test_programs_in_half_precision_compiled_are_programs(program: Program, seed: int) -> None:
    check_program(program, seed)


@pytest.mark.parametrize(
    "left_out", ["folded", "shared", "skipped", "pruned", "reuse", "flat", "inline"]
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(), seed=seeds)
def test_programs_compiled_without_a_pass_are_programs(
    left_out: str, program: Program, seed: int
) -> None:
    check_program(program, seed, without=[left_out])


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(), seed=seeds)
def test_programs_of_arguments_compiled_are_programs(program: Program, seed: int) -> None:
    rng = np.random.default_rng(seed)
    twins = Twins(lambda: (lambda *xs: program(*xs), lambda: None))
    for i in range(CALLS):
        inputs = [changed(x, rng) if i else x for x in program.inputs]
        twins.call(*map(mg.tensor, inputs))
    assert twins.compiled.traces == 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(smooth=True, scalar=True), seed=seeds)
def test_second_derivatives_of_programs_compiled_are_those_of_programs(
    program: Program, seed: int
) -> None:
    def build() -> Any:
        leaves = [mg.tensor(x, requires_grad=True) for x in program.inputs]

        def step(*inputs: Any) -> Any:
            for leaf, x in zip(leaves, inputs, strict=True):
                mg.assign(leaf, x)
            y = program(*leaves)
            first = mg.gradients(y, leaves, create_graph=True)
            total = sum(((g * g).sum() for g in first), mg.tensor(0.0))
            second = mg.gradients(total, leaves) if total.requires_grad else []
            return [y, *first, *second]

        return step, lambda: None

    rng = np.random.default_rng(seed)
    twins = Twins(build)
    for i in range(4):  # the 0.0 made in the step is looked at twice before it is believed
        twins.call(*(changed(x, rng) if i else x for x in program.inputs))


def rebuilt(model: Network) -> Network:
    """Return a copy with parameters of its own."""
    twin = Network(*((layer.weight.data, layer.bias.data, layer.activation) for layer in model))
    check_same(twin.state_dict(), model.state_dict())
    return twin


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), seed=seeds)
def test_training_of_networks_compiled_is_training(dtype: Any, data: Any, seed: int) -> None:
    drawn: NetworkCall = data.draw(networks(dtype=dtype))

    def build() -> Any:
        model = rebuilt(drawn.model)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = mg.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda: [[p.data, p.grad] for p in model.parameters()]

    rng = np.random.default_rng(seed)
    twins = Twins(build)
    target = drawn.model(drawn.x).data
    for i in range(CALLS):
        x, y = (changed(a, rng) if i else a for a in (drawn.x, target))
        twins.call(x, y)
    assert twins.compiled.traces == 1
