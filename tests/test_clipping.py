"""Clipping of gradients: by their norm and by value, eager and compiled."""

import math
import re

import numpy as np
import pytest
from compiled import Twins, World, X, Y, check_training, trained

import microgrid as mg
from microgrid import nn
from microgrid.errors import NonFiniteError
from microgrid.optim import SGD, Adam, clip_grad_norm_, clip_grad_value_

ORDERS = [1, 2, 3, 0.5, 2.5, math.inf]


def leaves(scale=1.0, dtype=np.float64):
    rng = np.random.default_rng(0)
    ps = [mg.tensor(np.zeros(s), dtype, True) for s in [(3, 4), (4,), (), (2, 0), (1, 5)]]
    for p in ps:
        p.grad = np.asarray(scale * rng.normal(size=p.shape), dtype)
    ps.append(mg.zeros(3))  # without a gradient
    return ps


def as_vector(ps):
    return np.concatenate([p.grad.ravel() for p in ps if p.grad is not None])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("max_norm", [0, 0.5, 1e3])
def test_the_norm_is_that_of_one_vector(order, max_norm):
    ps = leaves()
    before = as_vector(ps)
    # By exact summation; roundoff of 22 numbers is left.
    norm = max(abs(before)) if order == math.inf else math.fsum(abs(before) ** order) ** (1 / order)
    found = clip_grad_norm_(ps, max_norm, order)
    assert type(found) is float
    assert found == pytest.approx(norm, rel=1e-14)
    factor = min(1.0, max_norm / (norm + 1e-6))
    np.testing.assert_allclose(as_vector(ps), before * factor, rtol=1e-13)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-13), (np.float32, 2e-6)])  # roundoff
def test_it_equals_pytorchs(order, scale, dtype, rtol):
    torch = pytest.importorskip("torch")
    ps = leaves(scale, dtype)
    twins = []
    for p in ps:
        twins.append(torch.zeros(p.shape, dtype=torch.float64))
        twins[-1] = twins[-1].to(torch.float32) if dtype is np.float32 else twins[-1]
        twins[-1].grad = None if p.grad is None else torch.tensor(p.grad)
    expected = torch.nn.utils.clip_grad_norm_(twins[:3] + twins[4:], 1.5, order)
    assert clip_grad_norm_(ps, 1.5, order) == pytest.approx(expected.item(), rel=rtol)
    for p, twin in zip(ps, twins, strict=True):
        if p.grad is not None:
            np.testing.assert_allclose(p.grad, twin.grad.numpy(), rtol=rtol)


def test_gradients_stay_in_their_memory_and_dtype():
    for dtype in (np.float16, np.float32, np.float64):
        for clip in (clip_grad_norm_, clip_grad_value_):
            ps = leaves(10.0, dtype)
            before = [p.grad for p in ps]
            clip(ps, 0.5)
            assert all(p.grad is g for p, g in zip(ps, before, strict=True))
            assert all(g is None or g.dtype == dtype for g in before)


def test_small_gradients_stay_as_they_are():
    ps = leaves()
    before = as_vector(ps)
    clip_grad_norm_(ps, 1e6)
    assert np.array_equal(as_vector(ps), before)


def test_without_gradients_the_norm_is_zero():
    assert clip_grad_norm_([mg.zeros(3)], 1.0) == 0.0
    assert clip_grad_norm_([], 1.0, error_if_nonfinite=True) == 0.0
    empty = mg.zeros((2, 0))
    empty.grad = np.zeros((2, 0))
    assert clip_grad_norm_(empty, 1.0, math.inf) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite(bad):
    p, q = mg.zeros(2), mg.zeros(1)
    p.grad, q.grad = np.array([1.0, bad]), np.array([2.0])
    message = (
        f"clip_grad_norm_: the norm of the gradients is {bad}; it must be finite. Look for the "
        "first nan with mg.detect_anomaly(), or pass error_if_nonfinite=False."
    )
    with pytest.raises(NonFiniteError, match=f"^{re.escape(message)}$"):
        clip_grad_norm_([p, q], 1.0, error_if_nonfinite=True)
    assert q.grad.tolist() == [2.0]
    norm = clip_grad_norm_([p, q], 1.0)
    assert math.isnan(norm) if math.isnan(bad) else norm == bad
    assert math.isnan(q.grad[0]) if math.isnan(bad) else q.grad[0] == 0


# The numbers are powers of 2 or have few digits: only the root is rounded, by some ulps.
@pytest.mark.parametrize("order", [1, 2, 3, 2.5, math.inf])
@pytest.mark.parametrize(
    ("value", "dtype", "rtol"),
    [
        (50.0, np.float16, 1e-3),
        (6e4, np.float16, 1e-3),
        (1e38, np.float32, 1e-6),
        (1e200, np.float64, 1e-14),
        (1e-200, np.float64, 1e-14),
    ],
)
def test_norms_that_are_in_range_neither_overflow_nor_vanish(order, value, dtype, rtol):
    p = mg.zeros(1, dtype=dtype)
    p.grad = np.array([value], dtype)
    given = float(p.grad[0])
    assert clip_grad_norm_(p, 1.0, order) == pytest.approx(given, rel=rtol)
    assert p.grad[0] == pytest.approx(min(1.0, given), rel=rtol)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_norm_of_many_small_floats_may_be_larger_than_they_can_be(order):
    p = mg.zeros(4000, dtype=np.float16)
    p.grad = np.full(4000, 30000, np.float16)
    norm = 30000 * 4000 ** (1 / order)
    assert clip_grad_norm_(p, 1e4, order) == pytest.approx(norm, rel=1e-5)  # float32's sum
    np.testing.assert_allclose(p.grad, 30000 * 1e4 / norm, rtol=2e-3)  # two ulps of float16


def test_values_are_clipped():
    ps = leaves()
    before = as_vector(ps)
    assert clip_grad_value_(iter(ps), 0.5) is None
    assert as_vector(ps).tolist() == [min(max(g, -0.5), 0.5) for g in before.tolist()]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: clip_grad_norm_([], -1),
            ValueError,
            "clip_grad_norm_: max_norm=-1 was given; it must be a number, at least 0.",
        ),
        (
            lambda: clip_grad_norm_([], 1, 0),
            ValueError,
            "clip_grad_norm_: norm_type=0 was given; it must be a number above 0, or inf.",
        ),
        (
            lambda: clip_grad_value_([], math.nan),
            ValueError,
            "clip_grad_value_: clip_value=nan was given; it must be a number, at least 0.",
        ),
        (
            lambda: clip_grad_norm_([], "a"),
            ValueError,
            "clip_grad_norm_: max_norm='a' was given; it must be a number, at least 0.",
        ),
        (
            lambda: clip_grad_norm_([], 1, None),
            ValueError,
            "clip_grad_norm_: norm_type=None was given; it must be a number above 0, or inf.",
        ),
        (
            lambda: clip_grad_norm_(nn.Dense(1, 1), 1),
            TypeError,
            "clip_grad_norm_: one Dense was given; params is an iterable of Tensors. Pass "
            "model.parameters().",
        ),
        (
            lambda: clip_grad_value_(None, 1),
            TypeError,
            "clip_grad_value_: one NoneType was given; params is an iterable of Tensors. Put it "
            "in a list.",
        ),
        (
            lambda: clip_grad_norm_(["weight"], 1),
            TypeError,
            "clip_grad_norm_: a parameter of type str was given; it needs Tensors. Pass "
            "model.parameters(), not names or arrays.",
        ),
    ],
)
def test_arguments_that_make_no_sense(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


# --- compiled -------------------------------------------------------------------------------------

CLIPS = [
    *(lambda ps, o=order: clip_grad_norm_(ps, 0.05, o) for order in ORDERS),
    lambda ps: clip_grad_norm_(ps, 1e6),
    lambda ps: clip_grad_norm_(ps, 0.05, error_if_nonfinite=True),
    lambda ps: clip_grad_value_(ps, 0.01),
]


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("clip", CLIPS)
def test_a_compiled_step_equals_an_eager_one(kind, clip):
    def build():
        model = nn.MLP([2, 4, 1], "tanh", rng=0)
        optimizer = kind(model.parameters(), lr=0.1)

        def step(x, y):
            optimizer.zero_grad()
            loss = mg.mse_loss(model(x), y)
            loss.backward()
            clip(model.parameters())
            optimizer.step()
            return loss

        return step, lambda: [
            [[p.data, p.grad] for p in model.parameters()],
            optimizer.state_dict(),
        ]

    twins = Twins(build)
    twins.call_each([(X * k, Y) for k in (1, 2, 100, 0, 1, 3, 1)])
    assert twins.compiled.traces == 1


@pytest.mark.parametrize("clip", CLIPS)
def test_gradients_gathered_over_calls_are_clipped(clip):
    def gathering(w: World, x, y):
        loss = mg.mse_loss(w.model(x), y)
        loss.backward()
        clip(w.model.parameters())
        return loss

    check_training(lambda w: trained(w, gathering), lambda w: w.optimizer.step())


def test_clipping_between_calls_and_alone():
    def clipping(w: World, x, y):
        clip_grad_norm_(w.model.parameters(), 0.01)
        return w.model(x).sum().detach()

    def give(w):
        for i, p in enumerate(w.model.parameters()):
            p.grad = np.full(p.shape, 1.0 + i, p.dtype)

    check_training(lambda w: trained(w, clipping), give, give, before=1)


def test_a_compiled_step_returns_the_norm():
    p = mg.tensor([3.0, 4.0], requires_grad=True)

    @mg.compile
    def step(x):
        p.zero_grad()
        (p * x).sum().backward()
        return clip_grad_norm_(p, 1.0)

    for k in (1.0, 2.0, 3.0):
        assert float(step(np.array([3 * k, 4 * k]))) == 5 * k
        np.testing.assert_allclose(p.grad, [0.6, 0.8], rtol=1e-6)  # as 1e-6 is added to the norm
    assert step.traces == 1


def test_python_cannot_decide_by_the_norm_of_a_traced_step():
    p = mg.tensor([3.0, 4.0], requires_grad=True)

    def step(x):
        p.zero_grad()
        (p * x).sum().backward()
        return x if clip_grad_norm_(p, 1.0) > 1 else -x

    with pytest.raises(mg.errors.TraceError, match=r"^compile: bool\(\) was asked for"):
        mg.compile(step)(np.ones(2))


def test_a_replay_refuses_a_norm_that_is_not_finite_and_updates_nothing():
    p = mg.tensor([1.0, 1.0], requires_grad=True)
    optimizer = SGD([p], lr=0.5)

    @mg.compile
    def step(x):
        optimizer.zero_grad()
        (p * x).sum().backward()
        norm = clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
        optimizer.step()
        return norm

    step(np.zeros(2))
    step(np.zeros(2))
    with pytest.raises(NonFiniteError, match=r"^clip_grad_norm_: the norm of the gradients is nan"):
        step(np.array([1.0, np.nan]))
    assert p.tolist() == [1.0, 1.0]
