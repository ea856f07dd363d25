"""Time a whole epoch of training: mg.fit against its own steps, PyTorch and scikit-learn.

    python benchmarks/fit_epoch.py --json fit.json --chart fit.png

64-32-10 with batches of 32 and 12 800 samples, so 400 steps of plain SGD. `bare steps` are
compiled steps on batches that lie ready: what `mg.fit` takes beyond them is for shuffling,
gathering and adding up losses. One call of one epoch pays for tracing, ten epochs share it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import harness
import numpy as np
import report
from training_peers import microgrid_model, microgrid_step, sklearn_model, torch_model
from training_task import LEARNING_RATE, Built, Task

SIZES, BATCH = [64, 32, 10], 32
FURTHER = "each further one"


def task_of(case: Any) -> tuple[Task, int]:
    """Return all samples as the task's one batch, and the number of epochs."""
    samples, epochs = case
    return Task((SIZES, samples)), epochs


class Terminal(io.StringIO):
    """What a bar believes to be a terminal."""

    def isatty(self) -> bool:
        return True


def microgrid_fit(case: Any, compiled: bool = True, bar: bool = False) -> Built:
    import microgrid as mg

    task, epochs = task_of(case)
    model = microgrid_model(task)
    optimizer = mg.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def train(epochs: int, shuffle: bool) -> float:
        with redirect_stdout(Terminal()):
            history = mg.fit(
                model, task.x, task.y, loss="cross_entropy", optimizer=optimizer, batch_size=BATCH,
                epochs=epochs, shuffle=shuffle, verbose=int(bar), rng=0, compile=compiled,
            )  # fmt: skip
        return history.history["loss"][-1]

    return built(train, epochs)


def microgrid_fit_eager(case: Any) -> Built:
    return microgrid_fit(case, compiled=False)


def microgrid_fit_with_bar(case: Any) -> Built:
    return microgrid_fit(case, bar=True)


def bare_steps(case: Any) -> Built:
    import microgrid as mg

    task, epochs = task_of(case)
    step = mg.compile(microgrid_step(task))
    starts = range(0, len(task.x), BATCH)
    sizes = [len(task.x[i : i + BATCH]) for i in starts]
    batches = [(task.x[i : i + BATCH], task.y[i : i + BATCH]) for i in starts]

    def train(epochs: int, shuffle: bool) -> float:
        for _ in range(epochs):
            losses = [step(x, y) for x, y in batches]
        return float(np.average([loss.item() for loss in losses], weights=sizes))

    return built(train, epochs)


def torch_loop(case: Any) -> Built:
    import torch
    from torch.nn.functional import cross_entropy

    task, epochs = task_of(case)
    model = torch_model(task)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    inputs, labels = torch.from_numpy(task.x), torch.from_numpy(task.y)

    def train(epochs: int, shuffle: bool) -> float:
        for _ in range(epochs):
            total = torch.zeros(())
            order = torch.randperm(len(inputs)) if shuffle else torch.arange(len(inputs))
            for rows in order.split(BATCH):
                optimizer.zero_grad()
                loss = cross_entropy(model(inputs[rows]), labels[rows])
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(rows)
        return total.item() / len(inputs)

    return built(train, epochs)


def sklearn_partial_fit(case: Any) -> Built:
    task, epochs = task_of(case)
    model = sklearn_model(task, batch_size=BATCH)

    def train(epochs: int, shuffle: bool) -> float:
        model.shuffle = shuffle
        for _ in range(epochs):
            model.partial_fit(task.x, task.y)
        return float(model.loss_)

    return built(train, epochs)


def built(train: Callable[[int, bool], float], epochs: int) -> Built:
    """Return the shuffled epochs as the call, and the loss of one that is not shuffled."""
    return lambda: train(epochs, True), lambda: train(1, False)


PEERS: dict[str, tuple[str, Callable[[Any], Built]]] = {
    "bare steps": ("microgrid", bare_steps),
    "fit": ("microgrid", microgrid_fit),
    "fit, with a bar": ("microgrid", microgrid_fit_with_bar),
    "fit, compile=False": ("microgrid", microgrid_fit_eager),
    "torch": ("torch", torch_loop),
    "sklearn": ("sklearn", sklearn_partial_fit),
}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.options(__doc__, PEERS, seconds=0.5, threads=2)
    add = parser.add_argument
    add("--samples", type=harness.count, default=12_800, help="in an epoch")
    add("--epochs", nargs="+", type=harness.count, default=[1, 10], help="in one call")
    settings = parser.parse_args(arguments)
    cases = {str(epochs): (settings.samples, epochs) for epochs in settings.epochs}
    rows, about = harness.interleave("fit_epoch", cases, settings)
    lines = [*cases, FURTHER] if len(cases) > 1 else [*cases]
    times = per_epoch(report.times_of(rows, settings.best))
    print(report.comparison("epochs a call", lines, settings.peers, times, "bare steps", unit=1e3))
    print(
        "\nMilliseconds an epoch, and in brackets how many times that of the bare compiled steps."
    )
    print(report.notes(settings, rows, about, "the mean loss of an epoch"))
    report.write_json(settings.json, settings, about=about, epochs=rows)
    groups = {f"epochs a call: {line}": line for line in lines}
    report.draw_times(settings.chart, groups, settings.peers, times, "milliseconds an epoch", 1e3)


def per_epoch(times: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Return the seconds of an epoch, and of one more in a call that has others.

    >>> per_epoch({("1", "fit"): 3.0, ("5", "fit"): 11.0})
    {('1', 'fit'): 3.0, ('5', 'fit'): 2.2, ('each further one', 'fit'): 2.0}
    """
    each = {(epochs, peer): time / int(epochs) for (epochs, peer), time in times.items()}
    for peer in {peer: None for _, peer in times}:
        calls = sorted((int(epochs), time) for (epochs, p), time in times.items() if p == peer)
        (few, short), (many, long) = calls[0], calls[-1]
        if many > few:
            each[FURTHER, peer] = (long - short) / (many - few)
    return each


if __name__ == "__main__":
    main()
