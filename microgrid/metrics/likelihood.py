"""How likely the predicted probabilities make what was observed."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..core import Operand
from .metric import OverSamples
from .samples import Samples, check_choice, check_shapes, has_columns, is_positive, labels


class LogLoss(OverSamples):
    """The mean of -log of the probability given to the target, over batches: `mg.metrics.log_loss`.

    Args:
        from_logits: whether predictions are logits; otherwise they are probabilities.
        name: under which `fit` reports it; "log_loss" if None.

    `add` takes prediction float[n, classes] or float[n], target int[n] or float[n, classes],
    sample_weight float[n].

    Raises:
        ValueError: `from_logits` is neither True nor False.
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.log_loss`.

    >>> import microgrid as mg
    >>> mg.metrics.LogLoss(from_logits=False)
    <metric log_loss>
    """

    who = "log_loss"
    better = "min"

    def __init__(self, *, from_logits: bool = True, name: str | None = None) -> None:
        check_choice(self.who, "from_logits", from_logits, (True, False))
        self._from_logits = from_logits
        super().__init__(name)

    def _each(self, samples: Samples) -> Array:
        check_shapes(self.who, samples)
        minus_log = -_log_softmax(samples) if self._from_logits else -_log(self.who, samples)
        p, t = samples.prediction, samples.target
        if t.shape == p.shape and has_columns(p):
            # A class that has no share adds nothing, though its probability may be 0.
            each: Array = np.where(t == 0, 0.0, t * minus_log).sum(axis=1)
            return each
        known = labels if has_columns(p) else is_positive
        own = known(self.who, samples).astype(np.intp)[:, None]
        return np.take_along_axis(minus_log, own, axis=1)[:, 0]


def log_loss(
    prediction: Operand,
    target: Operand,
    sample_weight: Operand | None = None,
    *,
    from_logits: bool = True,
) -> float:
    """Return the mean over samples of -log of the probability that the prediction gives the target.

    Args:
        prediction: float[n, classes], or float[n] or float[n, 1] for class 1 against class 0:
            logits, or probabilities.
        target: int[n] of classes, or float[n, classes] of their probabilities; with one score a
            sample 0 and 1, or -1 and 1.
        sample_weight: float[n], how much each sample counts.
        from_logits: whether the prediction is logits. Probabilities are kept away from 0 and 1 by
            the resolution of their dtype, as scikit-learn does it.

    Returns:
        float, nan of no samples.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes do not fit.
        ValueError: a target is not a class, a weight is negative or not finite, or a probability
            is not within 0 ... 1.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> probability, target = np.array([0.8, 0.4]), np.array([1, 0])  # -log(0.8 * 0.6) / 2
    >>> mg.metrics.log_loss(probability, target, from_logits=False)
    0.3669845875401002
    """
    found: float = LogLoss(from_logits=from_logits)(prediction, target, sample_weight)
    return found


def _log_softmax(samples: Samples) -> Array:
    """Return log probabilities of logits, float64[n, classes]."""
    p = samples.prediction.astype(np.float64, copy=False)
    if not has_columns(p):
        z = p.reshape(len(p), 1)
        return np.hstack([-np.logaddexp(0, z), -np.logaddexp(0, -z)])
    shifted = p - p.max(axis=1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def _log(who: str, samples: Samples) -> Array:
    """Return the logarithms of probabilities, float64[n, classes]."""
    p = samples.prediction
    bad = (p < 0) | (p > 1)
    if bad.any():
        raise ValueError(
            f"{who}: from_logits=False and the probability {p.flat[bad.argmax()]} were given; it "
            "needs numbers from 0 to 1. Leave from_logits out for logits."
        )
    if p.dtype.kind != "f":
        p = p.astype(np.float64)
    if not has_columns(p):
        p = p.reshape(len(p), 1)
        p = np.hstack([1 - p, p])
    smallest = np.finfo(p.dtype).eps
    found: Array = np.log(np.clip(p, smallest, 1 - smallest).astype(np.float64))
    return found
