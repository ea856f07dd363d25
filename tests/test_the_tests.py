"""Planted faults: each check of the battery must reject ops that are wrong in its way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import battery
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid import backward
from microgrid.core import Op
from microgrid.ops.arithmetic import chain
from microgrid.pieces import Pieces
from microgrid.record import Domain

Check = Callable[[Op, Any], Any]


@contextmanager
def faulty(name: str, **changes: Any) -> Iterator[Op]:
    """Declare a copy of an op with some fields changed, and forget it afterwards."""
    op = dataclasses.replace(mg.OPS[name], name=f"faulty_{name}", **changes)
    try:
        yield op
    finally:
        del mg.OPS[op.name]


def rejects(check: Check, op: Op, examples: int = 100) -> bool:
    """Return whether the check, on calls drawn from the record, finds fault with the op."""

    # Nobody reads the simplest call that fails: it is not looked for.
    @settings(max_examples=examples, database=None, phases=[Phase.generate])
    @given(data=st.data())
    def run(data: Any) -> None:
        check(op, data.draw(battery.calls(op)))

    try:
        run()
    except Exception as error:
        return not isinstance(error, pytest.skip.Exception)
    return False


def all_checks(op: Op, call: Any) -> None:
    battery.check_value(op, call)
    battery.check_gradient(op, call)
    battery.check_second_gradient(op, call)
    battery.check_inputs_untouched(op, call)
    battery.check_out(op, call)
    battery.check_flags(op, call)
    battery.check_dtype(op, call, np.float32)


SOUND = ["exp", "relu", "matmul", "sum", "multiply", "leaky_relu", "max", "getitem", "divide"]


@pytest.mark.parametrize("name", SOUND)
def test_sound_ops_pass_under_another_name(name: str) -> None:
    """Otherwise the rejections below would prove nothing."""
    with faulty(name) as op:
        assert not rejects(all_checks, op, examples=30)


def one(rule: Callable[..., Any]) -> tuple[Callable[..., Any]]:
    return (rule,)


def second_rule(name: str, rule: Callable[..., Any]) -> tuple[Any, ...]:
    return (mg.OPS[name].vjps[0], rule)


def frozen(y: Any) -> np.ndarray:
    """Return the values only: what a rule does that forgets to be differentiable."""
    return np.array(y)


WRONG_RULES: dict[str, tuple[str, Any]] = {
    "off by 0.1 %": ("exp", one(lambda g, y, x: chain(g, y) * 1.001)),
    "wrong sign": ("cos", one(lambda g, y, x: chain(g, mg.sin(x)))),
    "dropped factor": ("square", one(lambda g, y, x: chain(g, x))),
    "the gradient that comes in is ignored": ("sin", one(lambda g, y, x: mg.cos(x))),
    "input and result exchanged": ("tanh", one(lambda g, y, x: chain(g, 1 - x * x))),
    "dropped term": ("silu", one(lambda g, y, x: chain(g, mg.sigmoid(x)))),
    "mask at the wrong place": ("relu", one(lambda g, y, x: mg.where(x > 0.5, g, 0 * x))),
    "mask inverted": ("relu", one(lambda g, y, x: mg.where(x > 0, 0 * x, g))),
    "no mask": ("relu", one(lambda g, y, x: g)),
    "one operand's rule missing": ("multiply", (mg.OPS["multiply"].vjps[0], None)),
    "operands exchanged": ("multiply", tuple(reversed(mg.OPS["multiply"].vjps))),
    "sign of the second operand": ("subtract", (lambda g, y, a, b: g, lambda g, y, a, b: g)),
    "quotient's second rule": ("divide", second_rule("divide", lambda g, y, a, b: -g * y)),
    "exponent off by one": ("power", (lambda g, y, a, b: g * b * y, mg.OPS["power"].vjps[1])),
    "product not transposed": ("matmul", second_rule("matmul", lambda g, y, a, b: a @ g)),
    "mean without its divisor": (
        "mean",
        one(
            lambda g, y, x, axis, keepdims: mg.OPS["sum"].vjps[0](
                g, y, x, axis=axis, keepdims=keepdims
            )
        ),
    ),
    "wrong axis": ("cumsum", one(lambda g, y, x, axis: mg.OPS["cumsum"](g, axis=axis))),
    "a repeated index adds once": (
        "take",
        (lambda g, y, x, i, axis: _put_once(g, x, i, axis), None),
    ),
    "maximum gives all to the first": ("maximum", (lambda g, y, a, b: g, lambda g, y, a, b: 0 * g)),
    "softmax without its coupling": ("softmax", one(lambda g, y, x, axis: g * y)),
    "right first, wrong second derivative": ("exp", one(lambda g, y, x: g * frozen(y))),
    "second derivative dropped with a copy": ("sin", one(lambda g, y, x: g * np.cos(frozen(x)))),
    "second rule's second derivative": (
        "divide",
        second_rule("divide", lambda g, y, a, b: -g * frozen(y) / b),
    ),
    "gradient in the wrong shape": ("reshape", one(lambda g, y, x, shape: g.reshape((-1, 1)))),
}


def _put_once(g: Any, x: Any, indices: Any, axis: int) -> Any:
    grad = np.zeros(x.shape)
    grad[(slice(None),) * axis + (np.array(indices),)] = np.array(g)
    return grad


@pytest.mark.parametrize("fault", WRONG_RULES)
def test_a_wrong_rule_is_rejected(fault: str) -> None:
    name, vjps = WRONG_RULES[fault]

    def check(op: Op, call: Any) -> None:
        battery.check_gradient(op, call)
        battery.check_second_gradient(op, call)

    with faulty(name, vjps=vjps) as op:
        assert rejects(check, op)


def test_missing_unbroadcast_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backward, "sum_to", lambda g, shape: g)
    assert rejects(battery.check_gradient, mg.OPS["add"])


def test_missing_restoration_of_the_dtype_is_rejected() -> None:
    with faulty("add", kernel=lambda a, b, out=None: np.add(a, b * np.float64(1))) as op:
        assert rejects(lambda op, call: battery.check_dtype(op, call, np.float32), op)


WRONG_KINKS: dict[str, tuple[str, dict[str, Any]]] = {
    "slope 1 at relu's kink": ("relu", {"vjps": one(lambda g, y, x: g * (x >= 0))}),
    "slope 1/2 at relu's kink": (
        "relu",
        {"vjps": one(lambda g, y, x: g * mg.where(x == 0, 0.5, 1.0 * (x > 0)))},
    ),
    "slope 1 at leaky_relu's kink": (
        "leaky_relu",
        {"vjps": one(lambda g, y, x, negative_slope: mg.where(x >= 0, g, g * negative_slope))},
    ),
    "slope 0 at leaky_relu's kink": (
        "leaky_relu",
        {"vjps": one(lambda g, y, x, negative_slope: g * (x > 0) + g * (x < 0) * negative_slope)},
    ),
    "slope 1 at clip's bounds": (
        "hardtanh",
        {"vjps": one(lambda g, y, x, min_val, max_val: g * (x >= min_val) * (x <= max_val))},
    ),
    "pieces with another knot": ("relu", {"pieces": lambda: Pieces((1,), (0, 1))}),
    "pieces with another slope": ("absolute", {"pieces": lambda: Pieces((0,), (-2, 1))}),
    "value off beside the knot": (
        "relu",
        {"kernel": lambda x, out=None: np.where(x > 0, 2 * x, 0 * x)},
    ),
}


@pytest.mark.parametrize("fault", WRONG_KINKS)
def test_a_wrong_slope_at_a_kink_is_rejected(fault: str) -> None:
    name, changes = WRONG_KINKS[fault]
    with faulty(name, **changes) as op, pytest.raises(AssertionError):  # noqa: PT012  any of them
        for params in op.params(()):
            battery.check_kinks(op, params)


def _scribbles(x: np.ndarray, out: np.ndarray | None = None) -> Any:
    y = np.exp(x, out=out)
    x *= 1.0
    return y


WRONG_KERNELS: dict[str, tuple[str, Check, dict[str, Any]]] = {
    "value off by 1e-9": (
        "exp",
        battery.check_value,
        {"kernel": lambda x, out=None: np.multiply(np.exp(x), 1 + 1e-9, out=out)},
    ),
    "wrong shape": ("negative", battery.check_value, {"kernel": lambda x, out=None: -x[..., None]}),
    "dishonest in_place": (
        "softsign",
        battery.check_flags,
        {
            "in_place": True,
            "kernel": lambda x, out=None: np.divide(x, np.add(1, np.abs(x), out=out), out=out),
        },
    ),
    "claims to be a view": ("copy", battery.check_flags, {"view": True}),
    "does not admit to be a view": ("transpose", battery.check_flags, {"view": False}),
    "ignores out": ("exp", battery.check_out, {"kernel": lambda x, out=None: np.exp(x)}),
    "returns something beside out": (
        "exp",
        battery.check_out,
        {"kernel": lambda x, out=None: np.array(np.exp(x, out=out))},
    ),
    "writes to its input": ("exp", battery.check_inputs_untouched, {"kernel": _scribbles}),
    "a rule that writes to its input": (
        "sin",
        battery.check_inputs_untouched,
        {"vjps": one(lambda g, y, x: np.multiply(g, np.cos(x), out=g))},
    ),
    "promotes float32": (
        "exp",
        lambda op, call: battery.check_dtype(op, call, np.float32),
        {"kernel": lambda x, out=None: np.exp(x * np.float64(1))},
    ),
    "promotes float16": (
        "exp",
        lambda op, call: battery.check_dtype(op, call, np.float16),
        {"kernel": lambda x, out=None: np.exp(x, dtype=np.float32)},
    ),
}


@pytest.mark.parametrize("fault", WRONG_KERNELS)
def test_a_wrong_kernel_or_flag_is_rejected(fault: str) -> None:
    name, check, changes = WRONG_KERNELS[fault]
    with faulty(name, **changes) as op:
        assert rejects(check, op)


@pytest.mark.parametrize("changes", [{"doc": "no sentence"}, {"formula": ""}, {"reference": None}])
def test_an_undocumented_op_is_rejected(changes: dict[str, Any]) -> None:
    with faulty("exp", **changes) as op, pytest.raises(AssertionError):
        battery.check_documentation(op)


COMPLETE: dict[str, Any] = {
    "name": "halve",
    "doc": "Half of x.",
    "kernel": lambda x, out=None: np.multiply(x, 0.5, out=out),
    "vjps": (lambda g, y, x: 0.5 * g,),
    "domains": (Domain(),),
}


@pytest.mark.parametrize("missing", COMPLETE)
def test_an_op_without_what_the_battery_needs_cannot_be_declared(missing: str) -> None:
    fields = {key: value for key, value in COMPLETE.items() if key != missing}
    with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{missing}'"):
        Op(**fields)
    assert "halve" not in mg.OPS


def test_an_op_with_an_empty_field_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match=r"^Op halve: doc is empty\. Say what it computes\.$"):
        Op(**COMPLETE | {"doc": " "})
    with pytest.raises(
        ValueError, match=r"^Op halve: 1 rules and 0 domains were given; it needs one"
    ):
        Op(**COMPLETE | {"domains": ()})
    assert "halve" not in mg.OPS


def test_a_builtin_name_cannot_be_taken() -> None:
    relu = mg.OPS["relu"]
    with pytest.raises(ValueError, match=r"^Op: the name 'relu' is taken by microgrid\."):
        Op(**COMPLETE | {"name": "relu"})
    assert mg.OPS["relu"] is relu
