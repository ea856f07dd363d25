"""Moons, circles and spirals: the points are where the formulas say, and what is refused."""

import re

import numpy as np
import pytest

from microgrid.datasets import make_circles, make_moons, make_spirals

MAKERS = [make_moons, make_circles, make_spirals]
each_maker = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


@pytest.mark.parametrize("n", [2, 3, 10, 101])
@pytest.mark.parametrize(
    ("make", "options"),
    [(make_moons, {}), (make_circles, {}), (make_circles, {"factor": 0.3})],
    ids=["moons", "circles", "circles of another factor"],
)
def test_points_without_noise_are_those_of_scikit_learn(make, options, n):
    theirs = getattr(pytest.importorskip("sklearn.datasets"), make.__name__)
    expected_x, expected_y = theirs(n, shuffle=False, noise=None, **options)
    x, y = make(n, shuffle=False, **options)
    assert (x.dtype, y.dtype) == (np.float64, np.int64)
    assert np.array_equal(x, expected_x)
    assert np.array_equal(y, expected_y)


def test_moons_lie_on_two_half_circles():
    x, y = make_moons(51, rng=0)
    up, down = x[y == 0], x[y == 1]
    # cos² + sin² is rounded twice.
    np.testing.assert_allclose(np.hypot(*up.T), 1, rtol=1e-15)
    np.testing.assert_allclose(np.hypot(*(down - [1, 0.5]).T), 1, rtol=1e-15)
    assert up[:, 1].min() > -1e-15
    assert down[:, 1].max() < 0.5 + 1e-15


def test_spirals_wind_around_the_origin_as_often_as_asked():
    x, y = make_spirals(400, classes=4, turns=2, shuffle=False)
    for k in range(4):
        arm = x[y == k]
        angle = np.unwrap(np.arctan2(arm[:, 1], arm[:, 0]))
        radius = np.hypot(*arm.T)
        np.testing.assert_allclose(radius, np.arange(1, 101) / 100, rtol=1e-14)
        # All along the same straight line of angle over radius, a quarter turn apart.
        np.testing.assert_allclose(np.diff(angle), 2 * 2 * np.pi / 100, rtol=1e-9)
        start = angle[0] - 2 * 2 * np.pi * radius[0]
        assert np.isclose((start - k * np.pi / 2 + np.pi) % (2 * np.pi), np.pi)


def test_classes_have_as_many_points_as_any_other_or_one_more():
    assert np.bincount(make_spirals(11, classes=3, rng=0)[1]).tolist() == [4, 4, 3]
    assert np.bincount(make_moons(11)[1]).tolist() == [5, 6]


@each_maker
def test_shuffling_only_changes_the_order(make):
    plain = np.column_stack(make(30, shuffle=False))
    mixed = np.column_stack(make(30, rng=0))
    assert not np.array_equal(plain, mixed)
    assert sorted(map(tuple, plain)) == sorted(map(tuple, mixed))


@each_maker
def test_noise_has_the_given_deviation(make):
    plain, _ = make(5000, shuffle=False)
    noisy, _ = make(5000, shuffle=False, noise=0.1, rng=0)
    # Of 10000 numbers the deviation is known to within 1/sqrt(20000) of itself; five of these.
    np.testing.assert_allclose((noisy - plain).std(), 0.1, rtol=5 / np.sqrt(20000))


@each_maker
def test_the_seed_decides_every_bit(make):
    first, again, other = (make(20, noise=0.1, rng=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: make_moons(1),
            ValueError,
            "make_moons: n_samples=1 was given; it must be at least 2.",
        ),
        (
            lambda: make_moons(3.5),
            TypeError,
            "make_moons: n_samples=3.5 was given; it must be an integer.",
        ),
        (
            lambda: make_moons(noise=-1),
            ValueError,
            "make_moons: noise=-1 was given; a standard deviation is 0 or more.",
        ),
        (
            lambda: make_moons(noise="much"),
            TypeError,
            "make_moons: noise='much' was given; it must be a number.",
        ),
        (
            lambda: make_moons(shuffle="yes"),
            ValueError,
            "make_moons: shuffle='yes' was given; it must be True or False.",
        ),
        (
            lambda: make_circles(factor=1.0),
            ValueError,
            "make_circles: factor=1.0 was given; it must be at least 0 and below 1.",
        ),
        (
            lambda: make_spirals(3, classes=4),
            ValueError,
            "make_spirals: n_samples=3 was given; it must be at least 4.",
        ),
        (
            lambda: make_spirals(classes=1),
            ValueError,
            "make_spirals: classes=1 was given; it must be at least 2.",
        ),
        (
            lambda: make_spirals(turns=float("inf")),
            ValueError,
            "make_spirals: turns=inf was given; it must be finite.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
