"""What a net for digits achieved: its learning curves, and the digits that it misread."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..errors import ShapeError
from ..files import as_path
from .canvas import new_figure
from .curves import draw_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

FORMATS = ".png", ".pdf", ".svg"
"""How the name of a file may end that `save_report` writes, and so in which format."""

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

    Returns:
        The figure; of the misread digits the first 20 are on it.

    Raises:
        ImportError: matplotlib is not installed.
        ShapeError: the numbers of images, labels and predictions differ, or the images are not
            square.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, y = np.zeros((3, 64)), np.array([1, 2, 3])
    >>> mg.plot.misread(x, y, [1, 7, 3]).axes[0].get_title()
    '2 read as 7'
    """
    pictures, truth, read = _checked("plot.misread", images, labels, predictions)
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
    path: str | os.PathLike[str],
    history: Mapping[str, Sequence[float]],
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
) -> None:
    """Write a picture of the learning curves, and of the misread digits below them, to `path`.

    Args:
        path: a str or a Path; the end of its name, one of `mg.plot.FORMATS`, says in which format.
        history: float[epochs] by name, as `fit(...).history`; see `mg.plot.history`.
        images: float[n, pixels], pictures with as many rows as columns.
        labels: int[n], what they show.
        predictions: int[n], as what they were read.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
        ShapeError: the numbers of images, labels and predictions differ, or the images are not
            square.
        TypeError: the path is of another type.
        ValueError: the name ends otherwise.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> import os, tempfile
    >>> x, y = np.zeros((3, 64)), np.array([1, 2, 3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "report.svg")
    ...     mg.plot.save_report(path, {"loss": [2.0, 1.0]}, x, y, [1, 7, 3])
    ...     os.listdir(folder)
    ['report.svg']
    """
    place = as_path("plot.save_report", path, "report.png")
    if os.path.splitext(place)[1].lower() not in FORMATS:
        raise ValueError(
            f"plot.save_report: the path {place!r} was given; its name must end in one of "
            f"{', '.join(FORMATS)}. Choose one of these formats."
        )
    _, truth, read = _checked("plot.save_report", images, labels, predictions)
    height = _height(int(np.count_nonzero(truth != read)))
    figure = new_figure("plot.save_report", 9, 3.6 + height)
    halves: Any = figure.subfigures(2, 1, height_ratios=(3.6, height))
    above, below = halves
    draw_curves(above, history)
    misread(images, labels, predictions, below)
    figure.savefig(place, dpi=150)


def _checked(
    who: str, images: ArrayLike, labels: ArrayLike, predictions: ArrayLike
) -> tuple[Array, Array, Array]:
    """Return pictures, what they show, and as what they were read, as arrays.

    Raises:
        ShapeError: they are not of the same digits, or the pictures are not square.
    """
    pictures, truth, read = np.asarray(images), np.asarray(labels), np.asarray(predictions)
    if pictures.ndim != 2:
        raise ShapeError(
            f"{who}: images of shape {pictures.shape} were given; it needs (n, pixels). Flatten "
            "each picture, as with images.reshape(len(images), -1)."
        )
    if truth.shape != pictures.shape[:1] or read.shape != truth.shape:
        raise ShapeError(
            f"{who}: labels of shape {truth.shape} and predictions of shape {read.shape} were "
            f"given for {len(pictures)} images; it needs one class of each for an image. Of scores "
            "take argmax(axis=1)."
        )
    pixels = pictures.shape[1]
    if math.isqrt(pixels) ** 2 != pixels:
        raise ShapeError(
            f"{who}: images of {pixels} pixels were given; a picture needs as many rows as columns,"
            " as 64 pixels have 8 of each. Cut the pictures to squares."
        )
    return pictures, truth, read


def _height(misread: int) -> float:
    """Return how many inches the picture of so many misread digits takes."""
    return 0.4 + 1.1 * _rows(misread)


def _rows(misread: int) -> int:
    return max(1, min(math.ceil(misread / COLUMNS), MOST_ROWS))
