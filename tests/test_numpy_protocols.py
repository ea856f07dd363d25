"""NumPy's functions and operators on Tensors: what differentiates, what says why it does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError

Function = Callable[..., Any]


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


A = np.array([[0.5, 1.5, 2.5], [0.75, 1.25, 2.0]])


def check(f: Function, *arrays: np.ndarray) -> None:
    """f gives on Tensors what it gives on arrays, and differentiates by the op's own rule."""
    expected = np.asarray(f(*arrays))
    for which in range(len(arrays)):
        operands: list[Any] = list(arrays)
        operands[which] = leaf(arrays[which])
        y = f(*operands)
        assert isinstance(y, mg.Tensor)
        assert y.shape == expected.shape
        assert y.dtype == expected.dtype
        np.testing.assert_allclose(y.data, expected, rtol=1e-15)
        if expected.dtype.kind != "f":
            assert not y.requires_grad
            continue
        y.backward(np.ones(y.shape))
        grad = operands[which].grad
        # Central differences in float64: truncation h^2, rounding eps / h.
        h = 1e-6
        for place in np.ndindex(arrays[which].shape):
            moved = [list(arrays), list(arrays)]
            for values, sign in zip(moved, (1, -1), strict=True):
                values[which] = values[which].copy()
                values[which][place] += sign * h
            slope = (np.sum(f(*moved[0])) - np.sum(f(*moved[1]))) / (2 * h)
            assert grad[place] == pytest.approx(slope, rel=1e-6, abs=1e-7)


UFUNCS_OF_ONE = [
    "absolute", "cos", "exp", "expm1", "log", "log1p", "negative", "reciprocal", "sign", "sin",
    "sqrt",
    "square", "tanh", "isfinite",
]  # fmt: skip
UFUNCS_OF_TWO = [
    "add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "logaddexp", "greater",
    "greater_equal", "less", "less_equal", "equal", "not_equal",
]  # fmt: skip


def test_the_lists_of_ufuncs_have_all_that_both_have() -> None:
    both = {name for name in mg.ops.PUBLIC if isinstance(getattr(np, name, None), np.ufunc)}
    assert both == {*UFUNCS_OF_ONE, *UFUNCS_OF_TWO, "matmul"}


@pytest.mark.parametrize("name", UFUNCS_OF_ONE)
def test_ufuncs_of_one_operand(name: str) -> None:
    check(getattr(np, name), A)


@pytest.mark.parametrize("name", UFUNCS_OF_TWO)
def test_ufuncs_of_two_operands_of_which_either_is_a_tensor(name: str) -> None:
    check(getattr(np, name), A, A[::-1] + 0.125)
    check(getattr(np, name), A, np.array([1.0, 2.0, 0.25]))


def test_matmul_and_aliases() -> None:
    check(np.matmul, A, A.T)
    check(lambda a, b: a @ b, A, A[0])
    check(np.abs, A - 1)
    check(np.true_divide, A, A + 1)


OPERATORS: dict[str, Function] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a,
    b: a / b,
    "**": lambda a, b: a**b, "<": lambda a, b: a < b, ">=": lambda a, b: a >= b, "==": lambda a,
    b: a == b,
    "!=": lambda a, b: a != b,
}  # fmt: skip


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(
    "other", [np.float64(2), np.float32(2), np.int64(2), np.array(2.0), np.array([2.0, 3.0]), [2.0,
    3.0], (2, 3)],
    ids=lambda o: type(o).__name__,
)  # fmt: skip
def test_operators_with_numpy_on_either_side_give_tensors(operator: str, other: Any) -> None:
    f = OPERATORS[operator]
    a = np.array([0.5, 1.5])
    for left, right, expected in [
        (leaf(a), other, f(a, np.asarray(other))),
        (other, leaf(a), f(np.asarray(other), a)),
    ]:
        y = f(left, right)
        assert isinstance(y, mg.Tensor)
        assert (y.data == expected).all()
        if expected.dtype.kind == "f":
            y.sum().backward()
            assert (leaf(a).data.shape) == (
                left if isinstance(left, mg.Tensor) else right
            ).grad.shape


def test_matrix_products_with_arrays_on_either_side() -> None:
    x = leaf([1.0, 2.0])
    m = np.array([[1.0, 2.0], [3.0, 4.0]])
    for y, grad in [(m @ x, [4, 6]), (x @ m, [3, 7]), (m.tolist() @ x, [4, 6])]:
        assert isinstance(y, mg.Tensor)
        y.sum().backward()
        assert x.grad.tolist() == grad
        x.zero_grad()


class Sub(np.ndarray):
    """A subclass of ndarray."""


def test_subclasses_of_arrays_give_way() -> None:
    x = leaf([1.0, 2.0])
    a = np.array([3.0, 4.0]).view(Sub)
    for y in (x * a, a * x, mg.maximum(x, a), np.multiply(a, x)):
        assert type(y) is mg.Tensor
        assert type(y.data) is np.ndarray


IN_PLACE: list[Function] = [
    lambda a, t: a.__iadd__(t), lambda a, t: a.__isub__(t), lambda a, t: a.__imul__(t),
    lambda a, t: a.__itruediv__(t), lambda a, t: a.__ipow__(t), lambda a, t: np.add(a, t, out=a),
    lambda a, t: np.exp(t, out=a), lambda a, t: np.multiply(t, 2, a),
]  # fmt: skip


@pytest.mark.parametrize("f", IN_PLACE)
@pytest.mark.parametrize("dtype", [float, object])
def test_a_tensor_is_never_written_into_an_array(f: Function, dtype: Any) -> None:
    a = np.array([1.0, 2.0]).astype(dtype)
    with pytest.raises(
        TypeError, match=r"was to be written into an array \(out=, or array \+= tensor\)"
    ):
        f(a, leaf([3.0, 4.0]))
    assert a.tolist() == [1, 2]
    assert a.dtype == dtype


# --- functions -----------------------------------------------------------------------------------

FUNCTIONS: dict[str, Function] = {
    "sum": np.sum,
    "sum, axis": lambda x: np.sum(x, 1),
    "sum, by place": lambda x: np.sum(x, 0, None, None, True),
    "mean": lambda x: np.mean(x, axis=0, keepdims=True),
    "mean, by place": lambda x: np.mean(x, (0, 1), None, None, True),
    "var": lambda x: np.var(x, ddof=1),
    "var, by place": lambda x: np.var(x, 1, None, None, 1),
    "std": lambda x: np.std(x, axis=1),
    "std, by place": lambda x: np.std(x, 1, None, None, 1, True),
    "prod": lambda x: np.prod(x, axis=0),
    "max": np.max,
    "amax": lambda x: np.amax(x, axis=1),
    "max, by place": lambda x: np.max(x, 1, None, True),
    "min": lambda x: np.min(x, axis=-1, keepdims=True),
    "amin": np.amin,
    "cumsum": np.cumsum,
    "cumsum, axis": lambda x: np.cumsum(x, 1, None, None),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "reshape, order": lambda x: np.reshape(x, (3, 2), order="C"),
    "transpose": np.transpose,
    "transpose, axes": lambda x: np.transpose(x, (1, 0)),
    "transpose, axes=": lambda x: np.transpose(x, axes=(1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "squeeze": lambda x: np.squeeze(x[None]),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "flip": np.flip,
    "flip, axis": lambda x: np.flip(x, 1),
    "concatenate": lambda x: np.concatenate([x, 2 * x]),
    "concatenate, axis": lambda x: np.concatenate((x, x), 1),
    "stack": lambda x: np.stack([x, x * x], axis=1),
    "split": lambda x: np.split(x, 3, axis=1)[1],
    "pad": lambda x: np.pad(x, 1),
    "pad, constant": lambda x: np.pad(x, ((1, 0), (0, 2)), "constant", constant_values=3.0),
    "copy": np.copy,
    "clip": lambda x: np.clip(x, 0.6, 2.2),
    "clip, None": lambda x: np.clip(x, None, 1.3),
    "take": lambda x: np.take(x, [0, 0, 1], axis=1),
    "take, by place": lambda x: np.take(x, [0, 5]),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0], [2]]), axis=1),
    "where": lambda x: np.where(A > 1, x, 2 * x),
    "dot": lambda x: np.dot(x, A.T),
    "outer": lambda x: np.outer(x, [1.0, 2.0]),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, A),
    "linalg.norm": np.linalg.norm,
    "linalg.norm, axis": lambda x: np.linalg.norm(x, axis=1, keepdims=True),
    "linalg.norm, 1": lambda x: np.linalg.norm(x, 1, 0),
    "linalg.norm, inf": lambda x: np.linalg.norm(x, np.inf, axis=1),
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmin": np.argmin,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpy_functions_differentiate(name: str) -> None:
    check(FUNCTIONS[name], A)


def test_functions_of_two_tensors() -> None:
    check(lambda a, b: np.concatenate([a, b]), A, A + 1)
    check(lambda a, b: np.stack([a, b]), A, A + 1)
    check(lambda a, b: np.where(A > 1, a, b), A, A + 1)
    check(np.dot, A, A.T)
    check(np.outer, A[0], A[1])
    check(lambda a, b: np.einsum("ij,ij->i", a, b), A, A + 1)


def test_functions_that_make_tensors() -> None:
    x = leaf([1.0, 2.0], np.float32)
    for y, expected in [(np.zeros_like(x), [0, 0]), (np.ones_like(x), [1, 1])]:
        assert isinstance(y, mg.Tensor)
        assert y.dtype == np.float32
        assert not y.requires_grad
        assert y.tolist() == expected
    assert np.ones_like(x, np.float64).dtype == np.float64


def test_questions_are_answered_by_numpy() -> None:
    x = leaf([1.0, 2.0])
    assert np.shape(x) == (2,)
    assert np.ndim(x) == 1
    assert np.size(x) == 2
    assert np.allclose(x, [1.0, 2.0])
    assert np.array_equal(x, x)
    assert np.any(x > 1)
    assert not np.all(x > 1)
    assert np.count_nonzero(x - 1) == 1
    assert np.isclose(x, 1.0).tolist() == [True, False]
    assert np.result_type(x, np.float32) == np.float64
    assert not np.shares_memory(x, x * 1)
    np.testing.assert_array_equal(x, [1, 2])


def test_conversion_to_an_array_copies() -> None:
    x = leaf([1.0, 2.0])
    for a in (
        np.asarray(x),
        np.array(x),
        np.array(x, np.float32),
        np.asarray(x, dtype=int),
        x.numpy(),
    ):
        assert type(a) is np.ndarray
        assert a.tolist() == [1, 2]
        assert not np.shares_memory(a, x.data)
    assert np.shares_memory(np.array(x, copy=False), x.data)
    assert np.array(mg.tensor(1.0)).shape == ()
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float32, copy=False)


# --- what is not supported -----------------------------------------------------------------------

UNSUPPORTED: list[tuple[str, Function, str]] = [
    ("numpy.sinh", np.sinh, "Compose it of the ops in microgrid.OPS"),
    ("numpy.floor_divide", lambda x: np.ones(2) // x, "Compose it of the ops in microgrid.OPS"),
    ("numpy.isnan", np.isnan, "Compose it of the ops in microgrid.OPS"),
    ("numpy.add.reduce", np.add.reduce, "Compose it of the ops in microgrid.OPS"),
    (
        "numpy.multiply.outer",
        lambda x: np.multiply.outer(x, x),
        "Compose it of the ops in microgrid.OPS",
    ),
    (
        "numpy.add.at",
        lambda x: np.add.at(np.ones(2), [0], x),
        "Compose it of the ops in microgrid.OPS",
    ),
    ("numpy.exp", lambda x: np.exp(x, where=[True, False]), "Use microgrid.exp"),
    ("numpy.exp", lambda x: np.exp(x, dtype=np.float32), "Use microgrid.exp"),
    ("numpy.sort", np.sort, "Compose it of the ops in microgrid.OPS"),
    ("numpy.median", np.median, "Compose it of the ops in microgrid.OPS"),
    ("numpy.vstack", lambda x: np.vstack([x, x]), "Compose it of the ops in microgrid.OPS"),
    ("numpy.fft.fft", np.fft.fft, "Compose it of the ops in microgrid.OPS"),
    (
        "numpy.linalg.inv",
        lambda x: np.linalg.inv(mg.outer(x, x)),
        "Compose it of the ops in microgrid.OPS",
    ),
    ("numpy.sum", lambda x: np.sum(x, dtype=np.float32), "Use microgrid.sum"),
    ("numpy.sum", lambda x: np.sum(x, 0, np.float32), "Use microgrid.sum"),
    ("numpy.sum", lambda x: np.sum(x, where=[True, False]), "Use microgrid.sum"),
    ("numpy.sum", lambda x: np.sum(x, initial=3.0), "Use microgrid.sum"),
    ("numpy.mean", lambda x: np.mean(x, out=np.zeros(())), "Use microgrid.mean"),
    ("numpy.reshape", lambda x: np.reshape(x, (2, 1), order="F"), "Use microgrid.reshape"),
    ("numpy.pad", lambda x: np.pad(x, 1, mode="edge"), "Use microgrid.pad"),
    ("numpy.take", lambda x: np.take(x, [0], mode="clip"), "Use microgrid.take"),
    (
        "numpy.concatenate",
        lambda x: np.concatenate([x, x], dtype=np.float32),
        "Use microgrid.concatenate",
    ),
    ("numpy.einsum", lambda x: np.einsum("i->", x, optimize=True), "Use microgrid.einsum"),
    ("numpy.copy", lambda x: np.copy(x, order="F"), "Use microgrid.copy"),
]


@pytest.mark.parametrize(
    ("name", "f", "instead"), UNSUPPORTED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_an_unsupported_function_names_the_supported_way(
    name: str, f: Function, instead: str
) -> None:
    message = (
        rf"^{re.escape(name)}: a Tensor was given( with \w+)?, which has no gradient there\. "
        rf"{re.escape(instead)}, or pass tensor\.numpy\(\) for the values without a graph\.$"
    )
    with pytest.raises(TypeError, match=message):
        f(leaf([1.0, 2.0]))
    with mg.no_grad(), pytest.raises(TypeError, match=message):
        f(mg.tensor([1.0, 2.0]))


@pytest.mark.parametrize("order", [2, "fro", "nuc", 1, np.inf, -1])
def test_norms_of_matrices_are_not_taken_for_norms_of_vectors(order: Any) -> None:
    for how in ({}, {"axis": (0, 1)}):
        with pytest.raises(TypeError, match=r"^numpy\.linalg\.norm: ord=.* was given for a matrix"):
            np.linalg.norm(leaf(A), order, **how)


def test_functions_of_the_same_name_elsewhere_in_numpy_are_not_taken_for_ops() -> None:
    # This one repeats text.
    with pytest.raises(TypeError, match="numpy"):
        np.strings.multiply(leaf([1.0, 2.0]), 2)


def test_errors_of_the_op_come_through() -> None:
    with pytest.raises(DtypeError, match=r"^add: data of dtype"):
        np.add(leaf([1.0]), np.array(["a"]))
    with pytest.raises(ValueError, match=r"^add: shapes"):
        np.add(leaf([1.0, 2.0]), np.ones(3))
    with pytest.raises(ValueError, match="axis"):
        np.sum(leaf([1.0, 2.0]), axis=1)
