"""Where microgrid and PyTorch differ: by convention, or because PyTorch rounds more than needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Difference:
    """Where the two follow different conventions.

    Attributes:
        ops: by PyTorch's names.
        where: of the operands, at which elements; None if no sample goes there.
        at: operands of an example, with `options` by name.
        ours: the slope there, towards the operand `towards`.
        theirs: what PyTorch 2.13 gives, on one code path or another.
        values: whether values differ too.
    """

    ops: tuple[str, ...]
    reason: str
    where: Callable[..., Any] | None
    at: tuple[Any, ...]
    ours: float
    theirs: tuple[float, ...]
    options: dict[str, Any] = field(default_factory=dict)
    towards: int = 0
    values: bool = False


NAN = "a nan is never laundered: its slope is nan. PyTorch passes all of the gradient, or nothing"
TIES = "operands or elements that tie share the gradient; PyTorch gives it to one of them"
LEAST = "the slope at a kink is the one of least norm; PyTorch takes that of one side"
LIMIT = "the limit at infinity; PyTorch computes inf / inf, 0 * inf or inf - inf"
UNDERFLOW = "the power is exactly 0, and so is its slope, whatever the logarithm of the base"
POLE = "the slope of 0**b towards b is 0 to the right of b = 0, and taken to be so to the left"

NN = "nn.functional."
SELU = 1.0507009873554805, 1.7580993408473766  # the slopes right and left of 0
nan, inf = math.nan, math.inf


def underflows(a: Any, b: Any) -> Any:
    return (np.power(a, b) == 0) & ((a < 0) | np.isinf(a))


def at_pole(a: Any, b: Any) -> Any:
    return (a == 0) & (b < 0)


def swapped(where: Callable[..., Any]) -> Callable[..., Any]:
    return lambda b, a: where(a, b)


DIFFERENCES = [
    Difference(("abs", NN + "relu", NN + "relu6"), NAN, np.isnan, (nan,), nan, (0, 1)),
    Difference((NN + "hardtanh", NN + "softshrink"), NAN, np.isnan, (nan,), nan, (0, 1)),
    Difference((NN + "hardsigmoid",), NAN, np.isnan, (nan,), nan, (0, 1 / 6)),
    Difference((NN + "elu", NN + "celu"), NAN, np.isnan, (nan,), nan, (1,)),
    Difference((NN + "selu",), NAN, np.isnan, (nan,), nan, SELU),
    Difference(("sign", "sgn"), NAN, np.isnan, (nan,), nan, (0,), values=True),
    Difference((NN + "prelu",), NAN, lambda x, w: np.isnan(x), (nan, 0.25), nan, (0.25,)),
    Difference(
        ("maximum", "minimum", "max.binary", "min.binary", "clamp_min", "clamp_max"),
        NAN, lambda a, b: np.isnan(a) | np.isnan(b), (nan, 1.0), nan, (0, 0.5, 1),
    ),
    Difference(("clamp_min", "clamp_max"), TIES, np.equal, (1.0, 1.0), 0.5, (1,)),
    Difference(
        ("max.reduction_with_dim", "min.reduction_with_dim"),
        TIES, None, ([3.0, 3.0],), 0.5, (1, 0), {"dim": 0},
    ),
    Difference(("clamp",), LEAST, None, (1.0,), 0.0, (1,), {"min": -1.0, "max": 1.0}),
    Difference((NN + "elu",), LEAST, None, (0.0,), 1.0, (2,), {"alpha": 2.0}),
    Difference((NN + "selu",), LEAST, lambda x: x == 0, (0.0,), SELU[0], (SELU[1],)),
    Difference((NN + "softsign",), LIMIT, np.isinf, (inf,), 0.0, (nan,), values=True),
    Difference((NN + "silu", NN + "mish"), LIMIT, np.isinf, (-inf,), 0.0, (nan,), values=True),
    Difference(
        ("logaddexp",), LIMIT, lambda a, b: np.isinf(a) & (a == b), (inf, inf), 0.5, (nan,)
    ),
    Difference(("pow",), UNDERFLOW, underflows, (-501.0, -501.0), 0.0, (nan,), towards=1),
    Difference(("__rpow__",), UNDERFLOW, swapped(underflows), (-501.0, -501.0), 0.0, (nan,)),
    Difference(("pow",), POLE, at_pole, (0.0, -1.0), 0.0, (-inf,), towards=1),
    Difference(("__rpow__",), POLE, swapped(at_pole), (-1.0, 0.0), 0.0, (-inf,)),
]  # fmt: skip

# Of these PyTorch's gradients are no better than single precision, in double precision too: it
# rounds 1/6 and alpha to float32.
SINGLE_PRECISION = {NN + "hardsigmoid", NN + "celu"}

# A norm has no second derivative at 0: inf here, nan there. PyTorch has none of the other's.
NO_SECOND_DERIVATIVE = {"linalg.norm.subgradients_at_zero", NN + "hardsigmoid"}
