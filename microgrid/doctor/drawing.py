"""A picture of a report: what the units of each layer are, and how large the gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..plot.canvas import BLUE, ORANGE, PINK, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .report import Report

Given: TypeAlias = "Axes | Sequence[Axes] | None"

LIGHT = "#BBBBBB"
INCHES_A_ROW, MOST_INCHES = 0.28, 14.0


def draw(report: Report, ax: Given) -> list[Axes]:
    """Draw what `Report.plot` describes."""
    if not report.rows:
        raise ValueError(
            "plot: the report has no activation, so there is nothing to draw. Diagnose a model "
            "that calls some."
        )
    axes = _axes(report, ax)
    _draw_shares(report, axes[0])
    if len(axes) > 1:
        _draw_gradients(report, axes[1])
    return axes


def _axes(report: Report, ax: Given) -> list[Axes]:
    """Return the axes to draw in: one, or two if there are gradients."""
    if ax is None:
        return _new_axes(report)
    given: Any = ax
    axes = list(np.ravel(given))
    if not 1 <= len(axes) <= 2:
        raise ValueError(
            f"plot: {len(axes)} axes were given; it needs one for the shares, or two, the second "
            "for the gradients."
        )
    return axes if report.loss is not None else axes[:1]


def _new_axes(report: Report) -> list[Axes]:
    panels = 1 if report.loss is None else 2
    height = min(1.6 + INCHES_A_ROW * len(report.rows), MOST_INCHES)
    figure = new_figure("plot", 4.6 * panels, height)
    return list(figure.subplots(1, panels, squeeze=False, sharey=True).flat)


def _draw_shares(report: Report, axes: Axes) -> None:
    rows = report.rows
    groups = {
        ("dead", ORANGE): [row.dead_share for row in rows],
        ("saturated", PINK): [row.saturated_share for row in rows],
        ("linear on all", LIGHT): [row.linear_share for row in rows],
    }
    groups["active", BLUE] = list(1 - np.sum(list(groups.values()), axis=0))
    left = np.zeros(len(rows))
    for (label, colour), shares in groups.items():
        axes.barh(range(len(rows)), shares, left=left, color=colour, label=label, height=0.8)
        left += shares
    axes.set(xlim=(0, 1), xlabel="share of the units", ylabel="layer")
    axes.set_yticks(range(len(rows)), [f"{row.name} ({row.kind})" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first layer on top
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8,
                handlelength=1, columnspacing=1)  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)


def _draw_gradients(report: Report, axes: Axes) -> None:
    activations = [(i, row.gradient) for i, row in enumerate(report.rows)]
    lines = (activations, BLUE, "o-", "activations"), (_weights(report), ORANGE, "s--", "weights")
    drawn: list[float] = []
    for places, colour, style, label in lines:
        # On a logarithmic axis 0 and what is not finite have no place.
        norms = [norm if norm and np.isfinite(norm) else np.nan for _, norm in places]
        axes.plot(norms, [i for i, _ in places], style, color=colour, label=label, markersize=4)
        drawn += [norm for norm in norms if norm == norm]
    axes.set_xscale("log")
    if drawn:  # to whole powers of ten, so that two or more have a tick
        low, high = np.floor(np.log10(min(drawn))), np.ceil(np.log10(max(drawn)))
        axes.set_xlim(10**low, 10 ** max(high, low + 1))
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.tick_params("x", labelsize=8)
    axes.set_xlabel("norm of the gradient")
    axes.set_ylim(len(report.rows) - 0.5, -0.5)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    tidy(axes)


def _weights(report: Report) -> list[tuple[int, float | None]]:
    """Return the gradients of the weights before activations, with the rows of those."""
    norms = {weight.name.removesuffix(".weight"): weight.gradient for weight in report.weights}
    return [(i, norms[row.layer]) for i, row in enumerate(report.rows) if row.layer in norms]
