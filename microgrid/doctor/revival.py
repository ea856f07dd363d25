"""`mg.revive`: dead units get new weights, and what the network computes stays as it is.

A dead unit has gradient 0, so training never wakes it. Its incoming weights are drawn anew, and its
bias is set so that it is active on about half of the samples. Its outgoing weights become 0: what
it will now say is not heard, so that the network computes what it did. But their gradient is what
the unit says times the error behind it, which is not 0: after the first step it is heard as far as
that helps, and from the second on its incoming weights learn too. Old outgoing weights in place of
0 would add noise, as large as they happen to be, to a network that may be well trained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Operand, Tensor, assign
from ..nn import Module
from ..nn.dense import _initializer
from ..nn.init import INITIALIZERS, Initializer, Rng
from ..ops.arithmetic import quiet
from ..optim import Optimizer
from ..pieces import Pieces
from ..record import OPS
from .copies import Frames, copied, network_of, samples_of
from .scan import Activation, Linear, Scan, scanned
from .units import rows, units_of

NUDGE = 0.1
"""How far past its kink a unit is put whose samples are all the same, so that none has a middle."""

ROUNDINGS = 100
"""Samples that are this many roundings apart are the same: the sums of a layer round as often."""


def revive(
    model: Any,
    x: Operand,
    *,
    init: str | Initializer = "auto",
    rng: Rng = None,
    optimizer: Optimizer | None = None,
) -> dict[str, list[int]]:
    """Give dead units new weights, so that they can learn; return which, by the names of layers.

    Dead units are those of Dense layers (or any x @ weight + bias) with a piecewise-linear
    activation right behind, on which the slope is 0 on all samples. Their incoming weights are
    drawn anew, and each bias is set so that about half of the samples activate the unit. Outgoing
    weights become 0, and what the unit has said steadily is added to the bias behind, so that the
    results on x stay as they are; yet gradients flow again. Where a unit's result does not go to a
    linear layer alone, as past a sum or a BatchNorm1d, its outgoing weights stay and the results
    change. A layer without a bias cannot place its kinks: some of its units may stay dead.

    Args:
        model: a Module, or one that was compiled; its parameters are changed, all or, if something
            fails, none. It is looked at in evaluation mode.
        x: float[n, ...], some hundred samples.
        init: how weights are drawn: a name in `mg.nn.init`, or a function of (shape, rng, dtype).
            "auto" is what Dense takes for the activation, he_normal for relu.
        rng: None, a seed, or a generator.
        optimizer: what trains the model: what it remembers of these weights, as momentum, is set
            back to the start.

    Returns:
        {name of the layer: its units that were dead}; empty if there were none.

    Raises:
        TypeError: the model is no Module, or the optimiser no Optimizer.
        DtypeError, ShapeError: x is not numeric, or does not fit the model.
        ValueError: there are no samples, or the name of `init` is not known.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.nn.MLP([2, 4, 1], rng=0)
    >>> model[0].bias.data[2] = -100.0
    >>> x = np.random.default_rng(0).normal(size=(360, 2))
    >>> before = model(x)
    >>> mg.revive(model, x, rng=0)
    {'0': [2]}
    >>> mg.diagnose(model, x)["0"].dead, bool((model(x) == before).data.all())
    ((), True)
    """
    network = network_of("revive", model)
    _check(init, optimizer)
    inputs = samples_of("revive", x, network)
    twin, _ = copied(network, None)
    revival = _Revival(twin.eval(), init, np.random.default_rng(rng))
    revived = revival.run(inputs)
    for name, p in network.named_parameters():
        if name in revival.touched:
            assign(p, revival.parameters[name])
            if optimizer is not None:
                _forget(optimizer, p, revival.touched[name])
    return revived


def _check(init: Any, optimizer: Any) -> None:
    if isinstance(init, str) and init != "auto" and init not in INITIALIZERS:
        raise ValueError(
            f"revive: init={init!r} is not known; the names are auto, {', '.join(INITIALIZERS)}. "
            "Pass a function of (shape, rng, dtype) for another."
        )
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"revive: the optimizer given is of type {type(optimizer).__name__}; it needs an "
            "object such as SGD(model.parameters(), lr=0.1)."
        )


def _forget(optimizer: Optimizer, p: Tensor, where: Array) -> None:
    """Set what is remembered of some elements of a parameter back to the start."""
    for group in optimizer.param_groups:
        if any(q is p for q in group["params"]):
            for slot, start in optimizer.remembered(group).items():
                known = optimizer.state.get(p, {})
                if slot in known:
                    known[slot][where] = start


# --- who can be revived --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer whose results all go to activations with pieces, and nowhere else.

    Attributes:
        name: that of the weight, without ".weight".
        weight, bias: its parameters.
        calls: the activations on its results; several if the layer is called several times.
    """

    name: str
    weight: Tensor
    bias: Tensor | None
    calls: list[Activation] = field(default_factory=list)

    @property
    def pieces(self) -> Pieces:
        """The pieces of its first activation."""
        pieces: Any = self.calls[0].pieces
        return pieces  # type: ignore[no-any-return]

    def dead(self) -> Array:
        """Return the units that are dead in all calls: bool[units]."""
        dead: Array = np.all([units_of(call).dead for call in self.calls], axis=0)
        return dead


def layers_of(scan: Scan) -> list[Layer]:
    """Return the layers whose dead units can be revived, in the order of the calls."""
    found: dict[int, Layer] = {}
    for call in scan.activations:
        if call.source is not None:
            weight, bias = call.source.weight, call.source.bias
            layer = Layer(scan.layer_of(call.source), weight, bias)
            found.setdefault(id(weight), layer).calls.append(call)
    return [layer for layer in found.values() if _is_apart(scan, layer)]


def revivable_in(scan: Scan) -> Collection[Activation]:
    """Return the activations whose dead units can be revived."""
    return {call for layer in layers_of(scan) for call in layer.calls}


def _is_apart(scan: Scan, layer: Layer) -> bool:
    """Return whether nothing but its activations reads what the layer computes and holds."""
    sources = [call.source for call in layer.calls if call.source is not None]
    return (
        layer.weight.requires_grad
        and all(call.pieces is not None and any(call.pieces.slopes) for call in layer.calls)
        and len(scan.uses[id(layer.weight)]) == len(layer.calls)
        and all(len(scan.uses[id(y)]) == 1 for source in sources for y in source.results)
    )


# --- the revival ----------------------------------------------------------------------------------


class _Revival:
    """Works on a copy of a model, layer after layer, each in the light of those before it."""

    def __init__(self, twin: Module, init: str | Initializer, rng: np.random.Generator) -> None:
        self.parameters = dict(twin.named_parameters())
        self.touched: dict[str, Array] = {}
        self._names = {id(p): name for name, p in self.parameters.items()}
        self._twin, self._init, self._rng = twin, init, rng
        self._frames = Frames(twin)

    def run(self, x: Array) -> dict[str, list[int]]:
        """Revive what is dead; return the units by the names of their layers."""
        revived: dict[str, list[int]] = {}
        while True:
            scan = scanned(self._twin, self._frames, x)
            waiting = (layer for layer in layers_of(scan) if layer.name not in revived)
            layer = next((layer for layer in waiting if layer.dead().any()), None)
            if layer is None:
                return revived
            dead = np.flatnonzero(layer.dead())
            self._silence(scan, layer, dead)
            self._renew(layer, dead)
            revived[layer.name] = dead.tolist()

    @quiet
    def _renew(self, layer: Layer, dead: Array) -> None:
        """Draw incoming weights anew, and put each unit's kink in the middle of the samples."""
        weight, call = layer.weight, layer.calls[0]
        draw = _initializer(self._init, OPS.get(call.kind))
        fresh = np.asarray(draw(weight.shape, rng=self._rng, dtype=weight.dtype))[:, dead]
        source: Any = call.source
        seen = source.x._data.reshape(-1, len(fresh)) @ fresh
        knot, side = _way_out(layer.pieces)
        if layer.bias is None or not layer.bias.requires_grad:
            # A unit that no sample wakes is awake on all those of the other sign.
            fresh = np.where(np.all(side * (seen - knot) <= 0, axis=0), -fresh, fresh)
        else:
            middle = np.median(seen, axis=0)
            ahead = np.max(side * (seen - middle), axis=0)
            size = np.abs(seen).max(axis=0) + abs(knot)
            middle -= side * NUDGE * (ahead <= ROUNDINGS * np.finfo(seen.dtype).eps * size)
            self._write(layer.bias, dead, knot - middle)
        self._write(weight, (slice(None), dead), fresh)

    def _silence(self, scan: Scan, layer: Layer, dead: Array) -> None:
        """Set the outgoing weights to 0; a bias takes over what the units have said steadily."""
        readers = list(_readers(scan, layer))
        if not readers or None in readers:
            return  # somebody else listens
        steady = rows(layer.calls[0].y._data)[:, dead].mean(axis=0)
        for reader in {id(r.weight): r for r in readers if r is not None}.values():
            said = steady @ reader.weight._data[dead]
            if reader.bias is not None and said.any():
                self._write(reader.bias, slice(None), reader.bias._data + said, touch=False)
            self._write(reader.weight, dead, 0)

    def _write(self, p: Tensor, where: Any, values: Any, touch: bool = True) -> None:
        """Write to some elements of a parameter, and note that they are new ones."""
        data = p._data.copy()
        data[where] = values
        assign(p, data)
        mask = self.touched.setdefault(self._names[id(p)], np.zeros(p.shape, bool))
        mask[where] |= touch


def _readers(scan: Scan, layer: Layer) -> Iterator[Linear | None]:
    """Yield the linear layers that read what the units say, and None for anybody else."""
    heard = list(_heard(scan, layer))
    for y in heard:
        for _, place, _, result in scan.uses.get(id(y), ()):
            if any(result is other for other in heard):
                continue
            reader = _with_bias(scan, result)
            if reader is None or place != 0 or not _only_hears(scan, reader, heard):
                reader = None
            yield reader


def _heard(scan: Scan, layer: Layer) -> Iterator[Tensor]:
    """Yield the results of the units, and what is the same in another form, as flattened."""
    waiting = [call.y for call in layer.calls]
    while waiting:
        y = waiting.pop()
        yield y
        for _, _, op, result in scan.uses.get(id(y), ()):
            if op.name == "reshape" and result.shape == y.shape:
                waiting.append(result)


def _with_bias(scan: Scan, product: Tensor) -> Linear | None:
    """Return the linear layer of a product, with the bias that is added to it, if any."""
    known = scan.linear.get(id(product))
    for _, _, _, total in scan.uses.get(id(product), ()):
        after = scan.linear.get(id(total))
        if after is not None and after.results[0] is product:
            return after
    return known


def _only_hears(scan: Scan, reader: Linear, heard: list[Tensor]) -> bool:
    """Return whether the reader's weight may change, and is used on these units alone."""
    return reader.weight.requires_grad and all(
        place == 1 and any(inputs[0] is y for y in heard)
        for inputs, place, _, _ in scan.uses[id(reader.weight)]
    )


def _way_out(pieces: Pieces) -> tuple[float, int]:
    """Return the first kink between a flat piece and another, and on which side that one lies."""
    flat = [slope == 0 for slope in pieces.slopes]
    for knot, (left, right) in zip(pieces.knots, pairwise(flat), strict=True):
        if left != right:
            return float(knot), 1 if left else -1
    return (float(pieces.knots[0]) if pieces.knots else 0.0), 1
