"""The nodes of a graph, oldest first, in words."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from operator import attrgetter
from typing import TypeAlias

from .arrays import Array
from .backward import _ancestors, check_has_graph
from .core import Tensor
from .nn import Module

Names: TypeAlias = "Module | Mapping[str, Tensor] | None"


def nodes_of(who: str, y: Tensor) -> list[Tensor]:
    """Return y and all that it was computed from, leaves too, oldest first.

    Raises:
        TypeError: y is no Tensor.
        GraphError: it has no graph, it was released, or a leaf was written to since.
    """
    if not isinstance(y, Tensor):
        raise TypeError(
            f"{who}: a {type(y).__name__} was given; it needs a Tensor. Compute it by ops on "
            "Tensors."
        )
    check_has_graph(who, y)
    results = _ancestors(who, y)
    found = set(results)
    for result in results:
        found.update(result.inputs or ())
    return sorted(found, key=attrgetter("serial"))


def names_of(who: str, names: Names) -> dict[Tensor, str]:
    """Return the names of Tensors, the first of each.

    Raises:
        TypeError: names is neither a Module nor a dict of Tensors.
    """
    if names is None:
        return {}
    if not isinstance(names, (Module, Mapping)):
        raise TypeError(
            f"{who}: names of type {type(names).__name__} were given; it needs a Module, or a dict "
            "of Tensors by name. Pass dict(x=x)."
        )
    named: dict[Tensor, str] = {}
    for name, x in names.named_parameters() if isinstance(names, Module) else names.items():
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{who}: names[{name!r}] is of type {type(x).__name__}; it needs a Tensor. Leave "
                "it out, or make it one before it is used."
            )
        named.setdefault(x, str(name))
    return named


def title(node: Tensor, names: Mapping[Tensor, str]) -> str:
    """Return what a node is: its name, or its op with what that was told.

    >>> import microgrid as mg
    >>> x = mg.tensor([[1.0, 2.0]], requires_grad=True)
    >>> title(x.sum(axis=1), {}), title(x, {x: "x"}), title(x, {})
    ('sum(axis=(1,))', 'x', 'leaf')
    """
    name = names.get(node, "")
    if node.op is None:
        return name or ("leaf" if node._requires_grad else "constant")
    # None and False ask for nothing.
    given = {key: value for key, value in node.params.items() if not _asks_for_nothing(value)}
    told = ", ".join(f"{key}={_short.repr(value)}" for key, value in given.items())
    call = f"{node.op.name}({told})" if told else node.op.name
    return f"{name} = {call}" if name else call


def is_number(node: Tensor, names: Mapping[Tensor, str]) -> bool:
    """Return whether it is a number written in the code, as the 2 of 2 * x."""
    return node.op is None and not node._requires_grad and not node.ndim and node not in names


def _asks_for_nothing(value: object) -> bool:
    return value is None or value is False


class _Short(reprlib.Repr):
    """Python's own abbreviations, and arrays by dtype and shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = 40

    def repr_ndarray(self, x: Array, level: int) -> str:
        return f"{x.dtype}{x.shape}"


_short = _Short()
