"""How gradients travel through a graph: shared nodes, leaves, accumulation, linearity, order.

Gradients are compared with `==`: on the integers and dyadic fractions used here every operation is
exact, so an equality that holds in mathematics holds bit for bit.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import microgrid as mg

Function = Callable[..., Any]


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(value, dtype=dtype, requires_grad=True)


def slope(f: Function, x: float) -> float:
    """Return f'(x) by backward."""
    t = leaf(x)
    f(t).backward()
    assert t.grad is not None
    return float(t.grad)


# --- nodes used more than once -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "at", "expected"),
    [
        (lambda x: x * x, 3, 6),
        (lambda x: x + x, 3, 2),
        (lambda x: (2 * x) + (2 * x) * (2 * x), 3, 26),
        (lambda x: x * x * x, 2, 12),
        (lambda x: x - x, 3, 0),
        (lambda x: x / x, 3, 0),
        (lambda x: x, 3, 1),
    ],
)
def test_operand_used_twice_gets_both_gradients(f: Function, at: float, expected: float) -> None:
    assert slope(f, at) == expected


def test_diamond_sums_over_its_paths() -> None:
    x = leaf(3.0)
    a = 2 * x
    (a + a * a).backward()
    assert x.grad == 26


def test_doubling_twice() -> None:
    x = leaf(5.0)
    b = x + x
    c = b + b
    c.backward()
    assert x.grad == 4


@pytest.mark.parametrize("x", [-3.0, 0.3, 7.0, 1e-300, 1e300])
def test_difference_and_quotient_with_itself_have_slope_exactly_zero(x: float) -> None:
    assert slope(lambda t: t - t, x) == 0
    assert slope(lambda t: t / t, x) == 0


def test_sixty_doublings_cost_sixty_rules() -> None:
    calls = []

    def counted(g: Any, y: Any, a: Any, b: Any) -> Any:
        calls.append(1)
        return g

    twice = mg.Op(
        name="counted_add", doc="The sum.", kernel=np.add, vjps=(counted, counted),
        domains=(mg.Domain(), mg.Domain()), signature="(),()->()",
    )  # fmt: skip
    try:
        x = y = leaf(1.0)
        for _ in range(60):
            y = twice(y, y)
        y.backward()
    finally:
        del mg.OPS["counted_add"]
    assert x.grad == 2.0**60
    assert len(calls) == 120  # one per operand of each node


def test_sum_of_a_matrix_times_itself() -> None:
    x = leaf([[1, 2], [3, 4]])
    (x @ x).sum().backward()
    assert x.grad.tolist() == [[7, 11], [9, 13]]


@pytest.mark.parametrize(
    ("f", "at", "expected"),
    [
        (lambda x: 2 - x, 3, -1.0),
        (lambda x: 2 / x, 3, -2 / 9),
        (lambda x: 2**x, 3, 5.545177444479562),
        (lambda x: x**-1, 2, -0.25),
        (lambda x: 2 + x, 3, 1.0),
        (lambda x: 2 * x, 3, 2.0),
        (lambda x: np.float64(2) - x, 3, -1.0),
        (lambda x: np.array(2.0) / x, 3, -2 / 9),
        (lambda x: [2.0] - x, 3, -1.0),
        (lambda x: Fraction(2) - x, 3, -1.0),
        (lambda x: +x, 3, 1.0),
        (lambda x: -x, 3, -1.0),
        (lambda x: abs(x), -3, -1.0),
    ],
)
def test_operators_and_their_reflections(f: Function, at: float, expected: float) -> None:
    # The quotients are rounded twice at most.
    assert slope(f, at) == pytest.approx(expected, rel=4e-16)


# --- random graphs, against a count of paths -----------------------------------------------------

BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


@st.composite
def programs(draw: Any) -> list[tuple[str, int, int]]:
    """Draw a straight-line program over two inputs: each line combines two earlier values."""
    lines = draw(st.integers(1, 12))
    return [
        (
            draw(st.sampled_from(["+", "-", "*"])),
            draw(st.integers(0, i + 1)),
            draw(st.integers(0, i + 1)),
        )
        for i in range(lines)
    ]


@given(program=programs(), x=st.integers(-3, 3), y=st.integers(-3, 3))
def test_any_graph_has_the_gradient_of_forward_mode(
    program: list[tuple[str, int, int]], x: int, y: int
) -> None:
    # Forward mode on exact fractions, written here: (value, d/dx, d/dy).
    duals = [(Fraction(x), 1, 0), (Fraction(y), 0, 1)]
    for sign, i, j in program:
        (a, *da), (b, *db) = duals[i], duals[j]
        if sign == "*":
            duals.append((a * b, *(p * b + a * q for p, q in zip(da, db, strict=True))))
        else:
            s = 1 if sign == "+" else -1
            duals.append((a + s * b, *(p + s * q for p, q in zip(da, db, strict=True))))
    leaves = [mg.tensor(np.array(Fraction(v), object), requires_grad=True) for v in (x, y)]
    values = list(leaves)
    for sign, i, j in program:
        values.append(BINARY[sign](values[i], values[j]))
    result = values[-1]
    result.backward()
    assert result.data == duals[-1][0]
    for t, expected in zip(leaves, duals[-1][1:], strict=True):
        assert (0 if t.grad is None else t.grad) == expected


@given(
    st.lists(st.integers(-64, 64), min_size=4, max_size=4),
    st.integers(-8, 8),
    st.integers(-8, 8),
)
def test_gradients_are_linear_in_the_function(entries: list[int], p: int, q: int) -> None:
    a = np.array(entries).reshape(2, 2) / 16
    f = lambda x: (x @ x).sum() + mg.relu(x).max(axis=0).sum()  # noqa: E731
    g = lambda x: (x * x * x).sum() - mg.absolute(x).mean()  # noqa: E731

    def gradient(h: Function) -> np.ndarray:
        x = leaf(a)
        h(x).backward()
        return x.grad

    both = gradient(lambda x: p * f(x) + q * g(x))
    assert (both == p * gradient(f) + q * gradient(g)).all()
    assert (gradient(lambda x: 2 * f(x) - 3 * g(x)) == 2 * gradient(f) - 3 * gradient(g)).all()


@given(st.permutations(range(5)), st.lists(st.integers(-2, 2), min_size=15, max_size=15))
def test_permuting_the_operand_permutes_the_gradient(order: list[int], entries: list[int]) -> None:
    a = np.array(entries, float).reshape(5, 3)
    b = np.arange(6.0).reshape(3, 2)
    functions = [
        lambda x: mg.max(x),
        lambda x: (mg.max(x, axis=0) ** 2).sum(),
        lambda x: x.sum(),
        lambda x: (x.sum(axis=0) ** 3).sum(),
        lambda x: ((x @ b) ** 2).sum(),
        lambda x: ((b.T @ x.T) ** 2).sum(),
        lambda x: mg.min(mg.relu(x)),
        lambda x: mg.norm(x, 1),
    ]
    for f in functions:
        x, moved = leaf(a), leaf(a[order])
        f(x).backward()
        f(moved).backward()
        assert (moved.grad == x.grad[order]).all()


# --- leaves, accumulation ------------------------------------------------------------------------


def test_only_leaves_keep_a_gradient() -> None:
    x = leaf(3.0)
    y = x * x
    z = y + 1
    z.backward()
    assert (x.grad, y.grad, z.grad) == (6, None, None)
    assert x.is_leaf
    assert not y.is_leaf


def test_two_losses_accumulate() -> None:
    x = leaf(2.0)
    (x**2).backward()
    assert x.grad == 4
    (x**3).backward()
    assert x.grad == 16


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, object])
def test_an_accumulated_gradient_stays_an_array_of_its_dtype(shape: Any, dtype: Any) -> None:
    x = leaf(np.ones(shape), dtype)
    for times in (1, 2, 3):
        (x * 2).sum().backward()
        assert type(x.grad) is np.ndarray
        assert (x.grad.shape, x.grad.dtype) == (shape, dtype)
        assert (x.grad == 2 * times).all()


def test_accumulation_writes_a_new_array() -> None:
    x = leaf([1.0, 2.0])
    x.sum().backward()
    held = x.grad
    x.sum().backward()
    assert held.tolist() == [1, 1]


def test_zero_grad_forgets() -> None:
    x = leaf(2.0)
    (x**2).backward()
    x.zero_grad()
    assert x.grad is None
    (x**2).backward()
    assert x.grad == 4


def test_a_parameter_outside_the_graph_keeps_none() -> None:
    x, outside = leaf(2.0), leaf(2.0)
    (x**2).backward()
    assert outside.grad is None


def test_an_operand_that_requires_no_gradient_gets_none() -> None:
    x, constant = leaf(2.0), mg.tensor(3.0)
    (x * constant).backward()
    assert (x.grad, constant.grad) == (3, None)


def test_detach_cuts() -> None:
    x = leaf(3.0)
    (x * x.detach()).backward()
    assert x.grad == 3


def test_backward_from_a_leaf_is_one() -> None:
    x = leaf(3.0)
    x.backward()
    assert x.grad == 1


def test_backward_from_the_middle_and_from_several_results() -> None:
    x = leaf(3.0)
    y = x * x
    z = y * x
    y.backward(retain_graph=True)
    assert x.grad == 6
    z.backward()
    assert x.grad == 6 + 27


# --- gradients(), which touches no .grad ---------------------------------------------------------


def test_gradients_towards_leaves_and_results_without_touching_grad() -> None:
    x = leaf(3.0)
    y = x * x
    z = y * y
    towards_x, towards_y, towards_z = mg.gradients(z, [x, y, z])
    assert (towards_x.item(), towards_y.item(), towards_z.item()) == (108, 18, 1)
    assert (x.grad, y.grad) == (None, None)
    assert mg.gradients(z, x).item() == 108  # the graph is kept


def test_gradients_of_what_does_not_depend_are_zeros() -> None:
    x, other = leaf([1.0, 2.0]), leaf(np.ones((2, 3), np.float32), np.float32)
    g = mg.gradients(x.sum(), other)
    assert (g.shape, g.dtype) == ((2, 3), np.float32)
    assert (g.data == 0).all()


def test_gradients_takes_any_iterable_and_repetitions() -> None:
    x = leaf(3.0)
    y = x * x
    assert [g.item() for g in mg.gradients(y, (t for t in [x, x]))] == [6, 6]
    assert [g.item() for g in mg.gradients(y, [x, x], create_graph=True)] == [6, 6]


@pytest.mark.parametrize(("order", "expected"), [(1, 32), (2, 48), (3, 48), (4, 24), (5, 0)])
def test_higher_derivatives_of_the_fourth_power(order: int, expected: float) -> None:
    for f in (lambda x: x**4, lambda x: x * x * x * x, lambda x: mg.square(mg.square(x))):
        x = leaf(2.0)
        y = f(x)
        for _ in range(order):
            y = mg.gradients(y, x, create_graph=True)
        assert y.item() == expected


def test_gradient_of_the_gradient_towards_the_incoming_gradient() -> None:
    x, g = leaf([1.0, 2.0]), leaf([3.0, 5.0])
    first = mg.gradients(x * x, x, g, create_graph=True)
    assert first.data.tolist() == [6, 20]
    assert mg.gradients(first.sum(), g).data.tolist() == [2, 4]


# --- order and memory ----------------------------------------------------------------------------

PROGRAM = """
import numpy as np, microgrid as mg
rng = np.random.default_rng(0)
leaves = [mg.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(9)]
values = list(leaves)
for _ in range(60):
    a, b = (values[i] for i in rng.integers(len(values), size=2))
    values.append(mg.tanh(a @ b + a))
sum((v.sum() for v in values), mg.tensor(0.0)).backward()
print([x.grad.tobytes().hex() for x in leaves])
"""


def test_gradients_do_not_depend_on_hash_seeds() -> None:
    def digest(seed: str) -> str:
        environment = dict(os.environ, PYTHONHASHSEED=seed, PYTHONPATH=os.pathsep.join(sys.path))
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True
        )
        return hashlib.sha256(result.stdout).hexdigest()

    assert len({digest("0"), digest("1"), digest("4711")}) == 1


def test_gradients_do_not_depend_on_addresses() -> None:
    # Identity hashes follow addresses: other allocations in between must not change the order.
    def run() -> bytes:
        rng = np.random.default_rng(1)
        x = leaf(rng.normal(size=5))
        parts = [mg.exp(x * float(k)) for k in rng.normal(size=20)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part * x
        total.sum().backward()
        return x.grad.tobytes()

    first = run()
    clutter = []
    for i in range(5):
        clutter.append([object() for _ in range(10 * i)])
        assert run() == first


@pytest.fixture
def no_collector() -> Any:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("used", ["never", "backward", "retained", "gradients", "create_graph"])
def test_dropping_the_loss_frees_every_intermediate(used: str) -> None:
    x = leaf(np.ones((4, 4)))
    nodes = [x]
    for op in (mg.exp, mg.relu, mg.softmax, lambda t: t @ t, lambda t: t[::2], mg.std):
        nodes.append(op(nodes[-1]))
    loss = nodes[-1] * 2
    alive = [weakref.ref(t) for t in nodes[1:]]
    if used == "backward":
        loss.backward()
    elif used == "retained":
        loss.backward(retain_graph=True)
    elif used == "gradients":
        mg.gradients(loss, nodes[:2])
    elif used == "create_graph":
        second = mg.gradients(loss, x, create_graph=True).sum()
        alive.append(weakref.ref(second))
        second.backward(retain_graph=True)
        del second
    del nodes, loss
    assert [ref() for ref in alive] == [None] * len(alive)


@pytest.mark.usefixtures("no_collector")
def test_backward_releases_the_graph_while_the_loss_is_held() -> None:
    x = leaf(np.ones(3))
    middle = mg.exp(x)
    alive = weakref.ref(middle)
    loss = middle.sum()
    del middle
    loss.backward()
    assert alive() is None
    assert loss.item() == pytest.approx(3 * np.e)


@pytest.mark.usefixtures("no_collector")
def test_an_error_in_backward_leaves_no_garbage() -> None:
    x = leaf(np.ones(3))
    y = mg.exp(x)
    alive = weakref.ref(y)
    z = y * 2
    with contextlib.suppress(mg.errors.ShapeError):  # pytest.raises would keep the traceback
        z.backward(np.ones(7))
    del y, z
    assert alive() is None
