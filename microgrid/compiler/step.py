"""`mg.compile`: a function that is traced once for each kind of arguments, and then replayed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from ..core import Tensor, wrap
from ..errors import TraceError
from ..nested import Structure
from ..recording import no_grad, watchers, watching
from .arguments import CallOf
from .chance import Chance
from .guards import Guard
from .passes import PASSES
from .program import Program
from .replays import Replay
from .report import explained
from .source import MISS, readable
from .trace import Tracer, place_of_function, trace_error

PROGRAMS = 64  # at most: more kinds of arguments than that are a mistake
BACKENDS = "numpy", "numba"
RECENT = 4  # programs that are tried before the arguments are looked up


class Compiled:
    """A function that is traced at its first call for each kind of arguments, then replayed.

    Made by `compile`. What a call is replayed for is its signature: the shapes, dtypes and strides
    of arrays and Tensors among the arguments, the other arguments themselves, whether gradients are
    recorded, and what the function relies on besides, as the mode of a model.

    Attributes:
        function: what was compiled.
        traces: how many programs were traced.
        before_trace: what is called before a step is traced, with what it can reach, if anything.
    """

    def __init__(
        self, function: Callable[..., Any], backend: str = "numpy", without: Iterable[str] = ()
    ) -> None:
        if hasattr(function, "named_parameters") and not isinstance(function, type):
            function = _Prediction(function)
        self.function = function
        self.backend = backend
        self.without = frozenset(without)
        self.traces = 0
        self._copies = False  # whether gradients are handed out as copies
        self.before_trace: Callable[[Guard, Chance], None] | None = None
        self._programs: dict[Any, list[Replay]] = {}
        self._last: Replay | None = None
        self._recent: list[Replay] = []  # those that are tried first, each checks for itself
        self._lock = threading.Lock()
        self._bound: dict[Any, Compiled] = {}  # for classes, as a class method is bound to one
        self._retraced: dict[str, int] = {}
        functools.update_wrapper(self, function, updated=())

    def guarded(self) -> Iterator[tuple[str, str, tuple[Any, ...], Any]]:
        """Yield what others that call this one rely on."""
        yield "function", "{0}.function is {1}", (self, self.function), self.function

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the function; programs are traced anew."""
        return Compiled, (self.function, self.backend, tuple(self.without))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Return the function bound to an object, whose program is its own."""
        if instance is None:
            return self
        if isinstance(instance, type):
            kept = self._bound
        elif hasattr(instance, "__dict__"):
            kept = instance.__dict__.setdefault("_compiled_steps", _Bound())
        else:
            raise TypeError(
                f"compile: objects of {type(instance).__name__} have no __dict__, where the "
                "program of a method is kept. Compile a function that takes the object's arrays."
            )
        key = instance if kept is self._bound else self
        if key not in kept:
            bound = self.function.__get__(instance, owner)
            kept[key] = Compiled(bound, self.backend, self.without)
        return kept[key]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step: the first time as it is written, later as a replay."""
        if watchers and watching.get() is not None:
            return self.function(*args, **kwargs)
        with self._lock:
            for replay in () if kwargs else self._recent:
                if replay.is_flat and len(args) == replay.count:
                    result = replay.run(*args)
                    if result is not MISS:
                        self._last = replay
                        return result
            return self._find(args, kwargs)

    def quietly(self, *args: Any) -> Any:
        """Run the step for a caller that has silenced NumPy's warnings itself."""
        if watchers and watching.get() is not None:
            return self.function(*args)
        with self._lock:
            for replay in self._recent:
                if replay.is_flat and len(args) == replay.count:
                    result = replay.bare(*args)
                    if result is not MISS:
                        self._last = replay
                        return result
            return self._find(args, {})

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = CallOf(args, kwargs)
        key = call.key()
        known = self._programs.setdefault(key, [])
        for replay in known:
            if replay.confirmed:
                result = replay.run(*call.leaves)
                if result is MISS and replay.guard.changed() is None:
                    result = replay.run(*call.leaves)  # something was set, to what it was
                if result is not MISS:
                    self._remember(replay)
                    return result
        unconfirmed = [replay for replay in known if not replay.confirmed]
        for replay in unconfirmed:
            if replay.guard.changed() is None:
                return self._confirm(replay, call)
        if any(replay.is_held() for replay in known):
            # Somebody keeps a gradient that the next replay would write over.
            self._copies = True
            known.clear()
            self._recent = []
        self._note_change(known)
        return self._trace(call, known)

    def _note_change(self, known: list[Replay]) -> None:
        """Raise if the same thing changes again and again, so that nothing is ever replayed."""
        if not known:
            if sum(map(len, self._programs.values())) >= PROGRAMS:
                raise TraceError(
                    f"compile: {PROGRAMS} programs were traced for different arguments. Pass "
                    "numbers that change as arrays, and batches in few sizes."
                )
            return
        what = known[-1].guard.changed()
        if what is None:
            return
        self._retraced[what] = self._retraced.get(what, 0) + 1
        if self._retraced[what] > 16:
            raise TraceError(
                f"compile: {what} changed between calls {self._retraced[what]} times, and each "
                "time the step had to be traced anew. Pass it as an argument, as an array."
            )
        del known[:-7]

    def _trace(self, call: CallOf, known: list[Replay]) -> Any:
        result, program, guard, outputs = self._run_traced(call)
        self.traces += 1
        replay = Replay(program, guard, call, outputs, self.without, self._copies, self.backend)
        known.append(replay)
        if replay.confirmed:
            self._remember(replay)
        return result

    def _remember(self, replay: Replay) -> None:
        """Try this one first from now on, and a few others next, as for a smaller last batch."""
        self._last = replay
        self._recent = [replay, *(r for r in self._recent if r is not replay)][:RECENT]

    def _confirm(self, replay: Replay, call: CallOf) -> Any:
        """Trace once more; raise if what the tracer could not see is different now."""
        result, program, _, _ = self._run_traced(call)
        replay.confirm(program)
        self._remember(replay)
        return result

    def _run_traced(self, call: CallOf) -> tuple[Any, Program, Guard, Any]:
        guard = Guard(self.function)
        for option in call.fixed:
            guard.look_at(option, "an option")
        chance = Chance(guard.generators)
        if self.before_trace is not None:
            self.before_trace(guard, chance)
        with Tracer(guard.arrays, guard.tensors) as tracer:
            args, kwargs = call.with_stand_ins(tracer)
            result = self.function(*args, **kwargs)
            outputs = Structure(result)
            tensors = [_checked(leaf.value) for leaf in outputs.leaves("the result")]
            program = tracer.program([t for t in tensors if t is not None])
        if chance.was_used(program.drawn_from()):
            raise trace_error(
                "random numbers were drawn by Python or NumPy",
                "Every replay would use the same ones. Draw outside and pass them as an argument.",
                program.fresh[0][2] if program.fresh else place_of_function(self.function),
            )
        if guard.array_changed():
            raise trace_error(
                "an array from outside was written to",
                "No replay would write to it again. Keep it as a Tensor, and use assign().",
                place_of_function(self.function),
            )
        setting = guard.setting_changed()
        if setting is not None:
            raise trace_error(
                f"the setting {setting} of an optimiser was changed",
                "No replay would change it again. Set it between calls.",
                place_of_function(self.function),
            )
        # The caller gets Tensors without a graph, as from a replay.
        values = [leaf.value for leaf in outputs.leaves("")]
        detached = [wrap(v._data.copy()) if isinstance(v, Tensor) else v for v in values]
        return outputs.filled(iter(detached)), program, guard, outputs

    # --- what it looks like ----------------------------------------------------------------------

    @property
    def source(self) -> str:
        """The Python source of the last program: one NumPy call a line."""
        return readable(self._program("source").source)

    @property
    def buffers(self) -> list[np.ndarray[Any, Any]]:
        """The pieces of memory that the last program works in, as uint8[bytes]."""
        return self._program("buffers").pieces

    @property
    def memory(self) -> int:
        """The bytes of the buffers and gradients of all programs."""
        return sum(replay.nbytes for some in self._programs.values() for replay in some)

    def explain(self) -> str:
        """Return a report on the last program: calls, buffers, bytes, and what was saved."""
        return explained(self._program("explain"))

    def _program(self, who: str) -> Replay:
        found = self._last or next((r for some in self._programs.values() for r in some), None)
        if found is None:
            raise TraceError(f"compile: {who} was asked for before the first call. Call it first.")
        return found

    def forget(self) -> None:
        """Drop all programs: the next call is traced anew."""
        with self._lock:
            self._programs.clear()
            self._last, self._recent = None, []

    def __repr__(self) -> str:
        function = self.function
        name = getattr(function, "__qualname__", getattr(function, "__name__", "step"))
        return f"<compiled {name}: {self.traces} trace{'s' * (self.traces != 1)}>"


class _Bound(dict[Any, Any]):
    """The compiled methods of an object, which a copy of it makes anew."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _Bound, ()


def compile(  # noqa: A001  the name in the ecosystem
    step: Callable[..., Any] | None = None,
    *,
    backend: str = "numpy",
    without: Iterable[str] = (),
) -> Any:
    """Return the step as a function that is traced once and then replayed, several times as fast.

    The first call runs the step as it is written, and writes down each op: forward, backward and
    the optimiser's update. Later calls with arrays of the same shapes run that list as
    straight-line NumPy in planned memory. The results are those of the eager step, bit for bit.

    Args:
        step: a function of arrays, Tensors and hashable options that returns Tensors; or a Module,
            for its results without gradients.
        backend: how the program is run: "numpy", as calls of NumPy; or "numba", as a table of
            NumPy's own loops that compiled code goes through, for small nets twice as fast. That
            needs the extra `numba`, and a second or two once in a process.
        without: passes to leave out, for debugging: "folded", "shared", "skipped", "pruned",
            "reuse", "flat", "inline".

    Returns:
        A Compiled, to be called as the step is. Its results have no graph.

    Raises:
        TraceError: from a call, if the step does what a replay could not do again.
        TypeError: `step` cannot be called.
        ValueError: the backend or a pass is not known.
        ImportError: the backend needs Numba, and it is not installed or cannot be used.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.nn.MLP([2, 8, 1], rng=0)
    >>> optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    >>> @mg.compile
    ... def step(x, y):
    ...     loss = mg.mse_loss(model(x), y)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x = np.ones((4, 2), np.float32)
    >>> first, second = step(x, x[:, :1]), step(x, x[:, :1])
    >>> step.traces, (second.data < first.data).item()
    (1, True)
    """
    if step is None:
        return functools.partial(compile, backend=backend, without=without)
    check_backend("compile: backend", backend)
    if isinstance(without, str):
        without = (without,)
    unknown = set(without) - {*PASSES, "reuse", "flat", "inline"}
    if unknown:
        raise ValueError(
            f"compile: without={sorted(unknown)} was given; the passes are "
            f"{', '.join(PASSES)}, reuse, flat and inline."
        )
    if not callable(step):
        raise TypeError(
            f"compile: type {type(step).__name__} was given; it needs a function or a Module."
        )
    return Compiled(step, backend, without)


def check_backend(what: str, backend: Any) -> None:
    """Raise unless programs can be written for it: a ValueError, or an ImportError.

    Args:
        what: what the message begins with.
    """
    if backend not in BACKENDS:
        raise ValueError(f"{what}={backend!r} was given; there are 'numpy' and 'numba'.")
    if backend == "numba":
        from .trials import runner  # here, as few need it

        try:
            runner()  # before a step has changed anything
        except Exception as error:  # whatever stands in its way
            missing = isinstance(error, ModuleNotFoundError)
            why = "Numba is not installed" if missing else f"Numba cannot be used: {error}"
            raise (ModuleNotFoundError if missing else ImportError)(
                f"{what}='numba' was given, and {why.rstrip('.')}. Install the extra: "
                "pip install 'microgrid[numba]'; or compile for 'numpy'."
            ) from error


class _Prediction:
    """A Module as a function without gradients."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.__name__ = type(model).__name__

    def guarded(self) -> Iterator[tuple[str, str, tuple[Any, ...], Any]]:
        """Yield what it relies on."""
        yield "model", "{0}.model is {1}", (self, self.model), self.model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with no_grad():
            return self.model(*args, **kwargs)


def _checked(value: Any) -> Any:
    if isinstance(value, (Tensor, ndarray)):
        return value
    if value is None or isinstance(value, (bool, int, str)):
        return None
    raise trace_error(
        f"a {type(value).__name__} was returned",
        "Every replay would return the same one. Return Tensors.",
    )
