"""Random numbers that a step draws where the tracer cannot see it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# By module, what tells the state of the generator that all share, and what sets it.
_SHARED = {"random": ("getstate", "setstate"), "numpy.random": ("get_state", "set_state")}


class Chance:
    """The random generators that a step can reach, as they are before it is run."""

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        self._generators = generators
        self._modules = [name for name in _SHARED if name in sys.modules]
        self._before = self._states()

    def _states(self) -> list[Any]:
        shared = [getattr(sys.modules[name], _SHARED[name][0])() for name in self._modules]
        return [*shared, *(rng.bit_generator.state for rng in self._generators)]

    def was_used(self, by_ops: Iterable[Any]) -> bool:
        """Return whether one has drawn since, but for those that ops have drawn from."""
        drawn = {id(rng) for rng in by_ops}
        allowed = [False] * len(self._modules) + [id(rng) in drawn for rng in self._generators]
        pairs = zip(self._before, self._states(), allowed, strict=True)
        return any(not fine and _comparable(a) != _comparable(b) for a, b, fine in pairs)

    def restore(self) -> None:
        """Let all draw again what they have drawn since."""
        for name, state in zip(self._modules, self._before, strict=False):
            getattr(sys.modules[name], _SHARED[name][1])(state)
        own = self._before[len(self._modules) :]
        for rng, state in zip(self._generators, own, strict=True):
            rng.bit_generator.state = state


def _comparable(state: Any) -> Any:
    """Return a state with bytes in place of its arrays."""
    if isinstance(state, dict):
        return [_comparable(part) for part in state.values()]
    if isinstance(state, tuple) and any(isinstance(part, np.ndarray) for part in state):
        return [_comparable(part) for part in state]
    return state.tobytes() if isinstance(state, np.ndarray) else state
