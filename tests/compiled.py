"""What the tests of compiled steps share: a step run as written beside its compiled twin.

Eager code is the oracle. Both sides are built by the same function, so that they have parameters,
optimisers and generators of their own; after each call everything that can be seen is compared bit
for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn

# Older ones take loops with other last digits, as of powers, by how operands lie in memory: docs/
# compile.md says so. They are tested on arrays that lie as usual.
with_the_loops_of_new_numpy = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.4.0",
    reason="before NumPy 2.4 the last digits hang on the layout in memory",
)

Step = Callable[..., Any]
Seen = Callable[[], Any]


def bits(value: Any) -> Any:
    """Return what must be equal: shapes, dtypes and bytes of arrays; nan is nan whatever its bits.

    Eager code returns numbers where all operands are arrays, compiled code Tensors: both are taken
    as arrays. A number of Python's own stands for itself.
    """
    if isinstance(value, dict):
        return {key: bits(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [bits(part) for part in value]
    if isinstance(value, mg.Tensor):
        value = value._data
    if not isinstance(value, (np.ndarray, np.generic, Fraction)):
        return value
    array = np.array(value)
    if array.dtype.hasobject:
        return array.shape, array.dtype, array.tolist()
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return array.shape, array.dtype, array.tobytes()


def difference(found: Any, expected: Any, place: str = "result") -> Iterator[str]:
    """Yield where two values differ, in words."""
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        for key in expected:
            yield from difference(found[key], expected[key], f"{place}[{key!r}]")
    elif isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)):
        if len(found) != len(expected):
            yield f"{place}: {len(found)} parts, not {len(expected)}"
        for i, (a, b) in enumerate(zip(found, expected, strict=False)):
            yield from difference(a, b, f"{place}[{i}]")
    elif bits(found) != bits(expected):
        yield f"{place}: compiled {found!r}, eager {expected!r}"


def check_same(found: Any, expected: Any, place: str = "result") -> None:
    """Raise unless both are the same, bit for bit."""
    where = list(difference(found, expected, place))
    assert not where, "; ".join(where)


class Twins:
    """A step as it is written, and its compiled twin.

    Args:
        build: returns a new step, and a function that returns all that it changes.
        options: of mg.compile.

    Attributes:
        compiled: the compiled one.
        calls: how often both were called.
    """

    def __init__(self, build: Callable[[], tuple[Step, Seen]], **options: Any) -> None:
        self.eager, self.seen = build()
        step, self.compiled_seen = build()
        self.compiled = mg.compile(step, **options)
        self.calls = 0

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call both with the same arguments; compare; return the result of the compiled one."""
        self.calls += 1
        with np.errstate(all="ignore"):  # a result of arrays alone is NumPy's, which warns
            expected = self.eager(*args, **kwargs)
        found = self.compiled(*args, **kwargs)
        check_same(found, expected, f"call {self.calls}")
        self.check_seen()
        return found

    def check_seen(self) -> None:
        """Raise unless both sides show the same."""
        check_same(self.compiled_seen(), self.seen(), f"after call {self.calls}")

    def call_each(self, batches: Any) -> None:
        """Call both with each of the batches, tuples of arguments."""
        for batch in batches:
            self.call(*batch)


def twins_or_refusal(twins: Twins, *args: Any) -> bool:
    """Call both; return whether the compiled one gave the eager result: else it was a TraceError.

    Anything else, as a wrong result, raises.
    """
    try:
        twins.call(*args)
    except mg.errors.TraceError:
        return False
    return True


# --- drawing -------------------------------------------------------------------------------------


def laid_out_as(like: np.ndarray, values: Any) -> np.ndarray:
    """Return the values in memory that lies as that of `like`: with its strides."""
    reach = [max(n - 1, 0) * s for n, s in zip(like.shape, like.strides, strict=True)]
    low = -sum(r for r in reach if r < 0)
    count = (low + sum(r for r in reach if r > 0)) // like.itemsize + 1
    memory = np.zeros(count, like.dtype)
    array: np.ndarray = np.ndarray(like.shape, like.dtype, memory, offset=low, strides=like.strides)
    array[...] = np.asarray(values, like.dtype).reshape(like.shape)
    array.flags.writeable = like.flags.writeable
    return array


def redrawn(op: mg.Op, inputs: Any, params: dict[str, Any], seed: int) -> list[np.ndarray]:
    """Return other inputs of the same shapes, dtypes and strides, from the domains of the op.

    Half of the numbers are points that a domain names, knots, and numbers that stand in the inputs
    already: so they meet kinks, and each other.
    """
    rng = np.random.default_rng(seed)
    knots = [float(k) for k in op.pieces(**params).knots] if op.pieces else []
    found = []
    for i, a in enumerate(inputs):
        domain = op.domains[i if op.arity is not None else 0]
        shared = [x for b in inputs if b.dtype == a.dtype for x in b.ravel().tolist()]
        points = [*domain.include, *knots, *shared]
        points = [p for p in points if domain.low <= p <= domain.high or p in domain.include]
        drawn = rng.uniform(domain.low, domain.high, a.shape)
        if domain.kind != "float":
            drawn = rng.integers(int(domain.low), int(domain.high) + 1, a.shape)
        if points:
            drawn = np.where(rng.random(a.shape) < 0.5, rng.choice(points, a.shape), drawn)
        found.append(laid_out_as(a, drawn))
    return found


def attempt(step: Step, *args: Any) -> tuple[Any, Exception | None]:
    """Return the result and None, or None and the error."""
    try:
        with np.errstate(all="ignore"):
            return step(*args), None
    except Exception as error:
        return None, error


class World(SimpleNamespace):
    """What a step relies on, one for each side: its builder puts there what a test changes."""

    def seen(self) -> Any:
        """Return what else is compared after each call."""
        return None


def check_live(
    build: Callable[[World], Step],
    *changes: Callable[[World], Any],
    args: tuple[Any, ...] = (),
    before: int = 3,
    after: int = 3,
) -> mg.errors.TraceError | None:
    """Raise unless each change is seen: by eager results afterwards, or by a TraceError.

    Args:
        build: puts what the step relies on into a World; returns the step.
        changes: what is done between calls, to both sides.
        args: of each call.
        before: how many calls there are before each change.
        after: how many there are after the last one.

    Returns:
        The TraceError, if there was one.
    """
    eager, compiled = World(), World()
    step, twin = build(eager), mg.compile(build(compiled))
    for i, change in enumerate([*changes, None]):
        for call in range(before if change else after):
            place = f"call {call} after {i} changes"
            expected, fault = attempt(step, *args)
            found, error = attempt(twin, *args)
            if isinstance(error, mg.errors.TraceError):
                return error
            assert type(error) is type(fault), f"{place}: compiled {error!r}, eager {fault!r}"
            if fault is not None:
                return None  # it may have been left half done
            check_same(found, expected, place)
            check_same(compiled.seen(), eager.seen(), f"seen in {place}")
        if change:
            change(eager)
            change(compiled)
    return None


# --- a model that is trained ----------------------------------------------------------------------

X = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]], np.float32)
Y = np.array([[1.0], [-0.5], [0.25]], np.float32)


def trained(
    w: World, step: Callable[[World, Any, Any], Any] | None = None, **settings: Any
) -> Callable[[Any, Any], Any]:
    """Put a model and an optimiser into a World; return a training step, the usual one or this."""
    w.model = nn.MLP([2, 3, 1], "tanh", rng=0)
    w.optimizer = mg.optim.SGD(w.model.parameters(), **{"lr": 0.1, **settings})
    w.held = []
    w.seen = lambda: [
        [[p.data, p.grad] for p in w.model.parameters()], w.optimizer.state_dict(), w.held,
    ]  # fmt: skip
    return lambda x, y: (step or usual)(w, x, y)


def usual(w: World, x: Any, y: Any) -> Any:
    loss = mg.mse_loss(w.model(x), y)
    w.optimizer.zero_grad()
    loss.backward()
    w.optimizer.step()
    return loss


def check_training(build: Any, *changes: Any, refused: bool = False, **options: Any) -> None:
    """Raise unless eager code and compiled code show the same, in each call and all through."""
    error = check_live(build, *changes, args=(X, Y), **options)
    assert refused or error is None
