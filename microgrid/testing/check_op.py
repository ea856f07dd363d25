"""The check of an op from its record: value, gradients, kinks, on calls drawn from its domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Op, Tensor
from ..record import OPS
from .findings import GradientError
from .gradcheck import report

ELEMENTWISE = ("()->()", "(),()->()", "(),(),()->()")
TINY = 1e-7  # a norm has a curvature of its inverse, which rounding hides in differences
FEW_DIGITS = 1e6  # times the smallest normal number: below, products lose digits
HALF_OF_DIGITS = 0.5  # to which a value must agree with its reference


def check_op(
    op: Op | str, *, max_examples: int = 100, order: int = 2, dtypes: Sequence[Any] = ("f8", "f4")
) -> bool:
    """Return True if an op is what its record says, on many calls drawn from the record.

    Each call hits kinks, ties, broadcasting and empty arrays on purpose. Checked are the value
    against `reference` and `pieces`, where the record has them, that the kernel keeps the dtype and
    leaves its inputs alone, and the rules: in the first dtype up to `order`, in others of first
    order. A failing call is reduced to the simplest one that fails.

    Args:
        op: an op, or its name in `mg.OPS`.
        max_examples: how many calls are drawn.
        order: of the derivatives.
        dtypes: of the inputs that are floats.

    Raises:
        GradientError: a check fails. It shows the call and what was found.
        KeyError: there is no op of that name.
        ModuleNotFoundError: hypothesis is missing, the extra `test`.

    >>> import microgrid as mg
    >>> mg.testing.check_op("relu", max_examples=5)
    True
    """
    from .strategies.running import for_each_call  # here: it needs hypothesis

    if not isinstance(op, (str, Op)):
        raise TypeError(
            f"check_op: a value of type {type(op).__name__} was given; it needs an op or its name. "
            "Declare one with mg.Op(...); other functions are checked by gradcheck()."
        )
    if isinstance(op, str) and op not in OPS:
        raise KeyError(f"check_op: there is no op {op!r}. mg.OPS lists those that there are.")
    checked = OPS[op] if isinstance(op, str) else op

    def check(call: Any) -> None:
        inputs = [np.array(a) for a in call.inputs]
        for a in inputs:
            a.flags.writeable = False
        for number, dtype in enumerate(map(np.dtype, dtypes)):
            arrays = [a.astype(dtype) if a.dtype.kind == "f" else a.copy() for a in inputs]
            complaint = _complaint(checked, arrays, call.params, order if number == 0 else 1)
            if complaint:
                cast = type(call)(checked, arrays, call.params)
                raise GradientError(f"check_op: {checked.name} fails on\n  {cast!r}\n{complaint}")

    for_each_call(checked, check, max_examples)
    return True


def _complaint(op: Op, arrays: list[Array], params: dict[str, Any], order: int) -> str:
    """Return what is wrong with an op at one call; nothing if nothing is."""
    before = [a.copy() for a in arrays]
    y = np.asarray(op(*arrays, **params))
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays, before, strict=True)):
        return "The kernel wrote to its inputs; it must leave them alone."
    if not np.isfinite(y.astype(float)).all():
        return ""  # a value of inf or nan has no slope to check
    return (
        _complaint_of_dtype(arrays, y, op)
        or _complaint_of_out(op, arrays, params, y)
        or _complaint_of_value(op, arrays, params, y)
        or _complaint_of_rules(op, arrays, params, y, order)
    )


def _complaint_of_dtype(arrays: list[Array], y: Array, op: Op) -> str:
    floats = {a.dtype for a in arrays if a.dtype.kind == "f"}
    if y.dtype.kind != "f" or not op.has_gradient or len(floats) != 1 or {y.dtype} == floats:
        return ""
    if op.name == "astype":
        return ""
    given = ", ".join(map(str, floats))
    return f"The result has dtype {y.dtype} for inputs of {given}; the kernel must keep it."


def _complaint_of_out(op: Op, arrays: list[Array], params: dict[str, Any], y: Array) -> str:
    out = np.zeros_like(y)
    try:
        with np.errstate(all="ignore"):
            op.kernel(*arrays, out=out, **params)
    except TypeError as error:
        return f"The kernel does not take out=: {error}. Let it be kernel(*arrays, out=None)."
    if np.array_equal(out, y):
        return ""
    return "The kernel, given out=, does not write its result there, as a compiled step needs."


def _complaint_of_value(op: Op, arrays: list[Array], params: dict[str, Any], y: Array) -> str:
    if op.reference is None or y.dtype.kind == "O":
        return ""
    wide = [a.astype(float) if a.dtype.kind == "f" else a for a in arrays]
    if op.signature in ELEMENTWISE:
        shape = np.broadcast_shapes(*(a.shape for a in wide))
        columns = [np.broadcast_to(a, shape).ravel().tolist() for a in wide]
        rows = zip(*columns, strict=True)
        expected = np.array([op.reference(*row, **params) for row in rows]).reshape(shape)
    else:
        expected = np.asarray(op.reference(*wide, **params))
    if expected.shape != y.shape:
        return f"The result has shape {y.shape}, that of the reference {expected.shape}."
    coarse = np.finfo(y.dtype).eps if y.dtype.kind == "f" else 0.0
    allowed = float(coarse) ** HALF_OF_DIGITS * (1 + np.abs(expected.astype(float)))
    apart = np.abs(y.astype(float) - expected.astype(float))
    if (apart <= allowed).all():
        return ""
    worst = np.unravel_index(int(np.argmax(apart - allowed)), y.shape)
    return f"The value at {worst} is {y[worst]!r}; the reference gives {expected[worst]!r}."


def _complaint_of_rules(
    op: Op, arrays: list[Array], params: dict[str, Any], y: Array, order: int
) -> str:
    rules = op.rules(len(arrays))
    tensors = [
        Tensor(a, requires_grad=rule is not None and a.dtype.kind == "f")
        for a, rule in zip(arrays, rules, strict=True)
    ]
    if y.dtype.kind != "f" or not any(x.requires_grad for x in tensors):
        return ""
    floats = [np.abs(a[a != 0]).min(initial=1) for a in arrays if a.dtype.kind == "f"]
    if any(least < FEW_DIGITS * np.finfo(least.dtype).tiny for least in floats):
        return ""
    if min(floats) < TINY:
        order = 1
    found = report(lambda *xs: op(*xs, **params), tensors, order=order, kinks="ignore")
    return "" if found.ok else str(found)
