"""What settings of optimisers and schedules must be, with errors that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from ..errors import StateError


def check_at_least_zero(who: str, settings: Mapping[str, Any], *names: str) -> None:
    """Raise unless the named settings are numbers, not negative and not nan.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        check_number(who, name, settings[name])


def check_flags(who: str, settings: Mapping[str, Any], *names: str) -> None:
    """Raise unless the named settings are True or False.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        value = settings[name]
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{who}: {name}={value!r} was given; it must be True or False.")


def check_share(who: str, settings: Mapping[str, Any], name: str) -> None:
    """Raise unless the named setting is a number from 0 to 1.

    Raises:
        ValueError: it is not.
    """
    value = settings[name]
    if not is_share(value):
        raise ValueError(f"{who}: {name}={value!r} was given; it must be a number from 0 to 1.")


def is_share(value: object) -> bool:
    """Return whether it is a number from 0 to 1."""
    return isinstance(value, Real) and 0 <= float(value) <= 1


def check_betas(who: str, settings: Mapping[str, Any]) -> None:
    """Raise unless `betas` are two numbers, at least 0 and below 1.

    Raises:
        ValueError: they are not.
    """
    betas = settings["betas"]
    if not is_pair(betas) or not all(0 <= float(beta) < 1 for beta in betas):
        raise ValueError(
            f"{who}: betas={betas!r} was given; it must be two numbers, at least 0 and below 1."
        )


def is_pair(value: Any) -> bool:
    """Return whether it is two numbers."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(x, Real) for x in value)
    )


def check_number(who: str, name: str, value: Any) -> float:
    """Return the setting as a float, if it is a number that is not negative.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, Real) or not float(value) >= 0:
        raise ValueError(f"{who}: {name}={value!r} was given; it must be a number, at least 0.")
    return float(value)


def check_positive(who: str, name: str, value: Any) -> float:
    """Return the setting as a float, if it is a number above 0.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, Real) or not float(value) > 0:
        raise ValueError(f"{who}: {name}={value!r} was given; it must be a number above 0.")
    return float(value)


def check_count(who: str, name: str, value: Any, least: int = 1) -> int:
    """Return the setting as an int, if it is an integer that is not below `least`.

    Raises:
        ValueError: it is not.
    """
    if not is_count(value, least):
        raise ValueError(
            f"{who}: {name}={value!r} was given; it must be an integer, at least {least}."
        )
    return int(value)


def check_counts(who: str, name: str, values: Any) -> list[int]:
    """Return the setting as a list of ints, if it holds integers that are not negative.

    Raises:
        ValueError: it does not.
    """
    found: list[Any] = list(values) if isinstance(values, Iterable) else [None]
    if not all(is_count(value, 0) for value in found):
        raise ValueError(
            f"{who}: {name}={values!r} was given; it must be a list of integers, each at least 0."
        )
    return [int(value) for value in found]


def is_count(value: object, least: int) -> bool:
    """Return whether it is an integer, of Python or NumPy, that is not below `least`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def check_state(schedule: Any, state_dict: Any) -> None:
    """Raise unless a saved state fits the schedule.

    Raises:
        StateError: something does not fit; the message lists all of it.
    """
    faults = _faults(schedule.state_dict(), state_dict, getattr(schedule, "total_steps", None))
    if faults:
        raise StateError(
            f"load_state_dict: the state does not fit this {type(schedule).__name__}: "
            f"{'; '.join(faults)}. Nothing was loaded. Build the schedule as it was when saved."
        )


def _faults(expected: dict[str, Any], state_dict: Any, most: int | None) -> list[str]:
    if not isinstance(state_dict, Mapping):
        return [f"a state of type {type(state_dict).__name__}, needed a dict"]
    faults = [f"missing {key}" for key in expected if key not in state_dict]
    faults += [f"unexpected {key}" for key in state_dict if key not in expected]
    for key, now in expected.items():
        if key not in state_dict:
            continue
        value = state_dict[key]
        if isinstance(now, list):
            fits = isinstance(value, (list, tuple)) and len(value) == len(now)
            fits = fits and all(isinstance(x, Real) and float(x) >= 0 for x in value)
            needed = f"{len(now)} numbers that are not below 0"
        elif type(now) is int:
            fits, needed = type(value) is int and value >= 0, "an integer, at least 0"
        else:
            fits, needed = isinstance(value, Real), "a number"
        if fits and key == "last_epoch" and most is not None and value > most:
            fits, needed = False, f"at most total_steps, {most}"
        if not fits:
            faults.append(f"{key} is {value!r}, needed {needed}")
    return faults
