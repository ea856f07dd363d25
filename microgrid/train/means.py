"""Means over the samples of an epoch, as its batches come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arrays import Array
from .metrics import Metric
from .steps import values


class Means:
    """Means over samples, of which batches of different sizes bring their own means."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = metrics
        self.sums = dict.fromkeys(("loss", *metrics), 0.0)
        self.count = 0

    def add(self, loss: float, prediction: Any, y: Array) -> None:
        """Take in a batch."""
        count = len(y)
        self.count += count
        self.sums["loss"] += loss * count
        for name, metric in self.metrics.items():
            self.sums[name] += float(metric(values(prediction), y)) * count

    def results(self) -> dict[str, float]:
        """Return the means so far."""
        return {name: total / self.count for name, total in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be saved to go on in the middle of an epoch."""
        return {"count": self.count, "sums": dict(self.sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.count, self.sums = state["count"], dict(state["sums"])
