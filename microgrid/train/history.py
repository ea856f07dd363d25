"""What `fit` returns: the course of the training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass
class History:
    """The course of a training.

    It is what `fit` returns; float[epochs] of each result is in `history`.

    Attributes:
        history: per name ("loss", "val_loss", a metric) its values, one per finished epoch.
        epoch: the numbers of the finished epochs, from 0.
        interrupted: whether Ctrl-C ended the training early.
        reason: why the training ended early, or "".
        programs: how many programs were compiled, one for each size of batch; 0 if the steps ran
            uncompiled.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x = np.ones((4, 1))
    >>> run = mg.fit(mg.nn.Dense(1, 1), x, x, loss="mse", optimizer="sgd", epochs=2, verbose=0)
    >>> run.epoch, len(run.history["loss"]), run.interrupted
    ([0, 1], 2, False)
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    interrupted: bool = False
    programs: int = 0
    reason: str = ""

    def add(self, epoch: int, results: Mapping[str, float]) -> None:
        """Append the results of an epoch; what is missing, now or before, is nan."""
        before = len(self.epoch)
        self.epoch.append(epoch)
        for name in {**self.history, **results}:
            course = self.history.setdefault(name, [math.nan] * before)
            course.append(float(results.get(name, math.nan)))

    def last(self) -> dict[str, float]:
        """Return the results of the last finished epoch."""
        return {name: values[-1] for name, values in self.history.items()}

    def plot(self, ax: Any = None) -> Any:
        """Draw the course of each result, on training and validation data.

        Args:
            ax: matplotlib's axes, on which to draw the loss alone; a new figure with all results
                otherwise.

        Returns:
            The axes of the loss; `axes.figure` is the figure.

        Raises:
            ImportError: matplotlib is not installed, the extra `plot`.
            ValueError: no epoch was finished.
        """
        # By name: pictures are made of what is trained, and training knows nothing of them.
        return import_module("microgrid.plot").history(self, ax)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {value:.4g}" for name, value in self.last().items())
        ending = ", interrupted" if self.interrupted else ""
        return f"<History of {len(self.epoch)} epochs{ending}{'; last: ' if last else ''}{last}>"
