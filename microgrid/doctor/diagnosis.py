"""`mg.diagnose`: a forward pass, and with a target a backward pass and a step, on a copy."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array
from ..backward import gradients
from ..core import Operand, Tensor, wrap
from ..explanation import _norm
from ..finite import is_finite
from ..nn import Module
from ..nn.penalties import penalty_of
from ..ops.arithmetic import quiet
from ..optim import Optimizer
from ..train.batches import as_samples
from ..train.names import Loss, named_loss, named_optimizer
from ..train.steps import check_loss
from .advice import findings_of
from .copies import Frames, copied, dtype_of, network_of, samples_of
from .report import ActivationRow, Report, WeightRow
from .revival import revivable_in
from .scan import Activation, Scan, scanned
from .units import units_of


def diagnose(
    model: Any,
    x: Operand,
    y: Operand | None = None,
    *,
    loss: str | Loss | None = None,
    optimizer: str | Optimizer | None = None,
) -> Report:
    """Return which units of each activation are dead, saturated or linear, and how gradients go.

    Activations are found wherever they are called: as layers, as the activation of a Dense, or as
    ops in a `forward`. Units are the last axis. The model runs as it is, in training or evaluation
    mode, but as a copy: parameters, running statistics, random generators and the optimiser's
    memory stay as they are.

    Args:
        model: a Module, or one that was compiled.
        x: float[n, ...], some hundred samples; they run as one batch.
        y: any[n, ...], the targets, for gradients.
        loss: a function of (prediction, target) or its name, as for `fit`; with y only.
        optimizer: an optimiser with the model's parameters, or a name as for `fit`, to see what
            one step would change; with y only.

    Returns:
        A Report: print it, read its `rows` and `findings`, or `plot()` it.

    Raises:
        TypeError: the model is no Module, or the loss or the optimiser cannot be used.
        DtypeError: x is not numeric.
        ShapeError: x and y are not of the same length, or x does not fit the model.
        ValueError: there are no samples, y, loss and optimizer do not go together, or a name is
            not known.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.nn.MLP([2, 4, 1], rng=0)
    >>> model[0].bias.data[2] = -100.0
    >>> x = np.random.default_rng(0).normal(size=(360, 2))
    >>> report = mg.diagnose(model, x)
    >>> report["0"].dead, report["0"].dead_share
    ((2,), 0.25)
    >>> print(report.advice[0])
    1 of 4 units of layer 0 (relu) is dead on these 360 samples: lower the learning rate, use \
leaky_relu, start with he_normal, or call mg.revive(model, x).
    """
    network = network_of("diagnose", model)
    _check_together(y, loss, optimizer)
    given = named_optimizer("diagnose", optimizer, network) if optimizer is not None else None
    twin, stepping = copied(network, given)
    inputs = samples_of("diagnose", x, network)
    if y is None or loss is None:
        scan = scanned(twin, Frames(twin), inputs)
        return _report(scan, len(inputs), _rows(scan), ())
    targets = as_samples("diagnose", x, y, dtype_of(network)).y
    scan = scanned(twin, Frames(twin), inputs)
    return Context().run(
        quiet(_with_gradients), scan, twin, wrap(np.asarray(targets)), len(inputs),
        named_loss("diagnose", loss), stepping,
    )  # fmt: skip


def _check_together(y: Any, loss: Any, optimizer: Any) -> None:
    """Raise unless a target comes with its loss, and an optimiser with both.

    Raises:
        ValueError: they do not.
    """
    if (y is None) != (loss is None):
        here, there = ("loss", "y") if y is None else ("y", "loss")
        raise ValueError(
            f"diagnose: {here} was given without {there}; gradients need both. Pass {there}, or "
            f"leave {here} out."
        )
    if optimizer is not None and y is None:
        raise ValueError(
            "diagnose: optimizer was given without y and loss; a step needs gradients. Pass them, "
            "or leave optimizer out."
        )


def _report(
    scan: Scan,
    samples: int,
    rows: Sequence[ActivationRow],
    weights: Sequence[WeightRow],
    loss: float | None = None,
) -> Report:
    findings = findings_of(rows, weights, samples)
    return Report(samples, tuple(rows), tuple(weights), findings, loss)


# --- activations ---------------------------------------------------------------------------------


def _rows(scan: Scan) -> list[ActivationRow]:
    revivable = revivable_in(scan)
    return [_row(scan, activation, activation in revivable) for activation in scan.activations]


@quiet
def _row(scan: Scan, activation: Activation, revivable: bool) -> ActivationRow:
    units = units_of(activation)
    values = activation.y._data.astype(np.float64)
    return ActivationRow(
        name=activation.name,
        kind=activation.kind,
        layer=scan.layer_of(activation.source),
        units=len(units.dead),
        dead=_places(units.dead),
        saturated=_places(units.saturated),
        linear=_places(units.linear),
        sparsity=(values.size - int(np.count_nonzero(values))) / max(values.size, 1),
        mean=float(values.mean()),
        std=float(values.std()),
        finite=is_finite(values),
        revivable=revivable,
    )


def _places(mask: Array) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


# --- gradients -----------------------------------------------------------------------------------


def _with_gradients(
    scan: Scan,
    twin: Module,
    targets: Tensor,
    samples: int,
    loss: Loss,
    optimizer: Optimizer | None,
) -> Report:
    """Go backward from the loss, and take the step that follows."""
    value = loss(scan.result, targets)
    check_loss("diagnose", value)
    penalty = penalty_of(twin)
    if penalty is not None:  # as `fit` does
        value = value + penalty
    results = [activation.y for activation in scan.activations]
    trained = {name: p for name, p in twin.named_parameters() if p.requires_grad}
    found = gradients(value, [*results, *trained.values()])
    norms = [_norm(g._data) for g in found[: len(results)]]
    ratios = [a / b if b else None for a, b in pairwise(norms)]
    rows = [
        replace(row, gradient=norm, ratio=ratio)
        for row, norm, ratio in zip(_rows(scan), norms, [*ratios, None], strict=False)
    ]
    for p, g in zip(trained.values(), found[len(results) :], strict=True):
        p.grad = g._data
    before = {name: p._data.copy() for name, p in trained.items()}
    if optimizer is not None:
        optimizer.step()
    weights = [
        _weight_row(name, p, before[name], optimizer is not None)
        for name, p in trained.items()
        if p.ndim > 1
    ]
    return _report(scan, samples, rows, weights, float(value.item()))


def _weight_row(name: str, p: Tensor, before: Array, stepped: bool) -> WeightRow:
    norm = _norm(before)
    update = _norm(p._data - before) / norm if stepped and norm else None
    gradient = 0.0 if p.grad is None else _norm(p.grad)
    return WeightRow(name, p.shape, norm, gradient, update)
