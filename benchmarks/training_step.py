"""Time one training step (forward, loss, backward, SGD update) in float32, against other libraries.

    python benchmarks/training_step.py --json step.json --chart step.png

Every peer has a process of its own and the peers take turns. The table gives the median time of a
step, and in brackets the peer's time over microgrid's: above 1, microgrid is faster.
"""

from __future__ import annotations

import argparse

import harness
import report
from training_peers import CHECKED_STEPS, PEERS

# As net:batch, from a toy to the point where the matrix products are everything.
NETS = (
    "2-16-16-1:100", "64-32-10:1", "64-32-10:32", "784-128-10:64", "784-512-512-10:128",
    "1024-1024-1024-1024-10:256",
)  # fmt: skip


def read_net(text: str) -> str:
    """Check an option such as 64-32-10:32, for argparse."""
    try:
        sizes, batch = case_of(text)
    except ValueError:
        sizes, batch = [], 0
    if len(sizes) < 2 or min(*sizes, batch) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} was given; two or more sizes and a batch are needed, all from 1 up, as in "
            "64-32-10:32."
        )
    return text


def case_of(net: str) -> tuple[list[int], int]:
    """Return the sizes and the batch.

    >>> case_of("64-32-10:32")
    ([64, 32, 10], 32)
    """
    sizes, batch = net.split(":")
    return [int(size) for size in sizes.split("-")], int(batch)


def main(arguments: list[str] | None = None) -> None:
    parser = harness.options(__doc__, PEERS, seconds=0.2, threads=2, leave_out=["torch.compile"])
    parser.add_argument("--nets", nargs="+", type=read_net, default=list(NETS), help="sizes:batch")
    settings = parser.parse_args(arguments)
    cases = [case_of(net) for net in settings.nets]
    rows, about = harness.interleave("training_peers", cases, settings)
    for row in rows:
        row["net"] = "{}:{}".format("-".join(map(str, row["case"][0])), row["case"][1])
    figure = "best" if settings.best else "median"
    times = {(row["net"], row["peer"]): row[figure] for row in rows}
    print(table(settings, times))
    print("\nMicroseconds a step, and in brackets how many times microgrid's that is.")
    print(report.machine_line(), report.threads_line(settings.threads, about))
    print(report.agreement(rows, f"the losses after {CHECKED_STEPS} steps"))
    print(report.steadiness(rows))
    report.write_json(settings.json, settings, about=about, steps=rows)
    series = {
        peer: [report.scaled(times.get((net, peer)), 1e6) for net in settings.nets]
        for peer in settings.peers
    }
    report.draw_bars(settings.chart, settings.nets, series, "microseconds a training step")


def table(settings: argparse.Namespace, times: dict[tuple[str, str], float]) -> str:
    def cell(net: str, peer: str) -> str:
        return report.against(times.get((net, peer)), times.get((net, "microgrid")), 1e6)

    peers = [peer for peer in settings.peers if any(p == peer for _, p in times)]
    lines = [
        [net.replace(":", ", "), *(cell(net, peer) for peer in peers)] for net in settings.nets
    ]
    return report.markdown(["net, batch", *peers], lines)


if __name__ == "__main__":
    main()
