"""check_op: it accepts ops that are what their records say, and finds each way not to be."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from own_ops import changed, declared

import microgrid as mg
from microgrid.testing import GradientError, check_op
from microgrid.testing.check_op import _complaint_of_tangent

named = pytest.mark.parametrize
FEW = 10  # calls drawn: each fault here shows on most of them


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def cubed(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "name": "own_cube", "kernel": lambda x, out=None: np.multiply(x * x, x, out=out),
        "vjps": (lambda g, y, x: 3 * g * x * x,), "reference": lambda x: x**3,
    }  # fmt: skip
    return declared(**(fields | changes))


def test_an_op_of_ones_own_that_is_right_passes():
    with cubed() as op:
        assert check_op(op, max_examples=FEW) is True
        assert check_op("own_cube", max_examples=FEW) is True


@named("name", ["relu", "maximum", "max", "where", "matmul", "norm", "sign", "getitem", "astype"])
def test_microgrids_own_ops_pass(name):
    assert check_op(name, max_examples=FEW)


# --- each way to be wrong -------------------------------------------------------------------------


def overwrites(x: Any, out: Any = None) -> Any:
    x.flags.writeable = True
    y = np.multiply(x * x, x, out=out)
    x[...] = 7
    return y


FAULTS = {
    "rule": ({"vjps": (lambda g, y, x: 2 * g * x * x,)}, "the gradient gives"),
    "second derivative": (
        {"vjps": (lambda g, y, x: 3 * g * np.square(np.asarray(x)),)}, "of order 2",
    ),
    "value": ({"reference": lambda x: x**3 + 1}, "; the reference gives "),
    "dtype": (
        {"kernel": lambda x, out=None: np.multiply(x * x, x, out=out).astype(float)},
        "The result has dtype float64 for inputs of float32; the kernel must keep it.",
    ),
    "no out": (
        {"kernel": lambda x: x**3},
        "Let it be kernel(*arrays, out=None).",
    ),
    "out not written": (
        {"kernel": lambda x, out=None: x * x * x},
        "The kernel, given out=, does not write its result there, as a compiled step needs.",
    ),
    "writes to its input": (
        {"kernel": overwrites}, "The kernel wrote to its inputs; it must leave them alone.",
    ),
}  # fmt: skip


@named("fault", FAULTS)
def test_a_fault_is_found_and_said(fault):
    changes, said = FAULTS[fault]
    with cubed(**changes) as op, pytest.raises((GradientError, TypeError)) as error:
        check_op(op, max_examples=FEW)
    if fault == "no out":
        return  # the op itself refuses to be called
    assert str(error.value).startswith(
        'check_op: own_cube fails on\n  mg.OPS["own_cube"](np.array('
    )
    assert said in str(error.value)


def test_another_slope_at_a_kink_is_found():
    rule = lambda g, y, x: g * (x >= 0)  # noqa: E731
    with changed("relu", vjps=(rule,)) as op, pytest.raises(GradientError, match="own_relu fails"):
        check_op(op, max_examples=FEW)


TANGENTS = {
    "negated": lambda choice, *ways, **params: -mg.OPS["absolute"].selection.tangent(choice, *ways),
    "of one side": lambda choice, way: way,
    "zero": lambda choice, way: 0 * way,
}


@named("tangent", TANGENTS.values(), ids=TANGENTS)
def test_a_tangent_that_is_not_that_of_its_piece_is_found(tangent):
    selection = dataclasses.replace(mg.OPS["absolute"].selection, tangent=tangent)
    with (
        changed("absolute", selection=selection) as op,
        pytest.raises(GradientError, match=r"The tangent of its selection gives .* has the slope"),
    ):
        check_op(op, max_examples=FEW)


@named("name", ["min", "max", "norm", "std", "where", "prelu"])
def test_tangents_of_curved_pieces_and_of_sums_that_cancel_are_right(name):
    op, ones = mg.OPS[name], np.ones((2, 2))
    arrays = [ones > 0, ones, ones] if name == "where" else [ones] * max(op.arity or 1, 1)
    for params in op.params(*(a.shape for a in arrays))[:3]:
        for shift in (ones, np.eye(2), np.zeros((2, 2)), np.array([[1.0, 0.0], [0.0, 0.0]])):
            moved = [a if a.dtype == bool else a * shift for a in arrays]
            assert _complaint_of_tangent(op, moved, params) == ""


def test_pieces_of_no_function_are_found_for_each_parameter():
    with (
        changed("leaky_relu", pieces=lambda negative_slope: mg.Pieces((0,), (1,))) as op,
        pytest.raises(ValueError, match=r"^Op own_leaky_relu: 1 knots and 1 slopes were given;"),
    ):
        check_op(op, max_examples=FEW)


def test_a_failure_shows_the_simplest_call():
    with cubed(vjps=(lambda g, y, x: 2 * g * x * x,)) as op, pytest.raises(GradientError) as error:
        check_op(op)
    assert str(error.value).split("\n")[1] == '  mg.OPS["own_cube"](np.array(1.0))'


# --- what it is asked -----------------------------------------------------------------------------


@named("op", [mg.relu.kernel, 3, None, lambda x: x])
def test_what_is_no_op_is_refused(op):
    message = (
        f"check_op: a value of type {type(op).__name__} was given; it needs an op or its name. "
        "Declare one with mg.Op(...); other functions are checked by gradcheck()."
    )
    with pytest.raises(TypeError, match=exactly(message)):
        check_op(op)


def test_an_unknown_name_is_refused():
    message = "check_op: there is no op 'rleu'. mg.OPS lists those that there are."
    with pytest.raises(KeyError, match=re.escape(message)):
        check_op("rleu")


def scaled(**fields):
    """Declare x * k, of which the kernel needs the parameter k."""
    kernel = lambda x, *, k, out=None: np.multiply(x, k, out=out)  # noqa: E731
    return declared(name="scaled", kernel=kernel, vjps=(lambda g, y, x, *, k: g * k,), **fields)


def test_parameters_without_legal_values_are_asked_for():
    message = (
        "check_op: the kernel of scaled needs k; its record tells no legal values. Give params= in "
        'the record, so that the check knows legal ones: params=lambda *shapes: [{"k": 2.0}].'
    )
    with scaled() as op, pytest.raises(TypeError, match=exactly(message)):
        check_op(op, max_examples=FEW)


def test_parameters_are_drawn_from_those_that_the_record_calls_legal():
    with scaled(params=lambda *shapes: [{"k": 2.0}, {"k": -1.0}]) as op:
        assert check_op(op, max_examples=FEW)


@named("option", ["max_examples", "order"])
@named("value", [0, -1, 1.5, None, "2"])
def test_less_than_one_is_refused(option, value):
    message = f"check_op: {option}={value!r} was given; it must be 1 or more, an integer."
    with pytest.raises(ValueError, match=exactly(message)):
        check_op("relu", **{option: value})


@named("dtypes", [(), [], "i8", ("f8", int), ("f8", bool), "no dtype", [object], 3])
def test_dtypes_that_have_no_gradients_are_refused(dtypes):
    message = (
        f"check_op: dtypes={dtypes!r} was given; it needs dtypes of floats, at least one. Others "
        "have no gradients to check."
    )
    with pytest.raises(ValueError, match=exactly(message)):
        check_op("relu", dtypes=dtypes)


@named("dtypes", ["f4", np.float16, np.dtype("f8"), ["f2", "f4", "f8"], (float,)])
def test_one_dtype_or_several_may_be_given(dtypes):
    assert check_op("relu", dtypes=dtypes, max_examples=FEW)
