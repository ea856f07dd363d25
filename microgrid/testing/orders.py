"""From a function to the function of its slopes, whose slopes are the second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backward import gradients
from ..core import Tensor
from ..recording import no_grad
from .selection_check import INTEGERS
from .subject import Subject


def slopes_of(
    func: Callable[..., Any], inputs: list[Any], rng: np.random.Generator, weights: Any = None
) -> tuple[Callable[..., Any], list[Any]]:
    """Return the function that gives func's gradient, and its inputs.

    These are those of func, and what its results are weighted with: integers, if not given.
    """
    subject = Subject(func, inputs)
    with no_grad():
        results = subject.call()
    if weights is None:
        weights = [np.asarray(rng.choice(INTEGERS, y.shape), y.dtype) for y in results]
    us = [Tensor(u, requires_grad=True) for u in listed(weights)]

    def slopes(*args: Any) -> list[Tensor]:
        inner = Subject(func, args[: len(inputs)])
        total: Any = 0
        for y, u in zip(inner.call(), args[len(inputs) :], strict=True):
            total = total + (y * u).sum()
        return list(gradients(total, inner.leaves, create_graph=True))

    return slopes, [*subject.inputs, *us]


def listed(inputs: Any) -> list[Any]:
    """Return one input or several as a list."""
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
