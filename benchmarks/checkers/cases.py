"""What a case is: a function to build in any library, and the point at which it is checked.

A `Fault` has a wrong gradient and must be rejected, a `Right` must be accepted. The wrong rule sits
in a `Primitive`, which every library declares in its own way (libraries.py), so that all checkers
judge the same forward and the same rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Primitive:
    """An op with rules of its own, for a library to declare.

    Attributes:
        forward: `forward(k, *inputs)`, in the functions `k` of an array library.
        rules: per input `rule(m, g, y, *inputs)`, in the functions `m` of the library that
            differentiates: the gradient of sum(g * y).
        knots, slopes, through: of a piecewise-linear function of one variable, what microgrid's
            users declare beside the rule; knots is None if nothing is declared.
        elementwise: does each element of the result depend on that element of the inputs alone?
    """

    forward: Function
    rules: tuple[Function, ...]
    knots: tuple[float, ...] | None = None
    slopes: tuple[float, ...] = ()
    through: tuple[float, float] = (0, 0)
    elementwise: bool = False


@dataclass(frozen=True, eq=False)
class Case:
    """A function with a gradient, and a point.

    Attributes:
        name: unique among all cases.
        family: the heading under which it is counted.
        build: `build(m)` returns the function, written in a library's functions `m`.
        inputs: the point: an array for each argument of the function.
        order: 2 if the second derivatives are to be checked as well.
        ties: how many of its kinks are hit exactly, where that was counted.
        without: libraries that cannot express it.
    """

    name: str
    family: str
    build: Callable[[Any], Function]
    inputs: tuple[Array, ...]
    order: int = 1
    ties: int = 0
    without: tuple[str, ...] = ()


class Fault(Case):
    """A gradient that is not that of its function, nor one of its kink's."""


class Right(Case):
    """A gradient that is right: at a kink, one that the library's convention allows."""


def op_fault(
    family: str, name: str, forward: Function, *rules: Function, at: Any, **fields: Any
) -> Fault:
    """Return a fault that is one op of one or more array inputs, checked at the point `at`."""
    order, without = fields.pop("order", 1), fields.pop("without", ())
    primitive = Primitive(forward, rules, **fields)
    points = at if isinstance(at, tuple) else (at,)
    inputs = tuple(as_point(a) for a in points)
    return Fault(name, family, lambda m: m.op(primitive), inputs, order, without=without)


def composed(kind: type[Case], family: str, name: str, f: Function, *at: Any, **more: Any) -> Any:
    """Return a case whose function is `f(m, *inputs)`."""
    inputs = tuple(as_point(a) for a in at)
    return kind(name, family, lambda m: lambda *xs: f(m, *xs), inputs, **more)


def as_point(a: Any) -> Array:
    """Return an array as it is, and numbers as float64."""
    return a if isinstance(a, np.ndarray) else np.array(a, np.float64)


def draw(*shape: int, seed: int = 0, low: float = 0.25, high: float = 2.0) -> Array:
    """Return numbers of both signs whose sizes lie between `low` and `high`."""
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, shape) * rng.choice([-1.0, 1.0], shape)


def positive(*shape: int, seed: int = 0, low: float = 0.25, high: float = 2.0) -> Array:
    """Return positive numbers between `low` and `high`."""
    return np.random.default_rng(seed).uniform(low, high, shape)
