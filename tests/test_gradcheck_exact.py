"""Piecewise-linear nets of Fractions: gradients and differences are equal, with ==, ties included.

The oracle is plain Python: each unit is a straight line through its value, with the slope of least
norm between the slopes on its two sides, which are taken from values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

import microgrid as mg
from microgrid.testing import gradcheck, report

TINY = Fraction(1, 10**30)  # no kink lies closer: all data are small fractions
NETS, AT_ONCE = 400, 20


class Activation(NamedTuple):
    of_tensor: Callable[[Any], Any]
    of_number: Callable[[Fraction], Fraction]


QUARTER, HALF = Fraction(1, 4), Fraction(1, 2)
ACTIVATIONS = (
    Activation(mg.relu, lambda z: max(z, 0)),
    Activation(mg.absolute, abs),
    Activation(lambda z: mg.leaky_relu(z, QUARTER), lambda z: z if z > 0 else z / 4),
    Activation(lambda z: mg.clip(z, -1, 1), lambda z: min(max(z, -1), 1)),
    Activation(lambda z: mg.maximum(z, 1), lambda z: max(z, 1)),
    Activation(
        lambda z: mg.softshrink(z, HALF),
        lambda z: z - HALF if z > HALF else z + HALF if z < -HALF else Fraction(0),
    ),
)


class Net(NamedTuple):
    """Layers of (weights, biases, activation), then the largest of the units, or their sum."""

    layers: list[tuple[list[list[Fraction]], list[Fraction], Activation]]
    largest: bool

    def __call__(self, x: Any) -> Any:
        for weight, bias, activation in self.layers:
            x = activation.of_tensor(x @ array(weight) + array(bias))
        return mg.max(x) if self.largest else mg.sum(x)


def array(numbers: Any) -> np.ndarray:
    return np.array(numbers, dtype=object)


def drawn(rng: np.random.Generator) -> tuple[Net, list[Fraction]]:
    """Return a net and an input of it, of numbers so small that many units are at their kinks."""
    numbers = lambda *shape: (array(rng.integers(-2, 3, shape)) * HALF).tolist()  # noqa: E731
    widths = rng.integers(1, 5, rng.integers(2, 5)).tolist()
    layers = [
        (numbers(n, m), numbers(m), ACTIVATIONS[rng.integers(len(ACTIVATIONS))])
        for n, m in pairwise(widths)
    ]
    return Net(layers, bool(rng.integers(2))), numbers(widths[0])


def least_norm(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(0) if a * b <= 0 else min(a, b, key=abs)


def frozen(net: Net, x: Sequence[Fraction]) -> tuple[Callable[[Sequence[Fraction]], Fraction], int]:
    """Return the net with its choices at x held fast, and how many of them were ties."""
    held, ties = [], 0
    for weight, bias, (_, f) in net.layers:
        before = summed(weight, bias, x)
        sides = [((f(z) - f(z - TINY)) / TINY, (f(z + TINY) - f(z)) / TINY) for z in before]
        ties += sum(left != right for left, right in sides)
        x = [f(z) for z in before]
        held.append((weight, bias, before, [least_norm(*pair) for pair in sides], x))
    first = [y == max(x) for y in x] if net.largest else [True] * len(x)
    shares = [Fraction(one, sum(first) if net.largest else 1) for one in first]
    ties += net.largest and sum(first) > 1

    def straight(x: Sequence[Fraction]) -> Fraction:
        for weight, bias, before, slopes, after in held:
            moved = zip(after, slopes, summed(weight, bias, x), before, strict=True)
            x = [y + slope * (there - here) for y, slope, there, here in moved]
        return sum((share * y for share, y in zip(shares, x, strict=True)), Fraction(0))

    return straight, ties


def summed(weight: Any, bias: Any, x: Sequence[Fraction]) -> list[Fraction]:
    return [
        b + sum((x[i] * row[j] for i, row in enumerate(weight)), Fraction(0))
        for j, b in enumerate(bias)
    ]


def nets(block: int) -> list[tuple[Net, list[Fraction]]]:
    """Return nets with inputs at which each has a unit at its kink, or a tie."""
    rng, found = np.random.default_rng(block), list[tuple[Net, list[Fraction]]]()
    while len(found) < AT_ONCE:
        net, x = drawn(rng)
        if frozen(net, x)[1]:
            found.append((net, x))
    return found


def moved(x: Sequence[Fraction], i: int, by: Fraction) -> list[Fraction]:
    return [value + by * (i == k) for k, value in enumerate(x)]


blocks = pytest.mark.parametrize("block", range(NETS // AT_ONCE))


@blocks
def test_backward_is_the_difference_of_the_frozen_net(block):
    for net, x in nets(block):
        point = mg.tensor(array(x), requires_grad=True)
        (g,) = mg.gradients(net(point), [point])
        straight, _ = frozen(net, x)
        assert straight(x) == net(point).item()
        step = Fraction(7, 3)  # of a straight line any will do
        assert g.data.tolist() == [
            (straight(moved(x, i, step)) - straight(moved(x, i, -step))) / (2 * step)
            for i in range(len(x))
        ]


@blocks
def test_the_check_accepts_it_with_no_tolerance_at_all(block):
    for net, x in nets(block):
        found = report(net, mg.tensor(array(x), requires_grad=True), kinks="ignore")
        assert found.mode == "selection check of order 1, exact"
        assert found.ok
        assert found.worst == 0


@blocks
def test_the_check_rejects_it_if_it_is_off_by_the_least(block):
    off = mg.Op(
        name="off", doc="x.", kernel=lambda x, out=None: np.positive(x, out=out),
        vjps=(lambda g, y, x: g + TINY,), pieces=lambda: mg.Pieces((), (1,)),
        domains=(mg.Domain(),),
    )  # fmt: skip
    try:
        for net, x in nets(block)[:5]:
            point = mg.tensor(array(x), requires_grad=True)
            slopes = mg.gradients(net(point), [point])[0].data
            passes = gradcheck(lambda x, net=net: off(net(x)), point, raise_exception=False)
            assert passes == (not any(slopes))  # where all are 0, so is the fault
    finally:
        del mg.OPS["off"]
