"""Which dtype comes out: floats keep theirs, integers carry no gradient, Fractions stay exact."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from every_op import ELEMENTWISE, GROUPS, NO_GRADIENT, cases, cases_for, like
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid.errors import DtypeError

Function = Callable[..., Any]
FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
SHAPES: list[tuple[int, ...]] = [(), (1,), (3,), (2, 3), (2, 1, 3), (0,), (2, 0), (0, 3)]


def test_the_table_of_calls_has_every_public_op() -> None:
    listed = set().union(*GROUPS.values()) | NO_GRADIENT
    assert set(mg.ops.PUBLIC) <= listed
    assert listed <= set(mg.ops.PUBLIC) | set(mg.OPS)


# --- floats stay what they are -------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_op_keeps_the_dtype_forward_and_backward(dtype: Any, shape: Any) -> None:
    for name, call in cases_for(shape):
        a = np.resize(np.array([0.5, 1.5, 2.5, 0.75], dtype), shape)
        x = mg.tensor(a, requires_grad=True)
        y = call(x)
        assert y.dtype == dtype, name
        y.backward(np.ones(y.shape))  # float64, to be cast
        assert x.grad.dtype == dtype, name
        assert type(x.grad) is np.ndarray, name
        plain = call(a)
        assert not isinstance(plain, mg.Tensor), name
        assert np.asarray(plain).dtype == dtype, name
        np.testing.assert_array_equal(plain, y.data, name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradients_of_gradients_keep_the_dtype(dtype: Any) -> None:
    for name, call in cases_for((2, 3)):
        x = mg.tensor(np.resize(np.array([0.5, 1.5, 2.5, 0.75], dtype), (2, 3)), requires_grad=True)
        y = call(x)
        first = mg.gradients(y, x, np.ones(y.shape), create_graph=True)
        assert first.dtype == dtype, name
        if first.requires_grad:
            assert mg.gradients(first, x, np.ones(first.shape)).dtype == dtype, name


OPERATORS: dict[str, Function] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b, "**": lambda a, b: a**b,
    "maximum": mg.maximum, "minimum": mg.minimum, "where": lambda a, b: mg.where(True, a, b),
    "logaddexp": mg.logaddexp,
}  # fmt: skip


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("number", [2, 2.5, True, -1], ids=repr)
def test_python_numbers_take_on_the_dtype_they_meet(operator: str, dtype: Any, number: Any) -> None:
    f = OPERATORS[operator]
    for shape in [(), (3,)]:
        x = mg.tensor(np.full(shape, 1.5, dtype), requires_grad=True)
        for y in (f(x, number), f(number, x)):
            assert y.dtype == dtype
            y.sum().backward()
            assert x.grad.dtype == dtype


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "maximum", "where"])
@pytest.mark.parametrize("left", ["?", "u1", "i4", "i8", "e", "f", "d", "g"])
@pytest.mark.parametrize("right", ["?", "u1", "i4", "i8", "e", "f", "d", "g"])
def test_ops_promote_as_numpy_does(operator: str, left: str, right: str) -> None:
    numpy_f = {
        "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "maximum": np.maximum,
        "where": lambda a, b: np.where(True, a, b),
    }[operator]  # fmt: skip
    if operator == "-" and left == right == "?":
        return  # NumPy refuses
    a, b = np.ones(2, left), np.ones(2, right)
    expected = numpy_f(a, b)
    for y in (
        OPERATORS[operator](mg.tensor(a), mg.tensor(b)),
        OPERATORS[operator](mg.tensor(a), b),
        OPERATORS[operator](a, mg.tensor(b)),
    ):
        assert isinstance(y, mg.Tensor)
        assert y.dtype == expected.dtype
        assert (y.data == expected).all()


@pytest.mark.parametrize("strong", [np.float64(2), np.array(2.0), np.ones(3), mg.tensor(2.0)])
def test_a_float64_that_is_no_python_number_promotes(strong: Any) -> None:
    # NumPy 2's rule: only Python's own numbers are weak.
    x = mg.tensor(np.ones(3, np.float32), requires_grad=True)
    for y in (x * strong, strong * x, x / strong, x + strong):
        assert y.dtype == np.float64
        y.sum().backward()
        assert x.grad.dtype == np.float32
        x.zero_grad()


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_narrow_leaf_in_a_wide_expression_gets_a_narrow_gradient(dtype: Any) -> None:
    wide = mg.tensor(np.array([0.5, 2.0, 4.0], np.longdouble))
    x = mg.tensor(np.array([1.0, 2.0, 3.0], dtype), requires_grad=True)
    for y in (
        mg.exp(x) * wide, x @ wide, mg.maximum(x, wide), mg.where([True, False, True], x, wide),
        mg.concatenate([x, wide]), mg.stack([x, wide]), mg.dot(x, wide), mg.outer(wide, x),
        mg.einsum("i,j->ij", x, wide), mg.power(wide, x), mg.prelu(wide - 2, x),
        mg.logaddexp(x, wide),
    ):  # fmt: skip
        assert y.dtype == np.longdouble
        y.backward(np.ones(y.shape))
        assert x.grad.dtype == dtype
        x.zero_grad()


def test_a_leaf_used_in_two_precisions_gets_one_gradient_of_its_own() -> None:
    x = mg.tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    y = (x * 2).sum() + (x * np.array([3.0, 4.0])).sum()
    y.backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [5, 6]


def test_mean_of_halves_has_a_gradient_and_does_not_overflow() -> None:
    # 70 000 is infinite as a half, and so is a sum of as many ones.
    x = mg.tensor(np.ones(70_000, np.float16), requires_grad=True)
    y = x.mean()
    y.backward()
    assert y.item() == 1
    assert (x.grad == np.float16(1 / 70_000)).all()
    assert x.grad.all()


@pytest.mark.parametrize("f", [mg.var, mg.std, mg.norm])
def test_squares_of_halves_do_not_overflow_before_the_result_does(f: Function) -> None:
    a = np.array([0, 500, 250, 100], np.float16)
    x = mg.tensor(a, requires_grad=True)
    y = f(x)
    expected = f(a.astype(float))
    assert y.data == np.float16(expected)  # one rounding of the float64 value, or inf
    wide = mg.tensor(a.astype(float), requires_grad=True)
    f(wide).backward()
    y.backward()
    # Each gradient is a handful of roundings to half precision away.
    np.testing.assert_allclose(x.grad, wide.grad, rtol=5e-3)


def test_std_of_halves_further_apart_than_a_half_can_hold() -> None:
    x = mg.tensor(np.array([60_000, -60_000], np.float16), requires_grad=True)
    y = x.std()
    y.backward()
    assert y.item() == 60_000
    np.testing.assert_allclose(x.grad, [0.5, -0.5], rtol=2e-3)  # the root of ½ as a half, squared


# --- layers and losses ---------------------------------------------------------------------------

LOSSES: dict[str, Function] = {
    "mse": lambda x, t: mg.mse_loss(x, t),
    "mse sum": lambda x, t: mg.mse_loss(x, t, reduction="sum"),
    "l1": lambda x, t: mg.l1_loss(x, t),
    "huber": lambda x, t: mg.huber_loss(x, t),
    "smooth l1": lambda x, t: mg.smooth_l1_loss(x, t),
    "cross entropy": lambda x, t: mg.cross_entropy(x, np.array([0, 1])),
    "cross entropy, none": lambda x, t: mg.cross_entropy(x, [0, 1], reduction="none"),
    "cross entropy, smoothed": lambda x, t: mg.cross_entropy(x, [0, 1], label_smoothing=0.1),
    "cross entropy, weighted": lambda x, t: mg.cross_entropy(x, [0, 1], weight=[1.0, 2.0, 3.0]),
    "cross entropy, probabilities": lambda x, t: mg.cross_entropy(
        x, np.full((2, 3), 1 / 3, x.dtype)
    ),
    "nll": lambda x, t: mg.nll_loss(mg.log_softmax(x), [0, 1]),
    "bce": lambda x, t: mg.binary_cross_entropy_with_logits(x, np.zeros((2, 3), int)),
    "hinge": lambda x, t: mg.hinge_loss(x, np.ones((2, 3), int)),
    "squared hinge": lambda x, t: mg.squared_hinge_loss(x, np.ones((2, 3), int)),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_loss_keeps_the_dtype(loss: str, dtype: Any) -> None:
    x = mg.tensor(np.array([[1, -2, 3], [0.5, 0, -1]], dtype), requires_grad=True)
    y = LOSSES[loss](x, np.zeros((2, 3), dtype))
    assert y.dtype == dtype
    y.sum().backward()
    assert x.grad.dtype == dtype


LAYERS: dict[str, Function] = {
    "Dense": lambda: mg.nn.Dense(3, 2),
    "Dense, relu": lambda: mg.nn.Dense(3, 2, activation="relu"),
    "MLP": lambda: mg.nn.MLP([3, 5, 2]),
    "Sequential": lambda: mg.nn.Sequential(mg.nn.Dense(3, 4), mg.nn.ReLU(), mg.nn.Dense(4, 2)),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("given_dtype", [np.float64, np.float32, np.int64, np.uint8, np.bool_])
def test_layers_work_in_float32_whatever_array_is_given(layer: str, given_dtype: Any) -> None:
    model = LAYERS[layer]()
    y = model(np.ones((4, 3), given_dtype))
    assert y.dtype == np.float32
    y.sum().backward()
    assert all(p.dtype == p.grad.dtype == np.float32 for p in model.parameters())


ACTIVATIONS = [
    name
    for name, kind in vars(mg.nn).items()
    if isinstance(kind, type)
    and issubclass(kind, mg.nn.Module)
    and kind.__module__.endswith("activations")
]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_activation_layers_keep_the_dtype(name: str, dtype: Any) -> None:
    try:
        layer = getattr(mg.nn, name)()
    except TypeError:
        pytest.skip("needs arguments")
    x = mg.tensor(np.array([[1, -2, 3, 0.5]], dtype), requires_grad=True)
    y = layer(x)
    # A parameter of float32 promotes halves, as NumPy does.
    assert y.dtype == np.result_type(dtype, *(p.dtype for p in layer.parameters()))
    y.sum().backward()
    assert x.grad.dtype == dtype


# --- integers, truth values ----------------------------------------------------------------------

DISCRETE = [
    np.bool_,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
]
ROUTES: dict[str, Function] = {
    "tensor": lambda dtype: mg.tensor(np.ones(2, dtype), requires_grad=True),
    "Tensor": lambda dtype: mg.Tensor(np.ones(2, dtype), requires_grad=True),
    "dtype=": lambda dtype: mg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True),
    "zeros": lambda dtype: mg.zeros(3, dtype=dtype, requires_grad=True),
    "ones_like": lambda dtype: mg.ones_like(np.ones(3, dtype), requires_grad=True),
    "full": lambda dtype: mg.full((), dtype(1), requires_grad=True),
    "attribute": lambda dtype: setattr(mg.tensor(np.ones(2, dtype)), "requires_grad", True),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", DISCRETE)
def test_what_cannot_vary_continuously_can_carry_no_gradient(route: str, dtype: Any) -> None:
    with pytest.raises(TypeError) as caught:
        ROUTES[route](dtype)
    assert isinstance(caught.value, DtypeError)
    who = route if route in ("zeros", "ones_like", "full") else "tensor"
    assert str(caught.value) == (
        f"{who}: requires_grad=True was given for dtype {np.dtype(dtype)}; a gradient needs a "
        "dtype that varies continuously. Use float data, as in tensor(data, dtype=float)."
    )


@pytest.mark.parametrize("data", [1, [1, 2], True, [[1], [2]], np.arange(3), range(3), np.int8(1)])
def test_integer_data_of_any_form_can_carry_no_gradient(data: Any) -> None:
    with pytest.raises(
        DtypeError, match=r"^tensor: requires_grad=True was given for dtype (int|bool)"
    ):
        mg.tensor(data, requires_grad=True)


@pytest.mark.parametrize("dtype", DISCRETE)
def test_integer_constants_in_float_expressions(dtype: Any) -> None:
    n = np.array([1, 0, 1], dtype)
    x = mg.tensor([1.5, 2.5, 3.5], requires_grad=True)
    for y in (
        x * n,
        n * x,
        x * mg.tensor(n),
        mg.where(n, x, 0),
        x + n,
        mg.dot(x, n),
        x @ mg.tensor(n),
    ):
        y.sum().backward()
        assert x.grad.dtype == np.float64
    assert x.grad.tolist() == [7, 1, 7]


@pytest.mark.parametrize("dtype", DISCRETE)
def test_ops_on_integers_give_what_numpy_gives(dtype: Any) -> None:
    a = np.array([1, 0, 1, 1], dtype)
    for ours, numpys in [
        (mg.sum, np.sum), (mg.mean, np.mean), (mg.var, np.var), (mg.std, np.std), (mg.max, np.max),
        (mg.prod, np.prod), (mg.cumsum, np.cumsum), (mg.exp, np.exp), (mg.sqrt, np.sqrt),
    ]:  # fmt: skip
        expected = numpys(a)
        for got in (ours(mg.tensor(a)).data, ours(a)):
            assert np.asarray(got).dtype == np.asarray(expected).dtype
            np.testing.assert_allclose(np.asarray(got, float), expected, rtol=1e-6)


def test_results_that_are_no_floats_require_no_gradient() -> None:
    x = mg.tensor([1.0, -2.0], requires_grad=True)
    for y in (
        x > 0, x >= 0, x < 0, x <= 0, x == 0, x != 0, mg.isfinite(x), mg.argmax(x), mg.argmin(x),
        x.astype(int), x.astype(bool), mg.one_hot(mg.square(x).astype(int), 5),
    ):  # fmt: skip
        assert isinstance(y, mg.Tensor)
        assert not y.requires_grad


@pytest.mark.parametrize("dtype", FLOATS)
def test_astype_gives_the_gradient_back_in_the_first_dtype(dtype: Any) -> None:
    for other in FLOATS:
        x = mg.tensor(np.ones(3, dtype), requires_grad=True)
        y = x.astype(other)
        assert y.dtype == other
        (y * 3).sum().backward()
        assert x.grad.dtype == dtype
        assert x.grad.tolist() == [3, 3, 3]


# --- arrays of no dimensions, byte order ---------------------------------------------------------


@pytest.mark.parametrize("dtype", [*FLOATS, object])
def test_results_without_dimensions_are_arrays(dtype: Any) -> None:
    x = mg.tensor(np.array(Fraction(1, 2), object).astype(dtype), requires_grad=True)
    assert type(x.data) is np.ndarray
    for name, call in cases_for(()):
        if dtype is object and name[:-1] not in EXACT:
            continue
        y = call(x)
        assert type(y.data) is np.ndarray, name
        assert y.dtype == dtype, name
        if y.ndim:
            continue
        x.zero_grad()
        y.backward()
        assert type(x.grad) is np.ndarray, name
        assert x.grad.dtype == dtype, name


NON_NATIVE = [np.dtype(t).newbyteorder() for t in ("f2", "f4", "f8")]


@pytest.mark.parametrize("dtype", NON_NATIVE, ids=str)
def test_foreign_byte_order_comes_in_and_leaves_native(dtype: np.dtype[Any]) -> None:
    a = np.array([[0.5, 1.5, 2.5], [0.75, 1.0, 2.0]], dtype)
    native = dtype.newbyteorder("=")
    for t in (
        mg.tensor(a), mg.Tensor(a), mg.tensor([1.0], dtype=dtype), mg.zeros(3, dtype),
        mg.full(2, 1, dtype), mg.ones_like(a), mg.tensor([1.0]).astype(dtype),
        mg.one_hot([0], 2, dtype),
    ):  # fmt: skip
        assert t.dtype == native
        assert np.asarray(t.data if isinstance(t, mg.Tensor) else t).dtype.isnative
    for name, call in cases_for((2, 3)):
        x, same = (mg.tensor(v, requires_grad=True) for v in (a, a.astype(native)))
        y, z = call(x), call(same)
        assert y.data.dtype.isnative, name
        np.testing.assert_array_equal(y.data, z.data, name)
        y.backward(np.ones(y.shape, ">f8"))
        z.backward(np.ones(z.shape, "<f8"))
        assert x.grad.dtype.isnative, name
        np.testing.assert_array_equal(x.grad, same.grad, name)


def test_foreign_byte_order_as_a_constant_beside_a_tensor() -> None:
    x = mg.tensor(np.array([1, 2], np.float32), requires_grad=True)
    a = np.array([3, 4], ">f4")
    for y in (x * a, a * x, mg.maximum(x, a), mg.concatenate([x, a]), mg.where(a > 3, x, a), x @ a):
        assert y.dtype == np.float32
        assert y.data.dtype.isnative


# --- Fractions -----------------------------------------------------------------------------------

# What rational numbers are closed under. The others need a root, an exponential or a float.
EXACT = {
    "absolute", "add", "broadcast_to", "clip", "concatenate", "copy", "crelu", "cumsum", "divide",
    "expand_dims", "flip", "getitem", "hardsigmoid", "hardtanh", "leaky_relu", "max", "maximum",
    "maxout", "mean", "min", "minimum", "moveaxis", "multiply", "negative", "outer",
    "piecewise_linear", "prod", "reciprocal", "relu", "relu6", "reshape", "sign", "softshrink",
    "split", "square", "squeeze", "stack", "subtract", "sum", "swapaxes", "take",
    "take_along_axis", "transpose",
}  # fmt: skip

FRACTION_CALLS: dict[str, Function] = {
    "absolute": mg.absolute,
    "add": lambda x: x + 2,
    "subtract": lambda x: 2 - x,
    "multiply": lambda x: x * x,
    "divide": lambda x: Fraction(1, 3) / x,
    "negative": lambda x: -x,
    "square": mg.square,
    "reciprocal": mg.reciprocal,
    "power": lambda x: x**3,
    "sign": mg.sign,
    "relu": mg.relu,
    "relu6": mg.relu6,
    "leaky_relu": mg.leaky_relu,
    "leaky_relu 2": lambda x: mg.leaky_relu(x, -2),
    "hardtanh": mg.hardtanh,
    "hardsigmoid": mg.hardsigmoid,
    "clip": lambda x: mg.clip(x, -0.5, 1.25),
    "clip below": lambda x: mg.clip(x, 0.5, None),
    "softshrink": mg.softshrink,
    "piecewise_linear": lambda x: mg.piecewise_linear(
        x, [Fraction(-1, 3), 1], [Fraction(1, 7), 2, -1]
    ),
    "prelu": lambda x: mg.prelu(x, np.array(Fraction(1, 3), object)),
    "maximum": lambda x: mg.maximum(x, 1),
    "maximum of two": lambda x: mg.maximum(x, x[::-1]),
    "minimum of two": lambda x: mg.minimum(x[::-1], x),
    "max": lambda x: mg.max(x),
    "min": lambda x: mg.min(x, axis=0),
    "norm 1": lambda x: mg.norm(x, 1),
    "norm inf": lambda x: mg.norm(x, np.inf),
    "sum": mg.sum,
    "mean": mg.mean,
    "prod": mg.prod,
    "cumsum": mg.cumsum,
    "dot": lambda x: mg.dot(x, x),
    "matmul": lambda x: x @ x[::-1],
    "outer": lambda x: mg.outer(x, x),
    "einsum": lambda x: mg.einsum("i,j->ij", x, x),
    "where": lambda x: mg.where(x > 0, x, 3 * x),
    "getitem": lambda x: x[[0, 0, 1]],
    "take": lambda x: mg.take(x, [3, 3]),
    "take_along_axis": lambda x: mg.take_along_axis(x, np.array([0, 0]), 0),
    "concatenate": lambda x: mg.concatenate([x, 2 * x]),
    "stack": lambda x: mg.stack([x, x], axis=1),
    "maxout": lambda x: mg.maxout(x, 2),
    "crelu": mg.crelu,
    "pad": lambda x: mg.pad(x, 1, constant_values=Fraction(1, 3)),
    "affine": lambda x: mg.affine(x, np.full((4, 2), Fraction(1, 3)), np.full(2, Fraction(1, 7))),
    "reshape": lambda x: x.reshape(2, 2).T.reshape(4),
}


@pytest.mark.parametrize("name", FRACTION_CALLS)
@settings(max_examples=8)
@given(
    st.lists(st.fractions(-4, 4, max_denominator=12).filter(bool), min_size=4, max_size=4),
    st.lists(st.integers(-5, 5), min_size=16, max_size=16),
)
def test_fractions_stay_exact_forward_and_backward(
    name: str, entries: list[Fraction], weights: list[int]
) -> None:
    """No float gets in between, and the values are those of floats but for their rounding."""
    f = FRACTION_CALLS[name]
    a = np.array(entries, object)
    x = mg.tensor(a, requires_grad=True)
    y = f(x)
    assert y.dtype == object
    w = np.resize(np.array([Fraction(v, 3) for v in weights], object), y.shape)
    y.backward(w)
    assert x.grad.dtype == object
    for value in (*y.data.flat, *x.grad.flat):
        assert isinstance(value, (int, Fraction)), f"{name}: a {type(value).__name__} came out"
    same = mg.tensor(a.astype(float), requires_grad=True)
    z = f(same) if "affine" not in name else None
    if z is not None and z.dtype == np.float64:
        z.backward(w.astype(float))
        np.testing.assert_allclose(y.data.astype(float), z.data, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(x.grad.astype(float), same.grad, rtol=1e-12, atol=1e-12)


def test_fractions_of_no_dimensions_stay_fractions() -> None:
    # NumPy hands out the object itself then, and of relu(-1/2) that is the integer 0.
    x = mg.tensor(Fraction(-1, 2), requires_grad=True)
    y = mg.relu(x)
    assert (y.dtype, y.shape) == (object, ())
    (y * Fraction(1, 3) + x).backward()
    assert x.grad.dtype == object
    assert x.grad == 1


# --- huge integers, long doubles -----------------------------------------------------------------


def test_integers_beyond_64_bits_are_objects() -> None:
    x = mg.tensor(2**100)
    assert (x.dtype, x.item()) == (object, 2**100)
    assert (x * 2**30).item() == 2**130
    assert (mg.tensor([1.0]) * 2**100).tolist() == [2.0**100]
    with pytest.raises(OverflowError):
        mg.tensor([1.0]) * 2**2000
    with pytest.raises(OverflowError):
        mg.tensor([1]) + 2**100  # as NumPy


def test_long_doubles_are_not_rounded_to_doubles() -> None:
    tiny = np.longdouble(2) ** -60
    if 1 + tiny == 1:
        pytest.skip("long double is double here")
    x = mg.tensor(np.array([1, 2], np.longdouble) + tiny, requires_grad=True)
    for f in (lambda t: t * 1, lambda t: t.sum(), lambda t: t.mean() * 2, mg.relu, lambda t: t @ t):
        y = f(x)
        assert y.dtype == np.longdouble
        assert (y.data != np.asarray(y.data, float)).all()
    (x * x).sum().backward()
    assert (x.grad == 2 * x.data).all()
    assert x.grad[0] != 2


def test_a_bound_of_another_dtype_is_a_python_number() -> None:
    x = mg.tensor(np.array([-2, 0.5, 3], np.float16), requires_grad=True)
    for y in (
        mg.clip(x, -1, 1),
        mg.maximum(x, 0),
        mg.minimum(x, 0.25),
        mg.hardtanh(x),
        mg.relu6(x),
    ):
        assert y.dtype == np.float16


def test_table_helper_keeps_the_dtype() -> None:
    x = mg.tensor(np.ones(3, np.float16))
    assert like(x, 1, 2).dtype == np.float16
    assert set(ELEMENTWISE) <= set(mg.ops.PUBLIC)
    assert cases("elementwise")
