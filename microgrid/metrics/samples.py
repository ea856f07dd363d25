"""What a metric is given, checked: predictions, targets and weights of the same samples."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..data.tables import as_numbers
from ..errors import ShapeError

UNDECIDED = -1  # the answer to a sample with a score that is nan


class Samples(NamedTuple):
    """Samples that count: those of weight 0 are left out."""

    prediction: Array
    target: Array
    weight: Array | None  # float64[n], above 0

    @property
    def total(self) -> float:
        """How much they weigh together; without weights, how many there are."""
        return float(len(self.target) if self.weight is None else self.weight.sum())


class Decisions(NamedTuple):
    """For each sample the class that the prediction names and the class of the target."""

    answers: Array  # int[n]; UNDECIDED for a score that is nan
    labels: Array  # int[n]
    classes: Array  # int[classes], sorted: those that scores are for, else those that occur


def as_samples(who: str, prediction: Any, target: Any, sample_weight: Any) -> Samples:
    """Return what was given as arrays of the same length.

    Raises:
        DtypeError: one is not numeric.
        ShapeError: the lengths differ, or one is a single number.
        ValueError: a weight is negative, infinite or nan.
    """
    p, t = _as_plain(who, prediction), _as_plain(who, target)
    if not p.ndim or not t.ndim or len(p) != len(t):
        raise ShapeError(
            f"{who}: a prediction of shape {p.shape} and a target of shape {t.shape} were given; "
            "the first dimension counts the samples and must be the same."
        )
    if sample_weight is None:
        return Samples(p, t, None)
    w = _as_plain(who, sample_weight).astype(np.float64)
    if w.shape != p.shape[:1]:
        raise ShapeError(
            f"{who}: sample_weight of shape {w.shape} was given for {len(p)} samples; it needs one "
            "number a sample."
        )
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError(
            f"{who}: sample_weight has a number that is negative, infinite or nan; weights are 0 "
            "or more."
        )
    counts = w > 0
    return Samples(p, t, w) if counts.all() else Samples(p[counts], t[counts], w[counts])


def _as_plain(who: str, x: Any) -> Array:
    array = as_numbers(who, x)
    return array.astype(np.float64) if array.dtype.kind == "O" else array


def check_shapes(who: str, samples: Samples) -> None:
    """Raise unless there is a score per class and sample, or one a sample, with a target each.

    Raises:
        ShapeError: the shapes do not fit.
    """
    p, t = samples.prediction, samples.target
    rows = p.shape[:1]
    single = (rows, (*rows, 1))
    if t.shape in single and (p.shape in single or has_columns(p)):
        return
    if has_columns(p) and t.shape == p.shape:
        return
    raise ShapeError(
        f"{who}: a prediction of shape {p.shape} and a target of shape {t.shape} were given; it "
        "needs (n, classes) and (n,) or the same shape, or one score and one target per sample."
    )


def has_columns(prediction: Array) -> bool:
    """Return whether a prediction has a score for each class."""
    return prediction.ndim == 2 and prediction.shape[1] > 1


def decide(who: str, samples: Samples, threshold: float) -> Decisions:
    """Return the classes that the predictions name, and those of the targets.

    Raises:
        ShapeError: the shapes do not fit.
        ValueError: a target is no class, or the threshold would decide nothing.
    """
    check_shapes(who, samples)
    p, t = samples.prediction, samples.target
    rows = p.shape[:1]
    if has_columns(p):
        _check_unused(who, threshold, "the largest score of each row decides")
        answers = p.argmax(axis=1)  # of a row with nan, the place of the first
        best = p[np.arange(len(p)), answers]
        return Decisions(np.where(is_number(best), answers, UNDECIDED), labels(who, samples),
                         np.arange(p.shape[1]))  # fmt: skip
    scores, given = p.reshape(rows), t.reshape(rows)
    if scores.dtype.kind in "biu":
        _check_unused(who, threshold, "a prediction of integers names the classes")
        named = _classes(who, scores, given)
        return Decisions(*named, np.union1d(*named))
    positive = (scores > threshold).astype(np.intp)
    answers = np.where(is_number(scores), positive, UNDECIDED)
    return Decisions(answers, is_positive(who, samples).astype(np.intp), np.arange(2))


def labels(who: str, samples: Samples) -> Array:
    """Return the class of each target, of predictions with a score per class.

    Raises:
        ValueError: a target is not a class.
    """
    p, t = samples.prediction, samples.target
    if t.shape == p.shape:
        shares: Array = t.argmax(axis=1)
        return shares
    given = t.reshape(p.shape[:1])
    found, bad = _whole(given, 0, p.shape[1])
    if bad.any():
        raise ValueError(
            f"{who}: the target has the label {given[bad.argmax()]}; with {p.shape[1]} scores a "
            f"sample it needs whole numbers from 0 to {p.shape[1] - 1}."
        )
    return found


def is_positive(who: str, samples: Samples) -> Array:
    """Return whether the target of each sample is positive, of predictions with one score.

    Raises:
        ValueError: the targets are not 0 and 1, or -1 and 1.
    """
    t = samples.target.reshape(samples.prediction.shape[:1])
    bad = (t != 1) & (t != 0) & (t != -1)
    if bad.any():
        raise ValueError(
            f"{who}: the target has the value {t[bad.argmax()]}, and one score a sample was given, "
            "which decides between two classes; it needs 0 and 1, or -1 and 1. For more classes "
            "give a score for each."
        )
    if (t == -1).any() and (t == 0).any():
        raise ValueError(
            f"{who}: the target has the values -1 and 0, and one score a sample was given, which "
            "decides between two classes; it needs 0 and 1, or -1 and 1. For more classes give a "
            "score for each."
        )
    found: Array = t > 0
    return found


def is_number(scores: Array) -> Array:
    """Return where a score is not nan."""
    found: Array = np.equal(scores, scores)  # nan equals nothing
    return found


def _classes(who: str, prediction: Array, target: Array) -> tuple[Array, Array]:
    """Return classes named by whole numbers; -1 stands for 0 where there is no class 0.

    Raises:
        ValueError: a number is no class, or -1 stands beside others than 1.
    """
    answers, labels = (
        _integers(who, what, given)
        for what, given in (("prediction", prediction), ("target", target))
    )
    for what, found in (("prediction", answers), ("target", labels)):
        strange = (found > 1) | (found == 0)
        if (found < 0).any() and strange.any():
            raise ValueError(
                f"{who}: the {what} has -1 and {found[strange.argmax()]}, and integers were "
                "predicted, which name classes; it needs whole numbers from 0, or -1 and 1. "
                "Number the classes from 0."
            )
    most = max(answers.max(initial=0), labels.max(initial=0))
    if most > 1 and (answers.min(initial=0) < 0 or labels.min(initial=0) < 0):
        raise ValueError(
            f"{who}: of prediction and target one has -1 and the other {most}, and integers name "
            "classes; they need whole numbers from 0, or -1 and 1. Number the classes from 0."
        )
    return np.maximum(answers, 0), np.maximum(labels, 0)


def _integers(who: str, what: str, given: Array) -> Array:
    found, bad = _whole(given, -1, np.iinfo(np.intp).max)
    if bad.any():
        raise ValueError(
            f"{who}: the {what} has the value {given[bad.argmax()]}, and integers were predicted, "
            "which name classes; it needs whole numbers from 0, or -1 and 1."
        )
    return found


def _whole(given: Array, least: int, end: int) -> tuple[Array, Array]:
    """Return the numbers as integers, and which of them are not whole, below least or from end."""
    if given.dtype.kind in "biu":
        found = given.astype(np.intp, copy=False)
        return found, (found < least) | (found >= end) | (found != given)  # uint64 may wrap
    with np.errstate(invalid="ignore"):  # nan becomes some integer, and is not equal to it
        found = given.astype(np.intp)
    return found, (found != given) | (found < least) | (found >= end)


def _check_unused(who: str, threshold: float, why: str) -> None:
    if threshold != 0:
        raise ValueError(f"{who}: threshold={threshold} was given, but {why}. Leave threshold out.")


def as_threshold(who: str, threshold: Any) -> float:
    """Return a threshold as a number.

    Raises:
        ValueError: it is nan or infinite.
        TypeError: it is not a number.
    """
    try:
        found = float(threshold)
    except (TypeError, ValueError):
        raise TypeError(f"{who}: threshold={threshold!r} was given; it must be a number.") from None
    if not math.isfinite(found):
        raise ValueError(f"{who}: threshold={threshold} was given; it must be finite.")
    return found


def check_choice(who: str, name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise unless an option is one of its choices.

    Raises:
        ValueError: it is something else.
    """
    # By type too, so that an array or 0 for None is refused rather than compared.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(
            f"{who}: {name}={value!r} was given; it must be one of {', '.join(map(repr, choices))}."
        )
