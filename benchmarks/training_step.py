"""Time one training step (forward, loss, backward, SGD update) in float32, against other libraries.

    python benchmarks/training_step.py --json step.json --chart step.png

Every peer has a process of its own and the peers take turns. The table gives the median time of a
step, and in brackets the peer's time over that of microgrid's compiled step: above 1, microgrid is
faster. Other tables compare with the backend of Numba's, the two that run eagerly, and the time of
compiling.
"""

from __future__ import annotations

import argparse

import harness
import report
from training_peers import PEERS
from training_task import CHECKED_STEPS

# As net:batch, from a toy to the point where the matrix products are everything.
NETS = (
    "2-16-16-1:100", "64-32-10:1", "64-32-10:32", "784-128-10:64", "784-512-512-10:128",
    "1024-1024-1024-1024-10:256",
)  # fmt: skip

NUMBA = ["microgrid numba", "microgrid", "torch", "jax", "pytensor"]
EAGER = ["microgrid eager", "torch"]
COMPILING = ("microgrid", "microgrid numba", "torch.compile", "jax", "pytensor")


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
    cases = {net.replace(":", ", "): case_of(net) for net in settings.nets}
    rows, about = harness.interleave("training_peers", cases, settings)
    times = report.times_of(rows, settings.best)
    ready = report.times_of(rows, settings.best, "ready")
    print(tables(settings.peers, list(cases), times, ready))
    print(report.notes(settings, rows, about, f"the losses after {CHECKED_STEPS} steps"))
    report.write_json(settings.json, settings, about=about, steps=rows)
    groups = dict(zip(settings.nets, cases, strict=True))
    report.draw_times(settings.chart, groups, settings.peers, times, "microseconds a training step")


def tables(
    peers: list[str],
    nets: list[str],
    times: dict[tuple[str, str], float],
    ready: dict[tuple[str, str], float],
) -> str:
    """Return the tables: all, beside both backends; those uncompiled; how long others compiled."""
    head = "net, batch"
    parts = [
        report.comparison(head, nets, peers, times),
        "\nMicroseconds a step, and in brackets how many times that of microgrid's compiled step.",
    ]
    if any((net, NUMBA[0]) in times for net in nets):
        parts += [
            '\nBeside backend="numba", in brackets how many times its step:\n',
            report.comparison(head, nets, [p for p in NUMBA if p in peers], times, NUMBA[0]),
        ]
    if all((net, peer) in times for net in nets for peer in EAGER):
        parts += [
            "\nWithout compiling, in brackets how many times microgrid's eager step:\n",
            report.comparison(head, nets, EAGER, times, "microgrid eager"),
        ]
    compiling = [peer for peer in peers if peer in COMPILING]
    if any(peer in compiling for _, peer in ready):
        parts += [
            f"\nSeconds from nothing to the loss of step {CHECKED_STEPS}, not counted above:\n",
            report.comparison(head, nets, compiling, ready, unit=1),
        ]
    return "\n".join([*parts, ""])


if __name__ == "__main__":
    main()
