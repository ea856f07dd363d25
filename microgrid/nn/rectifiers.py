"""Rectifiers with slopes of their own: learned ones, and drawn ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..core import Operand
from ..ops.draws import as_generator
from .init import Rng
from .module import Module, Parameter, as_integer, in_dtype_of
from .targets import is_number


class PReLU(Module):
    """x where it is positive, slope * x elsewhere; the slopes are learned.

    Args:
        num_parameters: 1, or the size of the last dimension of x for a slope per feature.
        init: the slopes at first.
        dtype: of the slopes.

    Attributes:
        slope: float[num_parameters].

    Input shape: float[...], or float[..., num_parameters]. Arrays and lists are cast to the dtype
    of the slopes. Output shape: the same.

    Raises:
        TypeError: num_parameters is not an integer.
        ValueError: it is below 1, or init is not a number that is finite in the dtype.
        DtypeError: the dtype is not one of floats. In a call, x does not hold numbers.
        ShapeError: in a call, the last dimension of x is not num_parameters.

    Source: He, Zhang, Ren & Sun (2015).

    >>> import microgrid as mg
    >>> mg.nn.PReLU()([-2.0, 0.0, 2.0])
    tensor([-0.5,  0. ,  2. ], dtype=float32, op=prelu)
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, dtype: DTypeLike = np.float32
    ) -> None:
        count = as_integer("PReLU", "num_parameters", num_parameters, least=1)
        first = _finite("PReLU", "init", init)
        with np.errstate(over="ignore"):
            self.slope = Parameter(np.full(count, first), dtype)
        if not all(map(math.isfinite, self.slope.tolist())):
            raise ValueError(
                f"PReLU: init={init!r} was given, which {self.slope.dtype} does not hold. Choose a "
                "smaller number, or another dtype."
            )

    def forward(self, x: Operand) -> Any:
        """Return x where it is positive, slope * x elsewhere."""
        return ops.prelu(in_dtype_of("PReLU", self.slope, x), self.slope)

    def extra_repr(self) -> str:
        """Return the number of slopes."""
        return str(self.slope.size)


class RReLU(Module):
    """A leaky relu whose slopes are drawn anew in training; outside it they are the middle.

    Args:
        lower: the smallest slope.
        upper: the largest slope.
        rng: None, a seed, or a generator.

    Input shape: float[...]. Output shape: the same.

    Raises:
        ValueError: a bound is not a finite number, or they are not in order.
        TypeError: rng is none of these.
        DtypeError: in a call, x does not hold numbers.

    Source: Xu, Wang, Chen & Li (2015).

    >>> import microgrid as mg
    >>> mg.nn.RReLU(0.1, 0.3).eval()([-10.0, 5.0])
    array([-2.,  5.])
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, rng: Rng = None) -> None:
        self.lower = _finite("RReLU", "lower", lower)
        self.upper = _finite("RReLU", "upper", upper)
        ops.rrelu(np.zeros(0), lower, upper)  # bounds out of order show now
        self.rng = as_generator("RReLU", rng)

    def forward(self, x: Operand) -> Any:
        """Return x where it is positive, x times a slope elsewhere."""
        return ops.rrelu(x, self.lower, self.upper, self.training, self.rng)

    def extra_repr(self) -> str:
        """Return the bounds."""
        return f"lower={self.lower:.4g}, upper={self.upper:.4g}"


def _finite(who: str, name: str, value: Any) -> Any:
    """Return an option as it is, if it is a finite number."""
    if not is_number(value) or not math.isfinite(value):
        raise ValueError(f"{who}: {name}={value!r} was given; it must be a finite number.")
    return value
