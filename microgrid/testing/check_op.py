"""The check of an op from its record: value, gradients, kinks, on calls drawn from its domains."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Op, Tensor
from ..pieces import check_pieces
from ..record import OPS, no_params
from ..selection import Moving
from .comparison import INTEGERS, SAFETY
from .differences import derivative
from .findings import GradientError
from .gradcheck import report

ELEMENTWISE = ("()->()", "(),()->()", "(),(),()->()")
TINY = 1e-7  # a norm has a curvature of its inverse, which rounding hides in differences
FEW_DIGITS = 1e6  # times the smallest normal number: below, products lose digits
NEAR = 2.0**-8  # the first step of a tangent: a piece may be bent on the scale of its inputs
ROUNDINGS = 8  # of a piece's value, in units of its last place
FEWEST = 1e-3  # which float16 has with all its digits
HALF_OF_DIGITS = 0.5  # to which a value must agree with its reference


def check_op(
    op: Op | str, *, max_examples: int = 100, order: int = 2, dtypes: Sequence[Any] = ("f8", "f4")
) -> bool:
    """Return True if an op is what its record says, on many calls drawn from the record.

    Each call hits kinks, ties, broadcasting and empty arrays on purpose. Checked are the value
    against `reference` and `pieces`, where the record has them, that the kernel keeps the dtype and
    leaves its inputs alone, the `tangent` of a selection, and the rules: in the first dtype up to
    `order`, in others of first order. A failing call is reduced to the simplest one that fails.

    Args:
        op: an op, or its name in `mg.OPS`. Its inputs are drawn, any[...], in the shapes of its
            signature, and its parameters from `params` of its record.
        max_examples: how many calls are drawn.
        order: of the derivatives.
        dtypes: of the inputs that are floats; one or several.

    Raises:
        GradientError: a check fails. It shows the call and what was found.
        KeyError: there is no op of that name.
        TypeError: it is no op, nor a name; or the kernel needs a parameter of which the record
            tells no legal values.
        ValueError: there are no dtypes, or others than floats, or a number is less than 1.
        ModuleNotFoundError: hypothesis is missing, the extra `test`.

    >>> import microgrid as mg
    >>> mg.testing.check_op("relu", max_examples=5)
    True
    """
    from .strategies.running import for_each_call  # here: it needs hypothesis

    checked, kinds = _op(op), _dtypes(dtypes)
    _check_params(checked)
    for name, value in (("max_examples", max_examples), ("order", order)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(
                f"check_op: {name}={value!r} was given; it must be 1 or more, an integer."
            )

    def check(call: Any) -> None:
        inputs = [np.array(a) for a in call.inputs]
        for a in inputs:
            a.flags.writeable = False
        cast = [
            [a.astype(dtype) if a.dtype.kind == "f" else a.copy() for a in inputs]
            for dtype in kinds
        ]
        complaint, arrays = _first_complaint(checked, cast, call.params, order)
        if complaint:
            shown = type(call)(checked, arrays, call.params)
            raise GradientError(f"check_op: {checked.name} fails on\n  {shown!r}\n{complaint}")

    for_each_call(checked, check, max_examples)
    return True


def _op(op: Any) -> Op:
    if not isinstance(op, (str, Op)):
        raise TypeError(
            f"check_op: a value of type {type(op).__name__} was given; it needs an op or its name. "
            "Declare one with mg.Op(...); other functions are checked by gradcheck()."
        )
    if isinstance(op, str) and op not in OPS:
        raise KeyError(f"check_op: there is no op {op!r}. mg.OPS lists those that there are.")
    return OPS[op] if isinstance(op, str) else op


def _check_params(op: Op) -> None:
    """Raise if the kernel needs a parameter and the record lists none."""
    try:
        parameters = list(inspect.signature(op.kernel).parameters.values())
    except (TypeError, ValueError):  # some functions in C do not tell
        return
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [p.name for p in parameters[op.arity :] if p.kind in named and p.default is p.empty]
    missing = [name for name in needed if name != "out"]
    if missing and op.params is no_params:
        example = ", ".join(f'"{name}": 2.0' for name in missing)
        raise TypeError(
            f"check_op: the kernel of {op.name} needs {' and '.join(missing)}; its record tells no "
            "legal values. Give params= in the record, so that the check knows legal ones: "
            f"params=lambda *shapes: [{{{example}}}]."
        )


def _dtypes(given: Any) -> list[np.dtype[Any]]:
    """Return the dtypes, of which one may be given alone."""
    several = isinstance(given, (list, tuple))
    try:
        kinds = [np.dtype(dtype) for dtype in (given if several else [given])]
    except TypeError:
        kinds = []
    if not kinds or any(dtype.kind != "f" for dtype in kinds):
        raise ValueError(
            f"check_op: dtypes={given!r} was given; it needs dtypes of floats, at least one. "
            "Others have no gradients to check."
        )
    return kinds


def _first_complaint(
    op: Op, casts: list[list[Array]], params: dict[str, Any], order: int
) -> tuple[str, list[Array]]:
    """Return what is wrong and on which arrays, of those of each dtype; nothing if nothing is."""
    # What takes longest comes last: a failing call is reduced by many more calls.
    for arrays in casts:
        complaint = _complaint_of_call(op, arrays, params)
        if complaint:
            return complaint, arrays
    for number, arrays in enumerate(casts):
        complaint = _complaint_of_rules(op, arrays, params, 1 if number else order)
        if complaint:
            return complaint, arrays
    return "", []


def _complaint_of_call(op: Op, arrays: list[Array], params: dict[str, Any]) -> str:
    """Return what is wrong with all but the rules of an op at one call; nothing if nothing is."""
    if op.pieces is not None:
        check_pieces(f"Op {op.name}", op.pieces(**params))
    before = [a.copy() for a in arrays]
    y = np.asarray(op(*arrays, **params))
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays, before, strict=True)):
        return "The kernel wrote to its inputs; it must leave them alone."
    if not np.isfinite(y.astype(float)).all():
        return ""  # beyond what the dtype holds
    return (
        _complaint_of_dtype(arrays, y, op)
        or _complaint_of_out(op, arrays, params, y)
        or _complaint_of_value(op, arrays, params, y)
        or _complaint_of_tangent(op, arrays, params)
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


@np.errstate(all="ignore")
def _complaint_of_tangent(op: Op, arrays: list[Array], params: dict[str, Any]) -> str:
    """Return how a declared tangent differs from the slope of its piece."""
    tangent = op.selection.tangent if op.selection is not None else None
    if op.selection is None or tangent is None:
        return ""
    selection, start = op.selection, [a.astype(float) if a.dtype.kind == "f" else a for a in arrays]
    choice, ways = selection.choose(*map(Moving, start), **params), [_way(a) for a in start]

    def value(h: float) -> Array:
        moved = [a + h * v if v.any() else a for a, v in zip(start, ways, strict=True)]
        return np.asarray(selection.piece(choice, *moved, **params))

    def slope(h: float) -> tuple[Array, Array]:
        ahead, behind = value(h), value(-h)
        rounding = ROUNDINGS * np.finfo(float).eps * (np.abs(ahead) + np.abs(behind))
        return (ahead - behind) / (2 * h), rounding / h

    if value(0).dtype.kind != "f":
        return ""
    found = derivative(slope, looks=(), first=NEAR)
    said = np.broadcast_to(np.asarray(tangent(choice, *ways, **params)), value(0).shape)
    sizes = np.maximum(np.abs(said), np.abs(found.value))
    allowed = SAFETY * found.error + np.finfo(float).eps ** HALF_OF_DIGITS * sizes
    # Of a sum that cancels is left what its terms were rounded by.
    allowed += ROUNDINGS * np.finfo(float).eps * sum(float(np.abs(v).sum()) for v in ways)
    wrong = np.argwhere(np.abs(found.value - said) > allowed)
    if not len(wrong):
        return ""
    place = tuple(map(int, wrong[0]))
    return (
        f"The tangent of its selection gives {said[place]:.6g} at {place} along "
        f"{[v.tolist() for v in ways]}, and the piece has the slope {found.value[place]:.6g}."
    )


def _way(a: Array) -> Array:
    """Return a direction for an array, in which its numbers move by about their own sizes."""
    if a.dtype.kind != "f":
        return np.zeros_like(a)
    least = np.abs(a[a != 0]).min(initial=1.0)  # on whose scale a piece may be curved
    sizes = 2.0 ** np.floor(np.log2(np.where(a == 0, least, np.abs(a))))
    return np.asarray(np.random.default_rng(0).choice(INTEGERS, a.shape) * sizes)


def _complaint_of_rules(op: Op, arrays: list[Array], params: dict[str, Any], order: int) -> str:
    """Return what is wrong with the rules of an op at one call; nothing if nothing is."""
    y, rules = np.asarray(op(*arrays, **params)), op.rules(len(arrays))
    if y.dtype.kind != "f" or not np.isfinite(y).all():
        return ""  # a value of inf or nan has no slope to check
    tensors = [
        Tensor(a, requires_grad=rule is not None and a.dtype.kind == "f")
        for a, rule in zip(arrays, rules, strict=True)
    ]
    if not any(x.requires_grad for x in tensors):
        return ""
    floats = [np.abs(a[a != 0]).min(initial=1) for a in arrays if a.dtype.kind == "f"]
    if any(least < min(FEW_DIGITS * float(np.finfo(least.dtype).tiny), FEWEST) for least in floats):
        return ""
    if min(floats) < TINY:
        order = 1
    # A seed of its own: a call that fails has to fail again when it is reduced.
    checked = functools.partial(op, **params)
    found = report(checked, tensors, order=order, kinks="ignore", rng=0)
    return "" if found.ok else str(found)
