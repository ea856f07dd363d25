"""The pages of the reference, from the signatures and docstrings of every public name."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import groupby
from types import NoneType
from typing import Any

from docstrings import first_sentence, to_markdown
from make_ops import GROUPS, picture_of
from public import Name, public_names

from microgrid import OPS, Op, Tensor
from microgrid.ops import PUBLIC

# Which names are on which page, by where they are defined or by what they are called: of those
# that fit, the longest counts.
PAGES = {
    "tensor": ("Tensors", "core", "creation", "recording"),
    "ops": ("Ops", "ops"),
    "gradients": (
        "Gradients and transforms",
        "backward",
        "transforms",
        "directional",
        "per_sample",
    ),
    "nn": ("Layers", "nn"),
    "init": ("First weights", "nn.init"),
    "losses": ("Losses", "nn.losses"),
    "optim": ("Optimisers and schedules", "optim"),
    "training": ("Training", "train"),
    "callbacks": ("Callbacks", "callbacks", "train.callbacks"),
    "metrics": ("Metrics", "metrics"),
    "compile": ("Compile", "compiler"),
    "testing": ("Checks of gradients", "testing"),
    "strategies": ("Strategies for hypothesis", "testing.strategies"),
    "files": ("Files", "files"),
    "datasets": ("Data", "data", "datasets"),
    "debugging": ("Debugging", "anomaly", "explanation", "diagrams"),
    "doctor": ("Doctor", "doctor"),
    "own_ops": ("Ops of your own", "core.Op", "record", "pieces", "selection"),
    "errors": ("Errors", "errors"),
    "plot": ("Pictures", "plot"),
    "more": ("More", ""),
}
MORE = "More"  # until make_ops.py is told of an op
GROUP_OF = {name: title for title, names in GROUPS.items() for name in names.split()}


def reference_pages() -> dict[str, str]:
    """Return the text of each page by its path below docs/."""
    by_page: dict[str, list[Name]] = {page: [] for page in PAGES}
    for name in public_names():
        by_page[page_of(name)].append(name)
    used = {page: names for page, names in by_page.items() if names}
    pages = {f"reference/{page}.md": page_text(page, names) for page, names in used.items()}
    return {"reference/index.md": index_text(used), **pages}


def page_of(name: Name) -> str:
    """Return the page on which a name is explained."""
    homes = (f"{name.home}.{name.last}.", f"{name.called.removeprefix('mg.')}.")
    fits = [
        (len(prefix), page)
        for page, (_, *prefixes) in PAGES.items()
        for prefix in prefixes
        if any(home.startswith(f"{prefix}." if prefix else "") for home in homes)
    ]
    return max(fits)[1]


def index_text(used: dict[str, list[Name]]) -> str:
    """Return the first page: every name with its first sentence."""
    parts = ["# Reference", "Every public name, as it is called after `import microgrid as mg`."]
    for page, names in used.items():
        parts += [f"## [{PAGES[page][0]}]({page}.md)", summary(names)]
    inner = "\n".join(used)
    parts.append(f"```{{toctree}}\n:hidden:\n\n{inner}\n```")
    return "\n\n".join(parts) + "\n"


def summary(names: list[Name]) -> str:
    """Return a table of names and first sentences."""
    rows = [f"| {{py:obj}}`{name.called}` | {said(name)} |" for name in names]
    return "\n".join(["| name | what it is |", "|---|---|", *rows])


def said(name: Name) -> str:
    """Return what a name is in one sentence."""
    original = alias_of(name)
    return f"Another name of `{original}`." if original else first_sentence(doc_of(name))


def page_text(page: str, names: list[Name]) -> str:
    """Return a page: under a title for each family of ops, and all together otherwise."""
    parts = [f"# {PAGES[page][0]}"]
    if page == "ops":
        parts.append("[The ops](../ops.md) shows them side by side, with their slopes at kinks.")
        order = [*GROUPS, MORE]
        names = sorted(names, key=lambda name: order.index(group_of(name)))
        for title, group in groupby(names, group_of):
            parts += [f"## {title}", *map(entry, group)]
    else:
        parts += [summary(names)] * (len(names) > 1) + [entry(name) for name in names]
    return "\n\n".join(parts) + "\n"


def group_of(name: Name) -> str:
    """Return the family of an op."""
    return str(GROUP_OF.get(name.last, MORE))


# --- one name ------------------------------------------------------------------------------------


def entry(name: Name) -> str:
    """Return all about one name: signature, where it is written, docstring, members."""
    original = alias_of(name)
    body = [source_link(name.home, name.line)]
    body += [f"Another name of `{original}`."] if original else [to_markdown(doc_of(name))]
    body[1:1] = op_facts(name)
    kind = kind_of(name.value)
    if inspect.isclass(name.value) and not original:
        body += members(name)
    shown = signature(name.value) if kind != "data" else ""
    return directive(kind, name.called + shown, body, depth=5)


def directive(kind: str, title: str, body: list[str], depth: int) -> str:
    """Return a directive of Sphinx's Python domain; its fence is longer than those within."""
    fence = "`" * depth
    inner = "\n\n".join(part for part in body if part)
    return f"{fence}{{py:{kind}}} {title}\n\n{inner}\n{fence}"


def kind_of(value: Any) -> str:
    """Return what Sphinx calls such a value."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) else "data"


def doc_of(name: Name) -> str:
    """Return the docstring, or the note that says what a constant is."""
    value = name.value
    if callable(value):
        return inspect.getdoc(value) or ""
    return name.note


def alias_of(name: Name) -> str:
    """Return the name that a second name stands for, or nothing."""
    own = getattr(name.value, "__name__", name.last)
    return f"{name.called.rpartition('.')[0]}.{own}" if own != name.last else ""


def source_link(home: str, line: int) -> str:
    """Return a link to a line of the source, which is part of the site."""
    module = importlib.import_module(f"microgrid.{home}" if home else "microgrid")
    path = module.__name__.replace(".", "/") + ("/__init__" if hasattr(module, "__path__") else "")
    href = f"../source/{path}.py.html#L-{line}"
    return f'<a class="to-source" href="{href}" title="{path}.py, line {line}">source</a>'


def op_facts(name: Name) -> list[str]:
    """Return the picture of an op, its value as a formula, and its shapes."""
    if PUBLIC.get(name.last) is not name.value:
        return []
    picture = picture_of(name.last)
    drawn = f"![{name.last} and its slope](../images/{picture.name})" if picture.exists() else ""
    if isinstance(name.value, Op) or name.last not in OPS:  # its docstring says the rest
        return [drawn]
    op = OPS[name.last]
    facts = [f"Value: `{op.formula}`."] * bool(op.formula) + [f"Shapes: `{op.signature}`."]
    return [drawn, " ".join(facts)]


# --- signatures ----------------------------------------------------------------------------------


def signature(value: Any, bound: bool = True) -> str:
    """Return how something is called: types as they are written, defaults in few letters."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    parameters = [
        one.replace(annotation=as_written(one.annotation), default=shortened(one.default))
        for one in list(found.parameters.values())[not bound :]
    ]
    result = found.empty if inspect.isclass(value) else as_written(found.return_annotation)
    return str(found.replace(parameters=parameters, return_annotation=result))


class Plain:
    """A text that prints without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def as_written(annotation: Any) -> Any:
    """Return a type as the source has it."""
    if annotation is inspect.Parameter.empty:
        return annotation
    return Plain(re.sub(r"['\"]", "", inspect.formatannotation(annotation)))


def shortened(default: Any) -> Any:
    """Return a default as a reader would write it."""
    speaks = isinstance(default, (int, float, str, tuple, NoneType))
    if speaks or default is inspect.Parameter.empty:
        return default
    return Plain(getattr(default, "__name__", "..."))


# --- members of classes --------------------------------------------------------------------------


def members(name: Name) -> list[str]:
    """Return what a class applies and inherits, and its methods and properties."""
    parts = [" ".join([*applied(name.value), *inherited(name.value)])]
    parts += [member(name, key, value) for key, value in own_members(name.value)]
    if name.value is Tensor:
        ops = ", ".join(f"{{py:obj}}`{key} <mg.{key}>`" for key in sorted(methods_that_are_ops()))
        parts.append(f"**Ops as methods:** {ops}, and {{py:obj}}`clone <mg.copy>`.")
    return parts


def applied(cls: type) -> Iterator[str]:
    """Yield a link to the op that a layer applies: what it takes is written there."""
    op = inspect.getattr_static(cls, "op", None)
    yield from (f"Applies {{py:obj}}`mg.{key}`." for key, value in PUBLIC.items() if value is op)


def inherited(cls: type) -> Iterator[str]:
    """Yield a link to the public base with members, since they are not shown again."""
    base = public_base(cls)
    if base and not issubclass(base, BaseException):
        called = next(name.called for name in public_names() if name.value is base)
        yield f"Has the methods of {{py:obj}}`{called}` too."


def own_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public functions and properties that a class or a base without a page defines.

    Not those of a base that has an entry, nor what only fills in one of its methods.
    """
    taken = methods_that_are_ops() | {"clone"} if cls is Tensor else set()
    found: dict[str, Any] = {}
    for base in [*reversed(hidden_bases(cls)), cls]:
        found |= vars(base)
    for key, value in found.items():
        function = function_of(value)
        public = inspect.isfunction(function) and not key.startswith("_") and key not in taken
        if public and tells(cls, key, function):
            yield key, value


def tells(cls: type, key: str, function: Any) -> bool:
    """Return whether a member says something that neither an op nor a base says."""
    if not function.__doc__ or function in PUBLIC.values():
        return False
    base = public_base(cls)
    if base is None:
        return True
    known = any(hasattr(above, key) for above in cls.__mro__[1:])
    brief = "\n\n" not in function.__doc__  # a sentence, which the docstring of the class has too
    return not (known and brief) and (key in vars(cls) or hasattr(base, key))


def function_of(value: Any) -> Any:
    """Return the function of a method of any kind, or of a property, below its decorators."""
    return inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))


def public_base(cls: type) -> type | None:
    """Return the nearest base that has an entry of its own."""
    public = {id(name.value) for name in public_names()}
    return next((base for base in cls.__mro__[1:] if id(base) in public), None)


def hidden_bases(cls: type) -> list[type]:
    """Return the bases of microgrid's below the public one, whose members are shown with `cls`."""
    above = {cls, *(public_base(cls) or object).__mro__}
    ours = [base for base in cls.__mro__ if base.__module__.startswith("microgrid")]
    return [base for base in ours if base not in above]


def methods_that_are_ops() -> set[str]:
    """Return the names of the Tensor's methods that call an op."""
    return {key for key in vars(Tensor) if key in PUBLIC}


def member(name: Name, key: str, value: Any) -> str:
    """Return one method or property."""
    function = function_of(value)
    is_property = isinstance(value, property)
    kinds = {property: "property", classmethod: "classmethod", staticmethod: "staticmethod"}
    kind = kinds.get(type(value), "method")
    bound = isinstance(value, (classmethod, staticmethod))
    shown = "" if is_property else signature(getattr(name.value, key), bound)
    home = function.__module__.removeprefix("microgrid").lstrip(".")
    text = to_markdown(inspect.getdoc(function) or "")
    body = [source_link(home, function.__code__.co_firstlineno), text]
    return directive(kind, f"{name.called}.{key}{shown}", body, depth=4)
