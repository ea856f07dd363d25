"""What an op's `inline` writes with: the lines of one call in the emitted program."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from ..arrays import Array
from .arena import Pool
from .program import Value

# Measured on arrays of two dimensions. Up to SMALL elements an operand is repeated by `take`, up to
# LARGE by `copyto`; beyond, what that takes in memory costs more than it saves.
SMALL, LARGE = 700, 100_000

SHORT = 2048  # elements that a fast loop goes through in the time that NumPy's call of it takes


# Others may give other last digits when NumPy takes another loop.
EXACT = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)


class Writer(Protocol):
    """What lines need of who writes them."""

    scratch: Pool
    short: int
    locals: dict[Value, str]
    source: Any
    guard: Any

    def text(self, thing: Any) -> str:
        """Return what a line calls a thing."""

    def shared(self, constant: Array) -> Array:
        """Return the same array for equal constants."""


class Lines:
    """What an op's `inline` writes with: the lines of one call.

    Attributes:
        written: the lines so far.
        is_read: whether anybody reads the result.
        short: so many elements take less time than the call; 0 if calls cost nothing.
    """

    def __init__(self, emitter: Writer, is_read: bool = True) -> None:
        self._emitter = emitter
        self.is_read, self.short = is_read, emitter.short
        self.written: list[str] = []
        self.stands_for_result: Any = None
        self._taken: list[Array] = []

    def __call__(self, function: Callable[..., Any], *things: Any, **named: Any) -> None:
        """Write a call of the function with arrays, values and numbers."""
        text = self._emitter.text
        given = [text(thing) for thing in things]
        given += [f"{key}={text(thing)}" for key, thing in named.items()]
        self.written.append(f"{text(function)}({', '.join(given)})")

    def each(self, ufunc: Any, a: Any, b: Any, out: Array) -> None:
        """Write out = ufunc(a, b), of elements, in the way that takes the least time.

        Shapes that differ cost NumPy half a microsecond of preparation, and loops as short as the
        rows: to repeat the smaller operand first is faster, unless it is large.
        """
        if ufunc in EXACT and _is_array(a, out) and _is_array(b, out):
            a, b, out = _same_rank(a, b, out)
            a, b = self._repeated(a, out), self._repeated(b, out)
        if ufunc in (np.maximum, np.minimum):  # whose third place is on its way out of NumPy
            self(ufunc, a, b, out=out)
        else:
            self(ufunc, a, b, out)

    def _repeated(self, x: Array, out: Array) -> Array:
        """Return an operand in the shape of the result, if that pays."""
        if x.shape == out.shape or x.ndim == 0 or out.ndim != 2 or not 1 < out.size <= LARGE:
            return x
        if not self.short:
            return x
        if x.shape not in ((out.shape[1],), (1, out.shape[1]), (out.shape[0], 1)):
            return x
        whole = self.scratch(out.shape, x.dtype)
        if out.size > SMALL or not x.flags.c_contiguous:
            self(np.copyto, whole, x)
            return whole
        places = np.arange(x.size).reshape(x.shape)
        index = np.ascontiguousarray(np.broadcast_to(places, out.shape).reshape(-1))
        # The indices are right: "clip" only spares NumPy a copy.
        template = "{0}.take({1}, None, {2}, 'clip')"
        self.text(template, x.reshape(-1), self._emitter.shared(index), whole.reshape(-1))
        return whole

    def require(self, expression: str, *things: Any) -> None:
        """Let a replay be run only if the expression of things holds."""
        self._emitter.guard.also("a setting", expression, *things)

    def filled(self, shape: tuple[int, ...], dtype: Any, value: int) -> Array:
        """Return an array of one number, the same one for all who ask."""
        return self._emitter.shared(np.full(shape, value, dtype))

    def text(self, template: str, *things: Any) -> None:
        """Write a line with things at the places {0}, {1}, ..."""
        self.written.append(template.format(*map(self._emitter.text, things)))

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """Write what is done if the condition of the line before does not hold."""
        self.written.append("else:")
        start = len(self.written)
        yield
        self.written[start:] = [f"    {line}" for line in self.written[start:]]

    def local(self, template: str, *things: Any) -> Value:
        """Write a line whose value has a name of its own, and return that for later lines."""
        value = Value("result", (), None, ())
        name = self._emitter.locals[value] = self._emitter.source.new("t")
        self.text(f"{name} = {template}", *things)
        return value

    def same(self, thing: Any) -> None:
        """Let what is read of the result be read from this instead: it is the same."""
        self.stands_for_result = thing

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return memory for this call alone, as an array."""
        pool = self._emitter.scratch
        count = math.prod(shape)
        piece = pool.take(count * dtype.itemsize)
        self._taken.append(piece)
        return pool.array(piece, shape, dtype, np.empty(shape, dtype).strides)

    def done(self) -> None:
        """Give the memory back."""
        for piece in self._taken:
            self._emitter.scratch.give_back(piece)


def is_ufunc(function: Any, inputs: int) -> bool:
    """Return whether it is a NumPy ufunc of so many inputs and one result."""
    return isinstance(function, np.ufunc) and (function.nin, function.nout) == (inputs, 1)


def _is_array(x: Any, out: Array) -> bool:
    return isinstance(x, np.ndarray) and x.ndim <= out.ndim


def _same_rank(a: Array, b: Array, out: Array) -> tuple[Array, Array, Array]:
    """Return operands and result without a first axis of size 1, which NumPy takes time to see."""
    if out.ndim != 2 or out.shape[0] != 1 or not out.flags.c_contiguous:
        return a, b, out
    if not all(x.flags.c_contiguous and x.size in (1, out.size) for x in (a, b)):
        return a, b, out
    # One number has no dimensions unless the result is one number too.
    flat = (x.reshape(-1 if x.size == out.size else ()) for x in (a, b))
    return (*flat, out.reshape(-1))  # type: ignore[return-value]
