"""Time the compiled step with each of the compiler's passes left out, for what each one saves.

    python benchmarks/compile_passes.py --json passes.json --chart passes.png

The nets and the step are those of training_step.py, the passes those of `mg.compile(without=...)`.
A ratio above 1 is what is lost without the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import harness
import report
from training_peers import microgrid_compiled
from training_step import NETS, case_of, read_net
from training_task import CHECKED_STEPS, Built

PASSES = ("folded", "shared", "skipped", "pruned", "reuse", "flat", "inline")

PEERS: dict[str, tuple[str, Callable[[Any], Built]]] = {
    "all": ("microgrid", microgrid_compiled),
    **{
        f"without {name}": ("microgrid", partial(microgrid_compiled, without=[name]))
        for name in PASSES
    },
    "without any": ("microgrid", partial(microgrid_compiled, without=PASSES)),
}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.options(__doc__, PEERS, seconds=0.2, threads=1)
    parser.add_argument("--nets", nargs="+", type=read_net, default=list(NETS), help="sizes:batch")
    settings = parser.parse_args(arguments)
    cases = {net.replace(":", ", "): case_of(net) for net in settings.nets}
    rows, about = harness.interleave("compile_passes", cases, settings)
    times = report.times_of(rows, settings.best)
    print(report.comparison("net, batch", cases, settings.peers, times, "all"))
    print("\nMicroseconds a step, and in brackets how many times that with all passes.")
    print(report.notes(settings, rows, about, f"the losses after {CHECKED_STEPS} steps"))
    report.write_json(settings.json, settings, about=about, steps=rows)
    groups = {net: net for net in cases}
    report.draw_times(settings.chart, groups, settings.peers, times, "microseconds a training step")


if __name__ == "__main__":
    main()
