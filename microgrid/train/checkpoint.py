"""The whole state of a training run in one file, from which it goes on as if never interrupted.

The file is a safetensors file: arrays under "model.", "optimizer." and "extra.", the rest as JSON
in its metadata. Its checksum covers both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..core import Tensor
from ..errors import FileFormatError, StateError
from ..files import as_path, atomic, safetensors
from ..nn import Module
from ..optim import Optimizer

KEY = "microgrid.checkpoint"
VERSION = 1
OWN_RNG = "rng"  # the generator that is not the model's
Path = str | os.PathLike[str]


def save_checkpoint(
    path: Path,
    model: Module,
    optimizer: Optimizer | None = None,
    *,
    rng: np.random.Generator | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the state of a training run to a file, which replaces an old one at once.

    That is: parameters and buffers of the model, what the optimiser remembers and its settings, and
    where the random generators stand: `rng`, and those that layers such as Dropout have.

    Args:
        path: where to write: a str or a Path.
        model: what is trained.
        optimizer: what trains it.
        rng: the generator that shuffles, or any other that decides how the run goes on.
        extra: arrays, any[...], and values that JSON has, by name: the epoch, losses, the state of
            a schedule.

    Raises:
        TypeError: an argument is of another type, or a value in `extra` is none that comes back.
        DtypeError: an array is of a dtype that the format does not have.
        OSError: the file cannot be written. An old one is as it was.

    >>> import microgrid as mg
    >>> import os, tempfile
    >>> model = mg.nn.Sequential(mg.nn.Dense(2, 2), mg.nn.Dropout(0.5))
    >>> optimizer = mg.optim.SGD(model.parameters(), momentum=0.9)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.safetensors")
    ...     mg.save_checkpoint(path, model, optimizer, extra={"epoch": 3})
    ...     mg.load_checkpoint(path, model, optimizer)
    {'epoch': 3}
    """
    place = as_path("save_checkpoint", path)
    _check_types("save_checkpoint", model, optimizer, rng)
    tensors = {f"model.{name}": array for name, array in model.state_dict().items()}
    content: dict[str, Any] = {"version": VERSION}
    if optimizer is not None:
        content["optimizer"] = type(optimizer).__name__
        content["param_groups"], slots = _optimizer_parts(optimizer)
        tensors.update(slots)
    content["rng"] = {
        name: generator.bit_generator.state for name, generator in _generators(model, rng)
    }
    content["extra"], arrays = _extra_parts({} if extra is None else extra)
    tensors.update(arrays)
    import json  # here, since few programs need it

    text = json.dumps(content, default=_plain)
    parts = safetensors.encode("save_checkpoint", tensors, {KEY: text})
    atomic.write("save_checkpoint", place, parts)


def load_checkpoint(
    path: Path,
    model: Module,
    optimizer: Optimizer | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Bring a model, its optimiser and the generators to a saved state; return what was `extra`.

    If any of it does not fit, nothing is changed. Without `optimizer` or `rng`, as for predicting,
    that part of the file is left aside.

    Args:
        path: a file of `save_checkpoint`.
        model, optimizer: made as they were when saved.
        rng: a generator of the same kind as the saved one.

    Returns:
        What was given as `extra`; arrays, any[...], come back as they were.

    Raises:
        FileFormatError: the file is damaged, or not one of `save_checkpoint`.
        StateError: the state does not fit.
        TypeError: an argument is of another type.
        OSError: the file cannot be read.

    >>> import microgrid as mg
    >>> import os, tempfile
    >>> model, twin = mg.nn.Dense(2, 2), mg.nn.Dense(2, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.safetensors")
    ...     mg.save_checkpoint(path, model, extra={"epoch": 3})
    ...     mg.load_checkpoint(path, twin)
    {'epoch': 3}
    >>> twin.weight.tolist() == model.weight.tolist()
    True
    """
    place = as_path("load_checkpoint", path)
    _check_types("load_checkpoint", model, optimizer, rng)
    return read_checkpoint(place, model, optimizer, rng, lambda extra: None)


def read_checkpoint(
    place: str,
    model: Module,
    optimizer: Optimizer | None,
    rng: np.random.Generator | None,
    check: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Do what `load_checkpoint` does; `check` may refuse what was `extra` before anything is done.

    Raises:
        FileFormatError: the file is damaged, or not one of `save_checkpoint`.
        StateError: the state does not fit.
    """
    saved = _read(place)
    check(saved.extra)
    try:
        moves = _moves(saved.generators, dict(_generators(model, rng)))
        before = None if optimizer is None else optimizer.state_dict()
        if optimizer is not None:
            _load_optimizer(saved, optimizer)
        try:
            model.load_state_dict(saved.model)
        except StateError:
            if optimizer is not None and before is not None:
                optimizer.load_state_dict(before)
            raise
    except StateError as error:
        raise StateError(f"load_checkpoint: {place}: {error}") from None
    for move in moves:
        move()
    return saved.extra


# --- the parts of a file -------------------------------------------------------------------------


class _Saved(NamedTuple):
    model: dict[str, Array]
    optimizer: str | None
    slots: dict[int, dict[str, Array]]
    param_groups: list[dict[str, Any]]
    generators: dict[str, dict[str, Any]]
    extra: dict[str, Any]


def _read(path: str) -> _Saved:
    """Return what a file holds, all of it of the types it needs.

    Raises:
        FileFormatError: it is not one of `save_checkpoint`.
    """
    tensors, metadata = safetensors.read("load_checkpoint", path)
    if KEY not in metadata:
        raise FileFormatError(
            f"load_checkpoint: {path}: it holds arrays, but no training state; it needs to be "
            "written by save_checkpoint. Load the arrays with mg.load."
        )
    try:
        import json  # here, since few programs need it

        content = json.loads(metadata[KEY])
        return _saved(content, tensors)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise FileFormatError(
            f"load_checkpoint: {path}: its training state is not one that this version writes; it "
            "needs to be written by save_checkpoint. Save it anew."
        ) from None


def _saved(content: dict[str, Any], tensors: dict[str, Array]) -> _Saved:
    if content["version"] != VERSION:
        raise ValueError
    parts: dict[str, dict[str, Array]] = {"model": {}, "optimizer": {}, "extra": {}}
    for name, array in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = array
    slots: dict[int, dict[str, Array]] = {}
    for name, array in parts["optimizer"].items():
        number, _, slot = name.partition(".")
        slots.setdefault(int(number), {})[slot] = array
    groups = [
        # Settings of several numbers, as Adam's betas, are tuples; JSON knows lists only.
        {key: tuple(v) if isinstance(v, list) and key != "params" else v for key, v in g.items()}
        for g in content.get("param_groups", ())
    ]
    extra = {name: parts["extra"].get(name, value) for name, value in content["extra"].items()}
    return _Saved(
        parts["model"], content.get("optimizer"), slots, groups, dict(content["rng"]), extra
    )


def _optimizer_parts(optimizer: Optimizer) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """Return the groups and the remembered arrays under their names in the file."""
    state = optimizer.state_dict()
    slots = {
        f"optimizer.{number}.{slot}": array
        for number, arrays in state["state"].items()
        for slot, array in arrays.items()
    }
    return state["param_groups"], slots


def _extra_parts(extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the values for JSON, with None in the place of arrays, and the arrays.

    Raises:
        TypeError: a value would come back as something else.
    """
    values: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for name, value in extra.items():
        if isinstance(name, str) and isinstance(value, (np.ndarray, Tensor)):
            arrays[f"extra.{name}"] = np.asarray(value)
            values[name] = None
        elif isinstance(name, str) and _comes_back(value):
            values[name] = value
        else:
            raise TypeError(
                f"save_checkpoint: extra has {name!r} of type {type(value).__name__}, which JSON "
                "would not give back as it is; it needs arrays, numbers, texts, lists, or dicts "
                "with texts as keys. Convert it, as a tuple with list()."
            )
    return values, arrays


def _comes_back(value: Any) -> bool:
    """Return whether JSON gives the value back, of the same types all through.

    >>> _comes_back({"loss": [0.5, float("inf")]}), _comes_back((1, 2)), _comes_back({1: 2})
    (True, False, False)
    """
    if isinstance(value, list):
        return all(map(_comes_back, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _comes_back(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, float, str)


def _plain(value: Any) -> Any:
    """Return numbers and arrays of NumPy, in settings and generators' states, as JSON has them."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(
        f"save_checkpoint: a setting of type {type(value).__name__} was given; "
        "it needs numbers, texts and tuples of them."
    )


# --- bringing it back ----------------------------------------------------------------------------


def _load_optimizer(saved: _Saved, optimizer: Optimizer) -> None:
    name = type(optimizer).__name__
    if saved.optimizer != name:
        raise StateError(
            f"the state is of {saved.optimizer or 'no optimiser'}, and one of {name} is needed. "
            "Nothing was loaded. Build the optimiser as it was when saved, or give none."
        )
    optimizer.load_state_dict({"state": saved.slots, "param_groups": saved.param_groups})


def _generators(
    model: Module, rng: np.random.Generator | None
) -> Iterator[tuple[str, np.random.Generator]]:
    """Yield the generators: `rng`, and those that modules have as attributes."""
    if rng is not None:
        yield OWN_RNG, rng
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, np.random.Generator):
                yield f"model.{name}.{attribute}", value


def _moves(
    saved: dict[str, dict[str, Any]], generators: dict[str, np.random.Generator]
) -> list[Callable[[], None]]:
    """Return what brings each generator to where it stood; nothing is changed yet.

    Raises:
        StateError: one is missing, of another kind, or its state makes no sense.
    """
    spare = [name for name in saved if name != OWN_RNG and name not in generators]
    if spare:
        raise StateError(
            f"generators were saved that the model does not have: {', '.join(spare)}. "
            "Nothing was loaded. Build the model as it was when saved."
        )
    moves: list[Callable[[], None]] = []
    for name, generator in generators.items():
        kind = type(generator.bit_generator)
        state = saved.get(name)
        try:
            _move(np.random.Generator(kind(0)), state)()  # raises if it does not fit
        except (TypeError, ValueError, KeyError, IndexError, OverflowError):
            found = state.get("bit_generator") if isinstance(state, dict) else None
            raise StateError(
                f"the generator {name} is {kind.__name__}, and {found or 'none'} was saved. "
                "Nothing was loaded. Make the generator as it was when saved."
            ) from None
        moves.append(_move(generator, state))
    return moves


def _move(generator: np.random.Generator, state: Any) -> Callable[[], None]:
    return lambda: setattr(generator.bit_generator, "state", state)


def _check_types(who: str, model: Any, optimizer: Any, rng: Any) -> None:
    """Raise if an argument is of another type.

    Raises:
        TypeError: one is.
    """
    for name, value, kind in (
        ("model", model, Module),
        ("optimizer", optimizer, Optimizer),
        ("rng", rng, np.random.Generator),
    ):
        if not isinstance(value, kind) and (value is not None or name == "model"):
            raise TypeError(
                f"{who}: {name} of type {type(value).__name__} was given; "
                f"it must be of type {kind.__name__}."
            )
