"""Measure what tracing and planning a step costs, in seconds and in eager steps.

    python benchmarks/compile_cost.py --json compile.json

`first calls` forgets all programs and calls the step twice. The first call runs it eagerly under
the tracer, cleans the program up, plans and writes it; the second is traced too if the step makes
arrays of which it must be known whether they change, and a replay if not. The nets are those of
training_step.py, and one of 1 000 layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import report
from training_peers import microgrid_compiled, microgrid_eager, microgrid_step
from training_step import NETS, case_of, read_net
from training_task import CHECKED_STEPS, Built, Task

HIDDEN, BATCH = 64, 32  # of the deep net: wide enough that its numbers do not fade away

HEAD = (
    "net, batch", "eager step, µs", "replay, µs", "first calls, ms", "in eager steps",
    "worth it from so many steps",
)  # fmt: skip


def first_calls(case: Any) -> Built:
    import microgrid as mg

    task = Task(case)
    step = mg.compile(microgrid_step(task))

    def trace() -> Any:
        step.forget()
        step(task.x, task.y)
        return step(task.x, task.y)

    def check() -> float:
        for _ in range(CHECKED_STEPS // 2):
            loss = trace()
        return float(step(task.x, task.y) if CHECKED_STEPS % 2 else loss)

    return trace, check


PEERS: dict[str, tuple[str, Callable[[Any], Built]]] = {
    "eager step": ("microgrid", microgrid_eager),
    "replay": ("microgrid", microgrid_compiled),
    "first calls": ("microgrid", first_calls),
}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.options(__doc__, PEERS, seconds=0.2, threads=1)
    add = parser.add_argument
    add("--nets", nargs="+", type=read_net, default=list(NETS), help="sizes:batch")
    add("--layers", type=harness.count, default=1000, help="of the deep net")
    settings = parser.parse_args(arguments)
    cases = {net.replace(":", ", "): case_of(net) for net in settings.nets}
    deep = f"{settings.layers:,}".replace(",", " ") + f" layers of {HIDDEN}, {BATCH}"
    cases[deep] = ([*[HIDDEN] * settings.layers, 10], BATCH)
    rows, about = harness.interleave("compile_cost", cases, settings)
    times = report.times_of(rows, settings.best)
    print(table(list(cases), times))
    print("\nThe first calls train two steps as well, whose time is in theirs.")
    print(report.notes(settings, rows, about, f"the losses after {CHECKED_STEPS} steps"))
    report.write_json(settings.json, settings, about=about, calls=rows)
    groups = {net: net for net in cases}
    report.draw_times(settings.chart, groups, settings.peers, times, "microseconds a call")


def table(nets: list[str], times: dict[tuple[str, str], float]) -> str:
    """Return the times, and after how many steps the first calls have paid for themselves."""
    lines = []
    for net in nets:
        known = [times.get((net, peer)) for peer in PEERS]
        cells = [report.NONE if t is None else report.number(t * 1e6) for t in known]
        eager, replay, first = known
        if eager is None or replay is None or first is None:
            lines.append([net, *cells[:2], report.NONE, report.NONE, report.NONE])
            continue
        pays = (first - 2 * replay) / (eager - replay) if replay < eager else None
        paid = report.NONE if pays is None else report.number(pays)
        lines.append(
            [net, *cells[:2], report.number(first * 1e3), report.number(first / eager), paid]
        )
    return report.markdown(HEAD, lines)


if __name__ == "__main__":
    main()
