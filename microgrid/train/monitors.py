"""Callbacks that look at one result: stop when it no longer improves, keep the best, write it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array
from ..files import as_path, save
from ..metrics import Metric, direction
from .batches import as_count
from .callbacks import Callback, Logs, monitored


class Best:
    """The best value so far of a result.

    Args:
        who: the callback.
        monitor: the name of the result.
        mode: "min", "max" or "auto", which goes by the name.
        min_delta: an improvement by less does not count.

    Raises:
        ValueError: `mode` is something else, or does not follow from the name; or `min_delta` is
            negative.
        TypeError: `monitor` is no text.
    """

    who: str
    monitor: str
    mode: str
    min_delta: float
    value: float | None
    metrics: Mapping[str, Metric]  # of the training, which know whether more is better

    def __init__(self, who: str, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"{who}: monitor={monitor!r} was given; it needs the name of a result.")
        if mode not in ("min", "max", "auto"):
            raise ValueError(f'{who}: mode={mode!r} was given; it must be "min", "max" or "auto".')
        if not isinstance(min_delta, Real) or not min_delta >= 0:
            raise ValueError(f"{who}: min_delta={min_delta!r} was given; it must be at least 0.")
        self.who, self.monitor, self.mode = who, monitor, mode
        self.min_delta = float(min_delta)
        self.value, self.metrics = None, {}

    def improved(self, logs: Logs | None) -> bool:
        """Return whether the result is better than ever, and remember it; nan never is."""
        value = float(monitored(self.who, logs, self.monitor))
        better = value == value if self.value is None else self.beats(value, self.value)
        if better:
            self.value = value
        return better

    def beats(self, value: float, other: float) -> bool:
        """Return whether a result is better than another, and by enough."""
        sign = 1 if self._direction() == "min" else -1
        return sign * value < sign * other - self.min_delta

    def _direction(self) -> str:
        if self.mode != "auto":
            return self.mode
        known = self.metrics.get(self.monitor.removeprefix("val_"))
        found = direction(self.monitor) if known is None else known.better
        if found is None:
            raise ValueError(
                f"{self.who}: monitor={self.monitor!r} was given, a name that does not tell "
                'whether more is better. Pass mode="min" or mode="max".'
            )
        return found


class EarlyStopping(Callback):
    """End the training when a result has not improved for some epochs.

    Args:
        monitor: the result that is looked at.
        min_delta: an improvement by less does not count.
        patience: how many epochs without improvement are put up with.
        mode: "min", "max" or "auto": whether less or more is better; "auto" goes by the name.
        baseline: what has to be improved on, or None: only a best result that is better than it
            lets the waiting begin anew.
        restore_best_weights: whether the model is brought back to its best epoch at the end.
        start_from_epoch: epochs before it are not looked at.

    Attributes:
        best, best_epoch: the best result, and when it was seen; None before the first.
        stopped_epoch: the epoch after which training was ended, or None.

    Raises:
        TypeError: an option is of another type.
        ValueError: an option makes no sense. In `fit`: there is no result `monitor`, or its name
            does not tell whether more is better.

    >>> import numpy as np
    >>> import microgrid as mg
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
        if baseline is not None and not isinstance(baseline, Real):
            raise TypeError(
                f"EarlyStopping: baseline={baseline!r} was given; it must be a number or None."
            )
        self.monitor, self.baseline, self.restore = monitor, baseline, restore_best_weights
        self.patience = as_count("EarlyStopping", "patience", patience, 0)
        self.start_from_epoch = as_count("EarlyStopping", "start_from_epoch", start_from_epoch, 0)
        self._options = ("EarlyStopping", monitor, mode, min_delta)
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
        return self._best.value

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training, unless this one goes on from a saved state."""
        if not self.training.history.epoch:
            self._begin()
        self._best.metrics = self.training.plan.metrics

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the result, and end the training if it has not improved for long enough."""
        if epoch < self.start_from_epoch:
            return
        self._waited += 1
        if self._best.improved(logs):
            self.best_epoch = epoch
            if self.restore:
                self._weights = _copied(self.model.state_dict())
            best = self._best.value or 0.0
            if self.baseline is None or self._best.beats(best, self.baseline):
                self._waited = 0
        elif self._waited >= self.patience and epoch > 0:
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

    It writes when all callbacks have heard, so that the file has what they remember.

    Args:
        path: where to write, each time in the place of the last file; or with fields such as
            "{epoch:03d}-{val_loss:.2f}", whose epochs count from 1.
        monitor, mode: the result that decides which epoch is the best; see EarlyStopping.
        save_best_only: whether to write after an epoch only if it is the best so far.
        save_weights_only: whether to write the model alone, as `mg.save` does.
        save_freq: "epoch", or a number: after how many batches to write.

    Raises:
        TypeError: the path or an option is of another type.
        ValueError: an option makes no sense. In `fit`: there is no result for `monitor` or a field.
        OSError: in `fit`, there is no such folder, or the file cannot be written.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> import os, tempfile
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
        if save_freq != "epoch":
            save_freq = as_count("ModelCheckpoint", "save_freq", save_freq, 1)
        if save_best_only and save_freq != "epoch":
            raise ValueError(
                "ModelCheckpoint: save_best_only and save_freq were both given; an epoch is the "
                "best, not a batch. Leave one out."
            )
        self.path = as_path("ModelCheckpoint", path)
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = save_freq
        self._best = Best("ModelCheckpoint", monitor, mode)
        self._batches = 0
        self._is_due = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Raise at once if there is no folder to write to.

        Raises:
            FileNotFoundError: there is none.
        """
        self._best.metrics = self.training.plan.metrics
        folder = os.path.dirname(self.path) or "."
        if "{" not in folder and not os.path.isdir(folder):
            raise FileNotFoundError(
                f"ModelCheckpoint: the path {self.path!r} was given, and there is no folder "
                f"{folder!r}. Make it first."
            )

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Decide whether so many batches have passed."""
        if isinstance(self.save_freq, int):
            self._batches += 1
            self._is_due = self._batches % self.save_freq == 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Decide whether to write after this epoch."""
        if self.save_freq == "epoch":
            self._is_due = not self.save_best_only or self._best.improved(logs)

    def conclude(self, epoch: int | None, logs: Logs | None = None) -> None:
        """Write, if that was decided."""
        if self._is_due:
            self._is_due = False
            self._write(self.training.position.epoch if epoch is None else epoch, logs)

    def _write(self, epoch: int, logs: Logs | None) -> None:
        place = self.path
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

    Raises:
        TypeError: the path is neither a str nor a Path.
        ValueError: `separator` is not one character.
        OSError: in `fit`, the file cannot be written, as where there is no such folder.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> import os, tempfile
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
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(
                f"CSVLogger: separator={separator!r} was given; it must be one character."
            )
        self.path, self.separator, self.append = as_path("CSVLogger", path), separator, append
        self._columns: list[str] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin the file; of a run that goes on, keep the rows of its finished epochs."""
        done = self.training.position.epoch if self.training.history.epoch else None
        lines = []
        if (self.append or done is not None) and os.path.exists(self.path):
            with open(self.path, encoding="utf-8", newline="") as file:
                lines = file.read().splitlines()
        if done is not None and not self.append:
            lines = lines[:1] + [x for x in lines[1:] if _first(x, self.separator) < done]
        self._columns = lines[0].split(self.separator) if lines else []
        with open(self.path, "w", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\n" for line in lines)

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


def _first(row: str, separator: str) -> float:
    """Return the number that a row begins with."""
    text = row.split(separator)[0]
    return float(text) if text.isdecimal() else -1.0
