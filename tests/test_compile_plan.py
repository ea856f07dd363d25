"""What the compiler does to a program: passes, memory, source. And faults, planted, are found."""

from __future__ import annotations

import ast
import gc
import inspect
import re
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from compiled import Twins, World, X, Y, bits, check_same, trained, usual

import microgrid as mg
from microgrid import nn
from microgrid.compiler import arena
from microgrid.compiler.arena import ALIGNMENT, Pool, aligned, shaped, side_by_side

PASSES = ("folded", "shared", "skipped", "pruned", "reuse", "flat", "inline")


def compiled(build: Any, *args: Any, without: Any = (), calls: int = 3) -> Any:
    """Return the step, compiled and called."""
    step = mg.compile(build, without=without)
    for _ in range(calls):
        step(*args)
    return step


def notes(step: Any) -> dict[str, int]:
    """Return what the passes say that they did, from the report."""
    found = re.findall(r"(\d+) (folded|shared|skipped|pruned)", step.explain())
    return {word: int(count) for count, word in found}


def number(step: Any, what: str) -> int:
    """Return a number in the report, by the words that follow it."""
    found = re.search(rf"(\d+) {what}", step.explain())
    assert found is not None, step.explain()
    return int(found[1])


# --- passes one by one ---------------------------------------------------------------------------


def wasteful(x: Any) -> Any:
    """Return what gives every pass something to do."""
    slope = mg.grad(lambda x: mg.mean(x * x))(x)  # whose seed is folded
    twice = mg.exp(x) + mg.exp(x)  # shared
    mg.tanh(x) * 3  # pruned
    same = twice * 1  # skipped
    return mg.sqrt(mg.square(same + slope))  # in place


X4 = np.linspace(-1, 1, 12).reshape(3, 4)


@pytest.mark.parametrize("left_out", [*((name,) for name in PASSES), PASSES, ()], ids=str)
def test_without_a_pass_the_results_are_the_same_bits(left_out: tuple[str, ...]) -> None:
    twins = Twins(lambda: (wasteful, lambda: None), without=left_out)
    for i in range(4):
        twins.call(mg.tensor(X4 * i))


@pytest.mark.parametrize("word", ["folded", "shared", "skipped", "pruned"])
def test_each_pass_tells_what_it_left_out(word: str) -> None:
    assert notes(compiled(wasteful, mg.tensor(X4)))[word] > 0
    without = compiled(wasteful, mg.tensor(X4), without=[word])
    assert notes(without).get(word, 0) == 0


def count(step: Any, name: str) -> int:
    """Return how many calls of an op the report names."""
    found = re.search(rf"(\d+) {name}\b", step.explain().splitlines()[0])
    return int(found[1]) if found else 0


def test_what_depends_on_constants_only_is_computed_once() -> None:
    p = mg.tensor(X4, requires_grad=True)

    def step() -> Any:
        return mg.gradients(mg.sum(p.astype(np.float32).astype(np.float64)), p)  # of ones alone

    assert count(compiled(step), "astype") == 0
    assert count(compiled(step, without=["folded"]), "astype") > 0


def test_what_is_computed_twice_is_computed_once() -> None:
    def step(x: Any) -> Any:
        return mg.exp(x) * mg.exp(x) + mg.sum(x, axis=0) - mg.sum(x, axis=0)

    assert count(compiled(step, mg.tensor(X4)), "exp") == 1
    assert count(compiled(step, mg.tensor(X4), without=["shared"]), "exp") == 2


def test_ops_with_other_parameters_are_not_shared() -> None:
    def step(x: Any) -> Any:
        return (
            mg.sum(x, axis=0), mg.sum(x, axis=1), mg.clip(x, 0.0, 1), mg.clip(x, -0.0, 1),
            mg.astype(x, np.float32), mg.astype(x, np.float16), x[0], x[1], x[[0, 1]], x[[1, 0]],
            mg.leaky_relu(x, 0.1), mg.leaky_relu(x, 0.2), x * 1, x * True, x * 1.5, 1.5 * x,
        )  # fmt: skip

    for x in (X4, np.arange(12).reshape(3, 4) - 6, np.array([[0.0, -0.0], [-0.0, 0.0]])):
        twins = Twins(lambda: (step, lambda: None))
        for _ in range(3):
            twins.call(mg.tensor(x))


def test_what_is_drawn_twice_is_not_shared() -> None:
    rng = np.random.default_rng(0)

    def step(x: Any) -> Any:
        return mg.rrelu(x, training=True, rng=rng) - mg.rrelu(x, training=True, rng=rng)

    assert np.any(compiled(step, mg.tensor(-np.ones(9)))(mg.tensor(-np.ones(9))).data != 0)


def test_what_is_written_between_is_not_shared() -> None:
    def build() -> Any:
        p = mg.tensor(X4)

        def step() -> Any:
            before = mg.sum(p * 2)
            mg.assign(p, p + 1)
            return before, mg.sum(p * 2), p[0], p.T

        return step, lambda: p.data

    twins = Twins(build)
    for _ in range(4):
        twins.call()


def test_what_nobody_reads_is_not_computed() -> None:
    def step(x: Any) -> Any:
        mg.tanh(mg.exp(x))
        return mg.sin(x)

    done = compiled(step, mg.tensor(X4))
    assert count(done, "tanh") == count(done, "exp") == 0
    assert count(compiled(step, mg.tensor(X4), without=["pruned"]), "tanh") == 1


def test_gradients_that_nobody_reads_are_not_computed() -> None:
    p, q = mg.tensor(X4, requires_grad=True), mg.tensor(X4.T, requires_grad=True)

    def step(both: bool) -> Any:
        loss = mg.sum(mg.matmul(p, q))
        found = mg.gradients(loss, [p, q])
        return found if both else found[0]

    assert count(compiled(step, True), "matmul") > count(compiled(step, False), "matmul")


def test_a_product_with_one_is_the_other_factor() -> None:
    assert count(compiled(lambda x: mg.exp(mg.exp(x) * 1), mg.tensor(X4)), "multiply") == 0
    twins = Twins(lambda: (lambda x: (mg.exp(x) * 1, x * 1.0, 1 / x * 1, x / 1), lambda: None))
    for x in (X4, X4.astype(np.float32), np.array([1, 2]), np.array([np.nan, -0.0, np.inf])):
        for _ in range(2):
            twins.call(mg.tensor(x))


def chained(x: Any) -> Any:
    """Return a chain of ops that may all be done in one place."""
    for _ in range(20):
        x = mg.sin(x) + 1
    return x


def test_memory_is_used_again() -> None:
    few, many = compiled(chained, X4), compiled(chained, X4, without=["reuse"])
    assert len(few.buffers) <= 2
    assert len(many.buffers) >= 20
    assert few.memory < many.memory
    assert number(few, "times that of an operand") >= 20
    assert "used again: 0 times memory that was free, 0 times that" in many.explain()


def test_updates_take_all_parameters_at_once() -> None:
    one, each = World(), World()
    flat = compiled(trained(one), X, Y)
    parts = compiled(trained(each), X, Y, without=["flat"])
    assert flat.source != parts.source
    check_same(one.model.state_dict(), each.model.state_dict())
    weights = [p.data for p in one.model.parameters()]
    assert len({id(a.base) for a in weights}) == 1  # side by side
    assert len({id(p.data.base) for p in each.model.parameters()} - {id(None)}) == 0
    assert bits(flat(X, Y)) == bits(parts(X, Y))


def test_kernels_are_written_out() -> None:
    inline = compiled(mg.relu, mg.tensor(X4))
    called = compiled(mg.relu, mg.tensor(X4), without=["inline"])
    assert inline.source != called.source
    check_same(inline(mg.tensor(X4)), called(mg.tensor(X4)))


# --- memory --------------------------------------------------------------------------------------


def classifier(sizes: Any, batch: int, **settings: Any) -> Any:
    """Return a training step, and a batch."""
    model = nn.MLP(sizes, rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01, **settings)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0])).astype(np.float32)
    y = rng.integers(0, sizes[-1], batch)

    def step(x: Any, y: Any) -> Any:
        loss = mg.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, x, y


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "weight_decay": 0.1}], ids=str)
def test_replay_allocates_no_array(settings: Any) -> None:
    step, x, y = classifier([784, 512, 512, 10], 128, **settings)
    replay = compiled(step, x, y)
    gc.collect()
    tracemalloc.start()
    try:
        replay(x, y)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(3):
            replay(x, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 64 * 1024


def test_buffers_start_at_lines_of_the_cache() -> None:
    step, x, y = classifier([7, 5, 3], 9, momentum=0.9)
    done = compiled(step, x, y)
    assert done.buffers
    for buffer in done.buffers:
        assert buffer.dtype == np.uint8
        assert buffer.ctypes.data % ALIGNMENT == 0
    assert done.memory >= sum(len(buffer) for buffer in done.buffers) > 0


def test_parameters_and_gradients_start_at_lines_of_the_cache() -> None:
    world = World()
    compiled(trained(world, momentum=0.9), X, Y)
    arrays = [a for p in world.model.parameters() for a in (p.data, p.grad)]
    arrays += [slots["momentum_buffer"] for slots in world.optimizer.state.values()]
    assert [a.ctypes.data % ALIGNMENT for a in arrays] == [0] * len(arrays)


def test_memory_does_not_grow_with_calls() -> None:
    step, x, y = classifier([7, 5, 3], 9)
    done = compiled(step, x, y)
    before = done.memory, done.traces
    for _ in range(50):
        done(x, y)
    assert (done.memory, done.traces) == before


@pytest.mark.parametrize("nbytes", [1, 63, 64, 65, 1000])
def test_aligned_memory_is_aligned_zeros(nbytes: int) -> None:
    memory = aligned(nbytes)
    assert memory.shape == (nbytes,)
    assert not memory.any()
    assert memory.__array_interface__["data"][0] % ALIGNMENT == 0


@pytest.mark.parametrize(
    "like",
    [X4, X4.T, np.asfortranarray(X4), np.zeros((2, 3, 4)).transpose(1, 2, 0), np.zeros(()),
     np.zeros((0, 3)), np.zeros((1, 3, 1)).T, X4.astype(np.int8), X4[:, ::2], X4[::-1]],
)  # fmt: skip
def test_shaped_memory_has_axes_in_the_order_of_the_strides(like: np.ndarray) -> None:
    array = shaped(aligned(max(like.nbytes, 1)), like.shape, like.dtype, like.strides)
    assert (array.shape, array.dtype) == (like.shape, like.dtype)
    expected = np.empty_like(like)  # which keeps the order of the axes, without gaps
    assert array.strides == expected.strides or like.size <= 1 or 1 in like.shape


def test_the_pool_gives_the_smallest_piece_that_fits() -> None:
    pool = Pool()
    small, large, middle = pool.take(10), pool.take(1000), pool.take(100)
    for piece in (large, small, middle):
        pool.give_back(piece)
    assert pool.take(50) is middle
    assert pool.take(50) is large
    assert pool.take(50) is not small
    assert pool.reused == 2
    assert pool.nbytes == sum(map(len, pool.pieces))


def test_vectors_side_by_side_are_known_as_such() -> None:
    flat, parts = side_by_side([(2, 3), (), (5,), (0, 2)], np.dtype(np.float32))
    assert [part.shape for part in parts] == [(2, 3), (), (5,), (0, 2)]
    assert all(np.may_share_memory(flat, part) for part in parts[:3])
    known = arena.already_side_by_side(parts)
    assert known is not None
    assert known.ctypes.data == flat.ctypes.data
    assert arena.already_side_by_side(parts[::-1]) is None
    assert arena.already_side_by_side([np.zeros(3), np.zeros(2)]) is None


# --- depth ---------------------------------------------------------------------------------------


def test_a_net_of_a_thousand_layers_compiles_in_seconds() -> None:
    twins = Twins(deep)
    x, y = np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)
    start = time.perf_counter()
    twins.compiled(x, y)
    assert time.perf_counter() - start < 20  # it takes two; other work may slow it down
    twins.eager(x, y)
    for _ in range(2):
        twins.call(x, y)
    assert twins.compiled.traces == 1


def deep() -> Any:
    """Return a training step of a deep net, and what it changes."""
    model = nn.Sequential(*(nn.Dense(4, 4, "tanh", rng=i) for i in range(1000)))
    world = World()
    world.model, world.optimizer = model, mg.optim.SGD(model.parameters(), lr=0.01)
    return lambda x, y: usual(world, x, y), lambda: [p.data for p in model.parameters()]


# --- how it looks --------------------------------------------------------------------------------


def test_the_source_is_python_one_call_a_line() -> None:
    done = compiled(trained(World()), X, Y)
    tree = ast.parse(done.source)
    assert isinstance(tree.body[0], ast.FunctionDef)
    assert len(done.source.splitlines()) < 100
    assert "\t" not in done.source
    assert all(line == line.rstrip() for line in done.source.splitlines())
    assert re.search(r"# .*: \(3, 2\), \(2, 3\)", done.source)  # shapes beside the first product


def test_nothing_can_be_asked_before_the_first_call() -> None:
    step = mg.compile(chained)
    assert step.traces == 0
    assert step.memory == 0
    for what in ("source", "buffers", "explain"):
        with pytest.raises(mg.errors.TraceError) as error:
            getattr(step, what)() if what == "explain" else getattr(step, what)
        assert str(error.value) == (
            f"compile: {what} was asked for before the first call. Call it first."
        )


def test_options_that_are_none_are_refused_in_words() -> None:
    for call, message in [
        (lambda: mg.compile(chained, backend="c"),
         "compile: backend='c' was given; there are 'numpy' and 'numba'."),
        (lambda: mg.compile(chained, without=["none"]),
         "compile: without=['none'] was given; the passes are folded, shared, skipped, pruned, "
         "reuse, flat and inline."),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match="was given") as error:
            call()
        assert str(error.value) == message
    with pytest.raises(TypeError) as type_error:
        mg.compile(3)
    assert str(type_error.value) == "compile: type int was given; it needs a function or a Module."


def test_a_compiled_step_looks_like_the_step() -> None:
    step = mg.compile(without=["flat"])(wasteful)
    assert step.__name__ == "wasteful"
    assert step.__doc__ == wasteful.__doc__
    assert inspect.signature(step) == inspect.signature(wasteful)
    step(mg.tensor(X4))
    assert repr(step) == "<compiled wasteful: 1 trace>"
    step.forget()
    step(mg.tensor(X4))
    assert step.traces == 2
