"""Constraints on weights: projections and their edges, after steps of optimisers, compiled too."""

from __future__ import annotations

import copy
import math
import pickle
import re

import numpy as np
import pytest
from compiled import Twins, World, check_training, trained
from hypothesis import given
from hypothesis import strategies as st

import microgrid as mg
from microgrid import nn, optim
from microgrid.errors import ShapeError
from microgrid.nn.constraints import MaxNorm, MinMaxNorm, NonNegative, UnitNorm

DTYPES = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
RULES = [MaxNorm(0.5), MinMaxNorm(0.4, 0.6), UnitNorm(), UnitNorm(axis=None), NonNegative()]
each_rule = pytest.mark.parametrize("rule", RULES, ids=repr)
numbers = st.floats(-1e3, 1e3)


def projected(rule, values, dtype=np.float64):
    return rule(mg.tensor(values, dtype=dtype)).numpy()


# --- the projections ------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5),
    st.floats(1e-3, 1e3),
    st.floats(-1, 1),
)
def test_max_norm_is_the_nearest_point_of_the_ball(pairs, limit, angle):
    found = projected(MaxNorm(limit), np.array(pairs).T)
    # Any other point of the ball, in the direction of the angle.
    other = limit * math.cos(angle * math.pi), limit * math.sin(angle * math.pi)
    for given_pair, pair in zip(pairs, found.T, strict=True):
        # Each of division, root and product rounds by half of 2.2e-16, relative.
        assert math.hypot(*pair) <= limit * (1 + 1e-15)
        nearest = math.dist(given_pair, pair)
        assert nearest <= math.dist(given_pair, other) * (1 + 1e-14) + 1e-12 * limit


@given(st.lists(numbers, min_size=1, max_size=6), st.floats(1e-2, 1e2), st.floats(1, 10))
def test_min_max_norm_keeps_the_direction_and_brings_the_length_between(values, low, times):
    high = low * times
    found = projected(MinMaxNorm(low, high), values).tolist()
    length = math.hypot(*values)
    factor = min(max(length, low), high) / length if length else 1.0
    # One division, a root, a product, and those of the oracle.
    assert found == pytest.approx([v * factor for v in values], rel=1e-14)


@DTYPES
def test_what_fits_stays_bit_for_bit(dtype):
    w = np.random.default_rng(0).normal(size=(4, 6)).astype(dtype)
    assert projected(MaxNorm(100.0), w, dtype).tobytes() == w.tobytes()
    assert projected(MinMaxNorm(0.001, 100.0), w, dtype).tobytes() == w.tobytes()
    assert projected(NonNegative(), abs(w), dtype).tobytes() == abs(w).tobytes()


@DTYPES
@pytest.mark.parametrize("rule", [MaxNorm(1.0), MinMaxNorm(0.5, 1.0), UnitNorm()], ids=repr)
def test_norms_beyond_the_largest_number_and_squares_below_the_least(rule, dtype):
    large, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    found = projected(rule, [[large, least], [large, least]], dtype)
    root = dtype(math.sqrt(0.5))
    assert found[0, 0] == found[1, 0] == pytest.approx(float(root), rel=float(np.finfo(dtype).eps))
    length = {"UnitNorm": 1.0, "MinMaxNorm": 0.5}.get(type(rule).__name__)
    expected = float(least if length is None else length * root)
    assert found[0, 1] == found[1, 1] == pytest.approx(expected, rel=float(np.finfo(dtype).eps))


@each_rule
def test_zeros_stay_zeros(rule):
    assert projected(rule, np.zeros((3, 2))).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("rule", RULES[:3], ids=repr)
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_vector_with_nan_or_infinity_stays_and_others_do_not_care(rule, odd):
    found = projected(rule, [[3.0, odd], [4.0, 5.0]])
    assert np.array_equal(found[:, 1], [odd, 5.0], equal_nan=True)
    assert math.hypot(*found[:, 0]) in (pytest.approx(0.5), pytest.approx(0.6), pytest.approx(1.0))


def test_non_negative_keeps_nan():
    assert np.isnan(projected(NonNegative(), [np.nan])).all()


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (0, [[0.6, 0.0], [0.8, 1.0]]),
        (1, [[1.0, 0.0], [0.8, 0.6]]),
        (-1, [[1.0, 0.0], [0.8, 0.6]]),
        ((0, 1), [[3 / math.sqrt(34), 0.0], [4 / math.sqrt(34), 3 / math.sqrt(34)]]),
        (None, [[3 / math.sqrt(34), 0.0], [4 / math.sqrt(34), 3 / math.sqrt(34)]]),
    ],
)
def test_the_axis_is_that_along_which_a_vector_lies(axis, expected):
    found = projected(MaxNorm(1.0, axis), [[3.0, 0.0], [4.0, 3.0]])
    np.testing.assert_allclose(found, expected, rtol=1e-15)  # a division, a root, a product


@DTYPES
@each_rule
def test_the_dtype_stays_with_a_limit_of_numpy(rule, dtype):
    assert rule(mg.tensor([[3.0], [-4.0]], dtype=dtype)).dtype == dtype
    assert MaxNorm(np.float64(2))(mg.tensor([3.0, 4.0], dtype=dtype)).dtype == dtype


def test_a_weight_without_elements_is_left_alone():
    assert projected(MaxNorm(1.0), np.zeros((0, 3))).shape == (0, 3)


# --- after a step ---------------------------------------------------------------------------------


def test_it_holds_after_each_step_and_setting_it_changes_nothing():
    layer = nn.Dense(3, 2, weight_constraint=MaxNorm(0.1), bias_constraint=NonNegative(), rng=0)
    before = layer.weight.numpy()
    assert np.linalg.norm(before, axis=0).min() > 0.1
    optimizer = optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        layer(np.ones((2, 3))).sum().backward()
        optimizer.step()
        # Some ulps of float32: one each of division, root and product, and of the oracle.
        assert np.linalg.norm(layer.weight.numpy(), axis=0) == pytest.approx(0.1, rel=1e-6)
        assert layer.bias.tolist() == [0, 0]  # the gradient is 2, so it falls below 0


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop", "Rprop", "Lion"])
def test_the_step_is_the_one_without_it_and_then_the_projection(kind):
    def stepped(constraint):
        p = nn.Parameter([[0.5, -1.0], [2.0, 0.25]], np.float64)
        p.constraint = constraint
        p.grad = np.array([[1.0, -2.0], [0.5, 4.0]])
        getattr(optim, kind)([p], lr=0.25).step()
        return p.numpy()

    assert stepped(MaxNorm(0.75)).tolist() == projected(MaxNorm(0.75), stepped(None)).tolist()


def test_a_parameter_without_a_gradient_stays():
    p, q = nn.Parameter([-1.0]), nn.Parameter([-1.0])
    p.constraint = q.constraint = NonNegative()
    p.grad = np.ones(1, np.float32)
    optim.SGD([p, q]).step()
    assert (p.tolist(), q.tolist()) == ([0.0], [-1.0])


def test_a_graph_that_used_the_values_before_refuses_to_go_backward():
    p = nn.Parameter([-1.0])
    p.constraint = NonNegative()
    loss = (p * p).sum()
    p.grad = np.zeros(1, np.float32)
    optim.SGD([p]).step()
    with pytest.raises(mg.errors.GraphError):
        loss.backward()


def constrained(w: World):
    step = trained(w)
    w.model[0].weight.constraint = MaxNorm(0.25)
    w.model[1].weight.constraint = lambda v: mg.clip(v, -0.5, 0.125)
    w.model[1].bias.constraint = NonNegative()
    return step


def give(constraint):
    return lambda w: setattr(w.model[0].weight, "constraint", constraint)


@pytest.mark.parametrize(
    "change",
    [
        give(None), give(UnitNorm()), give(NonNegative()),
        lambda w: setattr(w.model[0].bias, "constraint", NonNegative()),
        lambda w: setattr(w.model[1].weight, "requires_grad", False),
        lambda w: w.optimizer.zero_grad(),
    ],
)  # fmt: skip
def test_compiled_steps_see_each_change_of_it(change):
    check_training(constrained, change)


def test_compiled_steps_see_the_first_one():
    check_training(trained, give(MaxNorm(0.25)))


@each_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_compiled_training_is_eager_training(rule, dtype, kind):
    def build():
        model = nn.Sequential(
            nn.Dense(3, 8, "relu", rng=0, dtype=dtype, weight_constraint=rule),
            nn.Dense(8, 2, rng=1, dtype=dtype, weight_constraint=rule, bias_constraint=rule),
        )
        optimizer = getattr(optim, kind)(model.parameters(), lr=0.05)

        def step(x, y):
            loss = mg.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda: [[p.data, p.grad] for p in model.parameters()]

    twins, rng = Twins(build), np.random.default_rng(0)
    for _ in range(8):
        twins.call(*(rng.normal(size=(5, n)).astype(dtype) for n in (3, 2)))
    assert twins.compiled.traces == 1


@pytest.mark.parametrize("compiled", [True, False])
def test_fit_keeps_it(compiled):
    model = nn.Dense(2, 3, rng=0, weight_constraint=NonNegative())
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("f")
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, "rng": 0, "compile": compiled}
    mg.fit(model, x, -x[:, [0, 1, 1]], loss="mse", optimizer="adam", **options)
    assert (model.weight.numpy() >= 0).all()
    assert (model.weight.numpy() == 0).any()


# --- as an attribute ------------------------------------------------------------------------------


def test_it_is_copied_pickled_and_not_saved():
    layer = nn.Dense(2, 2, weight_constraint=MaxNorm(0.5), rng=0)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.weight.constraint == MaxNorm(0.5)
        assert twin.bias.constraint is None
        assert twin.weight.tolist() == layer.weight.tolist()
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_a_layer_shows_it():
    layer = nn.Dense(2, 3, bias=False, weight_constraint=NonNegative())
    layer.weight.penalty = lambda w: mg.sum(w)
    rules = "weight_constraint=NonNegative(), weight_penalty=<lambda>"
    assert repr(layer) == f"Dense(2, 3, bias=False, {rules})"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            MaxNorm,
            "Parameter: the class MaxNorm was given as constraint; it must be a function of the "
            "parameter, as those of mg.nn.constraints.",
        ),
        (
            2.0,
            "Parameter: 2.0 was given as constraint; it must be a function of the parameter, as "
            "those of mg.nn.constraints.",
        ),
    ],
)
def test_what_is_no_function_is_refused(rule, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        nn.Dense(2, 2, weight_constraint=rule)


@pytest.mark.parametrize("option", ["bias_constraint", "bias_penalty"])
def test_a_rule_for_a_bias_that_there_is_not_is_refused(option):
    message = f"Dense: {option} was given with bias=False; there is no bias. Leave it out."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        nn.Dense(2, 2, bias=False, **{option: mg.sum})


def test_a_function_that_changes_the_shape_is_refused_at_once():
    p = nn.Parameter([1.0, 2.0])
    message = (
        "Parameter: the constraint given returns shape () for a parameter of shape (2,); it must "
        "return shape (2,)."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        p.constraint = mg.sum
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        p.constraint = lambda w: 3.0
    with pytest.raises(ValueError, match="axis 1 is out of bounds"):
        p.constraint = MaxNorm(1.0, axis=1)
    assert p.constraint is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxNorm(0), "MaxNorm: limit=0 was given; it must be a number above 0."),
        (lambda: MaxNorm(math.nan), "MaxNorm: limit=nan was given; it must be a number above 0."),
        (lambda: MaxNorm("1"), "MaxNorm: limit='1' was given; it must be a number above 0."),
        (
            lambda: MinMaxNorm(2, 1),
            "MinMaxNorm: low=2 and high=1 were given; they must be numbers with 0 <= low <= high, "
            "high above 0 and low finite.",
        ),
        (
            lambda: MinMaxNorm(0, 0),
            "MinMaxNorm: low=0 and high=0 were given; they must be numbers with 0 <= low <= high, "
            "high above 0 and low finite.",
        ),
    ],
)
def test_bounds_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()
