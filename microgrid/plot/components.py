"""Many numbers per sample as a point of the plane: the two principal components."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, as_array
from ..errors import ShapeError
from .canvas import COLOURS, MARKERS, axes_for, tidy
from .samples import names_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHO = "plot.representation"
SHORT = 2  # letters, up to which a class is drawn as its name


def representation(
    hidden: ArrayLike,
    labels: ArrayLike,
    ax: Axes | None = None,
    *,
    class_names: Sequence[Any] | None = None,
) -> Axes:
    """Draw samples at their two principal components, in the colours of their classes.

    How a layer represents the samples: classes that it tells apart stand apart.

    Args:
        hidden: float[n, ...], what a layer gives: one of `hidden(model, x)`, or x itself.
        labels: int[n], the classes.
        ax: where to draw; a new figure otherwise.
        class_names: one for each class from 0; the numbers otherwise.

    Returns:
        The axes, with the share of the variance that each component has. Names of one or two
        letters stand in the places of the samples; longer ones are in the legend.

    Raises:
        ImportError: matplotlib is not installed.
        ShapeError: there is not one label a sample, or a sample is one number.
        ValueError: a number is not finite, or a label is no whole number from 0.

    >>> import microgrid as mg
    >>> axes = mg.plot.representation([[0, 0, 1], [1, 1, 0], [3, 3, 1]], [0, 1, 1])
    >>> axes.get_xlabel()
    '1st principal component (94%)'
    """
    given, classes = as_array(WHO, hidden), as_array(WHO, labels).reshape(-1)
    points, shares = principal_components(given, len(classes))
    if classes.dtype.kind not in "iub" or classes.min() < 0:
        raise ValueError(f"{WHO}: the labels must be whole numbers from 0.")
    count = int(classes.max()) + 1
    names = names_for(WHO, class_names, max(count, len(class_names or ())))
    ax = axes_for(WHO, ax, 4.8, 4.0)
    _draw(ax, points, classes, names)
    for axis, name, share in zip((ax.xaxis, ax.yaxis), ("1st", "2nd"), shares, strict=True):
        axis.set_label_text(f"{name} principal component ({share:.0%})")
    tidy(ax)
    return ax


def principal_components(values: Array, count: int) -> tuple[Array, Array]:
    """Return float[n, 2], and the share of the variance that each component has.

    Raises:
        ShapeError: there are not `count` samples, or they have less than two numbers.
        ValueError: a number is not finite.
    """
    if values.ndim < 2 or len(values) != count or values[:1].size < 2:
        raise ShapeError(
            f"{WHO}: activations of shape {values.shape} and {count} labels were given; it needs "
            "float[n, features] of two features or more, and a label for each sample."
        )
    rows = values.reshape(len(values), -1).astype(float)
    if not np.isfinite(rows).all():
        raise ValueError(f"{WHO}: an activation is nan or infinite; all must be finite.")
    left, sizes, right = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    scores, variances = np.zeros((len(rows), 2)), np.zeros(2)
    kept = min(2, len(sizes))
    # A component's sign is arbitrary: that of its largest weight is made positive.
    signs = np.sign(right[np.arange(kept), np.abs(right[:kept]).argmax(axis=1)])
    scores[:, :kept] = left[:, :kept] * sizes[:kept] * signs
    variances[:kept] = sizes[:kept] ** 2 / ((sizes**2).sum() or 1.0)
    return scores, variances


def _draw(ax: Axes, points: Array, classes: Array, names: Sequence[str]) -> None:
    letters = all(len(name) <= SHORT and name.isalnum() for name in names)
    for i, (name, colour, shape) in enumerate(zip(names, cycle(COLOURS), cycle(MARKERS))):
        chosen = points[classes == i]
        ax.scatter(
            chosen[:, 0], chosen[:, 1], s=30 if letters else 14, color=colour, linewidths=0.2,
            marker=rf"$\mathsf{{{name}}}$" if letters else shape, label=name,
        )  # fmt: skip
    if not letters:
        ax.legend(fontsize="small", edgecolor="none", framealpha=0.9)
