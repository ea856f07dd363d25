"""Show that time and memory grow with the graph and not faster, and that training leaks nothing.

    python benchmarks/graph_scale.py --json scale.json

* a chain of 100 000 ops, each on the result of the one before;
* a graph of 1 000 000 ops, 10 000 wide, in which every result is used twice;
* 10 000 SGD steps on a small net, with the memory in use every 1 000.

Each graph runs in a fresh process, as does one of half its size: a ratio of 2 is linear. Each also
runs with Python's cyclic garbage collector switched off. microgrid has no use for it, but as Python
sets it up it walks through all objects whenever a quarter has been added, which shows in the time.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import report

WIDTH = 10_000
STATM = Path("/proc/self/statm")


def chain(length: int) -> tuple[Any, Any, float]:
    """Return a leaf, the end of a chain of `length` ops on it, and the gradient due."""
    import microgrid as mg

    x = mg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(length):
        y = y + 1.0
    return x, y, 1.0


def lattice(nodes: int) -> tuple[Any, Any, float]:
    """Return a leaf, the sum of a lattice of `nodes` ops on it, and the gradient due.

    Every result is used twice, so a row's sum is twice that of the row before: no float is rounded.
    """
    import microgrid as mg

    x = mg.tensor(1.0, requires_grad=True)
    width = min(WIDTH, nodes)
    depth = nodes // width
    row = [x] * width
    for _ in range(depth):
        row = [left + right for left, right in zip(row, [*row[1:], row[0]], strict=True)]
    return x, mg.stack(row).sum(), width * 2.0**depth


GRAPHS = {"chain": chain, "lattice": lattice}


def measure(kind: str, nodes: int, collector: bool) -> dict[str, Any]:
    """Build a graph, go backward and drop it; return the seconds of each and the memory in MB."""
    GRAPHS[kind](10)  # import, and whatever is done once
    gc.collect()
    if not collector:
        gc.disable()
    at_rest = memory()
    started = time.perf_counter()
    x, y, due = GRAPHS[kind](nodes)
    built = time.perf_counter()
    with_graph = memory()
    y.backward(retain_graph=True)
    done = time.perf_counter()
    del y
    freed = time.perf_counter()
    if x.grad.item() != due:
        raise SystemExit(f"{kind}: the gradient is {x.grad.item()}, not {due}.")
    return {
        "kind": kind,
        "collector": collector,
        "nodes": nodes,
        "forward": built - started,
        "backward": done - built,
        "free": freed - done,
        "graph_mb": with_graph - at_rest,
        "peak_mb": peak_memory() - at_rest,
    }


def memory() -> float:
    """Return the memory of this process now, in MB; without /proc, the most it ever had."""
    try:
        pages = int(STATM.read_text().split()[1])
    except OSError:
        return peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_memory() -> float:
    """Return the most memory that this process has had, in MB; nan where it is not told."""
    try:
        import resource
    except ModuleNotFoundError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def train(steps: int, interval: int) -> list[dict[str, float]]:
    """Take SGD steps; return every `interval` of them what Python has allocated and the memory."""
    import numpy as np

    import microgrid as mg

    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 64)).astype(np.float32)
    labels = rng.integers(10, size=32)
    model = mg.nn.MLP([64, 32, 10], rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    seen = np.zeros((steps // interval, 2))  # made beforehand: a list would itself grow
    tracemalloc.start()
    for row in seen:
        for _ in range(interval):
            optimizer.zero_grad()
            mg.cross_entropy(model(x), labels).backward()
            optimizer.step()
        gc.collect()
        row[:] = tracemalloc.get_traced_memory()[0] / 1e3, memory()
    return [
        {"step": interval * (i + 1), "allocated_kb": float(kb), "resident_mb": float(mb)}
        for i, (kb, mb) in enumerate(seen)
    ]


def run(function: str, *arguments: Any) -> Any:
    """Call a function of this file in a fresh process."""
    code = f"import graph_scale, json; print(json.dumps(graph_scale.{function}{arguments!r}))"
    return harness.run_fresh(code)


def main(arguments: list[str] | None = None) -> None:
    parser = harness.parser_of(__doc__)
    parser.add_argument("--chain", type=harness.count, default=100_000, help="length of the chain")
    parser.add_argument(
        "--lattice", type=harness.count, default=1_000_000, help="nodes of the lattice"
    )
    parser.add_argument("--steps", type=harness.count, default=10_000, help="SGD steps")
    parser.add_argument("--rounds", type=harness.count, default=3, help="runs of each graph")
    settings = parser.parse_args(arguments)
    cases = [
        (kind, nodes, collector)
        for kind in GRAPHS
        for collector in (True, False)
        for nodes in (getattr(settings, kind) // 2, getattr(settings, kind))
    ]
    # Round after round, so that a disturbance does not fall on one case alone.
    rounds = [[run("measure", *case) for case in cases] for _ in range(settings.rounds)]
    graphs = [median_of(runs) for runs in zip(*rounds, strict=True)]
    print(graph_table(graphs))
    print("\nIn brackets the ratio to half as many nodes. The backward pass keeps the graph.\n")
    training = run("train", settings.steps, max(1, settings.steps // 10))
    print(training_table(training))
    print(f"\n{report.machine_line()} 1 thread.")
    report.write_json(settings.json, settings, graphs=graphs, training=training)


def median_of(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of each figure, and of what is no figure the first."""
    return {
        key: statistics.median(one[key] for one in runs) if isinstance(value, float) else value
        for key, value in runs[0].items()
    }


def graph_table(graphs: list[dict[str, Any]]) -> str:
    lines = []
    for half, full in zip(graphs[::2], graphs[1::2], strict=True):
        for row in (half, full):
            own = {k: half[k] if row is full else None for k in ("forward", "backward", "free")}
            times = [report.against(row[key], own[key], 1e3) for key in own]
            sizes = [report.number(row[key]) for key in ("graph_mb", "peak_mb")]
            collector = "on" if row["collector"] else "off"
            lines.append([row["kind"], collector, report.number(row["nodes"]), *times, *sizes])
    times = ["forward, ms", "backward, ms", "free, ms"]
    return report.markdown(["graph", "collector", "nodes", *times, "graph, MB", "peak, MB"], lines)


def training_table(training: list[dict[str, float]]) -> str:
    return report.markdown(
        ["SGD steps", "allocated by Python, kB", "resident, MB"],
        [
            [report.number(row[key]) for key in ("step", "allocated_kb", "resident_mb")]
            for row in training
        ],
    )


if __name__ == "__main__":
    main()
