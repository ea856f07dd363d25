"""What keeps a saved state from being loaded into an optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import as_array

if TYPE_CHECKING:
    from .optimizer import Optimizer

NOTED = {"initial_lr"}  # what schedules note in a group: it may be there or not


def faults_of(optimizer: Optimizer, state_dict: Any) -> list[str]:
    """Return all that does not fit, in words."""
    if not isinstance(state_dict, Mapping):
        return [f"a state of type {type(state_dict).__name__}, needed a dict"]
    missing = [key for key in ("state", "param_groups") if key not in state_dict]
    if missing:
        return [f"missing {key}" for key in missing]
    saved_groups = state_dict["param_groups"]
    if not isinstance(state_dict["state"], Mapping):
        return [f"state of type {type(state_dict['state']).__name__}, needed a dict"]
    if not isinstance(saved_groups, (list, tuple)) or not all(
        isinstance(group, Mapping) for group in saved_groups
    ):
        return ["param_groups that is no list of dicts"]
    if len(saved_groups) != len(optimizer.param_groups):
        return [f"{len(saved_groups)} groups, needed {len(optimizer.param_groups)}"]
    faults: list[str] = []
    settings: list[Mapping[str, Any]] = []  # of each parameter
    expected = optimizer.state_dict()["param_groups"]
    for i, (group, saved) in enumerate(zip(expected, saved_groups, strict=True)):
        wrong = list(_group_faults(optimizer, i, group, saved))
        settings += [group if wrong else saved] * len(group["params"])
        faults += wrong
    for number, slots in sorted(state_dict["state"].items(), key=lambda item: str(item[0])):
        faults += _slot_faults(optimizer, number, slots, settings)
    return faults


def _group_faults(
    optimizer: Optimizer, i: int, group: Mapping[str, Any], saved: Mapping[str, Any]
) -> Iterator[str]:
    numbers, given = group["params"], saved.get("params")
    if not isinstance(given, (list, tuple)) or list(given) != numbers:
        yield f"group {i} has parameters {given}, needed {numbers}"
    missing = [key for key in group if key not in saved and key not in NOTED]
    yield from (f"group {i}: missing {key}" for key in missing)
    unexpected = [key for key in saved if key not in group and key not in NOTED]
    yield from (f"group {i}: unexpected {key}" for key in unexpected)
    if not missing:
        try:
            optimizer.check(saved)
        except (TypeError, ValueError) as error:
            yield f"group {i}: {str(error).removesuffix('.')}"


def _slot_faults(
    optimizer: Optimizer, i: Any, slots: Any, settings: list[Mapping[str, Any]]
) -> list[str]:
    parameters = optimizer.parameters()
    if not str(i).isdecimal() or int(i) >= len(parameters):
        return [f"state of parameter {i}, of {len(parameters)}"]
    p = parameters[int(i)]
    if not isinstance(slots, Mapping):
        return [f"parameter {i}: a state of type {type(slots).__name__}, needed a dict"]
    needed = (*optimizer.counts, *optimizer.remembered(settings[int(i)]))
    faults = [f"parameter {i}: missing {name}" for name in needed if name not in slots]
    for name, value in slots.items():
        try:
            array = as_array(name, value)
        except (TypeError, ValueError):  # no number, or lists of unequal lengths
            kind = type(value).__name__
            faults.append(f"parameter {i}: {name} is of type {kind}, needed an array")
            continue
        shape, dtype = p.shape, p.dtype
        if name in optimizer.counts:
            shape, dtype = (), np.array(optimizer.counts[name]).dtype
        if name not in optimizer.slots and name not in optimizer.counts:
            faults.append(f"parameter {i}: unexpected {name}")
        elif (array.shape, array.dtype) != (shape, dtype):
            faults.append(
                f"parameter {i}: {name} has shape {array.shape} and dtype {array.dtype}, "
                f"needed {shape} and {dtype}"
            )
        elif name in optimizer.counts and not array >= 0:
            faults.append(f"parameter {i}: {name} is {array}, needed a number that is not below 0")
    return faults
