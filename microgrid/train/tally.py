"""The loss and the metrics of an epoch, as its batches come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arrays import Array
from ..metrics import Metric
from ..metrics.metric import as_number
from .steps import values


class Tally:
    """The loss and the metrics of the batches so far: what an epoch or an evaluation comes to.

    Args:
        metrics: by name; they are started.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics
        self._loss, self._count = 0.0, 0
        for metric in metrics.values():
            metric.start()

    def add(
        self, loss: float, prediction: Any, target: Array, sample_weight: Array | None = None
    ) -> None:
        """Take in a batch: its mean loss, and what it is made of."""
        self._loss += loss * len(target)
        self._count += len(target)
        arrays = values(prediction) if self._metrics else None
        for metric in self._metrics.values():
            metric.add(arrays, target, sample_weight)

    def results(self) -> dict[str, float]:
        """Return the mean loss over the samples, and the metrics of all of them."""
        return self._results(self._metrics)

    def so_far(self) -> dict[str, float]:
        """Return those of the results that are cheap to know while batches come in."""
        return self._results({name: m for name, m in self._metrics.items() if m.running})

    def _results(self, metrics: Mapping[str, Metric]) -> dict[str, float]:
        measured = {name: as_number(name, metric.result()) for name, metric in metrics.items()}
        return {"loss": self._loss / self._count, **measured}

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be saved to go on in the middle of an epoch: numbers and arrays."""
        state: dict[str, Any] = {"loss": self._loss, "count": self._count}
        for name, metric in self._metrics.items():
            state |= {f"{name}/{key}": value for key, value in metric.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._loss, self._count = state["loss"], state["count"]
        for name, metric in self._metrics.items():
            start = f"{name}/"
            own = {key[len(start) :]: v for key, v in state.items() if key.startswith(start)}
            metric.load_state_dict(own)
