"""Losses: their values and gradients by formula and by scikit-learn, and their dtypes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgrid as mg

RNG = np.random.default_rng(0)
P, T = RNG.normal(size=(6, 4)) * 2, RNG.normal(size=(6, 4)) * 2
Z = RNG.normal(size=(6, 4)) * 3
LABELS = np.array([0, 3, 1, 1, 2, 0])
SOFT = RNG.dirichlet(np.ones(4), size=6)
WEIGHT = np.array([0.5, 2.0, 1.0, 3.0])
SIGNS = np.where(T > 0, 1.0, -1.0)
COUNTS = RNG.poisson(2.0, size=(6, 4)).astype(float)
REDUCTIONS = ["mean", "sum", "none"]


def with_gradient(loss, prediction, *arguments, **options):
    """Return the value, and the gradient of its sum, at a prediction."""
    p = mg.tensor(prediction, requires_grad=True)
    value = loss(p, *arguments, **options)
    value.sum().backward()
    return value.numpy(), p.grad


# --- by formula ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("loss", "formula", "slope"),
    [
        (mg.mse_loss, lambda p, t: (p - t) ** 2, lambda p, t: 2 * (p - t)),
        (mg.l1_loss, lambda p, t: abs(p - t), lambda p, t: math.copysign(1, p - t)),
        (
            mg.huber_loss,
            lambda p, t: (p - t) ** 2 / 2 if abs(p - t) < 1 else abs(p - t) - 0.5,
            lambda p, t: max(-1, min(1, p - t)),
        ),
        (
            mg.hinge_loss,
            lambda p, t: max(0, 1 - math.copysign(1, t) * p),
            lambda p, t: -math.copysign(1, t) if math.copysign(1, t) * p < 1 else 0,
        ),
        (
            mg.squared_hinge_loss,
            lambda p, t: max(0, 1 - math.copysign(1, t) * p) ** 2,
            lambda p, t: -2 * math.copysign(1, t) * max(0, 1 - math.copysign(1, t) * p),
        ),
        (
            mg.pinball_loss,
            lambda p, t: abs(p - t) / 2,
            lambda p, t: math.copysign(0.5, p - t),
        ),
        (
            mg.epsilon_insensitive_loss,
            lambda p, t: max(0, abs(p - t) - 0.1),
            lambda p, t: math.copysign(1, p - t) if abs(p - t) > 0.1 else 0,
        ),
    ],
)
def test_values_and_slopes_by_formula(loss, formula, slope, reduction):
    target = SIGNS if "hinge" in loss.__name__ else T
    value, gradient = with_gradient(loss, P, target, reduction=reduction)
    values = np.vectorize(formula, otypes=[float])(P, target)
    slopes = np.vectorize(slope, otypes=[float])(P, target)
    expected = {"mean": values.mean(), "sum": values.sum(), "none": values}[reduction]
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    share = P.size if reduction == "mean" else 1
    np.testing.assert_allclose(gradient, slopes / share, rtol=1e-13, atol=1e-15)


@given(
    z=hnp.arrays(float, (3, 4), elements=st.floats(-1000, 1000, width=16)),
    labels=hnp.arrays(np.int64, 3, elements=st.integers(0, 3)),
)
def test_cross_entropy_is_nll_of_log_softmax_and_its_gradient_softmax_less_one_hot(z, labels):
    value, gradient = with_gradient(mg.cross_entropy, z, labels, reduction="none")
    for row, label, v, g in zip(z.tolist(), labels.tolist(), value, gradient, strict=True):
        top = max(row)
        total = math.fsum(math.exp(s - top) for s in row)
        assert math.isclose(v, math.log(total) + top - row[label], rel_tol=1e-12, abs_tol=1e-12)
        for i, s in enumerate(row):
            assert math.isclose(
                g[i], math.exp(s - top) / total - (i == label), rel_tol=1e-12, abs_tol=1e-15
            )
    again = mg.nll_loss(mg.log_softmax(z), labels, reduction="none")
    np.testing.assert_allclose(value, again, rtol=1e-12, atol=1e-12)


def test_label_smoothing_is_cross_entropy_with_smoothed_probabilities():
    smooth = mg.cross_entropy(Z, LABELS, label_smoothing=0.2)
    soft = np.eye(4)[LABELS] * 0.8 + 0.2 / 4
    assert math.isclose(smooth, mg.cross_entropy(Z, soft), rel_tol=1e-14)


def test_one_hot_labels_equal_class_indices():
    one_hot = mg.cross_entropy(Z, np.eye(4)[LABELS], reduction="none")
    np.testing.assert_allclose(one_hot, mg.cross_entropy(Z, LABELS, reduction="none"), rtol=1e-14)


def test_soft_labels_can_be_differentiated_too():
    labels = mg.tensor(SOFT, requires_grad=True)
    mg.cross_entropy(Z, labels, reduction="sum").backward()
    np.testing.assert_allclose(labels.grad, -mg.log_softmax(Z), rtol=1e-13)
    target = mg.tensor(T, requires_grad=True)
    mg.mse_loss(P, target, reduction="sum").backward()
    assert np.array_equal(target.grad, 2 * (T - P))


def test_second_derivatives_exist():
    hessian_diagonal = RNG.normal(size=3)
    z = mg.tensor(hessian_diagonal, requires_grad=True)
    loss = mg.binary_cross_entropy_with_logits(z, np.ones(3), reduction="sum")
    (slope,) = mg.gradients(loss, [z], create_graph=True)
    (curvature,) = mg.gradients(slope.sum(), [z])
    s = 1 / (1 + np.exp(-hessian_diagonal))
    np.testing.assert_allclose(curvature.data, s * (1 - s), rtol=1e-13)


# --- quantiles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("sample_weight", [None, WEIGHT[[0, 1, 2, 3, 1, 0]]])
def test_pinball_loss_is_scikit_learns(quantile, sample_weight):
    metrics = pytest.importorskip("sklearn.metrics")
    found = mg.pinball_loss(P, T, quantile=quantile, sample_weight=sample_weight)
    expected = metrics.mean_pinball_loss(T, P, alpha=quantile, sample_weight=sample_weight)
    assert found == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("quantile", [0.25, 0.5, 0.9])
def test_the_quantile_has_the_least_pinball_loss(quantile):
    values = RNG.normal(size=99)
    tries = np.sort(values)
    losses = [mg.pinball_loss(np.full(99, x), values, quantile=quantile) for x in tries]
    assert tries[np.argmin(losses)] == np.quantile(values, quantile, method="inverted_cdf")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("wrap", [list, tuple, np.array])
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_several_quantiles_are_a_column_each(shape, wrap, reduction):
    quantiles, target = [0.1, 0.5, 0.75, 0.9], T[:, 0]
    value, gradient = with_gradient(
        mg.pinball_loss, P, target.reshape(shape), quantile=wrap(quantiles), reduction=reduction
    )
    each = [
        with_gradient(mg.pinball_loss, column, target, quantile=q, reduction=reduction)
        for column, q in zip(P.T, quantiles, strict=True)
    ]
    columns = np.stack([v for v, _ in each], axis=-1)
    expected = {"mean": columns.mean(), "sum": columns.sum(), "none": columns}[reduction]
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    share = 4 if reduction == "mean" else 1
    np.testing.assert_allclose(gradient, np.stack([g for _, g in each], 1) / share, rtol=1e-14)


def test_several_quantiles_of_several_outputs():
    prediction, target = RNG.normal(size=(6, 4, 2)), T
    loss = mg.pinball_loss(prediction, target, quantile=[0.2, 0.7], reduction="none")
    assert loss.shape == (6, 4, 2)
    one = mg.pinball_loss(prediction[..., 1], target, quantile=0.7, reduction="none")
    np.testing.assert_allclose(loss[..., 1], one, rtol=1e-15)


# --- distributions -------------------------------------------------------------------------------


def test_the_divergence_of_a_distribution_from_itself_is_0():
    assert mg.kl_div_loss(np.log(SOFT), SOFT, reduction="sum") == 0
    assert mg.kl_div_loss(np.log(SOFT), np.log(SOFT), log_target=True, reduction="sum") == 0


def test_divergence_is_cross_entropy_less_entropy():
    entropy = -np.sum(SOFT * np.log(SOFT), axis=1).mean()
    found = mg.kl_div_loss(mg.log_softmax(Z), SOFT, reduction="batchmean")
    assert found == pytest.approx(mg.cross_entropy(Z, SOFT) - entropy, rel=1e-13)


@pytest.mark.parametrize("full", [False, True])
def test_poisson_loss_of_logarithms_is_that_of_rates(full):
    found = mg.poisson_nll_loss(P, COUNTS, full=full)
    rates = mg.poisson_nll_loss(np.exp(P), COUNTS, log_input=False, full=full, eps=0)
    assert found == pytest.approx(rates, rel=1e-14)


def test_the_full_poisson_loss_is_the_logarithm_of_the_probability():
    # Stirling's formula is off by 1 / (12 n), less the more there is to count.
    counts, rate = np.array([50.0, 100.0]), 60.0
    found = mg.poisson_nll_loss(np.full(2, math.log(rate)), counts, full=True, reduction="none")
    for value, n in zip(found, counts, strict=True):
        exact = rate - n * math.log(rate) + math.lgamma(n + 1)
        assert 0 < exact - value < 1 / (12 * n)


# --- dtypes --------------------------------------------------------------------------------------

EVERY = [
    (mg.mse_loss, T),
    (mg.l1_loss, T),
    (mg.huber_loss, T),
    (mg.smooth_l1_loss, T),
    (mg.cross_entropy, LABELS),
    (mg.cross_entropy, SOFT),
    (mg.nll_loss, LABELS),
    (mg.binary_cross_entropy_with_logits, SOFT),
    (mg.hinge_loss, SIGNS),
    (mg.squared_hinge_loss, SIGNS),
    (mg.multi_margin_loss, LABELS),
    (mg.pinball_loss, T),
    (mg.epsilon_insensitive_loss, T),
    (mg.kl_div_loss, SOFT),
    (mg.poisson_nll_loss, COUNTS),
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("loss", "target"), EVERY)
def test_the_dtype_of_the_prediction_is_kept(loss, target, dtype, reduction):
    for given_target in (target, mg.tensor(target), target.tolist()):
        value, gradient = with_gradient(loss, P.astype(dtype), given_target, reduction=reduction)
        assert value.dtype == dtype
        assert gradient.dtype == dtype
        exact = loss(P, target, reduction=reduction)
        np.testing.assert_allclose(value, exact, rtol=200 * np.finfo(dtype).eps, atol=0.02)


@pytest.mark.parametrize("weighted", [mg.cross_entropy, mg.nll_loss, mg.multi_margin_loss])
def test_weights_do_not_change_the_dtype(weighted):
    assert with_gradient(weighted, Z.astype("f"), LABELS, weight=WEIGHT)[0].dtype == np.float32
    smooth = (
        {"weight": WEIGHT.tolist(), "label_smoothing": 0.1} if weighted is mg.cross_entropy else {}
    )
    assert with_gradient(weighted, Z.astype("f"), LABELS, **smooth)[0].dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, bool])
def test_labels_of_any_integers(dtype):
    labels = (LABELS > 1).astype(dtype)
    expected = mg.cross_entropy(Z, (LABELS > 1).astype(np.int64))
    assert mg.cross_entropy(Z, labels) == expected
    assert mg.nll_loss(mg.log_softmax(Z), labels) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("loss", "target"), EVERY)
def test_arrays_in_arrays_out(loss, target, reduction):
    assert not isinstance(loss(P, target, reduction=reduction), mg.Tensor)
    assert isinstance(loss(mg.tensor(P), target, reduction=reduction), mg.Tensor)
