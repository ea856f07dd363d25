"""Activations as layers: each is its op with its options."""

import copy
import inspect
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn
from microgrid.nn.activations import Activation

X = np.linspace(-4, 4, 24).reshape(4, 6).astype(np.float32)
LAYERS = [
    (nn.ReLU(), mg.relu),
    (nn.LeakyReLU(0.3), lambda x: mg.leaky_relu(x, 0.3)),
    (nn.ReLU6(), mg.relu6),
    (nn.CReLU(axis=0), lambda x: mg.crelu(x, axis=0)),
    (nn.Hardtanh(-2.0, 0.5), lambda x: mg.hardtanh(x, -2.0, 0.5)),
    (nn.Hardsigmoid(), mg.hardsigmoid),
    (nn.Softshrink(1.0), lambda x: mg.softshrink(x, 1.0)),
    (nn.Maxout(3), lambda x: mg.maxout(x, 3)),
    (nn.Sigmoid(), mg.sigmoid),
    (nn.Tanh(), mg.tanh),
    (nn.Softplus(), mg.softplus),
    (nn.Softsign(), mg.softsign),
    (nn.ELU(0.5), lambda x: mg.elu(x, 0.5)),
    (nn.SELU(), mg.selu),
    (nn.CELU(2.0), lambda x: mg.celu(x, 2.0)),
    (nn.GELU(), mg.gelu),
    (nn.GELU("tanh"), lambda x: mg.gelu(x, "tanh")),
    (nn.SiLU(), mg.silu),
    (nn.Mish(), mg.mish),
    (nn.Hardswish(), mg.hardswish),
    (nn.Softmax(axis=0), lambda x: mg.softmax(x, axis=0)),
    (nn.LogSoftmax(), mg.log_softmax),
]
IDS = [type(layer).__name__ for layer, _ in LAYERS]


@pytest.mark.parametrize(("layer", "op"), LAYERS, ids=IDS)
def test_a_layer_is_its_op(layer, op):
    x, twin = mg.tensor(X, requires_grad=True), mg.tensor(X, requires_grad=True)
    y, expected = layer(x), op(twin)
    assert y.dtype == np.float32
    assert np.array_equal(y.data, expected.data)
    weights = np.random.default_rng(0).normal(size=y.shape)
    y.backward(weights)
    expected.backward(weights)
    assert np.array_equal(x.grad, twin.grad)


@pytest.mark.parametrize("layer", [layer for layer, _ in LAYERS], ids=IDS)
def test_layers_can_be_copied_and_shown(layer):
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(twin(X), layer(X))
        assert repr(twin) == repr(layer)
    rebuilt = eval(repr(layer), vars(nn))
    assert rebuilt.options == layer.options


def test_every_activation_layer_is_tested_here():
    layers = {
        cls for cls in vars(nn).values() if inspect.isclass(cls) and issubclass(cls, Activation)
    }
    assert layers == {type(layer) for layer, _ in LAYERS}


@pytest.mark.parametrize("name", nn.activations.NAMED)
def test_every_name_works_in_a_dense_layer(name):
    layer = nn.Dense(6, 4, activation=name, rng=0)
    result = layer(X)
    assert result.dtype == np.float32
    expected = getattr(mg, name)(mg.matmul(X, layer.weight))
    assert np.array_equal(result.data, expected.data)
    assert repr(layer) == f"Dense(6, 4, activation={name})"


WITHOUT_OPTIONS = [type(layer) for layer, _ in LAYERS if not layer.options]


@pytest.mark.parametrize("kind", WITHOUT_OPTIONS)
def test_a_layer_without_options_shows_that_it_takes_none(kind):
    assert str(inspect.signature(kind)) == "()"
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\(\) takes no arguments$"):
        kind(inplace=True)


@pytest.mark.parametrize(
    "make", [lambda: nn.Hardtanh(1, -1), lambda: nn.Softshrink(-1), lambda: nn.RReLU(1, 0)]
)
def test_options_that_make_no_sense_are_refused_at_once(make):
    with pytest.raises(ValueError, match=r"was given|were given"):
        make()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: nn.PReLU(0),
            ValueError,
            "PReLU: num_parameters=0 was given; it must be at least 1.",
        ),
        (
            lambda: nn.PReLU(1.5),
            TypeError,
            "PReLU: num_parameters=1.5 was given; it must be an integer.",
        ),
        (
            lambda: nn.PReLU(init=np.nan),
            ValueError,
            "PReLU: init=nan was given; it must be a finite number.",
        ),
        (
            lambda: nn.PReLU(init=1e5, dtype="f2"),
            ValueError,
            "PReLU: init=100000.0 was given, which float16 does not hold. Choose a smaller "
            "number, or another dtype.",
        ),
        (
            lambda: nn.RReLU("a"),
            ValueError,
            "RReLU: lower='a' was given; it must be a finite number.",
        ),
        (
            lambda: nn.RReLU(0, np.inf),
            ValueError,
            "RReLU: upper=inf was given; it must be a finite number.",
        ),
        (
            lambda: nn.RReLU(rng="x"),
            TypeError,
            "RReLU: rng='x' was given; it must be None, a seed (an integer, at least 0), or a "
            "numpy.random.Generator.",
        ),
    ],
)
def test_what_is_refused_is_named(make, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax, nn.CReLU, nn.Maxout])
def test_an_axis_is_an_integer_and_any_axis_will_do_until_there_is_an_input(kind):
    for axis in (-2, 0, 1, np.int64(1)):
        assert kind(axis=axis)(X).ndim == 2
    with pytest.raises(TypeError, match=r"^[a-z_]+: axis='x' was given; it needs "):
        kind(axis="x")


def test_softmax_over_several_axes():
    assert nn.Softmax(axis=(0, 1))(X).sum() == pytest.approx(1)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_pool_size_is_an_integer_from_1(size, error):
    with pytest.raises(error, match=f"^Maxout: pool_size={size} was given; it must be a"):
        nn.Maxout(size)


# --- learned and random slopes -------------------------------------------------------------------


def test_prelu_learns_its_slope():
    layer = nn.PReLU()
    assert layer.slope.tolist() == [0.25]
    layer(mg.tensor([[-2.0, 3.0]])).sum().backward()
    assert layer.slope.grad.tolist() == [-2.0]
    assert layer([[-2.0, 3.0]]).dtype == np.float32
    assert repr(layer) == "PReLU(1)"


def test_prelu_casts_its_input_as_dense_does():
    layer = nn.PReLU()
    for x in ([[-2, 3]], np.array([[-2, 3]]), mg.tensor([[-2, 3]]), np.array([[-2.0, 3.0]])):
        y = layer(x)
        assert (y.dtype, y.tolist()) == (np.float32, [[-0.5, 3.0]])


def test_prelu_with_a_slope_per_feature():
    layer = nn.PReLU(2, init=0.5)
    layer.slope.data = [0.5, 0.1]
    assert layer(np.array([[-2.0, -10.0]])).tolist() == [[-1.0, -1.0]]


def test_rrelu_draws_in_training_only():
    layer = nn.RReLU(0.1, 0.3, rng=0)
    x = -np.ones((1000,), np.float32)
    slopes = -layer(x)
    assert slopes.dtype == np.float32
    assert 0.1 <= slopes.min() < 0.11
    assert 0.29 < slopes.max() <= 0.3
    assert not np.array_equal(slopes, -layer(x))
    assert np.array_equal(nn.RReLU(0.1, 0.3, rng=0)(x), -slopes)
    np.testing.assert_allclose(layer.eval()(x), -0.2, rtol=1e-6)  # float32
    assert layer(mg.tensor([2.0])).tolist() == [2.0]


def test_rrelu_is_exact_on_fractions_in_training_too():
    layer = nn.RReLU(Fraction(1, 8), Fraction(1, 4), rng=0)
    x = mg.tensor(np.array([Fraction(-1, 3), Fraction(2, 3)]), requires_grad=True)
    y = layer(x)
    assert [type(v) for v in y.tolist()] == [Fraction, Fraction]
    slope = np.random.default_rng(0).uniform(1 / 8, 1 / 4, 2)[0]
    assert y.tolist() == [Fraction(slope) * Fraction(-1, 3), Fraction(2, 3)]
    y.sum().backward()
    assert x.grad.tolist() == [Fraction(slope), 1]
    seeded = lambda t: mg.rrelu(t, training=True, rng=0)  # noqa: E731
    assert mg.testing.gradcheck(seeded, x)


def test_prelu_is_exact_on_fractions():
    layer = nn.PReLU(init=Fraction(1, 4), dtype=object)
    assert layer(np.array([Fraction(-1, 3)])).tolist() == [Fraction(-1, 12)]
