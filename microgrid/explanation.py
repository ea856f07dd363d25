"""A graph as a table: what was computed from what, its values, and its gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass

import numpy as np

from .arrays import Array
from .backward import _seed, gradients
from .core import Operand, Tensor
from .finite import is_finite, kinds
from .nn.module import as_integer
from .nodes import Names, is_number, names_of, nodes_of, title

HEADER = ("#", "result", "inputs", "shape", "dtype", "values", "zeros", "gradient")
TO_THE_RIGHT = {"#", "zeros", "gradient"}


@dataclass(frozen=True)
class Row:
    """One node of a graph.

    Attributes:
        number: its place, oldest first.
        result: its name and its op, or what kind of leaf it is.
        inputs: "#3" for the node of that number; numbers in the code stand for themselves.
        shape: of its values.
        dtype: of its values.
        values: from the smallest to the largest that are finite, and how many are not.
        zeros: the share of its values that are exactly 0.
        gradient: the norm of the gradient with respect to it; None if there is none.
    """

    number: int
    result: str
    inputs: str
    shape: tuple[int, ...]
    dtype: str
    values: str
    zeros: float
    gradient: float | None

    def cells(self) -> tuple[str, ...]:
        """Return the row as text."""
        return (
            str(self.number),
            self.result,
            self.inputs,
            str(self.shape),
            self.dtype,
            self.values,
            f"{self.zeros:.0%}" if self.zeros else "",
            "" if self.gradient is None else f"{self.gradient:.4g}",
        )


@dataclass(frozen=True, repr=False)
class Explanation:
    """A table of a graph, which shows as text. It holds numbers only, not the graph.

    Attributes:
        rows: the nodes that are shown, oldest first.
        omitted: how many are left out in the middle.
        notes: how many nodes there are, and what is not finite.
    """

    rows: tuple[Row, ...]
    omitted: int
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        table = [HEADER, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [_line(cells, widths) for cells in table]
        if self.omitted:
            before = len(self.rows) // 2
            start = self.rows[before - 1].number + 1 if before else 0
            end = f" to #{start + self.omitted - 1}" if self.omitted > 1 else ""
            what = f"... {_count(self.omitted, 'rows')} left out, #{start}{end} ..."
            lines.insert(before + 1, what)
        return "\n".join([*lines, *self.notes])


def explain(
    y: Tensor, gradient: Operand | None = None, *, names: Names = None, max_rows: int | None = 60
) -> Explanation:
    """Return the graph of y as a table: each op, its inputs, shapes, values and gradients.

    Numbers in the code, as the 2 of 2 * x, have no row: they stand among the inputs. The last
    column is the norm of the gradient of y with respect to the row; no `.grad` is touched.

    Args:
        y: float[...], computed from Tensors that require a gradient.
        gradient: of the shape of y; without it gradients are shown if y has one element.
        names: a Module, or Tensors by name, to show instead of "leaf" and "constant".
        max_rows: how many nodes are shown at most; others are left out in the middle. None: all.

    Returns:
        An Explanation: print it, or read its `rows`.

    Raises:
        TypeError: y is no Tensor, or names no Module and no dict of Tensors.
        GraphError: y has no graph, it was released, or a leaf was written to since.
        ShapeError: the gradient's shape is not that of y.
        ValueError: max_rows is below 1.

    >>> import microgrid as mg
    >>> x = mg.tensor([3.0, -1.0, -2.0, 4.0], requires_grad=True)
    >>> mg.explain(mg.relu(2 * x).sum(), names={"x": x})
    #  result          inputs   shape  dtype    values   zeros  gradient
    0  x                        (4,)   float64  -2 to 4            2.828
    1  multiply        2.0, #0  (4,)   float64  -4 to 8            1.414
    2  relu            #1       (4,)   float64  0 to 8     50%         2
    3  sum(axis=(0,))  #2       ()     float64  14                     1
    3 results of ops, 1 leaf.
    """
    known = names_of("explain", names)
    limit = None if max_rows is None else as_integer("explain", "max_rows", max_rows, 1)
    nodes = nodes_of("explain", y)
    rows = [node for node in nodes if not is_number(node, known)]
    grads = _gradients(y, rows, gradient)
    shown = _shown(len(rows), limit)
    number = {node: i for i, node in enumerate(rows)}
    return Explanation(
        tuple(_row(i, rows[i], number, known, grads) for i in shown),
        len(rows) - len(shown),
        tuple(_notes(rows, grads)),
    )


def _gradients(
    y: Tensor, rows: Sequence[Tensor], gradient: Operand | None
) -> Mapping[Tensor, Array]:
    if gradient is None and y.size != 1:
        return {}
    seed = _seed("explain", y, gradient)
    wanted = [node for node in rows if node._requires_grad]
    # In an empty context: gradients that are not finite are to be shown here, whoever watches.
    found = Context().run(gradients, y, wanted, seed)
    return {node: g._data for node, g in zip(wanted, found, strict=True)}


def _shown(count: int, limit: int | None) -> list[int]:
    if limit is None or count <= limit:
        return list(range(count))
    head = limit // 2
    return [*range(head), *range(count - limit + head, count)]


@np.errstate(all="ignore")  # a number beyond float64 shows as inf
def _row(
    i: int,
    node: Tensor,
    number: Mapping[Tensor, int],
    names: Mapping[Tensor, str],
    grads: Mapping[Tensor, Array],
) -> Row:
    data = node._data
    g = grads.get(node)
    return Row(
        number=i,
        result=title(node, names),
        inputs=", ".join(
            f"#{number[x]}" if x in number else str(x._data) for x in node.inputs or ()
        ),
        shape=data.shape,
        dtype=str(data.dtype),
        values=_values(data),
        zeros=1 - np.count_nonzero(data) / data.size if data.size else 0.0,
        gradient=None if g is None else _norm(g),
    )


def _values(data: Array) -> str:
    numbers = data.astype(np.float64).ravel()
    finite = numbers[np.isfinite(numbers)]
    ends = [f"{end + 0.0:.4g}" for end in (finite.min(), finite.max())] if finite.size else []
    parts = [" to ".join(dict.fromkeys(ends))] if ends else []
    parts += [f"{count} {kind}" for kind, count in kinds(numbers).items()]
    return ", ".join(parts) or "none"


def _norm(g: Array) -> float:
    """Return the root of the sum of the squares, which cannot overflow before the root."""
    sizes = np.abs(g.astype(np.float64)).ravel()
    largest = float(sizes.max(initial=0.0))
    if not 0 < largest < np.inf:  # 0, nan or inf
        return largest
    sizes /= largest
    return largest * float(np.sqrt(sizes.dot(sizes)))


def _notes(rows: Sequence[Tensor], grads: Mapping[Tensor, Array]) -> list[str]:
    """Return what to say below the table, of all rows, shown or not."""
    results = sum(node.op is not None for node in rows)
    notes = [f"{_count(results, 'results')} of ops, {_count(len(rows) - results, 'leaves')}."]
    bad = [i for i, node in enumerate(rows) if not is_finite(node._data)]
    if bad:
        notes.append(f"Not finite: the values of {_count(len(bad), 'rows')}, first #{bad[0]}.")
    bad = [i for i, node in enumerate(rows) if node in grads and not is_finite(grads[node])]
    if bad:  # a backward pass comes to the newest first
        notes.append(f"Not finite: the gradients of {_count(len(bad), 'rows')}, first #{bad[-1]}.")
    return notes


def _count(number: int, what: str) -> str:
    one = {"leaves": "leaf"}.get(what, what[:-1])
    return f"{number:,} {one if number == 1 else what}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if name in TO_THE_RIGHT else cell.ljust(width)
        for name, cell, width in zip(HEADER, cells, widths, strict=True)
    )
    return "  ".join(padded).rstrip()
