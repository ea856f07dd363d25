"""Constraints on weights: where an optimiser's step has led outside, the nearest point inside.

A constraint is a function of a Parameter that returns its new values, written in ops. Set it as
`parameter.constraint`, or give it to a layer as `weight_constraint`. It is applied after each
`step()` of an optimiser, in compiled steps too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from .. import ops
from ..core import Tensor
from ..ops.arithmetic import quiet
from . import targets

Axis: TypeAlias = "int | tuple[int, ...] | None"


@dataclass(frozen=True)
class MaxNorm:
    """Scale vectors that are longer than `limit` down to that length; leave others as they are.

    Args:
        limit: the largest Euclidean norm, above 0.
        axis: along which a vector lies. With 0 in the weight of a Dense, float[in, out], these are
            the weights that lead into one unit. None takes all numbers as one vector.

    A vector with a nan or an infinity stays as it is, so that it is noticed.

    Input shape: float[...]. Output shape: the same.

    Raises:
        ValueError: the limit is not a number above 0.
        TypeError: in a call, the axis is no integer, nor several in a tuple, nor None.
        numpy.exceptions.AxisError: in a call, the weight has no such axis.

    Source: Srebro & Shraibman (2005); Srivastava et al. (2014), section 5.1, for networks.

    >>> import microgrid as mg
    >>> mg.nn.constraints.MaxNorm(1.0)(mg.tensor([[3.0, 0.5], [4.0, 0.0]]))
    tensor([[0.6, 0.5],
            [0.8, 0. ]])
    """

    limit: float
    axis: Axis = 0

    def __post_init__(self) -> None:
        if not targets.is_number(self.limit) or not self.limit > 0:
            raise ValueError(
                f"MaxNorm: limit={self.limit!r} was given; it must be a number above 0."
            )

    def __call__(self, weight: Tensor) -> Any:
        """Return the weight with its long vectors shortened."""
        return _with_norms_between(weight, 0.0, self.limit, self.axis)


@dataclass(frozen=True)
class MinMaxNorm:
    """Scale vectors so that their lengths lie between two bounds; leave fitting ones as they are.

    Args:
        low: the smallest Euclidean norm, at least 0.
        high: the largest one, above 0 and not below `low`.
        axis: along which a vector lies, as in MaxNorm.

    A vector of zeros has no direction, and stays. So does one with a nan or an infinity.

    Input shape: float[...]. Output shape: the same.

    Raises:
        ValueError: the bounds are no such numbers.
        TypeError: in a call, the axis is no integer, nor several in a tuple, nor None.
        numpy.exceptions.AxisError: in a call, the weight has no such axis.

    >>> import microgrid as mg
    >>> mg.nn.constraints.MinMaxNorm(1.0, 5.0)(mg.tensor([[0.3, 3.0, 0.0], [0.4, 0.0, 0.0]]))
    tensor([[0.6, 3. , 0. ],
            [0.8, 0. , 0. ]])
    """

    low: float
    high: float
    axis: Axis = 0

    def __post_init__(self) -> None:
        known = targets.is_number(self.low) and targets.is_number(self.high)
        if not known or not 0 <= self.low <= self.high or not self.high > 0 or self.low == math.inf:
            raise ValueError(
                f"MinMaxNorm: low={self.low!r} and high={self.high!r} were given; they must be "
                "numbers with 0 <= low <= high, high above 0 and low finite."
            )

    def __call__(self, weight: Tensor) -> Any:
        """Return the weight with long vectors shortened, and short ones made longer."""
        return _with_norms_between(weight, self.low, self.high, self.axis)


@dataclass(frozen=True)
class UnitNorm:
    """Scale vectors to length 1.

    Args:
        axis: along which a vector lies, as in MaxNorm.

    A vector of zeros has no direction, and stays. So does one with a nan or an infinity.

    Input shape: float[...]. Output shape: the same.

    Raises:
        TypeError: in a call, the axis is no integer, nor several in a tuple, nor None.
        numpy.exceptions.AxisError: in a call, the weight has no such axis.

    >>> import microgrid as mg
    >>> mg.nn.constraints.UnitNorm()(mg.tensor([[3.0, 0.0], [4.0, 0.0]]))
    tensor([[0.6, 0. ],
            [0.8, 0. ]])
    """

    axis: Axis = 0

    def __call__(self, weight: Tensor) -> Any:
        """Return the weight with vectors of length 1."""
        return _with_norms_between(weight, 1.0, 1.0, self.axis)


@dataclass(frozen=True)
class NonNegative:
    """Set what is negative to 0.

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, the weight does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.constraints.NonNegative()(mg.tensor([-2.0, 0.0, 3.0]))
    tensor([0., 0., 3.])
    """

    def __call__(self, weight: Tensor) -> Any:
        """Return the weight with 0 for what is negative; nan stays nan."""
        return ops.relu(weight)


@quiet
def _with_norms_between(weight: Tensor, low: float, high: float, axis: Axis) -> Any:
    """Return the weight with its vectors along the axis scaled to a norm between the bounds."""
    if not weight.size:
        return weight
    low, high = float(low), float(high)  # weak, as NumPy's float64 is not
    # By its largest element each vector comes down to a length from 1 to the root of its size. So
    # no square overflows or vanishes, nor does a norm that is beyond the largest number.
    largest = ops.max(ops.absolute(weight), axis=axis, keepdims=True)
    part = weight / largest
    length = ops.sqrt(ops.sum(part * part, axis=axis, keepdims=True))
    # Both are false where the length is nan: of a vector of zeros, of one with nan or inf.
    scaled = ops.where(largest > high / length, part * (high / length), weight)
    if low > 0:
        scaled = ops.where(largest < low / length, part * (low / length), scaled)
    return scaled
