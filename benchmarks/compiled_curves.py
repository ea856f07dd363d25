"""Time a training step over width, depth and batch: other libraries against the compiled step.

    python benchmarks/compiled_curves.py --json curves.json --chart curves.png

All curves cross at one net, 64-64-64-10 with batches of 32. From there one size at a time grows or
shrinks. The steps are those of training_step.py; a point is the peer's time over that of
microgrid's compiled step, so above 1, microgrid is faster.
"""

from __future__ import annotations

import harness
import report
from training_peers import PEERS
from training_task import CHECKED_STEPS

WIDTHS = [8, 16, 32, 64, 128, 256, 512, 1024]
DEPTHS = [1, 2, 4, 8, 16, 32]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
DEFAULT = ("microgrid", "microgrid eager", "torch", "jax")

AXES = {
    "width": "width of 2 hidden layers, batch 32",
    "depth": "hidden layers of 64, batch 32",
    "batch": "batch, 2 hidden layers of 64",
}
LABEL = f"time over that of the compiled step ({report.TIMES})"


def net_of(width: int = 64, depth: int = 2, batch: int = 32) -> tuple[list[int], int]:
    """Return the sizes and the batch of a net with `depth` hidden layers.

    >>> net_of(depth=3)
    ([64, 64, 64, 64, 10], 32)
    """
    return [64, *[width] * depth, 10], batch


def main(arguments: list[str] | None = None) -> None:
    others = [peer for peer in PEERS if peer not in DEFAULT]
    parser = harness.options(__doc__, PEERS, seconds=0.2, threads=2, leave_out=others)
    add = parser.add_argument
    add("--widths", nargs="+", type=harness.count, default=WIDTHS, help="of two hidden layers")
    add("--depths", nargs="+", type=harness.count, default=DEPTHS, help="hidden layers of 64")
    add("--batches", nargs="+", type=harness.count, default=BATCHES, help="samples a step")
    settings = parser.parse_args(arguments)
    curves = {
        "width": {n: net_of(width=n) for n in settings.widths},
        "depth": {n: net_of(depth=n) for n in settings.depths},
        "batch": {n: net_of(batch=n) for n in settings.batches},
    }
    cases: dict[str, tuple[list[int], int]] = {}
    for what, curve in curves.items():
        cases |= {f"{what} {n}": case for n, case in curve.items() if case not in cases.values()}
    rows, about = harness.interleave("training_peers", cases, settings)
    measured = report.times_of(rows, settings.best)
    panels = {}
    for what, curve in curves.items():
        names = {n: name for n, at in curve.items() for name, case in cases.items() if case == at}
        times = {
            (str(n), peer): measured[name, peer]
            for n, name in names.items()
            for peer in settings.peers
            if (name, peer) in measured
        }
        print(report.comparison(what, map(str, names), settings.peers, times), end="\n\n")
        panels[AXES[what]] = ratios(times, settings.peers)
    print("Microseconds a step, and in brackets how many times that of microgrid's compiled step.")
    print(report.notes(settings, rows, about, f"the losses after {CHECKED_STEPS} steps"))
    report.write_json(settings.json, settings, about=about, steps=rows)
    report.draw_lines(settings.chart, panels, LABEL)


def ratios(
    times: dict[tuple[str, str], float], peers: list[str]
) -> dict[str, list[tuple[float, float]]]:
    """Return a curve for each peer but microgrid.

    >>> ratios({("8", "microgrid"): 2.0, ("8", "torch"): 6.0}, ["microgrid", "torch"])
    {'torch': [(8.0, 3.0)]}
    """
    return {
        peer: [
            (float(n), time / times[n, "microgrid"])
            for (n, other), time in times.items()
            if other == peer and (n, "microgrid") in times
        ]
        for peer in peers
        if peer != "microgrid"
    }


if __name__ == "__main__":
    main()
