"""detect_anomaly: the first nan or infinity, the op that made it, and the line of the call."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from every_op import cases_for

import microgrid as mg
from microgrid import places
from microgrid.errors import AnomalyError, MicrogridError, NonFiniteError
from microgrid.replay import Recorder

Function = Callable[..., Any]
INF, NAN = np.inf, np.nan
UNKNOWN = " Where it was called is not known: run the forward pass inside detect_anomaly() too."
ADVICE = "Keep the inputs away from there, as with clip(), or rewrite the formula."
FINITE = f"from finite inputs a finite result is needed. {ADVICE}"


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def anomaly(function: Function, **options: bool) -> AnomalyError:
    """Return the error that the function raises; NumPy may warn of overflows as it likes."""
    watched = mg.detect_anomaly(**options)(function)
    with np.errstate(all="ignore"), pytest.raises(AnomalyError) as caught:
        watched()
    return caught.value


def message(error: AnomalyError) -> str:
    """Return what is said before the line of code is shown."""
    return str(error).partition(" It was called in\n")[0]


@contextmanager
def op(rules: Any, kernel: Function | None = None) -> Iterator[mg.Op]:
    """An op of this file's own with the rules, one or more."""
    domains = (mg.Domain(),) * (len(rules) if isinstance(rules, tuple) else 1)
    kernel = kernel or (lambda x, *others, out=None: np.array(x))
    try:
        yield mg.Op(name="own", doc="A copy.", kernel=kernel, vjps=rules, domains=domains)
    finally:
        del mg.OPS["own"]


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda: leaf(0.0) / 0, "divide of shapes (), () -> () gave nan as divide(0.0, 0.0)"),
        (lambda: mg.log(leaf(-1.0)), "log of shapes () -> () gave nan as log(-1.0)"),
        (lambda: mg.log(mg.zeros(())), "log of shapes () -> () gave -inf as log(0.0)"),
        (
            lambda: mg.exp(leaf([[1.0, 2.0], [800.0, 900.0]])),
            "exp of shapes (2, 2) -> (2, 2) gave inf in 2 of 4 elements, the first at (1, 0) as "
            "exp(800.0)",
        ),
        (
            lambda: leaf([1.0, -1.0, 0.0]) / mg.zeros((2, 1)),
            "divide of shapes (3,), (2, 1) -> (2, 3) gave nan in 2 and inf in 2 and -inf in 2 of 6 "
            "elements, the first at (0, 0) as divide(1.0, 0.0)",
        ),
        (
            lambda: mg.sum(leaf([6e4, 6e4], np.float16)),
            "sum of shapes (2,) -> () gave inf",
        ),
        (
            lambda: leaf([1.0, 1e30]).astype(np.float16),
            "astype of shapes (2,) -> (2,) gave inf in 1 of 2 elements, the first at (1,) as "
            "astype(1e+30)",
        ),
    ],
)
def test_the_op_is_named_with_shapes_kinds_counts_and_the_first_place(
    function: Function, what: str
) -> None:
    assert message(anomaly(function)) == f"detect_anomaly: {what}; {FINITE}"


def test_the_line_that_called_the_op_is_shown_as_in_a_traceback() -> None:
    def loss(x: mg.Tensor) -> mg.Tensor:
        scaled = 2 * x
        return mg.log(scaled).sum()  # this line

    error = anomaly(lambda: loss(leaf([1.0, -1.0])))
    lineno = loss.__code__.co_firstlineno + 2
    assert (error.op, error.filename, error.lineno) == ("log", __file__, lineno)
    assert error.text == "return mg.log(scaled).sum()  # this line"
    assert str(error).endswith(
        f' It was called in\n  File "{__file__}", line {lineno}, in loss\n    {error.text}'
    )


class Model(mg.nn.Module):
    def __init__(self) -> None:
        self.weight = mg.nn.Parameter(-1.0)

    def forward(self, x: Any) -> mg.Tensor:
        return mg.sqrt(self.weight * x)  # in forward


@np.errstate(divide="warn")
def decorated(x: mg.Tensor) -> mg.Tensor:
    return 1 / x  # decorated


# Between these and their caller there are only frames of NumPy and of contextlib.
quiet_log = np.errstate(all="ignore")(mg.log)
log_without_graph = mg.no_grad()(mg.log)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda: Model()(mg.ones(2)), "return mg.sqrt(self.weight * x)  # in forward"),
        (lambda: decorated(mg.zeros(2)), "return 1 / x  # decorated"),
        (lambda: np.log(mg.zeros(2)), "(lambda: np.log(mg.zeros(2)),"),
        (lambda: quiet_log(mg.zeros(2)), "(lambda: quiet_log(mg.zeros(2)),"),
        (lambda: log_without_graph(mg.zeros(2)), "(lambda: log_without_graph(mg.zeros(2)),"),
        (lambda: mg.zeros(2) @ mg.full(2, INF), "(lambda: mg.zeros(2) @ mg.full(2, INF),"),
        (lambda: [mg.log(x) for x in mg.zeros(2)], "(lambda: [mg.log(x) for x in mg.zeros(2)],"),
        (
            lambda: mg.gelu(mg.full((), 1e200), "tanh"),
            'lambda: mg.gelu(mg.full((), 1e200), "tanh"),',
        ),
        (lambda: mg.grad(mg.log)(mg.zeros(())), "(lambda: mg.grad(mg.log)(mg.zeros(())),"),
    ],
)
def test_the_line_is_the_users_not_one_of_microgrid_or_numpy(function: Function, text: str) -> None:
    assert anomaly(function).text.startswith(text)


def test_code_without_a_file_has_a_line_number_only() -> None:
    code = compile("x / 0", "<no file>", "exec")
    error = anomaly(lambda: exec(code, {"x": leaf(1.0)}))
    assert (error.filename, error.lineno, error.text) == ("<no file>", 1, "")
    assert str(error).endswith('It was called in\n  File "<no file>", line 1, in <module>')


def test_it_is_the_first_op_not_a_later_one() -> None:
    def program() -> None:
        x = leaf([1.0, 0.0])
        first = mg.log(x)
        (first - first).sum().backward()

    assert anomaly(program).op == "log"


def test_without_a_graph_values_are_checked_too() -> None:
    with mg.no_grad():
        assert anomaly(lambda: mg.log(leaf(0.0))).op == "log"


def test_an_infinity_that_the_op_hides_from_its_result_is_none() -> None:
    x = leaf([1.0, NAN, -INF])
    with mg.detect_anomaly():
        y = mg.where(mg.isfinite(x), x, 0.0).sum()
        mg.maximum(mg.tensor([-INF, 1.0]), 0.0)
        y.backward()
    assert x.grad.tolist() == [1, 0, 0]


def test_data_that_came_in_is_told_from_what_an_op_made() -> None:
    x = mg.tensor([1.0, INF, 3.0])
    error = anomaly(lambda: x * 0)
    assert message(error) == (
        "detect_anomaly: multiply of shapes (3,), () -> (3,) gave nan in 1 of 3 elements, the "
        "first at (1,); its input 0 is a leaf that has inf in 1 of 3 elements, the first at (1,), "
        "and was given so. Look where this Tensor gets its values."
    )
    assert error.text == "error = anomaly(lambda: x * 0)"


def test_of_a_parameter_it_is_told_that_a_step_may_have_left_it_so() -> None:
    error = anomaly(lambda: mg.sum(leaf([NAN])))
    assert message(error) == (
        "detect_anomaly: sum of shapes (1,) -> () gave nan; its input 0 is a leaf that has nan in "
        "1 of 1 element, the first at (0,), and was given so, or left so by a step. Look where "
        "this Tensor gets its values."
    )


def test_a_graph_from_outside_is_followed_back_to_its_first() -> None:
    early = mg.log(leaf([1.0, 0.0]))
    late = early * 2
    error = anomaly(lambda: late + 1)
    assert str(error) == (
        "detect_anomaly: log of shapes (2,) -> (2,) gave -inf in 1 of 2 elements, the first at "
        f"(1,) as log(0.0); {FINITE}{UNKNOWN}"
    )
    assert (error.op, error.filename, error.lineno, error.text) == ("log", None, None, "")


def test_a_result_whose_graph_was_released_counts_as_given() -> None:
    early = mg.log(leaf(0.0))
    early.backward()
    error = anomaly(lambda: early + 1)
    assert message(error) == (
        "detect_anomaly: add of shapes (), () -> () gave -inf; its input 0 is the result of log, "
        "computed before, that has -inf, and was given so, or left so by a step. Look where this "
        "Tensor gets its values."
    )


def test_another_infinity_in_the_graph_that_went_nowhere_is_not_blamed() -> None:
    x = leaf([1.0, 0.0])
    harmless = mg.where(x > 0, mg.log(x), 0.0)
    error = anomaly(lambda: mg.reciprocal(harmless))
    assert error.op == "reciprocal"


# --- gradients -----------------------------------------------------------------------------------


def backward(y: mg.Tensor) -> None:
    y.backward()


def create_graph(y: mg.Tensor) -> None:
    mg.gradients(y, y.inputs[0], create_graph=True)


both = pytest.mark.parametrize("go", [backward, create_graph])  # rules on arrays, and on Tensors


@both
def test_the_rule_is_named_with_its_input_and_the_line_of_the_forward_pass(go: Function) -> None:
    def program() -> None:
        x = mg.tensor([4.0, 0.0, 1.0], requires_grad=True)
        root = mg.sqrt(x)  # forward
        go(root.sum() if go is backward else mg.gradients(root.sum(), [x], create_graph=True)[0])

    error = anomaly(program)
    assert message(error) == (
        "detect_anomaly: the rule of sqrt for its input 0, shape (3,), gave inf in 1 of 3 "
        "elements, the first at (1,), where that is 0.0; from a finite gradient a finite one is "
        f"needed. {ADVICE}"
    )
    assert (error.op, error.text) == ("sqrt", "root = mg.sqrt(x)  # forward")


def test_a_forward_pass_outside_leaves_the_line_unknown() -> None:
    loss = mg.sqrt(leaf(0.0))
    error = anomaly(loss.backward)
    assert str(error) == (
        "detect_anomaly: the rule of sqrt for its input 0, shape (), gave inf, where that is 0.0; "
        f"from a finite gradient a finite one is needed. {ADVICE}{UNKNOWN}"
    )
    assert (error.filename, error.lineno, error.text) == (None, None, "")


def test_a_forward_pass_in_another_block_is_remembered() -> None:
    with mg.detect_anomaly():
        loss = mg.sqrt(leaf(0.0))  # in the first block
    assert anomaly(loss.backward).text == "loss = mg.sqrt(leaf(0.0))  # in the first block"


def test_a_slope_of_a_slope_names_the_line_of_the_function_itself() -> None:
    def program() -> None:
        w = leaf(1e-200)
        y = mg.log(w)  # whose slope is 1e200, and that has the slope -inf
        slope = mg.gradients(y, w, create_graph=True)
        slope.backward()

    error = anomaly(program)
    assert (error.op, error.text.split("  #")[0]) == ("chain_divide", "y = mg.log(w)")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_several_inputs_the_one_is_named_whose_rule_it_is(place: int) -> None:
    def rule(i: int) -> Function:
        return lambda g, y, *xs: g * (NAN if i == place else 1.0)

    with op(tuple(rule(i) for i in range(3))) as own:
        error = anomaly(lambda: own(leaf(1.0), leaf(2.0), leaf(3.0)).backward())
    what = f"the rule of own for its input {place}, shape (), gave nan, where that is {place + 1}.0"
    assert what in message(error)


def test_a_tensor_that_is_several_inputs_is_looked_at_use_by_use() -> None:
    rules = (lambda g, y, a, b: g * 1.0, lambda g, y, a, b: g * INF)
    with op(rules) as own:
        x = leaf(1.0)
        assert "for its input 1," in message(anomaly(lambda: own(x, x).backward()))


def test_the_rule_of_an_op_of_any_number_of_inputs_is_checked() -> None:
    def rule(wanted: Any, g: Any, y: Any, *xs: Any) -> list[Any]:
        return [g * value if want else None for want, value in zip(wanted, (1.0, INF), strict=True)]

    with op(mg.EachInput(rule)) as own:
        error = anomaly(lambda: own(leaf(1.0), leaf(2.0)).backward())
        assert "the rule of own for its input 1, shape (), gave inf" in message(error)
        with mg.detect_anomaly():
            own(leaf(1.0), mg.tensor(2.0)).backward()


@both
def test_gradients_that_overflow_when_added_are_told_from_a_rule(go: Function) -> None:
    def program() -> None:
        w = leaf(1.0)
        a, b = w * 1.5e308, w * 1e308
        mg.gradients(a * 1.0 + b * 1.0 - 1e308, w, create_graph=go is create_graph)

    with np.errstate(all="ignore"):
        error = anomaly(program, check_values=False)
    assert message(error) == (
        "detect_anomaly: the gradient of input 0 of multiply, shape (), became inf when those of "
        "all its uses were added; each alone is finite. Scale the loss or the inputs down."
    )


def test_a_gradient_that_overflows_in_the_sum_over_broadcast_axes_is_found() -> None:
    x = leaf([1.0], np.float16)
    error = anomaly(lambda: (x + mg.zeros(3, dtype=np.float16)).backward([3e4, 3e4, 3e4]))
    assert "the rule of add for its input 0, shape (1,), gave inf in 1 of 1 element" in str(error)


def test_a_gradient_given_that_is_not_finite_is_no_ops_fault() -> None:
    y = leaf([1.0, 2.0]) * 2
    error = anomaly(lambda: y.backward([1.0, NAN]))
    assert str(error) == (
        "detect_anomaly: the gradient given for the result of multiply, shape (2,), has nan in 1 "
        "of 2 elements, the first at (1,); it must be finite. Pass finite numbers."
    )
    assert error.op is None
    error = anomaly(lambda: leaf(1.0).backward(INF))
    assert str(error) == (
        "detect_anomaly: the gradient given for a leaf, shape (), has inf; it must be finite. Pass "
        "finite numbers."
    )


@both
def test_what_a_rule_computes_on_its_way_is_not_checked(go: Function) -> None:
    """The slope of sqrt at 0 is inf, but a gradient of exactly 0 wins over it."""
    x = leaf([0.0, 1.0])
    with mg.detect_anomaly():
        y = mg.sqrt(x) * mg.tensor([0.0, 1.0])
        (slope,) = mg.gradients(y.sum(), [x], create_graph=go is create_graph)
        z = (x**0.5 * mg.tensor([0.0, 1.0])).sum()
        (other,) = mg.gradients(z, [x], create_graph=go is create_graph)
    assert slope.tolist() == other.tolist() == [0.0, 0.5]


def test_after_an_error_no_grad_has_changed_and_the_graph_is_whole() -> None:
    a, b = leaf([1.0, 0.0]), leaf([1.0, 2.0])
    loss = (mg.sqrt(a) * b).sum()
    assert anomaly(loss.backward).op == "sqrt"
    assert a.grad is None
    assert b.grad is None
    loss.backward()
    assert a.grad.tolist() == [0.5, INF]
    assert b.grad.tolist() == [1, 0]


# --- nothing on clean programs -------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (3, 3)])
@pytest.mark.parametrize("second_order", [False, True])
def test_no_op_is_blamed_where_all_is_finite(shape: tuple[int, ...], second_order: bool) -> None:
    values = np.linspace(0.3, 0.9, int(np.prod(shape))).reshape(shape)
    for name, call in cases_for(shape):
        x = leaf(values)
        with np.errstate(all="ignore"):
            y = call(x)
            wanted = isinstance(y, mg.Tensor) and y.requires_grad
            outer = mg.gradients(y, x, y.detach()).data if wanted else np.zeros(())
        if not isinstance(y, mg.Tensor) or not (
            np.isfinite(y.data).all() and np.isfinite(outer).all()
        ):
            continue  # 1 / 0 is among the cases
        with mg.detect_anomaly():
            again = call(x)
            if wanted:
                found = mg.gradients(again, x, y.detach(), create_graph=second_order)
                np.testing.assert_array_equal(found.data, outer, err_msg=name)


@both
def test_gradients_are_the_same_to_the_last_bit(go: Function) -> None:
    def gradient() -> list[Any]:
        model = mg.nn.MLP([4, 8, 3], rng=0)
        x = np.random.default_rng(0).normal(size=(5, 4))
        loss = mg.cross_entropy(model(x), np.array([0, 1, 2, 1, 0]))
        parameters = list(model.parameters())
        found = mg.gradients(loss, parameters, create_graph=go is create_graph)
        loss.backward()
        return [g.data for g in found] + [p.grad for p in parameters]

    plain = gradient()
    with mg.detect_anomaly():
        checked = gradient()
    for a, b in zip(plain, checked, strict=True):
        np.testing.assert_array_equal(a, b)


def test_integers_truth_values_and_empty_arrays_are_finite() -> None:
    with mg.detect_anomaly():
        (mg.tensor([1, 2]) * 3 > 2).sum()
        (leaf(np.zeros((0, 3))) * 2).sum().backward()


# --- the block -----------------------------------------------------------------------------------


def is_watched() -> bool:
    try:
        mg.log(leaf(0.0))
    except AnomalyError:
        return True
    return False


def is_watched_backward() -> bool:
    try:
        mg.sqrt(leaf(0.0)).backward()
    except AnomalyError:
        return True
    return False


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, AnomalyError])
def test_it_ends_with_the_block_whatever_happens_there(error: type[BaseException]) -> None:
    def fail() -> None:
        with mg.detect_anomaly():
            assert is_watched()
            assert is_watched_backward()
            raise error

    with pytest.raises(error):
        fail()
    assert not is_watched()
    assert not is_watched_backward()
    assert mg.recording.watchers == []


def test_blocks_nest() -> None:
    with mg.detect_anomaly():
        with mg.detect_anomaly():
            assert is_watched()
        assert is_watched()
        assert is_watched_backward()
    assert not is_watched()
    assert not is_watched_backward()


def test_one_object_can_be_entered_again_and_within_itself() -> None:
    block = mg.detect_anomaly()
    for _ in range(2):
        with block:
            with block:
                assert is_watched()
            assert is_watched()
            assert is_watched_backward()
        assert not is_watched()
        assert not is_watched_backward()


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("grads", [False, True])
def test_options_say_what_is_checked(values: bool, grads: bool) -> None:
    with mg.detect_anomaly(check_values=values, check_gradients=grads):
        assert is_watched() is values
        assert is_watched_backward() is grads
    with mg.detect_anomaly(), mg.detect_anomaly(check_values=values, check_gradients=grads):
        assert is_watched()  # the outer block goes on checking
        assert is_watched_backward()
    with mg.detect_anomaly(False, False), mg.detect_anomaly(values, grads):
        assert is_watched() is values
        assert is_watched_backward() is grads


def test_values_alone_leave_rules_on_tensors_in_peace() -> None:
    x = leaf(0.0)
    with mg.detect_anomaly(check_gradients=False):
        slope = mg.gradients(mg.sqrt(x), x, create_graph=True)
    assert slope.item() == INF


def test_as_a_decorator_it_checks_each_call() -> None:
    @mg.detect_anomaly(check_gradients=False)
    def f(x: mg.Tensor) -> mg.Tensor:
        return mg.log(x) if x.item() else f(leaf(1.0)) + mg.sqrt(x)

    assert f(leaf(1.0)).item() == 0
    assert f(leaf(0.0)).item() == 0
    assert f.__name__ == "f"
    with pytest.raises(AnomalyError):
        f(leaf(-1.0))
    assert not is_watched()


def test_what_runs_after_the_call_has_returned_cannot_be_decorated() -> None:
    def generator() -> Any:
        yield

    async def coroutine() -> None:
        return

    for function in (generator, coroutine):
        name = function.__name__
        text = (
            f"detect_anomaly: {name} was decorated, whose body runs after the call has returned. "
            "Write `with detect_anomaly():` inside it."
        )
        with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
            mg.detect_anomaly()(function)


@pytest.mark.parametrize("name", ["check_values", "check_gradients"])
def test_an_option_that_is_no_truth_value_is_an_error(name: str) -> None:
    text = f"detect_anomaly: {name}='no' was given; it must be True or False."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        mg.detect_anomaly(**{name: "no"})


def test_other_threads_are_not_watched() -> None:
    seen: list[bool] = []
    with mg.detect_anomaly():
        thread = threading.Thread(target=lambda: seen.extend([is_watched(), is_watched_backward()]))
        thread.start()
        thread.join()
    assert seen == [False, False]


def test_one_object_serves_threads_at_the_same_time() -> None:
    block = mg.detect_anomaly()
    meet = threading.Barrier(2, timeout=30)
    seen: list[Any] = []

    def work(last_out: bool) -> None:
        with block:
            meet.wait()  # both are inside
            if last_out:
                meet.wait()  # the other is out
            seen.append(is_watched() and is_watched_backward())
        if not last_out:
            meet.wait()
        seen.append(not is_watched())

    threads = [threading.Thread(target=work, args=(last,)) for last in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 4
    assert mg.recording.watchers == []


def test_a_watcher_around_it_still_sees_every_call() -> None:
    with Recorder() as recorder, mg.detect_anomaly():
        mg.relu(mg.tensor([1.0, -1.0]))
    assert [chosen.name for chosen, _ in recorder.choices] == ["relu"]


def test_a_watcher_inside_it_leaves_the_checks_on() -> None:
    with mg.detect_anomaly(), Recorder():
        assert is_watched()
        assert is_watched_backward()


def test_a_backward_pass_within_a_rule_runs() -> None:
    def rule(g: Any, y: Any, x: Any) -> Any:
        inner = leaf(2.0)
        (inner * inner).backward()
        return g * inner.grad

    with op((rule,)) as own, mg.detect_anomaly():
        x = leaf(1.0)
        own(x).backward()
        assert is_watched_backward()
    assert x.grad == 4


# --- training ------------------------------------------------------------------------------------


def fit(model: mg.nn.Module, x: Any, y: Any, loss: Any, **options: Any) -> Any:
    return mg.fit(model, x, y, loss=loss, verbose=0, rng=0, **options)


def test_fit_raises_it_with_the_history_and_before_the_step() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 3)), rng.normal(size=(64, 2))
    model = mg.nn.MLP([3, 4, 2], rng=0)
    calls: list[int] = []

    def loss(prediction: mg.Tensor, target: mg.Tensor) -> mg.Tensor:
        calls.append(1)
        bad = mg.log(mg.tensor(0.0 if len(calls) == 5 else 1.0))  # in the loss
        return mg.mse_loss(prediction, target) + bad

    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        fit(model, x, y, loss, optimizer="sgd", epochs=5)
    error = caught.value
    assert isinstance(error, (AnomalyError, MicrogridError, ArithmeticError))
    assert error.history.epoch == [0, 1]  # two batches each
    assert error.text.startswith("bad = mg.log(")
    assert all(np.isfinite(p.data).all() for p in model.parameters())


def test_fit_names_the_rule_that_spoils_the_parameters() -> None:
    class Root(mg.nn.Module):
        def __init__(self) -> None:
            self.scale = mg.nn.Parameter(0.0)

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return x * mg.sqrt(self.scale)  # whose slope at 0 is inf

    model = Root()
    with pytest.raises(AnomalyError) as caught, mg.detect_anomaly():
        fit(model, np.ones((4, 1)), np.ones((4, 1)), "mse", optimizer="sgd")
    assert caught.value.op == "sqrt"
    assert caught.value.text == "return x * mg.sqrt(self.scale)  # whose slope at 0 is inf"
    assert model.scale.item() == 0


def test_clean_training_is_the_same_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 3)), rng.integers(0, 2, 64)

    def losses() -> list[float]:
        model = mg.nn.MLP([3, 8, 2], rng=0)
        options = {"optimizer": "sgd", "epochs": 3, "validation_split": 0.25}
        return fit(model, x, y, "cross_entropy", **options).history["val_loss"]

    plain = losses()
    with mg.detect_anomaly():
        assert losses() == plain


# --- memory and depth ----------------------------------------------------------------------------


def test_no_cycle_keeps_a_graph_alive_and_nothing_is_remembered_of_it() -> None:
    def program() -> weakref.ref[mg.Tensor]:
        x = leaf([1.0, 2.0])
        with mg.detect_anomaly():
            y = mg.exp(x * 2).sum()
            y.backward(retain_graph=True)
            mg.gradients(y, x, create_graph=True)
        return weakref.ref(y.inputs[0])

    gc.collect()
    before = len(places._origins)
    gc.disable()
    try:
        node = program()
        assert node() is None
        assert len(places._origins) == before
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_an_error_that_was_handled_leaves_no_cycle() -> None:
    def program() -> weakref.ref[mg.Tensor]:
        x = leaf([0.0])
        try:
            with mg.detect_anomaly():
                mg.sqrt(x).sum().backward()
        except AnomalyError:
            return weakref.ref(x)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        assert program()() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("depth", [20_000])  # Python's recursion ends at 1000
def test_depth_costs_no_stack(depth: int) -> None:
    x = leaf(1.0)
    y = mg.sqrt(x - 1.0)
    with mg.detect_anomaly():
        for _ in range(depth):
            y = y + 1.0
    assert anomaly(y.backward).op == "sqrt"
    y = mg.log(x - 1.0)
    for _ in range(depth):
        y = y + 1.0
    assert anomaly(lambda: y * 2.0).op == "log"
