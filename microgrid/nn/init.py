"""First values of weights: drawn so that signals neither fade nor grow from layer to layer.

Each is a function `f(shape, rng=None, dtype=float32)` that returns a new array. The fans are read
from the last two dimensions, (in, out); dimensions in front, as of a convolution, multiply both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Array
from ..errors import DtypeError, ShapeError
from ..ops import draws

Rng: TypeAlias = "int | np.random.Generator | None"  # a string: naming it loads numpy.random


class Initializer(Protocol):
    """What a layer's `init=` may be, besides a name: a function of shape, rng and dtype.

    Args:
        shape: of the weight, (in, out).
        rng: what the layer was given: None, a seed, or a generator.
        dtype: what the layer was given.

    Returns:
        float[*shape].

    Raises:
        ShapeError: the layer raises it, if an array of another shape is returned.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> def halves(shape, *, rng, dtype):
    ...     return np.full(shape, 0.5, dtype)
    >>> mg.nn.Dense(2, 1, init=halves).weight.tolist()
    [[0.5], [0.5]]
    """

    def __call__(self, shape: tuple[int, ...], *, rng: Rng, dtype: DTypeLike) -> Any:
        """Return the first values, an array of this shape."""


def he_normal(shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32) -> Array:
    """Return normal numbers of mean 0 and variance 2 / fan_in, which suits relu and its kin.

    Args:
        shape: at least two dimensions, the last two (in, out).
        rng: None, a seed, or a generator.
        dtype: of the result. Draws are made in float64 and rounded, so that a float32 net is the
            rounded float64 net of the same seed.

    Returns:
        float[*shape].

    Raises:
        ShapeError: `shape` has fewer than two dimensions.
        DtypeError: the dtype is not that of floats.
        ValueError: a dimension is negative.
        TypeError: `shape` is no list of integers, there is no such dtype, or rng is none of these.

    Source: He, Zhang, Ren & Sun (2015), equation 10.

    >>> import microgrid as mg
    >>> mg.nn.init.he_normal((64, 32), rng=0).shape
    (64, 32)
    """
    return _normal("he_normal", shape, rng, dtype, 2.0, _fan_in)


def he_uniform(shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32) -> Array:
    """Return numbers between -a and a with a = sqrt(6 / fan_in): the variance of `he_normal`.

    Args:
        shape, rng, dtype: as of `mg.nn.init.he_normal`.

    Returns:
        float[*shape].

    Raises:
        ShapeError, DtypeError, ValueError, TypeError: as of `mg.nn.init.he_normal`.

    >>> import microgrid as mg
    >>> bool(abs(mg.nn.init.he_uniform((600, 8), rng=0)).max() <= 0.1)  # sqrt(6 / 600)
    True
    """
    return _uniform("he_uniform", shape, rng, dtype, 2.0, _fan_in)


def glorot_normal(shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32) -> Array:
    """Return normal numbers of variance 2 / (fan_in + fan_out), which suits tanh and linear layers.

    Args:
        shape, rng, dtype: as of `mg.nn.init.he_normal`.

    Returns:
        float[*shape].

    Raises:
        ShapeError, DtypeError, ValueError, TypeError: as of `mg.nn.init.he_normal`.

    Source: Glorot & Bengio (2010), equation 12.

    >>> import microgrid as mg
    >>> round(float(mg.nn.init.glorot_normal((150, 50), rng=0).std()), 2)  # sqrt(2 / 200)
    0.1
    """
    return _normal("glorot_normal", shape, rng, dtype, 1.0, _mean_fan)


def glorot_uniform(shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32) -> Array:
    """Return numbers between -a and a with a = sqrt(6 / (fan_in + fan_out)).

    Args:
        shape, rng, dtype: as of `mg.nn.init.he_normal`.

    Returns:
        float[*shape].

    Raises:
        ShapeError, DtypeError, ValueError, TypeError: as of `mg.nn.init.he_normal`.

    Source: Glorot & Bengio (2010), equation 16.

    >>> import microgrid as mg
    >>> bool(abs(mg.nn.init.glorot_uniform((400, 200), rng=0)).max() <= 0.1)  # sqrt(6 / 600)
    True
    """
    return _uniform("glorot_uniform", shape, rng, dtype, 1.0, _mean_fan)


def lecun_normal(shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32) -> Array:
    """Return normal numbers of variance 1 / fan_in, which selu's self-normalisation needs.

    Args:
        shape, rng, dtype: as of `mg.nn.init.he_normal`.

    Returns:
        float[*shape].

    Raises:
        ShapeError, DtypeError, ValueError, TypeError: as of `mg.nn.init.he_normal`.

    Source: LeCun, Bottou, Orr & Müller (1998), section 4.6.

    >>> import microgrid as mg
    >>> round(float(mg.nn.init.lecun_normal((100, 50), rng=0).std()), 2)  # sqrt(1 / 100)
    0.1
    """
    return _normal("lecun_normal", shape, rng, dtype, 1.0, _fan_in)


def lecun_uniform(shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32) -> Array:
    """Return numbers between -a and a with a = sqrt(3 / fan_in): the variance of `lecun_normal`.

    Args:
        shape, rng, dtype: as of `mg.nn.init.he_normal`.

    Returns:
        float[*shape].

    Raises:
        ShapeError, DtypeError, ValueError, TypeError: as of `mg.nn.init.he_normal`.

    >>> import microgrid as mg
    >>> bool(abs(mg.nn.init.lecun_uniform((300, 8), rng=0)).max() <= 0.1)  # sqrt(3 / 300)
    True
    """
    return _uniform("lecun_uniform", shape, rng, dtype, 1.0, _fan_in)


def orthogonal(
    shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32, gain: float = 1.0
) -> Array:
    """Return `gain` times a matrix with orthonormal columns, or rows if those are fewer.

    Dimensions in front of the last are taken together. Every such matrix is equally likely.

    Args:
        shape, rng, dtype: as of `mg.nn.init.he_normal`.
        gain: what the matrix is multiplied by.

    Returns:
        float[*shape].

    Raises:
        ShapeError, DtypeError, ValueError, TypeError: as of `mg.nn.init.he_normal`.

    Source: Saxe, McClelland & Ganguli (2014).

    >>> import numpy as np
    >>> import microgrid as mg
    >>> w = mg.nn.init.orthogonal((3, 3), rng=0, dtype=float)
    >>> np.allclose(w.T @ w, np.eye(3))
    True
    """
    _fan_in("orthogonal", shape)
    rows, columns = math.prod(shape[:-1]), shape[-1]
    drawn = draws.as_generator("orthogonal", rng).standard_normal(
        (max(rows, columns), min(rows, columns))
    )
    q, r = np.linalg.qr(drawn)
    # Householder's signs are a convention; with r's diagonal made positive q is uniform (Haar).
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    matrix = q if rows >= columns else q.T
    matrix = np.ascontiguousarray(gain * matrix, dtype=_floats("orthogonal", dtype))
    return matrix.reshape(tuple(shape))


def zeros(shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32) -> Array:
    """Return zeros, for biases. `rng` is not used.

    Args:
        shape: any.
        rng: anything.
        dtype: of the result.

    Returns:
        float[*shape].

    Raises:
        DtypeError: the dtype is not that of floats.
        ValueError: a dimension is negative.
        TypeError: `shape` is no list of integers, or there is no such dtype.

    >>> import microgrid as mg
    >>> mg.nn.init.zeros((2,))
    array([0., 0.], dtype=float32)
    """
    return np.zeros(tuple(shape), _floats("zeros", dtype))


def constant(
    shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = np.float32, value: float = 0.0
) -> Array:
    """Return an array filled with `value`. `rng` is not used.

    Args:
        shape: any.
        rng: anything.
        dtype: of the result.
        value: a number.

    Returns:
        float[*shape].

    Raises:
        DtypeError: the dtype is not that of floats.
        ValueError: a dimension is negative, or the value is no number.
        TypeError: `shape` is no list of integers, or there is no such dtype.

    >>> from functools import partial
    >>> import microgrid as mg
    >>> partial(mg.nn.init.constant, value=0.5)((2,))
    array([0.5, 0.5], dtype=float32)
    """
    return np.full(tuple(shape), value, _floats("constant", dtype))


kaiming_normal, kaiming_uniform = he_normal, he_uniform
xavier_normal, xavier_uniform = glorot_normal, glorot_uniform

INITIALIZERS: dict[str, Callable[..., Array]] = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "orthogonal": orthogonal,
    "zeros": zeros,
    "constant": constant,
    "kaiming_normal": kaiming_normal,
    "kaiming_uniform": kaiming_uniform,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
}


def _floats(who: str, dtype: DTypeLike) -> np.dtype[Any]:
    """Return a dtype that weights can have.

    Raises:
        DtypeError: they would be rounded to integers.
    """
    wanted = np.dtype(dtype)
    if wanted.kind not in "fO":
        raise DtypeError(
            f"{who}: dtype {wanted} was given; weights are floats. Use float32 or float64."
        )
    return wanted


def _fan_in(who: str, shape: Sequence[int]) -> float:
    return _fans(who, shape)[0]


def _mean_fan(who: str, shape: Sequence[int]) -> float:
    return sum(_fans(who, shape)) / 2


def _fans(who: str, shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ShapeError(
            f"{who}: shape {tuple(shape)} was given; it needs the two dimensions (in, out). "
            "Use zeros or constant for a bias."
        )
    *field, fan_in, fan_out = shape
    return fan_in * math.prod(field), fan_out * math.prod(field)


def _normal(
    who: str, shape: Sequence[int], rng: Rng, dtype: DTypeLike, variance: float, fan: Any
) -> Array:
    scale = math.sqrt(variance / max(fan(who, shape), 1))
    drawn = draws.as_generator(who, rng).standard_normal(tuple(shape))
    return np.asarray(drawn * scale, _floats(who, dtype))


def _uniform(
    who: str, shape: Sequence[int], rng: Rng, dtype: DTypeLike, variance: float, fan: Any
) -> Array:
    bound = math.sqrt(3 * variance / max(fan(who, shape), 1))
    drawn = draws.as_generator(who, rng).uniform(-bound, bound, tuple(shape))
    return np.asarray(drawn, _floats(who, dtype))
