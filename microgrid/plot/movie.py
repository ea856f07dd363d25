"""A film of how a classifier divides the plane while it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..nn.module import as_integer
from ..train.callbacks import Callback
from .canvas import new_figure
from .regions import draw_regions, draw_samples, grid_around, margins_of
from .samples import Model, class_indices, names_for, points_with_labels, scores_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

WHO = "plot.DecisionMovie"
SIZE, DPI = (4.0, 3.4), 80  # inches, and dots an inch
PALETTE = 96  # colours: pale regions, samples, and what is between
PAUSE = 1500  # milliseconds on the last frame


class Frame(NamedTuple):
    """What is drawn of one moment: its title, and by how much each class leads at each point."""

    title: str
    margins: Array


class DecisionMovie(Callback):
    """Records how a classifier divides the plane while it learns, for an animated GIF.

    As a callback of `fit` it records a frame before the training and after each epoch, or every
    few. In a loop of your own call it: `movie("step 1")`.

    Args:
        model: as for `decision_regions`.
        x: float[n, 2], the samples.
        y: int[n], their classes.
        every: epochs from one frame to the next.
        resolution: how many points each way the model is asked for.
        class_names: for the legend; the numbers otherwise.

    Attributes:
        frames: what is recorded.

    Raises:
        ShapeError: the samples are not of two numbers, or x and y differ in length.
        TypeError: `every` or `resolution` is no integer.
        ValueError: `every` or `resolution` is too small.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, y = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1])
    >>> model = mg.nn.MLP([2, 4, 2], rng=0)
    >>> movie = mg.plot.DecisionMovie(model, x, y, resolution=20)
    >>> run = mg.fit(model, x, y, loss="cross_entropy", optimizer="sgd", epochs=3, verbose=0,
    ...              callbacks=[movie])
    >>> len(movie)
    4
    >>> movie.save("learning.gif")  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model,
        x: ArrayLike,
        y: ArrayLike,
        *,
        every: int = 1,
        resolution: int = 80,
        class_names: Sequence[Any] | None = None,
    ) -> None:
        self._classifier = model
        self._points, self._labels = points_with_labels(WHO, x, y)
        self._grid = grid_around(self._points, as_integer(WHO, "resolution", resolution, 2))
        self._names = class_names
        self.every = as_integer(WHO, "every", every, 1)
        self.frames: list[Frame] = []

    def __len__(self) -> int:
        return len(self.frames)

    def __call__(self, title: str = "") -> None:
        """Record a frame of what the model says now."""
        margins = margins_of(scores_of(WHO, self._classifier, self._grid.points))
        self.frames.append(Frame(title, margins.astype(np.float32)))

    def on_train_begin(self, logs: Any = None) -> None:
        """Record what the model says before it learns."""
        self("before training")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Record what the model says after an epoch."""
        if (epoch + 1) % self.every == 0:
            loss = f", loss {logs['loss']:.3f}" if logs and "loss" in logs else ""
            self(f"epoch {epoch + 1}{loss}")

    def save(self, path: str | PathLike[str], fps: float = 8.0) -> None:
        """Write an animated GIF, which begins anew after a pause on its last frame.

        Args:
            path: whose name ends in ".gif".
            fps: frames a second.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: nothing is recorded, the name ends otherwise, or fps is not above 0.
            OSError: the file cannot be written.
        """
        if not self.frames:
            raise ValueError(f"{WHO}: no frame is recorded. Pass it to fit as a callback first.")
        if not fspath(path).lower().endswith(".gif"):
            raise ValueError(f"{WHO}: {fspath(path)!r} was given; the name must end in .gif.")
        if not 0 < fps < np.inf:
            raise ValueError(f"{WHO}: fps={fps!r} was given; it must be a number above 0.")
        first, *others = _in_few_colours(self._pictures())
        durations = [round(1000 / fps)] * len(others) + [PAUSE]
        first.save(path, save_all=True, append_images=others, duration=durations, loop=0)

    def _pictures(self) -> list[Image]:
        """Return each frame as a picture."""
        figure = new_figure(WHO, *SIZE)
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL.Image import fromarray

        figure.set_dpi(DPI)
        ax = figure.add_subplot()
        canvas: Any = FigureCanvasAgg(figure)
        drawn = []
        for frame in self.frames:
            ax.clear()
            self._draw(ax, frame)
            canvas.draw()
            drawn.append(fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
            # Finding the places of the axes takes half of the time, and they stay.
            figure.set_layout_engine("none")
        return drawn

    def _draw(self, ax: Axes, frame: Frame) -> None:
        count = len(frame.margins)
        draw_regions(ax, self._grid, frame.margins)
        classes = class_indices(WHO, self._labels, count)
        draw_samples(ax, self._points, classes, names_for(WHO, self._names, count))
        ax.legend(loc="upper right", fontsize="small", edgecolor="none", framealpha=0.9)
        ax.set_title(frame.title, fontsize=10)


def _in_few_colours(pictures: list[Image]) -> list[Image]:
    """Return the pictures in one palette, so that no colour flickers from frame to frame."""
    from PIL.Image import Dither, fromarray

    some = [*pictures[:: max(1, len(pictures) // 4)], pictures[-1]]
    together = fromarray(np.concatenate([np.asarray(picture) for picture in some]))
    palette = together.quantize(PALETTE)
    return [picture.quantize(palette=palette, dither=Dither.NONE) for picture in pictures]
