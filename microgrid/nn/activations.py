"""Activations as layers. Each applies the op of its name; what it means is written there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .. import ops
from ..core import Operand
from .module import Module, as_integer, check_instance

# No numbers, but every axis that a layer's input can have; NumPy allows 64, and maxout adds one.
NOTHING = np.zeros((0,) * 63, np.float32)


class Activation(Module):
    """The base of layers that apply one op of a tensor, with fixed options.

    Input shape: float[...]. Output shape: the same, where the layer does not say otherwise.
    """

    op: ClassVar[Callable[..., Any]]

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.check_options()

    def check_options(self) -> None:
        """Raise what the op would raise in the first forward pass."""
        type(self).op(NOTHING, **self.options)

    def forward(self, x: Operand) -> Any:
        """Return the op's result for x."""
        return type(self).op(x, **self.options)

    def extra_repr(self) -> str:
        """Return the options."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class ReLU(Activation):
    """max(x, 0), with slope 0 at 0.

    >>> ReLU()([-2.0, 0.0, 2.0])
    array([0., 0., 2.])
    """

    op = ops.relu


class LeakyReLU(Activation):
    """x where it is positive, negative_slope * x elsewhere.

    >>> LeakyReLU(0.1)([-2.0, 0.0, 2.0])
    array([-0.2,  0. ,  2. ])
    """

    op = ops.leaky_relu

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)


class ReLU6(Activation):
    """x, held between 0 and 6.

    >>> ReLU6()([-1.0, 3.0, 8.0])
    array([0., 3., 6.])
    """

    op = ops.relu6


class CReLU(Activation):
    """relu(x) and relu(-x), side by side: the axis doubles in size.

    >>> CReLU()([-2.0, 3.0])
    array([0., 3., 2., 0.])
    """

    op = ops.crelu

    def __init__(self, axis: int = -1) -> None:
        super().__init__(axis=axis)


class Hardtanh(Activation):
    """x, held between two bounds.

    >>> Hardtanh()([-2.0, 0.5, 2.0])
    array([-1. ,  0.5,  1. ])
    """

    op = ops.hardtanh

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__(min_val=min_val, max_val=max_val)


class Hardsigmoid(Activation):
    """x / 6 + 1/2, held between 0 and 1.

    >>> Hardsigmoid()([-3.0, 0.0, 1.5])
    array([0.  , 0.5 , 0.75])
    """

    op = ops.hardsigmoid


class Softshrink(Activation):
    """x, moved towards 0 by lambd, and 0 on the way.

    >>> Softshrink(0.5)([-2.0, 0.25, 2.0])
    array([-1.5,  0. ,  1.5])
    """

    op = ops.softshrink

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)


class Maxout(Activation):
    """The largest of each group of pool_size neighbours: the axis shrinks by that factor.

    >>> Maxout(2)([1.0, 5.0, -2.0, -3.0])
    array([ 5., -2.])
    """

    op = ops.maxout

    def __init__(self, pool_size: int = 2, axis: int = -1) -> None:
        super().__init__(pool_size=pool_size, axis=axis)

    def check_options(self) -> None:
        """Raise if the options make no sense for any input."""
        as_integer("Maxout", "pool_size", self.options["pool_size"], least=1)
        super().check_options()


class Sigmoid(Activation):
    """1 / (1 + exp(-x)).

    >>> Sigmoid()([-2.0, 0.0, 2.0])
    array([0.11920292, 0.5       , 0.88079708])
    """

    op = ops.sigmoid


class Tanh(Activation):
    """The hyperbolic tangent.

    >>> Tanh()([-2.0, 0.0, 2.0])
    array([-0.96402758,  0.        ,  0.96402758])
    """

    op = ops.tanh


class Softplus(Activation):
    """ln(1 + exp(x)), a smooth relu.

    >>> Softplus()([-2.0, 0.0, 2.0])
    array([0.12692801, 0.69314718, 2.12692801])
    """

    op = ops.softplus


class Softsign(Activation):
    """x / (1 + |x|).

    >>> Softsign()([-1.0, 0.0, 3.0])
    array([-0.5 ,  0.  ,  0.75])
    """

    op = ops.softsign


class ELU(Activation):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere.

    >>> ELU()([-2.0, 0.0, 2.0])
    array([-0.86466472,  0.        ,  2.        ])
    """

    op = ops.elu

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class SELU(Activation):
    """An ELU scaled so that activations tend to mean 0 and variance 1.

    >>> SELU()([-2.0, 0.0, 2.0])
    array([-1.52016647,  0.        ,  2.10140197])
    """

    op = ops.selu


class CELU(Activation):
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere.

    >>> CELU(2.0)([-2.0, 0.0, 2.0])
    array([-1.26424112,  0.        ,  2.        ])
    """

    op = ops.celu

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class GELU(Activation):
    """x times the normal distribution function of x; approximate="tanh" is faster.

    >>> GELU()([-2.0, 0.0, 2.0])
    array([-0.04550026,  0.        ,  1.95449974])
    """

    op = ops.gelu

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=approximate)


class SiLU(Activation):
    """x * sigmoid(x).

    >>> SiLU()([-2.0, 0.0, 2.0])
    array([-0.23840584,  0.        ,  1.76159416])
    """

    op = ops.silu


class Mish(Activation):
    """x * tanh(softplus(x)).

    >>> Mish()([-2.0, 0.0, 2.0])
    array([-0.25250148,  0.        ,  1.94395896])
    """

    op = ops.mish


class Hardswish(Activation):
    """x * hardsigmoid(x).

    >>> Hardswish()([-1.5, 0.0, 1.5])
    array([-0.375,  0.   ,  1.125])
    """

    op = ops.hardswish


class Softmax(Activation):
    """Positive weights along an axis that sum to 1, in the ratio of the exponentials.

    >>> import math
    >>> Softmax()([0.0, 0.0, math.log(2)])
    array([0.25, 0.25, 0.5 ])
    """

    op = ops.softmax

    def __init__(self, axis: int = -1) -> None:
        super().__init__(axis=axis)


class LogSoftmax(Activation):
    """The logarithm of Softmax, for `nll_loss`.

    >>> LogSoftmax()([0.0, 0.0])
    array([-0.69314718, -0.69314718])
    """

    op = ops.log_softmax

    def __init__(self, axis: int = -1) -> None:
        super().__init__(axis=axis)


# By name they come with the defaults of their ops; what learns or draws is a layer.
NAMED: dict[str, Callable[..., Any]] = {
    name: getattr(ops, name)
    for name in (
        "relu", "leaky_relu", "relu6", "crelu", "hardtanh", "hardsigmoid", "softshrink", "absolute",
        "sigmoid", "tanh", "softplus", "softsign", "elu", "selu", "celu", "gelu", "silu", "mish",
        "hardswish", "softmax", "log_softmax",
    )
}  # fmt: skip
NONE = ("linear", "identity", "none")


def named_activation(who: str, activation: str | Callable[..., Any] | None) -> Any:
    """Return the activation, given by name, as a function, or as a layer; None for none.

    Raises:
        ValueError: the name is not known.
        TypeError: it is neither a name nor a function.
    """
    check_instance(f"{who}: the activation", activation)
    if activation is None or callable(activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(
            f"{who}: the activation given is of type {type(activation).__name__}; it needs a name, "
            "a function, or a layer."
        )
    if activation in NONE:
        return None
    if activation not in NAMED:
        raise ValueError(
            f"{who}: the activation {activation!r} is not known; the names are {', '.join(NAMED)}. "
            "Pass a function or a layer for another."
        )
    return NAMED[activation]


def activation_name(activation: Callable[..., Any] | None) -> str:
    """Return the name of an activation, a layer's being that of its op; "" for none."""
    if activation is None:
        return ""
    if isinstance(activation, Activation):
        activation = type(activation).op
    return getattr(activation, "__name__", type(activation).__name__.lower())
