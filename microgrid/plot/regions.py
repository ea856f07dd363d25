"""Which class a classifier gives to each point of the plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..nn.module import as_integer
from .bends import Bends
from .canvas import BLACK, COLOURS, DASHES, GREY, MARKERS, axes_for
from .samples import Model, class_indices, names_for, points_with_labels, scores_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHO = "plot.decision_regions"
MARGIN = 0.12  # around the points, as a share of their extent
MANY = 200  # points from which on they are drawn smaller


class Grid(NamedTuple):
    """The points at which a model is asked: float[resolution] each way, float[n, 2] together."""

    across: Array
    up: Array
    points: Array

    def columns(self, values: Array) -> Array:
        """Return values at the points as float[rows, columns]."""
        return values.reshape(len(self.up), len(self.across))


def decision_regions(
    model: Model,
    x: ArrayLike,
    y: ArrayLike,
    ax: Axes | None = None,
    *,
    resolution: int = 200,
    class_names: Sequence[Any] | None = None,
    kinks: bool = False,
) -> Axes:
    """Colour the plane by the class that a model gives to each point, with the samples on it.

    Args:
        model: a Module, or a function of float[n, 2]; it returns float[n, classes], of which the
            largest wins, or one score a point, positive for the second of two classes.
        x: float[n, 2], the samples.
        y: int[n], their classes, from 0; of two classes also others, as -1 and 1.
        ax: where to draw; a new figure otherwise.
        resolution: how many points each way the model is asked for.
        class_names: for the legend; the numbers otherwise.
        kinks: whether to draw where the net bends: for each unit of a relu, or another function
            with kinks, the line on which it changes from one piece to the next.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: the model is neither a Module nor a function.
        ShapeError: the samples are not of two numbers, or x and y differ in length.
        ValueError: a label is no class of the model, or names and classes differ in number.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> model = mg.nn.MLP([2, 8, 2], rng=0)
    >>> axes = mg.plot.decision_regions(model, x, [0, 1, 1, 0], class_names=["same", "other"])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['same', 'other']
    """
    points, labels = points_with_labels(WHO, x, y)
    grid = grid_around(points, as_integer(WHO, "resolution", resolution, 2))
    margins = margins_of(scores_of(WHO, model, grid.points))
    classes = class_indices(WHO, labels, len(margins))
    names = names_for(WHO, class_names, len(margins))
    ax = axes_for(WHO, ax, 4.8, 4.0)
    draw_regions(ax, grid, margins)
    draw_samples(ax, points, classes, names)
    if kinks:
        _draw_kinks(ax, grid, model)
    ax.legend(fontsize="small", edgecolor="none", framealpha=0.9)
    return ax


def grid_around(points: Array, resolution: int) -> Grid:
    """Return a grid over all the points and some way beyond."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = MARGIN * np.where(high > low, high - low, 1.0)
    across, up = (
        np.linspace(a, b, resolution) for a, b in zip(low - room, high + room, strict=True)
    )
    plane = np.stack(np.meshgrid(across, up), axis=-1)
    return Grid(across, up, plane.reshape(-1, 2))


def margins_of(scores: Array) -> Array:
    """Return float[classes, n]: by how much each class leads the best other; > 0 if it wins."""
    if scores.ndim == 1:
        return np.stack([-scores, scores])
    best = np.sort(scores, axis=1)
    first, second = best[:, -1:], best[:, -2:-1]
    return (scores - np.where(scores == first, second, first)).T


def draw_regions(ax: Axes, grid: Grid, margins: Array) -> None:
    """Draw the region of each class, pale, and the lines between them."""
    for margin, colour in zip(margins, cycle(COLOURS)):
        surface = grid.columns(margin)
        if surface.max() > 0:
            levels = [0, surface.max()]
            ax.contourf(grid.across, grid.up, surface, levels, colors=[colour], alpha=0.25)
    for margin in margins[1:] if len(margins) == 2 else margins:
        _zero_line(ax, grid, margin, color=BLACK, linewidth=1.2)


def draw_samples(ax: Axes, points: Array, classes: Array, names: Sequence[str]) -> None:
    """Draw the samples, each class in a colour and shape of its own; name classes and axes."""
    size = 14 if len(points) > MANY else 26
    for i, (name, colour, marker) in enumerate(zip(names, cycle(COLOURS), cycle(MARKERS))):
        chosen = points[classes == i]
        ax.scatter(
            chosen[:, 0], chosen[:, 1], s=size, color=colour, marker=marker, label=name,
            edgecolors="white", linewidths=0.5, zorder=3,
        )  # fmt: skip
    ax.set(xlabel="first feature", ylabel="second feature")


def _draw_kinks(ax: Axes, grid: Grid, model: Model) -> None:
    """Draw where the units bend, those of each layer in lines of their own kind."""
    count = len(grid.points)
    with Bends(count) as bends:
        scores_of(WHO, model, grid.points, batch_size=count)
    for number, (distances, style) in enumerate(zip(bends.distances, cycle(DASHES)), 1):
        for distance in distances.T:
            _zero_line(ax, grid, distance, color=GREY, linewidth=0.7, linestyle=style)
        ax.plot([], [], color=GREY, linewidth=0.7, linestyle=style, label=f"kinks, layer {number}")


def _zero_line(ax: Axes, grid: Grid, values: Array, *, color: str, **style: Any) -> None:
    """Draw where the values are 0, if they are anywhere."""
    if values.min() < 0 < values.max():
        widths, styles = style["linewidth"], style.get("linestyle", "-")
        ax.contour(
            grid.across, grid.up, grid.columns(values), [0],
            colors=color, linewidths=widths, linestyles=styles,
        )  # fmt: skip
