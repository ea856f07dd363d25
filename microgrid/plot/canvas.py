"""Figures without pyplot, axes that are drawn alike, colours that everyone can tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart with every kind of colour vision. Source: Okabe & Ito (2008), Color universal design.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#666666"
COLOURS = BLUE, YELLOW, GREEN, PINK, ORANGE, SKY, BLACK
MARKERS = "o", "s", "^", "D", "v", "P", "X", "<", "p", "*"
DASHES = "-", "--", "-.", ":"
MAP = "cividis"  # Source: Nuñez, Anderton & Renslow (2018): the same to all, and in grey.


def require_matplotlib(who: str) -> None:
    """Raise unless matplotlib can be imported: the first line of a picture of your own.

    Args:
        who: what draws, for the error.

    Raises:
        ImportError: it is not installed; the message says how to get it.

    >>> import microgrid as mg
    >>> mg.plot.require_matplotlib("my_picture")
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{who}: matplotlib is not installed, and pictures need it. "
            "Install the extra: pip install 'microgrid[plot]'."
        ) from error


def new_figure(who: str, width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches.

    Raises:
        ImportError: matplotlib is not installed.
    """
    require_matplotlib(who)
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(width, height), layout=layout)


def axes_for(who: str, ax: Axes | None, width: float = 4.8, height: float = 3.4) -> Axes:
    """Return the axes given, or those of a new figure.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: something else than axes was given.
    """
    if ax is None:
        return new_figure(who, width, height).add_subplot()
    require_matplotlib(who)
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(
            f"{who}: ax of type {type(ax).__name__} was given; it needs the Axes of matplotlib. "
            "Leave it out, or pass figure.add_subplot()."
        )
    return ax


def tidy(ax: Axes) -> None:
    """Draw a faint grid, and no frame on the sides that have no numbers."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.3, linewidth=0.5)
