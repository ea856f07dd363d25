"""Whether graphs are recorded, and who watches the calls of ops, per thread and per context."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from .core import Op, Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

# A context variable, not a global: each thread and each asyncio task has its own.
is_recording: ContextVar[bool] = ContextVar("is_recording", default=True)


watchers: list[Watcher] = []
"""All that watch in any thread: empty, a call need not ask further."""

watching: ContextVar[Watcher | None] = ContextVar("watching", default=None)


changes = [0]
"""How often an attribute of any Module or `requires_grad` of any Tensor was set, or an op declared.
"""


class Watcher:
    """Sees every call of an op on Tensors inside a `with` block, and may give its value.

    What it does not do itself it leaves to the watcher outside it, if there is one.

    Attributes:
        given: the operands of the call that is being run, as the caller gave them.
        keeps_views: whether results that are views stay views outside a graph too.
        sees_arrays: whether functions turn arrays into Tensors, so that calls on them are seen.
    """

    given: tuple[Any, ...] = ()
    keeps_views = False
    sees_arrays = False

    def __init__(self) -> None:
        self._outer: Watcher | None = None
        self._token: Token[Watcher | None] | None = None

    def __enter__(self) -> Any:
        if self._token is not None:
            raise RuntimeError(
                f"{type(self).__name__}: it is watching already; make another for the inner block."
            )
        self._outer = watching.get()
        self._token = watching.set(self)
        watchers.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        watchers.remove(self)
        if self._token is not None:
            watching.reset(self._token)
            self._token = None

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Any], params: dict[str, Any]
    ) -> Any:
        """Return the op's value on the arrays, which are the data of the inputs."""
        if self._outer is not None:
            return self._outer.run(op, inputs, arrays, params)
        return op.run(arrays, params)

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        """Take note of the result."""
        if self._outer is not None:
            self._outer.done(op, inputs, params, y)

    def read(self, how: str) -> None:
        """Take note that Python asks for the values of a Tensor, by `how`."""
        if self._outer is not None:
            self._outer.read(how)

    def copied(self, array: Any, copy: Any) -> None:
        """Take note that the caller's array was copied, to be used as it is now."""
        if self._outer is not None:
            self._outer.copied(array, copy)

    def forgotten(self, leaf: Tensor) -> None:
        """Take note that `.grad` of the leaf became None."""
        if self._outer is not None:
            self._outer.forgotten(leaf)

    def accumulates(self, leaf: Tensor) -> Any:
        """Return `.grad` of the leaf, to which a gradient is about to be added."""
        return leaf.grad if self._outer is None else self._outer.accumulates(leaf)

    def hands_out(self, leaf: Tensor) -> None:
        """Take note that `.grad` of the leaf was set."""
        if self._outer is not None:
            self._outer.hands_out(leaf)

    def rebinds(self, old: Tensor) -> None:
        """Take note that `old += x` or the like is about to make a new Tensor, or write to it."""
        if self._outer is not None:
            self._outer.rebinds(old)

    def wrote(self, leaf: Tensor, value: Any) -> None:
        """Take note that the value was written into the leaf."""
        if self._outer is not None:
            self._outer.wrote(leaf, value)

    def acts(self, action: Callable[[], None], *what: Any) -> None:
        """Run what changes arrays in place, outside the ops, as `what` describes."""
        if self._outer is None:
            action()
        else:
            self._outer.acts(action, *what)


def watcher() -> Watcher | None:
    """Return who watches here and now, if anybody does."""
    return watching.get() if watchers else None


def reads(how: str) -> None:
    """Tell the watcher, if there is one, that Python asks for the values of a Tensor."""
    if watchers:
        observer = watching.get()
        if observer is not None:
            observer.read(how)


def sees_arrays() -> bool:
    """Return whether calls on arrays are to be seen too."""
    observer = watching.get() if watchers else None
    return observer is not None and observer.sees_arrays


def copies(array: Any, copy: Any) -> None:
    """Tell the watcher, if there is one, that the caller's array was copied for later use."""
    observer = watcher()
    if observer is not None:
        observer.copied(array, copy)


def wrote(leaf: Tensor, value: Any) -> None:
    """Tell the watcher, if there is one, that the value was written into the leaf."""
    observer = watcher()
    if observer is not None:
        observer.wrote(leaf, value)


def forgets(leaf: Tensor) -> None:
    """Tell the watcher, if there is one, that `.grad` of the leaf became None."""
    observer = watcher()
    if observer is not None:
        observer.forgotten(leaf)


class _Recording(ContextDecorator):
    _on: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __call__(self, func: Function) -> Function:
        if isgeneratorfunction(func) or iscoroutinefunction(func):
            who = type(self).__name__
            raise TypeError(
                f"{who}: {func.__name__} was decorated, whose body runs after the call has "
                f"returned. Write `with {who}():` inside it."
            )
        return super().__call__(func)

    def _recreate_cm(self) -> _Recording:
        return type(self)()  # a decorated function may run in several threads at the same time

    def __enter__(self) -> None:
        self._tokens.append(is_recording.set(self._on))

    def __exit__(self, *exception: object) -> None:
        is_recording.reset(self._tokens.pop())


class no_grad(_Recording):  # noqa: N801  the ecosystem's name
    """Record no graph inside: results do not require a gradient.

    It holds for this thread and context only, nests, ends with the block whatever happens there,
    and works as a decorator, `@no_grad()`.

    Raises:
        TypeError: a generator or an asynchronous function is decorated.

    >>> import microgrid as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> with mg.no_grad():
    ...     (x * x).requires_grad
    False
    """

    _on = False


class enable_grad(_Recording):  # noqa: N801
    """Record graphs inside, also within `no_grad`; else it is as that.

    Raises:
        TypeError: a generator or an asynchronous function is decorated.

    >>> import microgrid as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> with mg.no_grad(), mg.enable_grad():
    ...     (x * x).requires_grad
    True
    """

    _on = True


def is_grad_enabled() -> bool:
    """Return whether results record their graph here and now.

    >>> import microgrid as mg
    >>> mg.is_grad_enabled()
    True
    """
    return is_recording.get()
