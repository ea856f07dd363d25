"""PiecewiseLinear: values, slopes at knots, constraints, learning."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from compiled import Twins
from hypothesis import given
from hypothesis import strategies as st

import microgrid as mg
from microgrid import nn
from microgrid.errors import ShapeError
from microgrid.nn import PiecewiseLinear

KNOTS, SLOPES = [-1.0, 0.0, 2.0], [2.0, -1.0, 0.5, 0.25]
# On the knots, where slopes of one sign and of two meet, and between them.
X = np.array([-3.0, -1.0, -0.5, 0.0, 1.0, 2.0, 4.0])
KINDS = [
    {},
    {"monotone": True},
    {"convex": True},
    {"monotone": True, "convex": True},
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "+".join(kind) or "free")


def test_it_begins_as_the_function_given_and_has_its_slopes_at_knots_too():
    layer = PiecewiseLinear(KNOTS, SLOPES, value=3.0, dtype=float)
    x, twin = mg.tensor(X, requires_grad=True), mg.tensor(X, requires_grad=True)
    y = layer(x)
    expected = mg.piecewise_linear(twin, KNOTS, SLOPES, through=(-1.0, 3.0))
    assert np.array_equal(y.data, expected.data)  # small dyadic numbers: all is exact
    y.sum().backward()
    expected.sum().backward()
    assert np.array_equal(x.grad, twin.grad)


def test_where_slopes_differ_in_sign_the_slope_is_exactly_0():
    layer = PiecewiseLinear([0.1], [-0.3, 0.7], dtype=float)
    x = mg.tensor(0.1, requires_grad=True)
    layer(x).backward()
    assert x.grad == 0


def test_without_slopes_it_begins_as_the_identity():
    x = np.linspace(-3, 3, 13)
    for options in ({}, {"monotone": True}):
        layer = PiecewiseLinear([-1, 0.5, 2], dtype=float, **options)
        # The inverse of softplus rounds, and the logarithm of a gap.
        np.testing.assert_allclose(layer(x).data, x, rtol=1e-14, atol=1e-14)


@every_kind
@pytest.mark.parametrize("features", [None, 2])
def test_gradients_of_both_orders(kind, features):
    layer = PiecewiseLinear(KNOTS, features=features, dtype=float, **kind)
    x = mg.tensor(np.random.default_rng(0).normal(size=(3, 2)), requires_grad=True)
    assert mg.testing.gradcheck(lambda x, *_: layer(x), [x, *layer.parameters()], order=2)


@pytest.mark.parametrize("features", [None, 2])
def test_gradients_on_the_knots(features):
    layer = PiecewiseLinear(KNOTS, SLOPES, features=features, dtype=float)
    x = mg.tensor([[-1.0, 0.0], [2.0, 2.0]], requires_grad=True)
    assert mg.testing.gradcheck(lambda x, *_: layer(x), [x, *layer.parameters()])


def test_a_function_for_each_feature():
    layer = PiecewiseLinear([0.0], [0.0, 1.0], features=2, dtype=float)
    layer.value.data = [[5.0], [0.0]]
    layer.raw_slopes.data = [[0.0, 1.0], [-1.0, 2.0]]
    assert layer([[-3.0, -3.0], [3.0, 3.0]]).tolist() == [[5.0, 3.0], [8.0, 6.0]]
    assert layer(np.ones((4, 5, 2))).shape == (4, 5, 2)
    assert (layer.knots.shape, layer.slopes.shape) == ((2, 1), (2, 2))


def test_flat_ends_reach_to_infinity_and_nan_stays_nan():
    layer = PiecewiseLinear([0.0, 1.0], [0.0, 2.0, 0.0], dtype=float)
    assert layer([-np.inf, np.inf]).tolist() == [0.0, 2.0]
    assert np.isnan(layer([np.nan]).item())
    steep = PiecewiseLinear([0.0], [-1.0, 2.0], dtype=float)
    assert steep([-np.inf, np.inf]).tolist() == [np.inf, np.inf]


@given(
    st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    st.lists(st.floats(-5, 5), min_size=4, max_size=4),
    st.sampled_from(KINDS),
)
def test_constraints_hold_wherever_training_goes(places, raw, kind):
    layer = PiecewiseLinear(KNOTS, dtype=float, **kind)
    layer.first_knot.data, layer.log_gaps.data = places[:1], places[1:]
    layer.raw_slopes.data = raw
    knots, slopes = layer.knots.data, layer.slopes.data
    assert (np.diff(knots) > 0).all()
    if "monotone" in kind:
        assert (slopes > 0).all()
    if "convex" in kind:
        assert (np.diff(slopes) > 0).all()
    x = np.linspace(knots[0] - 1, knots[-1] + 1, 40)
    y = layer(x).data
    expected = mg.piecewise_linear(x, knots, slopes, through=(knots[0], -1.0))
    # Both sum pieces of at most this size, in another order.
    size = np.abs(slopes).max() * (knots[-1] - knots[0] + 1) + np.abs(x).max()
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14 * size)


@every_kind
def test_given_slopes_are_those_it_begins_with(kind):
    slopes = [0.001, 0.5, 3.0, 60.0]
    layer = PiecewiseLinear(KNOTS, slopes, dtype=float, **kind)
    np.testing.assert_allclose(layer.slopes.data, slopes, rtol=1e-13)  # log and exp undo each other


def test_learned_knots_find_a_kink():
    x = np.linspace(-2, 2, 201)[:, None].astype("f")
    y = np.maximum(x, 0.5) - np.float32(0.5)
    layer = PiecewiseLinear([0.0])
    mg.fit(
        layer, x, y, loss="mse", optimizer=mg.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9),
        epochs=60, batch_size=67, verbose=0, rng=0,
    )  # fmt: skip
    assert layer.knots.item() == pytest.approx(0.5, abs=0.02)
    assert layer.slopes.tolist() == pytest.approx([0.0, 1.0], abs=0.02)


def test_knots_that_are_not_learned_stay():
    layer = PiecewiseLinear(KNOTS, learn_knots=False)
    layer(X).sum().backward()
    assert layer.first_knot.grad is None
    assert layer.log_gaps.grad is None
    assert layer.raw_slopes.grad is not None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@every_kind
def test_compiled_training_equals_eager_bit_for_bit(dtype, kind):
    def build():
        layer = PiecewiseLinear(KNOTS, features=3, dtype=dtype, **kind)
        optimizer = mg.optim.SGD(layer.parameters(), lr=0.01)

        def step(x, y):
            loss = mg.mse_loss(layer(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, layer.state_dict

    twins, rng = Twins(build), np.random.default_rng(0)
    for _ in range(20):
        x = rng.normal(size=(8, 3)).astype(dtype)
        x[0] = -1  # on a knot, at first
        twins.call(x, np.abs(x))
    assert twins.compiled.traces == 1


def test_it_can_be_copied_saved_and_shown():
    layer = PiecewiseLinear(KNOTS, features=2, monotone=True, learn_knots=False)
    x = np.ones((3, 2))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(twin(x).data, layer(x).data)
        assert repr(twin) == repr(layer)
    assert repr(layer) == "PiecewiseLinear(3 knots, features=2, monotone=True, learn_knots=False)"
    assert list(layer.state_dict()) == ["first_knot", "log_gaps", "raw_slopes", "value"]
    assert isinstance(layer, nn.Module)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            ([],),
            {},
            "PiecewiseLinear: knots=[] was given; it needs one or more numbers that increase "
            "strictly. Sort them, each once.",
        ),
        (
            ([1, 1],),
            {},
            "PiecewiseLinear: knots=[1, 1] was given; it needs one or more numbers that increase "
            "strictly. Sort them, each once.",
        ),
        (
            ([0, np.inf],),
            {},
            "PiecewiseLinear: knots=[0, inf] was given; it needs finite numbers.",
        ),
        (
            ([0], [1]),
            {},
            "PiecewiseLinear: 1 knots and 1 slopes were given; it needs one slope more than knots. "
            "Give those left of the first knot, between knots, and right of the last.",
        ),
        (
            ([0], [0, 1]),
            {"monotone": True},
            "PiecewiseLinear: slopes=[0, 1] was given with monotone=True; all must be positive. "
            "Begin with small ones in place of 0.",
        ),
        (
            ([0], [1, 1]),
            {"convex": True},
            "PiecewiseLinear: slopes=[1, 1] was given with convex=True; each must be above the one "
            "before. Begin with small steps in place of none.",
        ),
        (
            ([0],),
            {"features": 0},
            "PiecewiseLinear: features=0 was given; it must be at least 1.",
        ),
        (
            ([0, 1e5],),
            {"dtype": "f2"},
            "PiecewiseLinear: knots=[0.0, 100000.0] was given, which float16 does not hold. Choose "
            "smaller numbers, or another dtype.",
        ),
        (
            ([-6e4, 6e4],),  # each is one, but not the gap between them
            {"dtype": "f2"},
            "PiecewiseLinear: knots=[-60000.0, 60000.0] was given, which float16 does not hold. "
            "Choose smaller numbers, or another dtype.",
        ),
        (
            ([0], [1e39, 2e39]),
            {},
            "PiecewiseLinear: slopes=[1e+39, 2e+39] was given, which float32 does not hold. Choose "
            "smaller numbers, or another dtype.",
        ),
        (
            ([0],),
            {"value": 1e39},
            "PiecewiseLinear: value=1e+39 was given, which float32 does not hold. Choose smaller "
            "numbers, or another dtype.",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PiecewiseLinear(*arguments, **options)


def test_the_last_dimension_is_that_of_the_features():
    message = (
        "PiecewiseLinear(1 knots, features=2): an input of shape (4, 3) was given; its last "
        "dimension must be 2. Reshape it, or change features."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        PiecewiseLinear([0], features=2)(np.ones((4, 3)))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (1.0,),
            {},
            "PiecewiseLinear: knots=1.0 was given; it needs a list of numbers.",
        ),
        (
            ([0],),
            {"dtype": int},
            "PiecewiseLinear: dtype=int64 was given; it needs floats. Pass float16, float32 or "
            "float64.",
        ),
    ],
)
def test_options_of_another_type_are_refused(arguments, options, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        PiecewiseLinear(*arguments, **options)
