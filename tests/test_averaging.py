"""Averages of weights: formulas, PyTorch's, swapping in and out, state, compiled steps."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
from compiled import World, check_training, trained, usual
from hypothesis import given
from hypothesis import strategies as st

import microgrid as mg
from microgrid import nn
from microgrid.errors import GraphError, StateError
from microgrid.optim import AveragedWeights

DECAYS = [0.0, 0.5, 0.9, 0.999, 1.0, None]
each_decay = pytest.mark.parametrize("decay", DECAYS)
dyadic = st.integers(-1024, 1024).map(lambda n: n / 16)


def walk(averaged, p, values):
    for value in values:
        p.data = np.full(p.shape, value)
        averaged.update()


# --- what they are --------------------------------------------------------------------------------


@each_decay
@given(st.lists(dyadic, min_size=1, max_size=8))
def test_they_are_the_weighted_means_of_the_formula(decay, values):
    p = mg.tensor([0.0], requires_grad=True)
    averaged = AveragedWeights([p], decay)
    walk(averaged, p, values)
    share = Fraction(0 if decay is None else decay)
    expected = sum(map(Fraction, values)) / len(values)
    if decay is not None:
        expected = Fraction(values[0])
        for value in values[1:]:
            expected = share * expected + (1 - share) * Fraction(value)
    # Up to 8 updates of numbers up to 64, each rounded three times.
    assert averaged.averages[0].item() == pytest.approx(float(expected), rel=0, abs=8 * 3 * 1e-14)
    assert averaged.updates == len(values)


@pytest.mark.parametrize("decay", [0.9, 0.999, None])
def test_they_are_those_of_pytorch(decay):
    torch = pytest.importorskip("torch")
    swa = torch.optim.swa_utils
    own = [mg.tensor(np.zeros(s), requires_grad=True) for s in ((3, 4), (4,), ())]
    theirs = torch.nn.ParameterList([torch.zeros(p.shape, dtype=torch.float64) for p in own])
    averaged = AveragedWeights(own, decay)
    option = {} if decay is None else {"multi_avg_fn": swa.get_ema_multi_avg_fn(decay)}
    model = swa.AveragedModel(theirs, **option)
    rng = np.random.default_rng(0)
    for _ in range(100):
        for p, q in zip(own, theirs, strict=True):
            p.data = rng.normal(size=p.shape)
            q.data = torch.tensor(p.numpy())
        averaged.update()
        model.update_parameters(theirs)
        for a, b in zip(averaged.averages, model.module, strict=True):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=0, atol=1e-12)


@each_decay
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_weights_that_stay_are_their_own_average_bit_for_bit(decay, dtype):
    p = mg.tensor(np.random.default_rng(0).normal(size=5), dtype=dtype, requires_grad=True)
    averaged = AveragedWeights([p], decay)
    for _ in range(5):
        averaged.update()
        (a,) = averaged.averages
        assert (a.dtype, a.data.tobytes()) == (dtype, p.data.tobytes())


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.5])
def test_a_large_value_before_leaves_no_more_than_its_share(decay):
    p = mg.tensor([1e20], dtype=np.float64, requires_grad=True)
    averaged = AveragedWeights([p], decay)
    averaged.update()
    p.data = [1.0]
    averaged.update()
    assert averaged.averages[0].tolist() == [1.0 + decay * 1e20 if decay else 1.0]


def test_the_mean_of_all_counts_from_the_first_update():
    p = mg.tensor([7.0], requires_grad=True)
    averaged = AveragedWeights([p], decay=None)
    walk(averaged, p, [1.0, 2.0, 6.0])
    assert averaged.averages[0].item() == 3.0


def test_a_decay_that_is_changed_is_that_of_the_next_update():
    p = mg.tensor([0.0], requires_grad=True)
    averaged = AveragedWeights([p], decay=0.5)
    walk(averaged, p, [0.0, 8.0])
    averaged.decay = 0.25
    assert averaged.decay == 0.25
    walk(averaged, p, [8.0])
    assert averaged.averages[0].item() == 7.0


def test_parameters_gradients_and_graphs_are_left_alone():
    p = mg.tensor([3.0], requires_grad=True)
    loss = (p * p).sum()
    averaged = AveragedWeights([p])
    averaged.update()
    loss.backward()
    assert (p.tolist(), p.grad.tolist()) == ([3.0], [6.0])
    assert not averaged.averages[0].requires_grad


# --- swapped in -----------------------------------------------------------------------------------


def test_applied_swaps_them_in_and_back_also_after_an_error():
    model = nn.MLP([2, 3, 1], rng=0)
    averaged = AveragedWeights(model.parameters(), decay=0.5)
    averaged.update()
    first = [p.numpy() for p in model.parameters()]
    for p in model.parameters():
        p.data = p.detach() * 2
    changed = [p.numpy() for p in model.parameters()]
    predict, x = mg.compile(model), np.ones((4, 2), np.float32)
    now = predict(x).tolist()
    with averaged.applied():
        for p, value in zip(model.parameters(), first, strict=True):
            assert p.tolist() == value.tolist()
        assert predict(x).tolist() == model(x).tolist() != now
    with pytest.raises(KeyError), averaged.applied():
        raise KeyError
    for p, value in zip(model.parameters(), changed, strict=True):
        assert p.tolist() == value.tolist()
    assert predict(x).tolist() == now


def test_blocks_nest_and_what_one_changes_is_lost():
    p = mg.tensor([1.0], requires_grad=True)
    averaged = AveragedWeights([p])
    walk(averaged, p, [4.0])
    p.data = [9.0]
    with averaged.applied():
        with averaged.applied():
            p.data = [5.0]
        assert p.tolist() == [4.0]
    assert p.tolist() == [9.0]
    assert averaged.averages[0].tolist() == [4.0]


def test_applied_needs_an_update():
    message = (
        "AveragedWeights: applied() was called before the first update(), so there are no "
        "averages. Call update() after each step."
    )
    averaged = AveragedWeights([mg.tensor([1.0], requires_grad=True)])
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"), averaged.applied():
        pass


# --- compiled -------------------------------------------------------------------------------------


def averaging(decay, dtypes=()):
    def build(w: World):
        def step(w, x, y):
            loss = usual(w, x, y)
            w.averaged.update()
            return loss

        run = trained(w, step, lr=0.1, momentum=0.5)
        w.averaged = AveragedWeights(w.model.parameters(), decay)
        seen = w.seen
        w.seen = lambda: [seen(), w.averaged.state_dict()]
        return run

    return build


def evaluate(w: World):
    with w.averaged.applied():
        w.held.append(w.model(np.ones((1, 2), np.float32)).numpy())


def load(w: World):
    state = w.averaged.state_dict()
    w.averaged.load_state_dict({**state, "updates": 0})


def new(w: World):
    w.averaged = AveragedWeights(w.model.parameters(), 0.25)


@each_decay
@pytest.mark.parametrize("change", [evaluate, load, new])
def test_compiled_updates_are_eager_ones(decay, change):
    check_training(averaging(decay), change)


def test_compiled_updates_take_each_decay_without_a_trace():
    p = mg.tensor([1.0], requires_grad=True)
    averaged = AveragedWeights([p], decay=0.5)

    @mg.compile
    def update(x):
        mg.assign(p, p.detach() + x)
        averaged.update()
        return p.sum()

    average = None
    for step in range(20):
        averaged.decay = decay = step / 32
        update(np.ones(1))
        now = step + 2
        average = now if average is None else decay * average + (1 - decay) * now
        # A few rounding errors of numbers up to 22 in each of 20 steps.
        assert averaged.averages[0].item() == pytest.approx(average, rel=0, abs=1e-12)
    assert (update.traces, averaged.updates) == (1, 20)


def test_parameters_of_several_dtypes():
    ps = [mg.tensor([1.5], dtype=d, requires_grad=True) for d in (np.float16, np.float32, float)]
    averaged = AveragedWeights(ps, 0.5)
    averaged.update()
    for p in ps:
        p.data = [2.5]
    averaged.update()
    assert [(a.dtype, a.item()) for a in averaged.averages] == [(p.dtype, 2.0) for p in ps]


# --- state and errors -----------------------------------------------------------------------------


@each_decay
def test_a_loaded_state_goes_on_bit_for_bit(decay):
    values = np.random.default_rng(0).normal(size=8)
    p = mg.tensor([0.0, 0.0], dtype=np.float32, requires_grad=True)
    whole, first = AveragedWeights([p], decay), AveragedWeights([p], decay)
    walk(whole, p, values)
    walk(first, p, values[:3])
    second = AveragedWeights([p], None if decay is None else 0.125)
    state = first.state_dict()
    second.load_state_dict(state)
    state["averages"][0][:] = np.nan  # a copy
    walk(second, p, values[3:])
    assert second.averages[0].data.tobytes() == whole.averages[0].data.tobytes()
    assert (second.updates, second.decay) == (8, decay)
    assert json.dumps({**state, "averages": None})


def test_copies_and_pickles_are_independent():
    p = mg.tensor([2.0], requires_grad=True)
    averaged = AveragedWeights([p], 0.5)
    averaged.update()
    for twin in (copy.deepcopy(averaged), pickle.loads(pickle.dumps(averaged))):
        walk(twin, twin.parameters[0], [4.0])
        assert (twin.averages[0].item(), twin.updates) == (3.0, 2)
    assert (averaged.averages[0].item(), averaged.updates, p.item()) == (2.0, 1, 2.0)
    assert repr(averaged) == "AveragedWeights(1 parameters, decay=0.5)"


@pytest.mark.parametrize(
    ("decay", "state", "faults"),
    [
        (0.5, [], "a state of type list, needed a dict"),
        (0.5, {"decay": 0.5}, "missing updates; missing averages"),
        (
            0.5,
            {"decay": 2, "updates": -1, "averages": []},
            "decay is 2, needed a number from 0 to 1; updates is -1, needed an integer, at least "
            "0; averages that are no list of 1 arrays",
        ),
        (
            None,
            {"decay": 0.5, "updates": 1, "averages": [np.zeros(3)]},
            "decay is 0.5, needed None; average 0 has shape (3,) and dtype float64, needed (2,) "
            "and float64",
        ),
        (
            0.5,
            {"decay": None, "updates": 1, "averages": ["text"]},
            "decay is None, needed a number from 0 to 1; average 0 is of type str, needed an array",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(decay, state, faults):
    averaged = AveragedWeights([mg.tensor([1.0, 2.0], requires_grad=True)], decay)
    averaged.update()
    message = (
        f"load_state_dict: the state does not fit this AveragedWeights: {faults}. Nothing was "
        "loaded. Give it the parameters it had when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        averaged.load_state_dict(state)
    assert (averaged.updates, averaged.decay) == (1, decay)
    assert averaged.averages[0].tolist() == [1.0, 2.0]


P = mg.tensor([1.0], requires_grad=True)


@pytest.mark.parametrize(
    ("error", "make", "message"),
    [
        (
            ValueError,
            lambda: AveragedWeights([P], decay=1.5),
            "AveragedWeights: decay=1.5 was given; it must be a number from 0 to 1.",
        ),
        (
            ValueError,
            lambda: AveragedWeights([P], decay=math.nan),
            "AveragedWeights: decay=nan was given; it must be a number from 0 to 1.",
        ),
        (
            ValueError,
            lambda: setattr(AveragedWeights([P], None), "decay", 0.5),
            "AveragedWeights: a decay was set where the mean of all is taken. Make another, with "
            "decay=0.999.",
        ),
        (
            ValueError,
            lambda: AveragedWeights([]),
            "AveragedWeights: no parameters were given. Pass model.parameters() of a model that "
            "has some; a generator can be used once only.",
        ),
        (
            ValueError,
            lambda: AveragedWeights([P, P]),
            "AveragedWeights: a parameter of shape (1,) was given twice; it would be updated twice "
            "a step. Give each once: model.parameters() does.",
        ),
        (
            TypeError,
            lambda: AveragedWeights(nn.Dense(1, 1)),
            "AveragedWeights: one Dense was given; params is an iterable of Tensors. Pass "
            "model.parameters().",
        ),
        (
            TypeError,
            lambda: AveragedWeights([np.ones(1)]),
            "AveragedWeights: a parameter of type ndarray was given; it needs Tensors. Pass "
            "model.parameters(), not names or arrays.",
        ),
        (
            GraphError,
            lambda: AveragedWeights([P * 2]),
            "AveragedWeights: a result of multiply (shape (1,)) was given; only a leaf can be "
            "optimised. Pass what it was computed from.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(error, make, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()
