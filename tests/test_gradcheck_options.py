"""gradcheck: what its options may be, and what is said of others."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from own_ops import passing, variable

import microgrid as mg
from microgrid.testing import gradcheck, gradgradcheck, report

named = pytest.mark.parametrize
nan = float("nan")


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def zero(x: Any) -> Any:
    return 0 * x


# --- PyTorch's other options ----------------------------------------------------------------------

PYTORCHS = {
    "fast_mode": True, "nondet_tol": 0.0, "check_undefined_grad": True, "check_grad_dtypes": False,
    "check_batched_grad": False, "check_batched_forward_grad": False, "check_forward_ad": False,
    "check_backward_ad": True, "masked": None, "check_sparse_nnz": False,
}  # fmt: skip


@named("option", PYTORCHS)
@named("check", [gradcheck, gradgradcheck, report])
def test_an_option_of_pytorch_that_is_not_needed_is_refused_by_name(check, option):
    who = "gradgradcheck" if check is gradgradcheck else "gradcheck"
    message = (
        f"{who}: {option}= is an option of PyTorch's check; this one does without. Leave it out."
    )
    with pytest.raises(TypeError, match=exactly(message)):
        check(mg.tanh, variable(0.5), **{option: PYTORCHS[option]})


@named("option", ["eps", "gen_non_contig_grad_outputs", "check_fwd_over_rev", "check_rev_over_rev"])
def test_so_are_those_of_gradgradcheck_alone(option):
    with pytest.raises(TypeError, match=f"^gradgradcheck: {option}= is an option of PyTorch's"):
        gradgradcheck(mg.tanh, variable(0.5), **{option: 1e-6})


@named("check", [gradcheck, gradgradcheck])
def test_an_option_that_nobody_has_is_refused(check):
    who = check.__name__
    message = f"{who}: there is no option tolerance=. help(mg.testing.{who}) lists those."
    with pytest.raises(TypeError, match=exactly(message)):
        check(mg.tanh, variable(0.5), tolerance=1)


# --- values that an option cannot have ------------------------------------------------------------

UNFIT = [
    ("atol", -1, "a number, 0 or more"), ("atol", nan, "a number, 0 or more"),
    ("atol", "0.1", "a number, 0 or more"), ("rtol", nan, "a number, 0 or more"),
    ("rtol", -1e-9, "a number, 0 or more"), ("rtol", None, "a number, 0 or more"),
    ("rng", "a", "None, a seed of 0 or more, or a numpy.random.Generator"),
    ("rng", -1, "None, a seed of 0 or more, or a numpy.random.Generator"),
    ("rng", 0.5, "None, a seed of 0 or more, or a numpy.random.Generator"),
    ("kinks", "foo", "one of ('verify', 'strict', 'ignore')"),
    ("kinks", None, "one of ('verify', 'strict', 'ignore')"),
]  # fmt: skip
FIRST_ORDER = [
    ("eps", 0, "a finite number above 0"), ("eps", nan, "a finite number above 0"),
    ("eps", -1e-6, "a finite number above 0"), ("eps", np.inf, "a finite number above 0"),
    ("order", 0, "1 or more, an integer"), ("order", 1.0, "1 or more, an integer"),
]  # fmt: skip


@named(("option", "value", "needed"), [*UNFIT, *FIRST_ORDER])
def test_a_value_that_an_option_cannot_have_is_refused(option, value, needed):
    message = f"gradcheck: {option}={value!r} was given; it must be {needed}."
    with pytest.raises(ValueError, match=exactly(message)):
        gradcheck(mg.tanh, variable(0.5), **{option: value})
    with pytest.raises(ValueError, match=exactly(message)):
        gradcheck(np.tanh, np.array(0.5), gradient=np.cos, **{option: value})


@named(("option", "value", "needed"), UNFIT)
def test_gradgradcheck_refuses_the_same_by_its_own_name(option, value, needed):
    message = f"gradgradcheck: {option}={value!r} was given; it must be {needed}."
    with pytest.raises(ValueError, match=exactly(message)):
        gradgradcheck(mg.tanh, variable(0.5), **{option: value})


@named("options", [{"atol": 0}, {"rtol": np.float32(0.1)}, {"order": np.int64(2)}, {"eps": 1}])
def test_numbers_of_any_kind_will_do(options):
    assert gradcheck(mg.tanh, variable(0.5), **options)


@named("rng", [None, 0, np.int64(3), np.random.default_rng(5), np.random.SeedSequence(1)])
def test_rng_is_what_numpy_takes_for_one(rng):
    assert gradcheck(mg.tanh, variable(0.5), rng=rng)


# --- what is no function, or nothing to check -----------------------------------------------------


@named("check", [gradcheck, gradgradcheck])
def test_what_is_no_function_is_refused(check):
    who = check.__name__
    message = f"{who}: func is a value of type int; it needs a function of the inputs."
    with pytest.raises(TypeError, match=exactly(message)):
        check(3, variable(0.5))


def test_a_gradient_that_is_no_function_is_refused():
    message = "gradcheck: gradient is a value of type int; it needs a function of the inputs."
    with pytest.raises(TypeError, match=exactly(message)):
        gradcheck(np.tanh, np.array(0.5), gradient=3)


@named("inputs", ["a", {"x": variable(0.5)}, None, mg.tensor([1, 2])])
def test_inputs_of_which_none_has_a_gradient_are_refused(inputs):
    message = (
        "gradcheck: no input requires a gradient, so there is nothing to check. Pass Tensors with "
        "requires_grad=True, or arrays and gradient= to check a function of arrays."
    )
    with pytest.raises(ValueError, match=exactly(message)):
        gradcheck(mg.tanh, inputs)


def test_a_black_box_of_integers_is_refused():
    message = "gradcheck: no input is an array of floats. Convert one to float64."
    with pytest.raises(ValueError, match=exactly(message)):
        gradcheck(np.tanh, np.array([1, 2]), gradient=np.cos)


# --- a black box and the three words --------------------------------------------------------------


@named("kinks", ["verify", "strict"])
def test_of_a_black_box_a_slope_between_those_on_the_two_sides_is_asked_for(kinks):
    zigzag = lambda x: np.maximum(x, 0) - np.maximum(-x, 0)  # noqa: E731  which is x
    options = {"kinks": kinks, "raise_exception": False}
    assert gradcheck(np.abs, np.array(0.0), gradient=zero, **options)
    assert not gradcheck(zigzag, np.array(0.0), gradient=zero, **options)


def test_of_a_black_box_the_sides_cannot_be_ignored():
    message = (
        "gradcheck: kinks='ignore' was given with gradient=; of a black box nothing but its values "
        "on both sides is known. Leave it out: any slope between them passes."
    )
    with pytest.raises(ValueError, match=exactly(message)):
        gradcheck(np.abs, np.array(0.0), gradient=zero, kinks="ignore")


# --- kinks that only the values tell of -----------------------------------------------------------


def test_a_kink_of_a_black_box_is_reported():
    found = report(lambda x: np.maximum(3 * x, x / 4), np.array([0.0, 1.0]), gradient=lambda x:
                   np.diag([2.0, 3.0]))  # fmt: skip
    assert found.kind == "kink"
    assert [str(bend) for bend in found.bends] == [
        "kink: the slope of the result[0] towards input 0[0]: the gradient gives 2; the slopes are "
        "0.25 on the left and 3 on the right."
    ]


def test_a_kink_of_an_op_without_pieces_is_reported_beside_those_with():
    rule = lambda g, y, x: g * mg.sign(x)  # noqa: E731
    kernel = lambda x, out=None: np.absolute(x, out=out)  # noqa: E731
    with passing(rule, name="size", kernel=kernel, pieces=None) as size:
        found = report(lambda a, b: size(a) + mg.relu(b), [variable(0.0), variable(0.0)])
        smooth = report(size, variable(1.0))
    assert {(bend.what[-7:], bend.left, bend.right) for bend in found.bends} == {
        ("input 0", -1, 1), ("input 1", 0, 1),
    }  # fmt: skip
    assert (found.kind, smooth.kind) == ("kink", "smooth")


# --- a rule must be linear in what comes in -------------------------------------------------------

BENT = {
    "right for positive ones": lambda g, y, x: mg.absolute(g),
    "none for negative ones": lambda g, y, x: mg.relu(g),
    "clipped where large": lambda g, y, x: mg.clip(g, -100, 100),
    "lost where small": lambda g, y, x: mg.softshrink(g, 1e-6) + mg.sign(g) * 1e-6,
}


@named("rule", BENT.values(), ids=BENT)
@named("seed", range(20))
def test_a_rule_that_is_not_linear_is_rejected_by_every_seed(rule, seed):
    with passing(rule) as op:
        assert not gradcheck(op, variable(0.5), rng=seed, raise_exception=False)


# --- how counts are told --------------------------------------------------------------------------


@named(
    ("x", "head"),
    [(0.5, "1 slope along 1 direction,"), ([0.5, 2.0], "4 slopes along 2 directions,")],
)
def test_one_is_told_in_the_singular(x, head):
    assert f": {head} every entry of the Jacobian." in str(report(mg.tanh, variable(x)))
