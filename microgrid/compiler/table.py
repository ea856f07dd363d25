"""A table of calls that one compiled function runs: what backend="numba" makes of a program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .arena import address

DONE, CALL, BIND, SAME, FINITE, BELOW, TAKE, PUT, SET, OUTER = range(10)
"""The kinds of rows.

CALL: an inner loop of NumPy. BIND: tells a row further down where the data of an argument lies, if
that is aligned. SAME, FINITE, BELOW: checks, of words in memory, of a number, of indices. TAKE and
PUT: elements by their flat indices. SET: a number, from one in float64. OUTER: the products of a
column and a row. A row whose check fails ends the run.
"""

WORDS = 9
"""In a row: kind, function, data, operands, counts, strides, times, jumps, number of operands."""


@dataclass(frozen=True)
class Loop:
    """One call of an inner loop, or several side by side.

    Attributes:
        function, data: what NumPy calls, and what it is given last.
        addresses: of the first element of each operand.
        counts: how many elements, and for a matrix product the sizes of the axes.
        strides: the bytes from an element to the next, of each operand.
        times: how often it is called.
        jumps: the bytes that the operands are moved by between two calls.
    """

    function: int
    data: int
    addresses: tuple[int, ...]
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    times: int = 1
    jumps: tuple[int, ...] = ()


Other: TypeAlias = tuple[int, tuple[int, ...], tuple[int, ...]]
"""A row that is no call: its kind, operands and counts."""


class Table:
    """Rows of calls that are run in their order; all addresses in them are fixed.

    Attributes:
        memory: int64[...], once it is finished.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[int | tuple[int, ...], ...]] = []
        self.memory = np.zeros(0, np.int64)
        self.extend(())  # so that no row of interest has the number 0

    def extend(self, rows: Iterable[Loop | Other]) -> int:
        """Add rows that are run one after the other; return the number of the first one."""
        start = len(self._rows)
        for row in rows:
            if isinstance(row, Loop):
                whole = (row.addresses, row.counts, row.strides, row.times, row.jumps)
                self._rows.append((CALL, row.function, row.data, *whole, len(row.addresses)))
            else:
                kind, operands, counts = row
                self._rows.append((kind, 0, 0, operands, counts, (), 0, (), len(operands)))
        self._rows.append((DONE, *[0] * (WORDS - 1)))
        return start

    def finish(self) -> int:
        """Lay the rows out, and after them the lists that they point to; return where they lie."""
        lists = sum(len(item) for row in self._rows for item in row if isinstance(item, tuple))
        self.memory = np.zeros(len(self._rows) * WORDS + lists, np.int64)
        home, end = address(self.memory), len(self._rows) * WORDS
        for i, row in enumerate(self._rows):
            for j, item in enumerate(row):
                if isinstance(item, tuple):
                    self.memory[end : end + len(item)] = item
                    self.memory[WORDS * i + j] = home + 8 * end
                    end += len(item)
                else:
                    self.memory[WORDS * i + j] = item
        return home
