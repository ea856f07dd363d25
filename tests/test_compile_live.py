"""Nothing is silently frozen: what a step finds outside may change between its calls.

After each change the compiled step gives what eager code gives, or says that it cannot.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import World, check_live

import microgrid as mg
from microgrid import nn

X = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]])
scale = 2.0
settings = types.ModuleType("settings")


def set_global(value: Any) -> Callable[[World], None]:
    def change(_: World) -> None:
        globals()["scale"] = value

    return change


# --- numbers -------------------------------------------------------------------------------------


def cell(w: World) -> Any:
    number = 2.0

    def step(x: Any) -> Any:
        return x * number / number

    def set_number(value: Any) -> None:
        nonlocal number
        number = value

    w.set = set_number
    return step


def attribute(w: World) -> Any:
    w.set = lambda value: setattr(w, "number", value)
    w.number = 2.0
    return lambda x: x * w.number / w.number


def item(w: World) -> Any:
    numbers = {"scale": 2.0}
    w.set = lambda value: numbers.update(scale=value)
    return lambda x: x * numbers["scale"] / numbers["scale"]


def item_of_another_key(w: World) -> Any:
    numbers = {("layer", 1): 2.0}
    w.set = lambda value: numbers.update({("layer", 1): value})
    return lambda x: x * numbers["layer", 1] / numbers["layer", 1]


def entry(w: World) -> Any:
    numbers = [2.0, 3.0]
    w.set = lambda value: numbers.__setitem__(1, value)
    return lambda x: x * numbers[1] / numbers[1]


def entry_of_a_long_list(w: World) -> Any:
    numbers = [2.0] * 100
    w.set = lambda value: numbers.__setitem__(70, value)
    return lambda x: x * numbers[70] / numbers[70]


def class_attribute(w: World) -> Any:
    class Settings:
        number = 2.0

    w.set = lambda value: setattr(Settings, "number", value)
    found = Settings()
    return lambda x: x * found.number / found.number


def attribute_of_a_class(w: World) -> Any:
    class Settings:
        number = 2.0

    w.set = lambda value: setattr(Settings, "number", value)
    return lambda x: x * Settings.number / Settings.number


def slot(w: World) -> Any:
    class Settings:
        __slots__ = ("number",)

    found = Settings()
    found.number = 2.0
    w.set = lambda value: setattr(found, "number", value)
    return lambda x: x * found.number / found.number


def property_of_another(w: World) -> Any:
    hidden = [2.0]

    class Settings:
        @property
        def number(self) -> Any:
            return hidden[0]

    found = Settings()
    w.set = lambda value: hidden.__setitem__(0, value)
    return lambda x: x * found.number / found.number


def dataclass(w: World) -> Any:
    @dataclasses.dataclass
    class Settings:
        number: Any = 2.0

    found = Settings()
    w.set = lambda value: setattr(found, "number", value)
    return lambda x: x * found.number / found.number


def method(w: World) -> Any:
    class Trainer:
        number = 2.0

        def step(self, x: Any) -> Any:
            return x * self.number / self.number

    trainer = Trainer()
    w.set = lambda value: setattr(trainer, "number", value)
    return trainer.step


def callable_object(w: World) -> Any:
    class Trainer:
        number = 2.0

        def __call__(self, x: Any) -> Any:
            return x * self.number / self.number

    trainer = Trainer()
    w.set = lambda value: setattr(trainer, "number", value)
    return trainer


def attribute_of_a_module(w: World) -> Any:
    settings.number = 2.0
    w.set = lambda value: setattr(settings, "number", value)
    return lambda x: x * settings.number / settings.number


def attribute_of_a_layer(w: World) -> Any:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.number = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.number / self.number

    layer = Scaled()
    w.set = lambda value: setattr(layer, "number", value)
    return lambda x: layer(x)


def class_attribute_of_a_layer(w: World) -> Any:
    class Scaled(nn.Module):
        number = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.number / self.number

    layer = Scaled()
    w.set = lambda value: setattr(Scaled, "number", value)
    return lambda x: layer(x)


def inner_function(w: World) -> Any:
    inner = cell(w)
    return lambda x: inner(x) + 1


def partial(w: World) -> Any:
    return functools.partial(cell(w))


def argument_of_a_partial(w: World) -> Any:
    numbers = [2.0]
    w.set = lambda value: numbers.__setitem__(0, value)
    return functools.partial(lambda numbers, x: x * numbers[0] / numbers[0], numbers)


def decorated(w: World) -> Any:
    return mg.no_grad()(cell(w))


def cached(w: World) -> Any:
    inner = cell(w)
    w.cached = functools.lru_cache(lambda: inner)  # found again behind what is not Python
    return lambda x: w.cached()(x)


def default(w: World) -> Any:
    def step(x: Any, numbers: Any = [2.0]) -> Any:  # noqa: B006  that is the point
        return x * numbers[0] / numbers[0]

    w.set = lambda value: step.__defaults__[0].__setitem__(0, value)  # type: ignore[index]
    step.__defaults__ = ([2.0],)
    return step


def keyword_default(w: World) -> Any:
    def step(x: Any, *, number: Any = 2.0) -> Any:
        return x * number / number

    w.set = lambda value: setattr(step, "__kwdefaults__", {"number": value})
    return step


def chosen_by_a_set(w: World) -> Any:
    chosen = {2.0}
    w.set = lambda value: (chosen.clear(), chosen.add(value))
    return lambda x: x * min(chosen) / min(chosen)


def in_a_namespace(w: World) -> Any:
    numbers = types.SimpleNamespace(values=[2.0])
    w.set = lambda value: setattr(numbers, "values", [value])
    return lambda x: x * numbers.values[0] / numbers.values[0]


def of_a_generator_expression(w: World) -> Any:
    numbers = [2.0, 1.0]
    w.set = lambda value: numbers.__setitem__(0, value)
    return lambda x: sum((x * n / n for n in numbers), 0.0)


def global_variable(w: World) -> Any:
    set_global(2.0)(w)
    w.set = lambda value: set_global(value)(w)
    return lambda x: x * scale / scale


PLACES = [
    cell, attribute, item, item_of_another_key, entry, entry_of_a_long_list, class_attribute,
    attribute_of_a_class, slot, property_of_another, dataclass, method, callable_object,
    attribute_of_a_module, attribute_of_a_layer, class_attribute_of_a_layer, inner_function,
    partial, argument_of_a_partial, decorated, cached, default, keyword_default, chosen_by_a_set,
    in_a_namespace, of_a_generator_expression, global_variable,
]  # fmt: skip


@pytest.mark.parametrize("build", PLACES)
def test_a_number_that_changes_is_seen(build: Callable[[World], Any]) -> None:
    check_live(build, lambda w: w.set(0.1), lambda w: w.set(3.0), args=(X,))


@pytest.mark.parametrize("new", [2, np.float32(2.0), np.float64(2.0), True, np.inf, np.nan, -2.0])
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_a_number_of_another_kind_is_seen(new: Any, dtype: Any) -> None:
    x = np.array([1, -2, 3], dtype)
    check_live(cell, lambda w: w.set(new), lambda w: w.set(2.0), args=(x,))
    check_live(cell, lambda w: w.set(1), lambda w: w.set(True), args=(x,))


def test_the_sign_of_zero_is_seen() -> None:
    def build(w: World) -> Any:
        w.number = 0.0
        return lambda x: 1 / (x * w.number)

    check_live(build, lambda w: setattr(w, "number", -0.0), args=(X,))


def test_a_nan_that_becomes_a_number_is_seen() -> None:
    def build(w: World) -> Any:
        w.number = float("nan")
        return lambda x: x * w.number

    check_live(build, lambda w: setattr(w, "number", 1.0), args=(X,))


def test_a_function_that_is_replaced_is_seen() -> None:
    def build(w: World) -> Any:
        w.function = mg.relu
        return lambda x: w.function(x)

    check_live(build, lambda w: setattr(w, "function", mg.tanh), args=(X,))


# --- what Python draws ---------------------------------------------------------------------------

rng = np.random.default_rng(0)
DRAWS: dict[str, Callable[[Any], Any]] = {
    "array of NumPy": lambda x: x + np.random.rand(3, 2),  # noqa: NPY002
    "array of a generator": lambda x: x + rng.normal(size=(3, 2)),
    "number of NumPy": lambda x: x * np.random.rand(),  # noqa: NPY002
    "number of a generator": lambda x: x * rng.uniform(),
    "Python's own": lambda x: x * random.random(),
    "read-only": lambda x: x + np.broadcast_to(rng.normal(size=2), (3, 2)),
    "index": lambda x: x[rng.integers(0, 3, 2)],
    "permutation": lambda x: x[rng.permutation(3)],
    "integer": lambda x: x[int(rng.integers(0, 3))],
    "mask": lambda x: mg.where(rng.random((3, 2)) < 0.5, x, 0.0),
    "Tensor": lambda x: x * mg.tensor(rng.normal(size=2)),
    "choice": lambda x: x + 1 if random.random() < 0.5 else x - 1,
    "order": lambda x: mg.stack([x, 2 * x][:: random.choice([1, -1])]),
    "dropout by hand": lambda x: x * (rng.random(x.shape) < 0.5),
}


def seed_so_that_two_differ(draw: Callable[[Any], Any]) -> None:
    """Seed all generators so that the next two results are not the same."""
    for seed in range(20):
        results = []
        for _ in range(2):  # once to look, once to leave them so
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
            if len(results) == 2 and not np.array_equal(*results):
                return
            results = [np.asarray(draw(X)) for _ in range(2)]
    raise AssertionError("two draws are always the same")


@pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))
def test_what_is_drawn_by_python_is_refused_at_the_second_call(draw: Any) -> None:
    seed_so_that_two_differ(draw)
    step = mg.compile(lambda x: draw(x))
    with pytest.raises(mg.errors.TraceError):
        [step(X) for _ in range(2)]


def refusal_of(step: Any, calls: int) -> tuple[str, str]:
    """Return what the last of some calls is refused with, and where the step is."""
    for _ in range(calls - 1):
        step(X)
    with pytest.raises(mg.errors.TraceError) as error:
        step(X)
    return str(error.value), f"{__file__}, line {step.function.__code__.co_firstlineno}"


def test_drawing_is_refused_in_words() -> None:
    message, place = refusal_of(mg.compile(lambda x: x + rng.normal(size=(3, 2))), calls=1)
    assert message == (
        f"compile: random numbers were drawn by Python or NumPy in the traced step ({place}). "
        "Every replay would use the same ones. Draw outside and pass them as an argument."
    )


def test_making_another_array_in_each_call_is_refused_in_words() -> None:
    step = mg.compile(lambda x: x + np.full((3, 2), time.perf_counter_ns()))
    message, place = refusal_of(step, calls=2)
    assert message == (
        "compile: an array of shape (3, 2) was made that differs from the one in the call before "
        f"in the traced step ({place}). Every replay would use the same one. "
        "Pass it as an argument, or draw and compute it with ops."
    )


def test_an_iterator_is_refused() -> None:
    numbers = iter([1.0, 2.0, 3.0])
    step = mg.compile(lambda x: x * next(numbers))
    with pytest.raises(mg.errors.TraceError) as error:
        step(np.ones(2))
    assert str(error.value) == (
        "compile: the step can reach an iterator, numbers, whose next value no replay would take. "
        "Take it outside and pass it as an argument."
    )
    assert next(numbers) == 1.0  # it was refused before it was run


def test_a_setting_that_the_step_changes_is_refused() -> None:
    weight = mg.tensor([1.0], requires_grad=True)
    optimizer = mg.optim.SGD([weight], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.5

    with pytest.raises(
        mg.errors.TraceError, match=r"^compile: the setting lr of an optimiser was changed"
    ):
        mg.compile(step)(np.ones(1))
