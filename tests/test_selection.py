"""The hook for selections: what is recorded, and what a function with its choices held fast is."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from drawing import collected

import microgrid as mg
from microgrid import recording
from microgrid.record import Domain
from microgrid.replay import Recorder, Replay, recorder_of
from microgrid.testing import strategies

CHOOSING = sorted(name for name, op in mg.OPS.items() if op.selection is not None)
REFUSE_FRACTIONS = {
    "are_finite", "celu", "elu", "hardswish", "mean_of_logs", "norm", "row_margins", "selu",
    "softsign", "std",
}  # fmt: skip
EXACT = [name for name in CHOOSING if name not in REFUSE_FRACTIONS]
# Straight in their operands once the choice is made: those that multiply or divide them are not.
CURVED = {"gate", "prelu", "unit_vector"}
STRAIGHT = [name for name in EXACT if mg.OPS[name].has_gradient and name not in CURVED]

each_choosing = pytest.mark.parametrize("name", CHOOSING)
each_exact = pytest.mark.parametrize("name", EXACT)
each_straight = pytest.mark.parametrize("name", STRAIGHT)


@pytest.fixture(autouse=True)
def _nobody_watches_afterwards() -> Iterator[None]:
    yield
    assert recording.watchers == []
    assert recording.watching.get() is None


@contextlib.contextmanager
def declared(**fields: Any) -> Iterator[mg.Op]:
    """Declare an op of one's own, and forget it afterwards."""
    op = mg.Op(**{"doc": "An op of one's own.", "domains": (Domain(),), **fields})
    try:
        yield op
    finally:
        del mg.OPS[op.name]


def calls_of(name: str, dtype: Any, examples: int = 12) -> list[Any]:
    return collected(strategies.op_calls(name, dtype=dtype), examples)


def tensors(arrays: Any) -> list[mg.Tensor]:
    return [mg.tensor(a) for a in arrays]


def replayed(call: Any, recorder: Recorder, *inputs: Any) -> np.ndarray:
    """Return the op's value elsewhere, as a recorder's choices have it."""
    with Replay(recorder):
        return np.asarray(call.result(*tensors(inputs)).data)


def recorded(call: Any) -> Recorder:
    return recorder_of(call.result, *tensors(call.inputs))


def moved(call: Any, rng: np.random.Generator) -> list[np.ndarray]:
    """Return steps for the inputs that vary, far beyond all knots; 0 for conditions and indices."""
    steps = []
    for a, rule in zip(call.inputs, call.op.rules(len(call.inputs)), strict=True):
        step = rng.integers(-40, 41, a.shape) * (rule is not None)
        steps.append(np.frompyfunc(Fraction, 1, 1)(step) if a.dtype == object else step * 0)
    return steps


# --- at the point itself --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@each_choosing
def test_a_replay_where_it_was_recorded_is_the_op_itself(name, dtype):
    for call in calls_of(name, dtype):
        value = call.result(*tensors(call.inputs)).data
        held = replayed(call, recorded(call), *call.inputs)
        assert (held.dtype, held.shape) == (value.dtype, value.shape)
        # The last bit too; only the sign of a zero is left open, by numpy.maximum itself.
        np.testing.assert_array_equal(held, value)


@each_exact
def test_a_replay_of_fractions_is_the_op_itself(name):
    for call in calls_of(name, object):
        with contextlib.suppress(ZeroDivisionError):  # shares if none is equal, directions of 0
            value = call.result(*tensors(call.inputs)).data
            held = replayed(call, recorded(call), *call.inputs)
            assert np.array_equal(held, value)
            assert held.shape == value.shape


@pytest.mark.parametrize("name", sorted(REFUSE_FRACTIONS))
def test_only_these_ops_that_choose_refuse_fractions(name):
    refused = 0
    for call in calls_of(name, object):
        try:
            call.result(*tensors(call.inputs))
        except mg.errors.DtypeError:
            refused += 1
    assert refused > 0


@each_choosing
def test_recording_changes_no_value(name):
    for call in calls_of(name, "float64", 5):
        value = call.result(*tensors(call.inputs)).data
        with Recorder():
            again = call.result(*tensors(call.inputs)).data
        np.testing.assert_array_equal(again, value)


# --- elsewhere ------------------------------------------------------------------------------------


@each_straight
def test_a_replay_elsewhere_is_a_straight_line(name):
    rng = np.random.default_rng(0)
    for call in calls_of(name, object):
        recorder, steps = recorded(call), moved(call, rng)
        behind, here, ahead = (
            replayed(call, recorder, *(a + t * s for a, s in zip(call.inputs, steps, strict=True)))
            for t in (-1, 0, 1)
        )
        assert np.all(ahead - here == here - behind)


@each_straight
def test_the_slope_of_that_line_is_the_gradient(name):
    """Also at kinks and ties: that is what the check of gradients stands on."""
    rng = np.random.default_rng(1)
    for call in calls_of(name, object):
        rules = call.op.rules(len(call.inputs))
        xs = [
            mg.tensor(a, requires_grad=rule is not None and a.dtype == object)
            for a, rule in zip(call.inputs, rules, strict=True)
        ]
        y = call.result(*xs)
        if not y.requires_grad or (y.ndim and any(x.ndim == 0 for x in xs)):
            continue  # backward cannot give a Fraction of no dimensions the sum of several
        upstream = rng.integers(-3, 4, y.shape)
        wanted = [i for i, x in enumerate(xs) if x.requires_grad]
        grads = mg.gradients(y, [xs[i] for i in wanted], np.asarray(upstream, object))
        steps, recorder = moved(call, rng), recorded(call)
        there = replayed(call, recorder, *(a + s for a, s in zip(call.inputs, steps, strict=True)))
        rise = np.sum(upstream * (there - y.data))
        told = sum(np.sum(g.data * steps[i]) for i, g in zip(wanted, grads, strict=True))
        assert rise == told


def test_what_is_smooth_is_not_held_fast():
    x = mg.tensor([1.0, -1.0])
    recorder = recorder_of(lambda t: mg.relu(mg.exp(t) - 1), x)
    assert [op.name for op, _ in recorder.choices] == ["relu"]
    with Replay(recorder):
        y = mg.relu(mg.exp(mg.tensor([-2.0, 2.0])) - 1)
    np.testing.assert_array_equal(y.data, [np.exp(-2.0) - 1, 0.0])


def test_a_replay_keeps_no_piece_from_growing():
    """absolute of -1 is -x, and stays so where x is 2."""
    with Replay(recorder_of(mg.absolute, mg.tensor([-1.0, 1.0]))):
        y = mg.absolute(mg.tensor([2.0, -3.0]))
    np.testing.assert_array_equal(y.data, [-2.0, -3.0])


# --- what is recorded, and in which order ---------------------------------------------------------


def several(x: Any) -> Any:
    a = mg.relu(x)
    b = mg.maximum(a, mg.absolute(x))
    return mg.where(b > 1, mg.max(b, axis=0), mg.tanh(b))


def test_choices_are_recorded_in_the_order_of_the_calls():
    recorder = recorder_of(several, mg.tensor([1.0, -2.0]))
    names = [op.name for op, _ in recorder.choices]
    assert names == ["relu", "absolute", "maximum", "greater", "max", "where"]


def test_the_choices_are_the_pieces_that_the_elements_are_on():
    recorder = recorder_of(several, mg.tensor([1.0, -2.0, 0.0]))
    choices = {op.name: choice for op, choice in recorder.choices}
    np.testing.assert_array_equal(choices["relu"], [2, 0, 1])  # right of the knot, left, at it
    np.testing.assert_array_equal(choices["absolute"], [2, 0, 1])
    np.testing.assert_array_equal(choices["maximum"], [0, -1, 0])  # a tie, the second, a tie
    np.testing.assert_array_equal(choices["greater"], [False, True, False])
    np.testing.assert_array_equal(choices["max"], [False, True, False])  # which of them leads


def test_rules_are_recorded_too_when_they_record_a_graph():
    x = mg.tensor([1.0, 0.0], requires_grad=True)
    with Recorder() as recorder:
        mg.gradients(mg.absolute(x).sum(), x, create_graph=True)
    assert [op.name for op, _ in recorder.choices] == ["absolute", "direction"]


def test_the_choices_stay_when_the_inputs_are_written_to():
    x = mg.tensor([1.0, -1.0])
    condition = mg.tensor([True, False])
    recorder = recorder_of(mg.where, condition, x, 5.0)
    x.data[...], condition.data[...] = [-7.0, 7.0], [False, True]
    with Replay(recorder):
        y = mg.where(condition, x, 3.0)
    np.testing.assert_array_equal(y.data, [-7.0, 3.0])


def test_writing_to_a_result_changes_no_choice():
    x = mg.tensor([1.0, -1.0])
    recorder = recorder_of(mg.sign, x)
    for _ in range(2):
        with Replay(recorder):
            y = mg.sign(x)
        np.testing.assert_array_equal(y.data, [1.0, -1.0])
        y.data[...] = 9.0


# --- ops of one's own -----------------------------------------------------------------------------


def test_an_op_with_pieces_has_a_selection():
    pieces = mg.Pieces(knots=(-1, 2), slopes=(3, 0, -2), through=(0, 5))
    with declared(
        name="plateau", kernel=lambda x, out=None: x, vjps=(lambda g, y, x: g,),
        pieces=lambda: pieces,
    ) as op:  # fmt: skip
        x = mg.tensor([-2.0, -1.0, 0.0, 2.0, 3.0])
        recorder = recorder_of(op, x)
        ((_, lines),) = recorder.choices
        np.testing.assert_array_equal(lines, [0, 1, 2, 3, 4])
        with Replay(recorder):
            y = op(mg.tensor([1.0] * 5))
        # y = 5 + 3(x + 1) on the left, 5 at the knots and between, 5 - 2(x - 2) on the right.
        np.testing.assert_array_equal(y.data, [11.0, 5.0, 5.0, 5.0, 7.0])


def median_of_three() -> dict[str, Any]:
    """Return the record of the middle of three, which knows which of them it is."""

    def choose(*moving: Any) -> np.ndarray:
        order = np.argsort(np.stack([m.value for m in moving]), axis=0, kind="stable")
        return order[1]

    return {
        "name": "middle", "kernel": lambda a, b, c, out=None: np.median([a, b, c], axis=0),
        "vjps": tuple(
            lambda g, y, a, b, c, i=i: g * mg.equal((a, b, c)[i], y) for i in range(3)
        ),
        "domains": (Domain(),) * 3, "signature": "(),(),()->()",
        "selection": mg.Selection(
            choose=choose, piece=lambda which, *arrays: np.choose(which, arrays)
        ),
    }  # fmt: skip


def test_an_op_may_bring_a_selection_of_its_own():
    with declared(**median_of_three()) as op:
        recorder = recorder_of(op, *map(mg.tensor, ([1.0, 5.0], [2.0, 4.0], [3.0, 6.0])))
        np.testing.assert_array_equal(recorder.choices[0][1], [1, 0])
        with Replay(recorder):
            y = op(*map(mg.tensor, ([10.0, 50.0], [-20.0, 40.0], [30.0, 60.0])))
        np.testing.assert_array_equal(y.data, [-20.0, 50.0])


def test_a_selection_of_its_own_goes_before_the_one_that_pieces_give():
    own = mg.Selection(choose=lambda x: None, piece=lambda choice, x: 0 * x)
    changed = dataclasses.replace(mg.OPS["relu"], name="my_relu", selection=own)
    try:
        assert changed.selection is own
    finally:
        del mg.OPS["my_relu"]


def test_an_op_without_a_gradient_is_its_own_choice():
    with declared(name="parity", kernel=lambda x, out=None: np.remainder(x, 2), vjps=(None,)) as op:
        with Replay(recorder_of(op, mg.tensor([3.0, 4.0]))):
            y = op(mg.tensor([0.5, 0.5]))
        np.testing.assert_array_equal(y.data, [1.0, 0.0])


def test_an_op_with_rules_and_no_pieces_chooses_nothing():
    with declared(
        name="cube", kernel=lambda x, out=None: x * x * x, vjps=(lambda g, y, x: 3 * g * x * x,)
    ) as op:
        assert op.selection is None
        assert recorder_of(op, mg.tensor(2.0)).choices == []


# --- what an op declares is checked when it is declared -------------------------------------------

UNFIT: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "knots and slopes": (
        {"pieces": lambda: mg.Pieces((0, 1), (0, 1))}, ValueError,
        "Op own: 2 knots and 2 slopes were given; it needs one slope more than knots. Give the "
        "slopes left of the first knot, between knots, and right of the last.",
    ),
    "unsorted knots": (
        {"pieces": lambda: mg.Pieces((1, 0), (0, 1, 2))}, ValueError,
        "Op own: the knots (1, 0) do not increase strictly. Sort them, each once.",
    ),
    "infinite slope": (
        {"pieces": lambda: mg.Pieces((0,), (0, float("inf")))}, ValueError,
        "Op own: knots, slopes and the point must be finite; got Pieces(knots=(0,), slopes=(0, inf)"
        ", through=(0, 0)).",
    ),
    "a list": (
        {"pieces": lambda: mg.Pieces([0], (0, 1))}, TypeError,
        "Op own: knots is a list; it needs a tuple of numbers.",
    ),
    "a point of three": (
        {"pieces": lambda: mg.Pieces((0,), (0, 1), (0, 0, 0))}, ValueError,
        "Op own: through is (0, 0, 0); it needs one point, (x, y).",
    ),
    "no Pieces": (
        {"pieces": lambda: ((0,), (0, 1))}, TypeError,
        "Op own: pieces gave a value of type tuple; it must return Pieces(knots, slopes).",
    ),
    "no function": (
        {"pieces": mg.Pieces((0,), (0, 1))}, TypeError,
        "Op own: pieces is a value of type Pieces; it needs a function that returns them. Write "
        "lambda: before it.",
    ),
    "no Selection": (
        {"selection": lambda x: 0}, TypeError,
        "Op own: selection has a value of type function; it needs mg.Selection(...).",
    ),
    "no Domain": (
        {"domains": ((0, 1),)}, TypeError,
        "Op own: domains has a value of type tuple; it needs mg.Domain(...).",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "error", "message"), UNFIT.values(), ids=UNFIT)
def test_an_op_whose_fields_do_not_fit_is_refused(fields, error, message):
    given = {"name": "own", "kernel": lambda x, out=None: x, "vjps": (lambda g, y, x: g,)}
    with pytest.raises(error, match=f"^{re.escape(message)}$"), declared(**(given | fields)):
        pass
    assert "own" not in mg.OPS


@pytest.mark.parametrize("field", ["choose", "piece", "tangent"])
def test_a_selection_of_what_is_no_function_is_refused(field):
    given = {"choose": len, "piece": len, "tangent": None} | {field: 3}
    message = f"Selection: {field} is a value of type int; it needs a function."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        mg.Selection(**given)


@pytest.mark.parametrize(
    ("low", "high", "shown"), [(2.0, 1.0, "2.0 to 1.0"), (0, float("inf"), "0 to inf"),
                               (float("nan"), 3.0, "nan to 3.0")],
)  # fmt: skip
def test_a_domain_of_no_interval_is_refused(low, high, shown):
    message = (
        f"Domain: the interval from {shown} was given; it needs finite ends, the lower one first."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Domain(low, high)


def test_a_domain_of_no_points_or_of_another_kind_is_refused():
    with pytest.raises(
        TypeError, match=r"^Domain: include is a list; it needs a tuple of numbers.$"
    ):
        Domain(include=[0.0])
    message = "Domain: kind='complex' was given; it must be one of ('float', 'int', 'bool')."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Domain(kind="complex")
