"""Functions of functions: from f to its derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import as_array
from .backward import gradients
from .core import Tensor
from .errors import GraphError
from .ops import copy
from .recording import enable_grad, is_grad_enabled


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that gives what f gives, and its gradient.

    Args:
        f: returns a Tensor of one element.
        argnums: the place of the argument to differentiate by, or several places.

    Returns:
        A function of the same arguments, to (value, gradient); with several places the gradient is
        a tuple. For a Tensor argument the gradient is a Tensor, with a graph if the argument
        requires a gradient; for a number or an array it is an array.

    Raises:
        GraphError: f's result is no Tensor, or has several elements.

    >>> value_and_grad(lambda x: x**3)(2.0)
    (tensor(8.), np.float64(12.0))
    """
    return _evaluated("value_and_grad", f, argnums)


def _evaluated(
    who: str, f: Callable[..., Any], argnums: int | Sequence[int]
) -> Callable[..., tuple[Any, Any]]:
    places = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        given = [args[i] for i in places]
        higher = is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in given)
        with enable_grad():
            variables = [_variable(who, x) for x in given]
            inner = list(args)
            for i, variable in zip(places, variables, strict=True):
                inner[i] = variable
            y = f(*inner, **kwargs)
            if not isinstance(y, Tensor):
                raise GraphError(
                    f"{who}: the function returned a {type(y).__name__}, which has no graph. "
                    f"Compute it from the argument at {argnums} by microgrid's ops."
                )
            found = gradients(y, variables, create_graph=higher)
        grads = tuple(
            g if isinstance(x, Tensor) else g.data[()] for g, x in zip(found, given, strict=True)
        )
        return (y if higher else y.detach()), (grads[0] if isinstance(argnums, int) else grads)

    return evaluated


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return the function that gives f's gradient; nest it for higher orders.

    Args:
        f: returns a Tensor of one element.
        argnums: the place of the argument to differentiate by, or several places.

    Returns:
        A function of the same arguments. For a Tensor argument the gradient is a Tensor, with a
        graph if the argument requires a gradient; for a number or an array it is an array. It is 0
        if the result does not depend on the argument.

    Raises:
        GraphError: f's result is no Tensor, or has several elements.

    >>> cube = lambda x: x**3
    >>> grad(cube)(3.0), grad(grad(cube))(3.0)
    (np.float64(27.0), np.float64(18.0))
    """
    evaluated = _evaluated("grad", f, argnums)

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        return evaluated(*args, **kwargs)[1]

    return derivative


def _variable(who: str, x: Any) -> Tensor:
    """Return what f is differentiated by: a node of its own, joined to x if that has a graph."""
    if isinstance(x, Tensor) and x.requires_grad:
        return copy(x)
    array = as_array(who, x)
    return Tensor(array if array.dtype.kind in "fO" else array.astype(np.float64), None, True)
