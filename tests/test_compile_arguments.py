"""What compiled steps take and give: arguments of all kinds, results that stay as they are."""

from __future__ import annotations

import contextlib
from collections import namedtuple
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from compiled import Twins, bits, check_same

import microgrid as mg
from microgrid import nn

X = np.arange(12.0).reshape(3, 4)
Pair = namedtuple("Pair", "first second")


def twins_of(step: Any, **options: Any) -> Twins:
    """Return the step, which relies on nothing, beside its compiled twin."""
    return Twins(lambda: (step, lambda: None), **options)


# --- arguments -----------------------------------------------------------------------------------

ARRAYS = {
    "float64": X,
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "integers": X.astype(int),
    "small integers": X.astype(np.uint8),
    "truth values": X > 4,
    "Fractions": np.array([[Fraction(1, 3), Fraction(2)]]),
    "one Fraction": np.array(Fraction(1, 3)),
    "other byte order": X.astype(">f8"),
    "number": np.array(2.5),
    "NumPy's number": np.float32(2.5),
    "empty": np.zeros((0, 4)),
    "empty in the middle": np.zeros((3, 0)),
    "Fortran order": np.asfortranarray(X),
    "transposed": X.T,
    "backwards": X[::-1],
    "with gaps": X[:, ::2],
    "broadcast": np.broadcast_to(X[0], (3, 4)),
    "one row": X[:1],
    "one column": X[:, :1],
    "read-only": np.frombuffer(X.tobytes()).reshape(3, 4),
    "unaligned": np.frombuffer(b"0" + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(3, 4),
    "subclass": X.view(type("Own", (np.ndarray,), {})),
    "nan": np.array([np.nan, np.inf, -np.inf, 0.0]),
}
FUNCTIONS = {
    "sum": lambda x: mg.sum(x),
    "doubled": lambda x: mg.add(x, x),
    "means": lambda x: mg.mean(x, axis=0) if x.ndim else mg.multiply(x, 2),
    "product": lambda x: mg.matmul(x, mg.transpose(x)) if x.ndim == 2 else mg.multiply(x, x),
    "relu": lambda x: mg.relu(x),
    "reshaped": lambda x: mg.multiply(mg.reshape(x, (-1,)), 3),
}


@pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "Tensor"])
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=list(FUNCTIONS))
@pytest.mark.parametrize("x", ARRAYS.values(), ids=list(ARRAYS))
def test_arrays_of_every_kind_are_taken(x: Any, function: Any, as_tensor: bool) -> None:
    try:
        with np.errstate(all="ignore"):
            function(mg.tensor(x))
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            mg.compile(function)(x)
        return
    twins = twins_of(function)
    for sign in (1, 1, -1, 1):
        given = (x if sign == 1 else -x).astype(x.dtype) if x.dtype.kind == "f" else x
        twins.call(mg.tensor(given) if as_tensor else given)


def test_the_same_array_given_twice_is_two_arguments() -> None:
    twins = twins_of(lambda a, b: a * 2 - b)
    a, b = X.copy(), X + 1
    for pair in [(a, a), (a, b), (b, b), (b, a), (a[:1], a)]:
        twins.call(*pair)


def test_overlapping_arrays_are_read_as_they_lie() -> None:
    twins = twins_of(lambda a, b: mg.concatenate([a * 2, b]) + 1)
    x = X.copy()
    for _ in range(3):
        twins.call(x[:2], x[1:])
        x += 1


def test_lists_dicts_and_keywords_are_taken() -> None:
    def step(batch: Any, *rest: Any, options: Any = None, **more: Any) -> Any:
        total = batch["x"] * 2 + batch["y"][0] - batch["y"][1]
        for part in rest:
            total = total + part
        return total * options["scale"] + sum(more.values(), 0.0)

    twins = twins_of(step)
    for i in range(4):
        x = X + i
        batch = {"x": x, "y": [x * 3, (x + 1)]}
        twins.call(batch, x, x + 5, options={"scale": np.array(2.0 + i)}, more=x)
        twins.call(batch, x, options={"scale": np.array(2.0 + i)})
        twins.call(batch, options={"scale": 3.0})


def test_keywords_are_told_apart_by_name() -> None:
    twins = twins_of(lambda a, b: a - b)
    for _ in range(3):
        twins.call(a=X, b=X * 2)
        twins.call(b=X, a=X * 2)
        twins.call(X, b=X * 3)


@pytest.mark.parametrize(
    "options",
    [
        [1, 1.0, True, np.float32(1), np.float64(1.0)], [0.0, -0.0, 0, False],
        ["sum", "mean", None], [(1, 2), (2, 1), (1,), ()], [1, 2, 1, 3],
        [float("nan"), 1.0, float("nan")],
    ],
    ids=str,
)  # fmt: skip
def test_options_that_differ_are_told_apart(options: Any) -> None:
    def step(x: Any, option: Any) -> Any:
        if option is None or isinstance(option, (str, tuple)):
            return x * len(repr(option))
        return 1 / (x * option)

    twins = twins_of(step)
    for _ in range(3):
        for option in options:
            twins.call(mg.tensor(X.astype(int)), option)
            twins.call(mg.tensor(X.astype(np.float32)), option)


def test_an_object_given_as_an_option_is_looked_at() -> None:
    class Options:
        scale = 2.0

    options = Options()
    options.scale = 3.0
    twins = twins_of(lambda x, options: x * options.scale)
    for scale in (3.0, 3.0, 3.0, 4.0, 4.0):
        options.scale = scale
        twins.call(X, options)


def test_a_function_given_as_an_option_is_looked_at() -> None:
    scale = 2.0
    twins = twins_of(lambda x, function: function(x))

    def scaled(x: Any) -> Any:
        return x * scale

    for number in (3.0, 3.0, 3.0, 4.0, 4.0):
        scale = number
        twins.call(X, scaled)


def test_a_generator_given_as_an_option_draws_anew() -> None:
    def step(x: Any, rng: Any) -> Any:
        return mg.rrelu(x, training=True, rng=rng)

    one, other = np.random.default_rng(0), np.random.default_rng(0)
    compiled = mg.compile(step)
    for _ in range(4):
        check_same(compiled(mg.tensor(-X), one), step(mg.tensor(-X), other))


def test_a_model_given_as_an_argument_is_live_or_refused() -> None:
    model = nn.Dense(4, 2, rng=0)
    compiled = mg.compile(lambda model, x: model(x))
    for _ in range(3):
        x = X.astype(np.float32)
        with contextlib.suppress(mg.errors.TraceError):
            check_same(compiled(model, x), model(x))
        model.weight.data = model.weight.data * 2


def test_an_optimizer_given_as_an_argument_is_live() -> None:
    def build() -> Any:
        model = nn.Dense(4, 2, rng=0)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
        calls = [0]

        def step(x: Any) -> Any:
            calls[0] += 1
            if calls[0] % 2 == 0:
                optimizer.param_groups[0]["lr"] *= 0.5
            return inner(x, optimizer)

        def inner(x: Any, optimizer: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) * model(x)).sum()
            loss.backward()
            optimizer.step()
            return loss

        return step, inner, optimizer, model

    (eager, _, _, model), (_, inner, optimizer, twin) = build(), build()
    compiled = mg.compile(inner)
    x = X.astype(np.float32) / 10
    for i in range(6):
        if i % 2:
            optimizer.param_groups[0]["lr"] *= 0.5
        check_same(compiled(x, optimizer), eager(x))
        check_same(twin.state_dict(), model.state_dict())


def test_a_parameter_without_gradient_is_an_argument_as_others() -> None:
    p = nn.Parameter(X)
    p.requires_grad = False
    twins = twins_of(lambda a: a * 2)
    for _ in range(3):
        twins.call(p)


def test_what_cannot_be_an_option_is_refused_in_words() -> None:
    with pytest.raises(mg.errors.TraceError) as error:
        mg.compile(lambda x, s: x)(X, {1, 2})
    assert str(error.value) == (
        "compile: an argument of type set was given; it needs arrays, Tensors, or what can be "
        "hashed. Pass its arrays."
    )


def test_an_argument_that_requires_a_gradient_is_refused_in_words() -> None:
    step = mg.compile(lambda x: x * 2)
    step(mg.tensor(X))
    for _ in range(2):
        with pytest.raises(mg.errors.TraceError) as error:
            step(mg.tensor(X, requires_grad=True))
        assert str(error.value) == (
            "compile: an argument that requires a gradient was given. Detach it, or let the step "
            "find the Tensor outside, as it does parameters."
        )


def test_new_shapes_and_dtypes_are_traced_anew_and_remembered() -> None:
    twins = twins_of(lambda x: mg.softmax(x * 1.5, axis=-1))
    kinds = [X, X[:2], X.astype(np.float32), X[:, :2], X[0], X[:2].astype(int)]
    for _ in range(3):
        for x in kinds:
            twins.call(x)
            twins.call(mg.tensor(x))
    assert twins.compiled.traces == 2 * len(kinds)


def test_a_batch_of_one_may_lie_in_memory_in_any_way() -> None:
    step = mg.compile(lambda x: x * 2)
    for x in (X[:1], X[:1].copy(), X[::3][:1], np.asfortranarray(X[:1])):
        check_same(step(mg.tensor(x)), x * 2)
        assert step.traces == 1  # all four are one kind: rows of one batch


# --- results -------------------------------------------------------------------------------------

RESULTS = {
    "one": lambda x: x * 2,
    "tuple": lambda x: (x * 2, x + 1),
    "tuple of one": lambda x: (x * 2,),
    "list": lambda x: [x * 2, x + 1],
    "dict": lambda x: {"a": x * 2, "b": x + 1},
    "nested": lambda x: {"a": [x * 2, (x + 1, {"c": x})], "b": []},
    "named tuple": lambda x: Pair(x * 2, x + 1),
    "with None": lambda x: (x * 2, None),
    "nothing": lambda x: None,
    "with options": lambda x: (x * 2, 3, "text", True),
    "the same twice": lambda x: (lambda y: (y, y, [y]))(x * 2),
    "the argument": lambda x: x,
    "the argument twice": lambda x: (x, x, x * 1),
    "a view": lambda x: (x * 2)[1:].T,
    "a view of the argument": lambda x: x[1:].T,
    "a result and its view": lambda x: (lambda y: (y, y.T, y.sum()))(x * 2),
    "a constant": lambda x: mg.ones(2),
    "a number": lambda x: x.sum(),
}


@pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "Tensor"])
@pytest.mark.parametrize("step", RESULTS.values(), ids=list(RESULTS))
def test_results_of_every_structure_are_given(step: Any, as_tensor: bool) -> None:
    twins = twins_of(step)
    found = []
    for i in range(4):
        x = X * (i + 1)
        found.append((twins.call(mg.tensor(x) if as_tensor else x), bits(step(mg.tensor(x)))))
        assert type(found[-1][0]) is type(step(mg.tensor(x)))
    for result, expected in found:  # as they were, for all later calls
        assert bits(result) == expected
    for tensor in tensors_in([result for result, _ in found]):
        assert isinstance(tensor, mg.Tensor)
        assert tensor.is_leaf
        assert not tensor.requires_grad
        tensor.data[...] = 7.0  # memory of its own
    again = twins.compiled(mg.tensor(X) if as_tensor else X)
    assert bits(again) == bits(step(mg.tensor(X)))


def tensors_in(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in tensors_in(part)]
    return [] if value is None or isinstance(value, (int, str)) else [value]


def test_writing_into_one_result_leaves_the_others() -> None:
    step = mg.compile(lambda x: (x, x, x * 2))
    for _ in range(3):
        x = X.copy()
        a, b, _ = step(x)
        a.data[...] = -1
        check_same([b, x], [X, X])


def test_the_caller_may_change_the_argument_after_the_call() -> None:
    step = mg.compile(lambda x: (x, x[1:], x * 2))
    for _ in range(3):
        x = X.copy()
        result = step(x)
        x[...] = -1
        check_same(result, (X, X[1:], X * 2))


def test_results_of_one_call_may_be_arguments_of_the_next() -> None:
    twins = twins_of(lambda x, h: (mg.tanh(x + h), h))
    state = found = mg.zeros((3, 4))
    for i in range(5):
        state, _ = twins.eager(X / 10 + i, state)
        found, _ = twins.compiled(X / 10 + i, found)
        check_same(found, state)


def test_a_result_that_is_no_tensor_is_refused_in_words() -> None:
    line = test_a_result_that_is_no_tensor_is_refused_in_words.__code__.co_firstlineno
    with pytest.raises(mg.errors.TraceError) as error:
        mg.compile(lambda x: (x, 2.5))(X)
    assert str(error.value) == (
        f"compile: a float was returned in the traced step ({__file__}, line {line + 3}). "
        "Every replay would return the same one. Return Tensors."
    )
