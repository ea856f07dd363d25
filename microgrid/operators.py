"""What Python's operators mean on Tensors: each is the op of that name. And conversions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .arrays import Array, own_index
from .errors import DtypeError
from .record import OPS
from .recording import is_grad_enabled, reads, watcher

if TYPE_CHECKING:
    from .core import Operand, Tensor


class Operators:
    """Python's operators, indexing and conversions, for Tensor."""

    __slots__ = ()

    _data: Array
    if TYPE_CHECKING:

        @property
        def shape(self) -> tuple[int, ...]:
            """The sizes: Tensor has it."""

        @property
        def size(self) -> int:
            """The number of elements: Tensor has it."""

    @property
    def T(self) -> Tensor:  # noqa: N802  NumPy's name
        """The Tensor with its dimensions reversed."""
        return OPS["transpose"](self, axes=None)

    def __add__(self, other: Operand) -> Tensor:
        return OPS["add"](self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return OPS["add"](other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return OPS["subtract"](self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return OPS["subtract"](other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return OPS["multiply"](self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return OPS["multiply"](other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return OPS["divide"](self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return OPS["divide"](other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return OPS["power"](self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return OPS["power"](other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return OPS["matmul"](self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return OPS["matmul"](other, self)

    # Under no_grad, `weight -= step` writes into a leaf that requires a gradient, as PyTorch does.
    # Elsewhere the name is bound to a new Tensor, as for any other value in Python.

    def __iadd__(self, other: Operand) -> Tensor:
        return _updated(self, OPS["add"](self, other))

    def __isub__(self, other: Operand) -> Tensor:
        return _updated(self, OPS["subtract"](self, other))

    def __imul__(self, other: Operand) -> Tensor:
        return _updated(self, OPS["multiply"](self, other))

    def __itruediv__(self, other: Operand) -> Tensor:
        return _updated(self, OPS["divide"](self, other))

    def __neg__(self) -> Tensor:
        return OPS["negative"](self)

    def __pos__(self) -> Tensor:
        return OPS["copy"](self)

    def __abs__(self) -> Tensor:
        return OPS["absolute"](self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        try:
            return OPS["equal"](self, other)
        except DtypeError:  # None or text: never equal, as Python has it
            return NotImplemented

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        try:
            return OPS["not_equal"](self, other)
        except DtypeError:
            return NotImplemented

    def __lt__(self, other: Operand) -> Tensor:
        return OPS["less"](self, other)

    def __le__(self, other: Operand) -> Tensor:
        return OPS["less_equal"](self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return OPS["greater"](self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return OPS["greater_equal"](self, other)

    def __getitem__(self, index: Any) -> Tensor:
        return pick(self, own_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "setitem: a Tensor's elements cannot be assigned, since a graph may hold them. Build "
            "the result with where() or concatenate(), or assign a whole leaf: t.data = array."
        )

    # --- conversions -----------------------------------------------------------------------------

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises:
            ValueError: there is not exactly one element.
        """
        if self.size != 1:
            raise ValueError(
                f"item: the Tensor has shape {self.shape}; one element is needed. "
                "Index it first, or use tolist()."
            )
        reads("item()")
        return self._data.item()

    def numpy(self) -> Array:
        """Return a copy of the values, without the graph."""
        reads("numpy()")
        return self._data.copy()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        reads("tolist()")
        return self._data.tolist()

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len: the Tensor has no dimensions, so it has no length. Use size.")
        return int(self._data.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:
            raise TypeError("iter: the Tensor has no dimensions to iterate over. Use item().")
        return (self[i] for i in range(self._data.shape[0]))

    def __contains__(self, value: Any) -> bool:
        reads("in")
        return value in self._data

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ValueError(
                f"bool: the Tensor has shape {self._data.shape}, and a truth value needs one "
                "element. Compare and reduce .data with any() or all()."
            )
        reads("bool()")
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iu" or self._data.ndim:
            raise TypeError(
                f"index: the Tensor has dtype {self._data.dtype} and shape {self._data.shape}; an "
                "index is one integer. Convert it with int()."
            )
        reads("index()")
        return int(self._data)


def _updated(old: Any, new: Tensor) -> Tensor:
    observer = watcher()
    if observer is not None:
        observer.rebinds(old)
    if not old.is_leaf or not old.requires_grad or is_grad_enabled():
        return new
    old.data = new
    return old  # type: ignore[no-any-return]


def is_basic(parts: tuple[Any, ...]) -> bool:
    """Return whether an index, as a tuple, selects a view: integers, slices, None, an ellipsis."""
    return all(
        part is None or part is Ellipsis or type(part) is int or isinstance(part, slice)
        for part in parts
    )


def pick(x: Any, index: Any) -> Tensor:
    """Return x[index], by the op that makes a view or by the one that copies."""
    parts = index if isinstance(index, tuple) else (index,)
    if not any(part is Ellipsis for part in parts):
        parts = (*parts, Ellipsis)  # then x[0] of a vector is an array of no dimensions, a view
    return OPS["getitem" if is_basic(parts) else "gather"](x, index=parts)
