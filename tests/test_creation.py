"""full, zeros, ones and those like another: what they refuse, and whose name the error has."""

import re

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError, ShapeError

named = pytest.mark.parametrize
MADE = {
    "full": lambda shape, **options: mg.full(shape, 1.0, **options),
    "zeros": mg.zeros,
    "ones": mg.ones,
}
LIKE = {"zeros_like": mg.zeros_like, "ones_like": mg.ones_like}
NEEDED = "it needs real numbers (float, integer, bool, or Fraction objects). Convert it first."


def exactly(message):
    return f"^{re.escape(message)}$"


@named("who", MADE)
@named("shape", [-1, (2, -1), 10**30])
def test_a_shape_that_no_array_has_is_refused_by_who_got_it(who, shape):
    message = (
        f"{who}: shape {shape} was given; each size must be 0 or more, and the whole what NumPy "
        "can hold. Give the sizes themselves: -1 for what is left is for reshape()."
    )
    with pytest.raises(ShapeError, match=exactly(message)):
        MADE[who](shape)


@named("who", MADE)
@named("shape", [2.5, (2, 2.5), "2", None])
def test_a_shape_of_others_than_integers_is_refused(who, shape):
    message = (
        f"{who}: shape {shape!r} was given; it needs an integer, or several in a tuple. Pass () "
        "for a single number."
    )
    with pytest.raises(TypeError, match=exactly(message)):
        MADE[who](shape)


@named("who", [*MADE, *LIKE])
def test_a_dtype_that_is_not_numeric_is_refused(who):
    make = {**MADE, **LIKE}[who]
    with pytest.raises(DtypeError, match=exactly(f"{who}: data of dtype |S3 was given; {NEEDED}")):
        make((2,), dtype="S3")


@named("who", [*MADE, *LIKE])
def test_a_dtype_that_numpy_does_not_know_is_refused(who):
    message = (
        f"{who}: dtype='flot' was given; NumPy knows no such dtype. Pass float, int or bool, or "
        "one of NumPy's."
    )
    with pytest.raises(DtypeError, match=exactly(message)):
        {**MADE, **LIKE}[who]((2,), dtype="flot")


@named("who", [*MADE, *LIKE])
def test_integers_with_a_gradient_are_refused(who):
    message = (
        f"{who}: requires_grad=True was given for dtype int64; a gradient needs a dtype that "
        "varies continuously. Use float data, as in tensor(data, dtype=float)."
    )
    with pytest.raises(DtypeError, match=exactly(message)):
        {**MADE, **LIKE}[who]((2,), dtype=np.int64, requires_grad=True)


@named("who", LIKE)
def test_nothing_is_like_what_is_no_number(who):
    with pytest.raises(DtypeError, match=exactly(f"{who}: data of dtype <U1 was given; {NEEDED}")):
        LIKE[who]("a")


def test_a_value_that_is_no_number_fills_nothing():
    with pytest.raises(DtypeError, match=exactly(f"full: data of dtype <U1 was given; {NEEDED}")):
        mg.full(2, "a")


def test_a_value_that_does_not_broadcast_is_refused():
    message = (
        "full: a fill_value of shape (3,) was given for shape (2,); it must broadcast to it. Pass "
        "one number, or give the shape of the value."
    )
    with pytest.raises(ShapeError, match=exactly(message)):
        mg.full(2, [1, 2, 3])


@named("value", [7, 7.5, True, [1, 2], np.float32(2), mg.tensor([1.0, 2.0])], ids=repr)
@named("dtype", [None, np.float32, np.int8])
def test_full_fills_as_numpy_does(value, dtype):
    expected = np.full((3, 2), np.asarray(value), dtype)
    filled = mg.full((3, 2), value, dtype)
    assert filled.dtype == expected.dtype
    assert np.array_equal(filled.data, expected)


def test_a_number_that_the_dtype_cannot_hold_is_treated_as_in_numpy():
    like = np.empty(2, np.int8)
    try:
        np.copyto(like, 300, casting="unsafe")  # NumPy 2.0 wraps it
    except OverflowError as error:
        with pytest.raises(OverflowError, match=exactly(str(error))):
            mg.full(2, 300, np.int8)
    else:
        assert np.array_equal(mg.full(2, 300, np.int8).data, like)


@named("who", LIKE)
def test_the_memory_is_laid_out_like_that_of_the_other(who):
    other = np.asfortranarray(np.zeros((3, 4)))
    assert LIKE[who](other).data.flags.f_contiguous
