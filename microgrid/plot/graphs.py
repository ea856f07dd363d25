"""The graph of a function of one number, with its slope and its kinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..backward import gradients
from ..core import Op, Tensor
from ..ops import PUBLIC
from ..record import OPS
from ..recording import Watcher
from .bends import Bends, knots_of
from .canvas import BLUE, GREY, ORANGE, axes_for, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHO = "plot.op"
POINTS = 401
INTERVAL = -5.0, 5.0  # of functions, where none is given
NEAR = 1e-7  # of the width: where one-sided slopes are taken
SEARCHES = 3  # each finds kinks nearer to one another, on a grid with those found before


class Kink(NamedTuple):
    """A point where the slope jumps, or the value too: (left, right) of it.

    `here` is value and slope at the point itself; nan if no float is exactly there.
    """

    x: float
    values: tuple[float, float]
    slopes: tuple[float, float]
    here: tuple[float, float]

    @property
    def jumps(self) -> bool:
        """Whether the value jumps, too."""
        return not np.isclose(*self.values, rtol=1e-5, atol=1e-5)


def op(
    op: Op | str | Callable[..., Any],
    ax: Axes | None = None,
    *,
    interval: tuple[float, float] | None = None,
    **params: Any,
) -> Axes:
    """Draw an op of one number, or any function made of ops, and its slope with the kinks marked.

    Args:
        op: an elementwise op of one input, its name, or a function that takes a Tensor, float[n],
            and returns float[n], each number computed from the one in its place.
        ax: where to draw; a new figure otherwise.
        interval: from where to where to draw; where the op is tested otherwise, and -5 to 5 for
            other functions.
        params: the op's own, as in `op("leaky_relu", negative_slope=0.3)`.

    Returns:
        The axes. The full line is the value, the broken one the slope. At a kink open dots are the
        slopes on its two sides, and the filled dot is the slope that a gradient uses there.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: it is no op, name or function, or takes no such parameter.
        ValueError: no op has that name, it is not elementwise or has more inputs than one, or the
            interval is empty.

    >>> import microgrid as mg
    >>> axes = mg.plot.op("relu")
    >>> axes.get_title()
    'relu'
    >>> axes = mg.plot.op(lambda x: mg.relu(7 + x), interval=(-10, 0))
    >>> axes.figure.savefig("relu.svg")  # doctest: +SKIP
    """
    record = _record(op)
    function: Callable[..., Any] = op  # type: ignore[assignment]
    if record is not None:
        defaults = record.params((1,))[0]
        known = params.keys() <= defaults.keys()
        # Knots and slopes, as those of piecewise_linear, are parameters of the function alone.
        function = record if known else PUBLIC[record.name]
        params = {**defaults, **params} if known else params
    low, high = _interval(record, params, interval)

    def f(x: Tensor) -> Any:
        return function(x, **params)

    grid = np.linspace(low, high, POINTS)
    kinks = _kinks(f, grid)
    ax = axes_for(WHO, ax, 4.2, 3.0)
    _draw(ax, f, grid, kinks)
    ax.set_title(_title(record, op, params), fontsize=10)
    ax.set(xlabel="x", ylabel="value and slope")
    ax.legend(fontsize="small", edgecolor="none")
    tidy(ax)
    return ax


# --- what is asked for ---------------------------------------------------------------------------


def _record(op: Any) -> Op | None:
    """Return the record of an op, given as such, by name, or as its public function."""
    if isinstance(op, str):
        if op not in OPS:
            raise ValueError(
                f"{WHO}: the op {op!r} is not known. mg.OPS lists the names; a function of "
                "ops can be drawn too."
            )
        record: Op | None = OPS[op]
    elif isinstance(op, Op):
        record = op
    elif callable(op):
        name = getattr(op, "__name__", "")
        record = OPS.get(name) if PUBLIC.get(name) is op else None
    else:
        raise TypeError(
            f"{WHO}: a value of type {type(op).__name__} was given; it needs an op, its name, or "
            "a function of one Tensor."
        )
    if record is not None and record.signature != "()->()":
        raise ValueError(
            f"{WHO}: {record.name} of signature {record.signature} was given; it draws elementwise "
            "ops of one input. Choose one with the signature ()->(), or write a function of one "
            "number."
        )
    return record


def _interval(
    record: Op | None, params: dict[str, Any], given: tuple[float, float] | None
) -> tuple[float, float]:
    """Return from where to where to draw: where an op is tested, and around its kinks."""
    if given is not None:
        low, high = given
        if not -np.inf < low < high < np.inf:
            raise ValueError(
                f"{WHO}: interval={given!r} was given; it needs two finite numbers, the lower one "
                "first."
            )
        return float(low), float(high)
    if record is None:
        return INTERVAL
    known = params.keys() == record.params((1,))[0].keys()
    knots = knots_of(record, params) if known else np.array([])
    domain = record.domains[0]
    return min([domain.low, *(knots - 1)]), max([domain.high, *(knots + 1)])


def _title(record: Op | None, op: Any, params: dict[str, Any]) -> str:
    name = record.name if record is not None else getattr(op, "__name__", type(op).__name__)
    numbers = {k: v for k, v in params.items() if isinstance(v, (int, float))}
    given = ", ".join(f"{key}={value:g}" for key, value in numbers.items())
    name = "f" if name == "<lambda>" else name
    return f"{name}({given})" if given else name


# --- what it looks like --------------------------------------------------------------------------


def _evaluate(
    f: Callable[[Tensor], Any], x: Array, watcher: Watcher | None = None
) -> tuple[Array, Array]:
    """Return value and slope at each point."""
    leaf = Tensor(x, requires_grad=True)
    if watcher is None:
        y = f(leaf)
    else:
        with watcher:
            y = f(leaf)
    if not isinstance(y, Tensor) or y.shape != x.shape:
        found = f"shape {y.shape}" if isinstance(y, Tensor) else f"type {type(y).__name__}"
        raise ValueError(
            f"{WHO}: the function returned {found} for a Tensor of shape {x.shape}; it must return "
            "one number for each. Index the result, as in lambda x: model(x[:, None])[:, 0]."
        )
    slope = gradients(y, leaf, np.ones_like(y._data)) if y.requires_grad else np.zeros_like(x)
    return np.asarray(y, float), np.asarray(slope, float)


def _kinks(f: Callable[[Tensor], Any], grid: Array) -> list[Kink]:
    """Return the kinks and jumps inside the interval, from left to right."""
    points, exact = grid, np.array([])
    for _ in range(SEARCHES):
        crossings, exact = _crossings(f, points)
        points = np.unique([*grid, *crossings, *exact])
    width = NEAR * (grid[-1] - grid[0])
    inside = np.sort([*crossings, *exact])
    inside = inside[(inside > grid[0]) & (inside < grid[-1])]
    merged = inside[np.diff(inside, prepend=-np.inf) > width]
    # Of several that are as good as one, the float that is exactly at the kink tells the slope.
    on = [next((e for e in exact if abs(e - x) <= width), None) for x in merged]
    at = np.array([x if e is None else e for x, e in zip(merged, on, strict=True)])
    left, right, here = (_evaluate(f, at + shift) for shift in (-width, width, 0))
    found = []
    for i, x in enumerate(at.tolist()):
        sides = [(float(a[i]), float(b[i])) for a, b in zip(left, right, strict=True)]
        middle = (here[0][i], here[1][i]) if on[i] is not None else (np.nan, np.nan)
        kink = Kink(x, sides[0], sides[1], middle)
        if kink.jumps or not np.isclose(*kink.slopes, rtol=1e-5, atol=1e-5):
            found.append(kink)
    return found


def _crossings(f: Callable[[Tensor], Any], points: Array) -> tuple[Array, Array]:
    """Return about where something inside f crosses a kink, and which points are exactly at one."""
    bends = Bends(len(points))
    _evaluate(f, points, bends)
    if not bends.distances:
        return np.array([]), np.array([])
    d = np.concatenate(bends.distances, axis=1).astype(float)
    row, column = np.nonzero(d[:-1] * d[1:] < 0)
    before, after = d[row, column], d[row + 1, column]
    step = points[row + 1] - points[row]
    guess = points[row] + step * (before / (before - after))
    # What a person wrote has few digits; what is flat at a kink is no single point of it.
    rounded = np.round(guess, 9)
    flat = np.zeros_like(d, bool)
    flat[1:-1] = (d[1:-1] == 0) & (d[:-2] == 0) & (d[2:] == 0)
    return np.unique([*guess, *rounded]), points[((d == 0) & ~flat).any(axis=1)]


def _draw(ax: Axes, f: Callable[[Tensor], Any], grid: Array, kinks: list[Kink]) -> None:
    width = NEAR * (grid[-1] - grid[0])
    # A break at each kink: the slope jumps there, and a line through the jump would be wrong.
    at = np.array([kink.x for kink in kinks])
    x = np.unique([*grid, *(at - width), *at, *(at + width)])
    value, slope = _evaluate(f, x)
    jumps = [kink.x for kink in kinks if kink.jumps]
    ax.axhline(0, color=GREY, linewidth=0.5)
    ax.plot(x, np.where(np.isin(x, jumps), np.nan, value), color=BLUE, label="value")
    ax.plot(x, np.where(np.isin(x, at), np.nan, slope), color=ORANGE, ls="--", label="slope")
    for kink in kinks:
        if kink.jumps:
            _dots(ax, BLUE, kink.x, kink.values, kink.here[0])
        _dots(ax, ORANGE, kink.x, kink.slopes, kink.here[1])
    if kinks:
        ax.plot([], [], "o", color=ORANGE, markersize=4, label="slope used at the kink")


def _dots(ax: Axes, colour: str, x: float, sides: tuple[float, float], here: float) -> None:
    """Draw open dots for the two sides, and a filled one for the point itself."""
    ax.plot([x, x], sides, "o", color=colour, markerfacecolor="white", markersize=4, zorder=3)
    if np.isfinite(here):
        ax.plot([x], [here], "o", color=colour, markersize=4, zorder=4)
