"""What ops say when an option is wrong: who, what was given, what is needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.exceptions import AxisError

import microgrid as mg
from microgrid.errors import DtypeError

X = mg.tensor([1.0, 2.0], requires_grad=True)
SQUARE = np.ones((2, 2))


def declared(**fields: Any) -> mg.Op:
    known = {"name": "own", "doc": "It.", "kernel": np.exp, "vjps": (None,)}
    return mg.Op(**{**known, "domains": (mg.Domain(),), **fields})


MESSAGES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: mg.leaky_relu(X, "a"),  # type: ignore[arg-type]
        TypeError,
        "leaky_relu: negative_slope='a' was given; it needs a number.",
    ),
    (
        lambda: mg.elu(X, alpha=None),  # type: ignore[arg-type]
        TypeError,
        "elu: alpha=None was given; it needs a number.",
    ),
    (
        lambda: mg.celu(X, [1.0]),  # type: ignore[arg-type]
        TypeError,
        "celu: alpha=[1.0] was given; it needs a number.",
    ),
    (
        lambda: mg.hardtanh(X, -1, "1"),  # type: ignore[arg-type]
        TypeError,
        "hardtanh: max_val='1' was given; it needs a number.",
    ),
    (
        lambda: mg.softshrink(X, "a"),  # type: ignore[arg-type]
        TypeError,
        "softshrink: lambd='a' was given; it needs a number.",
    ),
    (
        lambda: mg.rrelu(X, "a"),  # type: ignore[arg-type]
        TypeError,
        "rrelu: lower='a' was given; it needs a number.",
    ),
    (
        lambda: mg.rrelu(X, training=True, rng="x"),  # type: ignore[arg-type]
        TypeError,
        "rrelu: rng='x' was given; it must be None, a seed (an integer, at least 0), or a "
        "numpy.random.Generator.",
    ),
    (
        lambda: mg.pad([1.0], 1, constant_values="a"),  # type: ignore[arg-type]
        TypeError,
        "pad: constant_values='a' was given; it needs a number.",
    ),
    (
        lambda: mg.astype(X, complex),
        DtypeError,
        "astype: dtype complex128 was given; it needs one of real numbers: floats, integers, truth "
        "values or objects.",
    ),
    (
        lambda: mg.swapaxes(X, 0, 3),
        AxisError,
        "swapaxes: axis 3 is out of bounds for array of dimension 1",
    ),
    (
        lambda: mg.expand_dims(X, 5),
        AxisError,
        "expand_dims: axis 5 is out of bounds for array of dimension 2",
    ),
    (
        lambda: mg.crelu(X, axis=2),
        AxisError,
        "crelu: axis 2 is out of bounds for array of dimension 1",
    ),
    (
        lambda: mg.transpose(SQUARE, (0, 0)),
        ValueError,
        "transpose: axis=(0, 0) names an axis twice; name each once.",
    ),
    (
        lambda: mg.moveaxis(SQUARE, [0, -2], [0, 1]),
        ValueError,
        "moveaxis: axis=[0, -2] names an axis twice; name each once.",
    ),
    (
        lambda: mg.take(X, 7),
        IndexError,
        "take: index 7 is out of bounds for axis 0 with size 2. Indices count from 0, or from the "
        "end below 0.",
    ),
    (
        lambda: mg.take_along_axis(SQUARE, np.array([[5]]), 1),
        IndexError,
        "take_along_axis: index 5 is out of bounds for axis 1 with size 2. Indices count from 0, "
        "or from the end below 0.",
    ),
    (
        lambda: mg.exp(x=1),
        TypeError,
        "exp: 0 inputs were given; it takes 1, by place, not by name.",
    ),
    (
        lambda: mg.Domain("a", 1),  # type: ignore[arg-type]
        TypeError,
        "Domain: an end is 'a'; it needs a number.",
    ),
    (lambda: declared(name=3), TypeError, "Op 3: name is a int; it needs a string."),
    (lambda: declared(doc=None), TypeError, "Op own: doc is a NoneType; it needs a string."),
    (
        lambda: declared(kernel=3),
        TypeError,
        "Op own: kernel has a value of type int; it needs a function.",
    ),
    (
        lambda: declared(vjps=("g",)),
        TypeError,
        "Op own: vjps has a value of type str; it needs a function.",
    ),
]


@pytest.mark.parametrize(("f", "error", "message"), MESSAGES, ids=[m[:40] for _, _, m in MESSAGES])
def test_message(f: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        f()
    assert "own" not in mg.OPS


@pytest.mark.parametrize(
    ("f", "wanted"),
    [
        (lambda: mg.leaky_relu(-2.0, np.float32(0.5)), -1.0),
        (lambda: mg.leaky_relu(-2.0, np.array(0.5)), -1.0),
        (lambda: mg.hardtanh(3, -1, True), 1),
    ],
)
def test_numbers_of_every_kind_are_options(f: Callable[[], Any], wanted: float) -> None:
    assert f() == wanted
