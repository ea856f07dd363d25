"""One forward pass, watched: which activations it calls, and which weights lead to them.

Activations are known by what their ops are, not by the classes of layers: what is called on
something computed from x, element by element, and bends. So it does not matter where the call
stands.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..backward import gradients
from ..core import Op, Tensor, wrap
from ..nn import Module
from ..nn.activations import NAMED
from ..ops import gelu
from ..ops.arithmetic import quiet
from ..pieces import Pieces, places, slopes_along
from ..record import BUILTIN
from ..recording import Watcher
from .copies import Frames


@dataclass(frozen=True, eq=False)
class Linear:
    """What x @ weight + bias gave, in one op or in two.

    Attributes:
        x: what was multiplied.
        weight, bias: parameters of the model; bias may be None.
        results: the product, and the sum if that is another Tensor.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    results: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Activation:
    """One call of an activation.

    Attributes:
        name: of the layer that called it, or of the one whose result it was called on.
        kind: the name of the op.
        x, y: what it was called on, and what it gave.
        function: the activation of another x.
        pieces: of a piecewise-linear op of one variable.
        straight: whether it is made of straight pieces.
        steepest: the largest slope of the op where it is tested, at most 1.
        source: what x is, if it is the result of a linear layer.
    """

    name: str
    kind: str
    x: Tensor
    y: Tensor
    function: Callable[[Tensor], Any]
    pieces: Pieces | None
    straight: bool
    steepest: float
    source: Linear | None

    def slopes(self) -> Array:
        """Return the slope at each element of x: by its pieces, or by the op's rule."""
        if self.pieces is not None:
            return slopes_along(places(self.x._data, self.pieces), self.x._data, self.pieces)
        return _slopes(self.function, self.x._data)


class Scan(Watcher):
    """Notes the activations of a forward pass of a model on x, and where all results go.

    Args:
        model: a copy; `names` are those of its parameters.
        frames: which layers are being called.
        x: the samples. Must require a gradient, so that all computed from them does.

    Attributes:
        activations: in the order of the calls.
        linear: by the id of a result, how a linear layer gave it.
        uses: by the id of a Tensor, the calls that read it: (inputs, the place in them, op, y).
        result: what the model returned.
    """

    def __init__(self, model: Module, frames: Frames, x: Tensor) -> None:
        super().__init__()
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.activations: list[Activation] = []
        self.linear: dict[int, Linear] = {}
        self.uses: dict[int, list[tuple[tuple[Tensor, ...], int, Op, Tensor]]] = {}
        self._frames = frames
        self._moved = {id(x)}  # by id, which stays as long as `uses` holds the Tensor
        self._called: set[str] = set()
        with self:
            self.result = model(x)

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        """Take note of the call."""
        super().done(op, inputs, params, y)
        for place, x in enumerate(inputs):
            self.uses.setdefault(id(x), []).append((inputs, place, op, y))
        reached = range(len(inputs)) if op.arity is None else op.varying
        moved = [i for i in reached if id(inputs[i]) in self._moved]
        if not moved or not y.requires_grad:  # under no_grad() it is a constant
            return
        self._moved.add(id(y))
        self._note_linear(op, inputs, y)
        if op.name == "chain" and self._is_gate(inputs):
            self._note_gelu(inputs[0], y)
        elif len(moved) == 1:
            self._note_activation(op, inputs, moved[0], params, y)

    # --- linear layers ---------------------------------------------------------------------------

    def _note_linear(self, op: Op, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        if op.name in ("matmul", "affine") and self._is_parameter(inputs[1], 2):
            bias = inputs[2] if op.name == "affine" else None
            self.linear[id(y)] = Linear(inputs[0], inputs[1], bias, (y,))
        elif op.name == "add":
            for product, bias in (inputs, inputs[::-1]):
                known = self.linear.get(id(product))
                if known is not None and known.bias is None and self._is_parameter(bias, 1):
                    self.linear[id(y)] = Linear(known.x, known.weight, bias, (product, y))

    def _is_parameter(self, x: Tensor, ndim: int) -> bool:
        return id(x) in self.names and x.ndim == ndim

    def layer_of(self, source: Linear | None) -> str:
        """Return the name of a linear layer, by that of its weight; "" for none."""
        if source is None:
            return ""
        return self.names[id(source.weight)].removesuffix(".weight")

    # --- activations -----------------------------------------------------------------------------

    def _note_activation(
        self, op: Op, inputs: tuple[Tensor, ...], i: int, params: dict[str, Any], y: Tensor
    ) -> None:
        x, source = inputs[i], self.linear.get(id(inputs[i]))
        if not _may_bend(op) or not y.ndim or x.shape != y.shape:
            return
        plain = op.name in BUILTIN and op.name not in NAMED
        if plain and op.pieces is None and op.arity == 1 and source is None:
            return  # arithmetic, unless it takes the place of an activation
        if op.arity == 1 and not _bends(op, params):
            return
        self.activations.append(
            Activation(
                name=self._name(op.name, source),
                kind=op.name,
                x=x,
                y=y,
                function=lambda moved: op(*inputs[:i], moved, *inputs[i + 1 :], **params),
                pieces=None if op.pieces is None else op.pieces(**params),
                straight=op.pieces is not None or op.arity != 1,
                steepest=_steepest(op, params),
                source=source,
            )
        )

    def _is_gate(self, inputs: tuple[Tensor, ...]) -> bool:
        return bool(self.activations) and self.activations[-1].y is inputs[1]

    def _note_gelu(self, x: Tensor, y: Tensor) -> None:
        """Put gelu in the place of the sigmoid of which its approximation is made."""
        gate = self.activations.pop()
        self._called.discard(gate.name)
        source = self.linear.get(id(x))
        function = functools.partial(gelu, approximate="tanh")
        name = self._name("gelu", source)
        self.activations.append(
            Activation(name, "gelu", x, y, function, None, False, 1.0, source)
        )  # fmt: skip

    def _name(self, kind: str, source: Linear | None) -> str:
        """Return what to call an activation; a second call has "#2" behind it."""
        path, layer = self._frames.path, self.layer_of(source)
        own = not path or layer == path or layer.startswith(f"{path}.")
        if layer and (own or not self._frames.in_a_layer):
            name = layer
        elif path and self._frames.in_a_layer:
            name = path
        else:
            name = f"{path}.{kind}" if path else kind
        count = 1
        while (whole := name if count == 1 else f"{name}#{count}") in self._called:
            count += 1
        self._called.add(whole)
        return whole


def scanned(model: Module, frames: Frames, x: Array) -> Scan:
    """Return the scan of a forward pass.

    In an empty context: what is sick is to be shown here, whoever watches, and gradients are
    recorded whoever said no.
    """
    samples = wrap(x)
    samples.requires_grad = True
    return Context().run(quiet(Scan), model, frames, samples)


def _may_bend(op: Op) -> bool:
    """Return whether an op applies one function to each element of the one operand from x."""
    elementwise = not set(op.signature) - set("(),->") and op.has_gradient and not op.private
    # Of several operands the choice among pieces must be made by them: that of where() is not.
    return elementwise and (op.arity == 1 or (op.selection is not None and not op.constants))


def _bends(op: Op, params: dict[str, Any]) -> bool:
    """Return whether the slope differs from place to place, or is 0 everywhere as that of sign."""
    if op.pieces is not None:
        slopes = set(op.pieces(**params).slopes)
        return len(slopes) > 1 or slopes == {0}
    found = _slopes_where_tested(op, params)
    return bool(np.ptp(found) > 0 or not found.any())


def _steepest(op: Op, params: dict[str, Any]) -> float:
    if op.pieces is not None:
        return min(1.0, max(abs(float(slope)) for slope in op.pieces(**params).slopes))
    if op.arity != 1:
        return 1.0
    return min(1.0, float(np.abs(_slopes_where_tested(op, params)).max()))


def _slopes_where_tested(op: Op, params: dict[str, Any]) -> Array:
    domain = op.domains[0]
    points = np.array([*np.linspace(domain.low, domain.high, 31), *domain.include])
    return _slopes(lambda x: op(x, **params), points)


@quiet
def _slopes(function: Callable[[Tensor], Any], x: Array) -> Array:
    """Return the derivative of a function of each element."""
    leaf = wrap(x)
    leaf.requires_grad = True
    y = function(leaf)
    return gradients(y, leaf, np.ones_like(x))._data  # type: ignore[no-any-return]
