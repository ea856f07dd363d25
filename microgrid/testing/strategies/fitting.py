"""Which shapes and parameters go together in a call of an op: found by trying, once for each."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Rational
from typing import Any

import numpy as np

from ...arrays import Array, exact
from ...core import Op
from ...record import Domain
from ...selection import Moving
from .arrays import Shape
from .calls import WHOLE, domain_of

SHAPES: tuple[Shape, ...] = ((), (1,), (2,), (3,), (2, 1), (2, 3), (3, 2), (2, 2))
MOST_AXES, MOST_ELEMENTS = 3, 24
# Between which bounds points lie, and the number that they are drawn by.
BASES = (0.1, 0.4, 2), (1.0, 2.0, 3), (-2.0, -1.0, 5)
STEPS = (-6.0, -3.0, 7), (2.0, 3.0, 11)  # the first one passes 0
CURVED, STRAIGHT, STRAIGHT_IN_ONE = "curved", "straight", "straight in one"


@dataclass(frozen=True, eq=False)
class Fit:
    """Shapes of an op's inputs, and parameters, with which it can be called."""

    shapes: tuple[Shape, ...]
    params: dict[str, Any]


def main_input(op: Op) -> int:
    """Return the number of the first input that has a gradient."""
    return op.varying[0] if op.varying else 0


@functools.lru_cache(maxsize=4096)
def fits(op: Op, shape: Shape, dtype: np.dtype[Any]) -> tuple[Fit, ...]:
    """Return legal calls with a main input of this shape whose result is of the same dtype."""
    found = []
    for shapes in _candidates(op, shape):
        try:
            options = op.params(*shapes)
        except (ValueError, IndexError):
            continue
        found += [fit for fit in (Fit(shapes, p) for p in options) if _works(op, fit, dtype)]
    return tuple(found)


def main_shapes(op: Op) -> list[Shape]:
    """Return shapes for the main input of a call that starts from nothing, small ones first."""
    listed = [shapes[main_input(op)] for shapes in op.shapes]
    return list(dict.fromkeys([*SHAPES, *(shape for shape in listed if 0 not in shape)]))


def _candidates(op: Op, shape: Shape) -> list[tuple[Shape, ...]]:
    """Return the shapes that the record lists, or such as are like the main one or parts of it."""
    main, count = main_input(op), op.arity or 2
    if op.shapes:
        return [shapes for shapes in op.shapes if shapes[main] == shape]
    near = [shape, (), shape[-1:], shape[1:], shape[::-1], (*shape[-1:], 2), (1,) * len(shape)]
    near.append((2, *shape))
    others = itertools.product(dict.fromkeys(near), repeat=count - 1)
    return [(*rest[:main], shape, *rest[main:]) for rest in others]


@np.errstate(all="ignore")
def _works(op: Op, fit: Fit, dtype: np.dtype[Any]) -> bool:
    """Return whether the op takes these inputs and keeps their dtype; of Fractions, exactly."""
    if any(map(_lacks_axes, op.signature.split("->")[0].split("),("), fit.shapes)):
        return False
    arrays = [_middle(domain_of(op, i), shape, dtype) for i, shape in enumerate(fit.shapes)]
    try:
        y = op.run(arrays, fit.params)
    except (TypeError, ValueError, IndexError, ArithmeticError):
        return False
    if y.dtype != dtype or y.ndim > MOST_AXES or not 0 < y.size <= MOST_ELEMENTS:
        return False
    return not dtype.hasobject or (_is_exact(y) and _rules_are_exact(op, fit, arrays, y))


def _lacks_axes(term: str, shape: Shape) -> bool:
    """Return whether a term of a signature, such as "(n?,k", names more axes than the shape has."""
    axes = [name for name in term.strip("()").split(",") if name and name != "..."]
    return len([name for name in axes if not name.endswith("?")]) > len(shape)


def _is_exact(array: Array) -> bool:
    return all(isinstance(value, Rational) for value in array.flat)


def _rules_are_exact(op: Op, fit: Fit, arrays: list[Array], y: Array) -> bool:
    rules = [rule for rule in op.rules(len(arrays)) if rule is not None]
    try:
        slopes = [np.asarray(rule(y, y, *arrays, **fit.params), object) for rule in rules]
    except (TypeError, ValueError, AttributeError):  # as a float's method that a Fraction lacks
        return False
    return all(map(_is_exact, slopes))


def _middle(domain: Domain, shape: Shape, dtype: np.dtype[Any]) -> Array:
    middle = (domain.low + domain.high) / 2
    if domain.kind != "float":
        return np.full(shape, middle, WHOLE[domain.kind])
    return np.full(shape, exact(middle) if dtype.hasobject else middle, dtype)


# --- straight pieces -----------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def shape_of_pieces(op: Op, fit: Fit) -> str:
    """Return whether the pieces of the op are straight: in all its inputs together, or in one.

    A product is straight in one input, while the other stays. What has jumps counts as curved.
    """
    floats = [i for i in range(len(fit.shapes)) if domain_of(op, i).kind == "float"]
    if any(domain_of(op, i).kind == "bool" for i in range(len(fit.shapes))):
        return CURVED  # it jumps from one input to the other
    if _is_straight(op, fit, floats):
        return STRAIGHT
    return STRAIGHT_IN_ONE if _is_straight(op, fit, [main_input(op)]) else CURVED


@np.errstate(all="ignore")
def _is_straight(op: Op, fit: Fit, moving: list[int]) -> bool:
    """Return whether f(a + u + v) - f(a + u) - f(a + v) + f(a) is 0, f being the piece at a."""
    constant = True
    for base in BASES:
        a = _points(op, fit, *base)
        steps = [
            [s * (i in moving) for i, s in enumerate(_points(op, fit, *ends))] for ends in STEPS
        ]
        corners = [a, *([x + s for x, s in zip(a, step, strict=True)] for step in steps)]
        corners.append([x + s for x, s in zip(corners[1], steps[1], strict=True)])
        piece = _piece_at(op, fit, a)
        here, first, second, both = (np.asarray(piece(*corner)) for corner in corners)
        # Rounding takes a few units of 1e-16 of values up to some hundred; a bend is of their size.
        if not np.all(np.abs(both - first - second + here) < 1e-9):
            return False
        constant = constant and bool(np.all(first == here))
    return not constant


def _points(op: Op, fit: Fit, low: float, high: float, seed: int) -> list[Array]:
    """Return arrays of numbers between the bounds that have nothing to do with each other."""
    found = []
    for i, shape in enumerate(fit.shapes):
        if domain_of(op, i).kind == "float":
            counts = np.arange(2, 2 + np.prod(shape, dtype=int))
            fractions, _ = np.modf(np.sqrt(counts * seed * (2 * i + 3)))
            found.append((low + (high - low) * fractions).reshape(shape))
        else:
            found.append(np.zeros(shape, np.int64))
    return found


def _piece_at(op: Op, fit: Fit, arrays: list[Array]) -> Callable[..., Any]:
    if op.selection is None:
        return lambda *moved: op.kernel(*moved, **fit.params)
    selection = op.selection
    choice = selection.choose(*map(Moving, arrays), **fit.params)
    return lambda *moved: selection.piece(choice, *moved, **fit.params)
