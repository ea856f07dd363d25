"""gradcheck: how it is called, what it leaves behind, and what it refuses."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import numpy as np
import pytest
from own_ops import doubled, variable

import microgrid as mg
from microgrid.testing import GradientError, gradcheck, gradgradcheck, report

X, Y = [0.5, -2.0], [1.5, 0.25]
named = pytest.mark.parametrize


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def rejects(func: Any, *inputs: Any, **options: Any) -> bool:
    return not gradcheck(func, inputs, raise_exception=False, **options)


# --- PyTorch's ways to call it --------------------------------------------------------------------


@named(
    "inputs",
    [variable(X), (variable(X),), [variable(X)], iter([variable(X)])],
    ids=["a Tensor", "a tuple", "a list", "an iterator"],
)
def test_one_input_may_be_given_alone_or_in_a_sequence(inputs):
    assert gradcheck(mg.tanh, inputs) is True


@named("inputs", [(variable(X), variable(Y)), [variable(X), variable(Y)]], ids=["tuple", "list"])
def test_several_inputs_are_passed_in_their_order(inputs):
    assert gradcheck(lambda a, b: a * mg.exp(b), inputs)


RESULTS = {
    "a Tensor": lambda y: y,
    "a tuple": lambda y: (y, 2 * y),
    "a list": lambda y: [y],
    "a dict": lambda y: {"first": y, "second": 3 * y},
    "nested": lambda y: ([y, {"a": (y,)}], y),
    "with a string and None": lambda y: (y, "text", None),
    "with integers": lambda y: (mg.argmax(y), y, y > 0),
}


@named("arranged", RESULTS.values(), ids=RESULTS)
def test_results_may_be_arranged_in_any_way(arranged):
    assert gradcheck(lambda x: arranged(mg.tanh(x)), variable(X))


@named("arranged", RESULTS.values(), ids=RESULTS)
def test_a_fault_is_found_in_results_arranged_in_any_way(arranged):
    with doubled() as op:
        assert rejects(lambda x: arranged(op(x)), variable(X))


def test_a_fault_in_the_last_of_several_results_is_found():
    with doubled() as op:
        assert rejects(lambda x: (x, 2 * x, op(x)), variable(X))


def test_a_fault_towards_the_last_of_several_inputs_is_found():
    with doubled() as op:
        assert rejects(lambda a, b: a * op(b), variable(X), variable(Y))


def test_inputs_that_require_no_gradient_are_passed_on_as_they_are():
    seen = []

    def func(x: Any, array: Any, number: Any, option: Any) -> Any:
        seen.append((type(array), array.dtype, number, option))
        return x * array * number

    assert gradcheck(func, (variable(X), np.array([1, 2], np.int32), 3, "option"))
    assert set(seen) == {(np.ndarray, np.dtype(np.int32), 3, "option")}


def test_a_fault_towards_an_input_that_requires_no_gradient_does_not_count():
    with doubled() as op:
        assert gradcheck(lambda a, b: a * op(b), (variable(X), mg.tensor(Y)))


def test_an_input_may_be_the_result_of_an_op():
    assert gradcheck(lambda x: x * x, variable(X) * 3)


def test_a_fault_is_found_at_an_input_that_is_the_result_of_an_op():
    with doubled() as op:
        assert rejects(op, variable(X) * 3)


def test_a_tensor_given_twice_counts_as_one_input():
    x = variable(X)
    assert gradcheck(lambda a, b: a * b, (x, x))
    assert report(lambda a, b: a * b, (x, x)).directions == 2


def test_a_module_is_checked_by_the_parameters_that_it_holds():
    model = mg.nn.MLP([3, 4, 2], activation="tanh", rng=0)
    data = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    assert gradcheck(lambda *parameters: model(data).sum(), list(model.parameters()))
    assert gradcheck(lambda *parameters: model(data).sum(), model.parameters())


def test_a_fault_inside_a_module_is_found():
    model = mg.nn.MLP([3, 4, 2], activation="tanh", rng=0)
    with doubled() as op:
        assert rejects(lambda *parameters: op(model(np.ones((5, 3)))), *model.parameters())


def test_parameters_that_are_no_input_are_constants():
    w = variable([3.0, 4.0])
    assert gradcheck(lambda x: x * w, variable(X))
    assert w.grad is None


def test_the_function_may_turn_recording_on_and_off():
    with mg.no_grad():
        assert gradcheck(mg.tanh, variable(X))


def test_a_function_that_ignores_its_input_has_slope_0():
    assert gradcheck(lambda x: mg.tensor([1.0, 2.0]), variable(X))


# --- what it leaves behind ------------------------------------------------------------------------


def fails(x: Any) -> Any:
    raise KeyError("mine")


def fails_away_from_the_point(x: Any) -> Any:
    if x.data[0] != X[0]:
        raise KeyError("mine")
    return x * x


@named(
    "func",
    [mg.tanh, fails, fails_away_from_the_point, lambda x: x.item(), lambda x: x[x.data > 0]],
    ids=["right", "fails", "fails beside", "raises", "other shapes"],
)
@named("check", [gradcheck, gradgradcheck], ids=["first", "second"])
def test_the_inputs_are_untouched_whatever_happens(func, check):
    x = variable(X)
    x.grad = np.array([7.0, 8.0])
    data, serial, graph = x.data, x.serial, (x * x).sum()
    with contextlib.suppress(KeyError, ValueError, AssertionError):
        check(func, x, raise_exception=True)
    assert x.data is data
    np.testing.assert_array_equal(data, X)
    assert x.serial == serial
    np.testing.assert_array_equal(x.grad, [7.0, 8.0])
    assert (x.dtype, x.requires_grad, x.op) == (np.float64, True, None)
    graph.backward()  # a graph made before still works: 2x is added
    np.testing.assert_array_equal(x.grad, [8.0, 4.0])


def test_a_float32_input_is_float32_afterwards():
    x = variable(X, np.float32)
    assert gradcheck(mg.tanh, x)
    assert x.data.dtype == np.float32


def test_nobody_watches_after_a_failure():
    with doubled() as op, pytest.raises(GradientError):
        gradcheck(op, variable(X))
    assert mg.recording.watchers == []


def test_numpys_global_random_state_is_not_touched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    gradcheck(mg.tanh, variable(X))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# --- random directions ----------------------------------------------------------------------------


def directions_of(rng: Any) -> list[bytes]:
    """Return the points at which a function of 200 inputs is called."""
    seen = []

    def func(x: Any) -> Any:
        seen.append(x.data.tobytes())
        return (x * x).sum()

    assert gradcheck(func, variable(np.linspace(-1, 1, 200)), rng=rng)
    return seen


def test_a_seed_gives_the_same_directions_in_every_run():
    assert directions_of(3) == directions_of(3)
    assert directions_of(np.random.default_rng(3)) == directions_of(np.random.default_rng(3))


def test_without_a_seed_every_run_has_other_directions():
    assert directions_of(None) != directions_of(None)


def test_two_seeds_have_different_directions():
    assert directions_of(3) != directions_of(4)


def test_a_generator_goes_on_from_where_it_is():
    rng = np.random.default_rng(3)
    assert directions_of(rng) != directions_of(rng)


# --- how it says no -------------------------------------------------------------------------------


def test_a_wrong_gradient_raises():
    with doubled() as op, pytest.raises(GradientError, match=r"^gradcheck: selection check"):
        gradcheck(op, variable(X))


def test_a_wrong_gradient_returns_false_if_asked_to():
    with doubled() as op:
        assert gradcheck(op, variable(X), raise_exception=False) is False


def test_the_error_is_an_assertion_so_that_pytest_shows_it_as_a_failure():
    assert issubclass(GradientError, AssertionError)
    assert issubclass(GradientError, mg.errors.MicrogridError)


NOTHING = (
    ": no input requires a gradient, so there is nothing to check. Pass Tensors with "
    "requires_grad=True, or arrays and gradient= to check a function of arrays."
)


@named("inputs", [mg.tensor(X), np.array(X), [], 3.0], ids=["Tensor", "array", "none", "number"])
@named("check", [gradcheck, gradgradcheck])
def test_inputs_without_gradients_are_refused(inputs, check):
    with pytest.raises(ValueError, match=exactly(check.__name__ + NOTHING)):
        check(lambda *xs: xs, inputs)


@named(("returned", "name"), [(3.0, "float"), (None, "NoneType"), ("text", "str"), ([], "list")])
def test_a_function_that_returns_no_tensor_is_refused(returned, name):
    message = (
        f"gradcheck: the function returned a {name}; it needs a Tensor or a sequence of them. To "
        "check a function of arrays pass its gradient=."
    )
    with pytest.raises(TypeError, match=exactly(message)):
        gradcheck(lambda x: returned, variable(X))


def test_a_function_without_float_results_is_refused():
    message = (
        "gradcheck: the function returned only int64, bool, which has no slopes; it needs a result "
        "of floats or Fractions. Return what the gradient is of."
    )
    with pytest.raises(TypeError, match=exactly(message)):
        gradcheck(lambda x: (mg.argmax(x), x > 0), variable(X))


@named("check", [gradcheck, gradgradcheck, report])
def test_an_unknown_word_for_kinks_is_refused(check):
    who = "gradgradcheck" if check is gradgradcheck else "gradcheck"
    message = f"{who}: kinks='skip' was given; it must be one of ('verify', 'strict', 'ignore')."
    with pytest.raises(ValueError, match=exactly(message)):
        check(mg.relu, variable(X), kinks="skip")


@named("order", [0, -1, 1.5, "2", None])
def test_an_unknown_order_is_refused(order):
    message = f"gradcheck: order={order!r} was given; it must be 1 or more, an integer."
    with pytest.raises(ValueError, match=exactly(message)):
        gradcheck(mg.relu, variable(X), order=order)


def test_what_the_function_raises_at_the_point_is_passed_on():
    with pytest.raises(KeyError, match=r"^'mine'$"):
        gradcheck(fails, variable(X))
