"""How well scores put the samples of a class before the others, whatever the threshold."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Operand
from .metric import BuiltIn, Collecting
from .samples import (
    Samples,
    as_samples,
    check_choice,
    check_shapes,
    has_columns,
    is_number,
    is_positive,
    labels,
)


class Ranking(BuiltIn, Collecting):
    """A figure of the order of all samples, one class against the rest. The scores are kept."""

    better = "max"

    def __init__(
        self, *, average: str | None = "macro", from_logits: bool = True, name: str | None = None
    ) -> None:
        check_choice(self.who, "average", average, ("macro", "weighted", None))
        check_choice(self.who, "from_logits", from_logits, (True, False))
        self._average = average
        self._from_logits = from_logits
        super().__init__(name)

    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Keep these samples."""
        samples = as_samples(self.who, prediction, target, sample_weight)
        check_shapes(self.who, samples)
        # Classes, not targets: what is wrong with a batch is said when it comes.
        known = labels if has_columns(samples.prediction) else is_positive
        super().add(samples.prediction, known(self.who, samples), samples.weight)

    def _figure(self, prediction: Array, target: Array, weight: Array | None) -> Any:
        samples = Samples(prediction, target, weight)
        w = np.ones(len(target)) if weight is None else weight
        figures, sizes = [], []
        with np.errstate(all="ignore"):
            for scores, positive in one_against_rest(samples, self._from_logits):
                ends = counts_by_threshold(scores, positive, w)
                figures.append(math.nan if ends is None else self._of_counts(*ends))
                sizes.append(float(w[positive].sum()))
        if len(figures) == 1:
            return figures[0]
        if self._average is None:
            return np.array(figures)
        weights = np.array(sizes) if self._average == "weighted" else np.ones(len(sizes))
        return float(weights @ np.array(figures) / weights.sum()) if weights.any() else math.nan

    @staticmethod
    @abstractmethod
    def _of_counts(positives: Array, negatives: Array) -> float:
        """Return the figure from what lies at or above each threshold, the highest first."""


def one_against_rest(samples: Samples, from_logits: bool) -> Iterator[tuple[Array, Array]]:
    """Yield scores, float64[n], and which samples are positive: once for two classes, else for all.

    Logits rank a class by its probability, softmax; its odds have the same order without the ties
    of probabilities that are rounded to 1.
    """
    p = samples.prediction.astype(np.float64, copy=False)
    if not has_columns(p):
        yield p.reshape(len(p)), samples.target > 0
        return
    if p.shape[1] == 2:
        yield (p[:, 1] - p[:, 0] if from_logits else p[:, 1]), samples.target == 1
        return
    scores = log_odds(p) if from_logits else p
    for k in range(p.shape[1]):
        yield scores[:, k], samples.target == k


def log_odds(logits: Array) -> Array:
    """Return log(q / (1 - q)) of the softmax q, float64[n, classes]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    # The sums of those before and after each: taking one from the sum of all would lose digits.
    others = np.zeros_like(e)
    others[:, 1:] += e.cumsum(axis=1)[:, :-1]
    others[:, :-1] += e[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    found: Array = shifted - np.log(others)
    return found


def counts_by_threshold(
    scores: Array, positive: Array, weight: Array
) -> tuple[Array, Array] | None:
    """Return what positives and negatives weigh whose score is at least each that occurs.

    None if there are no scores, or one of them is nan and has no place in the order.
    """
    if not len(scores) or not is_number(scores).all():
        return None
    order = np.argsort(-scores, kind="stable")
    s = scores[order]
    ends = np.append(s[1:] != s[:-1], True)  # equal scores pass a threshold together
    sums = [np.where(side, weight, 0.0)[order].cumsum()[ends] for side in (positive, ~positive)]
    return sums[0], sums[1]


class RocAuc(Ranking):
    """The area under the ROC curve of all samples: `mg.metrics.roc_auc`.

    Over batches the scores of the samples are kept, as the figure needs all of them.

    Args:
        average: of more than two classes, "macro", "weighted" or None; see `mg.metrics.roc_auc`.
        from_logits: whether a score per class is a logit; otherwise it is a probability.
        name: under which `fit` reports it; "roc_auc" if None.

    `add` takes prediction float[n] or float[n, classes], target int[n] or float[n, classes],
    sample_weight float[n].

    Raises:
        ValueError: an option is not one that there is.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.roc_auc`.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> metric = mg.metrics.RocAuc()
    >>> metric.add(np.array([1.0, 2.0]), np.array([1, 0]))
    >>> metric.add(np.array([0.0, 3.0]), np.array([0, 1]))
    >>> metric.result()
    0.75
    """

    who = "roc_auc"

    @staticmethod
    def _of_counts(positives: Array, negatives: Array) -> float:
        all_pairs = positives[-1] * negatives[-1]
        if not all_pairs:
            return math.nan
        # Pairs that a threshold parts rightly, and half of those that it leaves together.
        right = np.diff(negatives, prepend=0.0) @ (positives + np.append(0.0, positives[:-1])) / 2
        return float(right / all_pairs)


class AveragePrecision(Ranking):
    """The mean precision over thresholds of all samples: `mg.metrics.average_precision`.

    Over batches the scores of the samples are kept, as the figure needs all of them.

    Args:
        average: of more than two classes, "macro", "weighted" or None; see `mg.metrics.roc_auc`.
        from_logits: whether a score per class is a logit; otherwise it is a probability.
        name: under which `fit` reports it; "average_precision" if None.

    `add` takes prediction float[n] or float[n, classes], target int[n] or float[n, classes],
    sample_weight float[n].

    Raises:
        ValueError: an option is not one that there is.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.average_precision`.

    >>> import microgrid as mg
    >>> mg.metrics.AveragePrecision()
    <metric average_precision>
    """

    who = "average_precision"

    @staticmethod
    def _of_counts(positives: Array, negatives: Array) -> float:
        if not positives[-1]:
            return 0.0
        precision = positives / (positives + negatives)
        return float(np.diff(positives, prepend=0.0) @ precision / positives[-1])


def roc_auc(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    average: str | None = "macro",
    from_logits: bool = True,
) -> Any:
    """Return how often a sample of a class scores higher than one of another; ties count half.

    That is the area under the curve of true against false positive rate.

    Args:
        prediction: float[n] or float[n, 1], scores for class 1 against class 0; or
            float[n, classes]: of two classes the second against the first, of more each one
            against the rest.
        target: int[n] of classes, or float[n, classes], of which the largest counts; with one score
            a sample 0 and 1, or -1 and 1.
        sample_weight: float[n], how much each sample counts.
        average: of more than two classes, "macro", the mean over classes; "weighted", that by how
            often each is target; None, a figure for each.
        from_logits: a score per class is a logit, so that their softmax ranks the samples;
            otherwise the scores themselves do, as probabilities should.

    Without a positive or without a negative sample the area is not defined: nan, in a mean over
    classes too. It is nan also where a score is nan.

    Returns:
        float, or float64[classes] if average is None and there are more than two.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        ValueError: a target is not a class, a weight is negative or not finite, or there is no
            such average.

    Source: Fawcett (2006), An introduction to ROC analysis; Hand & Till (2001) on several classes.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    0.75
    """
    return RocAuc(average=average, from_logits=from_logits)(prediction, target, sample_weight)


def average_precision(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    average: str | None = "macro",
    from_logits: bool = True,
) -> Any:
    """Return the precision at each score that occurs, weighted by the recall that is gained there.

    Args:
        prediction: float[n], float[n, 1] or float[n, classes] of scores.
        target: int[n] of classes, or float[n, classes], of which the largest counts.
        sample_weight: float[n], how much each sample counts.
        average: of more than two classes, "macro", "weighted" or None, a figure for each.
        from_logits: whether a score per class is a logit.

    All are as in `mg.metrics.roc_auc`. Without a positive sample it is 0; where a score is nan it
    is nan.

    Returns:
        float, or float64[classes] if average is None and there are more than two.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        ValueError: a target is not a class, a weight is negative or not finite, or there is no
            such average.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> scores, target = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
    >>> round(mg.metrics.average_precision(scores, target), 3)
    0.833
    """
    metric = AveragePrecision(average=average, from_logits=from_logits)
    return metric(prediction, target, sample_weight)
