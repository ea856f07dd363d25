"""The public names of microgrid, and where each is written: read from the source, not guessed.

A name is public if a file re-exports it as `from .here import name as name`, which is what type
checkers go by, or if a public file defines it and it has no underscore.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = "microgrid"
FURTHER = ("testing.strategies", "plot")  # public, but nothing imports them before they are needed
RETURNED = {"Compiled": "compiler.step"}  # classes that users only get from a call


@dataclass(frozen=True)
class Name:
    """A public name: what users write, the value, and the module and line that define it."""

    called: str  # "mg.nn.Dense"
    value: Any
    home: str  # "nn.dense"
    line: int
    note: str = ""  # the text below an assignment

    @property
    def last(self) -> str:
        """Return the part after the last dot."""
        return self.called.rpartition(".")[2]


@functools.cache
def public_names() -> list[Name]:
    """Return every public name once: where several spaces have it, as the first one calls it."""
    found: dict[str, Name] = {}
    values: dict[int, str] = {}  # from a value to its space: a second name there is an alias
    for space in public_spaces():
        for name in names_of(space):
            if values.setdefault(id(name.value), space) == space:
                found.setdefault(name.called, name)
    for last, home in RETURNED.items():
        value = getattr(importlib.import_module(f"{PACKAGE}.{home}"), last)
        found[last] = Name(f"mg.{last}", value, home, place_of(f"{PACKAGE}.{home}", last)[1])
    return list(found.values())


def public_spaces() -> list[str]:
    """Return the modules that users name, as microgrid.nn.init: the package, and what it shows."""
    spaces = [PACKAGE]
    for space in spaces:
        for name in shown(space):
            inner = f"{space}.{name}"
            if is_module(space, name) and inner not in spaces:
                spaces.append(inner)
    known = [f"{PACKAGE}.{further}" for further in FURTHER]
    return spaces + [space for space in known if space not in spaces]


def names_of(space: str) -> Iterator[Name]:
    """Yield the public names of one module."""
    module = importlib.import_module(space)
    prefix = ".".join(["mg", *space.split(".")[1:]])
    for name in shown(space):
        if not is_module(space, name):
            home, line, note = place_of(space, name)
            home = home.removeprefix(f"{PACKAGE}.")
            yield Name(f"{prefix}.{name}", getattr(module, name), home, line, note)


def shown(space: str) -> list[str]:
    """Return what the file of a module re-exports or defines for users, in reading order."""
    tree = tree_of(space)
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    ]
    module = importlib.import_module(space)
    for node in tree.body:
        for name in defined(node):
            definition = isinstance(node, (ast.FunctionDef, ast.ClassDef))
            if definition or is_ours(getattr(module, name, None)):
                names.append(name)
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def is_ours(value: Any) -> bool:
    """Return whether a value is a function, class or op of microgrid, as an alias may be."""
    return callable(value) and str(getattr(value, "__module__", "")).startswith(PACKAGE)


def is_module(space: str, name: str) -> bool:
    """Return whether a name stands for a module."""
    return inspect.ismodule(getattr(importlib.import_module(space), name, None))


def place_of(module: str, name: str) -> tuple[str, int, str]:
    """Return the module and the line that define a name, and the text below an assignment."""
    tree = tree_of(module)
    for i, node in enumerate(tree.body):
        if name in defined(node):
            below = tree.body[i + 1] if i + 1 < len(tree.body) else None
            return module, node.lineno, text_of(below) if is_assignment(node) else ""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for origin in imports:
        for alias in origin.names:
            if name == (alias.asname or alias.name):
                return place_of(imported_from(module, origin), alias.name)
    raise ValueError(f"public: {name} is not defined in {module}, nor imported there.")


def imported_from(module: str, node: ast.ImportFrom) -> str:
    """Return the absolute name of what a relative import reads."""
    package = module if file_of(module).name == "__init__.py" else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a file defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    flat = [one for target in targets for one in getattr(target, "elts", [target])]
    return [target.id for target in flat if isinstance(target, ast.Name)]


def is_assignment(node: ast.stmt) -> bool:
    """Return whether a statement gives a value to a name."""
    return isinstance(node, (ast.Assign, ast.AnnAssign))


def text_of(node: ast.stmt | None) -> str:
    """Return the text if a statement is nothing else."""
    value = node.value if isinstance(node, ast.Expr) else None
    return inspect.cleandoc(str(value.value)) if isinstance(value, ast.Constant) else ""


@functools.cache
def tree_of(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(file_of(module).read_text("utf-8"))


def file_of(module: str) -> Path:
    """Return the file of a module."""
    return Path(importlib.import_module(module).__file__ or "")
