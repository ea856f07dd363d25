"""Losses: their values and gradients by formula and by PyTorch, and their dtypes."""

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
REDUCTIONS = ["mean", "sum", "none"]


def with_gradient(loss, prediction, *arguments, **options):
    """Return the value, and the gradient of its sum, at a prediction."""
    p = mg.tensor(prediction, requires_grad=True)
    value = loss(p, *arguments, **options)
    value.sum().backward()
    return value.numpy(), p.grad


def by_pytorch(name, prediction, target, **options):
    torch = pytest.importorskip("torch")
    p = torch.tensor(prediction, requires_grad=True)
    options = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    value = getattr(torch.nn.functional, name)(p, torch.tensor(target), **options)
    value.sum().backward()
    return value.detach().numpy(), p.grad.numpy()


def agree(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        # float64: both round each of a few operations.
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


# --- PyTorch agrees ------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mse_loss", {}),
        ("l1_loss", {}),
        ("huber_loss", {}),
        ("huber_loss", {"delta": 0.3}),
        ("smooth_l1_loss", {}),
        ("smooth_l1_loss", {"beta": 0.3}),
        ("smooth_l1_loss", {"beta": 0.0}),
    ],
)
def test_regression_losses_equal_pytorchs(name, options, reduction):
    loss = getattr(mg, name)
    found = with_gradient(loss, P, T, reduction=reduction, **options)
    agree(found, by_pytorch(name, P, T, reduction=reduction, **options))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("labels", [LABELS, SOFT])
def test_cross_entropy_equals_pytorchs(labels, weight, smoothing, reduction):
    options = {"reduction": reduction, "weight": weight, "label_smoothing": smoothing}
    found = with_gradient(mg.cross_entropy, Z, labels, **options)
    agree(found, by_pytorch("cross_entropy", Z, labels, **options))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_nll_loss_equals_pytorchs(weight, reduction):
    options = {"reduction": reduction, "weight": weight}
    found = with_gradient(mg.nll_loss, Z, LABELS, **options)
    agree(found, by_pytorch("nll_loss", Z, LABELS, **options))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("pos_weight", [None, WEIGHT])
@pytest.mark.parametrize("target", [SOFT, (SOFT > 0.3).astype(float)])
def test_binary_cross_entropy_equals_pytorchs(target, weight, pos_weight, reduction):
    name = "binary_cross_entropy_with_logits"
    options = {"reduction": reduction, "weight": weight, "pos_weight": pos_weight}
    found = with_gradient(getattr(mg, name), Z, target, **options)
    agree(found, by_pytorch(name, Z, target, **options))


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


@pytest.mark.parametrize("weighted", [mg.cross_entropy, mg.nll_loss])
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
