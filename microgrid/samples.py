"""What gradients of each sample ask of a model and a batch, before they are computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .core import Op, Tensor
from .errors import ShapeError
from .recording import Watcher


class Detached(Watcher):
    """Notes what is computed from parameters and is in no graph: by `detach` or under `no_grad`.

    Args:
        parameters: Tensors.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()
        # Tensors by their ids; they are held, so that no other gets the id.
        self._found = {id(p): p for p in parameters}
        self._drawn: dict[int, Tensor] = {}

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        """Take note of the result."""
        super().done(op, inputs, params, y)
        if "rng" in params or any(id(x) in self._drawn for x in inputs):
            self._drawn[id(y)] = y
        elif y.op is None and any(x.requires_grad or id(x) in self._found for x in inputs):
            self._found[id(y)] = y

    def has(self, x: Tensor) -> bool:
        """Return whether x is such a result, and no random numbers were drawn for it."""
        return id(x) in self._found


def is_alone(x: Tensor, one: Tensor, axis: int | None) -> bool:
    """Return whether x has, for the first sample of a batch, the values of a run on it alone.

    Args:
        x: of the run on the batch.
        one: of the run on the first sample.
        axis: along which the samples lie; None if each uses the same.
    """
    rows = x._data if axis is None else np.take(x._data, range(one.shape[axis]), axis)
    if rows.dtype.kind != "f":
        return bool((rows == one._data).all())
    # Sums of a batch and of one sample differ by roundoff; samples that mix, by what they are.
    finite = np.abs(one._data[np.isfinite(one._data)])
    close = np.sqrt(np.finfo(rows.dtype).eps) * finite.max(initial=0)
    return bool(np.isclose(rows, one._data, rtol=0, atol=close, equal_nan=True).all())


def trained(who: str, model: Any) -> dict[str, Tensor]:
    """Return the parameters of a model that require a gradient, by name.

    Raises:
        TypeError: it is no Module.
    """
    if not callable(getattr(model, "named_parameters", None)):
        raise TypeError(
            f"{who}: a model of type {type(model).__name__} was given; it needs a Module, whose "
            "parameters are found by name. Make a subclass of mg.nn.Module of it."
        )
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def common_length(who: str, rows: Sequence[Any]) -> int:
    """Return how many samples there are.

    Raises:
        ShapeError: an array has none, or another number of them.
    """
    if not rows:
        raise ShapeError(f"{who}: no arrays were given; it needs one with a row for each sample.")
    shapes = [tuple(x.shape) for x in rows]
    lengths = {shape[0] if shape else None for shape in shapes}
    if len(lengths) > 1 or None in lengths:
        raise ShapeError(
            f"{who}: arrays of shapes {', '.join(map(str, shapes))} were given; each needs a row "
            "for each sample."
        )
    return int(shapes[0][0])
