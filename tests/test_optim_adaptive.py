"""Adam and its kin, RMSprop, Adagrad, Adadelta, Rprop, Lion: trajectories, settings, state."""

import copy
import json
import math
import pickle
import re

import numpy as np
import pytest
from compiled import Twins

import microgrid as mg
from microgrid import nn
from microgrid.errors import GraphError, ShapeError, StateError
from microgrid.optim import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop
from microgrid.optim import Rprop as RpropOptimizer

STEPS = 30
SETTINGS = [
    (Adam, {}),
    (Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (Adam, {"lr": 0.05, "betas": (0.3, 0.5), "amsgrad": True}),
    (Adam, {"betas": (0.0, 0.0), "weight_decay": 0.2}),
    (AdamW, {}),
    (AdamW, {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
    (NAdam, {}),
    (NAdam, {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "momentum_decay": 0.1}),
    (NAdam, {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    (RMSprop, {}),
    (RMSprop, {"alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.9}),
    (RMSprop, {"alpha": 0.9, "centered": True, "eps": 1e-3}),
    (RMSprop, {"momentum": 0.5, "centered": True, "weight_decay": 0.1, "eps": 1e-3}),
    (Adagrad, {}),
    (Adagrad, {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    (Adadelta, {}),
    (Adadelta, {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    (RpropOptimizer, {}),
    (RpropOptimizer, {"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (1e-3, 0.3)}),
    (Lion, {"lr": 0.01}),
    (Lion, {"lr": 0.01, "betas": (0.6, 0.8), "weight_decay": 0.1}),
]
NAMES = [f"{kind.__name__}-{i}" for i, (kind, _) in enumerate(SETTINGS)]
each = pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=NAMES)
KINDS = [Adam, AdamW, NAdam, RMSprop, Adagrad, Adadelta, RpropOptimizer, Lion]


def leaves(dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (4,), (), (2, 0), (1, 5)]
    return [mg.tensor(rng.normal(size=s), dtype=dtype, requires_grad=True) for s in shapes]


def set_gradients(ps, step):
    """Give each the gradient of a fixed bowl; the last gets its first one late, others lack some.

    The gradients swing, so that signs turn.
    """
    for i, p in enumerate(ps):
        without = (step + i) % 5 == 0 or (i == 4 and step < 7)
        bowl = p.data * (i + 1) - 0.3 + math.sin(step)
        p.grad = None if without else np.asarray(bowl, p.dtype)


def run(optimizer, ps, steps=STEPS, start=0):
    for step in range(start, start + steps):
        set_gradients(ps, step)
        optimizer.step()
    return [p.numpy() for p in ps]


# --- trajectories ---------------------------------------------------------------------------------


def sign(x):
    return (x > 0) - (x < 0)


def by_hand(kind, s, p, g, memory):
    """Return the next value of one number, as the papers and docstrings say."""
    memory["t"] = t = memory.get("t", 0) + 1
    lr, decay = s["lr"], s.get("weight_decay", 0.0)
    apart = kind in (AdamW, Lion) or s.get("decoupled_weight_decay")
    p, g = (p - lr * decay * p, g) if apart else (p, g + decay * p)
    if kind in (Adam, AdamW, NAdam):
        b1, b2 = s["betas"]
        m = memory["m"] = b1 * memory.get("m", 0.0) + (1 - b1) * g
        v = memory["v"] = b2 * memory.get("v", 0.0) + (1 - b2) * g**2
        if s.get("amsgrad"):
            v = memory["top"] = max(memory.get("top", 0.0), v)
        divisor = math.sqrt(v / (1 - b2**t)) + s["eps"]
        if kind is not NAdam:
            return p - lr * m / (1 - b1**t) / divisor
        mus = [b1 * (1 - 0.5 * 0.96 ** (i * s["momentum_decay"])) for i in range(1, t + 2)]
        ahead = mus[-1] * m / (1 - math.prod(mus))
        return p - lr * ((1 - mus[-2]) * g / (1 - math.prod(mus[:-1])) + ahead) / divisor
    if kind is RMSprop:
        v = memory["v"] = s["alpha"] * memory.get("v", 0.0) + (1 - s["alpha"]) * g**2
        mean = memory["m"] = s["alpha"] * memory.get("m", 0.0) + (1 - s["alpha"]) * g
        quotient = g / (math.sqrt(v - mean**2 if s["centered"] else v) + s["eps"])
        b = memory["b"] = s["momentum"] * memory.get("b", 0.0) + quotient
        return p - lr * b
    if kind is Adagrad:
        v = memory["v"] = memory.get("v", s["initial_accumulator_value"]) + g**2
        return p - lr / (1 + (t - 1) * s["lr_decay"]) * g / (math.sqrt(v) + s["eps"])
    if kind is Adadelta:
        v = memory["v"] = s["rho"] * memory.get("v", 0.0) + (1 - s["rho"]) * g**2
        u = memory.get("u", 0.0)
        d = math.sqrt(u + s["eps"]) / math.sqrt(v + s["eps"]) * g
        memory["u"] = s["rho"] * u + (1 - s["rho"]) * d**2
        return p - lr * d
    if kind is RpropOptimizer:
        turn = sign(memory.get("g", 0.0) * g)
        factor = {1: s["etas"][1], 0: 1.0, -1: s["etas"][0]}[turn]
        low, high = s["step_sizes"]
        size = memory["s"] = min(max(memory.get("s", lr) * factor, low), high)
        memory["g"] = g = 0.0 if turn < 0 else g
        return p - size * sign(g)
    b1, b2 = s["betas"]
    m = memory.get("m", 0.0)
    memory["m"] = b2 * m + (1 - b2) * g
    return p - lr * sign(b1 * m + (1 - b1) * g)


@each
def test_the_trajectory_follows_the_formula(kind, settings):
    ps = leaves()
    optimizer = kind(ps, **settings)
    full = optimizer.defaults
    twins = leaves()
    memories = [[{} for _ in range(p.size)] for p in twins]
    for step in range(STEPS):
        set_gradients(ps, step)
        set_gradients(twins, step)
        optimizer.step()
        for p, memory in zip(twins, memories, strict=True):
            if p.grad is not None:
                numbers = zip(p.data.ravel().tolist(), p.grad.ravel().tolist(), memory, strict=True)
                new = [by_hand(kind, full, *number) for number in numbers]
                p.data[...] = np.reshape(new, p.shape)
    for p, twin in zip(ps, twins, strict=True):
        # Roundoff of 30 steps; where a square is taken from a square of its size, it grows.
        np.testing.assert_allclose(p.data, twin.data, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("kind", "settings"), [(k, s) for k, s in SETTINGS if k is not Lion], ids=NAMES[:-2]
)
def test_the_trajectory_equals_pytorchs(kind, settings):
    torch = pytest.importorskip("torch")
    ps = leaves()
    twins = [torch.tensor(p.numpy(), requires_grad=True) for p in ps]
    groups = [slice(0, 2), slice(2, 3), slice(3, None)]
    own = [{}, {"lr": 0.02}, {}]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product in the default dtype
    try:
        ours, theirs = (
            make([{"params": some[s], **o} for s, o in zip(groups, own, strict=True)], **settings)
            for make, some in ((kind, ps), (getattr(torch.optim, kind.__name__), twins))
        )
        for step in range(STEPS):
            if step == 6:  # settings may change on the way, as schedules do
                ours.param_groups[0]["lr"] = theirs.param_groups[0]["lr"] = 0.005
            set_gradients(ps, step)
            for p, twin in zip(ps, twins, strict=True):
                twin.grad = None if p.grad is None else torch.tensor(p.grad)
            ours.step()
            theirs.step()
            for p, twin in zip(ps, twins, strict=True):
                np.testing.assert_allclose(p.data, twin.detach().numpy(), rtol=0, atol=1e-9)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not Lion])
def test_settings_have_pytorchs_names_and_defaults(kind):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.optim, kind.__name__)([torch.zeros(1)]).defaults
    ours = kind([mg.zeros(1)]).defaults
    assert ours == {name: theirs[name] for name in ours}
    switches = {"maximize", "foreach", "capturable", "differentiable", "fused"}
    assert theirs.keys() - ours.keys() <= switches | {"decoupled_weight_decay"}


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_down_a_bowl(kind):
    p = mg.tensor([5.0, -3.0], requires_grad=True)
    optimizer = kind([p], lr={Adadelta: 100.0, Adagrad: 1.0}.get(kind, 0.02))
    for _ in range(1500):
        optimizer.zero_grad()
        ((p - mg.tensor([1.0, 2.0])) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(p.data, [1, 2], atol=0.05)  # some go on by their least step


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each
def test_dtype_and_memory_are_kept_and_gradients_untouched(kind, settings, dtype):
    ps = leaves(dtype)
    memory = [p.data for p in ps]
    optimizer = kind(ps, **{"lr": np.float64(0.1), **settings})  # a NumPy float is not weak
    for step in range(9):
        set_gradients(ps, step)
        before = [None if p.grad is None else p.grad.copy() for p in ps]
        optimizer.step()
        for p, m, g in zip(ps, memory, before, strict=True):
            assert p.data is m
            assert g is None if p.grad is None else np.array_equal(g, p.grad, equal_nan=True)
    for p, slots in optimizer.state.items():
        for name in set(slots) - set(optimizer.counts):
            assert (slots[name].dtype, slots[name].shape) == (dtype, p.shape)


def test_a_variance_that_rounding_makes_negative_gives_no_nan():
    p = mg.tensor([0.1], requires_grad=True)
    optimizer = RMSprop([p], lr=1e-12, alpha=0.5, centered=True)
    p.grad = np.array([0.1])
    for _ in range(200):
        optimizer.step()
    assert np.isfinite(p.data).all()


def test_a_step_is_noticed_by_a_graph_that_used_the_old_values():
    p = mg.tensor([1.0], requires_grad=True)
    loss = (p * p).sum()
    p.grad = np.ones(1)
    Adam([p]).step()
    with pytest.raises(GraphError, match="was written to after the forward pass"):
        loss.backward()


# --- state ----------------------------------------------------------------------------------------


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("through_json", [False, True])
@each
def test_a_loaded_state_continues_bit_for_bit(kind, settings, through_json):
    straight = leaves()
    expected = run(kind(straight, **settings), straight, 12)
    ps = leaves()
    first = kind(ps, **settings)
    run(first, ps, 5)
    state = first.state_dict()
    if through_json:  # tuples become lists, numbers as keys text; arrays are saved elsewhere
        arrays = state["state"]
        state = json.loads(json.dumps({**state, "state": {}}))
        state["state"] = {str(i): slots for i, slots in arrays.items()}
    twins = [mg.tensor(p.numpy(), requires_grad=True) for p in ps]
    second = kind(twins)
    second.load_state_dict(state)
    assert same(run(second, twins, 7, start=5), expected)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@each
def test_a_copy_with_its_model_goes_on_alone(kind, settings, duplicate):
    ps = leaves()
    optimizer = kind(ps, **settings)
    run(optimizer, ps, 6)
    twins, twin = duplicate((ps, optimizer))
    expected = run(optimizer, ps, 6, start=6)
    assert same(run(twin, twins, 6, start=6), expected)


def test_a_parameter_counts_its_own_steps():
    early, late = (mg.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = Adam([early, late], lr=0.5)
    early.grad = np.ones(1)
    for _ in range(3):
        optimizer.step()
    assert late not in optimizer.state
    late.grad = np.full(1, 100.0)
    optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in (early, late)] == [4, 1]
    np.testing.assert_allclose(late.data, [0.5], rtol=1e-9)  # a first step has the size of lr


def test_what_a_setting_needs_is_remembered_from_when_it_is_set():
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = Adam([p])
    p.grad = np.ones(1)
    optimizer.step()
    assert optimizer.state[p].keys() == {"step", "exp_avg", "exp_avg_sq"}
    optimizer.param_groups[0]["amsgrad"] = True
    optimizer.step()
    assert optimizer.state[p]["max_exp_avg_sq"] == optimizer.state[p]["exp_avg_sq"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda slots: slots.pop("step"), "parameter 0: missing step"),
        (lambda slots: slots.pop("exp_avg"), "parameter 0: missing exp_avg"),
        (
            lambda slots: slots.update(step=np.array(2.0)),
            "parameter 0: step has shape () and dtype float64, needed () and int64",
        ),
        (
            lambda slots: slots.update(step=np.array([2])),
            "parameter 0: step has shape (1,) and dtype int64, needed () and int64",
        ),
        (
            lambda slots: slots.update(step=np.array(-1)),
            "parameter 0: step is -1, needed a number that is not below 0",
        ),
        (lambda slots: slots.update(velocity=np.zeros(1)), "parameter 0: unexpected velocity"),
    ],
)
def test_states_that_do_not_fit_are_refused(change, fault):
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = Adam([p])
    p.grad = np.ones(1)
    optimizer.step()
    state = optimizer.state_dict()
    change(state["state"][0])
    message = f"load_state_dict: the state does not fit this Adam: {fault}."
    with pytest.raises(StateError, match=f"^{re.escape(message)}"):
        optimizer.load_state_dict(state)


def test_a_state_needs_what_its_own_settings_need():
    p = mg.tensor([1.0], requires_grad=True)
    plain = Adam([p])
    p.grad = np.ones(1)
    plain.step()
    state = plain.state_dict()
    Adam([p], amsgrad=True).load_state_dict(state)  # the settings are loaded too
    state["param_groups"][0]["amsgrad"] = True
    with pytest.raises(StateError, match="parameter 0: missing max_exp_avg_sq"):
        plain.load_state_dict(state)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Adam, {"lr": -1}, "Adam: lr=-1 was given; it must be a number, at least 0."),
        (AdamW, {"eps": -1}, "AdamW: eps=-1 was given; it must be a number, at least 0."),
        (
            Adam,
            {"betas": (0.9, 1.0)},
            "Adam: betas=(0.9, 1.0) was given; it must be two numbers, at least 0 and below 1.",
        ),
        (
            Lion,
            {"betas": 0.9},
            "Lion: betas=0.9 was given; it must be two numbers, at least 0 and below 1.",
        ),
        (
            NAdam,
            {"momentum_decay": -1},
            "NAdam: momentum_decay=-1 was given; it must be a number, at least 0.",
        ),
        (Adam, {"amsgrad": "x"}, "Adam: amsgrad='x' was given; it must be True or False."),
        (RMSprop, {"centered": 1}, "RMSprop: centered=1 was given; it must be True or False."),
        (
            NAdam,
            {"decoupled_weight_decay": None},
            "NAdam: decoupled_weight_decay=None was given; it must be True or False.",
        ),
        (RMSprop, {"alpha": 2}, "RMSprop: alpha=2 was given; it must be a number from 0 to 1."),
        (RMSprop, {"momentum": -1}, "RMSprop: momentum=-1 was given; it must be a number, at"),
        (Adagrad, {"lr_decay": -1}, "Adagrad: lr_decay=-1 was given; it must be a number, at"),
        (Adadelta, {"rho": math.nan}, "Adadelta: rho=nan was given; it must be a number from 0"),
        (
            RpropOptimizer,
            {"etas": (0.5, 1.0)},
            "Rprop: etas=(0.5, 1.0) was given; it must be a number between 0 and 1, and one above "
            "1.",
        ),
        (
            RpropOptimizer,
            {"step_sizes": (1, 0)},
            "Rprop: step_sizes=(1, 0) was given; it must be two numbers, at least 0, the smaller "
            "one first.",
        ),
    ],
)
def test_settings_that_make_no_sense(kind, settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        kind([mg.zeros(1)], **settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("grad", "error"), [(np.ones(3), ShapeError), (np.ones((3, 2)), ShapeError), (1.0, TypeError)]
)
def test_a_gradient_that_does_not_fit_changes_nothing(kind, grad, error):
    p = mg.tensor(np.zeros((2, 3)), requires_grad=True)
    optimizer = kind([p])
    p.grad = grad
    with pytest.raises(error, match=f"^{kind.__name__}: the grad of parameter 0 "):
        optimizer.step()
    assert not p.data.any()
    assert optimizer.state == {}


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}])
@pytest.mark.parametrize("kind", [SGD, RMSprop])
@pytest.mark.parametrize("dtype", ["complex128", "<U1"])
def test_a_gradient_that_is_no_real_number_is_refused(kind, settings, dtype):
    p = mg.tensor(np.zeros(2), requires_grad=True)
    p.grad = np.ones(2).astype(dtype)
    message = (
        f"{kind.__name__}: the grad of parameter 0 has dtype {dtype}; the parameter has float64. "
        "Use np.array(..., p.dtype)."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        kind([p], **settings).step()
    assert not p.data.any()


def test_a_gradient_of_a_wider_dtype_is_rounded_first():
    narrow, wide = (mg.tensor(np.float32([0.1]), requires_grad=True) for _ in range(2))
    narrow.grad, wide.grad = np.float32([0.3]), np.float32([0.3]).astype(np.float64)
    for p in (narrow, wide):
        Adam([p]).step()
    assert narrow.tolist() == wide.tolist()


def test_an_optimiser_of_your_own_is_its_update():
    class Quarter(Optimizer):
        slots = ("seen",)
        elementwise = True

        def update(self, group, data, g, scratch, slots):
            slots["seen"] += g
            data -= group["lr"] * slots["seen"]

    p = mg.tensor([1.0], requires_grad=True)
    optimizer = Quarter([p], {"lr": 0.25})
    p.grad = np.ones(1)
    optimizer.step()
    optimizer.step()
    assert p.tolist() == [0.25]


# --- compiled -------------------------------------------------------------------------------------

X = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
Y = np.random.default_rng(2).normal(size=(4, 2)).astype(np.float32)


def builder(kind, settings, worlds):
    """Return what builds a training step; each side is put into `worlds`."""

    def build():
        model = nn.MLP([3, 5, 2], "tanh", rng=0)
        spare = nn.Dense(3, 2, rng=1)
        groups = [{"params": model[0].parameters()}]
        groups.append({"params": [*model[1].parameters(), *spare.parameters()], "lr": 0.03})
        optimizer = kind(groups, **settings)
        worlds.append((model, spare, optimizer))

        def step(x, y, both=False):
            optimizer.zero_grad()
            loss = mg.mse_loss(model(x) + spare(x) if both else model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        ps = [*model.parameters(), *spare.parameters()]
        return step, lambda: [[[p.data, p.grad] for p in ps], optimizer.state_dict()]

    return build


@each
def test_a_compiled_step_equals_an_eager_one(kind, settings):
    worlds = []
    twins = Twins(builder(kind, settings, worlds))
    for call in range(12):
        for _, _, optimizer in worlds:
            for i, group in enumerate(optimizer.param_groups):
                group["lr"] = 0.1 / (1 + i + call)
                if call == 5 and "betas" in group:
                    group["betas"] = (0.5, 0.7)
                if call == 6 and "eps" in group:
                    group["eps"] = 1e-4
        twins.call(X, Y)
    assert twins.compiled.traces == 1
    on_vectors = re.findall(r"^    update\d*\(k", twins.compiled.source, re.MULTILINE)
    assert len(on_vectors) == 2  # one a group


@each
def test_a_parameter_whose_first_gradient_comes_late(kind, settings):
    twins = Twins(builder(kind, settings, []))
    for both in (False, False, False, True, True, True, False, True, True):
        twins.call(X, Y, both=both)


@each
def test_eager_steps_between_compiled_ones(kind, settings):
    """Also such as leave a parameter out, so that counts differ from then on."""
    worlds = []
    twins = Twins(builder(kind, settings, worlds))
    for call in range(9):
        twins.call(X, Y)
        if call in (3, 5):
            for model, _, optimizer in worlds:
                model[0].bias.zero_grad()
                optimizer.step()
            twins.check_seen()


@each
def test_a_state_loaded_between_compiled_steps(kind, settings):
    worlds = []
    twins = Twins(builder(kind, settings, worlds))
    twins.call_each([(X, Y)] * 3)
    saved = [optimizer.state_dict() for _, _, optimizer in worlds]
    twins.call_each([(X, Y)] * 3)
    for (_, _, optimizer), state in zip(worlds, saved, strict=True):
        optimizer.load_state_dict(state)
    twins.call_each([(X, Y)] * 3)


def test_amsgrad_switched_on_between_compiled_steps():
    worlds = []
    twins = Twins(builder(Adam, {}, worlds))
    for call in range(8):
        if call in (3, 6):
            for _, _, optimizer in worlds:
                optimizer.param_groups[0]["amsgrad"] = call == 3
        twins.call(X, Y)


@pytest.mark.parametrize("name", ["adam", "AdamW", "nadam", "rmsprop", "adagrad", "adadelta"])
def test_fit_knows_them_by_name(name):
    model = nn.MLP([3, 4, 2], rng=0)
    history = mg.fit(model, X, Y, loss="mse", optimizer=name, epochs=3, verbose=0, rng=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_sgd_remembers_as_before():
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = SGD([p], momentum=0.9)
    p.grad = np.ones(1)
    optimizer.step()
    assert optimizer.state[p].keys() == {"momentum_buffer"}
