"""Metrics over batches: the figure of an epoch is that of its samples, however they are cut."""

import functools
import itertools
import math
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid.metrics import Averaged, Collected, direction
from microgrid.metrics.metric import as_number
from microgrid.train.metrics import METRICS, named_metrics
from microgrid.train.names import LOSSES
from microgrid.train.tally import Tally

SCORES = np.random.default_rng(0).integers(-2, 3, (60, 7)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 7, 60)
WEIGHTS = np.random.default_rng(2).integers(0, 3, 60) / 2
NAMES = [*METRICS, "top_3_accuracy"]
OF_NUMBERS = ("mse", "mae", "rmse", "r2", "max_error")


def named(name):
    return named_metrics("fit", name)[name if name != "top_k_accuracy" else "top_5_accuracy"]


def whole(name):
    """What the function of that name makes of all samples."""
    target = SCORES[:, ::-1] if name in OF_NUMBERS else LABELS
    if name == "top_3_accuracy":
        return functools.partial(mg.metrics.top_k_accuracy, k=3), target
    return getattr(mg.metrics, name), target


cuts = st.lists(st.integers(0, 60), max_size=5).map(lambda places: [0, *sorted(places), 60])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@settings(max_examples=8)
@given(places=cuts)
def test_batches_of_any_size_give_the_figure_of_the_whole(name, weights, places):
    metric = named(name)
    function, target = whole(name)
    metric.start()
    for first, end in itertools.pairwise(places):
        rows = slice(first, end)
        metric.add(SCORES[rows], target[rows], None if weights is None else weights[rows])
    # Sums in another order; R2 has means of means.
    assert math.isclose(metric.result(), function(SCORES, target, weights), rel_tol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_added_is_forgotten_at_the_start(name):
    metric = named(name)
    _, target = whole(name)
    metric.add(SCORES[:30], target[:30])
    metric.start()
    assert math.isnan(metric.result())


@pytest.mark.parametrize("name", NAMES)
def test_a_call_leaves_what_was_added_alone(name):
    metric = named(name)
    function, target = whole(name)
    metric.add(SCORES[:30], target[:30])
    before = metric.result()
    alone = metric(SCORES[30:], target[30:])
    np.testing.assert_equal(alone, function(SCORES[30:], target[30:]))  # nan is the same as nan
    np.testing.assert_equal(metric.result(), before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("done", [0, 25])
def test_another_metric_goes_on_where_one_stood(name, done):
    metric, other, function = named(name), named(name), whole(name)[0]
    _, target = whole(name)
    if done:
        metric.add(SCORES[:done], target[:done])
    state = metric.state_dict()
    metric.add(SCORES[done:], target[done:])
    other.load_state_dict(state)
    other.add(SCORES[done:], target[done:])
    assert other.result() == metric.result()
    assert math.isclose(other.result(), function(SCORES, target), rel_tol=1e-13)
    assert all(isinstance(value, (int, float, np.ndarray)) for value in state.values())


@pytest.mark.parametrize("name", [n for n in NAMES if named_metrics("fit", n).popitem()[1].running])
def test_most_metrics_keep_no_samples(name):
    metric = named(name)
    _, target = whole(name)
    metric.add(SCORES, target)
    tracemalloc.start()
    for _ in range(20):
        metric.add(SCORES, target)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 10_000  # one batch of SCORES is 1680 bytes, but for what Python's caches keep


def test_classes_that_come_later_count_too():
    metric, matrix = mg.metrics.F1(average=None), mg.metrics.ConfusionMatrix()
    for answers, labels in (([0, 1], [0, 0]), ([3, 1], [3, 2]), ([0, 1], [0, 1])):
        metric.add(answers, labels)
        matrix.add(answers, labels)
    everything = [0, 1, 3, 1, 0, 1], [0, 0, 3, 2, 0, 1]
    assert np.array_equal(metric.result(), mg.metrics.f1(*everything, average=None))
    assert np.array_equal(matrix.result(), mg.metrics.confusion_matrix(*everything))


def test_a_matrix_becomes_float_with_the_first_weight():
    matrix = mg.metrics.ConfusionMatrix()
    matrix.add([0, 1], [0, 1])
    matrix.add([0, 1], [0, 1], [0.5, 0.25])
    assert np.array_equal(matrix.result(), [[1.5, 0], [0, 1.25]])


# --- functions of the user -----------------------------------------------------------------------


def spread(prediction, target):
    return np.ptp(prediction - target)


def weighted_bias(prediction, target, sample_weight=None):
    return np.average(prediction - target, weights=sample_weight)


def test_a_function_is_called_once_with_all_that_was_collected():
    calls = []

    def count(prediction, target):
        calls.append(len(target))
        return 0

    metric = Collected(count)
    for size in (3, 4, 1):
        metric.add(np.zeros((size, 2)), np.zeros(size))
    assert metric.result() == 0
    assert calls == [8]


def test_an_averaged_function_is_called_for_each_batch():
    metric = Averaged(spread)
    metric.add(np.array([0.0, 2.0, 5.0]), np.zeros(3))
    metric.add(np.array([7.0]), np.zeros(1))
    assert metric.result() == (3 * 5 + 1 * 0) / 4


@pytest.mark.parametrize("make", [Averaged, Collected])
def test_weights_reach_functions_that_take_them(make):
    metric, p = make(weighted_bias), np.array([1.0, 2.0, 4.0])
    metric.add(p[:2], np.zeros(2), np.array([1.0, 3.0]))
    metric.add(p[2:], np.zeros(1), np.array([0.0]))
    assert metric.result() == 7 / 4
    other = make(spread)
    other.add(p, np.zeros(3), np.ones(3))
    assert other.result() == 3


def test_a_batch_without_weights_counts_whole():
    metric = Collected(weighted_bias)
    metric.add(np.array([1.0]), np.zeros(1), np.array([3.0]))
    metric.add(np.array([5.0]), np.zeros(1))
    assert metric.result() == 2


# --- by name -------------------------------------------------------------------------------------


def test_metrics_by_name_and_as_functions():
    found = named_metrics("fit", ["accuracy", "top_3_accuracy", mg.metrics.f1, spread])
    assert {name: type(metric) for name, metric in found.items()} == {
        "accuracy": mg.metrics.Accuracy,
        "top_3_accuracy": mg.metrics.TopKAccuracy,
        "f1": mg.metrics.F1,
        "spread": Collected,
    }
    assert named_metrics("fit", ()) == named_metrics("fit", None) == {}
    assert list(named_metrics("fit", spread)) == ["spread"]


def test_a_metric_has_the_name_it_is_given():
    macro = mg.metrics.F1(average="macro", name="macro_f1")
    partly = functools.partial(mg.metrics.f1, average="micro")
    lifted = Averaged(spread, name="lifted")

    class Largest(mg.metrics.Metric):
        def start(self): ...
        def add(self, prediction, target, sample_weight=None): ...
        def result(self): ...

    names = ["f1", "macro_f1", "lifted", "Largest"]
    assert list(named_metrics("fit", [partly, macro, lifted, Largest()])) == names


def test_in_a_dict_the_names_are_those_of_the_keys_and_the_metrics_the_values():
    macro = mg.metrics.F1(average="macro", name="macro_f1")
    found = named_metrics("fit", {"accuracy": spread, "mine": macro, "k": "top_3_accuracy"})
    assert {name: (metric.name, type(metric)) for name, metric in found.items()} == {
        "accuracy": ("accuracy", Collected),
        "mine": ("mine", mg.metrics.F1),
        "k": ("k", mg.metrics.TopKAccuracy),
    }
    assert found["accuracy"](np.array([1.0, 5.0]), np.array([0.0, 0.0])) == 4
    assert macro.name == "macro_f1"


class InPlace(mg.metrics.Metric):
    """Counts samples in an array that is made once."""

    kept = ("count",)

    def __init__(self):
        self.count = np.zeros(1)

    def start(self):
        self.count[:] = 0

    def add(self, prediction, target, sample_weight=None):
        self.count += len(target)

    def result(self):
        return float(self.count[0])


@pytest.mark.parametrize("make", [mg.metrics.Accuracy, mg.metrics.RocAuc, InPlace])
def test_a_metric_object_that_is_given_is_copied(make):
    metric = make()
    metric.add(SCORES, LABELS)
    before = metric.result()
    (copied,) = named_metrics("fit", metric).values()
    copied.start()
    copied.add(SCORES[:3], LABELS[:3])
    metric(SCORES[:2], LABELS[:2])
    np.testing.assert_equal(metric.result(), before)


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (
            ["accurracy"],
            ValueError,
            "fit: the metric 'accurracy' is not known; the names are accuracy, balanced_accuracy, "
            "precision, recall, f1, roc_auc, average_precision, log_loss, top_5_accuracy, mse, "
            "rmse, mae, max_error, r2. Pass a function for another.",
        ),
        (
            ["mse", mg.metrics.mse],
            ValueError,
            "fit: the name 'mse' stands for two results. Rename a metric.",
        ),
        (
            [3],
            TypeError,
            "fit: a metric of type int was given; it needs a name or a function of "
            "(prediction, target).",
        ),
        (
            [mg.metrics.F1],
            TypeError,
            "fit: the class F1 was given as a metric; it needs an object. Write F1().",
        ),
        (
            3,
            TypeError,
            "fit: metrics of type int were given; it needs a name, a function, a list of them, a "
            "dict of them by name, or None.",
        ),
        (
            {3: "f1"},
            TypeError,
            'fit: a metric was given under 3; it needs a name. Write {"name": metric}.',
        ),
        (
            {"loss": "mse"},
            ValueError,
            "fit: the name 'loss' stands for two results. Rename a metric.",
        ),
    ],
)
def test_metrics_that_make_no_sense(metrics, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        named_metrics("fit", metrics)


@pytest.mark.parametrize(
    ("value", "given"), [(np.zeros(3), "shape (3,)"), (None, "type NoneType"), ("a", "type str")]
)
def test_a_metric_that_is_no_number_is_refused(value, given):
    message = f"metric 'f1': {given} was returned; one number is needed. Reduce it, as with a mean."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        as_number("f1", value)


# --- the direction -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_best_that_can_be_predicted_is_better_than_the_worst(name):
    function, target = whole(name)
    best = target if name in OF_NUMBERS else np.eye(7, dtype=np.float32)[LABELS]
    high, low = function(best, target), function(-best, target)
    assert direction(name) == direction(f"val_{name}") == ("max" if high > low else "min")


def test_less_of_each_loss_is_better():
    assert {direction(name) for name in ["loss", "val_loss", *LOSSES]} == {"min"}


def test_a_name_that_is_not_known_has_no_direction():
    for name in ("dead_share", "my_accuracy", "top_0_accuracy", "confusion_matrix", "val_", ""):
        assert direction(name) is None


def test_the_direction_of_something_that_is_no_name_is_refused():
    message = (
        'direction: a name of type int was given; it needs a string, as "val_accuracy". Pass the '
        "name under which `fit` reports the figure."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        direction(3)


def test_a_metric_of_another_name_tells_its_direction():
    assert mg.metrics.F1(average="macro", name="macro_f1").better == "max"
    assert mg.metrics.RMSE(name="distance").better == "min"
    assert mg.metrics.ConfusionMatrix().better is Averaged(spread).better is None


# --- a tally -------------------------------------------------------------------------------------


def tally_of(*batches, metrics=("rmse", "roc_auc", spread)):
    tally = Tally(named_metrics("fit", metrics))
    for rows in batches:
        tally.add(float(rows.start), mg.tensor(SCORES[rows, 0]), LABELS[rows] % 2)
    return tally


def test_a_tally_has_the_mean_loss_and_the_metrics_of_all_samples():
    p, t = SCORES[:, 0], LABELS % 2
    found = tally_of(slice(0, 40), slice(40, 60)).results()
    assert list(found) == ["loss", "rmse", "roc_auc", "spread"]
    assert found["loss"] == (0 * 40 + 40 * 20) / 60
    assert found["rmse"] == pytest.approx(mg.metrics.rmse(p, t), rel=1e-15)
    assert found["roc_auc"] == mg.metrics.roc_auc(p, t)
    assert found["spread"] == np.ptp(p - t)
    assert all(type(value) is float for value in found.values())


def test_so_far_it_tells_what_is_cheap():
    assert list(tally_of(slice(0, 40)).so_far()) == ["loss", "rmse"]


def test_a_tally_goes_on_where_another_stood():
    going = tally_of(slice(0, 40))
    going.load_state_dict(tally_of(slice(0, 20)).state_dict())
    going.add(20.0, SCORES[20:, 0], LABELS[20:] % 2)
    assert going.results() == tally_of(slice(0, 20), slice(20, 60)).results()


def test_a_tally_forgets_what_its_metrics_had():
    metrics = named_metrics("fit", "rmse")
    metrics["rmse"].add(SCORES, SCORES + 100)
    tally = Tally(metrics)
    tally.add(0.0, SCORES, SCORES)
    assert tally.results() == {"loss": 0.0, "rmse": 0.0}
