"""Values less their mean, over their spread: what batch and layer normalisation share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Op
from .arithmetic import ANY, chain
from .axes import Axes, count, reduction_params
from .reduction import mean, mean_kernel
from .statistics import _centre, _centred, _wide


def _inverse(centred: Array, axis: Axes, eps: float) -> Any:
    return 1 / np.sqrt(mean_kernel(np.square(centred), axis=axis, keepdims=True) + eps)


@_wide
def _standardise(x: Array, *, axis: Axes, eps: float) -> Any:
    centred = _centre(x, axis=axis)
    return centred * _inverse(centred, axis, eps)


@_wide
def _inverse_spread(x: Array, *, axis: Axes, eps: float) -> Any:
    return _inverse(_centre(x, axis=axis), axis, eps)


def _params(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return legal parameters; a single value is its own mean."""
    axes = dict.fromkeys(p["axis"] for p in reduction_params(shape))
    # With a smaller eps finite differences would be too coarse where values are nearly equal.
    return [{"axis": axis, "eps": eps} for axis in axes if count(shape, axis) > 1
            for eps in (0.5, 0.1)]  # fmt: skip


def _rule(g: Any, y: Any, x: Any, *, axis: Axes, eps: float) -> Any:
    # The parts of g along 1 and along y move mean and spread only: they are taken out.
    along = y * mean(chain(g, y), axis, keepdims=True)
    return chain(_centred(g, axis=axis) - along, inverse_spread(x, axis=axis, eps=eps))


def _inverse_rule(g: Any, y: Any, x: Any, *, axis: Axes, eps: float) -> Any:
    slope = standardised(x, axis=axis, eps=eps) * y * y / -count(x.shape, axis)
    return chain(g, slope)


standardised: Op = Op(
    name="standardised",
    doc="x less its mean, over the root of its variance plus eps, along some axes.",
    kernel=_standardise,
    vjps=(_rule,),
    domains=(ANY,),
    signature="(...)->(...)",
    params=_params,
    reference=lambda x, axis, eps: (
        (x - np.mean(x, axis, keepdims=True)) / np.sqrt(np.var(x, axis, keepdims=True) + eps)
    ),
    formula="(x - mean x) / sqrt(var x + eps)",
    private=True,
)

inverse_spread: Op = Op(
    name="inverse_spread",
    doc="1 over the root of the variance plus eps, along some axes, which are kept.",
    kernel=_inverse_spread,
    vjps=(_inverse_rule,),
    domains=(ANY,),
    signature="(...)->(...)",
    params=_params,
    reference=lambda x, axis, eps: 1 / np.sqrt(np.var(x, axis, keepdims=True) + eps),
    formula="1 / sqrt(var x + eps)",
    private=True,
)
