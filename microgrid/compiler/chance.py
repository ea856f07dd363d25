"""Random numbers that a step draws where the tracer cannot see it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# By module, what tells the state of the generator that all share.
_SHARED = {"random": "getstate", "numpy.random": "get_state"}


class Chance:
    """The state of the random generators that a step can reach, before it is run."""

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        self._generators = generators
        self._before = self._states()

    def _states(self) -> list[Any]:
        shared = (
            _comparable(getattr(sys.modules[name], tell)())
            for name, tell in _SHARED.items()
            if name in sys.modules
        )
        own = (_comparable(rng.bit_generator.state) for rng in self._generators)
        return [*shared, *own]

    def was_used(self, by_ops: Iterable[Any]) -> bool:
        """Return whether one has drawn since, but for those that ops have drawn from."""
        now = self._states()
        drawn = {id(rng) for rng in by_ops}
        own = [id(rng) in drawn for rng in self._generators]
        allowed = [False] * (len(now) - len(own)) + own
        pairs = zip(self._before, now, allowed, strict=True)
        return any(a != b and not fine for a, b, fine in pairs)


def _comparable(state: Any) -> Any:
    """Return a state with bytes in place of its arrays."""
    if isinstance(state, dict):
        return [_comparable(part) for part in state.values()]
    if isinstance(state, tuple) and any(isinstance(part, np.ndarray) for part in state):
        return [_comparable(part) for part in state]
    return state.tobytes() if isinstance(state, np.ndarray) else state
