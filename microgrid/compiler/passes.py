"""What is taken out of a program before it is planned: each pass returns how much that was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .program import Call, Line, Program, Update, Value, Write


def fold(program: Program) -> int:
    """Compute now what depends on constants only."""
    kept: list[Line] = []
    for line in program.lines:
        if isinstance(line, Call) and _is_constant(line):
            arrays = [x.source for x in line.inputs]
            with np.errstate(all="ignore"):
                data = line.op.run(arrays, line.params)
            line.result.kind, line.result.source = "constant", data
            line.result.viewed = None
        else:
            kept.append(line)
    return _replace(program, kept)


def _is_constant(call: Call) -> bool:
    return (
        bool(call.inputs) and not call.op.effect and all(x.kind == "constant" for x in call.inputs)
    )


def share(program: Program) -> int:
    """Compute once what is computed twice: the same op of the same values."""
    known: dict[Any, Value] = {}
    renamed: dict[Value, Value] = {}
    written: dict[Value, int] = {}  # how often each memory was written to so far
    constants: dict[Any, Value] = {}
    kept: list[Line] = []
    for line in program.lines:
        rename(line, renamed, constants)
        if isinstance(line, Call) and not line.op.effect:
            epochs = tuple(written.get(x.root, 0) for x in line.inputs)
            key = (line.op, line.inputs, epochs, frozen(line.params), line.result.viewed is None)
            twin = known.setdefault(key, line.result)
            if twin is not line.result and twin.strides == line.result.strides:
                renamed[line.result] = twin
                continue
        elif isinstance(line, Write):
            written[line.leaf.root] = written.get(line.leaf.root, 0) + 1
        elif isinstance(line, Update):
            everything = len(kept) + 1  # an optimiser may write anywhere
            written = _Everywhere(everything)
        kept.append(line)
    _rename_kept(program, renamed)
    return _replace(program, kept)


class _Everywhere(dict[Value, int]):
    """The same number of writes for every value that has none of its own."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def get(self, key: Value, default: Any = 0) -> Any:
        return super().get(key, self._number)


def skip(program: Program) -> int:
    """Leave out what changes nothing, as a product with 1."""
    renamed: dict[Value, Value] = {}
    kept: list[Line] = []
    for line in program.lines:
        rename(line, renamed, {})
        same = _unchanged(line) if isinstance(line, Call) else None
        if same is None:
            kept.append(line)
        else:
            renamed[line.result] = same  # type: ignore[union-attr]
    _rename_kept(program, renamed)
    return _replace(program, kept)


def _unchanged(call: Call) -> Value | None:
    """Return the operand that the result equals, bit for bit."""
    if call.op.unit is None or len(call.inputs) != 2:
        return None
    for unit, other in (call.inputs, call.inputs[::-1]):
        result = call.result
        alike = (other.shape, other.dtype, other.strides) == (
            result.shape, result.dtype, result.strides,
        )  # fmt: skip
        is_unit = unit.kind == "constant" and unit.shape == () and unit.source == call.op.unit
        if alike and is_unit and other.kind == "result":
            return other
    return None


def _rename_kept(program: Program, renamed: dict[Value, Value]) -> None:
    program.outputs = [renamed.get(value, value) for value in program.outputs]
    program.gradients = {
        leaf: None if value is None else renamed.get(value, value)
        for leaf, value in program.gradients.items()
    }


def prune(program: Program) -> int:
    """Leave out what nobody reads."""
    needed = {value for kept in program.kept() for value in _chain(kept)}
    kept: list[Line] = []
    for line in reversed(program.lines):
        if isinstance(line, Call) and not line.op.effect and line.result not in needed:
            continue
        for value in line.reads():
            needed.update(_chain(value))
        kept.append(line)
    kept.reverse()
    return _replace(program, kept)


PASSES: dict[str, Callable[[Program], int]] = {
    "folded": fold, "shared": share, "skipped": skip, "pruned": prune,
}  # fmt: skip
"""By the word for what they did, in the order in which they run."""


def optimise(program: Program, without: Iterable[str] = ()) -> None:
    """Run the passes but those left out, and note how much each took away."""
    for word, run in PASSES.items():
        if word not in without:
            program.notes[word] = run(program)


def rename(line: Line, renamed: dict[Value, Value], constants: dict[Any, Value]) -> None:
    """Make a line read the values that stand for others now, equal constants among them."""

    def current(value: Value) -> Value:
        value = renamed.get(value, value)
        if value.kind == "constant" and value.shape == ():
            value = constants.setdefault((value.dtype, value.source.tobytes()), value)
        return value

    if isinstance(line, Call):
        line.inputs = tuple(map(current, line.inputs))
        if line.result.viewed is not None:
            line.result.viewed = current(line.result.viewed)
    elif isinstance(line, Write):
        line.value = current(line.value)
    elif isinstance(line, Update):
        line.gradients = {
            leaf: None if value is None else current(value)
            for leaf, value in line.gradients.items()
        }


def frozen(params: Any) -> Any:
    """Return parameters as a key: equal for equal parameters, arrays by their values."""
    if isinstance(params, dict):
        return tuple((key, frozen(value)) for key, value in params.items())
    if isinstance(params, (list, tuple)):
        return (type(params), *map(frozen, params))
    if isinstance(params, np.ndarray):
        return (params.shape, params.dtype, params.tobytes())
    if isinstance(params, slice):
        return (slice, params.start, params.stop, params.step)
    if isinstance(params, float):
        return (float, params.hex())  # -0.0 is not 0.0, and nan is nan
    try:
        hash(params)
    except TypeError:
        return id(params)
    return (type(params), params)


def _chain(value: Value) -> list[Value]:
    found = [value]
    while value.viewed is not None:
        value = value.viewed
        found.append(value)
    return found


def _replace(program: Program, lines: list[Line]) -> int:
    fewer = len(program.lines) - len(lines)
    program.lines = lines
    return fewer
