"""What a step relies on besides its arguments, as conditions that a replay checks."""

from __future__ import annotations

import dis
import functools
import io
import math
import os
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core import Tensor
from ..errors import TraceError
from ..record import OPS
from ..recording import changes

LIMIT = 20_000  # conditions: what reaches more holds a data set in Python objects
SMALL = 1 << 16  # bytes: arrays up to that are compared before and after a trace
MANY = 64  # plain numbers in a list: more are compared as a whole

Condition = tuple[str, tuple[Any, ...]]

# What is told by its value, in which nothing else can change.
PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")
_OWN = __name__.split(".", maxsplit=1)[0]


class Guard:
    """Goes through what a function can reach, and notes how it is now.

    Attributes:
        conditions: expressions with places {0}, {1}, ... for things, true as long as nothing has
            changed. `names` tells what each is about.
        counted: those that need only be looked at when `changes` has gone on, whose number was
            `seen` when all held.
        arrays: the ids of the arrays that were met; `of_data` has those that are in no Tensor.
        generators: of random numbers, that were met.
        tensors: that were met.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.conditions: list[Condition] = []
        self.names: list[str] = []
        self.counted: list[tuple[str, Condition]] = []
        self.seen = [changes[0]]
        self.arrays: set[int] = set()
        self.of_data: list[Any] = []
        self.generators: list[np.random.Generator] = []
        self.tensors: list[Tensor] = []
        self._optimizers: list[Any] = []
        self._settings: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._held: list[Any] = []  # so that ids stay theirs
        self._known: set[int] = set()
        self._looks = list(self._ways().items())
        self._look_at(function, getattr(function, "__name__", "step"))
        self._contents = [(a, a.tobytes()) for a in self.of_data if a.nbytes <= SMALL]

    def look_at(self, value: Any, name: str) -> None:
        """Look at a further thing."""
        self._look_at(value, name)

    def also(self, name: str, expression: str, *things: Any) -> None:
        """Add a condition."""
        self._note(name, expression, *things)

    def array_changed(self) -> bool:
        """Return whether an array that was met is not what it was; of large ones nobody knows.

        What training changes is left out: the memory of Tensors, gradients and optimisers.
        """
        untrained = {id(array) for array in self.untrained()}
        return any(a.tobytes() != before for a, before in self._contents if id(a) in untrained)

    def untrained(self) -> list[Any]:
        """Return small arrays that were met and are no memory of Tensors, gradients, optimisers."""
        trained = [part for t in self.tensors for part in (t._data, t.grad) if part is not None]
        for optimizer in self._optimizers:
            trained += [slot for slots in optimizer.state.values() for slot in slots.values()]
        return [
            array
            for array, _ in self._contents
            if not any(np.may_share_memory(array, other) for other in trained)
        ]

    def setting_changed(self) -> str | None:
        """Return which setting of an optimiser is not what it was, or None."""
        for group, before in self._settings:
            for name, value in before.items():
                if not (group.get(name) is value or same(group.get(name), value)):
                    return name
        return None

    def declared(self, op: Any) -> None:
        """Let the op be still what its name stands for, and its rules what they are."""
        rules = op.vjps if isinstance(op.vjps, tuple) else (op.vjps.rule,)
        for function in (op.kernel, *rules):
            self._look_at(function, op.name)
        self._note(op.name, "{0}.get({1}, {2}) is {2}", OPS, op.name, op, counted=True)

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
            return
        if len(self.conditions) >= LIMIT:
            raise TraceError(
                f"compile: the step can reach over {LIMIT} Python objects that may change between "
                "calls. Pass data as arrays."
            )
        self.conditions.append((expression, things))
        self.names.append(name)

    def _holds(
        self, name: str, access: str, owner: tuple[Any, ...], value: Any, counted: bool = False
    ) -> None:
        """Note that what is found by `access` is this value, and look at that too."""
        is_value = f"{access} is {{{len(owner)}}}"
        if isinstance(value, PLAIN) and not isinstance(value, (bool, type(None))):
            # Another object may be the same number.
            test = f"({is_value} or {{{len(owner) + 1}}}({access}, {{{len(owner)}}}))"
            self._note(name, test, *owner, value, same, counted=counted)
            return
        self._note(name, is_value, *owner, value, counted=counted)
        self._look_at(value, name)

    # --- what there is to look at ----------------------------------------------------------------

    def _look_at(self, value: Any, name: str) -> None:
        if isinstance(value, PLAIN) or id(value) in self._known:
            return
        self._known.add(id(value))
        self._held.append(value)
        for kinds, look in self._looks:
            if isinstance(value, kinds):
                look(value, name)
                return
        if hasattr(type(value), "__next__") and not isinstance(value, io.IOBase):
            raise TraceError(
                f"compile: the step can reach an iterator, {name}, whose next value no replay "
                "would take. Take it outside and pass it as an argument."
            )
        if hasattr(type(value), "guarded") or is_module(value) or _is_open(type(value)):
            self._look_at_object(value, name)

    def _ways(self) -> dict[Any, Callable[[Any, str], None]]:
        return {
            np.ndarray: self._look_at_array,
            Tensor: self._look_at_tensor,
            np.random.Generator: lambda value, name: self.generators.append(value),
            (types.MethodType, functools.partial): self._look_at_bound,
            (staticmethod, classmethod): lambda value, name: self._look_at(value.__func__, name),
            property: lambda value, name: self._look_at(value.fget, name),
            functools.cached_property: lambda value, name: self._look_at(value.func, name),
            types.FunctionType: self._look_at_function,
            (list, tuple, deque): self._look_at_list,
            dict: self._look_at_dict,
            (set, frozenset): lambda value, name: self._note(
                name, "{0} == {1}", value, frozenset(value)
            ),
            type: self._look_at_class,
        }

    def _look_at_array(self, value: Any, name: str) -> None:
        self.arrays.add(id(value))
        self.of_data.append(value)

    def _look_at_tensor(self, value: Tensor, name: str) -> None:
        self.arrays.add(id(value._data))
        self.tensors.append(value)
        wanted = f"{{0}}._requires_grad is {value._requires_grad}"
        self._note(f"{name}.requires_grad", wanted, value, counted=True)
        for rule in ("constraint", "penalty") if hasattr(value, "constraint") else ():
            given = getattr(value, rule)  # of a Parameter
            self._holds(f"{name}.{rule}", f"{{0}}.{rule}", (value,), given, counted=True)

    def _look_at_bound(self, value: Any, name: str) -> None:
        if isinstance(value, types.MethodType):
            self._look_at(value.__self__, name.rpartition(".")[0] or name)
            self._look_at(value.__func__, name)
        else:
            for part in (value.func, value.args, value.keywords):
                self._look_at(part, name)

    def _look_at_list(self, value: Any, name: str) -> None:
        self._note(f"len({name})", f"len({{0}}) == {len(value)}", value)
        plain = len(value) > MANY and all(isinstance(item, PLAIN) for item in value)
        if plain:
            self._note(name, "{0} == {1}", value, type(value)(value))
            return
        for i, item in enumerate(value):
            self._holds(f"{name}[{i}]", f"{{0}}[{i}]", (value,), item)

    def _look_at_dict(self, value: dict[Any, Any], name: str) -> None:
        self._note(f"the keys of {name}", "[*{0}] == {1}", value, list(value))
        for key, item in value.items():
            self._holds(f"{name}[{key!r}]", "{0}[{1}]", (value, key), item)

    def _look_at_object(self, value: Any, name: str) -> None:
        guarded = getattr(type(value), "guarded", None)
        if guarded is not None:  # of an optimiser, whose settings are live
            for place, expression, things, inner in guarded(value):
                if expression:
                    self._note(f"{name}.{place}", expression, *things)
                self._look_at(inner, f"{name}.{place}")
            if hasattr(value, "param_groups"):
                self._optimizers.append(value)
                self._settings += [(group, dict(group)) for group in value.param_groups]
            return
        counted = is_module(value)  # whose attributes cannot be set without being counted
        if counted:
            mode = "{0}.training is {1}"
            self._note(f"{name}.training", mode, value, value.training, counted=True)
        attributes = getattr(value, "__dict__", {})
        self._note(
            f"the attributes of {name}", f"len({{0}}) == {len(attributes)}", attributes,
            counted=counted,
        )  # fmt: skip
        for key, item in attributes.items():
            self._holds(f"{name}.{key}", "{0}[{1}]", (attributes, key), item, counted)
        for kind in type(value).__mro__:
            if _is_users(kind):
                for key in _attributes_of(kind):
                    self._look_at_inherited(value, kind, key, name, attributes)

    def _look_at_inherited(
        self, value: Any, kind: type, key: str, name: str, attributes: dict[str, Any]
    ) -> None:
        """Look at what an object has of its class: functions, numbers, slots."""
        item = vars(kind)[key]
        if isinstance(item, types.MemberDescriptorType):
            if hasattr(value, key):
                self._holds(f"{name}.{key}", f"{{0}}.{key}", (value,), getattr(value, key))
        elif hasattr(type(item), "__get__"):  # a method, a property: the code is what counts
            self._holds(f"{name}.{key}", "{0}[{1}]", (vars(kind), key), item)
        elif key not in attributes:
            self._holds(f"{name}.{key}", f"{{0}}.{key}", (value,), getattr(value, key))

    def _look_at_class(self, value: type, name: str) -> None:
        if _is_users(value):
            for key in _attributes_of(value):
                self._holds(f"{name}.{key}", "{0}[{1}]", (vars(value), key), vars(value)[key])

    def _look_at_function(self, function: types.FunctionType, name: str) -> None:
        if (function.__module__ or "").split(".")[0] in (_OWN, "numpy"):
            return
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for key, cell in cells:
            try:
                content = cell.cell_contents
            except ValueError:  # empty as yet
                continue
            self._holds(key, "{0}.cell_contents", (cell,), content)
        for key in ("__defaults__", "__kwdefaults__"):
            if getattr(function, key):
                self._holds(f"{name}.{key}", f"{{0}}.{key}", (function,), getattr(function, key))
        for key, item in vars(function).items():
            self._holds(f"{name}.{key}", "{0}[{1}]", (vars(function), key), item)
        scope = function.__globals__
        for key in _names(function.__code__, _GLOBAL):
            if key not in scope:
                continue
            if isinstance(scope[key], types.ModuleType):
                self._look_at_module(scope[key], key, _names(function.__code__, _ATTRIBUTE))
            else:
                self._holds(key, "{0}[{1}]", (scope, key), scope[key])

    def _look_at_module(self, module: types.ModuleType, name: str, used: tuple[str, ...]) -> None:
        """Look at what the code may use of a module of the user's own."""
        if not _is_installed(module) and id(module) not in self._known:
            self._known.add(id(module))
            for key in used:
                held = vars(module)
                if isinstance(held.get(key), types.ModuleType):
                    self._look_at_module(held[key], f"{name}.{key}", used)
                elif key in held:
                    self._holds(f"{name}.{key}", "{0}[{1}]", (held, key), held[key])


def same(a: Any, b: Any) -> bool:
    """Return whether a plain value is the other one, down to the type and the sign of zero."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (float, np.floating)):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    return bool(a == b)


def is_module(value: Any) -> bool:
    """Return whether a thing is a network; the class is declared after this file."""
    return hasattr(type(value), "named_parameters") and hasattr(type(value), "training")


@functools.lru_cache(maxsize=256)
def _names(code: types.CodeType, how: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that code, and code inside it, loads by these instructions."""
    names = [str(line.argval) for line in dis.get_instructions(code) if line.opname in how]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.extend(_names(constant, how))
    return tuple(dict.fromkeys(names))


def _attributes_of(kind: type) -> Iterator[str]:
    return (key for key in vars(kind) if key == "__call__" or not key.startswith("__"))


def _is_open(kind: type) -> bool:
    """Return whether objects of this class are looked into."""
    # Of argparse, by name: importing it takes long.
    namespace = (kind.__module__, kind.__name__) == ("argparse", "Namespace")
    return _is_users(kind) or namespace or issubclass(kind, types.SimpleNamespace)


def _is_users(kind: type) -> bool:
    """Return whether a class is the user's own, not one of an installed package."""
    module = sys.modules.get(kind.__module__)
    return module is not None and kind.__module__ != "builtins" and not _is_installed(module)


@functools.lru_cache(maxsize=1)
def _folders_of_packages() -> tuple[str, ...]:
    """Return where the standard library, installed packages and this one lie."""
    import sysconfig  # here, since asking it takes a third of microgrid's own import

    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    own = os.path.dirname(os.path.dirname(__file__))
    return tuple(os.path.join(path, "") for path in (*map(sysconfig.get_path, keys), own))


def _is_installed(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    built_in = file is None and module.__name__ in sys.builtin_module_names
    return built_in or (file is not None and file.startswith(_folders_of_packages()))
