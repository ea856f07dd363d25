"""mg.compile(backend="numba"): tables of NumPy's own loops, whose results are those of eager code.

The other tests of compiled steps run for this backend too: pytest --backend=numba tests.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import Twins, check_same
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid import nn
from microgrid.compiler import loops, rows, trials
from microgrid.compiler.arena import address
from microgrid.compiler.loops import elementwise
from microgrid.compiler.table import BELOW, BIND, FINITE, PUT, SAME, SET, TAKE, Table

pytest.importorskip("numba")
from microgrid.compiler.interpreter import run

FLOATS = np.float32, np.float64
SIZES = 1, 2, 3, 7, 16, 33, 1000
ONE = "exp", "log", "tanh", "sin", "sqrt", "sign", "ceil", "negative", "absolute", "square", "isnan"
TWO = "add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "greater"


def done(table: Table, start: int) -> int:
    """Run the rows of a table; return what the run returned."""
    return run(table.finish(), start)


def draw(shape: Any, dtype: Any, seed: int) -> np.ndarray:
    """Return numbers, some of them 0, -0, infinite or nan."""
    rng = np.random.default_rng(seed)
    tiny, huge = (float(x) ** 0.6 for x in (np.finfo(dtype).tiny, np.finfo(dtype).max))
    special = rng.choice([0, -0.0, np.inf, -np.inf, np.nan, 1, tiny, -tiny, huge], shape)
    return np.where(rng.random(shape) < 0.3, special, rng.normal(size=shape)).astype(dtype)


# --- NumPy's loops -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ONE + TWO)
def test_a_loop_gives_the_bits_of_the_ufunc(name: str, size: int, dtype: Any) -> None:
    ufunc = getattr(np, name)
    operands = [draw(size, dtype, seed) for seed in range(ufunc.nin)]
    with np.errstate(all="ignore"):
        expected = ufunc(*operands)
    found = np.zeros_like(expected)
    table = Table()
    call = elementwise(ufunc, (*operands, found), False)
    assert call is not None
    done(table, table.extend([call]))
    check_same(found, expected)


LAYOUTS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda x: x, lambda x: x.T.copy().T, lambda x: x[::2], lambda x: x[:, ::3], lambda x: x[:1],
    lambda x: x[:, :1], lambda x: x[0], lambda x: x[0, 0], lambda x: x[::-1],
]  # fmt: skip


@pytest.mark.parametrize("first", range(len(LAYOUTS)))
@pytest.mark.parametrize("second", range(len(LAYOUTS)))
def test_a_loop_is_called_row_by_row_where_operands_are_stretched(first: int, second: int) -> None:
    a, b = LAYOUTS[first](draw((6, 9), "f", 0)), LAYOUTS[second](draw((6, 9), "f", 1))
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return
    for order in "CF":
        out = np.zeros(shape, "f", order)
        call = elementwise(np.multiply, (a, b, out), True)
        if call is None:
            assert not shape  # never in two dimensions
            continue
        table = Table()
        start = table.extend([call, call])  # twice: a row leaves its operands as they were
        done(table, start)
        with np.errstate(all="ignore"):
            check_same(out, np.multiply(a, b))


def test_three_axes_that_do_not_merge_stay_python() -> None:
    a, b, out = np.zeros((2, 3, 4)), np.zeros((2, 1, 4)), np.zeros((2, 3, 4))
    assert elementwise(np.add, (a, b, out), True) is None
    assert elementwise(np.add, (a, a, out), True) is not None


def test_what_is_not_numpys_or_not_by_elements_has_no_loop() -> None:
    assert not loops.is_numpys(np.matmul)
    assert not loops.is_numpys(np.modf)
    assert not loops.is_numpys(np.frompyfunc(abs, 1, 1))
    assert not loops.is_numpys(np.sum)
    assert loops.is_numpys(np.add)
    assert loops.find(np.add, (np.dtype(object),) * 3) is None
    assert loops.find(np.add, (np.dtype("f"), np.dtype("d"), np.dtype("d"))) is None


@given(
    st.sampled_from([1, 2, 3, 5, 16, 33]), st.sampled_from([1, 2, 7, 32]),
    st.sampled_from([1, 2, 10, 17]), st.booleans(), st.booleans(), st.sampled_from(FLOATS),
    st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=200)
def test_a_product_gives_the_bits_of_dot(
    m: int, k: int, n: int, turn_a: bool, turn_b: bool, dtype: Any, seed: int
) -> None:
    a, b = draw((m, k), dtype, seed), draw((k, n), dtype, seed + 1)
    a, b = (x.T.copy().T if turned else x for x, turned in ((a, turn_a), (b, turn_b)))
    found = np.full((m, n), 7, dtype)
    with np.errstate(all="ignore"):
        expected = a.dot(b)
    choice = trials.product_that_agrees(a, b, found)
    if choice is None:  # NumPy has a way of its own for a vector times one number
        assert k == 1 in (m, n)
        return
    table = Table()
    done(table, table.extend([loops.products(a, b, found)[choice]]))
    check_same(found, expected)


def test_a_loop_that_gives_other_bits_is_found_out(monkeypatch: Any) -> None:
    calls: list[Any] = []
    found = loops.find(np.subtract, (np.dtype("f"),) * 3)
    monkeypatch.setattr(trials, "_agreeing", {})
    monkeypatch.setattr(loops, "find", lambda ufunc, dtypes: calls.append(ufunc) or found)
    assert trials.agrees(np.subtract, *[np.dtype("f")] * 3)
    assert not trials.agrees(np.add, *[np.dtype("f")] * 3)
    assert np.add in calls


def test_another_layout_of_ufuncs_is_noticed(monkeypatch: Any) -> None:
    monkeypatch.setattr(loops, "HEADER", loops.HEADER + 4)
    loops.find.cache_clear()
    assert loops.find(np.add, (np.dtype("f"),) * 3) is None
    monkeypatch.undo()
    loops.find.cache_clear()
    assert loops.find(np.add, (np.dtype("f"),) * 3) is not None


def test_where_arrays_lie_in_another_way_all_stays_python(monkeypatch: Any) -> None:
    monkeypatch.setattr(rows, "lies_where_expected", lambda: False)
    twins = numba_twins()
    twins.call_each(batch(seed) for seed in range(3))
    assert "run(" not in twins.compiled.source
    assert twins.compiled.explain().splitlines()[-1].startswith("in the table: 0 statements")


# --- the other rows ------------------------------------------------------------------------------


def other(kind: int, operands: list[Any], counts: list[int]) -> int:
    """Run one row that is no call; return 1 if its check has failed."""
    table = Table()
    where = tuple(address(x) if isinstance(x, np.ndarray) else x for x in operands)
    start = table.extend([(kind, where, tuple(counts))])
    return int(done(table, start) == start)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [0.0, -1.0, 1e30, np.inf, -np.inf, np.nan, 1e-40, 3.4e38])
def test_finite(value: float, dtype: Any) -> None:
    x = np.array(value, dtype)
    assert other(FINITE, [x], [x.itemsize]) == (not np.isfinite(value))


@pytest.mark.parametrize(("indices", "fails"), [([0, 9, 3], 0), ([0, 10], 1), ([-1], 1), ([], 0)])
def test_below(indices: list[int], fails: int) -> None:
    x = np.array(indices, np.intp)
    assert other(BELOW, [x], [x.size, 10]) == fails


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
@given(st.lists(st.integers(-3, 12)))
def test_take_and_put(dtype: str, places: list[int]) -> None:
    source, index = np.arange(10).astype(dtype), np.array(places, np.intp)
    taken = np.zeros(index.shape, dtype)
    assert other(TAKE, [source, index, taken], [index.size, 10, source.itemsize]) == 0
    check_same(taken, source.take(index, None, None, "clip"))
    values, target = np.arange(100, 100 + index.size).astype(dtype), source.copy()
    outside = bool(index.size) and not 0 <= index.min() <= index.max() < 10
    assert other(PUT, [target, index, values], [index.size, 10, source.itemsize]) == outside
    expected = source.copy()
    if not outside:
        expected.put(index, values)
    check_same(target, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [0.1, -0.0, 1e-50, 1e300, np.inf])
def test_a_number_is_set_as_numpy_sets_it(value: float, dtype: Any) -> None:
    target, expected = np.zeros((), dtype), np.zeros((), dtype)
    assert other(SET, [target, np.array(value)], [target.itemsize]) == 0
    with np.errstate(all="ignore"):
        expected[()] = value
    check_same(target, expected)


def test_an_operand_is_bound_to_the_array_that_was_given() -> None:
    out, given_ids = np.zeros(3), np.zeros(1, np.int64)
    call = elementwise(np.negative, (np.zeros(3), out), True)
    assert call is not None
    table = Table()
    start = table.extend([(BIND, (1, 0, address(given_ids), 8), (8,)), call])
    home = table.finish()
    for seed in range(3):
        x = draw(4, "d", seed)
        given_ids[0] = id(x)
        assert run(home, start) == 0
        check_same(out, -x[1:])
    misaligned = np.zeros(33, np.uint8)[1:].view(np.float64)
    given_ids[0] = id(misaligned)
    assert run(home, start) == start


# --- steps ---------------------------------------------------------------------------------------


def network(
    sizes: tuple[int, ...] = (5, 7, 4), optimizer: Any = None, dtype: Any = np.float32
) -> Callable[[], Any]:
    """Return what builds a training step, and what it changes."""

    def build() -> Any:
        model = nn.MLP(list(sizes), rng=0, dtype=dtype)
        tuned = (optimizer or (lambda p: mg.optim.SGD(p, lr=0.1)))(model.parameters())
        loss_of = mg.cross_entropy if sizes[-1] > 1 else mg.mse_loss

        def step(x: Any, y: Any) -> Any:
            tuned.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            tuned.step()
            return loss

        step.optimizer = tuned  # type: ignore[attr-defined]
        return step, lambda: [[p.data, p.grad] for p in model.parameters()]

    return build


def batch(seed: int, rows_: int = 6, dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows_, 5)).astype(dtype), rng.integers(0, 4, rows_)


def numba_twins(build: Any = None) -> Twins:
    return Twins(build or network(), backend="numba")


def python_calls(step: Any) -> list[str]:
    """Return the lines of a program that call NumPy from Python in each replay."""
    _, _, body = step.source.partition("    except (LookupError, AttributeError, ValueError):\n")
    body = body.removeprefix("        return MISS\n").partition("\n\ndef")[0]
    known = ("#", "given[", "p", "now", "return", "at = run", "run(", "while", "number")
    lines = [line[4:] for line in body.splitlines() if line[4:5] != " "]
    return [line for line in lines if not line.startswith(known)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sizes", [(5, 7, 4), (5, 4), (5, 7, 7, 7, 1), (5, 1)])
@pytest.mark.parametrize("rows_", [1, 2, 6, 100])
def test_training_has_the_bits_of_eager_training(dtype: Any, sizes: Any, rows_: int) -> None:
    twins = numba_twins(network(sizes, dtype=dtype))
    for seed in range(50):
        x, y = batch(seed, rows_, dtype)
        twins.call(x, y if sizes[-1] > 1 else x[:, :1])
    assert twins.compiled.traces == 1


@pytest.mark.parametrize("make", [
    lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    lambda p: mg.optim.Adam(p, lr=0.01), lambda p: mg.optim.RMSprop(p, lr=0.01),
])  # fmt: skip
def test_other_optimisers_run_between_the_tables(make: Any) -> None:
    twins = numba_twins(network(optimizer=make))
    twins.call_each(batch(seed) for seed in range(20))


@pytest.mark.parametrize("rows_", [1, 6])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_a_step_of_sgd_calls_numpy_nowhere_else(rows_: int, momentum: float) -> None:
    twins = numba_twins(network(optimizer=lambda p: mg.optim.SGD(p, lr=0.1, momentum=momentum)))
    twins.call_each(batch(seed, rows_) for seed in range(3))
    assert python_calls(twins.compiled) == []
    assert twins.compiled.source.count(" run(table, 1)") == 1
    report = twins.compiled.explain().splitlines()[-1]
    assert report.startswith("in the table: ")
    assert report.endswith(", in 1 run; 0 stay Python")


def test_the_learning_rate_is_live() -> None:
    twins = numba_twins()
    compiled_step: Any = twins.compiled.function
    for seed in range(6):
        for step in (twins.eager, compiled_step):
            step.optimizer.param_groups[0]["lr"] = 0.1 / (seed + 1)
        twins.call(*batch(seed))
    assert twins.compiled.traces == 1


def test_numbers_that_overflow_take_the_longer_way() -> None:
    twins = numba_twins()
    for scale in (1, 1e18, 1, 1e30, 1e38, 1, 1):
        x, y = batch(0)
        with np.errstate(all="ignore"):
            twins.call(x * np.float32(scale), y)
    assert twins.compiled.traces == 1


def test_a_label_that_is_no_class_raises_before_anything_is_updated() -> None:
    twins = numba_twins()
    twins.call(*batch(0))
    twins.call(*batch(1))
    x, y = batch(2)
    y[3] = 4
    for step in (twins.eager, twins.compiled):
        with pytest.raises(ValueError, match="labels from 0 to 4 were given for 4 classes"):
            step(x, y)
    twins.check_seen()
    twins.call(*batch(3))


def test_numbers_that_lie_misaligned_are_copied() -> None:
    twins = numba_twins()
    for seed in range(4):
        x, y = batch(seed)
        bytes_x, bytes_y = np.zeros(x.nbytes + 1, np.uint8), np.zeros(y.nbytes + 3, np.uint8)
        misaligned_x = bytes_x[1:].view(np.float32).reshape(x.shape)
        misaligned_y = bytes_y[3:].view(np.int64)
        misaligned_x[...], misaligned_y[...] = x, y
        assert not misaligned_x.flags.aligned
        twins.call(misaligned_x if seed % 2 else x, misaligned_y if seed > 1 else y)
    assert twins.compiled.traces == 1


@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
def test_arguments_in_any_layout(layout: int) -> None:

    def build() -> Any:
        return (lambda x: mg.relu(x / 2 + 1) - x), lambda: None

    twins = numba_twins(build)
    for seed in range(3):
        twins.call(LAYOUTS[layout](np.nan_to_num(draw((6, 9), "f", seed))))
    assert twins.compiled.traces == 1


def test_an_argument_that_is_memory_of_a_parameter() -> None:
    def build() -> Any:
        w = mg.tensor(np.arange(6.0), requires_grad=True)

        def step(x: Any) -> Any:
            mg.assign(w, x)
            return w * 1.5

        step.w = w  # type: ignore[attr-defined]
        return step, lambda: w.data

    twins = numba_twins(build)
    step: Any = twins.compiled.function
    for _ in range(3):
        for each in (twins.eager, step):
            each.w._data[...] = np.arange(6.0)
        twins.call(np.arange(6.0))
    one, two = twins.eager.w._data, step.w._data  # type: ignore[attr-defined]
    for shift in (slice(None), slice(None, None, -1)):
        check_same(twins.compiled(two[shift]), twins.eager(one[shift]))
        check_same(two, one)


def test_a_gradient_that_somebody_keeps_is_left_alone() -> None:
    build = network()
    step, seen = build()
    compiled = mg.compile(step, backend="numba")
    compiled(*batch(0))
    compiled(*batch(1))
    kept = [g for _, g in seen()]
    before = [g.copy() for g in kept]
    compiled(*batch(2))
    check_same(kept, before)


def test_nothing_is_left_in_the_state_of_the_processor() -> None:
    step = mg.compile(lambda x: mg.exp(x * 2) - x, backend="numba")
    for value in (1.0, 1.0, 1e30, np.inf, np.nan):
        step(np.full(5, value, np.float32))
        with np.errstate(all="raise"):
            assert (np.ones(5, "f") + np.ones(5, "f") == 2).all()
            assert (np.ones(5, "f").dot(np.ones(5, "f"))) == 5


def test_random_numbers_and_ops_without_a_loop_stay_python() -> None:
    def build() -> Any:
        layers = nn.Sequential(
            nn.Dense(5, 6, rng=0), nn.BatchNorm1d(6), nn.GELU(), nn.Dropout(0.5, rng=1),
            nn.LayerNorm(6), nn.Dense(6, 4, rng=2),
        )  # fmt: skip
        optimizer = mg.optim.Adam(layers.parameters(), lr=0.01)

        def step(x: Any, y: Any) -> Any:
            loss = mg.cross_entropy(layers(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, lambda: [layers.state_dict(), [p.grad for p in layers.parameters()]]

    twins = numba_twins(build)
    twins.call_each(batch(seed) for seed in range(20))
    assert python_calls(twins.compiled)


def test_an_op_of_the_users() -> None:
    double = mg.Op(
        name="double_for_numba", doc="2x.", kernel=lambda x, out=None: np.multiply(x, 2, out=out),
        vjps=(lambda g, y, x: g * 2,), domains=(mg.Domain(-3, 3),), reference=lambda x: 2 * x,
        formula="2 * x",
    )  # fmt: skip
    try:
        twins = numba_twins(lambda: ((lambda x: double(mg.relu(x)) + x), lambda: None))
        for seed in range(3):
            twins.call(draw((3, 4), "f", seed))
        assert any("double_for_numba" in line for line in python_calls(twins.compiled))
    finally:
        del mg.OPS["double_for_numba"]


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.bool_, object])
def test_other_dtypes(dtype: Any) -> None:
    twins = numba_twins(lambda: ((lambda x: mg.maximum(x + x, x * x)), lambda: None))
    for seed in range(3):
        x = np.random.default_rng(seed).integers(0, 2, (3, 4)).astype(dtype)
        twins.call(x)


def test_a_copy_compiles_for_the_same_backend() -> None:
    step = mg.compile(rectified, backend="numba")
    step(np.ones(3))
    again = pickle.loads(pickle.dumps(step))
    assert again.backend == "numba"
    check_same(again(-np.ones(3)), step(-np.ones(3)))


def rectified(x: Any) -> Any:
    """Return relu(x)."""
    return mg.relu(x)


# --- what moves, and what only NumPy can do ------------------------------------------------------


def both(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Return the function compiled, after two calls, and its eager result as a function."""
    compiled = mg.compile(function, backend="numba")
    compiled(x)
    compiled(x)
    return compiled, lambda: function(mg.tensor(x))


def test_an_array_from_outside_that_moves_is_found() -> None:
    outside, x = np.ones(3), np.arange(3.0)
    compiled, eager = both(lambda x: x * outside + 1, x)
    outside.resize(10_000_000, refcheck=False)
    outside.resize(3, refcheck=False)
    outside[:] = 5, 6, 7
    check_same(compiled(x), eager())


@pytest.mark.filterwarnings("ignore:Setting the dtype")  # since NumPy 2.5
def test_an_array_from_outside_of_another_dtype_is_found() -> None:
    outside, x = np.ones(3), np.arange(3.0)
    compiled, eager = both(lambda x: x * outside + 1, x)
    outside.dtype = np.int64  # type: ignore[misc]
    outside[:] = 1, 2, 3
    check_same(compiled(x), eager())


def test_a_parameter_that_is_resized_is_found() -> None:
    w, x = mg.tensor(np.ones((2, 3)), requires_grad=True), np.ones(3)
    compiled, _ = both(lambda x: (x * w).sum(), x)
    w._data.resize((3, 2), refcheck=False)
    with pytest.raises(ValueError, match="shape"):
        compiled(x)


def test_words_in_memory_are_compared_in_their_order() -> None:
    memory = np.arange(5)
    wheres = [int(address(memory)) + 8 * i for i in range(5)]
    assert other(SAME, wheres, [0, 1, 2, 3, 4]) == 0
    for i in range(5):
        wrong = [0, 1, 2, 3, 4]
        wrong[i] = 9
        assert other(SAME, wheres, wrong) == 1


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e-20, 1.0, 1e20, 1e30])
@pytest.mark.parametrize("shape", [(2, 1, 4), (5, 1, 1), (1, 1, 5), (1, 1, 1), (64, 1, 32)])
def test_products_that_underflow_keep_the_sign_that_numpy_gives(shape: Any, scale: float) -> None:
    m, k, n = shape
    for dtype, power in (("f", 1), ("d", 7)):
        rng = np.random.default_rng(0)
        a, b = (rng.choice([-1, -0.0, 0, 1, 1.7], size) for size in ((m, k), (k, n)))
        a, b = ((x * scale**power).astype(dtype) for x in (a, b))
        with np.errstate(all="ignore"):
            step = mg.compile(lambda a, b: a @ b, backend="numba")
            check_same([step(a, b), step(a, b)], [a.dot(b)] * 2)


def test_training_on_numbers_so_small_that_products_vanish() -> None:
    twins = numba_twins(network((5, 7, 1), dtype=np.float64))
    for seed in range(20):
        x, _ = batch(seed, 1, np.float64)
        twins.call(x * 1e-150, x[:, :1] * 1e-155)


def test_numbers_that_are_misaligned_and_stretched() -> None:
    bytes_ = np.zeros(4 * 4 + 1, np.uint8)
    column = bytes_[1:].view(np.float32)
    column[:] = 1, 2, 3, 4
    step = mg.compile(lambda x: x * 2, backend="numba")
    for source in (column.copy(), column.copy(), column):
        x = np.broadcast_to(source[:, None], (4, 5))
        check_same(step(x).numpy(), x * np.float32(2))


def test_an_argument_that_is_stretched_takes_no_memory() -> None:
    x = np.broadcast_to(np.float32(1), (10**6, 10**7))
    step = mg.compile(lambda x: x[0, :3] * 2, backend="numba")
    check_same([step(x).numpy(), step(x).numpy()], [np.full(3, 2, np.float32)] * 2)


def test_a_read_only_view_is_no_constant() -> None:
    base = np.ones((1, 1))
    weight = base.view()
    weight.flags.writeable = False
    x = np.array([[np.inf], [-0.0], [np.nan], [-1], [1]])
    compiled, eager = both(lambda x: x @ weight, x)
    base[...] = 0
    with np.errstate(all="ignore"):
        check_same(compiled(x), eager())


def test_powers_of_whole_numbers_stay_numpys() -> None:
    step = mg.compile(lambda a, b: a**b, backend="numba")
    for _ in range(3):
        assert step(mg.tensor([2, 3]), mg.tensor([1, 2])).tolist() == [2, 9]
    assert loops.find(np.power, (np.dtype(int),) * 3) is None


def test_products_of_stretched_operands_are_left_to_numpy() -> None:
    out = np.zeros((2, 1))
    stretched = np.broadcast_to(np.ones(()), (3, 1))
    assert trials.product_that_agrees(np.ones((2, 3)), stretched, out) is None
    assert trials.product_that_agrees(np.ones((2, 3)), stretched.copy(), out) == 0

    def build() -> Any:
        v = mg.tensor(np.ones((2, 1)), requires_grad=True)

        def step(x: Any) -> Any:
            v.zero_grad()
            mean = (x @ v).mean()
            (mean * mean).backward()
            return mean

        return step, lambda: v.grad

    twins = numba_twins(build)
    rng = np.random.default_rng(0)
    for _ in range(100):
        twins.call(rng.normal(size=(3, 2)))


def test_an_array_that_became_read_only_is_not_written() -> None:
    w = mg.tensor(np.ones(3), requires_grad=True)

    def step(x: Any) -> Any:
        mg.assign(w, x * 2)
        return w + 1

    compiled, _ = both(step, np.ones(3))
    w._data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        compiled(np.full(3, 5.0))
    assert w._data.tolist() == [2, 2, 2]


def test_large_products_are_left_to_numpy() -> None:
    a, b = np.zeros((2, 100_000), "f"), np.zeros((100_000, 2), "f")
    assert trials.product_that_agrees(a, b, np.zeros((2, 2), "f")) is None


# --- fit, and what is refused --------------------------------------------------------------------


def test_fit_evaluate_and_predict_take_the_backend() -> None:
    x, y = batch(0, 203)
    results = []
    for backend in (False, "numba"):
        model = nn.MLP([5, 8, 4], rng=0)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
        options: dict[str, Any] = {"loss": "cross_entropy", "compile": backend}
        run_ = mg.fit(model, x, y, optimizer=optimizer, epochs=3, verbose=0, rng=0, **options)
        found = mg.evaluate(model, x, y, batch_size=10, **options)
        results.append((run_.history, found, mg.predict(model, x, 10, compile=backend)))
        assert run_.programs == (2 if backend else 0)
    check_same(results[1], results[0])
    assert vars(model)["_predictor"].backend == "numba"
    mg.predict(model, x, 10)
    assert vars(model)["_predictor"].backend == "numpy"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ModuleNotFoundError("No module named 'numba'"), "Numba is not installed"),
        (ImportError("It needs NumPy 2.2."), "Numba cannot be used: It needs NumPy 2.2"),
        (NotImplementedError("No JIT"), "Numba cannot be used: No JIT"),
    ],
)
def test_without_numba_the_extra_is_named_before_anything_changes(
    monkeypatch: Any, error: Exception, why: str
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(trials, "runner", fails)
    model = nn.MLP([5, 4], rng=0)
    before = model.state_dict()
    calls = {
        "compile: backend": lambda: mg.compile(rectified, backend="numba"),
        "fit: compile": lambda: mg.fit(
            model, *batch(0), loss="mse", optimizer="sgd", compile="numba"
        ),
    }
    for what, call in calls.items():
        with pytest.raises(ImportError) as caught:
            call()
        assert str(caught.value) == (
            f"{what}='numba' was given, and {why}. Install the extra: "
            "pip install 'microgrid[numba]'; or compile for 'numpy'."
        )
    check_same(model.state_dict(), before)


def test_another_backend_is_refused() -> None:
    model = nn.MLP([5, 4], rng=0)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        mg.predict(model, batch(0)[0], compile="c")
    assert str(caught.value) == "predict: compile='c' was given; there are 'numpy' and 'numba'."
