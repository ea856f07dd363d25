"""Error messages, whole: who, what was given, what is needed, how to fix it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid import errors
from microgrid.errors import DtypeError, GraphError, ShapeError

Function = Callable[..., Any]


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def ones(*shape: int) -> mg.Tensor:
    return leaf(np.ones(shape))


def used_graph() -> mg.Tensor:
    y = ones() * 2
    y.backward()
    return y


def changed_leaf() -> mg.Tensor:
    x = ones(3, 2)
    y = x @ np.ones((2, 4))
    x.data = np.zeros((3, 2))
    return y.sum()


NEEDED = "it needs real numbers (float, integer, bool, or Fraction objects). Convert it first."

MESSAGES: list[tuple[Function, type[Exception], str]] = [
    # shapes
    (
        lambda: ones(32, 784) @ ones(128, 10),
        ShapeError,
        "matmul: shapes (32, 784) and (128, 10) do not fit (n,k),(k,m)->(n,m): k is 784 and 128.",
    ),
    (
        lambda: ones() @ ones(2),
        ShapeError,
        "matmul: shapes () and (2,) do not fit (n,k),(k,m)->(n,m): () has too few dimensions.",
    ),
    (
        lambda: ones(2, 1, 3, 4) @ ones(5, 4, 2) + ones(3),
        ShapeError,
        "add: shapes (2, 5, 3, 2) and (3,) do not broadcast together: 2 and 3 in the last place.",
    ),
    (
        lambda: ones(4, 3, 4) @ ones(5, 4, 2),
        ShapeError,
        "matmul: shapes (4, 3, 4) and (5, 4, 2) do not broadcast together: 4 and 5 in the last "
        "place.",
    ),
    (
        lambda: ones(2, 3) + np.ones((4, 3)),
        ShapeError,
        "add: shapes (2, 3) and (4, 3) do not broadcast together: 2 and 4 in place 2 from the end.",
    ),
    (
        lambda: mg.where(np.ones(2, bool), ones(3), 0),
        ShapeError,
        "where: shapes (2,) and (3,) and () do not broadcast together: 2 and 3 in the last place.",
    ),
    (
        lambda: mg.affine(ones(5, 3), ones(3, 4), ones(2)),
        ShapeError,
        "affine: shapes (5, 3) and (3, 4) and (2,) do not fit (n,k),(k,m),(m)->(n,m): m is 4 and "
        "2.",
    ),
    (
        lambda: mg.stack([ones(2), ones(3)]),
        ShapeError,
        "stack: shapes (2,) and (3,) do not fit: all input arrays must have the same shape",
    ),
    (
        lambda: mg.mean_squared_error(ones(3), ones(3, 1)),
        ShapeError,
        "mean_squared_error: shapes (3,) and (3, 1) were given; they must be equal. Reshape one "
        "of them.",
    ),
    (
        lambda: mg.take_along_axis(ones(2, 3), np.zeros((3, 1), int), 1),
        ShapeError,
        "take_along_axis: shapes (2, 3) and (3, 1) do not broadcast together but for axis 1; they "
        "need as "
        "many dimensions. Use expand_dims().",
    ),
    (
        lambda: ones(2, 3).reshape(4, -1),
        ShapeError,
        "reshape: shape (2, 3) has 6 elements, which do not fill (4, -1). Give sizes whose "
        "product is that "
        "number, at most one of them -1.",
    ),
    (
        lambda: ones(2, 3).reshape(2.0, 3),
        TypeError,
        "reshape: shape (2.0, 3) was given; it needs integers.",
    ),
    (
        lambda: ones(2, 3).transpose(0),
        ShapeError,
        "transpose: axes (0,) were given for shape (2, 3); it needs each of the 2 axes once. Name "
        "them all, "
        "or none to reverse them.",
    ),
    (
        lambda: mg.maxout(ones(2, 3), 2),
        ShapeError,
        "maxout: axis -1 of shape (2, 3) has 3 elements, which do not make groups of 2. Change "
        "pool_size or "
        "the layer before.",
    ),
    (
        lambda: mg.split(ones(5), 2),
        ShapeError,
        "split: axis 0 of shape (5,) has 5 elements, which do not make 2 equal parts. Give the "
        "places to cut "
        "at instead.",
    ),
    (
        lambda: mg.pad(ones(2), [1, 2, 3]),
        ShapeError,
        "pad: pad_width=[1, 2, 3] was given for shape (2,); it needs an integer, a pair or a pair "
        "per axis, "
        "none negative.",
    ),
    (
        lambda: mg.concatenate([]),
        ShapeError,
        "concatenate: no array was given; it needs at least one.",
    ),
    (lambda: mg.stack([]), ShapeError, "stack: no array was given; it needs at least one."),
    (
        lambda: mg.einsum("ij,jk", ones(2, 2)),
        ShapeError,
        "einsum: 'ij,jk' has 2 terms and 1 operands were given; their numbers must be the same.",
    ),
    (
        lambda: mg.einsum("ijk->i", ones(2, 2)),
        ShapeError,
        "einsum: the term 'ijk' was given for an operand of 2 dimensions; it needs a letter for "
        "each.",
    ),
    (
        lambda: mg.einsum(ones(2, 2), "ij"),  # type: ignore[arg-type]
        TypeError,
        "einsum: subscripts of type Tensor were given; a string such as 'ij,jk->ik' must come "
        "first.",
    ),
    (
        lambda: (ones(2, 3) * 2).backward(np.ones(3)),
        ShapeError,
        "backward: a gradient of shape (3,) was given for a result of shape (2, 3); the shapes "
        "must be equal. "
        "Broadcast it first.",
    ),
    (
        lambda: mg.assign(ones(2), 1.0),
        ShapeError,
        "assign: a value of shape () was given for a Tensor of shape (2,); the shapes must be "
        "equal. "
        "Broadcast the value first.",
    ),
    # dtypes
    (
        lambda: mg.tensor([1, 2], requires_grad=True),
        DtypeError,
        "tensor: requires_grad=True was given for dtype int64; a gradient needs a dtype that "
        "varies "
        "continuously. Use float data, as in tensor(data, dtype=float).",
    ),
    (lambda: mg.tensor("a"), DtypeError, f"tensor: data of dtype <U1 was given; {NEEDED}"),
    (lambda: ones(2) * 1j, DtypeError, f"multiply: data of dtype complex128 was given; {NEEDED}"),
    (lambda: mg.relu(None), DtypeError, f"relu: a NoneType was given as a number; {NEEDED}"),
    (lambda: mg.sum(["a"]), DtypeError, f"sum: data of dtype <U1 was given; {NEEDED}"),
    (
        lambda: ones(2) + np.array("2020-01-01", "datetime64[D]"),
        DtypeError,
        f"add: data of dtype datetime64[D] was given; {NEEDED}",
    ),
    (
        lambda: mg.exp([ones(), ones()]),
        DtypeError,
        "exp: a list that holds Tensors with a graph was given as one array, which would lose the "
        "graph. Join "
        "them with stack() or concatenate().",
    ),
    (
        lambda: ones(2) * np.ma.array([1.0, 2.0], mask=[True, False]),
        DtypeError,
        "multiply: a masked array was given, whose masked elements would count as values. Use its "
        "filled(), "
        "or where() on its mask.",
    ),
    (
        lambda: mg.one_hot([0.5], 2),
        DtypeError,
        "one_hot: indices of dtype float64 were given; it needs integers. Use astype(int).",
    ),
    # graphs
    (
        lambda: (ones(32, 10) * 2).backward(),
        GraphError,
        "backward: the result has shape (32, 10) and no gradient was given. Pass one of that "
        "shape, or reduce "
        "with sum() or mean().",
    ),
    (
        lambda: used_graph().backward(),
        GraphError,
        "backward: this graph was already used and released. Call backward(retain_graph=True) the "
        "first time "
        "to use it twice.",
    ),
    (
        lambda: mg.tensor(1.0).backward(),
        GraphError,
        "backward: the Tensor has no graph: it was not computed from one with requires_grad=True, "
        "or under "
        "no_grad(), or by a compiled function. Set requires_grad=True on the leaves first; "
        "compile the function that calls backward.",
    ),
    (
        lambda: changed_leaf().backward(),
        GraphError,
        "backward: an input of matmul (shape (3, 2)) was written to after the forward pass, so "
        "the value it "
        "was computed from is gone. Run the forward pass again before going backward.",
    ),
    (
        lambda: mg.gradients(ones() * 2, [np.ones(3)]),  # type: ignore[list-item]
        TypeError,
        "gradients: xs[0] is of type ndarray; it needs a Tensor that y was computed from. Make it "
        "one with "
        "tensor(..., requires_grad=True) first.",
    ),
    (
        lambda: setattr(ones() * 2, "requires_grad", False),
        GraphError,
        "requires_grad: False was given for the result of multiply; only a leaf can stop "
        "requiring a "
        "gradient. Use detach().",
    ),
    (
        lambda: mg.assign(ones(2) * 2, [1.0, 2.0]),
        GraphError,
        "assign: the result of multiply was given; only a leaf can be written to. Use detach() "
        "and assign to "
        "that.",
    ),
    # parameters
    (lambda: mg.add(1), TypeError, "add: 1 inputs were given; it takes 2."),
    (
        lambda: mg.clip(ones(2), np.nan),
        ValueError,
        "clip: a bound is nan; it needs numbers. Pass None for no bound.",
    ),
    (
        lambda: mg.hardtanh(ones(2), 1, -1),
        ValueError,
        "hardtanh: min_val=1 and max_val=-1 were given; the first must be below the second. Swap "
        "them.",
    ),
    (
        lambda: mg.softshrink(ones(2), -1),
        ValueError,
        "softshrink: lambd=-1 was given; it must not be negative.",
    ),
    (
        lambda: mg.celu(ones(2), 0),
        ValueError,
        "celu: alpha=0 was given, and x is divided by it. Use relu() instead.",
    ),
    (
        lambda: mg.gelu(ones(2), "erf"),
        ValueError,
        "gelu: approximate='erf' was given; it is 'none' or 'tanh'.",
    ),
    (
        lambda: mg.rrelu(ones(2), 0.5, 0.25),
        ValueError,
        "rrelu: lower=0.5 and upper=0.25 were given; the first must not be above the second. Swap "
        "them.",
    ),
    (
        lambda: mg.piecewise_linear(ones(2), [0, 1], [1, 2]),
        ValueError,
        "piecewise_linear: 2 knots and 2 slopes were given; it needs one slope more than knots. "
        "Give the "
        "slopes left of the first knot, between knots, and right of the last.",
    ),
    (
        lambda: mg.piecewise_linear(ones(2), [1, 0], [1, 2, 3]),
        ValueError,
        "piecewise_linear: the knots (1, 0) do not increase strictly. Sort them, each once.",
    ),
    (
        lambda: mg.piecewise_linear(ones(2), ones(1), [1, 2]),  # type: ignore[arg-type]
        TypeError,
        "piecewise_linear: a Tensor was given as knots, slopes or point, which are data and get "
        "no gradient. "
        "Pass its tolist().",
    ),
    (
        lambda: mg.norm(ones(2), 3),
        ValueError,
        "norm: ord=3 was given; it knows 1, 2 and inf. Compose others, as in sum(absolute(t) ** "
        "p) ** (1 / p).",
    ),
    (
        lambda: mg.one_hot([0, 5], 3),
        ValueError,
        "one_hot: indices from 0 to 5 were given; with num_classes=3 they must lie between 0 and "
        "2.",
    ),
    (
        lambda: mg.cumsum(ones(2, 2), axis=(0, 1)),
        TypeError,
        "cumsum: axis=(0, 1) was given; it needs one integer.",
    ),
    # Python
    (
        lambda: bool(ones(2)),
        ValueError,
        "bool: the Tensor has shape (2,), and a truth value needs one element. Compare and reduce "
        ".data with "
        "any() or all().",
    ),
    (
        lambda: float(ones(2)),
        ValueError,
        "item: the Tensor has shape (2,); one element is needed. Index it first, or use tolist().",
    ),
    (
        lambda: [1, 2][mg.tensor(1.0)],  # type: ignore[call-overload]
        TypeError,
        "index: the Tensor has dtype float64 and shape (); an index is one integer. Convert it "
        "with int().",
    ),
    (
        lambda: ones(2).__setitem__(0, 1.0),
        TypeError,
        "setitem: a Tensor's elements cannot be assigned, since a graph may hold them. Build the "
        "result with "
        "where() or concatenate(), or assign a whole leaf: t.data = array.",
    ),
]


@pytest.mark.parametrize(("f", "error", "message"), MESSAGES, ids=[m[:60] for _, _, m in MESSAGES])
def test_message(f: Function, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        f()
    assert str(caught.value) == message


@pytest.mark.parametrize("message", [m for _, _, m in MESSAGES])
def test_messages_say_who_and_are_plain(message: str) -> None:
    assert re.match(r"^\w+: \S", message)
    assert "array(" not in message  # no dumps of data
    assert "np.int64" not in message
    assert len(message) < 240


ERRORS = {
    "ShapeError": ValueError,
    "DtypeError": TypeError,
    "GraphError": RuntimeError,
    "TraceError": RuntimeError,
    "FileFormatError": ValueError,
}


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_one_of_ours_and_a_builtin(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.MicrogridError)
    assert issubclass(kind, ERRORS[name])
    assert kind.__doc__
    with pytest.raises(ERRORS[name], match="x"):
        raise kind("x")


def test_all_errors_have_the_common_base() -> None:
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(kind, errors.MicrogridError)


def test_numpys_words_do_not_hide_the_cause() -> None:
    with pytest.raises(ShapeError) as caught:
        ones(2) + ones(3)
    assert isinstance(caught.value.__cause__, ValueError)
