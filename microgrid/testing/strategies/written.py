"""Values as Python: what to paste to have them again, to the last bit and with their layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from ...arrays import Array
from ...pieces import Pieces

PLAIN = "float64", "int64", "bool"  # the dtypes that NumPy gives to lists of Python's numbers


def written(value: Any) -> str:
    """Return Python that gives the value, where `np`, `mg` and `Fraction` are imported.

    >>> written(np.array([0.5, -0.0, np.inf]))
    'np.array([0.5, -0.0, np.inf])'
    >>> written(np.ones((2, 1), np.float32)[::-1])
    'np.array([[1.0], [1.0]], dtype="float32")[::-1, :]'
    """
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.dtype):
        return f"np.dtype({_dtype(value)})"
    if isinstance(value, Pieces):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return f"mg.Pieces({written_options(fields)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(written, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return _number(value) if isinstance(value, (float, np.generic)) else repr(value)


def written_options(options: Mapping[str, Any]) -> str:
    """Return keyword arguments as Python.

    >>> written_options({"axis": (0,), "keepdims": False})
    'axis=(0,), keepdims=False'
    """
    return ", ".join(f"{name}={written(value)}" for name, value in options.items())


def _number(x: Any) -> str:
    text = str(x)  # of a NumPy number without its dtype; the shortest digits that give it again
    return text if np.isfinite(x) else text.replace("nan", "np.nan").replace("inf", "np.inf")


def _array(a: Array) -> str:
    if not a.size:
        dtype = "" if a.dtype == np.float64 else f", dtype={_dtype(a.dtype)}"
        return f"np.zeros({a.shape}{dtype})"
    sides = list(zip(a.shape, a.strides, strict=True))
    if any(n > 1 and stride == 0 for n, stride in sides):
        base = a[tuple(slice(None if stride else 1) for _, stride in sides)]
        return f"np.broadcast_to({_array(base)}, {a.shape})"
    if any(stride < 0 for _, stride in sides):
        turned = a[tuple(slice(None, None, -1 if stride < 0 else 1) for _, stride in sides)]
        index = ", ".join("::-1" if stride < 0 else ":" for _, stride in sides)
        return f"{_array(turned)}[{index}]"
    if a.flags.c_contiguous:
        return _list_of(a)
    if a.flags.f_contiguous:
        return f"np.asfortranarray({_list_of(a)})"
    return f"np.repeat({_list_of(a)}, 2, -1)[..., ::2]"


def _list_of(a: Array) -> str:
    inferred = a.dtype.name in PLAIN and a.dtype.isnative
    if a.dtype.hasobject:
        inferred = any(isinstance(x, Fraction) for x in a.flat)
    return f"np.array({_nested(a)}{'' if inferred else f', dtype={_dtype(a.dtype)}'})"


def _nested(a: Array) -> str:
    if a.ndim == 0:
        return written(a[()])
    return f"[{', '.join(_nested(np.asarray(row, a.dtype)) for row in a)}]"


def _dtype(dtype: np.dtype[Any]) -> str:
    return f'"{dtype.name if dtype.isnative else dtype.str}"'
