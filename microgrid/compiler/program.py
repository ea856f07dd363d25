"""What a trace finds: values, and the calls that compute one from another, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..arrays import Array
from ..core import Op, Tensor
from ..places import Place


@dataclass(eq=False)
class Value:
    """An array that a program reads or computes, as it was when it was traced.

    Attributes:
        kind: "result" of a call; "argument" of the step; "leaf", the memory of a Tensor that exists
            outside; "array" of the caller's, read where it lies; "gradient", what `.grad` of a leaf
            is when the step begins; "constant", which never changes.
        shape, dtype, strides: of the array.
        source: the number of the argument, the leaf, the caller's array, or the constant.
        viewed: the value whose memory this one is a view of.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: Any
    strides: tuple[int, ...]
    source: Any = None
    viewed: Value | None = None

    @property
    def root(self) -> Value:
        """The value whose memory it lies in: itself unless it is a view."""
        value = self
        while value.viewed is not None:
            value = value.viewed
        return value

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of its elements in bytes."""
        count: int = self.dtype.itemsize
        for size in self.shape:
            count *= size
        return count


def value_like(array: Array, kind: str, source: Any = None) -> Value:
    """Return a value of the shape, dtype and strides of the array."""
    return Value(kind, array.shape, array.dtype, array.strides, source)


@dataclass(eq=False)
class Call:
    """One op applied to values."""

    op: Op
    inputs: tuple[Value, ...]
    params: dict[str, Any]
    result: Value

    def reads(self) -> tuple[Value, ...]:
        """Return the values that it needs."""
        return self.inputs


@dataclass(eq=False)
class Write:
    """A value written into the memory of a leaf."""

    leaf: Value
    value: Value

    def reads(self) -> tuple[Value, ...]:
        """Return the values that it needs."""
        return (self.value,)


@dataclass(eq=False)
class Update:
    """A step of an optimiser, or what else changes parameters and gradients in place.

    Attributes:
        action: what does it, run by `.grad` of the leaves as eager code has it.
        optimizer: whose step it is, or None.
        gradients: what `.grad` of leaves is at that time, of those that the step has set.
    """

    action: Any
    optimizer: Any
    gradients: dict[Tensor, Value | None]

    def reads(self) -> tuple[Value, ...]:
        """Return the values that it needs."""
        return tuple(value for value in self.gradients.values() if value is not None)


@dataclass(eq=False)
class Copy:
    """A value copied into an array, where an optimiser reads it."""

    value: Value
    home: Array

    def reads(self) -> tuple[Value, ...]:
        """Return the values that it needs."""
        return (self.value,)


@dataclass(eq=False)
class Forget:
    """`.grad` of a leaf set to None."""

    leaf: Tensor

    def reads(self) -> tuple[Value, ...]:
        """Return the values that it needs."""
        return ()


Line: TypeAlias = "Call | Write | Update | Copy | Forget"


@dataclass(eq=False)
class Program:
    """A traced step.

    Attributes:
        lines: what is done, in order.
        arguments: one for each array or Tensor among the step's arguments.
        outputs: the values that are returned.
        gradients: what `.grad` of leaves is in the end: a value, or None.
        entry: the leaves whose `.grad` was None when the step began, and that relied on it.
        fresh: values made during the trace by code that it cannot see.
        notes: what the passes did, for `explain`.
    """

    lines: list[Line]
    arguments: list[Value]
    outputs: list[Value]
    gradients: dict[Tensor, Value | None]
    entry: list[Tensor]
    fresh: list[tuple[Value, Array, Place]]
    copies: list[tuple[Array, Array]] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def calls(self) -> Iterator[Call]:
        """Yield the calls of ops."""
        return (line for line in self.lines if isinstance(line, Call))

    def drawn_from(self) -> list[Any]:
        """Return the generators of random numbers that ops draw from."""
        return [call.params["rng"] for call in self.calls() if "rng" in call.params]

    def kept(self) -> list[Value]:
        """Return the values that are read when all lines are done."""
        return self.outputs + [value for value in self.gradients.values() if value is not None]
