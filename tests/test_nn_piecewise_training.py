"""PiecewiseLinear while it is trained: order, monotonicity and convexity in rounded numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import microgrid as mg
from microgrid import optim
from microgrid.nn import PiecewiseLinear

KINDS = [{}, {"monotone": True}, {"convex": True}, {"monotone": True, "convex": True}]
NAMES = ["+".join(kind) or "free" for kind in KINDS]


def around(knots):
    """Return each knot with its nearest neighbours among the numbers of its dtype, and the ends."""
    places = [knots, knots[:1] - 1, knots[-1:] + 1]
    for way in (-np.inf, np.inf):
        near = knots
        for _ in range(4):
            near = np.nextafter(near, knots.dtype.type(way))
            places.append(near)
    return np.unique(np.concatenate(places))


def check(layer, kind):
    """Raise unless all holds that is promised, with no tolerance."""
    knots, slopes = layer.knots.numpy(), layer.slopes.numpy()
    assert np.isfinite(knots).all()
    assert np.isfinite(slopes).all()
    assert (np.diff(knots) >= 0).all()
    if "convex" in kind:
        assert (np.diff(slopes) >= 0).all()
    if "monotone" in kind:
        assert (slopes >= 0).all()
        for row in knots.reshape(-1, knots.shape[-1]):
            x = around(row)
            y = layer(np.repeat(x[:, None], layer.features or 1, axis=1)).numpy()
            assert (np.diff(y, axis=0) >= 0).all()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("make", [optim.SGD, optim.Adam], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
@pytest.mark.parametrize("features", [None, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constraints_hold_after_each_step_from_random_beginnings(
    kind, features, dtype, make, compiled
):
    rng = np.random.default_rng(len(str(kind)) + bool(features))
    places = np.sort(rng.normal(size=5) * 10 ** rng.uniform(-1, 1))
    layer = PiecewiseLinear(places, features=features, dtype=dtype, **kind)
    layer.raw_slopes.data = 2 * rng.normal(size=layer.raw_slopes.shape)
    optimizer = make(layer.parameters(), lr=0.3)
    before = layer.knots.numpy()

    def step(x, y):
        loss = mg.mse_loss(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        return loss

    run = mg.compile(step) if compiled else step
    for _ in range(12):
        x = rng.normal(size=(16, features or 1)).astype(dtype)
        # Falling, against the constraint.
        run(x, 1 - 3 * x + rng.normal(size=x.shape).astype(dtype))
        check(layer, kind)
    assert not np.array_equal(layer.knots.numpy(), before)


@given(
    st.floats(-1e5, 1e5),
    st.lists(st.floats(-20, 3), min_size=2, max_size=2),
    st.lists(st.floats(-120, 20), min_size=4, max_size=4),
    st.sampled_from([np.float32, np.float64]),
)
# The next float32 after 10000 is 0.00098 away: a gap of 0.0006 is rounded up, that after it to 0.
@example(10000.0, [-7.4, -20.0], [1.0, 1.0, 3.0, -20.0], np.float32)
def test_values_never_fall_though_knots_and_slopes_are_rounded(first, gaps, raw, dtype):
    layer = PiecewiseLinear([0.0, 1.0, 2.0], dtype=dtype, monotone=True)
    layer.first_knot.data, layer.log_gaps.data, layer.raw_slopes.data = [first], gaps, raw
    check(layer, {"monotone": True})


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_a_convex_function_lies_below_its_chords(raw):
    layer = PiecewiseLinear([-1.0, 0.0, 2.0], dtype=float, convex=True)
    layer.raw_slopes.data = raw
    x = np.linspace(-3, 4, 29)
    y = layer(x).numpy()
    middle = layer((x[:, None] + x) / 2).numpy()
    # Sums of four products, each at most of the size of the largest value.
    assert (middle <= (y[:, None] + y) / 2 + 1e-14 * np.abs(y).max()).all()
