"""Losses at their extremes: numbers of any size, no samples, integers, halves."""

import math
import warnings

import numpy as np
import pytest
from compiled import Twins

import microgrid as mg
from microgrid.train.names import LOSSES

P, T = np.zeros((6, 4)), np.ones((6, 4))
Z, LABELS = P, np.array([0, 3, 1, 1, 2, 0])


def with_gradient(loss, prediction, *arguments, **options):
    """Return the value, and the gradient of its sum, at a prediction."""
    p = mg.tensor(prediction, requires_grad=True)
    value = loss(p, *arguments, **options)
    value.sum().backward()
    return value.numpy(), p.grad


# --- extremes ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        yield


def test_cross_entropy_at_a_thousand_is_exact():
    z = [[1000.0, -1000.0], [-1000.0, 1000.0], [1000.0, 1000.0]]
    value, gradient = with_gradient(mg.cross_entropy, z, [0, 0, 1], reduction="none")
    assert value.tolist() == [0.0, 2000.0, math.log(2)]
    assert gradient.tolist() == [[0.0, 0.0], [-1.0, 1.0], [0.5, -0.5]]


@pytest.mark.parametrize("soft", [[1.0, 0.0], [0.75, 0.25]])
def test_soft_cross_entropy_at_a_thousand_is_exact(soft):
    value, gradient = with_gradient(mg.cross_entropy, [[1000.0, -1000.0]], [soft])
    assert value == soft[1] * 2000
    assert gradient.tolist() == [[1 - soft[0], -soft[1]]]


def test_nll_at_a_thousand_is_exact():
    value, gradient = with_gradient(mg.nll_loss, [[0.0, -1000.0]], [1])
    assert value == 1000
    assert gradient.tolist() == [[0, -1]]


def test_a_class_that_is_ruled_out_costs_nothing_unless_it_is_the_label():
    z = [[0.0, 0.0, -math.inf]]
    for labels in ([0], [[0.5, 0.5, 0.0]]):
        value, gradient = with_gradient(mg.cross_entropy, z, labels)
        assert value == math.log(2)
        assert gradient[0, 2] == 0
    assert mg.cross_entropy(z, [2]) == math.inf


def test_binary_cross_entropy_at_a_thousand_is_exact():
    loss = mg.binary_cross_entropy_with_logits
    value, gradient = with_gradient(
        loss, [1000.0, -1000.0, 1000.0, -1000.0], [1, 0, 0, 1], reduction="none"
    )
    assert value.tolist() == [0, 0, 1000, 1000]
    assert gradient.tolist() == [0, 0, 1, -1]


@pytest.mark.parametrize(("z", "target"), [(50.0, 1), (-50.0, 0), (700.0, 1), (-700.0, 0)])
def test_binary_cross_entropy_keeps_its_relative_accuracy_in_the_tails(z, target):
    value, gradient = with_gradient(mg.binary_cross_entropy_with_logits, [z], [target])
    assert math.isclose(value, math.exp(-abs(z)), rel_tol=1e-14)
    assert math.isclose(gradient[0], -math.copysign(math.exp(-abs(z)), z), rel_tol=1e-14)


def test_binary_cross_entropy_at_infinity():
    loss = mg.binary_cross_entropy_with_logits
    value, gradient = with_gradient(loss, [math.inf, -math.inf], [1, 0], reduction="none")
    assert value.tolist() == [0, 0]
    assert gradient.tolist() == [0, 0]


@pytest.mark.parametrize("loss", [mg.l1_loss, mg.huber_loss, mg.smooth_l1_loss])
@pytest.mark.parametrize("size", [1e3, 1e200])
def test_robust_losses_do_not_overflow(loss, size):
    value, gradient = with_gradient(loss, [size, -size], [0.0, 0.0], reduction="none")
    half = 0 if loss is mg.l1_loss else 0.5
    assert value.tolist() == [size - half, size - half]
    assert gradient.tolist() == [1, -1]


@pytest.mark.parametrize("loss", [mg.hinge_loss, mg.squared_hinge_loss])
def test_hinge_at_a_thousand_and_at_the_kink(loss):
    value, gradient = with_gradient(
        loss, [1000.0, -1000.0, 1.0, -1.0], [1, 1, 1, -1], reduction="none"
    )
    power = 1 if loss is mg.hinge_loss else 2
    assert value.tolist() == [0, 1001**power, 0, 0]
    assert gradient.tolist() == [0, -1 if power == 1 else -2002, 0, 0]


def test_slopes_at_the_kinks_of_robust_losses():
    assert with_gradient(mg.l1_loss, [2.0], [2.0])[1].tolist() == [0]
    value, gradient = with_gradient(
        mg.huber_loss, [3.0, -3.0], [0.0, 0.0], delta=3, reduction="sum"
    )
    assert value == 9
    assert gradient.tolist() == [3, -3]


def test_multi_margin_at_a_thousand():
    z = [[1000.0, -1000.0], [-1000.0, 1000.0], [1000.0, 1000.0]]
    for p, far, slope in ((1, 2001, 0.5), (2, 2001**2, 2001.0)):
        value, gradient = with_gradient(mg.multi_margin_loss, z, [0, 0, 1], p=p, reduction="none")
        assert value.tolist() == [0, far / 2, 0.5]
        assert gradient.tolist() == [[0, 0], [-slope, slope], [p / 2, -p / 2]]


def test_pinball_and_epsilon_insensitive_losses_do_not_overflow():
    for size in (1e3, 1e200):
        value, gradient = with_gradient(
            mg.pinball_loss, [size, -size, 0.0], [0.0] * 3, quantile=0.25, reduction="none"
        )
        assert value.tolist() == [0.75 * size, 0.25 * size, 0]
        assert gradient.tolist() == [0.75, -0.25, 0]
    loss = mg.epsilon_insensitive_loss
    value, gradient = with_gradient(
        loss, [1e3, -1e3, 0.5, 0.0], [0.0] * 4, epsilon=0.5, reduction="none"
    )
    assert value.tolist() == [999.5, 999.5, 0, 0]
    assert gradient.tolist() == [1, -1, 0, 0]


def test_what_has_no_probability_adds_no_divergence():
    value, gradient = with_gradient(
        mg.kl_div_loss, [-math.inf, -1000.0, 0.0], [0.0, 1.0, 0.0], reduction="none"
    )
    assert value.tolist() == [0, 1000, 0]
    assert gradient.tolist() == [0, -1, 0]
    of_logs = [-math.inf, 0.0, -math.inf]
    value, gradient = with_gradient(
        mg.kl_div_loss, [-math.inf, -1000.0, 0.0], of_logs, log_target=True, reduction="none"
    )
    assert value.tolist() == [0, 1000, 0]
    assert gradient.tolist() == [0, -1, 0]
    assert mg.kl_div_loss([-math.inf], [0.5]) == math.inf


def test_poisson_at_a_thousand_and_at_0():
    value, gradient = with_gradient(
        mg.poisson_nll_loss, [-1000.0, 0.0, -math.inf, 1000.0], [2.0, 0.0, 0.0, 3.0],
        reduction="none",
    )  # fmt: skip
    assert value.tolist() == [2000, 1, 0, math.inf]
    assert gradient.tolist() == [-2, 1, 0, math.inf]
    value, gradient = with_gradient(
        mg.poisson_nll_loss, [0.0, 0.0], [1.0, 0.0], log_input=False, reduction="none"
    )
    assert value.tolist() == [-math.log(1e-8), 0]
    np.testing.assert_allclose(gradient, [1 - 1e8, 1], rtol=1e-15)


@pytest.mark.parametrize("count", [0.0, 1.0])
def test_counts_up_to_1_have_no_term_of_stirling(count):
    p = mg.tensor([0.5], requires_grad=True)
    t = mg.tensor([count], requires_grad=True)
    mg.poisson_nll_loss(p, t, full=True).backward()
    assert t.grad.tolist() == [-0.5]


# --- empty batches, changed arrays ----------------------------------------------------------------


def test_an_array_target_changed_before_backward_changes_no_gradient():
    p, target = mg.tensor(P, requires_grad=True), T.copy()
    loss = mg.mse_loss(p, target, reduction="sum")
    target[...] = 99
    loss.backward()
    assert np.array_equal(p.grad, 2 * (P - T))


@pytest.mark.parametrize("name", LOSSES)
def test_empty_batches_do_not_crash(name):
    loss = LOSSES[name]
    labels = loss in (mg.cross_entropy, mg.nll_loss, mg.multi_margin_loss)
    target = np.zeros(0, int) if labels else np.zeros((0, 3))
    assert loss(np.zeros((0, 3)), target, reduction="sum") == 0
    assert loss(np.zeros((0, 3)), target, reduction="none").size == 0
    value, gradient = with_gradient(loss, np.zeros((0, 3)), target)
    assert math.isnan(value)
    assert gradient.shape == (0, 3)


# --- labels that a compiled step computes ---------------------------------------------------------


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
def test_compiled_steps_keep_labels_that_they_compute(loss):
    def build():
        leaf = mg.tensor(np.ones((6, 4)), requires_grad=True)

        def step(p, scores):
            leaf.zero_grad()
            value = loss(leaf * p, mg.argmax(scores, axis=1), reduction="none")
            value.sum().backward()
            return value

        return step, lambda: leaf.grad

    twins = Twins(build)
    for seed in range(4):
        twins.call(np.eye(6, 4), np.random.default_rng(seed).normal(size=(6, 4)))


# --- integers and truth values --------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [np.asarray, mg.tensor])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, bool])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "loss",
    [
        mg.mse_loss,
        mg.l1_loss,
        mg.huber_loss,
        mg.smooth_l1_loss,
        mg.hinge_loss,
        mg.pinball_loss,
        mg.epsilon_insensitive_loss,
        mg.kl_div_loss,
        mg.poisson_nll_loss,
    ],
)
def test_integers_count_as_the_floats_they_are(loss, reduction, dtype, wrap):
    p, t = np.array([0, 1, 1], dtype), np.array([1, 1, 1], dtype)
    result = loss(wrap(p), wrap(t), reduction=reduction)
    expected = loss(p.astype(float), t.astype(float), reduction=reduction)
    assert result.dtype == np.float64
    assert np.array_equal(np.asarray(result), expected)


def test_the_difference_of_unsigned_numbers_does_not_wrap():
    one, three = np.array([1], np.uint8), np.array([3], np.uint8)
    assert mg.l1_loss(one, three) == 2
    assert mg.l1_loss(mg.tensor(one), mg.tensor(three)).item() == 2
    assert mg.l1_loss(mg.tensor([1.0], requires_grad=True), three).item() == 2


@pytest.mark.parametrize("wrap", [np.asarray, mg.tensor])
@pytest.mark.parametrize("dtype", [int, np.uint8, bool])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_scores_of_integers_and_truth_values(reduction, dtype, wrap):
    scores, labels = np.array([[1, 0], [0, 1]], dtype), [0, 0]
    for loss in (mg.cross_entropy, mg.nll_loss, mg.multi_margin_loss):
        expected = loss(scores.astype(float), labels, reduction=reduction)
        assert np.array_equal(np.asarray(loss(wrap(scores), labels, reduction=reduction)), expected)
    binary = mg.binary_cross_entropy_with_logits
    expected = binary(scores.astype(float), scores, reduction=reduction)
    assert np.array_equal(np.asarray(binary(wrap(scores), scores, reduction=reduction)), expected)


# --- options and targets beyond the dtype ---------------------------------------------------------


def test_a_target_beyond_the_dtype_of_the_prediction_is_infinite_and_warns_not():
    assert mg.mse_loss(np.array([1.0], np.float16), [1e6]) == np.inf


@pytest.mark.parametrize("slope", [False, True])
def test_a_delta_beyond_the_dtype_is_never_reached(slope):
    x = mg.tensor(np.array([2.0, -4.0], np.float16), requires_grad=slope)
    loss = mg.huber_loss(x, [0.0, 0.0], delta=1e6, reduction="sum")
    assert (loss.dtype, loss.item()) == (np.float16, 10.0)
    if slope:
        loss.backward()
        assert x.grad.tolist() == [2.0, -4.0]
    assert mg.smooth_l1_loss(np.array([200.0], np.float16), [0.0], beta=1e5) == (
        pytest.approx(0.2, rel=1e-2)  # 1 / beta has few digits in float16
    )


@pytest.mark.parametrize("beta", [1e-50, 1e-40, 1e-30, 0.0])
def test_a_tiny_beta_gives_the_absolute_error_and_its_slope(beta):
    x = mg.tensor(np.array([2.0, -3.0, 0.0], np.float32), requires_grad=True)
    loss = mg.smooth_l1_loss(x, np.zeros(3), beta=beta, reduction="sum")
    loss.backward()
    assert loss.item() == 5.0
    assert x.grad.tolist() == [1.0, -1.0, 0.0]


def test_a_small_beta_in_float16_keeps_the_square():
    x, beta = np.array([1e-3], np.float16), 2e-3
    expected = float(x[0]) ** 2 / (2 * beta)
    assert mg.smooth_l1_loss(x, [0.0], beta=beta) == pytest.approx(expected, rel=2e-3)
