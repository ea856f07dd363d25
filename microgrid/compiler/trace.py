"""Tracing: one real step is run, and each call of an op on the way is written down."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Sequence
from contextvars import Token
from typing import Any

import numpy as np

from ..arrays import Array, is_weak
from ..backward import Carry, _propagate, carrier
from ..core import ArrayInTrace, Op, Tensor, next_serial, wrap
from ..errors import TraceError
from ..places import Place, place_of_call
from ..recording import Watcher, enable_grad, no_grad, watching
from .handed_out import HandedOut
from .program import Call, Forget, Line, Program, Update, Value, Write, value_like

READING = (
    "Every replay would use the value of this one. Compute with ops, as where() for a choice; "
    "return the Tensor and read it outside; or leave the step uncompiled."
)


class Tracer(Watcher):
    """Writes down what a step does while it does it.

    Attributes:
        arguments: stand-ins for the arrays among the arguments.
    """

    keeps_views = False
    sees_arrays = True

    def __init__(self, known: Collection[int] = (), leaves: Collection[Tensor] = ()) -> None:
        super().__init__()
        self._leaves = leaves
        self.lines: list[Line] = []
        self.arguments: list[Value] = []
        self._start = next_serial()
        self._known = known  # the ids of arrays that the caller holds where a guard sees them
        self._values: dict[int, Value] = {}  # by the id of the array, while that lives
        self._alive: dict[int, Any] = {}
        self._pending: tuple[Value, ...] = ()
        self._refusal: TraceError | None = None
        self._composed: Value | None = None
        self._zeroed: set[Tensor] = set()
        self._entry: dict[Tensor, None] = {}
        self._gradients: dict[Tensor, None] = {}
        self._fresh: list[tuple[Value, Array, Place]] = []
        self._copies: list[tuple[Array, Array]] = []
        self._carrier: Token[Carry | None] | None = None

    def __enter__(self) -> Tracer:
        super().__enter__()
        self._carrier = carrier.set(self._carry)
        self._handed_out = HandedOut(self._leaves)
        return self

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._handed_out.uncover()
        if self._carrier is not None:
            carrier.reset(self._carrier)

    # --- what comes in and goes out --------------------------------------------------------------

    def argument(self, array: Array) -> Array:
        """Return what stands for an argument: the same numbers, known to be the argument's."""
        stand_in = array.view()  # an object of its own, though the array be given twice
        self._note(stand_in, value_like(stand_in, "argument", len(self.arguments)))
        self.arguments.append(self._values[id(stand_in)])
        return stand_in

    def program(self, outputs: Sequence[Tensor | Array]) -> Program:
        """Return what was written down, as a program with these results."""
        if self._refusal is not None:  # the step has caught it, and gone another way
            raise self._refusal
        for leaf in self._leaves:
            self._see_what_was_set(leaf)
        found = [self.value_of(y._data if isinstance(y, Tensor) else y) for y in outputs]
        gradients = {leaf: self._gradient_of(leaf) for leaf in self._gradients}
        self._values.clear()
        self._alive.clear()  # so that nothing here holds the memory of a parameter
        return Program(
            self.lines, self.arguments, found, gradients, list(self._entry), self._fresh,
            self._copies,
        )  # fmt: skip

    def value_of(self, array: Array, tensor: Tensor | None = None, number: bool = False) -> Value:
        """Return the value that the array is; an unknown one comes from outside."""
        known = self._values.get(id(array))
        if known is not None:
            return known
        if tensor is not None and tensor.op is None and tensor.serial < self._start:
            return self._note(array, value_like(array, "leaf", tensor))
        if number:
            return self._note(array, value_like(array, "constant", array))
        base = array.base
        while isinstance(base, np.ndarray):
            inner = self._values.get(id(base))
            if inner is not None and inner.kind != "array":
                self.read("its array")
            base = base.base
        value = self._note(array, value_like(array, "array", array))
        constant = array.base is None and not array.flags.writeable
        if id(array) not in self._known and not constant:
            self._fresh.append((value, array.copy(), place_of_call()))
        return value

    def _note(self, array: Array, value: Value) -> Value:
        """Know the array as this value, for as long as it lives."""
        key = id(array)
        if value.kind == "result":
            # Not held, so that tracing takes no more memory than the step itself.
            self._alive[key] = weakref.ref(array, lambda _: self._forget(key))
        else:
            self._alive[key] = array
        self._values[key] = value
        return value

    def _forget(self, key: int) -> None:
        self._values.pop(key, None)
        self._alive.pop(key, None)

    # --- what ops do -----------------------------------------------------------------------------

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the op's value; note what it was computed from."""
        given = self.given
        values = tuple(
            self.value_of(a, x if x is was else None, number=is_weak(was))
            for x, a, was in zip(inputs, arrays, given, strict=True)
        )
        for x, a, value in zip(inputs, arrays, values, strict=True):
            if x._data is not a:  # a copy, which the rules will read
                self._note(x._data, value)
                self._alive[id(x._data)] = x._data
        if op.composed is not None:
            data = self._run_composed(op, inputs, params)
            if data is not None:
                return data
        self._pending = values
        unseen = watching.set(None)  # a kernel may call functions that are made of ops
        try:
            return op.run(arrays, params)
        finally:
            watching.reset(unseen)

    def _run_composed(
        self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any]
    ) -> Array | None:
        """Return the op's value by the ops that it is composed of, which are traced instead."""
        composed: Any = op.composed
        with no_grad():
            y = composed(*(wrap(x._data) for x in inputs), **params)
        if y is None:
            return None
        self._composed = self._values[id(y._data)]
        return y._data  # type: ignore[no-any-return]

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        """Write the call down."""
        if self._composed is not None:
            value, self._composed = self._composed, None
            self._note(y._data, value)
            return
        value = value_like(y._data, "result")
        values, self._pending = self._pending, ()
        if op.view and y._data.base is not None:
            value.viewed = values[0]
        self._note(y._data, value)
        self.lines.append(Call(op, values, params, value))
        if y.op is None and all(_is_array(x) for x in self.given):
            y.__class__ = ArrayInTrace

    def _carry(
        self, order: list[Tensor], grads: dict[Tensor, Any], keep: Collection[Tensor], record: bool
    ) -> None:
        """Carry gradients by rules that run on Tensors, so that their ops are seen."""
        for node, g in grads.items():
            if not isinstance(g, Tensor):
                grads[node] = wrap(g)
                if id(g) not in self._values:  # the 1 that a backward pass begins with
                    self._note(g, value_like(g, "constant", g))
        outer, views = carrier.set(None), self.keeps_views
        self.keeps_views = True  # as in a backward pass on arrays
        try:
            with enable_grad() if record else no_grad():
                _propagate(order, grads, keep, record=True)
        finally:
            carrier.reset(outer)
            self.keeps_views = views

    # --- what is done besides --------------------------------------------------------------------

    def read(self, how: str) -> None:
        """Refuse: what Python does with a value, a replay does not do again."""
        self._refusal = trace_error(f"{how} was asked for", READING)
        raise self._refusal

    def rebinds(self, old: Tensor) -> None:
        """Refuse to change an array of the caller's, as the same code does outside."""
        if isinstance(old, ArrayInTrace):
            known = self._values.get(id(old._data))
            if known is not None and known.kind in ("argument", "array"):
                raise trace_error(
                    "an array of the caller's was changed in place",
                    "Write x = x + 1 for x += 1, or change the array outside.",
                )

    def copied(self, array: Array, copy: Array) -> None:
        """Note that the caller's array must stay as it is."""
        self._copies.append((array, copy))

    def forgotten(self, leaf: Tensor) -> None:
        """Note that `.grad` of the leaf is None whatever it was."""
        self._zeroed.add(leaf)
        self._gradients[leaf] = None
        self.lines.append(Forget(leaf))
        self._handed_out.last[leaf] = None

    def accumulates(self, leaf: Tensor) -> Any:
        """Return what `.grad` of the leaf is; note it if the step found it so."""
        self._see_what_was_set(leaf)
        before = self._handed_out.before.get(leaf)
        now = self._handed_out.plain(leaf)
        if now is None:
            # Without a gradient before, nobody can tell whether the step has relied on that.
            if leaf not in self._zeroed and before is None:
                self._entry[leaf] = None
        elif now is before and now is not None and id(now) not in self._values:
            self._note(now, value_like(now, "gradient", leaf))
        self._zeroed.add(leaf)
        self._gradients[leaf] = None
        return now

    def hands_out(self, leaf: Tensor) -> None:
        """Keep NumPy from computing with a gradient."""
        self._handed_out.cover(leaf)
        self._handed_out.last[leaf] = leaf.grad

    def _see_what_was_set(self, leaf: Tensor) -> None:
        """Note a `.grad` that the step has set by hand."""
        last = self._handed_out.last
        if leaf.grad is not last.get(leaf):
            if leaf.grad is None:
                self.forgotten(leaf)
            else:
                self._gradients[leaf] = None
            last[leaf] = leaf.grad

    def wrote(self, leaf: Tensor, value: Any) -> None:
        """Write down that the leaf was written to."""
        target = self.value_of(leaf._data, leaf)
        if target.kind == "result":
            raise trace_error(
                "a Tensor that the step had computed was written to",
                "Compute a new one, or write to a leaf from outside the step.",
            )
        array = value._data if isinstance(value, Tensor) else value
        source = self.value_of(array, value if isinstance(value, Tensor) else None)
        self.lines.append(Write(target, source))

    def acts(self, action: Callable[[], None], *what: Any) -> None:
        """Write down a step of an optimiser, which changes arrays in place, and let it be done."""
        (optimizer,) = what
        leaves = optimizer.parameters()
        for leaf in leaves:  # known before they change
            self.value_of(leaf._data, leaf)
            self._see_what_was_set(leaf)
        gradients = {leaf: self._gradient_of(leaf) for leaf in leaves if leaf in self._gradients}
        self.lines.append(Update(action, optimizer, gradients))
        covered = self._handed_out.uncover()
        unseen = watching.set(None)  # it is run in each replay, whatever it does
        try:
            action()
        finally:
            watching.reset(unseen)
            for leaf in covered:
                self.hands_out(leaf)

    def _gradient_of(self, leaf: Tensor) -> Value | None:
        gradient = self._handed_out.plain(leaf)
        if gradient is not None and not isinstance(gradient, np.ndarray):
            raise trace_error(
                f".grad was set to a thing of type {type(gradient).__name__}",
                "It must be an array or None.",
            )
        return None if gradient is None else self.value_of(gradient)


def _is_array(given: Any) -> bool:
    return isinstance(given, ArrayInTrace) or not isinstance(given, Tensor)


def place_of_function(function: Any) -> Place:
    """Return the line where a function begins, if it is written in Python."""
    code = getattr(function, "__code__", None)
    return Place(code.co_filename, code.co_firstlineno, code.co_name) if code else Place()


def trace_error(what: str, remedy: str, place: Place | None = None) -> TraceError:
    """Return the error that names the line of the step."""
    place = place or place_of_call()
    where = "" if place.filename is None else f" ({place.filename}, line {place.lineno})"
    return TraceError(f"compile: {what} in the traced step{where}. {remedy}")
