"""Fit a smooth curve for so many seconds: Levenberg-Marquardt and L-BFGS against Adam.

    python benchmarks/second_order.py --json second_order.json

A 1-20-1 net with tanh, in float64, on 200 points, all of them in each step. Every run has a process
of its own, one thread, and the same time, in which tracing and compiling count. It is taken by the
clock of the process, which stands still while others have the core: on a quiet machine it is the
time on the wall. Adam runs once at each learning rate, as a compiled step, and the best of these
runs is taken for each seed; its rate stays, or falls to 0 at the end on half a cosine.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import harness
import numpy as np
import report

SIZES = [1, 20, 1]
SAMPLES = 200
CHUNK = 20  # iterations of a second-order method between two looks at the clock
Course = Iterator[float]  # the loss, again and again, for as long as it is asked for


def data() -> tuple[Any, Any]:
    x = np.linspace(-1, 1, SAMPLES)[:, None]
    return x, np.sin(3 * x) * np.exp(-x) + 0.3 * np.cos(9 * x)


def microgrid_model(seed: int) -> Any:
    import microgrid as mg

    return mg.nn.MLP(SIZES, "tanh", rng=seed, dtype=np.float64)


def adam(seed: int, rate: float, seconds: float, falling: bool = False) -> Course:
    import microgrid as mg

    model, (x, y) = microgrid_model(seed), data()
    optimizer = mg.optim.Adam(model.parameters(), lr=rate)

    @mg.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = mg.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    start = time.process_time()
    while True:
        for _ in range(CHUNK):
            loss = step(x, y)
        if falling:
            share = min(1.0, (time.process_time() - start) / seconds)
            optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
        yield loss.item()


def adam_cosine(seed: int, rate: float, seconds: float) -> Course:
    return adam(seed, rate, seconds, falling=True)


def lbfgs(seed: int, rate: float, seconds: float) -> Course:
    import microgrid as mg

    model, (x, y) = microgrid_model(seed), data()
    optimizer = mg.optim.LBFGS(
        model.parameters(), max_iter=CHUNK, tolerance_grad=0, tolerance_change=0
    )

    @mg.compile
    def closure() -> Any:
        optimizer.zero_grad()
        loss = mg.mse_loss(model(x), y)
        loss.backward()
        return loss

    while True:
        optimizer.step(closure)
        yield optimizer.loss


def levenberg_marquardt(seed: int, rate: float, seconds: float, **settings: Any) -> Course:
    import microgrid as mg

    model, (x, y) = microgrid_model(seed), data()
    optimizer = mg.optim.LevenbergMarquardt(model.parameters(), max_iter=CHUNK, **settings)

    def residuals(x: Any, y: Any) -> Any:
        return model(x) - y

    while True:
        optimizer.step(residuals, x, y)
        yield 2 * optimizer.loss / SAMPLES


def levenberg_marquardt_normal(seed: int, rate: float, seconds: float) -> Course:
    return levenberg_marquardt(seed, rate, seconds, solver="normal")


def torch_lbfgs(seed: int, rate: float, seconds: float) -> Course:
    import torch

    x, y = map(torch.from_numpy, data())
    weights = [torch.from_numpy(p.numpy()).requires_grad_() for p in _parameters(seed)]
    w1, b1, w2, b2 = weights
    optimizer = torch.optim.LBFGS(
        weights, max_iter=CHUNK, history_size=10, line_search_fn="strong_wolfe",
        tolerance_grad=0, tolerance_change=0,
    )  # fmt: skip

    def closure() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(torch.tanh(x @ w1 + b1) @ w2 + b2, y)
        loss.backward()
        return loss

    while True:
        yield optimizer.step(closure).item()


def sklearn_lbfgs(seed: int, rate: float, seconds: float) -> Course:
    import warnings

    from sklearn.neural_network import MLPRegressor

    warnings.simplefilter("ignore")  # that it has not converged yet
    x, y = data()
    # Each call of fit starts L-BFGS anew: a long one each time.
    model = MLPRegressor(
        hidden_layer_sizes=SIZES[1:-1], activation="tanh", solver="lbfgs", alpha=0, tol=0,
        max_iter=10 * CHUNK, max_fun=10**9, warm_start=True, random_state=seed,
    )  # fmt: skip
    while True:
        model.fit(x, y[:, 0])
        yield 2 * model.loss_


def _parameters(seed: int) -> list[Any]:
    return list(microgrid_model(seed).parameters())


PEERS: dict[str, tuple[str, Callable[..., Course]]] = {
    "LM": ("microgrid", levenberg_marquardt),
    "LM, normal equations": ("microgrid", levenberg_marquardt_normal),
    "L-BFGS": ("microgrid", lbfgs),
    "Adam": ("microgrid", adam),
    "Adam, cosine": ("microgrid", adam_cosine),
    "torch L-BFGS": ("torch", torch_lbfgs),
    "sklearn L-BFGS": ("sklearn", sklearn_lbfgs),
}


def run(peer: str, seed: int, seconds: float, rate: float) -> list[tuple[float, float]]:
    """Train for so long; return when the lowest loss so far fell, and to what."""
    library, course = PEERS[peer]
    __import__("microgrid")
    __import__("microgrid.compiler.step")
    for module in ("torch._dynamo", "torch.optim") if library == "torch" else (library,):
        __import__(module)  # imports are not timed
    found: list[tuple[float, float]] = []
    lowest = math.inf
    start = time.process_time()
    for loss in course(seed, rate, seconds):
        now = time.process_time() - start
        if now > seconds and found:  # this one has ended too late
            break
        if loss < lowest:
            lowest = loss
            found.append((now, loss))
    return found


def measured(settings: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """Return by peer and seed the best course, and the rate that it is of."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for seed in range(settings.seeds):
        for peer in settings.peers:
            library = PEERS[peer][0]
            if library != "microgrid" and importlib.util.find_spec(library) is None:
                if not seed:
                    message = f"{peer}: skipped, {library} is not installed. {report.INSTALL}"
                    print(message, file=sys.stderr)
                continue
            for rate in settings.rates if peer.startswith("Adam") else [0.0]:
                code = (
                    "import json, second_order as m; "
                    f"print(json.dumps(m.run({peer!r}, {seed}, {settings.seconds}, {rate})))"
                )
                course = harness.run_fresh(code)
                known = found.get((peer, seed))
                if course and (known is None or course[-1][1] < known["course"][-1][1]):
                    found[peer, seed] = {"rate": rate, "course": course}
    return found


def table(found: dict[tuple[str, int], dict[str, Any]], settings: Any) -> str:
    """Return for each peer the losses, over Adam's with the same seed, and when it is overtaken."""
    lines = []
    for peer in settings.peers:
        own = {seed: row["course"] for (name, seed), row in found.items() if name == peer}
        if not own:
            continue
        last = [course[-1][1] for course in own.values()]
        adam = {
            seed: found["Adam", seed]["course"][-1][1] for seed in own if ("Adam", seed) in found
        }
        times = [adam[seed] / own[seed][-1][1] for seed in adam]
        passed = [when(own[seed], adam[seed]) for seed in adam]
        lines.append([
            peer, f"{statistics.median(last):.1e}", f"{min(last):.1e} to {max(last):.1e}",
            f"{min(times):.3g} to {max(times):.3g}" if times else report.NONE,
            milliseconds(passed),
        ])  # fmt: skip
    header = ["method", "median loss", "losses", "Adam's loss over its", "at Adam's loss after, ms"]
    return report.markdown(header, lines)


def milliseconds(seconds: list[float]) -> str:
    """Write the median of some times."""
    median = statistics.median(seconds) if seconds else math.inf
    return f"{1e3 * median:.0f}" if median < math.inf else report.NONE


def when(course: list[tuple[float, float]], loss: float) -> float:
    """Return when a course has come down to a loss.

    >>> when([(0.1, 5.0), (0.2, 3.0)], 4.0), when([(0.1, 5.0)], 4.0)
    (0.2, inf)
    """
    return next((time for time, reached in course if reached <= loss), math.inf)


def rate(text: str) -> float:
    """Read a learning rate, for argparse."""
    return harness.duration(text)


def main(arguments: list[str] | None = None) -> None:
    parser = harness.parser_of(__doc__)
    add = parser.add_argument
    add("--peers", nargs="+", choices=tuple(PEERS), default=list(PEERS), help="what to measure")
    add("--seconds", type=harness.duration, default=2.0, help="length of each run")
    add("--seeds", type=harness.count, default=5, help="first weights to start from")
    add(
        "--rates",
        nargs="+",
        type=rate,
        default=[0.001, 0.003, 0.01, 0.03, 0.1, 0.3],
        help="of Adam",
    )
    settings = parser.parse_args(arguments)
    found = measured(settings)
    print(table(found, settings))
    print(f"\nMean squared error after {settings.seconds:g} s, over {settings.seeds} seeds.")
    for adam in ("Adam", "Adam, cosine"):
        rates = sorted(row["rate"] for (peer, _), row in found.items() if peer == adam)
        print(f"Best rates of {adam}: {', '.join(map(str, rates)) or report.NONE}.")
    print(f"{report.machine_line()} 1 thread each.")
    rows = [{"peer": peer, "seed": seed, **row} for (peer, seed), row in found.items()]
    report.write_json(settings.json, settings, runs=rows)


if __name__ == "__main__":
    main()
