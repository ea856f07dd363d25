"""The benchmarks run, on tiny inputs, and write what they promise. Nothing here is timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = ("training_step.py", "op_cost.py", "import_time.py", "graph_scale.py")


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_its_options(script):
    assert "--json FILE" in run(script, "--help")


@pytest.mark.parametrize("script", ["report.py", "training_step.py"])
def test_examples_in_docstrings(script):
    command = [sys.executable, "-m", "doctest", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS)
    assert (done.returncode, done.stdout) == (0, "")


def test_training_step_compares_peers_that_reach_the_same_loss(tmp_path):
    results = tmp_path / "step.json"
    out = run(
        "training_step.py", "--peers", "microgrid", "numpy", "products",
        "--nets", "3-4-1:5", "4-6-10:7", "--rounds", "2", "--seconds", "0.001",
        "--threads", "1", "--json", str(results),
    )  # fmt: skip
    assert out.startswith("| net, batch | microgrid | numpy | products |\n| --- |")
    assert "| 4-6-10, 7 | " in out
    assert "All peers agree on the losses after 5 steps" in out
    written = json.loads(results.read_text())
    assert written["settings"]["threads"] == 1
    assert written["machine"]["versions"]["numpy"]
    assert [step["peer"] for step in written["steps"]] == ["microgrid", "numpy", "products"] * 2
    assert all(len(step["rounds"]) == 2 and step["median"] > 0 for step in written["steps"])


def test_op_cost_compares_calls_that_return_the_same(tmp_path):
    results = tmp_path / "ops.json"
    out = run(
        "op_cost.py", "--peers", "microgrid", "numpy", "--ops", "add a row", "relu", "log_softmax",
        "--rounds", "1", "--seconds", "0.001", "--json", str(results),
    )  # fmt: skip
    assert "| forward | microgrid | numpy |" in out
    assert "| forward+backward | microgrid |\n" in out
    assert "All peers agree on the sums of the results" in out
    assert len(json.loads(results.read_text())["calls"]) == 3 * 2 + 3


def test_graph_scale_and_its_memory(tmp_path):
    results = tmp_path / "scale.json"
    out = run(
        "graph_scale.py", "--chain", "200", "--lattice", "400", "--steps", "20", "--rounds", "1",
        "--json", str(results),
    )  # fmt: skip
    assert "| lattice | off | 400 |" in out
    assert [row["step"] for row in json.loads(results.read_text())["training"]] == [
        *range(2, 21, 2)
    ]


def test_import_time_without_building_a_wheel(tmp_path):
    results = tmp_path / "import.json"
    out = run("import_time.py", "--rounds", "1", "--no-wheel", "--json", str(results))
    assert "| import microgrid beyond numpy | " in out
    assert len(json.loads(results.read_text())["imports"]["microgrid"]) == 1


def test_a_peer_that_is_not_installed_is_skipped_and_the_extra_named(tmp_path):
    (tmp_path / "mygrad.py").write_text("raise ModuleNotFoundError(name='mygrad')")
    command = [
        sys.executable, str(BENCHMARKS / "op_cost.py"), "--peers", "mygrad", "numpy",
        "--ops", "add", "--rounds", "1", "--seconds", "0.001",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)}
    )
    assert done.returncode == 0
    assert done.stderr == "mygrad: skipped, mygrad is not installed. pip install -e '.[bench]'\n"
    assert "| forward | numpy |" in done.stdout


@pytest.mark.parametrize("net", ["64-32-10", "784:32", "64-0:32", "64-10:0", "64--10:3", "a-b:c"])
def test_a_net_that_cannot_be_read_is_refused(net):
    assert (
        f"'{net}' was given; two or more sizes and a batch are needed, all from 1 up, as in "
        "64-32-10:32.\n"
    ) in refusal("training_step.py", "--nets", net)


@pytest.mark.parametrize(
    ("script", "option", "value", "needed"),
    [
        ("training_step.py", "--rounds", "0", "a whole number from 1 up"),
        ("training_step.py", "--rounds", "many", "a whole number from 1 up"),
        ("training_step.py", "--repeats", "1.5", "a whole number from 0 up"),
        ("training_step.py", "--seconds", "nan", "a number above 0"),
        ("op_cost.py", "--threads", "0", "a whole number from 1 up"),
        ("op_cost.py", "--size", "0", "a whole number from 1 up"),
        ("graph_scale.py", "--chain", "0", "a whole number from 1 up"),
        ("import_time.py", "--rounds", "0", "a whole number from 1 up"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(script, option, value, needed):
    message = f"argument {option}: '{value}' was given; {needed} is needed.\n"
    assert message in refusal(script, option, value)


def refusal(script: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_fused_ops_compares_all_variants():
    out = run("fused_ops.py", "--rounds", "1", "--calls", "2")
    assert [line.count("x)") for line in out.splitlines()[2:]] == [3, 3]
