"""How numbers are distributed, layer by layer: activations and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..core import Operand
from ..nn import Module
from .canvas import BLUE, GREY, axes_for, tidy
from .hidden import hidden

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 50
HIGH = 0.8  # of a row, what its distribution takes
ROW = 0.55  # inches


def activations(model: Module, x: Operand, ax: Axes | None = None) -> Axes:
    r"""Draw how the activations of each hidden layer are distributed, and how many are exactly 0.

    Args:
        model: a Module; a copy in evaluation mode computes.
        x: float[n, ...], the samples.
        ax: where to draw; a new figure otherwise.

    Returns:
        The axes. A row is a layer of `hidden(model, x)`, the first at the top; its height is
        scaled to its peak. Exact zeros, as relu gives them, are left out of it, and their share is
        told below the name.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: the model is no Module, or `ax` no axes.
        DtypeError, ShapeError: x is not numeric, or does not fit the model.
        ValueError: the model has no hidden layer.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> axes = mg.plot.activations(mg.nn.MLP([4, 8, 6, 3], rng=0), np.ones((5, 4)))
    >>> [text.get_text() for text in axes.get_yticklabels()]
    ['layer 0\n62% exactly 0', 'layer 1\n17% exactly 0']
    """
    layers = {f"layer {name}": values for name, values in hidden(model, x)}
    if not layers:
        raise ValueError(
            f"plot.activations: the {type(model).__name__} has no hidden layer: what its layers "
            "give is what it returns."
        )
    ax = draw_rows("plot.activations", layers, "activation", ax)
    ax.set_ylabel("")  # each row says that it is a layer
    return ax


def draw_rows(who: str, rows: Mapping[str, Array], what: str, ax: Axes | None) -> Axes:
    """Draw a distribution per row, the first at the top."""
    ax = axes_for(who, ax, 5.2, 1.1 + ROW * len(rows))
    arrays = [np.asarray(values, float).ravel() for values in rows.values()]
    for place, values in enumerate(arrays):
        _draw_row(ax, values, place)
    ax.set_yticks(range(len(rows)), list(map(_told, rows, arrays)))
    ax.set(xlabel=what, ylabel="layer", ylim=(len(rows) - 0.75, -0.95))
    tidy(ax)
    return ax


def _draw_row(ax: Axes, values: Array, place: int) -> None:
    finite = values[np.isfinite(values)]
    counted = finite[finite != 0]
    ax.axhline(place, color=GREY, linewidth=0.5)
    if counted.size:
        counts, edges = np.histogram(counted, BINS)
        heights = counts / counts.max() * HIGH
        ax.stairs(place - heights, edges, baseline=place, fill=True, color=BLUE, alpha=0.8)


def _told(name: str, values: Array) -> str:
    """Return the name of a row, and what its distribution leaves out."""
    lost = int(np.count_nonzero(~np.isfinite(values)))
    share = np.count_nonzero(values == 0) / max(values.size - lost, 1)
    lines = [name]
    if share > 0:
        lines.append(f"{share:.0%} exactly 0")
    if lost:
        lines.append(f"{lost} not finite")
    return "\n".join(lines)
