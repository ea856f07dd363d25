"""Where a nan or an infinity came from: the first result in a graph that is not finite."""

from __future__ import annotations

from collections.abc import Iterable

from ..core import Tensor
from ..finite import first_not_finite, is_finite
from ..finite import word as word


def explain(loss: Tensor, parameters: Iterable[tuple[str, Tensor]]) -> str:
    """Return a clause that says where the first number came from that is not finite."""
    parameter = unsound_parameter(parameters)
    if parameter:
        return f"{parameter} was not finite before it"
    first = first_not_finite(loss)
    if first is None:
        return "no graph tells where it came from"
    op = first.op.name if first.op else "it"
    clause = f"the first result that was not finite is that of {op} (shape {first.shape})"
    for x in first.inputs or ():
        if not is_finite(x.data):
            return f"{clause}, of which an input (shape {x.shape}) was not finite already"
    return clause


def unsound_parameter(parameters: Iterable[tuple[str, Tensor]]) -> str:
    """Return the name and shape of the first parameter that is not finite, or ""."""
    for name, parameter in parameters:
        if not is_finite(parameter.data):
            return f"the parameter {name} (shape {parameter.shape})"
    return ""
