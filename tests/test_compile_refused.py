"""What a traced step must not do, since a replay would not do it again: a TraceError says so."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import check_same

import microgrid as mg

READING = (
    "Every replay would use the value of this one. Compute with ops, as where() for a choice; "
    "return the Tensor and read it outside; or leave the step uncompiled."
)
X = np.array([[0.5, -1.0], [2.0, 0.25]])


def line_of(function: Any) -> int:
    """Return the line of a function of one line."""
    code: Any = getattr(function, "__wrapped__", function).__code__
    return int(code.co_firstlineno)


# What reads, as the message names it, from a number and from a matrix.
NUMBERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("bool()", lambda t: bool(t)),
    ("bool()", lambda t: 1 if t > 0 else 2),
    ("bool()", lambda t: t and 1),
    ("bool()", lambda t: not t),
    ("bool()", lambda t: 0 < t < 1),
    ("bool()", lambda t: max(t, t + 1)),
    ("bool()", lambda t: t in [1.0]),
    ("item()", lambda t: float(t)),
    ("item()", lambda t: math.sqrt(t)),
    ("item()", lambda t: int(t)),
    ("item()", lambda t: round(float(t))),
    ("item()", lambda t: complex(t)),
    ("item()", lambda t: t.item()),
    ("numpy()", lambda t: t.numpy()),
    ("tolist()", lambda t: t.tolist()),
    ("data", lambda t: t.data),
    ("data", lambda t: t.data * 2),
    ("numpy.asarray()", lambda t: np.asarray(t)),
    ("numpy.asarray()", lambda t: np.array(t)),
]
MATRICES: list[tuple[str, Callable[[Any], Any]]] = [
    ("numpy()", lambda t: t.numpy()),
    ("tolist()", lambda t: t.tolist()),
    ("data", lambda t: t.data),
    ("numpy.asarray()", lambda t: np.asarray(t)),
    ("numpy.asarray()", lambda t: np.asarray([t, t])),
]


def message(how: str, line: int) -> str:
    """Return the whole message."""
    return f"compile: {how} was asked for in the traced step ({__file__}, line {line}). {READING}"


@pytest.mark.parametrize(("how", "read"), NUMBERS)
@pytest.mark.parametrize("kind", ["argument", "array", "leaf", "result", "loss"])
def test_reading_a_number_is_refused(how: str, read: Any, kind: str) -> None:
    with pytest.raises(mg.errors.TraceError) as error:
        mg.compile(step_that_reads(read, kind))(given_to(kind, np.array(0.5)))
    assert str(error.value).startswith("compile: ")
    assert f"({__file__}, line {line_of(read)}). {READING}" in str(error.value)


@pytest.mark.parametrize(("how", "read"), MATRICES)
@pytest.mark.parametrize("kind", ["argument", "array", "leaf", "result", "loss"])
def test_reading_a_matrix_is_refused(how: str, read: Any, kind: str) -> None:
    with pytest.raises(mg.errors.TraceError) as error:
        mg.compile(step_that_reads(read, kind))(given_to(kind, X))
    assert f"({__file__}, line {line_of(read)}). {READING}" in str(error.value)


def given_to(kind: str, x: np.ndarray) -> Any:
    """Return the argument: an array or a Tensor."""
    return x if kind == "array" else mg.tensor(x)


def step_that_reads(read: Callable[[Any], Any], kind: str) -> Any:
    """Return a step that reads its argument, a leaf outside, or a result."""
    leaf = mg.tensor(X[0, 0], requires_grad=True)

    def step(x: Any) -> Any:
        if kind == "leaf":
            read(leaf if x.ndim == 0 else leaf + x)
        elif kind == "result":
            read(x * 1.0)
        elif kind == "loss":
            loss = leaf * x
            loss.sum().backward()
            read(loss)
        else:
            read(x)
        return x * 2

    return step


@pytest.mark.parametrize(
    ("how", "read"), NUMBERS[:1] + NUMBERS[7:8] + NUMBERS[9:10] + NUMBERS[12:17]
)
def test_the_whole_message_names_line_and_remedy(how: str, read: Any) -> None:
    with pytest.raises(mg.errors.TraceError) as error:
        mg.compile(lambda t: read(t))(mg.tensor(0.5))
    assert str(error.value) == message(how, line_of(read))


def test_after_a_refusal_eager_code_reads_as_before() -> None:
    x = mg.tensor(0.5)
    with pytest.raises(mg.errors.TraceError):
        mg.compile(float)(x)
    assert float(x) == 0.5
    assert mg.compile(lambda x: x * 2)(x).item() == 1.0


def test_a_refused_step_can_be_run_as_it_is() -> None:
    step = mg.compile(lambda x: x * float(x))
    for _ in range(3):
        with pytest.raises(mg.errors.TraceError):
            step(mg.tensor(3.0))
    assert step.function(mg.tensor(3.0)).item() == 9.0
    assert step.traces == 0


# --- ways around that are not refused at once: eager results, or refused later --------------------

COPIES: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda t: mg.tensor(t) * 2,
    "Tensor": lambda t: mg.Tensor(t) * 2,
    "tensor of a list": lambda t: mg.tensor([t, t]) * 2,
    "tensor in another dtype": lambda t: mg.tensor(t, dtype=np.float32) * 2,
    "detach": lambda t: t.detach() * 2,
    "clone": lambda t: t.clone() * 2,
    "copy": lambda t: copy.copy(t) * 2,
    "deepcopy": lambda t: copy.deepcopy(t) * 2,
    "pickle": lambda t: pickle.loads(pickle.dumps(t)) * 2,
    "ones_like": lambda t: mg.ones_like(t) * t,
    "zeros_like": lambda t: mg.zeros_like(t) + t,
    "full": lambda t: mg.full(t.shape, 2.0) * t,
    "iteration": lambda t: mg.stack(list(t)),
    "unpacking": lambda t: mg.stack([*t][::-1]),
    "rows": lambda t: mg.stack([t[i] for i in range(len(t))]),
    "np.exp": lambda t: np.exp(t),
    "np.add with out": lambda t: np.add(t, 1, out=np.zeros((2, 2))),
    "np.sum": lambda t: np.sum(t),
    "np.where": lambda t: np.where(t > 0, t, 0),
    "np.concatenate": lambda t: np.concatenate([t, t]),
    "np.stack": lambda t: np.stack([t, t]),
    "np.clip": lambda t: np.clip(t, 0, 1),
    "np.zeros_like": lambda t: np.zeros_like(t) + t,
    "np.full_like": lambda t: np.full_like(t, 3.0) * t,
    "np.argmax": lambda t: np.argmax(t),
    "np.random.permutation": lambda t: np.random.default_rng(0).permutation(t),
    "index": lambda t: t[(t[0] > 0)],
    "index of integers": lambda t: t[t[0].astype(int) % 2],
    "take": lambda t: mg.take(t, t[0].astype(int) % 2, axis=0),
    "mask as an argument": lambda t: mg.where(t > 0, t, -t),
    "sum of Python": lambda t: sum(t),
    "sorted": lambda t: sorted(t[0]),
    "array method": lambda t: t.sum() + t.mean(),
    "argmax": lambda t: mg.one_hot(t.argmax(axis=1), 2) * t,
    "in-place sum": lambda t: add_in_place(t),
    "setitem": lambda t: set_item(t),
    "a list argument": lambda t: mg.add([[1.0, 2.0], [3.0, 4.0]], t),
    "range": lambda t: t * float(sum(range(int(t.shape[0])))),
    "einsum": lambda t: mg.einsum("ij,kj->ik", t, t),
    "np.einsum": lambda t: np.einsum("ij,kj->ik", t, t),
    "np.isnan": lambda t: mg.where(np.isnan(t), 0.0, t),
    "np.may_share_memory": lambda t: t * float(np.may_share_memory(t, t)),
    "value_and_grad": lambda t: mg.value_and_grad(lambda x: (x * x).sum())(t),
    "jacobian": lambda t: mg.jacobian(lambda x: x * x)(t),
    "hvp": lambda t: mg.hvp(lambda x: (x * x * x).sum(), t, t),
    "jvp": lambda t: mg.jvp(lambda x: x * x, t, t),
    "vjp": lambda t: mg.vjp(lambda x: x * x, t)[1](t),
    "hessian": lambda t: mg.hessian(lambda x: (x * x * x).sum())(t),
    "directional derivative": lambda t: mg.directional_derivative(mg.relu, t, t),
}  # fmt: skip


def add_in_place(t: Any) -> Any:
    t += 1
    return t * 2


def set_item(t: Any) -> Any:
    t[0] = 1.0
    return t * 2


@pytest.mark.parametrize("kind", ["Tensor", "array", "result", "leaf"])
@pytest.mark.parametrize("function", COPIES.values(), ids=list(COPIES))
def test_nothing_that_is_computed_of_an_argument_is_frozen(function: Any, kind: str) -> None:
    leaf = mg.tensor(X)

    def step(x: Any) -> Any:
        if kind == "leaf":
            return function(leaf)
        return function(x + 1 if kind == "result" else x)

    compiled = mg.compile(step)
    for i in (0, 0, 1, 1, 2):  # twice the same: what is copied unseen looks as if it never changed
        x = X * (-2.0) ** i + i
        mg.assign(leaf, x)
        given = [x.copy() if kind == "array" else mg.tensor(x) for _ in range(2)]
        before = leaf.data.copy()
        expected = outcome(step, given[0])
        mg.assign(leaf, before)
        try:
            found = compiled(given[1])
        except mg.errors.TraceError:
            return
        except (AttributeError, TypeError):
            assert kind == "array" or isinstance(expected, type)
            return  # what arrays can and Tensors cannot is refused too
        if isinstance(expected, type):
            assert kind == "array"  # what Tensors can and arrays cannot
            return
        check_same(found, expected)
        check_same(given[1], given[0], "argument")


def outcome(step: Any, x: Any) -> Any:
    """Return the result, or the kind of error."""
    try:
        return step(x)
    except Exception as error:
        return type(error)
