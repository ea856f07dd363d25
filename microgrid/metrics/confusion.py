"""How often samples of each class were taken for each, and the mean recall of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Operand
from .by_class import Recall
from .metric import BuiltIn
from .samples import UNDECIDED, as_samples, as_threshold, decide


class BalancedAccuracy(Recall):
    """The mean over classes of their recall, over batches: `mg.metrics.balanced_accuracy`.

    Args:
        threshold: one score above it stands for class 1.
        name: under which `fit` reports it; "balanced_accuracy" if None.

    `add` takes prediction float[n, classes], float[n] or int[n], target int[n] or
    float[n, classes], sample_weight float[n].

    Raises:
        TypeError, ValueError: `threshold` is no number, or not finite.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.balanced_accuracy`.

    >>> import microgrid as mg
    >>> mg.metrics.BalancedAccuracy()
    <metric balanced_accuracy>
    """

    who = "balanced_accuracy"

    def __init__(self, *, threshold: float = 0.0, name: str | None = None) -> None:
        super().__init__(average="macro", threshold=threshold, name=name)

    @staticmethod
    def _occurring(named: Array, given: Array) -> Array:
        found: Array = given > 0  # of another class there is nothing to recall
        return found


class ConfusionMatrix(BuiltIn):
    """How often each class was taken for each, over batches: `mg.metrics.confusion_matrix`.

    Args:
        threshold: one score above it stands for class 1.
        name: under which `fit` reports it; "confusion_matrix" if None.

    `add` takes prediction float[n, classes], float[n] or int[n], target int[n] or
    float[n, classes], sample_weight float[n].
    `result` gives int64[classes, classes], or float64 if there were weights.

    Raises:
        TypeError, ValueError: `threshold` is no number, or not finite.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.confusion_matrix`.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> metric = mg.metrics.ConfusionMatrix()
    >>> metric.add(np.array([1.0, -2.0]), np.array([1, 1]))
    >>> metric.add(np.array([3.0]), np.array([1]))
    >>> metric.result()
    array([[0, 0],
           [1, 2]])
    """

    who = "confusion_matrix"
    kept = ("_classes", "_counts")

    def __init__(self, *, threshold: float = 0.0, name: str | None = None) -> None:
        self._threshold = as_threshold(self.who, threshold)
        super().__init__(name)

    def start(self) -> None:
        """Forget what was added."""
        self._classes = np.zeros(0, np.intp)
        self._counts = np.zeros((0, 0), np.int64)

    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Count these samples."""
        samples = as_samples(self.who, prediction, target, sample_weight)
        answers, labels, classes = decide(self.who, samples, self._threshold)
        every = np.union1d(self._classes, classes)
        size = len(every)
        named = answers != UNDECIDED
        weights = None if samples.weight is None else samples.weight[named]
        row, column = (np.searchsorted(every, of[named]) for of in (labels, answers))
        counts = np.bincount(row * size + column, weights, minlength=size**2).reshape(size, size)
        counts = counts.astype(np.result_type(counts, self._counts), copy=False)
        before = np.searchsorted(every, self._classes)
        counts[np.ix_(before, before)] += self._counts
        self._classes, self._counts = every, counts

    def result(self) -> Array:
        """Return the counts so far: int64[classes, classes], or float64 if there were weights."""
        return self._counts.copy()


def balanced_accuracy(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    threshold: float = 0.0,
) -> float:
    """Return the mean over the classes of the share of their samples that are classified correctly.

    Args:
        prediction: float[n, classes], float[n] or float[n, 1] of scores, or int[n] of classes.
        target: int[n] of classes, or float[n, classes], of which the largest counts.
        sample_weight: float[n], how much each sample counts.
        threshold: one score above it stands for class 1.

    All are as in `mg.metrics.accuracy`.

    Returns:
        float from 0 to 1, nan of no samples. Classes without a sample do not count.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        TypeError: the threshold is not a number.
        ValueError: a target is not a class, a weight is negative or not finite, or an option
            makes no sense.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.balanced_accuracy(np.array([1.0, 1.0, 1.0, -1.0]), np.array([1, 1, 0, 0]))
    0.75
    """
    found: float = BalancedAccuracy(threshold=threshold)(prediction, target, sample_weight)
    return found


def confusion_matrix(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    threshold: float = 0.0,
) -> Array:
    """Return how often a sample of each class (row) was named as each class (column).

    Args:
        prediction: float[n, classes], float[n] or float[n, 1] of scores, or int[n] of classes.
        target: int[n] of classes, or float[n, classes], of which the largest counts.
        sample_weight: float[n], how much each sample counts.
        threshold: one score above it stands for class 1.

    All are as in `mg.metrics.accuracy`. A sample with a score that is nan is named as no class, and
    not counted.

    Returns:
        int64[classes, classes], in their order: of as many classes as there are scores, of 0 and 1
        where one score is given, and of those that occur where classes are; float64 if there are
        weights.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        TypeError: the threshold is not a number.
        ValueError: a target is not a class, a weight is negative or not finite, or an option
            makes no sense.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.confusion_matrix(np.array([0, 2, 2, 1]), np.array([0, 1, 2, 1]))
    array([[1, 0, 0],
           [0, 1, 1],
           [0, 0, 1]])
    """
    found: Array = ConfusionMatrix(threshold=threshold)(prediction, target, sample_weight)
    return found
