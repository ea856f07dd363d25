"""Train on the handwritten digits with several seeds: how many of those held out are read right.

    python benchmarks/digits.py --json digits.json

For each seed a process of its own runs `python -m microgrid`, as the README's first command does.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from typing import Any

import harness
import report


def result_of(seed: int | None) -> dict[str, Any]:
    """Return what the main job prints in the end; None stands for its default seed."""
    options = [] if seed is None else ["--seed", str(seed)]
    command = [sys.executable, "-m", "microgrid", "--quiet", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=harness.ROOT)
    right, total = re.findall(r"^test accuracy .* \((\d+) of (\d+)\)", done.stdout, re.M)[-1]
    return {"seed": seed, "right": int(right), "of": int(total)}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.parser_of(__doc__)
    parser.add_argument("--seeds", type=harness.count, default=10, help="from 1 up to this one")
    settings = parser.parse_args(arguments)
    rows = [result_of(seed) for seed in (None, *range(1, settings.seeds + 1))]
    lines = [
        [
            "default" if row["seed"] is None else str(row["seed"]),
            f"{row['right']} of {row['of']}",
            f"{row['right'] / row['of']:.3f}",
        ]
        for row in rows
    ]
    print(report.markdown(["seed", "right", "accuracy"], lines))
    shares = [row["right"] / row["of"] for row in rows[1:]]
    print(
        f"\nSeeds 1 to {settings.seeds}: worst {min(shares):.3f}, "
        f"mean {statistics.mean(shares):.3f}."
    )
    print(f"\n{report.machine_line()}")
    report.write_json(settings.json, settings, digits=rows)


if __name__ == "__main__":
    main()
