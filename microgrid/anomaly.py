"""Where the first nan or infinity comes from: checks of every value and every gradient."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar

import numpy as np

from .arrays import Array
from .backward import Carry, _propagate, carrier, sum_to
from .core import Op, Tensor
from .errors import AnomalyError
from .finite import describe, first_not_finite, first_place, is_finite
from .places import Place, place_of, place_of_call, remember
from .recording import Watcher, watching

Function = TypeVar("Function", bound=Callable[..., Any])

ADVICE = "Keep the inputs away from there, as with clip(), or rewrite the formula."

# While rules run: where the op was called whose rule it is. What a rule computes on its way is not
# checked, since chain() lets an exact 0 win over the infinities of slopes.
_rule_of: ContextVar[Place | None] = ContextVar("_rule_of", default=None)


class detect_anomaly(ContextDecorator):  # noqa: N801  the ecosystem's name
    """Raise an AnomalyError at the first op whose value or gradient is nan or infinite.

    The error names the op, where in the result the numbers are, and the line of your code that
    called the op, for gradients too if the forward pass ran inside. An infinity counts even if it
    is meant, as that of log(0). A number that came in not finite is told from one that an op made.

    It holds for this thread and context only, nests, and works as a decorator. Every result,
    float[...], is looked at, which takes time: use it to find a fault.

    Args:
        check_values: whether the results of ops are checked.
        check_gradients: whether the gradients are checked that rules give in a backward pass.

    Raises:
        AnomalyError: inside, when it happens. No `.grad` has changed if it was in a backward pass.
        TypeError: a generator or an asynchronous function was decorated.
        ValueError: an option is neither True nor False.

    >>> import microgrid as mg
    >>> x = mg.tensor([1.0, 0.0], requires_grad=True)
    >>> try:
    ...     with mg.detect_anomaly():
    ...         loss = mg.sqrt(x).sum()
    ...         loss.backward()
    ... except mg.errors.AnomalyError as error:
    ...     error.op, error.text
    ('sqrt', 'loss = mg.sqrt(x).sum()')
    """

    def __init__(self, check_values: bool = True, check_gradients: bool = True) -> None:
        for name, value in (("check_values", check_values), ("check_gradients", check_gradients)):
            if value not in (True, False):
                raise ValueError(
                    f"detect_anomaly: {name}={value!r} was given; it must be True or False."
                )
        self._options = bool(check_values), bool(check_gradients)

    def __call__(self, func: Function) -> Function:
        """Return the function with its calls checked."""
        if isgeneratorfunction(func) or iscoroutinefunction(func):
            raise TypeError(
                f"detect_anomaly: {func.__name__} was decorated, whose body runs after the call "
                "has returned. Write `with detect_anomaly():` inside it."
            )
        return super().__call__(func)

    def _recreate_cm(self) -> detect_anomaly:
        return type(self)(*self._options)  # a decorated function may run in several threads

    def __enter__(self) -> None:
        _Detector(*self._options).__enter__()

    def __exit__(self, *exception: object) -> None:
        # Blocks nest, so the innermost of this context is the one that this one entered: it need
        # not be kept here, where another thread could take it.
        detector = watching.get()
        if isinstance(detector, _Detector):
            detector.__exit__(*exception)


class _Detector(Watcher):
    """The checks of one block."""

    def __init__(self, check_values: bool, check_gradients: bool) -> None:
        super().__init__()
        self.check_values = check_values
        self.check_gradients = check_gradients
        self._carrier: Token[Carry | None] | None = None

    def __enter__(self) -> _Detector:
        super().__enter__()
        if self.check_gradients:
            self._carrier = carrier.set(_carry_and_check)
        elif carrier.get() is None:  # an outer block's check stays
            self._carrier = carrier.set(_carry_unchecked)
        return self

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        if self._carrier is not None:
            carrier.reset(self._carrier)

    def done(self, op: Op, inputs: tuple[Tensor, ...], params: dict[str, Any], y: Tensor) -> None:
        """Note where the op was called; raise if its value is not finite."""
        super().done(op, inputs, params, y)
        place = _rule_of.get()
        inside_rule = place is not None
        if place is None:
            place = place_of_call()
        if y.op is not None:
            remember(y, place)
        if self.check_values and not inside_rule and not is_finite(y._data):
            raise _of_value(op, inputs, y, place)


# --- gradients -----------------------------------------------------------------------------------


def _carry_unchecked(
    order: list[Tensor], grads: dict[Tensor, Any], keep: Collection[Tensor], record: bool
) -> None:
    """Carry gradients by rules whose values are not checked."""
    for node in order:
        _carry_through(node, grads, keep, record)


def _carry_and_check(
    order: list[Tensor], grads: dict[Tensor, Any], keep: Collection[Tensor], record: bool
) -> None:
    """Carry gradients node by node, and raise at the first that is not finite."""
    for result, seed in grads.items():
        if not is_finite(_array(seed)):
            raise _of_seed(result, _array(seed))
    for node in order:
        g = grads.get(node)
        _carry_through(node, grads, keep, record)
        if g is None or node.op is None:
            continue
        for i, x in enumerate(node.inputs or ()):
            if x in grads and not is_finite(_array(grads[x])):
                raise _of_gradient(node.op, node, i, _array(g), _array(grads[x]))


def _carry_through(
    node: Tensor, grads: dict[Tensor, Any], keep: Collection[Tensor], record: bool
) -> None:
    rule, outer = _rule_of.set(place_of(node)), carrier.set(None)
    try:
        _propagate([node], grads, keep, record)
    finally:
        carrier.reset(outer)
        _rule_of.reset(rule)


@np.errstate(all="ignore")
def _contribution(op: Op, node: Tensor, i: int, g: Array) -> Array | None:
    """Return what one rule gives for input i, before other uses of it are added."""
    inputs: Any = node.inputs
    rule = op.rules(len(inputs))[i]
    if rule is None:
        return None
    x = inputs[i]._data
    gx = np.asarray(rule(g, node._data, *[v._data for v in inputs], **node.params))
    return np.asarray(sum_to(gx, shape=x.shape)).astype(x.dtype)


def _array(g: Any) -> Array:
    return g._data if isinstance(g, Tensor) else g


# --- what is said --------------------------------------------------------------------------------


def _of_value(op: Op, inputs: Sequence[Tensor], y: Tensor, place: Place) -> AnomalyError:
    first = first_not_finite(y)
    if first is not None and first.op is not None and first.inputs is not None:
        # If that was computed outside, this op only passes it on.
        op, inputs, y, place = first.op, first.inputs, first, place_of(first)
    shapes = ", ".join(str(x.shape) for x in inputs)
    what = f"{op.name} of shapes {shapes} -> {y.shape} gave {describe(y._data)}"
    for i, x in enumerate(inputs):
        if not is_finite(x._data):
            source = "a leaf" if x.op is None else f"the result of {x.op.name}, computed before,"
            given = "given so, or left so by a step" if x._requires_grad else "given so"
            return _error(
                f"{what}; its input {i} is {source} that has {describe(x._data)}, and was {given}. "
                "Look where this Tensor gets its values.",
                op,
                place,
            )
    return _error(
        f"{what}{_as_computed(op, inputs, y)}; from finite inputs a finite result is needed. "
        f"{ADVICE}",
        op,
        place,
    )


def _as_computed(op: Op, inputs: Sequence[Tensor], y: Tensor) -> str:
    """Return " as log(-1.0)" for the first element, of an elementwise op."""
    if set(op.signature) - set("(),->") or not inputs:
        return ""
    index = first_place(y._data)
    values = (np.broadcast_to(x._data, y.shape)[index] for x in inputs)
    return f" as {op.name}({', '.join(map(str, values))})"


def _of_gradient(op: Op, node: Tensor, i: int, g: Array, total: Array) -> AnomalyError:
    inputs: Any = node.inputs
    x = inputs[i]
    for place, other in enumerate(inputs):  # x may be several inputs
        if other is x:
            gx = _contribution(op, node, place, g)
            if gx is not None and not is_finite(gx):
                at = f", where that is {x._data[first_place(gx)]}"
                return _error(
                    f"the rule of {op.name} for its input {place}, shape {x.shape}, gave "
                    f"{describe(gx)}{at}; from a finite gradient a finite one is needed. {ADVICE}",
                    op,
                    place_of(node),
                )
    return _error(
        f"the gradient of input {i} of {op.name}, shape {x.shape}, became {describe(total)} when "
        "those of all its uses were added; each alone is finite. Scale the loss or the inputs "
        "down.",
        op,
        place_of(node),
    )


def _of_seed(result: Tensor, seed: Array) -> AnomalyError:
    source = "a leaf" if result.op is None else f"the result of {result.op.name}"
    return AnomalyError(
        f"detect_anomaly: the gradient given for {source}, shape {seed.shape}, has "
        f"{describe(seed)}; it must be finite. Pass finite numbers."
    )


def _error(message: str, op: Op, place: Place) -> AnomalyError:
    where = (
        f"It was called in\n{place}"
        if place.filename
        else "Where it was called is not known: run the forward pass inside detect_anomaly() too."
    )
    error = AnomalyError(f"detect_anomaly: {message} {where}")
    error.op, error.filename, error.lineno = op.name, place.filename, place.lineno
    error.text = place.text
    return error
