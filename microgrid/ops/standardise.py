"""Values less their mean, over their spread: what batch and layer normalisation share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, into
from ..core import Op, Tensor
from ..record import Domain
from .arithmetic import chain, square
from .axes import Axes
from .reduction import mean
from .statistics import _centred


def _inverse_root(x: Array, out: Array | None = None, *, eps: float) -> Any:
    return into(out, 1 / np.sqrt(x + eps))


inverse_root: Op = Op(
    name="inverse_root",
    doc="1 over the root of x plus eps, a positive number, for x that is not negative.",
    kernel=_inverse_root,
    vjps=(lambda g, y, x, eps: chain(g, y * y * y * -0.5),),
    domains=(Domain(0.0, 3.0, include=(0.0, 1.0)),),
    params=lambda shape: [{"eps": eps} for eps in (0.5, 0.1)],
    reference=lambda x, eps: 1 / (x + eps) ** 0.5,
    formula="1 / sqrt(x + eps)",
    private=True,
)


def standardised(x: Tensor, axis: Axes, eps: float) -> tuple[Any, Any]:
    """Return (x - mean) / sqrt(variance + eps) along some axes, and the variance over n.

    The variance keeps the axes. Halves are computed in single precision, in which the variance is
    returned: their squares overflow early.
    """
    wide: Any = x.astype(np.float32) if x.dtype == np.float16 else x
    centred: Any = _centred(wide, axis=axis)
    variance: Any = mean(square(centred), axis, keepdims=True)
    y = centred * inverse_root(variance, eps=eps)
    return (y if wide is x else y.astype(np.float16)), variance
