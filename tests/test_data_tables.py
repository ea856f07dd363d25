"""Tables of others: frames and what else becomes an array goes in; what is no number is named."""

import re

import numpy as np
import pytest

import microgrid as mg
from microgrid.data.tables import as_numbers
from microgrid.datasets import Standardizer, train_test_split
from microgrid.errors import DtypeError


class Table:
    """What a frame has at least."""

    def __init__(self, array, columns):
        self.array, self.columns = np.asarray(array), columns

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


class Column(Table):
    """What a series has at least."""

    def __init__(self, array, name):
        self.array, self.name = np.asarray(array), name


NUMBERS = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]
MIXED = np.array([[1.0, "a", 2], [2.0, "b", None]], object)


def refused(message):
    return pytest.raises(DtypeError, match=f"^{re.escape(message)}$")


def test_a_table_of_numbers_is_an_array():
    table = Table(NUMBERS, ["a", "b"])
    assert np.array_equal(as_numbers("fit", table), NUMBERS)
    assert mg.metrics.mse(table, np.zeros((3, 2))) == mg.metrics.mse(NUMBERS, np.zeros((3, 2)))
    assert np.array_equal(Standardizer().fit(table).mean, [[3.0, 13 / 3]])
    assert mg.predict(mg.nn.Dense(2, 1, rng=0), table).shape == (3, 1)


def test_columns_without_numbers_are_named():
    with refused(
        "fit: the Table has no numbers in columns 'word' (str), 'gap' (NoneType). Drop what is not "
        "for learning, and turn words and dates into numbers."
    ):
        as_numbers("fit", Table(MIXED, ["size", "word", "gap"]))


def test_dates_are_named_too():
    with refused(
        "fit: the Column has no numbers in column 'day' (datetime64[D]). Drop what is not for "
        "learning, and turn words and dates into numbers."
    ):
        as_numbers("fit", Column(np.array(["2020-01-01"], "M8[D]"), "day"))


def test_of_many_columns_five_are_named():
    table = Table(np.full((1, 8), "a"), list("abcdefgh"))
    with pytest.raises(DtypeError, match=r"'e' \(<U1\) and 3 more\. Drop"):
        as_numbers("fit", table)


@pytest.mark.parametrize("x", [MIXED, MIXED.tolist(), Table(MIXED, ["too", "few"])])
def test_without_names_the_error_is_that_of_arrays(x):
    with pytest.raises(DtypeError, match=r"^fit: a str was given as a number; it needs real"):
        as_numbers("fit", x)


def test_columns_with_gaps_are_named():
    table = Table([[1.0, np.nan], [2.0, 3.0]], ["size", "gap"])
    message = (
        "Standardizer.fit: nan or inf was given in column 'gap'. Remove or replace what is missing."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Standardizer().fit(table)


# --- pandas --------------------------------------------------------------------------------------


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture
def frame(pandas):
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=20), "b": rng.integers(0, 9, 20), "c": rng.random(20) < 0.5}
    return pandas.DataFrame(columns, index=np.arange(100, 120))


def test_a_frame_trains_as_its_array_does(pandas, frame):
    target = pandas.Series(frame["a"] > 0, name="y").astype(int)
    runs = []
    for x, y in ((frame, target), (frame.to_numpy(float), target.to_numpy())):
        model = mg.nn.MLP([3, 4, 2], rng=0)
        run = mg.fit(model, x, y, loss="cross_entropy", optimizer="sgd", metrics="accuracy",
                     verbose=0, rng=0)  # fmt: skip
        runs.append((run.history, mg.predict(model, x).tolist()))
    assert runs[0] == runs[1]


def test_metrics_take_series(pandas):
    p, t = pandas.Series([0.5, -1.0, 2.0], index=[7, 8, 9]), pandas.Series([1, 0, 0])
    assert mg.metrics.accuracy(p, t) == 2 / 3
    assert mg.metrics.roc_auc(p, t, pandas.Series([1, 1, 2])) == 1 / 3


def test_a_frame_is_split_into_frames(frame):
    train, test, y_train, _ = train_test_split(frame, frame["b"], test_size=5, rng=0)
    assert list(train.columns) == ["a", "b", "c"]
    assert (len(train), len(test)) == (15, 5)
    assert train["b"].equals(y_train)
    assert sorted([*train.index, *test.index]) == list(range(100, 120))
    assert train.equals(frame.loc[train.index])


def test_a_frame_with_words_is_refused_by_their_name(frame):
    with pytest.raises(DtypeError, match=r"no numbers in column 'word' \(str\)"):
        mg.metrics.mse(frame.assign(word="x"), np.zeros(20))


def test_a_bunch_of_scikit_learn_trains():
    bunch = pytest.importorskip("sklearn.datasets").load_iris()
    x_train, x_test, y_train, y_test = train_test_split(
        bunch.data, bunch.target, stratify=bunch.target, rng=0
    )
    scaler = Standardizer().fit(x_train)
    model = mg.nn.MLP([4, 8, 3], rng=0)
    mg.fit(model, scaler.transform(x_train), y_train, loss="cross_entropy", epochs=60,
           optimizer=mg.optim.SGD(model.parameters(), lr=0.1), verbose=0, rng=0)  # fmt: skip
    scores = mg.predict(model, scaler.transform(x_test))
    assert mg.metrics.accuracy(scores, y_test) > 0.9
