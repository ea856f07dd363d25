"""Errors, interruptions, threads and other compiled steps: nothing is left half done."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from compiled import Twins, World, X, Y, bits, check_live, check_same, trained, usual

import microgrid as mg
from microgrid import nn

LOSSES: dict[str, tuple[Any, Any, Any]] = {  # each with good targets, and those it refuses
    "cross entropy": (mg.cross_entropy, np.array([0, 2, 1]), np.array([0, 3, 1])),
    "negative labels": (mg.cross_entropy, np.array([0, 2, 1]), np.array([0, -1, 1])),
    "small labels": (mg.cross_entropy, np.array([0, 2, 1], "i1"), np.array([0, 5, 1], "i1")),
    "shares": (mg.cross_entropy, np.eye(3), np.eye(3) * 2),
    "nll": (
        lambda p, t: mg.nll_loss(mg.log_softmax(p, axis=-1), t),
        np.array([0, 2, 1]), np.array([0, 3, 1]),
    ),
    "binary": (mg.binary_cross_entropy_with_logits, np.eye(3), np.eye(3) * 1.5),
    "hinge": (mg.hinge_loss, np.eye(3) * 2 - 1, np.eye(3)),
    "squared hinge": (mg.squared_hinge_loss, np.eye(3) * 2 - 1, np.eye(3)),
    "poisson": (mg.poisson_nll_loss, np.eye(3), -np.eye(3)),
    "kl div": (mg.kl_div_loss, np.eye(3), np.eye(3) * 2),
    "one hot": (
        lambda p, t: mg.mse_loss(p, mg.one_hot(t, 3)), np.array([0, 2, 1]), np.array([0, 3, 1]),
    ),
    "take": (lambda p, t: mg.take(p, t, axis=1).sum(), np.array([0, 2]), np.array([0, 3])),
}  # fmt: skip


def classifying(loss: Any) -> Any:
    """Return a builder of a training step."""

    def build() -> Any:
        model = nn.MLP([2, 4, 3], "tanh", rng=0, dtype=np.float64)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            value = loss(model(x), y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            return value

        return step, lambda: [
            [[p.data, p.grad] for p in model.parameters()],
            optimizer.state_dict(),
        ]

    return build


def error_of(step: Any, *args: Any) -> tuple[type, str]:
    """Return what is raised: its type and message."""
    try:
        step(*args)
    except Exception as error:
        return type(error), str(error)
    return type(None), ""


@pytest.mark.parametrize("good_calls", [0, 1, 3])
@pytest.mark.parametrize(("loss", "good", "bad"), LOSSES.values(), ids=list(LOSSES))
def test_a_bad_batch_raises_as_in_eager_code_and_changes_nothing(
    loss: Any, good: Any, bad: Any, good_calls: int
) -> None:
    twins = Twins(classifying(loss))
    x = X.astype(np.float64)
    for i in range(good_calls):
        twins.call(x + i, good)
    expected = error_of(twins.eager, x, bad)
    assert expected[0] is not type(None)
    assert error_of(twins.compiled, x, bad) == expected
    twins.check_seen()
    for i in range(3):
        twins.call(x - i, good)
        assert error_of(twins.compiled, x, bad) == expected
    assert twins.compiled.traces <= 2


def test_a_bad_shape_raises_as_in_eager_code() -> None:
    twins = Twins(classifying(mg.cross_entropy))
    x, y = X.astype(np.float64), np.array([0, 2, 1])
    twins.call(x, y)
    for args in [(x[:2], y), (x[:, :1], y), (x, y[:, None]), (x, y * 1.0)]:
        assert error_of(twins.compiled, *args) == error_of(twins.eager, *args)
        twins.check_seen()
    twins.call(x, y)


def test_gradients_after_an_error_are_those_of_eager_code() -> None:
    def build() -> Any:
        model = nn.Dense(2, 3, rng=0, dtype=np.float64)

        def step(x: Any, y: Any) -> Any:
            model.zero_grad()
            loss = mg.cross_entropy(model(x), y)
            loss.backward()
            return loss

        return step, lambda: [[p.data, p.grad] for p in model.parameters()]

    twins = Twins(build)
    x = X.astype(np.float64)
    for _ in range(3):
        twins.call(x, np.array([0, 2, 1]))
    for step in (twins.eager, twins.compiled):
        with pytest.raises(ValueError, match="labels from 0 to 3"):
            step(x, np.array([0, 3, 1]))
    twins.check_seen()  # zero_grad() came first


class Interrupt(BaseException):
    """As KeyboardInterrupt is: no Exception."""


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, Interrupt, GeneratorExit])
@pytest.mark.parametrize("place", ["before", "forward", "backward", "after"])
def test_an_exception_in_a_trace_leaves_nothing_behind(kind: Any, place: str) -> None:
    world = World()
    trained(world)
    stops = ["", place, ""]

    def check(here: str) -> None:
        if stops and here == stops[0]:
            raise kind("stop")

    def step(x: Any, y: Any) -> Any:
        check("before")
        loss = mg.mse_loss(world.model(x), y)
        check("forward")
        world.optimizer.zero_grad()
        loss.backward()
        check("backward")
        world.optimizer.step()
        check("after")
        return loss

    compiled = mg.compile(step)
    stops.insert(0, place)
    with pytest.raises(kind, match="stop"):
        compiled(X, Y)
    assert compiled.traces == 0
    assert mg.tensor(2.0).item() == 2.0  # nobody watches any more
    assert float(mg.mse_loss(world.model(X), Y).data) > 0
    stops.clear()
    twin = World()
    trained(twin)
    twin.model.load_state_dict(world.model.state_dict())
    for _ in range(4):
        check_same(compiled(X, Y), usual(twin, X, Y))


def test_an_error_in_an_op_of_the_users_own_is_raised_by_replays_too() -> None:
    def kernel(x: Any, out: Any = None) -> Any:
        if x.sum() > 10:
            raise ArithmeticError("too large")
        return np.multiply(x, 2, out=out)

    op = mg.Op(name="careful", doc="2 * x, of small x.", kernel=kernel,
               vjps=(lambda g, y, x: 2 * g,), domains=(mg.Domain(),))  # fmt: skip
    try:
        step = mg.compile(lambda x: op(x))
        for _ in range(3):
            check_same(step(mg.tensor(X)), X * 2)
            with pytest.raises(ArithmeticError, match="too large"):
                step(mg.tensor(X + 10))
    finally:
        del mg.OPS["careful"]


# --- steps in steps ------------------------------------------------------------------------------


def test_a_compiled_step_may_call_another() -> None:
    def build(w: World) -> Any:
        step = trained(w)
        w.inner = mg.compile(w.model)
        return lambda x, y: (w.inner(x), step(x, y), w.inner(x * 2))

    check_live(build, args=(X, Y), before=4)


def test_a_compiled_step_in_a_compiled_step_is_live() -> None:
    def build(w: World) -> Any:
        w.scale = 2.0
        inner = mg.compile(lambda x: x * w.scale)
        return mg.compile(lambda x: inner(x) + 1)

    assert check_live(build, lambda w: setattr(w, "scale", 3.0), args=(mg.tensor(X),)) is None


def test_recursion_is_traced() -> None:
    @mg.compile
    def power(x: Any, n: int) -> Any:
        return x if n == 0 else x * power(x, n - 1)

    for _ in range(3):
        check_same(power(mg.tensor(X), 3), X * (X * (X * X)))
        check_same(power(mg.tensor(X), 0), X)


def test_under_no_grad_a_step_is_another_program() -> None:
    p = mg.tensor(X, requires_grad=True)
    step = mg.compile(lambda: mg.ones(1) * float((p * 2).requires_grad))
    for _ in range(2):
        assert step().tolist() == [1.0]
        with mg.no_grad():
            assert step().tolist() == [0.0]


class Trainer:
    """What has compiled methods."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    @mg.compile
    def step(self, x: Any) -> Any:
        return x * self.scale


class Louder(Trainer):
    """One that builds on the method it overrides."""

    @mg.compile
    def step(self, x: Any) -> Any:
        return super().step(x) * 10


def test_a_compiled_method_belongs_to_its_object() -> None:
    one, other = Trainer(2.0), Trainer(3.0)
    for _ in range(3):
        check_same([one.step(X), other.step(X)], [X * 2.0, X * 3.0])
        one.scale = 4.0
        check_same(one.step(X), X * 4.0)
        one.scale = 2.0
    assert one.step is not other.step
    check_same(Trainer.step(one, X), X * 2.0)


def test_a_compiled_method_may_call_the_one_it_overrides() -> None:
    trainer = Louder(2.0)
    for _ in range(3):
        check_same(trainer.step(X), X * 2.0 * 10)


class Net(nn.Module):
    """A model with a compiled method."""

    def __init__(self) -> None:
        self.layer = nn.Dense(2, 1, rng=0)

    def forward(self, x: Any) -> Any:
        return self.layer(x)

    @mg.compile
    def predict(self, x: Any) -> Any:
        return self.forward(x).detach()


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_model_with_a_compiled_method_can_be_copied(twin_of: Any) -> None:
    model = Net()
    expected = bits(model.predict(X))
    twin = twin_of(model)
    assert bits(twin.predict(X)) == expected
    twin.layer.weight.data = twin.layer.weight.data * 2
    assert bits(model.predict(X)) == expected
    check_same(twin.predict(X), twin(X))
    assert list(model.state_dict()) == ["layer.weight", "layer.bias"]


# --- threads -------------------------------------------------------------------------------------


def test_two_threads_may_call_one_step() -> None:
    weight = mg.tensor(np.eye(4) * 2)
    step = mg.compile(lambda x: mg.tanh(x @ weight) @ weight)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for i in range(60):
            x = rng.normal(size=(3 + (i + seed) % 3, 4))
            expected = np.tanh(x @ weight._data) @ weight._data
            if bits(step(x)) != bits(expected):
                wrong.append(x)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert step.traces == 3


def test_threads_may_trace_at_the_same_time() -> None:
    results: dict[int, Any] = {}
    together = threading.Barrier(4)

    def work(i: int) -> None:
        def step(x: Any) -> Any:
            together.wait(timeout=20)  # all are in their traces
            return mg.exp(x * 2) + i

        results[i] = mg.compile(step)(X / 10)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for i, result in results.items():
        check_same(result, np.exp(X / 10 * 2) + i)


def test_two_threads_may_train_one_model() -> None:
    world, twin = World(), World()
    step, eager = mg.compile(trained(world)), trained(twin)
    threads = [threading.Thread(target=lambda: [step(X, Y) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(100):
        eager(X, Y)
    check_same(world.model.state_dict(), twin.model.state_dict())
