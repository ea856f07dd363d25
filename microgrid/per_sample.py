"""Gradients of each sample alone, from one pass over the batch.

The batch goes forward and back as in training. Only where an op reads a parameter would its rule
sum over the samples; there it is run on a stack, in which each sample is a batch of one.

Where the samples lie is found by running the function on the first sample too. The ops are the
same, and a result that is larger in the batch holds the samples along that axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

import numpy as np

from . import ops
from .arrays import Array
from .backward import _ancestors, gradients, sum_to
from .core import Operand, Tensor, as_operand, wrap
from .errors import GraphError, ShapeError
from .ops.arithmetic import quiet
from .record import EachInput
from .recording import enable_grad, no_grad, watcher, watchers
from .samples import Detached, common_length, is_alone, trained

Gradients: TypeAlias = Iterator[tuple[Tensor, Any]]

# Their rules take further leading axes, as matmul does.
STACKED = frozenset(("matmul", "affine"))


def per_sample_gradients(
    model: Any, loss: Callable[[Any, Any], Any], x: Operand, y: Operand
) -> dict[str, Tensor]:
    """Return the gradient of the loss of each sample: row i of each is that of sample i alone.

    Args:
        model: a Module that treats each sample alike and alone: no BatchNorm1d in training.
        loss: a function of (prediction, target) that returns float[batch, ...], as a loss with
            reduction="none". What it gives for one sample is summed.
        x: any[batch, ...], the inputs.
        y: any[batch, ...], the targets.

    Returns:
        name -> float[batch, *shape] for each parameter that requires a gradient, without a graph.
        Nothing in the model changes, `grad` neither; but random numbers are drawn, as for Dropout
        in training.

    Raises:
        GraphError: samples mix, or the model does something else for one sample than for a batch.
        ShapeError: the batch sizes differ, or the loss is not one for each sample.

    It takes a few times as long as the gradient of the batch: two of the passes back show that no
    loss depends on another sample. Memory grows with samples times parameters.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.nn.Dense(2, 1, rng=0)
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.zeros((3, 1))
    >>> def loss(prediction, target):
    ...     return mg.mse_loss(prediction, target, reduction="none")
    >>> found = mg.per_sample_gradients(model, loss, x, y)
    >>> {name: g.shape for name, g in found.items()}
    {'weight': (3, 2, 1), 'bias': (3, 1)}
    """
    who = "per_sample_gradients"
    named = trained(who, model)
    batch = PerSample(who, lambda x, y: loss(model(x), y), named.values(), (x, y), apart=True)
    return _named(named, batch.carry(np.ones(batch.result.shape, batch.result.dtype)))


def per_sample_jacobian(model: Any, x: Operand) -> dict[str, Tensor]:
    """Return how each output of each sample changes with each parameter.

    Args:
        model: a Module that treats each sample alike and alone: no BatchNorm1d in training.
        x: any[batch, ...], the inputs.

    Returns:
        name -> float[batch, *outputs, *shape] for each parameter that requires a gradient, where
        float[batch, *outputs] is what the model returns. They have no graph.

    Raises:
        GraphError: samples mix, or the model does something else for one sample than for a batch.
        ShapeError: the model does not return a row for each sample.

    It takes one pass back for each output of a sample.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> found = mg.per_sample_jacobian(mg.nn.Dense(2, 3, rng=0), np.ones((5, 2)))
    >>> {name: j.shape for name, j in found.items()}
    {'weight': (5, 3, 2, 3), 'bias': (5, 3, 3)}
    """
    who = "per_sample_jacobian"
    named = trained(who, model)
    batch = PerSample(who, model, named.values(), (x,), apart=True)
    return _named(named, batch.jacobian())


def _named(names: Iterable[str], found: Iterable[Any]) -> dict[str, Tensor]:
    pairs = zip(names, found, strict=True)
    return {name: x if isinstance(x, Tensor) else wrap(x) for name, x in pairs}


class PerSample:
    """A function of a batch at a point, and its derivatives sample by sample.

    Args:
        who: what errors begin with.
        f: a function of the arrays in `batch` that returns float[batch, ...].
        parameters: leaves that f uses and that require a gradient.
        batch: arrays with a row for each sample.
        apart: whether to make sure that a row of the result depends on its own sample only.

    Attributes:
        result: what f returned.
        size: how many samples there are.
        loops: how many rules had to be run for one sample after another.

    Raises:
        GraphError: f does something else for one sample, or samples mix.
        ShapeError: the lengths differ, or the result has not a row for each sample.
    """

    def __init__(
        self,
        who: str,
        f: Callable[..., Any],
        parameters: Iterable[Tensor],
        batch: Sequence[Operand],
        apart: bool = False,
    ) -> None:
        self.who = who
        self.parameters, self.loops = list(parameters), 0
        rows = [as_operand(who, given) for given in batch]
        self.size = common_length(who, rows)
        with enable_grad():
            # One sample first: what refuses it, as batch normalisation, has changed nothing yet.
            alone = f(*(x[:1] for x in rows)) if self.size > 1 else None
            # Where somebody else watches, values are not there to be compared.
            unseen = Detached(self.parameters) if apart and watcher() is None else None
            with unseen or nullcontext():
                self.result = f(*rows)
        self._check_result(alone)
        self._axes: dict[Tensor, int | None] = {}
        self._order: list[Tensor] = []
        self._needed: set[Tensor] = set(self.parameters)
        if alone is not None and self.result.requires_grad:
            self._pair(alone, unseen)
        if apart:
            self._check_apart()

    # --- what there is ---------------------------------------------------------------------------

    def _check_result(self, alone: Any) -> None:
        if not isinstance(self.result, Tensor):
            raise GraphError(
                f"{self.who}: the function returned a {type(self.result).__name__}; it needs a "
                "Tensor. Compute it from the parameters by microgrid's ops."
            )
        shape = self.result.shape
        if shape[:1] != (self.size,) or (alone is not None and alone.shape != (1, *shape[1:])):
            one = "" if alone is None else f" and of shape {alone.shape} for one"
            raise ShapeError(
                f"{self.who}: the result has shape {shape} for {self.size} samples{one}; it needs "
                'a row for each sample. Use reduction="none", and pass all arrays that have a row '
                "for each sample."
            )

    def _pair(self, alone: Tensor, unseen: Detached | None) -> None:
        """Find out along which axis of each Tensor the samples lie, if at all."""
        order, ones = _ancestors(self.who, self.result), _ancestors(self.who, alone)
        if [node.op for node in order] != [node.op for node in ones]:
            raise self._other_for_one()
        twins = dict(zip(order, ones, strict=True))
        for node, one in twins.items():
            self._axes[node] = self._axis(node, one)
            for x, x1 in zip(_inputs(node), _inputs(one), strict=True):
                if x.op is None:
                    self._axes[x] = self._axis(x, x1)
                    if unseen and unseen.has(x) and not is_alone(x, x1, self._axes[x]):
                        raise self._mixing_unseen(node)
                elif twins[x] is not x1:
                    raise self._other_for_one()
        for node in reversed(order):
            if not self._needed.isdisjoint(_inputs(node)):
                self._needed.add(node)
        self._order = [node for node in order if node in self._needed]
        for node in self._order:
            if self._axes[node] is None and any(self._axes[x] is not None for x in _inputs(node)):
                raise self._mixing(node)

    def _axis(self, x: Tensor, one: Tensor) -> int | None:
        if x.shape == one.shape:
            return None
        if x.ndim == one.ndim:
            places = [k for k in range(x.ndim) if x.shape[k] != one.shape[k]]
            if len(places) == 1 and x.shape[places[0]] == self.size * one.shape[places[0]]:
                return places[0]
        raise self._other_for_one()

    def _other_for_one(self) -> GraphError:
        return GraphError(
            f"{self.who}: the function does something else for one sample than for {self.size}; "
            "it needs to do the same. Leave out what depends on the batch size."
        )

    def _mixing(self, node: Tensor) -> GraphError:
        name = node.op.name if node.op is not None else "it"
        return GraphError(
            f"{self.who}: samples mix in {name}, whose result of shape {node.shape} depends on "
            "several of them; each needs to be alone, along one axis. Call eval() if it is batch "
            "normalisation, or take mg.jacobian."
        )

    def _mixing_unseen(self, node: Tensor) -> GraphError:
        name = node.op.name if node.op is not None else "it"
        return GraphError(
            f"{self.who}: samples mix in what is detached before {name}, whose result has shape "
            f"{node.shape}; each needs to be alone. Detach what depends on one sample, or take "
            "mg.jacobian."
        )

    def _check_apart(self) -> None:
        """Raise if a gradient shows that a row of the result depends on another sample."""
        if not self._order:
            return
        rng = np.random.default_rng(0)
        half = np.zeros(self.size, bool)
        half[rng.permutation(self.size)[: (self.size + 1) // 2]] = True
        for mine in (half, ~half):
            seed = rng.normal(size=self.result.shape)
            seed[~mine] = 0
            self._check_others(seed.astype(self.result.dtype), ~mine)

    @quiet
    def _check_others(self, seed: Array, others: Array) -> None:
        """Raise if a gradient of the seeded rows reaches the others."""
        grads = {self.result: seed}
        for node in self._order:
            g = grads.pop(node, None)
            if g is None:
                continue
            values = [x._data for x in _inputs(node)]
            for x, gx in self._along(node, g, node._data, values):
                foreign = self._lifted(x, gx)[others]
                if ((foreign != 0) & (foreign == foreign)).any():  # a nan tells nothing
                    raise self._mixing(node)
                grads[x] = grads[x] + gx if x in grads else gx

    # --- going back ------------------------------------------------------------------------------

    def jacobian(self) -> list[Any]:
        """Return float[batch, *outputs, *shape] for each parameter, where float[*outputs] is a row.

        One pass back for each output.
        """
        outputs = self.result.shape[1:]
        found: list[list[Any]] = [[] for _ in self.parameters]
        for place in np.ndindex(outputs):
            seed = np.zeros(self.result.shape, self.result.dtype)
            seed[(slice(None), *place)] = 1
            for parts, part in zip(found, self.carry(seed), strict=True):
                parts.append(part)
        shapes = [(self.size, *outputs, *p.shape) for p in self.parameters]
        if 0 in outputs:
            return [np.zeros(s, p.dtype) for s, p in zip(shapes, self.parameters, strict=True)]
        joined = (parts[0] if len(parts) == 1 else ops.stack(parts, 1) for parts in found)
        return [ops.reshape(j, shape) for j, shape in zip(joined, shapes, strict=True)]

    @quiet
    def carry(self, seed: Array) -> list[Any]:
        """Return float[batch, *shape] for each parameter: the gradients of sum(seed * row).

        They are Tensors where somebody watches the ops, as in a compiled step, else arrays.
        """
        seed.flags.writeable = False  # a tracer takes it for what it is in each call
        with no_grad():
            if self.size < 2 and self.result.requires_grad:
                whole = gradients(self.result, self.parameters, seed)
                whole = whole if watchers else [g._data for g in whole]
                return [ops.broadcast_to(g, (self.size, *g.shape)) for g in whole]
            grads: dict[Tensor, Any] = {self.result: wrap(seed) if watchers else seed}
            for node in self._order:
                g = grads.pop(node, None)
                if g is None:
                    continue
                y, values = self._values(node)
                for x, gx in self._all(node, g, y, values):
                    grads[x] = grads[x] + gx if x in grads else gx
        return [
            grads[p] if p in grads else np.zeros((self.size, *p.shape), p.dtype)
            for p in self.parameters
        ]

    def _values(self, node: Tensor) -> tuple[Any, list[Any]]:
        """Return the result and the inputs as rules shall have them."""
        inputs = _inputs(node)
        return (node, list(inputs)) if watchers else (node._data, [x._data for x in inputs])

    def _all(self, node: Tensor, g: Any, y: Any, values: list[Any]) -> Gradients:
        """Yield the gradients of the inputs: rows for what holds samples, stacks for all else."""
        if self._axes[node] is not None:
            yield from self._along(node, g, y, values)
        op: Any = node.op
        for x, rule in zip(_inputs(node), op.rules(len(values)), strict=True):
            if rule is None or x not in self._needed or self._axes[x] is not None:
                continue
            stack = self._stacked(rule, node, g, y, values, x) if self._stacks(node) else None
            if stack is None:
                self.loops += 1
                alone = (self._alone(node, g, k) for k in range(self.size))
                stack = ops.stack(
                    [_fitted(rule(part, y, *values, **node.params), x) for part in alone]
                )
            yield x, stack

    def _stacked(
        self, rule: Any, node: Tensor, g: Any, y: Any, values: list[Any], x: Tensor
    ) -> Any:
        """Return the stack of gradients of x by one call of the rule; None if it gives none."""
        lifted = [self._lifted(t, v) for t, v in zip(_inputs(node), values, strict=True)]
        op: Any = node.op
        g, first = self._lifted(node, g), _inputs(node)[0]
        is_weight = op.name in STACKED and x.ndim == 2 and x is _inputs(node)[1]
        outer = is_weight and self._axes[first] is not None and lifted[0].shape[1:-1] == (1,)
        if outer:  # a column times a row, which takes matmul twice as long
            return _in_dtype(ops.reshape(lifted[0], (self.size, len(x), 1)) * g, x)
        raw = rule(g, self._lifted(node, y), *lifted, **node.params)
        ahead = raw.ndim - 1 - x.ndim
        if ahead < 0 or raw.shape[0] != self.size:
            return None
        whole = (self.size, *(1,) * ahead, *x.shape)
        summed = raw if raw.shape == whole else sum_to(raw, shape=whole)
        return _in_dtype(ops.reshape(summed, (self.size, *x.shape)) if ahead else summed, x)

    def _along(self, node: Tensor, g: Any, y: Any, values: list[Any]) -> Gradients:
        """Yield the gradients of the inputs that hold samples, as a pass over the batch does."""
        inputs = _inputs(node)
        wanted = [x in self._needed and self._axes[x] is not None for x in inputs]
        op: Any = node.op
        vjps = op.vjps
        joint = isinstance(vjps, EachInput)
        if not any(wanted):
            return
        if joint:
            vjps = vjps.rule(wanted, g, y, *values, **node.params)
        for x, rule, asked in zip(inputs, vjps, wanted, strict=True):
            if asked and rule is not None:
                yield x, _fitted(rule if joint else rule(g, y, *values, **node.params), x)

    # --- stacks of samples -----------------------------------------------------------------------

    def _lifted(self, x: Tensor, value: Any) -> Any:
        """Return what stands at x with the samples as a new first axis; a constant as it is."""
        axis = self._axes[x]
        if axis is None:
            return value
        shape = x.shape
        split = (*shape[:axis], self.size, shape[axis] // self.size, *shape[axis + 1 :])
        lifted = ops.reshape(value, split)
        return ops.moveaxis(lifted, axis, 0) if axis else lifted

    def _stacks(self, node: Tensor) -> bool:
        """Return whether the op's rules treat a further first axis as a stack."""
        op: Any = node.op
        if not set(op.signature) - set("(),->"):
            return True
        own = self._axes[node] is not None
        return op.name in STACKED and (own or all(x.ndim > 1 for x in _inputs(node)))

    def _alone(self, node: Tensor, g: Any, sample: int) -> Any:
        """Return the gradient of one sample: g with zeros elsewhere, or its part of a stack."""
        axis = self._axes[node]
        if axis is None:
            return g[sample]
        length = node.shape[axis]
        mine = np.arange(length) // (length // self.size) == sample
        mask = mine.reshape((length,) + (1,) * (node.ndim - axis - 1))
        mask.flags.writeable = False
        return ops.where(mask, g, 0)


def _inputs(node: Tensor) -> tuple[Tensor, ...]:
    return node.inputs or ()


def _fitted(gx: Any, x: Tensor) -> Any:
    """Return what a rule gave in the shape and dtype of the input."""
    return _in_dtype(gx if gx.shape == x.shape else sum_to(gx, shape=x.shape), x)


def _in_dtype(gx: Any, x: Tensor) -> Any:
    return gx if gx.dtype == x.dtype else ops.astype(gx, x.dtype)
