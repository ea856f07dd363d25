"""What the ops that are fused for speed save: a training step with them and with what they replace.

One process, the variants taking turns, the median over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the clone that this script lies in

import microgrid as mg

NETS = {"2-16-16-1, 100": ([2, 16, 16, 1], 100), "64-32-10, 32": ([64, 32, 10], 32)}


def dense_composed(x: Any, weight: Any, bias: Any) -> Any:
    return x @ weight + bias


def square_composed(prediction: Any, target: Any) -> Any:
    return mg.mean(mg.square(prediction - target))


def cross_entropy_composed(logits: Any, labels: Any) -> Any:
    rows = np.arange(len(labels))
    return -mg.mean(mg.log_softmax(logits)[rows, labels.data])


def make_step(sizes: list[int], batch: int, dense: Any, loss: Any) -> Callable[[], None]:
    """Return one step of plain SGD on a net of these sizes."""
    rng = np.random.default_rng(0)
    model = mg.nn.MLP(sizes, rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)
    x = mg.tensor(rng.standard_normal((batch, sizes[0])), np.float32)
    if sizes[-1] == 1:
        y = mg.tensor(rng.standard_normal((batch, 1)), np.float32)
    else:
        y = mg.tensor(rng.integers(0, sizes[-1], batch))

    def step() -> None:
        optimizer.zero_grad()
        h = x
        for i, layer in enumerate(model):
            h = dense(h, layer.weight, layer.bias)
            if i < len(model) - 1:
                h = mg.relu(h)
        loss(h, y).backward()
        optimizer.step()

    return step


def median_times(steps: dict[str, Callable[[], None]], rounds: int, calls: int) -> dict[str, float]:
    """Return microseconds a step: each variant in its turn, round after round."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(calls):
                step()
            times[name].append((time.perf_counter() - start) / calls * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each variant")
    parser.add_argument("--calls", type=int, default=500, help="steps in a turn")
    options = parser.parse_args()
    if options.rounds < 1 or options.calls < 1:
        parser.error("--rounds and --calls must be at least 1.")
    print("| net, batch | fused, µs | layer composed | loss composed | both composed |")
    print("|---|---|---|---|---|")
    for name, (sizes, batch) in NETS.items():
        fused, composed = (
            (mg.mse_loss, square_composed)
            if sizes[-1] == 1
            else (mg.cross_entropy, cross_entropy_composed)
        )
        steps = {
            "fused": make_step(sizes, batch, mg.affine, fused),
            "layer": make_step(sizes, batch, dense_composed, fused),
            "loss": make_step(sizes, batch, mg.affine, composed),
            "both": make_step(sizes, batch, dense_composed, composed),
        }
        found = median_times(steps, options.rounds, options.calls)
        rest = " | ".join(
            f"{found[key]:.1f} ({found[key] / found['fused']:.2f}x)"
            for key in ("layer", "loss", "both")
        )
        print(f"| {name} | {found['fused']:.1f} | {rest} |")


if __name__ == "__main__":
    main()
