"""Metrics equal scikit-learn's, on drawn data with ties and weights."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgrid as mg

theirs = pytest.importorskip("sklearn.metrics")
few = settings(max_examples=25)

# Both add the same few numbers, in another order and divided sooner or later.
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def quietly(function, *args, **options):
    """What scikit-learn returns; it warns of what is not defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


def agree(found, expected):
    np.testing.assert_allclose(found, expected, **CLOSE)


@st.composite
def samples(draw, classes):
    """Scores in eighths, so that there are ties; labels; and weights, or None."""
    n = draw(st.integers(2, 15))
    shape = (n, classes) if classes > 2 else n
    scores = draw(hnp.arrays(np.int64, shape, elements=st.integers(-6, 6))) / 8
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    positive = hnp.arrays(float, n, elements=st.sampled_from([0.25, 0.5, 1.0, 3.0]))
    return scores, labels, draw(st.none() | positive)


@few
@given(samples(2))
def test_binary_figures(drawn):
    scores, labels, w = drawn
    answers = (scores > 0).astype(int)
    for name in ("precision", "recall", "f1"):
        expected = getattr(theirs, f"{name}_score")(
            labels, answers, sample_weight=w, zero_division=0, labels=[0, 1]
        )
        agree(getattr(mg.metrics, name)(scores, labels, w), expected)
    agree(mg.metrics.accuracy(scores, labels, w),
          theirs.accuracy_score(labels, answers, sample_weight=w))  # fmt: skip
    agree(mg.metrics.confusion_matrix(scores, labels, w),
          theirs.confusion_matrix(labels, answers, sample_weight=w, labels=[0, 1]))  # fmt: skip


@few
@given(samples(4), st.sampled_from(["macro", "micro", "weighted", None]))
def test_figures_of_several_classes(drawn, average):
    scores, labels, w = drawn
    answers = scores.argmax(axis=1)
    options = {"average": average, "sample_weight": w, "zero_division": 0}
    if average is None:
        options["labels"] = range(4)
    for name in ("precision", "recall", "f1"):
        expected = getattr(theirs, f"{name}_score")(labels, answers, **options)
        agree(getattr(mg.metrics, name)(scores, labels, w, average=average), expected)


def as_classes(answers, labels):
    """What scikit-learn makes of class 1 if there is one other class, and else the mean."""
    classes = set(answers) | set(labels)
    return "binary" if len(classes) <= 2 and (1 in classes or classes == {0}) else "macro"


few_classes = st.lists(st.tuples(*[st.sampled_from([0, 1, 2, 5])] * 2), min_size=1, max_size=6)


@settings(max_examples=60)
@given(few_classes, st.sampled_from(["auto", "macro", "micro", "weighted", None]))
def test_predicted_classes_are_those_that_occur(pairs, average):
    answers, labels = np.array(pairs).T
    known = as_classes(answers, labels) if average == "auto" else average
    for name in ("precision", "recall", "f1"):
        score = getattr(theirs, f"{name}_score")
        expected = score(labels, answers, average=known, zero_division=0)
        agree(getattr(mg.metrics, name)(answers, labels, average=average), expected)
    agree(mg.metrics.accuracy(answers, labels), theirs.accuracy_score(labels, answers))
    agree(mg.metrics.confusion_matrix(answers, labels),
          quietly(theirs.confusion_matrix, labels, answers))  # fmt: skip


@pytest.mark.parametrize("average", ["auto", "binary", None])
def test_of_the_classes_1_and_2_class_1_is_the_positive_one(average):
    labels, answers = [1, 2, 2, 2], [1, 2, 2, 1]
    expected = theirs.f1_score(labels, answers, average=None if average is None else "binary")
    agree(mg.metrics.f1(answers, labels, average=average), expected)


@few
@given(samples(4))
def test_balanced_accuracy_and_the_confusion_matrix(drawn):
    scores, labels, w = drawn
    answers = scores.argmax(axis=1)
    agree(mg.metrics.balanced_accuracy(scores, labels, w),
          quietly(theirs.balanced_accuracy_score, labels, answers, sample_weight=w))  # fmt: skip
    agree(mg.metrics.confusion_matrix(scores, labels, w),
          theirs.confusion_matrix(labels, answers, sample_weight=w, labels=range(4)))  # fmt: skip


@few
@given(samples(2))
def test_rankings(drawn):
    scores, labels, w = drawn
    agree(mg.metrics.roc_auc(scores, labels, w),
          quietly(theirs.roc_auc_score, labels, scores, sample_weight=w))  # fmt: skip
    agree(mg.metrics.average_precision(scores, labels, w),
          quietly(theirs.average_precision_score, labels, scores, sample_weight=w))  # fmt: skip


@few
@given(samples(3), st.sampled_from(["macro", "weighted"]))
def test_rankings_of_several_classes(drawn, average):
    scores, labels, w = drawn
    q = np.array(mg.softmax(scores))
    if len(set(labels)) == 3:
        expected = theirs.roc_auc_score(
            labels, q, sample_weight=w, average=average, multi_class="ovr"
        )
        agree(mg.metrics.roc_auc(q, labels, w, average=average, from_logits=False), expected)
    one_hot = np.eye(3, dtype=int)[labels]
    agree(
        mg.metrics.average_precision(scores, labels, w, average=average, from_logits=False),
        quietly(theirs.average_precision_score, one_hot, scores, sample_weight=w, average=average),
    )


@few
@given(samples(4), st.integers(1, 3))
def test_top_k_accuracy(drawn, k):
    scores, labels, w = drawn
    # Of equal scores scikit-learn takes the last first, microgrid the first, as argmax does.
    expected = theirs.top_k_accuracy_score(
        3 - labels, scores[:, ::-1], k=k, sample_weight=w, labels=range(4)
    )
    agree(mg.metrics.top_k_accuracy(scores, labels, w, k=k), expected)


@few
@given(samples(3), st.sampled_from([np.float32, np.float64]))
def test_log_loss(drawn, dtype):
    scores, labels, w = drawn
    q = np.array(mg.softmax((40 * scores).astype(dtype)))  # some are nearly 0
    found = mg.metrics.log_loss(q, labels, w, from_logits=False)
    expected = theirs.log_loss(labels, q, sample_weight=w, labels=range(3))
    # scikit-learn takes logarithms in the dtype of the probabilities.
    np.testing.assert_allclose(found, expected, rtol=8 * np.finfo(dtype).eps)
    found = mg.metrics.log_loss(q[:, 0], labels == 0, w, from_logits=False)
    expected = theirs.log_loss(labels == 0, q[:, 0], sample_weight=w, labels=[False, True])
    np.testing.assert_allclose(found, expected, rtol=8 * np.finfo(dtype).eps)


@few
@given(samples(2), samples(3))
def test_errors(one, several):
    scores, labels, w = one
    for ours, name in (
        (mg.metrics.mse, "mean_squared_error"),
        (mg.metrics.rmse, "root_mean_squared_error"),
        (mg.metrics.mae, "mean_absolute_error"),
        (mg.metrics.r2, "r2_score"),
    ):
        agree(ours(scores, labels, w), getattr(theirs, name)(labels, scores, sample_weight=w))
    agree(mg.metrics.max_error(scores, labels), theirs.max_error(labels, scores))
    p, _, w = several
    t = p[::-1] / 2
    for ours, name in (
        (mg.metrics.mse, "mean_squared_error"),
        (mg.metrics.mae, "mean_absolute_error"),
        (mg.metrics.r2, "r2_score"),
    ):
        agree(ours(p, t, w), getattr(theirs, name)(t, p, sample_weight=w))


def test_what_is_not_defined_is_the_same_without_a_warning():
    ones, scores = np.array([1, 1]), np.array([0.2, 0.3])
    assert math.isnan(quietly(theirs.roc_auc_score, ones, scores))
    assert math.isnan(mg.metrics.roc_auc(scores, ones))
    assert quietly(theirs.average_precision_score, 1 - ones, scores) == 0
    assert mg.metrics.average_precision(scores, 1 - ones) == 0
    for name in ("precision", "recall", "f1"):
        expected = quietly(getattr(theirs, f"{name}_score"), 1 - ones, 1 - ones)
        assert getattr(mg.metrics, name)(-scores, 1 - ones) == expected == 0
    assert math.isnan(quietly(theirs.r2_score, [1.0], [2.0]))
    assert math.isnan(mg.metrics.r2([2.0], [1.0]))
