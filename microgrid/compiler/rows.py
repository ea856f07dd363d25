"""Reading the lines of a program as rows of a table, for backend="numba".

They are the very lines that are written for backend="numpy", read statement by statement. What
only calls NumPy on planned memory becomes rows; all else stays Python. The rows call the same inner
loops that NumPy would call, so the results have the same bits.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from .arena import aligned
from .lines import EXACT
from .loops import Loop, address, elementwise, is_numpys, lies_where_expected, products
from .program import Value
from .table import BELOW, BIND, FINITE, PUT, SET, TAKE, Other, Table

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
        self.arrays = {name: x for name, x in names.items() if isinstance(x, np.ndarray)}
        self.arguments = list(arguments)
        self.examples: dict[str, Array] = {}
        self.given = np.zeros(len(arguments), np.int64)  # by Python, before each run
        self.kept: list[Array] = []
        for name, value in arguments.items():
            self._add_argument(name, value)

    def _add_argument(self, name: str, value: Value) -> None:
        """Let rows read an argument, if its elements lie side by side."""
        memory = aligned(value.nbytes)
        if not lies_where_expected():
            return
        try:
            self.arrays[name] = _lying(memory, value)
            self.examples[name] = memory
        except ValueError:  # gaps between the elements, or from the last to the first
            pass

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
                # Only NumPy's calls take care of numbers that lie askew.
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
        if call is None or not _agrees(ufunc, *(x.dtype for x in operands)):
            raise StaysPython
        return [Row(call)] if out.size else []

    def _dot(self, a: Array, b: Array, out: Array) -> list[Row]:
        self._apart(a, out)
        self._apart(b, out)
        choice = _product_that_agrees(a, b, out)
        if choice is None:
            raise StaysPython
        return [Row(call) for call in products(a, b, out)[choice]]

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
        """Raise if NumPy would have to see that x may lie in what is written."""
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


def runner() -> Callable[[int, int], int]:
    """Return run(home, row), compiled: it runs the rows of a table from that one on.

    It returns 0 when they are done, else the number of the row whose check failed.
    """
    from .interpreter import run  # which needs Numba

    found: Callable[[int, int], int] = run
    return found


# --- the same bits -------------------------------------------------------------------------------

_agreeing: dict[Any, bool] = {}
_choices: dict[Any, int | None] = {}


def _agrees(ufunc: np.ufunc, *dtypes: Any) -> bool:
    """Return whether a loop gives the bits that NumPy gives, tried once on random numbers."""
    key = ufunc, dtypes
    if key not in _agreeing:
        *given, out = (aligned(37 * d.itemsize).view(d) for d in dtypes)
        call = elementwise(ufunc, (*given, out), False)
        _agreeing[key] = call is not None and _same_bits([call], ufunc, given, out)
    return _agreeing[key]


def _product_that_agrees(a: Array, b: Array, out: Array) -> int | None:
    """Return the first way to multiply that gives the bits of a.dot(b, out), None if none does."""
    fixed = _fixed(a), _fixed(b)
    key = address(a) == address(b), fixed, *((x.shape, x.strides, x.dtype) for x in (a, b, out))
    if key not in _choices:
        memories = [aligned(x.nbytes) for x in (a, b, out)]
        memories[1] = memories[0] if key[0] else memories[1]
        try:
            left, right, result = map(_lying, memories, (a, b, out))
        except ValueError:  # gaps between the elements
            return None
        ways = enumerate(products(left, right, result))
        good = (i for i, calls in ways if _same_bits(calls, np.dot, (left, right), result, fixed))
        _choices[key] = next(good, None)
    return _choices[key]


def _fixed(x: Array) -> float | None:
    """Return the one number of a constant, as of the ones that sum up a batch of one sample."""
    return float(x.item()) if x.size == 1 and not x.flags.writeable else None


def _lying(memory: Array, like: Array | Value) -> Array:
    """Return the memory as an array that lies as another does; ValueError if it is too small."""
    return np.ndarray(like.shape, like.dtype, memory, strides=like.strides)


MIXTURES = ((), (0,), (0, -0.0, 1, -1), (0, -0.0, np.inf, -np.inf, np.nan, 1))
"""What random numbers are mixed with, to try loops on."""


def _same_bits(
    calls: list[Loop],
    function: Any,
    given: Sequence[Array],
    out: Array,
    fixed: Sequence[float | None] = (None, None, None),
) -> bool:
    """Return whether the calls do what the function does, nan being nan whatever its bits."""
    rng = np.random.default_rng(0)
    table = Table()
    start, home = table.extend(calls), table.finish()
    with np.errstate(all="ignore"):
        for mixture in MIXTURES if out.size < 10_000 else MIXTURES[2:]:
            for share in (0.5, 0.5, 1.0) if mixture else (0.0,):
                for x, number in zip(given, fixed, strict=False):
                    numbers = rng.standard_normal(x.shape)
                    others = rng.choice(mixture or (1.0,), x.shape)
                    drawn = np.where(rng.random(x.shape) < share, others, numbers)
                    x[...] = drawn if number is None else number
                runner()(home, start)
                found = out.copy()
                function(*given, out=out)
                if not _are_same(found, out):
                    return False
    return True


def _are_same(a: Array, b: Array) -> bool:
    if a.dtype.kind != "f":
        return a.tobytes() == b.tobytes()
    return bool(((a == b) & (np.signbit(a) == np.signbit(b)) | np.isnan(a) & np.isnan(b)).all())
