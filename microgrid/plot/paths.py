"""Where the parameters of a model went while it learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..nn import Module
from ..train.callbacks import Callback
from .samples import check_module

WHO = "plot.Path"
EVERY = ("epoch", "batch")


class Path(Callback):
    """Notes the parameters of a model, step by step, for `loss_surface` to draw.

    As a callback of `fit` it notes where the training begins, and then every epoch or every batch.
    In a loop of your own call it: `path()`.

    Args:
        model: whose parameters to note; as a callback it may be left out.
        every: "epoch" or "batch".

    Attributes:
        points: float[num_parameters] each, all parameters in a row.

    Raises:
        TypeError: the model is no Module.
        ValueError: `every` is neither.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x = np.ones((4, 1))
    >>> path = mg.plot.Path()
    >>> run = mg.fit(mg.nn.Dense(1, 1), x, x, loss="mse", optimizer="sgd", epochs=3, verbose=0,
    ...              callbacks=[path])
    >>> len(path), path.points[0].shape
    (4, (2,))
    """

    def __init__(self, model: Module | None = None, every: str = "epoch") -> None:
        if model is not None:
            check_module(WHO, model)
            self.model = model
        if every not in EVERY:
            raise ValueError(f"{WHO}: every={every!r} was given; it must be 'epoch' or 'batch'.")
        self.every = every
        self.points: list[Array] = []

    def __len__(self) -> int:
        return len(self.points)

    def __call__(self) -> None:
        """Note where the parameters are.

        Raises:
            ValueError: it knows no model.
        """
        if getattr(self, "model", None) is None:
            raise ValueError(f"{WHO}: it knows no model. Pass one, Path(model).")
        self.points.append(flat(self.model))

    def on_train_begin(self, logs: Any = None) -> None:
        """Note where the training begins."""
        self()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note where the epoch led."""
        if self.every == "epoch":
            self()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Note where the batch led."""
        if self.every == "batch":
            self()


def flat(model: Module) -> Array:
    """Return all parameters of a model in a row, as a copy in float64."""
    parts = [p.data.ravel() for p in model.parameters()]
    return np.concatenate(parts).astype(float) if parts else np.zeros(0)
