"""Points in the plane that no straight line parts: moons, circles, spirals."""

from __future__ import annotations

import math
import operator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rng: TypeAlias = np.random.Generator | int | None
Points: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64]]


def make_moons(
    n_samples: int = 100, *, shuffle: bool = True, noise: float | None = None, rng: Rng = None
) -> Points:
    """Return points on two half circles that reach into each other.

    Without noise and shuffling the points and their order are those of scikit-learn.

    Args:
        n_samples: how many points; half of them, rounded down, on the upper moon, class 0.
        shuffle: whether their order is random; else those of class 0 come first.
        noise: the standard deviation of what is added to both coordinates, or None.
        rng: None for other points each time; an int or a Generator for the same again.

    Returns:
        x: float64[n_samples, 2], points within -1 ... 2 and -0.5 ... 1, but for the noise.
        y: int64[n_samples], 0 or 1.

    Raises:
        ValueError: there are fewer than two points, or the noise is negative.
        TypeError: a number is not one.

    >>> import microgrid as mg
    >>> x, y = mg.datasets.make_moons(4, shuffle=False)
    >>> x.round(3) + 0.0
    array([[ 1. ,  0. ],
           [-1. ,  0. ],
           [ 0. ,  0.5],
           [ 2. ,  0.5]])
    >>> y
    array([0, 0, 1, 1])
    """
    upper, lower = _sizes("make_moons", n_samples, 2)[::-1]
    a, b = np.linspace(0, np.pi, upper), np.linspace(0, np.pi, lower)
    moons = [np.column_stack([np.cos(a), np.sin(a)]),
             np.column_stack([1 - np.cos(b), 1 - np.sin(b) - 0.5])]  # fmt: skip
    return _finished("make_moons", moons, shuffle, noise, rng)


def make_circles(
    n_samples: int = 100,
    *,
    shuffle: bool = True,
    noise: float | None = None,
    rng: Rng = None,
    factor: float = 0.8,
) -> Points:
    """Return points on a circle of radius 1 and on a smaller one inside it.

    Without noise and shuffling the points and their order are those of scikit-learn.

    Args:
        n_samples: how many points; half of them, rounded down, on the outer circle, class 0.
        shuffle, noise, rng: as for `make_moons`.
        factor: the radius of the inner circle, at least 0 and below 1.

    Returns:
        x: float64[n_samples, 2].
        y: int64[n_samples], 0 outside and 1 inside.

    Raises:
        ValueError: there are fewer than two points, the noise is negative, or the factor does not
            lie from 0 to 1.
        TypeError: a number is not one.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, y = mg.datasets.make_circles(100, factor=0.5, rng=0)
    >>> sorted({float(round(radius, 9)) for radius in np.hypot(x[:, 0], x[:, 1])})
    [0.5, 1.0]
    """
    radius = _number("make_circles", "factor", factor)
    if not 0 <= radius < 1:
        raise ValueError(
            f"make_circles: factor={factor} was given; it must be at least 0 and below 1."
        )
    outer, inner = _sizes("make_circles", n_samples, 2)[::-1]
    circles = [_circle(outer), _circle(inner) * radius]
    return _finished("make_circles", circles, shuffle, noise, rng)


def make_spirals(
    n_samples: int = 100,
    *,
    classes: int = 2,
    turns: float = 1.5,
    shuffle: bool = True,
    noise: float | None = None,
    rng: Rng = None,
) -> Points:
    """Return points on spirals around the origin, one for each class.

    Args:
        n_samples: how many points, spread evenly over the classes and along the spirals.
        classes: how many spirals.
        turns: how often each goes around; negative turns go clockwise.
        shuffle, noise, rng: as for `make_moons`.

    Returns:
        x: float64[n_samples, 2], points within the unit circle, but for the noise.
        y: int64[n_samples], 0 to classes - 1.

    Raises:
        ValueError: there are fewer points than classes, fewer than two classes, or the noise is
            negative.
        TypeError: a number is not one.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, y = mg.datasets.make_spirals(300, classes=3, noise=0.02, rng=0)
    >>> x.shape, np.bincount(y)
    ((300, 2), array([100, 100, 100]))
    """
    who = "make_spirals"
    arms = _count(who, "classes", classes, 2)
    around = 2 * math.pi * _number(who, "turns", turns)
    spirals = []
    for k, size in enumerate(_sizes(who, n_samples, arms)):
        radius = np.arange(1, size + 1) / size  # not from 0, where all would meet
        angle = around * radius + 2 * math.pi * k / arms
        spirals.append(radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]))
    return _finished(who, spirals, shuffle, noise, rng)


def _circle(size: int) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, size, endpoint=False)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def _sizes(who: str, n_samples: int, classes: int) -> list[int]:
    """Return how many points each class has: as many as any other, or one more."""
    count = _count(who, "n_samples", n_samples, classes)
    return [count // classes + (k < count % classes) for k in range(classes)]


def _finished(
    who: str,
    parts: list[NDArray[np.float64]],
    shuffle: bool,
    noise: float | None,
    rng: Rng,
) -> Points:
    """Return the points of all classes with their labels, shuffled and blurred."""
    if shuffle not in (True, False):
        raise ValueError(f"{who}: shuffle={shuffle!r} was given; it must be True or False.")
    x = np.concatenate(parts)
    y = np.repeat(np.arange(len(parts), dtype=np.int64), [len(part) for part in parts])
    generator = np.random.default_rng(rng)
    if shuffle:
        order = generator.permutation(len(x))
        x, y = x[order], y[order]
    if noise is not None:
        deviation = _number(who, "noise", noise)
        if deviation < 0:
            raise ValueError(f"{who}: noise={noise} was given; a standard deviation is 0 or more.")
        x = x + generator.normal(scale=deviation, size=x.shape)
    return x, y


def _count(who: str, name: str, value: Any, least: int) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{who}: {name}={value!r} was given; it must be an integer.") from None
    if count < least:
        raise ValueError(f"{who}: {name}={count} was given; it must be at least {least}.")
    return count


def _number(who: str, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{who}: {name}={value!r} was given; it must be a number.") from None
    if not math.isfinite(number):
        raise ValueError(f"{who}: {name}={value} was given; it must be finite.")
    return number
