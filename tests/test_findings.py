"""How what a check found is told; and the error of a loss's gradient as one number."""

from __future__ import annotations

import numpy as np
import pytest
from own_ops import declared, doubled, variable

import microgrid as mg
from microgrid.errors import DtypeError
from microgrid.testing import Report, report, worst_gradient_error
from microgrid.testing.findings import TOO_COARSE, Bend, Failure, unverified

named = pytest.mark.parametrize

WRONG = Failure("the slope", 2.0, 3.0, 1.25e-12, 0.5, "smooth")
COARSE = Failure("the slope", 2.0, 2.5, 1.0, 0.5, "unverified", TOO_COARSE)


def test_a_failure_tells_both_slopes_the_tolerance_the_step_and_the_kind():
    assert str(WRONG) == (
        "the slope: the gradient gives 2, the values 3 ± 1.2e-12 (step 5.0e-01); smooth point."
    )


def test_a_failure_to_compare_tells_why_alone():
    assert str(unverified("the function", "It ran away.")) == "the function: It ran away."


def test_numbers_are_told_with_all_their_digits():
    bend = Bend("the slope", np.float32(0.1), 0.1, 1 / 3, "kink")
    assert str(bend) == (
        "kink: the slope: the gradient gives 0.10000000149011612; the slopes are "
        "0.10000000000000001 on the left and 0.33333333333333331 on the right."
    )


@named(
    ("kinds", "worst"),
    [([], "smooth"), (["kink"], "kink"), (["kink", "artifact"], "artifact"),
     (["artifact", "jump", "kink"], "jump")],
)  # fmt: skip
def test_the_kind_is_the_worst_of_all(kinds, worst):
    assert Report("", bends=[Bend("", 0, 0, 0, kind) for kind in kinds]).kind == worst


@named(
    ("failures", "ok", "refuted"),
    [([], True, False), ([WRONG], False, True), ([COARSE], False, False),
     ([COARSE, WRONG], False, True)],
)  # fmt: skip
def test_a_report_tells_wrong_from_too_coarse(failures, ok, refuted):
    found = Report("", failures=failures)
    assert (found.ok, found.refuted) == (ok, refuted)


def test_a_report_of_what_is_right():
    found = Report("mode", 6, 3, worst=0.1234)
    assert str(found) == (
        "mode: 6 slopes along 3 directions, every entry of the Jacobian.\n"
        "All agree; the point is smooth. The largest error is 0.12 of what is tolerated."
    )


def test_a_report_shows_five_failures_and_counts_the_others():
    found = Report(
        "mode", 8, 8, miss=1e-12, failures=[WRONG] * 7, op="cube", advice="Do.", again="f()"
    )
    lines = str(found).split("\n")
    assert (
        lines[0]
        == "mode: 8 slopes along 8 directions, a fault is missed with probability at most 1e-12."
    )
    assert lines[1] == "This is wrong:"
    assert lines[2:7] == [f"  {WRONG}"] * 5
    assert lines[7:] == [
        "  ... and 2 more.", "The rule that fails by itself: cube.", "Do.", "To run it again: f()",
    ]  # fmt: skip


def test_the_call_to_paste_repeats_the_check():
    with doubled() as op:
        first = report(op, variable([0.5, -2.0]))
        again = first.again.replace("passing", "op")
        assert again.startswith(
            "mg.testing.gradcheck(op, [mg.tensor([0.5, -2.0], requires_grad=True)], "
        )
        with pytest.raises(mg.testing.GradientError) as error:
            eval(again, {"mg": mg, "op": op, "np": np})
    assert str(error.value) == f"gradcheck: {first}"


def log_cosh(x, out=None):
    size = np.abs(x)
    return np.subtract(size + np.log1p(np.exp(-2 * size)), np.log(2), out=out)


LOG_COSH = {"name": "log_cosh", "kernel": log_cosh, "vjps": (lambda g, y, x: g * mg.tanh(x),)}
CALL = "log_cosh, call 0 of 1, on shapes ()"


@named("at", [2.0**-52, 1e-10])  # whose cosh is 1 in doubles, so that the value is 0
def test_a_difference_that_rounding_in_a_kernel_explains_is_told_as_that(at):
    with declared(**LOG_COSH) as op:
        found = report(op, variable(at), rng=0)
    assert found.op == (
        f"{CALL}. Or its values are rounded: numbers of size 1 inside the kernel would explain the "
        "difference. If there are such, say so in its record, as by inner=lambda x: 1"
    )


def test_what_the_record_says_of_it_cures_it():
    with declared(**LOG_COSH, inner=lambda x: 1) as op:
        assert report(op, variable(2.0**-52), rng=0).ok


def test_in_single_precision_it_is_the_gradient_that_is_rounded():
    # Off by one unit in the last place of float32 at 1.
    rule = lambda g, y, x: g * (mg.tanh(x) + 2.0**-23)  # noqa: E731
    with declared(**{**LOG_COSH, "vjps": (rule,)}) as op:
        assert report(op, variable(2.0**-42, "float32"), rng=0).op == CALL


@named("at", [1.0, 1e-3, 1e3])
def test_a_wrong_rule_is_not_called_rounding(at):
    wrong = {**LOG_COSH, "vjps": (lambda g, y, x: 1.001 * g * mg.tanh(x),)}
    with declared(**wrong) as op:
        assert report(op, variable(at), rng=0).op == CALL


# --- the error as one number ----------------------------------------------------------------------


def test_a_right_gradient_has_an_error_of_rounding():
    w = variable([0.5, -2.0])
    # Central differences at 1e-6 are exact to about 1e-10: rounding over the step.
    assert worst_gradient_error(lambda: mg.exp(w).sum(), [w], rng=0) < 1e-9


@named("factor", [1.001, 2.0, -1.0])
def test_the_error_is_relative_to_the_larger_slope(factor):
    w = variable(0.5)
    rule = lambda g, y, x: factor * g  # noqa: E731
    op = mg.Op(name="scaled", doc="x.", kernel=lambda x, out=None: np.positive(x, out=out),
               vjps=(rule,), domains=(mg.Domain(),))  # fmt: skip
    try:
        error = worst_gradient_error(lambda: mg.exp(op(w)), [w], rng=0)
    finally:
        del mg.OPS["scaled"]
    assert error == pytest.approx(abs(factor - 1) / max(abs(factor), 1), abs=1e-8)


def test_a_single_wrong_entry_of_many_is_not_diluted():
    w = variable(np.zeros(1000))

    def loss() -> mg.Tensor:
        return w[1:].sum() * 1e-3 + w[0].detach()

    assert worst_gradient_error(loss, [w], rng=0) > 0.5


def test_parameters_are_put_back_bit_for_bit():
    w = variable([0.1, 0.2, 0.3])
    before = w.numpy()
    worst_gradient_error(lambda: (w * w).sum(), [w])
    assert w.numpy().tobytes() == before.tobytes()


def test_where_the_loss_is_flat_a_tolerance_keeps_rounding_from_counting():
    w = variable(1.0)
    loss = lambda: 1e6 + 1e-6 * w  # noqa: E731  whose rounding is 1e-10, and over the step 1e-4
    assert worst_gradient_error(loss, [w], rng=0, tolerance=1e-3) < 1e-3


def test_nothing_to_check_and_coarser_dtypes_are_refused():
    nothing = (
        "worst_gradient_error: no parameter requires a gradient, so there is nothing to check."
    )
    with pytest.raises(ValueError, match=f"^{nothing}$"):
        worst_gradient_error(lambda: mg.tensor(0.0), [])
    with pytest.raises(DtypeError) as error:
        worst_gradient_error(lambda: mg.tensor(0.0), [variable(1.0, "float32")])
    assert str(error.value) == (
        "worst_gradient_error: a parameter of dtype float32 was given; differences need float64, "
        "as rounding hides the slope in less. Convert it with astype('float64')."
    )
