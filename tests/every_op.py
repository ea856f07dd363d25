"""Calls of every public op, as functions of one operand: for the rules that hold for all of them.

`CALLS` maps each public name to functions of an array or Tensor x. What else an op needs is made to
fit x's shape and dtype. test_dtypes.py checks that no name is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import microgrid as mg

Call = Callable[[Any], Any]


def like(x: Any, *values: float) -> np.ndarray:
    """Return an array of x's shape and dtype that repeats the values."""
    return np.resize(np.array(values, x.dtype), x.shape)


def columns(x: Any, n: int = 2) -> np.ndarray:
    """Return a matrix that x can be multiplied by on the right."""
    rows = x.shape[-1] if x.ndim else 1
    return np.resize(np.array([0.5, -1.0, 2.0, 0.25, 1.0], x.dtype), (rows, n))


def square_like(x: Any) -> Any:
    """Return a matrix whose columns x can be multiplied by on the left."""
    n = x.shape[-2] if x.ndim > 1 else x.shape[-1]
    return np.resize(np.array([0.5, -1.0, 2.0, 0.25, 1.0], x.dtype), (2, n))


def first(x: Any) -> Any:
    """Return the indices [0, 0, -1] along the last axis of x, once for every row."""
    return np.broadcast_to(np.array([0, 0, -1]), (*x.shape[:-1], 3))


# Elementwise, of an operand of any shape and, where there are two, of either place.
ELEMENTWISE: dict[str, tuple[Call, ...]] = {
    "absolute": (mg.absolute,),
    "add": (
        lambda x: mg.add(x, 2), lambda x: mg.add(2.0, x), lambda x: mg.add(x, x),
        lambda x: mg.add(x, like(x, 1, 2)),
    ),
    "celu": (mg.celu, lambda x: mg.celu(x, 2.0)),
    "clip": (
        lambda x: mg.clip(x, -1, 1),
        lambda x: mg.clip(x, None, 0.5),
        lambda x: mg.clip(x, like(x, -1.0), like(x, 0.5)),
    ),
    "copy": (mg.copy,),
    "cos": (mg.cos,),
    "divide": (
        lambda x: mg.divide(x, 2), lambda x: mg.divide(2.0, x), lambda x: mg.divide(x, x),
        lambda x: mg.divide(like(x, 1, 0), x),
    ),
    "elu": (mg.elu, lambda x: mg.elu(x, alpha=2.0)),
    "exp": (mg.exp,),
    "expm1": (mg.expm1,),
    "gelu": (mg.gelu, lambda x: mg.gelu(x, "tanh")),
    "hardsigmoid": (mg.hardsigmoid,),
    "hardswish": (mg.hardswish,),
    "hardtanh": (mg.hardtanh, lambda x: mg.hardtanh(x, -0.5, 2)),
    "leaky_relu": (mg.leaky_relu, lambda x: mg.leaky_relu(x, -0.5)),
    "log": (mg.log,),
    "log1p": (mg.log1p,),
    "logaddexp": (lambda x: mg.logaddexp(x, 0.5), lambda x: mg.logaddexp(like(x, 1, 2), x)),
    "maximum": (lambda x: mg.maximum(x, 0), lambda x: mg.maximum(like(x, 1, -1), x)),
    "minimum": (lambda x: mg.minimum(x, 0), lambda x: mg.minimum(like(x, 1, -1), x)),
    "mish": (mg.mish,),
    "multiply": (
        lambda x: mg.multiply(x, 2), lambda x: mg.multiply(2.5, x), lambda x: mg.multiply(x, x),
        lambda x: mg.multiply(x, like(x, 0, 3)),
    ),
    "negative": (mg.negative,),
    "piecewise_linear": (lambda x: mg.piecewise_linear(x, [-1, 0.5], [2, -1, 0.25], (1, 2)),),
    "power": (
        lambda x: mg.power(x, 2), lambda x: mg.power(x, 0), lambda x: mg.power(x, -1),
        lambda x: mg.power(x, 0.5), lambda x: mg.power(2.0, x),
        lambda x: mg.power(x, like(x, 3, 1, 0)),
    ),
    "prelu": (lambda x: mg.prelu(x, 0.25), lambda x: mg.prelu(like(x, -2, 1), x)),
    "reciprocal": (mg.reciprocal,),
    "relu": (mg.relu,),
    "relu6": (mg.relu6,),
    "rrelu": (mg.rrelu, lambda x: mg.rrelu(x, training=True, rng=0)),
    "selu": (mg.selu,),
    "sigmoid": (mg.sigmoid,),
    "sign": (mg.sign,),
    "silu": (mg.silu,),
    "sin": (mg.sin,),
    "softplus": (mg.softplus,),
    "softshrink": (mg.softshrink, lambda x: mg.softshrink(x, 0.0)),
    "softsign": (mg.softsign,),
    "sqrt": (mg.sqrt,),
    "square": (mg.square,),
    "subtract": (
        lambda x: mg.subtract(x, 2), lambda x: mg.subtract(2.0, x), lambda x: mg.subtract(x, x),
    ),
    "tanh": (mg.tanh,),
    "where": (
        lambda x: mg.where(np.resize([True, False], x.shape), x, 0.5),
        lambda x: mg.where(np.resize([True, False], x.shape), 1, x),
    ),
}  # fmt: skip

# Of an operand of any shape, size 0 included.
ANY_SHAPE: dict[str, tuple[Call, ...]] = {
    "astype": (lambda x: mg.astype(x, x.dtype),),
    "broadcast_to": (lambda x: mg.broadcast_to(x, (2, *x.shape)),),
    "cumsum": (mg.cumsum,),
    "dot": (lambda x: mg.dot(x, like(x, 2.0)[(0,) * x.ndim] if x.size else 2.0),),
    "einsum": (lambda x: mg.einsum("...,...->...", x, like(x, 1, 2)),),
    "expand_dims": (lambda x: mg.expand_dims(x, 0), lambda x: mg.expand_dims(x, (0, -1))),
    "flip": (mg.flip,),
    "getitem": (lambda x: mg.getitem(x, (..., None)), lambda x: mg.getitem(x, ...)),
    "logsumexp": (mg.logsumexp,),
    "mean": (mg.mean, lambda x: mg.mean(x, axis=(), keepdims=True)),
    "mean_squared_error": (lambda x: mg.OPS["mean_squared_error"](x, like(x, 1, 2)),),
    "norm": (mg.norm, lambda x: mg.norm(x, 1)),
    "outer": (lambda x: mg.outer(x, like(x, 1, 2)), lambda x: mg.outer(like(x, 1, 2), x)),
    "prod": (mg.prod,),
    "reshape": (lambda x: mg.reshape(x, (x.size, 1)),),
    "squeeze": (mg.squeeze,),
    "std": (mg.std,),
    "sum": (mg.sum, lambda x: mg.sum(x, keepdims=True), lambda x: mg.sum(x, axis=())),
    "transpose": (mg.transpose,),
    "var": (mg.var,),
}

# Of an operand with at least one axis.
WITH_AXIS: dict[str, tuple[Call, ...]] = {
    "affine": (
        lambda x: mg.affine(x, columns(x), np.ones(2, x.dtype)),
        lambda x: mg.affine(
            np.ones((3, x.shape[-1]), x.dtype), columns(x), mg.sum(x) * np.ones(2, x.dtype)
        ),
    ),
    "concatenate": (lambda x: mg.concatenate([x, like(x, 1), x], axis=-1),),
    "crelu": (mg.crelu,),
    "cumsum": (lambda x: mg.cumsum(x, axis=-1),),
    "dot": (lambda x: mg.dot(x, columns(x)), lambda x: mg.dot(square_like(x), x)),
    "einsum": (
        lambda x: mg.einsum("...i,ij->...j", x, columns(x)),
        lambda x: mg.einsum("...i->...", x),
    ),
    "flip": (lambda x: mg.flip(x, 0),),
    "getitem": (
        lambda x: mg.getitem(x, slice(None, None, -1)),
        lambda x: mg.getitem(x, (..., slice(0, 1))),
    ),
    "log_softmax": (mg.log_softmax,),
    "logsumexp": (lambda x: mg.logsumexp(x, axis=-1),),
    "matmul": (lambda x: mg.matmul(x, columns(x)), lambda x: mg.matmul(square_like(x), x)),
    "mean": (lambda x: mg.mean(x, axis=-1),),
    "moveaxis": (lambda x: mg.moveaxis(x, 0, -1),),
    "norm": (lambda x: mg.norm(x, axis=-1, keepdims=True),),
    "pad": (lambda x: mg.pad(x, (1, 2), constant_values=3.0),),
    "prod": (lambda x: mg.prod(x, axis=-1),),
    "softmax": (mg.softmax,),
    "softmax_cross_entropy": (
        lambda x: mg.OPS["softmax_cross_entropy"](x, like(x, 0.5, 0.25, 0.25)),
        lambda x: mg.OPS["softmax_cross_entropy"](like(x, 1, 2), x),
    ),
    "split": (lambda x: mg.split(x, [1], axis=-1)[0],),
    "stack": (lambda x: mg.stack([x, like(x, 1)], axis=1),),
    "std": (lambda x: mg.std(x, axis=-1, ddof=1),),
    "sum": (lambda x: mg.sum(x, axis=-1, keepdims=True),),
    "swapaxes": (lambda x: mg.swapaxes(x, 0, -1),),
    "var": (lambda x: mg.var(x, axis=-1, ddof=1),),
}

# Of an operand whose last axis has at least one element (of two, for maxout).
NOT_EMPTY: dict[str, tuple[Call, ...]] = {
    "getitem": (lambda x: mg.getitem(x, [0, 0, -1]), lambda x: mg.getitem(x, x.shape[0] * [True])),
    "max": (mg.max, lambda x: mg.max(x, axis=-1), lambda x: mg.norm(x, np.inf)),
    "maxout": (lambda x: mg.maxout(mg.concatenate([x, x], axis=-1)),),
    "mean_cross_entropy": (
        lambda x: mg.OPS["mean_cross_entropy"](
            mg.reshape(x, (-1, x.shape[-1])), np.zeros(x.size // x.shape[-1], int)
        ),
    ),
    "min": (mg.min, lambda x: mg.min(x, axis=0)),
    "softmax_cross_entropy": (
        lambda x: mg.OPS["softmax_cross_entropy"](x, np.zeros(x.shape[:-1], int)),
    ),
    "take": (lambda x: mg.take(x, [0, 0, -1], axis=-1), lambda x: mg.take(x, 0)),
    "take_along_axis": (lambda x: mg.take_along_axis(x, first(x), axis=-1),),
}  # fmt: skip

GROUPS = {
    "elementwise": ELEMENTWISE, "any": ANY_SHAPE, "axis": WITH_AXIS, "full": NOT_EMPTY,
}  # fmt: skip

NO_GRADIENT = {
    "argmax", "argmin", "equal", "greater", "greater_equal", "isfinite", "less", "less_equal",
    "not_equal", "one_hot",
}  # fmt: skip


def cases(*groups: str) -> list[Any]:
    """Return (name, call) of every op in the groups, for pytest.mark.parametrize."""
    import pytest

    return [
        pytest.param(call, id=f"{name}-{group}{i}")
        for group in groups
        for name, found in GROUPS[group].items()
        for i, call in enumerate(found)
    ]


def cases_for(shape: tuple[int, ...]) -> list[tuple[str, Call]]:
    """Return (name, call) of every op that takes an operand of this shape."""
    groups = ["elementwise", "any"]
    groups += ["axis"] * (len(shape) > 0) + ["full"] * (len(shape) > 0 and 0 not in shape)
    return [
        (f"{name}{i}", call)
        for group in groups
        for name, found in GROUPS[group].items()
        for i, call in enumerate(found)
    ]
