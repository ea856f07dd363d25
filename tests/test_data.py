import hashlib
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import microgrid as mg
from microgrid.data import load_digits, train_test_split
from microgrid.errors import ShapeError


def parts(n, **options):
    return train_test_split(np.arange(n), **options)


# --- the digits ----------------------------------------------------------------------------------


def test_digits_have_the_documented_shapes_and_dtypes():
    x, y = load_digits()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((1797, 64), np.float32, (1797,), np.int64)


def test_digits_are_known_by_their_checksum():
    x, y = load_digits()
    stored = x.astype(np.uint8).tobytes() + y.astype(np.uint8).tobytes()
    known = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
    assert hashlib.sha256(stored).hexdigest() == known


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs_x, theirs_y = datasets.load_digits(return_X_y=True)
    x, y = load_digits()
    assert np.array_equal(x, theirs_x)
    assert np.array_equal(y, theirs_y)


def test_scaled_digits_lie_between_0_and_1():
    x, y = load_digits()
    scaled, same = load_digits(scale=True)
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled * 16, x)
    assert np.array_equal(same, y)


def test_digits_loaded_twice_share_no_memory():
    load_digits()[0][:] = -1
    assert load_digits()[0].min() == 0


# --- the split -----------------------------------------------------------------------------------


@given(st.integers(2, 60), st.data())
def test_every_row_is_in_exactly_one_part(n, data):
    size = data.draw(st.integers(1, n - 1))
    train, test = parts(n, test_size=size, rng=data.draw(st.integers(0, 9)))
    assert (len(train), len(test)) == (n - size, size)
    assert sorted([*train, *test]) == list(range(n))


def test_rows_stay_together_across_arrays():
    x = np.arange(20).reshape(10, 2)
    x_train, x_test, y_train, y_test = train_test_split(x, x[:, 0].tolist(), rng=0)
    assert np.array_equal(x_train[:, 0], y_train)
    assert np.array_equal(x_test[:, 0], y_test)


@pytest.mark.parametrize(
    ("test_size", "n", "rows"),
    [(0.25, 10, 3), (0.2, 1797, 360), (0.07, 100, 7), (0.5, 3, 2), (0.01, 10, 1), (4, 10, 4)],
)
def test_a_fraction_is_rounded_up_to_whole_rows(test_size, n, rows):
    assert len(parts(n, test_size=test_size)[1]) == rows


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    assert all(map(np.array_equal, parts(50, rng=3), parts(50, rng=3)))
    assert not np.array_equal(parts(50, rng=3)[1], parts(50, rng=4)[1])


def test_a_generator_moves_on_between_splits():
    generator = np.random.default_rng(0)
    assert not np.array_equal(parts(50, rng=generator)[1], parts(50, rng=generator)[1])


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002  that is what must not change
    parts(10)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("stratify", [None, np.arange(100) % 2])
def test_both_parts_are_shuffled(stratify):
    for part in parts(100, test_size=0.5, rng=0, stratify=stratify):
        assert not np.array_equal(part, np.sort(part))


def test_without_shuffling_the_last_rows_are_to_test_on():
    train, test = parts(10, test_size=0.3, shuffle=False)
    assert train.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert test.tolist() == [7, 8, 9]


@pytest.mark.parametrize("shuffle", [True, False])
def test_parts_are_copies(shuffle):
    x = np.zeros(4)
    train, test = train_test_split(x, shuffle=shuffle)
    train[:] = test[:] = 1
    assert np.array_equal(x, np.zeros(4))


def test_a_tensor_gives_tensors_that_stay_in_the_graph():
    x = mg.tensor(np.arange(4.0), requires_grad=True)
    train, test = train_test_split(x, test_size=1, rng=0)
    (2 * test.sum() + train.sum()).backward()
    assert np.array_equal(np.sort(x.grad), [1, 1, 1, 2])


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=5),
    st.floats(0.05, 0.95),
    st.integers(0, 9),
)
def test_stratified_parts_have_each_class_in_proportion(counts, test_size, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = int(np.ceil(test_size * len(labels)))
    assume(len(counts) <= min(rows, len(labels) - rows))
    train, test = train_test_split(labels, test_size=rows, rng=seed, stratify=labels)
    assert len(test) == rows
    found = np.bincount(test, minlength=len(counts))
    assert np.all(np.abs(found - rows * np.array(counts) / len(labels)) < 1)
    assert np.array_equal(found + np.bincount(train, minlength=len(counts)), counts)


def test_stratified_parts_agree_with_scikit_learn_in_size():
    selection = pytest.importorskip("sklearn.model_selection")
    y = load_digits()[1]
    theirs = selection.train_test_split(y, test_size=0.2, stratify=y, random_state=0)
    ours = train_test_split(y, test_size=0.2, stratify=y, rng=0)
    for our_part, their_part in zip(ours, theirs, strict=True):
        assert np.all(np.abs(np.bincount(our_part) - np.bincount(their_part)) <= 1)


def test_classes_may_be_words():
    labels = ["cat", "dog"] * 10
    _, test = train_test_split(labels, test_size=4, stratify=labels, rng=0)
    assert sorted(test) == ["cat", "cat", "dog", "dog"]


# --- what is refused -----------------------------------------------------------------------------


class Sparse:
    """Stands for a matrix of SciPy, which has no `__array__`."""

    ndim, shape = 2, (8, 3)

    def toarray(self):
        return np.zeros(self.shape)


@pytest.mark.parametrize(
    ("arrays", "options", "kind", "message"),
    [
        (
            [],
            {},
            TypeError,
            "train_test_split: no array was given; it splits one or more. Pass x, or x and y.",
        ),
        (
            [np.zeros(3), np.zeros(4)],
            {},
            ShapeError,
            "train_test_split: arrays of 3 and 4 rows were given; all need the same number. "
            "Pass arrays that belong together row by row.",
        ),
        (
            [np.zeros(3)],
            {"stratify": [0, 1]},
            ShapeError,
            "train_test_split: arrays of 3 and 2 rows were given; all need the same number. "
            "Pass arrays that belong together row by row.",
        ),
        (
            [5.0],
            {},
            ShapeError,
            "train_test_split: a single number was given; it needs arrays with rows. "
            "Pass arrays of at least one dimension.",
        ),
        (
            [np.zeros(8), None],
            {},
            TypeError,
            "train_test_split: None was given as array 2; it needs arrays, lists or tables with "
            "rows. Leave it out.",
        ),
        (
            [{"x": np.zeros(8)}],
            {},
            TypeError,
            "train_test_split: an object of type dict was given as array 1; it needs arrays, lists "
            "or tables with rows. Pass its values, each as an array.",
        ),
        (
            [Sparse()],
            {},
            TypeError,
            "train_test_split: an object of type Sparse was given as array 1; it needs arrays, "
            "lists or tables with rows. Make it dense with toarray().",
        ),
        (
            [np.zeros(8)],
            {"stratify": "y"},
            TypeError,
            "train_test_split: an object of type str was given as stratify; it needs arrays, lists "
            "or tables with rows. Make a list or an array of it.",
        ),
        (
            [np.zeros(8)],
            {"test_size": 1.5},
            ValueError,
            "train_test_split: test_size=1.5 was given for 8 rows; a fraction lies between 0 and "
            "1, and both parts need a row. Choose another size, as 0.25.",
        ),
        (
            [np.zeros(8)],
            {"test_size": 8},
            ValueError,
            "train_test_split: test_size=8 was given for 8 rows; a number of rows lies between 1 "
            "and 7, and both parts need a row. Choose another size, as 0.25.",
        ),
        (
            [np.zeros(8)],
            {"test_size": True},
            TypeError,
            "train_test_split: test_size=True was given; it needs a fraction or a number of rows. "
            "Pass a float or an int.",
        ),
        (
            [np.zeros(4)],
            {"stratify": [0, 0, 0, 1]},
            ValueError,
            "train_test_split: stratify has one row of class 1; a class needs two to be split. "
            "Drop that row, or leave stratify out.",
        ),
        (
            [np.zeros(6)],
            {"stratify": [0, 0, 1, 1, 2, 2], "test_size": 2},
            ValueError,
            "train_test_split: stratify has 3 classes, and the parts have 4 and 2 rows; both need "
            "a row for each class. Change test_size, or leave stratify out.",
        ),
        (
            [np.zeros(4)],
            {"stratify": np.zeros((4, 1))},
            ShapeError,
            "train_test_split: stratify of shape (4, 1) was given; it needs one class a row. "
            "Pass an array of one dimension.",
        ),
        (
            [np.zeros(4)],
            {"stratify": [0, 0, 1, 1], "shuffle": False},
            ValueError,
            "train_test_split: stratify and shuffle=False were both given; rows by class cannot be "
            "the last ones. Leave one out.",
        ),
        (
            [np.zeros(4)],
            {"shuffle": 3},
            ValueError,
            "train_test_split: shuffle=3 was given; it must be True or False.",
        ),
    ],
)
def test_a_split_that_cannot_be_is_refused(arrays, options, kind, message):
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        train_test_split(*arrays, **options)


@pytest.mark.parametrize("test_size", [0, 0.0, 1.0, -0.1, -1, float("nan"), 9])
def test_a_split_that_leaves_a_part_empty_is_refused(test_size):
    with pytest.raises(ValueError, match="both parts need a row"):
        parts(8, test_size=test_size)


def test_one_row_cannot_be_split():
    with pytest.raises(ValueError, match=r"test_size=0\.25 was given for 1 rows"):
        parts(1)
