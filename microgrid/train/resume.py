"""Where a run of `fit` stands, written to a checkpoint and brought back from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import FileFormatError, StateError
from ..files import as_path
from .batches import Stream
from .checkpoint import read_checkpoint, save_checkpoint
from .history import History

if TYPE_CHECKING:
    from .loop import Training

RUN, ORDER, ARRAY = "fit", "order", "an array of the file"
RESULTS = "metrics", "validation"  # with others, the lists of the history would differ in length


@dataclass
class Position:
    """How far a run has come.

    Attributes:
        epoch: the one that is at work, from 0.
        batch: how many of its batches are done.
        order: that of its samples, int[n], or None for that in which they come.
        stopped: whether somebody has ended the run before its last epoch.
    """

    epoch: int = 0
    batch: int = 0
    order: Array | None = None
    stopped: bool = False


def save_run(path: Any, training: Training, results: Mapping[str, float] | None) -> None:
    """Write model, optimiser, generators, callbacks, history and position to a file.

    Args:
        path: where to write.
        training: the run.
        results: of the epoch that is about to be over; None in its midst.
    """
    position, history = training.position, training.history
    over = results is not None
    now = History({name: list(values) for name, values in history.history.items()},
                  list(history.epoch))  # fmt: skip
    if results is not None:
        now.add(position.epoch, results)
    arrays: dict[str, Array] = {}
    if position.order is not None and not over:
        arrays[ORDER] = position.order
    content = {
        "epoch": position.epoch + over,
        "batch": 0 if over else position.batch,
        "stopped": bool(vars(training.model).get("stop_training")),
        "reason": history.reason,
        "history": now.history,
        "epochs": now.epoch,
        "tally": {} if over else _packed(training.tally.state_dict(), "tally", arrays),
        "data": _data(training),
        "callbacks": [
            {"kind": type(c).__name__, "state": _packed(c.state_dict(), f"callback.{i}", arrays)}
            for i, c in enumerate(training.callbacks.all)
        ],
    }
    extra = {RUN: content, **arrays}
    save_checkpoint(path, training.model, training.optimizer, rng=training.plan.rng, extra=extra)


def _data(training: Training) -> dict[str, Any]:
    """Return what has to be the same for a run to go on: all of it in the middle of an epoch."""
    plan = training.plan
    count = getattr(plan.source, "count", None)
    return {
        "samples": count,
        "batch_size": plan.batch_size,
        "shuffle": plan.shuffle,
        "metrics": list(plan.metrics),
        "validation": plan.validation is not None,
    }


def resume_run(path: Any, training: Training) -> None:
    """Bring a run to where the saved one stood.

    Raises:
        FileFormatError: the file is damaged, or was not written by `fit`.
        StateError: model, optimiser, callbacks or data are not those of the saved run.
        OSError: the file cannot be read.
    """
    place = as_path("fit", path)
    extra = read_checkpoint(
        place,
        training.model,
        training.optimizer,
        training.plan.rng,
        lambda extra: _check(place, extra, training),
    )
    content, history = extra[RUN], training.history
    history.history = {name: list(values) for name, values in content["history"].items()}
    history.epoch, history.reason = list(content["epochs"]), content["reason"]
    training.position = Position(
        content["epoch"], content["batch"], extra.get(ORDER), content["stopped"]
    )
    source = training.plan.source
    if isinstance(source, Stream):
        source.passed = len(history.epoch) * (source.per_epoch or 0)
    if content["batch"]:
        training.tally.load_state_dict(_unpacked(content["tally"], extra))
    for callback, saved in zip(training.callbacks.all, content["callbacks"], strict=True):
        callback.load_state_dict(_unpacked(saved["state"], extra))


def _check(path: str, extra: Mapping[str, Any], training: Training) -> None:
    """Raise if a state is of another run."""
    content = extra.get(RUN)
    if not isinstance(content, dict):
        raise FileFormatError(
            f"fit: {path}: it holds a training state, but not where fit stood; it needs to be "
            "written by ModelCheckpoint. Load it with load_checkpoint, and call fit without resume."
        )
    now, then = _data(training), content["data"]
    needed = now if content["batch"] else RESULTS
    changed = [f"{k} was {then[k]} and is {now[k]}" for k in needed if now[k] != then[k]]
    if changed:
        place = "in the middle of an epoch" if content["batch"] else "between epochs"
        raise StateError(
            f"fit: {path}: the run was saved {place}, and {', '.join(changed)}. Nothing was "
            "loaded. Give the same data and options."
        )
    kinds = [saved["kind"] for saved in content["callbacks"]]
    given = [type(callback).__name__ for callback in training.callbacks.all]
    if kinds != given:
        raise StateError(
            f"fit: {path}: the run had the callbacks {', '.join(kinds) or 'none'}, and "
            f"{', '.join(given) or 'none'} were given. Nothing was loaded. Give the same ones, in "
            "the same order."
        )


def _packed(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return a state as JSON has it; its arrays go to `arrays`, and their names in their place."""
    if isinstance(value, np.ndarray):
        place = f"{name}.{len(arrays)}"
        arrays[place] = value
        return {ARRAY: place}
    if isinstance(value, Mapping):
        return {str(k): _packed(v, name, arrays) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(v, name, arrays) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the state that `_packed` got."""
    if isinstance(value, dict):
        if list(value) == [ARRAY]:
            return arrays[value[ARRAY]]
        return {name: _unpacked(v, arrays) for name, v in value.items()}
    return [_unpacked(v, arrays) for v in value] if isinstance(value, list) else value
