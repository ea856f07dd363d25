"""The ops: records and the functions that users call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..core import Op, Tensor
from ..record import BUILTIN, OPS
from . import checks as checks
from .arithmetic import add as add
from .arithmetic import cos as cos
from .arithmetic import divide as divide
from .arithmetic import exp as exp
from .arithmetic import expm1 as expm1
from .arithmetic import log as log
from .arithmetic import log1p as log1p
from .arithmetic import multiply as multiply
from .arithmetic import negative as negative
from .arithmetic import power as power
from .arithmetic import reciprocal as reciprocal
from .arithmetic import sin as sin
from .arithmetic import sqrt as sqrt
from .arithmetic import square as square
from .arithmetic import subtract as subtract
from .arithmetic import tanh as tanh
from .comparison import argmax as argmax
from .comparison import argmin as argmin
from .comparison import equal as equal
from .comparison import greater as greater
from .comparison import greater_equal as greater_equal
from .comparison import isfinite as isfinite
from .comparison import less as less
from .comparison import less_equal as less_equal
from .comparison import not_equal as not_equal
from .comparison import where as where
from .extremes import clip as clip
from .extremes import crelu as crelu
from .extremes import max as max
from .extremes import maximum as maximum
from .extremes import maxout as maxout
from .extremes import min as min
from .extremes import minimum as minimum
from .index import getitem as getitem
from .index import one_hot as one_hot
from .index import take as take
from .index import take_along_axis as take_along_axis
from .joining import concatenate as concatenate
from .joining import pad as pad
from .joining import split as split
from .joining import stack as stack
from .linear import affine as affine
from .linear import dot as dot
from .linear import einsum as einsum
from .linear import matmul as matmul
from .linear import outer as outer
from .loss import mean_squared_error as mean_squared_error
from .piecewise import absolute as absolute
from .piecewise import hardsigmoid as hardsigmoid
from .piecewise import hardtanh as hardtanh
from .piecewise import leaky_relu as leaky_relu
from .piecewise import piecewise_linear as piecewise_linear
from .piecewise import prelu as prelu
from .piecewise import relu as relu
from .piecewise import relu6 as relu6
from .piecewise import rrelu as rrelu
from .piecewise import sign as sign
from .piecewise import softshrink as softshrink
from .reduction import cumsum as cumsum
from .reduction import mean as mean
from .reduction import prod as prod
from .reduction import sum as sum
from .shape import astype as astype
from .shape import broadcast_to as broadcast_to
from .shape import copy as copy
from .shape import expand_dims as expand_dims
from .shape import flip as flip
from .shape import moveaxis as moveaxis
from .shape import reshape as reshape
from .shape import squeeze as squeeze
from .shape import swapaxes as swapaxes
from .shape import transpose as transpose
from .smooth import celu as celu
from .smooth import elu as elu
from .smooth import gelu as gelu
from .smooth import hardswish as hardswish
from .smooth import logaddexp as logaddexp
from .smooth import mish as mish
from .smooth import selu as selu
from .smooth import sigmoid as sigmoid
from .smooth import silu as silu
from .smooth import softplus as softplus
from .smooth import softsign as softsign
from .softmax import log_softmax as log_softmax
from .softmax import logsumexp as logsumexp
from .softmax import softmax as softmax
from .statistics import norm as norm
from .statistics import std as std
from .statistics import var as var

PUBLIC: dict[str, Callable[..., Any]] = {
    name: value
    for name, value in dict(globals()).items()
    if isinstance(value, Op) or (inspect.isfunction(value) and value.__module__ != __name__)
}
"""Every op and every function composed of ops, by the name that users call."""

BUILTIN.update(OPS)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function, assigned=("__module__", "__name__", "__qualname__"))
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    # An op composes its docstring when asked for it: not in an import.
    words = function.doc if isinstance(function, Op) else function.__doc__
    method.__doc__ = f"{words}\n\nThe function `mg.{function.__name__}` is the same."
    return method


# Every op whose first operand is a single array is a method too: x, or a of a and b.
for _name, _function in PUBLIC.items():
    if next(iter(inspect.signature(_function).parameters)) in ("x", "a"):
        setattr(Tensor, _name, _method(_function))
Tensor.clone = _method(copy)  # PyTorch's word for it
