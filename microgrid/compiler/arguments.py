"""The arguments of a call of a compiled step: arrays and Tensors, and what they are called with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from ..arrays import as_array, native
from ..core import Tensor, array_in_trace, wrap
from ..errors import TraceError
from ..nested import Structure
from ..recording import is_recording
from .guards import PLAIN
from .passes import frozen
from .trace import Tracer


class CallOf:
    """The arguments of one call: arrays and Tensors, and what is not."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.structure = Structure((args, kwargs))
        found = [leaf.value for leaf in self.structure.leaves("")]
        self.places = [_is_live(value) for value in found]
        self.leaves = [_canonical(value) for value in found if _is_live(value)]
        self.fixed = [None if _is_live(value) else value for value in found]
        self.kinds: list[type] = [type(x) for x in self.leaves]
        self.is_flat = not kwargs and all(map(_is_live, args))

    def key(self) -> Any:
        """Return what two calls share that can be the same program."""
        try:
            hash(tuple(self.fixed))
        except TypeError:
            bad = next(value for value in self.fixed if value.__hash__ is None)
            raise TraceError(
                f"compile: an argument of type {type(bad).__name__} was given; it needs arrays, "
                "Tensors, or what can be hashed. Pass its arrays."
            ) from None
        shape = _outline(self.structure)
        # Other objects may be equal and yet hold other numbers.
        fixed = tuple(
            (type(value), frozen(value) if isinstance(value, PLAIN) else id(value))
            for value in self.fixed
        )
        return shape, fixed, tuple(map(_signature, self.leaves)), is_recording.get()

    def with_stand_ins(self, tracer: Tracer) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with Tensors that the tracer knows in place of arrays."""
        live = iter(self.leaves)
        values = [
            self._stand_in(next(live), tracer) if is_live else value
            for is_live, value in zip(self.places, self.fixed, strict=True)
        ]
        args, kwargs = self.structure.filled(iter(values), keep_modules=True)
        return args, kwargs

    def _stand_in(self, given: Any, tracer: Tracer) -> Tensor:
        if isinstance(given, Tensor) and given.requires_grad:
            raise TraceError(
                "compile: an argument that requires a gradient was given. Detach it, or let the "
                "step find the Tensor outside, as it does parameters."
            )
        if isinstance(given, Tensor):
            return wrap(tracer.argument(given._data))
        return array_in_trace(tracer.argument(given))


def _is_live(value: Any) -> bool:
    return isinstance(value, (Tensor, ndarray, np.generic))


def _canonical(value: Any) -> Any:
    """Return an array of a usual kind, or the Tensor."""
    if isinstance(value, Tensor):
        return value
    if type(value).__name__ in ("matrix", "MaskedArray"):
        raise TraceError(
            f"compile: an argument of type {type(value).__name__} was given, which a trace would "
            "take for a plain array. Pass an array: numpy.asarray(x), or its filled()."
        )
    array = native(as_array("compile", value))
    plain = np.dtype(array.dtype.str)
    return array if array.dtype is plain else array.view(plain)


def _signature(x: Any) -> Any:
    array = x._data if isinstance(x, Tensor) else x
    return type(x), array.shape, array.dtype.str, array.strides


def _outline(structure: Structure) -> Any:
    if structure.parts is None:
        return "leaf"
    parts = tuple((key, _outline(part)) for key, part in structure.parts.items())
    return type(structure.tree), parts
