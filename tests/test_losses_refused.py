"""What losses refuse, and what they say."""

import math
import re

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError, ShapeError
from microgrid.train.names import LOSSES

P, T = np.zeros((6, 4)), np.ones((6, 4))
Z, LABELS = P, np.array([0, 3, 1, 1, 2, 0])


@pytest.mark.parametrize(
    "name",
    [
        "mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits",
        "hinge_loss", "squared_hinge_loss", "pinball_loss", "epsilon_insensitive_loss",
        "kl_div_loss", "poisson_nll_loss",
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


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss, mg.multi_margin_loss])
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


@pytest.mark.parametrize("reduction", ["avg", None])
@pytest.mark.parametrize("name", LOSSES)
def test_an_unknown_reduction(name, reduction):
    loss = LOSSES[name]
    target = LABELS if loss in (mg.cross_entropy, mg.nll_loss, mg.multi_margin_loss) else T
    more = ', "batchmean"' if loss is mg.kl_div_loss else ""
    message = (
        f'{loss.__name__}: reduction={reduction!r} was given; it must be "mean"{more}, "sum" or '
        '"none".'
    )
    for weight in (None, np.ones(6)):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            loss(P, target, reduction=reduction, sample_weight=weight)


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (mg.huber_loss, {"delta": 0}),
        (mg.huber_loss, {"delta": math.nan}),
        (mg.smooth_l1_loss, {"beta": -1}),
        (mg.smooth_l1_loss, {"beta": "1"}),
        (mg.epsilon_insensitive_loss, {"epsilon": -0.1}),
        (mg.epsilon_insensitive_loss, {"epsilon": math.inf}),
        (mg.epsilon_insensitive_loss, {"epsilon": None}),
        (mg.poisson_nll_loss, {"eps": -1e-8}),
        (mg.poisson_nll_loss, {"eps": math.nan}),
        (mg.multi_margin_loss, {"margin": math.nan}),
        (mg.multi_margin_loss, {"margin": "1"}),
    ],
)
def test_options_that_make_no_sense(loss, options):
    ((name, value),) = options.items()
    start = re.escape(f"{loss.__name__}: {name}={value!r} was given; it must be a ")
    with pytest.raises(ValueError, match=f"^{start}(finite )?number( above 0| from 0 up)?\\.$"):
        loss(P, T, **options)


@pytest.mark.parametrize("p", [0, 3, 1.5, "1", None, np.ones(2)])
def test_a_power_that_multi_margin_has_not(p):
    message = f"multi_margin_loss: p={p!r} was given; it must be 1 or 2."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        mg.multi_margin_loss(Z, LABELS, p=p)


@pytest.mark.parametrize("quantile", [0, 1, -0.1, math.nan, "0.5", None, [], [0.5, 1.0], [[0.5]]])
def test_quantiles_that_are_none(quantile):
    message = (
        f"pinball_loss: quantile={quantile!r} was given; it must be a number above 0 and below 1, "
        "or several of them in a list."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        mg.pinball_loss(P, T, quantile=quantile)


@pytest.mark.parametrize("shape", [(6, 2), (6,), ()])
def test_predictions_without_a_column_for_each_quantile(shape):
    message = (
        f"pinball_loss: a prediction of shape {shape} was given for 3 quantiles; it needs one "
        "column for each, (..., 3)."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        mg.pinball_loss(np.zeros(shape), np.zeros(6), quantile=[0.1, 0.5, 0.9])


@pytest.mark.parametrize("shape", [(6, 3), (5,), (5, 1), (1, 6)])
def test_targets_that_do_not_fit_several_quantiles(shape):
    message = (
        "pinball_loss: a prediction of shape (6, 3) for 3 quantiles and a target of shape "
        f"{shape} were given; the target needs the shape (6,) or (6, 1). Reshape it."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        mg.pinball_loss(np.zeros((6, 3)), np.zeros(shape), quantile=[0.1, 0.5, 0.9])


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_counts_that_are_none(value):
    message = (
        f"poisson_nll_loss: targets from {min(value, 2.0)} to {max(value, 2.0)} were given; counts "
        "are finite and not negative."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        mg.poisson_nll_loss(np.zeros(2), [value, 2.0])


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_divergence_from_what_is_no_probability(value):
    with pytest.raises(ValueError, match=r"^kl_div_loss: targets from .*, from 0 to 1\."):
        mg.kl_div_loss(np.zeros(2), [0.5, value])


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan, "a", None])
@pytest.mark.parametrize("labels", [LABELS, np.eye(4)[LABELS]])
def test_smoothing_beyond_0_and_1(smoothing, labels):
    with pytest.raises(ValueError, match=r"it must lie between 0 and 1\.$"):
        mg.cross_entropy(Z, labels, label_smoothing=smoothing)


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss, mg.multi_margin_loss])
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


def test_lists_of_unequal_lengths():
    message = (
        "mse_loss: lists of unequal lengths were given (inhomogeneous); they must fit one array. "
        "Fill the short ones up, or pass them one by one."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        mg.mse_loss([[1], [2, 3]], np.zeros(2))


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
