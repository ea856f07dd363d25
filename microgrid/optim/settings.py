"""What settings of optimisers and schedules must be, with errors that say so."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any


def check_at_least_zero(who: str, settings: Mapping[str, Any], *names: str) -> None:
    """Raise unless the named settings are numbers, not negative and not nan.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        value = settings[name]
        if not isinstance(value, Real) or not float(value) >= 0:
            raise ValueError(f"{who}: {name}={value!r} was given; it must be a number, at least 0.")


def check_share(who: str, settings: Mapping[str, Any], name: str) -> None:
    """Raise unless the named setting is a number from 0 to 1.

    Raises:
        ValueError: it is not.
    """
    value = settings[name]
    if not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{who}: {name}={value!r} was given; it must be a number from 0 to 1.")


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
