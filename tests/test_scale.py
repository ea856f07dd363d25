"""Deep graphs, large graphs, long trainings: no recursion, no leak.

The deep graphs run in processes of their own, under a small recursion limit and a small C stack: a
recursion anywhere, in Python or in C, ends the process.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from every_op import cases_for

import microgrid as mg

PRELUDE = """
import copy, gc, pickle, sys, threading
import numpy as np
import microgrid as mg

def run():
    sys.setrecursionlimit({limit})
    work()
    print("done")

def in_small_stack():
    threading.stack_size(1024 * 1024)  # Python 3.13 itself needs 700 kB to free any deep structure
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
"""


def in_process(work: str, limit: int = 120, timeout: float = 60) -> str:
    """Run work() in a new process, in a thread with a small stack, under a recursion limit."""
    program = PRELUDE.format(limit=limit) + work + "\nin_small_stack()\n"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), OMP_NUM_THREADS="1")
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.endswith("done\n"), result.stderr[-2000:]
    return result.stdout


def test_a_chain_of_100_000_nodes() -> None:
    in_process("""
def work():
    x = mg.tensor(np.ones(2), requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 0.0
    assert "op=add" in repr(y)
    twin = copy.deepcopy(y)
    assert twin.tolist() == [1, 1] and twin.is_leaf
    assert pickle.loads(pickle.dumps(y)).tolist() == [1, 1]
    y.backward(np.ones(2), retain_graph=True)
    assert x.grad.tolist() == [1, 1]
    g = mg.gradients(y, x, np.ones(2))
    assert g.tolist() == [1, 1]
    y.backward(np.ones(2))
    assert x.grad.tolist() == [2, 2]
    del y
""")


@pytest.mark.parametrize("collector", ["gc.enable()", "gc.disable()"])
def test_deleting_a_chain_of_100_000_nodes_that_never_went_backward(collector: str) -> None:
    in_process(f"""
def work():
    {collector}
    x = mg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = mg.negative(y)
    y = None
    y = x
    for _ in range(100_000):
        y = mg.reshape(y, ())
    del y
""")


def test_a_chain_through_views_and_second_derivatives() -> None:
    in_process("""
def work():
    x = mg.tensor([0.5, 0.25], requires_grad=True)
    y = x
    for _ in range(2_000):
        y = mg.flip(y * x.data) / x.data
    first = mg.gradients(y.sum(), x, create_graph=True)
    assert first.tolist() == [1, 1]
    z = (x * x).sum()
    for _ in range(20_000):
        z = z * 1.0
    first = mg.gradients(z, x, create_graph=True)
    second = mg.gradients(first.sum(), x)
    assert second.tolist() == [2, 2]
    del first, second, y, z
""")


def test_wide_and_shared_graphs() -> None:
    in_process("""
def work():
    x = mg.tensor(1.0, requires_grad=True)
    total = x * 0.0
    for i in range(30_000):
        total = total + x
    total.backward()
    assert x.grad == 30_000
    x.zero_grad()
    mg.stack([x * 1.0 for _ in range(2_000)]).sum().backward()
    assert x.grad == 2_000
    x.zero_grad()
    y = x
    for _ in range(1000):
        y = y + y
        y = y / 2
    y.backward()
    assert x.grad == 1
""")


def test_a_graph_of_a_million_nodes() -> None:
    # Its time is measured in benchmarks/graph_scale.py, and that it grows in proportion.
    in_process("""
def work():
    gc.disable()  # it would look at every node again and again
    x = mg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(1_000_000):
        y = mg.negative(y)
    y.backward()
    assert x.grad == 1
    del y
""")


# --- memory --------------------------------------------------------------------------------------


@pytest.fixture
def no_collector() -> Any:
    gc.collect()
    gc.freeze()  # what pytest holds need not be looked at each time
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def growth(step: Any, warm_up: int, count: int) -> int:
    """Return by how many bytes the memory in use grows over `count` steps."""
    for _ in range(warm_up):
        step()
    tracemalloc.start()
    try:
        step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count):
            step()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("no_collector")
def test_memory_is_flat_over_10_000_steps_of_sgd() -> None:
    rng = np.random.default_rng(0)
    model = mg.nn.MLP([4, 8, 2], rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.integers(2, size=8)

    def step() -> None:
        optimizer.zero_grad()
        mg.cross_entropy(model(x), y).backward()
        optimizer.step()

    for _ in range(9_000):  # untraced: tracing takes four times as long
        step()
    assert growth(step, 10, 990) < 4096  # one step's activations take more


def garbage(step: Any) -> int:
    """Return how many objects 20 steps leave to the cyclic collector."""
    step()
    gc.collect()
    for _ in range(20):
        step()
    return gc.collect()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "step",
    [
        lambda x: mg.tanh(x @ x).sum().backward(),
        lambda x: mg.tanh(x @ x).sum(),
        lambda x: mg.gradients(mg.softmax(x).max(), x),
        lambda x: mg.gradients(mg.gradients((x**3).sum(), x, create_graph=True).sum(), x),
        lambda x: mg.exp(x[::2])[[0, 0]].sum().backward(),
        lambda x: [row.sum() for row in x],
        lambda x: np.mean(np.exp(x)).backward(),
        lambda x: mg.einsum("ij,jk->ik", x, x).sum().backward(),
        lambda x: mg.cross_entropy(x, np.zeros(16, int)).backward(),
        lambda x: repr(x * 2),
    ],
)
def test_nothing_is_left_to_the_cyclic_collector(step: Any) -> None:
    x = mg.tensor(np.full((16, 16), 0.1), requires_grad=True)
    assert garbage(lambda: step(x)) == 0


@pytest.mark.usefixtures("no_collector")
def test_every_op_leaves_nothing_to_the_cyclic_collector() -> None:
    for name, call in cases_for((2, 3)):
        x = mg.tensor(np.full((2, 3), 0.5), requires_grad=True)

        def step(call: Any = call, x: Any = x) -> None:
            y = call(x)
            first = mg.gradients(y, x, np.ones(y.shape), create_graph=True)
            if first.requires_grad:
                first.backward(np.ones(first.shape))

        assert garbage(step) == 0, name


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "misuse",
    [
        lambda y: y + np.ones(3), lambda y: y.backward(), lambda y: y.backward(np.ones(3)),
        lambda y: y[99],
        lambda y: np.sinh(y), bool, lambda y: y.reshape(7), lambda y: y @ np.ones(3),
    ],
)  # fmt: skip
def test_failures_leave_nothing_to_the_cyclic_collector(misuse: Any) -> None:
    x = mg.tensor(np.full((16, 16), 0.1), requires_grad=True)

    def step() -> None:
        with suppress(ValueError, RuntimeError, IndexError, TypeError):
            misuse(mg.exp(x))

    assert garbage(step) == 0


def test_backward_needs_no_more_memory_than_a_few_gradients_at_a_time() -> None:
    # 200 activations of 80 kB are alive; their gradients must not be, all at once.
    x = mg.tensor(np.full(10_000, 0.5), requires_grad=True)
    y = x
    for _ in range(200):
        y = y * 1.001
    tracemalloc.start()
    try:
        y.backward(np.ones(10_000), retain_graph=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * x.data.nbytes
