"""Products of vectors and matrices."""

from __future__ import annotations

import functools
import math
import string
from typing import Any

import numpy as np

from ..arrays import Array, into
from ..backward import broadcast_to
from ..core import Op, Operand, Tensor, as_operand
from ..errors import ShapeError
from ..record import EachInput
from .arithmetic import ANY
from .shape import expand_dims, moveaxis, swapaxes


def _column(v: Any) -> Any:
    return v.reshape((*v.shape, 1))


def _row(v: Any) -> Any:
    return v.reshape((*v.shape[:-1], 1, v.shape[-1]))


def _turned(m: Any) -> Any:
    return m.T if m.ndim == 2 else swapaxes(m, -1, -2)


def _matmul(a: Array, b: Array, out: Array | None = None) -> Any:
    # Of two matrices dot takes half of matmul's time, a sixth of it if one is transposed and thin.
    if a.ndim == 2 and b.ndim == 2:
        return a.dot(b, out)  # the method, which costs half of what np.dot(a, b) does
    return np.matmul(a, b, out=out)


def _write_product(line: Any, out: Array, a: Any, b: Any) -> bool:
    if not a.ndim == b.ndim == 2 or not a.dtype == b.dtype == out.dtype:
        return False
    line.text("{0}.dot({1}, {2})", a, b, out)
    return True


def _times(a: Any, b: Any) -> Any:
    """Return the product in a rule, as the op's kernel gives it: all ways agree bit by bit."""
    if type(a) is type(b) is np.ndarray:
        return a.dot(b) if a.ndim == b.ndim == 2 else np.matmul(a, b)
    return matmul(a, b)


def _matmul_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return _column(g) * b
    if a.ndim == 1:
        return _times(b, _column(g)).reshape(b.shape[:-1])
    return _times(g, _turned(b))


def _matmul_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1:
        return a * g if b.ndim == 1 else _column(a) * _row(g)
    if b.ndim == 1:
        return _times(_turned(a), _column(g)).reshape((*a.shape[:-2], a.shape[-1]))
    return _times(_turned(a), g)


def _ranks(a: Array, b: Array) -> str:
    """Return the subscripts of a product of operands of these ranks."""
    left, right = "...ij" if a.ndim > 1 else "j", "...jk" if b.ndim > 1 else "j"
    return f"{left},{right}->...{'i' * (a.ndim > 1)}{'k' * (b.ndim > 1)}"


matmul = Op(
    name="matmul",
    doc="The matrix product over the last axis of a and the last but one of b; axes before those "
    "broadcast. A vector counts as a row on the left and as a column on the right.",
    kernel=_matmul,
    vjps=(_matmul_left, _matmul_right),
    domains=(ANY, ANY),
    signature="(n?,k),(k,m?)->(n?,m?)",
    reference=lambda a, b: np.einsum(_ranks(a, b), a, b),
    formula="Σ a[i, k] * b[k, j] over k",
    inline=_write_product,
)


@functools.lru_cache(maxsize=32)
def ones(size: int, dtype: np.dtype[Any]) -> Array:
    """Return float[size] of ones, always the same: a sum as a product with it is the fastest."""
    row = np.ones(size, dtype)
    row.flags.writeable = False
    return row


def _affine_bias(g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    if g.ndim != 2:
        return g  # summed over what broadcasting repeated
    # A product with ones takes a fraction of the time of a sum over the rows.
    row = ones(g.shape[0], g.dtype)
    return row.dot(g) if type(g) is np.ndarray else dot(row, g)


def _affine(x: Array, weight: Array, bias: Array, out: Array | None = None) -> Any:
    if weight.ndim != 2 or bias.ndim != 1:
        raise ShapeError(
            f"affine: weight of shape {weight.shape} and bias of shape {bias.shape} were given; it "
            "needs (inputs, outputs) and (outputs,)."
        )
    y = x.dot(weight, out) if x.ndim == 2 else np.matmul(x, weight, out=out)
    if out is None and y.dtype is not bias.dtype:
        y = np.asarray(y, np.result_type(y, bias))
    return np.add(y, bias, y)  # in place, so a bias that would stretch the result is an error


def _write_affine(line: Any, out: Array, x: Any, weight: Any, bias: Any) -> bool:
    if not _write_product(line, out, x, weight):
        return False
    line.each(np.add, out, bias, out)
    return True


affine = Op(
    name="affine",
    doc="x @ weight + bias, what a dense layer computes. One op, because it saves a small "
    "network's training step a sixth of its time.",
    kernel=_affine,
    vjps=(
        lambda g, y, x, weight, bias: _times(g, weight.T),
        lambda g, y, x, weight, bias: (
            _times(x.T, g) if x.ndim == 2 else _matmul_right(g, y, x, weight)
        ),
        _affine_bias,
    ),
    domains=(ANY, ANY, ANY),
    signature="(n?,k),(k,m),(m)->(n?,m)",
    shapes=(
        ((3, 2), (2, 4), (4,)),
        ((2,), (2, 3), (3,)),
        ((2, 1, 3), (3, 2), (2,)),
        ((0, 2), (2, 3), (3,)),
        ((2, 0), (0, 3), (3,)),
    ),
    reference=lambda x, weight, bias: np.einsum(_ranks(x, weight), x, weight) + bias,
    formula="x @ weight + bias",
    inline=_write_affine,
)


def _dot_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 0 or b.ndim == 0:
        return g * b
    if b.ndim == 1:
        return _column(g) * b
    columns = _as_columns(b)
    return g.reshape((*a.shape[:-1], columns.shape[1])) @ columns.T


def _dot_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 0 or b.ndim == 0:
        return g * a
    rows = a.reshape((-1, a.shape[-1])) if a.size else a.reshape((_rows(a), a.shape[-1]))
    if b.ndim == 1:
        return g.reshape((_rows(a),)) @ rows
    rest = (*b.shape[:-2], b.shape[-1])
    grad = rows.T @ g.reshape((_rows(a), math.prod(rest)))
    return moveaxis(grad.reshape((b.shape[-2], *rest)), 0, -2)


def _write_dot(line: Any, out: Array, a: Any, b: Any) -> bool:
    if a.ndim not in (1, 2) or b.ndim not in (1, 2) or not a.dtype == b.dtype == out.dtype:
        return False
    line.text("{0}.dot({1}, {2})", a, b, out)
    return True


def _rows(a: Any) -> int:
    return math.prod(a.shape[:-1])


def _as_columns(b: Any) -> Any:
    """Return b[..., k, m] as a matrix [k, all the rest]."""
    return moveaxis(b, -2, 0).reshape((b.shape[-2], math.prod((*b.shape[:-2], b.shape[-1]))))


dot = Op(
    name="dot",
    doc="The dot product of two vectors: the sum of their products. Of arrays, over the last axis "
    "of a and the last but one of b, in all combinations of the others, as `numpy.dot`.",
    kernel=lambda a, b, out=None: into(out, np.dot(a, b)),
    vjps=(_dot_left, _dot_right),
    domains=(ANY, ANY),
    signature="(...),(...)->(...)",
    shapes=(
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (2, 3, 4)),
        ((), (2,)),
        ((0,), (0,)),
    ),
    reference=lambda a, b: (
        np.tensordot(a, b, (-1, -min(b.ndim, 2))) if b.ndim and a.ndim else a * b
    ),
    formula="Σ a[k] * b[k]",
    inline=_write_dot,
)

outer = Op(
    name="outer",
    doc="All products of an element of a and one of b; arrays are flattened first.",
    kernel=lambda a, b, out=None: into(out, np.outer(a, b)),
    vjps=(
        lambda g, y, a, b: (g @ b.reshape((b.size,))).reshape(a.shape),
        lambda g, y, a, b: (a.reshape((a.size,)) @ g).reshape(b.shape),
    ),
    domains=(ANY, ANY),
    signature="(...),(...)->(n,m)",
    shapes=(((3,), (2,)), ((2, 2), (3,)), ((), (2,)), ((0,), (2,))),
    reference=lambda a, b: np.array([[p * q for q in b.flat] for p in a.flat]).reshape(
        a.size, b.size
    ),
    formula="a[i] * b[j]",
)


# --- Einstein sums -------------------------------------------------------------------------------


def _einsum_rule(i: int, g: Any, y: Any, *xs: Any, subscripts: str) -> Any:
    operands, result = subscripts.split("->")
    letters = operands.split(",")
    mine, x = letters[i], xs[i]
    others = [x for j, x in enumerate(xs) if j != i]
    other_letters = [term for j, term in enumerate(letters) if j != i]
    wanted = "".join(dict.fromkeys(mine))
    known = "".join(c for c in wanted if c in result + "".join(other_letters))
    terms = ",".join([result, *other_letters])
    gx = _einsum(g, *others, subscripts=f"{terms}->{known}")
    sizes = dict(zip(mine, x.shape, strict=True))
    # A letter that stands nowhere else was summed over: its gradient is the same all along.
    for place, c in enumerate(wanted):
        if c not in known:
            gx = expand_dims(gx, place)
            gx = broadcast_to(gx, shape=(*gx.shape[:place], sizes[c], *gx.shape[place + 1 :]))
    if wanted != mine:
        gx = _on_diagonal(gx, wanted, mine, sizes)
    return broadcast_to(
        gx, shape=np.broadcast_shapes(gx.shape, x.shape)
    )  # where others have size 1


def _on_diagonal(gx: Any, wanted: str, mine: str, sizes: dict[str, int]) -> Any:
    """Return gx with a repeated letter's axis laid on the diagonal of its axes."""
    free = iter(c for c in string.ascii_letters if c not in mine)
    placed, eyes, terms = "", [], [wanted]
    for c in mine:
        twin = next(free) if c in placed else c
        if twin != c:
            terms.append(c + twin)
            eyes.append(np.eye(sizes[c], dtype=gx.dtype))
        placed += twin
    return _einsum(gx, *eyes, subscripts=f"{','.join(terms)}->{placed}")


def _einsum_kernel(*xs: Array, out: Array | None = None, subscripts: str) -> Any:
    y = np.einsum(subscripts, *xs)
    # Of one operand it may be a view, and only an op that declares it may return one.
    return into(out, np.array(y) if len(xs) == 1 else y)


_einsum = Op(
    name="einsum",
    doc="Einstein's summation: products of elements, summed over the letters not in the result.",
    kernel=_einsum_kernel,
    vjps=EachInput(
        lambda wanted, g, y, *xs, subscripts: [
            _einsum_rule(i, g, y, *xs, subscripts=subscripts) if wanted[i] else None
            for i in range(len(xs))
        ]
    ),
    domains=(ANY,),
    signature="(...)->(...)",
    shapes=(((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 2, 3),), ((2, 1), (2, 3))),
    params=lambda *shapes: [{"subscripts": s} for s in _sample_subscripts(*shapes)],
    reference=lambda *xs, subscripts: _einsum_by_elements(xs, subscripts),
    formula="Σ a[ij..] * b[jk..] * ..",
)


def _sample_subscripts(*shapes: tuple[int, ...]) -> list[str]:
    terms = ["abcdef"[: len(shape)] for shape in shapes]
    joined = ",".join(terms)
    everything = max(terms, key=len)
    return [f"{joined}->", f"{joined}->{everything}", f"{joined}->{everything[::-1]}"]


def _einsum_by_elements(xs: Any, subscripts: str) -> Array:
    operands, result = subscripts.split("->")
    terms = operands.split(",")
    sizes: dict[str, int] = {}
    for term, x in zip(terms, xs, strict=True):
        for c, n in zip(term, x.shape, strict=True):
            sizes[c] = n if sizes.get(c, 1) == 1 else sizes[c]
    y = np.zeros([sizes[c] for c in result])
    for place in np.ndindex(*sizes.values()):
        at = dict(zip(sizes, place, strict=True))
        value = 1.0
        for term, x in zip(terms, xs, strict=True):
            value *= x[tuple(at[c] % n for c, n in zip(term, x.shape, strict=True))]
        y[tuple(at[c] for c in result)] += value
    return y


def einsum(subscripts: str, *operands: Operand) -> Tensor:
    """Return Einstein's summation of the operands, as `numpy.einsum` reads it.

    Args:
        subscripts: letters for the axes of each operand, commas between them, "->" and the letters
            of the result; without that, those that occur once, in alphabetical order. An ellipsis
            stands for axes that broadcast.
        operands: any[...] each, as many as there are terms.

    Raises:
        ShapeError: terms and operands, or letters and axes, or sizes do not fit.
        TypeError: the subscripts are no string.

    >>> from microgrid import einsum
    >>> einsum("ij,jk->ik", [[1, 2], [3, 4]], [[1, 0], [0, 1]])
    array([[1, 2],
           [3, 4]])
    """
    if not isinstance(subscripts, str):
        raise TypeError(
            f"einsum: subscripts of type {type(subscripts).__name__} were given; a string such as "
            "'ij,jk->ik' must come first."
        )
    xs = [as_operand("einsum", x) for x in operands]
    return _einsum(*xs, subscripts=_explicit(subscripts, [x.ndim for x in xs]))


def _explicit(subscripts: str, ndims: list[int]) -> str:
    """Return subscripts without ellipsis and with the result's letters written out."""
    operands, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = operands.split(",")
    if len(terms) != len(ndims):
        raise ShapeError(
            f"einsum: {subscripts!r} has {len(terms)} terms and {len(ndims)} operands were given; "
            "their numbers must be the same."
        )
    unused = [c for c in string.ascii_letters if c not in subscripts]
    extra = max([n - len(t) + 3 for t, n in zip(terms, ndims, strict=True) if "..." in t] + [0])
    ellipsis = "".join(unused[:extra])
    for i, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        if "..." in term:
            here = ndim - len(term) + 3
            terms[i] = term.replace("...", ellipsis[extra - here :] if here > 0 else "")
        if len(terms[i]) != ndim:
            raise ShapeError(
                f"einsum: the term {term!r} was given for an operand of {ndim} dimensions; it "
                "needs a letter for each."
            )
    if not arrow:
        everything = "".join(terms)
        once = sorted(c for c in set(everything) - set(ellipsis) if everything.count(c) == 1)
        result = ellipsis + "".join(once)
    return f"{','.join(terms)}->{result.replace('...', ellipsis)}"
