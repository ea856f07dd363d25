"""Smooth activations as layers."""

from __future__ import annotations

from ... import ops
from .layer import Activation


class Sigmoid(Activation):
    """1 / (1 + exp(-x)).

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Sigmoid()([-2.0, 0.0, 2.0])
    array([0.11920292, 0.5       , 0.88079708])
    """

    op = ops.sigmoid


class Tanh(Activation):
    """The hyperbolic tangent.

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Tanh()([-2.0, 0.0, 2.0])
    array([-0.96402758,  0.        ,  0.96402758])
    """

    op = ops.tanh


class Softplus(Activation):
    """ln(1 + exp(x)), a smooth relu.

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Softplus()([-2.0, 0.0, 2.0])
    array([0.12692801, 0.69314718, 2.12692801])
    """

    op = ops.softplus


class Softsign(Activation):
    """x / (1 + |x|).

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Softsign()([-1.0, 0.0, 3.0])
    array([-0.5 ,  0.  ,  0.75])
    """

    op = ops.softsign


class ELU(Activation):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere.

    Args:
        alpha: minus what it tends to for negative x.

    Input shape: float[...]. Output shape: the same.

    Raises:
        TypeError: alpha is no number.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.ELU()([-2.0, 0.0, 2.0])
    array([-0.86466472,  0.        ,  2.        ])
    """

    op = ops.elu

    def __init__(self, alpha: float = 1.0) -> None:
        self._keep(alpha=alpha)


class SELU(Activation):
    """An ELU scaled so that activations tend to mean 0 and variance 1.

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.SELU()([-2.0, 0.0, 2.0])
    array([-1.52016647,  0.        ,  2.10140197])
    """

    op = ops.selu


class CELU(Activation):
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere.

    Args:
        alpha: minus what it tends to for negative x.

    Input shape: float[...]. Output shape: the same.

    Raises:
        TypeError: alpha is no number.
        ValueError: it is 0.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.CELU(2.0)([-2.0, 0.0, 2.0])
    array([-1.26424112,  0.        ,  2.        ])
    """

    op = ops.celu

    def __init__(self, alpha: float = 1.0) -> None:
        self._keep(alpha=alpha)


class GELU(Activation):
    """x times the normal distribution function of x; approximate="tanh" is faster.

    Args:
        approximate: "none", or "tanh" for a formula with tanh.

    Input shape: float[...]. Output shape: the same.

    Raises:
        ValueError: approximate is neither.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.GELU()([-2.0, 0.0, 2.0])
    array([-0.04550026,  0.        ,  1.95449974])
    """

    op = ops.gelu

    def __init__(self, approximate: str = "none") -> None:
        self._keep(approximate=approximate)


class SiLU(Activation):
    """x * sigmoid(x).

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.SiLU()([-2.0, 0.0, 2.0])
    array([-0.23840584,  0.        ,  1.76159416])
    """

    op = ops.silu


class Mish(Activation):
    """x * tanh(softplus(x)).

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Mish()([-2.0, 0.0, 2.0])
    array([-0.25250148,  0.        ,  1.94395896])
    """

    op = ops.mish


class Softmax(Activation):
    """Positive weights along an axis that sum to 1, in the ratio of the exponentials.

    Args:
        axis: an integer, several in a tuple, or None for all axes.

    Input shape: float[...]. Output shape: the same.

    Raises:
        TypeError: axis is none of these.
        numpy.exceptions.AxisError: in a call, x has no such axis.
        DtypeError: in a call, x does not hold numbers.

    >>> import math
    >>> import microgrid as mg
    >>> mg.nn.Softmax()([0.0, 0.0, math.log(2)])
    array([0.25, 0.25, 0.5 ])
    """

    op = ops.softmax

    def __init__(self, axis: int = -1) -> None:
        self._keep(axis=axis)


class LogSoftmax(Activation):
    """The logarithm of Softmax, for `nll_loss`.

    Args:
        axis: an integer, several in a tuple, or None for all axes.

    Input shape: float[...]. Output shape: the same.

    Raises:
        TypeError: axis is none of these.
        numpy.exceptions.AxisError: in a call, x has no such axis.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.LogSoftmax()([0.0, 0.0])
    array([-0.69314718, -0.69314718])
    """

    op = ops.log_softmax

    def __init__(self, axis: int = -1) -> None:
        self._keep(axis=axis)
