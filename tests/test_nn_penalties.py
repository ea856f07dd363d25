"""Penalties on weights: values, gradients, kinks, what a model collects, compiled steps."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from compiled import World, check_training, trained
from hypothesis import given
from hypothesis import strategies as st

import microgrid as mg
from microgrid import nn, optim
from microgrid.errors import ShapeError
from microgrid.nn.penalties import L1, L2, Elastic, penalty_of

PENALTIES = [L1(0.5), L2(0.25), Elastic(0.5, 0.25)]
each_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
dyadic = st.integers(-64, 64).map(lambda n: n / 8)


@given(st.lists(dyadic, max_size=6))
def test_values_and_gradients_are_the_formulas_exactly(values):
    for penalty, l1, l2 in (
        (L1(0.5), 0.5, 0),
        (L2(0.25), 0, 0.25),
        (Elastic(0.5, 0.25), 0.5, 0.25),
    ):
        w = mg.tensor(values, dtype=np.float64, requires_grad=True)
        y = penalty(w)
        y.backward()
        assert y.item() == sum(l1 * abs(v) + l2 * v * v for v in values)
        assert w.grad.tolist() == [l1 * ((v > 0) - (v < 0)) + 2 * l2 * v for v in values]


@each_penalty
def test_gradients_are_checked_at_kinks_too_and_in_both_orders(penalty):
    w = mg.tensor([[0.0, -0.0, 1.5], [-2.0, 1e-9, 0.25]], requires_grad=True)
    assert mg.testing.gradcheck(penalty, [w], order=2)


def test_the_slope_at_0_is_0():
    w = mg.tensor([0.0, -0.0], requires_grad=True)
    L1(3.0)(w).backward()
    assert w.grad.tolist() == [0.0, 0.0]


@each_penalty
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_stays(penalty, dtype):
    assert penalty(mg.tensor([1.0], dtype=dtype)).dtype == dtype


def test_l2_pulls_as_weight_decay_does_in_sgd():
    p, q = nn.Parameter([1.0, -3.0], np.float64), nn.Parameter([1.0, -3.0], np.float64)
    for step in range(3):
        g = np.array([0.5, step])
        L2(0.125)(p).backward()
        p.grad += g
        q.grad = g
        optim.SGD([p], lr=0.5).step()
        optim.SGD([q], lr=0.5, weight_decay=0.25).step()
        p.zero_grad()
        assert p.tolist() == q.tolist()  # dyadic: exact


# --- of a model -----------------------------------------------------------------------------------


def test_a_model_adds_up_what_its_parameters_have():
    model = nn.Sequential(
        nn.Dense(1, 1, weight_penalty=L1(2.0), bias_penalty=L2(0.5)),
        nn.Dense(1, 1, weight_penalty=lambda w: mg.sum(w) * 8),
    )
    for p, value in zip(model.parameters(), (-3.0, 4.0, 5.0, 6.0), strict=True):
        p.data = np.full(p.shape, value)
    total = model.penalty()
    total.backward()
    assert total.item() == 2 * 3 + 0.5 * 16 + 8 * 5
    assert [None if p.grad is None else p.grad.item() for p in model.parameters()] == [
        -2.0, 4.0, 8.0, None,
    ]  # fmt: skip


def test_without_any_it_is_0_in_the_dtype_of_the_model_and_none_for_who_asks_first():
    for model, dtype in ((nn.Dense(2, 2, dtype=np.float16), np.float16), (nn.ReLU(), np.float32)):
        y = model.penalty()
        assert (y.item(), y.shape, y.dtype, y.requires_grad) == (0.0, (), dtype, False)
        assert penalty_of(model) is None


def test_a_shared_parameter_counts_once_and_a_frozen_one_not():
    first, second = nn.Dense(2, 2, weight_penalty=L1(1.0)), nn.Dense(2, 2, weight_penalty=L1(1.0))
    first.weight.data = second.weight.data = np.ones((2, 2))
    assert nn.Sequential(first, nn.ReLU(), first).penalty().item() == 4
    second.weight.requires_grad = False
    assert penalty_of(second) is None
    assert nn.Sequential(first, second).penalty().item() == 4


def penalised(w: World):
    def step(w, x, y):
        w.optimizer.zero_grad()
        loss = mg.mse_loss(w.model(x), y) + w.model.penalty()
        loss.backward()
        w.optimizer.step()
        return loss

    return trained(w, step)


def give(penalty):
    return lambda w: setattr(w.model[0].weight, "penalty", penalty)


@pytest.mark.parametrize("change", [give(None), give(L2(0.5)), give(lambda w: mg.max(w))])
@pytest.mark.parametrize("at_first", [None, L1(0.125), Elastic(0.125, 0.25)])
def test_compiled_steps_see_each_change_of_it(at_first, change):
    def build(w):
        step = penalised(w)
        w.model[0].weight.penalty = at_first
        return step

    check_training(build, change)


@pytest.mark.parametrize("compiled", [True, False])
def test_fit_adds_it_to_the_loss(compiled):
    x = np.random.default_rng(0).normal(size=(32, 2)).astype("f")
    options = {"optimizer": "sgd", "epochs": 2, "batch_size": 8, "verbose": 0, "rng": 0}
    found = []
    for penalty in (Elastic(0.25, 0.5), None):
        layer = nn.Dense(2, 2, rng=0, weight_penalty=penalty)

        def loss(p, y, layer=layer, by_hand=penalty is None):
            return mg.mse_loss(p, y) + Elastic(0.25, 0.5)(layer.weight) * by_hand

        mg.fit(layer, x, x, loss=loss, compile=compiled, **options)
        found.append(layer.weight.numpy())
    np.testing.assert_allclose(*found, rtol=1e-5)  # of float32: the losses add in another order


def test_it_is_copied_pickled_and_not_saved():
    layer = nn.Dense(2, 2, weight_penalty=Elastic(0.5, 0.25), rng=0)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.penalty().item() == layer.penalty().item() > 0
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_what_returns_more_than_one_number_is_refused():
    message = (
        "Parameter: the penalty given returns shape (2, 2) for a parameter of shape (2, 2); it "
        "must return shape ()."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        nn.Dense(2, 2, weight_penalty=mg.square)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L1(-1), "L1: l1=-1 was given; it must be a finite number, at least 0."),
        (lambda: L2("a"), "L2: l2='a' was given; it must be a finite number, at least 0."),
        (
            lambda: Elastic(0.1, np.inf),
            "Elastic: l2=inf was given; it must be a finite number, at least 0.",
        ),
        (
            lambda: nn.Dense(1, 1, bias_penalty=L1),
            "Parameter: the class L1 was given as penalty; it must be a function of the parameter, "
            "as those of mg.nn.penalties.",
        ),
    ],
)
def test_factors_that_make_no_sense_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}$"):
        make()
