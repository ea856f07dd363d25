"""Rewriting the lines of a program for backend="numba": runs of a table, Python between them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .plan import Plan
from .rows import Reader, Row, StaysPython
from .source import Source
from .table import Table
from .trials import runner

quiet = functools.partial(np.errstate, all="ignore")


@dataclass
class Rewritten:
    """What has become of the lines.

    Attributes:
        rows, runs: how many there are of the table.
        in_table: how many statements the table does.
        left: how many that compute stay Python, where NumPy may warn.
    """

    rows: int = 0
    runs: int = 0
    in_table: int = 0
    left: int = 0


def rewrite(source: Source, arguments: Sequence[str], plan: Plan) -> Rewritten:
    """Let the lines do what they do by a table, where it can.

    Args:
        source: the lines of the body of a function, so far.
        arguments: the names of the arrays that the function is given.
        plan: what the lines do.
    """
    values = dict(zip(arguments, plan.program.arguments, strict=True))
    outside = [x for value, x in plan.arrays.items() if value.kind in ("leaf", "array")]
    rewriter = _Rewriter(source, Reader(source.names, values, outside))
    lines = rewriter.run([line[4:] for line in source.lines])
    source.lines = [f"    {line}" for line in lines]
    return rewriter.done


class _Rewriter:
    """Goes through the statements once, and collects rows until one has to be Python."""

    def __init__(self, source: Source, reader: Reader) -> None:
        self.source, self.reader = source, reader
        self.table = Table()
        self.lines: list[str] = []
        self.start_of_runs: int | None = None  # among the lines
        self.done = Rewritten()
        self.views: dict[str, str] = {}  # lines that find views of arguments, if they are needed
        self._begin()

    def _begin(self) -> None:
        self.first: list[str] = []  # what is done before the run
        self.last: dict[str, str] = {}  # and after it, by what is set
        self.rows: list[Row] = []
        self.texts: list[str] = []

    def run(self, lines: Sequence[str]) -> list[str]:
        """Return the new lines."""
        for node in ast.parse("\n".join(lines)).body:
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            if not self._is_moved(node, text):
                self._statement(node, text)
        self._finish_run()
        if self.start_of_runs is not None:
            self._add_table(self.start_of_runs)
        return self.lines

    def _is_moved(self, node: ast.stmt, text: str) -> bool:
        """Keep a statement that need not stand just where it does; return whether it was one."""
        match node:
            case ast.Assign([ast.Name(name)], value):
                try:
                    self.reader.arrays[name] = self.reader.view(value)
                except StaysPython:
                    return False
                self.views[name] = text
                return True
            case ast.Assign([ast.Attribute(ast.Name(), "grad")], ast.Name() | ast.Constant(None)):
                if self.rows:
                    self.last[ast.unparse(node.targets[0])] = text
                return bool(self.rows)
            case ast.Assign([ast.Subscript(ast.Name(name))], ast.Subscript(ast.Name())):
                return self._is_set(name, text)  # a number, as the learning rate
        return False

    def _is_set(self, name: str, text: str) -> bool:
        try:
            slot, row = self.reader.number(self.reader.arrays[name])
        except (KeyError, StaysPython):
            return False
        new = self.source.name(slot, "number")
        self.first.append(text.replace(name, new, 1))
        self._add([row], text)
        return True

    def _add(self, rows: list[Row], text: str) -> None:
        self.done.in_table += 1
        self.rows += rows
        self.texts += text.split("\n")

    def _statement(self, node: ast.stmt, text: str) -> None:
        try:
            rows = self.reader.rows(node)
        except StaysPython:
            self._finish_run()
            self.done.left += not _is_quiet(node)
            self._python(text)
            return
        if self.last and any(row.raises for row in rows):
            self._finish_run()  # as eager code has done that when it raises
        self._add(rows, text)

    def _python(self, text: str) -> None:
        self._find_views(text)
        self.lines += text.split("\n")

    def _find_views(self, text: str) -> None:
        """Write the lines that find the views of arguments that a text needs."""
        for name in [name for name in self.views if re.search(rf"\b{name}\b", text)]:
            self._python(self.views.pop(name))

    def _finish_run(self) -> None:
        """Write a run of the rows so far, and what stands before and after it."""
        for text in self.first:
            self._python(text)
        if self.rows:
            for row in self.rows:
                self._find_views(row.otherwise)
            if self.start_of_runs is None:
                self._begin_runs()
            self._write_run(self.table.extend(row.what for row in self.rows))
        for text in self.last.values():
            self._python(text)
        self._begin()

    def _begin_runs(self) -> None:
        """See first that nothing from outside has moved, before anything is computed."""
        unmoved = self.reader.unmoved()
        if self.done.left:
            self.lines.insert(0, f"if run(table, {self.table.extend([unmoved.what])}):")
            self.lines.insert(1, f"    {unmoved.otherwise}")
        else:
            self.rows.insert(0, unmoved)
        self.start_of_runs = len(self.lines)

    def _write_run(self, start: int) -> None:
        self.done.runs += 1
        self.done.rows += len(self.rows)
        self.lines += [f"# {text}" for text in self.texts]
        checks: dict[tuple[str, str], list[int]] = {}
        for number, row in enumerate(self.rows, start):
            if row.otherwise:
                then = str(number + row.next) if row.next else "at"
                checks.setdefault((row.otherwise, then), []).append(number)
        if not checks:
            self.lines.append(f"run(table, {start})")
            return
        self.lines += [f"at = run(table, {start})", "while at:  # a check of that row has failed"]
        for (text, then), numbers in checks.items():
            self.lines.append(f"    if at in {tuple(numbers)}:")
            self.lines += ["        with quiet():", *(f"            {x}" for x in text.split("\n"))]
            self.lines += [f"        at = run(table, {then})", "        continue"]

    def _add_table(self, line: int) -> None:
        """Let the names stand for the table, and tell it where the arguments are."""
        reader, home = self.reader, self.table.finish()
        reader.names.update(
            run=runner(),
            quiet=quiet,
            table=home,
            given=reader.given,
            kept=[self.table.memory, *reader.kept],
        )
        self.lines[line:line] = [
            f"given[{i}] = id({name})" for i, name in enumerate(reader.arguments)
        ]


def _is_quiet(node: ast.stmt) -> bool:
    """Return whether a statement computes nothing: NumPy warns of nothing."""
    match node:
        case ast.Return() | ast.Assign(_, ast.Name() | ast.Attribute() | ast.Constant()):
            return True
        case ast.Assign(_, ast.Call(ast.Name("next_serial"))):
            return True
    return False
