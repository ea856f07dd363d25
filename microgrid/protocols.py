"""NumPy's protocols: `np.exp(t)`, `np.sum(t)` and `array * t` run the ops of those names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

import numpy as np

from .core import Operand, Tensor
from .creation import ones_like, zeros_like
from .ops import PUBLIC
from .recording import reads

# Questions whose answers are no Tensors: about shapes and the like, and about values.
_QUESTIONS = {
    np.shape, np.ndim, np.size, np.array_repr, np.array_str, np.array2string,
    np.may_share_memory, np.shares_memory, np.result_type, np.can_cast, np.iscomplexobj,
    np.isrealobj,
}  # fmt: skip
_READINGS = {
    np.allclose, np.array_equal, np.array_equiv, np.isclose, np.min_scalar_type,
    np.any, np.all, np.count_nonzero, np.nonzero,
}  # fmt: skip


def _norm(
    x: Operand,
    ord: Any = None,  # noqa: A002
    axis: Any = None,
    keepdims: bool = False,
) -> Any:
    if ord is not None and (np.ndim(x) if axis is None else np.size(axis)) != 1:
        raise TypeError(
            f"numpy.linalg.norm: ord={ord!r} was given for a matrix; only norms of vectors have a "
            "gradient. Use microgrid.norm, which takes all elements of its axes as one vector."
        )
    return PUBLIC["norm"](x, ord, axis, keepdims)


# NumPy's names for what microgrid calls otherwise.
_ALIASES: dict[str, Callable[..., Any]] = {
    "linalg.norm": _norm,
    "amax": PUBLIC["max"],
    "amin": PUBLIC["min"],
    "zeros_like": zeros_like,
    "ones_like": ones_like,
}

# What NumPy's functions take and microgrid's do not, with the values that ask for nothing.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "dtype": (None,), "out": (None,), "where": (True, np._NoValue), "initial": (np._NoValue,),
    "mode": ("raise", "constant"), "order": ("C", "K"), "subok": (False,),
}  # fmt: skip


def array_ufunc(
    self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
) -> Any:
    """Run a ufunc that has a Tensor among its inputs as the op of the same name.

    Raises:
        TypeError: the result is to be written to an array, or there is no such op.
    """
    name = f"numpy.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
    if out is not None:
        raise TypeError(
            f"{name}: a result computed from a Tensor was to be written into an array (out=, or "
            "array += tensor), which would lose its graph. Write array = array + tensor, or use "
            "tensor.numpy()."
        )
    op = PUBLIC.get(ufunc.__name__)
    if method != "__call__" or op is None or kwargs:
        raise TypeError(_unsupported(name, kwargs))
    return op(*inputs)


def array_function(
    self: Tensor,
    func: Callable[..., Any],
    types: Iterable[type],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run a NumPy function that has a Tensor among its arguments as the op of the same name.

    Raises:
        TypeError: there is no such op, or it does not take these arguments.
    """
    if func in _READINGS:
        reads(f"numpy.{func.__name__}()")
    if func in _QUESTIONS or func in _READINGS:
        return func(*_as_arrays(args), **{key: _as_arrays(value) for key, value in kwargs.items()})
    name = f"{func.__module__}.{func.__name__}"
    op = _ALIASES.get(name.removeprefix("numpy.")) or PUBLIC.get(func.__name__)
    if op is None or func.__module__ not in ("numpy", "numpy.linalg"):
        raise TypeError(_unsupported(name, kwargs))
    data, given, unknown = _translate(func, op, args, kwargs)
    if unknown:
        raise TypeError(_unsupported(name, unknown))
    return op(*data, **given)


def _translate(
    func: Callable[..., Any], op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Return the arguments of NumPy's func as those of op, and the ones that op does not take."""
    taken = inspect.signature(op).parameters
    keywords = {n for n, p in taken.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    data, named = [], dict(kwargs)
    for name, value in zip_longest(_names(func)[: len(args)], args):
        if name in keywords or name in _DEFAULTS:
            named[name] = value
        else:
            data.append(value)
    for name in [n for n in named if n in taken and n not in keywords]:
        data.append(named.pop(name))  # transpose(x, *axes), given as axes=
    given = {n: value for n, value in named.items() if n in keywords}
    unknown = {n: v for n, v in named.items() if n not in keywords and not _is_default(n, v)}
    return data, given, unknown


def _names(func: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(func).parameters.values()
    except ValueError:  # a function in C, before NumPy 2.4
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _is_default(name: str, value: Any) -> bool:
    return any(
        value is default or (isinstance(value, str) and value == default)
        for default in _DEFAULTS.get(name, ())
    )


def _as_arrays(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x._data
    return type(x)(map(_as_arrays, x)) if isinstance(x, (list, tuple)) else x


def _unsupported(name: str, kwargs: dict[str, Any]) -> str:
    short = name.removeprefix("numpy.").removeprefix("linalg.")
    with_ = f" with {', '.join(kwargs)}" if kwargs else ""
    there = PUBLIC.get(short)
    instead = f"Use microgrid.{short}" if there else "Compose it of the ops in microgrid.OPS"
    return (
        f"{name}: a Tensor was given{with_}, which has no gradient there. {instead}, or pass "
        "tensor.numpy() for the values without a graph."
    )


Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
