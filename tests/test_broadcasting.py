"""Shapes: broadcasting and what undoes it, matrix products of every rank, axes, misfits.

The oracle for gradients is an exact difference: on small integers a function that is linear in one
entry changes, when that entry grows by 1, by exactly its slope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_op import cases_for
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgrid as mg
from microgrid.errors import GraphError, ShapeError

Function = Callable[..., Any]


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(value, dtype=dtype, requires_grad=True)


def integers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(float)


def difference(f: Function, arrays: list[np.ndarray], i: int, weights: np.ndarray) -> np.ndarray:
    """Return the gradient of sum(weights * f) towards array i, if f is linear in each entry."""
    here = np.sum(weights * f(*arrays))
    grad = np.empty(arrays[i].shape)
    for place in np.ndindex(grad.shape):
        moved = [a.copy() for a in arrays]
        moved[i][place] += 1
        grad[place] = np.sum(weights * f(*moved)) - here
    return grad


def check_exactly(f: Function, numpy_f: Function, arrays: list[np.ndarray]) -> None:
    tensors = [leaf(a) for a in arrays]
    y = f(*tensors)
    expected = np.asarray(numpy_f(*arrays))
    assert y.shape == expected.shape
    assert (y.data == expected).all()
    weights = integers(y.shape, seed=9)
    y.backward(weights)
    for i, t in enumerate(tensors):
        assert t.grad is not None
        assert t.grad.shape == t.shape
        assert (t.grad == difference(numpy_f, arrays, i, weights)).all()


# --- broadcasting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "gradients"),
    [
        (((3,), (2, 3)), (2, 1)),
        (((4, 1, 3), (2, 1)), (2, 12)),
        (((), (2, 3)), (6, 1)),
        (((1,), ()), (1, 1)),
        (((1, 1, 1), (2,)), (2, 1)),
        (((2, 1), (1, 3)), (3, 2)),
    ],
)
def test_gradients_of_a_broadcast_sum_count_the_repetitions(shapes: Any, gradients: Any) -> None:
    a, b = (leaf(np.ones(shape)) for shape in shapes)
    (a + b).sum().backward()
    for x, shape, count in zip((a, b), shapes, gradients, strict=True):
        assert x.grad.shape == shape
        assert (x.grad == count).all()


def test_a_stretched_axis_of_no_elements_gets_zeros() -> None:
    a, b = leaf(np.ones((0, 3))), leaf(np.ones((1, 3)))
    (a + b).sum().backward()
    assert a.grad.shape == (0, 3)
    assert b.grad.tolist() == [[0, 0, 0]]


def test_one_times_nothing_has_gradient_zero() -> None:
    a, b = leaf(np.ones(1)), leaf(np.ones(0))
    (a * b).sum().backward()
    assert a.grad.tolist() == [0.0]
    assert b.grad.shape == (0,)


LINEAR_IN_EACH: dict[str, tuple[Function, Function]] = {
    "add": (mg.add, np.add),
    "subtract": (mg.subtract, np.subtract),
    "multiply": (mg.multiply, np.multiply),
    "where": (lambda a, b: mg.where(b.data > 0, a, b * 2), lambda a, b: np.where(b > 0, a, b * 2)),
}


@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
@given(data=st.data())
def test_broadcasting_is_undone_exactly(name: str, data: Any) -> None:
    shapes = data.draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3)
    )
    f, numpy_f = LINEAR_IN_EACH[name]
    check_exactly(f, numpy_f, [integers(s, seed=i) for i, s in enumerate(shapes.input_shapes)])


@given(data=st.data())
def test_where_undoes_the_broadcasting_of_all_three(data: Any) -> None:
    drawn = data.draw(
        hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3)
    )
    condition, a, b = (integers(s, seed=i) for i, s in enumerate(drawn.input_shapes))
    check_exactly(
        lambda p, q: mg.where(condition > 0, p, q),
        lambda p, q: np.where(condition > 0, p, q),
        [a, b],
    )


BINARY = {
    "add": mg.add, "subtract": mg.subtract, "multiply": mg.multiply, "divide": mg.divide,
    "power": mg.power, "maximum": mg.maximum, "minimum": mg.minimum, "logaddexp": mg.logaddexp,
    "prelu": mg.prelu, "softmax_cross_entropy": mg.OPS["softmax_cross_entropy"],
}  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_a_stretched_operand_gets_the_sum_of_the_gradients_it_had_if_repeated(
    name: str, data: Any
) -> None:
    """Broadcasting is repetition: the oracle is the same op on operands repeated by hand."""
    least = 1 if name == "softmax_cross_entropy" else 0
    drawn = data.draw(
        hnp.mutually_broadcastable_shapes(
            num_shapes=2, min_dims=least, max_dims=3, min_side=0, max_side=3
        )
    )
    if least and len({s[-1:] for s in drawn.input_shapes}) > 1:
        return  # its last axis does not broadcast
    rng = np.random.default_rng(3)
    arrays = [rng.uniform(0.5, 2, s) for s in drawn.input_shapes]
    small = [leaf(a) for a in arrays]
    large = [leaf(np.array(np.broadcast_to(a, drawn.result_shape))) for a in arrays]
    y, z = BINARY[name](*small), BINARY[name](*large)
    assert y.shape == z.shape
    y.backward(np.ones(y.shape))
    z.backward(np.ones(z.shape))
    for a, b in zip(small, large, strict=True):
        lead = b.ndim - a.ndim
        axes = (*range(lead), *(i + lead for i, n in enumerate(a.shape) if n == 1))
        summed = b.grad.sum(axis=axes, keepdims=True).reshape(a.shape)
        # The order of a sum of up to 27 terms may differ.
        np.testing.assert_allclose(a.grad, summed, rtol=1e-14)


@pytest.mark.parametrize("target", [(3,), (2, 3), (4, 2, 3), (2, 1, 2, 3)])
def test_broadcast_to_sums_back(target: tuple[int, ...]) -> None:
    check_exactly(
        lambda x: mg.broadcast_to(x, target), lambda x: np.broadcast_to(x, target), [integers((3,))]
    )


# --- matrix products -----------------------------------------------------------------------------

MATMUL_SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((1, 1), (1, 1)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((4, 1, 2, 3), (5, 3, 1)),
    ((2, 1, 2, 3), (1, 3, 3, 2)),
    ((2, 0), (0, 3)),
    ((0,), (0,)),
    ((0, 3), (3, 2)),
    ((2, 3), (3, 0)),
    ((0, 2, 3), (3, 4)),
    ((5, 2, 0), (0, 4)),
    ((0,), (2, 0, 3)),
]


@pytest.mark.parametrize("shapes", MATMUL_SHAPES, ids=str)
def test_matmul_of_every_rank(shapes: Any) -> None:
    check_exactly(mg.matmul, np.matmul, [integers(s, i) for i, s in enumerate(shapes)])


@given(
    hnp.mutually_broadcastable_shapes(
        signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3
    )
)
def test_matmul_of_any_shapes_numpy_takes(drawn: Any) -> None:
    check_exactly(mg.matmul, np.matmul, [integers(s, i) for i, s in enumerate(drawn.input_shapes)])


def test_second_gradient_of_a_batched_product_sums_over_the_batch() -> None:
    a, b = leaf(integers((5, 2, 3))), leaf(integers((3, 4), 1))
    (a @ b).sum().backward()
    assert b.grad.shape == (3, 4)
    assert (b.grad == np.repeat(a.data.sum(axis=(0, 1))[:, None], 4, axis=1)).all()


LAYOUTS: dict[str, Function] = {
    "C": lambda m: np.ascontiguousarray(m),
    "Fortran": lambda m: np.asfortranarray(m),
    "transposed": lambda m: np.ascontiguousarray(m.T).T,
    "negative strides": lambda m: np.ascontiguousarray(m[::-1, ::-1])[::-1, ::-1],
    "every other": lambda m: np.repeat(np.repeat(m, 2, 0), 2, 1)[::2, ::2],
    "repeated row": lambda m: np.broadcast_to(m[0], m.shape),
}


@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
def test_matmul_of_any_memory_layout(left: str, right: str) -> None:
    a, b = LAYOUTS[left](integers((2, 3))), LAYOUTS[right](integers((3, 4), 1))
    for x, y in ((a, leaf(b)), (leaf(a), b)):
        result = x @ y
        assert (result.data == a @ b).all()
        result.backward(np.ones((2, 4)))
    assert (
        (y.grad == np.repeat(a.sum(axis=0)[:, None], 4, 1)).all()
        if isinstance(y, mg.Tensor)
        else True
    )
    assert (x.grad == np.tile(b.sum(axis=1), (2, 1))).all()


def test_matmul_of_tensors_that_are_views() -> None:
    base = leaf(integers((6, 4)))
    a, b = base[::-2, 1:].T, base[1::2, ::-1]
    weights = integers((3, 4), 5)
    (a @ b * weights).sum().backward()
    first = difference(lambda m: m[::-2, 1:].T @ base.data[1::2, ::-1], [base.data], 0, weights)
    second = difference(lambda m: base.data[::-2, 1:].T @ m[1::2, ::-1], [base.data], 0, weights)
    assert (base.grad == first + second).all()


DOT_SHAPES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((2, 2, 3), (3,)), ((2, 2, 3), (5, 3, 4)), ((), (2, 3)), ((2, 3), ()), ((), ()), ((0,), (0,)),
    ((2, 0), (0, 3)), ((0, 3), (3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("shapes", DOT_SHAPES, ids=str)
def test_dot_of_every_rank(shapes: Any) -> None:
    check_exactly(mg.dot, np.dot, [integers(s, i) for i, s in enumerate(shapes)])


@pytest.mark.parametrize(
    "shapes", [((3,), (2,)), ((2, 2), (3,)), ((), (2,)), ((0,), (3,)), ((), ())], ids=str
)
def test_outer_of_every_rank(shapes: Any) -> None:
    check_exactly(mg.outer, np.outer, [integers(s, i) for i, s in enumerate(shapes)])


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", ((2, 3), (3, 4))),
        ("ij,jk", ((2, 3), (3, 4))),
        ("ij->ji", ((2, 3),)),
        ("ij->", ((2, 3),)),
        ("ii->i", ((3, 3),)),
        ("ii", ((3, 3),)),
        ("iji->j", ((2, 3, 2),)),
        ("i,i", ((3,), (3,))),
        ("i,j->ij", ((3,), (2,))),
        ("i,j->", ((3,), (2,))),
        ("bij,bjk->bik", ((4, 2, 3), (4, 3, 2))),
        ("...ij,...jk->...ik", ((4, 1, 2, 3), (5, 3, 2))),
        ("...i,i->...", ((2, 3), (3,))),
        ("i...->...", ((2, 3),)),
        ("ij,ij->ij", ((1, 3), (2, 1))),
        ("a,ab,b->", ((2,), (2, 3), (3,))),
        ("ij,jk,kl->il", ((2, 3), (3, 2), (2, 4))),
        (" i j , j k -> i k ", ((2, 3), (3, 4))),
        ("i,->i", ((3,), ())),
        ("ij,jk->ik", ((2, 0), (0, 3))),
        ("ij->i", ((0, 3),)),
        ("Ab,bA->", ((2, 3), (3, 2))),
    ],
)
def test_einsum(subscripts: str, shapes: Any) -> None:
    check_exactly(
        lambda *xs: mg.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
        [integers(s, i) for i, s in enumerate(shapes)],
    )


def test_einsum_of_the_same_tensor_twice() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    mg.einsum("ij,jk->", x, x).backward()
    assert x.grad.tolist() == [[7, 11], [9, 13]]


# --- shapes of results ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "numpy_f"),
    [
        (lambda x: x.reshape(3, 2), lambda x: x.reshape(3, 2)),
        (lambda x: x.reshape((-1,)), lambda x: x.reshape(-1)),
        (lambda x: x.reshape(2, -1, 1), lambda x: x.reshape(2, -1, 1)),
        (lambda x: x.T.reshape(6), lambda x: x.T.reshape(6)),
        (lambda x: x.transpose(), np.transpose),
        (lambda x: x.transpose(1, 0), lambda x: x.transpose(1, 0)),
        (lambda x: x.transpose((-1, 0)), lambda x: x.transpose((-1, 0))),
        (lambda x: x.swapaxes(0, -1), lambda x: x.swapaxes(0, -1)),
        (lambda x: mg.moveaxis(x, [0, 1], [1, 0]), lambda x: np.moveaxis(x, [0, 1], [1, 0])),
        (lambda x: mg.expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, (0, -1))),
        (lambda x: mg.squeeze(x[None, :, None]), lambda x: x),
        (lambda x: mg.squeeze(x[None, :, None], axis=-2), lambda x: x[None]),
        (lambda x: mg.flip(x), lambda x: np.flip(x)),
        (lambda x: mg.flip(x, (0, 1)), lambda x: np.flip(x, (0, 1))),
        (lambda x: mg.concatenate([x, 2 * x, x[:1]]), lambda x: np.concatenate([x, 2 * x, x[:1]])),
        (lambda x: mg.concatenate([x, x], axis=-1), lambda x: np.concatenate([x, x], axis=-1)),
        (lambda x: mg.stack([x, x, 3 * x], axis=-1), lambda x: np.stack([x, x, 3 * x], axis=-1)),
        (lambda x: mg.split(x, 3, axis=1)[1], lambda x: np.split(x, 3, axis=1)[1]),
        (lambda x: mg.split(x, [1, 1], axis=0)[1], lambda x: np.split(x, [1, 1], axis=0)[1]),
        (lambda x: mg.pad(x, ((1, 0), (0, 2))), lambda x: np.pad(x, ((1, 0), (0, 2)))),
        (lambda x: mg.pad(x, 1, constant_values=7), lambda x: np.pad(x, 1, constant_values=7)),
        (lambda x: mg.crelu(x + 9, axis=0), lambda x: np.concatenate([x + 9, 0 * x])),
        (lambda x: mg.cumsum(x), lambda x: np.cumsum(x)),
        (lambda x: mg.cumsum(x, axis=-2), lambda x: np.cumsum(x, axis=-2)),
    ],
)
def test_rearrangements_and_their_gradients_are_exact(f: Function, numpy_f: Function) -> None:
    check_exactly(f, numpy_f, [integers((2, 3))])


# --- what does not fit ---------------------------------------------------------------------------

MISFITS: list[tuple[str, Function, tuple[tuple[int, ...], ...]]] = [
    ("add", lambda a, b: a + b, ((2, 3), (4,))),
    ("subtract", lambda a, b: a - b, ((2, 3), (2,))),
    ("multiply", lambda a, b: a * b, ((2, 3), (3, 2))),
    ("divide", lambda a, b: a / b, ((0,), (2,))),
    ("power", lambda a, b: a**b, ((2,), (3,))),
    ("maximum", mg.maximum, ((2,), (3,))),
    ("minimum", mg.minimum, ((2,), (3,))),
    ("logaddexp", mg.logaddexp, ((2,), (3,))),
    ("prelu", mg.prelu, ((2,), (3,))),
    ("equal", lambda a, b: a == b, ((2,), (3,))),
    ("greater", lambda a, b: a > b, ((2,), (3,))),
    ("matmul", lambda a, b: a @ b, ((32, 784), (128, 10))),
    ("matmul", lambda a, b: a @ b, ((3,), (2,))),
    ("matmul", lambda a, b: a @ b, ((), (2,))),
    ("matmul", lambda a, b: a @ b, ((2, 3, 4), (3, 4, 2))),
    ("dot", mg.dot, ((2, 3), (2, 4))),
    ("concatenate", lambda a, b: mg.concatenate([a, b]), ((2, 3), (2, 4))),
    ("stack", lambda a, b: mg.stack([a, b]), ((2, 3), (3, 2))),
    ("einsum", lambda a, b: mg.einsum("ij,jk->ik", a, b), ((2, 3), (4, 2))),
    ("where", lambda a, b: mg.where([True, False], a, b), ((2, 3), (3,))),
    ("mean_squared_error", mg.mean_squared_error, ((3,), (4,))),
    ("mean_squared_error", mg.mean_squared_error, ((3,), (3, 1))),
    ("take_along_axis", lambda a, b: mg.take_along_axis(a, b.astype(int), 0), ((2, 3), (2, 2))),
    ("take_along_axis", lambda a, b: mg.take_along_axis(a, b.astype(int), 0), ((2, 3), (2,))),
]


@pytest.mark.parametrize(
    ("name", "f", "shapes"), MISFITS, ids=lambda v: v if isinstance(v, str) else None
)
def test_shapes_that_do_not_fit_are_named_in_the_forward(
    name: str, f: Function, shapes: tuple[tuple[int, ...], ...]
) -> None:
    tensors = [leaf(np.zeros(s)) for s in shapes]
    with pytest.raises(ShapeError) as caught:
        f(*tensors)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    for shape in shapes:
        assert str(shape) in message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.reshape(4),
        lambda x: x.reshape(-1, 4),
        lambda x: x.reshape(-1, -1),
        lambda x: mg.broadcast_to(x, (2, 2)),
        lambda x: mg.broadcast_to(x, (3,)),
        lambda x: mg.squeeze(x, 0),
        lambda x: x.transpose(0),
        lambda x: mg.maxout(x, 2),
        lambda x: mg.split(x, 2, axis=1),
        lambda x: mg.pad(x, -1),
        lambda x: mg.pad(x, [(1, 1)] * 3),
        lambda x: mg.affine(x, np.ones((3, 2)), np.ones(3)),
        lambda x: mg.affine(x, np.ones((3, 1)), np.ones(2, np.float32)),
    ],
)
def test_shapes_that_cannot_be_made_are_named(f: Function) -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        f(leaf(np.zeros((2, 3))))


def test_a_misfit_leaves_no_graph_behind() -> None:
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        x = leaf(np.ones(3))
        y = mg.exp(x)
        alive = weakref.ref(y)
        with pytest.raises(ShapeError):
            y + mg.tensor(np.ones(4))
        del y
        assert alive() is None
    finally:
        gc.enable()
    assert x.grad is None


@pytest.mark.parametrize("given_shape", [(), (1,), (3,), (1, 3), (3, 1), (2, 3, 1), (6,), (0,)])
def test_an_incoming_gradient_of_another_shape_is_never_broadcast(given_shape: Any) -> None:
    x = leaf(np.ones((2, 3)))
    message = (
        rf"^backward: a gradient of shape \({', '.join(map(str, given_shape))},?\) was given for a "
        r"result of shape \(2, 3\); the shapes must be equal\. Broadcast it first\.$"
    )
    y = x * 2
    with pytest.raises(ShapeError, match=message):
        y.backward(np.ones(given_shape))
    with pytest.raises(ShapeError, match=r"^gradients: a gradient of shape"):
        mg.gradients(y, x, np.ones(given_shape))
    assert x.grad is None
    y.backward(np.ones((2, 3)))  # the graph is still there
    assert (x.grad == 2).all()


@pytest.mark.parametrize("shape", [(2,), (0,), (2, 3)])
def test_several_elements_without_a_gradient_are_an_error(shape: Any) -> None:
    x = leaf(np.ones(shape))
    with pytest.raises(GraphError, match="no gradient was given"):
        (x * 2).backward()
    assert x.grad is None


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_one_element_of_any_rank_needs_no_gradient(shape: Any) -> None:
    x = leaf(np.ones(shape))
    (x * 2).backward()
    assert x.grad.shape == shape
    assert (x.grad == 2).all()


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        (lambda g, y, x: g.T, "(3, 2)"),  # as many elements: not to be reshaped without a word
        (lambda g, y, x: 1.0, "()"),
        (lambda g, y, x: g[0], "(3,)"),
        (lambda g, y, x: g[:, :1], "(2, 1)"),
    ],
)
def test_a_rule_whose_gradient_does_not_fit_is_an_error(rule: Function, shape: str) -> None:
    op = mg.Op(
        name="misfitting",
        doc="A copy.",
        kernel=lambda x, out=None: np.array(x),
        vjps=(rule,),
        domains=(mg.Domain(),),
    )
    try:
        x = leaf(np.ones((2, 3)))
        with pytest.raises(ShapeError) as caught:
            op(x).backward(np.ones((2, 3)))
    finally:
        del mg.OPS["misfitting"]
    assert str(caught.value) == (
        f"backward: the rule of misfitting gave a gradient of shape {shape} for an input of shape "
        "(2, 3); it must have that shape, or one that this broadcasts to."
    )
    assert x.grad is None


@pytest.mark.parametrize(
    "shape", [(), (1,), (3,), (2, 3), (2, 1, 3), (1, 1), (0,), (2, 0), (0, 3)], ids=str
)
def test_every_op_keeps_the_shape_of_its_operand_in_the_gradient(shape: Any) -> None:
    for name, call in cases_for(shape):
        x = leaf(np.resize([0.5, 1.5, 2.5, 0.75], shape))
        y = call(x)
        y.backward(np.ones(y.shape))
        assert x.grad.shape == shape, name
