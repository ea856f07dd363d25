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
        distances: float[count, units] per call of an op that bends, one after another for several
            kinks. Where a column is 0 or changes its sign the result has a kink.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.distances: list[Array] = []

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        """Note how far the inputs are from where the op bends."""
        super().done(op, inputs, params, y)
        if y.shape[:1] != (self.count,):
            return
        arrays = [x._data for x in inputs]
        if op.name in DECIDED_BY_DIFFERENCE:
            self._note([arrays[0] - arrays[1]])
        elif op.name == "prelu":
            self._note([arrays[0]])
        elif len(arrays) == 1:
            self._note([arrays[0] - knot for knot in knots_of(op, params)])

    def _note(self, distances: list[Array]) -> None:
        columns = [d.reshape(self.count, -1) for d in distances if d.shape[:1] == (self.count,)]
        if columns:
            self.distances.append(np.concatenate(columns, axis=1))
