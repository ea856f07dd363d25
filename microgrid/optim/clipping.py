"""Gradients kept small, between `backward` and the optimiser's `step`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any

import numpy as np

from .. import ops
from ..arrays import Array
from ..core import Tensor, wrap
from ..errors import NonFiniteError
from ..ops.arithmetic import quiet
from ..ops.checks import _check
from ..record import Domain
from ..recording import no_grad, sees_arrays, watcher
from .optimizer import as_list
from .settings import check_number


def _check_norm(norm: Array, who: str) -> None:
    if not norm.dtype.hasobject and not np.isfinite(norm).all():  # Fractions are finite
        raise NonFiniteError(
            f"{who}: the norm of the gradients is {norm}; it must be finite. Look for the first "
            "nan with mg.detect_anomaly(), or pass error_if_nonfinite=False."
        )


finite_norm = _check(
    "finite_norm", "True if the norm of gradients is finite, else an error.", _check_norm, Domain()
)


@quiet
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Any:
    """Scale all gradients by one number, so that their norm is at most max_norm; return the norm.

    The norm is that of all gradients as one vector. They are multiplied in place by
    min(1, max_norm / (norm + 1e-6)).

    Args:
        parameters: Tensors whose `grad`, float[...], is changed; those without are left out.
        max_norm: the largest norm that is left as it is.
        norm_type: the order of the norm: a number above 0, or inf for the largest magnitude.
        error_if_nonfinite: whether a norm of nan or inf is an error. Else it makes gradients nan
            or 0.

    Returns:
        The norm before, as a float. In a compiled step it is a Tensor, float[], to be returned:
        what Python would compute of it no replay would compute again.

    Raises:
        ValueError: max_norm is negative, norm_type is not above 0, or one is no number.
        TypeError: there is something else than a Tensor among the parameters.
        NonFiniteError: the norm is nan or infinite, and error_if_nonfinite is set.

    Source: Pascanu, Mikolov & Bengio (2013), with PyTorch's 1e-6.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> p = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = np.array([3.0, 4.0])
    >>> mg.optim.clip_grad_norm_([p], 1.0)
    5.0
    >>> p.grad.round(4).tolist()
    [0.6, 0.8]
    """
    who = "clip_grad_norm_"
    check_number(who, "max_norm", max_norm)
    if not isinstance(norm_type, Real) or not norm_type > 0:
        raise ValueError(
            f"{who}: norm_type={norm_type!r} was given; it must be a number above 0, or inf."
        )
    with no_grad():
        given = list(_gradients(who, parameters))
        if not given:
            return 0.0
        norms = [_norm(g, norm_type) for _, g in given if g.size]
        total = _norm(ops.stack(norms), norm_type) if norms else 0.0
        if error_if_nonfinite and norms:
            finite_norm(total, who=who)
        scale = ops.minimum(max_norm / (total + 1e-6), 1.0)
        for p, g in given:
            _set(p, ops.multiply(g, ops.astype(scale, g.dtype)))
    return total if isinstance(total, Tensor) else float(total)


@quiet
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip each number of the gradients to the range from -clip_value to clip_value, in place.

    Args:
        parameters: Tensors whose `grad`, float[...], is changed; those without are left out.
        clip_value: the largest magnitude that is left.

    Raises:
        ValueError: clip_value is negative, or no number.
        TypeError: there is something else than a Tensor among the parameters.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> p = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = np.array([0.5, -4.0])
    >>> mg.optim.clip_grad_value_([p], 1.0)
    >>> p.grad.tolist()
    [0.5, -1.0]
    """
    who = "clip_grad_value_"
    check_number(who, "clip_value", clip_value)
    with no_grad():
        for p, g in list(_gradients(who, parameters)):
            _set(p, ops.clip(g, -float(clip_value), float(clip_value)))


def _gradients(who: str, parameters: Any) -> Iterator[tuple[Tensor, Any]]:
    """Yield the parameters that have gradients, and these: in a traced step as Tensors."""
    observer = watcher() if sees_arrays() else None
    for p in [parameters] if isinstance(parameters, Tensor) else as_list(who, parameters):
        if not isinstance(p, Tensor):
            raise TypeError(
                f"{who}: a parameter of type {type(p).__name__} was given; it needs Tensors. Pass "
                "model.parameters(), not names or arrays."
            )
        if observer is None:
            if p.grad is not None:
                yield p, p.grad
        else:
            g = observer.accumulates(p)
            if g is not None:
                yield p, wrap(g)


def _set(p: Tensor, g: Any) -> None:
    """Let `.grad` be these numbers: in a traced step a new array, else in the same one."""
    if not isinstance(g, Tensor):
        np.copyto(p.grad, g)  # type: ignore[arg-type]
        return
    p.grad = g._data
    observer = watcher()
    if observer is not None:
        observer.hands_out(p)


def _norm(g: Any, order: float) -> Any:
    if g.dtype == np.float16:  # whose sums overflow at 65504
        g = ops.astype(g, np.float32)
    if order in (1, 2, math.inf):
        return ops.norm(g, ord=order)
    # Divided by the largest magnitude first, as powers over- and underflow where norms do not.
    size = ops.absolute(g)
    largest = ops.max(size)
    unit = ops.where(largest > 0, ops.where(largest < math.inf, largest, 1), 1)
    return unit * ops.power(ops.sum(ops.power(size / unit, order)), 1 / order)
