"""What is examined: a copy of the model, whose layers tell when they are called."""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from typing import Any

import numpy as np

from ..arrays import Array
from ..compiler import Compiled
from ..nn import Lambda, Module, Sequential
from ..nn.module import _members
from ..optim import Optimizer
from ..train.batches import as_inputs


def network_of(who: str, model: Any) -> Module:
    """Return the model itself, if it was compiled what was compiled.

    Raises:
        TypeError: it is no Module.
    """
    network = getattr(model.function, "model", None) if isinstance(model, Compiled) else model
    if not isinstance(network, Module):
        raise TypeError(
            f"{who}: the model given is of type {type(model).__name__}; it needs a Module. "
            "Subclass mg.nn.Module, or use Sequential."
        )
    return network


def dtype_of(network: Module) -> np.dtype[Any]:
    """Return the dtype to which inputs are cast, as in `fit`."""
    return next((p.dtype for p in network.parameters()), np.dtype(np.float32))


def samples_of(who: str, x: Any, network: Module) -> Array:
    """Return x as an array of samples in the dtype of the network.

    Raises:
        ShapeError: x is a single number.
        ValueError: there are no samples.
    """
    dtype = dtype_of(network)
    inputs = np.asarray(as_inputs(who, x, dtype), dtype)  # one in a file is read now
    if not len(inputs):
        raise ValueError(f"{who}: x has shape {inputs.shape}: there are no samples.")
    return inputs


def copied(network: Module, optimizer: Optimizer | None) -> tuple[Module, Optimizer | None]:
    """Return copies of both, the optimiser's holding the parameters of the model's."""
    memo: dict[int, Any] = {}  # shared, so that a parameter has one copy
    return deepcopy(network, memo), deepcopy(optimizer, memo)


class Frames:
    """Which layers of a model are being called, the outermost first.

    The classes of its modules are replaced by subclasses that enter and leave: give it a copy.
    """

    def __init__(self, model: Module) -> None:
        self._names = {id(module): name for name, module in model.named_modules()}
        self._stack: list[Module] = []
        for module in list(model.modules()):
            if isinstance(module, Sequential):  # so that a function among layers has a name too
                module.layers = [
                    layer if isinstance(layer, Module) else Lambda(layer) for layer in module.layers
                ]
        kinds: dict[type[Module], type[Module]] = {}
        for module in list(model.modules()):
            kind = type(module)
            if kind not in kinds:
                kinds[kind] = _entering(kind, self._stack)
            module.__class__ = kinds[kind]

    @property
    def path(self) -> str:
        """The name of the innermost layer, by the way that the calls took to it."""
        path = ""
        for outer, inner in zip(self._stack, self._stack[1:], strict=False):
            held = chain(_members(outer._attributes()), outer.named_modules())  # its own first
            step = next((name for name, module in held if module is inner), None)
            # A layer may call one that it does not hold.
            path = self._names.get(id(inner), path) if step is None else _joined(path, step)
        return path

    @property
    def in_a_layer(self) -> bool:
        """Whether the innermost holds no other, so that its name says all."""
        return bool(self._stack) and sum(1 for _ in self._stack[-1].modules()) == 1


def _joined(path: str, step: str) -> str:
    return f"{path}.{step}" if path else step


def _entering(kind: type[Any], stack: list[Module]) -> type[Any]:
    """Return a subclass whose objects are on the stack while they are called."""

    def call(self: Any, *inputs: Any, **options: Any) -> Any:
        stack.append(self)
        try:
            return kind.__call__(self, *inputs, **options)
        finally:
            stack.pop()

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})
