"""What the operators mean on Tensors: each is the op of that name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .arrays import own_index
from .errors import DtypeError
from .record import OPS

if TYPE_CHECKING:
    from .core import Operand, Tensor


class Operators:
    """Python's operators and indexing, for Tensor."""

    __slots__ = ()

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
