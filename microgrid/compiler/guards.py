"""What a step relies on besides its arguments, as conditions that a replay checks."""

from __future__ import annotations

import os
import sys
import sysconfig
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import Tensor
from ..recording import changes

LIMIT = 20_000  # conditions: what reaches more holds a data set in Python objects
MANY = 64  # plain numbers in a list: more are data, which no step reads one by one

Condition = tuple[str, tuple[Any, ...]]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_INSTALLED = (
    *{sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")},
    os.path.dirname(os.path.dirname(__file__)),
)
_OWN = __name__.split(".", maxsplit=1)[0]


class Guard:
    """Goes through what a function can reach, and notes how it is now.

    Attributes:
        conditions: expressions with places {0}, {1}, ... for things, true as long as nothing has
            changed. `names` tells what each is about.
        counted: those that need only be looked at when `changes` has gone on, whose number was
            `seen` when all held.
        arrays: the ids of the arrays that were met.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.conditions: list[Condition] = []
        self.names: list[str] = []
        self.counted: list[tuple[str, Condition]] = []
        self.seen = [changes[0]]
        self.arrays: set[int] = set()
        self._held: list[Any] = []  # so that ids stay theirs
        self._seen: set[int] = set()
        self._look_at(function, getattr(function, "__name__", "step"))

    def also(self, name: str, expression: str, *things: Any) -> None:
        """Add a condition."""
        self._note(name, expression, *things)

    def changed(self) -> str | None:
        """Return what has changed, or None."""
        now = changes[0]
        always = zip(self.names, self.conditions, strict=True)
        for name, (expression, things) in (*always, *self.counted):
            places = (f"k[{i}]" for i in range(len(things)))
            try:
                holds = eval(expression.format(*places), {"k": things})
            except (LookupError, ValueError, AttributeError):
                holds = False
            if not holds:
                return name
        self.seen[0] = now
        return None

    def _note(self, name: str, expression: str, *things: Any, counted: bool = False) -> None:
        if counted:
            self.counted.append((name, (expression, things)))
        elif len(self.conditions) < LIMIT:
            self.conditions.append((expression, things))
            self.names.append(name)

    def _holds(
        self, name: str, access: str, owner: tuple[Any, ...], value: Any, counted: bool = False
    ) -> None:
        """Note that what is found by `access` is this value, and look at that too."""
        place = len(owner)
        if isinstance(value, float) and value != value:
            return
        if isinstance(value, _PLAIN) and not isinstance(value, (bool, type(None))):
            # Equal numbers and texts are as good as the same; but 1 is not 1.0, nor True.
            self._note(name, f"{access} == {{{place}}}", *owner, value, counted=counted)
            return
        self._note(name, f"{access} is {{{place}}}", *owner, value, counted=counted)
        self._look_at(value, name)

    def _look_at(self, value: Any, name: str) -> None:
        if isinstance(value, _PLAIN) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._held.append(value)
        if isinstance(value, np.ndarray):
            self.arrays.add(id(value))
        elif isinstance(value, Tensor):
            self.arrays.add(id(value._data))
            wanted = f"{{0}}._requires_grad is {value._requires_grad}"
            self._note(f"{name}.requires_grad", wanted, value, counted=True)
        elif isinstance(value, types.MethodType):
            self._look_at(value.__self__, name.rpartition(".")[0] or name)
            self._look_at(value.__func__, name)
        elif isinstance(value, types.FunctionType):
            self._look_at_function(value, name)
        elif isinstance(value, (list, tuple)):
            self._note(f"len({name})", f"len({{0}}) == {len(value)}", value)
            for i, item in enumerate(value):
                if len(value) <= MANY or not isinstance(item, _PLAIN):
                    self._holds(f"{name}[{i}]", f"{{0}}[{i}]", (value,), item)
        elif isinstance(value, dict):
            self._look_at_dict(value, name)
        elif hasattr(type(value), "guarded") or _is_users(type(value)) or _is_module(value):
            self._look_at_object(value, name)

    def _look_at_dict(self, value: dict[Any, Any], name: str) -> None:
        self._note(f"len({name})", f"len({{0}}) == {len(value)}", value)
        for key, item in value.items():
            plain = isinstance(item, _PLAIN) and len(value) > MANY
            if isinstance(key, (str, int)) and not plain:
                self._holds(f"{name}[{key!r}]", f"{{0}}[{key!r}]", (value,), item)

    def _look_at_object(self, value: Any, name: str) -> None:
        guarded = getattr(type(value), "guarded", None)
        if guarded is not None:  # of an optimiser, whose settings are live
            for place, expression, things, inner in guarded(value):
                self._note(f"{name}.{place}", expression, *things)
                self._look_at(inner, f"{name}.{place}")
            return
        attributes = getattr(value, "__dict__", None)
        if attributes is None:
            return
        is_module = _is_module(value)  # whose attributes cannot be set without being counted
        if is_module:
            mode = f"{{0}}.training is {value.training}"
            self._note(f"{name}.training", mode, value, counted=True)
        for kind in type(value).__mro__:
            if _is_users(kind):
                for key, item in vars(kind).items():
                    if isinstance(item, types.FunctionType):
                        self._look_at(item, f"{name}.{key}")
        for key, item in attributes.items():
            self._holds(f"{name}.{key}", f"{{0}}[{key!r}]", (attributes,), item, is_module)

    def _look_at_function(self, function: types.FunctionType, name: str) -> None:
        if (function.__module__ or "").split(".")[0] in (_OWN, "numpy"):
            return
        for key, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                content = cell.cell_contents
            except ValueError:  # empty as yet
                continue
            self._holds(key, "{0}.cell_contents", (cell,), content)
        for default in function.__defaults__ or ():
            self._look_at(default, name)
        scope = function.__globals__
        for key in _global_names(function.__code__):
            if key in scope and not isinstance(scope[key], types.ModuleType):
                self._holds(key, f"{{0}}[{key!r}]", (scope,), scope[key])


def _global_names(code: types.CodeType) -> list[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _global_names(constant)
    return list(dict.fromkeys(names))


def _is_module(value: Any) -> bool:
    return hasattr(value, "named_parameters") and not isinstance(value, type)


def _is_users(kind: type) -> bool:
    """Return whether a class is the user's own, not one of an installed package."""
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "builtins":
        return False
    file = getattr(module, "__file__", None)
    return file is None or not file.startswith(_INSTALLED)
