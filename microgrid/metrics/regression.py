"""How far predicted numbers are from the true ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Operand
from ..errors import ShapeError
from .metric import BuiltIn, OverSamples
from .samples import Samples, as_samples

NOTHING = -1.0  # less than every absolute error


class MSE(OverSamples):
    """The mean of the squared errors, over batches: `mg.metrics.mse`.

    Args:
        name: under which `fit` reports it; "mse" if None.

    `add` takes prediction float[n, ...], target float[n, ...], sample_weight float[n].

    Raises:
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.mse`.

    >>> import microgrid as mg
    >>> mg.metrics.MSE()
    <metric mse>
    """

    who = "mse"
    better = "min"

    def _each(self, samples: Samples) -> Array:
        return _mean_of_rows(np.square(_errors(self.who, samples)))


class MAE(OverSamples):
    """The mean of the absolute errors, over batches: `mg.metrics.mae`.

    Args:
        name: under which `fit` reports it; "mae" if None.

    `add` takes prediction float[n, ...], target float[n, ...], sample_weight float[n].

    Raises:
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.mae`.

    >>> import microgrid as mg
    >>> mg.metrics.MAE()
    <metric mae>
    """

    who = "mae"
    better = "min"

    def _each(self, samples: Samples) -> Array:
        return _mean_of_rows(np.abs(_errors(self.who, samples)))


class RMSE(MSE):
    """The root of the mean of the squared errors, over batches: `mg.metrics.rmse`.

    Args:
        name: under which `fit` reports it; "rmse" if None.

    `add` takes prediction float[n, ...], target float[n, ...], sample_weight float[n].

    Raises:
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.rmse`.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> metric = mg.metrics.RMSE()
    >>> metric.add(np.array([3.0]), np.array([0.0]))
    >>> metric.add(np.array([1.0]), np.array([0.0]))
    >>> metric.result() == 5**0.5
    True
    """

    who = "rmse"

    def result(self) -> float:
        """Return the root of the mean over the samples so far."""
        return math.sqrt(super().result())


class MaxError(BuiltIn):
    """The largest absolute error, over batches: `mg.metrics.max_error`.

    Args:
        name: under which `fit` reports it; "max_error" if None.

    `add` takes prediction float[n, ...], target float[n, ...], sample_weight float[n].

    Raises:
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.max_error`.

    >>> import microgrid as mg
    >>> mg.metrics.MaxError()
    <metric max_error>
    """

    who = "max_error"
    better = "min"
    kept = ("_largest",)

    def start(self) -> None:
        """Forget what was added."""
        self._largest = NOTHING

    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Look at these samples, those of weight 0 excepted."""
        samples = as_samples(self.who, prediction, target, sample_weight)
        with np.errstate(all="ignore"):
            errors = np.abs(_errors(self.who, samples))
        if errors.size:
            largest = float(errors.max())
            # Not Python's max, which may pass over a nan.
            self._largest = float(np.maximum(largest, self._largest))

    def result(self) -> float:
        """Return the largest error so far."""
        return math.nan if self._largest == NOTHING else self._largest


class R2(BuiltIn):
    """The share of the variance that is explained, over batches: `mg.metrics.r2`.

    Four numbers an output are kept.

    Args:
        name: under which `fit` reports it; "r2" if None.

    `add` takes prediction float[n, ...], target float[n, ...], sample_weight float[n].

    Raises:
        DtypeError, ShapeError, ValueError: from `add`, as of `mg.metrics.r2`.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> metric = mg.metrics.R2()
    >>> metric.add(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    >>> metric.add(np.array([4.0]), np.array([5.0]))
    >>> metric.result()
    0.75
    """

    who = "r2"
    better = "max"
    kept = ("_count", "_weight", "_origin", "_mean", "_about_mean", "_squares")

    def start(self) -> None:
        """Forget what was added."""
        self._count, self._weight = 0, 0.0
        self._origin = self._mean = self._about_mean = self._squares = np.zeros(0)

    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Add up the squares of these samples: of their errors, and about the mean target."""
        samples = as_samples(self.who, prediction, target, sample_weight)
        with np.errstate(all="ignore"):
            errors = _errors(self.who, samples)
            count = len(errors)
            if not count:
                return
            t = samples.target.reshape(count, -1).astype(np.float64)
            w = np.ones(count) if samples.weight is None else samples.weight
            if not self._count:
                # Targets count from the first one: constant ones then have exactly no variance.
                self._origin = t[0]
                self._mean = self._about_mean = self._squares = np.zeros(t.shape[1])
            self._squares = self._squares + w @ np.square(errors.reshape(count, -1))
            self._add_targets(t - self._origin, w)
            self._count += count

    def _add_targets(self, t: Array, w: Array) -> None:
        """Join mean and squares about the mean with those of a batch.

        Source: Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance.
        """
        weight = float(w.sum())
        mean = w @ t / weight
        total = self._weight + weight
        apart = mean - self._mean
        between = np.square(apart) * (self._weight * weight / total)
        self._about_mean = self._about_mean + w @ np.square(t - mean) + between
        self._mean = self._mean + apart * (weight / total)
        self._weight = total

    def result(self) -> float:
        """Return the mean over the outputs of what is explained of them so far."""
        if self._count < 2:
            return math.nan
        with np.errstate(all="ignore"):
            unexplained = self._squares / self._about_mean
        constant = (self._about_mean == 0) & (self._squares == self._squares)
        share = np.where(constant, np.where(self._squares == 0, 1.0, 0.0), 1 - unexplained)
        return float(share.mean())


def mse(prediction: Operand, target: Operand, sample_weight: Operand | None = None) -> float:
    """Return the mean of the squared errors.

    Args:
        prediction: float[n, ...].
        target: float[n, ...], of the same shape.
        sample_weight: float[n], how much each sample counts.

    Returns:
        float, nan of no samples.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes differ.
        ValueError: a weight is negative or not finite.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.mse(np.array([1.0, 5.0]), np.array([2.0, 3.0]))
    2.5
    """
    found: float = MSE()(prediction, target, sample_weight)
    return found


def mae(prediction: Operand, target: Operand, sample_weight: Operand | None = None) -> float:
    """Return the mean of the absolute errors.

    Args:
        prediction: float[n, ...].
        target: float[n, ...], of the same shape.
        sample_weight: float[n], how much each sample counts.

    Returns:
        float, nan of no samples.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes differ.
        ValueError: a weight is negative or not finite.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.mae(np.array([1.0, 5.0]), np.array([2.0, 3.0]))
    1.5
    """
    found: float = MAE()(prediction, target, sample_weight)
    return found


def rmse(prediction: Operand, target: Operand, sample_weight: Operand | None = None) -> float:
    """Return the root of `mg.metrics.mse`, also where there are several outputs a sample.

    scikit-learn takes the root of each output's and then the mean of these.

    Args:
        prediction: float[n, ...].
        target: float[n, ...], of the same shape.
        sample_weight: float[n], how much each sample counts.

    Returns:
        float, nan of no samples.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes differ.
        ValueError: a weight is negative or not finite.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.rmse(np.array([1.0, 5.0]), np.array([4.0, 1.0]))
    3.5355339059327378
    """
    found: float = RMSE()(prediction, target, sample_weight)
    return found


def max_error(prediction: Operand, target: Operand, sample_weight: Operand | None = None) -> float:
    """Return the largest absolute error, of samples whose weight is not 0.

    Args:
        prediction: float[n, ...].
        target: float[n, ...], of the same shape.
        sample_weight: float[n], how much each sample counts.

    Returns:
        float, nan of no samples.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes differ.
        ValueError: a weight is negative or not finite.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.max_error(np.array([1.0, 5.0]), np.array([2.0, 3.0]))
    2.0
    """
    found: float = MaxError()(prediction, target, sample_weight)
    return found


def r2(prediction: Operand, target: Operand, sample_weight: Operand | None = None) -> float:
    """Return 1 - (squared errors) / (squares about the mean target), the mean over outputs.

    Args:
        prediction: float[n, ...].
        target: float[n, ...], of the same shape.
        sample_weight: float[n], how much each sample counts.

    Returns:
        float: 1 is perfect, 0 as good as the mean target, and worse is negative. An output whose
        targets are all equal has no variance to explain: 1 if it is predicted exactly, else 0, as
        scikit-learn has it. Of fewer than two samples it is nan.

    Raises:
        DtypeError: an argument is not numeric.
        ShapeError: the shapes differ.
        ValueError: a weight is negative or not finite.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.metrics.r2(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0]))
    0.75
    """
    found: float = R2()(prediction, target, sample_weight)
    return found


def _errors(who: str, samples: Samples) -> Array:
    p, t = samples.prediction, samples.target
    if p.shape != t.shape:
        raise ShapeError(
            f"{who}: a prediction of shape {p.shape} and a target of shape {t.shape} were given; "
            "the shapes must be equal. Reshape one of them."
        )
    # float64: a mean of many float32 squares would lose digits, and integers would wrap.
    return p.astype(np.float64) - t.astype(np.float64)


def _mean_of_rows(values: Array) -> Array:
    """Return the mean of each sample's values, nan if it has none."""
    if values.ndim == 1:
        return values
    size = math.prod(values.shape[1:])
    found: Array = values.reshape(len(values), size).sum(axis=1) / size
    return found
