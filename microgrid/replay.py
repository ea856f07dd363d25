"""The hook for selections: to record which pieces a function's ops choose, and to hold them fast.

A recorder notes every choice in the order of the calls. A replay runs the function again,
elsewhere, with the choices as they were: what it then computes is smooth, and equals the function
where the choices were made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array
from .core import Op, Tensor
from .errors import MicrogridError
from .recording import Watcher
from .selection import Moving


class PathError(MicrogridError, RuntimeError):
    """A function replayed did not call the ops that it called when it was recorded."""


class Recorder(Watcher):
    """Notes the choices of all ops that are called.

    Attributes:
        choices: the op and its choice, for each call of an op that chooses, in order.

    >>> import microgrid as mg
    >>> with Recorder() as recorder:
    ...     y = mg.relu(mg.tensor([-2.0, 0.0, 3.0]))
    >>> recorder.choices
    [(<op relu ()->()>, array([0, 1, 2]))]
    """

    def __init__(self) -> None:
        super().__init__()
        self.choices: list[tuple[Op, Any]] = []

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the op's value, having noted its choice."""
        if op.selection is not None:
            choice = op.selection.choose(*map(Moving, arrays), **params)
            if any(choice is array for array in arrays):
                choice = choice.copy()  # a condition, which may be written to later
            self.choices.append((op, choice))
        return super().run(op, inputs, arrays, params)  # type: ignore[no-any-return]


class Replay(Watcher):
    """Gives the ops the choices that were recorded; an input that has moved changes none of them.

    Raises:
        PathError: an op is called that was not called at this point of the recording, or one that
            was is not.

    >>> import microgrid as mg
    >>> with Replay(recorder_of(mg.relu, mg.tensor(3.0))):
    ...     mg.relu(mg.tensor(-5.0))
    tensor(-5.)
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._choices = iter(recorder.choices)

    def __exit__(self, kind: Any = None, *exception: object) -> None:
        super().__exit__(kind, *exception)
        missing, _ = next(self._choices, (None, None))
        if missing is not None and kind is None:
            raise self._other_path("nothing", missing.name)

    @np.errstate(all="ignore")
    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the value of the pieces that were chosen when the choices were recorded."""
        if op.selection is None:
            return super().run(op, inputs, arrays, params)  # type: ignore[no-any-return]
        recorded, choice = next(self._choices, (None, None))
        if recorded is not op:
            raise self._other_path(op.name, recorded.name if recorded else "nothing")
        try:
            return np.asarray(op.selection.piece(choice, *arrays, **params))
        except ValueError as error:
            raise PathError(
                f"replay: {op.name} was called with other shapes than at first ({error}). Let no "
                "shape depend on values."
            ) from error

    @staticmethod
    def _other_path(now: str, first: str) -> PathError:
        return PathError(
            f"replay: {now} was called where {first} was called at first. Let no Python branch "
            "depend on values; use where()."
        )


def recorder_of(function: Any, *inputs: Any) -> Recorder:
    """Return the recorder of one call of the function."""
    recorder = Recorder()
    with recorder:
        function(*inputs)
    return recorder
