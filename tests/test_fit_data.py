"""What fit learns from: weights of samples and classes, arrays in files, what yields batches."""

import itertools
import re
import tracemalloc

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = (X @ RNG.normal(size=(4, 3))).argmax(axis=1)
TARGET = np.tanh(X[:, :1])
WEIGHT = RNG.integers(0, 4, size=50).astype(float)


def train(x=X, y=Y, *, sizes=(4, 8, 3), **options):
    model = mg.nn.MLP(sizes, rng=0)
    options = {"loss": "cross_entropy", "verbose": 0, "rng": 0, "epochs": 3, **options}
    run = mg.fit(model, x, y, optimizer=mg.optim.SGD(model.parameters(), lr=0.1), **options)
    return run, [p.data for p in model.parameters()]


def same(one, other):
    assert one[0].history == other[0].history
    assert all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))


def close(one, other):
    """Equal but for the order of sums in float32."""
    assert one[0].history.keys() == other[0].history.keys()
    for name, values in one[0].history.items():
        np.testing.assert_allclose(values, other[0].history[name], rtol=1e-5)
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# --- weights -------------------------------------------------------------------------------------

each_way = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])


@each_way
def test_weights_of_one_change_nothing(compiled):
    close(train(sample_weight=np.ones(50), compile=compiled), train(compile=compiled))


@each_way
def test_a_whole_weight_is_so_many_copies(compiled):
    # In one batch of all: the mean over the copies is that of weight * loss, scaled.
    rows = np.repeat(np.arange(50), WEIGHT.astype(int))
    options = {"shuffle": False, "compile": compiled, "batch_size": 200}
    weight = WEIGHT * 50 / WEIGHT.sum()
    weighted = train(sample_weight=weight, **options)
    close(weighted, train(X[rows], Y[rows], **options))


@each_way
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "huber"])
def test_the_step_is_that_of_the_mean_of_weight_times_loss(loss, compiled):
    y, sizes = (Y, (4, 3)) if loss == "cross_entropy" else (np.tanh(X[:, :2]), (4, 2))
    run, parameters = train(
        y=y, sizes=sizes, loss=loss, epochs=1, batch_size=50, shuffle=False,
        sample_weight=WEIGHT, compile=compiled,
    )  # fmt: skip
    model = mg.nn.MLP(sizes, rng=0)
    each = mg.train.names.LOSSES[loss](
        model(mg.tensor(X)), np.asarray(y, y.dtype), reduction="none"
    )
    by_row = each if each.ndim == 1 else each.mean(axis=1)
    expected = (by_row * WEIGHT.astype(np.float32)).mean()
    expected.backward()
    np.testing.assert_allclose(run.history["loss"][0], expected.item(), rtol=1e-6)
    for p, trained in zip(model.parameters(), parameters, strict=True):
        np.testing.assert_allclose(trained, p.data - np.float32(0.1) * p.grad, rtol=1e-4, atol=1e-6)


def test_weights_go_with_their_samples_through_the_shuffling():
    keep = WEIGHT > 1
    _, weighted = train(sample_weight=keep * 1.0, batch_size=1)
    model = mg.nn.MLP((4, 8, 3), rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    rng = np.random.default_rng(0)
    for _ in range(3):
        for i in rng.permutation(50):
            if keep[i]:
                optimizer.zero_grad()
                mg.cross_entropy(model(mg.tensor(X[i : i + 1])), Y[i : i + 1]).backward()
                optimizer.step()
    for p, trained in zip(model.parameters(), weighted, strict=True):
        np.testing.assert_allclose(trained, p.data, rtol=1e-4, atol=1e-6)


def test_class_weights_are_weights_of_samples():
    given = train(class_weight={0: 2, 2: 0.5})
    same(given, train(sample_weight=np.array([2, 1, 0.5])[Y]))
    same(train(y=np.eye(3)[Y], class_weight={0: 2, 2: 0.5}),
         train(y=np.eye(3)[Y], sample_weight=np.array([2, 1, 0.5])[Y]))  # fmt: skip


def test_a_class_that_y_has_not_can_have_no_weight():
    message = (
        "fit: class_weight has the class 7, which y has not; the classes of y are 0, 1, 2. Leave "
        "it out, or number the classes as y does."
    )
    for y in (Y, np.eye(3)[Y]):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            train(y=y, class_weight={0: 2, 7: 2})


def test_ten_of_the_classes_of_y_are_named():
    message = "the classes of y are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 40 more. Leave it out"
    with pytest.raises(ValueError, match=re.escape(message)):
        train(y=np.arange(50), class_weight={-1: 2})


def test_a_class_of_samples_held_out_or_of_a_column_may_have_a_weight():
    y = np.where(np.arange(50) < 40, Y % 2, 2)  # class 2 is validated on only
    given = {"y": y, "validation_split": 0.2}
    same(train(class_weight={2: 3}, **given), train(class_weight={0: 1}, **given))
    columns = np.eye(3)[Y % 2]
    same(train(y=columns, class_weight={2: 3}), train(y=columns, class_weight={0: 1}))


def test_of_batches_it_is_not_known_which_classes_come():
    batches = [(X[:10], Y[:10])]
    same(train(batches, None, class_weight={7: 3}), train(batches, None, class_weight={0: 1}))


def test_balanced_is_that_of_scikit_learn():
    utils = pytest.importorskip("sklearn.utils.class_weight")
    weight = utils.compute_sample_weight("balanced", Y)
    same(train(class_weight="balanced"), train(sample_weight=weight))


def test_class_and_sample_weights_multiply():
    both = train(sample_weight=WEIGHT, class_weight={1: 4})
    same(both, train(sample_weight=WEIGHT * np.where(Y == 1, 4, 1)))


def test_validation_and_evaluate_take_weights():
    run, _ = train(validation_data=(X, Y, WEIGHT), epochs=1)
    model = mg.nn.MLP((4, 8, 3), rng=0)
    mg.fit(model, X, Y, loss="cross_entropy", optimizer=mg.optim.SGD(model.parameters(), lr=0.1),
           verbose=0, rng=0)  # fmt: skip
    losses = mg.cross_entropy(model(mg.tensor(X)), Y, reduction="none").data
    expected = np.mean(losses * WEIGHT)
    measured = mg.evaluate(model, X, Y, loss="cross_entropy", sample_weight=WEIGHT)["loss"]
    np.testing.assert_allclose([measured, run.history["val_loss"][0]], expected, rtol=1e-5)


def test_a_loss_of_ones_own_takes_weights_if_it_knows_reduction():
    def mine(p, y, reduction="mean"):
        losses = (p - y) ** 2
        return losses.mean() if reduction == "mean" else losses

    given = {"y": TARGET, "sizes": (4, 1), "sample_weight": WEIGHT}
    close(train(loss=mine, **given), train(loss="mse", **given))
    message = "fit: weights were given, and the loss takes no reduction; it needs to return one"
    with pytest.raises(TypeError, match=message):
        train(loss=lambda p, y: ((p - y) ** 2).mean(), **given)
    with pytest.raises(ShapeError, match=r"fit: the loss returned shape \(\) for 32 samples with"):
        train(loss=lambda p, y, reduction: ((p - y) ** 2).mean(), **given)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sample_weight": WEIGHT[:9]}, ShapeError, "fit: sample_weight has shape (9,) for 50"),
        (
            {"sample_weight": -WEIGHT},
            ValueError,
            "fit: sample_weight has numbers that are negative",
        ),
        ({"sample_weight": WEIGHT * np.nan}, ValueError, "fit: sample_weight has numbers that are"),
        ({"sample_weight": 0 * WEIGHT}, ValueError, "fit: sample_weight has zeros only; nothing"),
        ({"class_weight": "equal"}, ValueError, "fit: class_weight='equal' was given; it must be"),
        ({"class_weight": [1, 2]}, TypeError, "fit: class_weight of type list was given; it needs"),
        (
            {"class_weight": {"a": 1}},
            TypeError,
            "fit: class_weight has 'a': 1; it needs the numbers",
        ),
        ({"class_weight": {0: -1}}, ValueError, "fit: class_weight has numbers that are negative"),
    ],
)
def test_weights_that_make_no_sense_are_refused(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        train(**options)


# --- arrays in files -----------------------------------------------------------------------------


def in_file(path, array):
    stored = np.memmap(path, array.dtype, "w+", shape=array.shape)
    stored[:] = array
    return stored


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"validation_split": 0.2},
                                     {"sample_weight": WEIGHT}])  # fmt: skip
def test_arrays_in_files_are_arrays(tmp_path, options):
    stored = in_file(tmp_path / "x", X), in_file(tmp_path / "y", Y)
    same(train(*stored, **options), train(**options))


def test_numbers_in_files_are_cast_batch_by_batch(tmp_path):
    whole = RNG.integers(0, 3, size=(50, 4)).astype(np.uint8)
    target = whole.mean(axis=1, keepdims=True) / 10
    x, y = in_file(tmp_path / "x", whole), in_file(tmp_path / "y", target)
    options = {"loss": "mse", "sizes": (4, 1), "epochs": 1}
    scaled = {**options, "batch_size": 10}
    same(train(x, y, **scaled), train(whole, target, **scaled))


def test_predict_and_evaluate_read_files(tmp_path):
    model, stored = mg.nn.MLP((4, 3), rng=0), in_file(tmp_path / "x", X.astype(np.float64))
    # BLAS sums in another order where rows are cast by themselves.
    np.testing.assert_allclose(mg.predict(model, stored, 7), mg.predict(model, X, 7), rtol=1e-6)
    options = {"loss": "cross_entropy", "batch_size": 7}
    assert mg.evaluate(model, stored, Y, **options) == mg.evaluate(model, X, Y, **options)


def test_a_file_larger_than_what_is_read_at_once_stays_in_the_file(tmp_path):
    x = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(200_000, 100))  # 20 MB, 80 MB in float32
    model = mg.nn.MLP((100, 1), rng=0)
    tracemalloc.start()
    mg.fit(model, x, np.zeros((200_000, 1), np.float32), loss="mse", batch_size=5000,
           optimizer=mg.optim.SGD(model.parameters(), lr=0.0), verbose=0, rng=0)  # fmt: skip
    mg.predict(model, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15_000_000  # a batch is 2 MB, the order of the samples 1.6


def test_nan_in_a_file_is_found_when_it_is_read(tmp_path):
    bad = X.copy()
    bad[30, 1] = np.nan
    with pytest.raises(ValueError, match="fit: x has nan, inf or numbers beyond float32 in 1 of"):
        train(in_file(tmp_path / "x", bad))


# --- what yields batches -------------------------------------------------------------------------


def batches(size=32):
    for start in range(0, 50, size):
        yield X[start : start + size], Y[start : start + size]


def test_a_generator_function_is_called_anew_each_epoch():
    same(train(batches, None), train(shuffle=False))


def test_a_list_of_batches_is_used_again_each_epoch():
    same(train(list(batches()), None), train(shuffle=False))


def test_an_endless_iterator_is_cut_into_epochs():
    endless = itertools.chain.from_iterable(batches() for _ in itertools.count())
    same(train(endless, None, steps_per_epoch=2), train(shuffle=False))


def test_batches_are_cast_and_may_have_weights():
    def weighted():
        for start in range(0, 50, 32):
            rows = slice(start, start + 32)
            yield X[rows].astype(np.float64).tolist(), Y[rows], WEIGHT[rows]

    same(train(weighted, None), train(shuffle=False, sample_weight=WEIGHT))
    same(train(batches, None, class_weight={1: 3}), train(shuffle=False, class_weight={1: 3}))


def test_validation_evaluate_and_predict_take_batches():
    run, _ = train(batches, None, validation_data=batches, metrics="accuracy")
    twin, _ = train(shuffle=False, validation_data=(X, Y), metrics="accuracy")
    assert run.history == twin.history
    model = mg.nn.MLP((4, 3), rng=0)
    measured = mg.evaluate(model, batches, loss="cross_entropy")
    assert measured == mg.evaluate(model, X, Y, loss="cross_entropy", batch_size=32)
    found = mg.predict(model, (x for x, _ in batches()))
    assert np.array_equal(found, mg.predict(model, X, 32))


def test_the_bar_does_without_the_number_of_batches(capsys):
    train(batches, None, verbose=1)
    assert capsys.readouterr().out.count("loss") == 3


def test_a_run_over_batches_goes_on_in_the_middle_of_an_epoch(tmp_path):
    class Fail(mg.callbacks.Callback):
        left = 3

        def on_train_batch_begin(self, batch, logs=None):
            self.left -= 1
            if self.left < 0:
                raise ConnectionError

    class Pass(Fail):
        left = 99

    Pass.__name__ = "Fail"
    path = tmp_path / "run"
    options = {
        "resume": path,
        "callbacks": [Fail(), mg.callbacks.ModelCheckpoint(path, save_freq=1)],
    }
    with pytest.raises(ConnectionError):
        train(batches, None, **options)
    options["callbacks"][0] = Pass()
    same(train(batches, None, **options), train(shuffle=False))


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (X, {}, TypeError, "fit: x of type ndarray was given without y; it needs both"),
        (batches(), {}, ValueError, "fit: x is an iterator, which ends after one epoch, and is"),
        (
            iter([(X, Y)]),
            {"steps_per_epoch": 2},
            ValueError,
            "fit: x ended after 1 batches, and 2 ",
        ),
        (lambda: [], {}, ValueError, "fit: x ended after 0 batches, and any were wanted. Pass"),
        (lambda: [X], {}, TypeError, "fit: x yielded type ndarray; it must yield pairs (x, y) or"),
        (batches, {"sample_weight": WEIGHT}, ValueError, "fit: sample_weight was given, and x yie"),
        (batches, {"class_weight": "balanced"}, ValueError, "fit: class_weight='balanced' was giv"),
        (batches, {"validation_split": 0.5}, ValueError, "fit: validation_split was given, and x"),
        (batches, {"steps_per_epoch": 0}, ValueError, "fit: steps_per_epoch=0 was given; it must"),
        (lambda: [(X, Y[:9])], {}, ShapeError, "fit: x has shape (50, 4) and y (9,); the first"),
    ],
)
def test_what_cannot_be_iterated_over_is_refused(x, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        train(x, None, **options)


def test_steps_per_epoch_needs_batches():
    with pytest.raises(ValueError, match="fit: steps_per_epoch was given with arrays, of which an"):
        train(steps_per_epoch=3)


# --- found by readers ----------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [{0: 1.0, 1: 10.0}, "balanced"])
def test_class_weights_know_nothing_of_what_is_held_out(weight):
    split = train(class_weight=weight, validation_split=0.2)
    apart = train(X[:40], Y[:40], class_weight=weight, validation_data=(X[40:], Y[40:]))
    same(split, apart)


def test_a_list_of_pairs_is_batches_to_validate_on_too():
    listed, _ = train(validation_data=list(batches(25)))
    arrays, _ = train(validation_data=(X, Y), batch_size=32)
    np.testing.assert_allclose(listed.history["val_loss"], arrays.history["val_loss"], rtol=1e-6)


def test_predict_takes_what_fit_takes_and_leaves_targets_aside():
    model = mg.nn.MLP((4, 3), rng=0)
    expected = mg.predict(model, X, 32)
    assert np.array_equal(mg.predict(model, batches), expected)
    assert np.array_equal(mg.predict(model, (list(batch) for batch in batches())), expected)
    with pytest.raises(ValueError, match="predict: x yielded no batches; it needs at least one"):
        mg.predict(model, iter([]))


def test_a_batch_of_weights_0_teaches_nothing():
    def some():
        yield X[:8], Y[:8], np.ones(8)
        yield X[8:16], Y[8:16], np.zeros(8)

    run, _ = train(some, None, epochs=1)
    alone, _ = train(X[:8], Y[:8], epochs=1, shuffle=False)
    np.testing.assert_allclose(run.history["loss"][0], alone.history["loss"][0] / 2, rtol=1e-6)


def test_an_endless_iterator_goes_on_where_a_run_stood(tmp_path):
    def endless():
        rng = np.random.default_rng(1)
        while True:
            rows = rng.integers(0, 50, 16)
            yield X[rows], Y[rows]

    def run(path, epochs):
        return train(endless(), None, steps_per_epoch=3, epochs=epochs, resume=path,
                     callbacks=mg.callbacks.ModelCheckpoint(path))  # fmt: skip

    run(tmp_path / "run", 2)
    same(run(tmp_path / "run", 4), run(tmp_path / "whole", 4))


@pytest.mark.parametrize("who", ["fit", "evaluate", "predict"])
def test_a_file_of_other_than_real_numbers_is_refused(tmp_path, who):
    stored, model = in_file(tmp_path / "x", X.astype(complex)), mg.nn.MLP((4, 3), rng=0)
    calls = {
        "fit": lambda: train(stored),
        "evaluate": lambda: mg.evaluate(model, stored, Y, loss="cross_entropy"),
        "predict": lambda: mg.predict(model, stored),
    }
    message = f"{who}: a file of dtype complex128 was given; it needs real numbers."
    with pytest.raises(mg.errors.DtypeError, match=re.escape(message)):
        calls[who]()
