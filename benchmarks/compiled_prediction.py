"""Time the prediction for a single sample: a compiled model against other libraries.

    python benchmarks/compiled_prediction.py --json prediction.json --chart prediction.png

From an array to an array. The nets are those of training_step.py; no peer computes gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import report
from training_peers import jax_forward, microgrid_model, torch_model
from training_step import case_of, read_net
from training_task import Built, Task

NETS = ("64-32-10:1", "784-128-10:1")


def microgrid_eager(case: Any) -> Built:
    import microgrid as mg

    task = Task(case)
    model = microgrid_model(task).eval()

    def predict() -> Any:
        with mg.no_grad():
            return model(task.x).data

    return built(predict)


def microgrid_compiled(case: Any, backend: str = "numpy") -> Built:
    import microgrid as mg

    task = Task(case)
    model = mg.compile(microgrid_model(task).eval(), backend=backend)
    return built(lambda: model(task.x).data)


def microgrid_numba(case: Any) -> Built:
    return microgrid_compiled(case, "numba")


def torch_eager(case: Any) -> Built:
    import torch

    task = Task(case)
    model = torch_model(task).eval()

    def predict() -> Any:
        with torch.no_grad():
            return model(torch.from_numpy(task.x)).numpy()

    return built(predict)


def jax_jit(case: Any) -> Built:
    import jax
    import jax.numpy as jnp

    task = Task(case)
    params = [
        (jnp.asarray(w), jnp.asarray(b)) for w, b in zip(task.weights, task.biases, strict=True)
    ]
    forward = jax.jit(jax_forward)
    return built(lambda: np.asarray(forward(params, task.x)))


def by_hand(case: Any) -> Built:
    task = Task(case)
    hidden = list(zip(task.weights[:-1], task.biases[:-1], strict=True))
    weight, bias = task.weights[-1], task.biases[-1]

    def predict() -> Any:
        x = task.x
        for w, b in hidden:
            x = x @ w
            x += b
            np.maximum(x, 0, out=x)
        x = x @ weight
        x += bias
        return x

    return built(predict)


def built(predict: Callable[[], Any]) -> Built:
    """Return the call, and what all must agree on: the length of the vector of all results."""
    return predict, lambda: float(np.linalg.norm(predict()))


PEERS: dict[str, tuple[str, Callable[[Any], Built]]] = {
    "microgrid": ("microgrid", microgrid_compiled),
    "microgrid numba": ("numba", microgrid_numba),
    "microgrid eager": ("microgrid", microgrid_eager),
    "torch": ("torch", torch_eager),
    "jax": ("jax", jax_jit),
    "numpy": ("numpy", by_hand),
}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.options(__doc__, PEERS, seconds=0.1, threads=2)
    parser.add_argument("--nets", nargs="+", type=read_net, default=list(NETS), help="sizes:batch")
    settings = parser.parse_args(arguments)
    cases = {net.replace(":", ", "): case_of(net) for net in settings.nets}
    rows, about = harness.interleave("compiled_prediction", cases, settings)
    times = report.times_of(rows, settings.best)
    print(report.comparison("net, batch", cases, settings.peers, times))
    print("\nMicroseconds a prediction, and in brackets how many times the compiled model's.")
    print(report.notes(settings, rows, about, "the length of the vector of results"))
    report.write_json(settings.json, settings, about=about, predictions=rows)
    groups = {net: net for net in cases}
    report.draw_times(settings.chart, groups, settings.peers, times, "microseconds a prediction")


if __name__ == "__main__":
    main()
