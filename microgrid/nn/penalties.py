"""Penalties on weights: terms of the loss that draw weights towards 0.

A penalty is a function of a Parameter that returns one number, written in ops. Set it as
`parameter.penalty`, or give it to a layer as `weight_penalty`. `model.penalty()` is the sum of all;
add it to the loss. `fit` does so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import ops
from ..core import Tensor
from . import targets
from .parameter import in_use

if TYPE_CHECKING:
    from .module import Module


@dataclass(frozen=True)
class L1:
    """l1 * the sum of magnitudes: it pulls each weight by the same force, so that many reach 0.

    The slope at 0 is 0.

    Args:
        l1: the factor, at least 0.

    Input shape: float[...], the weight. Output shape: float[].

    Raises:
        ValueError: the factor is not a number, negative or infinite.
        DtypeError: in a call, the weight does not hold numbers.

    Source: Tibshirani (1996).

    >>> import microgrid as mg
    >>> mg.nn.penalties.L1(0.5)(mg.tensor([1.0, -3.0]))
    tensor(2.)
    """

    l1: float

    def __post_init__(self) -> None:
        _check_factor("L1", "l1", self.l1)

    def __call__(self, weight: Tensor) -> Any:
        """Return the penalty, float[]."""
        return float(self.l1) * ops.sum(ops.absolute(weight))


@dataclass(frozen=True)
class L2:
    """l2 * the sum of squares: it pulls each weight towards 0 by 2 * l2 times its size.

    Args:
        l2: the factor, at least 0.

    Input shape: float[...], the weight. Output shape: float[].

    Raises:
        ValueError: the factor is not a number, negative or infinite.
        DtypeError: in a call, the weight does not hold numbers.

    Source: Hoerl & Kennard (1970). As in Keras there is no 1/2.

    >>> import microgrid as mg
    >>> mg.nn.penalties.L2(0.5)(mg.tensor([1.0, -3.0]))
    tensor(5.)
    """

    l2: float

    def __post_init__(self) -> None:
        _check_factor("L2", "l2", self.l2)

    def __call__(self, weight: Tensor) -> Any:
        """Return the penalty, float[]."""
        return float(self.l2) * ops.sum(ops.square(weight))


@dataclass(frozen=True)
class Elastic:
    """l1 * the sum of magnitudes + l2 * the sum of squares: the elastic net.

    Args:
        l1, l2: the factors, at least 0.

    Input shape: float[...], the weight. Output shape: float[].

    Raises:
        ValueError: a factor is not a number, negative or infinite.
        DtypeError: in a call, the weight does not hold numbers.

    Source: Zou & Hastie (2005).

    >>> import microgrid as mg
    >>> mg.nn.penalties.Elastic(0.5, 0.25)(mg.tensor([1.0, -3.0]))
    tensor(4.5)
    """

    l1: float
    l2: float

    def __post_init__(self) -> None:
        _check_factor("Elastic", "l1", self.l1)
        _check_factor("Elastic", "l2", self.l2)

    def __call__(self, weight: Tensor) -> Any:
        """Return the penalty, float[]."""
        return L1(self.l1)(weight) + L2(self.l2)(weight)


def penalty_of(model: Module) -> Tensor | None:
    """Return the sum of the penalties of a model's parameters, or None if there are none.

    A parameter that several layers share counts once. One that requires no gradient does not count.

    Args:
        model: whose parameters are looked at. If no Parameter was ever given a penalty, none is.

    Returns:
        float[], with its graph.

    Raises:
        ValueError: one name stands for two parameters.
        Exception: what a penalty of your own raises.

    >>> import microgrid as mg
    >>> mg.nn.penalties.penalty_of(mg.nn.Dense(3, 2)) is None
    True
    """
    if "penalty" not in in_use:
        return None
    total: Any = None
    for p in model.parameters():
        if p.penalty is not None and p.requires_grad:
            term = p.penalty(p)
            total = term if total is None else total + term
    return total  # type: ignore[no-any-return]


def _check_factor(who: str, name: str, value: object) -> None:
    if not targets.is_number(value) or not 0 <= value < float("inf"):  # type: ignore[operator]
        raise ValueError(
            f"{who}: {name}={value!r} was given; it must be a finite number, at least 0."
        )
