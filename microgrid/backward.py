"""Reverse mode: from a result back to what it was computed from.

One loop serves `backward`, `gradients` and gradients of gradients. It is iterative, so depth costs
no stack, and newest first, since creation order is a topological order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from .arrays import Array, as_array, exact, into, native
from .core import Op, Operand, Tensor, as_operand, wrap
from .errors import GraphError, ShapeError
from .record import OPS, Domain
from .recording import enable_grad, no_grad, sees_arrays, watchers, watching

_serial = attrgetter("serial")

Carry: TypeAlias = Callable[[list[Tensor], dict[Tensor, Any], Collection[Tensor], bool], None]

carrier: ContextVar[Carry | None] = ContextVar("carrier", default=None)
"""What carries gradients instead of `_propagate`, for a watcher that looks at each of them."""


def backward(result: Tensor, gradient: Operand | None = None, retain_graph: bool = False) -> None:
    """Add the gradient of `result` to `.grad` of every leaf that requires one.

    Nothing is added unless every rule succeeds.

    Args:
        gradient: of the shape of `result`, what multiplies its Jacobian; may be left out if
            `result` has one element, and is 1 then.
        retain_graph: keep the graph for another pass; otherwise its memory is released.

    Raises:
        GraphError: there is no graph, it was released, or a leaf was written to since.
        ShapeError: the gradient's shape is not that of `result`.

    >>> import microgrid as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.])
    """
    check_has_graph("backward", result)
    order = _ancestors("backward", result)
    grads: dict[Tensor, Any] = {result: _seed("backward", result, gradient)}
    _propagate(order, grads)
    # Collect, then commit: an error above leaves every .grad as it was.
    for leaf, g in grads.items():
        if watchers:
            grads[leaf] = _watched_sum(leaf, g)
        elif leaf.grad is not None:
            grads[leaf] = _sum(leaf.grad, g)
    for leaf, total in grads.items():
        leaf.grad = total
        if watchers:
            _tell(leaf)
    if not retain_graph:
        for node in order:
            if node.op is not None:
                node.inputs = None


def gradients(
    y: Tensor,
    xs: Tensor | Sequence[Tensor],
    gradient: Operand | None = None,
    *,
    create_graph: bool = False,
) -> Any:
    """Return the gradients of `y` with respect to `xs`, without touching `.grad`.

    Args:
        y: float[...].
        xs: Tensors that require a gradient, leaves or not; or one of them.
        gradient: of the shape of `y`; may be left out if `y` has one element.
        create_graph: record the computation, so that the gradients can be differentiated again.

    Returns:
        A list of Tensors with the shapes and dtypes of `xs`, zeros where `y` does not depend on
        one; a Tensor if `xs` is one. The graph is kept.

    Raises:
        GraphError: one of `xs` does not require a gradient, or the graph cannot be used.
        ShapeError: the gradient's shape is not that of `y`.

    >>> import microgrid as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> slope = mg.gradients(x**3, x, create_graph=True)
    >>> slope, mg.gradients(slope, x)
    (tensor(27., op=chain), tensor(18.))
    """
    if isinstance(xs, Tensor):
        return gradients(y, [xs], gradient, create_graph=create_graph)[0]
    xs = list(xs)
    for i, x in enumerate(xs):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"gradients: xs[{i}] is of type {type(x).__name__}; it needs a Tensor that y was "
                "computed from. Make it one with tensor(..., requires_grad=True) first."
            )
        if not x._requires_grad:
            raise GraphError(
                f"gradients: xs[{i}] of shape {x.shape} does not require a gradient. "
                "Set requires_grad=True on it before computing y."
            )
    grads: dict[Tensor, Any] = {}
    if y._requires_grad:
        grads[y] = _seed("gradients", y, gradient)
        keep = frozenset(xs)
        order = _ancestors("gradients", y)
        if create_graph:
            if isinstance(gradient, Tensor):  # the gradients can be differentiated towards it
                grads[y] = gradient if gradient.dtype == y.dtype else gradient.astype(y.dtype)
            else:
                grads[y] = wrap(grads[y])
            with enable_grad():
                _propagate(order, grads, keep, record=True)
        else:
            _propagate(order, grads, keep)
    return _in_memory_of_their_own(grads, xs)


def _in_memory_of_their_own(grads: dict[Tensor, Any], xs: Sequence[Tensor]) -> list[Tensor]:
    found: dict[Tensor, None] = {}
    for x in xs:
        g = grads.get(x)
        if not isinstance(g, Tensor):
            g = wrap(np.zeros_like(x._data) if g is None else g.copy())
        elif g.op is None or g._data.base is not None or g in found:
            # A rule may pass on its g or a view: the caller's own Tensor, or another gradient.
            with enable_grad():
                g = +g
        found[g] = None
    return list(found)


@np.errstate(all="ignore")
def _sum(grad: Array, g: Array) -> Array:
    if np.shape(grad) != g.shape:
        raise ShapeError(
            f"backward: .grad of a leaf has shape {np.shape(grad)} and its gradient {g.shape}; the "
            "shapes must be equal. Set .grad to None first, with zero_grad()."
        )
    return np.asarray(grad + g, g.dtype)


def _tell(leaf: Tensor) -> None:
    observer = watching.get()
    if observer is not None:
        observer.hands_out(leaf)


def _watched_sum(leaf: Tensor, g: Any) -> Array:
    """Return what `.grad` of the leaf is to be, of a gradient that may be a Tensor."""
    observer = watching.get()
    before = leaf.grad if observer is None else observer.accumulates(leaf)
    if isinstance(g, Tensor):
        return (g if before is None else OPS["add"](before, g))._data
    return g if before is None else _sum(before, g)


def check_has_graph(who: str, y: Tensor) -> None:
    """Raise a GraphError unless y was computed from a Tensor that requires a gradient."""
    if not y._requires_grad:
        raise GraphError(
            f"{who}: the Tensor has no graph: it was not computed from one with "
            "requires_grad=True, or under no_grad(), or by a compiled function. Set "
            "requires_grad=True on the leaves first; compile the function that calls backward."
        )


def _ancestors(who: str, result: Tensor) -> list[Tensor]:
    """Return the results that `result` was computed from, itself included, newest first."""
    seen = {result}
    stack = [result]
    while stack:
        node = stack.pop()
        if node.inputs is None:
            raise GraphError(
                f"{who}: this graph was already used and released. "
                "Call backward(retain_graph=True) the first time to use it twice."
            )
        for x in node.inputs:
            if x.serial > node.serial:
                raise GraphError(
                    f"{who}: an input of {node.op.name if node.op else 'it'} (shape {x.shape}) was "
                    "written to after the forward pass, so the value it was computed from is gone. "
                    "Run the forward pass again before going backward."
                )
            if x.op is not None and x not in seen:
                seen.add(x)
                stack.append(x)
    return sorted(seen, key=_serial, reverse=True)


def _seed(who: str, y: Tensor, gradient: Operand | None) -> Any:
    if gradient is None:
        if y.size != 1:
            raise GraphError(
                f"{who}: the result has shape {y.shape} and no gradient was given. "
                "Pass one of that shape, or reduce with sum() or mean()."
            )
        one = exact(1) if y.dtype.hasobject else 1
        return np.full(y.shape, one, y.dtype) if y.ndim else np.array(one, y.dtype)
    seed: Any
    if watchers and (isinstance(gradient, Tensor) or sees_arrays()):
        with no_grad():  # through an op, so that it is seen
            seed = as_operand(who, gradient).astype(y.dtype)
    else:
        seed = np.array(as_array(who, gradient), y.dtype)
    if seed.shape != y.shape:
        raise ShapeError(
            f"{who}: a gradient of shape {seed.shape} was given for a result of shape {y.shape}; "
            "the shapes must be equal. Broadcast it first."
        )
    return seed


# As a decorator errstate costs half of what it does in a with statement.
@np.errstate(all="ignore")
def _propagate(
    order: list[Tensor],
    grads: dict[Tensor, Any],
    keep: Collection[Tensor] = (),
    record: bool = False,
) -> None:
    """Carry the gradients in `grads` down to the leaves and to `keep`; drop the others on the way.

    With `record`, the rules run on Tensors and leave a graph; without, on arrays, which is faster.
    """
    if watchers:
        carry = carrier.get()
        if carry is not None:
            carry(order, grads, keep, record)
            return
    for node in order:
        op = node.op
        if op is None:
            continue
        g = grads.get(node) if keep and node in keep else grads.pop(node, None)
        if g is None:
            continue
        inputs: Any = node.inputs
        values, y = (inputs, node) if record else ([x._data for x in inputs], node._data)
        rules: Any = op.vjps
        joint = op.arity is None
        if joint:  # what the rule returns stands in for the rules
            wanted = [x._requires_grad for x in inputs]
            rules = rules.rule(wanted, g, y, *values, **node.params)
        for x, rule in zip(inputs, rules):  # noqa: B905  their numbers agree
            if not x._requires_grad or rule is None:
                continue
            gx = rule if joint else rule(g, y, *values, **node.params)
            if record:
                gx = gx if isinstance(gx, Tensor) else wrap(np.asarray(gx))
            elif type(gx) is not ndarray:
                gx = np.asarray(gx)
            data = x._data
            if gx.shape != data.shape:
                gx = _unbroadcast(op, gx, data.shape)
                if not record and type(gx) is not ndarray:  # one number, a Fraction perhaps
                    gx = np.asarray(gx)
            if gx.dtype is not data.dtype and gx.dtype != data.dtype:
                gx = gx.astype(data.dtype)
            known = grads.get(x)
            if known is not None:
                gx = known + gx
                if not record and type(gx) is not ndarray:
                    gx = np.asarray(gx, data.dtype)
            elif (
                x.op is None
                and not record
                and (gx.base is not None or gx is g or _is_saved(gx, node._data, values))
            ):
                gx = gx.copy()  # a leaf's gradient has memory of its own
            grads[x] = gx


def _unbroadcast(op: Op, gx: Any, shape: tuple[int, ...]) -> Any:
    try:
        return sum_to(gx, shape=shape)
    except ShapeError:
        raise ShapeError(
            f"backward: the rule of {op.name} gave a gradient of shape {gx.shape} for an input of "
            f"shape {shape}; it must have that shape, or one that this broadcasts to."
        ) from None


def _is_saved(gx: Array, y: Array, values: Sequence[Array]) -> bool:
    """Return whether a rule returned the result or an input, which the graph holds."""
    for value in values:
        if gx is value:
            return True
    return gx is y


def _sum_to(x: Array, out: Array | None = None, *, shape: tuple[int, ...]) -> Any:
    lead = x.ndim - len(shape)
    if lead >= 0:
        sizes = enumerate(shape, lead)
        stretched = tuple(place for place, size in sizes if size == 1 != x.shape[place])
        y = np.asarray(np.add.reduce(x, axis=(*range(lead), *stretched), keepdims=True))
        if y.shape[lead:] == shape:
            return into(out, y.reshape(shape))
    raise ShapeError(
        f"sum_to: shape {x.shape} does not come from broadcasting {shape}. The rule of an op must "
        "return a gradient of its input's shape, or of one that this broadcasts to."
    )


def _sum_to_by_elements(x: Array, shape: tuple[int, ...]) -> Array:
    y = np.zeros(shape, x.dtype)
    for place in np.ndindex(x.shape):
        kept = place[x.ndim - len(shape) :]
        y[tuple(0 if size == 1 else i for i, size in zip(kept, shape, strict=True))] += x[place]
    return y


def _stretched(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{"shape": shape}, {"shape": (3, *shape)}, {"shape": (2, 1, *shape)}]


def _shrunk(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{"shape": shape[i:]} for i in range(len(shape) + 1)] + [{"shape": (1,) * len(shape)}]


sum_to = Op(
    name="sum_to",
    doc="Sum over the dimensions along which an array of `shape` was broadcast: what undoes it.",
    kernel=_sum_to,
    vjps=(lambda g, y, x, shape: broadcast_to(g, shape=x.shape),),
    domains=(Domain(),),
    signature="(...)->(...)",
    params=_shrunk,
    reference=_sum_to_by_elements,
    formula="Σ x over the repeated axes",
    private=True,
)

broadcast_to: Op = Op(
    name="broadcast_to",
    doc="Repeat x along new and size-1 dimensions to fill `shape`.",
    kernel=lambda x, out=None, *, shape: into(out, np.broadcast_to(native(x), shape)),
    vjps=(lambda g, y, x, shape: sum_to(g, shape=x.shape),),
    domains=(Domain(),),
    signature="(...)->(...)",
    params=_stretched,
    reference=lambda x, shape: np.ones(shape, dtype=x.dtype) * x,
    formula="np.broadcast_to(x, shape)",
    view=True,
)

Tensor.backward = backward
