"""From a function to the function of its slopes, whose slopes are the second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..arrays import as_array
from ..backward import gradients
from ..core import Tensor
from ..errors import ShapeError
from ..recording import no_grad
from .comparison import INTEGERS
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
        weights = [rng.choice(INTEGERS, y.shape) for y in results]
    us = _weights(listed(weights), results)

    def slopes(*args: Any) -> list[Tensor]:
        inner = Subject(func, args[: len(inputs)])
        total: Any = 0
        for y, u in zip(inner.call(), args[len(inputs) :], strict=True):
            total = total + (y * u).sum()
        return list(gradients(total, inner.leaves, create_graph=True))

    return slopes, [*subject.inputs, *us]


def _weights(given: Sequence[Any], results: Sequence[Tensor]) -> list[Tensor]:
    """Return what the results are weighted with, in their dtypes.

    Raises:
        ShapeError: there is not one for each result, of its shape.
    """
    arrays = [as_array("gradgradcheck", u) for u in given]
    shapes, needed = [u.shape for u in arrays], [y.shape for y in results]
    if shapes != needed:
        raise ShapeError(
            f"gradgradcheck: grad_outputs of shapes {_joined(shapes)} were given; the function has "
            f"results of floats of shapes {_joined(needed)}, and each needs one. Leave them out to "
            "have them drawn."
        )
    pairs = zip(arrays, results, strict=True)
    return [Tensor(np.asarray(u, y.dtype), requires_grad=True) for u, y in pairs]


def _joined(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def listed(inputs: Any) -> list[Any]:
    """Return one input or several, as of model.parameters(), as a list."""
    return list(inputs) if isinstance(inputs, (list, tuple, Iterator)) else [inputs]
