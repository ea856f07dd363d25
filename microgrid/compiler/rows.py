"""Reading the lines of a program as rows of a table, for backend="numba".

They are the very lines that are written for backend="numpy", read statement by statement. What
only calls NumPy on planned memory becomes rows; all else stays Python. The rows call the same inner
loops that NumPy would call, so the results have the same bits.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from .arena import address, aligned
from .lines import EXACT
from .loops import elementwise, header_of, is_numpys, lies_where_expected, products
from .program import Value
from .table import BELOW, BIND, FINITE, PUT, SAME, SET, TAKE, Loop, Other
from .trials import agrees, product_that_agrees

ANY_STRIDE = (
    *EXACT, np.positive, np.negative, np.absolute, np.sign, np.ceil, np.floor, np.sqrt, np.square,
)  # fmt: skip
"""Ufuncs that give the same bits however the operands lie."""

FLOATS = np.float32, np.float64


@dataclass
class Row:
    """A row of the table, before it has its number.

    Attributes:
        what: a call, or a row of another kind.
        otherwise: of a check, what Python does if it fails.
        next: the row to go on with then, counted from this one.
        raises: whether Python may raise an error then.
    """

    what: Loop | Other
    otherwise: str = ""
    next: int = 1
    raises: bool = False


class StaysPython(Exception):
    """A statement is none that a table can do."""


class Reader:
    """Turns statements into rows.

    Attributes:
        arrays: by name. For an argument an array that lies as it does, whose numbers nobody reads.
    """

    def __init__(
        self, names: dict[str, Any], arguments: dict[str, Value], outside: Sequence[Array]
    ) -> None:
        self.names, self.outside = names, outside
        # Where nobody knows how arrays lie, all stays Python.
        known = names.items() if lies_where_expected() else ()
        self.arrays = {name: x for name, x in known if isinstance(x, np.ndarray)}
        self.arguments = list(arguments)
        self.examples: dict[str, Array] = {}
        self.given = np.zeros(len(arguments), np.int64)  # by Python, before each run
        self.kept: list[Array] = []
        for name, value in arguments.items():
            self._add_argument(name, value)

    def _add_argument(self, name: str, value: Value) -> None:
        """Let rows read an argument, if its elements lie side by side."""
        if lies_where_expected() and _is_dense(value):
            memory = self.examples[name] = aligned(value.nbytes)
            self.arrays[name] = np.ndarray(value.shape, value.dtype, memory, strides=value.strides)

    def unmoved(self) -> Row:
        """Return the check that all arrays from outside lie where they did, and as they did."""
        pairs = [pair for x in self.outside for pair in header_of(x)]
        wheres, expected = zip(*pairs, strict=True) if pairs else ((), ())
        return Row((SAME, wheres, expected), "return MISS")

    def rows(self, node: ast.stmt) -> list[Row]:
        """Return the rows of a statement.

        Raises:
            StaysPython: a table cannot do it.
        """
        match node:
            case ast.Expr(ast.Call() as call):
                return self._bound(self._call(call))
            case ast.If(test, body, others):
                rows = self._bound(self._check(test))
                rest = [row for other in others for row in self.rows(other)]
                rows[-1].otherwise = "\n".join(map(ast.unparse, body))
                rows[-1].next = len(rest) + 1
                return rows + rest
        raise StaysPython

    def view(self, node: ast.expr) -> Array:
        """Return the array that an expression is: a name, or another view of one."""
        match node:
            case ast.Name(name) if name in self.arrays:
                return self.arrays[name]
            case ast.Attribute(inner, "T"):
                return self.view(inner).T
            case ast.Call(ast.Attribute(inner, "view"), [ast.Name(dtype)], []):
                return self.view(inner).view(self.names[dtype])
        raise StaysPython

    def number(self, target: Array) -> tuple[Array, Row]:
        """Return memory for a number that Python sets before a run, and what brings it to `target`.

        Raises:
            StaysPython: the target is no number of a usual kind.
        """
        if target.shape != () or target.dtype not in FLOATS:
            raise StaysPython
        slot = np.zeros(())
        self.kept.append(slot)
        return slot, Row((SET, (address(target), address(slot)), (target.itemsize,)))

    def _argument_at(self, where: int) -> tuple[str, int] | None:
        """Return the argument in whose memory an address lies, and how far from its start."""
        for name, memory in self.examples.items():
            offset = where - address(memory)
            if 0 <= offset < len(memory):
                return name, offset
        return None

    def _bound(self, rows: list[Row]) -> list[Row]:
        """Return the rows, and before each what finds where the arguments lie that it reads."""
        found = []
        for row in rows:
            operands = row.what.addresses if isinstance(row.what, Loop) else row.what[1]
            places = [(i, self._argument_at(where)) for i, where in enumerate(operands)]
            binds = [(i, *argument) for i, argument in places if argument is not None]
            for done, (i, name, offset) in enumerate(binds):
                number = self.arguments.index(name)
                given = address(self.given) + 8 * number
                what = BIND, (len(binds) - done, i, given, offset), (self.arrays[name].itemsize,)
                # Only NumPy's calls take care of numbers that are misaligned.
                copy = f"{name} = {name}.copy('K')\ngiven[{number}] = id({name})"
                found.append(Row(what, copy, next=0))
            found.append(row)
        return found

    # --- statements ------------------------------------------------------------------------------

    def _call(self, call: ast.Call) -> list[Row]:
        match call:
            case ast.Call(ast.Attribute(inner, "dot"), [other, out], []):
                return self._dot(self.view(inner), self.view(other), self.view(out))
            case ast.Call(ast.Attribute(inner, "take"),
                          [index, ast.Constant(None), out, ast.Constant("clip")], []):  # fmt: skip
                return self._move(TAKE, inner, index, out)
            case ast.Call(ast.Attribute(inner, "put"), [index, values], []):
                return self._move(PUT, inner, index, values, ast.unparse(call))
            case ast.Call(ast.Name(function), given, named):
                ufunc: Any = self.names.get(function)
                given = [*given, *(x.value for x in named if x.arg == "out")]
                others = {(x.arg, getattr(x.value, "value", None)) for x in named if x.arg != "out"}
                if ufunc is np.copyto and others <= {("casting", "same_kind")}:
                    ufunc, given, others = np.positive, given[::-1], set()
                if is_numpys(ufunc) and not others and len(given) == ufunc.nin + 1:
                    return self._each(ufunc, [self.view(x) for x in given])
        raise StaysPython

    def _each(self, ufunc: np.ufunc, operands: list[Array]) -> list[Row]:
        out = operands[-1]
        for x in operands[:-1]:
            same = address(x) == address(out) and (x.shape, x.strides) == (out.shape, out.strides)
            if not same:
                self._apart(x, out)
        any_stride = ufunc in ANY_STRIDE
        call = elementwise(ufunc, operands, any_stride)
        if call is None or not agrees(ufunc, *(x.dtype for x in operands)):
            raise StaysPython
        return [Row(call)] if out.size else []

    def _dot(self, a: Array, b: Array, out: Array) -> list[Row]:
        self._apart(a, out)
        self._apart(b, out)
        choice = product_that_agrees(a, b, out)
        if choice is None:
            raise StaysPython
        return [Row(products(a, b, out)[choice])]

    def _move(
        self, kind: int, one: ast.expr, index: ast.expr, other: ast.expr, otherwise: str = ""
    ) -> list[Row]:
        a, places, b = self.view(one), self.view(index), self.view(other)
        simple = a.flags.c_contiguous and b.flags.c_contiguous and places.flags.c_contiguous
        fits = places.dtype == np.intp and places.size == b.size and a.dtype == b.dtype
        if not (simple and fits and a.size and a.itemsize in (4, 8)) or a.dtype.hasobject:
            raise StaysPython
        self._apart(a, b)
        self._apart(places, b if kind == TAKE else a)
        given = (address(a), address(places), address(b))
        what = kind, given, (places.size, a.size, a.itemsize)
        return [Row(what, otherwise, raises=bool(otherwise))]

    def _apart(self, x: Array, out: Array) -> None:
        """Raise if x may overlap what is written: NumPy's call would see to that."""
        if np.may_share_memory(x, out):
            raise StaysPython
        if self._argument_at(address(x)) and any(np.may_share_memory(out, y) for y in self.outside):
            raise StaysPython  # nobody knows where the next argument lies

    # --- checks ----------------------------------------------------------------------------------

    def _check(self, test: ast.expr) -> list[Row]:
        match test:
            case ast.UnaryOp(ast.Not(), ast.Call(ast.Name("isfinite"), [number], [])):
                return self._finite(number)
            case ast.Compare(
                ast.Subscript(ast.Name(a) as x, ast.Call(ast.Attribute(ast.Name(b), "argmax"))),
                [ast.GtE()],
                [ast.Constant(int(limit))],
            ) if a == b:
                return self._below(self.view(x), limit)
        raise StaysPython

    def _finite(self, number: ast.expr) -> list[Row]:
        rows: list[Row] = []
        match number:
            case ast.Call(ast.Attribute(a, "dot"), [b], []):
                left, right = self.view(a), self.view(b)
                x = np.zeros(np.broadcast_shapes(left.shape[:-1], right.shape[1:]), left.dtype)
                self.kept.append(x)
                rows = self._dot(left, right, x)
            case _:
                x = self.view(number)
        if x.shape != () or x.dtype not in FLOATS:
            raise StaysPython
        return [*rows, Row((FINITE, (address(x),), (x.itemsize,)))]

    def _below(self, indices: Array, limit: Any) -> list[Row]:
        if indices.dtype != np.uintp or not indices.flags.c_contiguous:
            raise StaysPython
        return [Row((BELOW, (address(indices),), (indices.size, limit)), raises=True)]


def _is_dense(value: Value) -> bool:
    """Return whether there are no gaps between the elements, and none is there twice.

    A copy of such an array lies as it does.
    """
    expected = value.dtype.itemsize
    for stride, size in sorted(zip(value.strides, value.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True
