"""How fit ends early: losses that are none, numbers that are not finite, Ctrl-C."""

import re
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import MicrogridError, NonFiniteError, ShapeError
from microgrid.nn import MLP, Module, Parameter
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


# --- losses that are none -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (
            lambda p, y: 1.0,
            TypeError,
            "fit: the loss returned type float; it must return a Tensor.",
        ),
        (
            lambda p, y: p.sum(axis=1),
            ShapeError,
            'fit: the loss returned shape (32,); it must be one number. Use reduction="mean".',
        ),
    ],
)
def test_losses_that_are_none(loss, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        train(loss=loss)


# --- nan and inf ---------------------------------------------------------------------------------


def test_a_loss_that_turns_infinite_names_epoch_batch_and_op():
    model = make_model(sizes=(4, 2))
    with pytest.raises(NonFiniteError) as caught:
        train(model, y=TARGET, loss="mse", lr=1e3, epochs=50, batch_size=10)
    error = caught.value
    assert isinstance(error, (MicrogridError, FloatingPointError))
    match = re.fullmatch(
        r"fit: the loss is inf in epoch (\d+), batch (\d+); the first result that was not finite "
        r"is that of mean_squared_error \(shape \(\)\)\. Lower the learning rate or scale the "
        r"inputs\.",
        str(error),
    )
    assert match
    assert 1 <= int(match[2]) <= 5
    assert len(error.history.epoch) == int(match[1]) - 1


class Exploding(Module):
    """Overflows in exp, and hides it in a nan further on."""

    def __init__(self):
        self.scale = Parameter(1e4)

    def forward(self, x):
        big = mg.exp(x * self.scale)
        return big - big


def test_the_first_op_is_named_not_the_last():
    message = (
        "fit: the loss is nan in epoch 1, batch 1; the first result that was not finite is that of "
        "exp (shape (32, 2)). Lower the learning rate or scale the inputs."
    )
    model = Exploding()
    before = model.scale.item()
    with pytest.raises(NonFiniteError, match=f"^{re.escape(message)}$"):
        train(model, np.abs(TARGET), TARGET, loss="mse", optimizer="sgd")
    assert model.scale.item() == before  # the step was not taken


def test_a_parameter_that_was_not_finite_already_is_named():
    model = make_model()
    model[1].weight.data = np.full((8, 3), np.nan)
    message = (
        "fit: the loss is nan in epoch 1, batch 1; the parameter 1.weight (shape (8, 3)) was not "
        "finite before it. Lower the learning rate or scale the inputs."
    )
    with pytest.raises(NonFiniteError, match=f"^{re.escape(message)}$"):
        train(model)


def test_a_constant_that_was_not_finite_already_is_told():
    def loss(p, y):
        return mg.mse_loss(p * mg.tensor([np.inf, 1.0], dtype=np.float32), y)

    message = (
        "the first result that was not finite is that of multiply (shape (32, 2)), of which an "
        "input (shape (2,)) was not finite already"
    )
    with pytest.raises(NonFiniteError, match=re.escape(message)):
        train(make_model(sizes=(4, 2)), y=TARGET, loss=loss)


def test_a_last_step_that_overflows_is_noticed():
    model = make_model(sizes=(4, 2))
    with pytest.raises(NonFiniteError, match=r"^fit: the last step left the parameter 0\.weight"):
        train(model, y=TARGET * 1e30, loss="l1", lr=1e39, batch_size=50)


def test_a_validation_loss_that_is_nan_is_named():
    def loss(p, y):
        return mg.mse_loss(p, y) * (np.nan if len(y) == 7 and len(steps) > 2 else 1.0)

    message = (
        "fit: the loss is nan in epoch 2, validation; all parameters are finite. "
        "Lower the learning rate or scale the inputs."
    )
    held_out = {"validation_data": (X[:7], TARGET[:7])}

    class Counting(SGD):
        def step(self):
            super().step()
            steps.append(None)  # two an epoch

    steps = []
    model = make_model(sizes=(4, 2))
    optimizer = Counting(model.parameters(), lr=0.1)
    with pytest.raises(NonFiniteError, match=f"^{re.escape(message)}$") as caught:
        train(model, y=TARGET, loss=loss, optimizer=optimizer, epochs=3, compile=False, **held_out)
    assert caught.value.history.epoch == [0]
    assert {len(values) for values in caught.value.history.history.values()} == {1}


def test_a_validation_loss_after_a_step_that_overflows_names_the_parameter():
    with pytest.raises(NonFiniteError, match=r"in epoch 1, validation; the parameter 0\.weight"):
        train(
            make_model(sizes=(4, 2)), y=TARGET * 1e30, loss="l1", lr=1e39, batch_size=50,
            validation_data=(X, TARGET),
        )  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_overflow_on_the_way_gives_no_other_warnings():
    with pytest.raises(NonFiniteError):
        train(make_model(sizes=(4, 8, 2)), y=TARGET, loss="mse", lr=1e20, epochs=5)


# --- Ctrl-C --------------------------------------------------------------------------------------


def test_an_interruption_returns_the_history_and_a_usable_model(capsys):
    model = make_model()
    calls = []

    def loss(p, y):
        calls.append(None)
        if len(calls) == 5:  # epoch 3, batch 1
            raise KeyboardInterrupt
        return mg.cross_entropy(p, y)

    run = train(model, loss=loss, epochs=10, verbose=2, compile=False)
    assert run.interrupted
    assert run.epoch == [0, 1]
    assert len(run.history["loss"]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == (
        "fit: interrupted in epoch 3; the model keeps what it learned."
    )
    twin = make_model()
    train(twin, epochs=2)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert np.array_equal(p.data, q.data)
    assert model.training
    assert "interrupted" in repr(run)


def test_a_signal_during_an_update_waits_until_it_is_done():
    class Interrupted(SGD):
        def step(self):
            signal.raise_signal(signal.SIGINT)
            super().step()
            updates.append(model.state_dict())

    updates = []
    model = make_model()
    optimizer = Interrupted(model.parameters(), lr=0.1)
    run = train(model, optimizer=optimizer, epochs=3, compile=False)
    assert run.interrupted
    assert len(updates) == 1
    assert all(np.array_equal(updates[0][n], p.data) for n, p in model.named_parameters())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_while_results_are_noted_leaves_lists_of_one_length(monkeypatch):
    class Dictionary(dict):
        def get(self, *key):
            signal.raise_signal(signal.SIGINT)
            return super().get(*key)

    add = mg.History.add
    monkeypatch.setattr(
        mg.History, "add", lambda run, epoch, results: add(run, epoch, Dictionary(results))
    )
    run = train(metrics="accuracy", epochs=3)
    assert run.interrupted
    assert run.epoch == [0]
    assert {name: len(values) for name, values in run.history.items()} == {"loss": 1, "accuracy": 1}


def test_a_handler_of_the_program_is_kept():
    received = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:

        def loss(p, y):
            signal.raise_signal(signal.SIGINT)
            return mg.cross_entropy(p, y)

        assert not train(loss=loss).interrupted
        assert received == [signal.SIGINT] * 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_fit_works_in_a_thread():
    runs = []
    thread = threading.Thread(target=lambda: runs.append(train(epochs=2)))
    thread.start()
    thread.join()
    assert runs[0].history == train(epochs=2).history


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to whole groups")
def test_ctrl_c_at_any_moment_returns_whole_steps():
    program = textwrap.dedent(
        """
        import sys
        import numpy as np
        import microgrid as mg

        class Paired(mg.nn.Module):
            def __init__(self):
                self.a, self.b = mg.nn.Parameter([0.0]), mg.nn.Parameter([0.0])
            def forward(self, x):
                return x * (self.a + self.b)

        model = Paired()
        optimizer = mg.optim.SGD(model.parameters(), lr=1e-4)
        print("ready", flush=True)
        x = np.ones((64, 1))
        run = mg.fit(model, x, x, loss="mse", optimizer=optimizer, epochs=10**9, verbose=0)
        # Equal gradients every step: the two differ only if a step was cut in half.
        print(run.interrupted, len(run.epoch) > 0, model.a.item() == model.b.item())
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        threading.Event().wait(0.5)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "True True True\n"
    assert process.returncode == 0
