"""Odd parameters, optimisers and ops in compiled steps."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from compiled import World, X, Y, check_live, check_same, check_training, trained

import microgrid as mg
from microgrid import nn

PARAMETERS: dict[str, list[np.ndarray]] = {
    "0-d": [np.array(0.5), np.array(-1.0)],
    "empty": [np.zeros(0), np.ones(3), np.zeros((2, 0))],
    "one": [np.ones(1)],
    "of two dtypes": [np.ones(3, np.float32), np.full(3, 0.1)],
    "halves": [np.ones(3, np.float16), np.full((2, 3), 0.1, np.float16)],
    "in Fortran order": [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.ones((3, 2))],
    "all in Fortran order": [np.asfortranarray(np.arange(6.0).reshape(2, 3))] * 2,
    "many": [np.full(n, 0.1 * n) for n in range(1, 30)],
    "rows of one": [np.ones((1, 3)), np.ones((3, 1)), np.ones((1, 1))],
}


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"weight_decay": 0.1}], ids=str)
@pytest.mark.parametrize("arrays", PARAMETERS.values(), ids=list(PARAMETERS))
def test_parameters_of_every_kind_are_trained(arrays: Any, settings: Any) -> None:
    def build(w: World) -> Any:
        w.leaves = [mg.tensor(a, requires_grad=True) for a in arrays]
        w.optimizer = mg.optim.SGD(w.leaves, lr=0.1, **settings)
        w.seen = lambda: [[[p._data, p.grad] for p in w.leaves], w.optimizer.state_dict()]

        def step(x: Any) -> Any:
            w.optimizer.zero_grad()
            loss = sum((mg.sum(mg.tanh(p) * x * (p + 1)) for p in w.leaves), mg.zeros(()))
            loss.backward()
            w.optimizer.step()
            return loss

        return step

    change = [lambda w: mg.assign(w.leaves[0], w.leaves[0] * 2)]
    assert check_live(build, *change, args=(np.array(1.5),)) is None


class Sign(mg.optim.Optimizer):
    """An optimiser of the user's own, of which the compiler knows nothing."""

    def _step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    count = self.state.setdefault(p, {"count": np.zeros(())})["count"]
                    count += 1
                    mg.assign(p, p.data - group["lr"] * np.sign(p.grad) / (1 + count))


def test_an_optimizer_of_the_users_own_is_run() -> None:
    def build(w: World) -> Any:
        step = trained(w)
        w.optimizer = Sign(w.model.parameters(), {"lr": 0.1})
        return step

    check_live(build, lambda w: w.optimizer.param_groups[0].update(lr=0.5), args=(X, Y), before=4)


class Odd(mg.optim.SGD):
    """SGD with something more."""

    def step(self) -> None:
        super().step()
        for p in self.parameters():
            mg.assign(p, p * 0.9)


def test_a_subclass_of_sgd_does_what_it_adds() -> None:
    def build(w: World) -> Any:
        step = trained(w)
        w.optimizer = Odd(w.model.parameters(), lr=0.1, momentum=0.5)
        return step

    assert check_live(build, args=(X, Y), before=5) is None


class Slow(mg.optim.SGD):
    """SGD with an update of its own."""

    def update(self, group: Any, data: Any, g: Any, scratch: Any, slots: Any) -> None:
        data -= 0.5 * group["lr"] * g


def test_a_subclass_of_sgd_is_run_as_eager_code_runs_it() -> None:
    def build(w: World) -> Any:
        step = trained(w)
        w.optimizer = Slow(w.model.parameters(), lr=0.1)
        return step

    assert check_live(build, args=(X, Y), before=5) is None


def declared(**fields: Any) -> Any:
    """Return an op of the user's own."""
    rules = (lambda g, y, x: g * 2 * x,)
    full = {"name": "own", "doc": "x squared", "vjps": rules, "domains": (mg.Domain(),), **fields}
    return mg.Op(**full)


def without_out(x: Any, out: Any = None) -> Any:
    return x * x if out is None else np.multiply(x, x, out=out)


def in_two_steps(x: Any, out: Any = None) -> Any:
    y = np.copyto(out, x) or out if out is not None else x.copy()
    y *= x  # wrong, if `out` were the memory of x; so it is not in_place
    return y


@pytest.mark.parametrize("kernel", [without_out, in_two_steps])
def test_ops_of_the_users_own_are_replayed(kernel: Any) -> None:
    op = declared(kernel=kernel)
    try:

        def step(w: World, x: Any, y: Any) -> Any:
            w.optimizer.zero_grad()
            loss = mg.sum(op(op(w.model(x) - y) + 1))
            loss.backward()
            w.optimizer.step()
            return loss

        check_training(lambda w: trained(w, step, lr=0.01), before=4)
    finally:
        del mg.OPS["own"]


def test_an_op_declared_anew_is_seen_or_kept_as_in_eager_code() -> None:
    op = declared(kernel=without_out)
    try:
        step = mg.compile(lambda x: mg.OPS["own"](x))
        for _ in range(3):
            check_same(step(mg.tensor(X)), X * X)
        declared(kernel=lambda x, out=None: np.multiply(x, 3, out=out))
        for _ in range(3):
            check_same(step(mg.tensor(X)), X * 3)
    finally:
        del mg.OPS["own"]
    check_same(op(mg.tensor(X)), X * X)


def test_anomalies_are_detected_around_a_compiled_step() -> None:
    step = mg.compile(lambda x: mg.log(x))
    x = mg.tensor(np.array([-1.0]), requires_grad=False)
    for _ in range(3):
        assert np.isnan(step(x).data[0])
    with mg.detect_anomaly(), pytest.raises(mg.errors.AnomalyError):
        step(x)
    assert np.isnan(step(x).data[0])


def test_replays_are_quiet_and_leave_the_settings_of_numpy_alone() -> None:
    step = mg.compile(lambda x: mg.log(x) / (x - x))
    before = np.geterr()
    with np.errstate(all="raise"):
        for _ in range(3):
            step(mg.tensor(np.array([-1.0, 0.0])))
        assert np.geterr()["divide"] == "raise"
    assert np.geterr() == before


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("twin_of", [copy.deepcopy, pickled])
def test_a_compiled_model_can_be_copied(twin_of: Any) -> None:
    model = nn.MLP([2, 3, 1], rng=0)
    predict = mg.compile(model)
    before = predict(X)
    twin = twin_of(predict)
    mg.assign(model[0].weight, model[0].weight * 2)
    for _ in range(3):
        check_same([twin(X), predict(X)], [before, model(X)])


def test_a_frozen_model_predicts_as_it_is_trained_elsewhere() -> None:
    eager, compiled = World(), World()
    first, second = trained(eager), mg.compile(trained(compiled))
    predict = mg.compile(compiled.model)
    for i in range(5):
        check_same(predict(X * i), eager.model(X * i))
        check_same(second(X, Y), first(X, Y))


def test_layers_that_share_all_but_a_name_are_told_apart() -> None:
    layers = [nn.Dense(2, 2, "relu", rng=i) for i in range(3)]
    step = mg.compile(lambda x, i: layers[i](x))
    for _ in range(3):
        for i in range(3):
            check_same(step(X, i), layers[i](X))
