"""Derivatives from values alone: their limits, what they say of their errors, and brackets."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from microgrid.testing.differences import (
    Bracket,
    derivative,
    noise_close_by,
    noise_of,
    one_sided,
    root_mean_square,
)

named = pytest.mark.parametrize
EPS = float(np.finfo(float).eps)


def central(*functions: Callable[[Any], Any]) -> Any:
    """Return the central differences at 0 and the rounding of their values."""

    def slope(h: Any) -> tuple[np.ndarray, np.ndarray]:
        high, low = (np.array([f(s * h) for f in functions]) for s in (1, -1))
        return (high - low) / (2 * h), EPS * (np.abs(high) + np.abs(low)).astype(float) / float(h)

    return slope


# A function, and its derivative at 0 by the textbook.
KNOWN = {
    "line": (lambda t: 3 * t + 1, 3), "sine": (math.sin, 1), "exp": (math.exp, 1),
    "cube": (lambda t: t**3, 0), "steep": (lambda t: math.exp(20 * t), 20),
    "pole near": (lambda t: 1 / (0.01 + t) if t != -0.01 else math.nan, -1e4),
    "wave": (lambda t: math.sin(50 * t), 50), "even": (math.cos, 0),
    "logistic": (lambda t: 1 / (1 + math.exp(-t)), 0.25),
}  # fmt: skip


@named(("f", "exact"), KNOWN.values(), ids=KNOWN)
def test_the_derivative_is_that_of_the_textbook_within_the_error_that_is_told(f, exact):
    found = derivative(central(f))
    # 16 times the error that the estimate tells, as the checks allow; of straight lines it is 0.
    assert abs(found.value[0] - exact) <= 16 * found.error[0] + 2 * EPS * abs(exact)
    assert found.error[0] <= 1e-7 * max(abs(exact), 1)


def test_several_are_found_at_once_each_with_its_own_error():
    functions, exact = zip(*KNOWN.values(), strict=True)
    found = derivative(central(*functions))
    together = np.abs(found.value - exact) <= 16 * found.error + 2 * EPS * np.abs(exact)
    assert together.all()


@named("width", [1e-3, 1e-5, 1e-8])
def test_a_bend_of_small_width_is_seen_from_nearby(width):
    """A hyperbola: from afar it is |t|, whose central difference is 0."""
    f = lambda t: math.sqrt((t - 0.5 * width) ** 2 + width**2)  # noqa: E731
    found = derivative(central(f), looks=(2.0**-10, 2.0**-20, width / 16))
    # The derivative of sqrt(u**2 + 1) at u = -1/2.
    assert abs(found.value[0] + 0.5 / math.sqrt(1.25)) <= 1e-6


def test_it_is_told_whether_values_close_by_said_something_else():
    hyperbola = lambda t: math.sqrt((t - 5e-9) ** 2 + 1e-16)  # noqa: E731
    assert derivative(central(hyperbola), looks=(1e-9,)).narrow
    assert not derivative(central(math.sin)).narrow


def test_without_looks_from_nearby_it_is_taken_for_its_asymptote():
    f = lambda t: math.sqrt((t - 5e-13) ** 2 + 1e-24)  # noqa: E731
    assert abs(derivative(central(f), looks=()).value[0]) < 1e-6


def test_a_function_that_repeats_itself_at_all_powers_of_two_fools_nobody():
    f = lambda t: math.sin(2**20 * math.pi * t)  # noqa: E731  0 at 1, 1/2, 1/4, ...
    found = derivative(central(f))
    assert abs(found.value[0] / (2**20 * math.pi) - 1) < 1e-6


def test_of_fractions_it_is_exact():
    f = lambda t: (1 + t) ** 3 * Fraction(2, 7)  # noqa: E731
    assert derivative(central(f), exact=True).value[0] == Fraction(6, 7)


def test_where_there_are_no_values_the_error_is_infinite():
    found = derivative(central(lambda t: math.nan))
    assert found.error[0] == np.inf


# --- brackets -------------------------------------------------------------------------------------

STEPS = 2.0 ** np.arange(-40, 1)


def sides(f: Callable[[float], float], noise: float = EPS, steepest: float = 1.0) -> Bracket:
    def rise(h: float) -> tuple[np.ndarray, np.ndarray]:
        there, here = np.array([f(h)]), np.array([f(0.0)])
        return there - here, 2 * noise * (np.abs(there) + np.abs(here) + 1e-300)

    left, right = (one_sided(rise, sign * STEPS, steepest)[0] for sign in (-1, 1))
    return Bracket(left, right)


BENT = {
    "relu": (lambda t: max(t, 0.0), 0, 1), "absolute": (abs, -1, 1),
    "small bend": (lambda t: t + 0.02 * max(t, 0), 1, 1.02),
    "curved": (lambda t: math.exp(t) - 1 + abs(math.sin(t)), 0, 2),
    "elsewhere too": (lambda t: abs(t) + abs(t - 1e-3) + abs(t + 1e-5), -1, 1),
    "smooth": (math.sin, 1, 1), "cube": (lambda t: t**3, 0, 0),
    "far": (lambda t: 1e3 + abs(t), -1, 1),
}  # fmt: skip


@named(("f", "left", "right"), BENT.values(), ids=BENT)
def test_the_slopes_of_both_sides_are_between_their_bounds(f, left, right):
    found = sides(f)
    assert found.left[0] <= left <= found.left[1]
    assert found.right[0] <= right <= found.right[1]
    assert found.bends == (left != right)
    # Of a value of 1e3 ten digits are left of a slope, of others more.
    assert found.left[1] - found.left[0] < 1e-5
    assert found.middles == pytest.approx((left, right), abs=1e-5)


@named("seed", range(100))
def test_random_slopes_are_between_their_bounds(seed):
    rng = np.random.default_rng(seed)
    a, b, c, d = rng.uniform(-3, 3, 4)
    found = sides(lambda t: (a * t if t < 0 else b * t) * math.cos(c * t) + d, steepest=3.0)
    assert found.left[0] <= a <= found.left[1]
    assert found.right[0] <= b <= found.right[1]


def test_a_bound_that_is_moved_by_a_thousandth_is_missed():
    """The planted fault: the bounds are tight enough to tell."""
    found = sides(lambda t: 1.001 * max(t, 0.0))
    assert not found.right[0] <= 1 <= found.right[1]


def test_steps_stop_where_the_bounds_are_close_enough():
    called = []

    def rise(h: float) -> tuple[np.ndarray, np.ndarray]:
        called.append(h)
        return np.array([h]), np.array([EPS])

    one_sided(rise, STEPS, 1.0)
    # The bounds are 4 EPS / h apart: the interval, and what the slope may have changed by. That is
    # below 1e-9 from h = 8.9e-7 on, so from 2**-20.
    assert max(called) == 2.0**-20


def test_values_that_are_missing_far_away_are_passed_over():
    found = sides(lambda t: abs(t) if abs(t) < 1e-3 else math.nan)
    assert found.bends
    assert found.hull == pytest.approx((-1, 1), abs=1e-6)


# --- noise ----------------------------------------------------------------------------------------


@named("noise", [1e-12, 1e-6, 1e-3])
def test_the_noise_of_values_is_found_to_a_factor(noise):
    rng = np.random.default_rng(0)
    found = [noise_of(lambda t: np.array([t + noise * rng.standard_normal()]), 1e-9)[0]
             for _ in range(200)]  # fmt: skip
    # The root mean square of 200 estimates of four squares each: a few percent.
    assert root_mean_square(np.array(found)) == pytest.approx(noise, rel=0.1)


def test_a_parabola_has_no_noise():
    assert noise_of(lambda t: np.array([(1 + t) ** 2]), 0.25)[0] == 0


def test_noise_close_by_stays_below_the_smallest_of_the_inputs():
    points: list[np.ndarray] = []
    noise_close_by(lambda x: points.append(x) or x[:1], np.array([0.0, 1e-200]), EPS / 2,
                   np.random.default_rng(0))  # fmt: skip
    assert max(np.abs(x[0]) for x in points) < 1e-200


def test_the_root_of_a_mean_of_squares_does_not_overflow():
    assert root_mean_square(np.array([1e300, 1e300])) == pytest.approx(1e300)
    assert root_mean_square(np.array([3.0, 4.0, 0.0, 0.0])) == 2.5
    assert root_mean_square(np.zeros((0, 2))).tolist() == [0, 0]
