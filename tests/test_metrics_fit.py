"""Metrics in fit and evaluate: those of an epoch are those of all its samples."""

import io
import re
from contextlib import redirect_stdout

import numpy as np
import pytest

import microgrid as mg
from microgrid.callbacks import Callback
from microgrid.errors import StateError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)).astype(np.float32)
Y = (X.sum(axis=1) + RNG.normal(size=50) > 0).astype(int)
METRICS = ["f1", "roc_auc", "average_precision", "balanced_accuracy", "accuracy"]
NO_UPDATE = 1e-30  # a learning rate that leaves float32 parameters as they are


def make_model(seed=0):
    return mg.nn.MLP([3, 8, 2], rng=seed)


def train(model, metrics=METRICS, lr=0.1, **options):
    options = {"verbose": 0, "rng": 0, "batch_size": 8, **options}
    optimizer = mg.optim.SGD(model.parameters(), lr=lr)
    return mg.fit(
        model, X, Y, loss="cross_entropy", optimizer=optimizer, metrics=metrics, **options
    )


def test_metrics_of_an_epoch_are_those_of_all_its_samples():
    model = make_model()
    run = train(model, lr=NO_UPDATE)
    scores = mg.predict(model, X)
    for name in METRICS:
        # The same counts; of rankings, sums in another order.
        whole = getattr(mg.metrics, name)(scores, Y)
        np.testing.assert_allclose(run.history[name], [whole], rtol=1e-14)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_function_is_called_once_an_epoch_on_all_samples(compiled):
    shapes = []

    def spread(prediction, target):
        shapes.append((prediction.shape, target.shape))
        return np.ptp(prediction)

    model = make_model()
    run = train(model, spread, lr=NO_UPDATE, epochs=2, compile=compiled)
    assert shapes == [((50, 2), (50,))] * 2
    assert run.history["spread"] == [np.ptp(mg.predict(model, X))] * 2


@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_what_evaluate_measures_does_not_depend_on_the_batches(batch_size):
    model, target = mg.nn.MLP([3, 4, 2], rng=0), X[:, :2]
    names = ["rmse", "r2", "max_error"]
    found = mg.evaluate(model, X, target, loss="mse", metrics=names, batch_size=batch_size)
    scores = mg.predict(model, X)
    for name in names:
        # The matrix product is blocked by its size, in float32.
        assert found[name] == pytest.approx(getattr(mg.metrics, name)(scores, target), rel=1e-6)


def test_validation_is_measured_alike():
    model = make_model()
    run = train(model, [*METRICS, mg.metrics.Recall(average="macro", name="recall")],
                validation_data=(X[:20], Y[:20]))  # fmt: skip
    found = mg.evaluate(model, X[:20], Y[:20], loss="cross_entropy", metrics=METRICS)
    assert {name: run.history[f"val_{name}"][-1] for name in METRICS} == pytest.approx(
        {name: found[name] for name in METRICS}, rel=1e-14
    )
    assert "val_recall" in run.history


def test_a_pair_of_names_for_one_figure_agrees():
    run = train(make_model(), ["accuracy", mg.metrics.Averaged(mg.metrics.accuracy, "averaged")])
    assert run.history["averaged"] == pytest.approx(run.history["accuracy"], rel=1e-15)


def test_a_metric_that_is_used_in_the_midst_of_a_training_is_not_started_anew():
    metric = mg.metrics.Accuracy()

    class Look(Callback):
        def on_train_batch_end(self, batch, logs=None):
            mg.evaluate(self.model, X[:5], Y[:5], loss="cross_entropy", metrics=metric)

    runs = [train(make_model(), metric, callbacks=list(look)) for look in ([Look()], [])]
    assert runs[0].history == runs[1].history


def test_metrics_may_have_names_of_their_own():
    model = make_model()
    run = train(model, {"right": "accuracy", "accuracy": spread}, lr=NO_UPDATE)
    scores = mg.predict(model, X)
    assert run.history["right"] == [mg.metrics.accuracy(scores, Y)]
    assert run.history["accuracy"] == [spread(scores, Y)]


class Logs(Callback):
    def __init__(self):
        self.batches, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(sorted(logs))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(sorted(logs))


def test_after_a_batch_callbacks_hear_what_is_cheap_and_after_an_epoch_all():
    logs = Logs()
    train(make_model(), ["f1", "roc_auc"], callbacks=[logs])
    assert logs.batches == [["f1", "loss"]] * 7
    assert logs.epochs == [["f1", "loss", "roc_auc"]]


def test_the_line_of_an_epoch_shows_all():
    shown = io.StringIO()
    with redirect_stdout(shown):
        train(make_model(), ["f1", "roc_auc"], verbose=2)
    assert re.search(r"loss \S+  f1 \S+  roc_auc \S+", shown.getvalue())


def test_a_metric_that_gives_no_number_is_refused():
    message = "metric 'f1': shape (2,) was returned; one number is needed. Reduce it, as with a"
    with pytest.raises(TypeError, match=re.escape(message)):
        train(make_model(), mg.metrics.F1(average=None))


# --- going on in the middle of an epoch ----------------------------------------------------------


class Stop(Callback):
    """Ends the run after some batches, and writes where it stands."""

    is_last = True

    def __init__(self, path=None, after=None):
        self.path, self.after, self.seen = path, after, 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.after:
            self.training.save(self.path)
            raise KeyboardInterrupt


def spread(prediction, target):
    return np.ptp(prediction)


@pytest.mark.parametrize("after", [3, 9])
def test_a_resumed_epoch_has_the_metrics_of_all_its_samples(tmp_path, after):
    metrics, path = [*METRICS, spread], tmp_path / "run.safetensors"
    expected = train(make_model(), metrics, epochs=3, callbacks=[Stop()]).history
    train(make_model(), metrics, epochs=3, callbacks=[Stop(path, after)])
    found = train(make_model(seed=1), metrics, epochs=3, callbacks=[Stop()], resume=path, rng=5)
    assert found.history == expected


def test_other_metrics_in_a_resumed_epoch_are_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    train(make_model(), "f1", callbacks=[Stop(path, 3)])
    with pytest.raises(StateError, match=r"metrics was \['f1'\] and is \['roc_auc'\]"):
        train(make_model(), "roc_auc", callbacks=[Stop()], resume=path)
