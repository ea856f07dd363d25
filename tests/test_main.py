import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from microgrid import __main__ as job

COMMAND = [sys.executable, "-m", "microgrid"]
FAST = ["--epochs", "2", "--hidden", "16"]


def accuracy_of(output):
    found = re.fullmatch(r"test accuracy (\d\.\d{3}) \((\d+) of 360\)", output.splitlines()[-1])
    assert f"{int(found[2]) / 360:.3f}" == found[1]
    return float(found[1])


# --- what it achieves ----------------------------------------------------------------------------


def test_the_default_run_reads_97_percent_and_checks_its_gradients(capsys):
    assert job.main([]) == 0
    output = capsys.readouterr().out
    assert accuracy_of(output) >= 0.97
    error = re.search(
        r"^gradients checked against finite differences: worst relative error (\S+)$", output, re.M
    )
    assert 0 < float(error[1]) < 1e-6  # about 1e-8: rounding over the step of the differences


@pytest.mark.parametrize("seed", range(1, 11))
def test_other_seeds_read_95_percent(capsys, seed):
    assert job.main(["--seed", str(seed), "--quiet"]) == 0
    assert accuracy_of(capsys.readouterr().out) >= 0.955


def test_the_same_seed_gives_the_same_result(capsys):
    outputs = []
    for _ in range(2):
        job.main([*FAST, "--seed", "5"])
        outputs.append(re.sub(r"\d+\.\d+ s.*", "", capsys.readouterr().out))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("activation", job.ACTIVATIONS)
def test_every_activation_on_offer_learns(capsys, activation):
    assert job.main([*FAST, "--activation", activation]) == 0
    assert accuracy_of(capsys.readouterr().out) > 0.5


@pytest.mark.parametrize("hidden", ["256", "64,32"])
@pytest.mark.parametrize("activation", job.NEED_SMALLER_RATE)
def test_activations_that_diverge_at_the_usual_rate_have_a_smaller_default(
    capsys, activation, hidden
):
    assert job.main(["--epochs", "8", "--hidden", hidden, "--activation", activation, "-q"]) == 0
    assert accuracy_of(capsys.readouterr().out) > 0.93


def test_the_options_are_followed(capsys):
    job.main([*FAST, "--hidden", "8,4", "--lr", "0.05", "--momentum", "0", "--batch-size", "100"])
    output = capsys.readouterr().out
    # 64*8 + 8 + 8*4 + 4 + 4*10 + 10
    assert (
        "network 64-8-4-10 with relu, 606 numbers to learn; SGD with learning rate 0.05" in output
    )
    assert "momentum 0, batch size 100" in output


# --- what it prints ------------------------------------------------------------------------------


def test_there_is_one_line_per_epoch_and_the_confusion_table_counts_the_held_out(capsys):
    job.main(FAST)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("epoch") for line in lines) == 2
    start = lines.index("how often each digit (row) was read as which (column)")
    cells = [line.replace(".", "0").split() for line in lines[start + 1 : start + 12]]
    table = [list(map(int, row)) for row in cells]
    assert table[0] == list(range(10))
    assert [row[0] for row in table[1:]] == list(range(10))
    assert sum(sum(row[1:]) for row in table[1:]) == 360


def test_quiet_shows_the_results_only(capsys):
    job.main([*FAST, "--quiet"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:1] + lines[2:]] == ["gradients", "test"]
    assert re.fullmatch(r"\d+\.\d seconds, \d+\.\d of them training", lines[1])


def test_the_output_has_no_control_characters_when_it_is_no_terminal():
    done = subprocess.run([*COMMAND, *FAST], capture_output=True, check=True)
    assert re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", done.stdout) is None
    assert done.stderr == b""


def test_help_explains_every_option():
    shown = subprocess.run([*COMMAND, "--help"], capture_output=True, check=True, text=True).stdout
    for option in (
        "--epochs", "--hidden", "--activation", "--learning-rate", "--lr", "--momentum",
        "--batch-size", "--seed", "--plot", "--verbose", "--quiet", "--version",
    ):  # fmt: skip
        assert option in shown


def test_it_tells_that_the_steps_ran_compiled(capsys):
    job.main(["--verbose", "--epochs", "1"])
    # 1437 = 89 * 16 + 13
    assert "the training steps ran compiled: 2 programs, one a size of batch" in (
        capsys.readouterr().out
    )


def test_a_reader_that_leaves_early_is_no_error_to_shout_about():
    script = f"{sys.executable} -m microgrid --epochs 3 --hidden 16 | head -n 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stderr == b""


# --- what it refuses -----------------------------------------------------------------------------


def complaint(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        job.main(arguments)
    assert left.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    return errors


COUNT, RATE, SIZES = "a whole number from 1", "a number above 0", "sizes from 1, as in 64 or 64,32"


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        ("--epochs", "-3", COUNT),
        ("--epochs", "0", COUNT),
        ("--epochs", "many", COUNT),
        ("--batch-size", "1.5", COUNT),
        ("--hidden", "64,x", SIZES),
        ("--hidden", "64,0", SIZES),
        ("--hidden", "", SIZES),
        ("--learning-rate", "0", RATE),
        ("--learning-rate", "nan", RATE),
        ("--learning-rate", "inf", RATE),
        ("--momentum", "1", "a number from 0 to below 1"),
        ("--seed", "-1", "a whole number from 0"),
        ("--plot", "picture.bmp", "a name that ends in .png, .pdf, .svg"),
    ],
)
def test_a_bad_value_gives_one_line_and_status_2(capsys, option, value, needed):
    shown = option.replace("rate", "rate/--lr")
    message = f"argument {shown}: {value!r} was given; it needs {needed}"
    assert complaint(capsys, option, value) == f"microgrid: {message}. See --help.\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--epochs"], "argument --epochs: expected one argument"),
        (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["--a\nb"], r"unrecognized arguments: --a\nb"),
        (
            ["--hidden", "9" * 23],
            f"argument --hidden: '{'9' * 23}' was given; no memory has room for so many weights",
        ),
        (["digits"], "unrecognized arguments: digits"),
        (["-q", "-v"], "argument -v/--verbose: not allowed with argument -q/--quiet"),
    ],
)
def test_bad_options_give_one_line_and_status_2(capsys, arguments, reason):
    assert complaint(capsys, *arguments) == f"microgrid: {reason}. See --help.\n"


def test_an_unknown_activation_is_refused_with_the_names(capsys):
    shown = complaint(capsys, "--activation", "rely")
    assert "invalid choice: 'rely'" in shown
    assert all(name in shown for name in job.ACTIVATIONS)


def test_without_matplotlib_a_picture_is_refused_with_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert complaint(capsys, "--plot", "picture.png") == (
        "microgrid: argument --plot: matplotlib is not installed; it comes with "
        "pip install 'microgrid[plot]'. See --help.\n"
    )


def test_a_picture_that_cannot_be_written_is_refused_before_training(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    missing = tmp_path / "missing" / "picture.png"
    assert complaint(capsys, "--plot", str(missing)) == (
        f"microgrid: argument --plot: '{missing}' cannot be written: No such file or directory. "
        "See --help.\n"
    )
    folder = tmp_path / "folder.png"
    folder.mkdir()
    assert "cannot be written: Is a directory" in complaint(capsys, "--plot", str(folder))


def test_refusing_another_option_leaves_no_empty_picture(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    complaint(capsys, "--plot", str(tmp_path / "picture.png"), "--epochs", "0")
    assert list(tmp_path.iterdir()) == []


# --- pictures, faults, Ctrl-C --------------------------------------------------------------------


def test_a_picture_is_drawn(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    assert job.main([*FAST, "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"drawn in {path}" in capsys.readouterr().out


def test_training_that_diverges_ends_with_one_line_and_status_1(capsys):
    assert job.main([*FAST, "--lr", "1e30", "--quiet"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("microgrid: fit: ")
    assert "learning rate" in errors
    assert errors.count("\n") == 1


def test_wrong_gradients_end_with_status_1(capsys, monkeypatch):
    monkeypatch.setattr(job, "worst_gradient_error", lambda *given, **options: 0.25)
    assert job.main([*FAST, "--quiet"]) == 1
    errors = capsys.readouterr().err
    assert errors == "microgrid: the gradients are wrong by 2.5e-01 of their size\n"


def test_training_that_diverges_to_large_numbers_leaves_the_gradients_right(capsys):
    # Weights so large that the loss, of about 1e9, is rounded to more than its slope times a step.
    assert job.main(["--activation", "absolute", "--lr", "0.1", "--quiet"]) == 0
    output, errors = capsys.readouterr()
    assert "gradients checked" in output
    assert errors == ""


@pytest.mark.parametrize("activation", ["elu", "selu"])
def test_a_net_that_did_not_learn_says_so(capsys, activation):
    options = ["--hidden", "64,32", "--activation", activation, "--lr", "0.1", "--epochs", "8"]
    assert job.main([*options, "--quiet"]) == 1
    output, errors = capsys.readouterr()
    assert errors == (
        f"microgrid: did not learn: the test accuracy is {accuracy_of(output):.3f}, and guessing "
        "gives 0.1. Lower --learning-rate (0.1), or, if the loss is falling, raise --epochs.\n"
    )


def test_ctrl_c_ends_with_what_was_reached_and_status_130():
    running = subprocess.Popen(
        [*COMMAND, "--epochs", "100000", "--hidden", "16"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with running:
        next(line for line in running.stdout if line.startswith("epoch"))
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    assert accuracy_of(output) > 0.1
    assert re.fullmatch(r"microgrid: interrupted after \d+ of 100000 epochs\n", errors)
    assert running.returncode == 130


def test_the_confusion_table_counts():
    labels, answers = np.array([0, 0, 1, 9]), np.array([0, 9, 1, 9])
    lines = job.confusion_table(labels, answers).splitlines()
    assert lines[2].split() == ["0", "1", *["."] * 8, "1"]
    assert lines[11].split() == ["9", *["."] * 9, "1"]
