"""Every op on every memory layout: the values, and gradients of the operand's shape and dtype.

What is drawn: no dimensions, no elements, one element, Fortran order, transposed, reversed, every
other element, a broadcast view, foreign byte order. The oracle is the same call on a fresh
C-contiguous array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from every_op import cases_for

import microgrid as mg
from microgrid.record import Domain
from microgrid.signatures import parse

View = Callable[[mg.Tensor], mg.Tensor]
SHAPES: list[tuple[int, ...]] = [(), (1,), (3,), (2, 3), (2, 1, 3), (1, 1), (0,), (2, 0), (0, 3)]


def leaf(a: np.ndarray) -> mg.Tensor:
    return mg.tensor(a, requires_grad=a.dtype.kind == "f")


def layouts(a: np.ndarray) -> Iterator[tuple[str, mg.Tensor, mg.Tensor]]:
    """Yield (name, leaf, view of it): Tensors of a's shape, in memory of many kinds."""
    whole = leaf(np.array(a, order="F"))
    yield "Fortran", whole, whole
    whole = leaf(a.astype(a.dtype.newbyteorder()))
    yield "foreign byte order", whole, whole
    if a.ndim:
        whole = leaf(np.ascontiguousarray(a.T))
        yield "transposed", whole, whole.T
        whole = leaf(np.ascontiguousarray(np.flip(a)))
        yield "reversed", whole, mg.flip(whole)
        whole = leaf(np.repeat(a, 2, axis=-1))
        yield "every other", whole, whole[..., ::2]
    if a.size:
        first = np.ones((1,) * a.ndim, a.dtype) * a.ravel()[0]
        whole = leaf(first)
        yield "repeated", whole, mg.broadcast_to(whole, a.shape)


def contiguous(t: mg.Tensor) -> mg.Tensor:
    fresh = np.empty(t.shape, t.dtype)
    fresh[...] = t.data
    return leaf(fresh)


def tolerance(dtype: np.dtype[Any]) -> float:
    # Sums of up to 24 terms, and products by BLAS, in another order.
    return 30 * float(np.finfo(dtype).eps) if dtype.kind == "f" else 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_public_op_on_every_layout(shape: Any, dtype: Any) -> None:
    a = np.resize(np.array([0.5, 1.5, 2.5, 0.75], dtype), shape)
    near = tolerance(a.dtype)
    for name, call in cases_for(shape):
        for layout, whole, view in layouts(a):
            where = f"{name}, {layout}"
            same = contiguous(view)
            y, z = call(view), call(same)
            seed = np.resize([1.0, 2.0, -3.0], z.shape)
            np.testing.assert_allclose(y.data, z.data, rtol=near, atol=near, err_msg=where)
            np.testing.assert_allclose(call(view.data), z.data, rtol=near, atol=near, err_msg=where)
            z.backward(seed)
            g = mg.gradients(y, view, seed)
            assert (g.shape, g.dtype) == (view.shape, dtype), where
            assert g.data.dtype.isnative, where
            np.testing.assert_allclose(g.data, same.grad, rtol=near, atol=near, err_msg=where)
            y.backward(seed)
            assert whole.grad is not None, where
            assert (whole.grad.shape, whole.grad.dtype) == (whole.shape, dtype), where


# --- every record, private ones too --------------------------------------------------------------


def core_sizes(op: mg.Op) -> list[dict[str, int]]:
    names = {n.rstrip("?") for operand in parse(op.signature)[0] for n in operand}
    names = sorted(n for n in names if not n.isdigit())
    drawn = [dict(zip(names, (2, 3, 4, 5), strict=False))]
    return [*drawn, dict.fromkeys(names, 1), dict.fromkeys(names, 0)] if names else drawn


def shapes_of(op: mg.Op) -> list[tuple[tuple[int, ...], ...]]:
    """Return shapes for the operands of a record, as its signature tells or as it lists them."""
    if op.shapes:
        return list(op.shapes)
    if "..." in op.signature:
        return [(shape,) for shape in SHAPES]
    operands, _ = parse(op.signature)
    batches = [((), (), ()), ((2, 1), (3,), ()), ((0,), (1,), (0,)), ((2,), (2,), (2,))]
    return [
        tuple(
            (*batch, *(sizes.get(n.rstrip("?"), 1) for n in names))
            for batch, names in zip(places, operands, strict=False)
        )
        for places in batches
        for sizes in core_sizes(op)
    ]


def values(domain: Domain, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if domain.kind != "float":
        return np.zeros(shape, {"int": np.int64, "bool": np.bool_}[domain.kind])
    # Apart from each other and from the kinks, which lie at simple fractions.
    places = domain.low + (domain.high - domain.low) * np.array(
        [0.53, 0.71, 0.87, 0.62, 0.95, 0.79]
    )
    return np.resize(places, shape).astype(dtype)


@pytest.mark.parametrize("name", sorted(mg.OPS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_record_on_every_layout(name: str, dtype: Any) -> None:
    op = mg.OPS[name]
    for shapes in shapes_of(op):
        domains = op.domains if op.arity is not None else op.domains * len(shapes)
        arrays = [values(d, s, dtype) for d, s in zip(domains, shapes, strict=True)]
        for params in list(op.params(*shapes))[:3]:
            for i, a in enumerate(arrays):
                for layout, _, view in layouts(a):
                    check_record(op, arrays, i, view, params, f"{name}{shapes}, {layout}")


def check_record(
    op: mg.Op, arrays: list[np.ndarray], i: int, view: mg.Tensor, params: Any, where: str
) -> None:
    operands = [leaf(a) for a in arrays]
    fresh = [*operands[:i], contiguous(view), *operands[i + 1 :]]
    moved = [*operands[:i], view, *operands[i + 1 :]]
    y, z = op(*moved, **params), op(*fresh, **params)
    assert (y.shape, y.dtype) == (z.shape, z.dtype), where
    near = tolerance(z.dtype)
    np.testing.assert_allclose(y.data, z.data, rtol=near, atol=near, err_msg=where)
    rules = op.rules(len(arrays))
    if not y.requires_grad or z.dtype.kind != "f":
        return
    seed = np.resize([1.0, 2.0, -3.0], z.shape)
    for x, same, rule in zip(moved, fresh, rules, strict=True):
        if rule is None or not x.requires_grad:
            continue
        g, h = mg.gradients(y, x, seed), mg.gradients(z, same, seed)
        assert (g.shape, g.dtype) == (x.shape, x.dtype), where
        np.testing.assert_allclose(g.data, h.data, rtol=near, atol=near, err_msg=where)


def test_all_ways_back_agree_bit_for_bit() -> None:
    """backward, gradients, and gradients that record: the same rules, on arrays or on Tensors."""
    special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        np.inf,
        -np.inf,
        np.nan,
        1e300,
        -1e300,
        1e-320,
        1e3,
        -1e3,
        0.5,
        3,
    ]
    for dtype in (np.float16, np.float32, np.float64):
        for shape in [(), (1,), (14,), (2, 7), (2, 1, 7), (0,), (2, 0)]:
            for name, call in cases_for(shape):
                for entries in (special, [0.5, 1.5, 2.5, 0.75]):
                    with np.errstate(all="ignore"):
                        x = leaf(np.resize(np.array(entries), shape).astype(dtype))
                        y = call(x)
                    seed = np.resize([1.0, 2.0, -3.0], y.shape)
                    plain = mg.gradients(y, x, seed).data
                    recorded = mg.gradients(y, x, seed, create_graph=True).data
                    y.backward(seed)
                    for g in (recorded, x.grad):
                        np.testing.assert_array_equal(plain, g, name)
                        known = ~np.isnan(plain)
                        assert (np.signbit(plain) == np.signbit(g))[known].all(), name
