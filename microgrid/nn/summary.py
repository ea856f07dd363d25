"""A model as a table: its layers, what they return, and what they hold."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor, wrap
from ..recording import no_grad

if TYPE_CHECKING:
    from .module import Module

HEAD = ("Layer (type)", "Output shape", "Parameters", "Bytes")
UNKNOWN = "-"
SIZES = (2, 3)  # of the batch, where it may be any: what differs between the two is the batch


def table(model: Module, x: Any = None) -> str:
    """Return the table that `Module.summary` describes."""
    shapes = None if x is None else _output_shapes(model, x)
    rows: list[tuple[str, ...]] = [HEAD]
    rows += [_row(name, layer, own, shapes) for name, layer, own in _layers(model)]
    if shapes is None:
        rows = [(name, *numbers) for name, _, *numbers in rows]
    texts = len(rows[0]) - 2
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i < texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    head = f"Model: {type(model).__name__}"
    return "\n".join([head, lines[0], rule, *lines[1:], rule, *_totals(model)])


def _layers(model: Module) -> Iterator[tuple[str, Module, list[Tensor]]]:
    """Yield each layer by name, with the parameters that no row above has counted."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        inner = {id(p) for m in module.modules() if m is not module for p in m.parameters()}
        held = [p for p in module.parameters() if id(p) not in inner]
        if not held and sum(1 for _ in module.modules()) > 1:
            continue  # it only holds others
        yield name, module, [p for p in held if id(p) not in seen]
        seen.update(map(id, held))


def _row(
    name: str, layer: Module, own: list[Tensor], shapes: dict[str, str] | None
) -> tuple[str, str, str, str]:
    kind = type(layer).__name__
    frozen = ", frozen" if own and not any(p.requires_grad for p in own) else ""
    label = f"{name} ({kind}{frozen})" if name else f"({kind}{frozen})"
    shape = UNKNOWN if shapes is None else shapes.get(name, UNKNOWN)
    return label, shape, f"{_numbers(own):,}", f"{_bytes(own):,}"


def _totals(model: Module) -> Iterator[str]:
    every, buffers = list(model.parameters()), list(model.buffers())
    parts: dict[str, Sequence[Tensor]] = {
        "Total parameters": every,
        "Trainable": [p for p in every if p.requires_grad],
        "Frozen": [p for p in every if not p.requires_grad],
    }
    if buffers:
        parts["Buffers"] = buffers
    for name, part in parts.items():
        yield f"{name}: {_numbers(part):,} ({_bytes(part):,} bytes)"


def _numbers(tensors: Iterable[Tensor]) -> int:
    return sum(t.size for t in tensors)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t._data.nbytes for t in tensors)


# --- what the layers return ----------------------------------------------------------------------


def _output_shapes(model: Module, x: Any) -> dict[str, str]:
    """Return by the layers' names what they return for an example, or for inputs of a shape."""
    if isinstance(x, list) and None in x:
        raise TypeError(
            f"summary: the list {x!r} was given; a shape is a tuple. Pass {tuple(x)!r}."
        )
    if not isinstance(x, tuple):
        return {name: _text(found) for name, found in _shapes_seen(model, x).items()}
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    small, large = (
        _shapes_seen(model, wrap(np.zeros(_with_batch(x, size), dtype))) for size in SIZES
    )
    return {name: _text(_any_batch(small[name], large[name])) for name in small if name in large}


def _with_batch(shape: tuple[Any, ...], batch: int) -> tuple[int, ...]:
    try:
        sizes = tuple(batch if size is None else operator.index(size) for size in shape)
    except TypeError:
        raise TypeError(
            f"summary: the tuple {shape!r} was given; a shape has integers, and None for the "
            "batch. Pass an example as an array."
        ) from None
    if min(sizes, default=0) < 0:
        raise ValueError(
            f"summary: the tuple {shape!r} was given; sizes are at least 0. Write None for the "
            "batch."
        )
    return sizes


def _shapes_seen(model: Module, x: Any) -> dict[str, Any]:
    """Run a copy of the model; return the shapes of what its layers returned first, by name.

    A copy, so that neither random generators nor whoever uses the model notices.
    """
    twin = deepcopy(model).eval()
    found: dict[str, Any] = {}
    for name, module in list(twin.named_modules()):
        module.__class__ = _noting(type(module), name, found)
    with no_grad():
        twin(x)
    return found


def _noting(kind: type[Any], name: str, found: dict[str, Any]) -> type[Any]:
    """Return a subclass whose calls note the shape of their result."""

    def call(self: Any, *inputs: Any, **options: Any) -> Any:
        y = kind.__call__(self, *inputs, **options)
        found.setdefault(name, _shape_of(y))
        return y

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})


def _shape_of(y: Any) -> Any:
    """Return the shape of a result, of several a list."""
    if isinstance(y, (list, tuple)):
        return [_shape_of(part) for part in y]
    return tuple(getattr(y, "shape", ()))


def _any_batch(small: Any, large: Any) -> Any:
    """Return a shape with None where two batches gave different sizes."""
    if isinstance(small, list):
        return [_any_batch(a, b) for a, b in zip(small, large, strict=True)]
    return tuple(a if a == b else None for a, b in zip(small, large, strict=True))


def _text(shape: Any) -> str:
    if isinstance(shape, list):
        return ", ".join(map(_text, shape))
    return str(shape)
