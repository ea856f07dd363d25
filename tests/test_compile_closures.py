"""Arrays, Tensors and layers that a step finds outside: changed, replaced, seen in every call."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from typing import Any

import numpy as np
import pytest
from compiled import World, X, check_live

import microgrid as mg
from microgrid import nn

OTHER = np.array([[3.0, 1.0], [0.5, -2.0], [1.5, 0.25]], np.float32)


def write(w: World) -> None:
    w.value[...] = OTHER


def write_an_element(w: World) -> None:
    w.value[0, 0] += 1


def replace(w: World) -> None:
    w.set(OTHER.copy())


def replace_by_another_dtype(w: World) -> None:
    w.set(OTHER.astype(np.float64))


def replace_by_another_shape(w: World) -> None:
    w.set(OTHER[:1].copy())


def replace_by_a_view(w: World) -> None:
    w.set(OTHER.T.copy().T)


def replace_by_integers(w: World) -> None:
    w.set(OTHER.astype(int))


def replace_by_a_list(w: World) -> None:
    w.set(OTHER.tolist())


def replace_by_a_number(w: World) -> None:
    w.set(2.5)


def replace_by_a_tensor(w: World) -> None:
    w.set(mg.tensor(OTHER))


def replace_by_a_leaf(w: World) -> None:
    w.set(mg.tensor(OTHER, requires_grad=True))


def resize(w: World) -> None:
    w.value.resize((3, 2), refcheck=False)
    w.value *= 2


def byte_order(w: World) -> None:
    w.set(OTHER.astype(">f4"))


CHANGES = [
    write, write_an_element, replace, replace_by_another_dtype, replace_by_another_shape,
    replace_by_a_view, replace_by_integers, replace_by_a_list, replace_by_a_number,
    replace_by_a_tensor, replace_by_a_leaf, resize, byte_order,
]  # fmt: skip


def in_a_cell(w: World) -> Any:
    array = w.value = np.ones((3, 2), np.float32)

    def set_array(value: Any) -> None:
        nonlocal array
        array = value

    w.set = set_array
    return lambda x: x * array + array


def in_a_holder(make: Any, get: Any, put: Any) -> Any:
    """Return a builder of a step that finds the array in some object."""

    def build(w: World) -> Any:
        w.value = np.ones((3, 2), np.float32)
        holder = make(w.value)
        w.set = lambda value: put(holder, value)
        return lambda x: x * get(holder) + get(holder)

    return build


class Holder:
    """What has an attribute."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Slotted:
    """What has a slot."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Layer(nn.Module):
    """A layer with an array that is no parameter."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Hidden:
    """What gives its attributes by other names."""

    def __init__(self, value: Any) -> None:
        self._inner = [value]

    def __getattr__(self, name: str) -> Any:
        return self._inner[0]


def put_attribute(holder: Any, value: Any) -> None:
    holder.value = value


HOLDERS = {
    "cell": in_a_cell,
    "list": in_a_holder(lambda a: [a], lambda h: h[0], lambda h, a: h.__setitem__(0, a)),
    "list in a list": in_a_holder(
        lambda a: [[a]], lambda h: h[0][0], lambda h, a: h.__setitem__(0, [a])
    ),
    "dict": in_a_holder(
        lambda a: {"a": a}, lambda h: h["a"], lambda h, a: h.__setitem__("a", a)
    ),
    "dict by tuples": in_a_holder(
        lambda a: {(1, 2): a}, lambda h: h[1, 2], lambda h, a: h.__setitem__((1, 2), a)
    ),
    "dict by objects": in_a_holder(
        lambda a: {int: a}, lambda h: h[int], lambda h, a: h.__setitem__(int, a)
    ),
    "ordered dict": in_a_holder(
        lambda a: OrderedDict(a=a), lambda h: h["a"], lambda h, a: h.__setitem__("a", a)
    ),
    "default dict": in_a_holder(
        lambda a: defaultdict(list, a=a), lambda h: h["a"], lambda h, a: h.__setitem__("a", a)
    ),
    "deque": in_a_holder(
        lambda a: deque([a]), lambda h: h[0], lambda h, a: h.__setitem__(0, a)
    ),
    "long list": in_a_holder(
        lambda a: [*range(100), a], lambda h: h[100], lambda h, a: h.__setitem__(100, a)
    ),
    "attribute": in_a_holder(Holder, lambda h: h.value, put_attribute),
    "slot": in_a_holder(Slotted, lambda h: h.value, put_attribute),
    "layer": in_a_holder(Layer, lambda h: h.value, put_attribute),
    "dict of a layer": in_a_holder(
        lambda a: Layer({"a": a}), lambda h: h.value["a"],
        lambda h, a: h.value.__setitem__("a", a),
    ),
    "hidden": in_a_holder(Hidden, lambda h: h.value, lambda h, a: h._inner.__setitem__(0, a)),
    "view": in_a_holder(
        lambda a: [a], lambda h: h[0][...], lambda h, a: h.__setitem__(0, np.asarray(a))
    ),
    "transposed": in_a_holder(
        lambda a: [a.T], lambda h: h[0].T, lambda h, a: h.__setitem__(0, np.asarray(a).T)
    ),
    "computed by NumPy": in_a_holder(
        lambda a: [a], lambda h: np.asarray(h[0]) * 2, lambda h, a: h.__setitem__(0, a)
    ),
    "Tensor made inside": in_a_holder(
        lambda a: [a], lambda h: mg.tensor(h[0]), lambda h, a: h.__setitem__(0, a)
    ),
    "reduced by NumPy": in_a_holder(
        lambda a: [a], lambda h: np.asarray(h[0]).max(), lambda h, a: h.__setitem__(0, a)
    ),
    "shape of it": in_a_holder(
        lambda a: [a], lambda h: float(np.shape(h[0])[0] if np.shape(h[0]) else 0),
        lambda h, a: h.__setitem__(0, a),
    ),
    "by a slice": in_a_holder(
        lambda a: [0, a], lambda h: h[1:][0], lambda h, a: h.__setitem__(1, a)
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("build", HOLDERS.values(), ids=list(HOLDERS))
def test_arrays_that_change_are_seen(build: Any, change: Any) -> None:
    check_live(build, change, write_if_possible, args=(X,))
    check_live(build, change, args=(mg.tensor(X),), before=1)


def write_if_possible(w: World) -> None:
    """Change the first array again, which may be in use no more."""
    w.value *= 3


def rebind_tensor(w: World) -> None:
    w.p = mg.tensor(OTHER, requires_grad=True)


def assign(w: World) -> None:
    mg.assign(w.p, OTHER)


def write_data(w: World) -> None:
    w.p.data[1] = 7.0


def detach(w: World) -> None:
    w.p = w.p.detach()


def stop_gradients(w: World) -> None:
    w.p.requires_grad = False


def result(w: World) -> None:
    w.p = mg.tensor(OTHER, requires_grad=True) * 2


@pytest.mark.parametrize(
    "change", [rebind_tensor, assign, write_data, detach, stop_gradients, result]
)
@pytest.mark.parametrize("backward", [False, True])
def test_tensors_that_change_are_seen(change: Any, backward: bool) -> None:
    def build(w: World) -> Any:
        w.p = mg.tensor(np.ones((3, 2), np.float32), requires_grad=True)
        w.seen = lambda: [w.p._data, w.p.grad]

        def step(x: Any) -> Any:
            y = (w.p * x).sum()
            if backward and w.p.requires_grad and w.p.is_leaf:
                w.p.zero_grad()
                y.backward()
            return y

        return step

    check_live(build, change, args=(X,))


def test_the_mode_of_a_model_is_seen() -> None:
    def build(w: World) -> Any:
        w.model = nn.Sequential(nn.Dense(2, 3, rng=0), nn.RReLU(rng=0), nn.Dense(3, 1, rng=1))
        return lambda x: w.model(x)

    changes = [lambda w: w.model.eval(), lambda w: w.model.train(), lambda w: w.model[1].eval()]
    assert check_live(build, *changes, args=(X,)) is None


def test_a_model_that_is_compiled_is_live() -> None:
    def build(w: World) -> Any:
        w.model = nn.MLP([2, 3, 1], rng=0)
        return w.model

    assert (
        check_live(
            build,
            lambda w: mg.assign(w.model[0].weight, w.model[0].weight * 2),
            lambda w: setattr(w.model[1], "bias", nn.Parameter(np.ones(1), np.float32)),
            lambda w: w.model.layers.pop(),
            lambda w: w.model.layers.append(mg.tanh),
            lambda w: setattr(w.model[0], "activation", None),
            args=(X,),
        )
        is None
    )


def test_what_changes_in_every_call_is_refused_in_the_end() -> None:
    calls = [0]

    @mg.compile
    def step(x: Any) -> Any:
        calls[0] += 1
        return x * calls[0]

    def call_often() -> None:
        for i in range(100):
            assert step(mg.tensor(X)).data[0, 0] == X[0, 0] * (i + 1)

    with pytest.raises(mg.errors.TraceError) as error:
        call_often()
    assert str(error.value) == (
        "compile: calls[0] changed between calls 17 times, and each time the step had to be traced "
        "anew. Pass it as an argument, as an array."
    )


def test_too_many_kinds_of_arguments_are_refused_in_words() -> None:
    step = mg.compile(lambda x, n: x * n)
    with pytest.raises(mg.errors.TraceError) as error:
        [step(X, i) for i in range(100)]
    assert str(error.value) == (
        "compile: 64 programs were traced for different arguments. Pass numbers that change as "
        "arrays, and batches in few sizes."
    )
