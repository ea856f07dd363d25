"""Indexing, and who owns which memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_op import cases_for
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgrid as mg
from microgrid.errors import DtypeError, GraphError, ShapeError

Function = Callable[..., Any]


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def check_index(shape: tuple[int, ...], index: Any) -> None:
    """x[index] and its gradient against numpy: how often each element came, and at what weight."""
    a = np.arange(float(np.prod(shape))).reshape(shape) + 0.5
    expected = a[index]
    x = leaf(a)
    y = x[index]
    assert isinstance(y, mg.Tensor)
    assert y.shape == np.shape(expected)
    assert (y.data == expected).all()
    weights = np.arange(1.0, y.size + 1).reshape(y.shape)
    y.backward(weights)
    places = np.arange(a.size).reshape(shape)[index]
    grad = np.bincount(np.ravel(places), np.ravel(weights), a.size).reshape(shape)
    assert (x.grad == grad).all()
    np.testing.assert_array_equal(mg.getitem(a, index), expected)


# --- 22 ------------------------------------------------------------------------------------------


def test_an_index_that_repeats_adds_up() -> None:
    x = leaf([1.0, 2.0, 3.0])
    x[[0, 0, 1]].sum().backward()
    assert x.grad.tolist() == [2, 1, 0]


INDICES = [
    0, -1, np.int64(1), np.array(2), (1, 2), (1, -1, 0), (), ..., None, (None, 1), (..., 0),
    (0, ...), (..., None), slice(None), slice(None, None, -1), slice(2, None, -2), slice(5, 1),
    slice(-100, 100),
    (slice(None), slice(None, None, 2)), (slice(1, 2), ..., 1), (None, ..., None), (1, None, 2),
    [0, 2], [0, 0, -1], [-1], np.array([[0, 1], [1, 2]]), ([0, 1], [1, 1]), ([[0], [2]], [0, 1]),
    ([0, 1], slice(None), [1, 0]), (slice(None), [0, 0]), (..., [1, 0]), ([0, 1], None, 1),
    (1, slice(None), [0, 0, 1]), np.array([True, False, True]), [True, False, True],
    (slice(None), np.array([True, False, True, True])), ([True, False, True], 1), True, False,
    np.True_, (None, True), [], np.zeros((0,), int), (slice(0, 0), [0, 1]), np.zeros(3, bool),
    np.arange(24).reshape(3, 4, 2) % 5 == 0, (np.array([0, 1]), np.array([0, 1]), np.array([1, 1])),
    np.uint8(2), np.array([0, 2], np.uint8), range(2), (range(2), range(2)),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_index_of_every_kind(index: Any) -> None:
    check_index((3, 4, 2), index if not isinstance(index, range) else list(index))
    if isinstance(index, range):
        assert leaf(np.ones((3, 4)))[index].shape == (2, 4)


@given(st.data())
def test_any_basic_index(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    check_index(shape, data.draw(hnp.basic_indices(shape, allow_newaxis=True)))


@given(st.data())
def test_any_integer_array_index(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    check_index(shape, data.draw(hnp.integer_array_indices(shape)))


@given(st.data())
def test_any_mask(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    ndim = data.draw(st.integers(1, len(shape)))
    check_index(shape, data.draw(hnp.arrays(bool, shape[:ndim])))


def test_indices_that_are_tensors() -> None:
    x = leaf(np.arange(6.0).reshape(3, 2))
    for index, expected in [
        (mg.tensor(1), [2, 3]),
        (mg.tensor([0, 2]), [[0, 1], [4, 5]]),
        (x[:, 0] > 1, [[2, 3], [4, 5]]),
        ((mg.tensor([0, 1]), mg.tensor([1, 1])), [1, 3]),
        (slice(mg.tensor(1), mg.tensor(3)), [[2, 3], [4, 5]]),
        ([mg.tensor(0), 2], [[0, 1], [4, 5]]),
        (mg.argmax(x[:, 0]), [4, 5]),
    ]:
        assert x[index].data.tolist() == expected


class One:
    def __index__(self) -> int:
        return 1


def test_whatever_counts_as_an_integer_for_python_is_an_index() -> None:
    x = leaf([10.0, 20.0, 30.0])
    assert x[One()].item() == 20
    assert x[One() :].tolist() == [20, 30]
    assert leaf([[1.0, 2.0]])[0, One()].item() == 2


@pytest.mark.parametrize(
    "index",
    [
        3,
        -4,
        (0, 4),
        [0, 3],
        [-4],
        (0, 0, 2),
        (0, 0, 0, 0),
        np.array([3]),
        mg.tensor(3),
        (..., 4, 0),
    ],
)
def test_out_of_range_is_an_index_error_in_the_forward(index: Any) -> None:
    with pytest.raises(IndexError):
        leaf(np.ones((3, 4, 2)))[index]


@pytest.mark.parametrize(
    "index",
    [1.0, "a", [0.5], np.array([1.0]), np.array([True]), (..., ...), [True] * 4, mg.tensor(1.0)],
)
def test_what_is_no_index_is_an_index_error(index: Any) -> None:
    with pytest.raises(IndexError):
        leaf(np.ones((3, 4, 2)))[index]


def test_out_of_range_leaves_the_operand_alone() -> None:
    x = leaf(np.ones(3))
    y = x * 2
    with pytest.raises(IndexError):
        y[5]
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_indexing_of_an_indexing() -> None:
    x = leaf(np.arange(12.0).reshape(3, 4))
    x[::-1][[0, 0, 2]][:, 1:][..., [0, 0]].sum().backward()
    places = np.arange(12).reshape(3, 4)[::-1][[0, 0, 2]][:, 1:][..., [0, 0]]
    assert (x.grad.ravel() == np.bincount(places.ravel(), minlength=12)).all()


@pytest.mark.parametrize("index", [[0, 0, 1], slice(None, None, -1), np.array([True, False, True])])
def test_second_derivatives_through_an_index(index: Any) -> None:
    x = leaf([1.0, 2.0, 3.0])
    first = mg.gradients((x[index] ** 3).sum(), x, create_graph=True)
    second = mg.gradients(first.sum(), x)
    count = np.bincount(np.arange(3)[index], minlength=3)
    assert second.data.tolist() == (6 * x.data * count).tolist()


TAKES: list[tuple[Any, Any]] = [
    ([0, 0, 2], 0), ([[1, 0], [0, 0]], 1), (1, 1), (-1, 0), ([], 0), ([5, 0, -1], None),
    (3, None), ([0], -1),
]  # fmt: skip


@pytest.mark.parametrize(("indices", "axis"), TAKES, ids=repr)
def test_take(indices: Any, axis: Any) -> None:
    a = np.arange(6.0).reshape(3, 2)
    indices = np.array(indices, int)
    for given_indices in (
        indices,
        indices.tolist() if indices.size else indices,
        mg.tensor(indices),
    ):
        x = leaf(a)
        y = mg.take(x, given_indices, axis=axis)
        assert (y.data == np.take(a, indices, axis)).all()
        weights = np.arange(1.0, y.size + 1).reshape(y.shape)
        y.backward(weights)
        places = np.take(np.arange(6).reshape(3, 2), indices, axis)
        assert (x.grad.ravel() == np.bincount(places.ravel(), weights.ravel(), 6)).all()


@pytest.mark.parametrize(
    ("indices", "axis"),
    [
        ([[0, 1]], 0),
        ([[0], [1], [1]], 1),
        ([[0, 0, 1], [1, 1, 0], [0, 1, 0]], -1),
        ([[2]], 0),
        ([[0]], 1),
    ],
)
def test_take_along_axis(indices: Any, axis: int) -> None:
    a = np.arange(6.0).reshape(3, 2)
    x = leaf(a)
    y = mg.take_along_axis(x, indices, axis)
    expected = np.take_along_axis(a, np.array(indices), axis)
    assert (y.data == expected).all()
    y.backward(np.ones(y.shape))
    assert (x.grad.ravel() == np.bincount(expected.astype(int).ravel(), minlength=6)).all()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.take(x, [3], axis=0),
        lambda x: mg.take(x, -4, axis=0),
        lambda x: mg.take(x, 9),
        lambda x: mg.take_along_axis(x, [[3, 0]], 0),
    ],
)
def test_taking_what_is_not_there_is_an_index_error(f: Function) -> None:
    with pytest.raises(IndexError):
        f(leaf(np.ones((3, 2))))


def test_one_hot() -> None:
    assert mg.one_hot(mg.tensor([[2], [0]]), 3).data.tolist() == [[[0, 0, 1]], [[1, 0, 0]]]
    assert mg.one_hot(np.array([], int), 2).shape == (0, 2)
    assert mg.one_hot(np.uint8(1), 2, np.float64).tolist() == [0, 1]
    for bad, error in [
        ([3], ValueError),
        ([-1], ValueError),
        ([0.5], DtypeError),
        ([True], DtypeError),
    ]:
        with pytest.raises(error, match="one_hot"):
            mg.one_hot(bad, 3)


def test_elements_cannot_be_assigned() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"^setitem: a Tensor's elements cannot be assigned"):
        x[0] = 5.0
    assert x.tolist() == [1, 2]


# --- 23. memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 1, 3)], ids=str)
def test_gradients_share_memory_with_nothing(shape: Any) -> None:
    for name, call in cases_for(shape):
        a = np.resize([0.5, 1.5, 2.5, 0.75], shape)
        x = mg.tensor(a, requires_grad=True)
        y = call(x)
        seed = np.ones(y.shape)
        seed.flags.writeable = False
        y.backward(seed, retain_graph=True)
        for other in (a, x.data, y.data, seed, *(t.data for t in y.inputs or ())):
            assert not np.shares_memory(x.grad, other), name
        assert x.grad.flags.writeable, name
        first = x.grad.copy()
        x.grad[...] = 7
        np.testing.assert_array_equal(mg.gradients(y, x, seed).data, first, name)
        for create_graph in (False, True):
            g, same = mg.gradients(y, [x, x], seed, create_graph=create_graph)
            assert not np.shares_memory(g.data, same.data), name
            assert not np.shares_memory(g.data, x.data), name
            assert not np.shares_memory(g.data, seed), name


PAIRS: list[Function] = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: mg.maximum(a, b),
    lambda a, b: mg.stack([a, b]), lambda a, b: mg.concatenate([a, b]),
    lambda a, b: mg.where([True, False, True], a, b), lambda a, b: a.reshape(3) + b.reshape(3),
    lambda a, b: (a + b)[::-1], lambda a, b: a * 1 + b * 1,
    lambda a, b: mg.affine(np.ones((1, 3)), a.reshape(3, 1) * np.ones((1, 3)), b),
]  # fmt: skip


@pytest.mark.parametrize("f", PAIRS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_two_leaves_share_no_memory(f: Function, create_graph: bool) -> None:
    a, b, seed = leaf([1.0, 2.0, 3.0]), leaf([3.0, 2.0, 1.0]), None
    y = f(a, b)
    seed = mg.tensor(np.ones(y.shape), requires_grad=create_graph)
    y.backward(seed, retain_graph=True)
    found = mg.gradients(y, [a, b, y], seed, create_graph=create_graph)
    arrays = [a.grad, b.grad, seed.data, a.data, b.data, y.data, *(g.data for g in found)]
    for p, q in itertools.combinations(range(len(arrays)), 2):
        of_the_values = p in (3, 4, 5) and q in (3, 4, 5)
        assert of_the_values or not np.shares_memory(arrays[p], arrays[q])


def test_the_upstream_array_is_not_written_to() -> None:
    for name, call in cases_for((2, 3)):
        x = leaf(np.resize([0.5, 1.5, 2.5, 0.75], (2, 3)))
        y = call(x)
        seed = np.arange(1.0, y.size + 1).reshape(y.shape)
        before = seed.copy()
        y.backward(seed)
        assert (seed == before).all(), name


def test_a_gradient_that_is_a_broadcast_can_be_written_to() -> None:
    x = leaf(np.ones((2, 3)))
    x.sum().backward()
    x.grad[0, 0] = 5
    assert x.grad.tolist() == [[5, 1, 1], [1, 1, 1]]
    assert mg.gradients(x.sum(), x).data.flags.writeable


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=str)
def test_a_result_outside_a_graph_owns_its_memory(shape: Any) -> None:
    """Nothing would know that it changes when the leaf it came from is written to."""
    for name, call in cases_for(shape):
        for requires_grad in (False, True):
            x = mg.tensor(np.resize([0.5, 1.5, 2.5, 0.75], shape), requires_grad=requires_grad)
            with mg.no_grad():
                y = call(x)
            assert not np.shares_memory(y.data, x.data), name
            assert y.data.flags.writeable, name


@pytest.mark.parametrize(
    "make", [lambda x: x, lambda x: x * 2, lambda x: x.T, lambda x: x[::2], lambda x: x.reshape(4)]
)
def test_detach_and_numpy_own_their_memory(make: Function) -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = make(x)
    before = y.data.copy()
    cut = y.detach()
    for array in (
        cut.data,
        y.numpy(),
        np.array(y),
        np.asarray(y),
        mg.tensor(y).data,
        y.astype(float).data,
    ):
        assert not np.shares_memory(array, y.data)
    mg.assign(cut, np.zeros(cut.shape))
    assert (y.data == before).all()
    cut = y.detach()
    x.data = np.zeros((2, 2))
    assert (cut.data == before).all()


def test_tensor_copies_its_data_and_data_is_its_memory() -> None:
    a = np.array([1.0, 2.0])
    t = mg.tensor(a)
    a[0] = 9
    assert t.tolist() == [1, 2]
    held = t.data
    t.data = [5.0, 6.0]
    assert t.data is held
    assert held.tolist() == [5, 6]
    t.data -= 1
    assert held.tolist() == [4, 5]


def test_assigning_from_a_view_of_itself() -> None:
    t = leaf([1.0, 2.0, 3.0])
    mg.assign(t, t.data[::-1])
    assert t.tolist() == [3, 2, 1]


def test_assign_takes_only_what_fits() -> None:
    t = leaf([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"^assign: a value of shape \(\) was given"):
        t.data = 1.0
    with pytest.raises(GraphError, match=r"^assign: the result of multiply was given"):
        mg.assign(t * 2, [1.0, 2.0])
    with pytest.raises(TypeError):
        mg.tensor([1, 2]).data = [0.5, 0.5]
    with pytest.raises(DtypeError, match=r"^assign: data of dtype"):
        t.data = ["a", "b"]
    assert t.tolist() == [1, 2]


# --- 24. what changes after it was used ----------------------------------------------------------

ARRAY_USERS: dict[str, tuple[Function, Function]] = {
    "multiply": (lambda x, a: x * a, lambda a: a),
    "reflected": (lambda x, a: a * x, lambda a: a),
    "divide": (lambda x, a: a / x, lambda a: -a),
    "power": (lambda x, a: x**a, lambda a: a),
    "maximum": (lambda x, a: mg.maximum(x * 2, a - 9), lambda a: np.full(3, 2.0)),
    "where": (lambda x, a: mg.where(a > 1, x, 0), lambda a: (a > 1) * 1.0),
    "matmul": (lambda x, a: x @ a, lambda a: a),
    "dot": (lambda x, a: mg.dot(a, x), lambda a: a),
    "einsum": (lambda x, a: mg.einsum("i,i->", x, a), lambda a: a),
    "outer": (lambda x, a: mg.outer(a, x), lambda a: np.full(3, a.sum())),
    "prelu": (lambda x, a: mg.prelu(-x, a), lambda a: -a),
    "logaddexp": (lambda x, a: mg.logaddexp(x, a), lambda a: 1 / (1 + np.exp(a - 1))),
    "mse": (lambda x, a: mg.mse_loss(x, a, reduction="sum"), lambda a: 2 * (1 - a)),
    "affine": (lambda x, a: mg.affine(x, np.diag(a), a), lambda a: a),
    "clip": (lambda x, a: mg.clip(x * 2, a - 9, a + 9), lambda a: np.full(3, 2.0)),
    "np.multiply": (lambda x, a: np.multiply(a, x), lambda a: a),
}


@pytest.mark.parametrize("name", ARRAY_USERS)
def test_an_array_changed_after_its_use_changes_no_gradient(name: str) -> None:
    f, slope = ARRAY_USERS[name]
    for form in ("array", "view", "transposed"):
        base = np.array([[1.0, 0.5], [2.0, 0.5], [3.0, 0.5]])
        a = {"array": base[:, 0].copy(), "view": base[:, 0], "transposed": base.T[0]}[form]
        original = a.copy()
        x = leaf(np.ones(3))
        y = f(x, a)
        a[...] = 777.0
        base[...] = 777.0
        y.backward(np.ones(y.shape))
        np.testing.assert_allclose(x.grad, slope(original), rtol=1e-15)


def test_index_arrays_changed_after_their_use_change_no_gradient() -> None:
    for f in (
        lambda x, i: x[i],
        lambda x, i: x[i, ...],
        lambda x, i: mg.getitem(x, i),
        lambda x, i: mg.take(x, i),
        lambda x, i: mg.take_along_axis(x, i, 0),
        lambda x, i: np.take(x, i),
        lambda x, i: mg.stack([x[i], x[i]])[0],
    ):
        x, i = leaf([1.0, 2.0, 3.0]), np.array([0, 0, 1])
        y = f(x, i)
        i[...] = 2
        y.backward(np.ones(3))
        assert x.grad.tolist() == [2, 1, 0]


def test_lists_of_parameters_changed_after_their_use_change_no_gradient() -> None:
    for f, parameter in [
        (lambda x, p: mg.moveaxis(x, p, [1, 2, 0]), [0, 1, 2]),
        (lambda x, p: mg.transpose(x, p), [2, 1, 0]),
        (lambda x, p: mg.sum(x, axis=p, keepdims=True), [0, 1]),
        (lambda x, p: mg.norm(x, axis=p, keepdims=True), [0, 2]),
        (lambda x, p: mg.flip(x, axis=p), [0, 2]),
        (lambda x, p: mg.reshape(x, p), [3, 2, 1]),
        (lambda x, p: mg.broadcast_to(x, p), [2, 1, 2, 3]),
        (lambda x, p: mg.squeeze(x, axis=p), [0]),
        (lambda x, p: mg.expand_dims(x, axis=p), [0]),
        (lambda x, p: mg.pad(x, p), [1, 2]),
        (lambda x, p: mg.split(x, p, axis=1)[1], [1, 2]),
        (lambda x, p: mg.piecewise_linear(x, p, [1, 2, 3]), [0, 1]),
        (lambda x, p: x[p], [0, 0]),
        (lambda x, p: mg.take(x, p, axis=1), [0, 1]),
    ]:
        slopes = []
        for change in (False, True):
            x, mutable = leaf(np.ones((1, 2, 3)) * [[[1.0], [2.0]]]), list(parameter)
            y = f(x, mutable)
            if change:
                mutable[:] = [77, 78, 79]
            y.backward(np.arange(float(y.size)).reshape(y.shape))
            slopes.append(x.grad)
        assert (slopes[0] == slopes[1]).all()


def test_masks_labels_and_data_changed_after_their_use_change_no_gradient() -> None:
    x, mask = leaf([1.0, 2.0, 3.0]), np.array([True, False, True])
    y, z = x[mask], mg.where(mask, x, 0)
    mask[...] = False
    (y.sum() + z.sum()).backward()
    assert x.grad.tolist() == [2, 0, 2]
    scores, labels = leaf([[1000.0, 0.0]]), np.array([1])
    losses = [mg.cross_entropy(scores, labels), mg.cross_entropy(scores, labels, reduction="sum")]
    labels[...] = 0
    for loss in losses:
        loss.backward()
    assert scores.grad.tolist() == [[2, -2]]
    rows = np.ones((2, 3), np.float32)
    layer = mg.nn.Dense(3, 2, rng=0)
    y = layer(rows)
    rows[...] = 777
    y.sum().backward()
    assert (layer.weight.grad == 2).all()


def test_lists_of_arrays_changed_after_their_use_change_no_gradient() -> None:
    x, a = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    y = mg.concatenate([x, a]) * mg.stack([a, a]).reshape(4)
    a[...] = 777
    y.sum().backward()
    assert x.grad.tolist() == [3, 4]


CHANGES: dict[str, Function] = {
    "assign": lambda p: mg.assign(p, np.zeros(2)),
    "data=": lambda p: setattr(p, "data", np.zeros(2)),
    "data-=": lambda p: setattr(p, "data", p.data - 1),
    "the same value": lambda p: mg.assign(p, p.data),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("multiply", lambda p: p * p),
        ("exp", lambda p: mg.exp(p)),
        ("getitem", lambda p: p[:1] * 2),
        ("reshape", lambda p: mg.relu(p.reshape(2, 1))),
        ("add", lambda p: (p + 1) * 2),
        ("multiply", lambda p: mg.tensor(np.ones(2), requires_grad=True) * p.detach() + p * 0),
    ],
)
def test_a_parameter_changed_before_backward_is_an_error_that_names_the_op(
    name: str, f: Function, change: str
) -> None:
    p = leaf([1.0, 2.0])
    y = f(p)
    CHANGES[change](p)
    message = (
        rf"^{{}}: an input of {name} \(shape \(2,\)\) was written to after the forward pass, so "
        r"the value it was computed from is gone\. Run the forward pass again before going "
        r"backward\.$"
    )
    with pytest.raises(GraphError, match=message.format("backward")):
        y.backward(np.ones(y.shape))
    with pytest.raises(GraphError, match=message.format("gradients")):
        mg.gradients(y, p, np.ones(y.shape))
    assert p.grad is None
    f(p).backward(np.ones(y.shape))  # a new forward pass is fine
    assert p.grad is not None


def test_a_constant_tensor_changed_before_backward_is_an_error_too() -> None:
    x, c = leaf([1.0, 2.0]), mg.tensor([3.0, 4.0])
    y = x * c
    c.data = [5.0, 6.0]
    with pytest.raises(GraphError, match="an input of multiply"):
        y.sum().backward()


def test_a_change_far_behind_is_found() -> None:
    p = leaf([1.0, 2.0])
    y = mg.exp(p)
    for _ in range(50):
        y = y * 1.5
    p.data = [0.0, 0.0]
    with pytest.raises(GraphError, match="an input of exp"):
        y.sum().backward()


def test_a_step_of_the_optimiser_between_forward_and_backward_is_an_error() -> None:
    p = mg.nn.Parameter([1.0, 2.0])
    optimizer = mg.optim.SGD([p], lr=0.1)
    (p * p).sum().backward()
    y = (p * p).sum()
    optimizer.step()
    with pytest.raises(GraphError, match="an input of multiply"):
        y.backward()
    optimizer.zero_grad()
    (p * p).sum().backward()
    np.testing.assert_allclose(p.grad, 2 * p.data)


def test_loading_a_state_between_forward_and_backward_is_an_error() -> None:
    layer = mg.nn.Dense(2, 2, rng=0)
    y = layer(np.ones((1, 2), np.float32)).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(GraphError, match="an input of affine"):
        y.backward()


def test_a_change_after_backward_is_no_error() -> None:
    p = leaf([1.0, 2.0])
    for _ in range(3):
        loss = (p * p).sum()
        loss.backward()
        p.data -= 0.1 * p.grad
        p.zero_grad()
    assert p.tolist() == pytest.approx([0.512, 1.024])
