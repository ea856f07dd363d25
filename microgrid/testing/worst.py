"""The error of a loss's gradient as one number, against central differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..arrays import Array
from ..backward import gradients
from ..core import Tensor, assign
from ..errors import DtypeError
from ..recording import no_grad

ROUNDINGS = 4  # of a loss of many terms, in units of its last place; about 1 was measured


def worst_gradient_error(
    loss: Callable[[], Tensor],
    params: Iterable[Tensor],
    *,
    directions: int = 10,
    eps: float = 1e-6,
    tolerance: float = math.inf,
    rng: np.random.Generator | int | None = None,
) -> float:
    """Return the worst error of a loss's gradient along random directions, relative to the slope.

    Each direction moves every element of every parameter by +1 or -1 times the step, so that no
    element's error is diluted by the number of the others.

    Args:
        loss: computes the loss, float[] in float64, from the parameters as they are.
        params: float[...] in float64, leaves that require a gradient. They are moved and put back.
        directions: how many to try.
        eps: the step.
        tolerance: the error that will be accepted. Rounding of the loss alone makes a larger one
            where the slope is too flat for the loss: there the error is relative to the flattest
            slope of which the differences are exact enough.
        rng: None, a seed or a generator.

    Returns:
        float: |slope - difference| / the larger of the two.

    Raises:
        DtypeError: a parameter is not float64.
        GraphError: the loss is not one number, or a parameter is no leaf or requires no gradient.
        ValueError: there are no parameters.

    >>> import microgrid as mg
    >>> w = mg.tensor([0.5, -2.0], requires_grad=True)
    >>> mg.testing.worst_gradient_error(lambda: mg.exp(w).sum(), [w], rng=0) < 1e-8
    True
    """
    params = list(params)
    _check_inputs(params)
    rng = np.random.default_rng(rng)
    value = loss()
    grads = [g.data for g in gradients(value, params)]
    rounding = ROUNDINGS * np.finfo(np.float64).eps * abs(value.item()) / eps
    flattest = max(rounding / tolerance, np.finfo(np.float64).tiny)
    worst = 0.0
    for _ in range(directions):
        signs = [rng.choice([-1.0, 1.0], p.shape) for p in params]
        slope = sum(float(np.sum(g * s)) for g, s in zip(grads, signs, strict=True))
        difference = _central_difference(lambda: loss().item(), params, signs, eps)
        scale = max(abs(slope), abs(difference), flattest)
        worst = max(worst, abs(slope - difference) / scale)
    return worst


def _check_inputs(checked: Sequence[Tensor]) -> None:
    if not checked:
        raise ValueError(
            "worst_gradient_error: no parameter requires a gradient, so there is nothing to check."
        )
    for x in checked:
        if x.dtype != np.float64:
            raise DtypeError(
                f"worst_gradient_error: a parameter of dtype {x.dtype} was given; differences need "
                "float64, as rounding hides the slope in less. Convert it with astype('float64')."
            )


def _central_difference(
    value: Callable[[], float], params: Sequence[Tensor], directions: Sequence[Array], eps: float
) -> float:
    before = [p.numpy() for p in params]
    sides = []
    try:
        for step in (eps, -eps):
            for p, start, direction in zip(params, before, directions, strict=True):
                assign(p, start + step * direction)
            with no_grad():
                sides.append(value())
    finally:
        for p, start in zip(params, before, strict=True):
            assign(p, start)
    return (sides[0] - sides[1]) / (2 * eps)
