"""Tensors that a layer keeps: what is learned, what is not, and inputs in their dtype."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import as_array
from ..core import ArrayInTrace, Operand, Tensor, as_operand, wrap
from ..errors import DtypeError, ShapeError
from ..recording import changes, no_grad, sees_arrays, watchers

Rule: TypeAlias = Callable[[Any], Any]

in_use: set[str] = set()
"""Which of "constraint" and "penalty" any Parameter was ever given: for others nobody need look."""


class Parameter(Tensor):
    """A Tensor that training changes: a leaf that requires a gradient.

    An array or Tensor is copied in its dtype; plain numbers and lists become float32, the dtype of
    layers, since one float64 number would turn a whole float32 net to float64.

    Attributes:
        constraint: a function of the Parameter that returns its values, float[...], after a step of
            an optimiser, from `mg.nn.constraints` or your own, written in ops; or None.
        penalty: a function of the Parameter that returns a number for the loss, float[], from
            `mg.nn.penalties` or your own, written in ops; or None.

    Args:
        data: float[...].
        dtype: of the copy.
        requires_grad: whether it gets a gradient; False for one that is not trained for now.

    Raises:
        DtypeError: the data are no numbers, or their dtype cannot carry a gradient.
        ShapeError: lists are of unequal lengths.
        TypeError: there is no such dtype.

    >>> import microgrid as mg
    >>> mg.nn.Parameter([1, 2]).dtype
    dtype('float32')
    """

    __slots__ = ("_constraint", "_penalty")

    _constraint: Rule | None
    _penalty: Rule | None

    def __new__(cls, *args: Any, **options: Any) -> Parameter:
        """Return one without constraint and penalty, as copies begin too."""
        p = super().__new__(cls)
        p._constraint = p._penalty = None
        return p

    def __init__(
        self, data: Operand, dtype: DTypeLike | None = None, requires_grad: bool = True
    ) -> None:
        super().__init__(_with_float32_numbers("Parameter", data, dtype), dtype, requires_grad)

    @property
    def constraint(self) -> Rule | None:
        """What the values become after each step of an optimiser, as a function of them; or None.

        Setting it changes no value. The first step does, if it moves the parameter.

        Raises:
            TypeError: it is no function.
            ShapeError: it returns another shape than that of the parameter.
        """
        return self._constraint

    @constraint.setter
    def constraint(self, rule: Rule | None) -> None:
        self._check_rule("constraint", rule, self.shape)
        self._constraint = rule

    @property
    def penalty(self) -> Rule | None:
        """What is added to the loss, as a function of the parameter; or None.

        Raises:
            TypeError: it is no function.
            ShapeError: it returns more than one number.
        """
        return self._penalty

    @penalty.setter
    def penalty(self, rule: Rule | None) -> None:
        self._check_rule("penalty", rule, ())
        self._penalty = rule

    def _check_rule(self, what: str, rule: Any, shape: tuple[int, ...]) -> None:
        """Raise unless the rule can be used; try it, as the first step would be late to fail."""
        changes[0] += 1
        if rule is None:
            return
        if not callable(rule) or isinstance(rule, type):
            given = f"the class {rule.__name__}" if callable(rule) else f"{rule!r}"
            raise TypeError(
                f"Parameter: {given} was given as {what}; it must be a function of the parameter, "
                f"as those of mg.nn.{'constraints' if what == 'constraint' else 'penalties'}."
            )
        with no_grad():
            found = as_operand("Parameter", rule(wrap(self._data.copy())))
        if found.shape != shape:
            raise ShapeError(
                f"Parameter: the {what} given returns shape {found.shape} for a parameter of shape "
                f"{self.shape}; it must return shape {shape}."
            )
        in_use.add(what)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """Return an independent copy with its gradient, constraint and penalty."""
        twin: Any = super().__deepcopy__(memo)
        twin._constraint = deepcopy(self._constraint, memo)
        twin._penalty = deepcopy(self._penalty, memo)
        return twin  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it without its gradient."""
        rebuild, state, attributes = super().__reduce__()
        rules = {"constraint": self._constraint, "penalty": self._penalty}
        given = {name: rule for name, rule in rules.items() if rule is not None}
        return rebuild, state, (attributes, given) if given else attributes


class Buffer(Tensor):
    """A Tensor that a layer keeps and training does not learn: `state_dict` saves it too.

    A leaf without a gradient, as a running mean. Layers write to it with `mg.assign`, which a
    compiled step sees. Like a Parameter it copies its data; numbers and lists become float32.

    Args:
        data: any[...].
        dtype: of the copy.

    Raises:
        DtypeError: the data are no numbers.
        ShapeError: lists are of unequal lengths.
        TypeError: there is no such dtype.

    >>> import microgrid as mg
    >>> mg.nn.Buffer([1, 2])
    tensor([1., 2.], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, data: Operand, dtype: DTypeLike | None = None) -> None:
        super().__init__(_with_float32_numbers("Buffer", data, dtype), dtype)


def _with_float32_numbers(who: str, data: Operand, dtype: DTypeLike | None) -> Operand:
    """Return the data, numbers and lists of them as float32 if no dtype is given."""
    if dtype is not None or isinstance(data, (np.ndarray, np.generic, Tensor)):
        return data
    array = as_array(who, data)
    return array if array.dtype.kind == "O" else array.astype(np.float32)


def float_dtype(who: str, dtype: DTypeLike, kinds: str = "f") -> np.dtype[Any]:
    """Return the dtype of a layer, which is of one of these kinds.

    Raises:
        DtypeError: it is not one of floats.
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in kinds:
        given = repr(dtype) if found is None else found
        raise DtypeError(
            f"{who}: dtype={given} was given; it needs floats. Pass float16, float32 or float64."
        )
    return found


def in_dtype_of(who: str, parameter: Tensor, x: Operand) -> Tensor:
    """Return x as a Tensor: arrays, and integers, are cast to the dtype of the parameter.

    A Tensor of floats stays as it is, whatever their precision, as in any op.
    """
    return in_dtype(who, parameter.dtype, x)


def in_dtype(who: str, dtype: np.dtype[Any], x: Operand) -> Tensor:
    """Return x as `in_dtype_of` does, for a layer of this dtype."""
    if isinstance(x, ArrayInTrace):
        return x if x.dtype == dtype else x.astype(dtype)
    if isinstance(x, Tensor):
        return x if x.dtype.kind in "fO" else x.astype(dtype)
    if watchers and sees_arrays():
        return in_dtype(who, dtype, as_operand(who, x))
    # A copy, since the graph must not see later changes of the array.
    return wrap(np.array(as_array(who, x), dtype))
