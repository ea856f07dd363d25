"""Gradients against finite differences: an oracle that knows nothing of the rules.

Central differences: their error falls with the square of the step until rounding takes over, so the
check needs float64. A point nearer than the step to a kink is no point for them: there the exact
slopes of the pieces are what to compare with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..backward import gradients
from ..core import Tensor, assign
from ..errors import DtypeError, MicrogridError
from ..recording import no_grad

ROUNDINGS = 4  # of a loss of many terms, in units of its last place; about 1 was measured


class GradientError(MicrogridError, AssertionError):
    """A gradient is not that of its function."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Return whether the gradients of `func` agree with central differences, element for element.

    Args:
        func: takes the inputs, returns a Tensor or a sequence of them.
        inputs: Tensors; those that require a gradient are checked, and must be float64.
        eps: the step.
        atol, rtol: a slope may differ from the difference by atol + rtol * |difference|.
        raise_exception: raise on the first slope that differs, instead of returning False.

    Raises:
        GradientError: a gradient is wrong, and `raise_exception` is set.
        DtypeError: an input that requires a gradient is not float64.
        ValueError: no input requires a gradient.

    Source: the signature and the tolerances are those of torch.autograd.gradcheck.

    >>> import microgrid as mg
    >>> x = mg.tensor([0.5, -2.0], requires_grad=True)
    >>> gradcheck(mg.tanh, x)
    True
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [x for x in inputs if x.requires_grad]
    _check_inputs(checked)
    for k, shape in enumerate([result.shape for result in _results(func, inputs)]):
        for place in np.ndindex(shape):
            upstream = np.zeros(shape)
            upstream[place] = 1
            # Anew each time: taking differences writes to the inputs, which ends a graph.
            grads = gradients(_results(func, inputs)[k], checked, upstream)
            for i, (x, grad) in enumerate(zip(checked, grads, strict=True)):
                for at in np.ndindex(x.shape):

                    def element(k: int = k, place: Any = place) -> float:
                        return float(_results(func, inputs)[k].data[place])

                    difference = _central_difference(element, [x], [_unit(x, at)], eps)
                    slope = float(grad.data[at])
                    if abs(slope - difference) <= atol + rtol * abs(difference):
                        continue
                    if not raise_exception:
                        return False
                    raise GradientError(
                        f"gradcheck: the gradient of result {k} at {place} towards input {i} at "
                        f"{at} is {slope!r}; central differences with step {eps} give "
                        f"{difference!r}. Look at the rules of the ops in between, or for a kink "
                        "at this point."
                    )
    return True


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
        loss: computes the loss from the parameters as they are.
        params: float64 leaves that require a gradient. They are moved and put back.
        directions: how many to try.
        eps: the step.
        tolerance: the error that will be accepted. Rounding of the loss alone makes a larger one
            where the slope is too flat for the loss: there the error is relative to the flattest
            slope of which the differences are exact enough.
        rng: None, a seed or a generator.

    Raises:
        DtypeError: a parameter is not float64.
        ValueError: there are no parameters.

    >>> import microgrid as mg
    >>> w = mg.tensor([0.5, -2.0], requires_grad=True)
    >>> worst_gradient_error(lambda: mg.exp(w).sum(), [w], rng=0) < 1e-8
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
        raise ValueError("gradcheck: no input requires a gradient, so there is nothing to check.")
    for x in checked:
        if x.dtype != np.float64:
            raise DtypeError(
                f"gradcheck: an input of dtype {x.dtype} was given; differences need float64, as "
                "rounding hides the slope in anything less. Convert it with astype('float64')."
            )


def _results(func: Callable[..., Any], inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    results = func(*inputs)
    return [results] if isinstance(results, Tensor) else list(results)


def _unit(x: Tensor, at: tuple[int, ...]) -> Array:
    direction = np.zeros(x.shape)
    direction[at] = 1
    return direction


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
