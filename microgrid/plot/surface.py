"""The loss over two directions of the parameters, and the path of descent on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..core import Operand, wrap
from ..errors import ShapeError
from ..nn import Module
from ..nn.init import Rng
from ..nn.module import as_integer
from ..recording import no_grad
from ..train.batches import Samples
from ..train.names import Loss, named_loss
from ..train.steps import value_of
from .canvas import MAP, ORANGE, axes_for
from .directions import Plane, plane_of
from .paths import Path
from .samples import samples_for, twin_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHO = "plot.loss_surface"
LEVELS = 14
WIDE = 30  # from this ratio of the largest loss to the smallest on, its scale is logarithmic
ROOM = 0.35  # around the path, as a share of its extent
FEW = 60  # steps of a path, up to which each has a dot
LEAST = 0.25  # the smaller extent, as a share of the larger


def loss_surface(
    model: Module,
    x: Operand,
    y: Operand,
    loss: str | Loss,
    path: Path | Sequence[Array] | None = None,
    ax: Axes | None = None,
    *,
    directions: Any = None,
    span: float | None = None,
    resolution: int = 41,
    rng: Rng = None,
) -> Axes:
    """Draw the loss as a landscape over two directions of the parameters, with the path on it.

    Args:
        model: a Module; what is drawn surrounds its parameters. A copy in evaluation mode computes
            the losses.
        x: float[n, ...].
        y: any[n, ...], the targets.
        loss: a function of (prediction, target) or its name, as for `fit`.
        path: a `Path`, or float[steps, num_parameters], where the parameters went.
        ax: where to draw; a new figure otherwise.
        directions: two parameters by name, as ("0.weight[0, 0]", "0.bias[0]"); "pca", the two
            directions in which most of the path lies; "random", two drawn at random and scaled to
            the weights of each unit (Li et al., 2018); or two arrays float[num_parameters].
            If left out: the parameters, if there are just two; else "pca" if there is a path of
            three points, and "random" if there is none.
        span: how far to go from the model's parameters each way; around the path if left out, and
            1 if there is none.
        resolution: how many points each way the loss is computed at.
        rng: None, a seed, or a generator, for random directions.

    Returns:
        The axes. A path that leaves the plane is drawn where it is nearest to it.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: the model is no Module, or `ax` no axes.
        DtypeError: x is not numeric.
        ShapeError: the path is not of this model's parameters, or x does not fit the model or y.
        ValueError: there are no such directions, the loss is not known or nowhere finite, or
            `resolution` is below 2.

    Source: Li, Xu, Taylor, Studer & Goldstein (2018), Visualizing the loss landscape of neural
    nets.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.nn.Dense(1, 1, rng=0)
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> axes = mg.plot.loss_surface(model, x, 2 * x + 1, "mse", span=3.0, resolution=9)
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('weight[0, 0]', 'bias[0]')
    """
    samples = samples_for(WHO, model, x, y)
    function = named_loss(WHO, loss)
    points = _points(model, path)
    plane = plane_of(model, directions, points, rng)
    way = plane.project(points) if len(points) else np.zeros((0, 2))
    count = as_integer(WHO, "resolution", resolution, 2)
    across, up = (
        np.linspace(low, high, count)
        for low, high in _extent(np.array(plane.origin), way, span).tolist()
    )
    losses = _losses(model, samples, function, plane, across, up)
    ax = axes_for(WHO, ax, 5.6, 4.2)
    _draw_surface(ax, across, up, losses)
    _draw_path(ax, way)
    ax.set(xlabel=plane.labels[0], ylabel=plane.labels[1])
    ax.set(xlim=across[[0, -1]], ylim=up[[0, -1]])
    return ax


def _points(model: Module, path: Path | Sequence[Array] | None) -> Array:
    """Return float[steps, num_parameters]."""
    given = path.points if isinstance(path, Path) else path
    size = model.num_parameters()
    if given is None or not len(given):
        return np.zeros((0, size))
    points = np.asarray(given, float)
    if points.ndim != 2 or points.shape[1] != size:
        raise ShapeError(
            f"{WHO}: a path of shape {points.shape} was given; the model has {size} parameters, "
            f"and it needs float[steps, {size}]. Use Path(model)."
        )
    return points


def _extent(origin: Array, way: Array, span: float | None) -> Array:
    """Return float[2, 2], from where to where the picture goes in both directions."""
    if span is not None:
        if not 0 < span < np.inf:
            raise ValueError(f"{WHO}: span={span!r} was given; it must be a number above 0.")
        return np.stack([origin - span, origin + span], axis=1)
    if not len(way):
        return np.stack([origin - 1, origin + 1], axis=1)
    inside = np.concatenate([way, origin[None]])
    low, high = inside.min(axis=0), inside.max(axis=0)
    size = high - low
    size = np.maximum(size, LEAST * size.max() or 1.0)
    middle, half = (low + high) / 2, size * (0.5 + ROOM)
    return np.stack([middle - half, middle + half], axis=1)


def _losses(
    model: Module, samples: Samples, loss: Loss, plane: Plane, across: Array, up: Array
) -> Array:
    """Return float[up, across], nan where the loss is not finite."""
    twin = twin_of(model)
    parameters = list(twin.parameters())
    ends = np.cumsum([p.size for p in parameters])[:-1]
    x, y = wrap(samples.x), wrap(samples.y)
    found = np.empty((len(up), len(across)))
    with no_grad(), np.errstate(all="ignore"):
        for i, j in np.ndindex(found.shape):
            values = np.split(plane.at(np.array([across[j], up[i]])), ends)
            for p, value in zip(parameters, values, strict=True):
                p.data = value.reshape(p.shape)
            found[i, j] = value_of(WHO, loss(twin(x), y))
    found[~np.isfinite(found)] = np.nan
    if np.isnan(found).all():
        raise ValueError(f"{WHO}: the loss is nowhere finite. Choose a smaller span.")
    return found


def _draw_surface(ax: Axes, across: Array, up: Array, losses: Array) -> None:
    from matplotlib.colors import LogNorm, Normalize

    low, high = float(np.nanmin(losses)), float(np.nanmax(losses))
    wide = low > 0 and high > WIDE * low
    if high <= low:
        high = low + 1.0  # a plain
    levels = np.geomspace(low, high, LEVELS + 1) if wide else np.linspace(low, high, LEVELS + 1)
    surface = np.ma.masked_invalid(losses)
    norm = LogNorm(low, high) if wide else Normalize(low, high)
    filled = ax.contourf(across, up, surface, levels, cmap=MAP, norm=norm)
    ax.contour(across, up, surface, levels[1:-1], colors="white", linewidths=0.4, alpha=0.6)
    bar = ax.figure.colorbar(filled, ax=ax, label="loss", format="%.3g", ticks=levels[::2])
    bar.minorticks_off()


def _draw_path(ax: Axes, way: Array) -> None:
    from matplotlib.patheffects import Normal, Stroke

    if not len(way):
        return
    outlined = [Stroke(linewidth=3.4, foreground="white"), Normal()]
    across, up = way.T
    ax.plot(across, up, color=ORANGE, linewidth=1.6, path_effects=outlined, label="path")
    style: dict[str, Any] = {
        "color": ORANGE,
        "markeredgecolor": "white",
        "linestyle": "none",
        "zorder": 4,
    }
    if len(way) <= FEW:
        ax.plot(across, up, marker="o", markersize=3.5, markeredgewidth=0.5, **style)
    ax.plot(across[:1], up[:1], marker="s", markersize=8, label="start", **style)
    ax.plot(across[-1:], up[-1:], marker="*", markersize=14, label="end", **style)
    ax.legend(fontsize="small", edgecolor="none", framealpha=0.9)
