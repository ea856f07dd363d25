"""Bugs once found at the edge of an op's domain, so that they stay away."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

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


@pytest.mark.parametrize("op", [mg.sign, lambda x: mg.prelu(x, 0.25)])
def test_slope_that_is_nan_is_a_constant(op: Callable[[Any], Any]) -> None:
    # It was taken from x, as if the slope grew with x.
    x = mg.tensor([math.nan, -2.0], requires_grad=True)
    slope = mg.gradients(op(x).sum(), x, create_graph=True)
    assert math.isnan(slope.data[0])
    assert not slope.requires_grad or (mg.gradients(slope.sum(), x).data == 0).all()


def test_what_a_kernel_cannot_compute_with_is_named():
    with pytest.raises(mg.errors.DtypeError, match=r"^add: data of dtype <U1 was given; it needs"):
        mg.add(np.array(["a"]), np.ones(1))
    with pytest.raises(
        mg.errors.DtypeError,
        match=r"^exp: an array of objects was given, and there is no exp of those; it needs",
    ):
        mg.exp(mg.tensor([Fraction(1, 2)]))


def test_assign_refuses_what_it_cannot_write():
    with pytest.raises(
        TypeError, match=r"^assign: a str was given; only a Tensor can be written to"
    ):
        mg.assign("t", 1)
    integers = mg.tensor([1, 2])
    with pytest.raises(mg.errors.DtypeError, match=r"^assign: a value of dtype float64 was given"):
        mg.assign(integers, [1.5, 2.5])
    assert integers.tolist() == [1, 2]
