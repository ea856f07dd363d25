"""Planning: in which memory each value of a program lies, for all replays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Tensor
from .arena import (
    Pool,
    already_side_by_side,
    is_held_once,
    is_kept_once,
    side_by_side,
)
from .program import Call, Copy, Line, Program, Update, Value, Write


@dataclass(eq=False)
class Step:
    """A line of a program that is to be run, with the memory it works in."""

    line: Line
    flat: list[FlatUpdate] | None = None


@dataclass(eq=False)
class FlatUpdate:
    """The parameters of one group of an optimiser as one vector, and so their gradients.

    Attributes:
        slots: what is remembered of them as vectors, and the counts of the first one.
        counts: the counts of all; they are equal.
    """

    group: dict[str, Any]
    leaves: list[Tensor]
    data: Array
    gradient: Array
    slots: dict[str, Array]
    scratch: Array
    counts: dict[str, Array]


@dataclass(eq=False)
class Plan:
    """Which arrays a program uses.

    Attributes:
        arrays: of the values that lie in the same memory in every replay.
        steps: what is left to be run: views of such memory are not.
        homes: of leaves, the array that becomes their `.grad`.
        conditions: what must hold besides, as in a Guard.
    """

    program: Program
    arrays: dict[Value, Array] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    homes: dict[Tensor, Array] = field(default_factory=dict)
    conditions: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    pool: Pool = field(default_factory=Pool)
    gradient_bytes: int = 0
    in_place: int = 0

    @property
    def nbytes(self) -> int:
        """The memory of the buffers."""
        return self.pool.nbytes + self.gradient_bytes


def plan(program: Program, flat: bool = True, reuse: bool = True) -> Plan:
    """Return where the values lie.

    Args:
        program: what to plan; parameters may be moved side by side in memory.
        flat: whether updates work on all parameters of a group at once.
        reuse: whether memory is used again for other values.
    """
    made = Plan(program)
    updates = _plan_updates(made, flat)
    _Planner(made, updates, reuse).run()
    return made


def _plan_updates(made: Plan, flat: bool) -> dict[Update, list[FlatUpdate]]:
    """Lay gradients side by side, and parameters too where nobody can tell."""
    found: dict[Update, list[FlatUpdate]] = {}
    for line in made.program.lines:
        if isinstance(line, Update) and flat:
            groups = _flat_groups(line, made.homes)
            if groups:
                made.conditions += _conditions(line, groups)
                found[line] = groups
                made.gradient_bytes += sum(g.gradient.nbytes + g.scratch.nbytes for g in groups)
    for leaf, value in made.program.gradients.items():
        if value is not None and leaf not in made.homes and not leaf.dtype.hasobject:
            _, (home,) = side_by_side([leaf.shape], leaf.dtype)
            made.homes[leaf] = home
            made.gradient_bytes += home.nbytes
    return found


def _flat_groups(update: Update, homes: dict[Tensor, Array]) -> list[FlatUpdate] | None:
    """Return the groups as vectors, if the optimiser can take them so."""
    optimizer = update.optimizer
    if not optimizer.elementwise:
        return None
    everything: list[tuple[dict[str, Any], list[Tensor]]] = []
    for group in optimizer.param_groups:
        leaves = [p for p in group["params"] if update.gradients.get(p) is not None]
        others = [p for p in group["params"] if p not in update.gradients and p.grad is not None]
        if others or not all(_fits(p, optimizer, leaves[0]) for p in leaves):
            return None
        if any(p in homes for p in leaves):  # of another optimiser
            return None
        if leaves:
            everything.append((group, leaves))
    found = []
    for group, leaves in everything:
        data = already_side_by_side([p._data for p in leaves])
        if data is None:
            if not all(map(is_held_once, leaves)) or not _slots_can_move(optimizer, leaves):
                return None
            data, parts = side_by_side([p.shape for p in leaves], leaves[0].dtype)
            for p, part in zip(leaves, parts, strict=True):
                part[...] = p._data
                p._data = part
        gradient, parts = side_by_side([p.shape for p in leaves], leaves[0].dtype)
        homes.update(zip(leaves, parts, strict=True))
        slots = {
            name: _slot(optimizer, leaves, name) for name in optimizer.state.get(leaves[0], ())
        }
        counts = {name: slots[name] for name in optimizer.counts if name in slots}
        slots.update({name: optimizer.state[leaves[0]][name] for name in counts})
        scratch = np.zeros_like(gradient)
        found.append(FlatUpdate(group, leaves, data, gradient, slots, scratch, counts))
    return found


def _conditions(update: Update, groups: list[FlatUpdate]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield what must stay as it is for the vectors to be what the optimiser would change."""
    state = update.optimizer.state
    yield f"len({{0}}) == {len(state)}", (state,)
    for group in update.optimizer.param_groups:
        for name in update.optimizer.decisive:
            yield f"bool({{0}}[{name!r}]) is {bool(group[name])}", (group,)
        for i, p in enumerate(group["params"]):
            yield f"{{0}}[{i}] is {{1}}", (group["params"], p)
            if update.gradients.get(p) is None:
                yield "{0}.grad is None", (p,)
    for flat in groups:
        for p in flat.leaves if flat.slots else ():
            yield "{0}[{1}] is {2}", (state, p, state[p])
            for name in flat.slots:
                yield "{0}[{1}] is {2}", (state[p], name, state[p][name])
            for name in flat.counts:  # eager steps may have left a parameter out
                yield "{0}.item() == {1}.item()", (state[p][name], flat.slots[name])


def _fits(p: Tensor, optimizer: Any, first: Tensor) -> bool:
    state, other = optimizer.state.get(p, {}), optimizer.state.get(first, {})
    same_state = state.keys() == other.keys() and all(
        state[name] == other[name] for name in optimizer.counts if name in state
    )
    return p.dtype == first.dtype and p.dtype.kind == "f" and same_state


def _slots_can_move(optimizer: Any, leaves: list[Tensor]) -> bool:
    return all(is_kept_once(optimizer.state.get(p, {})) for p in leaves)


def _slot(optimizer: Any, leaves: list[Tensor], name: str) -> Array:
    """Return what the optimiser remembers of the leaves as one vector, moving it there."""
    arrays = [optimizer.state[p][name] for p in leaves]
    known = already_side_by_side(arrays)
    if known is not None:
        return known
    vector, parts = side_by_side([a.shape for a in arrays], arrays[0].dtype)
    for p, a, part in zip(leaves, arrays, parts, strict=True):
        part[...] = a
        optimizer.state[p][name] = part
    return vector


class _Planner:
    """Goes through the lines once, handing out memory."""

    def __init__(self, made: Plan, updates: dict[Update, list[FlatUpdate]], reuse: bool) -> None:
        self.made, self.updates, self.reuse = made, updates, reuse
        self.pieces: dict[Value, Array] = {}  # by the root, the memory of the pool
        self.last = _last_uses(made.program)
        self.dying: dict[int, list[Value]] = {}
        for root, line in self.last.items():
            self.dying.setdefault(line, []).append(root)
        self.home_of = self._homes()

    def _homes(self) -> dict[Value, Array]:
        """Return the values that are computed right where a leaf's gradient is to be."""
        program, homes = self.made.program, self.made.homes
        wanted: dict[Tensor, Value] = {}
        for line in program.lines:
            if isinstance(line, Update):
                wanted.update({p: v for p, v in line.gradients.items() if v is not None})
        for leaf, value in program.gradients.items():
            if value is not None:
                wanted.setdefault(leaf, value)
        found: dict[Value, Array] = {}
        for leaf, value in wanted.items():
            home = homes.get(leaf)
            fits = value.kind == "result" and value.viewed is None and value not in found
            if home is not None and fits and _alike(value, home):
                found[value] = home
        return found

    def run(self) -> None:
        """Plan every line."""
        for number, line in enumerate(self.made.program.lines):
            if isinstance(line, Call):
                self._place(line, number)
            else:
                for value in line.reads():
                    self._static(value)
                flat = None
                if isinstance(line, Update):
                    self._bring_home(line.gradients)
                    flat = self.updates.get(line)
                elif isinstance(line, Write):
                    self._static(line.leaf)
                self.made.steps.append(Step(line, flat=flat))
            for root in self.dying.get(number, ()):
                piece = self.pieces.pop(root, None)
                if piece is not None and self.reuse:
                    self.made.pool.give_back(piece)
        for value in self.made.program.kept():
            self._static(value)

    def _bring_home(self, gradients: dict[Tensor, Value | None]) -> None:
        """Copy what was not computed in place to where the optimiser reads it."""
        for leaf, value in gradients.items():
            home = self.made.homes.get(leaf)
            if value is not None and home is not None and self.home_of.get(value) is not home:
                self.made.steps.append(Step(Copy(value, home)))

    def _static(self, value: Value) -> Array | None:
        """Return the array of a value that lies in the same memory in every replay, if it does."""
        known = self.made.arrays.get(value)
        if known is not None:
            return known
        if value.kind == "leaf":
            array: Array = value.source._data
        elif value.kind in ("array", "constant"):
            array = value.source
        else:
            return None
        self.made.arrays[value] = array
        return array

    def _place(self, call: Call, number: int) -> None:
        value = call.result
        inputs = [self._static(x) for x in call.inputs]
        if value.viewed is not None and inputs[0] is not None:
            view = np.asarray(call.op.kernel(inputs[0], **call.params))
            if view.size == 0 or np.may_share_memory(view, inputs[0]):
                self.made.arrays[value] = view
                return
        self.made.steps.append(Step(call))
        if value.viewed is not None or value.dtype.hasobject:
            return  # found anew in every replay
        self.made.arrays[value] = self._memory(call, number)

    def _memory(self, call: Call, number: int) -> Array:
        value = call.result
        home = self.home_of.get(value)
        if home is not None:
            return home
        piece = self._dying_input(call, number)
        if piece is None:
            piece = self.made.pool.take(value.nbytes)
        if value in self.last:
            self.pieces[value] = piece
        return self.made.pool.array(piece, value.shape, value.dtype, value.strides)

    def _dying_input(self, call: Call, number: int) -> Array | None:
        """Return the memory of an input that nobody reads later, if the op may write over it."""
        if not call.op.in_place or not self.reuse:
            return None
        value = call.result
        if value.nbytes == value.dtype.itemsize:
            return None  # one number: NumPy takes three times as long where memory overlaps
        for x in call.inputs:
            alone = sum(other.root is x.root for other in call.inputs) == 1
            if (
                x.viewed is None
                and alone
                and self.last.get(x) == number
                and (x.shape, x.dtype, x.strides) == (value.shape, value.dtype, value.strides)
                and x in self.pieces
            ):
                self.made.in_place += 1
                return self.pieces.pop(x)
        return None


def _last_uses(program: Program) -> dict[Value, int]:
    """Return the number of the last line that reads each value or a view of it."""
    last: dict[Value, int] = {}
    for number, line in enumerate(program.lines):
        if isinstance(line, Call):
            last[line.result.root] = max(number, last.get(line.result.root, -1))
        for value in line.reads():
            last[value.root] = number
    for value in program.kept():
        last[value.root] = len(program.lines)
    return last


def _alike(value: Value, home: Array) -> bool:
    return (value.shape, value.dtype) == (home.shape, home.dtype) and (
        value.strides == home.strides or value.nbytes == home.itemsize
    )
