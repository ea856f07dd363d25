"""fit, evaluate, predict: what they compute, what they refuse."""

import math
import re

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError, ShapeError
from microgrid.nn import MLP, Dense, Module, Sequential
from microgrid.optim import SGD

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4))
Y = (X @ RNG.normal(size=(4, 3))).argmax(axis=1)
TARGET = np.tanh(X[:, :2])


def make_model(seed=0, sizes=(4, 8, 3), **options):
    return MLP(sizes, rng=seed, **options)


def train(model=None, x=X, y=Y, *, lr=0.1, **options):
    model = model or make_model()
    options = {"loss": "cross_entropy", "verbose": 0, "rng": 0, **options}
    if "optimizer" not in options:
        options["optimizer"] = SGD(model.parameters(), lr=lr)
    return mg.fit(model, x, y, **options)


class Watching(Module):
    """Passes its input on and notes what it sees."""

    def __init__(self):
        self.modes, self.shapes, self.recorded = [], [], []

    def forward(self, x):
        self.modes.append(self.training)
        self.shapes.append(x.shape)
        self.recorded.append(mg.is_grad_enabled())
        return x


# --- what fit computes ---------------------------------------------------------------------------


def test_a_loop_by_hand_gives_the_same_model_and_history_bit_for_bit():
    model = make_model()
    run = train(model, epochs=3, batch_size=16, metrics=["accuracy"])

    twin = make_model()
    optimizer = SGD(twin.parameters(), lr=0.1)
    rng = np.random.default_rng(0)
    x = X.astype(np.float32)
    for epoch in range(3):
        order = rng.permutation(50)
        losses, hits = [], 0
        for start in range(0, 50, 16):
            batch = order[start : start + 16]
            z = twin(mg.tensor(x[batch]))
            loss = mg.cross_entropy(z, Y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += [loss.item()] * len(batch)
            hits += (z.data.argmax(axis=1) == Y[batch]).sum()
        # The mean over samples, added up in another order.
        assert math.isclose(run.history["loss"][epoch], math.fsum(losses) / 50, rel_tol=1e-14)
        assert math.isclose(run.history["accuracy"][epoch], hits / 50, rel_tol=1e-14)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert np.array_equal(p.data, q.data)


def test_it_learns():
    model = make_model()
    run = train(model, epochs=60, metrics="accuracy")
    assert run.history["loss"][-1] < 0.2 * run.history["loss"][0]
    assert run.history["accuracy"][-1] > 0.95
    assert run.epoch == list(range(60))
    assert not run.interrupted


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_seed_decides_every_bit(shuffle):
    models = [make_model() for _ in range(3)]
    runs = [
        train(model, epochs=3, rng=seed, shuffle=shuffle, batch_size=7)
        for model, seed in zip(models, (5, np.random.default_rng(5), 6), strict=True)
    ]
    assert runs[0].history == runs[1].history
    assert (runs[0].history == runs[2].history) is not shuffle
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert np.array_equal(p.data, q.data)


def test_without_shuffling_samples_come_in_order_and_only_the_last_batch_is_smaller():
    seen = []
    model = make_model()

    def loss(p, y):
        seen.append(y.numpy())
        return mg.cross_entropy(p, y)

    train(model, loss=loss, shuffle=False, batch_size=16, epochs=2, compile=False)
    assert [len(batch) for batch in seen] == [16, 16, 16, 2] * 2
    assert np.array_equal(np.concatenate(seen), np.concatenate([Y, Y]))


def test_shuffling_uses_every_sample_once_an_epoch_in_another_order():
    seen = []

    def loss(p, y):
        seen.append(y.numpy())
        return mg.mse_loss(p, y)

    model = make_model(sizes=(1, 1))
    labels = np.arange(50.0)[:, None]
    train(model, labels / 50, labels, loss=loss, epochs=2, lr=1e-9, compile=False)
    epochs = np.concatenate(seen).reshape(2, 50)
    assert np.array_equal(np.sort(epochs, axis=1), np.stack([labels[:, 0]] * 2))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], labels[:, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_data_is_cast_to_the_dtype_of_the_parameters_and_labels_stay_integers(dtype):
    kinds = []

    def loss(p, y):
        kinds.append((p.dtype, y.dtype))
        return mg.cross_entropy(p, y)

    train(make_model(dtype=dtype), X.tolist(), Y.astype(np.int32), loss=loss)
    assert set(kinds) == {(np.dtype(dtype), np.dtype(np.int32))}

    def distance(p, y):
        kinds.append((p.dtype, y.dtype))
        return mg.mse_loss(p, y)

    kinds.clear()
    train(make_model(sizes=(4, 2), dtype=dtype), mg.tensor(X), TARGET, loss=distance)
    assert set(kinds) == {(np.dtype(dtype), np.dtype(dtype))}


def test_the_data_is_not_written_to():
    x, y = X.astype(np.float32), Y.copy()
    x.flags.writeable = y.flags.writeable = False
    train(x=x, y=y, shuffle=False, validation_split=0.2)


def test_names_stand_for_losses_optimisers_and_metrics():
    by_name = train(optimizer="sgd", epochs=2, metrics=["accuracy", "mse"], y=np.eye(3)[Y])
    model = make_model()
    optimizer = SGD(model.parameters())
    twin = train(model, loss=mg.cross_entropy, optimizer=optimizer, epochs=2, y=np.eye(3)[Y],
                 metrics=["accuracy", "mse"])  # fmt: skip
    assert by_name.history == twin.history
    assert list(by_name.history) == ["loss", "accuracy", "mse"]


@pytest.mark.parametrize("name", mg.train.names.LOSSES)
def test_every_loss_name_trains(name):
    signs, shares = np.sign(TARGET), np.abs(TARGET) / np.abs(TARGET).sum(axis=1, keepdims=True)
    y = {"cross_entropy": Y, "nll": Y, "multi_margin": Y, "hinge": signs, "squared_hinge": signs,
         "binary_cross_entropy": TARGET > 0, "poisson_nll": TARGET > 0,
         "kl_div": shares}.get(name, TARGET)  # fmt: skip
    model = make_model(sizes=(4, 8, 3 if y is Y else 2))
    if name in ("nll", "kl_div"):
        model = Sequential(*model, mg.nn.LogSoftmax())
    run = train(model, y=y, loss=name, epochs=10)
    assert run.history["loss"][-1] < run.history["loss"][0]


def test_frozen_parameters_stay():
    model = make_model()
    model[0].weight.requires_grad = False
    before = model[0].weight.numpy()
    train(model, optimizer="sgd", epochs=2)
    assert np.array_equal(model[0].weight.data, before)


def test_parameters_outside_the_model_are_trained_by_their_optimiser():
    model, scale = make_model(), mg.tensor(1.0, requires_grad=True)

    def loss(p, y):
        return mg.cross_entropy(p * scale, y)

    train(model, loss=loss, optimizer=SGD([*model.parameters(), scale], lr=0.1))
    assert scale.item() != 1.0
    assert scale.grad is None


def test_gradients_are_not_left_behind_and_old_ones_not_used():
    model, twin = make_model(), make_model()
    for p in model.parameters():
        p.grad = np.full(p.shape, 1e3, np.float32)
    assert train(model).history == train(twin).history
    assert all(p.grad is None for p in model.parameters())


def test_no_epochs_change_nothing():
    model = make_model()
    before = model.state_dict()
    assert train(model, epochs=0).history == {}
    assert all(np.array_equal(before[n], p.data) for n, p in model.named_parameters())


# --- validation ----------------------------------------------------------------------------------


def test_the_last_samples_are_held_out_before_shuffling():
    model, twin = make_model(), make_model()
    run = train(model, validation_split=0.3, metrics="accuracy", epochs=2)
    again = train(
        twin, X[:35], Y[:35], validation_data=(X[35:], Y[35:]), metrics="accuracy", epochs=2
    )
    assert run.history == again.history
    assert list(run.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    final = mg.evaluate(model, X[35:], Y[35:], loss="cross_entropy", metrics="accuracy")
    # Other batches round otherwise.
    assert math.isclose(run.history["val_loss"][-1], final["loss"], rel_tol=1e-6)
    assert run.history["val_accuracy"][-1] == pytest.approx(final["accuracy"])


@pytest.mark.parametrize(
    ("n", "share", "held"), [(100, 0.07, 7), (10, 0.1, 1), (10, 0.7, 7), (50, 0.3, 15), (7, 0.5, 4)]
)
def test_the_share_held_out_is_that_of_train_test_split(n, share, held):
    seen = []

    def count(p, y):
        seen.append(len(y))
        return 0.0

    x = np.ones((n, 4))
    train(x=x, y=np.zeros(n, int), validation_split=share, metrics=count, batch_size=n)
    assert seen == [n - held, held]
    assert [len(part) for part in mg.datasets.train_test_split(x, test_size=share)] == seen


def test_metrics_of_none_are_none():
    assert list(train(metrics=None).history) == ["loss"]
    assert list(mg.evaluate(make_model(), X, Y, loss="cross_entropy", metrics=None)) == ["loss"]


def test_modes_are_set_for_training_and_evaluation_and_restored():
    watch = Watching()
    model = Sequential(watch, Dense(4, 3, rng=0)).eval()
    model[1].training = True
    train(model, validation_split=0.2, batch_size=20, compile=False)
    assert watch.modes == [True, True, False]
    assert watch.recorded == [True, True, False]
    assert (model.training, watch.training, model[1].training) == (False, False, True)
    model.train()
    mg.evaluate(model, X, Y, loss="cross_entropy")
    mg.predict(model, X)
    assert watch.modes[3:] == [False, False]
    assert watch.recorded[3:] == [False, False]
    assert all(m.training for m in model.modules())


def test_modes_are_restored_after_an_error():
    model = make_model().eval()

    def loss(p, y):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match=r"^stop$"):
        train(model, loss=loss)
    assert not model.training
    assert mg.is_grad_enabled()


# --- evaluate and predict ------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1000])
def test_evaluate_is_the_mean_over_samples_whatever_the_batches(batch_size):
    model = make_model(dtype=float)
    found = mg.evaluate(
        model, X, Y, loss="cross_entropy", metrics="accuracy", batch_size=batch_size
    )
    z = model(X)
    assert math.isclose(found["loss"], mg.cross_entropy(z, Y).item(), rel_tol=1e-13)
    assert math.isclose(found["accuracy"], (z.data.argmax(1) == Y).mean(), rel_tol=1e-13)


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1000])
def test_predict_is_the_model_whatever_the_batches(batch_size):
    model = make_model(dtype=float)
    found = mg.predict(model, X, batch_size=batch_size)
    assert type(found) is np.ndarray
    assert found.flags.owndata
    np.testing.assert_allclose(found, model(X).data, rtol=1e-12)  # matmul blocks otherwise


def test_predict_of_no_samples_has_the_right_shape():
    assert mg.predict(make_model(), np.zeros((0, 4))).shape == (0, 3)


def test_predict_does_not_hand_out_the_data():
    x = X.astype(np.float32)
    found = mg.predict(Sequential(Watching()), x)
    assert not np.shares_memory(found, x)


class Returning(mg.nn.Module):
    def __init__(self, make):
        self.make = make

    def forward(self, x):
        return self.make(x)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: (x, x), TypeError, "type tuple; it must return one Tensor or array."),
        (lambda x: None, TypeError, "type NoneType; it must return one Tensor or array."),
        (lambda x: 1.0, TypeError, "type float; it must return one Tensor or array."),
        (lambda x: x.sum(), ShapeError, "shape () for 50 samples; the first dimension must count"),
        (lambda x: x.T, ShapeError, "shape (4, 50) for 50 samples; the first dimension must count"),
        (lambda x: x[:1], ShapeError, "shape (1, 4) for 50 samples; the first dimension must"),
    ],
)
def test_predict_refuses_results_that_are_not_one_a_sample(make, error, message):
    with pytest.raises(error, match=f"^predict: the model returned {re.escape(message)}"):
        mg.predict(Returning(make), X)


def test_a_model_without_parameters_predicts_in_float32():
    assert mg.predict(Sequential(mg.nn.ReLU()), X).dtype == np.float32


# --- what is refused before training -------------------------------------------------------------


BAD = X.copy()
BAD[7, 2] = np.nan


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"y": Y[:-1]},
            ShapeError,
            "fit: x has shape (50, 4) and y (49,); the first dimension counts the samples and must "
            "be the same.",
        ),
        ({"x": 3.0}, ShapeError, "fit: x is a single number; its first dimension must count"),
        ({"x": X[:0], "y": Y[:0]}, ValueError, "fit: x has shape (0, 4): there are no samples."),
        ({"x": np.full((50, 4), "a")}, DtypeError, "fit: data of dtype <U1 was given;"),
        (
            {"y": ["no", "yes"] * 25},
            DtypeError,
            "fit: y holds text, as 'no'; it needs numbers. Number the classes: names, y = "
            "np.unique(y, return_inverse=True).",
        ),
        (
            {"x": BAD},
            ValueError,
            "fit: x has nan, inf or numbers beyond float32 in 1 of 50 samples, the first at x[7]. "
            "Remove or replace them.",
        ),
        ({"x": X * 1e300}, ValueError, "fit: x has nan, inf or numbers beyond float32 in 50 of 50"),
        (
            {"y": BAD, "loss": "mse"},
            ValueError,
            "fit: y has nan, inf or numbers beyond float32 in 1",
        ),
        (
            {"validation_data": (BAD, Y)},
            ValueError,
            "fit: validation x has nan, inf or numbers beyond float32 in 1 of 50 samples",
        ),
        ({"validation_data": X}, ValueError, "fit: validation_data was given; it must be a pair"),
        (
            {"validation_data": (X, Y), "validation_split": 0.1},
            ValueError,
            "fit: validation_data and validation_split were both given; only one can be used.",
        ),
        (
            {"validation_split": 1.0},
            ValueError,
            "fit: validation_split=1.0 was given; it must be at",
        ),
        ({"validation_split": -1}, ValueError, "fit: validation_split=-1 was given; it must be at"),
        (
            {"x": X[:1], "y": Y[:1], "validation_split": 0.5},
            ValueError,
            "fit: validation_split=0.5 of 1 samples leaves 0 to train on and 1 to validate; both",
        ),
        (
            {"validation_split": "a"},
            TypeError,
            "fit: validation_split='a' was given; it must be a number, at least 0 and below 1.",
        ),
        (
            {"shuffle": "batch"},
            ValueError,
            "fit: shuffle='batch' was given; it must be True or False.",
        ),
        (
            {"metrics": 3},
            TypeError,
            "fit: metrics of type int were given; it needs a name, a function, a list",
        ),
        ({"batch_size": 0}, ValueError, "fit: batch_size=0 was given; it must be at least 1."),
        ({"batch_size": 2.5}, TypeError, "fit: batch_size=2.5 was given; it must be an integer."),
        ({"epochs": -1}, ValueError, "fit: epochs=-1 was given; it must be at least 0."),
        (
            {"loss": "crossentropy"},
            ValueError,
            "fit: the loss 'crossentropy' is not known; the names are mse, mae, l1, huber, ",
        ),
        (
            {"loss": 3},
            TypeError,
            "fit: the loss given is of type int; it needs a name or a function",
        ),
        (
            {"optimizer": "sgdd"},
            ValueError,
            "fit: the optimizer 'sgdd' is not known; the names are",
        ),
        (
            {"optimizer": SGD},
            TypeError,
            "fit: the optimizer given is of type type; it needs a name or",
        ),
        (
            {"optimizer": SGD(make_model().parameters())},
            ValueError,
            "fit: the optimizer has no parameter of this model, so nothing would be learned.",
        ),
        ({"metrics": ["acc"]}, ValueError, "fit: the metric 'acc' is not known;"),
        ({"verbose": 3}, ValueError, 'fit: verbose=3 was given; it must be 0, 1, 2 or "auto".'),
        ({"rng": "a"}, (TypeError, ValueError), ""),
    ],
)
def test_what_makes_no_sense_is_refused_before_training(changes, error, message):
    model = make_model()
    before = model.state_dict()
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        train(model, **changes)
    assert all(np.array_equal(before[n], p.data) for n, p in model.named_parameters())


def test_models_that_cannot_be_trained():
    with pytest.raises(
        ValueError, match=r"^fit: no parameter of the Sequential requires a gradient"
    ):
        mg.fit(Sequential(mg.relu), X, Y, loss="mse", optimizer="sgd")
    with pytest.raises(TypeError, match=r"^predict: the model given is of type function; it needs"):
        mg.predict(lambda x: x, X)


@pytest.mark.parametrize("compiled", [True, False])
def test_penalties_are_minimised_with_the_loss_and_left_out_of_the_validation(compiled):
    def build():
        return Dense(4, 1, rng=0, weight_penalty=mg.nn.penalties.Elastic(0.1, 0.2))

    model, twin, y = build(), build(), TARGET[:, :1]
    run = train(model, y=y, loss="mse", validation_data=(X, y), batch_size=50, shuffle=False,
                compile=compiled)  # fmt: skip
    x, target = X.astype(np.float32), y.astype(np.float32)
    loss = mg.mse_loss(twin(x), target)
    weight = twin.weight
    total = loss + 0.1 * weight.absolute().sum() + 0.2 * weight.square().sum()
    total.backward()
    np.testing.assert_allclose(run.history["loss"], [total.item()], rtol=1e-6)
    np.testing.assert_allclose(
        model.weight.data, weight.data - np.float32(0.1) * weight.grad, rtol=1e-5
    )
    measured = mg.evaluate(model, X, y, loss="mse")["loss"]
    np.testing.assert_allclose(run.history["val_loss"], [measured], rtol=1e-6)
