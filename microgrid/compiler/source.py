"""The Python that a program is written out as."""

from __future__ import annotations

import builtins
import math
import re
from typing import Any

import numpy as np
from numpy import ndarray

from ..core import Tensor, next_serial, wrap

TAKEN = frozenset(dir(builtins))  # names that conditions use

OF_TABLES = "at", "given", "kept", "quiet", "run", "table"
"""Names that lines use which run a table."""

MISS: Any = object()
"""What a replay returns if something that it relies on has changed."""


class Source:
    """Lines of Python and what their names stand for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "Tensor": Tensor, "MISS": MISS, "copyto": np.copyto, "ndarray": ndarray,
            "next_serial": next_serial, "wrap": wrap, "isfinite": math.isfinite,
            **dict.fromkeys(OF_TABLES),
        }  # fmt: skip
        self._known: dict[int, str] = {}
        self._counts: dict[str, int] = {}

    def name(self, thing: Any, prefix: str) -> str:
        """Return the name of a thing, the same for the same one."""
        known = self._known.get(id(thing))
        if known is None:
            known = self.new(prefix)
            self._known[id(thing)] = known
            self.names[known] = thing
        return known

    def new(self, prefix: str) -> str:
        """Return a name that nothing has yet: the prefix itself if it can be."""
        prefix = f"{prefix}_" if prefix in TAKEN else prefix
        number = self._counts.get(prefix, -1) + 1
        self._counts[prefix] = number
        return f"{prefix}{number}" if number or prefix in self.names or len(prefix) == 1 else prefix

    def run(self) -> dict[str, Any]:
        """Return what the names stand for when the lines have been run."""
        scope = dict(self.names)
        exec(compile("\n".join(self.lines), "<compiled by microgrid>", "exec"), scope)
        return scope


def readable(source: Source) -> str:
    """Return the lines, with what they begin with."""
    return re.sub(r" +\n", "\n", "\n".join(source.lines)) + "\n"
