"""How large the gradient is in each layer: does it vanish or explode on its way back?"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..backward import gradients
from ..core import Operand, wrap
from ..nn import Module
from ..train.names import Loss, named_loss
from ..train.steps import check_loss
from .canvas import COLOURS, DASHES, MARKERS, axes_for, tidy
from .samples import samples_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHO = "plot.gradient_flow"
FEW = 10  # layers, up to which their names are written


def gradient_flow(
    model: Module,
    x: Operand,
    y: Operand,
    loss: str | Loss,
    ax: Axes | None = None,
    *,
    label: str | None = None,
) -> Axes:
    """Draw the norm of the loss's gradient in each layer, on a logarithmic scale.

    Where the line falls towards the input, gradients vanish on their way back; where it rises they
    explode. Draw several models on the same axes to compare them.

    Args:
        model: a Module. A copy computes the gradients: neither its `.grad` nor its state changes.
        x: float[n, ...].
        y: any[n, ...], the targets.
        loss: a function of (prediction, target) or its name, as for `fit`.
        ax: where to draw; a new figure otherwise.
        label: what the legend calls this model.

    Returns:
        The axes. A layer whose gradient is exactly 0, or not finite, has a cross at the bottom or
        the top.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: the model is no Module, or `ax` no axes.
        DtypeError, ShapeError: x is not numeric, does not fit the model, or is not as long as y.
        ValueError: no parameter requires a gradient, or the loss is not known.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, y = np.ones((8, 4)), np.zeros(8, int)
    >>> axes = mg.plot.gradient_flow(mg.nn.MLP([4, 8, 8, 3], rng=0), x, y, "cross_entropy")
    >>> [text.get_text() for text in axes.get_xticklabels()]
    ['0', '1', '2']
    """
    layers = gradient_norms(model, x, y, loss)
    norms = np.array(list(layers.values()))
    first = ax is None or not ax.has_data()
    ax = axes_for(WHO, ax)
    drawn = sum(line.get_gid() == WHO for line in ax.get_lines())
    _draw(ax, norms, label or f"model {drawn + 1}", drawn)
    ax.set(xlabel="layer, from input to output", ylabel="norm of the gradient", yscale="log")
    if first and len(norms) <= FEW:
        ax.set_xticks(range(1, len(layers) + 1), list(layers))
    elif not first:
        _count_layers(ax)
    if label or drawn or not _is_drawable(norms).all():
        ax.legend(fontsize="small", edgecolor="none")
    tidy(ax)
    return ax


def gradient_norms(model: Module, x: Operand, y: Operand, loss: str | Loss) -> dict[str, float]:
    """Return by the layers' names the norm of the gradient of all its parameters together.

    Raises:
        ValueError: no parameter requires a gradient.
    """
    samples = samples_for(WHO, model, x, y)
    function = named_loss(WHO, loss)
    twin = deepcopy(model)
    named = [(name, p) for name, p in twin.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError(
            f"{WHO}: no parameter of the {type(model).__name__} requires a gradient. Set "
            "requires_grad=True on some."
        )
    with np.errstate(all="ignore"):
        value = function(twin(wrap(samples.x)), wrap(samples.y))
        check_loss(WHO, value)
        found = gradients(value, [p for _, p in named])
        parts: dict[str, list[Array]] = {}
        for (name, _), g in zip(named, found, strict=True):
            layer = name.rpartition(".")[0] or name
            parts.setdefault(layer, []).append(np.asarray(g, float).ravel())
        return {layer: float(np.linalg.norm(np.concatenate(g))) for layer, g in parts.items()}


def _draw(ax: Axes, norms: Array, label: str, number: int) -> None:
    places = np.arange(1, len(norms) + 1)
    colour = COLOURS[number % len(COLOURS)]
    ax.plot(
        places, np.where(_is_drawable(norms), norms, np.nan), label=label, color=colour,
        marker=MARKERS[number % len(MARKERS)], linestyle=DASHES[number % len(DASHES)],
        markersize=4, gid=WHO,
    )  # fmt: skip
    # On a logarithmic scale 0 is infinitely far down: the crosses stand on the edges.
    crosses = ((norms == 0, 0.0, "exactly 0"), (~np.isfinite(norms), 1.0, "not finite"))
    for chosen, edge, name in crosses:
        if chosen.any():
            (cross,) = ax.plot(
                places[chosen], np.full(chosen.sum(), edge), "x", color=colour, label=name,
                clip_on=False, transform=ax.get_xaxis_transform(),
            )  # fmt: skip
            cross.set_in_layout(False)


def _is_drawable(norms: Array) -> Array:
    return np.isfinite(norms) & (norms > 0)


def _count_layers(ax: Axes) -> None:
    """Number the layers: the models on these axes may have others each."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.xaxis.set_major_formatter(ScalarFormatter())
