"""What is wrong, and what to do: one sentence for each finding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..record import OPS
from .report import ActivationRow, Finding, WeightRow, counted

FADED = 1e-3
"""The gradient of the first layer over that of the last, from which on it vanishes, or explodes
the other way: with one learning rate for all, one of them learns a thousand times slower."""

USUAL_UPDATE = 1e-3
"""What a step changes of a weight in a training that goes well, by experience; source: Karpathy
(2015), the notes of CS231n."""

UNUSUAL = 100
"""How many times more, or less, is worth a word: a tenth of the weight in one step, or no visible
change in ten thousand."""

MOSTLY = 0.5
"""The share of linear units from which on a layer bends so little that it may be left out."""

ENOUGH = 100
"""On fewer samples dead units may only sleep: one that is active on 5% of all is silent on 100 by
chance once in 170 times."""


def findings_of(
    rows: Sequence[ActivationRow], weights: Sequence[WeightRow], samples: int
) -> tuple[Finding, ...]:
    """Return all that is worth a word, the worst first."""
    found = [*_not_finite(rows, weights), *_no_activation(rows), *_of_depth(rows)]
    for find in (_dead, _saturated, _linear):
        found += (finding for row in rows for finding in find(row, samples))
    if samples < ENOUGH and any(row.dead for row in rows):
        text = (
            f"A healthy unit may be silent by chance on as few as {counted(samples, 'sample')}: "
            f"pass {ENOUGH} or more before you act on dead units."
        )
        found.append(Finding("few samples", "", text))
    return (*found, *_of_updates(weights))


def _not_finite(rows: Sequence[ActivationRow], weights: Sequence[WeightRow]) -> Iterator[Finding]:
    row = next((row for row in rows if not row.finite), None)
    if row is not None:
        yield Finding(
            "not finite",
            row.name,
            f"Layer {row.name} ({row.kind}) gives nan or infinities: run the model inside "
            "mg.detect_anomaly() to see the line they come from.",
        )
        return
    weight = next((weight for weight in weights if not math.isfinite(weight.gradient)), None)
    if weight is not None:
        yield Finding(
            "not finite",
            weight.name,
            f"The gradient of {weight.name} has nan or infinities: run the backward pass inside "
            "mg.detect_anomaly() to see the line they come from.",
        )


def _no_activation(rows: Sequence[ActivationRow]) -> Iterator[Finding]:
    if not rows:
        yield Finding(
            "no activation",
            "",
            "No activation was called: unless something else bends, as Maxout does, the layers are "
            "together a linear one; put relu behind all but the last.",
        )


# --- units ---------------------------------------------------------------------------------------


def _dead(row: ActivationRow, samples: int) -> Iterator[Finding]:
    if not row.dead:
        return
    remedy = "lower the learning rate, use leaky_relu, start with he_normal"
    if row.kind in OPS and OPS[row.kind].pieces is None:  # a smooth one is so only far out
        remedy = "lower the learning rate, start with smaller weights, scale the inputs"
    revive = ", or call mg.revive(model, x)" if row.revivable else ""
    yield _finding("dead", row.dead, row, samples, f": {remedy}{revive}.")


def _saturated(row: ActivationRow, samples: int) -> Iterator[Finding]:
    if row.saturated:
        remedy = (
            f", where {row.kind} is flat: start with smaller weights, scale the inputs, put "
            "BatchNorm1d before it, or use relu."
        )
        yield _finding("saturated", row.saturated, row, samples, remedy)


def _linear(row: ActivationRow, samples: int) -> Iterator[Finding]:
    if row.linear_share > MOSTLY:
        remedy = (
            ", so that the layer hardly bends anything: centre the inputs, put BatchNorm1d before "
            "it, or leave the layer out."
        )
        yield _finding("linear", row.linear, row, samples, remedy)


def _finding(
    kind: str, units: Sequence[int], row: ActivationRow, samples: int, remedy: str
) -> Finding:
    some = f"{len(units)} of {counted(row.units, 'unit')} of layer {row.name} ({row.kind})"
    verb = "is" if len(units) == 1 else "are"
    on = "this sample" if samples == 1 else f"these {counted(samples, 'sample')}"
    return Finding(kind, row.name, f"{some} {verb} {kind} on {on}{remedy}")


# --- gradients -----------------------------------------------------------------------------------


def _of_depth(rows: Sequence[ActivationRow]) -> Iterator[Finding]:
    """Yield how the gradient changes on its way back."""
    known = [row for row in rows if row.gradient is not None and math.isfinite(row.gradient)]
    if len(known) < 2 or len(known) < len(rows):
        return
    silent = [row for row in known if not row.gradient]
    if silent:
        yield Finding(
            "cut off",
            silent[-1].name,
            f"No gradient reaches {len(silent)} of {len(known)} activations, layer "
            f"{silent[-1].name} ({silent[-1].kind}) among them: look for dead layers, detach() or "
            "an op without a slope behind it.",
        )
        return
    first, last = known[0], known[-1]
    change = (first.gradient or 0.0) / (last.gradient or 1.0)
    if FADED <= change <= 1 / FADED:
        return
    rate = change ** (1 / (len(known) - 1))
    story = (
        f"from {last.gradient:.2g} in layer {last.name} to {first.gradient:.2g} in layer "
        f"{first.name}, {rate:.2g} times a layer"
    )
    if change < FADED:
        yield Finding(
            "vanishing",
            first.name,
            f"Gradients vanish, {story}: use relu with he_normal, put BatchNorm1d between layers, "
            "or take fewer layers.",
        )
    else:
        yield Finding(
            "exploding",
            first.name,
            f"Gradients explode, {story}: start with smaller weights such as he_normal, clip with "
            "mg.optim.clip_grad_norm_, or put BatchNorm1d between layers.",
        )


def _of_updates(weights: Sequence[WeightRow]) -> Iterator[Finding]:
    """Yield which weights a step would change by unusually much or little."""
    known = [(row.update, row) for row in weights if row.update is not None]
    known = [(update, row) for update, row in known if math.isfinite(update)]
    if not known:
        return
    largest, row = max(known, key=lambda pair: pair[0])
    if largest > USUAL_UPDATE * UNUSUAL:
        yield Finding(
            "large update",
            row.name,
            f"A step changes {row.name} by {largest:.2g} of its norm, where {USUAL_UPDATE:g} is "
            "usual: lower the learning rate, or clip the gradients.",
        )
    smallest, row = min(known, key=lambda pair: pair[0])
    if smallest < USUAL_UPDATE / UNUSUAL:
        yield Finding(
            "small update",
            row.name,
            f"A step changes {row.name} by {smallest:.2g} of its norm, where {USUAL_UPDATE:g} is "
            "usual: raise the learning rate, unless the training is at its end.",
        )
