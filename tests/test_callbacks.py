"""Callbacks: when each hook is called, with what, and what those of microgrid do."""

import csv
import io
import re
import signal

import numpy as np
import pytest

import microgrid as mg
from microgrid.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    TerminateOnNaN,
)
from microgrid.train.callbacks import HOOKS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
Y = X @ RNG.normal(size=(3, 1))


def train(callbacks=(), *, epochs=3, model=None, lr=0.01, **options):
    model = model or mg.nn.MLP([3, 4, 1], rng=0)
    options = {"optimizer": mg.optim.SGD(model.parameters(), lr=lr), **options}
    return mg.fit(model, X, Y, loss="mse", batch_size=8, epochs=epochs, verbose=0, rng=0,
                  callbacks=callbacks, **options)  # fmt: skip


class Results(Callback):
    """Lets a result take given values, epoch by epoch."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


# --- the hooks -----------------------------------------------------------------------------------


def test_hooks_are_called_in_keras_order():
    told = []
    hear = {name: lambda *what, name=name: told.append((name, *what[:-1]))
            for name in HOOKS if name != "on_nonfinite"}  # fmt: skip
    train(LambdaCallback(**hear), epochs=2, validation_data=(X, Y))
    batches = [(f"on_train_batch_{when}", i) for i in range(3) for when in ("begin", "end")]
    epochs = [
        [("on_epoch_begin", i), *batches, ("on_test_begin",), ("on_test_end",), ("on_epoch_end", i)]
        for i in range(2)
    ]
    assert told == [("on_train_begin",), *epochs[0], *epochs[1], ("on_train_end",)]


def test_logs_are_the_means_so_far_and_the_results_of_the_epoch():
    batches, epochs, ends = [], [], []
    hear = LambdaCallback(
        on_train_batch_end=lambda batch, logs: batches.append(logs["loss"]),
        on_epoch_end=lambda epoch, logs: epochs.append(dict(logs)),
        on_train_end=lambda logs: ends.append(logs),
    )
    run = train(hear, epochs=2, validation_data=(X, Y), metrics="mae")
    assert [e["loss"] for e in epochs] == run.history["loss"] == batches[2::3]
    assert list(epochs[0]) == ["loss", "mae", "val_loss", "val_mae"]
    assert ends == [epochs[-1]]


def test_what_a_callback_adds_to_the_results_is_in_the_history_and_seen_by_later_ones():
    seen = []
    later = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["val_loss"]))
    run = train([Results([3, 1, 2]), later])
    assert run.history["val_loss"] == seen == [3, 1, 2]


def test_a_callback_knows_the_model_the_optimiser_and_the_length():
    callback, model = Callback(), mg.nn.MLP([3, 1], rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    train(callback, model=model, optimizer=optimizer, epochs=2)
    assert callback.model is model
    assert callback.optimizer is optimizer
    assert callback.params == {"epochs": 2, "steps": 3, "verbose": 0}


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_begin", "on_epoch_end"])
def test_stop_training_ends_it_with_the_epoch(hook):
    class Stop(Callback):
        pass

    setattr(Stop, hook, lambda self, n, logs=None: setattr(self.model, "stop_training", True))
    run = train(Stop(), epochs=9, validation_data=(X, Y))
    assert run.epoch == [0]
    assert list(run.history) == ["loss", "val_loss"]


def test_another_training_of_the_model_is_not_stopped():
    model = mg.nn.MLP([3, 1], rng=0)
    train(EarlyStopping("loss", min_delta=99), model=model)
    assert train(model=model).epoch == [0, 1, 2]


def test_callbacks_change_no_result():
    plain, model = mg.nn.MLP([3, 4, 1], rng=0), mg.nn.MLP([3, 4, 1], rng=0)
    alone = train(model=plain)
    heard = train([Callback(), LambdaCallback(on_train_batch_end=lambda *_: None)], model=model)
    assert alone.history == heard.history
    for p, q in zip(plain.parameters(), model.parameters(), strict=True):
        assert np.array_equal(p.data, q.data)


def test_initial_epoch_counts_on():
    seen = []
    run = train(LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch)),
                initial_epoch=2, epochs=5)  # fmt: skip
    assert seen == run.epoch == [2, 3, 4]


@pytest.mark.parametrize("given", [3, "early", [Callback], [Callback(), None], {"a": Callback()}])
def test_what_is_no_callback_is_refused(given):
    needed = r"fit: a callback of type \w+ was given; it needs a mg.callbacks.Callback. Make an "
    with pytest.raises(TypeError, match=needed + "object of the class, or subclass Callback."):
        train(given)


def test_lambda_callback_refuses_hooks_that_there_are_not():
    with pytest.raises(TypeError, match="LambdaCallback: there is no hook on_batch_end; the hooks"):
        LambdaCallback(on_batch_end=print)
    message = "LambdaCallback: on_epoch_end of type int was given; it needs a function."
    with pytest.raises(TypeError, match=message):
        LambdaCallback(on_epoch_end=3)


def test_an_error_in_a_callback_comes_through():
    def fail(epoch, logs):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        train(LambdaCallback(on_epoch_end=fail))


# --- stopping early ------------------------------------------------------------------------------


def stopped_after(values, **options):
    """Return how many epochs a training takes whose result goes so."""
    stopping = EarlyStopping(options.pop("monitor", "val_loss"), **options)
    run = train([Results(values, stopping.monitor), stopping], epochs=len(values))
    return len(run.epoch), stopping


@pytest.mark.parametrize(
    ("values", "options", "epochs"),
    [
        ([3, 2, 1, 1, 0], {}, 4),
        ([3, 2, 2, 2, 2, 2], {"patience": 2}, 4),
        ([3, 2, 2.5, 1, 2, 2, 2], {"patience": 2}, 6),
        ([3, 2.95, 2.9, 2.85, 1], {"patience": 2, "min_delta": 0.2}, 3),
        ([3, 4, 5, 5, 6], {"mode": "max"}, 4),
        ([0.3, 0.4, 0.5, 0.5, 0.6], {"monitor": "val_accuracy"}, 4),
        ([5, 5, 5, 1, 1], {"start_from_epoch": 3}, 5),
        ([5, 4, 3, 2, 2.5, 2.6], {"baseline": 1, "patience": 2}, 5),  # Keras: a best never stops
        ([2, 1.5, 0.5, 0.6, 0.7], {"baseline": 1, "patience": 1}, 4),
        ([np.nan, 2, 1, 1], {"patience": 1}, 4),
        ([5, np.nan, np.nan, 1], {"patience": 2}, 3),
        ([3, 2, 1], {}, 3),
    ],
)
def test_early_stopping_stops_when_the_result_no_longer_improves(values, options, epochs):
    assert stopped_after(values, **options)[0] == epochs


def test_early_stopping_tells_what_it_saw():
    _, stopping = stopped_after([3, 2, 2, 2, 2], patience=2)
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (2, 1, 3)


def test_the_best_weights_come_back():
    model, kept = mg.nn.Sequential(mg.nn.Dense(3, 4, rng=0), mg.nn.BatchNorm1d(4)), []
    head = mg.nn.Sequential(*model, mg.nn.Dense(4, 1, rng=1))
    keep = LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(
            {name: np.array(array) for name, array in head.state_dict().items()}
        )
    )
    stopping = EarlyStopping(patience=2, restore_best_weights=True)
    train([Results([3, 1, 2, 2, 2]), keep, stopping], model=head, epochs=5)
    assert len(kept) == 4
    for name, array in head.state_dict().items():
        assert np.array_equal(array, kept[1][name]), name


def test_the_best_weights_come_back_though_training_was_not_stopped():
    model = mg.nn.MLP([3, 1], rng=0)
    before = model.state_dict()["0.weight"].copy()
    train([Results([1, 2, 3]), EarlyStopping(patience=9, restore_best_weights=True)], model=model)
    first = model.state_dict()["0.weight"].copy()
    again = mg.nn.MLP([3, 1], rng=0)
    train(model=again, epochs=1)
    assert np.array_equal(first, again.state_dict()["0.weight"])
    assert not np.array_equal(first, before)


def test_a_result_that_there_is_not_is_named():
    message = re.escape(
        "EarlyStopping: monitor='val_loss' was given; the results are loss. Give fit validation "
        "data."
    )
    with pytest.raises(ValueError, match=message):
        train(EarlyStopping())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mode": "up"},
            'EarlyStopping: mode=\'up\' was given; it must be "min", "max" or "auto".',
        ),
        ({"patience": -1}, "EarlyStopping: patience=-1 was given; it must be at least 0."),
        ({"min_delta": -1}, "EarlyStopping: min_delta=-1 was given; it must be at least 0."),
    ],
)
def test_options_of_early_stopping_are_checked(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        EarlyStopping(**options)


# --- learning rates ------------------------------------------------------------------------------


def rates(callbacks, lr=1e-3, **options):
    """Return the rate of each epoch."""
    seen = []
    note = LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(optimizer.param_groups[0]["lr"])
    )
    model = mg.nn.MLP([3, 1], rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=lr)
    train([*callbacks(optimizer), note], model=model, optimizer=optimizer, **options)
    return seen


def test_a_function_sets_the_rate_of_an_epoch():
    halve = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    assert rates(lambda _: [halve])[::3] == [1e-3, 5e-4, 2.5e-4]


def test_a_schedule_steps_after_each_epoch():
    seen = rates(lambda o: [LearningRateScheduler(mg.optim.StepLR(o, step_size=1, gamma=0.5))])
    assert seen[::3] == [1e-3, 5e-4, 2.5e-4]


def test_a_schedule_steps_after_each_batch():
    seen = rates(
        lambda o: [LearningRateScheduler(mg.optim.ExponentialLR(o, gamma=0.5), every="batch")],
        epochs=1,
    )
    assert seen == [1e-3, 5e-4, 2.5e-4]


def test_a_plateau_looks_at_the_result():
    def callbacks(optimizer):
        plateau = mg.optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        return [Results([2, 2, 2, 1]), LearningRateScheduler(plateau)]

    assert rates(callbacks, epochs=4)[::3] == [1e-3, 1e-3, 5e-4, 2.5e-4]


def test_the_rate_is_live_in_the_compiled_step():
    def final(compiled):
        model = mg.nn.MLP([3, 4, 1], rng=0)
        train(LearningRateScheduler(lambda epoch, rate: 0.1 / (1 + epoch)), model=model,
              epochs=4, compile=compiled)  # fmt: skip
        return [p.data for p in model.parameters()]

    for compiled, eager in zip(final(True), final(False), strict=True):
        assert np.array_equal(compiled, eager)


def test_schedules_that_would_change_nothing_are_refused():
    other = mg.optim.SGD(mg.nn.Dense(1, 1).parameters(), lr=0.1)
    message = "LearningRateScheduler: the schedule was made for another optimizer than fit's"
    with pytest.raises(ValueError, match=message):
        train(LearningRateScheduler(mg.optim.StepLR(other, step_size=1)))
    with pytest.raises(TypeError, match="LearningRateScheduler: a schedule of type float was"):
        LearningRateScheduler(0.1)
    with pytest.raises(ValueError, match="LearningRateScheduler: every='step' was given"):
        LearningRateScheduler(lambda epoch, rate: rate, every="step")
    with pytest.raises(ValueError, match="LearningRateScheduler: the function returned None;"):
        train(LearningRateScheduler(lambda epoch, rate: None))


# --- files ---------------------------------------------------------------------------------------


def test_rows_of_the_csv_file_are_the_results(tmp_path):
    path = tmp_path / "log.csv"
    run = train(CSVLogger(path), validation_data=(X, Y))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == run.epoch
    for name, values in run.history.items():
        assert [float(row[name]) for row in rows] == values


def test_a_csv_file_is_replaced_or_appended_to(tmp_path):
    path = tmp_path / "log.csv"
    for append, rows in ((False, 3), (True, 6), (False, 3)):
        train(CSVLogger(path, append=append, separator=";"))
        lines = path.read_text().splitlines()
        assert len(lines) == rows + 1
        assert lines[0] == "epoch;loss"


def test_a_csv_file_that_cannot_be_written_is_known_before_training(tmp_path):
    model = mg.nn.MLP([3, 1], rng=0)
    before = model.state_dict()["0.weight"].copy()
    with pytest.raises(OSError, match="none"):
        train(CSVLogger(tmp_path / "none" / "log.csv"), model=model)
    assert np.array_equal(model.state_dict()["0.weight"], before)


def test_names_of_checkpoints_have_epochs_and_results(tmp_path):
    path = str(tmp_path / "{epoch:02d}-{loss:.1e}.safetensors")
    run = train(ModelCheckpoint(path, save_weights_only=True))
    names = [f"{i:02d}-{loss:.1e}.safetensors" for i, loss in enumerate(run.history["loss"], 1)]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


def test_the_best_epoch_alone_is_kept(tmp_path):
    path = str(tmp_path / "{epoch}.safetensors")
    best = ModelCheckpoint(path, save_best_only=True)
    train([best, Results([3, 4, 2, 2, 1])], epochs=5)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{i}.safetensors" for i in (1, 3, 5)]


def test_weights_alone_are_those_that_load_reads(tmp_path):
    model = mg.nn.MLP([3, 4, 1], rng=0)
    train(ModelCheckpoint(tmp_path / "model", save_weights_only=True), model=model)
    loaded = mg.load(tmp_path / "model")
    assert sorted(loaded) == sorted(model.state_dict())
    for name, array in model.state_dict().items():
        assert np.array_equal(loaded[name], array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_freq": 0}, "ModelCheckpoint: save_freq=0 was given; it must be at least 1."),
        ({"save_freq": 3, "save_best_only": True}, "ModelCheckpoint: save_best_only and save_freq"),
    ],
)
def test_options_of_checkpoints_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        ModelCheckpoint("path", **options)


def test_a_field_of_a_path_that_cannot_be_filled_is_named(tmp_path):
    message = r"ModelCheckpoint: the path .*{accuracy}' has a field that cannot be filled "
    with pytest.raises(ValueError, match=message + r"\('accuracy'\); the fields are epoch, loss."):
        train(ModelCheckpoint(tmp_path / "{accuracy}"))


# --- a loss that is not finite -------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_a_loss_that_is_not_finite_ends_the_training(compiled):
    ends = []
    run = train(
        [TerminateOnNaN(), LambdaCallback(on_train_end=lambda logs: ends.append(logs))],
        lr=1e30, epochs=9, compile=compiled,
    )  # fmt: skip
    assert len(run.epoch) < 9
    assert run.reason.startswith("fit: the loss is ")
    assert len(ends) == 1


def test_without_the_callback_it_is_an_error():
    with pytest.raises(mg.errors.NonFiniteError):
        train(lr=1e30, epochs=9)


# --- found by readers ----------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end"])
def test_stop_training_ends_it_after_the_batch(hook):
    seen = []
    stop = LambdaCallback(**{hook: lambda n, logs: setattr(model, "stop_training", True)})

    class Counted(Callback):
        def conclude(self, epoch, logs=None):
            seen.append(epoch)

    model = mg.nn.MLP([3, 1], rng=0)
    heard = [stop, LambdaCallback(on_train_batch_begin=lambda n, logs: seen.append(n))]
    train(heard, model=model)
    assert seen == [0]


@pytest.mark.parametrize("compiled", [True, False])
def test_ctrl_c_waits_until_a_step_has_been_told(compiled):
    told, model = [], mg.nn.MLP([3, 1], rng=0)
    before = model.state_dict()["0.weight"].copy()

    def begin(batch, logs):
        told.append(("begin", batch))
        signal.raise_signal(signal.SIGINT)

    hear = LambdaCallback(
        on_train_batch_begin=begin, on_train_batch_end=lambda n, logs: told.append(("end", n))
    )
    run = train(hear, model=model, compile=compiled)
    assert run.interrupted
    assert told == [("begin", 0), ("end", 0)]
    assert hear.training.position.batch == 1
    assert not np.array_equal(before, model.state_dict()["0.weight"])


def test_two_checkpoints_know_of_each_others_best(tmp_path):
    def run(epochs):
        last = ModelCheckpoint(tmp_path / "last")
        best = ModelCheckpoint(tmp_path / "best", save_best_only=True)
        train([last, best, Results([5, 3, 4])], epochs=epochs, resume=tmp_path / "last")

    run(2)
    saved = (tmp_path / "best").read_bytes()
    run(3)
    assert (tmp_path / "best").read_bytes() == saved


def test_a_csv_file_of_a_run_that_goes_on_has_each_epoch_once(tmp_path):
    path, run = tmp_path / "log.csv", tmp_path / "run"
    for epochs in (2, 4):
        train([CSVLogger(path), ModelCheckpoint(run)], epochs=epochs, resume=run)
        path.write_text(path.read_text() + f"{epochs},0.5\n")  # an epoch that was not saved
    rows = path.read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3", "4"]
    assert rows[3] != "2,0.5"


def test_a_path_with_fields_cannot_be_gone_on_from(tmp_path):
    path = str(tmp_path / "{epoch}")
    with pytest.raises(ValueError, match="it needs the name of one file, without fields"):
        train(ModelCheckpoint(path), resume=path)


def test_a_missing_folder_is_told_before_training(tmp_path):
    seen = []
    note = LambdaCallback(on_epoch_begin=lambda *_: seen.append(1))
    with pytest.raises(FileNotFoundError, match=r"ModelCheckpoint: the path .* there is no folder"):
        train([ModelCheckpoint(tmp_path / "none" / "run"), note])
    assert not seen


@pytest.mark.parametrize("name", ["brier", "my_score", "val_iou"])
def test_a_name_that_tells_no_direction_needs_a_mode(name):
    with pytest.raises(ValueError, match=f"monitor='{name}' was given, a name that does not tell"):
        train([Results([1, 2, 3], name), EarlyStopping(name)])
    assert stopped_after([1, 2, 3], monitor=name, mode="min")[0] == 2


def test_results_are_numbers_and_lists_are_of_one_length(tmp_path):
    late = LambdaCallback(
        on_epoch_end=lambda e, logs: logs.update({"x": np.float64(e)} if e else {})
    )
    run = train([late, ModelCheckpoint(tmp_path / "run")])
    assert [type(value) for value in run.history["x"]] == [float] * 3
    np.testing.assert_array_equal(run.history["x"], [np.nan, 1, 2])
    with pytest.raises(
        TypeError, match="fit: the result 'x' of type str was added to the logs; it"
    ):
        train(LambdaCallback(on_epoch_end=lambda e, logs: logs.update(x="high")))


def test_states_of_callbacks_come_back_whatever_their_names(tmp_path):
    state = {"array": np.arange(3), "a.b": np.ones(1), "a": {"b": np.zeros(2)}}

    class Keeper(Callback):
        loaded = None

        def state_dict(self):
            return state

        def load_state_dict(self, state):
            self.loaded = state

    path, keeper = tmp_path / "run", Keeper()
    train([Keeper(), ModelCheckpoint(path)], epochs=1)
    train([keeper, ModelCheckpoint(path)], epochs=2, resume=path)
    assert np.array_equal(keeper.loaded["array"], state["array"])
    assert np.array_equal(keeper.loaded["a.b"], state["a.b"])
    assert np.array_equal(keeper.loaded["a"]["b"], state["a"]["b"])


def test_the_reason_of_an_early_end_is_saved(tmp_path):
    path = tmp_path / "run"
    for _ in range(2):
        run = train([EarlyStopping("loss", min_delta=99), ModelCheckpoint(path)], resume=path)
        assert run.reason == "EarlyStopping: loss has not improved since epoch 1."


def test_a_closed_stdout_is_silence(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stdout", closed)
    model = mg.nn.MLP([3, 1], rng=0)
    mg.fit(model, X, Y, loss="mse", optimizer="sgd", epochs=2)


def test_a_warning_names_the_line_that_called_fit():
    def loss(p, y):
        return (p * float(p.data.sum()) - y).square().mean() if p.sum() else p.sum()

    model = mg.nn.MLP([3, 1], rng=0)
    with pytest.warns(UserWarning, match="runs uncompiled") as caught:
        mg.fit(model, X, Y, loss=loss, optimizer="sgd", verbose=0)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("schedule", [lambda epoch, rate: -1.0, lambda epoch, rate: float("nan")])
def test_a_function_that_returns_no_rate_is_refused(schedule):
    with pytest.raises(ValueError, match="it must return the learning rate, a number of at least"):
        train(LearningRateScheduler(schedule))


def test_metrics_of_several_predictions_are_refused():
    class Both(mg.nn.Module):
        def __init__(self):
            self.layer = mg.nn.Dense(3, 1, rng=0)

        def forward(self, x):
            y = self.layer(x)
            return y, y

    model = Both()
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)
    options = {"loss": lambda p, y: mg.mse_loss(p[0], y), "optimizer": optimizer, "verbose": 0}
    mg.fit(model, X, Y, **options)
    with pytest.raises(TypeError, match="fit: the model returned type tuple, and metrics need one"):
        mg.fit(model, X, Y, metrics="mae", compile=False, **options)


def test_a_metric_of_ones_own_name_tells_its_direction():
    metric = {"mine": mg.metrics.R2()}
    stopping = EarlyStopping("mine", patience=3)
    run = train(
        [Results([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "mine"), stopping], epochs=6, metrics=metric
    )
    assert len(run.epoch) == 6
