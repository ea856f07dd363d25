"""True derivatives through kinks: along a direction an instant later every choice is clear.

Forward along the graph go tangents, the derivatives of each value along a direction. At a kink
they tell which piece comes next: relu at 0 goes on with slope 1 if its input grows. What is still
tied along the direction is told apart by a second one, drawn at random. With the pieces so chosen
the result's tangent is the exact one-sided derivative, and going back gives a gradient that is the
limit of gradients on the way.

Sources: Kakade & Lee (2018), Provably correct automatic sub-differentiation for qualified programs;
Nesterov (2005), Lexicographic differentiation of nonsmooth functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .arrays import Array
from .backward import gradients
from .core import Op, Tensor
from .recording import Watcher, enable_grad
from .selection import Moving

Tangents = tuple[Array, ...]


class Toward(Watcher):
    """Lets every op choose the piece that it is on an instant later, on the way along a direction.

    Tangents are worked out when a tie asks for them, and never twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[Tensor, Tangents] = {}
        self._choices: dict[Tensor, Any] = {}
        self._choice: Any = None
        self._aside = False
        self.choices: list[tuple[Op, Any]] = []

    def send(self, x: Tensor, *tangents: Array) -> None:
        """Let x move along the first of the tangents, and along the next where that ties."""
        self._known[x] = tangents

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the value of the pieces that the inputs will be on an instant later."""
        if op.selection is None:
            return super().run(op, inputs, arrays, params)
        moving = [Moving(a, partial(self.tangents, x)) for a, x in zip(arrays, inputs, strict=True)]
        choice = op.selection.choose(*moving, **params)
        if not self._aside:
            self.choices.append((op, choice))
        self._choice = choice
        return np.asarray(op.selection.piece(choice, *arrays, **params))

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        """Remember what the op chose: its tangent is that of the piece."""
        if op.selection is not None and y.op is not None:
            self._choices[y] = self._choice
        super().done(op, inputs, params, y)

    def tangents(self, y: Tensor) -> Tangents:
        """Return how y moves, from how what it was computed from moves; nothing if it stays."""
        aside, self._aside = self._aside, True
        try:
            for node in self._unknown(y):
                self._known[node] = ()  # a rule that asks for its own result's sees it at rest
                self._known[node] = self._tangents_of(node)
        finally:
            self._aside = aside
        return self._known.get(y, ())

    def _unknown(self, y: Tensor) -> list[Tensor]:
        """Return y and its ancestors whose tangents are not known, oldest first."""
        found: set[Tensor] = set()
        stack = [y]
        while stack:
            node = stack.pop()
            if node.op is None or node in self._known or node in found:
                continue
            found.add(node)
            stack += node.inputs or ()
        return sorted(found, key=lambda node: node.serial)

    @np.errstate(all="ignore")
    def _tangents_of(self, y: Tensor) -> Tangents:
        op, inputs = y.op, y.inputs
        if op is None or inputs is None:
            return ()
        given = [self._known.get(x, ()) for x in inputs]
        count = max(map(len, given))
        if not count or y.dtype.kind not in "fO":
            return ()
        columns = [
            [t[i] if t else np.zeros_like(x._data) for t, x in zip(given, inputs, strict=True)]
            for i in range(count)
        ]
        if op.selection is not None and op.selection.tangent is not None:
            tangent, choice = op.selection.tangent, self._choices[y]
            found = [tangent(choice, *column, **y.params) for column in columns]
        else:
            found = self._by_rules(op, inputs, y, columns)
        return tuple(np.broadcast_to(np.asarray(t), y.shape) for t in found)

    def _by_rules(
        self, op: Op, inputs: Sequence[Tensor], y: Tensor, columns: list[list[Array]]
    ) -> list[Any]:
        """Return J t for each column t.

        The rules give u -> u J. That is linear, so its own gradient towards u along t is J t
        (Townsend, 2017).
        """
        total: list[Any] = [np.zeros_like(y._data) for _ in columns]
        with enable_grad():
            u = Tensor(np.zeros_like(y._data), requires_grad=True)
            for i, rule in enumerate(op.rules(len(inputs))):
                if rule is None or not self._known.get(inputs[i]):
                    continue
                row = rule(u, y, *inputs, **y.params)
                if not isinstance(row, Tensor) or not row.requires_grad:
                    continue
                for j, column in enumerate(columns):
                    along = np.broadcast_to(column[i], row.shape)
                    total[j] = total[j] + gradients(row, u, along)._data
        return total
