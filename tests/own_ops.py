"""Ops of one's own, declared for a test and forgotten after it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import microgrid as mg
from microgrid.record import Domain


@contextlib.contextmanager
def declared(**fields: Any) -> Iterator[mg.Op]:
    """Declare an op; its documentation and one domain need not be given."""
    op = mg.Op(**{"doc": "An op of one's own.", "domains": (Domain(),), **fields})
    try:
        yield op
    finally:
        del mg.OPS[op.name]


@contextlib.contextmanager
def changed(name: str, **changes: Any) -> Iterator[mg.Op]:
    """Declare a copy of one of microgrid's ops with some fields changed, as `own_...`."""
    op = dataclasses.replace(mg.OPS[name], name=f"own_{name}", **changes)
    try:
        yield op
    finally:
        del mg.OPS[op.name]


@contextlib.contextmanager
def passing(rule: Callable[..., Any], **fields: Any) -> Iterator[mg.Op]:
    """Declare x -> x as a straight line, with a rule that may be wrong."""
    line = mg.Pieces((), (1,))
    kernel = lambda x, out=None: np.positive(x, out=out)  # noqa: E731
    vjps, known = (rule,), {"pieces": lambda: line}
    with declared(**{"name": "passing", "kernel": kernel, "vjps": vjps, **known, **fields}) as op:
        yield op


def doubled() -> Any:
    """Declare x -> x whose gradient is wrong by a factor of 2."""
    return passing(lambda g, y, x: 2 * g)


def variable(data: Any, dtype: Any = None) -> mg.Tensor:
    """Return a Tensor that requires a gradient."""
    return mg.tensor(data, dtype=dtype, requires_grad=True)
