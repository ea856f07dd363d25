"""Arrays that lie where gradients go wrong: at kinks and beside them, in ties, in odd layouts."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import DTypeLike

from ...arrays import Array
from ...core import Tensor
from ...errors import DtypeError

Values: TypeAlias = Literal["any", "integer", "dyadic"]
Shape: TypeAlias = tuple[int, ...]

DENOMINATORS = {"integer": 1, "dyadic": 4}
TWELFTHS = 12  # Fractions of any kind: halves, thirds and quarters are enough, and easy to read
NEAR = 5e-7  # nearer to a kink than a finite difference steps, so that it steps across
MANY = 1000
PALETTE = 3  # how many numbers an array of ties is made of, at most
MOST_AXES, LONGEST = 3, 3


@dataclass(frozen=True)
class Numbers:
    """Which numbers are drawn: their dtype, and what is wished of them."""

    dtype: np.dtype[Any]
    values: Values = "any"
    subnormals: bool = False

    @property
    def exact(self) -> bool:
        """Whether they are Fractions."""
        return self.dtype.hasobject

    def points(self, points: Iterable[Any]) -> list[Any]:
        """Return the points as such numbers, without those that are of another kind."""
        found = [Fraction(p) if self.exact else float(self.dtype.type(p)) for p in points]
        if self.values == "any":
            return found
        finest = 1 if self.values == "integer" else 1024
        return [p for p in found if p * finest % 1 == 0]

    def kinks(self, points: Iterable[Any]) -> list[Any]:
        """Return the points, -0.0 beside 0, and their neighbours on both sides, each once."""
        found = self.points(points)
        if not self.exact:
            found += [-0.0 for p in found if p == 0]
        if self.values == "any":
            found += [near for p in found for near in self._neighbours(p)]
        return list({(p, math.copysign(1, p)): p for p in found}.values())

    def _neighbours(self, point: Any) -> list[Any]:
        if self.exact:
            steps = Fraction(1, 2**52), Fraction(NEAR)
            return [point + step * sign for step in steps for sign in (1, -1)]
        kind = self.dtype.type
        found = [np.nextafter(kind(point), kind(end)) for end in (math.inf, -math.inf)]
        found += [kind(point + NEAR), kind(point - NEAR)]
        smallest = np.finfo(self.dtype).smallest_normal
        if not self.subnormals:
            found = [np.copysign(max(abs(x), smallest), x) for x in found]
        return [float(x) for x in found]

    def extremes(self, infinities: bool, nans: bool) -> list[float]:
        """Return what was asked for of subnormal, infinite and undefined numbers."""
        found: list[float] = []
        if self.subnormals:
            info = np.finfo(self.dtype)
            largest = np.nextafter(info.smallest_normal, self.dtype.type(0))
            found += [float(x) for x in (info.smallest_subnormal, largest)]
            found += [-x for x in found]
        return found + [math.inf, -math.inf] * infinities + [math.nan] * nans

    def between(self, low: float, high: float) -> SearchStrategy[Any]:
        """Return a strategy of the numbers between two bounds, these included."""
        return _numbers_between(self, low, high)


@functools.lru_cache(maxsize=256)
def _numbers_between(numbers: Numbers, low: float, high: float) -> SearchStrategy[Any]:
    if numbers.values == "any" and not numbers.exact:
        bounds = [numbers.dtype.type(end) for end in (low, high)]
        if float(bounds[0]) < low:  # rounded outwards
            bounds[0] = np.nextafter(bounds[0], numbers.dtype.type(math.inf))
        if float(bounds[1]) > high:
            bounds[1] = np.nextafter(bounds[1], numbers.dtype.type(-math.inf))
        width: Any = numbers.dtype.itemsize * 8
        least, most = map(float, bounds)
        subnormals = numbers.subnormals and least <= 0 <= most
        return st.floats(least, most, allow_subnormal=subnormals, width=width)
    parts = DENOMINATORS.get(numbers.values, TWELFTHS)
    counts = range(math.ceil(low * parts), math.floor(high * parts) + 1)
    exactly: Any = Fraction if numbers.exact else float
    if not counts:
        return st.nothing()
    if len(counts) > MANY:
        return st.integers(counts[0], counts[-1]).map(lambda k: exactly(Fraction(k, parts)))
    # In the order in which they shrink: whole numbers first, small ones first.
    found = sorted((Fraction(k, parts) for k in counts), key=lambda q: (q.denominator, abs(q), -q))
    whole = [q for q in found if q.denominator == 1]
    often = len(found) // (2 * len(whole) or 1)  # as often as all others: they meet more easily
    return st.sampled_from([exactly(q) for q in whole * often + found])


def one_of_points(points: Sequence[Any], others: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Return a strategy of the points in one half of the draws, of the others in the other."""
    # Of a single point there would be nothing to choose: hypothesis counts what has fewer choices
    # as simpler, and an op with one point in its domain would win over all others.
    several = points if len(points) > 1 else [*points] * 2
    return st.one_of(st.sampled_from(several), others) if points else others


# --- shapes and layouts --------------------------------------------------------------------------


@st.composite
def shapes(draw: DrawFn) -> Shape:
    """Return a strategy of small shapes, no dimensions and size 0 included."""
    sizes = [draw(_SIZES) for _ in range(draw(_AXES))]
    # Size 0 is drawn last, so that an array of one number counts as simpler than one of none.
    if sizes and draw(_ONE_IN_SIX) == 5:
        sizes[draw(st.integers(0, len(sizes) - 1))] = 0
    return tuple(sizes)


_SIZES, _AXES, _ONE_IN_SIX = st.integers(1, LONGEST), st.integers(0, MOST_AXES), st.integers(0, 5)


def laid_out(
    draw: DrawFn,
    dtype: DTypeLike,
    shape: Shape,
    elements: SearchStrategy[Any],
    ties: bool,
    layouts: bool,
    room: int = 0,
) -> Array:
    """Draw an array of such elements; with `ties` often of few numbers, which repeat.

    hypothesis takes what needs fewer choices for simpler. So ties and layouts are drawn beside the
    elements, not instead of some. And at least `room` elements are drawn, whatever the size: if
    that shrinks, what is drawn later keeps its meaning.
    """
    layout = draw(st.sampled_from(_layouts(shape))) if layouts and shape else "C"
    size = math.prod(shape)
    flat = [draw(elements) for _ in range(max(size, room))]
    if ties and len(flat) > 1 and draw(st.booleans()):
        few = st.integers(0, draw(st.integers(0, min(PALETTE, len(flat) - 1) - 1)))
        flat = [flat[draw(few)] for _ in flat]
    array = np.array(flat[:size], dtype).reshape(shape)
    if layout == "broadcast":
        base = draw(st.sampled_from(_bases(shape)))
        return np.broadcast_to(array[tuple(map(slice, base))].copy(), shape)
    if layout == "reversed":
        return np.flip(np.flip(array).copy())
    if layout == "spaced":
        return np.repeat(array, 2, -1)[..., ::2]
    return np.asfortranarray(array) if layout == "F" else array


@functools.lru_cache(maxsize=256)
def _layouts(shape: Shape) -> tuple[str, ...]:
    """Return the layouts that make a difference for an array of this shape, the usual one often."""
    if math.prod(shape) < 2:
        return ("C",)
    fortran = ("F",) * (sum(n > 1 for n in shape) > 1)
    return ("C", "C", "C", *fortran, "reversed", "spaced", "broadcast")


def _bases(shape: Shape) -> list[Shape]:
    """Return shapes that broadcast to this one and are smaller."""
    long = [i for i, n in enumerate(shape) if n > 1]
    bases = [tuple(1 if i == axis else n for i, n in enumerate(shape)) for axis in long]
    return list(dict.fromkeys([(1,) * len(shape), *bases]))


# --- what users call -----------------------------------------------------------------------------


def arrays_near_kinks(
    shape: int | Sequence[int] | SearchStrategy[Shape] | None = None,
    *,
    dtype: DTypeLike = np.float64,
    kinks: Sequence[float] = (0.0,),
    low: float = -4.0,
    high: float = 4.0,
    ties: bool = True,
    subnormals: bool = False,
    infinities: bool = False,
    nans: bool = False,
    values: Values = "any",
    layouts: bool = True,
) -> SearchStrategy[Array]:
    """Return a strategy of arrays whose elements often lie exactly at a kink, or next to one.

    About half of the elements are kinks, -0.0 if one of them is 0, the numbers next to a kink (one
    unit in the last place away, and 5e-7), and what else is asked for. The rest lies anywhere
    between `low` and `high`. They shrink to the first kink.

    Args:
        shape: of the arrays, or a strategy of shapes; by default of up to 3 axes of up to 3
            elements, with no axis, size 0 and size 1 among them.
        dtype: float16, float32, float64, or object for arrays of `fractions.Fraction`, with which
            piecewise-linear functions are computed exactly.
        kinks: points to hit. They may lie outside `low` and `high`.
        low: the least of the other elements.
        high: the greatest of them.
        ties: draw half of the arrays of at most three different numbers.
        subnormals: draw subnormal numbers too. Without, the numbers next to 0 are normal.
        infinities: draw inf and -inf too.
        nans: draw nan too.
        values: "integer" for whole numbers only, "dyadic" for multiples of 1/4: sums and products
            of a few are exact in floating point. Kinks of another kind are left out.
        layouts: draw arrays in Fortran order, with negative strides, with gaps between elements,
            and read-only broadcast views too.

    Returns:
        A strategy of float[*shape].

    Raises:
        DtypeError: the dtype is none of those.
        ValueError: the options contradict each other, or leave nothing to draw.

    >>> import microgrid as mg
    >>> from hypothesis import find, given
    >>> @given(mg.testing.strategies.arrays_near_kinks(kinks=(0, 6)))
    ... def test_relu6_stays_between_its_kinks(x):
    ...     y = mg.relu6(x)
    ...     assert ((y >= 0) & (y <= 6)).all()
    >>> test_relu6_stays_between_its_kinks()
    >>> find(mg.testing.strategies.arrays_near_kinks(), lambda x: True)
    array(0.)
    """
    who = "arrays_near_kinks"
    numbers = numbers_for(who, dtype, values, subnormals)
    if numbers.exact and (infinities or nans):
        raise ValueError(f"{who}: a Fraction is neither infinite nor nan. Draw floats for those.")
    inside = numbers.between(low, high)
    points = numbers.kinks(kinks) + numbers.extremes(infinities, nans)
    if inside.is_empty:
        raise ValueError(
            f"{who}: low={low}, high={high} and values={values!r} were given; there is no such "
            "number in between. Move the bounds apart."
        )
    if isinstance(shape, SearchStrategy):
        drawn = shape
    else:
        drawn = shapes() if shape is None else st.just(_as_shape(shape))
    return _arrays(numbers.dtype, drawn, one_of_points(points, inside), ties, layouts)


def tensors(
    shape: int | Sequence[int] | SearchStrategy[Shape] | None = None,
    *,
    dtype: DTypeLike = np.float64,
    kinks: Sequence[float] = (0.0,),
    low: float = -4.0,
    high: float = 4.0,
    ties: bool = True,
    subnormals: bool = False,
    infinities: bool = False,
    nans: bool = False,
    values: Values = "any",
) -> SearchStrategy[Tensor]:
    """Return a strategy of Tensors that require a gradient, at kinks as in `arrays_near_kinks`.

    The options mean what they mean there. There are no layouts: a Tensor has memory of its own.

    Args:
        shape, dtype: of the Tensors, or a strategy of shapes.
        kinks, low, high: points to hit, and where the other elements lie.
        ties, subnormals, infinities, nans, values: what else is drawn.

    Returns:
        A strategy of Tensors float[*shape].

    Raises:
        DtypeError: the dtype is not that of floats of at most 64 bits, nor object.
        ValueError: the options contradict each other, or leave nothing to draw.

    >>> import microgrid as mg
    >>> from hypothesis import given
    >>> @given(mg.testing.strategies.tensors())
    ... def test_the_gradient_of_a_sum_is_one(x):
    ...     x.sum().backward()
    ...     assert (x.grad == 1).all()
    >>> test_the_gradient_of_a_sum_is_one()
    """
    arrays = arrays_near_kinks(
        shape,
        dtype=dtype,
        kinks=kinks,
        low=low,
        high=high,
        ties=ties,
        subnormals=subnormals,
        infinities=infinities,
        nans=nans,
        values=values,
        layouts=False,
    )
    return arrays.map(lambda array: Tensor(array, requires_grad=True))


@st.composite
def _arrays(
    draw: DrawFn,
    dtype: np.dtype[Any],
    shape: SearchStrategy[Shape],
    elements: SearchStrategy[Any],
    ties: bool,
    layouts: bool,
) -> Array:
    return laid_out(draw, dtype, draw(shape), elements, ties, layouts)


def _as_shape(shape: int | Sequence[int]) -> Shape:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def numbers_for(who: str, dtype: DTypeLike, values: Values, subnormals: bool = False) -> Numbers:
    """Return which numbers are meant.

    Raises:
        DtypeError: the dtype is not one of floats of at most 64 bits, nor object.
        ValueError: `values` is not known, or forbids subnormals.
    """
    wanted = np.dtype(dtype)
    if wanted not in (np.float16, np.float32, np.float64, np.object_):
        raise DtypeError(
            f"{who}: dtype {wanted} was given; it is float16, float32, float64, or object for "
            "Fractions."
        )
    if values not in ("any", *DENOMINATORS):
        raise ValueError(f"{who}: values={values!r} was given; it is 'any', 'integer' or 'dyadic'.")
    if subnormals and (values != "any" or wanted.hasobject):
        raise ValueError(
            f"{who}: subnormals were asked for with values={values!r} and dtype {wanted}, which "
            "has none. Draw floats of any value for those."
        )
    return Numbers(wanted, values, subnormals)
