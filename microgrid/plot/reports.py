"""What a net for digits achieved: its learning curves, and the digits that it misread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .canvas import new_figure
from .curves import draw_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

FORMATS = ".png", ".pdf", ".svg"
COLUMNS, MOST_ROWS = 10, 2  # of misread digits


def misread(
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Return a figure of the digits that were misread: what each is, and as what it was read.

    Args:
        images: float[n, pixels], pictures with as many rows as columns.
        labels: int[n], what they show.
        predictions: int[n], as what they were read.
        figure: where to draw; a new one otherwise.

    Raises:
        ImportError: matplotlib is not installed.

    >>> import microgrid as mg
    >>> x, y = np.zeros((3, 64)), np.array([1, 2, 3])
    >>> mg.plot.misread(x, y, [1, 7, 3]).axes[0].get_title()
    '2 read as 7'
    """
    pictures, truth, read = np.asarray(images), np.asarray(labels), np.asarray(predictions)
    wrong = np.flatnonzero(truth != read)
    shown = wrong[: COLUMNS * MOST_ROWS]
    figure = figure or new_figure("plot.misread", 9, _height(len(wrong)))
    some = f", the first {len(shown)}" if len(shown) < len(wrong) else ""
    figure.suptitle(f"{len(wrong)} of {len(truth)} digits misread{some}", fontsize=11)
    side = round(pictures.shape[1] ** 0.5)
    figure.subplots(_rows(len(wrong)), COLUMNS)
    for ax in figure.axes:
        ax.set_axis_off()
    for ax, i in zip(figure.axes, shown.tolist(), strict=False):
        ax.imshow(pictures[i].reshape(side, side), cmap="gray_r")
        ax.set_title(f"{truth[i]} read as {read[i]}", fontsize=8, pad=3)
    return figure


def save_report(
    path: str | PathLike[str],
    history: Mapping[str, Sequence[float]],
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
) -> None:
    """Write a picture of the learning curves, and of the misread digits below them, to `path`.

    The end of the name, one of `FORMATS`, says in which format. See `history` and `misread` for the
    arguments.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    height = _height(int(np.count_nonzero(np.asarray(labels) != np.asarray(predictions))))
    figure = new_figure("plot.save_report", 9, 3.6 + height)
    halves: Any = figure.subfigures(2, 1, height_ratios=(3.6, height))
    above, below = halves
    draw_curves(above, history)
    misread(images, labels, predictions, below)
    figure.savefig(path, dpi=150)


def _height(misread: int) -> float:
    """Return how many inches the picture of so many misread digits takes."""
    return 0.4 + 1.1 * _rows(misread)


def _rows(misread: int) -> int:
    return max(1, min(math.ceil(misread / COLUMNS), MOST_ROWS))
