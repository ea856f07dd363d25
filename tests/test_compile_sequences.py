"""Random sequences: of what steps write and gather, and of what users change between calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from compiled import Twins, check_training, trained
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_compile_changes import CHANGES
from test_compile_updates import STEPS

import microgrid as mg

LEAVES = 3
SHAPE = (2, 3)

# --- steps ---------------------------------------------------------------------------------------


class State:
    """What the actions of a random step work on."""

    def __init__(self) -> None:
        values = np.linspace(-1, 1, 6 * LEAVES).reshape(LEAVES, *SHAPE)
        self.leaves = [mg.tensor(v, requires_grad=True) for v in values]
        self.optimizer = mg.optim.SGD(self.leaves[:2], lr=0.1, momentum=0.5)
        self.constant = mg.tensor(values[0] * 3)


class Run:
    """One call of a random step: the state, and what was made so far."""

    def __init__(self, state: State, x: Any) -> None:
        self.leaves, self.optimizer, self.constant = state.leaves, state.optimizer, state.constant
        self.made = [x.detach()]  # both sides are given the same, which is not to be written to

    def value(self, i: int) -> Any:
        """Return one of the leaves, or of what was made."""
        everything = [*self.leaves, self.constant, *self.made]
        return everything[i % len(everything)]


def compute(s: Run, i: int, j: int) -> None:
    a, b = s.value(i), s.value(j)
    kinds: list[Callable[[], Any]] = [
        lambda: a + b, lambda: a * b, lambda: a - 2 * b, lambda: mg.tanh(a),
        lambda: mg.maximum(a, b), lambda: mg.matmul(a, b.T), lambda: a[::-1], lambda: a.T.T,
        lambda: a * 1,
        lambda: mg.sum(a, axis=0) + b, lambda: mg.softmax(a, axis=-1), lambda: mg.relu(b),
    ]  # fmt: skip
    y = kinds[(i + 5 * j) % len(kinds)]()
    s.made.append(y if y.shape == SHAPE else y.sum() * b)


def compute_without_graph(s: Run, i: int, j: int) -> None:
    with mg.no_grad():
        compute(s, i, j)


def detach(s: Run, i: int, j: int) -> None:
    s.made.append(s.value(i).detach())


def write(s: Run, i: int, j: int) -> None:
    mg.assign(s.leaves[i % LEAVES], mg.tanh(s.value(j)).detach())


def write_a_leaf(s: Run, i: int, j: int) -> None:
    mg.assign(s.leaves[i % LEAVES], s.leaves[j % LEAVES])


def add_in_place(s: Run, i: int, j: int) -> None:
    with mg.no_grad():
        leaf = s.leaves[i % LEAVES]
        leaf += 0.5 * mg.tanh(s.value(j))


def write_what_was_made(s: Run, i: int, j: int) -> None:
    if s.made and s.made[i % len(s.made)].is_leaf:
        mg.assign(s.made[i % len(s.made)], s.leaves[j % LEAVES] * 2)


def backward(s: Run, i: int, j: int) -> None:
    mg.mean(mg.tanh(s.value(i)) * s.value(j)).backward(retain_graph=True)


def backward_with_a_gradient(s: Run, i: int, j: int) -> None:
    s.value(i).backward(s.value(j).detach(), retain_graph=True)


def gradients(s: Run, i: int, j: int) -> None:
    y = mg.sum(s.value(i) * s.value(i))
    if y.requires_grad:
        s.made.append(mg.gradients(y, s.leaves[j % LEAVES], create_graph=bool(i % 2)))


def zero(s: Run, i: int, j: int) -> None:
    s.leaves[i % LEAVES].zero_grad()


def set_none(s: Run, i: int, j: int) -> None:
    s.leaves[i % LEAVES].grad = None


def zero_all(s: Run, i: int, j: int) -> None:
    s.optimizer.zero_grad()


def update(s: Run, i: int, j: int) -> None:
    s.optimizer.step()


ACTIONS = [
    compute, compute, compute, compute_without_graph, detach, write, write_a_leaf, add_in_place,
    write_what_was_made, backward, backward, backward_with_a_gradient, gradients, zero, set_none,
    zero_all, update, update,
]  # fmt: skip
PLACES = st.integers(0, 11)
SEQUENCES = st.lists(st.tuples(st.sampled_from(ACTIONS), PLACES, PLACES), min_size=2, max_size=12)


def sequence(actions: Any) -> Callable[[], Any]:
    """Return a builder of a step that does the actions."""

    def build() -> Any:
        s = State()

        def step(x: Any) -> Any:
            run = Run(s, x)
            for action, i, j in actions:
                action(run, i, j)
            return [*run.made, *s.leaves]

        def seen() -> Any:
            return [[p.data, p.grad] for p in s.leaves], s.optimizer.state_dict()

        return step, seen

    return build


def is_legal(actions: Any) -> bool:
    """Return whether eager code can do the actions again and again."""
    step, _ = sequence(actions)()
    try:
        for _ in range(4):
            step(mg.tensor(np.ones(SHAPE)))
    except mg.errors.MicrogridError:
        return False
    return True


@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(actions=SEQUENCES)
def test_steps_that_write_and_accumulate_are_those_of_eager_code(actions: Any) -> None:
    if not is_legal(actions):
        return
    twins = Twins(sequence(actions))
    for i in range(4):
        x = mg.tensor(np.cos(np.arange(6.0) * (i + 1)).reshape(SHAPE))
        try:
            twins.call(x)
        except mg.errors.TraceError:
            return


# --- users ---------------------------------------------------------------------------------------

KINDS_OF_SETTINGS: list[dict[str, Any]] = [
    {}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"momentum": 0.5, "nesterov": True},
]  # fmt: skip


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(
    step=st.sampled_from(STEPS),
    options=st.sampled_from(KINDS_OF_SETTINGS),
    changes=st.lists(st.sampled_from(CHANGES), min_size=2, max_size=6),
    before=st.integers(0, 3),
)
def test_any_changes_in_any_order_are_seen(
    step: Any, options: Any, changes: Any, before: int
) -> None:
    def legal(change: Any) -> Callable[[Any], None]:
        def apply(w: Any) -> None:
            try:
                change(w)
            except (IndexError, AttributeError, ValueError, mg.errors.MicrogridError):
                w.failed = True  # the same on both sides

        return apply

    check_training(
        lambda w: trained(w, step, **options), *map(legal, changes), refused=True, before=before
    )
