"""A program that was traced, ready to be run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from ..core import Tensor
from ..nested import Structure
from ..record import BUILTIN, OPS
from .arguments import CallOf
from .emit import Emitter
from .guards import Guard
from .passes import optimise
from .plan import Plan, plan
from .program import Program
from .trace import trace_error

quiet = np.errstate(all="ignore")

LIVE = (
    "Every replay would use the same one. Pass it as an argument, or draw and compute it with ops."
)


class Replay:
    """One program, ready to be run.

    Attributes:
        run: takes the arrays and Tensors among the arguments; returns what the step does, or MISS.
        confirmed: whether all that the tracer could not see is known not to change.
        is_flat: whether all arguments are arrays or Tensors, `count` of them.
    """

    def __init__(
        self,
        program: Program,
        guard: Guard,
        call: CallOf,
        outputs: Structure,
        without: Any,
        copies: bool,
        backend: str,
    ) -> None:
        self.guard = guard
        self.is_flat, self.count = call.is_flat, len(call.leaves)
        for op in {call.op for call in program.calls()} - {OPS[name] for name in BUILTIN}:
            guard.declared(op)
        optimise(program, without)
        for array, copy in program.copies:  # indices, which are no operands
            guard.also("an array that was used as an index", "{0}({1}, {2})", _equal, array, copy)
        for array in _only_python_reads(program, guard):
            guard.also("an array", "{0}({1}, {2})", _equal, array, array.copy())
        self.plan: Plan = plan(program, flat="flat" not in without, reuse="reuse" not in without)
        self.confirmed = not program.fresh
        alone = isinstance(outputs.tree, (Tensor, ndarray))
        inline = "inline" not in without
        emitter = Emitter(self.plan, call.kinds, guard, inline, copies, backend)
        run = emitter.emit(None if alone else _builder(outputs))
        self.source = emitter.source
        self.bare: Callable[..., Any] = run
        self.rewritten = emitter.rewritten
        may_warn = self.rewritten is None or self.rewritten.left
        self.run: Callable[..., Any] = quiet(run) if may_warn else run
        self._fresh = program.fresh
        self._emitter = emitter

    @property
    def pieces(self) -> list[Any]:
        """The memory that it works in."""
        return [*self.plan.pool.pieces, *self._emitter.scratch.pieces]

    @property
    def nbytes(self) -> int:
        """How much memory it has, gradients included."""
        return self.plan.nbytes + self._emitter.scratch.nbytes

    @property
    def conditions(self) -> int:
        """How many conditions are checked before each run."""
        return len(self._emitter.checks)

    def is_held(self) -> bool:
        """Return whether somebody holds a gradient that the last replay left behind."""
        now = self._emitter.holders()
        return any(a > b for a, b in zip(now, self._emitter.held, strict=True))

    def confirm(self, again: Program) -> None:
        """Raise unless what was made during the trace is the same in the second one."""
        if len(again.fresh) != len(self._fresh):
            raise trace_error("another number of arrays than in the call before was made", LIVE)
        for (value, before, place), (other, now, _) in zip(self._fresh, again.fresh, strict=True):
            same = value.source is other.source
            if not same and not _equal(before, now):
                raise trace_error(
                    f"an array of shape {before.shape} was made that differs from the one in the "
                    "call before",
                    LIVE,
                    place,
                )
        self._fresh = []
        self.confirmed = True


def _builder(outputs: Structure) -> Callable[[list[Tensor]], Any]:
    """Return what puts the results of a replay in the places of those of the trace."""
    found = [leaf.value for leaf in outputs.leaves("")]
    live = [isinstance(value, (Tensor, ndarray)) for value in found]
    if type(outputs.tree) is tuple and all(live) and _is_flat(outputs):
        return tuple
    # A number holds the place of a result: the results themselves need not be held.
    kept = [0 if is_live else value for is_live, value in zip(live, found, strict=True)]
    outline = Structure(outputs.filled(iter(kept)))

    def build(tensors: list[Tensor]) -> Any:
        results = iter(tensors)
        return outline.filled(
            iter([next(results) if is_live else v for is_live, v in zip(live, kept, strict=True)])
        )

    return build


def _is_flat(structure: Structure) -> bool:
    """Return whether there is nothing inside what it consists of, not even None."""
    return all(part.parts is None for part in (structure.parts or {}).values())


def _only_python_reads(program: Program, guard: Guard) -> list[Any]:
    """Return arrays that the function reaches and no op reads: Python may have taken numbers."""
    read = [v.source for call in program.calls() for v in call.inputs if v.kind == "array"]
    read = list({id(array): array for array in read}.values())
    return [
        array
        for array in guard.untrained()
        # One that ops read is live; but what NumPy made in the trace may be computed of any.
        if program.fresh or not any(np.may_share_memory(array, other) for other in read)
    ]


def _equal(a: Any, b: Any) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool((a == b).all() if a.dtype.hasobject else a.tobytes() == b.tobytes())
