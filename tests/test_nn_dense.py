"""Dense, Sequential and MLP."""

import re
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn
from microgrid.errors import DtypeError, ShapeError
from microgrid.nn import MLP, Dense, Linear, Sequential, init

X = np.random.default_rng(0).normal(size=(5, 3))


def test_dense_is_the_formula():
    layer = Dense(3, 2, rng=0, dtype=float)
    layer.bias.data = [0.5, -1.0]
    expected = np.einsum("ni,io->no", X, layer.weight.data) + np.array([0.5, -1.0])
    # einsum adds up in another order than matmul.
    np.testing.assert_allclose(layer(X).data, expected, rtol=1e-13)


def test_shapes_of_parameters_and_results():
    layer = Dense(3, 2, rng=0)
    assert (layer.weight.shape, layer.bias.shape) == ((3, 2), (2,))
    assert layer.bias.tolist() == [0, 0]
    for shape in [(3,), (0, 3), (5, 3), (2, 5, 3)]:
        assert layer(np.zeros(shape)).shape == (*shape[:-1], 2)


def test_without_a_bias():
    layer = Dense(3, 2, bias=False, rng=0)
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert np.array_equal(layer(X).data, X.astype(np.float32) @ layer.weight.data)
    assert repr(layer) == "Dense(3, 2, bias=False)"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 4), (2, 5, 2), ()])
def test_a_misfit_names_the_layer(bias, shape):
    layer = Dense(64, 32, activation="relu", bias=bias, rng=0)
    message = (
        f"{layer!r}: an input of shape {shape} was given; its last dimension must be 64. "
        "Reshape it, or change in_features."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        layer(np.zeros(shape))


def test_parameters_are_float32_and_arrays_are_cast():
    layer = Dense(3, 2, activation="tanh", rng=0)
    for x in (X, X.tolist(), X.astype(np.float16), np.ones((5, 3), int), np.ones((5, 3), bool)):
        assert layer(x).dtype == np.float32
    assert layer(mg.tensor(np.ones((5, 3), int))).dtype == np.float32
    assert layer(mg.tensor(X)).dtype == np.float64  # a Tensor is the user's choice, as in any op
    assert Dense(3, 2, rng=0, dtype=np.float16)(X).dtype == np.float16


def test_an_array_changed_between_forward_and_backward_changes_no_gradient():
    layer = Dense(3, 2, rng=0)
    x = X.astype(np.float32)
    y = layer(x)
    x[...] = 0
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, X.astype(np.float32).T @ np.ones((5, 2), "f"))


def test_gradients_equal_finite_differences():
    model = MLP([3, 4, 2], activation="tanh", rng=0, dtype=float)
    p = model[0].weight

    def loss():
        return (model(X) ** 2).sum()

    loss().backward()
    before, h = p.numpy(), 1e-6
    numeric = np.zeros_like(before)
    for i in np.ndindex(before.shape):
        for sign in (1, -1):
            moved = before.copy()
            moved[i] += sign * h
            p.data = moved
            numeric[i] += sign * loss().item() / (2 * h)
    np.testing.assert_allclose(p.grad, numeric, rtol=1e-6, atol=1e-8)  # h**2, and roundoff / h


def test_linear_is_dense():
    assert Linear is Dense


@pytest.mark.parametrize(
    ("activation", "chosen"),
    [
        ("relu", "he_normal"),
        ("leaky_relu", "he_normal"),
        ("gelu", "he_normal"),
        (nn.ReLU(), "he_normal"),
        (nn.PReLU(), "he_normal"),
        (mg.relu, "he_normal"),
        ("selu", "lecun_normal"),
        ("tanh", "glorot_uniform"),
        (None, "glorot_uniform"),
        ("linear", "glorot_uniform"),
        (lambda x: x * 2, "glorot_uniform"),
    ],
)
def test_init_auto_suits_the_activation(activation, chosen):
    layer = Dense(3, 2, activation=activation, rng=7)
    assert np.array_equal(layer.weight.data, getattr(init, chosen)((3, 2), rng=7))


@pytest.mark.parametrize(
    "given", ["orthogonal", "kaiming_uniform", "zeros", partial(init.constant, value=0.25)]
)
def test_init_by_name_and_by_function(given):
    layer = Dense(3, 2, init=given, rng=7)
    function = getattr(init, given) if isinstance(given, str) else given
    assert np.array_equal(layer.weight.data, function((3, 2), rng=7))


def test_activation_by_name_function_and_layer():
    plain = Dense(3, 2, rng=0)
    expected = np.maximum(plain(X).data, 0)
    for activation in ("relu", mg.relu, nn.ReLU()):
        layer = Dense(3, 2, activation=activation, init="glorot_uniform", rng=0)
        assert np.array_equal(layer(X).data, expected)


def test_the_parameters_of_an_activation_layer_are_found():
    layer = Dense(3, 2, activation=nn.PReLU())
    names = [name for name, _ in layer.named_parameters()]
    assert names == ["weight", "bias", "activation.slope"]
    assert repr(layer) == "Dense(\n  3, 2\n  (activation): PReLU(1)\n)"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 2), {}, ValueError, "Dense: in_features=0 was given; it must be at least 1."),
        ((2, 2.0), {}, TypeError, "Dense: out_features=2.0 was given; it must be an integer."),
        ((2, 2), {"activation": "rely"}, ValueError, "Dense: the activation 'rely' is not known"),
        ((2, 2), {"activation": 3}, TypeError, "Dense: the activation given is of type int"),
        ((2, 2), {"init": "he"}, ValueError, "Dense: init='he' is not known; the names are auto,"),
        (
            (2, 2),
            {"init": lambda shape, rng, dtype: np.zeros(3)},
            ShapeError,
            "Dense: init returned shape (3,); the weight has shape (2, 2).",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        Dense(*arguments, **options)


# --- Sequential ----------------------------------------------------------------------------------


def test_sequential_applies_its_layers_in_order():
    model = Sequential(Dense(3, 4, rng=0), mg.tanh, Dense(4, 2, rng=1), lambda x: x * 2)
    expected = model[2](mg.tanh(model[0](X))) * 2
    assert np.array_equal(model(X).data, expected.data)
    assert [name for name, _ in model.named_parameters()] == [
        "0.weight", "0.bias", "2.weight", "2.bias",
    ]  # fmt: skip


def test_sequential_is_indexed_sliced_iterated_and_measured():
    layers = [Dense(3, 4), nn.ReLU(), Dense(4, 2)]
    model = Sequential(layers)
    assert len(model) == 3
    assert list(model) == layers
    assert model[-1] is layers[2]
    part = model[:2]
    assert type(part) is Sequential
    assert part[0] is layers[0]
    with pytest.raises(IndexError):
        model[3]


def test_an_empty_sequential_is_the_identity():
    assert Sequential()(3.0) == 3.0


def test_what_cannot_be_called_is_no_layer():
    with pytest.raises(
        TypeError, match=r"^Sequential: layer 1 given is of type int; it needs Modules"
    ):
        Sequential(Dense(1, 1), 3)


# --- MLP -----------------------------------------------------------------------------------------


def test_mlp_is_dense_layers_the_last_without_activation():
    model = MLP([3, 4, 5, 2], activation="tanh", rng=0)
    assert [(layer.in_features, layer.out_features) for layer in model] == [(3, 4), (4, 5), (5, 2)]
    h = np.tanh(X.astype(np.float32) @ model[0].weight.data)
    h = np.tanh(h @ model[1].weight.data)
    # float32: matmul may add up in another order.
    np.testing.assert_allclose(model(X).data, h @ model[2].weight.data, rtol=1e-5)
    assert type(model[:2]) is Sequential


def test_the_seed_decides_the_weights_and_layers_differ():
    a, b, c = MLP([4, 4, 4], rng=3), MLP([4, 4, 4], rng=3), MLP([4, 4, 4], rng=4)
    assert np.array_equal(a[0].weight.data, b[0].weight.data)
    assert not np.array_equal(a[0].weight.data, c[0].weight.data)
    assert not np.array_equal(a[0].weight.data, a[1].weight.data)


def test_mlp_refuses_fewer_than_two_sizes():
    with pytest.raises(ValueError, match=r"^MLP: sizes=\[3\] was given; it needs at least"):
        MLP([3])


@pytest.mark.parametrize("sizes", [3, None])
def test_mlp_refuses_what_is_no_list(sizes):
    message = (
        f"MLP: sizes={sizes} was given; it needs a list of integers. Begin with the size of the "
        "input, end with that of the output."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        MLP(sizes)


@pytest.mark.parametrize(
    ("make", "who"),
    [
        (lambda: MLP([2, 1], rng="x"), "MLP"),
        (lambda: Dense(2, 1, rng=-1, init="he_normal"), "he_normal"),
    ],
)
def test_what_cannot_seed_the_weights_is_refused(make, who):
    with pytest.raises(
        TypeError,
        match=rf"^{who}: rng=('x'|-1) was given; it must be None, a seed \(an integer, at least "
        r"0\), or a numpy\.random\.Generator\.$",
    ):
        make()


@pytest.mark.parametrize(("dtype", "named"), [("i8", "int64"), (bool, "bool"), ("no", "'no'")])
@pytest.mark.parametrize(
    ("make", "who"),
    [
        (lambda dtype: MLP([2, 2, 1], dtype=dtype), "MLP"),
        (lambda dtype: Dense(2, 1, dtype=dtype), "Dense"),
        (lambda dtype: Dense(2, 1, init="zeros", dtype=dtype), "Dense"),
    ],
)
def test_a_dtype_that_is_not_one_of_floats_is_refused_by_the_layer(make, who, dtype, named):
    message = f"{who}: dtype={named} was given; it needs floats. Pass float16, float32 or float64."
    with pytest.raises(DtypeError, match=f"^{re.escape(message)}$"):
        make(dtype)


def test_fractions_may_be_weights():
    layer = Dense(2, 1, init="zeros", dtype=object)
    layer.weight.data = [[Fraction(1, 3)], [Fraction(1, 6)]]
    assert layer(np.array([[Fraction(1), Fraction(4)]])).tolist() == [[1]]


def test_lesson_4_by_hand_and_row_by_row():
    model = Sequential(Dense(2, 2, "relu", bias=False), Dense(2, 1, bias=False))
    model[0].weight.data = [[2.0, 4.0], [4.0, -5.0]]
    model[1].weight.data = [[2.0], [7.0]]
    rows = np.array([[3.0, 5.0], [1.0, -1.0], [0.0, 0.0], [8.0, 4.0]])
    together = model(rows).data
    assert together.tolist() == [[52], [63], [0], [148]]
    assert np.array_equal(together, np.stack([model(row).data for row in rows]))


# --- classes where layers are meant ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Dense(2, 2, nn.ReLU), "Dense: the activation"),
        (lambda: MLP([2, 2, 2], nn.ReLU), "Dense: the activation"),
        (lambda: Sequential(Dense(2, 2), nn.ReLU), "Sequential: layer 1"),
        (lambda: Sequential([nn.ReLU]), "Sequential: layer 0"),
    ],
)
def test_a_class_of_layers_is_no_layer(make, what):
    message = f"{what} given is the class ReLU; it needs a layer. Make one: ReLU(...)."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        make()
