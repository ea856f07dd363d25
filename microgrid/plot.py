"""Pictures: learning curves, misread digits, an op and its slope.

The only file that needs matplotlib, from the extra `plot`, and only once a picture is asked for.
Figures are made without pyplot: nothing is shown, no global state changes, no display is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array
from .backward import gradients
from .core import Op, Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Told apart with every kind of colour vision, and in grey. Source: Okabe & Ito (2008).
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
FORMATS = ".png", ".pdf", ".svg"
FEW = 5  # epochs
COLUMNS, MOST_ROWS = 10, 2  # of misread digits
CURVES = {"loss": "loss", "accuracy": "accuracy (share read right)"}


def require_matplotlib(who: str) -> None:
    """Raise unless matplotlib can be imported.

    Raises:
        ImportError: it is not installed; the message says how to get it.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{who}: matplotlib is not installed, and pictures need it. "
            "Install the extra: pip install 'microgrid[plot]'."
        ) from error


def plot_history(
    history: Mapping[str, Sequence[float]], figure: Figure | SubFigure | None = None
) -> Figure | SubFigure:
    """Return a figure of loss and accuracy over the epochs, on training and validation data.

    Args:
        history: lists of one number an epoch, as `fit(...).history`: "loss", and where there are
            any "accuracy", "val_loss" and "val_accuracy".
        figure: where to draw; a new one otherwise.

    Raises:
        ImportError: matplotlib is not installed.

    >>> figure = plot_history({"loss": [2.0, 1.0], "val_loss": [2.1, 1.4]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss']
    """
    figure = figure or _figure("plot_history", 8, 3.2)
    names = [name for name in CURVES if name in history]
    figure.subplots(1, len(names))
    for axes, name in zip(figure.axes, names, strict=True):
        _curve(axes, history[name], "training", BLUE, "-")
        if f"val_{name}" in history:
            _curve(axes, history[f"val_{name}"], "held out", ORANGE, "--")
        axes.set(xlabel="epoch", ylabel=CURVES[name])
        axes.locator_params("x", integer=True, min_n_ticks=1)
        if name == "loss" and min(history[name]) > 0 and len(history[name]) >= FEW:
            axes.set_yscale("log")
        axes.legend(frameon=False)
        _tidy(axes)
    return figure


def _curve(axes: Axes, values: Sequence[float], label: str, colour: str, style: str) -> None:
    epochs = np.arange(1, len(values) + 1)
    marker = "o" if len(values) < FEW else None  # a line through one point cannot be seen
    axes.plot(epochs, values, label=label, color=colour, linestyle=style, marker=marker)


def plot_misread(
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

    >>> x, y = np.zeros((3, 64)), np.array([1, 2, 3])
    >>> plot_misread(x, y, [1, 7, 3]).axes[0].get_title()
    '2 read as 7'
    """
    pictures, truth, read = np.asarray(images), np.asarray(labels), np.asarray(predictions)
    wrong = np.flatnonzero(truth != read)
    shown = wrong[: COLUMNS * MOST_ROWS]
    figure = figure or _figure("plot_misread", 9, _height(len(wrong)))
    some = f", the first {len(shown)}" if len(shown) < len(wrong) else ""
    figure.suptitle(f"{len(wrong)} of {len(truth)} held-out digits misread{some}", fontsize=11)
    side = round(pictures.shape[1] ** 0.5)
    figure.subplots(_rows(len(wrong)), COLUMNS)
    for axes in figure.axes:
        axes.set_axis_off()
    for axes, i in zip(figure.axes, shown.tolist(), strict=False):
        axes.imshow(pictures[i].reshape(side, side), cmap="gray_r")
        axes.set_title(f"{truth[i]} read as {read[i]}", fontsize=8, pad=3)
    return figure


def _height(misread: int) -> float:
    """Return how many inches the picture of so many misread digits takes."""
    return 0.4 + 1.1 * _rows(misread)


def _rows(misread: int) -> int:
    return max(1, min(math.ceil(misread / COLUMNS), MOST_ROWS))


def save_report(
    path: str | PathLike[str],
    history: Mapping[str, Sequence[float]],
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
) -> None:
    """Write a picture of the learning curves, and of the misread digits below them, to `path`.

    The end of the name, one of `FORMATS`, says in which format. See `plot_history` and
    `plot_misread` for the arguments.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    height = _height(int(np.count_nonzero(np.asarray(labels) != np.asarray(predictions))))
    figure = _figure("save_report", 9, 3.6 + height)
    halves: Any = figure.subfigures(2, 1, height_ratios=(3.6, height))
    above, below = halves
    plot_history(history, above)
    plot_misread(images, labels, predictions, below)
    figure.savefig(path, dpi=150)


def plot_op(op: Op, axes: Axes | None = None, **params: Any) -> Axes:
    """Draw an op of one number and its slope, the kinks and the slope at each marked.

    Args:
        op: elementwise, of one input.
        axes: where to draw; those of a new figure otherwise.
        params: the op's own; the first that its record lists otherwise.

    Returns:
        The axes: value a full line, slope a broken one, a dot the slope at a kink or jump.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the op has more inputs than one, or is not elementwise.

    >>> import microgrid as mg
    >>> axes = plot_op(mg.OPS["relu"])
    >>> axes.get_title()
    'relu'
    """
    if op.signature != "()->()":
        raise ValueError(
            f"plot_op: {op.name} of signature {op.signature} was given; it draws elementwise ops "
            "of one input. Choose one with the signature ()->()."
        )
    if axes is None:
        axes = _figure("plot_op", 3.2, 2.4).add_subplot()
    params = params or op.params((1,))[0]
    kinks, jumps = _kinks(op, params)
    # A break at each kink: the slope jumps there, and a line through the jump would be wrong.
    near = [*np.nextafter(kinks, -np.inf), *kinks, *np.nextafter(kinks, np.inf)]
    x = np.sort([*np.linspace(*_interval(op, kinks), 400), *near])
    value, slope = _value_and_slope(op, x, params)
    axes.axhline(0, color=GREY, linewidth=0.5)
    axes.plot(x, np.where(np.isin(x, jumps), np.nan, value), color=BLUE, label="value")
    axes.plot(
        x, np.where(np.isin(x, kinks), np.nan, slope), color=ORANGE, linestyle="--", label="slope"
    )
    axes.plot(kinks, _value_and_slope(op, kinks, params)[1], "o", color=ORANGE, markersize=4)
    given = ", ".join(f"{name}={value:g}" for name, value in params.items() if _is_number(value))
    axes.set_title(f"{op.name}({given})" if given else op.name, fontsize=10)
    axes.set_xlabel("x")
    axes.legend(frameon=False, fontsize="small")
    _tidy(axes)
    return axes


def _kinks(op: Op, params: dict[str, Any]) -> tuple[Array, Array]:
    """Return where the slope or the value jumps, and where the value does.

    Those of a piecewise-linear op are its knots; others are sought where its tests look on purpose.
    """
    if op.pieces:
        return np.array([float(knot) for knot in op.pieces(**params).knots]), np.array([])
    domain = op.domains[0]
    points = np.unique([p for p in domain.include if domain.low < p < domain.high])
    left = _value_and_slope(op, np.nextafter(points, -np.inf), params)
    right = _value_and_slope(op, np.nextafter(points, np.inf), params)
    jump, bend = (~np.isclose(a, b) for a, b in zip(left, right, strict=True))
    return points[jump | bend], points[jump]


def _interval(op: Op, kinks: Array) -> tuple[float, float]:
    """Return from where to where to draw: where the op is tested, and around its kinks."""
    domain = op.domains[0]
    return min([domain.low, *(kinks - 1)]), max([domain.high, *(kinks + 1)])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _value_and_slope(op: Op, x: Array, params: dict[str, Any]) -> tuple[Array, Array]:
    leaf = Tensor(x, requires_grad=True)
    y = op(leaf, **params)
    slope = gradients(y, leaf, np.ones_like(x)) if y.requires_grad else np.zeros_like(x)
    return np.asarray(y), np.asarray(slope)


def _figure(who: str, width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches."""
    require_matplotlib(who)
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(width, height), layout=layout)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, linewidth=0.5)
