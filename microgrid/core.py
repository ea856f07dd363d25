"""The heart: the op record, the one call path, the Tensor.

Every operation is a record (`Op`), and every call of one goes through `Op.__call__`: the kernel
runs on plain arrays and, if a gradient may be asked for, the result remembers the op and its
inputs. Edges point backwards only: reference counts alone free a graph that nobody holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from copy import deepcopy
from numbers import Number
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike, DTypeLike

from . import recording
from .arrays import (
    Array,
    as_array,
    as_arrays,
    as_input,
    check_can_carry_gradient,
    check_params,
    explain_type_error,
    from_scalar,
)
from .documentation import Documentation
from .errors import DtypeError, GraphError, ShapeError
from .operators import Operators
from .record import BUILTIN, OPS, Record, op_named
from .recording import is_recording, watchers, watching
from .signatures import explain_misfit

Operand: TypeAlias = "Tensor | ArrayLike"

# A serial number is a position in time: creation for a result, the last write for a leaf. So
# creation order is a topological order, and an input younger than its reader was overwritten.
next_serial = itertools.count().__next__
new_tensor = object.__new__


class Op(Record):
    """An op: its record, and the one way to call it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name in BUILTIN:
            raise ValueError(f"Op: the name {self.name!r} is taken by microgrid. Choose another.")
        OPS[self.name] = self
        recording.changes[0] += 1

    def __repr__(self) -> str:
        return f"<op {self.name} {self.signature}>"

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return op_named, (self.name,)  # a model may hold an op: the record is not copied

    def __call__(self, *inputs: Any, **params: Any) -> Tensor:
        """Run the op: the one way in, for users, rules and layers alike."""
        if len(inputs) != self.arity and self.arity is not None:
            wanted = f"{self.arity}{', by place, not by name' * bool(params)}"
            raise TypeError(f"{self.name}: {len(inputs)} inputs were given; it takes {wanted}.")
        if params:
            check_params(self.name, params)
        for x in inputs:
            if type(x) is not ndarray:
                return self._on_operands(inputs, params)
        # Arrays only, as in a backward pass: the shortest way.
        y: Any = self.run(inputs, params)
        return y if y.ndim else y[()]  # type: ignore[no-any-return]

    def _on_operands(self, inputs: tuple[Any, ...], params: dict[str, Any]) -> Tensor:
        arrays: list[Any] = []
        tensors = 0
        wanted = False
        for x in inputs:
            if isinstance(x, Tensor):
                tensors += 1
                wanted = wanted or x._requires_grad
                arrays.append(x._data)
            else:
                arrays.append(x)
        if not tensors:
            return self._on_numbers(inputs, params)  # type: ignore[no-any-return]
        record = wanted and self.has_gradient and is_recording.get()
        given = inputs
        if tensors < len(inputs):
            arrays = as_arrays(self.name, arrays)
            inputs = tuple(
                x if isinstance(x, Tensor) else wrap(a.copy() if record else a)
                for x, a in zip(inputs, arrays, strict=True)
            )
        if record and self.constants:  # a gradient wanted of a condition only is none
            record = self._reaches_a_rule(inputs)
        watcher = watching.get() if watchers else None
        if watcher is None:
            data = self.run(arrays, params)
        else:
            watcher.given = given
            data = watcher.run(self, inputs, arrays, params)
        if data is arrays[0]:  # a kernel that returns its input: a result has memory of its own
            data = data.copy()
        if not record:
            # Outside a graph nothing knows that a view changes with its base: it owns its memory.
            owning = self.view and (watcher is None or not watcher.keeps_views)
            y = wrap(data.copy() if owning else data)
        else:
            y = new_tensor(Tensor)
            y._data, y._requires_grad, y.grad = data, True, None
            y.op, y.inputs, y.params, y.serial = self, inputs, params, next_serial()
        if watcher is not None:
            watcher.done(self, inputs, params, y)
        return y

    def _reaches_a_rule(self, inputs: tuple[Tensor, ...]) -> bool:
        for i in self.varying:  # noqa: SIM110  any() takes three times as long
            if inputs[i]._requires_grad:
                return True
        return False

    def run(self, arrays: Sequence[Any], params: dict[str, Any]) -> Array:
        """Return the kernel's value as an array; an error of its own says what did not fit."""
        try:
            data = self.kernel(*arrays, **params)
        except TypeError as error:
            explain_type_error(self.name, arrays, params, error)
            raise
        except ValueError as error:
            shapes = [np.shape(a) for a in arrays]
            misfit = explain_misfit(self.name, self.signature, shapes, error)
            ours = str(error).startswith(f"{self.name}: ") and " given" in str(error)
            if misfit is None or self.effect or ours:  # NumPy's own may begin so, too
                raise
            raise ShapeError(misfit) from error
        return data if type(data) is ndarray else from_scalar(data, arrays)

    def _on_numbers(self, inputs: Sequence[Any], params: dict[str, Any]) -> Any:
        """Return what NumPy would: an array or a scalar, for Python numbers a Python number."""
        y = self.run(as_arrays(self.name, inputs), params)
        if y.ndim:
            return y
        python = all(isinstance(x, Number) and not isinstance(x, np.generic) for x in inputs)
        return y.item() if python else y[()]


Op.__doc__ = Documentation(Record.__doc__)  # type: ignore[assignment]  # and of each op its own


class Tensor(Operators):
    """An array that remembers how it was computed.

    `Tensor(data)` is `tensor(data)`. Every op whose first operand is `x` is also a method.

    Attributes:
        data: any[...], the values, always an array. Assigning to it writes into the same memory.
        grad: after `backward`, on leaves: the gradient, an array of the same shape and dtype.
        requires_grad: whether a gradient is wanted, or passes through.
        op, inputs: what computed it (None: a leaf), from what (None: the graph was released).

    >>> import microgrid as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.])
    """

    __slots__ = (
        "__weakref__", "_data", "_requires_grad", "grad", "inputs", "op", "params", "serial",
    )  # fmt: skip

    _data: Array
    _requires_grad: bool
    grad: Array | None
    op: Op | None
    inputs: tuple[Tensor, ...] | None
    params: dict[str, Any]
    serial: int

    backward: ClassVar[Callable[..., None]]  # attached by backward.py
    clone: ClassVar[Callable[..., Any]]  # by ops/__init__.py
    __array_ufunc__: ClassVar[Callable[..., Any]]  # by protocols.py
    __array_function__: ClassVar[Callable[..., Any]]
    if TYPE_CHECKING:  # the methods that are ops are attached by ops/__init__.py

        def __getattr__(self, name: str) -> Callable[..., Tensor]: ...

    def __init__(
        self, data: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False
    ) -> None:
        # One copy, and only one: as_array may already have made it.
        array = np.array(as_array("tensor", data), dtype=dtype)
        if array.dtype.kind not in "biufO":
            as_array("tensor", array)
        self._data = array if array.dtype.isnative else as_array("tensor", array)
        self.grad = self.op = None
        self.inputs = ()
        self.params = {}
        self._requires_grad = False
        self.serial = next_serial()
        if requires_grad:
            self.requires_grad = True

    # --- what it holds ---------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The values: an array that shares the Tensor's memory.

        `t.data = value` and `t.data -= value` write there and mark the Tensor as changed: a graph
        that used the old values refuses to go backward. `t.data[0] = 1` does not mark it.
        """
        recording.reads("data")
        if self.op is None:
            return self._data
        view = self._data.view()
        view.flags.writeable = False  # a graph holds a result's values
        return view

    @data.setter
    def data(self, value: Operand) -> None:
        assign(self, value)

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted (a leaf) or passes through (a result)."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self.op is not None and not wanted:
            raise GraphError(
                f"requires_grad: False was given for the result of {self.op.name}; only a leaf can "
                "stop requiring a gradient. Use detach()."
            )
        if wanted:
            check_can_carry_gradient("tensor", self._data.dtype)
        self._requires_grad = bool(wanted)
        recording.changes[0] += 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return self._data.dtype

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, not computed by a recorded op."""
        return self.op is None

    def detach(self) -> Tensor:
        """Return the values as a new leaf that does not require a gradient."""
        # A leaf owns its memory: writing to it must not change what a graph holds.
        if watchers:
            with recording.no_grad():
                return OPS["copy"](self)
        return wrap(self._data.copy())

    def zero_grad(self) -> None:
        """Forget the gradient: `grad` becomes None."""
        self.grad = None
        if watchers:
            recording.forgets(self)

    # --- Python's protocols ----------------------------------------------------------------------

    __hash__ = object.__hash__  # by identity, although == is elementwise

    def __repr__(self) -> str:
        body = np.array2string(self._data, separator=", ", prefix="tensor(")
        notes = [] if self.dtype in (np.float64, np.int64, np.bool_) else [f"dtype={self.dtype}"]
        if self.op is not None:
            notes.append(f"op={self.op.name}")
        elif self._requires_grad:
            notes.append("requires_grad=True")
        return f"tensor({', '.join([body, *notes])})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """Return an independent copy: of a leaf with its gradient, of a result its values only."""
        twin = memo[id(self)] = rebuild(*self._state())
        twin.grad = None if self.grad is None else self.grad.copy()
        if hasattr(self, "__dict__"):  # of a subclass
            twin.__dict__.update(deepcopy(self.__dict__, memo))
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a leaf without its gradient, and a result as a leaf with its values only."""
        return rebuild, self._state(), getattr(self, "__dict__", None)

    def _state(self) -> tuple[type[Tensor], Array, bool]:
        recording.reads("a copy")
        return type(self), self._data.copy(), self._requires_grad and self.is_leaf

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        recording.reads("numpy.asarray()")
        return np.array(self._data, dtype, copy=copy is not False)


def as_operand(who: str, x: Operand) -> Any:
    """Return x if it is a Tensor, else as an array; raise a DtypeError if it is not numeric."""
    if isinstance(x, Tensor):
        return x
    array = as_input(who, x)
    return array_in_trace(array) if watchers and recording.sees_arrays() else array


class ArrayInTrace(Tensor):
    """An array in a traced step, and what such alone give: a Tensor to ops, an array elsewhere."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if hasattr(np.ndarray, name):
            recording.reads(f"an array's {name}")
        raise AttributeError(f"a Tensor has no attribute {name!r}.")


def array_in_trace(data: Array) -> Tensor:
    """Return what stands for an array in a traced step."""
    t = wrap(data)
    t.__class__ = ArrayInTrace
    return t


def wrap(data: Array) -> Tensor:
    """Return a leaf around `data` itself, without copying or checking."""
    t = new_tensor(Tensor)
    t._data, t._requires_grad, t.grad = data, False, None
    t.op, t.inputs, t.params, t.serial = None, (), {}, next_serial()
    return t


def rebuild(kind: type[Tensor], data: Array, requires_grad: bool) -> Tensor:
    """Return a leaf of the class `kind`, as pickle and deepcopy need it."""
    t = kind.__new__(kind)
    Tensor.__init__(t, data, requires_grad=requires_grad)
    return t


def assign(leaf: Tensor, value: Operand) -> None:
    """Write `value` into the memory of `leaf`, and mark it as changed.

    Args:
        leaf: any[...], not the result of an op.
        value: of the same shape; cast to the dtype of `leaf`.

    Raises:
        TypeError: `leaf` is no Tensor.
        GraphError: `leaf` is a result.
        ShapeError: the shapes differ.
        DtypeError: the value cannot be cast without losing its kind, as a float to an integer.

    >>> import microgrid as mg
    >>> t = mg.tensor([1.0, 2.0])
    >>> mg.assign(t, [3.0, 4.0])
    >>> t
    tensor([3., 4.])
    """
    if not isinstance(leaf, Tensor):
        raise TypeError(
            f"assign: a {type(leaf).__name__} was given; only a Tensor can be written to."
        )
    if leaf.op is not None:
        raise GraphError(
            f"assign: the result of {leaf.op.name} was given; only a leaf can be written to. "
            "Use detach() and assign to that."
        )
    array = value._data if isinstance(value, Tensor) else as_array("assign", value)
    if array.shape != leaf._data.shape:
        raise ShapeError(
            f"assign: a value of shape {array.shape} was given for a Tensor of shape {leaf.shape}; "
            "the shapes must be equal. Broadcast the value first."
        )
    if not np.can_cast(array.dtype, leaf.dtype, "same_kind"):
        raise DtypeError(
            f"assign: a value of dtype {array.dtype} was given for a Tensor of dtype {leaf.dtype}; "
            "it would lose its kind. Cast it with astype() first."
        )
    np.copyto(leaf._data, array, casting="same_kind")
    if watchers:
        recording.wrote(leaf, value if isinstance(value, Tensor) else array)
    leaf.serial = next_serial()
