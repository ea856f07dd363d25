"""The Python that a program is written out as."""

from __future__ import annotations

import builtins
import itertools
import math
import re
from keyword import iskeyword
from typing import Any

import numpy as np
from numpy import ndarray

from ..core import Tensor, next_serial, wrap

LOCALS = "now", "at", "given", "kept", "quiet", "run", "table", "replay", "holders"
"""Names that the lines use themselves; most of them those that run a table."""

MISS: Any = object()
"""What a replay returns if something that it relies on has changed."""


class Source:
    """Lines of Python and what their names stand for.

    Attributes:
        taken: names that nothing new may have.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "Tensor": Tensor, "MISS": MISS, "copyto": np.copyto, "ndarray": ndarray,
            "next_serial": next_serial, "wrap": wrap, "isfinite": math.isfinite,
        }  # fmt: skip
        self.taken = {*dir(builtins), *self.names, *LOCALS}
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
        prefix = prefix if prefix.isidentifier() and not iskeyword(prefix) else "thing"
        for number in itertools.count(self._counts.get(prefix, 0)):
            name = f"{prefix}{number}" if number or len(prefix) == 1 else prefix
            if name not in self.taken:
                break
        self._counts[prefix] = number + 1
        self.taken.add(name)
        return name

    def run(self) -> dict[str, Any]:
        """Return what the names stand for when the lines have been run."""
        scope = dict(self.names)
        exec(compile("\n".join(self.lines), "<compiled by microgrid>", "exec"), scope)
        return scope


def readable(source: Source) -> str:
    """Return the lines, with what they begin with."""
    return re.sub(r" +\n", "\n", "\n".join(source.lines)) + "\n"
