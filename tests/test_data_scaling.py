"""Standardising: the columns of the training data decide, constant ones become 0."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from microgrid.datasets import Standardizer, standardise
from microgrid.errors import ShapeError

X = np.random.default_rng(0).normal(3, 5, (40, 3))


def test_training_data_gets_mean_0_and_deviation_1():
    z = Standardizer().fit_transform(X)
    # 40 numbers of about 1 are added up, each rounded.
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-15 * 40)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-14)


def test_other_data_is_scaled_as_the_training_data_was():
    train, test = standardise(X, X[:5] + 1)
    np.testing.assert_allclose(test - train[:5], np.broadcast_to(1 / X.std(axis=0), (5, 3)))


def test_scikit_learn_scales_alike():
    theirs = pytest.importorskip("sklearn.preprocessing").StandardScaler().fit(X)
    np.testing.assert_allclose(Standardizer().fit(X).transform(X), theirs.transform(X), rtol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1, -1e300])
def test_a_constant_column_becomes_0(constant):
    x = np.column_stack([X[:, 0], np.full(40, constant)])
    scaler = Standardizer().fit(x)
    assert scaler.std[0, 1] == 0
    assert not scaler.transform(x)[:, 1].any()
    assert scaler.transform([[0.0, constant + 2.0]])[0, 1] == constant + 2.0 - constant


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_squares_neither_vanish_nor_overflow(unit):
    found = Standardizer().fit(unit * X)
    np.testing.assert_allclose(found.std, unit * X.std(axis=0, keepdims=True), rtol=1e-13)


LARGEST = np.finfo(np.float64).max


def exactly(x):
    """Mean and deviation of the numbers, by fractions."""
    numbers = [Fraction(float(number)) for number in x]
    mean = sum(numbers) / len(numbers)
    variance = sum((number - mean) ** 2 for number in numbers) / len(numbers)
    bits = max(0, variance.numerator.bit_length() - variance.denominator.bit_length())
    unit = Fraction(2) ** (bits // 2)  # so that the variance in units is a float
    return float(mean), float(unit) * math.sqrt(variance / unit**2)


@pytest.mark.parametrize(
    "column",
    [
        [1.5e308, -1.5e308],
        [LARGEST, -LARGEST, LARGEST],
        [-LARGEST, 0.0, 5e-324, 3.0],
        [LARGEST, LARGEST],
        [LARGEST, LARGEST * (1 - 2**-53)],
    ],
    ids=str,
)
def test_the_largest_numbers_are_scaled_like_others(column):
    x = np.column_stack([column, np.full(len(column), 5e-324)])
    x[0, 1] = 0
    scaler = Standardizer().fit(x)
    mean, std = exactly(column)
    # A few numbers are added up, each rounded.
    np.testing.assert_allclose(scaler.mean[0, 0], mean, rtol=1e-15)
    np.testing.assert_allclose(scaler.std[0, 0], std, rtol=1e-14)
    z = scaler.transform(x)
    expected = [(Fraction(v) - Fraction(mean)) / Fraction(std or 1) for v in column]
    np.testing.assert_allclose(z[:, 0], np.array(expected, float), rtol=1e-14)
    # The difference to the mean is rounded as the largest number is.
    near = 1e-15 * 8 * np.abs(column).max()
    np.testing.assert_allclose(scaler.inverse(z)[:, 0], column, atol=near)


@given(
    hnp.arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 3)),
               elements=st.floats(-1e6, 1e6, width=32))
)  # fmt: skip
def test_the_inverse_brings_the_numbers_back(x):
    scaler = Standardizer().fit(x)
    # The difference to the mean is rounded as the largest number of its column is.
    largest = np.abs(x).max() + 1
    np.testing.assert_allclose(scaler.inverse(scaler.transform(x)), x, atol=1e-15 * largest * 8)


@pytest.mark.parametrize("axis", [None, (0, 2, 3), (0, -1), -1])
def test_any_axes_may_be_reduced(axis):
    x = np.random.default_rng(1).normal(2, 3, (6, 2, 4, 5))
    scaler = Standardizer(axis).fit(x)
    np.testing.assert_allclose(scaler.mean, x.mean(axis=axis, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(scaler.std, x.std(axis=axis, keepdims=True), rtol=1e-12)
    assert scaler.transform(x).shape == x.shape


@pytest.mark.parametrize(
    ("dtype", "kept"), [(np.float32, np.float32), (np.float16, np.float16), (np.uint8, float)]
)
def test_floats_keep_their_dtype_and_integers_become_float64(dtype, kept):
    x = np.arange(12).reshape(4, 3).astype(dtype)
    scaler = Standardizer().fit(x)
    assert scaler.transform(x).dtype == kept
    assert scaler.mean.dtype == scaler.std.dtype == np.float64


def test_the_data_is_left_alone():
    x = X.copy()
    Standardizer().fit_transform(x)
    assert np.array_equal(x, X)


BAD = X.copy()
BAD[3, 1] = np.nan
BAD[4, 2] = np.inf


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: Standardizer().fit(BAD),
            ValueError,
            "Standardizer.fit: nan or inf was given in columns 1, 2. Remove or replace what is "
            "missing.",
        ),
        (
            lambda: Standardizer().fit(X).transform(BAD[:4]),
            ValueError,
            "Standardizer.transform: nan or inf was given in column 1. Remove or replace what is "
            "missing.",
        ),
        (
            lambda: Standardizer().fit([1.0, np.nan]),
            ValueError,
            "Standardizer.fit: nan or inf was given. Remove or replace what is missing.",
        ),
        (
            lambda: Standardizer().fit(X[:0]),
            ValueError,
            "Standardizer.fit: shape (0, 3) was given, which has no samples; it needs one.",
        ),
        (
            lambda: Standardizer().fit(3.0),
            ShapeError,
            "Standardizer.fit: a single number was given; it needs samples. Put it in a list.",
        ),
        (
            lambda: Standardizer(2).fit(X),
            ShapeError,
            "Standardizer: axis=2 was given for data of 2 dimensions; it needs axes that there "
            "are.",
        ),
        (
            lambda: Standardizer().fit(X).inverse(X[:, :2]),
            ShapeError,
            "Standardizer.inverse: shape (40, 2) was given, and mean and std have shape (1, 3); "
            "apart from axis 0 they must be the same.",
        ),
        (
            lambda: Standardizer().transform(X),
            ValueError,
            "Standardizer.transform: there is no mean yet. Call fit with the training data first.",
        ),
        (
            lambda: Standardizer().fit([0.0, 2e-3]).transform(np.array([1, 6e4], np.float16)),
            ValueError,
            "Standardizer.transform: 1 of 2 results are beyond float16, whose largest number is "
            "6.55e+04. Give float64.",
        ),
        (
            lambda: Standardizer().fit([0.0, 1e5]).inverse(np.ones(2, np.float16)),
            ValueError,
            "Standardizer.inverse: 2 of 2 results are beyond float16, whose largest number is "
            "6.55e+04. Give float64.",
        ),
        (
            lambda: Standardizer().fit([0.0, 1e-3]).transform([1.0, 1e308]),
            ValueError,
            "Standardizer.transform: 1 of 2 results are beyond float64, whose largest number is "
            "1.8e+308. Give what lies nearer to the training data.",
        ),
        (
            lambda: Standardizer().fit([0, 10**400]),
            ValueError,
            "Standardizer.fit: numbers beyond float64 were given; it needs some up to 1.8e308. "
            "Scale them down first.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
