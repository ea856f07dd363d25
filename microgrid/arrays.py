"""What may enter: conversion of numbers, lists and arrays, and dtypes that can carry a gradient."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Sequence
from operator import index as op_index
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import DtypeError, ShapeError
from .recording import copies, reads, watchers

Array: TypeAlias = NDArray[Any]

NEEDED = "it needs real numbers (float, integer, bool, or Fraction objects). Convert it first."


def as_array(who: str, x: Any) -> Array:
    """Return x as an array of real numbers in native byte order; copy only if that takes one.

    Raises:
        DtypeError: x is not numeric.
    """
    if type(x) is not np.ndarray:
        _check_no_mask(who, x)
        x = _without_tensors(x)
    try:
        array = np.asarray(x)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ShapeError(
            f"{who}: lists of unequal lengths were given (inhomogeneous); they must fit one array. "
            "Fill the short ones up, or pass them one by one."
        ) from None
    if array.dtype.kind not in "biufO":
        raise DtypeError(f"{who}: data of dtype {array.dtype} was given; {NEEDED}")
    if array.dtype.kind == "O":
        for item in array.flat:
            if not isinstance(item, numbers.Real):
                raise DtypeError(f"{who}: a {type(item).__name__} was given as a number; {NEEDED}")
    return native(array)


def native(array: Array) -> Array:
    """Return the array in the byte order of this machine; a copy only if that takes one."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_input(who: str, x: Any) -> Array:
    """Return x as an array, as the input of an op: that may not lose the graph of what x holds.

    Raises:
        DtypeError: x is not numeric, or a list that holds Tensors with a graph.
    """
    if isinstance(x, (list, tuple)) and _holds_graph(x):
        raise DtypeError(
            f"{who}: a {type(x).__name__} that holds Tensors with a graph was given as one array, "
            "which would lose the graph. Join them with stack() or concatenate()."
        )
    return as_array(who, x)


def as_arrays(who: str, inputs: Sequence[Any]) -> list[Array]:
    """Return the inputs as arrays; plain numbers take the dtype NumPy's promotion gives them here.

    A Python number is weak (NEP 50): with a float32 array it becomes float32. An array of no
    dimensions is not.

    Raises:
        DtypeError: an input is not numeric, or a list that holds Tensors with a graph.
    """
    found = [x if is_weak(x) else as_input(who, x) for x in inputs]
    strong = [a.dtype for a in found if isinstance(a, np.ndarray)]
    return [
        a if isinstance(a, np.ndarray) else np.asarray(a, np.result_type(a, *strong)) for a in found
    ]


def is_weak(x: object) -> bool:
    """Return whether x is a Python number, which takes on the dtype of what it meets."""
    return isinstance(x, (bool, int, float)) and not isinstance(x, np.generic)


def check_can_carry_gradient(who: str, dtype: np.dtype[Any]) -> None:
    """Raise unless a gradient in this dtype makes sense.

    Raises:
        DtypeError: the dtype is of integers or truth values.
    """
    if dtype.kind not in "fO":
        raise DtypeError(
            f"{who}: requires_grad=True was given for dtype {dtype}; a gradient needs a dtype that "
            "varies continuously. Use float data, as in tensor(data, dtype=float)."
        )


def own_index(index: Any) -> Any:
    """Return an index whose Tensors and arrays are copied: changing them later changes nothing."""
    if isinstance(index, tuple):
        return tuple(own_index(part) for part in index)
    if isinstance(index, slice):
        return slice(*(None if p is None else op_index(p) for p in _ends(index)))
    if type(index) is int or index is None or index is Ellipsis:
        return index
    array = np.array(_without_tensors(index))
    if watchers and isinstance(index, np.ndarray):
        copies(index, array)
    if array.dtype.kind == "O" and hasattr(index, "__index__"):
        return op_index(index)
    if array.size == 0 and not isinstance(index, np.ndarray):
        return array.astype(np.intp)  # x[[]]
    return int(array) if array.ndim == 0 and array.dtype.kind in "iu" else array


def _ends(index: slice) -> tuple[Any, Any, Any]:
    return index.start, index.stop, index.step


def from_scalar(scalar: Any, arrays: Sequence[Any]) -> Array:
    """Return a kernel's result as an array: NumPy gives scalars where there are no dimensions."""
    # Of Fractions it is the number itself, which may have become an int.
    objects = not isinstance(scalar, np.generic) and any(a.dtype.hasobject for a in arrays)
    return np.asarray(scalar, object if objects else None)


def check_params(who: str, params: dict[str, Any]) -> None:
    """Raise if a parameter of an op is a Tensor: as a parameter it would get no gradient.

    Raises:
        TypeError: a parameter is a Tensor, or is `out`.
    """
    for name, value in params.items():
        if _is_tensor(value):
            raise TypeError(
                f"{who}: a Tensor was given as {name}, which is a number that gets no gradient. "
                f"Pass {name}.item(), or compose the function of ops that take it as an operand."
            )
        if name == "out":
            raise TypeError(
                f"{who}: out was given; an op returns memory of its own. Use {who}'s result, or "
                "assign(leaf, value)."
            )


def explain_type_error(
    who: str, arrays: Sequence[Any], params: dict[str, Any], error: TypeError
) -> None:
    """Raise the error that says why a kernel failed with a TypeError, if that can be found out.

    Raises:
        DtypeError: an array is not numeric, or holds objects and the kernel knows only floats.
        TypeError: the kernel does not take these parameters.
    """
    if "keyword" in str(error) and "argument" in str(error):
        what = str(error).partition(") ")[2] or str(error)
        raise TypeError(f"{who}: {what}; it was given {', '.join(params) or 'none'}.") from error
    for array in arrays:
        as_array(who, array)
    if any(array.dtype.hasobject for array in arrays):
        raise DtypeError(
            f"{who}: an array of objects was given, and there is no {who} of those; it needs "
            "floats. Convert it with astype(float)."
        ) from error


def exact(numerator: Any, denominator: int = 1) -> Any:
    """Return a ratio as a Fraction, as object arrays need it to stay exact."""
    from fractions import Fraction  # here, since it takes a fifth of microgrid's own import

    return Fraction(numerator, denominator) if denominator != 1 else Fraction(numerator)


def into(out: Array | None, result: Any) -> Any:
    """Return `result`, written to `out` if one was given: for kernels that cannot do so."""
    if out is None:
        return result
    np.copyto(out, result)
    return out


def _is_tensor(x: Any) -> bool:
    """Return whether x is a microgrid Tensor; this file cannot import the class."""
    return hasattr(type(x), "serial") and hasattr(type(x), "_data")


def _without_tensors(x: Any) -> Any:
    """Return x, nested lists and tuples too, with arrays in place of Tensors."""
    if isinstance(x, (list, tuple)):
        return [_without_tensors(item) for item in x]
    if not _is_tensor(x):
        return x
    reads("conversion to an array")
    return x._data


def _holds_graph(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_holds_graph, x))
    return _is_tensor(x) and bool(x.requires_grad)


def _check_no_mask(who: str, x: Any) -> None:
    """Raise if x has masked elements, which numpy.asarray would take for values."""
    ma = sys.modules.get("numpy.ma")  # not np.ma, which would import it, for 20 ms
    if ma is not None and ma.is_masked(x):
        raise DtypeError(
            f"{who}: a masked array was given, whose masked elements would count as values. "
            "Use its filled(), or where() on its mask."
        )
