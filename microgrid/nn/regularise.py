"""Layers that differ between training and evaluation, or keep activations in scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..core import Operand, Tensor, as_operand, assign
from ..errors import ShapeError
from ..ops.axes import Axes, sizes
from ..ops.draws import as_generator, kept_like
from ..ops.standardise import standardised
from ..recording import no_grad
from .init import Rng
from .module import Buffer, Module, Parameter, as_integer, float_dtype, in_dtype
from .targets import is_number, number_like


class Dropout(Module):
    """Set each element to 0 with probability p in training; outside it, return x as it is.

    What is kept is divided by 1 - p, so that the mean stays. A dropped element contributes nothing
    to result and gradient, whatever it is. All draws come from one generator, compiled or not.

    Args:
        p: the probability, from 0 to 1.
        rng: None, a seed, or a generator.

    Input shape: float[...]. Output shape: the same. Integers become float64.

    Raises:
        ValueError: p is not a number from 0 to 1.
        TypeError: rng is none of these.
        DtypeError: in a call, x does not hold numbers.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014).

    >>> import microgrid as mg
    >>> layer = mg.nn.Dropout(0.5, rng=0)
    >>> layer([1.0, 2.0, 3.0, 4.0])
    array([2., 4., 6., 0.])
    >>> layer.eval()([1.0, 2.0, 3.0, 4.0])
    array([1., 2., 3., 4.])
    """

    def __init__(self, p: float = 0.5, rng: Rng = None) -> None:
        if not is_number(p) or not 0 <= p <= 1:
            raise ValueError(f"Dropout: p={p!r} was given; it must be a number from 0 to 1.")
        self.p = float(p)
        self.rng = as_generator("Dropout", rng)

    def forward(self, x: Operand) -> Any:
        """Return x with some elements 0 and the others scaled, in training."""
        t = as_operand("Dropout", x)
        if t.dtype.kind in "iub":
            t = t.astype(float)
        if not self.training or self.p == 0:
            return t
        scale = 1 / (1 - self.p) if self.p < 1 else 1.0
        return ops.where(kept_like(t, p=self.p, rng=self.rng), t * number_like(t, scale), 0)

    def extra_repr(self) -> str:
        """Return the probability."""
        return str(self.p)


class BatchNorm1d(Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias, per feature over the batch.

    In training mean and variance are those of the batch, and the running ones move towards them:
    running = (1 - momentum) * running + momentum * new, with the variance over n - 1. In evaluation
    the running ones are used.

    Args:
        num_features: the size of dimension 1 of x.
        eps: added to the variance.
        momentum: the share of the new statistics; None for the mean over all batches so far.
        affine: whether there are weight and bias, which are learned.
        track_running_stats: without, the batch's own statistics are used in evaluation too.
        dtype: of the parameters. Running statistics are kept at least in float32.

    Input shape: float[batch, features] or float[batch, features, length], with two or more values
    per feature in training. Output shape: the same.

    Attributes:
        weight, bias: float[features], 1 and 0 at first; or None.
        running_mean, running_var: float[features], Buffers, 0 and 1 at first; or None.
        num_batches_tracked: int[], a Buffer; or None.

    Raises:
        TypeError: num_features is not an integer.
        ValueError: it is below 1, eps is not positive, or momentum not from 0 to 1.
        DtypeError: the dtype is not one of floats. In a call, x does not hold numbers.
        ShapeError: in a call, x does not fit, or training has a single value per feature.

    Source: Ioffe & Szegedy (2015), with PyTorch's conventions.

    >>> import microgrid as mg
    >>> layer = mg.nn.BatchNorm1d(2)
    >>> layer([[1.0, 2.0], [3.0, 6.0]]).data.round(3)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.running_mean
    tensor([0.2, 0.4], dtype=float32)
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        n = self.num_features = as_integer("BatchNorm1d", "num_features", num_features, least=1)
        self.eps = _positive("BatchNorm1d", eps)
        if momentum is not None and not (is_number(momentum) and 0 <= momentum <= 1):
            raise ValueError(
                f"BatchNorm1d: momentum={momentum!r} was given; it must be a number from 0 to 1, "
                "or None for the mean over all batches."
            )
        self.momentum = momentum
        self.dtype = float_dtype("BatchNorm1d", dtype)
        self.weight = Parameter(np.ones(n), self.dtype) if affine else None
        self.bias = Parameter(np.zeros(n), self.dtype) if affine else None
        # The variance of halves is often beyond them.
        wide, track = np.promote_types(self.dtype, np.float32), track_running_stats
        self.running_mean = Buffer(np.zeros(n), wide) if track else None
        self.running_var = Buffer(np.ones(n), wide) if track else None
        self.num_batches_tracked = Buffer(np.zeros((), np.int64)) if track else None

    def forward(self, x: Operand) -> Any:
        """Return x standardised by the batch in training, by what was seen in training else."""
        t = in_dtype("BatchNorm1d", self.dtype, x)
        if t.ndim not in (2, 3) or t.shape[1] != self.num_features:
            raise ShapeError(
                f"{self!r}: an input of shape {t.shape} was given; it needs "
                f"(batch, {self.num_features}) or (batch, {self.num_features}, length). "
                "Reshape it, or change num_features."
            )
        axes = (0,) if t.ndim == 2 else (0, 2)
        if not self.training and self.running_mean is not None:
            y = self._by_running_statistics(t)
        else:
            if self.training:
                self._check_batch(t)
            y, variance = standardised(t, axes, self.eps)
            if self.training:
                self._update(t, axes, variance)
        if self.weight is None or self.bias is None:
            return y
        return y * _per_feature(self.weight, t) + _per_feature(self.bias, t)

    def _check_batch(self, t: Tensor) -> None:
        if t.size < 2 * self.num_features:
            raise ShapeError(
                f"{self!r}: an input of shape {t.shape} was given in training, which has fewer "
                "than two values per feature: they have no variance. Choose a batch size that "
                "leaves no batch of one, or call eval()."
            )

    def _by_running_statistics(self, t: Tensor) -> Any:
        mean: Any = _per_feature(self.running_mean, t)
        spread = ops.sqrt(_per_feature(self.running_var, t) + self.eps)
        y = (t - mean) / spread
        return y.astype(t.dtype) if t.dtype == np.float16 else y

    def _update(self, t: Tensor, axes: Axes, variance: Any) -> None:
        """Move the running statistics towards those of the batch, whose variance is over n."""
        mean, spread, seen = self.running_mean, self.running_var, self.num_batches_tracked
        if mean is None or spread is None or seen is None:
            return
        n = t.size // self.num_features
        with no_grad():
            assign(seen, seen + 1)
            share: Any = 1 / seen if self.momentum is None else self.momentum
            wide = t.astype(mean.dtype) if t.dtype == np.float16 else t
            unbiased = ops.reshape(variance, (-1,)) * (n / (n - 1))
            for running, new in ((mean, ops.mean(wide, axes)), (spread, unbiased)):
                assign(running, running * (1 - share) + new * share)

    def extra_repr(self) -> str:
        """Return the number of features, and what is not the default."""
        parts = [str(self.num_features)]
        parts += [f"eps={self.eps}"] * (self.eps != 1e-5)
        parts += [f"momentum={self.momentum}"] * (self.momentum != 0.1)
        parts += ["affine=False"] * (self.weight is None)
        return ", ".join(parts + ["track_running_stats=False"] * (self.running_mean is None))


class LayerNorm(Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias, for each sample over its last axes.

    It does the same in training and evaluation.

    Args:
        normalized_shape: the sizes of the last dimensions of x, or of the last one.
        eps: added to the variance.
        affine: whether there are weight and bias, which are learned.
        dtype: of the parameters.

    Input shape: float[..., *normalized_shape]. Output shape: the same.

    Attributes:
        weight, bias: float[*normalized_shape], 1 and 0 at first; or None.

    Raises:
        TypeError: a size is not an integer.
        ValueError: one is below 1, there is none, or eps is not positive.
        DtypeError: the dtype is not one of floats. In a call, x does not hold numbers.
        ShapeError: in a call, the last dimensions of x are others.

    Source: Ba, Kiros & Hinton (2016).

    >>> import microgrid as mg
    >>> mg.nn.LayerNorm(3)([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]).data.round(3)
    array([[-1.225,  0.   ,  1.225],
           [ 0.   ,  0.   ,  0.   ]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        affine: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = sizes("LayerNorm", normalized_shape)
        if not self.normalized_shape or min(self.normalized_shape) < 1:
            raise ValueError(
                f"LayerNorm: normalized_shape={normalized_shape!r} was given; it needs sizes of "
                "at least 1."
            )
        self.eps = _positive("LayerNorm", eps)
        self.dtype = float_dtype("LayerNorm", dtype)
        self.weight = Parameter(np.ones(self.normalized_shape), self.dtype) if affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape), self.dtype) if affine else None

    def forward(self, x: Operand) -> Any:
        """Return each sample standardised over its last axes."""
        t = in_dtype("LayerNorm", self.dtype, x)
        count = len(self.normalized_shape)
        if t.shape[-count:] != self.normalized_shape:
            raise ShapeError(
                f"{self!r}: an input of shape {t.shape} was given; its last dimensions must be "
                f"{self.normalized_shape}. Reshape it, or change normalized_shape."
            )
        y, _ = standardised(t, tuple(range(t.ndim - count, t.ndim)), self.eps)
        return y if self.weight is None or self.bias is None else y * self.weight + self.bias

    def extra_repr(self) -> str:
        """Return the shape, and what is not the default."""
        one = len(self.normalized_shape) == 1
        parts = [str(self.normalized_shape[0] if one else self.normalized_shape)]
        parts += [f"eps={self.eps}"] * (self.eps != 1e-5)
        return ", ".join(parts + ["affine=False"] * (self.weight is None))


def _per_feature(values: Any, x: Tensor) -> Any:
    """Return values of the features so that they broadcast to x, whose axis 1 they belong to."""
    return values if x.ndim == 2 else ops.reshape(values, (-1, 1))


def _positive(who: str, eps: float) -> float:
    # Without it equal values would give nan.
    if not is_number(eps) or not 0 < eps < np.inf:
        raise ValueError(f"{who}: eps={eps!r} was given; it must be a positive number.")
    return float(eps)
