"""How weights are distributed, and those of one layer as pictures of what its units look for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..nn import Module
from .canvas import axes_for
from .distributions import draw_rows
from .samples import check_module

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHO = "plot.weights"
MOST = 64  # units
MAP = "PuOr"  # Source: Brewer (2003), ColorBrewer: of the diverging maps one that all can read.


def weights(
    model: Module,
    ax: Axes | None = None,
    *,
    layer: str | int | None = None,
    shape: tuple[int, int] | None = None,
) -> Axes:
    """Draw how the weights of each layer are distributed, or those of one layer as pictures.

    Args:
        model: a Module; its parameters float[inputs, units] are drawn, all of two dimensions or
            more.
        ax: where to draw; a new figure otherwise.
        layer: the name of a layer, as "0", or of a parameter, as "0.weight": then each unit is a
            picture of the weights that lead into it. Of the first layer it shows which inputs the
            unit looks for.
        shape: of these pictures, (rows, columns); as many rows as columns if left out, and where
            that is impossible the weights are one picture, a column per unit.

    Returns:
        The axes. Light is 0; the two colours are the two signs.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: the model is no Module, or `ax` no axes.
        ValueError: it has no weights, no such layer, or no pictures of this shape.

    >>> import microgrid as mg
    >>> model = mg.nn.MLP([64, 16, 10], rng=0)
    >>> [text.get_text() for text in mg.plot.weights(model).get_yticklabels()]
    ['0.weight', '1.weight']
    >>> mg.plot.weights(model, layer=0).get_title()
    'layer 0: the weights into each of 16 units'
    """
    check_module(WHO, model)
    known = {name: p.data for name, p in model.named_parameters() if p.ndim > 1}
    if not known:
        raise ValueError(
            f"{WHO}: the {type(model).__name__} has no parameter of two dimensions or more, so "
            "there are no weights to draw."
        )
    if layer is None:
        return draw_rows(WHO, known, "weight", ax)
    name = _named(known, str(layer))
    # The last axis counts the units.
    weight = known[name].reshape(-1, known[name].shape[-1]).astype(float)
    picture, title = _picture(name, weight, shape)
    ax = axes_for(WHO, ax, 4.6, 4.0)
    limit = float(np.nanmax(np.abs(picture))) or 1.0
    image = ax.imshow(picture, cmap=MAP, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label="weight")
    ax.set_title(title, fontsize=10)
    if len(picture) == len(weight):
        ax.set(xlabel="unit", ylabel="input", aspect="auto")
    else:
        ax.set_axis_off()
    return ax


def _named(known: dict[str, Array], layer: str) -> str:
    for name in (layer, f"{layer}.weight"):
        if name in known:
            return name
    raise ValueError(
        f"{WHO}: layer={layer!r} was given; those with weights are {', '.join(known)}. Name one "
        "of them."
    )


def _picture(name: str, weight: Array, shape: tuple[int, int] | None) -> tuple[Array, str]:
    """Return the weights of one layer as a picture, and what it shows."""
    inputs, units = weight.shape
    layer = name.removesuffix(".weight")
    side = math.isqrt(inputs)
    if shape is None and (side * side != inputs or side < 2):
        return weight, f"layer {layer}: the weights"
    rows, columns = shape or (side, side)
    if rows * columns != inputs:
        raise ValueError(
            f"{WHO}: shape={shape} was given; a unit of {name} has {inputs} weights, and the two "
            "numbers must multiply to that."
        )
    shown = min(units, MOST)
    pictures = weight[:, :shown].T.reshape(shown, rows, columns)
    some = f"the first {shown} of {units}" if shown < units else f"each of {units}"
    return _mosaic(pictures), f"layer {layer}: the weights into {some} units"


def _mosaic(pictures: Array) -> Array:
    """Return pictures side by side and one below the other, with gaps of nan."""
    count, rows, columns = pictures.shape
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    mosaic = np.full((down * (rows + 1) - 1, across * (columns + 1) - 1), np.nan)
    for i, picture in enumerate(pictures):
        top, left = i // across * (rows + 1), i % across * (columns + 1)
        mosaic[top : top + rows, left : left + columns] = picture
    return mosaic
