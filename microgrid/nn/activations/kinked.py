"""Activations of straight pieces, and others with kinks, as layers."""

from __future__ import annotations

from ... import ops
from ..module import as_integer
from .layer import Activation


class ReLU(Activation):
    """max(x, 0), with slope 0 at 0.

    Input shape: any[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.ReLU()([-2.0, 0.0, 2.0])
    array([0., 0., 2.])
    """

    op = ops.relu


class LeakyReLU(Activation):
    """x where it is positive, negative_slope * x elsewhere.

    Args:
        negative_slope: the slope for negative x, a number.

    Input shape: float[...]. Output shape: the same.

    Raises:
        TypeError: negative_slope is no number.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.LeakyReLU(0.1)([-2.0, 0.0, 2.0])
    array([-0.2,  0. ,  2. ])
    """

    op = ops.leaky_relu

    def __init__(self, negative_slope: float = 0.01) -> None:
        self._keep(negative_slope=negative_slope)


class ReLU6(Activation):
    """x, held between 0 and 6.

    Input shape: any[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.ReLU6()([-1.0, 3.0, 8.0])
    array([0., 3., 6.])
    """

    op = ops.relu6


class CReLU(Activation):
    """relu(x) and relu(-x), side by side: the axis doubles in size.

    Args:
        axis: along which they stand.

    Input shape: any[..., n]. Output shape: any[..., 2 * n], if the axis is the last one.

    Raises:
        TypeError: axis is no integer.
        numpy.exceptions.AxisError: in a call, x has no such axis.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.CReLU()([-2.0, 3.0])
    array([0., 3., 2., 0.])
    """

    op = ops.crelu

    def __init__(self, axis: int = -1) -> None:
        self._keep(axis=axis)


class Hardtanh(Activation):
    """x, held between two bounds.

    Args:
        min_val: the lower bound.
        max_val: the upper bound, above the lower one.

    Input shape: float[...]. Output shape: the same.

    Raises:
        TypeError: a bound is no number.
        ValueError: the bounds are not in order.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Hardtanh()([-2.0, 0.5, 2.0])
    array([-1. ,  0.5,  1. ])
    """

    op = ops.hardtanh

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self._keep(min_val=min_val, max_val=max_val)


class Hardsigmoid(Activation):
    """x / 6 + 1/2, held between 0 and 1.

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Hardsigmoid()([-3.0, 0.0, 1.5])
    array([0.  , 0.5 , 0.75])
    """

    op = ops.hardsigmoid


class Hardswish(Activation):
    """x * hardsigmoid(x).

    Input shape: float[...]. Output shape: the same.

    Raises:
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Hardswish()([-1.5, 0.0, 1.5])
    array([-0.375,  0.   ,  1.125])
    """

    op = ops.hardswish


class Softshrink(Activation):
    """x, moved towards 0 by lambd, and 0 on the way.

    Args:
        lambd: how far, not negative.

    Input shape: float[...]. Output shape: the same.

    Raises:
        TypeError: lambd is no number.
        ValueError: it is negative.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Softshrink(0.5)([-2.0, 0.25, 2.0])
    array([-1.5,  0. ,  1.5])
    """

    op = ops.softshrink

    def __init__(self, lambd: float = 0.5) -> None:
        self._keep(lambd=lambd)


class Maxout(Activation):
    """The largest of each group of pool_size neighbours: the axis shrinks by that factor.

    Args:
        pool_size: how many make a group.
        axis: along which they stand.

    Input shape: any[..., n * pool_size]. Output shape: any[..., n], if the axis is the last one.

    Raises:
        TypeError: pool_size or axis is no integer.
        ValueError: pool_size is below 1.
        ShapeError: in a call, the size of the axis is no multiple of pool_size.
        numpy.exceptions.AxisError: in a call, x has no such axis.
        DtypeError: in a call, x does not hold numbers.

    >>> import microgrid as mg
    >>> mg.nn.Maxout(2)([1.0, 5.0, -2.0, -3.0])
    array([ 5., -2.])
    """

    op = ops.maxout

    def __init__(self, pool_size: int = 2, axis: int = -1) -> None:
        as_integer("Maxout", "pool_size", pool_size, least=1)
        self._keep(pool_size=pool_size, axis=axis)
