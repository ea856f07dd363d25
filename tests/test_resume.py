"""A run of fit that was saved goes on, in a new process, as if never interrupted, bit for bit."""

import hashlib
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import microgrid as mg
from microgrid.callbacks import (
    Callback,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
)
from microgrid.errors import FileFormatError, StateError

# 19 of 22 samples are trained on, in batches of 5: 4 steps an epoch. What is loaded into starts
# elsewhere, so that whatever is not loaded shows.
PROGRAM = """
import hashlib, sys
import numpy as np
import microgrid as mg
from microgrid.callbacks import *

path, stop, mode, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
model = mg.nn.Sequential(
    mg.nn.Dense(3, 8, rng=seed), mg.nn.BatchNorm1d(8), mg.nn.ReLU(),
    mg.nn.Dropout(0.4, rng=seed), mg.nn.Dense(8, 1, rng=seed),
)
optimizer = mg.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
schedule = mg.optim.OneCycleLR(optimizer, max_lr=0.1, total_steps=40)
data = np.random.default_rng(0)
x, y = data.normal(size=(22, 3)), data.normal(size=(22, 1))

class Stop(Callback):
    seen = 0
    def on_train_begin(self, logs=None):
        if stop == 0:
            self.end()
    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
    def conclude(self, epoch, logs=None):
        if self.seen == stop and (epoch is None) == bool(stop % 4):
            self.end()
    def end(self):
        if seed == 1:
            self.training.save(path)
            sys.exit()

rng = np.random.default_rng(seed)
run = mg.fit(
    model, x, y, loss="mse", optimizer=optimizer, batch_size=5, epochs=6, verbose=0, rng=rng,
    validation_split=0.1, metrics="mae", compile=mode == "compiled",
    callbacks=[
        LearningRateScheduler(schedule, every="batch"),
        EarlyStopping("loss", patience=9, restore_best_weights=True),
        Stop(),
    ],
    resume=path if seed == 2 else None,
)
digest = hashlib.sha256()
for name, array in model.state_dict().items():
    digest.update(array.tobytes())
for slots in optimizer.state_dict()["state"].values():
    for array in slots.values():
        digest.update(np.asarray(array).tobytes())
digest.update(repr((run.history, run.epoch, optimizer.param_groups[0]["lr"])).encode())
digest.update(repr((rng.random(3), model[3].rng.random(3))).encode())
print(digest.hexdigest(), len(run.epoch))
"""


def run(path, stop, mode, seed):
    command = [sys.executable, "-c", PROGRAM, str(path), str(stop), mode, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("none")
    return {mode: run(folder / "none", -1, mode, 1) for mode in ("compiled", "eager")}


# 8 is the end of an epoch; 7 and 10 are in the midst of one.
@pytest.mark.parametrize("mode", ["compiled", "eager"])
@pytest.mark.parametrize("stop", [0, 7, 8, 10])
def test_two_processes_equal_one(tmp_path, uninterrupted, stop, mode):
    path = tmp_path / "run.safetensors"
    assert run(path, stop, mode, 1) == ""
    assert run(path, stop, mode, 2) == uninterrupted[mode]
    assert uninterrupted[mode].endswith(" 6\n")


# --- within one process --------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
Y = X @ RNG.normal(size=(3, 1))


def train(path, *, epochs=4, callbacks=(), model=None, x=X, y=Y, save_freq="epoch", **options):
    model = model or mg.nn.MLP([3, 4, 1], rng=0)
    optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
    options = {"batch_size": 8, "resume": path, "rng": 0, **options}
    checkpoint = ModelCheckpoint(path, save_freq=save_freq)
    return mg.fit(model, x, y, loss="mse", optimizer=optimizer, epochs=epochs, verbose=0,
                  callbacks=[checkpoint, *callbacks], **options)  # fmt: skip


class Fail(Callback):
    """Fails after so many batches."""

    def __init__(self, batches):
        self.left = batches

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise ConnectionError("the power failed")


@pytest.mark.parametrize("batches", range(10))
@pytest.mark.parametrize("save_freq", [1, 2, "epoch"])
def test_the_same_call_again_finishes_what_failed(tmp_path, batches, save_freq):
    path = tmp_path / "run"
    whole = train(tmp_path / "whole", epochs=3, callbacks=[Fail(99)])
    with pytest.raises(ConnectionError) if batches < 9 else open(os.devnull):
        train(path, epochs=3, callbacks=[Fail(batches)], save_freq=save_freq)
    again = train(path, epochs=3, callbacks=[Fail(99)], save_freq=save_freq)
    assert again.history == whole.history
    assert again.epoch == [0, 1, 2]


def test_a_finished_run_is_finished(tmp_path):
    path = tmp_path / "run"
    first = train(path)
    model = mg.nn.MLP([3, 4, 1], rng=9)
    assert train(path, model=model).history == first.history
    trained = mg.nn.MLP([3, 4, 1], rng=0)
    train(tmp_path / "other", model=trained)
    for p, q in zip(model.parameters(), trained.parameters(), strict=True):
        assert np.array_equal(p.data, q.data)


def test_a_run_that_was_stopped_early_stays_stopped(tmp_path):
    path = tmp_path / "run"
    stopping = {"monitor": "loss", "min_delta": 99}
    first = train(path, callbacks=[EarlyStopping(**stopping)])
    again = train(path, callbacks=[EarlyStopping(**stopping)])
    assert again.epoch == first.epoch == [0, 1]


def test_what_callbacks_add_to_the_results_is_saved(tmp_path):
    def add():
        return LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra=epoch / 2))

    train(tmp_path / "run", epochs=2, callbacks=[add()])
    again = train(tmp_path / "run", callbacks=[add()])
    assert again.history["extra"] == [0, 0.5, 1, 1.5]


def test_a_rate_set_from_the_last_one_is_not_set_twice(tmp_path):
    def rates(path, left, **options):
        seen = []
        note = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(rate=decay.rate))

        class Decay(LearningRateScheduler):
            rate = 0.0

            def on_epoch_end(self, epoch, logs=None):
                self.rate = self.optimizer.param_groups[0]["lr"]

        decay = Decay(lambda epoch, rate: rate / 2)
        run = train(path, callbacks=[decay, note, Fail(left)], save_freq=1, **options)
        return run.history["rate"] + seen

    whole = rates(tmp_path / "whole", 99)
    with pytest.raises(ConnectionError):
        rates(tmp_path / "run", 5)
    assert rates(tmp_path / "run", 99) == whole == [0.005, 0.0025, 0.00125, 0.000625]


# --- what cannot be gone on with ------------------------------------------------------------------


def digest(model):
    return hashlib.sha256(b"".join(p.data.tobytes() for p in model.parameters())).hexdigest()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(ConnectionError):
        train(path, callbacks=[Fail(4)], save_freq=1)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X[:19], "y": Y[:19]}, "samples was 20 and is 19. Nothing was loaded. Give the same"),
        ({"batch_size": 4}, "batch_size was 8 and is 4. Nothing was loaded. Give the same data"),
        ({"shuffle": False}, "shuffle was True and is False. Nothing was loaded."),
        ({"callbacks": []}, "the run had the callbacks Fail, ModelCheckpoint, and ModelCheckpoint "
                            "were given. Nothing was loaded."),
        ({"model": mg.nn.MLP([3, 5, 1], rng=0)}, "Nothing was loaded."),
        ({"rng": np.random.Generator(np.random.MT19937(0))}, "the generator rng is MT19937, and"),
    ],
)  # fmt: skip
def test_another_run_is_refused_and_nothing_is_changed(saved, changes, message):
    model = changes.get("model") or mg.nn.MLP([3, 4, 1], rng=7)
    before = digest(model)
    options = {"callbacks": [Fail(99)], "save_freq": 1, **changes, "model": model}
    with pytest.raises(StateError, match=re.escape(message)):
        train(saved, **options)
    assert digest(model) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": "mae"}, "between epochs, and metrics was [] and is ['mae']. Nothing was"),
        ({"validation_data": (X, Y)}, "between epochs, and validation was False and is True."),
    ],
)
def test_other_results_are_refused_between_epochs_too(tmp_path, options, message):
    train(tmp_path / "run", epochs=2)
    with pytest.raises(StateError, match=re.escape(message)):
        train(tmp_path / "run", **options)


def test_other_data_may_come_between_epochs(tmp_path):
    train(tmp_path / "run", epochs=2)
    again = train(tmp_path / "run", x=X[:10], y=Y[:10], batch_size=4)
    assert again.epoch == [0, 1, 2, 3]


def test_a_missing_file_is_an_error_unless_it_is_about_to_be_written(tmp_path):
    assert train(tmp_path / "run").epoch == [0, 1, 2, 3]
    message = re.escape("none' was given, and there is no such file. Write it with a ")
    with pytest.raises(FileNotFoundError, match=message):
        train(tmp_path / "run", resume=tmp_path / "none")


def test_a_state_that_fit_did_not_write_is_refused(tmp_path):
    model = mg.nn.MLP([3, 4, 1], rng=0)
    mg.save_checkpoint(tmp_path / "run", model, mg.optim.Adam(model.parameters()))
    with pytest.raises(FileFormatError, match="it holds a training state, but not where fit stood"):
        train(tmp_path / "run", model=model)


def test_a_damaged_file_is_refused_and_nothing_is_changed(saved):
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    model = mg.nn.MLP([3, 4, 1], rng=7)
    before = digest(model)
    with pytest.raises(FileFormatError):
        train(saved, model=model, callbacks=[Fail(99)])
    assert digest(model) == before


def test_a_failed_write_leaves_the_last_state(saved, monkeypatch, tmp_path):
    shutil.copy(saved, tmp_path / "copy")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        train(saved, callbacks=[Fail(99)], save_freq=1)
    assert saved.read_bytes() == (tmp_path / "copy").read_bytes()
