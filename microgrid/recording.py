"""Whether graphs are recorded, per thread and per context."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# A context variable, not a global: each thread and each asyncio task has its own.
is_recording: ContextVar[bool] = ContextVar("is_recording", default=True)


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

    >>> import microgrid as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> with mg.no_grad():
    ...     (x * x).requires_grad
    False
    """

    _on = False


class enable_grad(_Recording):  # noqa: N801
    """Record graphs inside, also within `no_grad`.

    >>> import microgrid as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> with mg.no_grad(), mg.enable_grad():
    ...     (x * x).requires_grad
    True
    """

    _on = True


def is_grad_enabled() -> bool:
    """Return whether results record their graph here and now.

    >>> is_grad_enabled()
    True
    """
    return is_recording.get()
