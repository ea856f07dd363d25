"""How often the predicted class is the right one."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Operand
from ..errors import ShapeError
from .metric import OverSamples
from .samples import Samples, as_threshold, check_shapes, decide, has_columns, is_number, labels


class Accuracy(OverSamples):
    """The share of samples that are classified correctly, over batches: `mg.metrics.accuracy`.

    Args:
        threshold: one score above it stands for class 1; 0.5 suits probabilities.
        name: under which `fit` reports it; "accuracy" if None.

    `add` takes prediction float[n, classes], float[n] or int[n], target int[n] or
    float[n, classes], sample_weight float[n].

    Raises:
        TypeError, ValueError: `threshold` is no number, or not finite.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.accuracy`.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> metric = mg.metrics.Accuracy(threshold=0.5)
    >>> metric.add(np.array([0.9, 0.6]), np.array([1, 0]))
    >>> metric.add(np.array([0.1, 0.2]), np.array([0, 0]))
    >>> metric.result()
    0.75
    """

    who = "accuracy"
    better = "max"

    def __init__(self, *, threshold: float = 0.0, name: str | None = None) -> None:
        self._threshold = as_threshold(self.who, threshold)
        super().__init__(name)

    def _each(self, samples: Samples) -> Array:
        decided = decide(self.who, samples, self._threshold)
        found: Array = decided.answers == decided.labels
        return found


def accuracy(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    threshold: float = 0.0,
) -> float:
    """Return the share of samples that are classified correctly.

    Args:
        prediction: float[n, classes] of scores, the largest of which decides, the first of equals;
            or float[n] or float[n, 1] of scores for class 1 against class 0, decided by the
            threshold; or int[n], the classes themselves.
        target: int[n] of classes, or float[n, classes], of which the largest counts; with one score
            a sample 0 and 1, or -1 and 1.
        sample_weight: float[n], how much each sample counts; one of weight 0 is as good as absent.
        threshold: one score above it stands for class 1. 0 suits logits and the hinge loss, 0.5
            probabilities.

    Returns:
        float from 0 to 1. A sample with a score that is nan is not classified, so it counts as
        wrong. Of no samples the accuracy is nan.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        TypeError: the threshold is not a number.
        ValueError: a target is not a class, a weight is negative or not finite, or an option
            makes no sense.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.accuracy(np.array([[2.0, -1.0], [0.1, 0.2]]), np.array([0, 0]))
    0.5
    """
    found: float = Accuracy(threshold=threshold)(prediction, target, sample_weight)
    return found


class TopKAccuracy(OverSamples):
    """The share of samples whose class is among the best k, over batches: `top_k_accuracy`.

    `fit` knows it by names such as "top_5_accuracy".

    Args:
        k: how many answers each sample has.
        name: under which `fit` reports it; as above if None.

    `add` takes prediction float[n, classes], target int[n] or float[n, classes], sample_weight
    float[n].

    Raises:
        TypeError, ValueError: k is no integer, or below 1.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.top_k_accuracy`.

    >>> import microgrid as mg
    >>> mg.metrics.TopKAccuracy(5)
    <metric top_5_accuracy>
    """

    who = "top_k_accuracy"
    better = "max"

    def __init__(self, k: int, *, name: str | None = None) -> None:
        self._k = _as_k(k)
        super().__init__(f"top_{self._k}_accuracy" if name is None else name)

    def _each(self, samples: Samples) -> Array:
        p = samples.prediction
        check_shapes(self.who, samples)
        if not has_columns(p) or p.shape[1] <= self._k:
            raise ShapeError(
                f"top_k_accuracy: k={self._k} and a prediction of shape {p.shape} were given; "
                "every answer would be right. It needs (n, classes) with more classes than k."
            )
        given = labels(self.who, samples)[:, None]
        own = np.take_along_axis(p, given, axis=1)
        # Of equal scores the first goes first, as with argmax: so the top 1 is the accuracy.
        ahead = (p > own) | ((p == own) & (np.arange(p.shape[1]) < given))
        found: Array = (ahead.sum(axis=1) < self._k) & is_number(p).all(axis=1)
        return found


def top_k_accuracy(
    prediction: Operand, target: Operand, sample_weight: Operand | None = None, *, k: int = 5
) -> float:
    """Return the share of samples whose class has one of the k largest scores.

    Args:
        prediction: float[n, classes] of scores. Of equal ones the first comes first, as in
            `accuracy`, which is that of k = 1.
        target: int[n] of classes, or float[n, classes], of which the largest counts.
        sample_weight: float[n], how much each sample counts.
        k: how many answers each sample has; below the number of classes.

    Returns:
        float from 0 to 1, nan of no samples. A sample with a score that is nan counts as wrong.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit, or there are no more than k classes.
        TypeError: k is not an integer.
        ValueError: k is below 1, a target is not a class, or a weight is negative or not finite.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    >>> mg.metrics.top_k_accuracy(scores, np.array([1, 2]), k=2)
    0.5
    """
    found: float = TopKAccuracy(k)(prediction, target, sample_weight)
    return found


def _as_k(k: Any) -> int:
    try:
        found = operator.index(k)
    except TypeError:
        raise TypeError(f"top_k_accuracy: k={k!r} was given; it must be an integer.") from None
    if found < 1:
        raise ValueError(f"top_k_accuracy: k={found} was given; it must be at least 1.")
    return found
