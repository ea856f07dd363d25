"""What a training shows: on a terminal, in a file, in a notebook, or not at all."""

import io
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import microgrid as mg
from microgrid.train import progress as module
from microgrid.train.progress import Bar, Lines, Progress, make_progress

LINE = re.compile(r"epoch +(\d+)/(\d+)  loss \d+\.\d{4}  \d+\.\d\d s")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Time that passes only when told to."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(module, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    # Not sys.stdout itself: pytest sets that anew between the fixture and the test.
    monkeypatch.setattr(module, "sys", SimpleNamespace(stdout=stream))
    monkeypatch.setenv("COLUMNS", "80")
    return stream


def fit(verbose, epochs=3):
    model = mg.nn.MLP([1, 1], rng=0)
    x = np.ones((8, 1))
    mg.fit(model, x, x, loss="mse", optimizer="sgd", epochs=epochs, batch_size=2, verbose=verbose)


@pytest.mark.parametrize("verbose", ["auto", 1, 2, True])
def test_elsewhere_it_writes_one_line_per_epoch_without_control_characters(capsys, verbose):
    fit(verbose, epochs=12)
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [LINE.fullmatch(line)[1] for line in lines] == [str(i) for i in range(1, 13)]
    assert all(character == "\n" or character.isprintable() for character in out)


def test_silence(capsys):
    fit(0)
    fit(False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_on_a_terminal_lines_are_written_if_asked_for(terminal):
    fit(2)
    assert "\r" not in terminal.getvalue()


def test_a_fast_training_on_a_terminal_leaves_one_line_per_epoch(terminal):
    fit("auto")
    assert len([line for line in terminal.getvalue().split("\n") if "loss" in line]) == 3


def shown(stream):
    """Return what a terminal shows after \\r has been obeyed."""
    screen = []
    for line in stream.getvalue().split("\n"):
        columns = []
        for part in line.split("\r"):
            columns[: len(part)] = part
        screen.append("".join(columns).rstrip())
    return screen


def test_the_bar_grows_in_place_and_is_replaced_by_the_line(terminal, clock):
    bar = Bar(epochs=2, batches=4)
    bar.begin_epoch(0)
    clock.now = 0.2
    bar.after_batch(1, lambda: {"loss": 0.5, "accuracy": 0.25})
    assert shown(terminal)[-1] == (
        "epoch 1/2 [#####...............] 1/4  1 s left  loss 0.5000  accuracy 0.2500"
    )
    clock.now = 0.4
    bar.after_batch(4, lambda: {"loss": 0.4})
    assert shown(terminal)[-1] == "epoch 1/2 [####################] 4/4  0 s left  loss 0.4000"
    clock.now = 0.5
    bar.end_epoch({"loss": 0.4})
    assert shown(terminal) == ["epoch 1/2  loss 0.4000  0.50 s", ""]


def test_the_bar_is_redrawn_at_most_ten_times_a_second(terminal, clock):
    bar = Bar(epochs=1, batches=5000)
    bar.begin_epoch(0)
    asked = []
    for i in range(5000):
        clock.now = i / 1000
        bar.after_batch(i + 1, lambda: asked.append(None) or {"loss": 1.0})
    assert 45 <= terminal.getvalue().count("\r") <= 50
    assert len(asked) == terminal.getvalue().count("\r")  # means are worked out only to be shown


def test_the_bar_never_wraps(terminal, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    bar = Bar(epochs=1, batches=2)
    bar.begin_epoch(0)
    clock.now = 1
    bar.after_batch(1, lambda: {"loss": 1.0, "a_metric_with_a_long_name": 2.0})
    assert max(map(len, shown(terminal))) == 29


def test_the_line_that_an_epoch_leaves_behind_is_whole(terminal, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    bar = Bar(epochs=1, batches=2)
    bar.begin_epoch(0)
    clock.now = 1
    results = {"loss": 1.0, "a_metric_with_a_long_name": 2.0}
    bar.after_batch(1, lambda: results)
    bar.end_epoch(results)
    line = "epoch 1/1  loss 1.0000  a_metric_with_a_long_name 2.0000  1.00 s"
    assert shown(terminal) == [line, ""]


def test_an_interrupted_bar_is_left_on_its_line(terminal, clock):
    bar = Bar(epochs=1, batches=2)
    bar.begin_epoch(0)
    clock.now = 1
    bar.after_batch(1, lambda: {"loss": 1.0})
    bar.stop("fit: interrupted")
    assert shown(terminal)[-2:] == ["fit: interrupted", ""]
    assert shown(terminal)[-3].startswith("epoch 1/1 [")


def test_an_error_ends_the_line_of_the_bar(terminal, clock):
    def loss(p, y):
        clock.now += 1
        if clock.now > 2:
            raise RuntimeError("stop")
        return mg.mse_loss(p, y)

    x = np.ones((8, 1))
    with pytest.raises(RuntimeError, match=r"^stop$"):
        mg.fit(mg.nn.MLP([1, 1]), x, x, loss=loss, optimizer="sgd", batch_size=2)
    assert terminal.getvalue().endswith("\n")


def test_a_notebook_has_a_bar(monkeypatch):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stdout", stream)
    assert type(make_progress("fit", "auto", 1, 1)) is Bar


def test_a_program_without_stdout_trains(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    fit("auto")
    fit(2)


def test_kinds(capsys):
    assert type(make_progress("fit", 0, 1, 1)) is Progress
    assert type(make_progress("fit", "auto", 1, 1)) is Lines
    assert type(make_progress("fit", 2, 1, 1)) is Lines


def test_a_closed_stdout_is_no_terminal(monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    assert type(make_progress("fit", "auto", 1, 1)) is Lines


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0000"), (0.12345, "0.1235"), (1e-5, "1.000e-05"), (-123456.0, "-1.235e+05"),
     (float("nan"), "nan"), (9999.0, "9999.0000")],
)  # fmt: skip
def test_numbers(value, text):
    assert module._number(value) == text
