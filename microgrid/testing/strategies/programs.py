"""Random programs: calls of ops on inputs and on each other's results."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import DTypeLike

from ...arrays import Array
from ...core import Op
from ...record import OPS, Domain
from .arrays import Numbers, Shape, Values, laid_out, numbers_for
from .calls import WHOLE, as_op, domain_of, elements
from .fitting import CURVED, STRAIGHT_IN_ONE, Fit, fits, main_input, main_shapes, shape_of_pieces
from .program import Program, Step, pruned

COMPARISONS = "greater", "greater_equal", "less", "less_equal", "equal", "not_equal"
MOST_INPUTS = 3
Chosen = TypeVar("Chosen")
LIMIT = 100  # no result is larger, so that rounding stays small beside what is tested
_INDEX, _MOST = st.integers(0, 126), st.integers(0, 7)
WHOLE_LINE = Domain(-3, 3)  # a domain that reaches as far does not end there


def programs(
    *,
    ops: Sequence[Op | str] | None = None,
    max_calls: int = 8,
    dtype: DTypeLike = np.float64,
    smooth: bool = False,
    piecewise_linear: bool = False,
    scalar: bool = True,
    values: Values = "any",
) -> SearchStrategy[Program]:
    """Return a strategy of programs: random graphs of op calls, with inputs to run them on.

    A program is a function of its inputs, made of calls drawn from the records of the ops:
    arithmetic, reductions, matrix products, shapes, maxima and, where comparisons choose, `where`.
    Results are used several times, or by two ways of one call. Every operand lies in the domain of
    its op, and no result is larger than 100, or nan. Programs shrink to few calls, small shapes and
    simple numbers.

    Args:
        ops: the ops to call, or their names; by default all public ones with a gradient. Sums and
            additions join what is left, comparisons feed `where`.
        max_calls: how many calls at most, those not counted that join and compare.
        dtype: of everything: float16, float32, float64, or object for Fractions, of those ops that
            are exact on them.
        smooth: call no op that has a kink or a jump.
        piecewise_linear: call only ops whose pieces are straight. Factors are constants then.
            The program is continuous, and with Fractions its gradients are exact.
        scalar: whether the result is one number; else it is as it comes.
        values: of the inputs: "integer" for whole numbers, "dyadic" for multiples of 1/4.

    Returns:
        A strategy of `Program`, whose inputs are float[...].

    Raises:
        KeyError: there is no op of a name.
        DtypeError: the dtype is none of those.
        ValueError: none of the ops can be called.

    >>> import microgrid as mg
    >>> from hypothesis import find, given, settings
    >>> @settings(deadline=None)
    ... @given(mg.testing.strategies.programs(smooth=True))
    ... def test_gradients_agree_with_differences(program):
    ...     inputs = [mg.tensor(x, requires_grad=True) for x in program.inputs]
    ...     mg.testing.gradcheck(program, inputs)
    >>> test_gradients_agree_with_differences()
    >>> find(mg.testing.strategies.programs(), lambda program: True)
    Program([np.array(0.0)], [Step("negative", "x0")])
    """
    numbers = numbers_for("programs", dtype, values)
    wanted = _all_ops() if ops is None else [as_op("programs", op) for op in ops]
    rules = _Rules(numbers, smooth, piecewise_linear)
    return _programs(tuple(wanted), max_calls, rules, scalar)


# Kept, since tests that draw from `data` ask for it anew for every example.
@functools.lru_cache(maxsize=64)
def _programs(
    ops: tuple[Op, ...], max_calls: int, rules: _Rules, scalar: bool
) -> SearchStrategy[Program]:
    possible = [op for op in ops if rules.allow(op)]
    if not possible or max_calls < 1:
        raise ValueError(
            f"programs: of {len(ops)} ops none can be called in at most {max_calls} calls with "
            f"dtype={rules.numbers.dtype}, smooth={rules.smooth} and "
            f"piecewise_linear={rules.piecewise_linear}."
        )
    drawn = st.sampled_from(possible)

    # Nothing is passed to it, since hypothesis shows what is passed: here, all fields of all ops.
    @st.composite
    def drawn_programs(draw: DrawFn) -> Program:
        return _drawn_program(draw, drawn, max_calls, rules, scalar)

    return drawn_programs()


def _all_ops() -> list[Op]:
    """Return the public ops that have a gradient, those of one element first."""
    found = [op for op in OPS.values() if op.has_gradient and not (op.private or op.effect)]
    return sorted(found, key=lambda op: (op.signature != "()->()", op.arity or 2))


@dataclass(frozen=True)
class _Rules:
    """Which calls are wanted."""

    numbers: Numbers
    smooth: bool
    piecewise_linear: bool

    def allow(self, op: Op) -> bool:
        """Return whether there is a call of the op to draw."""
        return any(self.fits(op, shape) for shape in main_shapes(op))

    def fits(self, op: Op, shape: Shape) -> list[Fit]:
        """Return the calls with a main input of this shape."""
        if not op.has_gradient or domain_of(op, main_input(op)).kind != "float":
            return []
        if self.smooth and op.selection is not None:
            return []
        found = fits(op, shape, self.numbers.dtype)
        if not self.piecewise_linear:
            return list(found)
        return [fit for fit in found if shape_of_pieces(op, fit) != CURVED]


def _drawn_program(
    draw: DrawFn, ops: SearchStrategy[Op], max_calls: int, rules: _Rules, scalar: bool
) -> Program:
    growing, more = _Growing(draw, rules), st.integers(0, max_calls)
    for _ in range(max_calls):
        before = growing.copy()
        if not growing.add(draw(ops)):
            growing = before
        if not draw(more):  # drawn after the last one too: then any other can be left out
            break
    if not growing.steps:
        reject()
    growing.join(scalar)
    return pruned(Program(growing.inputs, growing.steps))


@dataclass
class _Growing:
    """A program that is being drawn: what there is, what it is worth, and what was used."""

    draw: DrawFn
    rules: _Rules
    inputs: list[Array] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    values: dict[str, Array] = field(default_factory=dict)
    used: frozenset[str] = frozenset()

    def copy(self) -> _Growing:
        return _Growing(
            self.draw, self.rules, [*self.inputs], [*self.steps], {**self.values}, self.used
        )

    def add(self, op: Op) -> bool:
        """Draw a call of the op; return whether there was one with a moderate result."""
        main = main_input(op)
        legal = self.candidates(domain_of(op, main), lambda s: bool(self.rules.fits(op, s)))
        options = self.and_a_new_one(legal)
        if not options:
            return False
        name = self.choice(options)
        if name is None:
            shape = self.choice([s for s in main_shapes(op) if self.rules.fits(op, s)])
        else:
            shape = self.values[name].shape
        fit = self.choice(self.preferred(self.rules.fits(op, shape), shape))
        operands: dict[int, Any] = {main: self.new_input(op, main, fit) if name is None else name}
        for i in range(len(fit.shapes)):
            if i != main:
                operands[i] = self.operand(op, i, fit)
        return self.call(op, [operands[i] for i in sorted(operands)], fit.params)

    def choice(self, options: Sequence[Chosen]) -> Chosen:
        """Draw one of the options: with one number however many there are.

        So a step that is left out while shrinking leaves the meaning of the others as it was.
        """
        return options[self.draw(_INDEX) % len(options)]

    def candidates(self, domain: Domain, fits_in: Callable[[Shape], bool]) -> list[str]:
        """Return the values that lie in a domain and have a shape that fits, unused ones often."""
        legal = [
            name
            for name, value in self.values.items()
            if value.dtype == self.rules.numbers.dtype
            and fits_in(value.shape)
            and (domain.low <= WHOLE_LINE.low or value.min() >= domain.low)
            and (domain.high >= WHOLE_LINE.high or value.max() <= domain.high)
        ][::-1]
        return [name for name in legal if name not in self.used] * 3 + legal

    def and_a_new_one(self, names: list[str]) -> list[str | None]:
        """Return the names, and None for a new input if there may be one."""
        return [*names, None] if len(self.inputs) < MOST_INPUTS else [*names]

    def preferred(self, options: list[Fit], main: Shape) -> list[Fit]:
        """Return the options, those whose operands are all there twice and first."""
        there = {main, *(value.shape for value in self.values.values())}
        return [fit for fit in options if there.issuperset(fit.shapes)] + options

    def operand(self, op: Op, i: int, fit: Fit) -> str | Array:
        """Return what input i is: the name of a value, or a constant."""
        domain, shape = domain_of(op, i), fit.shapes[i]
        if domain.kind == "bool":
            return self.condition(shape)
        factor = self.rules.piecewise_linear and shape_of_pieces(op, fit) == STRAIGHT_IN_ONE
        if domain.kind == "int" or factor:
            return self.array(op, i, fit)
        options = self.and_a_new_one(self.candidates(domain, lambda s: s == shape))
        if not options:
            return self.array(op, i, fit)
        name = self.choice(options)
        return self.new_input(op, i, fit) if name is None else name

    def condition(self, shape: Shape) -> str | Array:
        """Return the name of a comparison of values of this shape."""
        op = OPS[self.choice(COMPARISONS)]
        fit = Fit((shape, shape), {})
        args = [self.operand(op, 0, fit), self.operand(op, 1, fit)]
        self.call(op, args, {})
        return self.newest()

    def new_input(self, op: Op, i: int, fit: Fit) -> str:
        """Draw an input for this operand; return its name."""
        name = f"x{len(self.inputs)}"
        self.values[name] = self.array(op, i, fit)
        self.inputs.append(self.values[name])
        return name

    def array(self, op: Op, i: int, fit: Fit) -> Array:
        """Draw an array for this operand."""
        kind, numbers = domain_of(op, i).kind, self.rules.numbers
        dtype = numbers.dtype if kind == "float" else WHOLE[kind]
        drawn = elements(op, i, fit.params, numbers)
        return laid_out(self.draw, dtype, fit.shapes[i], drawn, ties=True, layouts=False, room=6)

    def newest(self) -> str:
        """Return the name of the last step's result."""
        return f"y{len(self.steps) - 1}"

    def call(self, op: Op, args: list[Any], params: dict[str, Any]) -> bool:
        """Add a step, unless its result is too large or undefined; return whether it was."""
        arrays = [self.values[x] if isinstance(x, str) else x for x in args]
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise", under="ignore"):
                y = op.run(arrays, params)
        except FloatingPointError:
            return False
        if y.dtype != np.bool_ and not np.all(np.absolute(y) <= LIMIT):
            return False
        self.steps.append(Step(op.name, *args, **params))
        self.values[self.newest()] = y
        self.used |= {x for x in args if isinstance(x, str)}
        return True

    def join(self, scalar: bool) -> None:
        """Add up the results that no step uses, or most of them; with `scalar`, to one number.

        To leave one out is a simple change, with which a program shrinks by all that led there.
        """
        *others, total = [name for name in self.values if name not in self.used]
        if scalar:
            total = self.summed(total)
        for name in others:
            if not self.draw(_MOST):
                continue
            self.steps.append(Step("add", total, self.summed(name)))
            total = self.newest()

    def summed(self, name: str) -> str:
        """Return the name of the value's sum."""
        axes = tuple(range(self.values[name].ndim))
        if not axes:
            return name
        self.steps.append(Step("sum", name, axis=axes, keepdims=False))
        return self.newest()
