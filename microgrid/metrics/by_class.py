"""Ratios of counts by class: how often it was named, how often rightly, how often it was."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Operand
from .metric import BuiltIn
from .samples import UNDECIDED, as_samples, as_threshold, check_choice, decide

AVERAGES = ("auto", "binary", "macro", "micro", "weighted", None)


class ByClass(BuiltIn):
    """A ratio of counts by class, over batches. Four numbers a class are kept."""

    better = "max"
    kept = ("_classes", "_counts")

    def __init__(
        self,
        *,
        average: str | None = "auto",
        threshold: float = 0.0,
        name: str | None = None,
    ) -> None:
        check_choice(self.who, "average", average, AVERAGES)
        self._average = average
        self._threshold = as_threshold(self.who, threshold)
        super().__init__(name)

    def start(self) -> None:
        """Forget what was added."""
        self._classes = np.zeros(0, np.intp)
        # For each class: named rightly, named at all, given as target.
        self._counts = np.zeros((3, 0))

    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Count these samples."""
        samples = as_samples(self.who, prediction, target, sample_weight)
        answers, labels, classes = decide(self.who, samples, self._threshold)
        every = np.union1d(self._classes, classes)
        counts = np.zeros((3, len(every)))
        counts[:, np.searchsorted(every, self._classes)] = self._counts
        counted = ((answers, answers == labels), (answers, answers != UNDECIDED), (labels, ...))
        for row, (of, chosen) in enumerate(counted):
            weights = None if samples.weight is None else samples.weight[chosen]
            places = np.searchsorted(every, of[chosen])
            counts[row] += np.bincount(places, weights, minlength=len(every))
        self._classes, self._counts = every, counts

    def result(self) -> Any:
        """Return the figure of all samples so far: a float, or float[classes] without average."""
        right, named, given = self._counts
        if not given.any():
            return np.full(len(given), math.nan) if self._average is None else math.nan
        above, below = self._ratio(right, named, given)
        average = self._average
        if average == "auto":
            average = "binary" if self._is_binary() else "macro"
        if average == "micro":
            return float(_quotient(above.sum(), below.sum()))
        each = _quotient(above, below)
        if average is None:
            return each
        if average == "binary":
            return float(each[self._classes == self._positive()].sum())  # 0 of no such class
        if average == "weighted":
            return float(given @ each / given.sum())
        return float(each[self._occurring(named, given)].mean())

    def _is_binary(self) -> bool:
        """Return whether class 1 and one other occur, or one of 0 and 1 alone."""
        classes = self._classes
        return len(classes) <= 2 and bool((classes == 1).any() or not classes.any())

    def _positive(self) -> int:
        """Return the class that average="binary" is the figure of.

        Raises:
            ValueError: there are more classes than it and one other.
        """
        count = len(self._classes)
        if count < 2 or self._is_binary():
            return 1
        given = f"{count} classes; it needs 2"
        if count == 2:
            given = "the classes {} and {}; it is the figure of class 1".format(*self._classes)
        raise ValueError(
            f"{self.who}: average='binary' was given for {given}. "
            'Use "macro", "micro", "weighted" or None.'
        )

    @staticmethod
    def _occurring(named: Array, given: Array) -> Array:
        """Return which classes a mean over classes is taken of."""
        found: Array = (named > 0) | (given > 0)
        return found

    @staticmethod
    @abstractmethod
    def _ratio(right: Array, named: Array, given: Array) -> tuple[Array, Array]:
        """Return numerator and denominator by class."""


def _quotient(above: Any, below: Any) -> Array:
    """Return the ratio, 0 where it is 0/0."""
    found: Array = np.divide(
        above, below, out=np.zeros(np.shape(above)), where=np.greater(below, 0)
    )
    return found


class Precision(ByClass):
    """How many of those named as a class are of it, over batches: `mg.metrics.precision`.

    Args:
        average: "binary", "macro", "weighted", "micro", None or "auto"; see `mg.metrics.precision`.
        threshold: one score above it stands for class 1.
        name: under which `fit` reports it; "precision" if None.

    `add` takes prediction float[n, classes], float[n] or int[n], target int[n] or
    float[n, classes], sample_weight float[n].

    Raises:
        TypeError, ValueError: an option is of another type, or not one that there is.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.precision`.
        ValueError: from `result`, "binary" was asked of more than two classes.

    >>> import microgrid as mg
    >>> mg.metrics.Precision(average="macro", name="macro_precision")
    <metric macro_precision>
    """

    who = "precision"

    @staticmethod
    def _ratio(right: Array, named: Array, given: Array) -> tuple[Array, Array]:
        return right, named


class Recall(ByClass):
    """How many of those of a class are named as such, over batches: `mg.metrics.recall`.

    Args:
        average: "binary", "macro", "weighted", "micro", None or "auto"; see `mg.metrics.precision`.
        threshold: one score above it stands for class 1.
        name: under which `fit` reports it; "recall" if None.

    `add` takes prediction float[n, classes], float[n] or int[n], target int[n] or
    float[n, classes], sample_weight float[n].

    Raises:
        TypeError, ValueError: an option is of another type, or not one that there is.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.precision`.
        ValueError: from `result`, "binary" was asked of more than two classes.

    >>> import microgrid as mg
    >>> mg.metrics.Recall(threshold=0.5)
    <metric recall>
    """

    who = "recall"

    @staticmethod
    def _ratio(right: Array, named: Array, given: Array) -> tuple[Array, Array]:
        return right, given


class F1(ByClass):
    """The harmonic mean of precision and recall, over batches: `mg.metrics.f1`.

    Args:
        average: "binary", "macro", "weighted", "micro", None or "auto"; see `mg.metrics.precision`.
        threshold: one score above it stands for class 1.
        name: under which `fit` reports it; "f1" if None.

    `add` takes prediction float[n, classes], float[n] or int[n], target int[n] or
    float[n, classes], sample_weight float[n].

    Raises:
        TypeError, ValueError: an option is of another type, or not one that there is.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.precision`.
        ValueError: from `result`, "binary" was asked of more than two classes.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> metric = mg.metrics.F1()
    >>> metric.add(np.array([1.0, 2.0]), np.array([1, 0]))
    >>> metric.add(np.array([-1.0, 3.0]), np.array([1, 1]))
    >>> round(metric.result(), 3)
    0.667
    """

    who = "f1"

    @staticmethod
    def _ratio(right: Array, named: Array, given: Array) -> tuple[Array, Array]:
        return 2 * right, named + given


def precision(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    average: str | None = "auto",
    threshold: float = 0.0,
) -> Any:
    """Return the share of those that are of a class among those that are named as it.

    Args:
        prediction: float[n, classes], the largest score decides; or float[n] or float[n, 1], one
            score decided by the threshold; or int[n], the classes themselves.
        target: int[n] of classes, or float[n, classes], of which the largest counts; with one score
            a sample 0 and 1, or -1 and 1.
        sample_weight: float[n], how much each sample counts.
        average: "binary", the figure of class 1 of two; "macro", the mean over the classes that
            occur as target or answer; "weighted", that by how often each is target; "micro", the
            ratio of the sums over classes; None, a figure for each class; "auto", "binary" for
            class 1 and one other and "macro" for more. The classes are the columns of scores, 0 and
            1 for one score, and for predicted classes those that occur, as in scikit-learn.
        threshold: one score above it stands for class 1.

    Where nothing is named as the class, 0/0, the precision is 0. A sample with a score that is nan
    is named as no class. Of no samples the figure is nan.

    Returns:
        float, or float64[classes] if average is None.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        TypeError: the threshold is not a number.
        ValueError: a target is not a class, a weight is negative or not finite, or an option
            makes no sense.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.precision(np.array([2.0, 1.0, -1.0, -3.0]), np.array([1, 0, 1, 0]))
    0.5
    """
    metric = Precision(average=average, threshold=threshold)
    return metric(prediction, target, sample_weight)


def recall(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    average: str | None = "auto",
    threshold: float = 0.0,
) -> Any:
    """Return the share of those that are named as a class among those that are of it.

    Args:
        prediction: float[n, classes], float[n] or float[n, 1] of scores, or int[n] of classes.
        target: int[n] of classes, or float[n, classes], of which the largest counts.
        sample_weight: float[n], how much each sample counts.
        average: over classes, "auto", "binary", "macro", "micro", "weighted" or None.
        threshold: one score above it stands for class 1.

    All are as in `mg.metrics.precision`. Where no sample is of the class, 0/0, the recall is 0.

    Returns:
        float, or float64[classes] if average is None.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        TypeError: the threshold is not a number.
        ValueError: a target is not a class, a weight is negative or not finite, or an option
            makes no sense.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.recall(np.array([2.0, 1.0, -1.0, -3.0]), np.array([1, 0, 1, 1]))
    0.3333333333333333
    """
    metric = Recall(average=average, threshold=threshold)
    return metric(prediction, target, sample_weight)


def f1(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    average: str | None = "auto",
    threshold: float = 0.0,
) -> Any:
    """Return 2 * right / (named + given), the harmonic mean of precision and recall.

    Args:
        prediction: float[n, classes], float[n] or float[n, 1] of scores, or int[n] of classes.
        target: int[n] of classes, or float[n, classes], of which the largest counts.
        sample_weight: float[n], how much each sample counts.
        average: over classes, "auto", "binary", "macro", "micro", "weighted" or None.
        threshold: one score above it stands for class 1.

    All are as in `mg.metrics.precision`. Where a class is neither named nor given, 0/0, its figure
    is 0.

    Returns:
        float, or float64[classes] if average is None.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        TypeError: the threshold is not a number.
        ValueError: a target is not a class, a weight is negative or not finite, or an option
            makes no sense.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> scores = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 3.0], [2.0, 0.0, 1.0]])
    >>> mg.metrics.f1(scores, np.array([0, 1, 2, 2]), average=None).round(3)
    array([0.667, 1.   , 0.667])
    >>> mg.metrics.f1(np.array([0, 1, 2, 0]), np.array([0, 1, 2, 2]), average="micro")
    0.75
    """
    metric = F1(average=average, threshold=threshold)
    return metric(prediction, target, sample_weight)
