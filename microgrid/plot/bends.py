"""Where functions bend: the points at which an op inside them is at one of its kinks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..backward import gradients
from ..core import Op, Tensor
from ..recording import Watcher

# What these ops choose is decided by the sign of the difference of their two inputs.
DECIDED_BY_DIFFERENCE = {"maximum", "minimum", "greater", "greater_equal", "less", "less_equal"}


def value_and_slope(op: Op, x: Array, params: dict[str, Any]) -> tuple[Array, Array]:
    """Return an elementwise op of one input, and its derivative, at each of the points."""
    leaf = Tensor(x, requires_grad=True)
    y = op(leaf, **params)
    slope = gradients(y, leaf, np.ones_like(x)) if y.requires_grad else np.zeros_like(x)
    return np.asarray(y), np.asarray(slope)


def knots_of(op: Op, params: dict[str, Any]) -> Array:
    """Return where an elementwise op of one input bends or jumps.

    Those of a piecewise-linear op are its data; others are sought where its tests look on purpose.
    """
    if op.pieces:
        return np.array([float(knot) for knot in op.pieces(**params).knots])
    if op.selection is None or op.signature != "()->()":
        return np.array([])
    domain = op.domains[0]
    points = np.unique([p for p in domain.include if domain.low < p < domain.high])
    left = value_and_slope(op, np.nextafter(points, -np.inf), params)
    right = value_and_slope(op, np.nextafter(points, np.inf), params)
    jump, bend = (~np.isclose(a, b) for a, b in zip(left, right, strict=True))
    return points[jump | bend]


class Bends(Watcher):
    """Sees how far each op is from each of its kinks, inside a `with` block.

    Args:
        count: of the points; the first dimension of what is computed counts them.

    Attributes:
        distances: per call of an op that bends, and per kink of it: float[count, units]. Where it
            is 0 or changes its sign the result has a kink.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.distances: list[Array] = []

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        """Note how far the inputs are from where the op bends."""
        super().done(op, inputs, params, y)
        x = inputs[0]._data if inputs else np.array(0)
        if op.name in DECIDED_BY_DIFFERENCE:
            self._note(x - inputs[1]._data)
        elif op.name == "prelu":
            self._note(x)
        elif x.shape[:1] == (self.count,):
            for knot in knots_of(op, params):
                self._note(x - knot)

    def _note(self, distance: Array) -> None:
        if distance.shape[:1] == (self.count,):
            self.distances.append(distance.reshape(self.count, -1))
