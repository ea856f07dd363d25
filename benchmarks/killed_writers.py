"""Kill a process that saves a file over and over, at random instants: the file must stay whole.

    python benchmarks/killed_writers.py --kills 300

Every file must be the last one that was told to be saved, or the one after. `--direct` writes
without a temporary file, to show that the kills do come in the midst of writing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import microgrid as mg
from microgrid.files import safetensors

NUMBERS = 100_000
LONGEST = 0.05  # seconds until the kill, of which a save takes a fraction


def state_of(step: int) -> dict[str, np.ndarray]:
    # Lengths differ, so that a new file over an old one shows.
    return {"step": np.array(step), "x": np.full(NUMBERS + step % 7, step, float)}


def save(path: str, step: int, direct: bool) -> None:
    if not direct:
        mg.save(path, state_of(step))
        return
    with open(path, "wb") as file:
        for part in safetensors.encode("save", state_of(step), None):
            file.write(part)


def write_until_killed(path: str, first: int, told: int, direct: bool) -> None:
    step = first
    while True:
        save(path, step, direct)
        os.write(told, step.to_bytes(8, "little"))
        step += 1


def kill_one(path: str, last: int, seconds: float, direct: bool) -> int:
    """Let a process save what follows `last`, kill it, and return what it told to have saved."""
    reading, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_until_killed(path, last + 1, told, direct)
        finally:
            os._exit(1)
    os.close(told)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        steps = pipe.read()
    return int.from_bytes(steps[-8:], "little") if steps else last


def outcome(path: str, last: int) -> tuple[str, int]:
    """Return what the file is, and the step it holds."""
    try:
        loaded = mg.load(path)
    except (mg.errors.FileFormatError, FileNotFoundError):
        return "broken", last
    step = int(loaded["step"])
    expected = state_of(step)
    whole = all(np.array_equal(loaded[name], expected[name]) for name in expected)
    if not whole or step not in (last, last + 1):
        return "wrong", step
    return ("old" if step == last else "new"), step


def run(kills: int, seed: int, direct: bool) -> tuple[Counter[str], int]:
    """Return how often each outcome came, and how many temporary files the killed left."""
    rng = np.random.default_rng(seed)
    counts = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "killed.safetensors")
        step = 0
        save(path, step, direct)
        for _ in range(kills):
            told = kill_one(path, step, rng.uniform(0, LONGEST), direct)
            found, step = outcome(path, told)
            counts[found] += 1
            if found in ("broken", "wrong"):
                save(path, step, direct)
        return counts, len(os.listdir(folder)) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300, help="how many (300)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other instants (0)")
    parser.add_argument("--direct", action="store_true", help="write without a temporary file")
    options = parser.parse_args()
    counts, left = run(options.kills, options.seed, options.direct)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    print(f"{left} kills came while a temporary file was there")
    if not options.direct and counts.keys() & {"broken", "wrong"}:
        sys.exit("a file was broken")


if __name__ == "__main__":
    main()
