"""Splitting data in two: one part to learn from, one to test on."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core import Tensor
from ..errors import ShapeError

WHO = "train_test_split"


def train_test_split(
    *arrays: Any,
    test_size: float | int = 0.25,
    rng: np.random.Generator | int | None = None,
    stratify: ArrayLike | None = None,
    shuffle: bool = True,
) -> list[Any]:
    """Return each array in two parts, the same rows in each: `[a_train, a_test, b_train, ...]`.

    The parts are copies; a Tensor gives Tensors, a table with `iloc`, as those of pandas, gives
    tables, anything else arrays.

    Args:
        arrays: one or more, each any[n, ...].
        test_size: a fraction between 0 and 1, rounded up to whole rows; or an int, the number of
            rows to test on.
        rng: None for a split that differs each time; an int or a Generator for one to repeat.
        stratify: any[n], the class of each row: both parts then have classes in the proportion of
            the whole, as nearly as whole rows allow.
        shuffle: whether rows are taken at random; else the last ones are to test on, as suits what
            is ordered in time.

    Returns:
        A list of twice as many: any[n - n_test, ...] and any[n_test, ...] of each.

    Raises:
        ShapeError: the arrays differ in length, or one is a single number.
        ValueError: a part would be empty, or `stratify` has a class of one row or more classes than
            a part has rows, or rows are to stay in order.
        TypeError: no array was given, something is no array, as None, a dict or a sparse matrix, or
            `test_size` is not a number.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, y = np.arange(12).reshape(6, 2), np.array([0, 0, 0, 1, 1, 1])
    >>> x_train, x_test, y_train, y_test = mg.datasets.train_test_split(
    ...     x, y, test_size=2, rng=0, stratify=y)
    >>> x_train.shape, x_test.shape, np.sort(y_test)
    ((4, 2), (2, 2), array([0, 1]))
    """
    if not arrays:
        raise TypeError(f"{WHO}: no array was given; it splits one or more. Pass x, or x and y.")
    columns = [_with_rows(f"array {i}", a) for i, a in enumerate(arrays, 1)]
    classes = None if stratify is None else np.asarray(_with_rows("stratify", stratify))
    n = _common_length(columns if classes is None else [*columns, classes])
    n_test = _count(test_size, n)
    train, test = _rows(n, n_test, classes, shuffle, np.random.default_rng(rng))
    tables = [column.iloc if hasattr(column, "iloc") else column for column in columns]
    return [table[rows] for table in tables for rows in (train, test)]


def _with_rows(name: str, given: Any) -> Any:
    """Return something of which rows can be taken: an array, unless it is better not made one.

    Raises:
        ShapeError: a single number was given.
        TypeError: it has no rows.
    """
    if isinstance(given, Tensor) or (hasattr(given, "iloc") and hasattr(given, "ndim")):
        column = given
    else:
        column = np.asarray(given)
    if column.ndim:
        return column
    if column.dtype.kind in "biufc":
        raise ShapeError(
            f"{WHO}: a single number was given; it needs arrays with rows. Pass arrays of "
            "at least one dimension."
        )
    raise TypeError(
        f"{WHO}: {_kind(given)} was given as {name}; it needs arrays, lists or tables with rows. "
        f"{_advice(given)}"
    )


def _kind(given: Any) -> str:
    return "None" if given is None else f"an object of type {type(given).__name__}"


def _advice(given: Any) -> str:
    if given is None:
        return "Leave it out."
    if hasattr(given, "toarray"):
        return "Make it dense with toarray()."
    if isinstance(given, Mapping):
        return "Pass its values, each as an array."
    return "Make a list or an array of it."


def _rows(
    n: int,
    n_test: int,
    classes: NDArray[Any] | None,
    shuffle: bool,
    generator: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which rows are for training and which for testing."""
    if shuffle not in (True, False):
        raise ValueError(f"{WHO}: shuffle={shuffle!r} was given; it must be True or False.")
    if shuffle and classes is not None:
        return _stratified(classes, n_test, generator)
    if classes is not None:
        raise ValueError(
            f"{WHO}: stratify and shuffle=False were both given; rows by class cannot be the last "
            "ones. Leave one out."
        )
    if not shuffle:
        order = np.arange(n)
        return order[: n - n_test], order[n - n_test :]
    order = generator.permutation(n)
    return order[n_test:], order[:n_test]


def _common_length(columns: list[Any]) -> int:
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ShapeError(
            f"{WHO}: arrays of {' and '.join(map(str, lengths))} rows were given; all need the "
            "same number. Pass arrays that belong together row by row."
        )
    return lengths[0]


def _count(test_size: float | int, n: int) -> int:
    """Return how many of n rows `test_size` asks for, which leaves at least one in each part."""
    if isinstance(test_size, (float, np.floating)):
        count = rows_in(float(test_size), n) if 0 < test_size < 1 else 0
        needed = "a fraction lies between 0 and 1"
    else:
        count = _whole(test_size)
        needed = f"a number of rows lies between 1 and {n - 1}"
    if not 0 < count < n:
        raise ValueError(
            f"{WHO}: test_size={test_size} was given for {n} rows; {needed}, and both parts need "
            "a row. Choose another size, as 0.25."
        )
    return count


def rows_in(fraction: float, n: int) -> int:
    """Return how many of n rows a fraction is, rounded up.

    >>> rows_in(0.07, 100)  # though 0.07 * 100 is 7.000000000000001
    7
    """
    return math.ceil(round(fraction * n, 9))


def _whole(test_size: Any) -> int:
    try:
        if not isinstance(test_size, (bool, np.bool_)):
            return operator.index(test_size)
    except TypeError:
        pass
    raise TypeError(
        f"{WHO}: test_size={test_size!r} was given; it needs a fraction or a number of rows. "
        "Pass a float or an int."
    )


def _stratified(
    labels: NDArray[Any], n_test: int, generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of both parts, each in random order."""
    if labels.ndim != 1:
        raise ShapeError(
            f"{WHO}: stratify of shape {labels.shape} was given; it needs one class a row. "
            "Pass an array of one dimension."
        )
    classes, kinds, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        rare = classes[counts.argmin()]
        raise ValueError(
            f"{WHO}: stratify has one row of class {rare}; a class needs two to be split. "
            "Drop that row, or leave stratify out."
        )
    if len(classes) > min(n_test, len(labels) - n_test):
        raise ValueError(
            f"{WHO}: stratify has {len(classes)} classes, and the parts have "
            f"{len(labels) - n_test} and {n_test} rows; both need a row for each class. "
            "Change test_size, or leave stratify out."
        )
    order = generator.permutation(len(labels))
    by_class = order[np.argsort(kinds[order], kind="stable")]
    groups = np.split(by_class, np.cumsum(counts)[:-1])
    shares = _shares(counts, n_test, generator)
    test = [rows[:share] for rows, share in zip(groups, shares, strict=True)]
    train = [rows[share:] for rows, share in zip(groups, shares, strict=True)]
    return (
        generator.permutation(np.concatenate(train)),
        generator.permutation(np.concatenate(test)),
    )


def _shares(
    counts: NDArray[np.intp], n_test: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Return how many test rows each class gets: its exact share, off by less than one row.

    The rows that rounding down leaves over go where most was rounded off, equals at random.
    """
    shares, remainders = np.divmod(counts * n_test, counts.sum())
    spare = n_test - shares.sum()
    order = np.lexsort((generator.random(len(counts)), -remainders))
    shares[order[:spare]] += 1
    return np.asarray(shares, np.intp)
