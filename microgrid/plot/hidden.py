"""What the hidden layers of a model give, layer by layer: of modules, and of ops that it calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Op, Operand, Tensor, wrap
from ..nn import Module
from ..nn.activations import NAMED
from ..nn.summary import _layers
from ..recording import Watcher, no_grad
from ..train.batches import as_inputs
from .samples import check_module, dtype_of, twin_of

WHO = "plot.hidden"
ACTIVATIONS = {*NAMED, "prelu", "clip", "maximum", "minimum", "piecewise_linear", "maxout"}


def hidden(model: Module, x: Operand) -> list[tuple[str, Array]]:
    """Return by name what each hidden layer gives for the samples, from input to output.

    A layer is a Module with parameters of its own or without Modules inside, as in `summary()`; an
    activation that a `forward` calls as a function, `mg.relu(...)`, is one too, named after its op.
    What the model itself returns is not hidden.

    Args:
        model: a Module; a copy in evaluation mode computes.
        x: float[n, ...].

    Returns:
        Pairs of a name and float[n, ...].

    Raises:
        TypeError: the model is no Module.
        DtypeError, ShapeError: x is not numeric, or does not fit the model.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.nn.MLP([4, 8, 6, 3], rng=0)
    >>> [(name, h.shape) for name, h in mg.plot.hidden(model, np.ones((5, 4)))]
    [('0', (5, 8)), ('1', (5, 6))]
    """
    check_module(WHO, model)
    inputs = as_inputs(WHO, x, dtype_of(model))
    twin = twin_of(model)
    notes = _Notes(len(inputs))
    layers = {name for name, *_ in _layers(twin) if name}
    for name, module in list(twin.named_modules()):
        holds_others = sum(1 for _ in module.modules()) > 1
        module.__class__ = _noting(
            type(module), name, notes, name in layers, holds_others or module is twin
        )
    with no_grad(), np.errstate(all="ignore"), notes:
        result = twin(wrap(inputs))
    return [(name, np.array(t.data)) for name, t in notes.found.items() if t is not result]


class _Notes(Watcher):
    """Takes note of what layers return, and of activations that are called between layers."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.found: dict[str, Tensor] = {}
        self._running: list[tuple[str, bool]] = []

    @contextmanager
    def inside(self, name: str, listens: bool) -> Iterator[None]:
        """Know which module runs, and whether the activations that it calls itself count."""
        self._running.append((name, listens))
        try:
            yield
        finally:
            self._running.pop()

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        super().done(op, inputs, params, y)
        if op.name in ACTIVATIONS and self._running and self._running[-1][1]:
            module = self._running[-1][0]
            self.note(f"{module}.{op.name}" if module else op.name, y)

    def note(self, name: str, y: Any) -> None:
        """Keep a result with a row per sample; what is passed on unchanged keeps its first name."""
        if not isinstance(y, Tensor) or y.shape[:1] != (self.count,):
            return
        for known, t in self.found.items():
            if t is y:
                if known.startswith(f"{name}."):  # by a layer within this one
                    del self.found[known]
                    break
                return
        calls = sum(known.partition("#")[0] == name for known in self.found)
        self.found[f"{name}#{calls + 1}" if calls else name] = y


def _noting(kind: type[Any], name: str, notes: _Notes, is_layer: bool, listens: bool) -> type[Any]:
    """Return a subclass whose calls are noted."""

    def call(self: Any, *inputs: Any, **options: Any) -> Any:
        with notes.inside(name, listens):
            y = kind.__call__(self, *inputs, **options)
        if is_layer:
            notes.note(name, y)
        return y

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})
