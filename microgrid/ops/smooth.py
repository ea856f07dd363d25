"""Smooth activations, each accurate in its tails.

A gated unit is x times a smooth step from 0 to 1; an exponential unit is straight on the right and
levels off exponentially on the left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, into
from ..core import Op, Operand, Tensor, as_operand
from ..pieces import least_norm
from ..record import Domain, no_params
from ..selection import Selection, order
from .arithmetic import ANY, chain, chain_divide, exp, quiet, sech_squared, square, tanh
from .axes import check_numbers
from .comparison import where
from .piecewise import absolute

SQRT_2PI = math.sqrt(2 * math.pi)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. (2017)


@quiet
def _sigmoid(x: Array, out: Array | None = None) -> Any:
    e = np.exp(-np.absolute(x))  # never above 1: neither tail overflows or vanishes early
    return np.divide(np.where(x < 0, e, 1), 1 + e, out=out)


sigmoid: Op = Op(
    name="sigmoid",
    doc="The logistic function, from 0 to 1. Its slope sigmoid(x) * sigmoid(-x) keeps its relative "
    "accuracy in both tails.",
    kernel=_sigmoid,
    vjps=(lambda g, y, x: chain(g, y * sigmoid(-x)),),
    domains=(ANY,),
    reference=lambda x: 1 / (1 + math.exp(-x)),
    formula="1 / (1 + e ** -x)",
)

softplus = Op(
    name="softplus",
    doc="A smooth relu, ln(1 + e**x), which neither overflows nor loses its left tail.",
    kernel=quiet(lambda x, out=None: np.logaddexp(x, 0, out=out)),
    vjps=(lambda g, y, x: chain(g, sigmoid(x)),),
    domains=(ANY,),
    reference=lambda x: math.log1p(math.exp(x)),
    formula="ln(1 + e ** x)",
    in_place=True,
)


@quiet
def _softsign(x: Array, out: Array | None = None) -> Any:
    return into(out, np.where(np.isinf(x), np.sign(x), x / (1 + np.absolute(x))))


softsign = Op(
    name="softsign",
    doc="A step from -1 to 1 that levels off slowly.",
    kernel=_softsign,
    vjps=(lambda g, y, x: chain_divide(g, square(1 + absolute(x))),),
    domains=(ANY,),
    reference=lambda x: x / (1 + abs(x)),
    formula="x / (1 + |x|)",
    # Its slope is continuous, the slope of that is not.
    selection=Selection(
        choose=lambda x: order(x, 0),
        piece=lambda side, x: x / (1 + side.astype(x.dtype) * x),
    ),
)

difference = Op(
    name="difference",
    doc="a - b, and 0 where both are the same infinity.",
    kernel=quiet(
        lambda a, b, out=None: into(out, np.where((a == b) & np.isinf(a), 0, np.subtract(a, b)))
    ),
    vjps=(lambda g, y, a, b: g, lambda g, y, a, b: -g),
    domains=(ANY, ANY),
    signature="(),()->()",
    reference=lambda a, b: a - b,
    formula="a - b",
    private=True,
)

logaddexp = Op(
    name="logaddexp",
    doc="ln(e**a + e**b) without overflow. Its slopes sum to 1, at infinities too.",
    kernel=quiet(np.logaddexp),
    vjps=(
        lambda g, y, a, b: chain(g, sigmoid(difference(a, b))),
        lambda g, y, a, b: chain(g, sigmoid(difference(b, a))),
    ),
    domains=(ANY, ANY),
    signature="(),()->()",
    reference=lambda a, b: math.log(math.exp(a) + math.exp(b)),
    formula="ln(e ** a + e ** b)",
    in_place=True,
)


# --- exponential units ---------------------------------------------------------------------------


def _exponential_unit(
    name: str,
    doc: str,
    formula: str,
    constants: Callable[..., tuple[float, float, float]],
    params: Callable[..., Sequence[dict[str, Any]]] = no_params,
) -> Op:
    """Declare the op scale * x for x > 0 and height * expm1(rate * x) elsewhere."""

    @quiet
    def kernel(x: Array, out: Array | None = None, **given: float) -> Any:
        scale, height, rate = constants(**given)
        return into(out, np.where(x > 0, scale * x, height * np.expm1(rate * x)))

    def rule(g: Any, y: Any, x: Any, **given: float) -> Any:
        scale, height, rate = constants(**given)
        kink = least_norm(height * rate, scale)
        left = where(x == 0, kink, height * rate * exp(rate * x))
        return chain(g, where(x > 0, scale, left))

    def reference(x: float, **given: float) -> float:
        scale, height, rate = constants(**given)
        return scale * x if x > 0 else height * (math.exp(rate * x) - 1)

    def piece(side: Array, x: Array, **given: float) -> Any:
        scale, height, rate = constants(**given)
        kink = least_norm(height * rate, scale)
        left = np.where(side == 0, kink * x, height * np.expm1(rate * x))
        return np.where(side > 0, scale * x, left)

    return Op(
        name=name,
        doc=doc,
        formula=formula,
        kernel=kernel,
        vjps=(rule,),
        selection=Selection(choose=lambda x, **given: order(x, 0), piece=piece),
        domains=(ANY,),
        params=params,
        reference=reference,
    )


_elu = _exponential_unit(
    "elu",
    "The exponential linear unit. The slope at x = 0 is 1, or alpha if that is smaller, and not "
    "below 0.",
    "x if x > 0, else alpha * (e ** x - 1)",
    lambda alpha: (1.0, alpha, 1.0),
    lambda shape: [{"alpha": alpha} for alpha in (1.0, 2.0, 0.5)],
)

selu = _exponential_unit(
    "selu",
    "The scaled exponential linear unit of self-normalising networks. The slope at x = 0 is the "
    "scale, 1.0507.",
    "1.0507 * (x if x > 0, else 1.6733 * (e ** x - 1))",
    lambda: (SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0),
)

_celu = _exponential_unit(
    "celu",
    "The continuously differentiable exponential linear unit.",
    "x if x > 0, else alpha * (e ** (x / alpha) - 1)",
    lambda alpha: (1.0, alpha, 1 / alpha),
    lambda shape: [{"alpha": alpha} for alpha in (1.0, 2.0, 0.5)],
)


# --- gated units ---------------------------------------------------------------------------------

_erfc = np.frompyfunc(math.erfc, 1, 1)  # NumPy has none


def _normal_cdf(x: Array, out: Array | None = None) -> Any:
    wide = np.asarray(x, np.float64)
    y = np.asarray(
        _erfc(wide / -math.sqrt(2)) / 2
    )  # erfc, not 1 + erf: the left tail stays accurate
    return into(out, y.astype(x.dtype if x.dtype.kind == "f" else np.float64))


normal_cdf = Op(
    name="normal_cdf",
    doc="The standard normal distribution function.",
    kernel=_normal_cdf,
    vjps=(lambda g, y, x: chain(g, _normal_density(x)),),
    domains=(ANY,),
    reference=lambda x: (1 + math.erf(x / math.sqrt(2))) / 2,
    formula="Φ(x)",
    private=True,
)


def _normal_density(x: Any) -> Any:
    return exp(square(x) * -0.5) * (1 / SQRT_2PI)


def _gate(gate: Callable[..., Any]) -> Callable[..., Any]:
    """Return x * gate(x) as a kernel, where a gate shut to 0 wins over an infinite x."""

    @quiet
    def kernel(x: Array, out: Array | None = None) -> Any:
        return chain.kernel(x, np.asarray(gate(x)), out=out)

    return kernel


silu = Op(
    name="silu",
    doc="x gated by a sigmoid, also called swish.",
    kernel=_gate(sigmoid.kernel),
    vjps=(lambda g, y, x: chain(g, chain(sigmoid(x), 1 + chain(x, sigmoid(-x)))),),
    domains=(ANY,),
    reference=lambda x: x / (1 + math.exp(-x)),
    formula="x * sigmoid(x)",
)

_gelu = Op(
    name="gelu",
    doc="x gated by the normal distribution function.",
    kernel=_gate(_normal_cdf),
    vjps=(lambda g, y, x: chain(g, normal_cdf(x) + chain(x, _normal_density(x))),),
    domains=(ANY,),
    reference=lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    formula="x * Φ(x)",
)

mish = Op(
    name="mish",
    doc="x gated by the tanh of its softplus.",
    kernel=_gate(lambda x: np.tanh(softplus.kernel(x))),
    vjps=(
        lambda g, y, x: chain(
            g,
            tanh(softplus(x)) + chain(x, chain(sech_squared(softplus(x)), sigmoid(x))),
        ),
    ),
    domains=(ANY,),
    reference=lambda x: x * math.tanh(math.log1p(math.exp(x))),
    formula="x * tanh(softplus(x))",
)


def _hardswish(x: Array, out: Array | None = None) -> Any:
    y = x * np.clip(x / 6 + 0.5, 0, 1)
    return into(out, np.where(np.isneginf(x), 0, y))


hardswish = Op(
    name="hardswish",
    doc="x gated by the hard sigmoid. The slope at the kink -3 is 0, at the kink 3 it is 1.",
    kernel=quiet(_hardswish),
    vjps=(lambda g, y, x: chain(g, where(x >= 3, 1, where(x <= -3, 0, x / 3 + 0.5))),),
    domains=(Domain(-5.0, 5.0, include=(0.0, -3.0, 3.0)),),
    reference=lambda x: x * min(max(x + 3, 0), 6) / 6,
    formula="x * hardsigmoid(x)",
    # Pieces 0, 1 and 2: at the kink -3 the left one is used, at 3 the right one.
    selection=Selection(
        choose=lambda x: (order(x, -3) > 0) + (order(x, 3) >= 0).astype(int),
        piece=lambda part, x: np.where(part == 1, x * (x / 6 + 0.5), np.where(part == 2, x, 0 * x)),
    ),
)


def elu(x: Operand, alpha: float = 1.0) -> Tensor:
    """Return x where it is positive and alpha * (e**x - 1) elsewhere.

    The slope at 0 is the one of least norm between `alpha` and 1.

    Args:
        x: float[...].
        alpha: how far below 0 it levels off.

    Raises:
        TypeError: `alpha` is no number.

    Source: Clevert, Unterthiner & Hochreiter (2016).

    >>> from microgrid import elu
    >>> elu([-1000.0, 3.0], alpha=2.0)
    array([-2.,  3.])
    """
    check_numbers("elu", alpha=alpha)
    return _elu(x, alpha=alpha)


def celu(x: Operand, alpha: float = 1.0) -> Tensor:
    """Return x where it is positive and alpha * (e**(x / alpha) - 1) elsewhere; smooth at 0.

    Args:
        x: float[...].
        alpha: how far below 0 it levels off; not 0.

    Raises:
        TypeError: `alpha` is no number.
        ValueError: it is 0.

    Source: Barron (2017).

    >>> from microgrid import celu
    >>> celu([-1000.0, 3.0], alpha=2.0)
    array([-2.,  3.])
    """
    check_numbers("celu", alpha=alpha)
    if alpha == 0:
        raise ValueError("celu: alpha=0 was given, and x is divided by it. Use relu() instead.")
    return _celu(x, alpha=alpha)


def gelu(x: Operand, approximate: str = "none") -> Tensor:
    """Return x times the normal distribution function of x.

    Args:
        x: float[...].
        approximate: "none" for the exact function, which NumPy lacks and which costs a call of
            math.erfc for each element; "tanh" for the usual approximation, which is faster.

    Raises:
        ValueError: `approximate` is neither.

    Source: Hendrycks & Gimpel (2016).

    >>> from microgrid import gelu
    >>> gelu([-1000.0, 0.0, 1000.0])
    array([  -0.,    0., 1000.])
    """
    if approximate == "none":
        return _gelu(x)
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate={approximate!r} was given; it is 'none' or 'tanh'.")
    t = as_operand("gelu", x)
    with np.errstate(all="ignore"):
        cubic = (t + 0.044715 * t * t * t) * math.sqrt(2 / math.pi)
        return chain(t, sigmoid(2 * cubic))
