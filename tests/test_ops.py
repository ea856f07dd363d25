"""The battery over every op that microgrid registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from battery import (
    calls,
    check_documentation,
    check_dtype,
    check_flags,
    check_gradient,
    check_inputs_untouched,
    check_kinks,
    check_out,
    check_same_from_tensors,
    check_second_gradient,
    check_value,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg

BUILTIN = sorted(mg.OPS)
PIECEWISE = [name for name in BUILTIN if mg.OPS[name].pieces is not None]
every_op = pytest.mark.parametrize("name", BUILTIN)


@every_op
@settings(max_examples=20)
@given(data=st.data())
def test_value_is_that_of_the_reference(name: str, data: Any) -> None:
    op = mg.OPS[name]
    call = data.draw(calls(op))
    check_value(op, call)
    check_same_from_tensors(op, call)


def slopes_compared(op: mg.Op, check: Callable[[mg.Op, Any], int], examples: int) -> int:
    """Return how many slopes the check compared: those at kinks it passes over."""
    compared = 0

    @settings(max_examples=examples)
    @given(data=st.data())
    def run(data: Any) -> None:
        nonlocal compared
        compared += check(op, data.draw(calls(op)))

    run()
    return compared


@every_op
def test_rules_agree_with_finite_differences(name: str) -> None:
    op = mg.OPS[name]
    if op.part:  # of an op that has the rules
        assert not op.has_gradient
        return
    assert slopes_compared(op, check_gradient, 15) or not op.has_gradient


@every_op
def test_rules_of_the_rules_agree_with_finite_differences(name: str) -> None:
    op = mg.OPS[name]
    assert slopes_compared(op, check_second_gradient, 8) or not op.has_gradient


@every_op
@settings(max_examples=8)
@given(data=st.data(), dtype=st.sampled_from([np.float16, np.float32]))
def test_float_dtypes_are_kept(name: str, data: Any, dtype: Any) -> None:
    op = mg.OPS[name]
    check_dtype(op, data.draw(calls(op, dtype=dtype)), dtype)


@every_op
@settings(max_examples=10)
@given(data=st.data())
def test_kernel_leaves_inputs_alone_honours_out_and_its_flags(name: str, data: Any) -> None:
    op = mg.OPS[name]
    call = data.draw(calls(op))
    check_inputs_untouched(op, call)
    check_out(op, call)
    check_flags(op, call)


@pytest.mark.parametrize("name", PIECEWISE)
def test_slopes_at_kinks_are_exact(name: str) -> None:
    op = mg.OPS[name]
    for params in op.params(()):
        check_kinks(op, params)


@every_op
def test_op_is_documented(name: str) -> None:
    check_documentation(mg.OPS[name])


@pytest.mark.parametrize("name", BUILTIN)
def test_what_is_checked_of_a_users_record_holds_for_microgrids_own(name):
    mg.OPS[name]._check_pieces()
