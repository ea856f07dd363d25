"""The benchmarks run, on tiny inputs, and write what they promise. Nothing here is timed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import microgrid as mg

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = (
    "training_step.py", "op_cost.py", "import_time.py", "graph_scale.py", "compiled_curves.py",
    "compiled_prediction.py", "fit_epoch.py", "training_memory.py", "compile_cost.py",
    "compile_passes.py", "small_data.py", "digits.py", "every_op.py",
)  # fmt: skip
QUICK = ("--rounds", "1", "--seconds", "0.001", "--repeats", "0", "--threads", "1")


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_its_options(script):
    assert "--json FILE" in run(script, "--help")


@pytest.mark.parametrize(
    "script", ["report.py", "training_step.py", "compiled_curves.py", "fit_epoch.py"]
)
def test_examples_in_docstrings(script):
    command = [sys.executable, "-m", "doctest", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS)
    assert (done.returncode, done.stdout) == (0, "")


def test_training_step_compares_peers_that_reach_the_same_loss(tmp_path):
    results = tmp_path / "step.json"
    peers = ["microgrid", "microgrid eager", "numpy", "numpy planned", "products"]
    out = run(
        "training_step.py", "--peers", *peers, "--nets", "3-4-1:5", "4-6-10:7", "--rounds", "2",
        "--seconds", "0.001", "--threads", "1", "--json", str(results),
    )  # fmt: skip
    assert out.startswith(
        "| net, batch | microgrid | microgrid eager | numpy | numpy planned | products |\n| --- |"
    )
    assert "| 4-6-10, 7 | " in out
    assert "All peers agree on the losses after 5 steps" in out
    written = json.loads(results.read_text())
    assert written["settings"]["threads"] == 1
    assert written["machine"]["versions"]["numpy"]
    assert [step["peer"] for step in written["steps"]] == peers * 2
    assert [step["name"] for step in written["steps"]] == ["3-4-1, 5"] * 5 + ["4-6-10, 7"] * 5
    assert all(len(step["rounds"]) == 2 and step["median"] > 0 for step in written["steps"])


def test_training_step_says_how_long_those_that_compile_took_to_be_ready():
    out = run("training_step.py", "--peers", "microgrid", "numpy", "--nets", "3-4-1:5", *QUICK)
    head = "Seconds from nothing to the loss of step 5, not counted above:\n\n"
    assert f"{head}| net, batch | microgrid |\n" in out


def test_training_step_compares_the_eager_steps_where_both_were_measured():
    pytest.importorskip("torch")
    peers = ["microgrid", "microgrid eager", "torch"]
    out = run("training_step.py", "--peers", *peers, "--nets", "3-4-1:5", *QUICK)
    assert (
        "how many times microgrid's eager step:\n\n| net, batch | microgrid eager | torch |" in out
    )


def test_curves_share_the_net_that_they_cross_at(tmp_path):
    results = tmp_path / "curves.json"
    out = run(
        "compiled_curves.py", "--peers", "microgrid", "microgrid eager", "--widths", "8", "64",
        "--depths", "2", "--batches", "1", "32", *QUICK, "--json", str(results),
    )  # fmt: skip
    assert "| width | microgrid | microgrid eager |\n| --- | --- | --- |\n| 8 | " in out
    assert "| depth | microgrid | microgrid eager |\n| --- | --- | --- |\n| 2 | " in out
    assert "| batch | microgrid | microgrid eager |\n| --- | --- | --- |\n| 1 | " in out
    names = [step["name"] for step in json.loads(results.read_text())["steps"]]
    assert names == ["width 8"] * 2 + ["width 64"] * 2 + ["batch 1"] * 2


def test_predictions_of_all_peers_agree(tmp_path):
    results = tmp_path / "prediction.json"
    out = run(
        "compiled_prediction.py", "--peers", "microgrid", "microgrid eager", "numpy",
        "--nets", "5-4-3:1", *QUICK, "--json", str(results),
    )  # fmt: skip
    assert out.startswith("| net, batch | microgrid | microgrid eager | numpy |")
    assert "All peers agree on the length of the vector of results" in out
    assert len(json.loads(results.read_text())["predictions"]) == 3


def test_fit_and_bare_steps_reach_the_same_loss_though_the_last_batch_is_smaller(tmp_path):
    results = tmp_path / "fit.json"
    out = run(
        "fit_epoch.py", "--peers", "bare steps", "fit", "fit, compile=False", "--samples", "70",
        "--epochs", "1", "3", *QUICK, "--json", str(results),
    )  # fmt: skip
    assert out.startswith("| epochs a call | bare steps | fit | fit, compile=False |")
    assert "\n| each further one | " in out
    assert "All peers agree on the mean loss of an epoch" in out
    assert len(json.loads(results.read_text())["epochs"]) == 2 * 3


def test_memory_of_training_in_fresh_processes(tmp_path):
    results = tmp_path / "memory.json"
    out = run(
        "training_memory.py", "--peers", "microgrid", "numpy", "--nets", "3-4-10:5", "--steps", "2",
        "--rounds", "1", "--json", str(results),
    )  # fmt: skip
    assert out.startswith("| net, batch | peer | training, MB | one step, kB |")
    rows = json.loads(results.read_text())["training"]
    assert [row["peer"] for row in rows] == ["microgrid", "numpy"]
    assert all(len(row["peak_mb_rounds"]) == 1 and row["step_bytes"] > 0 for row in rows)


def test_compile_cost_measures_the_deep_net_too(tmp_path):
    results = tmp_path / "cost.json"
    out = run(
        "compile_cost.py", "--nets", "3-4-1:5", "--layers", "3", *QUICK, "--json", str(results)
    )
    assert "\n| 3 layers of 64, 32 | " in out
    assert "All peers agree on the losses after 5 steps, to a relative 0e+00." in out
    assert len(json.loads(results.read_text())["calls"]) == 2 * 3


def test_compile_passes_leaves_out_each_in_turn_and_changes_no_result():
    out = run("compile_passes.py", "--nets", "3-4-1:5", *QUICK)
    assert "All peers agree on the losses after 5 steps, to a relative 0e+00." in out


def test_compile_passes_knows_all_passes():
    with pytest.raises(ValueError, match="the passes are") as refused:
        mg.compile(len, without=["none"])
    known = re.findall(r"\w+", str(refused.value).partition("the passes are")[2])
    code = "import compile_passes; print(*compile_passes.PASSES)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS)
    assert set(done.stdout.split()) == set(known) - {"and"}


def test_a_chart_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    bars, lines = tmp_path / "bars.png", tmp_path / "lines.png"
    peers = ["--peers", "microgrid", "numpy", *QUICK]
    run("training_step.py", "--nets", "3-4-1:5", *peers, "--chart", str(bars))
    run(
        "compiled_curves.py", "--widths", "8", "--depths", "1", "--batches", "1", *peers,
        "--chart", str(lines),
    )  # fmt: skip
    for chart in (bars, lines):
        assert chart.read_bytes().startswith(b"\x89PNG")


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


def test_every_op_checks_the_ops_that_are_named(tmp_path):
    results = tmp_path / "every_op.json"
    out = run("every_op.py", "relu", "add", "--examples", "3", "--json", str(results))
    assert "3 calls of each of 2 ops; 0 failed." in out
    assert [row["op"] for row in json.loads(results.read_text())["ops"]] == ["relu", "add"]


def test_digits_counts_what_is_read_right_for_each_seed(tmp_path):
    results = tmp_path / "digits.json"
    out = run("digits.py", "--seeds", "1", "--json", str(results))
    rows = json.loads(results.read_text())["digits"]
    assert [(row["seed"], row["of"]) for row in rows] == [(None, 360), (1, 360)]
    assert f"Seeds 1 to 1: worst {rows[1]['right'] / 360:.3f}, mean" in out


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
        ("compiled_curves.py", "--widths", "0", "a whole number from 1 up"),
        ("compile_cost.py", "--layers", "0", "a whole number from 1 up"),
        ("fit_epoch.py", "--samples", "0", "a whole number from 1 up"),
        ("fit_epoch.py", "--epochs", "-1", "a whole number from 1 up"),
        ("training_memory.py", "--steps", "0", "a whole number from 1 up"),
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
