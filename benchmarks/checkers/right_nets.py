"""Random nets on small integers whose biases put units exactly at their kinks, and count them.

All values are dyadic, so that ties are exact: in the sums, and behind a leaky relu of slope 1/4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .cases import Array, Right

WIDTHS = (2, 4, 8, 16)
SHARES = (0.4, 0.3, 0.2, 0.1)  # most nets are small, so that all are checked soon
DOUBLE = np.arange(300)  # the seeds of the nets in float64, and of those in less
SINGLE = np.arange(300, 340)
HALF = np.arange(340, 360)

# Each activation as a function of the functions `m` of a library and the layer's sums `z`, and the
# sums at which it has a kink.
ACTIVATIONS: dict[str, tuple[Any, tuple[float, ...]]] = {
    "relu": (lambda m, z: m.relu(z), (0,)),
    "leaky_relu": (lambda m, z: m.leaky_relu(z, 0.25), (0,)),
    "absolute": (lambda m, z: m.absolute(z), (0,)),
    "clip": (lambda m, z: m.clip(z, -1.0, 2.0), (-1, 2)),
    "hardtanh": (lambda m, z: m.hardtanh(z), (-1, 1)),
    "maximum": (lambda m, z: m.maximum(z[:, ::2], z[:, 1::2]), ()),
    "minimum": (lambda m, z: m.minimum(z[:, ::2], z[:, 1::2]), ()),
    "max pool": (lambda m, z: m.max(m.reshape(z, (z.shape[0], -1, 2)), axis=-1), ()),
}
PAIRED = ("maximum", "minimum", "max pool")  # their kinks are where two sums are equal
IN_NUMPY = {
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, z / 4),
    "absolute": np.absolute,
    "clip": lambda z: np.clip(z, -1, 2),
    "hardtanh": lambda z: np.clip(z, -1, 1),
    "maximum": lambda z: np.maximum(z[:, ::2], z[:, 1::2]),
    "minimum": lambda z: np.minimum(z[:, ::2], z[:, 1::2]),
    "max pool": lambda z: np.maximum(z[:, ::2], z[:, 1::2]),
}  # to place the ties


class Net:
    """A net drawn from a seed: its layers, its point, and how many kinks the point hits."""

    def __init__(self, seed: int, dtype: Any) -> None:
        rng = np.random.default_rng(seed)
        small = dtype == np.float16  # whose largest number is 65504
        shares = (0.5, 0.5, 0.0, 0.0) if small else SHARES
        depth = int(rng.integers(1, 3 if small else 5))
        self.kinds = [str(kind) for kind in rng.choice(list(ACTIVATIONS), depth)]
        size = rng.integers(1, 4), rng.choice(WIDTHS, p=shares)
        self.x = rng.integers(-2, 3, size).astype(dtype)
        self.parameters: list[Array] = []
        self.ties = 0
        h = self.x.astype(np.float64)
        for kind in self.kinds:
            width = int(rng.choice(WIDTHS, p=shares))
            weight = rng.integers(-2, 3, (h.shape[1], width)).astype(np.float64)
            z = h @ weight
            bias = self._bias(kind, z[rng.integers(len(z))], rng)
            self.parameters += [weight.astype(dtype), bias.astype(dtype)]
            self.ties += _count_ties(kind, z + bias)
            h = IN_NUMPY[kind](z + bias)
        self.parameters.append(rng.integers(-2, 3, (h.shape[1], rng.integers(1, 4))).astype(dtype))

    def _bias(self, kind: str, z: Array, rng: np.random.Generator) -> Array:
        """Return small integers, but for some units what takes their sums z to a kink."""
        bias = rng.integers(-2, 3, z.shape).astype(np.float64)
        tied = rng.random(z.shape) < 0.5
        tied[-1] = True
        if kind in PAIRED:
            level = z[::2] + bias[::2] - z[1::2]
            bias[1::2] = np.where(tied[1::2], level, bias[1::2])
            return bias
        kinks = rng.choice(ACTIVATIONS[kind][1], z.shape)
        return np.where(tied, kinks - z, bias)

    def function(self, m: Any, x: Any, *parameters: Any) -> Any:
        """Return the net's results, in a library's functions; the last layer has no kink."""
        if not parameters:
            parameters = tuple(m.array(p, x) for p in self.parameters)
        h = x
        for i, kind in enumerate(self.kinds):
            h = ACTIVATIONS[kind][0](m, h @ parameters[2 * i] + parameters[2 * i + 1])
        return h @ parameters[-1]


def _count_ties(kind: str, z: Array) -> int:
    if kind in PAIRED:
        return int(np.sum(z[:, ::2] == z[:, 1::2]))
    return int(np.sum(np.isin(z, ACTIVATIONS[kind][1])))


def net_case(seed: int, dtype: Any) -> Right:
    """Return a net as a case: of even seeds the input is checked, of odd ones the weights too."""
    net = Net(seed, dtype)
    inputs = (net.x, *net.parameters) if seed % 2 else (net.x,)
    name = f"net {seed}, {np.dtype(dtype)}: {' '.join(net.kinds)}"
    return Right(name, "net", lambda m: lambda *xs: net.function(m, *xs), inputs, ties=net.ties)


RIGHT = [
    *(net_case(int(seed), np.float64) for seed in DOUBLE),
    *(net_case(int(seed), np.float32) for seed in SINGLE),
    *(net_case(int(seed), np.float16) for seed in HALF),
]
