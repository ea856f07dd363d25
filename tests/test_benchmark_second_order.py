"""The benchmark of second-order methods runs, and says what it found."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "second_order.py"


def test_methods_are_compared_with_adam_after_the_same_time(tmp_path):
    results = tmp_path / "second_order.json"
    command = [
        sys.executable, str(SCRIPT), "--peers", "LM", "Adam", "--seeds", "1", "--seconds", "0.05",
        "--rates", "0.03", "--json", str(results),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (
        "| method | median loss | losses | Adam's loss over its | at Adam's loss after, ms |"
        in (done.stdout)
    )
    assert "Best rates of Adam: 0.03." in done.stdout
    runs = {run["peer"]: run["course"] for run in json.loads(results.read_text())["runs"]}
    assert runs.keys() == {"LM", "Adam"}
    for course in runs.values():
        assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(course))
