"""Nested structures: dicts, lists and tuples whose leaves are numbers, arrays and Tensors.

A Module counts as the dict of its parameters that require a gradient. None is a structure without
leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .errors import ShapeError


class Leaf(NamedTuple):
    """What stands at one place of a structure."""

    name: str  # where it is, as in "argument 0['weight']"
    value: Any
    in_module: bool


class Structure:
    """What a nested structure looked like when it was given: it may change later, the Module too.

    Attributes:
        tree: the structure itself.
        parts: what it consists of, by key; None if it is a leaf.
        is_module: whether it is a Module.

    >>> nested = Structure({"w": [1.0, 2.0], "b": None})
    >>> [leaf.name for leaf in nested.leaves("x")]
    ["x['w'][0]", "x['w'][1]"]
    >>> nested.filled(iter("pq"))
    {'w': ['p', 'q'], 'b': None}
    """

    __slots__ = ("is_module", "parts", "tree")

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.is_module = False
        self.parts: dict[Any, Structure] | None = None
        if tree is None:
            self.parts = {}
        elif isinstance(tree, dict):
            self.parts = {key: Structure(part) for key, part in tree.items()}
        elif isinstance(tree, (list, tuple)):
            self.parts = {i: Structure(part) for i, part in enumerate(tree)}
        # Not the class Module, which a file as low as this one cannot import.
        elif hasattr(tree, "named_parameters") and not isinstance(tree, type):
            self.is_module = True
            found = tree.named_parameters()
            self.parts = {key: Structure(p) for key, p in found if p.requires_grad}

    def leaves(self, name: str) -> Iterator[Leaf]:
        """Yield the leaves; errors call the whole `name`."""
        if self.parts is None:
            yield Leaf(name, self.tree, False)
        elif self.is_module:
            for key, part in self.parts.items():
                yield Leaf(f"{name}[{key!r}]", part.tree, True)
        else:
            for key, part in self.parts.items():
                yield from part.leaves(f"{name}[{key!r}]")

    def filled(self, values: Iterator[Any], keep_modules: bool = False) -> Any:
        """Return the structure with these values as its leaves, in their order.

        Args:
            values: one for each leaf.
            keep_modules: whether a Module stays as it is; else it becomes a dict.
        """
        if self.parts is None:
            return next(values)
        found = {key: part.filled(values, keep_modules) for key, part in self.parts.items()}
        if self.is_module:
            return self.tree if keep_modules else found
        if self.tree is None or isinstance(self.tree, dict):
            return None if self.tree is None else found
        if hasattr(self.tree, "_fields"):  # of a named tuple
            return type(self.tree)(*found.values())
        return list(found.values()) if isinstance(self.tree, list) else tuple(found.values())

    def matched(self, who: str, given: Any, name: str, own_name: str) -> Iterator[Any]:
        """Yield what another structure has at each leaf of this one.

        Args:
            who: the function that needs them to fit.
            given: the other structure, which errors call `name`.
            own_name: what errors call this one.

        Raises:
            ShapeError: they differ in structure, or in the shape of a leaf.
        """
        if self.parts is None:
            if _shape(given) != _shape(self.tree):
                raise ShapeError(
                    f"{who}: {name} has shape {_shape(given)} and {own_name} {_shape(self.tree)}; "
                    "the shapes must be equal. Broadcast it first."
                )
            yield given
            return
        theirs = self._parts_of(who, given, name, own_name)
        if theirs.keys() != self.parts.keys():
            raise ShapeError(
                f"{who}: {name} has {_listed(given, theirs)} and {own_name} "
                f"{_listed(self.tree, self.parts)}; it needs a value for each. Give zeros where "
                "nothing changes."
            )
        for key, part in self.parts.items():
            place = f"[{key!r}]"
            yield from part.matched(who, theirs[key], name + place, own_name + place)

    def _parts_of(self, who: str, given: Any, name: str, own_name: str) -> dict[Any, Any]:
        if self.tree is None:
            needed = "None too"
            if given is None:
                return {}
        elif self.is_module or isinstance(self.tree, dict):
            needed = "a dict with a value for each parameter" if self.is_module else "a dict too"
            if isinstance(given, dict):
                return given
        else:
            needed = "a list or tuple too"
            if isinstance(given, (list, tuple)):
                return dict(enumerate(given))
        raise ShapeError(
            f"{who}: {name} is of type {type(given).__name__} and {own_name} of type "
            f"{type(self.tree).__name__}; it needs {needed}. Give both the same structure."
        )


def changed(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Return a structure with `change` of each leaf; Modules stay as they are.

    >>> changed({"w": [1, 2]}, float)
    {'w': [1.0, 2.0]}
    """
    nested = Structure(tree)
    values = [x if in_module else change(x) for _, x, in_module in nested.leaves("")]
    return nested.filled(iter(values), keep_modules=True)


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(leaf.shape) if hasattr(leaf, "shape") else np.shape(leaf)


def _listed(tree: Any, parts: dict[Any, Any]) -> str:
    if isinstance(tree, (list, tuple)):
        return "1 entry" if len(tree) == 1 else f"{len(tree)} entries"
    return f"the keys {', '.join(map(repr, parts))}" if parts else "no keys"
