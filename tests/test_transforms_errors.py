"""What the transforms refuse, and how they say it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn
from microgrid.errors import DtypeError, GraphError, ShapeError

Function = Callable[..., Any]
TWO = np.array([1.0, 2.0])


def cube(x: Any) -> Any:
    return x**3


def twins() -> tuple[nn.Module, nn.Module]:
    """Return two layers with one weight."""
    a, b = nn.Dense(2, 2), nn.Dense(2, 2)
    b.weight = a.weight
    return a, b


def written_to() -> None:
    layer = nn.Dense(2, 1)
    _, pullback = mg.vjp(lambda m: mg.tanh(m(TWO)), layer)
    layer.weight.data = np.zeros((2, 1))
    pullback(np.ones(1))


def released() -> None:
    def f(x: Any) -> Any:
        y = mg.exp(x)
        y.backward()
        return y

    mg.grad(f)(1.0)


MESSAGES: list[tuple[Function, type[Exception], str]] = [
    # what the function returned
    (
        lambda: mg.grad(lambda x: 3.0)(1.0),
        GraphError,
        "grad: the function returned a float, which has no graph. Compute it from the arguments by "
        "microgrid's ops.",
    ),
    (
        lambda: mg.jvp(lambda x: None, (1.0,), (1.0,)),
        GraphError,
        "jvp: the function returned a NoneType, which has no graph. Compute it from the arguments "
        "by microgrid's ops.",
    ),
    (
        lambda: mg.jacobian(lambda x: {"y": [x, 3]})(1.0),
        GraphError,
        "jacobian: the function returned a int at ['y'][1], which has no graph. Compute it from "
        "the arguments by microgrid's ops.",
    ),
    (
        lambda: mg.grad(lambda x: (x, x))(1.0),
        GraphError,
        "grad: the function returned a tuple; it needs a Tensor of one element. For several "
        "results use jacobian() or vjp().",
    ),
    (
        lambda: mg.value_and_grad(cube)(TWO),
        GraphError,
        "value_and_grad: the function returned a Tensor of shape (2,); it needs one element. "
        "Reduce it with sum() or mean(), or use jacobian().",
    ),
    (
        lambda: mg.hvp(cube, (TWO,), (TWO,)),
        GraphError,
        "hvp: the function returned a Tensor of shape (2,); it needs one element. Reduce it with "
        "sum() or mean(), or use jacobian().",
    ),
    (
        lambda: mg.grad(cube, has_aux=True)(1.0),
        TypeError,
        "grad: has_aux=True was given and the function returned a Tensor; it needs a pair (result, "
        "what else to hand out). Return both as a tuple.",
    ),
    # by what
    (
        lambda: mg.grad(cube, 1)(2.0),
        IndexError,
        "grad: argnums=1 was given and 1 arguments by place; it needs places that are there, "
        "counted from 0. Pass by place what to differentiate by.",
    ),
    (
        lambda: mg.hessian(cube)(x=2.0),
        IndexError,
        "hessian: argnums=0 was given and 0 arguments by place; it needs places that are there, "
        "counted from 0. Pass by place what to differentiate by.",
    ),
    (
        lambda: mg.jacobian(cube, (0, -1))(2.0),
        ValueError,
        "jacobian: argnums=(0, -1) names a place twice; it needs each once. Leave one out.",
    ),
    (
        lambda: mg.grad(cube, "x")(2.0),
        TypeError,
        "grad: argnums='x' was given; it needs the place of an argument, or several in a tuple.",
    ),
    (
        lambda: mg.grad(cube)(mg.tensor(3)),
        DtypeError,
        "grad: argument 0 is a Tensor of dtype int64; a gradient needs a dtype that varies "
        "continuously. Use float data, as in tensor(data, dtype=float).",
    ),
    (
        lambda: mg.vjp(lambda a, p: p["w"][0], 1.0, {"w": [mg.tensor(True)]}),
        DtypeError,
        "vjp: argument 1['w'][0] is a Tensor of dtype bool; a gradient needs a dtype that varies "
        "continuously. Use float data, as in tensor(data, dtype=float).",
    ),
    (
        lambda: mg.grad(cube)("3"),
        DtypeError,
        "grad: data of dtype <U1 was given; it needs real numbers (float, integer, bool, or "
        "Fraction objects). Convert it first.",
    ),
    (
        lambda: mg.grad(lambda a, b: b(a(TWO)).sum(), (0, 1))(*twins()),
        ValueError,
        "grad: argument 1['weight'] is the same parameter as argument 0['weight']; a gradient "
        "towards each alone is not known. Put both into one Module, where a shared parameter "
        "counts once.",
    ),
    # tangents and cotangents
    (
        lambda: mg.jvp(cube, 1.0, (1.0,)),
        TypeError,
        "jvp: primals is of type float; it needs a tuple with an entry for each argument. For one "
        "argument write (x,).",
    ),
    (
        lambda: mg.hvp(cube, (1.0,), TWO),
        TypeError,
        "hvp: tangents is of type ndarray; it needs a tuple with an entry for each argument. For "
        "one argument write (x,).",
    ),
    (
        lambda: mg.jvp(cube, (1.0,), (1.0, 2.0)),
        ShapeError,
        "jvp: tangents has 2 entries and primals 1 entry; it needs a value for each. Give zeros "
        "where nothing changes.",
    ),
    (
        lambda: mg.jvp(cube, (TWO,), (np.ones(3),)),
        ShapeError,
        "jvp: tangents[0] has shape (3,) and primals[0] (2,); the shapes must be equal. Broadcast "
        "it first.",
    ),
    (
        lambda: mg.hvp(cube, ({"a": 1.0, "b": 2.0},), ({"a": 1.0},)),
        ShapeError,
        "hvp: tangents[0] has the keys 'a' and primals[0] the keys 'a', 'b'; it needs a value for "
        "each. Give zeros where nothing changes.",
    ),
    (
        lambda: mg.jvp(cube, ([1.0],), (1.0,)),
        ShapeError,
        "jvp: tangents[0] is of type float and primals[0] of type list; it needs a list or tuple "
        "too. Give both the same structure.",
    ),
    (
        lambda: mg.jvp(cube, ({"a": None},), ({"a": 1.0},)),
        ShapeError,
        "jvp: tangents[0]['a'] is of type float and primals[0]['a'] of type NoneType; it needs "
        "None too. Give both the same structure.",
    ),
    (
        lambda: mg.jvp(lambda m: m(TWO), (nn.Dense(2, 1),), (nn.Dense(2, 1),)),
        ShapeError,
        "jvp: tangents[0] is of type Dense and primals[0] of type Dense; it needs a dict with a "
        "value for each parameter. Give both the same structure.",
    ),
    (
        lambda: mg.vjp(cube, TWO)[1](np.ones((2, 1))),
        ShapeError,
        "vjp: cotangent has shape (2, 1) and result (2,); the shapes must be equal. Broadcast it "
        "first.",
    ),
    (
        lambda: mg.vjp(lambda x: {"y": x}, 1.0)[1](1.0),
        ShapeError,
        "vjp: cotangent is of type float and result of type dict; it needs a dict too. Give both "
        "the same structure.",
    ),
    (
        lambda: mg.vjp(lambda x: {"y": x}, 1.0)[1]({}),
        ShapeError,
        "vjp: cotangent has no keys and result the keys 'y'; it needs a value for each. Give zeros "
        "where nothing changes.",
    ),
    # the graph
    (
        written_to,
        GraphError,
        "vjp: an input of affine (shape (2, 1)) was written to after the forward pass, so the "
        "value it was computed from is gone. Run the forward pass again before going backward.",
    ),
    (
        released,
        GraphError,
        "grad: this graph was already used and released. Call backward(retain_graph=True) the "
        "first time to use it twice.",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), MESSAGES)
def test_message(call: Function, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_tangents_are_looked_at_before_the_function_runs() -> None:
    ran = []
    with pytest.raises(ShapeError):
        mg.jvp(lambda x: ran.append(x), (1.0,), (TWO,))
    assert not ran


def test_a_pullback_may_be_called_again_after_a_cotangent_that_did_not_fit() -> None:
    _, pullback = mg.vjp(cube, 2.0)
    with pytest.raises(ShapeError):
        pullback(TWO)
    assert pullback(1.0) == (12,)
    assert pullback(2.0) == (24,)
