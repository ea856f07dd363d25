"""What Python expects of an object: hash, ==, bool, len, float, iteration, copies, pickles."""

from __future__ import annotations

import copy
import math
import operator
import pickle
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError, GraphError, ShapeError

Function = Callable[..., Any]


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


# --- 30. hash, comparison, truth -----------------------------------------------------------------


def test_hash_is_by_identity() -> None:
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    assert hash(a) == hash(a)
    assert len({a, b, a}) == 2
    names = {a: "a", b: "b"}
    a.data = [5.0, 6.0]
    assert (names[a], names[b]) == ("a", "b")


def test_equality_is_elementwise() -> None:
    a = leaf([1.0, 2.0])
    for y, expected in [
        (a == [1.0, 3.0], [True, False]), (a != [1.0, 3.0], [False, True]), (a == 1, [True, False]),
        (a < 2, [True, False]), (a <= 2, [True, True]),
        (a > [[0], [1]], [[True, True], [False, True]]),
        (2 >= a, [True, True]),  # noqa: SIM300
        (np.array([1.0, 3.0]) == a, [True, False]), (np.float64(1) == a, [True, False]),
        (a == leaf([2.0, 2.0]), [False, True]), (Fraction(1) == a, [True, False]),
    ]:  # fmt: skip
        assert isinstance(y, mg.Tensor)
        assert y.dtype == bool
        assert not y.requires_grad
        assert y.tolist() == expected


@pytest.mark.parametrize("other", [None, "a", "1.0", b"x", object(), {}, int, 1j, math.sin])
def test_what_is_no_number_is_never_equal(other: Any) -> None:
    a = leaf(1.0)
    assert (a == other) is False
    assert (a != other) is True
    assert (other == a) is False
    with pytest.raises(TypeError):
        a < other  # noqa: B015


def test_tensors_in_lists_and_as_values() -> None:
    a, b = leaf(1.0), leaf(2.0)
    assert a in [None, "x", b, a]
    assert [None, b, a].index(a) == 2
    assert (None, a) == (None, a)
    assert {"x": a} == {"x": a}


@pytest.mark.parametrize("shape", [(2,), (0,), (1, 2), (2, 0)])
def test_the_truth_of_several_elements_or_none_is_a_value_error(shape: Any) -> None:
    with pytest.raises(ValueError, match="truth value") as caught:
        bool(mg.zeros(shape))
    assert str(caught.value) == (
        f"bool: the Tensor has shape {shape}, and a truth value needs one element. Compare and "
        f"reduce "
        ".data with any() or all()."
    )
    for misuse in (
        lambda t: t and 1,
        lambda t: not t,
        lambda t: 1 if t else 2,
        lambda t: 0 < t < 1,
    ):
        with pytest.raises(ValueError, match=r"^bool: "):
            misuse(mg.zeros(shape))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_element_has_a_truth_and_a_number(shape: Any) -> None:
    t = mg.full(shape, 2.5)
    assert bool(t)
    assert not bool(t * 0)
    assert float(t) == 2.5
    assert int(t) == 2
    assert t.item() == 2.5
    assert type(t.item()) is float
    assert math.sqrt(t * 10) == 5
    assert type(mg.tensor(np.float32(1)).item()) is float
    assert type(mg.tensor(3).item()) is int
    assert type(mg.tensor(True).item()) is bool


@pytest.mark.parametrize(
    "convert", [float, int, lambda t: t.item(), math.sqrt, round, "{:.2f}".format]
)
def test_several_elements_are_no_number(convert: Function) -> None:
    with pytest.raises(
        (ValueError, TypeError), match=r"^item: the Tensor has shape \(2,\)|__round__"
    ):
        convert(mg.ones(2))


def test_len() -> None:
    assert len(mg.zeros((3, 2))) == 3
    assert len(mg.zeros(0)) == 0
    with pytest.raises(
        TypeError, match=r"^len: the Tensor has no dimensions, so it has no length\."
    ):
        len(mg.tensor(1.0))


def test_index() -> None:
    assert [10, 20, 30][mg.tensor(1)] == 20
    assert list(range(mg.tensor(3))) == [0, 1, 2]
    assert operator.index(mg.tensor(np.uint8(7))) == 7
    for t in (mg.tensor(1.0), mg.tensor([1]), mg.tensor(True)):
        with pytest.raises(TypeError, match=r"^index: the Tensor has dtype"):
            operator.index(t)


def test_iteration_over_rows_that_stay_differentiable() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    total = mg.tensor(0.0)
    for i, row in enumerate(x):
        assert row.shape == (2,)
        total = total + (i + 1) * row[0] * row[1]
    total.backward()
    assert x.grad.tolist() == [[2, 1], [8, 6]]


def test_unpacking_zip_reversed_and_builtins() -> None:
    x = leaf([1.0, 2.0, 3.0])
    a, b, c = x
    (a * b + c).backward()
    assert x.grad.tolist() == [2, 1, 1]
    x.zero_grad()
    first, *rest = x
    assert (first.item(), len(rest)) == (1, 2)
    sum(row * w for row, w in zip(x, (5, 6, 7), strict=True)).backward()
    assert x.grad.tolist() == [5, 6, 7]
    assert [t.item() for t in reversed(x)] == [3, 2, 1]
    assert max(x).item() == 3
    assert sorted(x)[0].item() == 1
    with pytest.raises(TypeError, match=r"^iter: the Tensor has no dimensions to iterate over"):
        iter(mg.tensor(1.0))
    assert list(mg.zeros((0, 3))) == []


def test_containment() -> None:
    x = leaf([1.0, 2.0])
    assert 1 in x
    assert 3 not in x
    assert mg.tensor(2.0) in x
    assert np.float32(1) in x


# --- text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: mg.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (lambda: leaf(2.0), "tensor(2., requires_grad=True)"),
        (lambda: mg.tensor(np.float32(2)), "tensor(2., dtype=float32)"),
        (lambda: mg.tensor([1, 2]), "tensor([1, 2])"),
        (lambda: mg.tensor([True]), "tensor([ True])"),
        (lambda: leaf(2.0) * 3, "tensor(6., op=multiply)"),
        (lambda: mg.relu(leaf(2.0, np.float16)), "tensor(2., dtype=float16, op=relu)"),
        (lambda: mg.zeros((0, 2)), "tensor([])"),
        (lambda: mg.tensor(Fraction(1, 3)), "tensor(Fraction(1, 3), dtype=object)"),
    ],
)
def test_repr(make: Function, text: str) -> None:
    assert repr(make()) == text
    assert str(make()) == text
    assert f"{make()}" == text


def test_repr_of_many_elements_is_short() -> None:
    assert len(repr(mg.zeros((1000, 1000)))) < 1000


def test_format_of_one_element() -> None:
    assert f"{leaf(0.123456):.3f}" == "0.123"
    assert f"{mg.ones((1, 1)):5.1f}|" == "  1.0|"
    assert f"{mg.tensor(7):03d}" == "007"
    with pytest.raises(
        ValueError, match=r"^item: the Tensor has shape \(2,\); one element is needed\."
    ):
        f"{mg.ones(2):.3f}"


# --- attributes ----------------------------------------------------------------------------------


def test_a_misspelt_attribute_is_an_error() -> None:
    t = leaf(1.0)
    for name in ("gradient", "require_grad", "values"):
        with pytest.raises(AttributeError):
            setattr(t, name, 1)
        with pytest.raises(AttributeError):
            getattr(t, name)


@pytest.mark.parametrize("name", ["shape", "dtype", "ndim", "size", "T", "is_leaf"])
def test_facts_cannot_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(leaf(1.0), name, 1)


def test_facts() -> None:
    t = mg.zeros((2, 3), np.float32)
    assert (t.shape, t.ndim, t.size, t.dtype, t.T.shape) == ((2, 3), 2, 6, np.float32, (3, 2))
    assert t.is_leaf
    assert not t.requires_grad
    assert t.grad is None
    assert sys.getsizeof(t) < 200
    assert not hasattr(t, "__dict__")


OPERANDS_AS_METHODS = sorted(
    name
    for name in mg.ops.PUBLIC
    if name not in ("concatenate", "stack", "einsum", "where", "getitem")
)


@pytest.mark.parametrize("name", OPERANDS_AS_METHODS)
def test_every_op_with_one_main_operand_is_a_method(name: str) -> None:
    assert callable(getattr(mg.Tensor, name))
    assert getattr(mg.Tensor, name).__doc__


def test_methods_are_the_functions() -> None:
    x = leaf([[1.0, -2.0], [3.0, 4.0]])
    assert x.sum(0, True).tolist() == mg.sum(x, 0, keepdims=True).tolist() == [[4, 2]]
    assert x.relu().sum(axis=1).max().item() == 7
    assert x.reshape(4).reshape((2, 2)).T.tolist() == [[1, 3], [-2, 4]]
    assert x.clip(0, 1).tolist() == [[1, 0], [1, 1]]
    assert x.clone().op.name == "copy"
    assert x.dot(x).tolist() == (x @ x).tolist()


def test_in_place_operators_make_a_new_tensor() -> None:
    x = y = leaf([1.0, 2.0])
    y += 1
    y *= 2
    assert y is not x
    assert x.tolist() == [1, 2]
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    "f",
    [lambda t: t // 2, lambda t: t % 2, lambda t: t << 1, lambda t: t & 1, lambda t: ~t,
    lambda t: divmod(t, 2),
     lambda t: t + None, lambda t: t + "a", lambda t: None * t, lambda t: t @ 2, lambda t: pow(t,
     2, 3)],
)  # fmt: skip
def test_operators_that_do_not_exist_are_errors(f: Function) -> None:
    with pytest.raises((TypeError, ValueError)):
        f(leaf([1.0, 2.0]))


# --- 31. copies and pickles ----------------------------------------------------------------------

ROUND_TRIPS: dict[str, Function] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    **{
        f"pickle {p}": lambda t, p=p: pickle.loads(pickle.dumps(t, p))
        for p in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("trip", ROUND_TRIPS)
@pytest.mark.parametrize("shape", [(), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, bool, object])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_leaf_survives(trip: str, shape: Any, dtype: Any, requires_grad: bool) -> None:
    if requires_grad and np.dtype(dtype).kind not in "fO":
        return
    t = mg.tensor(np.ones(shape).astype(dtype), requires_grad=requires_grad)
    twin = ROUND_TRIPS[trip](t)
    assert type(twin) is mg.Tensor
    assert (twin.shape, twin.dtype, twin.requires_grad) == (shape, dtype, requires_grad)
    assert type(twin.data) is np.ndarray
    assert (twin.data == t.data).all()
    assert not np.shares_memory(twin.data, t.data)
    if requires_grad:
        (twin * 2).sum().backward()
        assert (twin.grad == 2).all()
        assert t.grad is None


def test_layout_and_views_survive_as_values() -> None:
    t = mg.tensor(np.arange(6.0).reshape(2, 3)).T
    for trip in ROUND_TRIPS.values():
        assert trip(t).tolist() == t.tolist()


def test_deepcopy_takes_the_gradient_along_and_pickle_does_not() -> None:
    x = leaf([1.0, 2.0])
    x.sum().backward()
    twin = copy.deepcopy(x)
    assert twin.grad.tolist() == [1, 1]
    assert not np.shares_memory(twin.grad, x.grad)
    assert pickle.loads(pickle.dumps(x)).grad is None


@pytest.mark.parametrize("trip", ROUND_TRIPS)
def test_a_result_becomes_a_leaf_with_its_values_only(trip: str) -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    twin = ROUND_TRIPS[trip](y)
    assert twin.is_leaf
    assert not twin.requires_grad
    assert twin.tolist() == [2, 4]
    with pytest.raises(GraphError, match=r"^backward: the Tensor has no graph"):
        twin.sum().backward()
    y.sum().backward()  # the original is as it was
    assert x.grad.tolist() == [2, 2]
    assert "values only" in (mg.Tensor.__deepcopy__.__doc__ or "")
    assert "values only" in (mg.Tensor.__reduce__.__doc__ or "")


def test_deepcopy_keeps_what_is_shared_shared() -> None:
    x = leaf([1.0])
    a, b = copy.deepcopy([x, x])
    assert a is b
    assert a is not x
    c, d = pickle.loads(pickle.dumps([x, x]))
    assert c is d


@pytest.mark.parametrize("trip", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_models_survive_with_shared_parameters_shared(trip: Function) -> None:
    inner = mg.nn.Dense(3, 3, rng=0)
    model = mg.nn.Sequential(inner, mg.nn.ReLU(), inner)
    assert len(list(model.parameters())) == 2
    x = np.ones((2, 3), np.float32)
    expected = model(x).data
    twin = trip(model)
    assert (twin(x).data == expected).all()
    assert len(list(twin.parameters())) == 2
    assert twin[0] is twin[2]
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert type(q) is mg.nn.Parameter
        assert not np.shares_memory(p.data, q.data)
    twin(x).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(q.grad is not None for q in twin.parameters())


def test_ops_are_pickled_by_name() -> None:
    for op in (mg.relu, mg.OPS["chain"]):
        assert pickle.loads(pickle.dumps(op)) is op
        assert copy.deepcopy(op) is op
        assert len(pickle.dumps(op)) < 100  # its name, not the table of ops


class Tagged(mg.Tensor):
    """A subclass with an attribute of its own."""


def test_subclasses() -> None:
    t = Tagged([1.0, 2.0], requires_grad=True)
    t.tag = {"a": [1]}
    assert type(t * 2) is mg.Tensor
    assert type(t.detach()) is mg.Tensor
    (t * t).sum().backward()
    assert t.grad.tolist() == [2, 4]
    for trip in ROUND_TRIPS.values():
        twin = trip(t)
        assert type(twin) is Tagged
        assert twin.tag == {"a": [1]}
        assert twin.requires_grad
    assert copy.deepcopy(t).tag["a"] is not t.tag["a"]


# --- what may become a Tensor --------------------------------------------------------------------


class ArrayLike:
    """Like a data frame: convertible, with an attribute that a Tensor has too."""

    _data = "not the data"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array([1.0, 2.0], dtype)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (1.5, 1.5), ([1, 2.5], [1, 2.5]), (((1, 2), (3, 4)), [[1, 2], [3, 4]]), (range(3), [0, 1,
        2]),
        (np.array([[1.0]]), [[1]]), (np.float32(2), 2), (True, True), ([], []), (ArrayLike(), [1,
        2]),
        (memoryview(np.array([1.0, 2.0])), [1, 2]), (Fraction(1, 2), Fraction(1, 2)),
        ([np.array([1.0]), [2.0]], [[1], [2]]), (np.ma.array([1.0, 2.0]), [1, 2]),
        (np.ones((2, 2)).view(np.recarray), [[1, 1], [1, 1]]),
    ],
)  # fmt: skip
def test_data_of_many_forms(data: Any, expected: Any) -> None:
    t = mg.tensor(data)
    assert t.tolist() == expected
    assert type(t.data) is np.ndarray
    assert mg.Tensor(data).tolist() == expected
    if t.size:
        assert (t + t).tolist() == (mg.tensor(data) + data).tolist()


def test_tensors_and_lists_of_tensors_as_data() -> None:
    x = leaf([1.0, 2.0])
    for t in (mg.tensor(x), mg.tensor([x[0], x[1]]), mg.tensor([x, x])[0], mg.tensor((x[0], 2))):
        assert t.is_leaf
        assert not t.requires_grad
        assert t.tolist() == [1, 2]
    assert mg.tensor([x * 2, x]).tolist() == [[2, 4], [1, 2]]


@pytest.mark.parametrize("f", [mg.sum, mg.relu, mg.exp, lambda a: mg.add(a, 1.0),
lambda a: leaf([1.0, 1.0]) * a,
                               lambda a: mg.where(True, a, 0), mg.softmax, mg.max,
                               lambda a: mg.reshape(a, 2)])  # fmt: skip
def test_a_list_of_tensors_is_no_operand_since_its_graph_would_be_lost(f: Function) -> None:
    x = leaf(1.0)
    with pytest.raises(DtypeError, match=r"Join them with stack\(\) or concatenate\(\)\.$"):
        f([x, x * 2])
    f([x.detach(), 2.0])  # no graph, nothing lost
    assert f(mg.stack([x, x * 2])).requires_grad


@pytest.mark.parametrize(
    "data",
    ["a", ["a", "b"], b"a", None, [None], 1j, [1j], np.datetime64("2020-01-01"), np.timedelta64(1,
    "D"),
     object(), {"a": 1}, {1, 2}, (i for i in [1]), np.array(["a"], object), np.zeros(2, "i4,f4"),
     len,
     np.array([1, None], object), np.array("1.0"), [[1.0], [1j]]],
    ids=repr,
)  # fmt: skip
def test_what_is_no_number_is_a_dtype_error(data: Any) -> None:
    message = (
        r"it needs real numbers \(float, integer, bool, or Fraction objects\)\. Convert it first\.$"
    )
    with pytest.raises(DtypeError, match=r"^tensor: .*" + message):
        mg.tensor(data)
    x = leaf([1.0, 2.0])
    for name, f in [
        ("add", lambda: x + data),
        ("multiply", lambda: data * x),
        ("maximum", lambda: mg.maximum(x, data)),
    ]:
        if isinstance(data, (str, bytes, list, dict, set)) and name == "multiply":
            continue
        with pytest.raises(TypeError, match=message) as caught:
            f()
        assert isinstance(caught.value, DtypeError), name


def test_ragged_lists_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        mg.tensor([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("dtype", [complex, "U4", "datetime64[s]", "S2", np.void])
def test_dtypes_that_are_no_real_numbers(dtype: Any) -> None:
    with pytest.raises((DtypeError, ValueError, TypeError)):
        mg.tensor([1.0, 2.0], dtype=dtype)
    with pytest.raises((DtypeError, ValueError, TypeError)):
        mg.tensor([1.0, 2.0]).astype(dtype)


def test_masked_elements_are_never_taken_for_values() -> None:
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    x = leaf([1.0, 2.0])
    for f in (
        lambda: mg.tensor(masked),
        lambda: x * masked,
        lambda: mg.sum(masked),
        lambda: mg.maximum(x, masked),
    ):
        with pytest.raises(
            DtypeError, match="a masked array was given, whose masked elements would count"
        ):
            f()


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_matrix_is_an_array_of_two_dimensions() -> None:
    matrix = np.matrix([[1.0, 2.0]])
    x = leaf([[3.0], [4.0]])
    assert mg.tensor(matrix).shape == (1, 2)
    assert type(mg.tensor(matrix).data) is np.ndarray
    for y in (x * matrix, matrix * x):  # elementwise, as of arrays
        assert isinstance(y, mg.Tensor)
        assert y.tolist() == [[3, 6], [4, 8]]
    assert (matrix @ x).tolist() == [[11]]


def test_shapes_of_comparisons_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ShapeError, match=r"^equal: shapes"):
        leaf([1.0, 2.0]) == [1.0, 2.0, 3.0]  # noqa: B015
