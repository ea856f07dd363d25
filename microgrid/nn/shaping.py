"""Layers without numbers of their own: they reshape, pass on, or apply a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import ops
from ..core import Operand, as_operand
from ..errors import ShapeError
from .module import Module, as_integer, check_instance


class Flatten(Module):
    """All axes from `start` on as one, which is made if there is none.

    Args:
        start: the first axis to flatten; negative ones count from the end.

    Input shape: any[...]. Output shape: any[*kept, n] with the first `start` sizes kept.

    Raises:
        TypeError: start is not an integer.
        ShapeError: in a call, x has fewer axes than are kept.
        DtypeError: in a call, x does not hold numbers.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.nn.Flatten()(np.zeros((32, 28, 28))).shape
    (32, 784)
    """

    def __init__(self, start: int = 1) -> None:
        self.start = as_integer("Flatten", "start", start)

    def forward(self, x: Operand) -> Any:
        """Return x with its last axes as one."""
        t = as_operand("Flatten", x)
        shape = t.shape
        kept = self.start if self.start >= 0 else len(shape) + self.start
        if not 0 <= kept <= len(shape):
            raise ShapeError(
                f"Flatten: an input of shape {shape} was given; it needs at least "
                f"{self.start if self.start >= 0 else -self.start} axes for start={self.start}. "
                "Reshape it, or change start."
            )
        return ops.reshape(t, (*shape[:kept], math.prod(shape[kept:])))

    def extra_repr(self) -> str:
        """Return the first axis, if it is not the default."""
        return f"start={self.start}" * (self.start != 1)


class Identity(Module):
    """x as it is: a place that another layer may take.

    Input shape: any[...]. Output shape: the same.

    >>> import microgrid as mg
    >>> mg.nn.Identity()(3.0)
    3.0
    """

    def forward(self, x: Any) -> Any:
        """Return x itself."""
        return x


class Lambda(Module):
    """A function as a layer: it is shown in the model, and called with x.

    Args:
        function: of a Tensor, or of several, written in ops. To be saved by pickle it needs a name
            in a module: `def`, not `lambda`.

    Input shape: any[...], as the function takes it. Output shape: any[...], as it returns it.

    Raises:
        TypeError: it cannot be called, or is a class of layers.
        Exception: in a call, what the function raises.

    >>> import microgrid as mg
    >>> layer = mg.nn.Lambda(mg.square)
    >>> layer
    Lambda(square)
    >>> layer([1.0, 2.0])
    array([1., 4.])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        check_instance("Lambda: the function", function)
        if not callable(function):
            raise TypeError(
                f"Lambda: a value of type {type(function).__name__} was given; it needs a "
                "function of a Tensor."
            )
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        """Return what the function returns."""
        return self.function(*inputs)

    def extra_repr(self) -> str:
        """Return the name of the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)
