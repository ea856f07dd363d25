"""The house: who may import whom, how long a file may be, what must not be in the library."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import microgrid

PACKAGE = Path(microgrid.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Imports go down this list only: a module may import those above it. The package's own __init__ and
# __main__ may import everything; within ops, optim and the other folders there must be no cycle.
ORDER = [
    "errors", "recording", "arrays", "signatures", "pieces", "selection", "record", "documentation",
    "operators", "core", "files", "backward", "finite", "places", "anomaly",
    "replay", "ops", "creation", "protocols", "nested", "linearise", "directional", "transforms",
    "samples", "per_sample",
    "compiler", "nn", "nodes", "explanation", "diagrams",
    "optim", "data", "datasets", "metrics", "train", "testing", "plot", "doctor", "callbacks",
]  # fmt: skip

each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path, run_time_only: bool = False) -> Iterator[tuple[str, int]]:
    """Yield what a file imports, as absolute names of modules, with the line."""
    module_tree = tree(path)
    typing_only = {
        id(inner)
        for node in ast.walk(module_tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    package = path.relative_to(ROOT).with_suffix("").parts
    package = package[:-1]  # the folder, also of an __init__
    for node in ast.walk(module_tree):
        if run_time_only and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield (whole if is_module(whole) else module), node.lineno


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def part_of(name: str) -> str:
    """Return "ops" for microgrid.ops.linear, "" for the package itself."""
    return [*name.split("."), ""][1]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_order_has_every_part() -> None:
    found = {part_of(module_of(p)) for p in FILES} - {"", "__main__"}
    assert found <= set(ORDER), "a new part needs a place in the order"


@each_file
def test_imports_go_down_the_list_only(path: Path) -> None:
    own = part_of(module_of(path))
    if own in ("", "__main__"):
        return
    for name, line in imported(path, run_time_only=True):
        if name.split(".")[0] != "microgrid" or part_of(name) == own:
            continue
        other = part_of(name)
        where = f"{path.relative_to(ROOT)}, line {line}"
        assert other, f"{where} imports the package itself"
        assert ORDER.index(other) < ORDER.index(own), f"{where}: {own} must not import {other}"


@each_file
def test_for_types_too_nothing_is_imported_from_below_but_core(path: Path) -> None:
    own = part_of(module_of(path))
    if own in ("", "__main__"):
        return
    for name, line in imported(path):
        other = part_of(name)
        if name.split(".")[0] == "microgrid" and other not in (own, "core"):
            assert ORDER.index(other) < ORDER.index(own), f"{path}, line {line}"


def test_there_is_no_cycle_among_modules() -> None:
    edges = {
        module_of(p): {n for n, _ in imported(p, run_time_only=True) if n.startswith("microgrid")}
        for p in FILES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module in done or module not in edges:
            return
        for other in sorted(edges[module]):
            # `from . import x` in a package's __init__ names the package itself.
            if other != module and not (module == "microgrid" or other == "microgrid"):
                visit(other, (*path, module))
        done.add(module)

    for module in sorted(edges):
        visit(module, ())


# --- what each file may use ----------------------------------------------------------------------

STANDARD_AND_NUMPY = {"numpy", "microgrid"}
ALLOWED = {
    "plot": {"matplotlib", "PIL"},
    "doctor": {"matplotlib"},  # for types only
    "testing/strategies": {"hypothesis"},
    "compiler/interpreter.py": {"numba", "llvmlite"},
}


@each_file
def test_only_numpy_is_needed_at_run_time(path: Path) -> None:
    import sys

    own = path.relative_to(PACKAGE)
    allowed = STANDARD_AND_NUMPY.union(*(ALLOWED.get(str(p), ()) for p in (own, own.parent)))
    for name, line in imported(path):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top in allowed, f"{path}, line {line}: {top}"


def test_importing_microgrid_imports_no_extra() -> None:
    import os
    import subprocess
    import sys

    program = (
        "import sys, microgrid; "
        "print([m for m in ('matplotlib', 'hypothesis', 'numpy.ma', 'pytest') if m in sys.modules])"
    )
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@each_file
def test_no_file_is_over_400_lines(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400
    assert not [i for i, line in enumerate(lines, 1) if len(line) > 100]


@each_file
def test_the_library_raises_errors_and_asserts_nothing(path: Path) -> None:
    lines = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)]
    assert not lines, f"assert in lines {lines}"


@each_file
def test_nothing_is_left_of_debugging(path: Path) -> None:
    printing = {"__main__.py", "train/progress.py"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            # A compiler writes Python, and a docstring runs its example.
            allowed = path.parent.name == "compiler" or path.name == "documentation.py"
            assert node.func.id not in ("breakpoint", "exec", "eval") or allowed, node.lineno
            if node.func.id == "print":
                assert str(path.relative_to(PACKAGE)) in printing, f"print in line {node.lineno}"


@each_file
def test_randomness_comes_from_a_generator(path: Path) -> None:
    """Nothing touches the global state of numpy.random, or Python's random."""
    for name, line in imported(path):
        assert name != "random", line
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
            assert node.attr in ("default_rng", "Generator", "SeedSequence", "PCG64"), node.lineno


@each_file
def test_every_function_has_types(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            a = node.args
            arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs]
            bare = [
                x.arg for x in arguments if x.annotation is None and x.arg not in ("self", "cls")
            ]
            assert not bare, f"{node.name} in line {node.lineno}: {bare}"
            assert node.returns is not None, f"{node.name} in line {node.lineno}"


@each_file
def test_every_file_opens_with_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "no docstring"


# --- documentation -------------------------------------------------------------------------------


def public_modules() -> list[str]:
    names = [m.name for m in pkgutil.walk_packages([str(PACKAGE)], "microgrid.")]
    unimportable = () if find_spec("numba") else ("microgrid.compiler.interpreter",)
    return [
        "microgrid",
        *(n for n in names if not n.endswith("__main__") and n not in unimportable),
    ]


def public_objects() -> list[tuple[str, Any]]:
    """Return classes and functions without an underscore, and the public methods of the classes."""
    found: dict[str, Any] = {}
    for module_name in public_modules():
        module = import_module(module_name)
        for name, value in vars(module).items():
            if name.startswith("_") or not callable(value):
                continue
            home = getattr(value, "__module__", "")
            if inspect.isroutine(value) or inspect.isclass(value):
                if home != module_name:
                    continue
                found[f"{module_name}.{name}"] = value
                if inspect.isclass(value):
                    for method, body in vars(value).items():
                        if not method.startswith("_") and (
                            inspect.isfunction(body) or isinstance(body, (property, classmethod))
                        ):
                            found[f"{module_name}.{name}.{method}"] = body
            elif isinstance(value, microgrid.Op):
                found[f"{module_name}.{name}"] = value
    return sorted(found.items())


OBJECTS = public_objects()


def test_there_are_public_objects_to_look_at() -> None:
    assert len(OBJECTS) > 150


@pytest.mark.parametrize(("name", "value"), OBJECTS, ids=[name for name, _ in OBJECTS])
def test_public_name_has_a_docstring(name: str, value: Any) -> None:
    doc = inspect.getdoc(value)
    assert doc, f"{name} has no docstring"
    assert len(doc.split()) > 1, f"{name}: {doc!r} says nothing"


def test_every_public_name_is_listed_where_help_looks() -> None:
    for name in dir(microgrid):
        value = getattr(microgrid, name)
        if not name.startswith("_") and callable(value):
            assert inspect.getdoc(value), name
    assert microgrid.__doc__


def test_what_users_call_shows_its_arguments() -> None:
    for name, function in microgrid.ops.PUBLIC.items():
        parameters = inspect.signature(function).parameters
        assert parameters, name
        assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values()), (
            f"{name} hides its arguments in **{list(parameters)}"
        )
