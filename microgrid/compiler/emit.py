"""Writing a planned program out as Python: one NumPy call a line, all into planned memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..arrays import Array
from ..core import Tensor
from ..record import BUILTIN
from ..recording import changes, is_recording
from .arena import Pool
from .guards import Guard
from .lines import EXACT, SHORT, Lines, is_ufunc
from .plan import FlatUpdate, Plan, Step
from .program import Call, Copy, Forget, Update, Value, Write
from .source import Source

OLD = np.lib.NumpyVersion(np.__version__) < "2.4.0"


class Emitter:
    """Writes one plan.

    Attributes:
        source: what was written.
        checks: the conditions under which the program is that of the step.
        copies: whether gradients are left behind as copies, as somebody keeps them.
        holders: counts who holds the gradients that a replay left behind; `held` is how many do
            if nobody but the program does.
        rewritten: what has become of the lines for the other backend.
    """

    def __init__(
        self,
        plan: Plan,
        kinds: Sequence[type],
        guard: Guard,
        inline: bool = True,
        copies: bool = False,
        backend: str = "numpy",
    ) -> None:
        self.copies, self.backend = copies, backend
        self.short = SHORT if backend == "numpy" else 0
        self.rewritten: Any = None
        self.held: list[int] = []
        self.checks: list[str] = []
        self.plan, self.kinds, self.guard, self.inline = plan, kinds, guard, inline
        self.recording = is_recording.get()
        self.scratch = Pool()
        self._constants: dict[Any, Array] = {}
        self.source = Source()
        self.arguments = [f"x{i}" for i in range(len(kinds))]
        self.source.taken.update(self.arguments)
        self.locals: dict[Value, str] = dict(
            zip(plan.program.arguments, self.arguments, strict=True)
        )
        self._written: dict[Tensor, None] = {}
        lines = plan.program.lines
        self._read = {x for line in lines for x in line.reads()} | set(plan.program.kept())
        self._viewed = {c.result.viewed for c in plan.program.calls() if c.result in plan.arrays}

    def emit(self, build: Callable[[list[Tensor]], Any] | None) -> Callable[..., Any]:
        """Return the program as a function of the arrays and Tensors among the arguments.

        Args:
            build: puts the results together, None if there is one alone.
        """
        write = self.source.lines.append
        for argument, kind in zip(self.arguments, self.kinds, strict=True):
            if issubclass(kind, Tensor):
                write(f"    {argument} = {argument}._data")
        self._read_gradients()
        for step in self.plan.steps:
            for line in self._lines(step):
                write(f"    {line}")
        self._leave_gradients()
        self._mark_written()
        results = [f"wrap({self._name(value)}.copy())" for value in self.plan.program.outputs]
        if build is None:
            write(f"    return {results[0]}")
        else:
            write(f"    return {self.source.name(build, 'build')}([{', '.join(results)}])")
        if self.backend != "numpy":
            from .rewrite import rewrite  # here, as few need it

            self.rewritten = rewrite(self.source, self.arguments, self.plan)
        # Last, as lines may have added conditions of theirs.
        checks = [
            f"        if not ({some}):\n            return MISS" for some in self._conditions()
        ]
        self.source.lines[:0] = [
            f"def replay({', '.join(self.arguments)}):",
            "    try:",
            *checks,
            "    except (LookupError, AttributeError, ValueError):",
            "        return MISS",
        ]
        counts = [f"    return [{', '.join(self._counts())}]"]
        self.source.lines += ["", "def holders():", *counts]
        scope = self.source.run()
        self.holders: Callable[[], list[int]] = scope["holders"]
        self.held += self.holders()
        replay: Callable[..., Any] = scope["replay"]
        return replay

    # --- what must hold --------------------------------------------------------------------------

    def _conditions(self) -> list[str]:
        """Return expressions that are true as long as the program is that of the step."""
        name = self.source.name
        parts = []
        for argument, kind, value in zip(
            self.arguments, self.kinds, self.plan.program.arguments, strict=True
        ):
            is_tensor = issubclass(kind, Tensor)
            array = f"{argument}._data" if is_tensor else argument
            parts.append(f"type({argument}) is {name(kind, kind.__name__)}")
            if is_tensor:
                parts.append(f"not {argument}._requires_grad")
            parts.append(f"{array}.shape == {value.shape}")
            parts.append(f"{array}.strides == {value.strides}")
            parts.append(f"{array}.dtype is {name(value.dtype, str(value.dtype))}")
        parts.append(f"{name(is_recording, 'is_recording')}.get() is {self.recording}")
        for leaf in self.plan.program.entry:
            parts.append(f"{name(leaf, 'p')}.grad is None")
        for value in self._entry_gradients():
            parts.append(f"{name(value.source, 'p')}.grad is not None")
        for value, found in self.plan.arrays.items():
            if value.kind == "array" and found.flags.writeable:  # it may be given another shape
                given = name(found, "a")
                parts.append(f"{given}.shape == {value.shape}")
                parts.append(f"{given}.strides == {value.strides}")
        if self.guard.counted:
            parts.append(f"{name(changes, 'changes')}[0] == {name(self.guard.seen, 'seen')}[0]")
        held = name(self.held, "held")
        parts += [f"{count} <= {held}[{i}]" for i, count in enumerate(self._counts())]
        for expression, things in (*self.guard.conditions, *self.plan.conditions):
            parts.append(expression.format(*(name(thing, "k") for thing in things)))
        self.checks = parts
        whole = [parts[i : i + 50] for i in range(0, len(parts), 50)]  # Python nests no deeper
        return [" and ".join(some) for some in whole]

    def _counts(self) -> list[str]:
        """Return expressions for how many hold the gradients that the last replay left behind."""
        if self.copies:
            return []
        name, count = self.source.name, self.source.name(sys.getrefcount, "holders_of")
        homes = {
            leaf: self.plan.homes[leaf]
            for leaf, value in self.plan.program.gradients.items()
            if leaf in self.plan.homes
            and value is not None
            and self.plan.arrays.get(value) is self.plan.homes[leaf]
        }
        owners = {id(home.base): home.base for home in homes.values()}
        return [
            *(f"{count}({name(owner, 'memory')})" for owner in owners.values()),
            *(
                f"{count}({name(home, 'v')}) - ({name(leaf, 'p')}.grad is {name(home, 'v')})"
                for leaf, home in homes.items()
            ),
        ]

    def _entry_gradients(self) -> list[Value]:
        """Return the gradients from before that lines read, or that the step found and left."""
        kept = self.plan.program.gradients.values()
        found = {x: None for x in kept if x is not None and x.kind == "gradient"}
        for line in self.plan.program.lines:
            found.update({x: None for x in line.reads() if x.kind == "gradient"})
        return list(found)

    # --- the lines -------------------------------------------------------------------------------

    def _read_gradients(self) -> None:
        lines = self.plan.program.lines
        for value in self._entry_gradients():
            local = self.locals[value] = self.source.new("g")
            often = sum(value in line.reads() for line in lines) > 1
            # Its memory is where the new gradient goes; one read just before that does no harm.
            copy = ".copy()" if often else ""
            self.source.lines.append(
                f"    {local} = {self.source.name(value.source, 'p')}.grad{copy}"
            )

    def _lines(self, step: Step) -> list[str]:
        line: Any = step.line
        if isinstance(line, Call):
            first, *others = self._call(line)
            return [f"{first:<60}  # {_shapes(line)}", *others]
        if isinstance(line, Forget):
            return [f"{self.source.name(line.leaf, 'p')}.grad = None"]
        if isinstance(line, Copy):
            return [f"copyto({self.source.name(line.home, 'v')}, {self._name(line.value)})"]
        if isinstance(line, Write):
            leaf = line.leaf.source
            if isinstance(leaf, Tensor):
                self._written[leaf] = None
            target, value = self._name(line.leaf), self._name(line.value)
            return [f"copyto({target}, {value}, casting='same_kind')"]
        return self._update(line, step)

    def _call(self, call: Call) -> list[str]:
        kernel = call.op.kernel
        if call.op.name in BUILTIN:  # which may be wrapped to be quiet, as replays are anyway
            kernel = getattr(kernel, "__wrapped__", kernel)
        out = self.plan.arrays.get(call.result)
        backwards = any(stride < 0 for x in call.inputs for stride in x.strides)
        written = None if backwards else self._inlined(call, out)
        if written is not None:
            return written
        inputs = [self._name(x) for x in call.inputs]
        given = [f"{key}={self.source.name(v, 'k')}" for key, v in call.params.items()]
        function = self.source.name(kernel, call.op.name)
        if out is None:
            local = self.locals[call.result] = self.source.new("t")
            made = f"{function}({', '.join(inputs + given)})"
            return [f"{local} = {self.source.name(np.asarray, 'asarray')}({made})"]
        target = self.source.name(out, "v")
        if backwards or (OLD and not _is_simple(kernel, call)):
            # Before NumPy 2.4 the loops that it takes hang on how `out` lies.
            return [f"copyto({target}, {function}({', '.join(inputs + given)}))"]
        # The third place of maximum and minimum is on its way out of NumPy.
        named = call.op.arity is None
        if is_ufunc(kernel, 2) and not given and self.inline:
            line = Lines(self)
            a, b = map(self._thing, call.inputs)
            line.each(kernel, a, b, out)
            line.done()
            return line.written
        named = named or kernel in (np.maximum, np.minimum)
        inputs.append(f"out={target}" if named else target)
        made = f"{function}({', '.join(inputs + given)})"
        if call.op.name in BUILTIN:
            return [made]
        # Of an op of the user's nobody knows whether it has written to `out`.
        local = self.source.new("t")
        return [f"{local} = {made}", f"if {local} is not {target}: copyto({target}, {local})"]

    def _inlined(self, call: Call, out: Array | None) -> list[str] | None:
        """Return the lines that the op writes for itself, if it does."""
        inline = call.op.inline
        if inline is None or not self.inline or (out is None and not call.op.view):
            return None
        line = Lines(self, is_read=call.result in self._read)
        if not inline(line, out, *map(self._thing, call.inputs), **call.params):
            return None
        line.done()
        if line.stands_for_result is not None:
            if call.result in self._viewed:  # views of its memory were found already
                return None
            self.locals[call.result] = self.text(line.stands_for_result)
        return line.written

    def shared(self, constant: Array) -> Array:
        """Return the same array for equal constants."""
        key = (constant.shape, constant.dtype, constant.tobytes())
        return self._constants.setdefault(key, constant)

    def _thing(self, value: Value) -> Any:
        """Return the array of a value, or the value if each replay finds it anew."""
        return value if value in self.locals else self.plan.arrays.get(value, value)

    def text(self, thing: Any) -> str:
        """Return what a line calls an array, a value, a function or a number."""
        if isinstance(thing, Value):
            return self._name(thing)
        if isinstance(thing, ndarray):
            return self.source.name(thing, "v")
        if type(thing) in (int, str) or thing is None:
            return repr(thing)
        return self.source.name(thing, getattr(thing, "__name__", "k").strip("_<>"))

    def _update(self, update: Update, step: Step) -> list[str]:
        name = self.source.name
        if step.flat is None:
            lines = []
            for leaf, value in update.gradients.items():
                given = "None" if value is None else self._gradient(leaf, value)
                lines.append(f"{name(leaf, 'p')}.grad = {given}")
            return [*lines, f"{name(update.action, 'update')}()"]
        self._written.update(dict.fromkeys(leaf for flat in step.flat for leaf in flat.leaves))
        return [
            line
            for flat in step.flat
            for line in (*self._flat_count(update, flat), *self._flat_update(update, flat))
        ]

    def _flat_count(self, update: Update, flat: FlatUpdate) -> list[str]:
        """Return the lines that count a step: for the first parameter, and the others alike."""
        if not flat.counts:
            return []
        given = ", ".join(self.text(thing) for thing in (flat.group, flat.slots))
        lines = [f"{self.source.name(update.optimizer.count, 'count')}({given})"]
        for name, counts in flat.counts.items() if len(flat.leaves) > 1 else ():
            lines.append(f"{self.text(counts)}.fill({self.text(flat.slots[name])}.item())")
        return lines

    def _flat_update(self, update: Update, flat: FlatUpdate) -> list[str]:
        """Return the lines of an update of one vector."""
        optimizer: Any = update.optimizer
        vectors = flat.data, flat.gradient, flat.scratch, flat.slots
        line = Lines(self)
        if self.inline and optimizer.write_update(line, flat.group, *vectors):
            line.done()
            return line.written
        given = ", ".join(self.text(thing) for thing in (flat.group, *vectors))
        return [f"{self.source.name(optimizer.update, 'update')}({given})"]

    # --- what is left behind ---------------------------------------------------------------------

    def _leave_gradients(self) -> None:
        program = self.plan.program
        forgotten = {line.leaf for line in program.lines if isinstance(line, Forget)}
        for leaf, value in program.gradients.items():
            if value is not None and value.kind == "gradient" and leaf not in forgotten:
                continue  # only asked for, as by a constraint: it is there as it was
            given = "None" if value is None else self._gradient(leaf, value)
            self.source.lines.append(f"    {self.source.name(leaf, 'p')}.grad = {given}")

    def _gradient(self, leaf: Tensor, value: Value) -> str:
        home = self.plan.homes.get(leaf)
        if home is not None and self.plan.arrays.get(value) is home and not self.copies:
            return self.source.name(home, "v")
        return f"{self._name(value)}.copy()"

    def _mark_written(self) -> None:
        if self._written:
            self.source.lines.append("    now = next_serial()")
        for leaf in self._written:
            self.source.lines.append(f"    {self.source.name(leaf, 'p')}.serial = now")

    def _name(self, value: Value) -> str:
        local = self.locals.get(value)
        if local is not None:
            return local
        array = self.plan.arrays[value]
        return self.source.name(
            array, {"leaf": "w", "array": "a", "constant": "c"}.get(value.kind, "v")
        )


def _is_simple(kernel: Any, call: Call) -> bool:
    """Return whether all operands lie as the result does, or the loop does not matter."""
    shape = call.result.shape
    return kernel in EXACT or all(
        x.shape in (shape, ()) and x.strides == call.result.strides[: x.ndim] for x in call.inputs
    )


def _shapes(call: Call) -> str:
    shapes = ", ".join(str(x.shape) for x in call.inputs)
    return f"{call.op.name}: {shapes} -> {call.result.shape}"
