"""Losses at their extremes, and what they refuse."""

import math
import re
import warnings

import numpy as np
import pytest
from compiled import Twins

import microgrid as mg
from microgrid.errors import DtypeError, ShapeError
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


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits",
        "hinge_loss", "squared_hinge_loss",
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrap", [np.asarray, mg.tensor])
def test_a_column_and_a_row_are_never_broadcast(name, wrap):
    message = (
        f"{name}: a prediction of shape (5, 1) and a target of shape (5,) were given; "
        "the shapes must be equal. Reshape the target."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        getattr(mg, name)(mg.tensor(np.ones((5, 1))), wrap(np.ones(5)))


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
@pytest.mark.parametrize("labels", [[0, 4], [-1, 0], [0, 2**40]])
def test_labels_out_of_range(loss, labels):
    message = (
        f"{loss.__name__}: labels from {min(labels)} to {max(labels)} were given for 4 classes; "
        "they must lie between 0 and 3."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        loss(np.zeros((2, 4)), labels)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_a_negative_label_of_few_bits_with_many_classes(dtype):
    with pytest.raises(ValueError, match="labels from -1 to 0 were given for 300 classes"):
        mg.cross_entropy(np.zeros((2, 300)), np.array([-1, 0], dtype))


def test_labels_that_are_not_integers():
    message = (
        "cross_entropy: labels of dtype float64 and shape (2,) were given; class indices are "
        "integers. Use astype(int)."
    )
    with pytest.raises(DtypeError, match=f"^{re.escape(message)}$"):
        mg.cross_entropy(np.zeros((2, 4)), [0.0, 1.0])


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((2, 4)), [0, 1, 2]),
        (np.zeros((2, 4)), [[0], [1]]),
        (np.zeros((2, 4)), np.full((3, 4), 0.25)),
        (np.zeros(4), [0]),
        (np.zeros((2, 0)), [0, 0]),
        (np.zeros((2, 3, 4)), [0, 0]),
    ],
)
def test_scores_and_labels_that_do_not_fit(logits, labels):
    with pytest.raises(ShapeError, match=r"^cross_entropy: scores of shape"):
        mg.cross_entropy(logits, labels)


@pytest.mark.parametrize(
    "row", [[0.5, 0.4], [1.5, -0.5], [math.inf, 0.0], [math.nan, 1.0], [0.0, 0.0], [1, 1]]
)
def test_probabilities_that_are_none(row):
    with pytest.raises(
        ValueError, match=r"^cross_entropy: labels were given as probabilities that"
    ):
        mg.cross_entropy(np.zeros((2, 2)), [[0.5, 0.5], row])


@pytest.mark.parametrize("value", [-0.1, 1.1, math.inf, math.nan, 2])
def test_binary_targets_beyond_0_and_1(value):
    with pytest.raises(ValueError, match="they are probabilities, from 0 to 1"):
        mg.binary_cross_entropy_with_logits(np.zeros(2), [0.5, value])


@pytest.mark.parametrize("loss", [mg.hinge_loss, mg.squared_hinge_loss])
@pytest.mark.parametrize("value", [0, 2, 0.5, math.inf, math.nan])
def test_hinge_targets_other_than_signs(loss, value):
    with pytest.raises(ValueError, match=r"targets other than -1 and 1 were given\. Map labels"):
        loss(np.zeros(2), [1, value])


@pytest.mark.parametrize("name", LOSSES)
def test_an_unknown_reduction(name):
    loss = LOSSES[name]
    target = LABELS if loss in (mg.cross_entropy, mg.nll_loss) else T
    message = f'{loss.__name__}: reduction=\'avg\' was given; it must be "mean", "sum" or "none".'
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        loss(P, target, reduction="avg")


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (mg.huber_loss, {"delta": 0}),
        (mg.huber_loss, {"delta": math.nan}),
        (mg.smooth_l1_loss, {"beta": -1}),
        (mg.smooth_l1_loss, {"beta": "1"}),
    ],
)
def test_options_that_make_no_sense(loss, options):
    with pytest.raises(ValueError, match="was given; it must be a number"):
        loss(P, T, **options)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan, "a"])
def test_smoothing_beyond_0_and_1(smoothing):
    with pytest.raises(ValueError, match=r"it must lie between 0 and 1\.$"):
        mg.cross_entropy(Z, LABELS, label_smoothing=smoothing)


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
def test_weights_that_do_not_fit_the_classes(loss):
    message = (
        f"{loss.__name__}: a weight of shape (3,) was given; it needs one number per class, "
        "shape (4,)."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        loss(Z, LABELS, weight=np.ones(3))


def test_weights_that_do_not_broadcast():
    with pytest.raises(ShapeError, match=r"^binary_cross_entropy_with_logits: a weight of shape"):
        mg.binary_cross_entropy_with_logits(np.zeros(2), np.zeros(2), weight=np.ones((3, 2)))
    with pytest.raises(ShapeError, match=r"^binary_cross_entropy_with_logits: a weight of shape"):
        mg.binary_cross_entropy_with_logits(np.zeros(2), np.zeros(2), weight=np.ones(3))


def test_an_array_target_changed_before_backward_changes_no_gradient():
    p, target = mg.tensor(P, requires_grad=True), T.copy()
    loss = mg.mse_loss(p, target, reduction="sum")
    target[...] = 99
    loss.backward()
    assert np.array_equal(p.grad, 2 * (P - T))


def test_empty_batches_do_not_crash():
    assert mg.mse_loss(np.zeros((0, 3)), np.zeros((0, 3)), reduction="sum") == 0
    assert mg.cross_entropy(np.zeros((0, 3)), np.zeros(0, int), reduction="sum") == 0
    assert math.isnan(mg.cross_entropy(np.zeros((0, 3)), np.zeros(0, int)))


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
    "loss", [mg.mse_loss, mg.l1_loss, mg.huber_loss, mg.smooth_l1_loss, mg.hinge_loss]
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
    for loss in (mg.cross_entropy, mg.nll_loss):
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


# --- what messages say ----------------------------------------------------------------------------


def test_a_huge_label_is_shown_as_it_is():
    labels = np.array([2**64 - 1], np.uint64)
    message = f"cross_entropy: labels from {2**64 - 1} to {2**64 - 1} were given for 2 classes"
    with pytest.raises(ValueError, match=f"^{message}"):
        mg.cross_entropy(np.zeros((1, 2)), labels)


def test_negative_probabilities_are_shown_as_such():
    message = "(numbers from -0.5 to 1.5, sums from 1 to 1). Divide each row by its sum."
    with pytest.raises(ValueError, match=re.escape(message)):
        mg.cross_entropy(np.zeros((1, 2)), [[-0.5, 1.5]])
