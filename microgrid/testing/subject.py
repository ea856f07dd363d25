"""A function under check: called at a point, near it, and there with its choices held fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..arrays import Array
from ..backward import gradients
from ..core import Op, Tensor, next_serial
from ..record import BUILTIN
from ..recording import Watcher, enable_grad
from ..replay import Recorder, Replay

PERTURBATION = 2.0**-30  # far above rounding, and its square far below


class Calls(Recorder):
    """Notes the choices, all calls of ops with their arrays, and the coarsest dtype of a result."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Op, list[Array], dict[str, Any]]] = []
        self.coarsest: np.dtype[Any] = np.dtype(np.float64)

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the op's value, having noted the call."""
        self.calls.append((op, list(arrays), params))
        data = super().run(op, inputs, arrays, params)
        self.coarsest = coarser(self.coarsest, data.dtype)
        return data


class Continued(Recorder):
    """Replays the choices of a recording, and records those that come after: the rules'.

    Attributes:
        coarsest: the coarsest dtype to which a call rounds numbers in double precision.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._replay = Replay(recorder)
        self._left = len(recorder.choices)
        self.choices = list(recorder.choices)
        self.coarsest: np.dtype[Any] = np.dtype(np.float64)

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the op's value by the choice that was recorded, or by a new one."""
        if is_cast(op, arrays, params):
            data = arrays[0]
        elif op.selection is None or not self._left:
            data = super().run(op, inputs, arrays, params)
        else:
            self._left -= 1
            data = self._replay.run(op, inputs, arrays, params)
        # Parameters that the function brings along may be coarser: they are constants.
        if any(a.dtype == np.float64 for a in arrays):
            self.coarsest = coarser(self.coarsest, data.dtype)
        return data


class Frozen(Replay):
    """A replay in double precision throughout: what the function casts to less is not rounded."""

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the op's value, unrounded."""
        if is_cast(op, arrays, params):
            return arrays[0]
        return super().run(op, inputs, arrays, params)


class Perturbed(Frozen):
    """A replay in which every operand of every call is off by a tiny share, at random.

    So is what a kernel rounds inside, if its op tells how large that is.

    How far the results are off tells how rounding errors grow on the way, for any op: to the share
    as to the unit roundoff. Source: Parker (1997), Monte Carlo arithmetic.
    """

    def __init__(self, recorder: Recorder, rng: np.random.Generator) -> None:
        super().__init__(recorder)
        self._rng = rng

    def run(
        self, op: Op, inputs: tuple[Tensor, ...], arrays: list[Array], params: dict[str, Any]
    ) -> Array:
        """Return the op's value on operands that are slightly off."""
        y = super().run(op, inputs, [self._off(a) for a in arrays], params)
        if op.inner is None or y.dtype.kind != "f":
            return y
        share = self._rng.choice([-PERTURBATION, PERTURBATION], y.shape)
        return np.asarray(y + share * op.inner(*arrays, **params), y.dtype)

    def _off(self, array: Array) -> Array:
        if array.dtype.kind != "f" or (array.ndim == 0 and float(array).is_integer()):
            return array  # a number such as the 2 of x**2 is exact
        share = self._rng.choice([-PERTURBATION, PERTURBATION], array.shape)
        return np.asarray(array * (1 + share), array.dtype)


class Subject:
    """A function of Tensors and the point at which its gradient is checked.

    Points and gradients are flat arrays over all inputs that are checked, results over all results.

    Attributes:
        leaves: the inputs that are checked.
        start: the point, in float64, or as it is if it holds objects.
        native: the coarsest dtype of the leaves.
    """

    def __init__(self, func: Callable[..., Any], inputs: Sequence[Any]) -> None:
        self.func = func
        # The caller's own leaves, since the function may use them without taking them as arguments.
        self.inputs = [
            Tensor(x.data, requires_grad=True) if isinstance(x, Tensor) and x.op is not None else x
            for x in inputs
        ]
        places: dict[Tensor, int] = {}
        for i, x in enumerate(self.inputs):
            if isinstance(x, Tensor) and x.requires_grad:
                places.setdefault(x, i)  # one given twice moves as one
        self.leaves, self.positions = list(places), list(places.values())
        self.native = min((x.dtype for x in self.leaves), key=_precision)
        self.exact = self.native.kind == "O"
        self.start = self._flat([x._data for x in self.leaves])
        self.shapes: list[tuple[int, ...]] = []

    def _flat(self, arrays: Sequence[Array]) -> Array:
        wide = object if self.exact else np.float64
        return np.concatenate([np.asarray(a, wide).reshape(-1) for a in arrays])

    def split(self, flat: Array) -> list[Array]:
        """Return a flat point as arrays of the leaves' shapes."""
        ends = np.cumsum([x.size for x in self.leaves])[:-1]
        parts = np.split(flat, ends)
        return [p.reshape(x.shape) for p, x in zip(parts, self.leaves, strict=True)]

    def call(self) -> list[Tensor]:
        """Call the function where its inputs are; return its results, those that are floats."""
        with enable_grad(), np.errstate(all="ignore"):
            results = self.func(*self.inputs)
        found = _flattened(results)
        if not found:
            raise TypeError(
                f"gradcheck: the function returned a {type(results).__name__}; it needs a Tensor "
                "or a sequence of them. To check a function of arrays pass its gradient=."
            )
        dtypes = ", ".join(str(y.dtype) for y in found)
        found = [y for y in found if y.dtype.kind in "fO"]
        if not found:
            raise TypeError(
                f"gradcheck: the function returned only {dtypes}, which has no slopes; it needs a "
                "result of floats or Fractions. Return what the gradient is of."
            )
        self.shapes = [y.shape for y in found]
        return found

    @contextmanager
    def moved_to(self, point: Array) -> Iterator[None]:
        """Put the leaves elsewhere, in float64, and back."""
        before = [(x, x._data, x.serial) for x in self.leaves]
        try:
            for x, data in zip(self.leaves, self.split(point), strict=True):
                x._data, x.serial = np.ascontiguousarray(data).reshape(x.shape), next_serial()
            yield
        finally:
            for x, data, serial in before:
                x._data, x.serial = data, serial

    def values(self, results: Sequence[Tensor]) -> Array:
        """Return the results' elements."""
        return self._flat([y._data for y in results]) if results else np.zeros(0)

    def value_at(self, point: Array, watcher: Watcher) -> Array:
        """Return the results' elements at another point, as the watcher has them."""
        with self.moved_to(point), watcher:
            return self.values(self.call())

    def gradient(
        self, results: Sequence[Tensor], upstream: Array, create_graph: bool = False
    ) -> Array:
        """Return the gradient of the results weighted by `upstream`."""
        total = np.zeros_like(self.start)
        ends = np.cumsum([y.size for y in results])[:-1]
        for y, weights in zip(results, np.split(upstream, ends), strict=True):
            if np.not_equal(weights, 0).any():
                seed = weights.reshape(y.shape)
                found = gradients(y, self.leaves, seed, create_graph=create_graph)
                total = total + self._flat([g._data for g in found])
        return total

    def name(self, position: int) -> str:
        """Return the name of an element of the flat point: which input, and where in it."""
        for i, x in zip(self.positions, self.leaves, strict=True):
            if position < x.size:
                return f"input {i}{_place(position, x.shape)}"
            position -= x.size
        return "no input"

    def result_name(self, position: int) -> str:
        """Return the name of an element of the flat results."""
        for k, shape in enumerate(self.shapes):
            size = int(np.prod(shape))
            if position < size:
                return (f"result {k}" if len(self.shapes) > 1 else "the result") + _place(
                    position, shape
                )
            position -= size
        return "no result"


def is_cast(op: Op, arrays: Sequence[Array], params: dict[str, Any]) -> bool:
    """Return whether a call of an op only casts floats to floats."""
    if op.name != "astype":
        return False
    return arrays[0].dtype.kind == "f" and np.dtype(params["dtype"]).kind == "f"


def coarser(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """Return the one of two dtypes with the larger rounding errors; only floats have any."""
    return b if b.kind == "f" and unit_roundoff(b) > unit_roundoff(a) else a


def unit_roundoff(dtype: np.dtype[Any]) -> float:
    """Return the largest relative error of rounding to this dtype; of objects, 0."""
    return float(np.finfo(dtype).eps) / 2 if dtype.kind == "f" else 0.0


def smallest(dtype: np.dtype[Any]) -> float:
    """Return the smallest positive number of this dtype; of objects, 0."""
    return float(np.finfo(dtype).smallest_subnormal) if dtype.kind == "f" else 0.0


def smallest_normal(dtype: np.dtype[Any]) -> float:
    """Return the smallest number that this dtype holds with all its digits; of objects, 0."""
    return float(np.finfo(dtype).tiny) if dtype.kind == "f" else 0.0


def _precision(dtype: np.dtype[Any]) -> float:
    return -1.0 if dtype.kind == "O" else 1 / float(np.finfo(dtype).eps)


def _place(position: int, shape: tuple[int, ...]) -> str:
    place = ", ".join(str(i) for i in np.unravel_index(position, shape)) if shape else ""
    return f"[{place}]" if place else ""


def _flattened(results: Any) -> list[Tensor]:
    if isinstance(results, Tensor):
        return [results]
    if isinstance(results, dict):
        results = list(results.values())
    if isinstance(results, (list, tuple)):
        return [y for part in results for y in _flattened(part)]
    return []


def recorded(subject: Subject) -> tuple[Calls, list[Tensor]]:
    """Return all calls and choices of the function at its point, and its results."""
    calls = Calls()
    with calls:
        results = subject.call()
    return calls, results


def only(v: Array, inputs: Array) -> Array:
    """Return the direction along some of the inputs alone."""
    part = 0 * v
    part[inputs] = v[inputs]
    return part


def may_bend_unseen(op: Op) -> bool:
    """Return whether an op is a user's own and tells of no pieces, though it may have kinks."""
    return op.selection is None and op.name not in BUILTIN
