"""backward twice, backward that fails, no_grad, threads."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import GraphError, ShapeError

Function = Callable[..., Any]

USED = (
    r"this graph was already used and released\. Call backward\(retain_graph=True\) the first "
    r"time to "
    r"use it twice\.$"
)


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


# --- 25. backward twice, without a gradient, without a graph -------------------------------------


def test_a_second_backward_is_an_error_that_names_the_fix() -> None:
    x = leaf(3.0)
    y = x * x
    y.backward()
    with pytest.raises(GraphError, match="^backward: " + USED):
        y.backward()
    with pytest.raises(GraphError, match="^gradients: " + USED):
        mg.gradients(y, x)
    assert x.grad == 6


def test_retain_graph_lets_it_be_used_until_a_backward_without() -> None:
    x = leaf(3.0)
    y = x * x
    for times in (1, 2, 3):
        y.backward(retain_graph=True)
        assert x.grad == 6 * times
    y.backward()
    with pytest.raises(GraphError, match=USED):
        y.backward(retain_graph=True)
    assert x.grad == 24


def test_a_part_that_two_losses_share_is_released_by_the_first() -> None:
    x = leaf(3.0)
    shared = mg.exp(x)
    first, second = shared * 2, shared * 3
    first.backward()
    before = x.grad.copy()
    with pytest.raises(GraphError, match="^backward: " + USED):
        second.backward()
    with pytest.raises(GraphError, match="^backward: " + USED):
        (shared * 4).backward()  # a new graph on a released part
    assert x.grad == before
    assert shared.requires_grad


def test_separate_graphs_on_the_same_leaf_are_released_separately() -> None:
    x = leaf(3.0)
    first, second = x * x, x * 2
    first.backward()
    second.backward()
    assert x.grad == 8


def test_a_leaf_can_go_backward_as_often_as_it_likes() -> None:
    x = leaf(3.0)
    x.backward()
    x.backward()
    assert x.grad == 2


def test_gradients_with_create_graph_keeps_both_graphs() -> None:
    x = leaf(0.0)
    y = mg.exp(x)
    first = mg.gradients(y, x, create_graph=True)
    first.backward(retain_graph=True)
    y.backward(retain_graph=True)
    assert x.grad == 2
    first.backward()
    assert x.grad == 3
    with pytest.raises(GraphError, match=USED):
        y.backward()  # the slope of exp was computed from y: its graph is released too
    assert x.grad == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: mg.tensor(3.0),
        lambda: mg.tensor(3.0) * 2,
        lambda: mg.tensor([1, 2]).sum(),
        lambda: leaf(3.0).detach(),
        lambda: (leaf(3.0) * 2).detach() * 3,
        lambda: leaf(3.0) > 2,
        lambda: mg.argmax(leaf([3.0, 1.0])),
        lambda: leaf(3.0).astype(int),
    ],
)
def test_backward_without_a_graph_is_an_error(make: Function) -> None:
    message = (
        r"^backward: the Tensor has no graph: it was not computed from one with "
        r"requires_grad=True, or under no_grad\(\), or by a compiled function\. "
        r"Set requires_grad=True on the leaves first; compile the function that calls backward\.$"
    )
    with pytest.raises(GraphError, match=message):
        make().backward()


@pytest.mark.parametrize("shape", [(2,), (2, 3), (0,)])
def test_backward_of_several_elements_without_a_gradient_is_an_error(shape: Any) -> None:
    x = leaf(np.ones(shape))
    with pytest.raises(GraphError) as caught:
        (x * 2).backward()
    assert str(caught.value) == (
        f"backward: the result has shape {shape} and no gradient was given. Pass one of that "
        f"shape, or "
        "reduce with sum() or mean()."
    )
    assert x.grad is None


def test_gradients_towards_what_requires_none_is_an_error() -> None:
    x, c = leaf([1.0, 2.0]), mg.tensor([1.0, 2.0])
    with pytest.raises(GraphError) as caught:
        mg.gradients((x * c).sum(), [x, c])
    assert str(caught.value) == (
        "gradients: xs[1] of shape (2,) does not require a gradient. Set requires_grad=True on it "
        "before "
        "computing y."
    )


def test_requires_grad_set_later_does_not_change_the_graph() -> None:
    x = mg.tensor(3.0)
    y = x * x
    x.requires_grad = True
    with pytest.raises(GraphError, match="has no graph"):
        y.backward()
    (x * x).backward()
    assert x.grad == 6


def test_only_a_leaf_can_stop_requiring_a_gradient() -> None:
    x = leaf(3.0)
    y = x * 2
    with pytest.raises(
        GraphError, match=r"^requires_grad: False was given for the result of multiply;"
    ):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_a_result_that_depends_by_a_condition_only_has_no_graph() -> None:
    x = leaf([1.0, 0.0])
    y = mg.where(x, 1.0, 2.0).sum()
    assert not y.requires_grad
    with pytest.raises(GraphError, match=r"^backward: the Tensor has no graph"):
        y.backward()
    assert mg.where(x, x, 2.0).requires_grad
    assert mg.where(x, 2.0, x).requires_grad
    slope = mg.gradients(mg.relu(x).sum(), x, create_graph=True)
    assert not slope.requires_grad  # it is constant


# --- 26. collect, then commit --------------------------------------------------------------------


@contextmanager
def failing_op(error: BaseException) -> Iterator[mg.Op]:
    """An op like multiplication by 1 whose rule raises while `armed` is in it."""
    armed = [True]

    def rule(g: Any, y: Any, x: Any) -> Any:
        if armed:
            raise error
        return g

    op = mg.Op(
        name="failing", doc="A copy.", kernel=lambda x, out=None: np.array(x), vjps=(rule,),
        domains=(mg.Domain(),),
    )  # fmt: skip
    object.__setattr__(op, "disarm", armed.clear)
    try:
        yield op
    finally:
        del mg.OPS["failing"]


ERRORS = [
    ValueError("no"),
    KeyboardInterrupt(),
    MemoryError(),
    ShapeError("no"),
    SystemExit(3),
    ZeroDivisionError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_rule_that_raises_leaves_every_grad_as_it_was(error: BaseException, place: str) -> None:
    with failing_op(error) as failing:
        a, b, c = (leaf([1.0, 2.0]) for _ in range(3))
        b.sum().backward()
        before = b.grad
        x = failing(a) if place == "last" else a * 1
        x = x * b
        x = failing(x) if place == "middle" else x * 1
        x = x + c
        x = failing(x) if place == "first" else x * 1
        loss = x.sum()
        for _ in range(2):
            with pytest.raises(type(error)) as caught:
                loss.backward()
            assert caught.value is error
            assert a.grad is None
            assert c.grad is None
            assert b.grad is before
            assert b.grad.tolist() == [1, 1]
        with pytest.raises(type(error)):
            mg.gradients(loss, [a, b, c])
        failing.disarm()
        loss.backward()  # the graph was not released by the failures
        assert (a.grad == [1, 2]).all()
        assert (b.grad == [2, 3]).all()
        assert (c.grad == 1).all()


def test_a_sum_that_fails_at_the_end_commits_nothing() -> None:
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    b.grad = np.ones(3)  # which the gradient cannot be added to
    loss = (a * b).sum()
    with pytest.raises(ValueError, match="shape"):
        loss.backward()
    assert a.grad is None
    assert b.grad.shape == (3,)
    b.grad = None
    loss.backward()
    assert a.grad.tolist() == [1, 2]


def test_an_incoming_gradient_that_does_not_fit_commits_nothing() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    for bad, error in [
        (np.ones(3), ShapeError),
        ("ab", TypeError),
        ([[1.0, 2.0]], ShapeError),
        (1j, TypeError),
    ]:
        with pytest.raises(error):
            y.backward(bad)
    assert x.grad is None
    y.backward([1, 2])
    assert x.grad.tolist() == [2, 4]


def test_errors_do_not_leave_recording_switched() -> None:
    with failing_op(ValueError("no")) as failing:
        x = leaf(3.0)
        y = failing(x * x)
        for recording in (True, False):
            with mg.enable_grad() if recording else mg.no_grad():
                for create_graph in (True, False):
                    with pytest.raises(ValueError, match="no"):
                        mg.gradients(y, x, create_graph=create_graph)
                    assert mg.is_grad_enabled() is recording


def test_errstate_of_the_caller_is_restored() -> None:
    x = leaf([0.0, 1.0])
    y = mg.sqrt(x).sum()
    with np.errstate(all="raise"):
        y.backward()
        with pytest.raises(FloatingPointError):
            np.float64(1) / np.float64(0)
    assert x.grad.tolist() == [np.inf, 0.5]


def test_backward_inside_a_rule() -> None:
    inner = leaf(2.0)

    def rule(g: Any, y: Any, x: Any) -> Any:
        (inner * inner).backward()
        return g

    op = mg.Op(
        name="nesting", doc="A copy.", kernel=lambda x, out=None: np.array(x), vjps=(rule,),
        domains=(mg.Domain(),),
    )  # fmt: skip
    try:
        x = leaf(3.0)
        op(x * x).backward()
    finally:
        del mg.OPS["nesting"]
    assert (x.grad, inner.grad) == (6, 4)


# --- 27. no_grad ---------------------------------------------------------------------------------


def records() -> bool:
    recorded = (leaf(1.0) * 2).requires_grad
    assert recorded is mg.is_grad_enabled()
    return recorded


def test_no_grad_records_nothing() -> None:
    x = leaf([1.0, 2.0])
    with mg.no_grad():
        y = x * 2
        z = mg.exp(y).sum()
    for t in (y, z):
        assert not t.requires_grad
        assert t.is_leaf
        assert t.inputs == ()
    assert x.requires_grad


def test_it_nests() -> None:
    assert records()
    with mg.no_grad():
        assert not records()
        with mg.enable_grad():
            assert records()
            with mg.no_grad():
                assert not records()
            assert records()
        assert not records()
        with mg.no_grad():
            assert not records()
        assert not records()
    assert records()


def test_one_object_can_be_entered_again_and_inside_itself() -> None:
    guard = mg.no_grad()
    for _ in range(2):
        with guard:
            with guard:
                assert not records()
            assert not records()
        assert records()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_it_ends_whatever_happens_inside(error: type[BaseException]) -> None:
    with pytest.raises(error), mg.no_grad():
        raise error
    assert records()


def test_as_a_decorator() -> None:
    @mg.no_grad()
    def forward(x: mg.Tensor, *, times: int = 1) -> mg.Tensor:
        """Double."""
        return x * 2 * times

    @mg.enable_grad()
    def backward(x: mg.Tensor) -> mg.Tensor:
        return x * 2

    assert forward.__name__ == "forward"
    assert forward.__doc__ == "Double."
    x = leaf(1.0)
    assert not forward(x, times=3).requires_grad
    assert (x * 2).requires_grad
    with mg.no_grad():
        assert backward(x).requires_grad
        assert not forward(x).requires_grad

    @mg.no_grad()
    def recursive(n: int) -> int:
        assert not records()
        return n if n == 0 else recursive(n - 1)

    assert recursive(5) == 0
    assert records()

    @mg.no_grad()
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()
    assert records()


def test_what_would_run_after_the_block_cannot_be_decorated() -> None:
    def rows() -> Iterator[bool]:
        yield records()

    async def task() -> bool:
        return records()

    for function in (rows, task):
        with pytest.raises(TypeError) as caught:
            mg.no_grad()(function)
        assert str(caught.value) == (
            f"no_grad: {function.__name__} was decorated, whose body runs after the call has "
            "returned. Write `with no_grad():` inside it."
        )


def in_threads(count: int, work: Function) -> list[Any]:
    """Run work(i, barrier) in threads that meet at a barrier, and return what they return."""
    barrier = threading.Barrier(count, timeout=20)
    with ThreadPoolExecutor(count) as pool:
        return [f.result() for f in [pool.submit(work, i, barrier) for i in range(count)]]


def test_no_grad_holds_for_its_thread_only() -> None:
    def work(i: int, barrier: threading.Barrier) -> list[bool]:
        seen = [records()]
        barrier.wait()
        with mg.no_grad() if i % 2 else mg.enable_grad():
            barrier.wait()
            seen.append(records())
            barrier.wait()
        barrier.wait()
        seen.append(records())
        return seen

    for i, seen in enumerate(in_threads(6, work)):
        assert seen == [True, i % 2 == 0, True]


def test_one_decorated_function_in_many_threads() -> None:
    @mg.no_grad()
    def meet(barrier: threading.Barrier) -> bool:
        barrier.wait()
        inside = records()
        barrier.wait()
        return inside

    def work(i: int, barrier: threading.Barrier) -> tuple[bool, bool]:
        return meet(barrier), records()

    assert in_threads(4, work) == [(False, True)] * 4


def test_a_thread_started_inside_no_grad_records_unless_it_gets_the_context() -> None:
    seen = {}
    with mg.no_grad():
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(lambda: seen.setdefault("copied", records()),)
        )
        thread.start()
        thread.join()
        fresh = threading.Thread(
            target=contextvars.Context().run, args=(lambda: seen.setdefault("fresh", records()),)
        )
        fresh.start()
        fresh.join()
    assert seen == {"copied": False, "fresh": True}


def test_no_grad_holds_for_its_asyncio_task_only() -> None:
    async def task(quiet: bool) -> list[bool]:
        seen = []
        with mg.no_grad() if quiet else mg.enable_grad():
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(records())
        seen.append(records())
        return seen

    async def main() -> list[list[bool]]:
        return await asyncio.gather(*(task(i % 2 == 0) for i in range(4)))

    assert asyncio.run(main()) == [[False] * 3 + [True], [True] * 4] * 2


def train(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    w, b = leaf(rng.normal(size=(4, 3))), leaf(np.zeros(3))
    x, labels = rng.normal(size=(8, 4)), rng.integers(3, size=8)
    for _ in range(30):
        w.grad = b.grad = None
        loss = mg.cross_entropy(mg.tanh(x @ w + b), labels) + mg.norm(w)
        loss.backward()
        with mg.no_grad():
            w.data -= 0.1 * w.grad
            b.data -= 0.1 * b.grad
    return w.data.tobytes() + b.data.tobytes()


def test_threads_on_separate_graphs_give_identical_results() -> None:
    alone = [train(i % 3) for i in range(3)]

    def work(i: int, barrier: threading.Barrier) -> bytes:
        barrier.wait()
        return train(i % 3)

    for i, result in enumerate(in_threads(6, work)):
        assert result == alone[i % 3]


def test_threads_may_share_leaves_that_nobody_writes_to() -> None:
    w = leaf(np.arange(12.0).reshape(4, 3))
    x = np.ones((2, 4))

    def work(i: int, barrier: threading.Barrier) -> bytes:
        barrier.wait()
        found = [mg.gradients(mg.tanh(x @ w * 0.01).sum(), w).data.tobytes() for _ in range(20)]
        assert len(set(found)) == 1
        return found[0]

    assert len(set(in_threads(4, work))) == 1
    assert w.grad is None


def test_functions_that_are_cached_or_partial_work_in_a_graph() -> None:
    x = leaf(3.0)
    functools.partial(mg.multiply, 2.0)(x).backward()
    functools.reduce(mg.multiply, [x, x, x]).backward()
    assert x.grad == 2 + 27
