"""Samples, checked before training starts where they fit into memory, and cut into batches."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array, as_array
from ..data.split import rows_in
from ..data.tables import as_numbers
from ..errors import DtypeError, ShapeError
from ..finite import is_finite
from .weights import ClassWeight, as_weights

GATHERED = 1 << 18  # bytes

Batch: TypeAlias = tuple[Array, ...]  # x, y and, if there are any, the weights of the samples


@dataclass(frozen=True)
class Samples:
    """Inputs and targets of as many samples, any[n, ...] each, and what each of them weighs.

    Attributes:
        x, y, weight: as batches have them; `weight` is float[n] or None.
        stored: whether x or y is an array in a file, read batch by batch, of another dtype maybe.
        dtype: what floats are cast to.
    """

    who: str
    x: Array
    y: Array
    dtype: np.dtype[Any]
    weight: Array | None = None
    stored: bool = False

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.x)

    def steps(self, size: int) -> int:
        """How many batches an epoch has."""
        return math.ceil(self.count / size)

    def split(self, first: int) -> tuple[Samples, Samples]:
        """Return the first samples and the others."""
        return self._part(slice(first)), self._part(slice(first, None))

    def _part(self, rows: slice) -> Samples:
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], weight=weight)

    def batches(self, size: int, order: Array | None = None, skipped: int = 0) -> Iterator[Batch]:
        """Yield batches, in the given order of samples or as they come, but the first `skipped`."""
        start = skipped * size
        columns = (self.x, self.y) if self.weight is None else (self.x, self.y, self.weight)
        if self.stored:
            yield from self._from_files(columns, size, order, start)
        elif order is None:
            for first in range(start, self.count, size):
                yield tuple(column[first : first + size] for column in columns)
        else:
            yield from _gathered(columns, size, order, start)

    def _from_files(
        self, columns: Batch, size: int, order: Array | None, start: int
    ) -> Iterator[Batch]:
        for first in range(start, self.count, size):
            rows: Any = slice(first, first + size) if order is None else order[first : first + size]
            x, y, *weight = (np.asarray(column[rows]) for column in columns)
            yield (
                _checked(self.who, "x", x, self.dtype),
                _checked(self.who, "y", y, None if y.dtype.kind in "iub" else self.dtype),
                *weight,
            )


def _gathered(columns: Batch, size: int, order: Array, start: int) -> Iterator[Batch]:
    # Several batches are gathered at once, as many as stay in the cache.
    sample = max(columns[0][:1].nbytes, 1)
    many = size * max(GATHERED // (sample * size), 1)
    for first in range(start, len(order), many):
        chosen = order[first : first + many]
        taken = [column.take(chosen, axis=0) for column in columns]
        starts = range(0, len(chosen), size)
        yield from zip(*([a[i : i + size] for i in starts] for a in taken), strict=True)


@dataclass
class Stream:
    """Batches that something yields: (x, y) or (x, y, sample weights).

    Attributes:
        who: the function that was called.
        source: what can be iterated over anew for each epoch, or a function that returns it; with
            `per_epoch`, an iterator that goes on and on.
        dtype: what floats are cast to.
        class_weight: what the samples of a class weigh.
        per_epoch: how many batches are an epoch, or None for all that come.
        passed: how many batches of one that goes on and on an earlier run has used.
    """

    who: str
    source: Iterable[Any] | Callable[[], Iterable[Any]]
    dtype: np.dtype[Any]
    class_weight: ClassWeight = None
    per_epoch: int | None = None
    passed: int = 0
    _going: Iterator[Any] | None = None

    def steps(self, size: int) -> int | None:
        """How many batches an epoch has, or None if only the source knows."""
        if self.per_epoch is not None:
            return self.per_epoch
        try:
            return len(self.source)  # type: ignore[arg-type]
        except TypeError:
            return None

    def batches(self, size: int, order: Array | None = None, skipped: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, but the first `skipped`.

        Raises:
            ValueError: there are none, or fewer than `per_epoch`.
        """
        count = 0
        for count, batch in enumerate(self._raw(), 1):
            if count > skipped:
                yield self._batch(batch)
            if count == self.per_epoch:
                return
        if self.per_epoch is not None or not count:
            wanted = "any" if self.per_epoch is None else f"{self.per_epoch} are an epoch"
            raise ValueError(
                f"{self.who}: x ended after {count} batches, and {wanted} were wanted. Pass "
                "something that can be iterated over anew, as a list or a function that makes "
                "a generator."
            )

    def _raw(self) -> Iterator[Any]:
        if self.per_epoch is None:
            return self._begin()
        if self._going is None:
            self._going = itertools.islice(self._begin(), self.passed, None)
        return self._going

    def _begin(self) -> Iterator[Any]:
        return iter(self.source() if callable(self.source) else self.source)

    def _batch(self, batch: Any) -> Batch:
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise TypeError(
                f"{self.who}: x yielded type {type(batch).__name__}; it must yield pairs (x, y) or "
                "triples (x, y, sample_weight)."
            )
        samples = as_samples(self.who, batch[0], batch[1], self.dtype)
        given = batch[2] if len(batch) == 3 else None
        weight = as_weights(
            self.who, given, self.class_weight, samples.y, self.dtype, some_weigh=False
        )
        return (samples.x, samples.y) if weight is None else (samples.x, samples.y, weight)


Source: TypeAlias = Samples | Stream


def is_stream(x: Any) -> bool:
    """Return whether x, given without y, yields batches."""
    return (callable(x) or isinstance(x, Iterable)) and not hasattr(x, "__array__")


def as_stream(
    who: str,
    x: Any,
    dtype: np.dtype[Any],
    name: str = "x",
    *,
    class_weight: ClassWeight = None,
    steps: int | None = None,
    again: bool = False,
) -> Stream:
    """Return what yields batches, checked as far as can be before it begins.

    Args:
        who, x, dtype, class_weight: of the Stream.
        steps: how many batches are an epoch, or None for all.
        again: whether there are several epochs.

    Raises:
        TypeError: it does not yield anything.
        ValueError: it can be iterated over once only, and there are several epochs.
    """
    if not is_stream(x):
        raise TypeError(
            f"{who}: x of type {type(x).__name__} was given without y; it needs both, or something "
            "that yields batches (x, y)."
        )
    if isinstance(class_weight, str):
        raise ValueError(
            f"{who}: class_weight={class_weight!r} was given with batches that are not known "
            "beforehand. Pass a dict {class: weight}."
        )
    if not callable(x) and iter(x) is x and steps is None and again:
        raise ValueError(
            f"{who}: {name} is an iterator, which ends after one epoch, and is needed for several. "
            "Pass the function that makes it"
            + (", or steps_per_epoch if it never ends." if name == "x" else ".")
        )
    return Stream(who, x, dtype, class_weight, steps)


def as_samples(who: str, x: Any, y: Any, dtype: np.dtype[Any], names: str = "x and y") -> Samples:
    """Return x and y, checked: floats and all of x in `dtype`, integers of y as they are.

    Arrays in files (np.memmap) stay there, and are cast and checked batch by batch.

    Raises:
        DtypeError: one is not numeric.
        ShapeError: their lengths differ, or one is a single number.
        ValueError: there are no samples, or one is nan or infinite.
    """
    x_name, y_name = names.split(" and ")
    stored = _is_stored(who, x) or _is_stored(who, y)
    inputs = x if _is_stored(who, x) else as_inputs(who, x, dtype, x_name)
    targets = y if _is_stored(who, y) else _as_targets(who, y, y_name)
    if targets.dtype.kind in "fO" and not _is_stored(who, y):
        targets = _cast(targets, dtype)
    if not targets.ndim or len(inputs) != len(targets):
        raise ShapeError(
            f"{who}: {x_name} has shape {inputs.shape} and {y_name} {targets.shape}; "
            "the first dimension counts the samples and must be the same."
        )
    if not len(inputs):
        raise ValueError(f"{who}: {x_name} has shape {inputs.shape}: there are no samples.")
    for name, array in ((x_name, inputs), (y_name, targets)):
        if not _is_stored(who, array):
            check_finite(who, name, array)
    return Samples(who, inputs, targets, dtype, stored=stored)


def _as_targets(who: str, y: Any, name: str) -> Array:
    try:
        return as_numbers(who, y)
    except DtypeError as error:
        first = next(iter(np.asarray(y, dtype=object).flat), None)
        if not isinstance(first, str):
            raise
        raise DtypeError(
            f"{who}: {name} holds text, as {str(first)!r}; it needs numbers. Number the classes: "
            f"names, {name} = np.unique({name}, return_inverse=True)."
        ) from error


def as_inputs(who: str, x: Any, dtype: np.dtype[Any], name: str = "x") -> Array:
    """Return x as an array of samples in `dtype`; one in a file stays there.

    Raises:
        DtypeError: x is not numeric.
        ShapeError: x is a single number.
    """
    inputs: Array = x if _is_stored(who, x) else _cast(as_numbers(who, x), dtype)
    if not inputs.ndim:
        raise ShapeError(
            f"{who}: {name} is a single number; its first dimension must count the samples. "
            "Put it in a list."
        )
    return inputs


def held_out(who: str, samples: Samples, fraction: float) -> tuple[Samples, Samples]:
    """Return all but the last `fraction` of the samples, and those.

    Raises:
        ValueError: the fraction is not between 0 and 1, or leaves one side empty.
        TypeError: it is not a number.
    """
    if not isinstance(fraction, Real):
        raise TypeError(
            f"{who}: validation_split={fraction!r} was given; it must be a number, at least 0 and "
            "below 1."
        )
    if not 0 < fraction < 1:
        raise ValueError(
            f"{who}: validation_split={fraction!r} was given; it must be at least 0 and below 1."
        )
    first = samples.count - rows_in(float(fraction), samples.count)
    if not 0 < first < samples.count:
        raise ValueError(
            f"{who}: validation_split={fraction!r} of {samples.count} samples leaves {first} to "
            f"train on and {samples.count - first} to validate; both need at least one."
        )
    return samples.split(first)


def as_count(who: str, name: str, value: Any, least: int) -> int:
    """Return value as an int.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is below `least`.
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{who}: {name}={value!r} was given; it must be an integer.") from None
    if count < least:
        raise ValueError(f"{who}: {name}={count} was given; it must be at least {least}.")
    return count


def _is_stored(who: str, array: Any) -> bool:
    if not isinstance(array, np.memmap):
        return False
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"{who}: a file of dtype {array.dtype} was given; it needs real numbers.")
    return True


def _checked(who: str, name: str, array: Array, dtype: np.dtype[Any] | None) -> Array:
    """Return what was read, in `dtype` if there is one."""
    native = as_array(who, array)
    cast = native if dtype is None else _cast(native, dtype)
    check_finite(who, name, cast)
    return cast


def _cast(array: Array, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):  # what is too large becomes inf, and is found by the check
        return array.astype(dtype, copy=False)


def check_finite(who: str, name: str, array: Array) -> None:
    """Raise unless all samples are finite.

    Raises:
        ValueError: some are not.
    """
    if is_finite(array):
        return
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    raise ValueError(
        f"{who}: {name} has nan, inf or numbers beyond {array.dtype} in {bad.sum()} of "
        f"{len(array)} samples, the first at {name}[{bad.argmax()}]. Remove or replace them."
    )
