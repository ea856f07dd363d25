"""Checks of gradients, and what to draw for them, for microgrid's tests and for users' own."""

from importlib import import_module as _import_module
from typing import Any as _Any

from .check_op import check_op as check_op
from .findings import GradientError as GradientError
from .findings import Report as Report
from .gradcheck import gradcheck as gradcheck
from .gradcheck import gradgradcheck as gradgradcheck
from .gradcheck import report as report
from .worst import worst_gradient_error as worst_gradient_error


def __getattr__(name: str) -> _Any:
    # Not imported before it is asked for: it needs hypothesis, and nothing else does.
    if name == "strategies":
        return _import_module(".strategies", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
