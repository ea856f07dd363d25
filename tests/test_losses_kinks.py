"""Piecewise-linear losses at their kinks: exact on Fractions, ties included.

The oracle is the definition: one-sided slopes from values a tiny step to each side, and of the two
the one of least norm.
"""

from fractions import Fraction

import numpy as np
import pytest

import microgrid as mg
from microgrid.testing import gradcheck, report

TINY = Fraction(1, 10**30)  # no kink lies closer: all data are small fractions
THIRD, HALF = Fraction(1, 3), Fraction(1, 2)


def fractions(numbers):
    return np.array(numbers, dtype=object) * Fraction(1)


def least_norm(left, right):
    return 0 if left * right <= 0 else min(left, right, key=abs)


# Of one number and its target, which is 1: the loss, and where its kinks are.
OF_NUMBERS = {
    "l1": (mg.l1_loss, {}, [1]),
    "pinball": (mg.pinball_loss, {"quantile": THIRD}, [1]),
    "epsilon insensitive": (mg.epsilon_insensitive_loss, {"epsilon": HALF}, [HALF, 3 * HALF]),
    "epsilon of 0": (mg.epsilon_insensitive_loss, {"epsilon": 0}, [1]),
    "hinge": (mg.hinge_loss, {}, [1]),
}
each_loss = pytest.mark.parametrize("name", OF_NUMBERS)


@each_loss
def test_the_slope_at_a_kink_is_the_one_of_least_norm(name):
    loss, options, kinks = OF_NUMBERS[name]
    for x in [*kinks, -2, 0, THIRD, 4]:
        left, here, right = (
            loss(fractions([at]), fractions([1]), reduction="sum", **options)
            for at in (x - TINY, x, x + TINY)
        )
        p = mg.tensor(fractions([x]), requires_grad=True)
        loss(p, fractions([1]), reduction="sum", **options).backward()
        assert p.grad[0] == least_norm((here - left) / TINY, (right - here) / TINY)
        assert ((here - left) != (right - here)) == (x in kinks)


@each_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, [2, 0, 3]])
def test_losses_of_fractions_are_checked_exactly(name, reduction, weight):
    loss, options, kinks = OF_NUMBERS[name]
    x = mg.tensor(
        fractions([[kinks[0], -2], [kinks[-1], THIRD], [0, kinks[0]]]), requires_grad=True
    )
    target = fractions(np.ones((3, 2), int))
    found = report(
        lambda x: loss(x, target, reduction=reduction, sample_weight=weight, **options), [x]
    )
    assert found.ok, found
    assert "exact" in str(found)


@each_loss
def test_losses_of_small_dyadic_floats_are_exact_too(name):
    loss, options, _ = OF_NUMBERS[name]
    options = dict.fromkeys(options, 0.25)
    x = mg.tensor(np.array([[1.0, 0.75], [1.25, -2.0]]), requires_grad=True)
    assert gradcheck(lambda x: loss(x, np.ones((2, 2)), **options), [x], exact=True)


def multi_margin(scores, labels, p, margin, weight):
    """Return the sum of the losses, and for p = 1 its slopes: that of a tie is 0."""
    total, slopes = Fraction(0), np.zeros_like(scores)
    for i, j in np.ndindex(scores.shape):
        label = labels[i]
        short, share = margin - scores[i, label] + scores[i, j], weight[label] / len(scores[i])
        if j != label and short > 0:
            total += share * short**p
            slopes[i, j] += share
            slopes[i, label] -= share
    return total, slopes


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("margin", [1, HALF, 0])
def test_multi_margin_is_exact_with_ties(seed, margin):
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(-1, 2, (3, 3)) * HALF, rng.integers(0, 3, 3)
    weight = fractions([1, 2, THIRD])
    x = mg.tensor(scores, requires_grad=True)

    def loss(x):
        return mg.multi_margin_loss(x, labels, margin=margin, weight=weight, reduction="sum")

    value = loss(x)
    value.backward()
    expected, slopes = multi_margin(scores, labels, 1, margin, weight)
    assert value.item() == expected
    assert np.array_equal(x.grad, slopes)
    assert gradcheck(loss, [x])


def test_multi_margin_of_squares_is_exact_on_fractions():
    scores = fractions([[0, HALF, 1], [1, 0, 0]])
    labels, weight = np.array([2, 1]), fractions([1, 2, THIRD])
    x = mg.tensor(scores, requires_grad=True)
    loss = mg.multi_margin_loss(x, labels, p=2, margin=HALF, weight=weight, reduction="sum")
    assert loss.item() == multi_margin(scores, labels, 2, HALF, weight)[0]
    loss.backward()
    step = [multi_margin(scores + TINY * one, labels, 2, HALF, weight)[0] for one in units(2, 3)]
    back = [multi_margin(scores - TINY * one, labels, 2, HALF, weight)[0] for one in units(2, 3)]
    # Between knots a parabola's symmetric difference is its slope; at a knot it is off by TINY / 2.
    for slope, up, down in zip(x.grad.ravel(), step, back, strict=True):
        assert abs((up - down) / (2 * TINY) - slope) <= TINY


def units(*shape):
    for i in range(np.prod(shape)):
        one = np.zeros(shape, int).ravel()
        one[i] = 1
        yield one.reshape(shape)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_several_quantiles_are_exact_with_ties(shape):
    x = mg.tensor(fractions([[1, 0, 2], [THIRD, 1, 1], [1, 1, 1]]), requires_grad=True)
    quantile = [Fraction(1, 10), HALF, Fraction(9, 10)]
    target = fractions(np.ones(shape, int))
    assert gradcheck(lambda x: mg.pinball_loss(x, target, quantile=quantile), [x])
    mg.pinball_loss(x, target, quantile=quantile, reduction="sum").backward()
    assert x.grad[2].tolist() == [0, 0, 0]
    assert x.grad[0].tolist() == [0, -HALF, Fraction(1, 10)]


# --- Huber's slope -------------------------------------------------------------------------------


def huber_slope(loss, **options):
    """Return the gradient of a loss as a function, which has kinks."""

    def slope(x):
        y = loss(x, fractions(np.zeros(x.shape, int)), reduction="sum", **options)
        return mg.gradients(y, [x], create_graph=True)[0]

    return slope


@pytest.mark.parametrize(
    ("loss", "options", "divisor"),
    [
        (mg.huber_loss, {"delta": THIRD}, 1),
        (mg.smooth_l1_loss, {"beta": THIRD}, THIRD),
    ],
)
def test_hubers_slope_is_the_error_held_between_bounds(loss, options, divisor):
    numbers = fractions([-1, -THIRD, -HALF * THIRD, 0, HALF * THIRD, THIRD, 2])
    x = mg.tensor(numbers, requires_grad=True)
    slope = huber_slope(loss, **options)(x)
    held = [max(-THIRD, min(THIRD, n)) / divisor for n in numbers]
    assert slope.tolist() == held
    (curvature,) = mg.gradients(slope, [x], np.ones(7, int))
    inside = [1 / divisor if abs(n) < THIRD else 0 for n in numbers]
    assert curvature.data.tolist() == inside
    assert gradcheck(huber_slope(loss, **options), [x])


def test_the_losses_of_fractions_are_fractions():
    p, t = fractions([[0, 2], [THIRD, 1]]), fractions([[1, 0], [0, 1]])
    for loss, options in [
        (mg.mse_loss, {}), (mg.l1_loss, {}), (mg.huber_loss, {"delta": 0.5}),
        (mg.smooth_l1_loss, {"beta": 0.5}), (mg.pinball_loss, {"quantile": 0.25}),
        (mg.epsilon_insensitive_loss, {"epsilon": 0.25}),
    ]:  # fmt: skip
        value = loss(p, t, sample_weight=fractions([THIRD, 2]), **options)
        assert isinstance(value, Fraction), loss
        floats = loss(p.astype(float), t.astype(float), sample_weight=[1 / 3, 2], **options)
        assert float(value) == pytest.approx(floats, rel=1e-14)
