"""Targets and losses, checked: as ops, so that a compiled step checks each batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, into
from ..core import Op
from ..record import Domain

INTP = np.dtype(np.intp)

# Probabilities are written in few digits, or rounded to float16.
SUM_TOLERANCE = 1e-2


def as_indices(labels: Array, classes: int, who: str) -> Array:
    """Return labels as indices of classes, in the dtype of indices.

    Raises:
        ValueError: one is negative or not below `classes`.
    """
    values = labels if labels.dtype is INTP else labels.astype(INTP)
    # Negative numbers are huge ones when read without sign: one comparison finds both faults.
    unsigned = values.view(np.uintp)
    if values.size and unsigned.flat[unsigned.argmax()] >= classes:  # a third of max's time
        raise ValueError(
            f"{who}: labels from {labels.min()} to {labels.max()} were given for {classes} "
            f"classes; they must lie between 0 and {classes - 1}."
        )
    return values


def _write_class_indices(line: Any, out: Array, labels: Any, *, classes: int, who: str) -> bool:
    if labels.dtype is not INTP or labels.ndim != 1 or not labels.shape[0]:
        return False
    unsigned = line.local("{0}.view({1})", labels, np.uintp)
    line.text(
        "if {0}[{0}.argmax()] >= {1}: {2}({3}, {1}, {4})",
        unsigned, classes, as_indices, labels, who,
    )  # fmt: skip
    if not isinstance(labels, np.ndarray):
        line.same(labels)
    elif line.is_read:  # labels computed in the step, whose memory is used again after this call
        line(np.copyto, out, labels)
    return True


class_indices = Op(
    name="class_indices",
    doc="Indices of classes as they are, if they lie between 0 and classes - 1.",
    kernel=lambda x, out=None, *, classes, who: into(out, np.array(as_indices(x, classes, who))),
    vjps=(None,),
    domains=(Domain(0, 2, include=(0.0, 2.0), kind="int"),),
    params=lambda shape: [{"classes": 3, "who": "cross_entropy"}],
    reference=lambda x, classes, who: x,
    formula="x",
    inline=_write_class_indices,
    effect=True,
    private=True,
)


class NotFiniteHere(FloatingPointError):
    """A number is nan or infinite that must be finite; whoever asked for the check explains it."""


def _check_finite(x: Array, who: str) -> None:
    if not np.isfinite(x).all():
        raise NotFiniteHere


def _check_fractions(targets: Array, who: str) -> None:
    if targets.size and not (targets.min() >= 0 and targets.max() <= 1):  # false for nan too
        raise ValueError(
            f"{who}: targets from {targets.min()} to {targets.max()} were given; they are "
            "probabilities, from 0 to 1. Map labels of -1 and 1 to 0 and 1."
        )


def _check_signs(targets: Array, who: str) -> None:
    if not np.equal(np.abs(targets), 1).all():
        raise ValueError(
            f"{who}: targets other than -1 and 1 were given. Map labels of 0 and 1 by 2 * y - 1."
        )


def _check_distributions(labels: Array, who: str) -> None:
    with np.errstate(all="ignore"):
        total = labels.sum(axis=-1, dtype=np.float64)
        fine = labels.size == 0 or (labels.min() >= 0 and np.abs(total - 1).max() <= SUM_TOLERANCE)
    if not fine:  # nan and inf too
        raise ValueError(
            f"{who}: labels were given as probabilities that are negative, not finite, or "
            "do not sum to 1 in each row "
            f"(numbers from {labels.min():.6g} to {labels.max():.6g}, "
            f"sums from {total.min():.6g} to {total.max():.6g}). Divide each row by its sum."
        )


def _check_counts(targets: Array, who: str) -> None:
    if targets.size and not (targets.min() >= 0 and targets.max() < np.inf):  # false for nan too
        raise ValueError(
            f"{who}: targets from {targets.min()} to {targets.max()} were given; counts are finite "
            "and not negative."
        )


def _check_weights(weights: Array, who: str) -> None:
    if weights.size and not (weights.min() >= 0 and weights.max() < np.inf):
        raise ValueError(
            f"{who}: sample_weight from {weights.min()} to {weights.max()} was given; weights are "
            "finite and not negative. Give 0 to a sample that shall not count."
        )


def _check_weights_of_mean(weights: Array, who: str) -> None:
    _check_weights(weights, who)
    if weights.size and not weights.max() > 0:
        raise ValueError(
            f"{who}: a sample_weight of zeros alone was given; the mean is divided by the sum of "
            'the weights. Use reduction="sum", or leave such a batch out.'
        )


def _check_factors(weights: Array, who: str) -> None:
    if weights.size and not (weights.min() > -np.inf and weights.max() < np.inf):  # nor for nan
        raise ValueError(
            f"{who} from {weights.min()} to {weights.max()} was given; it needs finite numbers. "
            "Give 0 to what shall not count."
        )


def _check(name: str, doc: str, check: Callable[[Array, str], None], domain: Domain) -> Op:
    """Declare a check: an op that is run for the error it may raise."""

    def write(line: Any, out: Array, x: Any, *, who: str) -> bool:
        line(check, x, who)
        if line.is_read:
            line.text("{0}[...] = True", out)
        return True

    def kernel(x: Array, out: Array | None = None, *, who: str) -> Any:
        check(x, who)
        return into(out, np.array(True))

    return Op(
        name=name,
        doc=doc,
        kernel=kernel,
        vjps=(None,),
        domains=(domain,),
        signature="(...)->()",
        shapes=(((3, 1),), ((1, 1),)),
        params=lambda shape: [{"who": "check"}],
        reference=lambda x, who: np.array(True),
        formula="true",
        inline=write,
        effect=True,
        private=True,
    )


are_finite = _check(
    "are_finite", "True if all numbers are finite, else an error.", _check_finite, Domain()
)
ONE = Domain(1.0, 1.0, include=(1.0,))
are_fractions = _check(
    "are_fractions", "True if all numbers lie between 0 and 1, else an error.",
    _check_fractions, Domain(0.0, 1.0, include=(0.0, 1.0)),
)  # fmt: skip
are_signs = _check("are_signs", "True if all numbers are -1 or 1, else an error.",
                   _check_signs, ONE)  # fmt: skip
are_distributions = _check(
    "are_distributions", "True if the numbers of each row are probabilities, else an error.",
    _check_distributions, ONE,
)  # fmt: skip
are_counts = _check(
    "are_counts", "True if all numbers are finite and not negative, else an error.",
    _check_counts, Domain(0.0, 3.0, include=(0.0, 1.0)),
)  # fmt: skip
are_weights = _check(
    "are_weights", "True if all numbers may be weights of samples, else an error.",
    _check_weights, Domain(0.0, 3.0, include=(0.0, 1.0)),
)  # fmt: skip
are_weights_of_mean = _check(
    "are_weights_of_mean", "True if all numbers may be weights of samples, and one is not 0.",
    _check_weights_of_mean, Domain(0.5, 3.0, include=(1.0,)),
)  # fmt: skip
are_factors = _check(
    "are_factors", "True if all numbers may be weights of classes or elements, else an error.",
    _check_factors, Domain(include=(0.0, 1.0)),
)  # fmt: skip


def _unit_of(x: Array, out: Array | None = None) -> Any:
    if x.dtype.kind != "f" or not x.size:
        return into(out, np.ones((), x.dtype))
    most = np.finfo(x.dtype).maxexp - 1
    return into(out, np.ldexp(x.dtype.type(1), np.minimum(-np.frexp(np.abs(x).max())[1], most)))


unit_of = Op(
    name="unit_of",
    doc="The power of 2 that brings the weight furthest from 0 to between 1/2 and 1, if finite.",
    kernel=_unit_of,
    vjps=(None,),
    domains=(Domain(1.125, 1.875),),
    signature="(...)->()",
    shapes=(((3, 1),), ((1, 1),)),
    reference=lambda x: np.array(
        math.ldexp(1.0, min(-math.frexp(np.abs(x).max())[1], 1023)) if x.size else 1.0
    ),
    formula="2^k",
    private=True,
)
