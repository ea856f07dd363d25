"""Comparisons, which have no gradient, and the choice between two values, which has."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, into
from ..core import Op, Operand, Tensor
from ..record import Domain
from ..selection import Selection, constant, leaders, order
from .arithmetic import ANY

CONDITION = Domain(0, 1, include=(0.0, 1.0), kind="bool")


def _comparison(name: str, doc: str, formula: str, ufunc: np.ufunc, reference: Any) -> Op:
    return Op(
        name=name,
        doc=doc,
        formula=formula,
        kernel=ufunc,
        vjps=(None, None),
        domains=(ANY, ANY),
        signature="(),()->()",
        reference=reference,
        selection=constant(lambda a, b: ufunc(order(a, b), 0)),
    )


greater = _comparison("greater", "Whether a > b.", "a > b", np.greater, operator.gt)
greater_equal = _comparison(
    "greater_equal", "Whether a >= b.", "a >= b", np.greater_equal, operator.ge
)
less = _comparison("less", "Whether a < b.", "a < b", np.less, operator.lt)
less_equal = _comparison("less_equal", "Whether a <= b.", "a <= b", np.less_equal, operator.le)
equal = _comparison("equal", "Whether a and b are equal.", "a == b", np.equal, operator.eq)
not_equal = _comparison("not_equal", "Whether a and b differ.", "a != b", np.not_equal, operator.ne)


def _is_finite(x: Array, out: Array | None = None) -> Any:
    return np.isfinite(x if x.dtype.kind != "O" else x.astype(np.float64), out=out)


isfinite = Op(
    name="isfinite",
    doc="Whether x is neither inf nor nan.",
    kernel=_is_finite,
    vjps=(None,),
    domains=(Domain(include=(0.0, np.inf, -np.inf, np.nan)),),
    reference=math.isfinite,
    formula="|x| < inf",
)


def _axes_or_none(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    axes: list[int | None] = [None] * bool(math.prod(shape))
    axes += [axis for axis in range(-len(shape), len(shape)) if shape[axis]]
    return [{"axis": axis, "keepdims": keep} for axis in axes for keep in (False, True)]


def _arg_extreme(name: str, word: str, function: Callable[..., Any], better: Any) -> Op:
    def kernel(x: Array, out: Array | None = None, *, axis: Any, keepdims: bool) -> Any:
        return function(x, axis=axis, keepdims=keepdims, out=out)

    def choose(x: Any, *, axis: Any, keepdims: bool) -> Any:
        axes = tuple(range(x.value.ndim)) if axis is None else (axis,)
        ahead = leaders(x, axes, largest=function is np.argmax)
        return np.argmax(ahead | np.not_equal(x.value, x.value), axis=axis, keepdims=keepdims)

    return Op(
        name=name,
        doc=f"The index of the first {word} element, along an axis or of the flattened array.",
        kernel=kernel,
        vjps=(None,),
        domains=(ANY,),
        signature="(...)->(...)",
        params=_axes_or_none,
        reference=lambda x, axis, keepdims: _first(better, x, axis, keepdims),
        selection=constant(choose),
        formula=f"{name[:3]} {name[3:]} x",
    )


_argmax = _arg_extreme("argmax", "largest", np.argmax, operator.gt)
_argmin = _arg_extreme("argmin", "smallest", np.argmin, operator.lt)


def _first(better: Callable[[Any, Any], bool], x: Array, axis: Any, keepdims: bool) -> Any:
    """Return what argmax returns, by a search element after element."""
    rows = x.reshape(-1) if axis is None else np.moveaxis(x, axis, -1)
    found = np.zeros(rows.shape[:-1], np.intp)
    for place in np.ndindex(rows.shape[:-1]):
        for i, value in enumerate(rows[place]):
            if better(value, rows[place][found[place]]):
                found[place] = i
    if not keepdims:
        return found
    return found.reshape((1,) * x.ndim) if axis is None else np.expand_dims(found, axis)


def argmax(x: Operand, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the largest element, the first one if several are; no gradient.

    Args:
        x: any[...].
        axis: the axis to search along; None searches the flattened array.
        keepdims: keep the searched axis with size 1.

    Returns:
        int64[...].

    Raises:
        ValueError: there is no element.

    >>> from microgrid import argmax
    >>> argmax([[1.0, 5.0], [7.0, 2.0]], axis=1)
    array([1, 0])
    """
    return _argmax(x, axis=axis, keepdims=keepdims)


def argmin(x: Operand, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the smallest element, the first one if several are; no gradient.

    Args:
        x: any[...].
        axis: the axis to search along; None searches the flattened array.
        keepdims: keep the searched axis with size 1.

    Returns:
        int64[...].

    Raises:
        ValueError: there is no element.

    >>> from microgrid import argmin
    >>> argmin([[1.0, 5.0], [7.0, 2.0]], axis=1)
    array([0, 1])
    """
    return _argmin(x, axis=axis, keepdims=keepdims)


def _where(condition: Array, a: Array, b: Array, out: Array | None = None) -> Any:
    return into(out, np.where(condition, a, b))


where: Op = Op(
    name="where",
    doc="a where the condition holds, b elsewhere. The one not taken gets a gradient of exactly 0, "
    "whatever it is.",
    kernel=_where,
    vjps=(
        None,
        lambda g, y, condition, a, b: where(condition, g, 0),
        lambda g, y, condition, a, b: where(condition, 0, g),
    ),
    domains=(CONDITION, ANY, ANY),
    signature="(),(),()->()",
    reference=lambda condition, a, b: a if condition else b,
    selection=Selection(
        choose=lambda condition, a, b: condition.value,
        piece=lambda chosen, condition, a, b: np.where(chosen, a, b),
        tangent=lambda chosen, condition, a, b: np.where(chosen, a, b),
    ),
    formula="a if condition else b",
)
