"""The net, the weights and the data that every training step of the benchmarks starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LEARNING_RATE = 0.01
CHECKED_STEPS = 5

# A call to be timed, and a function that runs a few of them and returns the last loss.
Built = tuple[Callable[[], Any], Callable[[], float]]


class Task:
    """A net with ReLU and a batch; the loss is cross-entropy for 10 outputs, else squared error."""

    def __init__(self, case: Any) -> None:
        self.sizes, self.batch = case
        rng = np.random.default_rng(0)
        pairs = list(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        self.weights = [float32(rng.normal(0, np.sqrt(2 / n), (n, m))) for n, m in pairs]
        self.biases = [np.zeros(m, np.float32) for _, m in pairs]
        self.x = float32(rng.normal(size=(self.batch, self.sizes[0])))
        self.classify = self.sizes[-1] == 10
        if self.classify:
            self.y = rng.integers(10, size=self.batch)
        else:
            self.y = float32(rng.normal(size=(self.batch, self.sizes[-1])))

    def in_turn(self) -> list[Any]:
        """Return weight, bias, weight, bias and so on."""
        return [p for pair in zip(self.weights, self.biases, strict=True) for p in pair]


def float32(x: Any) -> Any:
    """Return x in float32, row after row in memory."""
    return np.ascontiguousarray(x, dtype=np.float32)


def built(step: Callable[[], Any], read: Callable[[Any], float] = float) -> Built:
    """Return the step, and a check whose result all libraries must agree on."""

    def check() -> float:
        for _ in range(CHECKED_STEPS - 1):
            step()
        return read(step())

    return step, check
