"""Compare the peak memory of training: microgrid's compiled and eager step, PyTorch, JAX.

    python benchmarks/training_memory.py --json memory.json

Each peer trains in a fresh process, on one thread. When it has imported its library, the system is
told to forget the peak so far (Linux only; elsewhere the peak of the import stays in it). What
getrusage gives as ru_maxrss after training, less the memory at that moment, is what training takes:
data, weights and a copy of them, gradients, buffers, and what the library sets up at its first
step, compiling included. What Python's tracemalloc saw in one later step is NumPy's share of that:
a replay that allocates no array shows a few hundred bytes there.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import statistics
import tracemalloc
from pathlib import Path
from typing import Any

import harness
import report
from graph_scale import memory, peak_memory
from training_peers import PEERS
from training_step import case_of, read_net
from training_task import Task

NETS = ("784-512-512-10:128",)
MEASURED = ("microgrid", "microgrid eager", "torch", "jax", "numpy", "numpy planned")
SEEN_BY_TRACEMALLOC = ("microgrid", "microgrid eager", "numpy", "numpy planned")


def measure(peer: str, sizes: list[int], batch: int, steps: int) -> dict[str, Any]:
    """Train in this process; return MB that training took, and the bytes of Python in one step."""
    library, build = PEERS[peer]
    try:
        importlib.import_module(library)
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    Task([[1, 1], 1])  # so that NumPy has loaded its random numbers
    gc.collect()
    forget_peak()
    at_rest = memory()
    built = build([sizes, batch])
    if built is None:
        raise SystemExit(f"{peer} cannot train {sizes}.")
    step, check = built
    loss = check()
    for _ in range(steps):
        step()
    taken = peak_memory() - at_rest
    return {"peer": peer, "loss": loss, "peak_mb": taken, "step_bytes": python_peak(step)}


def forget_peak() -> None:
    """Let ru_maxrss count from now on, where Linux can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def python_peak(step: Any) -> int:
    """Return the most bytes that Python and NumPy allocated during one step."""
    gc.collect()
    tracemalloc.start()
    step()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    step()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak


def run(peer: str, net: str, steps: int) -> dict[str, Any]:
    """Measure in a fresh process."""
    given = (peer, *case_of(net), steps)
    code = f"import training_memory, json; print(json.dumps(training_memory.measure{given!r}))"
    return harness.run_fresh(code) | {"net": net}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.parser_of(__doc__)
    add = parser.add_argument
    add("--peers", nargs="+", choices=MEASURED, default=list(MEASURED), help="what to measure")
    add("--nets", nargs="+", type=read_net, default=list(NETS), help="sizes:batch")
    add("--steps", type=harness.count, default=20, help="steps of training")
    add("--rounds", type=harness.count, default=5, help="processes for each peer")
    settings = parser.parse_args(arguments)
    rows = []
    for net in settings.nets:
        for peer in settings.peers:
            runs = [run(peer, net, settings.steps) for _ in range(settings.rounds)]
            if not harness.complain(peer, runs[0]):
                rows.append(median_of(runs))
    print(table(rows))
    print("\nMB of a process's memory, and kB of Python's; medians.")
    print(f"{report.machine_line()} 1 thread.")
    report.write_json(settings.json, settings, training=rows)


def median_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians over the processes, and every single figure."""
    every = {f"{key}_rounds": [run[key] for run in runs] for key in ("peak_mb", "step_bytes")}
    medians = {
        key: statistics.median(run[key] for run in runs) for key in ("peak_mb", "step_bytes")
    }
    return runs[0] | medians | every


def table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        known = row["peer"] in SEEN_BY_TRACEMALLOC
        kilobytes = report.number(row["step_bytes"] / 1e3) if known else report.NONE
        net = row["net"].replace(":", ", ")
        lines.append([net, row["peer"], report.number(row["peak_mb"]), kilobytes])
    return report.markdown(["net, batch", "peer", "training, MB", "one step, kB"], lines)


if __name__ == "__main__":
    main()
