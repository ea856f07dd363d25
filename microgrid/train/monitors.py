"""Callbacks that look at one result: stop when it no longer improves, keep the best, write it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Array
from ..files import save
from .callbacks import Callback, Logs, monitored

# Results of which more is better; of all others less is.
GROWING = (
    "accuracy", "precision", "recall", "f1", "auc", "r2", "top_", "average_precision", "score",
)  # fmt: skip


class Best:
    """The best value so far of a result.

    Args:
        who: the callback.
        monitor: the name of the result.
        mode: "min", "max" or "auto", which goes by the name.
        min_delta: an improvement by less does not count.
        baseline: what has to be improved on, or None.

    Raises:
        ValueError: `mode` is something else, or `min_delta` is negative.
    """

    def __init__(
        self, who: str, monitor: str, mode: str, min_delta: float = 0, baseline: float | None = None
    ) -> None:
        if mode not in ("min", "max", "auto"):
            raise ValueError(f'{who}: mode={mode!r} was given; it must be "min", "max" or "auto".')
        if not min_delta >= 0:
            raise ValueError(f"{who}: min_delta={min_delta!r} was given; it must be at least 0.")
        grows = any(part in monitor for part in GROWING) if mode == "auto" else mode == "max"
        self.who, self.monitor, self.min_delta, self.sign = who, monitor, min_delta, 1 - 2 * grows
        self.value = self.sign * math.inf if baseline is None else float(baseline)

    def improved(self, logs: Logs | None) -> bool:
        """Return whether the result is better than ever, and remember it; nan never is."""
        value = monitored(self.who, logs, self.monitor)
        better = self.sign * value < self.sign * self.value - self.min_delta
        if better:
            self.value = float(value)
        return better


class EarlyStopping(Callback):
    """End the training when a result has not improved for some epochs.

    Args:
        monitor: the result that is looked at.
        min_delta: an improvement by less does not count.
        patience: how many epochs without improvement are put up with.
        mode: "min", "max" or "auto": whether less or more is better; "auto" goes by the name.
        baseline: what has to be improved on, or None.
        restore_best_weights: whether the model is brought back to its best epoch at the end.
        start_from_epoch: epochs before it are not looked at.

    Attributes:
        best, best_epoch: the best result, and when it was seen; None before the first.
        stopped_epoch: the epoch after which training was ended, or None.

    Raises:
        ValueError: an option makes no sense.

    >>> import microgrid as mg, numpy as np
    >>> x = np.linspace(-1, 1, 32)[:, None]
    >>> stopping = mg.callbacks.EarlyStopping("loss", patience=2, min_delta=10)
    >>> run = mg.fit(mg.nn.Dense(1, 1, rng=0), x, x, loss="mse", optimizer="sgd", epochs=50,
    ...              verbose=0, callbacks=[stopping])
    >>> len(run.epoch), stopping.stopped_epoch, run.reason
    (3, 2, 'EarlyStopping: loss has not improved since epoch 1.')
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        if patience < 0:
            raise ValueError(
                f"EarlyStopping: patience={patience!r} was given; it must be at least 0."
            )
        self.monitor, self.patience, self.restore = monitor, patience, restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._options = ("EarlyStopping", monitor, mode, min_delta, baseline)
        self._begin()

    def _begin(self) -> None:
        self._best = Best(*self._options)
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._weights: dict[str, Array] = {}

    @property
    def best(self) -> float | None:
        """The best result so far."""
        return None if self.best_epoch is None else self._best.value

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training, unless this one goes on from a saved state."""
        if not self.training.history.epoch:
            self._begin()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the result, and end the training if it has not improved for long enough."""
        if epoch < self.start_from_epoch:
            return
        if self._best.improved(logs):
            self.best_epoch, self._waited = epoch, 0
            if self.restore:
                self._weights = _copied(self.model.state_dict())
            return
        self._waited += 1
        if self._waited >= max(self.patience, 1):
            self.stopped_epoch = epoch
            since = "at all" if self.best_epoch is None else f"since epoch {self.best_epoch + 1}"
            self.training.history.reason = (
                f"EarlyStopping: {self.monitor} has not improved {since}."
            )
            vars(self.model)["stop_training"] = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Bring the model back to its best epoch, if that is wanted."""
        if self._weights:
            self.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers."""
        return {
            "best": self._best.value,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            "waited": self._waited,
            "weights": self._weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what another remembered."""
        self._best.value, self._waited = state["best"], state["waited"]
        self.best_epoch, self.stopped_epoch = state["best_epoch"], state["stopped_epoch"]
        self._weights = dict(state["weights"])


def _copied(arrays: Mapping[str, Any]) -> dict[str, Array]:
    return {name: np.array(array) for name, array in arrays.items()}


class ModelCheckpoint(Callback):
    """Write the state of the run to a file, from which `fit(..., resume=path)` goes on.

    It hears after all other callbacks, so that the file has what they remember.

    Args:
        path: where to write, each time in the place of the last file; or with fields such as
            "{epoch:03d}-{val_loss:.2f}", whose epochs count from 1.
        monitor, mode: the result that decides which epoch is the best; see EarlyStopping.
        save_best_only: whether to write after an epoch only if it is the best so far.
        save_weights_only: whether to write the model alone, as `mg.save` does.
        save_freq: "epoch", or a number: after how many batches to write.

    Raises:
        ValueError: an option makes no sense.

    >>> import microgrid as mg, numpy as np, os, tempfile
    >>> x = np.linspace(-1, 1, 32)[:, None]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.safetensors")
    ...     def train(epochs):
    ...         model = mg.nn.Dense(1, 1, rng=0)
    ...         return mg.fit(model, x, x, loss="mse", optimizer="adam", epochs=epochs, verbose=0,
    ...                       rng=0, callbacks=mg.callbacks.ModelCheckpoint(path), resume=path)
    ...     first, whole = train(epochs=2), train(epochs=4)
    >>> whole.epoch, whole.history["loss"][:2] == first.history["loss"]
    ([0, 1, 2, 3], True)
    """

    is_last = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        monitor: str = "val_loss",
        mode: str = "auto",
        save_best_only: bool = False,
        save_weights_only: bool = False,
        save_freq: str | int = "epoch",
    ) -> None:
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise ValueError(
                f'ModelCheckpoint: save_freq={save_freq!r} was given; it must be "epoch" or a '
                "number of batches."
            )
        if save_best_only and save_freq != "epoch":
            raise ValueError(
                "ModelCheckpoint: save_best_only and save_freq were both given; an epoch is the "
                "best, not a batch. Leave one out."
            )
        self.path = path
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = save_freq
        self._best = Best("ModelCheckpoint", monitor, mode)
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Write, if so many batches have passed."""
        if isinstance(self.save_freq, int):
            self._batches += 1
            if self._batches % self.save_freq == 0:
                self._write(self.training.position.epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write, if that is wanted after this epoch."""
        if self.save_freq == "epoch" and (not self.save_best_only or self._best.improved(logs)):
            self._write(epoch, logs)

    def _write(self, epoch: int, logs: Logs | None) -> None:
        place = os.fspath(self.path)
        if "{" in place:
            try:
                place = place.format(epoch=epoch + 1, **(logs or {}))
            except (KeyError, ValueError, IndexError) as error:
                raise ValueError(
                    f"ModelCheckpoint: the path {place!r} has a field that cannot be filled "
                    f"({error}); the fields are epoch, {', '.join(logs or ())}."
                ) from None
        if self.save_weights_only:
            save(place, self.model)
        else:
            self.training.save(place)

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers."""
        return {"best": self._best.value, "batches": self._batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what another remembered."""
        self._best.value, self._batches = state["best"], state["batches"]


class CSVLogger(Callback):
    """Write the results of each epoch as a row of a CSV file.

    Args:
        path: where to write; an old file is replaced unless `append`.
        separator: what stands between columns.
        append: whether to add rows to the file, if there is one.

    >>> import microgrid as mg, numpy as np, os, tempfile
    >>> x = np.ones((4, 1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log.csv")
    ...     run = mg.fit(mg.nn.Dense(1, 1), x, x, loss="mse", optimizer="sgd", epochs=2, verbose=0,
    ...                  callbacks=mg.callbacks.CSVLogger(path))
    ...     with open(path) as file:
    ...         text = file.read()
    >>> [row.split(",")[0] for row in text.splitlines()]
    ['epoch', '0', '1']
    """

    def __init__(
        self, path: str | os.PathLike[str], *, separator: str = ",", append: bool = False
    ) -> None:
        self.path, self.separator, self.append = path, separator, append
        self._columns: list[str] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin the file."""
        self._columns = []
        if self.append and os.path.exists(self.path):
            with open(self.path, encoding="utf-8", newline="") as file:
                self._columns = file.readline().rstrip("\r\n").split(self.separator)
        if not self._columns:
            with open(self.path, "w", encoding="utf-8"):
                pass  # now is the time to hear that it cannot be written

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row; the first row of all names the columns."""
        import csv  # here, since few programs need it

        row = {"epoch": epoch, **(logs or {})}
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
            if not self._columns:
                self._columns = list(row)
                writer.writerow(self._columns)
            writer.writerow([row.get(name, "") for name in self._columns])
