"""NumPy's protocols: `np.exp(t)`, `np.sum(t)` and `array * t` are microgrid's ops of those names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .core import Tensor
from .creation import ones_like, zeros_like
from .errors import DtypeError
from .ops import PUBLIC

# Questions about values and shapes, whose answers are no Tensors.
_QUESTIONS = {
    np.allclose, np.array_equal, np.array_equiv, np.isclose, np.shape, np.ndim, np.size,
    np.array_repr, np.array_str, np.array2string, np.may_share_memory, np.shares_memory,
    np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.min_scalar_type,
    np.any, np.all, np.count_nonzero, np.nonzero,
}  # fmt: skip

# NumPy's names for what microgrid calls otherwise.
_ALIASES: dict[str, Callable[..., Any]] = {
    "amax": PUBLIC["max"],
    "amin": PUBLIC["min"],
    "zeros_like": zeros_like,
    "ones_like": ones_like,
}

# The words in which NumPy passes on what was left at its default.
_DEFAULTS = {"dtype": None, "out": None, "where": (True, np._NoValue), "initial": np._NoValue}


def _supported() -> str:
    return "microgrid's ops, see microgrid.OPS"


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
            f"{name}: a result computed from a Tensor was to be written into an array "
            "(out=, or array += tensor), which would lose its graph. Write array = array + tensor, or "
            "use tensor.numpy()."
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
    if func in _QUESTIONS:
        return func(*_as_arrays(args), **{key: _as_arrays(value) for key, value in kwargs.items()})
    op = _ALIASES.get(func.__name__) or PUBLIC.get(func.__name__)
    given = {key: value for key, value in kwargs.items() if not _is_default(key, value)}
    if op is None or "out" in given:
        raise TypeError(_unsupported(f"numpy.{func.__name__}", given))
    try:
        return op(*args, **given)
    except TypeError as error:
        if isinstance(error, DtypeError) or not given:
            raise
        raise TypeError(_unsupported(f"numpy.{func.__name__}", given)) from error


def _is_default(key: str, value: Any) -> bool:
    if key not in _DEFAULTS:
        return False
    default = _DEFAULTS[key]
    return any(value is d for d in (default if isinstance(default, tuple) else (default,)))


def _as_arrays(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x._data
    return type(x)(map(_as_arrays, x)) if isinstance(x, (list, tuple)) else x


def _unsupported(name: str, kwargs: dict[str, Any]) -> str:
    short = name.removeprefix("numpy.").split(".")[0]
    with_ = f" with {', '.join(kwargs)}" if kwargs else ""
    there = PUBLIC.get(short)
    instead = f"Use microgrid.{short}" if there else "Compose it of the ops in microgrid.OPS"
    return (
        f"{name}: a Tensor was given{with_}, which has no gradient there. {instead}, or pass "
        "tensor.numpy() for the values without a graph."
    )


Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
