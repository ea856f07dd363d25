"""Metrics: values by counting, shapes that fit, names."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from microgrid.errors import ShapeError
from microgrid.train.metrics import accuracy, mae, mse, named_metrics


@given(
    scores=hnp.arrays(np.float32, (7, 3), elements=st.floats(-5, 5, width=16), unique=True),
    labels=hnp.arrays(np.int64, 7, elements=st.integers(0, 2)),
)
def test_accuracy_counts_rows_whose_largest_score_is_the_labels(scores, labels):
    rows = zip(scores.tolist(), labels.tolist(), strict=True)
    expected = sum(row.index(max(row)) == label for row, label in rows) / 7
    assert accuracy(scores, labels) == expected
    assert accuracy(scores, labels[:, None]) == expected
    assert accuracy(scores, np.eye(3)[labels]) == expected
    assert accuracy(scores, labels.astype(float)) == expected


@given(
    scores=hnp.arrays(float, 9, elements=st.floats(-5, 5)),
    labels=hnp.arrays(np.int64, 9, elements=st.integers(0, 1)),
)
def test_accuracy_of_one_score_goes_by_its_sign(scores, labels):
    expected = sum((s > 0) == (y == 1) for s, y in zip(scores, labels, strict=True)) / 9
    for p in (scores, scores[:, None]):
        for t in (labels, labels[:, None], 2 * labels - 1, labels.astype(bool)):
            assert accuracy(p, t) == expected


@pytest.mark.parametrize(
    ("prediction", "target"), [((4, 3), (5,)), ((4, 3), (4, 2)), ((4,), (4, 2)), ((4, 1), (3,)),
                               ((4, 3, 2), (4,))],
)  # fmt: skip
def test_accuracy_refuses_shapes_that_do_not_fit(prediction, target):
    with pytest.raises(ShapeError, match=r"^accuracy: a prediction of shape"):
        accuracy(np.zeros(prediction), np.zeros(target, int))


def test_errors_by_formula():
    p, t = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1, 0], [0, 0]])
    assert mse(p, t) == (0 + 4 + 9 + 25) / 4
    assert mae(p, t) == (0 + 2 + 3 + 5) / 4


def test_errors_of_integers_do_not_wrap():
    assert mse(np.array([0], np.uint8), np.array([200], np.uint8)) == 40000
    assert mae(np.array([0], np.uint8), np.array([200], np.uint8)) == 200


@pytest.mark.parametrize("metric", [mse, mae])
def test_errors_are_never_broadcast(metric):
    message = (
        f"{metric.__name__}: a prediction of shape (5, 1) and a target of shape (5,) were given; "
        "the shapes must be equal. Reshape one of them."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        metric(np.ones((5, 1)), np.ones(5))


def test_metrics_by_name_and_as_functions():
    def largest(p, t):
        return p.max()

    assert named_metrics("fit", "accuracy") == {"accuracy": accuracy}
    assert named_metrics("fit", largest) == {"largest": largest}
    assert named_metrics("fit", ["mse", largest]) == {"mse": mse, "largest": largest}
    assert named_metrics("fit", ()) == {}


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (
            ["accurracy"],
            ValueError,
            "fit: the metric 'accurracy' is not known; the names are accura",
        ),
        (["mse", mse], ValueError, "fit: the name 'mse' stands for two results. Rename a metric."),
        ([3], TypeError, "fit: a metric of type int was given; it needs a name or a function"),
    ],
)
def test_metrics_that_make_no_sense(metrics, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        named_metrics("fit", metrics)


def test_a_score_that_is_nan_is_no_right_answer():
    rows = np.array([[np.nan, np.nan], [1.0, np.nan], [np.nan, 1.0], [2.0, 1.0]])
    assert accuracy(rows, np.array([0, 1, 0, 0])) == 0.25
    assert accuracy(np.array([np.nan, -1.0]), np.array([0, 0])) == 0.5
    assert accuracy(rows[:, :1], np.array([0, 1, 0, 1])) == 0.5
