"""First weights: their distribution, their dtype, their reproducibility."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgrid.errors import DtypeError, ShapeError
from microgrid.nn import init

FAN_IN, FAN_OUT = 400, 100
# Name, variance by the papers' formulas, whether uniform.
SCALED = [
    ("he_normal", 2 / FAN_IN, False),
    ("he_uniform", 2 / FAN_IN, True),
    ("glorot_normal", 2 / (FAN_IN + FAN_OUT), False),
    ("glorot_uniform", 2 / (FAN_IN + FAN_OUT), True),
    ("lecun_normal", 1 / FAN_IN, False),
    ("lecun_uniform", 1 / FAN_IN, True),
]
NAMES = [name for name, _, _ in SCALED] + ["orthogonal", "zeros", "constant"]


@pytest.mark.parametrize(("name", "variance", "uniform"), SCALED)
def test_mean_variance_and_fourth_moment(name, variance, uniform):
    w = getattr(init, name)((FAN_IN, FAN_OUT), rng=0, dtype=float)
    # 40 000 draws: the mean errs by 0.5 % of a standard deviation, the variance by 0.7 %.
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)
    assert abs(w.var() / variance - 1) < 0.04
    kurtosis = np.mean(w**4) / np.mean(w**2) ** 2
    assert abs(kurtosis - (9 / 5 if uniform else 3)) < 0.15
    if uniform:
        assert np.abs(w).max() <= math.sqrt(3 * variance)


@pytest.mark.parametrize("name", NAMES)
def test_shape_dtype_and_seed(name):
    function = getattr(init, name)
    w = function((4, 3), rng=5)
    assert w.shape == (4, 3)
    assert w.dtype == np.float32
    assert w.flags.owndata or w.base.flags.owndata
    assert np.array_equal(w, function((4, 3), rng=5))
    assert np.array_equal(w, function((4, 3), rng=np.random.default_rng(5)))
    # A float32 weight is the rounded float64 weight of the same seed.
    wide = function((4, 3), rng=5, dtype=np.float64)
    assert wide.dtype == np.float64
    assert np.array_equal(w, wide.astype(np.float32))


def test_a_generator_goes_on_and_the_global_state_is_not_touched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    generator = np.random.default_rng(0)
    assert not np.array_equal(init.he_normal((3, 3), generator), init.he_normal((3, 3), generator))
    assert not np.array_equal(init.he_normal((3, 3)), init.he_normal((3, 3)))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@given(rows=st.integers(1, 8), columns=st.integers(1, 8), seed=st.integers(0, 100))
def test_orthogonal_keeps_lengths(rows, columns, seed):
    w = init.orthogonal((rows, columns), rng=seed, dtype=float)
    product = w.T @ w if rows >= columns else w @ w.T
    # Householder's QR is backward stable: a few units of roundoff.
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-14)


def test_orthogonal_takes_a_gain_and_has_no_preferred_sign():
    draws = np.array([init.orthogonal((1, 1), rng=seed, gain=3.0)[0, 0] for seed in range(200)])
    assert set(draws.tolist()) == {-3.0, 3.0}
    assert 60 < (draws > 0).sum() < 140  # 5.6 standard deviations of a fair coin


def test_dimensions_in_front_count_as_a_receptive_field():
    w = init.lecun_normal((5, 5, 8, 100), rng=0, dtype=float)
    assert abs(w.var() * 5 * 5 * 8 - 1) < 0.05


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("zeros", "constant")])
def test_fans_need_two_dimensions(name):
    message = (
        f"{name}: shape (3,) was given; it needs the two dimensions (in, out). "
        "Use zeros or constant for a bias."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        getattr(init, name)((3,))


def test_zeros_and_constant():
    assert init.zeros((2,)).tolist() == [0, 0]
    assert init.constant((2,), value=0.5).tolist() == [0.5, 0.5]


def test_aliases():
    assert init.kaiming_normal is init.he_normal
    assert init.kaiming_uniform is init.he_uniform
    assert init.xavier_normal is init.glorot_normal
    assert init.xavier_uniform is init.glorot_uniform


def test_empty_weights():
    assert init.he_normal((0, 3)).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [int, bool, np.uint8, complex])
def test_a_dtype_that_weights_cannot_have_is_refused(name, dtype):
    message = f"{name}: dtype {np.dtype(dtype)} was given; weights are floats."
    with pytest.raises(DtypeError, match=f"^{re.escape(message)}"):
        getattr(init, name)((2, 2), dtype=dtype)
