"""Where in the user's code results were computed."""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import weakref
from typing import NamedTuple

import numpy as np

from .core import Tensor

# Frames in these files lie between the user's line and here: NumPy's are those of errstate.
_NOT_THE_USERS = (
    os.path.dirname(__file__) + os.sep,
    os.path.dirname(np.__file__) + os.sep,
    contextlib.__file__,
)


class Place(NamedTuple):
    """A line of code, as tracebacks show it; without a file it is not known."""

    filename: str | None = None
    lineno: int | None = None
    function: str = ""

    @property
    def text(self) -> str:
        """What the line says, if it can still be read."""
        if self.filename is None or self.lineno is None:
            return ""
        linecache.checkcache(self.filename)
        return linecache.getline(self.filename, self.lineno).strip()

    def __str__(self) -> str:
        if self.filename is None:
            return ""
        line = f'  File "{self.filename}", line {self.lineno}, in {self.function}'
        return f"{line}\n    {self.text}" if self.text else line


UNKNOWN = Place()


def place_of_call() -> Place:
    """Return the line that is being run: that of the innermost frame outside microgrid."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_NOT_THE_USERS):
            return Place(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back  # type: ignore[assignment]  # None above the outermost
    return UNKNOWN


class _Origin(weakref.ref[Tensor]):
    """A result, for as long as it lives, and the place where it was computed."""

    __slots__ = ("place", "serial")

    place: Place
    serial: int


# By serial number, which no two results share: dicts with weak keys would compare Tensors by ==.
_origins: dict[int, _Origin] = {}


def _forget(origin: weakref.ref[Tensor], origins: dict[int, _Origin] = _origins) -> None:
    origins.pop(origin.serial, None)  # type: ignore[attr-defined]


def remember(result: Tensor, place: Place) -> None:
    """Note where the result was computed, until it is freed."""
    origin = _Origin(result, _forget)
    origin.place, origin.serial = place, result.serial
    _origins[result.serial] = origin


def place_of(result: Tensor) -> Place:
    """Return where the result was computed, or UNKNOWN if nobody noted it."""
    origin = _origins.get(result.serial)
    return UNKNOWN if origin is None else origin.place
