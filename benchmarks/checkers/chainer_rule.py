"""Chainer's gradient check, after its documentation, on the gradients of another library.

Chainer itself is no longer maintained and does not run on NumPy 2. Its `check_backward` compares
along one random direction of norm 1 the gradient with a central difference; asked to
(`detect_nondifferentiable`), it evaluates at five points in place of two, fits a parabola, and
refuses to judge if that misses them by too much. The defaults here are its own.

Source: chainer.gradient_check.numerical_grad and check_backward, documentation of version 7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .cases import Array

EPS, ATOL, RTOL = 1e-3, 1e-5, 1e-4
FIT_RTOL = 1e-2  # of the misfit, relative to the range of the five values
STEPS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])

Values = Callable[[Sequence[Array]], Array]
Vjp = Callable[[Sequence[Array], Array], Sequence[Array]]


class NotDifferentiableError(Exception):
    """The detector takes the point for a kink."""


def check_backward(f: Values, vjp: Vjp, inputs: Sequence[Array], rng: np.random.Generator) -> bool:
    """Return whether one directional derivative agrees.

    Args:
        f: the value at some inputs, float64.
        vjp: the gradients of sum(g * f), at the inputs.
        inputs: the point.
        rng: draws the direction and g.

    Raises:
        NotDifferentiableError: the values along the direction are no parabola.
    """
    wide = [x.astype(np.float64) for x in inputs]
    y = f(wide)
    g = rng.standard_normal(y.shape)
    directions = [rng.standard_normal(x.shape) for x in wide]
    length = np.sqrt(sum(np.sum(d * d) for d in directions))
    if length == 0:  # no elements
        return True
    directions = [d / length for d in directions]
    along = [
        f([x + EPS * step * d for x, d in zip(wide, directions, strict=True)]) for step in STEPS
    ]
    values = np.stack(along).reshape(len(STEPS), -1)
    if _misses_a_parabola(values):
        raise NotDifferentiableError
    # From five points: exact up to the fourth power of the step.
    numerical = (values[0] - 8 * values[1] + 8 * values[3] - values[4]) / (6 * EPS)
    expected = float(numerical @ g.reshape(-1))
    found = sum(float(np.sum(gx * d)) for gx, d in zip(vjp(inputs, g), directions, strict=True))
    return bool(abs(found - expected) <= ATOL + RTOL * abs(expected))


def _misses_a_parabola(values: Array) -> bool:
    """Return whether for any element the best parabola through the five values misses them."""
    span = values.max(axis=0) - values.min(axis=0)
    basis = np.stack([STEPS**0, STEPS, STEPS**2], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    misfit = np.sqrt(np.mean((values - fitted) ** 2, axis=0))
    rounding = 1e-14 * np.abs(values).max(axis=0)  # a constant has no range to compare with
    return bool(np.any(misfit > FIT_RTOL * span + rounding))
