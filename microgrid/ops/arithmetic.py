"""Arithmetic, elementwise.

A file to scan like a sheet of formulas: g is the gradient that comes in, y the result, x or a, b
the inputs.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Op
from ..record import Domain

ANY = Domain()
POSITIVE = Domain(0.2, 4.0, include=(1.0,))
NONZERO = Domain(0.3, 3.0, include=(1.0, -1.0, -2.5))


# A kernel so decorated follows IEEE arithmetic without warnings: 1/0 is inf. As a decorator NumPy's
# errstate costs half of what it does in a with statement.
quiet = np.errstate(all="ignore")


def _zero_wins(ufunc: Callable[..., Any], zeros: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel for backward passes, which run without warnings as a whole."""

    def kernel(a: Array, b: Array, out: Array | None = None) -> Any:
        y = ufunc(a, b, out=out)
        if type(y) is not np.ndarray:
            y = np.asarray(y)
        # One number tells whether all are finite. If it overflows though they are, time is lost.
        flat = y.ravel()
        if y.dtype.kind != "O" and not math.isfinite(flat.dot(flat)):
            np.copyto(y, 0, where=zeros(a, b))
        return y

    return kernel


def _is_zero(a: Array, b: Array) -> Any:
    return (a == 0) | (b == 0)


def _let_zeros_win(a: Array, b: Array, out: Array) -> None:
    np.copyto(out, 0, where=_is_zero(a, b))


def write_chain(line: Any, out: Array, a: Any, b: Any) -> bool:
    """Write the kernel of `chain` out, for the compiler."""
    if not out.flags.c_contiguous or out.dtype.kind != "f":
        return False
    line.each(np.multiply, a, b, out)
    template = "if not isfinite({0}.dot({0})): {1}({2}, {3}, {4})"
    line.text(template, out.reshape(-1), _let_zeros_win, a, b, out)
    return True


def _divide(a: Array, b: Array, out: Array | None = None) -> Any:
    if a.dtype.hasobject or b.dtype.hasobject:
        b = np.where(np.equal(a, 0), 1, b)  # Fractions raise where floats give nan
    return np.divide(a, b, out=out)


chain: Op = Op(
    name="chain",
    doc="The product of the chain rule, in which an exact 0 wins over inf and nan: a gradient of 0 "
    "contributes nothing whatever the slope, and a slope of 0 passes nothing.",
    kernel=_zero_wins(np.multiply, _is_zero),
    vjps=(lambda g, y, a, b: chain(g, b), lambda g, y, a, b: chain(g, a)),
    domains=(ANY, ANY),
    signature="(),()->()",
    reference=lambda a, b: 0 if a == 0 or b == 0 else a * b,
    formula="a * b, and 0 if a or b is 0",
    inline=write_chain,
    unit=1,
    private=True,
)

chain_divide: Op = Op(
    name="chain_divide",
    doc="The quotient of the chain rule, in which an exact 0 as a wins over b = 0, inf and nan.",
    kernel=_zero_wins(_divide, lambda a, b: a == 0),
    vjps=(
        lambda g, y, a, b: chain_divide(g, b),
        lambda g, y, a, b: chain(-g, chain_divide(y, b)),
    ),
    domains=(ANY, NONZERO),
    signature="(),()->()",
    reference=lambda a, b: 0 if a == 0 else a / b,
    formula="a / b, and 0 if a is 0",
    private=True,
)

add = Op(
    name="add",
    doc="The sum.",
    kernel=np.add,
    vjps=(lambda g, y, a, b: g, lambda g, y, a, b: g),
    domains=(ANY, ANY),
    signature="(),()->()",
    reference=operator.add,
    formula="a + b",
    in_place=True,
)

subtract = Op(
    name="subtract",
    doc="The difference.",
    kernel=np.subtract,
    vjps=(lambda g, y, a, b: g, lambda g, y, a, b: -g),
    domains=(ANY, ANY),
    signature="(),()->()",
    reference=operator.sub,
    formula="a - b",
    in_place=True,
)

multiply = Op(
    name="multiply",
    doc="The product.",
    kernel=np.multiply,
    vjps=(lambda g, y, a, b: chain(g, b), lambda g, y, a, b: chain(g, a)),
    domains=(ANY, ANY),
    signature="(),()->()",
    reference=operator.mul,
    formula="a * b",
    in_place=True,
    unit=1,
)

divide = Op(
    name="divide",
    doc="The quotient. Division by zero gives inf or nan, as in IEEE arithmetic, and no warning.",
    kernel=quiet(np.divide),
    vjps=(
        lambda g, y, a, b: chain_divide(g, b),
        lambda g, y, a, b: chain(-g, chain_divide(y, b)),
    ),
    domains=(ANY, NONZERO),
    signature="(),()->()",
    reference=operator.truediv,
    formula="a / b",
    in_place=True,
)

negative = Op(
    name="negative",
    doc="The negative.",
    kernel=np.negative,
    vjps=(lambda g, y, x: -g,),
    domains=(ANY,),
    reference=operator.neg,
    formula="-x",
    in_place=True,
)

power: Op = Op(
    name="power",
    doc="a to the power b. A negative base takes integer exponents only, others give nan. The "
    "slope of x**0 is 0 everywhere; that of 0**b towards b is taken as 0.",
    kernel=quiet(np.power),
    vjps=(
        lambda g, y, a, b: chain(g, chain(b, power(a, b - 1))),
        # a + (a == 0) is 1 in place of 0, whose logarithm is 0.
        lambda g, y, a, b: chain(g, chain(y, log(a + (a == 0)))),
    ),
    domains=(POSITIVE, Domain(-2.0, 3.0, include=(0.0, 1.0, 2.0, -1.0, 0.5))),
    signature="(),()->()",
    reference=operator.pow,
    formula="a ** b",
    in_place=True,
)

reciprocal = Op(
    name="reciprocal",
    doc="One over x; of 0, inf.",
    kernel=quiet(lambda x, out=None: np.divide(1, x, out=out)),
    vjps=(lambda g, y, x: chain(-g, chain_divide(y, x)),),
    domains=(NONZERO,),
    reference=lambda x: 1 / x,
    formula="1 / x",
    in_place=True,
)

square = Op(
    name="square",
    doc="The square.",
    kernel=np.square,
    vjps=(lambda g, y, x: 2 * chain(g, x),),
    domains=(ANY,),
    reference=lambda x: x * x,
    formula="x * x",
    in_place=True,
)

sqrt = Op(
    name="sqrt",
    doc="The square root. Its slope at 0 is inf; of a negative number it is nan, with no warning.",
    kernel=quiet(np.sqrt),
    vjps=(lambda g, y, x: chain_divide(g, 2 * y),),
    domains=(POSITIVE,),
    reference=math.sqrt,
    formula="x ** 0.5",
    in_place=True,
)

exp = Op(
    name="exp",
    doc="The exponential function. It overflows to inf without a warning.",
    kernel=quiet(np.exp),
    vjps=(lambda g, y, x: chain(g, y),),
    domains=(ANY,),
    reference=math.exp,
    formula="e ** x",
    in_place=True,
)

expm1 = Op(
    name="expm1",
    doc="e**x - 1, accurate near 0.",
    kernel=quiet(np.expm1),
    vjps=(lambda g, y, x: chain(g, exp(x)),),
    domains=(ANY,),
    reference=math.expm1,
    formula="e ** x - 1",
    in_place=True,
)

log: Op = Op(
    name="log",
    doc="The natural logarithm. Of 0 it is -inf, of a negative number nan, without a warning.",
    kernel=quiet(np.log),
    vjps=(lambda g, y, x: chain_divide(g, x),),
    domains=(POSITIVE,),
    reference=math.log,
    formula="ln x",
    in_place=True,
)

log1p = Op(
    name="log1p",
    doc="ln(1 + x), accurate near 0.",
    kernel=quiet(np.log1p),
    vjps=(lambda g, y, x: chain_divide(g, 1 + x),),
    domains=(Domain(-0.8, 3.0, include=(0.0,)),),
    reference=math.log1p,
    formula="ln(1 + x)",
    in_place=True,
)

sin = Op(
    name="sin",
    doc="The sine of an angle in radians.",
    kernel=quiet(np.sin),
    vjps=(lambda g, y, x: chain(g, cos(x)),),
    domains=(ANY,),
    reference=math.sin,
    formula="sin x",
    in_place=True,
)

cos: Op = Op(
    name="cos",
    doc="The cosine of an angle in radians.",
    kernel=quiet(np.cos),
    vjps=(lambda g, y, x: chain(-g, sin(x)),),
    domains=(ANY,),
    reference=math.cos,
    formula="cos x",
    in_place=True,
)

tanh = Op(
    name="tanh",
    doc="The hyperbolic tangent. Its slope keeps its relative accuracy where the value is near 1.",
    kernel=np.tanh,
    vjps=(lambda g, y, x: chain(g, sech_squared(x)),),  # 1 - y**2 would be 0 in the tails
    domains=(ANY,),
    reference=math.tanh,
    formula="tanh x",
    in_place=True,
)

sech_squared: Op = Op(
    name="sech_squared",
    doc="The slope of tanh.",
    kernel=quiet(lambda x, out=None: np.square(1 / np.cosh(x), out=out)),
    vjps=(lambda g, y, x: -2 * chain(g, y * tanh(x)),),
    domains=(ANY,),
    reference=lambda x: 1 / math.cosh(x) ** 2,
    formula="1 / cosh(x) ** 2",
    private=True,
)
