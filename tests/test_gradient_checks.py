"""gradcheck rejects every planted fault, and accepts every right gradient, at kinks too.

The cases are those of benchmarks/gradient_checkers.py, which compares the checkers of other
libraries on them: `python benchmarks/gradient_checkers.py --checkers microgrid` prints a summary.
Of the 360 nets a third is checked here, and all with --hypothesis-profile=search.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import microgrid as mg

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # where the cases are

from checkers import FAULTS, RIGHT, chainer_rule, functions, judges  # noqa: E402
from checkers.cases import Case, Primitive  # noqa: E402

MICROGRID = judges.JUDGES["microgrid"]()
named = pytest.mark.parametrize


def by_name(case: Case) -> str:
    return case.name


@named("fault", FAULTS, ids=by_name)
def test_a_planted_fault_is_rejected(fault):
    verdict = MICROGRID.verdict(fault)
    assert verdict["outcome"] == judges.REJECTED
    assert verdict["said"].startswith(("GradientError: gradcheck: ", "ShapeError: backward: "))


NETS = [right for right in RIGHT if right.family == "net"]
SEARCHING = settings().max_examples > 100
CHECKED = NETS if SEARCHING else random.Random(0).sample(NETS, len(NETS) // 3)


@named("right", [*(right for right in RIGHT if right.family != "net"), *CHECKED], ids=by_name)
def test_a_right_gradient_is_accepted(right):
    verdict = MICROGRID.verdict(right)
    assert (verdict["outcome"], verdict["said"]) == (judges.ACCEPTED, "")


# --- the cases are what they say ------------------------------------------------------------------


def test_there_are_as_many_cases_as_promised():
    assert len(FAULTS) >= 40
    assert len(RIGHT) >= 400
    assert len(NETS) >= 300


def test_every_case_has_a_name_of_its_own():
    assert [name for name, n in Counter(map(by_name, [*FAULTS, *RIGHT])).items() if n > 1] == []


def test_every_net_has_a_unit_exactly_at_its_kink():
    assert [right.name for right in RIGHT if right.family == "net" and not right.ties] == []


def test_a_case_leaves_no_op_behind():
    before = set(mg.OPS)
    for fault in FAULTS[:30]:
        MICROGRID.verdict(fault)
    assert set(mg.OPS) == before


class Forward(functions.Functions):
    """NumPy's functions, in which an op is its forward: a case without any rule."""

    def op(self, primitive: Primitive):
        return lambda *inputs: primitive.forward(self, *inputs)


def slope(f, inputs, weights, direction):
    """Return the derivative of sum(weights * f) along a direction, in extended precision.

    A central difference, once extrapolated: with a step of 1e-4 its error is about 1e-16.
    """
    starts = [x.astype(np.longdouble) for x in inputs]

    def difference(h):
        high, low = (
            f(*[x + sign * h * d for x, d in zip(starts, direction, strict=True)])
            for sign in (1, -1)
        )
        return np.sum(weights * (high - low)) / (2 * h)

    step = np.longdouble(1e-4)
    return (4 * difference(step / 2) - difference(step)) / 3


SMOOTH = [
    fault
    for fault in FAULTS
    if fault.family != "slope at a kink" and fault.order == 1 and "5e-7" not in fault.name
]


@named("fault", SMOOTH, ids=by_name)
def test_a_planted_fault_is_one(fault):
    """The claimed slope is not the true one, by more than the true one's rounding explains."""
    inputs = [mg.tensor(x, requires_grad=True) for x in fault.inputs]
    exact = max(np.finfo(x.dtype).eps for x in fault.inputs)
    apart = 0.0
    try:
        with np.errstate(all="ignore"):
            result = fault.build(MICROGRID.library)(*inputs)
            f = fault.build(Forward(np))
            for seed in range(4):
                rng = np.random.default_rng(seed)
                weights = 1000 * rng.standard_normal(result.shape)  # also beyond what is held
                direction = [rng.choice([-1.0, 1.0], x.shape) for x in fault.inputs]
                grads = mg.gradients(result, inputs, weights)
                claimed = sum(np.sum(g.data * d) for g, d in zip(grads, direction, strict=True))
                if not np.isfinite(claimed):
                    return
                true = slope(f, fault.inputs, weights, direction)
                size = sum(np.abs(g.data).sum() for g in grads) + abs(true)
                apart = max(apart, float(abs(claimed - true) / size))
    except mg.errors.ShapeError:
        return  # backward itself refuses the rule
    finally:
        MICROGRID.library.forget()
    # Sums of up to 120 products round to about 10 eps of their size.
    assert apart > 20 * exact


# --- Chainer's rule does what its documentation says ----------------------------------------------


def chainers_verdict(f, df, x):
    rng = np.random.default_rng(0)
    values = lambda inputs: f(inputs[0])  # noqa: E731
    vjp = lambda inputs, g: [g * df(inputs[0])]  # noqa: E731
    return chainer_rule.check_backward(values, vjp, [np.array(x)], rng)


def test_chainers_rule_accepts_a_right_slope_and_rejects_a_wrong_one():
    assert chainers_verdict(np.exp, np.exp, [0.5, 1.0])
    assert not chainers_verdict(np.exp, lambda x: 1.001 * np.exp(x), [0.5, 1.0])


def test_chainers_rule_declines_relu_at_its_kink():
    with pytest.raises(chainer_rule.NotDifferentiableError):
        chainers_verdict(lambda x: np.maximum(x, 0), lambda x: 0 * x, [0.0])


def test_chainers_rule_takes_a_cube_for_a_kink_and_a_small_kink_for_none():
    with pytest.raises(chainer_rule.NotDifferentiableError):
        chainers_verdict(lambda x: x**3, lambda x: 3 * x**2, [0.0])
    f = lambda x: x + 0.02 * np.maximum(x, 0)  # noqa: E731
    assert chainers_verdict(f, lambda x: 1.01 + 0 * x, [0.0])


# --- the script -----------------------------------------------------------------------------------


def run(*arguments, **variables):
    command = [sys.executable, str(BENCHMARKS / "gradient_checkers.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)


def test_the_script_prints_a_column_for_each_checker(tmp_path):
    results = tmp_path / "checkers.json"
    done = run(
        "--checkers", "microgrid", "chainer", "--cases", "cube", "--json", str(results)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| faults rejected | of | microgrid | chainer |" in done.stdout
    assert "| formula | 2 | 2 | 2 |" in done.stdout
    assert "faults accepted: none." in done.stdout
    written = json.loads(results.read_text())["checkers"]
    assert {v["outcome"] for v in written["microgrid"]["faults"]} == {"rejected"}


def test_a_checker_that_is_not_installed_gets_a_dash(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(name='torch')")
    done = run("--checkers", "torch", "--cases", "tanh: 1 - y", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "torch: a dash, torch is not installed. pip install -e '.[bench]'\n"
    assert "| formula | 1 | \N{EN DASH} |" in done.stdout


def test_a_text_that_no_case_contains_is_refused():
    done = run("--cases", "no such case")
    assert done.returncode == 2
    assert done.stderr.endswith("error: --cases: no name contains 'no such case'.\n")
