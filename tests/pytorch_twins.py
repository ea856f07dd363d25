"""What microgrid computes for a call of a PyTorch op: the same function in microgrid's words.

`TWINS` maps names of PyTorch's database of operators to functions of the same arguments, with the
same names. An argument that microgrid has not is absent there too, and named in `LACKS`; a value
that it does not take raises `Lacking` with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np

import microgrid as mg

# Arguments that microgrid has not, on purpose: compose them, or convert with astype.
LACKS = {"alpha", "dtype", "ignore_index", "memory_format"}

# Arguments given to PyTorch instead of the sample's: softplus without bends at a threshold of the
# sample's choice. Past 40 the line that PyTorch then uses differs by less than a rounding error.
GIVEN = {"nn.functional.softplus": {"beta": 1, "threshold": 40}}


class Lacking(Exception):
    """A sample asks for what microgrid does not offer."""


def need(offered: bool, what: str) -> None:
    if not offered:
        raise Lacking(what)


# --- adapters of arguments -----------------------------------------------------------------------


def axes(x: Any, dim: Any) -> Any:
    """Return NumPy's axis: PyTorch lets a tensor of no dimensions have a dimension 0."""
    if dim is None or dim == ():
        return None
    return dim if x.ndim else ()


def some_axis(x: Any, dim: int) -> int:
    need(x.ndim > 0, "an axis of an array that has none")
    return dim


def numbers(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the sizes, given as numbers or as one sequence."""
    return tuple(shape) if len(shape) != 1 or isinstance(shape[0], int) else tuple(shape[0])


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, dim=None, keepdim=False: function(x, axis=axes(x, dim), keepdims=keepdim)


def arg_reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, dim=None, keepdim=False: function(x, some_axis(x, dim), keepdim)


def along(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, dim: function(x, some_axis(x, dim))


def spread(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Any, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
        ddof = options.get("unbiased", options.get("correction"))
        return function(x, axes(x, dim), 1.0 if ddof is None else float(ddof), keepdim)

    return call


def spread_of_all(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, unbiased: function(x, ddof=int(unbiased))


def converted(dtype: Any) -> Callable[..., Any]:
    return lambda x: mg.astype(x, dtype)


def loss(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, target, **options: function(x, target, **options)


# --- functions whose arguments differ ------------------------------------------------------------


def norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:  # noqa: A002
    need(ord in (1, 2, math.inf), "norms but for 1, 2 and inf")
    return mg.norm(x, ord, axes(x, dim), keepdim)


def norm_p(x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    return norm(x, 2 if p == "fro" else p, dim, keepdim)


def vector_or_matrix_norm(x: Any, ord: Any = None, dim: Any = None, keepdim: Any = False) -> Any:  # noqa: A002
    need(x.ndim == 1 or isinstance(dim, int), "norms of matrices")
    return norm(x, 2 if ord is None else ord, dim, keepdim)


def clamp(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    given = [getattr(bound, "dtype", bound) for bound in (min, max) if bound is not None]
    need(np.result_type(x.dtype, *given) == x.dtype, "integers that do not widen what they meet")
    return mg.clip(x, min, max)


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    return x @ weight.T if bias is None else mg.affine(x, weight.T, bias)


def addmm(x: Any, a: Any, b: Any, *, alpha: float = 1, beta: float = 1) -> Any:
    need(alpha == beta == 1, "factors of the two terms")
    return x + a @ b


def prelu(x: Any, weight: Any) -> Any:
    channels = weight.size > 1 and x.ndim > 1  # PyTorch has them in axis 1, microgrid broadcasts
    shape = (-1,) + (1,) * (x.ndim - 2) if channels else () if weight.size == 1 else weight.shape
    return mg.prelu(x, weight.reshape(shape))


def rrelu(x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Any:
    need(not training, "the same random numbers")
    return mg.rrelu(x, lower, upper)


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    need(min_val < max_val, "bounds that are equal")
    return mg.hardtanh(x, min_val, max_val)


def cross_entropy(x: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    need(x.ndim == 2, "scores but for (batch, classes)")
    return mg.cross_entropy(x, target, weight=weight, reduction=reduction)


def nll_loss(x: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    need(x.ndim == 2, "scores but for (batch, classes)")
    return mg.nll_loss(x, target, weight=weight, reduction=reduction)


def one_hot(x: Any, num_classes: int = -1) -> Any:
    need(num_classes > 0, "a number of classes to be guessed")
    return mg.one_hot(x, num_classes, np.int64)


def expand(x: Any, shape: tuple[int, ...]) -> Any:
    old = (0,) * (len(shape) - x.ndim) + x.shape
    return mg.broadcast_to(x, [m if n == -1 else n for n, m in zip(shape, old, strict=True)])


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    if not x.ndim:
        return mg.reshape(x, 1)
    end = end_dim % x.ndim + 1
    return mg.reshape(x, *x.shape[:start_dim], math.prod(x.shape[start_dim:end]), *x.shape[end:])


def squeeze(x: Any, dim: Any = None) -> Any:
    places = () if dim is None else (dim,) if isinstance(dim, int) else dim
    for i in places:
        need(x.ndim > 0 and x.shape[i] == 1, "squeezing an axis that is not of size 1")
    return mg.squeeze(x, dim)


def cat(tensors: Any, dim: int = 0) -> Any:
    need(len({x.ndim for x in tensors}) == 1, "empty vectors that fit every shape")
    return mg.concatenate(tensors, dim)


def split(x: Any, size: Any, dim: int = 0) -> Any:
    cuts = range(size, x.shape[dim], size) if isinstance(size, int) else list(accumulate(size))[:-1]
    return mg.split(x, list(cuts), dim)


def chunk(x: Any, chunks: int, dim: int = 0) -> Any:
    return split(x, -(-x.shape[dim] // chunks), dim)


def tensor_split(x: Any, parts: Any, dim: int = 0) -> Any:
    parts = parts.tolist() if isinstance(parts, mg.Tensor) else parts
    if isinstance(parts, int):
        sizes = [len(part) for part in np.array_split(range(x.shape[dim]), parts)]
        parts = list(accumulate(sizes))[:-1]
    return mg.split(x, list(parts), dim)


def pad(x: Any, pad: Any, mode: str = "constant", value: float = 0.0) -> Any:
    need(min(pad) >= 0, "cutting off by padding")
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]  # PyTorch starts at the last axis
    return mg.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, value)


def part(x: Any, dim: int, index: Any) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (index,)]


def narrow(x: Any, dim: int, start: Any, length: int) -> Any:
    first = int(start) % x.shape[dim] if length else 0
    return part(x, dim, slice(first, first + length))


def gather(x: Any, dim: int, index: Any) -> Any:
    need(x.ndim == index.ndim > 0, "indices of another number of axes")
    cut = [slice(None) if i == dim % x.ndim else slice(n) for i, n in enumerate(index.shape)]
    return mg.take_along_axis(x[tuple(cut)], index, dim)


def take_along_dim(x: Any, index: Any, dim: int | None = None) -> Any:
    if dim is None:
        return mg.take_along_axis(x.reshape(-1), index.reshape(-1), 0)
    return mg.take_along_axis(x, index, dim)


# --- the table -----------------------------------------------------------------------------------

UNARY = {
    "abs": mg.absolute,
    "clone": mg.copy,
    "contiguous": mg.copy,
    "cos": mg.cos,
    "exp": mg.exp,
    "expm1": mg.expm1,
    "isfinite": mg.isfinite,
    "log": mg.log,
    "log1p": mg.log1p,
    "neg": mg.negative,
    "reciprocal": mg.reciprocal,
    "sgn": mg.sign,
    "sigmoid": mg.sigmoid,
    "sign": mg.sign,
    "sin": mg.sin,
    "sqrt": mg.sqrt,
    "square": mg.square,
    "tanh": mg.tanh,
    "nn.functional.hardsigmoid": mg.hardsigmoid,
    "nn.functional.hardswish": mg.hardswish,
    "nn.functional.mish": mg.mish,
    "nn.functional.relu": mg.relu,
    "nn.functional.relu6": mg.relu6,
    "nn.functional.selu": mg.selu,
    "nn.functional.silu": mg.silu,
    "nn.functional.softplus": mg.softplus,
    "nn.functional.softsign": mg.softsign,
    "positive": lambda x: +x,
    "double": converted(np.float64),
    "float": converted(np.float32),
    "half": converted(np.float16),
    "nn.functional.celu": lambda x, alpha=1.0: mg.celu(x, alpha),
    "nn.functional.elu": lambda x, alpha=1.0: mg.elu(x, alpha),
    "nn.functional.gelu": lambda x, approximate="none": mg.gelu(x, approximate),
    "nn.functional.hardtanh": hardtanh,
    "nn.functional.leaky_relu": lambda x, negative_slope=0.01: mg.leaky_relu(x, negative_slope),
    "nn.functional.rrelu": rrelu,
    "nn.functional.softshrink": lambda x, lambd=0.5: mg.softshrink(x, lambd),
}

BINARY = {
    "add": mg.add,
    "sub": mg.subtract,
    "mul": mg.multiply,
    "div.no_rounding_mode": mg.divide,
    "true_divide": mg.divide,
    "pow": mg.power,
    "maximum": mg.maximum,
    "max.binary": mg.maximum,
    "minimum": mg.minimum,
    "min.binary": mg.minimum,
    "logaddexp": mg.logaddexp,
    "eq": mg.equal,
    "ne": mg.not_equal,
    "lt": mg.less,
    "le": mg.less_equal,
    "gt": mg.greater,
    "ge": mg.greater_equal,
    "clamp_min": lambda a, b: mg.clip(a, b),
    "clamp_max": lambda a, b: mg.clip(a, None, b),
    "rsub": lambda a, b: b - a,
    "__radd__": lambda a, b: b + a,
    "__rdiv__": lambda a, b: b / a,
    "__rmul__": lambda a, b: b * a,
    "__rpow__": lambda a, b: b**a,
    "__rsub__": lambda a, b: b - a,
    "nn.functional.prelu": prelu,
}

REDUCTIONS = {
    "amax": reduction(mg.max),
    "amin": reduction(mg.min),
    "argmax": arg_reduction(mg.argmax),
    "argmin": arg_reduction(mg.argmin),
    "cumsum": along(mg.cumsum),
    "linalg.norm": vector_or_matrix_norm,
    "linalg.norm.subgradients_at_zero": vector_or_matrix_norm,
    "linalg.vector_norm": norm,
    "log_softmax": along(mg.log_softmax),
    "logsumexp": reduction(mg.logsumexp),
    "max.reduction_no_dim": reduction(mg.max),
    "max.reduction_with_dim": reduction(mg.max),
    "mean": reduction(mg.mean),
    "min.reduction_no_dim": reduction(mg.min),
    "min.reduction_with_dim": reduction(mg.min),
    "norm": norm_p,
    "norm.fro": norm_p,
    "norm.inf": norm_p,
    "prod": reduction(mg.prod),
    "softmax": along(mg.softmax),
    "std": spread(mg.std),
    "std.unbiased": spread_of_all(mg.std),
    "sum": reduction(mg.sum),
    "sum_to_size": lambda x, *shape: mg.OPS["sum_to"](x, shape=numbers(shape)),
    "var": spread(mg.var),
    "var.unbiased": spread_of_all(mg.var),
}

PRODUCTS = {
    "__rmatmul__": lambda a, b: b @ a,
    "addmm.decomposed": addmm,
    "bmm": mg.matmul,
    "dot": mg.dot,
    "einsum": lambda operands, subscripts: mg.einsum(subscripts, *operands),
    "matmul": mg.matmul,
    "mm": mg.matmul,
    "mv": mg.matmul,
    "nn.functional.linear": linear,
    "outer": mg.outer,
    "vdot": mg.dot,
}

SHAPES = {
    "T": lambda x: x.T,
    "broadcast_to": lambda x, shape: mg.broadcast_to(x, shape),
    "cat": cat,
    "chunk": chunk,
    "constant_pad_nd": lambda x, widths, value=0.0: pad(x, widths, value=value),
    "expand": lambda x, *shape: expand(x, numbers(shape)),
    "expand_as": lambda x, like: mg.broadcast_to(x, like.shape),
    "flatten": flatten,
    "flip": lambda x, dims: mg.flip(x, dims),
    "fliplr": lambda x: mg.flip(x, 1),
    "flipud": lambda x: mg.flip(x, 0),
    "mT": lambda x: mg.swapaxes(x, -1, -2),
    "movedim": mg.moveaxis,
    "nn.functional.pad.constant": pad,
    "permute": lambda x, dims: mg.transpose(x, dims),
    "ravel": lambda x: mg.reshape(x, x.size),
    "reshape": lambda x, *shape: mg.reshape(x, numbers(shape)),
    "reshape_as": lambda x, like: mg.reshape(x, like.shape),
    "split": split,
    "split.list_args": split,
    "split_with_sizes": split,
    "squeeze": squeeze,
    "squeeze.multiple": squeeze,
    "stack": lambda tensors, dim=0: mg.stack(tensors, dim),
    "t": lambda x: mg.transpose(x),
    "tensor_split": tensor_split,
    "transpose": lambda x, a, b: mg.swapaxes(x, some_axis(x, a), b),
    "unbind": lambda x, dim=0: list(mg.moveaxis(x, dim, 0)),
    "unsqueeze": mg.expand_dims,
    "view": lambda x, *shape: mg.reshape(x, numbers(shape)),
}

CHOICES = {
    "__getitem__": lambda x, index: x[index],
    "clamp": clamp,
    "gather": gather,
    "index_select": lambda x, dim, index: mg.take(x, index, some_axis(x, dim)),
    "narrow": narrow,
    "nn.functional.embedding": lambda weight, index: mg.take(weight, index, 0),
    "nn.functional.one_hot": one_hot,
    "select": part,
    "slice": lambda x, dim=0, start=None, end=None, step=1: part(x, dim, slice(start, end, step)),
    "take": lambda x, index: mg.take(x, index),
    "take_along_dim": take_along_dim,
    "where": lambda a, condition, b: mg.where(condition, a, b),
}

LOSSES = {
    "nn.functional.binary_cross_entropy_with_logits": loss(mg.binary_cross_entropy_with_logits),
    "nn.functional.cross_entropy": cross_entropy,
    "nn.functional.huber_loss": loss(mg.huber_loss),
    "nn.functional.l1_loss": loss(mg.l1_loss),
    "nn.functional.mse_loss": loss(mg.mse_loss),
    "nn.functional.nll_loss": nll_loss,
    "nn.functional.smooth_l1_loss": loss(mg.smooth_l1_loss),
}

ELEMENTWISE: dict[str, Callable[..., Any]] = UNARY | BINARY
TWINS = ELEMENTWISE | REDUCTIONS | PRODUCTS | SHAPES | CHOICES | LOSSES
