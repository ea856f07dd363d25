"""Arrays that the user holds across compiled steps show what eager code shows in them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from compiled import World, X, Y, check_live, check_same, check_training, trained, usual
from test_compile_updates import never_zeroing, only_backward, zeroing_last

import microgrid as mg
from microgrid import nn

HOLDS: dict[str, Any] = {
    "data": lambda w: [p.data for p in w.model.parameters()],
    "views": lambda w: [p.data[:1] for p in w.model.parameters()],
    "transposed": lambda w: [p.data.T for p in w.model.parameters()],
    "flat": lambda w: [p.data.reshape(-1) for p in w.model.parameters()],
    "views of views": lambda w: [p.data.T[:1].T for p in w.model.parameters()],
    "data of one": lambda w: [w.model[1].weight.data],
    "memory": lambda w: [memoryview(w.model[0].weight.data)],
    "gradients": lambda w: [p.grad for p in w.model.parameters()],
    "views of gradients": lambda w: [
        None if p.grad is None else p.grad[:1] for p in w.model.parameters()
    ],
    "momentum": lambda w: [s["momentum_buffer"] for s in w.optimizer.state.values()],
    "a view of momentum": lambda w: [s["momentum_buffer"][:1] for s in w.optimizer.state.values()],
    "slots": lambda w: list(w.optimizer.state.values()),
    "state": lambda w: [w.optimizer.state[p] for p in w.optimizer.state],
}


def as_arrays(held: Any) -> Any:
    """Return memory that is held as arrays, to compare it."""
    return [np.asarray(part) if isinstance(part, memoryview) else part for part in held]


@pytest.mark.parametrize("hold", HOLDS.values(), ids=list(HOLDS))
@pytest.mark.parametrize("calls", [0, 1, 2, 3])
@pytest.mark.parametrize("step", [usual, never_zeroing, only_backward, zeroing_last])
def test_what_is_held_shows_what_eager_code_shows(step: Any, calls: int, hold: Any) -> None:
    eager, compiled = World(), World()
    step_, twin = (
        trained(eager, step, momentum=0.9),
        mg.compile(trained(compiled, step, momentum=0.9)),
    )
    for w in (eager, compiled):
        usual(w, X, Y)  # so that there is something to hold
    for _ in range(calls):
        step_(X, Y), twin(X, Y)
    first, second = hold(eager), hold(compiled)
    for _ in range(3):
        step_(X, Y), twin(X, Y)
        check_same(as_arrays(second), as_arrays(first), "held")
        check_same(compiled.seen(), eager.seen())


@pytest.mark.parametrize("hold", HOLDS.values(), ids=list(HOLDS))
def test_what_is_held_is_shown_when_another_program_moves_in(hold: Any) -> None:
    eager, compiled = World(), World()
    step, twin = trained(eager, momentum=0.9), mg.compile(trained(compiled, momentum=0.9))
    for _ in range(2):
        step(X, Y), twin(X, Y)
    first, second = hold(eager), hold(compiled)
    twin.forget()  # its memory is not known to be used by any program
    gc.collect()
    for _ in range(3):
        step(X, Y), twin(X, Y)
        check_same(as_arrays(second), as_arrays(first), "held")
    for w in (eager, compiled):
        w.optimizer = mg.optim.SGD([w.model[1].weight, w.model[0].bias], lr=0.1, momentum=0.5)
    twin.forget()
    gc.collect()
    for _ in range(3):
        step(X, Y), twin(X, Y)
        check_same(as_arrays(second), as_arrays(first), "held")
        check_same(compiled.seen(), eager.seen())


def test_writing_into_what_is_held_is_seen() -> None:
    def hold(w: World) -> None:
        w.held = [p.data for p in w.model.parameters()]

    def write(w: World) -> None:
        for array in w.held:
            array *= 0.5

    check_training(trained, hold, write, write)


def test_two_programs_share_the_parameters() -> None:
    def build(w: World) -> Any:
        step = trained(w, momentum=0.9)
        w.predict = mg.compile(w.model)
        w.both = lambda x, y: [w.predict(x), step(x, y), w.predict(x[:2])]
        return step

    eager, compiled = World(), World()
    step, twin = build(eager), mg.compile(build(compiled))
    for i in range(4):
        x = X * (i + 1)
        check_same(compiled.predict(x), eager.predict(x))
        check_same(twin(x, Y), step(x, Y))
        check_same(twin(x[:2], Y[:2]), step(x[:2], Y[:2]))
        check_same(compiled.model(x), eager.model(x))
        check_same(compiled.seen(), eager.seen())


def test_two_optimizers_in_one_step_and_in_two() -> None:
    def build(w: World) -> Any:
        trained(w)
        first, second = list(w.model[0].parameters()), list(w.model[1].parameters())
        w.optimizer = mg.optim.SGD(first, lr=0.1, momentum=0.9)
        w.other = mg.optim.SGD(second, lr=0.2, weight_decay=0.1)
        w.third = mg.optim.SGD([*first[:1], *second], lr=0.01, momentum=0.5)  # shares some

        def step(x: Any, y: Any) -> Any:
            loss = mg.mse_loss(w.model(x), y)
            w.model.zero_grad()
            loss.backward()
            w.optimizer.step()
            w.other.step()
            w.third.step()
            return loss

        return step

    assert check_live(build, lambda w: setattr(w.other, "lr", 1), args=(X, Y), before=5) is None


def test_two_compiled_steps_train_one_model_in_turn() -> None:
    worlds = [World(), World()]
    steps = []
    for w, compile_ in zip(worlds, (lambda f: f, mg.compile), strict=True):
        first = compile_(trained(w, momentum=0.9))
        w.other = mg.optim.SGD(list(w.model.parameters())[::-1], lr=0.05, momentum=0.5)

        def second(x: Any, y: Any, w: Any = w) -> Any:
            w.model.zero_grad()
            loss = mg.l1_loss(w.model(x), y)
            loss.backward()
            w.other.step()
            return loss

        steps.append((first, compile_(second)))
    for _ in range(5):
        for eager, compiled in zip(*steps, strict=True):
            check_same(compiled(X, Y), eager(X, Y))
            check_same(worlds[1].seen(), worlds[0].seen())
            check_same(worlds[1].other.state_dict(), worlds[0].other.state_dict())


@pytest.mark.parametrize("same_batch", [True, False])
def test_gradients_changed_by_numpy_inside_are_seen_or_refused(same_batch: bool) -> None:
    def halve(w: World) -> None:
        for p in w.model.parameters():
            p.grad *= np.float32(0.5)

    def rebind(w: World) -> None:
        for p in w.model.parameters():
            p.grad = p.grad * np.float32(0.5)

    def clip(w: World) -> None:
        for p in w.model.parameters():
            np.clip(p.grad, -0.01, 0.01, out=p.grad)

    def by_norm(w: World) -> None:
        norm = np.sqrt(sum((p.grad**2).sum() for p in w.model.parameters()))
        for p in w.model.parameters():
            p.grad *= np.float32(min(1.0, 0.1 / norm))

    def stop(w: World) -> None:
        if np.abs(w.model[0].weight.grad).max() > 0.2:
            w.model.zero_grad()

    def add_noise(w: World) -> None:
        w.model[0].weight.grad[0, 0] += 1

    for change in (halve, rebind, clip, by_norm, stop, add_noise):
        eager, compiled = World(), World()

        def step(w: World, x: Any, y: Any, change: Any = change) -> Any:
            w.optimizer.zero_grad()
            loss = mg.mse_loss(w.model(x), y)
            loss.backward()
            change(w)
            w.optimizer.step()
            return loss

        one, twin = trained(eager, step), mg.compile(trained(compiled, step))
        for i in range(6):
            x = X if same_batch or i < 2 else X * i
            expected = one(x, Y)
            try:
                found = twin(x, Y)
            except mg.errors.TraceError:
                break
            check_same(found, expected, change.__name__)
            check_same(compiled.seen(), eager.seen(), change.__name__)


def set_none(w: World, x: Any, y: Any) -> Any:
    for p in w.model.parameters():
        p.grad = None
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    w.optimizer.step()
    return loss


def set_none_at_the_end(w: World, x: Any, y: Any) -> Any:
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    w.optimizer.step()
    for p in w.model.parameters():
        p.grad = None
    return loss


def set_none_between(w: World, x: Any, y: Any) -> Any:
    loss, other = mg.mse_loss(w.model(x), y), mg.l1_loss(w.model(x), y)
    loss.backward()
    w.model[0].weight.grad = None
    other.backward()
    w.optimizer.step()
    w.model.zero_grad()
    return loss


def set_zeros(w: World, x: Any, y: Any) -> Any:
    for p in w.model.parameters():
        p.grad = np.zeros(p.shape, p.dtype)
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    w.optimizer.step()
    return loss


@pytest.mark.parametrize("step", [set_none, set_none_at_the_end, set_none_between, set_zeros])
def test_gradients_set_by_hand_inside_are_those_of_eager_code(step: Any) -> None:
    check_training(lambda w: trained(w, step), before=5, after=5)
    world = World()
    compiled = mg.compile(trained(world, step))
    for _ in range(20):
        compiled(X, Y)
    assert compiled.traces <= 3  # not in every call


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_compiled_step_alone_keeps_constraints_and_the_gradients_that_it_found(kind: str) -> None:
    def trained_by(compiled: bool) -> Any:
        p = nn.Parameter([1.0, -2.0])
        p.constraint = nn.constraints.NonNegative()
        optimizer = getattr(mg.optim, kind)([p], lr=0.5)
        step = mg.compile(optimizer.step) if compiled else optimizer.step
        for gradient in ([-1.0, -8.0], [4.0, 1.0], None, [-1.0, -8.0]):
            p.grad = before = None if gradient is None else np.array(gradient, p.dtype)
            step()
            assert p.grad is before
            yield p.tolist(), None if gradient is None else p.grad.tolist()

    assert list(trained_by(True)) == list(trained_by(False))


def test_a_frozen_parameter_with_a_gradient_keeps_its_constraint_in_a_compiled_step() -> None:
    def trained_by(compiled: bool) -> Any:
        model = nn.Dense(2, 1, rng=0, weight_constraint=nn.constraints.NonNegative())
        optimizer = mg.optim.SGD(model.parameters(), lr=0.5)

        def step(x: Any) -> Any:
            loss = mg.mean(model(x) ** 2)
            loss.backward()  # it adds to what there is
            optimizer.step()
            return loss

        do = mg.compile(step) if compiled else step
        for i in range(6):
            if i == 3:
                model.weight.requires_grad = False
            loss = do(X[:, :2])
            state = (model.weight.tolist(), model.weight.grad.tolist(), model.bias.grad.tolist())
            yield (loss.tolist(), *state)

    assert list(trained_by(True)) == list(trained_by(False))


def test_a_held_array_that_the_step_writes_to_elsewhere_is_read_anew() -> None:
    def build(w: World) -> Any:
        w.p = mg.tensor(X.copy())
        held = w.p.data
        return lambda x: (x * held, mg.assign(w.p, w.p * 2), x * held)[::2]

    assert check_live(build, args=(mg.tensor(X),), before=4) is None


def test_an_argument_that_the_step_writes_to_elsewhere_is_read_anew() -> None:
    p = mg.tensor(X.copy(), requires_grad=True)
    optimizer = mg.optim.SGD([p], lr=0.5)

    def step(x: Any) -> Any:
        before = mg.sum(x * 2)
        p.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
        return before, mg.sum(x * 2)

    compiled = mg.compile(step)
    for _ in range(4):
        before = p.data * 2
        first, second = compiled(p.data)
        check_same(first, before.sum())
        check_same(second, (p.data * 2).sum())


def test_shared_layers_and_parameters_are_trained_once() -> None:
    def build(w: World) -> Any:
        layer = nn.Dense(2, 2, "tanh", rng=0)
        other = nn.Dense(2, 2, rng=1)
        other.weight = layer.weight
        w.model = nn.Sequential(layer, layer, other, nn.Dense(2, 1, rng=2))
        w.optimizer = mg.optim.SGD(w.model.parameters(), lr=0.1, momentum=0.9)
        w.seen = lambda: [[p.data, p.grad] for p in w.model.parameters()]
        return lambda x, y: usual(w, x, y)

    assert check_live(build, args=(X, Y), before=5) is None


def test_a_dropped_step_frees_its_memory() -> None:
    world = World()
    step = mg.compile(trained(world))
    for _ in range(3):
        step(X, Y)
    freed = [weakref.ref(buffer.base) for buffer in step.buffers]
    model = weakref.ref(world.model)
    del step, world
    gc.collect()
    assert all(ref() is None for ref in freed)
    assert model() is None
