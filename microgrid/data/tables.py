"""Numbers out of what holds them: arrays, lists, and tables with names for their columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, as_array
from ..errors import DtypeError

SHOWN = 5  # columns that an error names


def as_numbers(who: str, x: Any) -> Array:
    """Return x as an array of real numbers; for a table that has others, say in which columns.

    A table is what has `columns`, or a `name` if it is one column, and becomes an array by itself,
    as a pandas frame or series does.

    Raises:
        DtypeError: x is not numeric.

    >>> as_numbers("fit", [[1, 2], [3, 4]])
    array([[1, 2],
           [3, 4]])
    """
    try:
        return as_array(who, x)
    except DtypeError:
        names = columns_of(x)
        if names is None:
            raise
        refused = _refused(who, x, names)
        if not refused:
            raise
        kind = type(x).__name__
        raise DtypeError(
            f"{who}: the {kind} has no numbers in {_listed(refused)}. Drop what is not for "
            "learning, and turn words and dates into numbers."
        ) from None


def columns_of(x: Any) -> list[Any] | None:
    """Return the names of the columns of a table, or None if x has no names."""
    if isinstance(x, (np.ndarray, list, tuple)) or not hasattr(x, "__array__"):
        return None
    columns = getattr(x, "columns", None)
    if columns is not None:
        return list(columns)
    name = getattr(x, "name", None)
    return None if name is None else [name]


def _refused(who: str, x: Any, names: list[Any]) -> list[tuple[Any, str]]:
    """Return the columns that are not numeric: their names, and what is in them."""
    table = np.asarray(x)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or table.shape[1] != len(names):
        return []
    found = []
    for name, column in zip(names, table.T, strict=True):
        try:
            as_array(who, column)
        except DtypeError:
            found.append((name, _content(column)))
    return found


def _content(column: Array) -> str:
    if column.dtype.kind != "O":
        return str(column.dtype)
    for item in column:
        try:
            as_array("", [item])
        except DtypeError:
            return type(item).__name__
    return "object"


def _listed(refused: list[tuple[Any, str]]) -> str:
    shown = ", ".join(f"{name!r} ({content})" for name, content in refused[:SHOWN])
    more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    return f"{'column' if len(refused) == 1 else 'columns'} {shown}{more}"
