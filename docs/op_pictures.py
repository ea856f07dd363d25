"""The pictures of ops, which make_ops.py keeps up to date: values in full, slopes in broken lines.

An op of one number is drawn as mg.plot.op does. Of another one a slice is: over one of its numbers,
with another held at three values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import microgrid as mg
from microgrid.ops import PUBLIC

MINUS = "\N{MINUS SIGN}"


class Slices(NamedTuple):
    """What is drawn: its name over `over`, for three values of `held`."""

    name: str
    function: Callable[..., Any]  # of x or a, and `value`, the number that is held
    over: str
    held: str
    values: tuple[float, ...]
    interval: tuple[float, float] = (-3.0, 3.0)

    @property
    def caption(self) -> str:
        """What it shows, in words."""
        values = " ".join(f"{value:g}" for value in self.values)
        low, high = self.interval
        return f"{self.name} over {self.over} from {low:g} to {high:g}; {self.held} = {values}"


def of_operands(name: str, values: tuple[float, ...], **about: Any) -> Slices:
    """Return slices through an elementwise op of two numbers."""

    def function(a: Any, value: float) -> Any:
        return PUBLIC[name](a, _like(a, value))

    over, held = about.pop("named", ("a", "b"))
    return Slices(f"{name}({over}, {held})", function, over, held, values, **about)


def of_pair(name: str, place: int | None = None, values: tuple[float, ...] = (-1, 0, 1)) -> Slices:
    """Return slices through an op of an array of two numbers, or through an entry of its result."""

    def function(x: Any, value: float) -> Any:
        y = PUBLIC[name](mg.stack([x, _like(x, value)], axis=-1), axis=-1)
        return y if place is None else y[..., place]

    entry = "" if place is None else f"[{place}]"
    return Slices(f"{name}([x, b]){entry}", function, "x", "b", values)


def _like(x: Any, value: float) -> mg.Tensor:
    return mg.tensor(np.full(x.shape, float(value)))


def _crelu(x: Any, value: int) -> Any:
    return mg.crelu(mg.reshape(x, -1, 1))[:, value]


SLICES = {
    "add": of_operands("add", (-1, 0, 1)),
    "subtract": of_operands("subtract", (-1, 0, 1)),
    "multiply": of_operands("multiply", (-1, 0.5, 2)),
    "divide": of_operands("divide", (-1, 0.5, 2)),
    "power": of_operands("power", (-1, 0.5, 2), interval=(0.4, 3)),
    "prelu": of_operands("prelu", (-0.5, 0.25, 2), named=("x", "slope")),
    "rrelu": Slices(
        "rrelu(x, r, r)", lambda x, value: mg.rrelu(x, value, value), "x", "r", (0, 0.25, 0.5)
    ),
    "maximum": of_operands("maximum", (-1, 0, 1)),
    "minimum": of_operands("minimum", (-1, 0, 1)),
    "maxout": of_pair("maxout", 0),
    "crelu": Slices("crelu([x])[i]", _crelu, "x", "i", (0, 1)),
    "softmax": of_pair("softmax", 0, (-2, 0, 2)),
    "log_softmax": of_pair("log_softmax", 0, (-2, 0, 2)),
    "logaddexp": of_operands("logaddexp", (-2, 0, 2)),
    "sum": of_pair("sum"),
    "mean": of_pair("mean"),
    "var": of_pair("var"),
    "std": of_pair("std"),
    "prod": of_pair("prod", None, (-1, 0.5, 2)),
    "max": of_pair("max"),
    "min": of_pair("min"),
    "norm": of_pair("norm", None, (0, 1, 2)),
    "logsumexp": of_pair("logsumexp", None, (-2, 0, 2)),
    "cumsum": of_pair("cumsum", 1),
}


def draw(name: str, path: Path, caption: str) -> None:
    """Write the picture of an op."""
    import matplotlib
    from matplotlib.figure import Figure

    # Letters stay letters, and names within the file stay the same from run to run.
    style = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 8}
    with matplotlib.rc_context({**style, "font.sans-serif": ["DejaVu Sans", "Verdana"]}):
        figure = Figure(figsize=(2.6, 1.9), layout="constrained")
        axes = figure.add_subplot()
        if name in SLICES:
            _draw_slices(SLICES[name], axes)
        else:
            mg.plot.op(name, axes).get_legend().remove()  # it would cover lines
            axes.set_title(axes.get_title().replace("(", "\n("), fontsize=8)
        axes.set_ylabel("")  # the page says what the lines are
        about = {"Description": caption, "Date": None, "Creator": None}
        figure.savefig(path, metadata=about)
    path.write_text(_shortened(path.read_text("utf-8")), "utf-8")


def _draw_slices(slices: Slices, axes: Any) -> None:
    from microgrid.plot.canvas import BLUE, GREEN, ORANGE

    named = []
    for value, colour in zip(slices.values, (BLUE, ORANGE, GREEN), strict=False):
        before = len(axes.lines) + 1  # the first line is the axis
        function = partial(slices.function, value=value)
        mg.plot.op(function, axes, interval=slices.interval).get_legend().remove()
        _mark_tie(axes, axes.lines[before + 1], function, value)
        for line in axes.lines[before:]:
            line.set_color(colour)
        axes.lines[before].set_label(f"{slices.held} = {value:g}".replace("-", MINUS))
        named.append(axes.lines[before])
    axes.set_title(slices.name, fontsize=8)
    axes.set_xlabel(slices.over)
    style = {"ncols": 3, "fontsize": 7, "frameon": False, "handlelength": 1, "columnspacing": 1}
    axes.figure.legend(handles=named, loc="outside lower center", **style)


def _mark_tie(axes: Any, line: Any, function: Callable[..., Any], at: float) -> None:
    """Mark the kink where x is the number that is held: of max and norm plot.op sees none."""
    left, here, right = (_slope(function, at + shift) for shift in (-1e-6, 0, 1e-6))
    if abs(right - left) < 1e-3:
        return
    x, y = line.get_data()
    x, y = x[x != at], y[x != at]
    place = np.searchsorted(x, at)
    line.set_data(np.insert(x, place, at), np.insert(y, place, np.nan))
    axes.plot([at, at], [left, right], "o", markerfacecolor="white", markersize=4, zorder=3)
    axes.plot([at], [here], "o", markersize=4, zorder=4)


def _slope(function: Callable[..., Any], at: float) -> float:
    x = mg.tensor([float(at)], requires_grad=True)
    return float(mg.gradients(function(x), x, [1.0]).item())


def _shortened(svg: str) -> str:
    """Return a picture in fewer bytes: places to a tenth of a point, the font named once."""
    svg = re.sub(r'(?<= [dxy]=")[^"]+', lambda places: _rounded(places[0]), svg)
    font = re.search(r" font-family: [^;]*;", svg)
    if font:
        svg = svg.replace(font[0], "").replace("</style>", f"text{{{font[0].strip()}}}</style>")
    svg = re.sub(r' transform="rotate\(-0[^"]*"|(?<=<g) id="[^"]*"', "", svg)
    svg = re.sub(r'style="[^"]*"', lambda style: re.sub("(?<=[:;]) ", "", style[0]), svg)
    return re.sub(r"\s*\n\s*", "\n", svg)


def _rounded(places: str) -> str:
    return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}", places)
