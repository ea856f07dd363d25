"""After a failure: which op is to blame, what to do, and how to see it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Op, Tensor
from .orders import slopes_of
from .selection_check import Check
from .subject import Subject, recorded

SPELLED = 24  # elements of inputs up to which a report spells them out
CALLS = 300  # that are looked at one by one


def failing_op(func: Any, inputs: list[Any], seed: int, order: int) -> str:
    """Return the first call of an op that fails the check by itself, as text; or nothing."""
    calls = recorded(Subject(func, inputs))[0].calls
    for number, (op, arrays, params) in enumerate(calls[:CALLS]):
        tensors = _as_variables(op, arrays)
        if any(x.requires_grad for x in tensors) and _fails(op, tensors, params, seed, order):
            shapes = ", ".join(str(a.shape) for a in arrays)
            given = f" and {params}" if params else ""
            return f"{op.name}, call {number} of {len(calls)}, on shapes {shapes}{given}"
    return ""


def _fails(op: Op, tensors: list[Tensor], params: dict[str, Any], seed: int, order: int) -> bool:
    def func(*xs: Any) -> Any:
        return op(*xs, **params)

    function, inputs = func, list[Any](tensors)
    for number in range(1, order + 1):
        rng = np.random.default_rng(seed)
        if number > 1:
            function, inputs = slopes_of(function, inputs, rng)
        if Check(Subject(function, inputs), rng).compare()[0]:
            return True
    return False


def _as_variables(op: Op, arrays: Sequence[Any]) -> list[Tensor]:
    return [
        Tensor(a, requires_grad=rule is not None and a.dtype.kind in "fO")
        for a, rule in zip(arrays, op.rules(len(arrays)), strict=True)
    ]


def advice(func: Any, inputs: list[Any], subject: Subject, seed: int) -> str:
    """Return what to do about a failure in less than double precision."""
    if subject.exact or subject.native == np.float64:
        return ""
    wide = [
        Tensor(x.data.astype(np.float64), requires_grad=x.requires_grad)
        if isinstance(x, Tensor) and x.dtype.kind == "f"
        else x
        for x in inputs
    ]
    name = str(subject.native)
    if Check(Subject(func, wide), np.random.default_rng(seed)).compare()[0]:
        return f"In float64 it fails as well: the formula is wrong, not the rounding of {name}."
    return (
        f"In float64 the same check passes: the formula is right, but in {name} it loses more "
        "digits than its terms explain. Look for a difference of nearly equal numbers, or for a "
        "constant rounded too early; or check in float64, with astype('float64')."
    )


def again(func: Any, inputs: list[Any], seed: int, more: str, name: str = "gradcheck") -> str:
    """Return a call that runs the same check again."""
    function = getattr(func, "__name__", "func")
    function = function if function.isidentifier() else "func"
    if sum(np.size(x) for x in inputs) > SPELLED:
        return f"mg.testing.{name}({function}, inputs, rng={seed}{more}), with the same inputs"
    spelled = ", ".join(map(_spelled, inputs))
    return f"mg.testing.{name}({function}, [{spelled}], rng={seed}{more})"


def _spelled(x: Any) -> str:
    array = x.data if isinstance(x, Tensor) else np.asarray(x)
    dtype = "" if array.dtype in (np.float64, object) else f", dtype='{array.dtype}'"
    if isinstance(x, Tensor):
        wanted = ", requires_grad=True" if x.requires_grad else ""
        return f"mg.tensor({x.tolist()!r}{dtype}{wanted})"
    return f"np.array({array.tolist()!r}{dtype})"
