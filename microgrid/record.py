"""What an op declares: the record's fields, and the data that they hold."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

from .pieces import Pieces, check_pieces
from .selection import Selection, constant, selection_of_pieces

if TYPE_CHECKING:
    from .core import Op

Rule: TypeAlias = Callable[..., Any]

_SIGNATURE = re.compile(r"\([^()]*\)(,\([^()]*\))*->\([^()]*\)")

OPS: dict[str, Op] = {}
"""Every op by name. Declaring an `Op` enters it here."""

KINDS = ("float", "int", "bool")

BUILTIN: set[str] = set()
"""The names that microgrid's own ops have; other ops may be declared anew."""


def op_named(name: str) -> Op:
    """Return a declared op by name, as pickle needs it: a method of OPS would pickle all of OPS."""
    if name not in OPS:
        raise KeyError(f"pickle: the op {name!r} is not declared here. Declare it before loading.")
    return OPS[name]


@dataclass(frozen=True)
class Domain:
    """Where an input of an op is tested: an interval, and the points to draw on purpose.

    `kind` is "float", "int" or "bool".

    Raises:
        TypeError: an end is no number, or `include` no tuple.
        ValueError: `low` is above `high` or one is not finite, or there is no such kind.

    >>> import microgrid as mg
    >>> mg.Domain(0.01, 10.0, include=(1.0,))  # of an op like log: no number below 0 is drawn
    Domain(low=0.01, high=10.0, include=(1.0,), kind='float')
    """

    low: float = -3.0
    high: float = 3.0
    include: tuple[float, ...] = (0.0, -0.0, 1.0, -1.0)
    kind: str = "float"

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if not isinstance(end, Real):
                raise TypeError(f"Domain: an end is {end!r}; it needs a number.")
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(
                f"Domain: the interval from {self.low} to {self.high} was given; it needs finite "
                "ends, the lower one first."
            )
        if not isinstance(self.include, tuple):
            raise TypeError(
                f"Domain: include is a {type(self.include).__name__}; it needs a tuple of numbers."
            )
        if self.kind not in KINDS:
            raise ValueError(f"Domain: kind={self.kind!r} was given; it must be one of {KINDS}.")


@dataclass(frozen=True)
class EachInput:
    """The rules of an op of any number of inputs, as one: together they take linear time.

    `rule(wanted, g, y, *inputs, **params)` returns a gradient for each input, or None for one whose
    place in `wanted` is False.

    >>> import microgrid as mg
    >>> def rule(wanted, g, y, *inputs):  # of y = a + b + ...
    ...     return [g if place else None for place in wanted]
    >>> mg.EachInput(rule).only(1, count=3)(5.0, 9.0, 2.0, 3.0, 4.0)
    5.0
    """

    rule: Rule

    def only(self, i: int, count: int) -> Rule:
        """Return the rule of input i of `count` alone."""
        wanted = [place == i for place in range(count)]
        return lambda *args, **params: self.rule(wanted, *args, **params)[i]


def _signature_of_inputs(vjps: tuple[Rule | None, ...] | EachInput) -> inspect.Signature:
    """Return the inputs by the names that the rules give them: rule(g, y, *inputs, **params)."""
    if isinstance(vjps, EachInput):
        inputs = [inspect.Parameter("arrays", inspect.Parameter.VAR_POSITIONAL)]
    else:
        rule = next((rule for rule in vjps if rule is not None), None)
        names = ("x", "a", "b", "c")[len(vjps) > 1 :]
        if rule is not None:
            names = tuple(inspect.signature(rule).parameters)[2:]
        kind = inspect.Parameter.POSITIONAL_ONLY
        inputs = [inspect.Parameter(name, kind) for name in names[: len(vjps)]]
    return inspect.Signature(inputs)


def no_params(*shapes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the legal parameters of an op that takes none."""
    return [{}]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Record:
    """One operation, declared once: its meaning, its kernel, its derivative, where it is tested.

    Called on numbers and arrays it returns what NumPy would; with a Tensor among the inputs it
    returns a Tensor. Inputs are positional, parameters are keywords.

    Attributes:
        name: what it is called in `OPS`, in errors and in the documentation.
        doc: what it computes and by which conventions. Examples in it run as doctests.
        kernel: `kernel(*arrays, out=None, **params)` returns an array.
        vjps: per input `rule(g, y, *inputs, **params)`, the gradient of sum(g * y); None where
            there is none. Rules are written in ops and operators, so they can be differentiated
            too. Broadcasting is undone and the dtype restored by the caller.
        domains: per input, where the tests draw it.
        signature: in NumPy's gufunc notation.
        shapes: shapes of the inputs to test, where the signature alone does not tell them.
        params: `params(*shapes)` lists legal parameters for inputs of these shapes, for the tests.
        reference: an independent definition of the value, for the tests: on numbers if the
            signature is elementwise, on arrays otherwise.
        formula: the value as the documentation writes it.
        pieces: `pieces(**params)`, of a piecewise-linear op of one variable.
        selection: how it chooses among smooth pieces, if it has several. It is derived from
            `pieces`, and from the value of an op without a gradient.
        composed: `composed(*inputs, **params)`, the same value bit for bit by smaller ops, or None
            if these inputs are not such; the compiler looks inside it to share and to plan.
        inline: `inline(line, out, *inputs, **params)` writes the kernel out for the compiler, as
            NumPy calls with nothing around them, and returns True; or returns False and writes
            nothing. See `compiler.lines`.
        inner: `inner(*inputs, **params)`, how large the numbers are that the kernel rounds, where
            that may be more than its operands and its result tell: 1 + exp(-50) is 1.
        unit: the number that, as one of two operands, gives the other bit for bit.
        in_place: may the kernel write its result over an input of the same shape?
        view: is the result a view of its input?
        effect: is it run for what it overwrites?
        part: does it only stand for a part of another op, in compiled programs? It has no rules.
        private: does it only serve rules, without a public name?

    Raises:
        TypeError: a field is missing, `vjps` or `domains` is no tuple, or a field holds something
            else than it should.
        ValueError: the name is one of microgrid's own, `doc` is empty, the signature cannot be
            read, rules and domains differ in number, or the pieces are those of no function. An op
            of the user's is declared anew.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> cube = mg.Op(
    ...     name="cube", doc="x**3",
    ...     kernel=lambda x, out=None: np.multiply(x * x, x, out=out),
    ...     vjps=(lambda g, y, x: 3 * g * x * x,), domains=(mg.Domain(),))
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array(12.)
    >>> del mg.OPS["cube"]
    """

    name: str
    doc: str
    kernel: Callable[..., Any]
    vjps: tuple[Rule | None, ...] | EachInput
    domains: tuple[Domain, ...]
    signature: str = "()->()"
    shapes: tuple[tuple[tuple[int, ...], ...], ...] = ()
    params: Callable[..., Sequence[dict[str, Any]]] = no_params
    reference: Callable[..., Any] | None = None
    formula: str = ""
    pieces: Callable[..., Pieces] | None = None
    selection: Selection | None = None
    composed: Callable[..., Any] | None = None
    inline: Callable[..., bool] | None = None
    inner: Callable[..., Any] | None = None
    unit: float | None = None
    in_place: bool = False
    view: bool = False
    effect: bool = False
    part: bool = False
    private: bool = False
    arity: int | None = field(init=False)  # None: any number of inputs
    has_gradient: bool = field(init=False)
    constants: tuple[int, ...] = field(init=False)  # the inputs without a rule
    varying: tuple[int, ...] = field(init=False)  # those with one

    def __post_init__(self) -> None:
        for field_name in ("name", "doc"):
            value = getattr(self, field_name)
            if not isinstance(value, str):
                raise TypeError(
                    f"Op {self.name}: {field_name} is a {type(value).__name__}; it needs a string."
                )
        if not self.doc.strip():
            raise ValueError(f"Op {self.name}: doc is empty. Say what it computes.")
        for field_name, kinds in (("vjps", (tuple, EachInput)), ("domains", (tuple,))):
            value = getattr(self, field_name)
            if not isinstance(value, kinds):
                raise TypeError(
                    f"Op {self.name}: {field_name} is a {type(value).__name__}; it needs a tuple "
                    "with one entry per input. Put it in a tuple, with a comma: (entry,)."
                )
        if not _SIGNATURE.fullmatch(self.signature):
            raise ValueError(
                f"Op {self.name}: signature {self.signature!r} was given; it needs NumPy's "
                "notation, as in '(n,k),(k,m)->(n,m)'."
            )
        rules = None if isinstance(self.vjps, EachInput) else self.vjps
        if rules is not None and len(self.domains) != len(rules):
            raise ValueError(
                f"Op {self.name}: {len(rules)} rules and {len(self.domains)} domains were "
                "given; it needs one of each per input. Give None as the rule of a constant input."
            )
        if BUILTIN:  # microgrid's own are looked at by its tests, not in each import
            self._check_functions()
            self._check_pieces()
        object.__setattr__(self, "has_gradient", rules is None or any(r is not None for r in rules))
        known = {
            "arity": None if rules is None else len(rules),
            "constants": tuple(i for i, rule in enumerate(rules or ()) if rule is None),
            "varying": tuple(i for i, rule in enumerate(rules or ()) if rule is not None),
            "selection": self.selection or self._derived_selection(),
            "__signature__": _signature_of_inputs(self.vjps),
            "__name__": self.name,
        }
        for attribute, value in known.items():
            object.__setattr__(self, attribute, value)

    def _check_functions(self) -> None:
        """Raise unless the kernel and the rules can be called."""
        rules = (self.vjps.rule,) if isinstance(self.vjps, EachInput) else self.vjps
        for field_name, value in (("kernel", self.kernel), *(("vjps", rule) for rule in rules)):
            if not (callable(value) or (field_name == "vjps" and value is None)):
                raise TypeError(
                    f"Op {self.name}: {field_name} has a value of type {type(value).__name__}; it "
                    "needs a function."
                )

    def _check_pieces(self) -> None:
        """Raise unless domains, pieces and selection are what they are called."""
        given: list[tuple[str, Any, type]]
        given = [("domains", domain, Domain) for domain in self.domains]
        if self.selection is not None:
            given.append(("selection", self.selection, Selection))
        for field_name, value, kind in given:
            if not isinstance(value, kind):
                raise TypeError(
                    f"Op {self.name}: {field_name} has a value of type {type(value).__name__}; it "
                    f"needs mg.{kind.__name__}(...)."
                )
        if self.pieces is None:
            return
        if not callable(self.pieces):
            raise TypeError(
                f"Op {self.name}: pieces is a value of type {type(self.pieces).__name__}; it needs "
                "a function that returns them. Write lambda: before it."
            )
        if not inspect.signature(self.pieces).parameters:  # with some it may need what comes later
            check_pieces(f"Op {self.name}", self.pieces())

    def _derived_selection(self) -> Selection | None:
        if self.pieces is not None:
            return selection_of_pieces(self.pieces)
        if self.has_gradient:
            return None
        # What has no gradient is constant to whoever differentiates: its value is the choice.
        return constant(lambda *inputs, **params: self.kernel(*(x.value for x in inputs), **params))

    def rules(self, count: int) -> tuple[Rule | None, ...]:
        """Return the rules for `count` inputs, one by one."""
        if isinstance(self.vjps, EachInput):
            return tuple(self.vjps.only(i, count) for i in range(count))
        return self.vjps
