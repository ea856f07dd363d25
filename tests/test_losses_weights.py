"""Weights of samples, in every loss: what they mean, what is refused, in compiled steps too."""

import math
import re

import numpy as np
import pytest
from compiled import Twins

import microgrid as mg
from microgrid.errors import DtypeError, ShapeError
from microgrid.train.names import LOSSES

RNG = np.random.default_rng(0)
P, T = RNG.normal(size=(6, 4)) * 2, RNG.normal(size=(6, 4)) * 2
LABELS = np.array([0, 3, 1, 1, 2, 0])
SOFT = RNG.dirichlet(np.ones(4), size=6)
SIGNS = np.where(T > 0, 1.0, -1.0)
COUNTS = RNG.poisson(2.0, size=(6, 4)).astype(float)
OF_CLASSES = np.array([0.5, 2.0, 1.0, 3.0])
W = np.array([0.5, 0.0, 2.0, 1.0, 3.25, 0.125])
TIMES = np.array([1, 0, 3, 2, 1, 4])

# name of the case: loss, targets, options
CASES = {
    "mse": (mg.mse_loss, T, {}),
    "l1": (mg.l1_loss, T, {}),
    "huber": (mg.huber_loss, T, {"delta": 0.5}),
    "smooth l1": (mg.smooth_l1_loss, T, {"beta": 0.5}),
    "pinball": (mg.pinball_loss, T, {"quantile": 0.2}),
    "quantiles": (mg.pinball_loss, T[:, 0], {"quantile": [0.1, 0.2, 0.5, 0.9]}),
    "epsilon insensitive": (mg.epsilon_insensitive_loss, T, {}),
    "hinge": (mg.hinge_loss, SIGNS, {}),
    "squared hinge": (mg.squared_hinge_loss, SIGNS, {}),
    "multi margin": (mg.multi_margin_loss, LABELS, {}),
    "multi margin, classes": (mg.multi_margin_loss, LABELS, {"p": 2, "weight": OF_CLASSES}),
    "kl div": (mg.kl_div_loss, SOFT, {}),
    "kl div of logs": (mg.kl_div_loss, np.log(SOFT), {"log_target": True}),
    "poisson": (mg.poisson_nll_loss, COUNTS, {"full": True}),
    "binary": (mg.binary_cross_entropy_with_logits, SOFT, {}),
    "binary, weighted": (
        mg.binary_cross_entropy_with_logits, SOFT, {"weight": OF_CLASSES, "pos_weight": OF_CLASSES},
    ),
    "nll": (mg.nll_loss, LABELS, {}),
    "nll, classes": (mg.nll_loss, LABELS, {"weight": OF_CLASSES}),
    "nll, ignoring": (mg.nll_loss, LABELS, {"weight": OF_CLASSES, "ignore_index": 0}),
    "cross entropy": (mg.cross_entropy, LABELS, {}),
    "cross entropy, classes": (mg.cross_entropy, LABELS, {"weight": OF_CLASSES}),
    "cross entropy, smoothed": (
        mg.cross_entropy, LABELS, {"weight": OF_CLASSES, "label_smoothing": 0.1},
    ),
    "cross entropy, ignoring": (
        mg.cross_entropy, LABELS, {"label_smoothing": 0.1, "ignore_index": 0},
    ),
    "shares": (mg.cross_entropy, SOFT, {"weight": OF_CLASSES, "label_smoothing": 0.1}),
}  # fmt: skip
each_case = pytest.mark.parametrize("case", CASES)
plain_cases = [
    name
    for name, (_, target, options) in CASES.items()
    if not (np.ndim(target) == 1 and {"weight", "ignore_index"} & options.keys())
]


def with_gradient(loss, prediction, *arguments, **options):
    """Return the value, and the gradient of its sum, at a prediction."""
    p = mg.tensor(prediction, requires_grad=True)
    value = loss(p, *arguments, **options)
    value.sum().backward()
    return value.numpy(), p.grad


# --- what they mean ------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@each_case
def test_a_weight_counts_as_so_many_equal_samples(case, reduction):
    loss, target, options = CASES[case]
    options = {**options, "reduction": reduction}
    value, gradient = with_gradient(loss, P, target, sample_weight=TIMES, **options)
    repeated = np.repeat(np.arange(6), TIMES)
    expected, slopes = with_gradient(loss, P[repeated], target[repeated], **options)
    assert value == pytest.approx(expected, rel=1e-13)
    summed = np.zeros_like(P)
    np.add.at(summed, repeated, slopes)
    np.testing.assert_allclose(gradient, summed, rtol=1e-12, atol=1e-15)


@each_case
def test_none_gives_each_loss_times_its_weight(case):
    loss, target, options = CASES[case]
    value, gradient = with_gradient(loss, P, target, sample_weight=W, reduction="none", **options)
    plain, slopes = with_gradient(loss, P, target, reduction="none", **options)
    np.testing.assert_allclose(value.T, plain.T * W, rtol=1e-14)
    np.testing.assert_allclose(gradient.T, slopes.T * W, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("case", plain_cases)
def test_the_mean_is_divided_by_the_sum_of_the_weights(case):
    loss, target, options = CASES[case]
    each = np.asarray(loss(P, target, reduction="none", **options))
    of_samples = each.reshape(6, -1).mean(axis=1)
    found = loss(P, target, sample_weight=W, **options)
    assert found == pytest.approx(np.sum(W * of_samples) / np.sum(W), rel=1e-14)
    assert found == pytest.approx(np.average(of_samples, weights=W), rel=1e-14)


@pytest.mark.parametrize(
    ("loss", "metric"),
    [(mg.mse_loss, "mean_squared_error"), (mg.l1_loss, "mean_absolute_error")],
)
def test_errors_of_numbers_are_scikit_learns(loss, metric):
    metrics = pytest.importorskip("sklearn.metrics")
    expected = getattr(metrics, metric)(T, P, sample_weight=W)
    assert loss(P, T, sample_weight=W) == pytest.approx(expected, rel=1e-14)


def test_losses_of_classes_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities = mg.softmax(P)
    log_loss = metrics.log_loss(LABELS, probabilities, sample_weight=W)
    assert mg.cross_entropy(P, LABELS, sample_weight=W) == pytest.approx(log_loss, rel=1e-13)
    scores, signs = P[:, 0], SIGNS[:, 0]
    hinge = metrics.hinge_loss(signs, scores, sample_weight=W)
    assert mg.hinge_loss(scores, signs, sample_weight=W) == pytest.approx(hinge, rel=1e-14)


def test_weights_of_samples_and_of_classes_multiply_in_the_mean_too():
    both = W * OF_CLASSES[LABELS]
    each = mg.cross_entropy(P, LABELS, reduction="none")
    found = mg.cross_entropy(P, LABELS, weight=OF_CLASSES, sample_weight=W)
    assert found == pytest.approx(np.sum(both * each) / np.sum(both), rel=1e-14)


def test_batchmean_is_the_weighted_mean_of_divergences():
    each = mg.kl_div_loss(P, SOFT, reduction="none").sum(axis=1)
    found = mg.kl_div_loss(P, SOFT, reduction="batchmean", sample_weight=W)
    assert found == pytest.approx(np.average(each, weights=W), rel=1e-14)


@each_case
def test_a_sample_of_weight_0_is_out_whatever_its_loss(case):
    loss, target, options = CASES[case]
    broken = P.copy()
    broken[1] = [math.inf, -math.inf, math.nan, 1e300]  # the one of weight 0
    with np.errstate(over="ignore"):  # as 1e300 squared does
        value, gradient = with_gradient(loss, broken, target, sample_weight=W, **options)
    expected, slopes = with_gradient(loss, P, target, sample_weight=W, **options)
    assert value == expected
    assert np.array_equal(gradient, slopes)
    assert not gradient[1].any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each_case
def test_weights_do_not_change_the_dtype(case, dtype):
    loss, target, options = CASES[case]
    for weight in (W, W.tolist(), mg.tensor(W), W > 0, TIMES):
        value, gradient = with_gradient(
            loss, P.astype(dtype), target, sample_weight=weight, **options
        )
        assert value.dtype == gradient.dtype == dtype


def test_the_sum_of_halves_does_not_overflow():
    p = np.full(1000, 100, np.float16)
    assert mg.l1_loss(p, np.zeros(1000), sample_weight=np.full(1000, 100.0)) == 100


@pytest.mark.parametrize("size", [1e-9, 6e4, 1e5, 1e39, 1e-300, 1e308])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_only_the_ratios_of_weights_count_in_a_mean_however_large_they_are(size, dtype):
    p, t = np.array([[1.0], [3.0]], dtype), np.zeros((2, 1), dtype)
    # (1 + 9) / 2, in a few roundings
    found = mg.mse_loss(p, t, sample_weight=[size, size])
    assert found == pytest.approx(5, rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
@pytest.mark.parametrize("size", [1e-9, 6e4, 1e39, 1e308])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_only_the_ratios_of_class_weights_count_in_a_mean(loss, size, dtype):
    scores = P.astype(dtype)
    expected = loss(scores, LABELS, weight=[1.0, 1.0, 1.0, 1.0])
    assert loss(scores, LABELS, weight=[size] * 4) == pytest.approx(expected, rel=1e-6)


def test_sums_of_weighted_halves_are_rounded_once():
    p, t = np.array([[1.0], [3.0]], "f2"), np.zeros((2, 1), "f2")
    found = mg.mse_loss(p, t, sample_weight=[1e5, 0.0], reduction="sum")
    assert math.isinf(found)  # 1e5, which halves do not hold, and no warning
    found = mg.mse_loss(p / 8, t, sample_weight=[1e5, 0.0], reduction="sum")
    assert found == np.float16(1e5 / 64)


def test_one_row_of_a_million_halves_that_counts_is_all_of_the_mean():
    z = np.tile(np.array([0.0, 1.0], "f2"), (10**6, 1))
    labels = np.full(10**6, -1)
    labels[7] = 0
    # One rounding to halves, of 11 digits in base 2.
    assert mg.cross_entropy(z, labels, ignore_index=-1) == pytest.approx(
        math.log1p(math.e), rel=2**-11
    )


def test_a_positive_weight_beyond_halves_leaves_negative_targets_alone():
    z = np.array([1.0, -20.0], "f2")
    found = mg.binary_cross_entropy_with_logits(
        z, np.array([0.0, 0.0], "f2"), pos_weight=1e5, reduction="none"
    )
    assert np.array_equal(found, mg.binary_cross_entropy_with_logits(z, [0, 0], reduction="none"))


def test_the_weights_are_constants():
    w = mg.tensor(W, requires_grad=True)
    p = mg.tensor(P, requires_grad=True)
    mg.mse_loss(p, T, sample_weight=w).backward()
    assert w.grad is None


def test_an_array_of_weights_changed_before_backward_changes_no_gradient():
    p, w = mg.tensor(P, requires_grad=True), W.copy()
    loss = mg.l1_loss(p, T, sample_weight=w, reduction="sum")
    w[...] = 99
    loss.backward()
    assert np.array_equal(p.grad, np.sign(P - T) * W[:, None])


@each_case
def test_nothing_weighted_is_nan_and_sums_to_0(case):
    loss, target, options = CASES[case]
    none = {**options, "sample_weight": np.zeros(0)}
    assert math.isnan(loss(P[:0], target[:0], **none))
    assert loss(P[:0], target[:0], reduction="sum", **none) == 0


# --- what is refused -----------------------------------------------------------------------------

every_loss = pytest.mark.parametrize("name", LOSSES)


def targets_of(loss):
    """Return targets that the loss takes."""
    if loss in (mg.cross_entropy, mg.nll_loss, mg.multi_margin_loss):
        return LABELS
    return SIGNS if "hinge" in loss.__name__ else SOFT


def refusal(loss, weight, **options):
    """Return the message with which the weights are refused."""
    with pytest.raises(ValueError, match="sample_weight") as caught:
        loss(P, targets_of(loss), sample_weight=weight, **options)
    return caught.value


@every_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("worst", "said"),
    [(-1.0, "-1.0 to 2.0"), (math.inf, "0.0 to inf"), (math.nan, "nan to nan")],
)
def test_weights_that_are_none(name, worst, said, reduction):
    weight = [1.0, 0.0, 2.0, 1.0, 1.0, worst]
    assert str(refusal(LOSSES[name], weight, reduction=reduction)) == (
        f"{LOSSES[name].__name__}: sample_weight from {said} was given; weights are finite and not "
        "negative. Give 0 to a sample that shall not count."
    )


@every_loss
def test_a_mean_with_weights_of_zeros_alone(name):
    loss = LOSSES[name]
    assert str(refusal(loss, np.zeros(6))) == (
        f"{loss.__name__}: a sample_weight of zeros alone was given; the mean is divided by the "
        'sum of the weights. Use reduction="sum", or leave such a batch out.'
    )
    assert loss(P, targets_of(loss), sample_weight=np.zeros(6), reduction="sum") == 0


@every_loss
@pytest.mark.parametrize("shape", [(5,), (6, 1), (6, 4), (1,), ()])
def test_weights_that_are_not_one_a_sample(name, shape):
    error = refusal(LOSSES[name], np.ones(shape))
    assert isinstance(error, ShapeError)
    assert str(error) == (
        f"{LOSSES[name].__name__}: a sample_weight of shape {shape} was given; it needs one number "
        "for each sample along the first axis, shape (6,)."
    )


def test_weights_of_a_single_number():
    message = (
        "l1_loss: a sample_weight was given for a prediction of shape (); it needs samples along a "
        "first axis. Leave it out."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        mg.l1_loss(1.0, 2.0, sample_weight=1.0)


def test_weights_that_are_no_numbers():
    with pytest.raises(DtypeError, match=r"^mse_loss: data of dtype <U1 was given; it needs real"):
        mg.mse_loss(P, T, sample_weight=list("abcdef"))


CLASS_WEIGHTED = {
    "weight of cross_entropy": (mg.cross_entropy, LABELS, "weight"),
    "weight of shares": (mg.cross_entropy, SOFT, "weight"),
    "weight of nll_loss": (mg.nll_loss, LABELS, "weight"),
    "weight of multi_margin_loss": (mg.multi_margin_loss, LABELS, "weight"),
    "weight of binary": (mg.binary_cross_entropy_with_logits, SOFT, "weight"),
    "pos_weight of binary": (mg.binary_cross_entropy_with_logits, SOFT, "pos_weight"),
}


@pytest.mark.parametrize("case", CLASS_WEIGHTED)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("worst", "said"),
    [(-math.inf, "-inf to 2.0"), (math.inf, "0.0 to inf"), (math.nan, "nan to nan")],
)
def test_weights_of_classes_that_are_none(case, compiled, worst, said):
    loss, target, option = CLASS_WEIGHTED[case]

    def step(weight):
        return loss(mg.tensor(P), target, **{option: weight})

    step = mg.compile(step) if compiled else step
    step(OF_CLASSES)
    step(OF_CLASSES)
    message = (
        f"{loss.__name__}: {option} from {said} was given; it needs finite numbers. Give 0 to what "
        "shall not count."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        step(np.array([1.0, 0.0, 2.0, worst]))


# --- ignored labels ------------------------------------------------------------------------------

PADDED = np.array([0, -1, 1, 1, -1, 0])


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ignored_rows_are_as_if_left_out(loss, reduction):
    kept = PADDED >= 0
    value, gradient = with_gradient(loss, P, PADDED, ignore_index=-1, reduction=reduction)
    expected, slopes = with_gradient(loss, P[kept], PADDED[kept], reduction=reduction)
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(gradient[kept], slopes, rtol=1e-13, atol=1e-16)
    assert not gradient[~kept].any()


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
def test_an_ignored_row_may_hold_anything(loss):
    broken = P.copy()
    broken[1] = [math.inf, -math.inf, math.nan, 0]
    value, gradient = with_gradient(loss, broken, PADDED, ignore_index=-1)
    expected, slopes = with_gradient(loss, P, PADDED, ignore_index=-1)
    assert value == expected
    assert np.array_equal(gradient, slopes)


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, bool])
def test_labels_that_cannot_be_the_ignored_one_all_count(loss, dtype):
    labels = (LABELS > 1).astype(dtype)
    found = loss(P, labels, ignore_index=-1000, reduction="none")
    np.testing.assert_allclose(found, loss(P, labels, reduction="none"), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_a_class_can_be_ignored(dtype):
    labels = (LABELS > 1).astype(dtype)
    found = mg.cross_entropy(P, labels, ignore_index=1, reduction="none")
    expected = mg.cross_entropy(P, labels, reduction="none") * (LABELS <= 1)
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
def test_labels_out_of_range_are_refused_beside_ignored_ones(loss):
    message = (
        f"{loss.__name__}: labels from -2 to 3 were given for 4 classes; they must lie between 0 "
        "and 3."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        loss(P, [0, -1, 3, -2, 0, 0], ignore_index=-1)


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
@pytest.mark.parametrize("ignored", [1.0, "1", True])
def test_an_ignored_label_that_is_no_integer(loss, ignored):
    message = f"{loss.__name__}: ignore_index={ignored!r} was given; it must be an integer or None."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        loss(P, LABELS, ignore_index=ignored)


def test_probabilities_have_no_ignored_label():
    message = (
        "cross_entropy: ignore_index=-1 was given with labels of shape (6, 4); it is for class "
        "indices, of shape (batch,). Give rows that shall not count a sample_weight of 0."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        mg.cross_entropy(P, SOFT, ignore_index=-1)


# --- compiled ------------------------------------------------------------------------------------


def weighted_step(case, **more):
    """Return a builder of a step that takes a prediction, targets and weights."""
    loss, _, options = CASES[case]

    def build():
        leaf = mg.tensor(P, requires_grad=True)

        def step(p, target, weight):
            leaf.zero_grad()
            value = loss(leaf + p, target, sample_weight=weight, **options, **more)
            value.sum().backward()
            return value

        return step, lambda: leaf.grad

    return build


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@each_case
def test_compiled_steps_take_the_weights_of_each_batch(case, reduction):
    twins = Twins(weighted_step(case, reduction=reduction))
    target = CASES[case][1]
    for weight in (W, W[::-1].copy(), TIMES * 1.0, W * 0 + 1, W):
        twins.call(P, target, weight)
    assert twins.compiled.traces == 1


@pytest.mark.parametrize("case", ["mse", "cross entropy", "nll, ignoring", "quantiles"])
@pytest.mark.parametrize("worst", [-1.0, math.inf, math.nan, None])
def test_compiled_steps_refuse_the_weights_that_eager_code_does(case, worst):
    twins = Twins(weighted_step(case))
    target = CASES[case][1]
    bad = np.zeros(6) if worst is None else np.array([1.0, 2.0, 0.0, 1.0, 1.0, worst])
    for _ in range(2):
        twins.call(P, target, W)
        messages = []
        for step in (twins.eager, twins.compiled):
            with pytest.raises(ValueError, match="sample_weight") as caught:
                step(P, target, bad)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
        twins.check_seen()
    assert twins.compiled.traces == 1
