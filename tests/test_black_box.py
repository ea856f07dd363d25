"""The check of any function of arrays: what it accepts, what it rejects, and in which shapes."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from microgrid.testing import gradcheck, report

named = pytest.mark.parametrize


def accepts(f: Any, x: Any, slope: Any, **options: Any) -> bool:
    """Return whether a claimed gradient passes; numbers are claimed as they are."""
    claimed = slope if callable(slope) else lambda *_: np.asarray(slope, float)
    return gradcheck(f, x, gradient=claimed, raise_exception=False, **options)


# A function of one number, where, and its derivative by the textbook.
KNOWN = {
    "sine": (np.sin, 0.5, math.cos(0.5)), "exp": (np.exp, -3.0, math.exp(-3)),
    "log": (np.log, 1e-6, 1e6), "root": (np.sqrt, 1e8, 0.5e-4), "line": (lambda x: 3 * x, 7.0, 3),
    "constant": (lambda x: 0 * x + 1, 2.0, 0), "inverse": (lambda x: 1 / x, -0.1, -100),
    "far from 0": (np.square, 1e6, 2e6), "high power": (lambda x: x**20, 1.5, 20 * 1.5**19),
    "large values": (lambda x: 1e6 + x, 0.25, 1), "small slope": (lambda x: 1e-9 * x, 1.0, 1e-9),
}  # fmt: skip


@named("name", KNOWN)
def test_the_derivative_of_the_textbook_passes_and_one_off_by_a_thousandth_does_not(name):
    f, x, slope = KNOWN[name]
    assert accepts(f, np.array(x), slope)
    assert not accepts(f, np.array(x), 1.001 * slope + (slope == 0) * 1e-3)
    assert not accepts(f, np.array(x), 2 * slope + (slope == 0))
    assert not accepts(f, np.array(x), -slope + (slope == 0))


@named("seed", range(60))
def test_at_a_random_kink_just_the_slopes_between_those_of_its_sides_pass(seed):
    """A bend between slopes a and b, at k, on a curve with the slope c there."""
    rng = np.random.default_rng(seed)
    a, b, c, k = rng.uniform(-2, 2, 4)

    def bend(x: Any) -> Any:
        return np.where(x > k, b, a) * np.sin(x - k) + c * np.expm1(x - k)

    low, high = min(a, b) + c, max(a, b) + c
    apart = 1e-3 * max(abs(low), abs(high), high - low)
    for slope in (low, (low + high) / 2, high):
        assert accepts(bend, np.array(k), slope)
    for slope in (low - apart, high + apart):
        assert not accepts(bend, np.array(k), slope)


@named("beside", [5e-7, -5e-7, 1e-12, -1e-12])
def test_beside_a_kink_only_the_slope_of_the_piece_passes(beside):
    here, there = (1, 0) if beside > 0 else (0, 1)
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    assert accepts(relu, np.array(beside), here)
    assert not accepts(relu, np.array(beside), there)


# --- shapes ---------------------------------------------------------------------------------------


def test_of_a_scalar_the_gradient_has_the_shape_of_the_input():
    x = np.array([[0.5, -1.0], [2.0, 0.0]])
    assert accepts(lambda x: np.sum(x**3), x, lambda x: 3 * x * x)
    assert not accepts(lambda x: np.sum(x**3), x, lambda x: 3 * x * np.abs(x))


def test_of_a_result_with_a_shape_it_is_the_jacobian():
    x, weight = np.array([0.5, -1.0]), np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -3.0]])
    assert accepts(lambda x: x @ weight, x, weight.T)
    wrong = weight.T.copy()
    wrong[2, 0] = 1e-9  # a single entry, which is 0
    assert not accepts(lambda x: x @ weight, x, wrong)


def test_of_several_inputs_it_is_a_tuple_and_integers_are_constants():
    f = lambda x, n, y: np.sum(x**n * y)  # noqa: E731
    given = [np.array([0.5, 2.0]), np.array(3), np.array([1.0, -1.0])]
    slopes = lambda x, n, y: (n * x ** (n - 1) * y, None, x**n)  # noqa: E731
    assert accepts(f, given, slopes)
    assert not accepts(f, given, lambda x, n, y: (n * x ** (n - 1) * y, None, x))


UNFIT = {
    "another shape": (
        [np.zeros(3)], lambda x: np.zeros(2),
        "gradcheck: the claimed gradient has shape (2,); it needs (3,), the shape of the result, "
        "(), and that of the input, (3,).",
    ),
    "the transpose": (
        [np.zeros((2, 3))], lambda x: np.zeros((3, 2)),
        "gradcheck: the claimed gradient has shape (3, 2); it needs (2, 3), the shape of the "
        "result, (), and that of the input, (2, 3).",
    ),
}  # fmt: skip


@named(("inputs", "gradient", "message"), UNFIT.values(), ids=UNFIT)
def test_a_gradient_of_another_shape_is_told_with_the_one_needed(inputs, gradient, message):
    found = report(lambda *xs: sum(map(np.sum, xs)), inputs, gradient=gradient)
    assert not found.ok
    assert message in str(found)


def test_one_gradient_for_two_inputs_is_told():
    found = report(lambda a, b: a * b, [np.array(1.0)] * 2, gradient=lambda a, b: a)
    assert (
        "gradcheck: 2 arrays are checked and the gradient is one. Let it return a tuple with one "
        "for each input." in str(found)
    )


# --- precision ------------------------------------------------------------------------------------


@named("dtype", [np.float32, np.float16])
def test_a_function_that_rounds_inside_is_judged_by_its_own_precision(dtype):
    f = lambda x: np.sin(x.astype(dtype)).astype(float)  # noqa: E731
    x = np.array([0.5, 1.25, -2.0])
    found = report(f, x, gradient=lambda x: np.diag(np.cos(x)))
    assert found.mode == f"black box, {np.dtype(dtype)}"
    assert found.ok or not found.refuted  # float16 may be too coarse to tell


def test_float32_passes_and_is_not_excused_for_a_hundredth():
    x = np.array([0.5, 1.25], np.float32)
    assert accepts(np.sin, x, lambda x: np.diag(np.cos(x)))
    assert not accepts(np.sin, x, lambda x: 1.01 * np.diag(np.cos(x)))


# --- values that tell nothing ---------------------------------------------------------------------


def test_a_random_function_is_told():
    rng = np.random.default_rng(0)
    found = report(lambda x: x + rng.uniform(), np.array(1.0), gradient=np.ones_like)
    assert not found.ok
    assert re.search(
        r"Two calls give .* Give the function's random numbers a fixed seed\.", str(found)
    )


@named("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_told(value):
    found = report(lambda x: x * value, np.array(1.0), gradient=np.ones_like)
    assert f"The value {value} is not finite. Check the gradient elsewhere." in str(found)


def test_a_gradient_that_is_not_finite_is_told():
    found = report(np.square, np.array(1.0), gradient=lambda x: x * np.nan)
    assert "The gradient is nan. Check it elsewhere." in str(found)


def test_noise_is_unverified_and_not_wrong():
    f = lambda x: x + 1e-3 * np.sin(1e15 * x)  # noqa: E731
    found = report(f, np.array(1.0), gradient=np.ones_like)
    assert not found.refuted


def test_a_function_that_fails_beside_the_point_is_looked_at_on_the_other_side():
    def root(x: Any) -> Any:
        if x < 0:
            raise ValueError("negative")
        return np.sqrt(x)

    assert accepts(root, np.array(1e-3), 0.5 / math.sqrt(1e-3))
