"""What the doctor found: a row for each activation and each weight, and advice in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .drawing import Given

HEAD = ("layer", "kind", "units", "dead", "saturated", "linear", "zeros", "mean", "std")
WITH_GRADIENTS = (*HEAD, "gradient", "ratio")
WEIGHTS = ("weight", "shape", "norm", "gradient", "update")
TEXTS = frozenset(("layer", "kind", "weight", "shape"))  # to the left, as numbers to the right
SHOWN = 5  # further layers of which the same is to be said


@dataclass(frozen=True)
class ActivationRow:
    """One call of an activation.

    Attributes:
        name: of the layer, as "1" or "hidden"; a second call of it has "#2" behind.
        kind: the name of the op, as "relu".
        layer: the linear layer whose result it was called on; "" for none.
        units: how many there are.
        dead: the units on which the slope is 0 on all samples.
        saturated: those on which it is tiny on nearly all samples.
        linear: those on which it is the same on all samples.
        sparsity: the share of the results that are exactly 0.
        mean, std: of the results.
        gradient: the norm of the gradient of the loss towards the results; None without a loss.
        ratio: that norm over the one of the next row; None without a loss, and in the last row.
        finite: whether all results are.
        revivable: whether `mg.revive` can do something for dead units.
    """

    name: str
    kind: str
    layer: str
    units: int
    dead: tuple[int, ...]
    saturated: tuple[int, ...]
    linear: tuple[int, ...]
    sparsity: float
    mean: float
    std: float
    gradient: float | None = None
    ratio: float | None = None
    finite: bool = True
    revivable: bool = False

    @property
    def dead_share(self) -> float:
        """The share of the units that are dead."""
        return len(self.dead) / max(self.units, 1)

    @property
    def saturated_share(self) -> float:
        """The share of the units that are saturated."""
        return len(self.saturated) / max(self.units, 1)

    @property
    def linear_share(self) -> float:
        """The share of the units that are linear on all samples."""
        return len(self.linear) / max(self.units, 1)

    def cells(self) -> tuple[str, ...]:
        """Return the row as text."""
        counts = (len(group) for group in (self.dead, self.saturated, self.linear))
        numbers = (_short(value) for value in (self.mean, self.std, self.gradient, self.ratio))
        zeros = f"{self.sparsity:.0%}"
        return (self.name, self.kind, str(self.units), *map(str, counts), zeros, *numbers)


@dataclass(frozen=True)
class WeightRow:
    """One parameter of two dimensions or more.

    Attributes:
        name: of the parameter, as "0.weight".
        shape: of its values.
        norm: of its values.
        gradient: the norm of the gradient of the loss.
        update: the norm of what one step of the optimiser would change, over `norm`; None without
            an optimiser, or if `norm` is 0.
    """

    name: str
    shape: tuple[int, ...]
    norm: float
    gradient: float
    update: float | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the row as text."""
        numbers = (_short(value) for value in (self.norm, self.gradient, self.update))
        return (self.name, str(self.shape), *numbers)


@dataclass(frozen=True)
class Finding:
    """Something to do something about.

    Attributes:
        kind: "dead", "saturated", "linear", "vanishing", "exploding", "cut off", "not finite",
            "small update", "large update", "few samples" or "no activation".
        layer: where it is; "" for the whole model.
        text: what it is and what to do, as a sentence.
    """

    kind: str
    layer: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Report:
    """What `mg.diagnose` found. It shows as a table; it holds numbers only, not the model.

    Attributes:
        samples: how many there were.
        rows: one for each call of an activation, in the order of the calls.
        weights: one for each weight; empty without a loss.
        findings: what to do something about.
        loss: the loss; None without one.
    """

    samples: int
    rows: tuple[ActivationRow, ...]
    weights: tuple[WeightRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    loss: float | None = None

    def __getitem__(self, name: str) -> ActivationRow:
        """Return the row of this name.

        Raises:
            KeyError: there is none; the message has the names that there are.
        """
        for row in self.rows:
            if row.name == name:
                return row
        known = ", ".join(row.name for row in self.rows)
        raise KeyError(f"Report: no activation is called {name!r}; the names are {known}.")

    @property
    def dead_share(self) -> float:
        """The share of all units that are dead."""
        units = sum(row.units for row in self.rows)
        return sum(len(row.dead) for row in self.rows) / max(units, 1)

    @property
    def advice(self) -> list[str]:
        """The findings as sentences."""
        return [finding.text for finding in self.findings]

    def plot(self, ax: Given = None) -> list[Axes]:
        """Draw the shares of dead, saturated, linear and active units, and the gradients.

        Args:
            ax: where to draw: axes for the shares, or two, the second for the norms of the
                gradients. None for those of a new figure.

        Returns:
            The axes; `axes[0].figure` is the figure.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there is nothing to draw, or the axes given are not one or two.
        """
        from .drawing import draw  # here, as pictures need an extra

        return draw(self, ax)

    def __repr__(self) -> str:
        head = WITH_GRADIENTS if self.loss is not None else HEAD
        lines = [f"Activations on {counted(self.samples, 'sample')}"]
        lines[0] += "" if self.loss is None else f", loss {_short(self.loss)}"
        lines += _table(head, (row.cells() for row in self.rows))
        if self.weights:
            updates = any(row.update is not None for row in self.weights)
            lines += [
                "",
                *_table(WEIGHTS[: 5 if updates else 4], (r.cells() for r in self.weights)),
            ]
        if self.findings:
            lines += ["", *_told(self.findings)]
        return "\n".join(lines)


def _told(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield a line for each kind of finding: the first, and where else it is so."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    for first, *others in kinds.values():
        more = len(others) - SHOWN
        where = ", ".join(other.layer for other in others[:SHOWN])
        where += f" and {more} more" if more > 0 else ""
        many = "layers" if len(others) > 1 else "layer"
        yield f"* {first}" + (f" Likewise in {many} {where}." if others else "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table, of each row as many cells as the head has."""
    table = [head, *(row[: len(head)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(_justified, cells, widths, head)).rstrip() for cells in table]


def _justified(cell: str, width: int, name: str) -> str:
    return cell.ljust(width) if name in TEXTS else cell.rjust(width)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def counted(number: int, what: str) -> str:
    """Return a number of things.

    >>> counted(1, "sample"), counted(360, "sample")
    ('1 sample', '360 samples')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
