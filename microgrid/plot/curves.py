"""Learning curves: how loss and metrics went over the epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..train import History
from .canvas import BLUE, ORANGE, axes_for, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WHO = "plot.history"
FEW = 5  # epochs
COLUMNS = 3  # of curves in a figure
WIDE = 20  # from this ratio of the largest loss to the smallest on, its scale is logarithmic
VALIDATION = "val_"


def history(
    history: History | Mapping[str, Sequence[float]],
    ax: Axes | None = None,
    name: str | None = None,
) -> Axes:
    """Draw loss and metrics over the epochs, on training and validation data.

    Args:
        history: what `fit` returned, or by name float[epochs], one number an epoch: "loss", a
            metric, and "val_" and the name for validation data.
        ax: where to draw one of them; otherwise a new figure has axes for each.
        name: which one; "loss" if axes are given, otherwise all.

    Returns:
        The axes, of several the first; `.figure.axes` has all.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: it is no history, or `ax` no axes.
        ValueError: there is no epoch, or nothing of that name.

    >>> import microgrid as mg
    >>> axes = mg.plot.history({"loss": [2.0, 1.0], "val_loss": [2.1, 1.4]})
    >>> axes.get_ylabel(), [text.get_text() for text in axes.get_legend().get_texts()]
    ('loss', ['training', 'validation'])
    """
    curves = _curves(history)
    epochs = [epoch + 1 for epoch in getattr(history, "epoch", ())]
    if ax is None and name is None:
        names = training_names(curves)
        rows = math.ceil(len(names) / COLUMNS)
        figure = new_figure(WHO, 1 + 3.6 * min(len(names), COLUMNS), 3.2 * rows)
        return draw_curves(figure, curves, epochs)
    name = name or "loss"
    if not curves.get(name):
        raise ValueError(
            f"{WHO}: the history has no {name!r}; it has {', '.join(curves)}. Name one of them."
        )
    ax = axes_for(WHO, ax)
    _draw(ax, curves, name, epochs)
    return ax


def draw_curves(
    figure: Figure | SubFigure, curves: Mapping[str, Sequence[float]], epochs: Iterable[int] = ()
) -> Axes:
    """Draw all curves into a figure, each on axes of its own; return the first of those."""
    names = training_names(curves)
    columns = min(len(names), COLUMNS)
    rows = math.ceil(len(names) / columns)
    for place, name in enumerate(names, 1):
        _draw(figure.add_subplot(rows, columns, place), curves, name, list(epochs))
    return figure.axes[0]


def training_names(curves: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the names of what has axes of its own: validation shares those of training."""
    return [
        name
        for name in curves
        if not (name.startswith(VALIDATION) and name.removeprefix(VALIDATION) in curves)
    ]


def _curves(history: History | Mapping[str, Sequence[float]]) -> Mapping[str, Sequence[float]]:
    curves = history.history if isinstance(history, History) else history
    if not isinstance(curves, Mapping):
        raise TypeError(
            f"{WHO}: a value of type {type(history).__name__} was given; it needs the History that "
            "fit returns, or a dict of lists."
        )
    if not any(len(values) for values in curves.values()):
        raise ValueError(f"{WHO}: the history has no epochs. Train for at least one.")
    return curves


def _draw(
    ax: Axes, curves: Mapping[str, Sequence[float]], name: str, epochs: Sequence[int]
) -> None:
    _curve(ax, curves[name], epochs, "training", BLUE, "-")
    validation = curves.get(VALIDATION + name, ())
    if len(validation):
        _curve(ax, validation, epochs, "validation", ORANGE, "--")
    ax.set(xlabel="epoch", ylabel=name.replace("_", " "))
    ax.locator_params("x", integer=True, min_n_ticks=1)
    values = np.array([*curves[name], *validation])
    if name == "loss" and values.min() > 0 and values.max() > WIDE * values.min():
        ax.set_yscale("log")
    ax.legend(frameon=False)
    tidy(ax)


def _curve(
    ax: Axes, values: Sequence[float], epochs: Sequence[int], label: str, colour: str, style: str
) -> None:
    # A run that ended within an epoch, or a list written by hand: counted from 1.
    x = epochs if len(epochs) == len(values) else range(1, len(values) + 1)
    marker = "o" if len(values) < FEW else None  # a line through one point cannot be seen
    ax.plot(x, values, label=label, color=colour, linestyle=style, marker=marker)
