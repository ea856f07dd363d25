"""A function at a point: its result there, and its derivative as a linear map, both ways.

Backward the map is given by the rules. Forward it follows from them: the way back, v -> v J, is
linear in v and made of ops, so that its own gradient towards v, along t, is J t.

Source: Townsend (2017), A new trick for calculating Jacobian vector products.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from .arrays import Array, as_array, exact
from .backward import _in_memory_of_their_own, _propagate
from .core import Tensor, as_operand, next_serial, wrap
from .errors import DtypeError, GraphError
from .nested import Leaf, Structure, changed
from .ops import astype, copy
from .recording import enable_grad, is_grad_enabled, no_grad, sees_arrays

_serial = operator.attrgetter("serial")


class Way:
    """The nodes that lie between variables and what was computed from them.

    Nodes that do not depend on a variable are left out, and so are all that are older than `since`.

    Attributes:
        joined: whether something else took part that requires a gradient.

    Raises:
        GraphError: a node was released, or an input was written to since.
    """

    def __init__(
        self, who: str, results: Sequence[Tensor], variables: Sequence[Tensor], since: int
    ) -> None:
        self.results, self.variables = results, variables
        self.joined = False
        reached = set(variables)
        found: set[Tensor] = set()
        stack = [y for y in results if self._leads_on(y, reached, since)]
        while stack:
            node = stack.pop()
            if node in found:
                continue
            found.add(node)
            _check_usable(who, node)
            inputs: Any = node.inputs
            stack += [x for x in inputs if self._leads_on(x, reached, since)]
        self._order: list[Tensor] = []
        for node in sorted(found, key=_serial):  # creation order is a topological order
            inputs = node.inputs
            if not reached.isdisjoint(inputs):
                reached.add(node)
                self._order.append(node)
        self._order.reverse()

    def _leads_on(self, node: Tensor, variables: set[Tensor], since: int) -> bool:
        if not node._requires_grad or node in variables:
            return False
        own = node.op is not None and node.serial > since
        self.joined = self.joined or not own
        return own

    @np.errstate(all="ignore")
    def carry(self, seeds: Sequence[Tensor | None], record: bool) -> list[Tensor]:
        """Return the gradients of sum(seeds * results) by the variables.

        Args:
            seeds: one for each result, of its shape and dtype; None is as good as zeros.
            record: whether the gradients get a graph.
        """
        grads: dict[Tensor, Any] = {}
        with enable_grad() if record else nullcontext():
            for y, seed in zip(self.results, seeds, strict=True):
                if seed is None:
                    continue
                g = seed if record else seed._data
                if y in grads:  # a result that was returned twice
                    g = grads[y] + g if record else np.asarray(grads[y] + g)
                grads[y] = g
            _propagate(self._order, grads, record=record)
            return _in_memory_of_their_own(grads, self.variables)


class Linearised:
    """What a function gave, and how that changes with some of its arguments.

    Attributes:
        result: what the function returned, of this `structure`; `results` are its Tensors.
        more: what it returned besides, if it was to return a pair.
        arguments: those by which it is differentiated, as structures.
        variables: the Tensors by which it can be differentiated. `prepare` is called when they are
            known, before f is.
        way: from the results back to them.
        joined: whether something that requires a gradient took part. Then what is computed here
            gets a graph that leads there.
    """

    def __init__(
        self,
        who: str,
        f: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        argnums: int | Sequence[int],
        has_aux: bool = False,
        prepare: Callable[[Linearised], None] | None = None,
    ) -> None:
        places = _places(who, argnums, len(args))
        self.who, self._one = who, _is_one(argnums)
        self.arguments = [Structure(args[i]) for i in places]
        named = zip(self.arguments, places, strict=True)
        self._leaves = [leaf for given, i in named for leaf in given.leaves(f"argument {i}")]
        recording = is_grad_enabled()
        with enable_grad():
            self.variables = _variables(who, self._leaves, recording)
            values = iter(self.variables)
            inner = list(args)
            for i, given in zip(places, self.arguments, strict=True):
                inner[i] = given.filled(values, keep_modules=True)
            # What is older was not computed by f and is a constant to it, even if parameters of a
            # Module took part, by which f is differentiated as they are.
            self._start = next_serial()
            if prepare is not None:
                prepare(self)
            self.result = f(*inner, **kwargs)
        self.more = None
        if has_aux:
            self.result, self.more = _pair(who, self.result)
        self.structure = Structure(self.result)
        self.results = _tensors(who, self.structure)
        self.way = self.way_from(self.results)
        values = (leaf.value for leaf in self._leaves)
        outside = any(isinstance(x, Tensor) and x.requires_grad for x in values)
        self.joined = recording and (outside or self.way.joined)

    def way_from(self, results: Sequence[Tensor]) -> Way:
        """Return the way to the variables from what was computed of them, if it is still open."""
        return Way(self.who, results, self.variables, self._start)

    def pull(self, seeds: Sequence[Tensor]) -> list[Tensor]:
        """Return the gradients of sum(seeds * results) by the variables, now or much later."""
        return self.way_from(self.results).carry(seeds, self.records(seeds))

    def forward(self) -> Way:
        """Return the way from the variables to the results: what it carries from t is J t."""
        seeds = [wrap(filled_like(y, 0)) for y in self.results]
        for y, seed in zip(self.results, seeds, strict=True):
            seed.requires_grad = y.dtype.kind in "fO"
        start = next_serial()
        return Way(self.who, self.way.carry(seeds, record=True), seeds, start)

    def records(self, seeds: Sequence[Tensor]) -> bool:
        """Return whether what is computed from the seeds gets a graph."""
        return is_grad_enabled() and (self.joined or any(v.requires_grad for v in seeds))

    def single(self, who: str) -> Tensor:
        """Return the result if it is one number.

        Raises:
            GraphError: it is none.
        """
        y = self.result
        if not isinstance(y, Tensor):
            raise GraphError(
                f"{who}: the function returned a {type(y).__name__}; it needs a Tensor of one "
                "element. For several results use jacobian() or vjp()."
            )
        if y.size != 1:
            raise GraphError(
                f"{who}: the function returned a Tensor of shape {y.shape}; it needs one element. "
                "Reduce it with sum() or mean(), or use jacobian()."
            )
        return y

    # --- as they were given ----------------------------------------------------------------------

    def value(self) -> Any:
        """Return the result, with its graph if it is joined to one outside."""
        return self.result if self.joined else changed(self.result, _detached)

    def aux(self) -> Any:
        """Return what the function returned besides, likewise."""
        return self.more if self.joined else changed(self.more, _detached)

    def like_arguments(self, values: Sequence[Tensor]) -> Any:
        """Return values for the variables in the structure of the arguments.

        They are Tensors for Tensors and where they have a graph, else arrays.
        """
        pairs = zip(values, self._leaves, strict=True)
        found = (x if isinstance(leaf.value, Tensor) else unwrapped(x) for x, leaf in pairs)
        mirrored = [given.filled(found) for given in self.arguments]
        return mirrored[0] if self._one else tuple(mirrored)

    def like_result(self, values: Sequence[Any]) -> Any:
        """Return values for the results in the structure of the result."""
        return self.structure.filled(iter(values))


def filled_like(x: Tensor, number: int) -> Array:
    """Return an array of x's shape and dtype; among objects the number is a Fraction."""
    return np.full(x.shape, exact(number) if x.dtype.hasobject else number, x.dtype)


def unwrapped(x: Tensor) -> Any:
    """Return x as an array, or as a scalar if it has no dimensions, unless it has a graph."""
    return x if x.requires_grad else x.data[()]


def seed_for(who: str, given: Any, like: Tensor) -> Tensor:
    """Return what was given as a Tensor of the dtype of `like`, with its graph."""
    if isinstance(given, Tensor):
        return given if given.dtype == like.dtype else given.astype(like.dtype)
    return wrap(np.array(as_array(who, given), like.dtype))


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def _places(who: str, argnums: Any, count: int) -> list[int]:
    try:
        given = [operator.index(i) for i in ([argnums] if _is_one(argnums) else list(argnums))]
    except TypeError:
        raise TypeError(
            f"{who}: argnums={argnums!r} was given; it needs the place of an argument, or several "
            "in a tuple."
        ) from None
    if not all(-count <= i < count for i in given):
        raise IndexError(
            f"{who}: argnums={argnums} was given and {count} arguments by place; it needs places "
            "that are there, counted from 0. Pass by place what to differentiate by."
        )
    places = [i % count for i in given]
    if len(set(places)) < len(places):
        raise ValueError(
            f"{who}: argnums={argnums} names a place twice; it needs each once. Leave one out."
        )
    return places


def _is_one(argnums: Any) -> bool:
    """Return whether one place was given, not several."""
    return hasattr(argnums, "__index__")


def _variables(who: str, found: Sequence[Leaf], recording: bool) -> list[Tensor]:
    """Return what f is differentiated by, one for each leaf."""
    parameters: dict[Tensor, str] = {}
    for leaf in found:
        if leaf.in_module:
            if leaf.value in parameters:
                raise ValueError(
                    f"{who}: {leaf.name} is the same parameter as {parameters[leaf.value]}; a "
                    "gradient towards each alone is not known. Put both into one Module, where a "
                    "shared parameter counts once."
                )
            parameters[leaf.value] = leaf.name
    return [_variable(who, leaf, recording) for leaf in found]


def _variable(who: str, leaf: Leaf, recording: bool) -> Tensor:
    """Return a parameter of a Module as it is, else a node of its own, joined to x's graph."""
    name, x, in_module = leaf
    if in_module:
        return x  # type: ignore[no-any-return]
    if sees_arrays() and not (isinstance(x, Tensor) and x.requires_grad):
        return _traced_variable(as_operand(who, x))
    if not isinstance(x, Tensor):
        array = as_array(who, x)
        return Tensor(array if array.dtype.kind in "fO" else array.astype(np.float64), None, True)
    if x.dtype.kind not in "fO":
        raise DtypeError(
            f"{who}: {name} is a Tensor of dtype {x.dtype}; a gradient needs a dtype that varies "
            "continuously. Use float data, as in tensor(data, dtype=float)."
        )
    return copy(x) if x.requires_grad and recording else Tensor(x, None, True)


def _traced_variable(x: Tensor) -> Tensor:
    """Return a leaf with the values of x, by an op that a tracer sees."""
    with no_grad():
        leaf = copy(x) if x.dtype.kind in "fO" else astype(x, np.float64)
    leaf.__class__ = Tensor  # not an array any more, if it was one
    leaf.requires_grad = True
    return leaf


def _pair(who: str, returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(
            f"{who}: has_aux=True was given and the function returned a "
            f"{type(returned).__name__}; it needs a pair (result, what else to hand out). "
            "Return both as a tuple."
        )
    return returned


def _tensors(who: str, result: Structure) -> list[Tensor]:
    nothing = Leaf("result", None, False)
    found = [nothing] if result.tree is None else list(result.leaves("result"))
    for name, y, _ in found:
        if not isinstance(y, Tensor):
            where = name.removeprefix("result")
            raise GraphError(
                f"{who}: the function returned a {type(y).__name__}{where and f' at {where}'}, "
                "which has no graph. Compute it from the arguments by microgrid's ops."
            )
    return [leaf.value for leaf in found]


def _check_usable(who: str, node: Tensor) -> None:
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
