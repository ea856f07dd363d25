"""Module and Parameter: what is found, how it is saved, loaded, copied and shown."""

import copy
import pickle
import re

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError, StateError
from microgrid.nn import MLP, Dense, Module, Parameter, ReLU, Sequential


class Scale(Module):
    """A layer written by a user."""

    def __init__(self, factor=2.0):
        self.factor = Parameter(factor)

    def forward(self, x):
        return x * self.factor


class Branches(Module):
    """Members in lists, tuples and dicts; a shared layer; a module that knows its parent."""

    def __init__(self):
        shared = Scale()
        self.branches = [Dense(2, 3, rng=0), (Scale(), shared)]
        self.by_name = {"last": shared, "note": "not a member"}
        self.own = Parameter([1.0, 2.0])
        self.parent = self

    def forward(self, x):
        return self.by_name["last"](x) * self.own


# --- Parameter -----------------------------------------------------------------------------------


def test_a_parameter_is_a_leaf_that_requires_a_gradient_and_owns_its_memory():
    data = np.ones(3)
    p = Parameter(data)
    data[0] = 7
    assert isinstance(p, mg.Tensor)
    assert p.is_leaf
    assert p.requires_grad
    assert p.tolist() == [1, 1, 1]
    assert not Parameter(data, requires_grad=False).requires_grad


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        (0.5, None, "float32"),
        ([1, 2], None, "float32"),
        (np.ones(2), None, "float64"),
        (np.ones(2, np.float16), None, "float16"),
        (np.float64(1), None, "float64"),
        ([1, 2], "float64", "float64"),
    ],
)
def test_the_dtype_of_a_parameter(data, dtype, expected):
    assert Parameter(data, dtype).dtype == expected


def test_a_parameter_of_integers_says_why_not():
    with pytest.raises(DtypeError, match="a gradient needs a dtype that varies continuously"):
        Parameter(np.array([1, 2]))


def test_a_plain_number_as_parameter_keeps_a_float32_net_float32():
    assert Scale(0.3)(mg.tensor([1.0], dtype=np.float32)).dtype == np.float32


# --- what is found -------------------------------------------------------------------------------


def test_members_are_found_in_containers_once_and_in_order():
    names = [name for name, _ in Branches().named_parameters()]
    assert names == [
        "own", "branches.0.weight", "branches.0.bias", "branches.1.0.factor", "branches.1.1.factor",
    ]  # fmt: skip


def test_parameters_of_a_subclass_without_super_init_are_found():
    assert [p.item() for p in Scale(3.0).parameters()] == [3.0]


def test_named_modules_yields_each_once_the_outermost_first():
    model = Branches()
    names = [name for name, _ in model.named_modules()]
    assert names == ["", "branches.0", "branches.1.0", "branches.1.1"]
    assert next(model.modules()) is model


def test_a_thousand_nested_modules_need_no_stack():
    model = Scale()
    for _ in range(5000):
        outer = Module()
        outer.inner = model
        model = outer
    assert model.num_parameters() == 1
    model.eval()


def test_a_replaced_and_a_deleted_member_are_gone():
    layer = Scale()
    layer.factor = Parameter([1.0, 2.0])
    assert layer.num_parameters() == 2
    del layer.factor
    assert list(layer.parameters()) == []


def test_num_parameters_counts_numbers():
    assert MLP([3, 4, 2]).num_parameters() == 3 * 4 + 4 + 4 * 2 + 2


def test_train_and_eval_reach_every_module_and_return_the_model():
    model = Branches()
    assert all(m.training for m in model.modules())
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    assert model.train() is model
    assert all(m.training for m in model.modules())
    assert Scale().training  # the class was not touched


def test_zero_grad_forgets_every_gradient():
    model = MLP([2, 3, 1], rng=0)
    model(np.ones((4, 2))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_forward_must_be_written():
    with pytest.raises(NotImplementedError, match=r"^Module: forward is not defined\."):
        Module()(1)


# --- its state -----------------------------------------------------------------------------------


def test_state_dict_gives_copies():
    model = Scale()
    model.state_dict()["factor"][...] = 9
    assert model.factor.item() == 2


def test_a_loaded_model_computes_the_same_bit_for_bit_in_the_same_memory():
    model, twin = MLP([3, 4, 2], rng=0), MLP([3, 4, 2], rng=1)
    memory = [p.data for p in twin.parameters()]
    assert twin.load_state_dict(model.state_dict()) == ([], [])
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert np.array_equal(model(x).data, twin(x).data)
    assert all(a is p.data for a, p in zip(memory, twin.parameters(), strict=True))


def test_a_state_that_does_not_fit_changes_nothing_and_lists_all_faults():
    model = MLP([2, 3, 1], rng=0)
    before = model.state_dict()
    state = {
        "0.weight": np.zeros((2, 4), np.float32),
        "0.bias": np.zeros(3),
        "1.weight": np.zeros((3, 1), np.float32),
        "2.weight": np.zeros(1),
    }
    message = (
        "load_state_dict: the state does not fit this MLP: missing 1.bias; "
        "0.weight has shape (2, 4), needed (2, 3); 0.bias has dtype float64, needed float32; "
        "unexpected 2.weight. Nothing was loaded. Build the model as it was when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        model.load_state_dict(state)
    assert all(np.array_equal(before[name], p.data) for name, p in model.named_parameters())


def test_without_strict_only_names_may_differ():
    model = MLP([2, 3, 1], rng=0)
    fits = {"0.bias": np.ones(3, np.float32), "other": np.zeros(1)}
    mismatch = model.load_state_dict(fits, strict=False)
    assert mismatch.missing_keys == ["0.weight", "1.weight", "1.bias"]
    assert mismatch.unexpected_keys == ["other"]
    assert model[0].bias.tolist() == [1, 1, 1]
    with pytest.raises(StateError, match=r"0\.bias has shape \(2,\), needed \(3,\)"):
        model.load_state_dict({"0.bias": np.ones(2, np.float32)}, strict=False)


def test_a_state_may_be_made_of_the_very_parameters_it_is_loaded_into():
    model = Sequential(Dense(2, 2, rng=0), Dense(2, 2, rng=1))
    first, second = model[0].weight.numpy(), model[1].weight.numpy()
    swapped = {"0.weight": model[1].weight.data, "1.weight": model[0].weight.data}
    model.load_state_dict(swapped, strict=False)
    assert np.array_equal(model[0].weight.data, second)
    assert np.array_equal(model[1].weight.data, first)


def test_loading_between_forward_and_backward_is_noticed():
    model = MLP([2, 1], rng=0)
    loss = (model(np.ones((1, 2))) ** 2).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(mg.errors.GraphError, match="was written to after the forward pass"):
        loss.backward()


# --- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent_and_keep_sharing(duplicate):
    shared = Dense(3, 3, rng=0)
    model = Sequential(shared, ReLU(), shared, MLP([3, 2], rng=1)).eval()
    twin = duplicate(model)
    assert twin[0] is twin[2]
    assert twin[0].weight is not model[0].weight
    assert isinstance(twin[0].weight, Parameter)
    assert twin[0].weight.requires_grad
    assert not twin.training
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert np.array_equal(model(x).data, twin(x).data)
    twin[0].weight.data = np.zeros((3, 3))
    assert model[0].weight.data.any()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_parameter_shared_by_two_layers_stays_one(duplicate):
    first, second = Dense(2, 2, rng=0), Dense(2, 2, rng=1)
    second.weight = first.weight
    twin = duplicate(Sequential(first, second))
    assert twin[0].weight is twin[1].weight
    assert len(list(twin.parameters())) == 3


# --- how it looks --------------------------------------------------------------------------------


def test_repr_shows_the_tree():
    assert repr(Sequential(Dense(2, 3), ReLU(), MLP([3, 1]))) == (
        "Sequential(\n  (0): Dense(2, 3)\n  (1): ReLU()\n  (2): MLP(\n    (0): Dense(3, 1)\n  )\n)"
    )


def test_repr_of_a_module_that_holds_itself_ends():
    assert "(parent): ..." in repr(Branches())


# --- what would lose a parameter ------------------------------------------------------------------


@pytest.mark.parametrize("value", [mg.ones((2, 2)), np.ones((2, 2)), 1.0, [1.0]])
def test_only_a_parameter_or_none_takes_the_place_of_a_parameter(value):
    layer = Dense(2, 2)
    before = layer.weight
    message = (
        f"Dense: weight is a Parameter, and a value of type {type(value).__name__} was given for "
        "it; it needs a Parameter, or None. Write to weight.data to change the numbers."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        layer.weight = value
    assert layer.weight is before
    layer.weight = Parameter(np.ones((2, 2)))
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_a_name_that_stands_for_two_parameters_is_refused():
    class Ambiguous(Module):
        def __init__(self):
            self.parts = {1: Parameter([1.0]), "1": Parameter([2.0])}

    message = "Ambiguous: the name parts.1 stands for two Parameters, so one would be lost"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Ambiguous().state_dict()


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "bias is of type NoneType, needed an array"),
        ("abc", "bias is of type str, needed an array"),
        ([1.0, [2.0]], "bias is of type list, needed an array"),
        (3, "bias has shape (), needed (2,); bias has dtype int64, needed float32"),
        ([1, 2], "bias has dtype int64, needed float32"),
    ],
)
def test_a_value_that_is_no_array_is_named(value, fault):
    layer = Dense(2, 2)
    message = f"load_state_dict: the state does not fit this Dense: {fault}. Nothing was loaded."
    with pytest.raises(StateError, match=f"^{re.escape(message)}"):
        layer.load_state_dict({**layer.state_dict(), "bias": value})


@pytest.mark.parametrize("state", [None, [1.0], "abc"])
def test_a_state_that_is_no_dict(state):
    with pytest.raises(StateError, match=r"^load_state_dict: a state of type \w+ was given; it"):
        Dense(2, 2).load_state_dict(state)
