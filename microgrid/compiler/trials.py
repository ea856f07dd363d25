"""Trying NumPy's loops beside NumPy's calls: only what gives the same bits may be in a table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..ops.linear import ones
from .arena import address, aligned
from .loops import elementwise, products
from .table import Loop, Other, Table

LARGE = 150_000
"""Elements: a product of larger matrices gains nothing, and would take long to try."""

SMALL = 5_000
"""Elements: of smaller operands each special number is tried beside each other."""

_agreeing: dict[Any, bool] = {}
_choices: dict[Any, int | None] = {}


def runner() -> Callable[[int, int], int]:
    """Return run(home, row), compiled: it runs the rows of a table from that one on.

    It returns 0 when they are done, else the number of the row whose check failed.
    """
    from .interpreter import run  # which needs Numba

    found: Callable[[int, int], int] = run
    return found


def agrees(ufunc: np.ufunc, *dtypes: Any) -> bool:
    """Return whether a loop gives the bits that NumPy gives, tried once on random numbers."""
    key = ufunc, dtypes
    if key not in _agreeing:
        *given, out = (aligned(37 * d.itemsize).view(d) for d in dtypes)
        call = elementwise(ufunc, (*given, out), False)
        _agreeing[key] = call is not None and _same_bits(call, ufunc, given, out)
    return _agreeing[key]


def product_that_agrees(a: Array, b: Array, out: Array) -> int | None:
    """Return the first way to multiply that gives the bits of a.dot(b, out), None if none does."""
    if max(a.size, b.size, out.size) > LARGE or any(map(_is_stretched, (a, b))):
        return None
    fixed = _is_one(a), _is_one(b)
    key = address(a) == address(b), fixed, *((x.shape, x.strides, x.dtype) for x in (a, b, out))
    if key not in _choices:
        memories = [aligned(x.nbytes) for x in (a, b, out)]
        memories[1] = memories[0] if key[0] else memories[1]
        try:
            left, right, result = map(_lying, memories, (a, b, out))
        except ValueError:  # gaps between the elements
            return None
        ways = enumerate(products(left, right, result))
        good = (i for i, way in ways if _same_bits(way, np.dot, (left, right), result, fixed))
        _choices[key] = next(good, None)
    return _choices[key]


def _is_stretched(x: Array) -> bool:
    """Return whether elements stand for several, which NumPy copies before it multiplies."""
    return any(stride == 0 and size > 1 for stride, size in zip(x.strides, x.shape, strict=True))


def _is_one(x: Array) -> bool:
    """Return whether it is the constant 1 that sums up a batch of one sample."""
    return x.size == 1 and x is ones(1, x.dtype)


def _lying(memory: Array, like: Array) -> Array:
    """Return the memory as an array that lies as another does; ValueError if it is too small."""
    return np.ndarray(like.shape, like.dtype, memory, strides=like.strides)


def _special(dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Return numbers for which ways to compute the same differ: signs of 0, and what overflows."""
    if dtype.kind != "f":
        return 0, 1, 2
    small, large = (float(x) ** 0.6 for x in (np.finfo(dtype).tiny, np.finfo(dtype).max))
    return 0, -0.0, 1, -1, small, -small, large, -large, np.inf, np.nan


def _draws(given: Sequence[Array]) -> Iterator[Sequence[Any]]:
    """Yield what to fill operands with: random numbers, and each special one beside each other."""
    rng = np.random.default_rng(0)
    size = max(x.size for x in given)
    plain = min(40, 1 + 20_000 // size) if size else 1  # a few numbers may agree by chance
    for share in (*[0.0] * plain, 0.1, 0.5):
        drawn = []
        for x in given:
            special = rng.choice(_special(x.dtype), x.shape)
            drawn.append(
                np.where(rng.random(x.shape) < share, special, rng.standard_normal(x.shape))
            )
        yield drawn
    if size < SMALL:
        yield from itertools.product(*(_special(x.dtype) for x in given))


def _same_bits(
    way: Loop | Other,
    function: Any,
    given: Sequence[Array],
    out: Array,
    fixed: Sequence[bool] = (False, False),
) -> bool:
    """Return whether a row does what the function does, nan being nan whatever its bits.

    Args:
        fixed: which of the operands are 1 whatever is drawn.
    """
    table = Table()
    start, home, run = table.extend([way]), table.finish(), runner()
    with np.errstate(all="ignore"):
        for drawn in _draws(given):
            for x, numbers, is_one in zip(given, drawn, fixed, strict=False):
                x[...] = 1 if is_one else numbers
            run(home, start)
            found = out.copy()
            function(*given, out=out)
            if not _are_same(found, out):
                return False
    return True


def _are_same(a: Array, b: Array) -> bool:
    if a.dtype.kind != "f":
        return a.tobytes() == b.tobytes()
    return bool(((a == b) & (np.signbit(a) == np.signbit(b)) | np.isnan(a) & np.isnan(b)).all())
