"""Recording and replaying as watchers: other paths, nesting, threads, exceptions."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid import recording
from microgrid.replay import PathError, Recorder, Replay, recorder_of


@pytest.fixture(autouse=True)
def _nobody_watches_afterwards() -> Iterator[None]:
    yield
    assert recording.watchers == []
    assert recording.watching.get() is None


def several(x: Any) -> Any:
    a = mg.relu(x)
    b = mg.maximum(a, mg.absolute(x))
    return mg.where(b > 1, mg.max(b, axis=0), mg.tanh(b))


# --- when there is a recording --------------------------------------------------------------------


def test_nothing_is_recorded_outside_of_the_block():
    x = mg.tensor(1.0)
    with Recorder() as recorder:
        mg.relu(x)
    mg.relu(x)
    assert len(recorder.choices) == 1


def test_calls_on_plain_arrays_are_not_recorded():
    with Recorder() as recorder:
        mg.relu(np.array([1.0]))
        mg.relu(1.0)
    assert recorder.choices == []


def test_recording_needs_no_graph():
    with mg.no_grad(), Recorder() as recorder:
        mg.relu(mg.tensor(1.0, requires_grad=True))
    assert len(recorder.choices) == 1


# --- another path ---------------------------------------------------------------------------------


ADVICE = "Let no Python branch depend on values; use where()."


def test_a_replay_of_another_op_is_refused():
    recorder = recorder_of(mg.relu, mg.tensor(1.0))
    message = f"replay: absolute was called where relu was called at first. {ADVICE}"
    with pytest.raises(PathError, match=f"^{re.escape(message)}$"), Replay(recorder):
        mg.absolute(mg.tensor(1.0))


def test_a_replay_of_more_calls_is_refused():
    recorder = recorder_of(mg.relu, mg.tensor(1.0))
    message = f"replay: relu was called where nothing was called at first. {ADVICE}"
    with pytest.raises(PathError, match=f"^{re.escape(message)}$"), Replay(recorder):
        mg.relu(mg.relu(mg.tensor(1.0)))


def test_a_replay_of_fewer_calls_is_refused():
    recorder = recorder_of(lambda x: mg.relu(mg.absolute(x)), mg.tensor(1.0))
    message = f"replay: nothing was called where relu was called at first. {ADVICE}"
    with pytest.raises(PathError, match=f"^{re.escape(message)}$"), Replay(recorder):
        mg.absolute(mg.tensor(1.0))


def test_a_replay_on_other_shapes_is_refused():
    recorder = recorder_of(mg.relu, mg.tensor([1.0, 2.0]))
    message = (
        r"^replay: relu was called with other shapes than at first \(.*\(3,\) \(2,\).*\)\. "
        r"Let no shape depend on values\.$"
    )
    with pytest.raises(PathError, match=message), Replay(recorder):
        mg.relu(mg.tensor([1.0, 2.0, 3.0]))


def test_an_error_inside_a_replay_is_not_hidden_by_calls_that_are_missing():
    recorder = recorder_of(mg.relu, mg.tensor(1.0))
    with pytest.raises(KeyError, match=r"^'mine'$"), Replay(recorder):
        raise KeyError("mine")


def test_a_path_error_is_a_runtime_error_of_microgrid():
    assert issubclass(PathError, RuntimeError)
    assert issubclass(PathError, mg.errors.MicrogridError)


# --- watchers in watchers, threads, exceptions ----------------------------------------------------


class Counting(recording.Watcher):
    """A watcher of somebody else: counts calls and results."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []
        self.dones: list[str] = []

    def run(self, op: Any, inputs: Any, arrays: Any, params: Any) -> Any:
        self.runs.append(op.name)
        return super().run(op, inputs, arrays, params)

    def done(self, op: Any, inputs: Any, params: Any, y: Any) -> None:
        self.dones.append(op.name)
        super().done(op, inputs, params, y)


def test_a_watcher_outside_a_recorder_sees_every_call():
    with Counting() as outer, Recorder() as recorder:
        mg.relu(mg.exp(mg.tensor(1.0)))
    assert outer.runs == outer.dones == ["exp", "relu"]
    assert [op.name for op, _ in recorder.choices] == ["relu"]


def test_a_watcher_inside_a_recorder_hides_nothing_from_it():
    with Recorder() as recorder, Counting() as inner:
        mg.relu(mg.exp(mg.tensor(1.0)))
    assert inner.runs == ["exp", "relu"]
    assert [op.name for op, _ in recorder.choices] == ["relu"]


def test_a_recorder_inside_a_replay_notes_choices_of_the_values_that_are_replayed():
    with Replay(recorder_of(lambda x: mg.relu(mg.absolute(x)), mg.tensor(1.0))):
        inner = recorder_of(lambda x: mg.relu(mg.absolute(x)), mg.tensor(-2.0))
    assert [(op.name, int(choice)) for op, choice in inner.choices] == [
        ("absolute", 0),  # of -2, which the replay passes on as it is
        ("relu", 0),
    ]


def test_a_replay_leaves_what_is_smooth_to_the_watcher_outside():
    recorder = recorder_of(lambda x: mg.relu(mg.exp(x)), mg.tensor(1.0))
    with Counting() as outer, Replay(recorder):
        mg.relu(mg.exp(mg.tensor(1.0)))
    assert outer.runs == ["exp"]
    assert outer.dones == ["exp", "relu"]


def test_two_recorders_one_in_the_other_note_the_same():
    with Recorder() as outer, Recorder() as inner:
        several(mg.tensor([1.0, -2.0]))
    assert [op for op, _ in outer.choices] == [op for op, _ in inner.choices]
    assert len(outer.choices) == 6


def test_a_watcher_does_not_watch_twice_at_a_time():
    message = "Recorder: it is watching already; make another for the inner block."
    with (
        Recorder() as recorder,
        pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"),
        recorder,
    ):
        pass


def test_a_recorder_may_watch_again_and_goes_on():
    recorder = Recorder()
    for _ in range(2):
        with recorder:
            mg.relu(mg.tensor(1.0))
    assert len(recorder.choices) == 2


@pytest.mark.parametrize("watcher", [Recorder, lambda: Replay(Recorder()), Counting])
def test_an_exception_ends_the_watch(watcher):
    with pytest.raises(ZeroDivisionError), watcher():
        1 / 0
    assert recording.watchers == []
    assert recording.watching.get() is None


def test_threads_do_not_see_each_others_calls():
    ready = threading.Barrier(4)
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        with Recorder() as recorder:
            ready.wait()
            for _ in range(50):
                [mg.relu, mg.absolute, mg.sign, mg.relu6][number](mg.tensor(1.0))
            ready.wait()
        found[number] = [op.name for op, _ in recorder.choices]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {
        number: [name] * 50 for number, name in enumerate(["relu", "absolute", "sign", "relu6"])
    }


def test_a_thread_without_a_watcher_computes_as_ever():
    results = []
    with Replay(recorder_of(mg.relu, mg.tensor(1.0))):
        thread = threading.Thread(target=lambda: results.append(mg.relu(mg.tensor(-5.0)).item()))
        thread.start()
        thread.join()
        held = mg.relu(mg.tensor(-5.0)).item()
    assert (results, held) == ([0.0], -5.0)
