"""Calls of an op, drawn from its record: shapes, parameters and numbers for which it is meant."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import DTypeLike

from ...arrays import Array
from ...core import Op
from ...record import OPS, Domain
from .arrays import LONGEST, Numbers, Shape, Values, laid_out, numbers_for, one_of_points, shapes
from .written import written, written_options

WHOLE: dict[str, Any] = {"int": np.int64, "bool": np.bool_}
MOST_LOOPS = 2  # axes that broadcast


class OpCall:
    """An op with inputs and parameters. Its repr is Python that makes the call.

    Args:
        op: the op.
        inputs: any[...], an array for each.
        params: its parameters.

    Attributes:
        op, inputs, params: as given.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, bounds = np.array([-2.0, 1.0]), {"a_min": -1.0, "a_max": 1.0}
    >>> call = mg.testing.strategies.OpCall(mg.OPS["clip"], [x], bounds)
    >>> call
    mg.OPS["clip"](np.array([-2.0, 1.0]), a_min=-1.0, a_max=1.0)
    >>> call.result()
    array([-1.,  1.])
    """

    # Not a dataclass: hypothesis would show its fields, and those of the op, instead of its repr.
    def __init__(self, op: Op, inputs: Sequence[Array], params: Mapping[str, Any]) -> None:
        self.op, self.inputs, self.params = op, tuple(inputs), dict(params)

    def result(self, *inputs: Any) -> Any:
        """Return the op's result for the inputs, or for others in their place, such as Tensors."""
        return self.op(*(inputs or self.inputs), **self.params)

    def __repr__(self) -> str:
        parts = [written(a) for a in self.inputs]
        parts += [written_options(self.params)] if self.params else []
        return f'mg.OPS["{self.op.name}"]({", ".join(parts)})'


def op_calls(
    op: Op | str,
    *,
    dtype: DTypeLike = np.float64,
    ties: bool = True,
    subnormals: bool = False,
    values: Values = "any",
    layouts: bool = True,
) -> SearchStrategy[OpCall]:
    """Return a strategy of legal calls of an op, drawn from its record.

    Shapes fit the op's signature or are those that the record lists: no dimensions, size 0, and
    operands that broadcast are among them. Parameters are those that the record calls legal.
    Numbers lie in the op's domains. About half of them are points that a domain names, the knots
    of a piecewise-linear op or the numbers next to them; and operands often share a number.

    It serves ops of your own too: declare `domains`, and `signature`, `params` and `pieces` where
    they are not the usual ones.

    Args:
        op: an op, or its name in `mg.OPS`.
        dtype: of the inputs that are floats: float16, float32, float64, or object for Fractions,
            which exact ops take.
        ties: draw many arrays of few different numbers.
        subnormals: draw subnormal numbers too, where 0 is in the domain.
        values: "integer" for whole numbers only, "dyadic" for multiples of 1/4.
        layouts: draw arrays in Fortran order, with negative strides, with gaps between elements,
            and read-only broadcast views too.

    Returns:
        A strategy of `OpCall`, whose inputs are any[...].

    Raises:
        KeyError: there is no op of that name.
        DtypeError: the dtype is none of those.
        ValueError: the options contradict each other.

    >>> import microgrid as mg
    >>> from hypothesis import given
    >>> @given(mg.testing.strategies.op_calls("maximum"))
    ... def test_maximum_is_one_of_the_two(call):
    ...     a, b = call.inputs
    ...     y = call.result()
    ...     assert ((y == a) | (y == b)).all()
    >>> test_maximum_is_one_of_the_two()
    """
    numbers = numbers_for("op_calls", dtype, values, subnormals)
    return _calls(as_op("op_calls", op), numbers, ties, layouts)


# Kept, since tests that draw from `data` ask for it anew for every example.
@functools.lru_cache(maxsize=256)
def _calls(op: Op, numbers: Numbers, ties: bool, layouts: bool) -> SearchStrategy[OpCall]:
    sizes = _shapes(op)

    # Nothing is passed to it, since hypothesis shows what is passed: here, all fields of the op.
    @st.composite
    def calls(draw: DrawFn) -> OpCall:
        return _drawn_call(draw, op, draw(sizes), numbers, ties, layouts)

    return calls()


def _drawn_call(
    draw: DrawFn, op: Op, sizes: tuple[Shape, ...], numbers: Numbers, ties: bool, layouts: bool
) -> OpCall:
    params = draw(st.sampled_from(list(op.params(*sizes))))
    floats = [i for i in range(len(sizes)) if domain_of(op, i).kind == "float"]
    shared = draw(elements(op, floats[0], params, numbers)) if len(floats) > 1 else None
    inputs = []
    for i, shape in enumerate(sizes):
        kind = domain_of(op, i).kind
        dtype = numbers.dtype if kind == "float" else WHOLE[kind]
        drawn = elements(op, i, params, numbers, shared)
        inputs.append(laid_out(draw, dtype, shape, drawn, ties, layouts))
    return OpCall(op, inputs, params)


def _shapes(op: Op) -> SearchStrategy[tuple[Shape, ...]]:
    """Return a strategy of shapes of the inputs, for which there are legal parameters."""
    inputs = op.signature.split("->")[0]
    drawn: SearchStrategy[Any]
    if op.shapes:
        drawn = st.sampled_from(op.shapes)
    elif "..." in inputs:
        count = st.just(op.arity) if op.arity else st.integers(1, 3)
        drawn = st.tuples(shapes(), count).map(lambda pair: (pair[0],) * pair[1])
    elif set(inputs) <= set("(),"):
        drawn = _broadcasting(op.arity or 1)
    else:
        signature = f"{inputs}->()"  # the result's shape is not needed
        drawn = hnp.mutually_broadcastable_shapes(
            signature=signature, max_dims=MOST_LOOPS, min_side=0, max_side=LONGEST
        ).map(lambda found: found.input_shapes)
    return drawn.filter(lambda sizes: len(op.params(*sizes)) > 0)


@st.composite
def _broadcasting(draw: DrawFn, count: int) -> tuple[Shape, ...]:
    """Return a strategy of shapes of operands that broadcast together."""
    shape = draw(shapes())
    how = draw(st.sampled_from(("alike", "in part", "crosswise"))) if shape and count > 1 else ""
    if how == "in part":
        return tuple(draw(st.sampled_from(_parts(shape))) for _ in range(count))
    if how == "crosswise":  # each has axes that the others lack
        return tuple(
            tuple(n if axis % count == i else 1 for axis, n in enumerate(shape))
            for i in range(count)
        )
    return (shape,) * count


@functools.lru_cache(maxsize=256)
def _parts(shape: Shape) -> list[Shape]:
    """Return the shape, and others that broadcast to it."""
    smaller = [shape[1:], (*shape[:-1], 1), (1, *shape[1:]), (1,) * len(shape), ()]
    return list(dict.fromkeys([shape, *smaller]))


def as_op(who: str, op: Op | str) -> Op:
    """Return an op that may be given by its name.

    Raises:
        KeyError: there is none of that name.
    """
    if isinstance(op, Op):
        return op
    if op not in OPS:
        raise KeyError(f"{who}: there is no op {op!r}. mg.OPS lists those that there are.")
    return OPS[op]


def domain_of(op: Op, i: int) -> Domain:
    """Return the domain of input i; all inputs of an op of any number of them have the same."""
    return op.domains[i if op.arity is not None else 0]


def elements(
    op: Op, i: int, params: Mapping[str, Any], numbers: Numbers, shared: Any = None
) -> SearchStrategy[Any]:
    """Return a strategy of numbers for input i, and of `shared` if that is one."""
    domain = domain_of(op, i)
    knots = tuple(op.pieces(**params).knots) if op.pieces else ()
    if shared is None or domain.kind != "float" or not _holds(domain, shared):
        return _elements(op, i, knots, numbers)
    points = _points(domain, knots, numbers)
    often = [shared] * (1 + len(points) // 2)
    return one_of_points(points + often, numbers.between(domain.low, domain.high))


def _holds(domain: Domain, x: Any) -> bool:
    return bool(domain.low <= x <= domain.high or x in domain.include)


# Kept, since hypothesis looks at each new strategy for longer than it draws from it.
@functools.lru_cache(maxsize=1024)
def _elements(op: Op, i: int, knots: tuple[Any, ...], numbers: Numbers) -> SearchStrategy[Any]:
    domain = domain_of(op, i)
    if domain.kind != "float":
        cast = int if domain.kind == "int" else bool
        whole = st.integers(int(domain.low), int(domain.high)).map(cast)
        return one_of_points([cast(p) for p in domain.include], whole)
    inside = numbers.between(domain.low, domain.high)
    return one_of_points(_points(domain, knots, numbers), inside)


def _points(domain: Domain, knots: tuple[Any, ...], numbers: Numbers) -> list[Any]:
    points = numbers.points(p for p in domain.include if not numbers.exact or math.isfinite(p))
    points += numbers.kinks(knots)
    if domain.low < 0 < domain.high:
        points += numbers.extremes(infinities=False, nans=False)
    return points
