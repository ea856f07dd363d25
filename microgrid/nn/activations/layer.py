"""What activations as layers share, and the names by which other layers take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ... import ops
from ...core import Operand
from ..module import Module, check_instance

# No numbers, but every axis that a layer's input can have; NumPy allows 64, and maxout adds one.
NOTHING = np.zeros((0,) * 63, np.float32)


class Activation(Module):
    """The base of layers that apply one op of a tensor, with fixed options.

    One without options needs no more than `op`, and takes no arguments.

    Input shape: float[...]. Output shape: the same, where the layer does not say otherwise.

    Attributes:
        options: what the op is called with, by name.

    Raises:
        DtypeError: in a call, x does not hold numbers. So with all that are derived from it.
    """

    op: ClassVar[Callable[..., Any]]
    # Not set by an __init__: layers without options would share that, with errors that name this
    # class. It is never written to: a layer with options has its own.
    options: dict[str, Any] = {}  # noqa: RUF012

    def _keep(self, **options: Any) -> None:
        """Keep the options, and raise what the op would raise for them in the first call."""
        self.options = options
        type(self).op(NOTHING, **options)

    def forward(self, x: Operand) -> Any:
        """Return the op's result for x."""
        return type(self).op(x, **self.options)

    def extra_repr(self) -> str:
        """Return the options."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


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
