"""Dropout, BatchNorm1d and LayerNorm: values, gradients, statistics, and compiled training."""

from __future__ import annotations

import copy
import pickle
import re
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from compiled import Twins

import microgrid as mg
from microgrid import nn
from microgrid.errors import DtypeError, ShapeError, StateError

# Sums of a few dozen doubles of size 1, in another order; what the libraries promise each other.
CLOSE: dict[str, float] = {"rtol": 1e-12, "atol": 1e-12}
FLOATS = [np.float16, np.float32, np.float64]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1.0, 2.0, shape)


def randomised(layer: Any) -> Any:
    """Return the layer with weight and bias that are not 1 and 0."""
    layer.weight.data = drawn(*layer.weight.shape, seed=1)
    layer.bias.data = drawn(*layer.bias.shape, seed=2)
    return layer


# --- Dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_dropout_is_the_mask_of_its_generator(dtype, p):
    x = drawn(40, 5).astype(dtype)
    kept = np.random.default_rng(3).random(x.shape, np.float32) >= p
    expected = np.where(kept, x * (1 / (1 - p) if p < 1 else 1), 0)
    y = nn.Dropout(p, rng=3)(mg.tensor(x))
    assert y.dtype == dtype
    assert np.array_equal(y.data, expected.astype(dtype))


def test_dropout_drops_the_share_p_and_keeps_the_mean():
    n, p = 200_000, 0.3
    y = nn.Dropout(p, rng=0)(np.ones(n))
    deviation = np.sqrt(p * (1 - p) / n)
    assert abs((y == 0).mean() - p) < 5 * deviation
    assert abs(y.mean() - 1) < 5 * deviation / (1 - p)


def test_dropout_draws_anew_in_each_call_and_a_seed_repeats_them():
    layer, twin = nn.Dropout(rng=0), nn.Dropout(rng=0)
    x = np.ones(100)
    first, second = layer(x), layer(x)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, twin(x))
    assert np.array_equal(second, twin(x))


def test_dropout_in_evaluation_is_the_input_and_draws_nothing():
    layer = nn.Dropout(rng=0)
    x = drawn(4, 3)
    before = layer.rng.bit_generator.state
    assert np.array_equal(layer.eval()(x), x)
    assert layer.rng.bit_generator.state == before
    assert not np.array_equal(layer.train()(x), x)


def test_the_gradient_of_dropout_is_its_mask():
    x = mg.tensor(drawn(6, 4), requires_grad=True)
    y = nn.Dropout(0.75, rng=1)(x)
    y.sum().backward()
    assert np.array_equal(x.grad, np.where(y.data == 0, 0.0, 4.0))


def test_what_is_dropped_contributes_nothing_even_if_infinite_or_nan():
    x = mg.tensor([np.inf, np.nan, 1.0], requires_grad=True)
    y = nn.Dropout(1.0)(x)
    y.sum().backward()
    assert y.tolist() == [0, 0, 0]
    assert x.grad.tolist() == [0, 0, 0]


def test_dropout_makes_integers_doubles_in_both_modes():
    layer = nn.Dropout(0.5, rng=0)
    assert layer(np.arange(4)).dtype == np.float64
    assert layer.eval()(np.arange(4)).dtype == np.float64


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan"), "0.5", None])
def test_a_probability_lies_between_0_and_1(p):
    message = f"Dropout: p={p!r} was given; it must be a number from 0 to 1."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        nn.Dropout(p)


def test_what_cannot_seed_dropout_is_refused():
    message = (
        "Dropout: rng='x' was given; it must be None, a seed (an integer, at least 0), or a "
        "numpy.random.Generator."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        nn.Dropout(rng="x")


@pytest.mark.parametrize("p", [0.5, 0.75])
def test_dropout_is_exact_on_fractions(p):
    x = np.array([Fraction(k, 3) for k in range(1, 9)])
    y = nn.Dropout(p, rng=0)(x)
    kept = np.random.default_rng(0).random(8, np.float32) >= p
    assert kept.any()
    assert y.tolist() == [v / (1 - Fraction(p)) if k else 0 for v, k in zip(x, kept, strict=True)]
    assert mg.testing.gradcheck(lambda t: nn.Dropout(p, rng=0)(t), mg.tensor(x, requires_grad=True))


# --- BatchNorm1d ---------------------------------------------------------------------------------


def by_hand(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each feature standardised, the means, and the variances over n - 1, in loops."""
    y, means, variances = np.empty_like(x), [], []
    for i in range(x.shape[1]):
        values = x[:, i].ravel().tolist()
        mean = sum(values) / len(values)
        squares = sum((v - mean) ** 2 for v in values)
        y[:, i] = (x[:, i] - mean) / (squares / len(values) + eps) ** 0.5
        means.append(mean)
        variances.append(squares / (len(values) - 1))
    return y, np.array(means), np.array(variances)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 6), (1, 3, 2)])
def test_batch_norm_is_the_formula(shape):
    layer = randomised(nn.BatchNorm1d(3, eps=1e-3, momentum=0.25, dtype=float))
    along = (3,) if len(shape) == 2 else (3, 1)
    weight, bias = layer.weight.numpy().reshape(along), layer.bias.numpy().reshape(along)
    mean, variance = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = drawn(*shape, seed=seed)
        y, new_mean, new_variance = by_hand(x, 1e-3)
        np.testing.assert_allclose(layer(x).data, y * weight + bias, **CLOSE)
        mean = 0.75 * mean + 0.25 * new_mean
        variance = 0.75 * variance + 0.25 * new_variance
    np.testing.assert_allclose(layer.running_mean.data, mean, **CLOSE)
    np.testing.assert_allclose(layer.running_var.data, variance, **CLOSE)
    assert layer.num_batches_tracked.item() == 3
    x = drawn(*shape, seed=9)
    standard = (x - mean.reshape(along)) / np.sqrt(variance.reshape(along) + 1e-3)
    np.testing.assert_allclose(layer.eval()(x).data, standard * weight + bias, **CLOSE)


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, None])
@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(7, 4), (5, 4, 3)])
def test_batch_norm_equals_pytorch(shape, affine, track, momentum):
    torch = pytest.importorskip("torch")
    options = {"momentum": momentum, "affine": affine, "track_running_stats": track}
    theirs = torch.nn.BatchNorm1d(4, dtype=torch.float64, **options)
    ours = nn.BatchNorm1d(4, dtype=float, **options)
    if affine:
        randomised(ours)
        with torch.no_grad():
            theirs.weight.copy_(torch.tensor(ours.weight.numpy()))
            theirs.bias.copy_(torch.tensor(ours.bias.numpy()))
    for i, training in enumerate([True, True, False, True, False]):
        ours.train(training)
        theirs.train(training)
        x, g = drawn(*shape, seed=i), drawn(*shape, seed=100 + i)
        a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        y.backward(g)
        z.backward(torch.tensor(g))
        np.testing.assert_allclose(y.data, z.detach().numpy(), **CLOSE)
        np.testing.assert_allclose(a.grad, b.grad.numpy(), **CLOSE)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, q.grad.numpy(), **CLOSE)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for name, value in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), **CLOSE)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 2), (3, 2, 2)])
def test_gradients_of_batch_norm_of_both_orders(shape, training):
    layer = randomised(nn.BatchNorm1d(2, dtype=float)).train(training)
    x = mg.tensor(drawn(*shape), requires_grad=True)
    inputs = [x, layer.weight, layer.bias]
    assert mg.testing.gradcheck(lambda x, *_: layer(x), inputs, rng=0, order=2)


@pytest.mark.parametrize("seed", [964897943, 4092700261])
def test_chance_among_many_slopes_is_no_wrong_gradient_of_batch_norm(seed):
    # Of these 624 slopes one was rejected each: neighbours in Neville's scheme agreed by chance, or
    # the noise of a value was beyond its root mean square.
    layer = randomised(nn.BatchNorm1d(2, dtype=float))
    inputs = [mg.tensor(drawn(3, 2, 2), requires_grad=True), layer.weight, layer.bias]
    assert mg.testing.gradcheck(lambda x, *_: layer(x), inputs, rng=seed, order=2)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_keeps_the_dtype(dtype, training):
    layer = nn.BatchNorm1d(3, dtype=dtype).train(training)
    x = mg.tensor(drawn(6, 3).astype(dtype), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == layer.weight.grad.dtype == dtype
    assert layer(drawn(6, 3)).dtype == dtype  # arrays are cast
    assert layer(np.ones((6, 3), int)).dtype == dtype


def test_the_running_variance_of_halves_does_not_overflow():
    layer = nn.BatchNorm1d(1, momentum=1.0, dtype=np.float16)
    x = np.array([[-30000.0], [30000.0]], np.float16)
    y = layer(x)
    assert layer.running_var.item() == float(np.float32(2 * float(x[1, 0]) ** 2))
    np.testing.assert_array_equal(y.data, np.array([[-1], [1]]))
    # Over n - 1 the variance of two is twice as large.
    np.testing.assert_allclose(layer.eval()(x).data, [[-(0.5**0.5)], [0.5**0.5]], rtol=1e-3)


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (1, 3, 1), (4, 3, 0)])
def test_a_single_value_per_feature_is_refused_in_training_and_changes_nothing(shape):
    layer = nn.BatchNorm1d(3)
    message = (
        f"BatchNorm1d(3): an input of shape {shape} was given in training, which has fewer than "
        "two values per feature: they have no variance. Choose a batch size that leaves no batch "
        "of one, or call eval()."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        layer(np.ones(shape))
    assert layer.num_batches_tracked.item() == 0
    assert layer.eval()(np.ones(shape)).shape == shape


@pytest.mark.parametrize("shape", [(), (3,), (5, 2), (3, 5), (5, 2, 3), (5, 3, 2, 2)])
def test_batch_norm_names_the_shapes_that_it_takes(shape):
    message = (
        f"BatchNorm1d(3): an input of shape {shape} was given; it needs (batch, 3) or "
        "(batch, 3, length). Reshape it, or change num_features."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        nn.BatchNorm1d(3)(np.ones(shape))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: nn.BatchNorm1d(0),
            ValueError,
            "BatchNorm1d: num_features=0 was given; it must be at least 1.",
        ),
        (
            lambda: nn.BatchNorm1d(2, eps=0),
            ValueError,
            "BatchNorm1d: eps=0 was given; it must be a positive number.",
        ),
        (
            lambda: nn.BatchNorm1d(2, momentum=1.5),
            ValueError,
            "BatchNorm1d: momentum=1.5 was given; it must be a number from 0 to 1, or None for "
            "the mean over all batches.",
        ),
        (
            lambda: nn.BatchNorm1d(2, dtype=int),
            DtypeError,
            "BatchNorm1d: dtype=int64 was given; it needs floats. Pass float16, float32 or "
            "float64.",
        ),
        (
            lambda: nn.BatchNorm1d(2, dtype="foo"),
            DtypeError,
            "BatchNorm1d: dtype='foo' was given; it needs floats. Pass float16, float32 or "
            "float64.",
        ),
        (
            lambda: nn.LayerNorm(0),
            ValueError,
            "LayerNorm: normalized_shape=0 was given; it needs sizes of at least 1.",
        ),
        (
            lambda: nn.LayerNorm(()),
            ValueError,
            "LayerNorm: normalized_shape=() was given; it needs sizes of at least 1.",
        ),
        (
            lambda: nn.LayerNorm(2.5),
            TypeError,
            "LayerNorm: shape 2.5 was given; it needs integers.",
        ),
        (
            lambda: nn.LayerNorm(3, eps="1"),
            ValueError,
            "LayerNorm: eps='1' was given; it must be a positive number.",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(make, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


# --- LayerNorm -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "over"), [((5, 3), 3), ((4, 2, 3), (2, 3)), ((3,), (3,))])
def test_layer_norm_is_the_formula(shape, over):
    layer = randomised(nn.LayerNorm(over, eps=1e-3, dtype=float))
    x = drawn(*shape)
    rows = x.reshape(-1, layer.weight.size).T  # as features of a batch
    expected = by_hand(rows[None].transpose(1, 2, 0)[:, :, 0], 1e-3)[0].T.reshape(shape)
    expected = expected * layer.weight.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(layer(x).data, expected, **CLOSE)
    assert np.array_equal(layer.eval()(x).data, layer.train()(x).data)


@pytest.mark.parametrize(("shape", "over"), [((5, 3), (3,)), ((4, 2, 3), (2, 3))])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_equals_pytorch(shape, over, affine):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.LayerNorm(over, elementwise_affine=affine, dtype=torch.float64)
    ours = nn.LayerNorm(over, affine=affine, dtype=float)
    if affine:
        randomised(ours)
        theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    x, g = drawn(*shape), drawn(*shape, seed=5)
    a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    y.backward(g)
    z.backward(torch.tensor(g))
    np.testing.assert_allclose(y.data, z.detach().numpy(), **CLOSE)
    np.testing.assert_allclose(a.grad, b.grad.numpy(), **CLOSE)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), **CLOSE)


def test_gradients_of_layer_norm_of_both_orders():
    layer = randomised(nn.LayerNorm((2, 2), dtype=float))
    x = mg.tensor(drawn(3, 2, 2), requires_grad=True)
    inputs = [x, layer.weight, layer.bias]
    assert mg.testing.gradcheck(lambda x, *_: layer(x), inputs, order=2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_layer_norm_keeps_the_dtype_and_equal_values_give_zeros(dtype):
    layer = nn.LayerNorm(3, dtype=dtype)
    y = layer(mg.tensor(np.full((2, 3), 0.1, dtype)))
    assert y.dtype == dtype
    assert y.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_layer_norm_names_the_shape_that_it_needs():
    message = (
        "LayerNorm((2, 3)): an input of shape (5, 3) was given; its last dimensions must be "
        "(2, 3). Reshape it, or change normalized_shape."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        nn.LayerNorm((2, 3))(np.ones((5, 3)))


# --- state ---------------------------------------------------------------------------------------


def test_buffers_are_saved_and_loaded_and_are_no_parameters():
    model, twin = (nn.Sequential(nn.Dense(3, 2, rng=0), nn.BatchNorm1d(2)) for _ in range(2))
    model(drawn(8, 3))
    names = ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert [name for name, _ in model.named_buffers()] == names
    assert [b is c for b, c in zip(model.buffers(), model[1].buffers(), strict=True)] == [True] * 3
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias", *names]
    assert len(list(model.parameters())) == 4
    twin.load_state_dict(model.state_dict())
    assert np.array_equal(twin.eval()(drawn(4, 3)).data, model.eval()(drawn(4, 3)).data)


def test_a_missing_buffer_is_an_error_and_nothing_is_loaded():
    layer = nn.BatchNorm1d(2)
    state = {name: value + 1 for name, value in layer.state_dict().items()}
    del state["running_var"]
    state["num_batches_tracked"] = state["num_batches_tracked"].astype(np.int32)
    message = (
        "load_state_dict: the state does not fit this BatchNorm1d: missing running_var; "
        "num_batches_tracked has dtype int32, needed int64. Nothing was loaded. Build the model "
        "as it was when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        layer.load_state_dict(state)
    assert layer.weight.tolist() == [1, 1]


def test_only_a_buffer_or_none_takes_the_place_of_a_buffer():
    layer = nn.BatchNorm1d(2)
    message = (
        "BatchNorm1d: running_mean is a Buffer, and a value of type ndarray was given for it; it "
        "needs a Buffer, or None. Write to running_mean.data to change the numbers."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        layer.running_mean = np.ones(2)


def test_a_buffer_is_float32_from_numbers_and_a_copy_of_an_array():
    array = np.zeros(2)
    kept = nn.Buffer(array)
    array[0] = 1
    assert kept.tolist() == [0, 0]
    assert (kept.dtype, nn.Buffer([1, 2]).dtype, kept.requires_grad) == (np.float64, "f4", False)


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.3, rng=0), nn.BatchNorm1d(3, momentum=None), nn.LayerNorm(3, eps=0.1)]
)
def test_layers_can_be_copied_and_shown(layer):
    x = drawn(5, 3)
    layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(twin(x), copy.deepcopy(layer)(x))
        for kept, own in zip(twin.buffers(), layer.buffers(), strict=True):
            assert kept is not own
    assert repr(eval(repr(layer), vars(nn))) == repr(layer)


# --- compiled ------------------------------------------------------------------------------------


def training(dtype: Any, momentum: float | None = 0.1, shape: tuple[int, ...] = (6,)) -> Any:
    """Return a builder of a training step with all these layers, for Twins."""

    def build() -> Any:
        size = int(np.prod(shape))
        model = nn.Sequential(
            nn.BatchNorm1d(shape[0], momentum=momentum, dtype=dtype),
            nn.Flatten(),
            nn.Dense(size, 8, rng=0, dtype=dtype),
            nn.BatchNorm1d(8, dtype=dtype),
            nn.ReLU(),
            nn.Dropout(0.3, rng=1),
            nn.LayerNorm(8, dtype=dtype),
            nn.Dense(8, 3, rng=2, dtype=dtype),
        )
        optimizer = mg.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            loss = mg.cross_entropy(model(x), y)
            if model.training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return loss

        seen = SimpleNamespace(model=model)
        step.model = model  # type: ignore[attr-defined]
        return step, lambda: (seen.model.state_dict(), str(model[5].rng.bit_generator.state))

    return build


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(6,), (3, 4)])
def test_compiled_training_equals_eager_bit_for_bit(dtype, momentum, shape):
    twins = Twins(training(dtype, momentum, shape))
    rng = np.random.default_rng(0)
    for _ in range(20):
        twins.call(rng.normal(size=(16, *shape)).astype(dtype), rng.integers(3, size=16))
    assert twins.compiled.traces == 1


def test_compiled_steps_see_train_and_eval():
    twins = Twins(training(np.float32))
    rng = np.random.default_rng(0)
    for mode in (True, True, False, False, True, False, True, True):
        for step in (twins.eager, twins.compiled.function):
            step.model.train(mode)
        for _ in range(2):
            twins.call(rng.normal(size=(16, 6)).astype("f"), rng.integers(3, size=16))
    assert twins.compiled.traces == 2


def test_loaded_statistics_are_seen_by_compiled_predictions():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()).eval()
    predict = mg.compile(model)
    x = drawn(4, 3).astype("f")
    first = predict(x)
    model[0].running_mean.data = [1.0, 2.0, 3.0]
    second = predict(x)
    assert np.array_equal(second.data, model(x).data)
    assert not np.array_equal(first.data, second.data)
    assert predict.traces == 1


def test_fit_is_the_same_compiled_or_not_and_predict_evaluates():
    x, y = drawn(60, 6).astype("f"), np.arange(60) % 3
    results = []
    for compiled in (True, False):
        model = training(np.float32)()[0].model
        optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
        mg.fit(
            model, x, y, loss="cross_entropy", optimizer=optimizer, epochs=3, batch_size=16,
            validation_data=(x[:7], y[:7]), metrics=["accuracy"], verbose=0, rng=0,
            compile=compiled,
        )  # fmt: skip
        state = model.state_dict()
        one, two = mg.predict(model, x), mg.predict(model, x, batch_size=1)
        # Products of one row and of many add up in another order.
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
        mg.evaluate(model, x, y, loss="cross_entropy")
        after = model.state_dict()
        assert all(np.array_equal(state[name], after[name]) for name in state)
        assert state["0.num_batches_tracked"] == 12
        results.append(state)
    assert all(results[0][k].tobytes() == results[1][k].tobytes() for k in results[0])
