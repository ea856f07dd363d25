"""Compiled steps: what readers found frozen, lost or swallowed."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import TraceError


def test_an_op_that_ignores_out_is_replayed_rightly() -> None:
    own = mg.Op(
        name="own_double", doc="2x", kernel=lambda x, out=None: x * 2,
        vjps=(lambda g, y, x: 2 * g,), domains=(mg.Domain(),),
    )  # fmt: skip
    try:
        step = mg.compile(lambda x: own(x) + 1)
        x = np.array([1.0, 2.0])
        for factor in (1, 2, 3):
            assert step(factor * x).tolist() == (2 * factor * x + 1).tolist()
    finally:
        del mg.OPS["own_double"]


def test_a_wrapped_kernel_is_replayed_with_what_wraps_it() -> None:
    def twice(kernel: Any) -> Any:
        return functools.wraps(kernel)(lambda *args, **kwargs: 2 * kernel(*args, **kwargs))

    own = mg.Op(
        name="own_wrapped", doc="2(x + 1)", kernel=twice(lambda x, out=None: np.add(x, 1)),
        vjps=(lambda g, y, x: 2 * g,), domains=(mg.Domain(),),
    )  # fmt: skip
    try:
        step = mg.compile(lambda x: own(x) + 0)
        for _ in range(3):
            assert step(np.array([1.0, 2.0])).tolist() == [4, 6]
    finally:
        del mg.OPS["own_wrapped"]


@pytest.mark.parametrize(
    "name",
    ["t0", "t1", "now", "x0", "v0", "p0", "g0", "number", "number0", "replay", "run", "table",
     "given", "at", "quiet", "kept", "lambda", "f-g", "2x", "not", "_number2", "MISS"],
)  # fmt: skip
def test_an_op_may_have_any_name(name: str) -> None:
    own = mg.Op(
        name=name, doc="3x", kernel=lambda x, out=None: x * 3,
        vjps=(lambda g, y, x: 3 * g,), domains=(mg.Domain(),),
    )  # fmt: skip
    try:
        model = mg.nn.MLP([2, 3, 1], rng=0)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.1)

        @mg.compile
        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = own(model(x)).sum() + x.sum()
            loss.backward()
            optimizer.step()
            return loss, own(x)

        results = [step(np.ones((4, 2), np.float32))[1].tolist() for _ in range(4)]
        assert results == [[[3, 3]] * 4] * 4
        assert step.traces == 1
    finally:
        del mg.OPS[name]


@pytest.mark.parametrize("size", [2, 60])
def test_the_slope_of_relu_is_0_at_minus_0_as_in_eager_code(size: int) -> None:
    y = np.full((size, size), -0.0)
    step = mg.compile(lambda g, y: mg.OPS["gate"](g, y))
    for sign in (1, -1):
        g = np.full((size, size), sign / 2)
        expected = mg.OPS["gate"](g, y)
        for _ in range(2):
            assert (np.signbit(step(g, y).numpy()) == np.signbit(expected)).all()


def test_a_refusal_that_the_step_swallows_is_a_refusal() -> None:
    def step(t: Any) -> Any:
        try:
            weight = float(t.mean())
        except Exception:
            weight = 1.0
        return t * weight

    with pytest.raises(TraceError, match=r"^compile: item\(\) was asked for"):
        mg.compile(step)(np.ones(3))


@pytest.mark.parametrize(
    "ask",
    [np.any, np.all, np.count_nonzero, lambda x: np.allclose(x, 1), lambda x: x[np.nonzero(x > 0)]],
)
def test_questions_of_numpy_about_values_are_refused(ask: Any) -> None:
    with pytest.raises(TraceError, match=r"^compile: numpy\.\w+\(\) was asked for"):
        mg.compile(lambda x: x * 1.0 if ask(x) is None else x)(np.ones(3))


def test_methods_that_only_arrays_have_are_refused() -> None:
    with pytest.raises(TraceError, match=r"^compile: an array's flatten was asked for"):
        mg.compile(lambda x: x.flatten())(np.ones((2, 2)))


def test_masked_arrays_are_refused() -> None:
    with pytest.raises(TraceError, match=r"^compile: an argument of type MaskedArray") as error:
        mg.compile(lambda x: x * x)(np.ma.array([[1.0, 2.0], [3.0, 4.0]]))
    assert "plain array" in str(error.value)


def sees(change: Any, step: Any) -> None:
    compiled, x = mg.compile(step), np.ones(2)
    for _ in range(3):
        assert compiled(x).tolist() == step(mg.tensor(x)).tolist()
    change()
    assert compiled(x).tolist() == step(mg.tensor(x)).tolist()


def test_an_attribute_of_a_function_is_seen() -> None:
    def factor() -> float:
        return factor.value  # type: ignore[attr-defined,no-any-return]

    factor.value = 2.0  # type: ignore[attr-defined]
    sees(lambda: setattr(factor, "value", 3.0), lambda x: x * factor())


def test_the_order_of_a_dict_is_seen() -> None:
    found = {"a": 2.0, "b": 3.0}
    sees(lambda: found.update(a=found.pop("a")), lambda x: x * next(iter(found.values())))


config = types.ModuleType("config")
config.inner = types.ModuleType("config.inner")  # type: ignore[attr-defined]
config.inner.scale = 2.0  # type: ignore[attr-defined]


def test_a_number_in_a_module_inside_a_module_is_seen() -> None:
    sees(lambda: setattr(config.inner, "scale", 3.0), lambda x: x * config.inner.scale)


def test_a_method_replaced_on_the_class_is_seen() -> None:
    class Base:
        def factor(self) -> float:
            return 2.0

    thing = Base()
    sees(lambda: setattr(Base, "factor", lambda self: 3.0), lambda x: x * thing.factor())


def test_looking_runs_no_code_of_the_users() -> None:
    class Data:
        @functools.cached_property
        def heavy(self) -> Any:
            raise AssertionError("nobody asked for it")

    data = Data()
    assert mg.compile(lambda x: x if data is None else x * 2)(np.ones(1)).tolist() == [2.0]


# --- fit -----------------------------------------------------------------------------------------

X, Y = np.random.default_rng(0).normal(size=(70, 3)), np.random.default_rng(1).normal(size=(70, 1))


def trained(loss: Any, model: mg.nn.Module, **options: Any) -> Any:
    run = mg.fit(
        model, X, Y, loss=loss, optimizer=mg.optim.SGD(model.parameters(), lr=0.01),
        batch_size=8, epochs=4, verbose=0, rng=0, **options,
    )  # fmt: skip
    return run.history, [p.tolist() for p in model.parameters()]


def make_counting_loss() -> Any:
    seen: list[int] = []

    def loss(p: Any, t: Any) -> Any:
        seen.append(1)
        return mg.mse_loss(p, t)

    return loss


def make_noisy_loss() -> Any:
    rng = np.random.default_rng(5)
    return lambda p, t: mg.mse_loss(p, t) * (1 + rng.uniform())


@pytest.mark.parametrize("make", [make_counting_loss, make_noisy_loss])
def test_fit_that_gives_up_compiling_is_fit_that_never_did(make: Any) -> None:
    with pytest.warns(UserWarning, match="^fit: the step runs uncompiled"):
        found = trained(make(), mg.nn.MLP([3, 4, 1], rng=0))
    assert found == trained(make(), mg.nn.MLP([3, 4, 1], rng=0), compile=False)


def test_fit_that_gives_up_draws_what_it_would_have_drawn() -> None:
    class Branching(mg.nn.Module):
        def __init__(self) -> None:
            self.inside = mg.nn.Sequential(
                mg.nn.Dense(3, 4, rng=0), mg.nn.RReLU(rng=0), mg.nn.Dense(4, 1, rng=1)
            )

        def forward(self, x: Any) -> Any:
            y = self.inside(x)
            return y * 2 if y.sum().item() > 0 else y

    with pytest.warns(UserWarning, match="^fit: the step runs uncompiled"):
        found = trained("mse", Branching())
    assert found == trained("mse", Branching(), compile=False)


def test_predict_warns_once_and_gives_the_same() -> None:
    class Branching(mg.nn.Module):
        def __init__(self) -> None:
            self.calls = 0

        def forward(self, x: Any) -> Any:
            return x * 2 if x.sum().item() > 0 else x

    x = np.ones((40, 2), np.float32)
    with pytest.warns(UserWarning, match="^predict: the model runs uncompiled") as warned:
        found = mg.predict(Branching(), x, batch_size=2)
    assert len(warned) == 1
    assert found.tolist() == (2 * x).tolist()
