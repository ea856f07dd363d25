"""Slopes as constants: what the rules of piecewise-linear ops multiply by.

They jump where their op has a kink, and have no gradient themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, into
from ..core import Op
from ..pieces import Pieces, places, slope_by_search, slopes_along
from ..record import Domain
from ..selection import Selection, constant, line_of, order, signs_like
from .arithmetic import ANY, chain, write_chain

slopes_at = Op(
    name="slopes_at",
    doc="The slope of a piecewise-linear function, at a kink the one of least norm; nan at nan.",
    kernel=lambda x, out=None, *, pieces: into(out, slopes_along(places(x, pieces), x, pieces)),
    vjps=(None,),
    domains=(ANY,),
    params=lambda shape: [{"pieces": Pieces((-1.0, 0.0, 1.0), (2.0, -1.0, 0.5, 1.0))}],
    reference=slope_by_search,
    formula="f'(x)",
    selection=constant(lambda x, pieces: slopes_along(line_of(x, pieces), x.value, pieces)),
    private=True,
)

direction = Op(
    name="direction",
    doc="The sign of x as a constant: the slope of |x|, and, at y = relu(x), that of relu.",
    kernel=np.sign,
    vjps=(None,),
    domains=(ANY,),
    reference=lambda x: (x > 0) - (x < 0),
    formula="1 if x > 0, -1 if x < 0, 0 at 0",
    selection=constant(lambda x: signs_like(order(x, 0), x.value.dtype)),
    private=True,
)


def _pass_where_positive(g: Array, y: Array, out: Array | None = None) -> Any:
    return chain.kernel(g, np.sign(y), out=out)


def _write_gate(line: Any, out: Array, g: Any, y: Any) -> bool:
    if y.dtype != out.dtype or y.shape != out.shape or not out.flags.c_contiguous:
        return False
    sign = line.scratch(out.shape, out.dtype)
    if out.size > line.short:
        # The sign of what is not negative, by passes that take several numbers at a time. The sum
        # makes 0 of -0.
        line.each(np.add, y, line.filled((), y.dtype, 0), sign)
        line(np.minimum, sign, line.filled(y.shape, y.dtype, 1), out=sign)
        line(np.ceil, sign, sign)
    else:
        line(np.sign, y, sign)
    return write_chain(line, out, g, sign)


gate: Op = Op(
    name="gate",
    doc="g where y is positive, 0 where it is 0: the rule of relu, whose result is never negative.",
    kernel=_pass_where_positive,
    vjps=(lambda g, y, a, b: gate(g, b), None),
    domains=(ANY, Domain(0.5, 3.0, include=(0.0, 1.0))),
    signature="(),()->()",
    reference=lambda g, y: g if y > 0 else 0,
    formula="g if y > 0, 0 if y = 0",
    inline=_write_gate,
    selection=Selection(
        choose=lambda g, y: signs_like(order(y, 0), y.value.dtype),
        piece=lambda chosen, g, y: chain.kernel(g, chosen),
    ),
    private=True,
)
