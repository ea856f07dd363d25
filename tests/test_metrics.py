"""Metrics: values by counting, shapes that fit, what is refused."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgrid as mg
from microgrid.errors import DtypeError, ShapeError
from microgrid.metrics import (
    accuracy,
    average_precision,
    balanced_accuracy,
    confusion_matrix,
    f1,
    log_loss,
    mae,
    max_error,
    mse,
    precision,
    r2,
    recall,
    rmse,
    roc_auc,
    top_k_accuracy,
)

BY_CLASS = [precision, recall, f1]
OF_CLASSES = [accuracy, balanced_accuracy, *BY_CLASS, roc_auc, average_precision, log_loss]
OF_NUMBERS = [mse, mae, rmse, max_error, r2]
few = settings(max_examples=40)
FIVE = (-2, -1, 0, 1, 2)  # so few that there are ties


def name(metric):
    return metric.__name__


def refuses(kind, message):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


@st.composite
def scored(draw, classes=3, most=12):
    """Scores with ties, float32[n, classes], and labels."""
    n = draw(st.integers(1, most))
    scores = draw(hnp.arrays(np.float32, (n, classes), elements=st.sampled_from(FIVE)))
    return scores, draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))


@st.composite
def one_score(draw):
    n = draw(st.integers(1, 12))
    scores = draw(hnp.arrays(float, n, elements=st.sampled_from(FIVE)))
    return scores, draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))


# --- accuracy ------------------------------------------------------------------------------------


@few
@given(scored())
def test_accuracy_counts_rows_whose_first_largest_score_is_the_labels(drawn):
    scores, labels = drawn
    rows = zip(scores.tolist(), labels.tolist(), strict=True)
    expected = sum(row.index(max(row)) == label for row, label in rows) / len(labels)
    assert accuracy(scores, labels) == expected
    assert accuracy(scores, labels[:, None]) == expected
    assert accuracy(scores, np.eye(3)[labels]) == expected
    assert accuracy(scores, labels.astype(float)) == expected
    assert accuracy(scores.argmax(axis=1), labels) == expected
    assert top_k_accuracy(scores, labels, k=1) == expected


@few
@given(one_score())
def test_accuracy_of_one_score_goes_by_its_sign(drawn):
    scores, labels = drawn
    expected = np.mean([(s > 0) == (y == 1) for s, y in zip(scores, labels, strict=True)])
    for p in (scores, scores[:, None], scores > 0):
        for t in (labels, labels[:, None], 2 * labels - 1, labels.astype(bool), labels * 1.0):
            assert accuracy(p, t) == expected


def test_a_threshold_decides_in_place_of_the_sign():
    probabilities, target = np.array([0.6, 0.5, 0.4]), np.array([1, 1, 0])
    assert accuracy(probabilities, target) == 2 / 3
    assert accuracy(probabilities, target, threshold=0.5) == 2 / 3  # 0.5 is not above 0.5
    assert accuracy(probabilities, target, threshold=0.45) == 1


def test_a_score_that_is_nan_is_no_right_answer():
    rows = np.array([[np.nan, np.nan], [1.0, np.nan], [np.nan, 1.0], [2.0, 1.0]])
    assert accuracy(rows, np.array([0, 1, 0, 0])) == 0.25
    assert accuracy(np.array([np.nan, -1.0]), np.array([0, 0])) == 0.5
    assert accuracy(rows[:, :1], np.array([0, 1, 0, 1])) == 0.5
    three = np.column_stack([rows, [-5.0] * 4])
    assert top_k_accuracy(three, np.array([0, 0, 1, 1]), k=2) == 0.25


@few
@given(scored(classes=4), st.integers(1, 3))
def test_the_top_k_are_the_first_k_of_a_stable_sort(drawn, k):
    scores, labels = drawn
    hits = [
        label in sorted(range(4), key=lambda j, row=row: -row[j])[:k]
        for row, label in zip(scores.tolist(), labels, strict=True)
    ]
    assert top_k_accuracy(scores, labels, k=k) == np.mean(hits)


# --- by class ------------------------------------------------------------------------------------


def counted(answers, labels, k):
    right = sum(a == y == k for a, y in zip(answers, labels, strict=True))
    return right, sum(answers == k), sum(labels == k)


@few
@given(scored())
def test_figures_by_class_come_from_counts(drawn):
    scores, labels = drawn
    answers = scores.argmax(axis=1)
    counts = [counted(answers, labels, k) for k in range(3)]
    p = [right / named if named else 0 for right, named, _ in counts]
    r = [right / given if given else 0 for right, _, given in counts]
    f = [2 * right / (named + given) if named + given else 0 for right, named, given in counts]
    present = [bool(named or given) for _, named, given in counts]
    for metric, each in ((precision, p), (recall, r), (f1, f)):
        assert metric(scores, labels, average=None).tolist() == each
        # Sums of three numbers, in another order maybe.
        assert math.isclose(metric(scores, labels), np.mean(np.array(each)[present]), abs_tol=1e-15)
        assert metric(scores, labels, average="micro") == accuracy(scores, labels)
    assert math.isclose(balanced_accuracy(scores, labels), np.mean(np.array(r)[np.unique(labels)]),
                        abs_tol=1e-15)  # fmt: skip


@few
@given(scored())
def test_the_confusion_matrix_counts_pairs(drawn):
    scores, labels = drawn
    expected = np.zeros((3, 3), np.int64)
    for label, answer in zip(labels, scores.argmax(axis=1), strict=True):
        expected[label, answer] += 1
    found = confusion_matrix(scores, labels)
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)


def test_two_columns_are_two_classes_of_which_the_second_is_measured():
    scores, labels = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), [1, 1, 0, 0]
    one = scores[:, 1] - scores[:, 0]
    for metric in (*BY_CLASS, balanced_accuracy, roc_auc, average_precision):
        assert metric(scores, labels) == metric(one, labels)
    assert np.array_equal(confusion_matrix(scores, labels), [[1, 1], [1, 1]])


def test_a_nan_is_an_answer_of_no_class():
    scores, labels = np.array([np.nan, 1.0, 1.0, -1.0]), np.array([1, 1, 0, 0])
    assert precision(scores, labels) == 1 / 2
    assert recall(scores, labels) == 1 / 2
    assert balanced_accuracy(scores, labels) == 1 / 2
    assert np.array_equal(confusion_matrix(scores, labels), [[1, 1], [0, 1]])


def test_without_positives_ratios_are_0():
    negatives = np.array([-1.0, -2.0])
    for metric in BY_CLASS:
        assert metric(negatives, np.array([0, 0])) == 0
        assert metric(negatives, np.array([1, 1])) == 0
        assert metric(-negatives, np.array([0, 0])) == 0


def test_integers_beyond_two_classes_are_classes():
    answers, labels = np.array([0, 3, 3, 1]), np.array([0, 3, 1, 1])
    assert accuracy(answers, labels) == 3 / 4
    assert f1(answers, labels, average=None).tolist() == [1, 2 / 3, 2 / 3]
    assert confusion_matrix(answers, labels).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_minus_one_and_zero_are_the_same_class_beside_1():
    assert accuracy(np.array([-1, 1, -1]), np.array([0, 1, 1])) == 2 / 3
    for metric in (accuracy, *BY_CLASS):
        expected = metric(np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1]))
        assert metric(np.array([-1, 1, 1, -1]), np.array([-1, -1, 1, 1])) == expected
        assert metric(np.array([False, True, True, False]), np.array([-1, -1, 1, 1])) == expected


def test_classes_may_be_any_whole_numbers_from_0():
    far = np.iinfo(np.int64).max - 1
    answers, labels = np.array([7, far, far]), np.array([7, 7, far])
    assert confusion_matrix(answers, labels).tolist() == [[1, 1], [0, 1]]
    assert f1(answers, labels) == 2 / 3  # of both classes, so also their mean


# --- ranking -------------------------------------------------------------------------------------


@few
@given(one_score())
def test_the_area_is_the_share_of_pairs_in_the_right_order(drawn):
    scores, labels = drawn
    pairs = [(p > q) + (p == q) / 2 for p in scores[labels == 1] for q in scores[labels == 0]]
    found = roc_auc(scores, labels)
    if not pairs:
        assert math.isnan(found)
    else:
        assert found == sum(pairs) / len(pairs)
        assert roc_auc(np.exp(scores), 2 * labels - 1) == found


@few
@given(one_score())
def test_average_precision_by_its_definition(drawn):
    scores, labels = drawn
    positives, expected, recalled = sum(labels), Fraction(0), Fraction(0)
    for threshold in sorted(set(scores.tolist()), reverse=True):
        right = int(sum(labels[scores >= threshold]))
        share = Fraction(right, int(positives)) if positives else Fraction(0)
        expected += (share - recalled) * Fraction(right, int(sum(scores >= threshold)))
        recalled = share
    # The sum of at most five products, each of which is rounded.
    assert math.isclose(average_precision(scores, labels), expected, rel_tol=1e-14)


def test_several_classes_are_ranked_one_against_the_rest():
    scores, labels = np.array([[2.0, 1.0, 0.0], [0.0, 2.0, 2.0], [1.0, 1.0, 1.0]]), [0, 1, 2]
    q = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    each = [roc_auc(q[:, k], np.array(labels) == k) for k in range(3)]
    assert roc_auc(scores, labels, average=None).tolist() == each
    assert roc_auc(scores, labels) == np.mean(each)
    assert roc_auc(q, labels, from_logits=False) == np.mean(each)
    weights = np.array([1, 1, 3])
    assert roc_auc(scores, labels, weights, average="weighted") == pytest.approx(
        np.average(roc_auc(scores, labels, weights, average=None), weights=weights), rel=1e-15
    )


def test_probabilities_that_would_round_to_1_keep_their_order():
    scores = np.array([[50.0, 0.0, 0.0], [60.0, 0.0, 0.0], [70.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    labels = np.array([1, 0, 0, 2])
    assert roc_auc(scores, labels, average=None)[0] == 1  # 3 / 4, were all three 1.0


def test_a_class_without_samples_has_no_area():
    scores, labels = np.eye(3), np.array([0, 1, 1])
    assert np.isnan(roc_auc(scores, labels, average=None)).tolist() == [False, False, True]
    assert math.isnan(roc_auc(scores, labels))
    assert average_precision(scores, labels, average=None)[2] == 0


def test_a_ranking_with_nan_is_nan():
    scores, labels = np.array([1.0, np.nan, 0.0]), np.array([1, 1, 0])
    assert math.isnan(roc_auc(scores, labels))
    assert math.isnan(average_precision(scores, labels))


def test_infinite_scores_have_their_place():
    assert roc_auc(np.array([np.inf, np.inf, -np.inf, 0.0]), np.array([1, 0, 0, 0])) == 5 / 6


# --- log loss ------------------------------------------------------------------------------------


@few
@given(scored())
def test_log_loss_is_the_cross_entropy_of_the_logits(drawn):
    scores, labels = drawn
    expected = mg.cross_entropy(scores.astype(float), labels)
    # Both are rounded a few times.
    assert math.isclose(log_loss(scores, labels), expected, rel_tol=1e-13)
    assert math.isclose(log_loss(scores, np.eye(3)[labels]), expected, rel_tol=1e-13)


@few
@given(one_score())
def test_log_loss_of_one_logit_is_the_binary_cross_entropy(drawn):
    scores, labels = drawn
    expected = mg.binary_cross_entropy_with_logits(scores, labels.astype(float))
    assert math.isclose(log_loss(scores, labels), expected, rel_tol=1e-13)
    assert math.isclose(log_loss(scores[:, None], 2 * labels - 1), expected, rel_tol=1e-13)


def test_log_loss_of_large_logits_is_exact():
    assert log_loss(np.array([1000.0, -1000.0]), np.array([0, 1])) == 1000
    assert log_loss(np.array([[1000.0, -1000.0, 0.0]]), np.array([1])) == 2000
    assert log_loss(np.array([[1000.0, -np.inf, 0.0]]), np.array([[1.0, 0.0, 0.0]])) == 0


def test_log_loss_of_probabilities_that_are_0_is_finite():
    eps = np.finfo(np.float32).eps
    found = log_loss(np.array([[1, 0]], np.float32), np.array([1]), from_logits=False)
    assert found == -math.log(eps)


# --- numbers -------------------------------------------------------------------------------------


def test_errors_by_formula():
    p, t = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1, 0], [0, 0]])
    assert mse(p, t) == (0 + 4 + 9 + 25) / 4
    assert mae(p, t) == (0 + 2 + 3 + 5) / 4
    assert rmse(p, t) == math.sqrt(38 / 4)
    assert max_error(p, t) == 5


def test_errors_of_integers_do_not_wrap():
    for metric, expected in ((mse, 40000), (mae, 200), (rmse, 200), (max_error, 200)):
        assert metric(np.array([0], np.uint8), np.array([200], np.uint8)) == expected


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=9))
def test_r2_by_its_definition_in_fractions(pairs):
    p, t = (np.array(column) for column in zip(*pairs, strict=True))
    about = sum((Fraction(int(y)) - Fraction(int(t.sum()), len(t))) ** 2 for y in t)
    missed = sum(Fraction(int(a - y)) ** 2 for a, y in pairs)
    expected = 1 - missed / about if about else Fraction(missed == 0)
    # The ratio of sums of squares is as exact as they are; 1 - it may be small.
    assert math.isclose(r2(p / 7, t / 7), expected, rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.parametrize("constant", [0.1, 1e9 + 0.1, -1 / 3])
def test_constant_targets_have_nothing_to_explain(constant):
    t = np.full(30, constant)  # whose mean is rounded
    assert r2(t, t) == 1
    assert r2(t + 1, t) == 0


def test_r2_of_several_outputs_is_the_mean_of_each():
    p, t = np.array([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0]]), np.array([[1.0, 1], [3, 1], [5, 1]])
    assert r2(p, t) == (0.75 + 1) / 2


def test_r2_survives_a_mean_far_from_0():
    t = 1e8 + np.array([0.0, 1.0, 2.0, 3.0])
    assert r2(t + 0.5, t) == 1 - 1 / 5


def test_r2_of_one_sample_is_nan():
    assert math.isnan(r2(np.array([1.0]), np.array([1.0])))


@pytest.mark.parametrize("metric", OF_NUMBERS, ids=name)
def test_a_nan_is_never_laundered(metric):
    for p, t in (([np.nan, 1.0], [0.0, 1.0]), ([1.0, 1.0], [np.nan, 1.0]), ([np.nan, 1], [1, 1])):
        assert math.isnan(metric(p, t))


@pytest.mark.parametrize("metric", OF_NUMBERS, ids=name)
def test_errors_are_never_broadcast(metric):
    message = (
        f"{metric.__name__}: a prediction of shape (5, 1) and a target of shape (5,) were given; "
        "the shapes must be equal. Reshape one of them."
    )
    with refuses(ShapeError, message):
        metric(np.ones((5, 1)), np.ones(5))


# --- weights, and nothing at all -----------------------------------------------------------------


@pytest.mark.parametrize("metric", [*OF_CLASSES, confusion_matrix, *OF_NUMBERS], ids=name)
@given(drawn=one_score(), data=st.data())
@settings(max_examples=20)
def test_a_weight_is_a_number_of_copies(metric, drawn, data):
    scores, labels = drawn
    weights = data.draw(hnp.arrays(np.int64, len(labels), elements=st.integers(0, 3)))
    found = metric(scores, labels, weights)
    expected = metric(np.repeat(scores, weights), np.repeat(labels, weights))
    if metric is r2 and np.count_nonzero(weights) == 1:
        return  # one sample has no variance, several equal ones have the variance 0
    # Sums in another order.
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("metric", [*OF_CLASSES, *OF_NUMBERS], ids=name)
def test_of_no_samples_every_figure_is_nan(metric):
    nothing = np.zeros(0)
    assert math.isnan(metric(nothing, nothing))
    assert math.isnan(metric(np.ones(2), np.ones(2), sample_weight=np.zeros(2)))


def test_of_no_samples_the_confusion_matrix_has_zeros():
    assert np.array_equal(confusion_matrix(np.zeros((0, 3)), np.zeros(0)), np.zeros((3, 3)))


def test_samples_of_weight_0_may_be_anything():
    assert mse([np.nan, 1.0], [0.0, 2.0], [0, 1]) == 1
    assert r2([np.nan, 1.0, 2.0], [np.inf, 1.0, 2.0], [0, 1, 1]) == 1
    assert accuracy([[1.0, 0.0], [1.0, 0.0]], [7, 0], [0, 1]) == 1


# --- what goes in --------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", OF_CLASSES, ids=name)
def test_lists_and_tensors_go_in(metric):
    scores, labels = [0.5, -1.0, 2.0, -1.0], [1, 0, 0, 1]
    expected = metric(np.array(scores), np.array(labels))
    assert metric(scores, labels) == expected
    assert metric(mg.tensor(scores, requires_grad=True), mg.tensor(labels)) == expected


def test_exact_and_big_endian_numbers_go_in():
    p, t = np.array([Fraction(1, 2), Fraction(3, 2)]), np.array([0, 1])
    assert mae(p, t) == 0.5
    assert mse(np.array([1.5], ">f4"), np.array([1], ">i2")) == 0.25


BAD = [
    (
        lambda: accuracy(np.zeros((4, 3)), np.zeros(5)),
        ShapeError,
        "accuracy: a prediction of shape (4, 3) and a target of shape (5,) were given; the first "
        "dimension counts the samples and must be the same.",
    ),
    (
        lambda: f1(np.zeros((4, 3)), np.zeros((4, 2))),
        ShapeError,
        "f1: a prediction of shape (4, 3) and a target of shape (4, 2) were given; it needs "
        "(n, classes) and (n,) or the same shape, or one score and one target per sample.",
    ),
    (
        lambda: roc_auc(np.zeros((4, 3, 2)), np.zeros(4)),
        ShapeError,
        "roc_auc: a prediction of shape (4, 3, 2) and a target of shape (4,) were given; it needs "
        "(n, classes) and (n,) or the same shape, or one score and one target per sample.",
    ),
    (
        lambda: mse(1.0, 2.0),
        ShapeError,
        "mse: a prediction of shape () and a target of shape () were given; the first dimension "
        "counts the samples and must be the same.",
    ),
    (
        lambda: accuracy(np.zeros((2, 3)), [0, 3]),
        ValueError,
        "accuracy: the target has the label 3; with 3 scores a sample it needs whole numbers from "
        "0 to 2.",
    ),
    (
        lambda: precision(np.zeros((2, 3)), [0.5, np.nan]),
        ValueError,
        "precision: the target has the label 0.5; with 3 scores a sample it needs whole numbers "
        "from 0 to 2.",
    ),
    (
        lambda: roc_auc([0.5, 0.1], [1, 4]),
        ValueError,
        "roc_auc: the target has the value 4, and one score a sample was given, which decides "
        "between two classes; it needs 0 and 1, or -1 and 1. For more classes give a score for "
        "each.",
    ),
    (
        lambda: accuracy([1, -2], [1, 0]),
        ValueError,
        "accuracy: the prediction has the value -2, and integers were predicted, which name "
        "classes; it needs whole numbers from 0, or -1 and 1.",
    ),
    (
        lambda: accuracy(np.array([1, 0], np.uint64), np.array([2**64 - 1, 0], np.uint64)),
        ValueError,
        "accuracy: the target has the value 18446744073709551615, and integers were predicted, "
        "which name classes; it needs whole numbers from 0, or -1 and 1.",
    ),
    (
        lambda: accuracy([0, 1, 1], [-1, 0, 1]),
        ValueError,
        "accuracy: the target has -1 and 0, and integers were predicted, which name classes; it "
        "needs whole numbers from 0, or -1 and 1. Number the classes from 0.",
    ),
    (
        lambda: f1([3, -1, 1], [0, 1, 1]),
        ValueError,
        "f1: the prediction has -1 and 3, and integers were predicted, which name classes; it "
        "needs whole numbers from 0, or -1 and 1. Number the classes from 0.",
    ),
    (
        lambda: f1([1, -1, 1], [0, 1, 2]),
        ValueError,
        "f1: of prediction and target one has -1 and the other 2, and integers name classes; they "
        "need whole numbers from 0, or -1 and 1. Number the classes from 0.",
    ),
    (
        lambda: accuracy([0.5, 0.1, 0.2], [-1, 0, 1]),
        ValueError,
        "accuracy: the target has the values -1 and 0, and one score a sample was given, which "
        "decides between two classes; it needs 0 and 1, or -1 and 1. For more classes give a score "
        "for each.",
    ),
    (
        lambda: f1([0, 3], [3, 3], average="binary"),
        ValueError,
        "f1: average='binary' was given for the classes 0 and 3; it is the figure of class 1. Use "
        '"macro", "micro", "weighted" or None.',
    ),
    (
        lambda: recall(np.zeros((2, 3)), [0, 1], threshold=0.5),
        ValueError,
        "recall: threshold=0.5 was given, but the largest score of each row decides. Leave "
        "threshold out.",
    ),
    (
        lambda: f1([0, 1], [0, 1], threshold=0.5),
        ValueError,
        "f1: threshold=0.5 was given, but a prediction of integers names the classes. Leave "
        "threshold out.",
    ),
    (
        lambda: f1([0.0], [0], threshold=float("nan")),
        ValueError,
        "f1: threshold=nan was given; it must be finite.",
    ),
    (
        lambda: f1([0.0], [0], threshold="half"),
        TypeError,
        "f1: threshold='half' was given; it must be a number.",
    ),
    (
        lambda: f1(np.zeros((2, 3)), [0, 1], average="binary"),
        ValueError,
        'f1: average=\'binary\' was given for 3 classes; it needs 2. Use "macro", "micro", '
        '"weighted" or None.',
    ),
    (
        lambda: recall([0.0], [0], average="mean"),
        ValueError,
        "recall: average='mean' was given; it must be one of 'auto', 'binary', 'macro', 'micro', "
        "'weighted', None.",
    ),
    (
        lambda: log_loss([2.0], [1], from_logits=False),
        ValueError,
        "log_loss: from_logits=False and the probability 2.0 were given; it needs numbers from 0 "
        "to 1. Leave from_logits out for logits.",
    ),
    (
        lambda: top_k_accuracy(np.zeros((2, 5)), [0, 1], k=5),
        ShapeError,
        "top_k_accuracy: k=5 and a prediction of shape (2, 5) were given; every answer would be "
        "right. It needs (n, classes) with more classes than k.",
    ),
    (
        lambda: top_k_accuracy(np.zeros((2, 5)), [0, 1], k=0),
        ValueError,
        "top_k_accuracy: k=0 was given; it must be at least 1.",
    ),
    (
        lambda: top_k_accuracy(np.zeros((2, 5)), [0, 1], k=1.5),
        TypeError,
        "top_k_accuracy: k=1.5 was given; it must be an integer.",
    ),
    (
        lambda: mse([1.0, 2.0], [1.0, 2.0], [1.0]),
        ShapeError,
        "mse: sample_weight of shape (1,) was given for 2 samples; it needs one number a sample.",
    ),
    (
        lambda: mse([1.0, 2.0], [1.0, 2.0], [1.0, -1.0]),
        ValueError,
        "mse: sample_weight has a number that is negative, infinite or nan; weights are 0 or more.",
    ),
    (
        lambda: accuracy(["a"], [1]),
        DtypeError,
        "accuracy: data of dtype <U1 was given; it needs real numbers (float, integer, bool, or "
        "Fraction objects). Convert it first.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD, ids=range(len(BAD)))
def test_what_makes_no_sense_is_refused(call, kind, message):
    with refuses(kind, message):
        call()
