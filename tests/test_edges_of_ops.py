"""Bugs once found at the edge of an op's domain, so that they stay away."""

from __future__ import annotations

import math

import numpy as np
import pytest

import microgrid as mg


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_softmax_family_takes_an_infinity_without_dimensions(value: float) -> None:
    # NumPy returns a scalar for x - max(x) then, into which nothing can be written.
    x = mg.tensor(value, requires_grad=True)
    y = mg.logsumexp(x)
    y.backward()
    assert (y.item(), x.grad) == (value, 1.0)
    assert mg.softmax(np.array(value), axis=()) == 1.0
    assert mg.log_softmax(np.array(value), axis=()) == 0.0
