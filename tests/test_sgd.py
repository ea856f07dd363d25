"""SGD: its trajectory, its settings, its state."""

import copy
import gc
import itertools
import json
import math
import pickle
import re
import tracemalloc

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import GraphError, ShapeError, StateError
from microgrid.optim import SGD, Optimizer

STEPS = 12
COMBINATIONS = [
    {"momentum": m, "dampening": d, "weight_decay": w, "nesterov": n}
    for m, d, w, n in itertools.product((0.0, 0.9), (0.0, 0.3), (0.0, 0.1), (False, True))
    if not n or (m > 0 and d == 0)
]


def leaves(dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (4,), (), (2, 0), (1, 5)]
    return [mg.tensor(rng.normal(size=s), dtype=dtype, requires_grad=True) for s in shapes]


def set_gradients(ps, step):
    """Give each the gradient of a fixed bowl at its value, and leave one out now and then."""
    for i, p in enumerate(ps):
        p.grad = None if (step + i) % 5 == 0 else (p.data * (i + 1) - 0.3).astype(p.dtype)


def run(optimizer, ps, steps=STEPS, start=0):
    for step in range(start, start + steps):
        set_gradients(ps, step)
        optimizer.step()
    return [p.numpy() for p in ps]


def by_hand(ps, steps, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    """Follow the docstring, number by number."""
    values, buffers = [p.numpy() for p in ps], [None] * len(ps)
    for step in range(steps):
        for i, p in enumerate(values):
            if (step + i) % 5 == 0:
                continue
            g = p * (i + 1) - 0.3
            g = g + weight_decay * p
            if momentum:
                b = buffers[i]
                buffers[i] = g if b is None else momentum * b + (1 - dampening) * g
                g = g + momentum * buffers[i] if nesterov else buffers[i]
            values[i] = p - lr * g
    return values


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_the_trajectory_follows_the_formula(settings):
    ps = leaves()
    expected = by_hand(ps, STEPS, 0.1, **settings)
    for found, value in zip(run(SGD(ps, lr=0.1, **settings), ps), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-13)  # roundoff of 12 steps


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_the_trajectory_equals_pytorchs(settings):
    torch = pytest.importorskip("torch")
    ps = leaves()
    twins = [torch.tensor(p.numpy(), requires_grad=True) for p in ps]
    groups = [slice(0, 2), slice(2, 3), slice(3, None)]
    own = [{}, {"lr": 0.01}, {"momentum": 0.5, "dampening": 0.0, "weight_decay": 0.2}]
    ours = SGD(
        [{"params": ps[s], **o} for s, o in zip(groups, own, strict=True)], lr=0.1, **settings
    )
    theirs = torch.optim.SGD(
        [{"params": twins[s], **o} for s, o in zip(groups, own, strict=True)], lr=0.1, **settings
    )
    for step in range(STEPS):
        if step == 6:  # settings may change on the way, as schedules do
            ours.param_groups[0]["lr"] = theirs.param_groups[0]["lr"] = 0.05
        set_gradients(ps, step)
        for p, twin in zip(ps, twins, strict=True):
            twin.grad = None if p.grad is None else torch.tensor(p.grad)
        ours.step()
        theirs.step()
        for p, twin in zip(ps, twins, strict=True):
            np.testing.assert_allclose(p.data, twin.detach().numpy(), rtol=0, atol=1e-10)


def test_it_goes_down_a_bowl():
    p = mg.tensor([5.0, -3.0], requires_grad=True)
    optimizer = SGD([p], lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(200):
        optimizer.zero_grad()
        ((p - mg.tensor([1.0, 2.0])) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(p.data, [1, 2], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("settings", COMBINATIONS)
def test_dtype_and_memory_are_kept_and_gradients_untouched(settings, dtype):
    ps = leaves(dtype)
    memory = [p.data for p in ps]
    optimizer = SGD(ps, lr=np.float64(0.1), **settings)  # a NumPy float is not weak
    for step in range(3):
        set_gradients(ps, step)
        before = [None if p.grad is None else p.grad.copy() for p in ps]
        optimizer.step()
        for p, m, g in zip(ps, memory, before, strict=True):
            assert p.data is m
            assert p.dtype == dtype
            assert g is None if p.grad is None else np.array_equal(g, p.grad)
    for slots in optimizer.state.values():
        assert slots["momentum_buffer"].dtype == dtype


def test_float32_steps_are_rounded_from_float32_arithmetic():
    p = mg.tensor(np.float32([0.01]), requires_grad=True)
    p.grad = np.float32([0.1])
    expected = np.float32(0.01) - np.float32(0.1) * np.float32(0.1)
    assert expected != np.float32(0.01) - np.float32(np.float64(p.grad[0]) * 0.1)  # it can tell
    SGD([p], lr=np.float64(0.1)).step()
    assert p.data[0] == expected


def test_parameters_of_several_dtypes():
    wide, narrow = mg.tensor([1.0], requires_grad=True), mg.tensor([1.0], "float16", True)
    optimizer = SGD([narrow, wide], lr=0.25, weight_decay=1.0)
    wide.grad, narrow.grad = np.ones(1), np.ones(1, np.float16)
    optimizer.step()
    assert (wide.tolist(), narrow.tolist()) == ([0.5], [0.5])


def test_a_step_is_noticed_by_a_graph_that_used_the_old_values():
    p = mg.tensor([1.0], requires_grad=True)
    loss = (p * p).sum()
    p.grad = np.ones(1)
    SGD([p]).step()
    with pytest.raises(GraphError, match="was written to after the forward pass"):
        loss.backward()


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "weight_decay": 1e-4}])
def test_memory_stays_flat_over_ten_thousand_steps(settings):
    p = mg.tensor(np.ones(100), requires_grad=True)
    optimizer = SGD([p], lr=1e-3, **settings)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()

    train(100)
    tracemalloc.start()
    try:
        train(100)
        gc.collect()  # Python keeps some freed tuples at hand; this lets them go
        before, _ = tracemalloc.get_traced_memory()
        train(10_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2000  # bytes: less than one byte a step


def test_a_parameter_without_gradient_stays_and_keeps_no_state():
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = SGD([p], lr=1, momentum=0.9, weight_decay=0.5)
    serial = p.serial
    optimizer.step()
    assert p.tolist() == [1.0]
    assert p.serial == serial
    assert optimizer.state == {}


def test_zero_grad_forgets():
    ps = leaves()
    set_gradients(ps, 0)
    SGD(ps).zero_grad()
    assert all(p.grad is None for p in ps)


# --- what it takes -------------------------------------------------------------------------------


def test_params_may_be_a_generator_a_list_or_groups():
    model = mg.nn.MLP([2, 3, 1], rng=0)
    assert len(SGD(model.parameters()).param_groups[0]["params"]) == 4
    assert len(SGD(list(model.parameters())).param_groups) == 1
    groups = SGD([{"params": model[0].parameters()}, {"params": model[1].weight, "lr": 1}], lr=2)
    assert [group["lr"] for group in groups.param_groups] == [2, 1]
    assert [len(group["params"]) for group in groups.param_groups] == [2, 1]


def test_a_group_may_be_added_later():
    a, b = mg.tensor([1.0], requires_grad=True), mg.tensor([[1.0, 1.0]], requires_grad=True)
    optimizer = SGD([a], lr=0.5)
    a.grad = np.ones(1)
    optimizer.step()
    optimizer.add_param_group({"params": [b], "lr": 0.25})
    b.grad = np.ones((1, 2))
    optimizer.step()
    assert (a.tolist(), b.tolist()) == ([0.0], [[0.75, 0.75]])


P = mg.tensor([1.0], requires_grad=True)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([], ValueError, "SGD: no parameters were given. Pass model.parameters()"),
        (P, TypeError, "SGD: one Tensor was given; params is an iterable of Tensors or of groups."),
        ({"a": P}, TypeError, "SGD: one dict was given;"),
        ([np.ones(1)], TypeError, "SGD: a parameter of type ndarray was given; it needs Tensors."),
        ([("a", P)], TypeError, "SGD: a parameter of type tuple was given; it needs Tensors."),
        ([P, P], ValueError, "SGD: a parameter of shape (1,) was given twice;"),
        (
            [mg.tensor([1, 2])],
            mg.errors.DtypeError,
            "SGD: a parameter of dtype int64 was given; it needs floats, as integers have no "
            "gradient. Make it with dtype=float.",
        ),
        (
            [{"params": [P]}, {"params": [P]}],
            ValueError,
            "SGD: a parameter of shape (1,) was given",
        ),
        ([{"params": []}], ValueError, "SGD: a group has no parameters."),
        ([{"lr": 1}], TypeError, "SGD: a group of type dict was given;"),
        ([{"params": 3}], TypeError, "SGD: one int was given; params is an iterable of Tensors."),
        ([{"params": [P]}, P], TypeError, "SGD: a group of type Tensor was given;"),
        ([{"params": [P], "rate": 1}], ValueError, "SGD: a group sets rate; the settings are lr,"),
        ([{"params": [P], "lr": -1}], ValueError, "SGD: lr=-1 was given;"),
        (
            [P * 2],
            GraphError,
            "SGD: a result of multiply (shape (1,)) was given; only a leaf can be",
        ),
    ],
)
def test_params_that_cannot_be_optimised(params, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        SGD(params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -0.1}, "SGD: lr=-0.1 was given; it must be a number, at least 0."),
        ({"lr": math.nan}, "SGD: lr=nan was given; it must be a number, at least 0."),
        ({"lr": "0.1"}, "SGD: lr='0.1' was given; it must be a number, at least 0."),
        ({"momentum": -1}, "SGD: momentum=-1 was given; it must be a number, at least 0."),
        ({"weight_decay": -1}, "SGD: weight_decay=-1 was given; it must be a number, at least 0."),
        ({"dampening": None}, "SGD: dampening=None was given; it must be a number."),
        ({"nesterov": "x"}, "SGD: nesterov='x' was given; it must be True or False."),
        (
            {"nesterov": True},
            "SGD: nesterov=True was given with momentum=0.0 and dampening=0.0; it needs momentum "
            "above 0 and dampening 0.",
        ),
        (
            {"nesterov": True, "momentum": 0.9, "dampening": 0.5},
            "SGD: nesterov=True was given with momentum=0.9 and dampening=0.5; it needs momentum "
            "above 0 and dampening 0.",
        ),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SGD([P], **settings)


def test_pytorch_refuses_the_same():
    torch = pytest.importorskip("torch")
    for settings in (
        {"lr": -0.1}, {"momentum": -1}, {"weight_decay": -1}, {"nesterov": True},
        {"nesterov": True, "momentum": 0.9, "dampening": 0.5},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            torch.optim.SGD([torch.zeros(1, requires_grad=True)], **{"lr": 0.1, **settings})


def test_the_base_class_has_no_step():
    with pytest.raises(NotImplementedError, match=r"^Optimizer: step is not defined\.$"):
        Optimizer([P], {}).step()


# --- its state -----------------------------------------------------------------------------------


def two_groups(ps):
    return SGD([{"params": ps[:2]}, {"params": ps[2:], "lr": 0.2}], lr=0.1, momentum=0.9)


@pytest.mark.parametrize("through_json", [False, True])
def test_a_loaded_state_continues_bit_for_bit(through_json):
    straight = leaves()
    expected = run(two_groups(straight), straight, 10)
    ps = leaves()
    first = two_groups(ps)
    run(first, ps, 5)
    state = first.state_dict()
    if through_json:  # numbers become text as keys, arrays are saved elsewhere
        arrays = state["state"]
        state = json.loads(json.dumps({**state, "state": {}}))
        state["state"] = {str(i): slots for i, slots in arrays.items()}
    twins = [mg.tensor(p.numpy(), requires_grad=True) for p in ps]
    second = SGD([{"params": twins[:2]}, {"params": twins[2:]}], lr=9, momentum=0.1)
    second.load_state_dict(state)
    assert [group["lr"] for group in second.param_groups] == [0.1, 0.2]
    found = run(second, twins, 5, start=5)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_state_dict_is_a_copy_both_ways():
    ps = leaves()
    optimizer = two_groups(ps)
    run(optimizer, ps, 3)
    state = optimizer.state_dict()
    kept = state["state"][0]["momentum_buffer"].copy()
    optimizer.load_state_dict(state)
    run(optimizer, ps, 3)
    assert np.array_equal(state["state"][0]["momentum_buffer"], kept)
    assert state["param_groups"][1]["params"] == [2, 3, 4]


def test_a_state_that_does_not_fit_changes_nothing_and_lists_all_faults():
    ps = leaves()
    optimizer = two_groups(ps)
    run(optimizer, ps, 3)
    before = copy.deepcopy(optimizer.state_dict())
    wrong = optimizer.state_dict()
    wrong["param_groups"][0]["lr"] = -1
    del wrong["param_groups"][1]["momentum"]
    wrong["param_groups"][1]["rate"] = 1
    wrong["state"][0]["momentum_buffer"] = np.zeros((4, 3))
    wrong["state"][1] = {"velocity": np.zeros(4)}
    wrong["state"][9] = {}
    message = (
        "load_state_dict: the state does not fit this SGD: "
        "group 0: SGD: lr=-1 was given; it must be a number, at least 0; "
        "group 1: missing momentum; group 1: unexpected rate; "
        "parameter 0: momentum_buffer has shape (4, 3) and dtype float64, needed (3, 4) and "
        "float64; "
        "parameter 1: missing momentum_buffer; parameter 1: unexpected velocity; "
        "state of parameter 9, of 5. Nothing was loaded. Build the optimiser as it was when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        optimizer.load_state_dict(wrong)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for i, slots in before["state"].items():
        assert np.array_equal(after["state"][i]["momentum_buffer"], slots["momentum_buffer"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("state"), "missing state"),
        (lambda s: s["param_groups"].pop(), "1 groups, needed 2"),
        (
            lambda s: s["param_groups"][0]["params"].pop(),
            re.escape("group 0 has parameters [0], needed [0, 1]"),
        ),
    ],
)
def test_states_of_other_optimisers(change, message):
    optimizer = two_groups(leaves())
    state = optimizer.state_dict()
    change(state)
    with pytest.raises(StateError, match=message):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_with_its_model_goes_on_alone(duplicate):
    ps = leaves()
    optimizer = two_groups(ps)
    run(optimizer, ps, 3)
    twins, twin = duplicate((ps, optimizer))
    expected = run(optimizer, ps, 3, start=3)
    found = run(twin, twins, 3, start=3)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_repr_shows_the_groups():
    assert repr(SGD([P], lr=0.5)) == (
        "SGD(1 parameters, lr=0.5, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)"
    )


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"weight_decay": 0.1}])
@pytest.mark.parametrize(("shape", "given"), [((1, 3), (3,)), ((1,), ()), ((2, 0), (0,))])
def test_a_gradient_that_numpy_would_stretch_is_refused(shape, given, settings):
    p = mg.tensor(np.zeros(shape), requires_grad=True)
    p.grad = np.ones(given)
    message = (
        f"SGD: the grad of parameter 0 has shape {given}; the parameter has {shape}, and the "
        "shapes must be equal."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        SGD([p], **settings).step()
    assert not p.data.any()


def test_a_parameter_that_requires_no_gradient_is_left_as_it_is():
    """As in PyTorch: a model with frozen layers is handed over whole."""
    frozen, free = mg.tensor([1.0]), mg.tensor([1.0], requires_grad=True)
    optimizer = SGD([frozen, free], lr=0.5)
    (frozen * free).sum().backward()
    optimizer.step()
    assert frozen.item() == 1.0
    assert free.item() == 0.5


# --- gradients set by hand ------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}])
@pytest.mark.parametrize(
    ("grad", "error", "message"),
    [
        (np.ones(3), ShapeError, "the grad of parameter 0 has shape (3,); the parameter has (2,"),
        (np.ones((3, 3)), ShapeError, "the grad of parameter 0 has shape (3, 3); the parameter"),
        (np.ones((6, 1)), ShapeError, "the grad of parameter 0 has shape (6, 1); the parameter"),
        ([1.0, 2.0, 3.0], TypeError, "the grad of parameter 0 is of type list; it must be an"),
        (1.0, TypeError, "the grad of parameter 0 is of type float; it must be an array or None."),
    ],
)
def test_a_gradient_that_does_not_fit_changes_nothing(settings, grad, error, message):
    p = mg.tensor(np.zeros((2, 3)), requires_grad=True)
    optimizer = SGD([p], **settings)
    p.grad = grad
    with pytest.raises(error, match=f"^SGD: {re.escape(message)}"):
        optimizer.step()
    assert p.tolist() == np.zeros((2, 3)).tolist()
    assert optimizer.state == {}


def test_a_rate_beyond_float16_gives_infinity_without_a_warning():
    p = mg.tensor(np.array([1.0, 1.0], np.float16), requires_grad=True)
    optimizer = SGD([p], lr=1e6)
    p.grad = np.array([1.0, 0.0], np.float16)
    optimizer.step()  # warnings are errors here
    assert p.tolist()[0] == -np.inf


def test_a_model_where_its_parameters_are_meant():
    for model in (mg.nn.Dense(2, 2), mg.nn.MLP([2, 2])):
        name = type(model).__name__
        message = f"SGD: one {name} was given; params is an iterable of Tensors or of groups. "
        with pytest.raises(TypeError, match=f"^{re.escape(message)}Pass model.par"):
            SGD(model)


# --- states that are none -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda s: None, "a state of type NoneType, needed a dict"),
        (lambda s: {**s, "state": None}, "state of type NoneType, needed a dict"),
        (lambda s: {**s, "state": {0: None}}, "parameter 0: a state of type NoneType, needed a"),
        (lambda s: {**s, "param_groups": None}, "param_groups that is no list of dicts"),
        (lambda s: {**s, "param_groups": [3]}, "param_groups that is no list of dicts"),
        (
            lambda s: {**s, "param_groups": [{**s["param_groups"][0], "params": 0}]},
            "group 0 has parameters 0, needed [0]",
        ),
        *(
            (
                lambda s, value=value: {**s, "state": {0: {"momentum_buffer": value}}},
                f"parameter 0: momentum_buffer {fault}",
            )
            for value, fault in (
                (None, "is of type NoneType, needed an array"),
                ("abc", "is of type str, needed an array"),
                ([[1.0], 2.0], "is of type list, needed an array"),
                (3, "has shape () and dtype int64, needed (2,) and float64"),
            )
        ),
    ],
)
def test_states_that_are_none(change, fault):
    p = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = SGD([p], momentum=0.9)
    p.grad = np.ones(2)
    optimizer.step()
    message = f"load_state_dict: the state does not fit this SGD: {fault}"
    with pytest.raises(StateError, match=f"^{re.escape(message)}"):
        optimizer.load_state_dict(change(optimizer.state_dict()))
