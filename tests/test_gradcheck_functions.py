"""gradcheck on functions of all kinds: random ones, ones that branch, any dtype, shape and size."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from own_ops import declared, doubled, passing, variable

import microgrid as mg
from microgrid.testing import gradcheck, report

X, Y = [0.5, -2.0], [1.5, 0.25]
named = pytest.mark.parametrize


def rejects(func: Any, *inputs: Any, **options: Any) -> bool:
    return not gradcheck(func, inputs, raise_exception=False, **options)


# --- values that tell nothing ---------------------------------------------------------------------


def only_failure(func: Any, *inputs: Any, **options: Any) -> str:
    found = report(func, inputs, rng=0, **options)
    assert not found.ok
    assert len({str(failure) for failure in found.failures}) == 1
    return str(found.failures[0])


@named(
    ("func", "at", "said"),
    [
        (mg.log, [0.5, -1.0], "the result[1]: The value nan"),
        (lambda x: 1 / x, [0.5, 0.0], "the result[1]: The value inf"),
        (mg.relu, [np.nan, 1.0], "input 0[0]: The value nan"),
        (mg.exp, [1.0, -np.inf], "input 0[1]: The value -inf"),
    ],
)
def test_a_value_that_is_not_finite_is_no_place_to_check(func, at, said):
    expected = f"{said} is not finite. Check the gradient elsewhere."
    assert only_failure(func, variable(at)) == expected


def test_a_function_with_random_numbers_of_its_own_is_reported():
    rng = np.random.default_rng(0)
    values = np.random.default_rng(0).normal(size=2)
    assert only_failure(lambda x: x * rng.normal(), variable(2.0)) == (
        f"the result: Two calls give {2 * values[0]} and {2 * values[1]}. Give the function's "
        "random numbers a fixed seed."
    )


def test_a_function_that_takes_a_random_path_is_reported():
    calls = iter([mg.relu, mg.absolute, mg.relu, mg.absolute])
    assert only_failure(lambda x: next(calls)(x), variable(X)) == (
        "the function: Two calls take different paths. Give the function's random numbers a fixed "
        "seed."
    )


def test_a_function_with_a_fixed_seed_is_checked():
    mask = lambda x: np.random.default_rng(0).random(x.shape) < 0.5  # noqa: E731
    assert gradcheck(lambda x: x * mask(x), variable(X))


@named("seed", range(20))
def test_dropout_without_a_seed_is_never_accepted(seed):
    """With 8 elements the masks of the calls cannot all be equal."""
    rng = np.random.default_rng(seed)
    assert rejects(lambda x: x * (rng.random(8) < 0.5), variable(np.ones(8)))


# --- rules that are more than wrong ---------------------------------------------------------------


def test_a_rule_that_raises_is_reported():
    def rule(g: Any, y: Any, x: Any) -> Any:
        raise LookupError("no rule today")

    with passing(rule) as op:
        found = report(op, variable(X), rng=0)
    assert str(found.failures[0]) == "backward: It raised LookupError: no rule today"
    assert found.op == "passing, call 0 of 1, on shapes (2,)"


def test_a_rule_of_the_wrong_shape_is_reported():
    with passing(lambda g, y, x: mg.stack([g, g, g], axis=1)) as op:
        found = report(op, variable(X), rng=0)
    assert str(found.failures[0]) == (
        "backward: It raised ShapeError: backward: the rule of passing gave a gradient of shape "
        "(2, 3) for an input of shape (2,); it must have that shape, or one that this broadcasts "
        "to."
    )


def test_a_rule_that_is_not_written_in_ops_is_reported():
    with passing(lambda g, y, x: np.multiply(g, np.lib.stride_tricks.as_strided(1.0))) as op:
        found = report(op, variable(X), rng=0)
    assert found.ok  # NumPy's functions of Tensors are ops too

    def rule(g: Any, y: Any, x: Any) -> Any:
        if isinstance(g, mg.Tensor):
            raise TypeError("arrays only")
        return g

    with passing(rule) as op:
        found = report(op, variable(X), rng=0)
    assert str(found.failures[0]) == (
        "backward: It raised TypeError: arrays only That was with the inputs moved and the "
        "gradient recorded: compute in the function all that depends on its inputs, and write "
        "rules in ops."
    )


def test_what_was_computed_from_the_inputs_before_is_reported():
    x = variable(X)
    before = 2 * x
    found = report(lambda x: before + x, x, rng=0)
    assert str(found.failures[0]).startswith("backward: It raised GraphError: gradients: an input ")


def test_a_gradient_of_nan_is_rejected():
    with passing(lambda g, y, x: g * (x - x) / (x - x)) as op:
        assert rejects(op, variable(X))


# --- paths that depend on values ------------------------------------------------------------------


def branching(x: Any) -> Any:
    return mg.relu(x) if x.item() > 0 else mg.absolute(x) * 3


def silently(x: Any) -> Any:
    """Branch without an op that would choose: nothing tells that the path is another one."""
    return 2 * x if x.item() > 0 else 3 * x


def halved_often(x: Any) -> Any:
    while x.item() > 1:
        x = x / 2
    return x * x


@named("func", [branching, silently])
@named("at", [0.5, 1e-6, 1e-12, -0.5, -1e-6, -1e-12])
def test_near_a_branch_a_function_is_checked(func, at):
    assert gradcheck(func, variable(at))
    with doubled() as op:
        assert rejects(lambda x: op(func(x)), variable(at))


@named("func", [branching, silently])
def test_at_a_branch_a_function_is_not_accepted(func):
    assert rejects(func, variable(0.0))


def test_at_a_branch_that_calls_other_ops_the_report_says_what_to_use():
    assert only_failure(branching, variable(0.0)).endswith(
        "Beside the point it takes another path: replay: relu was called where absolute was called "
        "at first. Let no Python branch depend on values; use where()."
    )


def test_a_branch_on_a_tensor_is_held_fast_like_any_choice():
    assert gradcheck(lambda x: 2 * x if x > 0 else 3 * x, variable(0.0))


def test_a_loop_whose_length_depends_on_values_is_checked_between_its_steps():
    assert gradcheck(halved_often, variable(5.0))
    assert rejects(halved_often, variable(8.0))


def test_a_shape_that_depends_on_values_is_checked_where_it_stays():
    positive = lambda x: mg.tanh(x[x.data > 0])  # noqa: E731
    assert gradcheck(positive, variable([0.5, -2.0, 0.25]))
    found = report(positive, variable([0.5, 0.0, 0.25]), rng=0)
    assert not found.ok
    assert str(found.failures[0]).endswith(
        "Beside the point it takes another path: replay: the result's shape depends on values. Let "
        "no shape do so."
    )


@named("error", [ValueError, RuntimeError, IndexError, AssertionError, FloatingPointError])
def test_a_function_may_refuse_points_farther_away(error):
    def picky(x: Any) -> Any:
        if np.abs(x.data).max() > 1:
            raise error("outside")
        return mg.exp(x)

    assert gradcheck(picky, variable([0.5, 0.25]))
    assert only_failure(picky, variable(1.0)).endswith(
        f"Beside the point it raised {error.__name__}: outside"
    )


# --- dtypes and shapes ----------------------------------------------------------------------------

FUNCTIONS = {
    "tanh": mg.tanh, "square": lambda x: x * x, "relu": mg.relu, "softmax": mg.softmax,
    "sum of exp": lambda x: mg.exp(x).sum(),
}  # fmt: skip


@named("func", FUNCTIONS.values(), ids=FUNCTIONS)
@named("dtype", ["float16", "float32", "float64", ">f4", ">f8"])
def test_every_float_dtype_is_checked(func, dtype):
    x = mg.tensor(np.array([0.5, -2.0, 0.25], dtype), requires_grad=True)
    assert gradcheck(func, x)
    with doubled() as op:
        assert rejects(lambda x: func(op(x)), x)


@named("first", ["float16", "float32", "float64"])
@named("second", ["float16", "float32", "float64"])
def test_inputs_may_differ_in_dtype(first, second):
    pair = variable(X, first), variable(Y, second)
    assert gradcheck(lambda a, b: a * mg.tanh(b), pair)


@named("inner", ["float16", "float32", "float64"])
@named("outer", ["float16", "float32", "float64"])
def test_a_function_may_cast(inner, outer):
    func = lambda x: mg.tanh(3 * x.astype(inner)).astype(np.float64)  # noqa: E731
    assert gradcheck(func, variable(X, outer))
    with doubled() as op:
        assert rejects(lambda x: op(func(x)), variable(X, outer))


SHAPES: list[tuple[int, ...]] = [(), (1,), (1, 1), (0,), (0, 3), (2, 0), (2, 3), (129,), (70, 70)]


@named("shape", SHAPES)
def test_every_shape_is_checked(shape):
    x = variable(np.linspace(-1, 1, int(np.prod(shape))).reshape(shape))
    assert gradcheck(mg.tanh, x)
    assert gradcheck(lambda x: mg.exp(x).sum(), x)
    with doubled() as op:
        assert rejects(lambda x: op(x).sum(), x) == (x.size > 0)


def test_an_empty_input_beside_another_hides_nothing():
    with doubled() as op:
        assert rejects(lambda a, b: a.sum() + op(b), variable(np.zeros((0, 3))), variable(2.0))


def test_more_results_than_are_looked_at_one_by_one_are_checked():
    """Of 5000 results of one input only the last is wrong."""
    weights = np.linspace(1, 2, 5000)
    assert gradcheck(lambda x: x * weights, variable(2.0))
    last = np.zeros(5000)
    last[-1] = 1e-6
    with passing(lambda g, y, x: g * (1 + last)) as op:
        assert rejects(lambda x: op(x * weights), variable(2.0))


@named("dtype", ["float64", "float32"])
def test_many_inputs_take_few_calls(dtype):
    """Of 200 000 inputs each direction costs some calls, not one call each."""
    calls = []

    def func(x: Any) -> Any:
        calls.append(1)
        return mg.tanh(x).sum()

    assert gradcheck(func, variable(np.linspace(-2, 2, 200_000), dtype), rng=0)
    assert len(calls) < 1000


@named("power", [-300, -200, -100, -20, 13, 20, 100, 200])
def test_numbers_of_any_size_are_checked(power):
    x = variable([0.75 * 10.0**power, -0.5 * 10.0**power])
    assert gradcheck(lambda x: 2 * x, x)
    assert gradcheck(mg.relu, x)
    assert gradcheck(lambda x: mg.tanh(x) * 10.0 ** (power / 2), variable(X))
    with doubled() as op:
        assert rejects(lambda x: 2 * op(x), x)
        assert rejects(lambda x: mg.tanh(op(x)) * 10.0 ** (power / 2), variable(X))


def test_the_number_2_of_a_power_is_no_variable():
    assert gradcheck(lambda x: x**2, variable([-1.5, 2.0]))


def test_an_op_that_computes_with_python_numbers_is_checked():
    with declared(
        name="thrice", kernel=lambda x, out=None: 3 * x, vjps=(lambda g, y, x: 3 * g,)
    ) as op:
        assert gradcheck(op, variable(X))


def test_floats_among_fractions_are_said():
    x = variable([Fraction(1, 3), Fraction(1, 2)])
    assert only_failure(lambda x: 0.5 * x.sum(), x) == (
        "the result: The value 0.4166666666666667 is a float among Fractions, not exact. Keep to "
        "Fractions, or give floats."
    )


@named(("spread", "seed"), [(3e-4, 0), (3e-4, 27), (3e-4, 59), (1e-4, 11), (1e-4, 42), (1e-4, 57)])
def test_a_narrow_bend_far_away_is_no_wrong_gradient(spread, seed):
    # The steps of Taylor's test begin beyond it, where what is left falls as the step itself.
    numbers = 1 + spread * np.random.default_rng(seed).standard_normal(3)
    x = mg.tensor(numbers, np.float32, requires_grad=True)
    assert gradcheck(mg.std, x, rng=seed)
