"""Schedules: their values, their state, and that compiled steps see them."""

import json
import math
import re

import numpy as np
import pytest
from compiled import World, X, Y, check_training, trained, usual

import microgrid as mg
from microgrid import optim
from microgrid.errors import StateError, TraceError

STEPS = 100


def optimizer_of(space=optim, kind="SGD", **settings):
    make = mg.zeros if space is optim else None
    if make is None:
        import torch

        make = torch.zeros
    ps = [make(1), make(2)]
    for p in ps:
        p.requires_grad = True
    groups = [{"params": [ps[0]]}, {"params": [ps[1]], "lr": 0.02}]
    return getattr(space, kind)(groups, **{"lr": 0.3, **settings})


def wave(t):
    return 1 + math.sin(t / 5) / 2


# By name here, name there, and positional or named settings.
SCHEDULES = [
    ("StepLR", "StepLR", {"step_size": 7, "gamma": 0.7}),
    ("MultiStepLR", "MultiStepLR", {"milestones": [30, 3, 3, 80], "gamma": 0.3}),
    ("ExponentialLR", "ExponentialLR", {"gamma": 0.95}),
    ("CosineAnnealingLR", "CosineAnnealingLR", {"T_max": 100, "eta_min": 0.001}),
    ("CosineAnnealingLR", "CosineAnnealingLR", {"T_max": 30}),
    ("LinearWarmup", "LinearLR", {}),
    ("LinearWarmup", "LinearLR", {"start_factor": 0.1, "end_factor": 0.8, "total_iters": 40}),
    ("LambdaLR", "LambdaLR", {"lr_lambda": wave}),
    ("LambdaLR", "LambdaLR", {"lr_lambda": [wave, lambda t: 0.9**t]}),
    ("OneCycleLR", "OneCycleLR", {"max_lr": 0.5, "total_steps": 100}),
    (
        "OneCycleLR",
        "OneCycleLR",
        {"max_lr": [0.5, 0.1], "epochs": 10, "steps_per_epoch": 11, "anneal_strategy": "linear"},
    ),
    (
        "OneCycleLR",
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 101, "three_phase": True, "pct_start": 0.4},
    ),
]
each = pytest.mark.parametrize(("ours", "theirs", "settings"), SCHEDULES)


def values(schedule, steps=STEPS):
    found = [schedule.get_last_lr()]
    for _ in range(steps):
        schedule.step()
        found.append(schedule.get_last_lr())
    return found


def momenta(optimizer):
    return [g["momentum"] if "momentum" in g else g["betas"][0] for g in optimizer.param_groups]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler:UserWarning")
@each
def test_values_equal_pytorchs(ours, theirs, settings):
    torch = pytest.importorskip("torch")
    for kind in ("SGD", "Adam"):
        ps, qs = optimizer_of(kind=kind), optimizer_of(torch.optim, kind)
        mine = getattr(optim, ours)(ps, **settings)
        other = getattr(torch.optim.lr_scheduler, theirs)(qs, **settings)
        for _ in range(STEPS):
            np.testing.assert_allclose(mine.get_last_lr(), other.get_last_lr(), rtol=0, atol=1e-12)
            np.testing.assert_allclose(momenta(ps), momenta(qs), rtol=0, atol=1e-12)
            mine.step()
            other.step()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler:UserWarning")
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
def test_sequences_equal_pytorchs():
    torch = pytest.importorskip("torch")
    found = []
    for space, schedules, warmup in (
        (optim, optim, "LinearWarmup"),
        (torch.optim, torch.optim.lr_scheduler, "LinearLR"),
    ):
        optimizer = optimizer_of(space)
        parts = [
            getattr(schedules, warmup)(optimizer, total_iters=10),
            schedules.CosineAnnealingLR(optimizer, 30),
            schedules.StepLR(optimizer, 8, 0.5),
        ]
        found.append(values(schedules.SequentialLR(optimizer, parts, [10, 40])))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 2},
        {"patience": 0, "cooldown": 3, "factor": 0.5, "min_lr": [0.01, 0.005]},
        {"mode": "max", "threshold": 0.1, "threshold_mode": "abs", "patience": 1},
        {"mode": "max", "threshold": 0.1, "patience": 3, "eps": 1e-3},
    ],
)
def test_plateaus_equal_pytorchs(settings):
    torch = pytest.importorskip("torch")
    losses = np.random.default_rng(0).normal(size=STEPS) + 3 / (1 + np.arange(STEPS))
    losses[50] = math.nan
    ours = optim.ReduceLROnPlateau(optimizer_of(), **settings)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer_of(torch.optim), **settings)
    for loss in losses:
        ours.step(mg.tensor(loss))
        theirs.step(float(loss))
        assert ours.get_last_lr() == theirs.get_last_lr()


# --- without PyTorch: numbers worked out by hand --------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda o: optim.StepLR(o, 2, 0.5), [8, 8, 4, 4, 2]),
        (lambda o: optim.MultiStepLR(o, [3, 1], 0.5), [8, 4, 4, 2, 2]),
        (lambda o: optim.ExponentialLR(o, 0.5), [8, 4, 2, 1, 0.5]),
        (lambda o: optim.CosineAnnealingLR(o, 4), [8, 4 + 8**0.5, 4, 4 - 8**0.5, 0]),
        (lambda o: optim.LinearWarmup(o, 0.5, 1, 4), [4, 5, 6, 7, 8]),
        (lambda o: optim.LambdaLR(o, lambda t: 1 + t), [8, 16, 24, 32, 40]),
        (
            lambda o: optim.OneCycleLR(o, 8, 5, pct_start=0.6, anneal_strategy="linear"),
            [0.32, 4.16, 8, 4.000016, 0.000032],
        ),
        (
            lambda o: optim.SequentialLR(
                o, [optim.LinearWarmup(o, 0.5, 1, 2), optim.ExponentialLR(o, 0.5)], [2]
            ),
            [4, 6, 8, 4, 2],
        ),
    ],
)
def test_values_worked_out_by_hand(make, expected):
    schedule = make(optim.SGD([mg.zeros(1)], lr=8.0))
    # Half a unit in the last place of 8 here and there.
    np.testing.assert_allclose(np.ravel(values(schedule, 4)), expected, rtol=0, atol=1e-14)


def test_a_plateau_by_hand():
    optimizer = optim.SGD([mg.zeros(1)], lr=1.0)
    schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=2)
    rates = []
    for loss in (3, 2, 2, 2, 2, 2, 2, 2):
        schedule.step(loss)
        rates += schedule.get_last_lr()
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


# --- state ----------------------------------------------------------------------------------------


@each
def test_a_loaded_state_goes_on_bit_for_bit(ours, theirs, settings):
    straight = values(getattr(optim, ours)(optimizer_of(), **settings), 60)
    optimizer = optimizer_of()
    schedule = getattr(optim, ours)(optimizer, **settings)
    values(schedule, 25)
    saved = json.loads(json.dumps([schedule.state_dict(), optimizer.state_dict()]))
    fresh = optimizer_of(lr=9.0)
    second = getattr(optim, ours)(fresh, **settings)
    fresh.load_state_dict(saved[1])
    second.load_state_dict(saved[0])
    assert values(second, 35) == straight[25:]


def test_an_optimiser_without_schedule_takes_the_state_of_one_with():
    optimizer = optimizer_of()
    optim.ExponentialLR(optimizer, 0.5).step()
    fresh = optimizer_of(lr=9.0)
    fresh.load_state_dict(optimizer.state_dict())
    assert [g["lr"] for g in fresh.param_groups] == [0.15, 0.01]
    optimizer.load_state_dict(optimizer_of().state_dict())
    assert [g["lr"] for g in optimizer.param_groups] == [0.3, 0.02]


def test_a_sequence_goes_on():
    def make(optimizer):
        parts = [optim.LinearWarmup(optimizer), optim.StepLR(optimizer, 3)]
        return optim.SequentialLR(optimizer, parts, [5])

    straight = values(make(optimizer_of()), 20)
    first, second = make(optimizer_of()), make(optimizer_of(lr=9.0))
    values(first, 7)
    second.load_state_dict(first.state_dict())
    assert values(second, 13) == straight[7:]


def test_a_plateau_goes_on():
    first, second = (optim.ReduceLROnPlateau(optimizer_of(), patience=1) for _ in range(2))
    for loss in (1.0, 2.0):
        first.step(loss)
    second.load_state_dict(first.state_dict())
    second.step(3.0)
    assert second.get_last_lr() == [0.03, 0.002]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda s: None, "a state of type NoneType, needed a dict"),
        (lambda s: {"last_epoch": 1}, "missing base_lrs"),
        (lambda s: {**s, "pace": 1}, "unexpected pace"),
        (lambda s: {**s, "last_epoch": -1}, "last_epoch is -1, needed an integer, at least 0"),
        (
            lambda s: {**s, "base_lrs": [1.0]},
            "base_lrs is [1.0], needed 2 numbers that are not below 0",
        ),
    ],
)
def test_states_that_do_not_fit_change_nothing(change, fault):
    schedule = optim.StepLR(optimizer_of(), 3)
    before = schedule.state_dict()
    message = (
        f"load_state_dict: the state does not fit this StepLR: {fault}. Nothing was loaded. "
        "Build the schedule as it was when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        schedule.load_state_dict(change(before))
    assert schedule.state_dict() == before


def test_a_state_beyond_the_end_of_a_cycle_changes_nothing():
    schedule = optim.OneCycleLR(optimizer_of(), 1.0, 10)
    before = schedule.state_dict(), schedule.get_last_lr()
    message = (
        "load_state_dict: the state does not fit this OneCycleLR: last_epoch is 25, needed at most "
        "total_steps, 10. Nothing was loaded. Build the schedule as it was when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        schedule.load_state_dict({**before[0], "last_epoch": 25})
    assert (schedule.state_dict(), schedule.get_last_lr()) == before


def test_a_state_whose_rate_cannot_be_computed_changes_nothing():
    schedule = optim.LambdaLR(optimizer_of(), lambda t: 1 / (3 - t))
    schedule.step()
    before = schedule.state_dict(), schedule.get_last_lr()
    with pytest.raises(ZeroDivisionError):
        schedule.load_state_dict({**before[0], "last_epoch": 3, "base_lrs": [1.0, 2.0]})
    assert (schedule.state_dict(), schedule.get_last_lr()) == before


def test_integers_of_numpy_count_too():
    three = np.int64(3)
    by = [
        lambda n: optim.StepLR(optimizer_of(), n),
        lambda n: optim.CosineAnnealingLR(optimizer_of(), n),
        lambda n: optim.OneCycleLR(optimizer_of(), 1.0, n),
        lambda n: optim.MultiStepLR(optimizer_of(), [n]),
    ]
    for make in by:
        assert values(make(three), 3) == values(make(3), 3)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda o: optim.StepLR(None, 3),
            TypeError,
            "StepLR: an optimizer of type NoneType was given; it needs one such as "
            "SGD(model.parameters(), lr=0.1).",
        ),
        (
            lambda o: optim.StepLR(o, 0),
            ValueError,
            "StepLR: step_size=0 was given; it must be an integer, at least 1.",
        ),
        (
            lambda o: optim.ExponentialLR(o, -1),
            ValueError,
            "ExponentialLR: gamma=-1 was given; it must be a number, at least 0.",
        ),
        (
            lambda o: optim.LambdaLR(o, [wave]),
            ValueError,
            "LambdaLR: 1 functions were given for 2 groups; give one for each, or one for all.",
        ),
        (
            lambda o: optim.LambdaLR(o, 0.5),
            TypeError,
            "LambdaLR: lr_lambda=0.5 was given; it must be a function of the number of steps, or a "
            "list of them.",
        ),
        (
            lambda o: optim.OneCycleLR(optim.Adagrad([mg.zeros(1)]), 1, 9),
            ValueError,
            "OneCycleLR: Adagrad has neither momentum nor betas, which would change. Pass "
            "cycle_momentum=False.",
        ),
        (
            lambda o: optim.OneCycleLR(o, [1], 9),
            ValueError,
            "OneCycleLR: 1 rates max_lr were given for 2 groups; give one for each, or one for "
            "all.",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1, 9, anneal_strategy="sin"),
            ValueError,
            "OneCycleLR: anneal_strategy='sin' was given; it must be 'cos' or 'linear'.",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1),
            ValueError,
            "OneCycleLR: total_steps=None was given; it must be an integer, at least 1.",
        ),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(o, 3)], [1]),
            ValueError,
            "SequentialLR: 1 schedules and 1 milestones were given; it needs one milestone less "
            "than schedules.",
        ),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(o, 3)] * 3, [2, 1]),
            ValueError,
            "SequentialLR: milestones=[2, 1] was given; each must be above the one before.",
        ),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(optimizer_of(), 3)], []),
            ValueError,
            "SequentialLR: the StepLR was made for another optimizer. Make all for the same one.",
        ),
        (
            lambda o: optim.SequentialLR(o, [optim.ReduceLROnPlateau(o)], []),
            ValueError,
            "SequentialLR: a ReduceLROnPlateau was given; it needs schedules of the number of "
            "steps, such as StepLR.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, "auto"),
            ValueError,
            "ReduceLROnPlateau: mode='auto' was given; it must be 'min' or 'max'.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, factor=1.0),
            ValueError,
            "ReduceLROnPlateau: factor=1.0 was given; it must be below 1, so that the rate falls.",
        ),
        (
            lambda o: optim.StepLR(o, True),
            ValueError,
            "StepLR: step_size=True was given; it must be an integer, at least 1.",
        ),
        (
            lambda o: optim.MultiStepLR(o, 3),
            ValueError,
            "MultiStepLR: milestones=3 was given; it must be a list of integers, each at least 0.",
        ),
        (
            lambda o: optim.MultiStepLR(o, [-1]),
            ValueError,
            "MultiStepLR: milestones=[-1] was given; it must be a list of integers, each "
            "at least 0.",
        ),
        (
            lambda o: optim.MultiStepLR(o, [1.5]),
            ValueError,
            "MultiStepLR: milestones=[1.5] was given; it must be a list of integers, each "
            "at least 0.",
        ),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(o, 3)] * 2, [-3]),
            ValueError,
            "SequentialLR: milestones=[-3] was given; it must be a list of integers, each "
            "at least 0.",
        ),
        (
            lambda o: optim.SequentialLR(o, 3, []),
            ValueError,
            "SequentialLR: schedulers=3 was given; it must be a list of schedules, such as StepLR.",
        ),
        (
            lambda o: optim.LambdaLR(o, lambda t: "a"),
            ValueError,
            "LambdaLR: lr_lambda(0) is 'a'; it must be a number, at least 0.",
        ),
        (
            lambda o: optim.LambdaLR(o, lambda t: -1.0),
            ValueError,
            "LambdaLR: lr_lambda(0) is -1.0; it must be a number, at least 0.",
        ),
        (
            lambda o: optim.OneCycleLR(o, "a", 10),
            ValueError,
            "OneCycleLR: max_lr='a' was given; it must be a number, at least 0.",
        ),
        (
            lambda o: optim.OneCycleLR(o, [0.1, -1], 10),
            ValueError,
            "OneCycleLR: max_lr=-1 was given; it must be a number, at least 0.",
        ),
        (
            lambda o: optim.OneCycleLR(o, math.nan, 10),
            ValueError,
            "OneCycleLR: max_lr=nan was given; it must be a number, at least 0.",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1.0, 10, max_momentum=5),
            ValueError,
            "OneCycleLR: max_momentum=5 was given; it must be a number, at least 0 and below 1.",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1.0, 10, base_momentum="a"),
            ValueError,
            "OneCycleLR: base_momentum='a' was given; it must be a number, at least 0 and below 1.",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1.0, 10, div_factor=0),
            ValueError,
            "OneCycleLR: div_factor=0 was given; it must be a number above 0.",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1.0, 10, final_div_factor=-3),
            ValueError,
            "OneCycleLR: final_div_factor=-3 was given; it must be a number above 0.",
        ),
        (
            lambda o: optim.OneCycleLR(o, 1.0, 10, pct_start=2),
            ValueError,
            "OneCycleLR: pct_start=2 was given; it must be a number from 0 to 1.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, patience="a"),
            ValueError,
            "ReduceLROnPlateau: patience='a' was given; it must be an integer, at least 0.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, cooldown=-1),
            ValueError,
            "ReduceLROnPlateau: cooldown=-1 was given; it must be an integer, at least 0.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, threshold=math.nan),
            ValueError,
            "ReduceLROnPlateau: threshold=nan was given; it must be a number, at least 0.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, eps="a"),
            ValueError,
            "ReduceLROnPlateau: eps='a' was given; it must be a number, at least 0.",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, min_lr=[0, None]),
            ValueError,
            "ReduceLROnPlateau: min_lr=None was given; it must be a number, at least 0.",
        ),
    ],
)
def test_settings_that_make_no_sense(make, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make(optimizer_of())


def test_a_cycle_ends():
    schedule = optim.OneCycleLR(optimizer_of(), 1.0, 3)
    values(schedule, 3)
    message = (
        "OneCycleLR: step was called 4 times; total_steps is 3. Make the cycle as long as the "
        "training."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        schedule.step()


def test_a_group_that_is_added_later_has_its_own_base():
    optimizer = optim.SGD([mg.zeros(1)], lr=1.0)
    schedule = optim.ExponentialLR(optimizer, 0.5)
    schedule.step()
    optimizer.add_param_group({"params": [mg.zeros(1)], "lr": 8.0})
    schedule.step()
    assert schedule.get_last_lr() == [0.25, 2.0]


# --- compiled -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_compiled_steps_see_the_rate_of_each_call(kind):
    def build(w: World):
        step = trained(w)
        w.optimizer = getattr(optim, kind)(w.model.parameters())
        w.schedule = optim.OneCycleLR(w.optimizer, 0.1, 30)
        return step

    check_training(build, *[lambda w: w.schedule.step()] * 8, before=1)


def test_a_replay_follows_the_schedule_without_a_new_trace():
    w = World()
    step = mg.compile(trained(w))
    schedule = optim.CosineAnnealingLR(w.optimizer, 20)
    for _ in range(20):
        step(X, Y)
        schedule.step()
    assert step.traces == 1
    before = w.model[0].weight.numpy()
    step(X, Y)  # the rate is 0 now
    assert np.array_equal(w.model[0].weight.data, before)


def test_a_schedule_inside_a_compiled_step_is_refused():
    w = World()

    def stepping(w, x, y):
        loss = usual(w, x, y)
        w.schedule.step()
        return loss

    step = mg.compile(trained(w, stepping))
    w.schedule = optim.StepLR(w.optimizer, 1)
    with pytest.raises(TraceError, match=r"^compile: StepLR\.step\(\) was asked for in the traced"):
        step(X, Y)
