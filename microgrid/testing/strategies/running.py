"""Running a check on many drawn calls of an op."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings

from ...core import Op
from .calls import OpCall, op_calls


def for_each_call(op: Op, check: Callable[[OpCall], None], max_examples: int) -> None:
    """Call `check` with many calls of an op; what it raises is raised on the simplest of them."""

    @settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(op_calls(op))
    def check_each(call: OpCall) -> None:
        check(call)

    check_each()
