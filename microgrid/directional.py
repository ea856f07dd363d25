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

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .arrays import Array, exact
from .backward import gradients
from .core import Op, Tensor, wrap
from .linearise import Linearised, filled_like, seed_for, unwrapped
from .nested import Structure
from .recording import Watcher, enable_grad
from .selection import Moving

Tangents = tuple[Array, ...]

SPREAD = 2**20  # of the integers that break what a direction leaves tied; in halves 1000


def directional_derivative(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """Return how fast f changes as x starts to move along v: exactly, at kinks too.

    It is the one-sided derivative, the limit of (f(x + h * v) - f(x)) / h for h falling to 0. At a
    kink that is no linear function of v: the derivative of |x| at 0 is |v|.

    Args:
        f: takes x, returns a Tensor float[...], or a dict, list or tuple of Tensors.
        x: float[...]: a number, an array, a Tensor; a Module; or a dict, list or tuple of these.
        v: of the same structure and shapes.

    Returns:
        In the structure of f's result: Tensors, or arrays if x and v hold only arrays and numbers.
        They have no graph. Where f jumps, it is the derivative of the piece that v leads into.

    Raises:
        DtypeError: x is not numeric.
        GraphError: f's result is no Tensor.
        ShapeError: v does not fit x.

    Ties are told from rounding exactly, so give numbers that are computed with exactly where that
    matters: integers, halves and quarters in floats, or Fractions. And they are broken by first
    derivatives: where x starts to move, x * x does not, so that what bends there, as sqrt(x * x)
    at 0, is not followed. Use absolute() and norm().

    >>> import microgrid as mg
    >>> [mg.directional_derivative(mg.relu, 0.0, v) for v in (1.0, -1.0)]
    [np.float64(1.0), np.float64(0.0)]
    >>> mg.directional_derivative(lambda x: mg.relu(x) - mg.relu(-x), 0.0, -2.0)
    np.float64(-2.0)
    """
    who = "directional_derivative"
    with Toward() as toward:

        def prepare(point: Linearised) -> None:
            (argument,) = point.arguments
            toward.send_all(who, point.variables, argument.matched(who, v, "v", "x"))

        point = Linearised(who, f, (x,), {}, 0, prepare=prepare)
        found = [wrap(toward.along_first(y)) for y in point.results]
    plain = not any(isinstance(leaf.value, Tensor) for leaf in Structure([x, v]).leaves(""))
    return point.like_result([unwrapped(t) if plain else t for t in found])


def gradient_toward(
    who: str,
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    direction: Any,
) -> tuple[Linearised, list[Tensor]]:
    """Return f at its arguments, and the gradient of the pieces that the direction leads into."""
    with Toward() as toward:

        def prepare(point: Linearised) -> None:
            given = (direction,) if len(point.arguments) == 1 else direction
            if isinstance(argnums, Sequence):
                given = direction
            argument = Structure([part.tree for part in point.arguments])
            columns = argument.matched(who, given, "toward", "the arguments")
            toward.send_all(who, point.variables, columns)

        point = Linearised(who, f, args, kwargs, argnums, has_aux, prepare)
        seed = wrap(filled_like(point.single(who), 1))
        found = point.way.carry([seed], record=True)
    return point, found if point.joined else [g.detach() for g in found]


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

    def send_all(self, who: str, variables: Sequence[Tensor], given: Iterable[Any]) -> None:
        """Let the variables move along what is given, and along integers where that ties."""
        rng = np.random.default_rng(0)
        for x, direction in zip(variables, given, strict=True):
            spread = SPREAD if x.dtype != np.float16 else 1000
            generic = rng.integers(1, spread, x.shape) * rng.choice([-1, 1], x.shape)
            if x.dtype.hasobject:
                generic = np.frompyfunc(exact, 1, 1)(generic)
            first = seed_for(who, direction, x)._data
            self.send(x, first, np.asarray(generic).astype(x.dtype))

    def along_first(self, y: Tensor) -> Array:
        """Return how fast y moves along the direction itself."""
        tangents = self.tangents(y)
        if not tangents:
            return filled_like(y, 0)
        if y.dtype.hasobject:
            return np.asarray(np.frompyfunc(exact, 1, 1)(tangents[0]), object)
        return np.array(tangents[0], y.dtype)

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the value of the pieces that the inputs will be on an instant later."""
        if op.selection is None:
            return super().run(op, inputs, arrays, params)  # type: ignore[no-any-return]
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
                    # With a graph the rules run on Tensors, so that choices in them are seen.
                    moved = gradients(row, u, along, create_graph=True)
                    total[j] = total[j] + moved._data
        return total
