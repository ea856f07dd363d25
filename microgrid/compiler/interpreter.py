"""The function that runs a table, compiled by Numba as this is imported: in a second or two.

The only part of microgrid that needs Numba, from the extra `numba`. All that a row names are
addresses and counts, so it is compiled once for all programs.
"""
# mypy: disable-error-code="untyped-decorator,no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from .loops import HEADER
from .table import BELOW, BIND, CALL, DONE, FINITE, OUTER, PUT, SAME, SET, WORDS

BYTE, WORD = ir.IntType(8).as_pointer(), types.int64


@intrinsic
def pointer(typing: Any, where: Any) -> Any:
    """Return an address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.inttoptr(given[0], BYTE)

    return types.voidptr(WORD), generate


@intrinsic
def call(typing: Any, function: Any, operands: Any, counts: Any, strides: Any, data: Any) -> Any:
    """Call an inner loop: all are addresses."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        loop = ir.FunctionType(ir.VoidType(), [BYTE] * 4).as_pointer()
        pointers = [builder.inttoptr(where, BYTE) for where in given[1:]]
        builder.call(builder.inttoptr(given[0], loop), pointers)
        return context.get_dummy_value()

    return types.void(WORD, WORD, WORD, WORD, WORD), generate


@intrinsic
def added_to_zero(typing: Any, a: Any, b: Any) -> Any:
    """Return a * b + 0, rounded once: 0 * -1 gives 0, and an underflow keeps its sign."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.fma(given[0], given[1], ir.Constant(given[0].type, 0.0))

    return a(a, b), generate


@njit
def words(where: int, count: int) -> Any:
    """Return the numbers of 8 bytes at an address, as int64[count]."""
    return carray(pointer(where), count, np.int64)


@njit
def halves(where: int, count: int) -> Any:
    """Return the numbers of 4 bytes at an address, as int32[count]."""
    return carray(pointer(where), count, np.int32)


@njit
def call_often(row: Any) -> None:
    """Call an inner loop several times, the operands moved on after each."""
    operands, jumps = words(row[3], row[8]), words(row[7], row[8])
    for _ in range(row[6]):
        call(row[1], row[3], row[4], row[5], row[2])
        for i in range(row[8]):
            operands[i] += jumps[i]
    for i in range(row[8]):
        operands[i] -= row[6] * jumps[i]


@njit
def bind(home: int, number: int, operands: Any, itemsize: int) -> bool:
    """Tell a row further down where an array lies; return whether that is aligned."""
    ahead, operand, given, offset = operands[0], operands[1], operands[2], operands[3]
    data = words(words(given, 1)[0] + HEADER, 1)[0] + offset
    row = words(home + 8 * WORDS * (number + ahead), WORDS)
    words(row[3], row[8])[operand] = data
    return data % itemsize == 0


@njit
def are_same(wheres: Any, expected: Any) -> bool:
    """Return whether at each address stands what is expected; the first ones tell of the next."""
    for i in range(len(wheres)):  # noqa: SIM110  all() is slower here
        if words(wheres[i], 1)[0] != expected[i]:
            return False
    return True


@njit
def is_finite(where: int, itemsize: int) -> bool:
    """Return whether a float32 or float64 is neither nan nor infinite."""
    if itemsize == 4:
        return halves(where, 1)[0] & 0x7F800000 != 0x7F800000
    return words(where, 1)[0] & 0x7FF0000000000000 != 0x7FF0000000000000


@njit
def are_below(indices: Any, limit: int) -> bool:
    """Return whether all indices lie from 0 up to the limit."""
    for index in indices:  # noqa: SIM110  all() is slower here
        if not 0 <= index < limit:
            return False
    return True


@njit
def take(source: Any, indices: Any, target: Any) -> None:
    """Do what source.take(indices, None, target, "clip") does."""
    for i in range(len(indices)):
        target[i] = source[min(max(indices[i], 0), len(source) - 1)]


@njit
def put(target: Any, indices: Any, values: Any) -> None:
    """Do what target.put(indices, values) does with indices that are not negative."""
    for i in range(len(indices)):
        target[indices[i]] = values[i]


@njit
def move(kind: int, operands: Any, counts: Any) -> bool:
    """Take or put elements of 4 or 8 bytes; return False where put might have to raise."""
    indices, size, itemsize = words(operands[1], counts[0]), counts[1], counts[2]
    first, last = operands[0], operands[2]
    if kind == PUT:
        if not are_below(indices, size):
            return False
        if itemsize == 4:
            put(halves(first, size), indices, halves(last, len(indices)))
        else:
            put(words(first, size), indices, words(last, len(indices)))
    elif itemsize == 4:
        take(halves(first, size), indices, halves(last, len(indices)))
    else:
        take(words(first, size), indices, words(last, len(indices)))
    return True


@njit
def set_number(operands: Any, itemsize: int) -> bool:
    """Set a number from one in float64."""
    number = carray(pointer(operands[1]), 1, np.float64)[0]
    if itemsize == 4:
        carray(pointer(operands[0]), 1, np.float32)[0] = number
    else:
        carray(pointer(operands[0]), 1, np.float64)[0] = number
    return True


@njit
def outer(column: Any, row: Any, target: Any, is_fused: bool) -> None:
    """Do what column.dot(row, target) does: each product is added to 0, rounded once or twice."""
    for i in range(len(column)):
        for j in range(len(row)):
            if is_fused:
                target[i, j] = added_to_zero(column[i], row[j])
            else:
                target[i, j] = column[i] * row[j] + column.dtype.type(0)


@njit
def multiply_outer(operands: Any, counts: Any) -> bool:
    """Multiply a column and a row of float32 or float64."""
    m, n, itemsize, is_fused = counts[0], counts[1], counts[2], counts[3] == 1
    a, b, c = pointer(operands[0]), pointer(operands[1]), pointer(operands[2])
    if itemsize == 4:
        column, row = carray(a, m, np.float32), carray(b, n, np.float32)
        outer(column, row, carray(c, (m, n), np.float32), is_fused)
    else:
        column_64, row_64 = carray(a, m, np.float64), carray(b, n, np.float64)
        outer(column_64, row_64, carray(c, (m, n), np.float64), is_fused)
    return True


@njit
def do_other(home: int, number: int, row: Any) -> bool:
    """Run a row that is no call; return whether its check has held."""
    if row[0] == SAME:
        return are_same(words(row[3], row[8]), words(row[4], row[8]))
    operands, counts = words(row[3], 4), words(row[4], 4)
    if row[0] == BIND:
        return bind(home, number, operands, counts[0])
    if row[0] == FINITE:
        return is_finite(operands[0], counts[0])
    if row[0] == BELOW:
        return are_below(words(operands[0], counts[0]), counts[1])
    if row[0] == SET:
        return set_number(operands, counts[0])
    if row[0] == OUTER:
        return multiply_outer(operands, counts)
    return move(row[0], operands, counts)


@njit(WORD(WORD, WORD))
def run(home: int, number: int) -> int:
    """Run the rows of a table from that one on; return 0, or the row whose check has failed."""
    while True:
        row = words(home + 8 * WORDS * number, WORDS)
        if row[0] == DONE:
            return 0
        if row[0] != CALL:
            if not do_other(home, number, row):
                return number
        elif row[6] == 1:
            call(row[1], row[3], row[4], row[5], row[2])
        else:
            call_often(row)
        number += 1
