"""Strategies for arrays and for calls of ops: what they promise is drawn, and shrinks well."""

import functools
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from drawing import alike, collected, pasted, simplest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid.testing.strategies import OpCall, arrays_near_kinks, op_calls, tensors

FLOATS = [np.float16, np.float32, np.float64]
BUILTIN = sorted(mg.OPS)
TINY = np.finfo(np.float64).smallest_normal
SMALLEST = np.finfo(np.float64).smallest_subnormal


def elements(arrays):
    return [x for a in arrays for x in a.ravel().tolist()]


@functools.lru_cache
def drawn_arrays(**options):
    return collected(arrays_near_kinks(**options))


@functools.lru_cache
def drawn_calls(name, **options):
    return collected(op_calls(name, **options), 150)


def drawn_numbers(**options):
    return elements(drawn_arrays(**options))


def is_negative_zero(x):
    return x == 0 and np.signbit(x)


# --- arrays near kinks ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", [0.0, TINY, -TINY, 5e-7, -5e-7], ids=["0", "tiny", "-tiny", "5e-7", "-5e-7"]
)
def test_at_least_one_number_in_forty_is_the_kink_or_a_certain_neighbour(number):
    found = drawn_numbers()
    assert found.count(number) > len(found) / 40


def test_negative_zero_is_drawn():
    assert sum(map(is_negative_zero, drawn_numbers())) > 20


@pytest.mark.parametrize("dtype", FLOATS)
def test_kinks_and_the_numbers_next_to_them_are_drawn_in_every_dtype(dtype):
    found = drawn_numbers(kinks=(6.0, -1.0, 0.3), dtype=dtype)
    for at in map(dtype, (6.0, -1.0, 0.3)):
        for number in (at, np.nextafter(at, dtype(9)), np.nextafter(at, dtype(-9))):
            assert float(number) in found


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_dtype_is_kept_and_bounds_hold_where_there_are_no_kinks(dtype):
    for a in drawn_arrays(dtype=dtype, kinks=(), low=0.1, high=0.7):
        assert a.dtype == dtype
        assert ((a >= 0.1) & (a.astype(float) <= 0.7)).all()


def test_ties_are_drawn_on_purpose():
    several = [a for a in drawn_arrays(kinks=(), layouts=False) if a.size > 1]
    tied = [a for a in several if len(np.unique(a)) < a.size]
    assert len(tied) > len(several) / 2


def is_subnormal(x):
    return 0 < abs(x) < TINY


ON_REQUEST = {
    "subnormals": lambda found: SMALLEST in found and any(map(is_subnormal, found)),
    "infinities": lambda found: np.inf in found and -np.inf in found,
    "nans": lambda found: any(x != x for x in found),
}


@pytest.mark.parametrize("what", ON_REQUEST)
def test_special_numbers_come_on_request_only(what):
    assert ON_REQUEST[what](drawn_numbers(**{what: True}))
    others = {name: True for name in ON_REQUEST if name != what}
    assert not ON_REQUEST[what](drawn_numbers(**others))


@pytest.mark.parametrize("dtype", FLOATS)
def test_subnormals_are_those_of_the_dtype(dtype):
    found = drawn_numbers(dtype=dtype, subnormals=True)
    assert float(np.finfo(dtype).smallest_subnormal) in found
    normal = drawn_numbers(dtype=dtype)
    assert not [x for x in normal if 0 < abs(x) < np.finfo(dtype).smallest_normal]


@pytest.mark.parametrize(
    ("values", "step"), [("integer", 1), ("dyadic", Fraction(1, 4))], ids=["integer", "dyadic"]
)
@pytest.mark.parametrize("dtype", [*FLOATS, object])
def test_values_are_multiples_of_a_step(values, step, dtype):
    found = drawn_numbers(dtype=dtype, values=values, kinks=(0.0, 3.0, 0.3))
    assert {Fraction(x) / step % 1 for x in found} == {0}
    assert len(set(found)) > 0.7 * (8 / step + 1)  # most of them from -4 to 4


def test_kinks_of_integers_and_dyadic_numbers_may_lie_outside_the_bounds():
    found = drawn_numbers(values="dyadic", kinks=(6.0, 0.125), low=-1, high=1)
    assert {6.0, 0.125} < set(found)


def test_object_arrays_hold_fractions_thirds_among_them():
    found = drawn_numbers(dtype=object)
    assert {type(x) for x in found} == {Fraction}
    assert any(x.denominator == 3 for x in found)
    assert {Fraction(0), Fraction(1, 2**52), -Fraction(1, 2**52)} < set(found)


SHAPES = {
    "no axis": lambda a: a.ndim == 0,
    "size 0": lambda a: a.size == 0,
    "size 1 with axes": lambda a: a.size == 1 and a.ndim > 1,
    "three axes": lambda a: a.ndim == 3 and a.size > 8,
}
LAYOUTS = {
    "C order": lambda a: a.flags.c_contiguous,
    "Fortran order": lambda a: a.flags.f_contiguous and not a.flags.c_contiguous,
    "negative strides": lambda a: min(a.strides, default=0) < 0,
    "a read-only broadcast view": lambda a: 0 in a.strides and not a.flags.writeable,
    "gaps": lambda a: not (a.flags.c_contiguous or a.flags.f_contiguous) and min(a.strides) > 0,
}


@pytest.mark.parametrize("what", [*SHAPES, *LAYOUTS])
def test_shapes_and_layouts_are_drawn(what):
    wanted = (SHAPES | LAYOUTS)[what]
    arrays = drawn_arrays()
    several = arrays if what in SHAPES else [a for a in arrays if a.size > 1]
    assert sum(map(wanted, several)) >= len(several) / 100


def test_without_layouts_arrays_are_as_numpy_makes_them():
    for a in drawn_arrays(layouts=False):
        assert a.flags.c_contiguous
        assert a.flags.writeable


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (3, {(3,)}),
        ((2, 0), {(2, 0)}),
        ((), {()}),
        (st.sampled_from([(1,), (2, 2)]), {(1,), (2, 2)}),
    ],
)
def test_a_shape_or_a_strategy_of_shapes_can_be_given(shape, expected):
    assert {a.shape for a in collected(arrays_near_kinks(shape), 50)} == expected


SIMPLEST = [
    (arrays_near_kinks(), lambda a: True, np.array(0.0)),
    (arrays_near_kinks(kinks=(6, 0)), lambda a: True, np.array(6.0)),
    (arrays_near_kinks(), lambda a: a.size > 1, np.array([0.0, 0.0])),
    (arrays_near_kinks(nans=True), lambda a: np.isnan(a).any(), np.array(np.nan)),
    (arrays_near_kinks(), lambda a: a.size == 0, np.zeros(0)),
    (arrays_near_kinks(()), lambda a: a > 1, np.array(2.0)),
    (arrays_near_kinks((2, 1)), lambda a: (a > 1).any(), np.array([[0.0], [2.0]])),
    (arrays_near_kinks((), dtype=object, values="integer"), lambda a: a > 1, np.array(Fraction(2))),
    (arrays_near_kinks((), values="dyadic"), lambda a: a % 1 != 0, np.array(0.5)),
    (arrays_near_kinks(), LAYOUTS["negative strides"], np.zeros(2)),
]


@pytest.mark.parametrize(("strategy", "wanted", "expected"), SIMPLEST)
def test_arrays_shrink_to_the_simplest(strategy, wanted, expected):
    found = simplest(strategy, wanted)
    assert alike(found.copy(), expected)


def test_tensors_require_a_gradient_and_lie_at_kinks():
    drawn = collected(tensors(kinks=(2.0,), dtype=np.float32))
    assert all(isinstance(x, mg.Tensor) and x.requires_grad and x.is_leaf for x in drawn)
    assert {x.dtype for x in drawn} == {np.dtype(np.float32)}
    assert elements(x.data for x in drawn).count(2.0) > 20


ERRORS = {
    "dtype int64 was given; it is float16, float32, float64, or object for Fractions.": {
        "dtype": int
    },
    "values='even' was given; it is 'any', 'integer' or 'dyadic'.": {"values": "even"},
    "subnormals were asked for with values='integer' and dtype float64, which has none. Draw "
    "floats of any value for those.": {"values": "integer", "subnormals": True},
    "a Fraction is neither infinite nor nan. Draw floats for those.": {
        "dtype": object,
        "nans": True,
    },
    "low=0.2, high=0.8 and values='integer' were given; there is no such number in between. Move "
    "the bounds apart.": {"values": "integer", "low": 0.2, "high": 0.8},
}


@pytest.mark.parametrize("message", ERRORS)
def test_options_that_make_no_sense_are_refused(message):
    with pytest.raises((TypeError, ValueError)) as caught:
        arrays_near_kinks(**ERRORS[message])
    assert str(caught.value) == f"arrays_near_kinks: {message}"


# --- calls of ops --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN)
@settings(max_examples=12)
@given(data=st.data(), dtype=st.sampled_from(FLOATS))
def test_calls_of_every_op_are_legal_and_can_be_pasted(name, data, dtype):
    call = data.draw(op_calls(name, dtype=dtype))
    value = np.asarray(call.result())
    made = []
    text = repr(call).replace(f'mg.OPS["{name}"]', "make", 1)
    record = {"np": np, "mg": mg, "make": lambda *inputs, **params: made.append((inputs, params))}
    eval(text, record)
    (inputs, params) = made[0]
    assert all(map(alike, inputs, call.inputs))
    assert repr(OpCall(call.op, inputs, params)) == repr(call)
    assert alike(np.asarray(pasted(call)), value) or value.flags.c_contiguous is False


def allowed(op, i, params, x):
    """Return whether x is a number for which input i is meant."""
    domain = op.domains[i if op.arity is not None else 0]
    if domain.low <= x <= domain.high or x in domain.include:
        return True
    near = [k for k in op.pieces(**params).knots if abs(x - k) <= 5.001e-7] if op.pieces else []
    return bool(near) or bool(x != x and np.isnan(domain.include).any())


@pytest.mark.parametrize("name", BUILTIN)
@settings(max_examples=8)
@given(data=st.data())
def test_numbers_lie_in_the_domains_and_parameters_are_of_the_record(name, data):
    call = data.draw(op_calls(name))
    for i, a in enumerate(call.inputs):
        assert all(allowed(call.op, i, call.params, x) for x in a.ravel().tolist())
    options = [repr(dict(p)) for p in call.op.params(*(a.shape for a in call.inputs))]
    assert repr(call.params) in options


PIECEWISE = [name for name in BUILTIN if mg.OPS[name].pieces is not None]


@pytest.mark.parametrize("name", PIECEWISE)
def test_knots_of_the_drawn_parameters_are_hit_exactly(name):
    hits = 0
    for call in drawn_calls(name):
        knots = [float(knot) for knot in call.op.pieces(**call.params).knots]
        hits += sum(x in knots for x in call.inputs[0].ravel())
    assert hits > 5


def test_a_knot_is_approached_from_both_sides():
    found = elements(call.inputs[0] for call in collected(op_calls("relu6"), 600))
    for x in (np.nextafter(6, 9), np.nextafter(6, 0), TINY, -TINY, 6 + 5e-7, 6 - 5e-7):
        assert x in found


@pytest.mark.parametrize("name", ["log1p", "power", "isfinite"])
def test_points_that_a_domain_names_are_drawn(name):
    calls = drawn_calls(name)
    for i, domain in enumerate(mg.OPS[name].domains):
        found = elements(call.inputs[i] for call in calls)
        for point in domain.include:
            assert sum(x == point or (x != x and point != point) for x in found) > 3, point


@pytest.mark.parametrize("name", ["maximum", "equal", "preference"])
def test_operands_tie_in_every_fourth_call(name):
    calls = [c for c in drawn_calls(name) if all(a.size for a in c.inputs)]
    tied = [c for c in calls if np.equal(*c.inputs).any()]
    assert len(tied) > len(calls) / 4


def test_maxima_tie_in_every_fourth_reduction():
    calls = [c for c in drawn_calls("max") if c.inputs[0].size > 1]
    tied = [c for c in calls if (c.inputs[0] == c.inputs[0].max()).sum() > 1]
    assert len(tied) > len(calls) / 4


def test_operands_broadcast():
    shapes = [tuple(a.shape for a in call.inputs) for call in drawn_calls("add")]
    assert sum(a != b for a, b in shapes) > len(shapes) / 4
    assert sum(np.broadcast_shapes(a, b) not in (a, b) for a, b in shapes) > 3


def test_all_legal_parameters_are_drawn():
    drawn = {repr(call.params) for call in drawn_calls("clip")}
    assert drawn == {repr(params) for params in mg.OPS["clip"].params(())}


@pytest.mark.parametrize("name", ["concatenate", "stack", "einsum"])
def test_ops_of_any_number_of_inputs_get_several(name):
    numbers = {len(call.inputs) for call in drawn_calls(name)}
    assert numbers == {len(shapes) for shapes in mg.OPS[name].shapes}


# Fortran order needs two axes, and so may be missing among some hundred calls.
@pytest.mark.parametrize("what", [what for what in LAYOUTS if what != "Fortran order"])
def test_inputs_have_all_layouts_unless_told_not_to(what):
    drawn = [c.inputs[0] for c in drawn_calls("exp") if c.inputs[0].size > 1]
    assert any(map(LAYOUTS[what], drawn))
    plain = [c.inputs[0] for c in drawn_calls("exp", layouts=False)]
    assert all(map(LAYOUTS["C order"], plain))


def test_subnormals_come_on_request_where_0_is_in_the_domain():
    calls = drawn_calls("divide", subnormals=True)
    numerators, divisors = (elements(call.inputs[i] for call in calls) for i in (0, 1))
    assert any(map(is_subnormal, numerators))
    assert not any(map(is_subnormal, divisors))


def test_values_can_be_whole_or_fractions():
    whole = elements(c.inputs[0] for c in drawn_calls("power", values="integer"))
    assert set(whole) == {1.0, 2.0, 3.0, 4.0}
    exact = drawn_calls("maximum", dtype=object)
    assert {type(x) for c in exact for a in c.inputs for x in a.flat} == {Fraction}
    assert {type(x) for c in exact for x in np.asarray(c.result(), object).flat} == {Fraction}


def test_a_call_takes_tensors_in_the_place_of_its_inputs():
    call = OpCall(mg.OPS["multiply"], [np.array(2.0), np.array(3.0)], {})
    x, y = mg.tensor(2.0, requires_grad=True), mg.tensor(3.0)
    call.result(x, y).backward()
    assert x.grad == 3.0


@pytest.fixture
def mix():
    yield mg.Op(
        name="mix",
        doc="A share of b, and the rest of a.",
        kernel=lambda a, b, out=None, *, share: np.add((1 - share) * a, share * b, out=out),
        vjps=(lambda g, y, a, b, share: (1 - share) * g, lambda g, y, a, b, share: share * g),
        domains=(mg.Domain(0, 1, include=()), mg.Domain(5, 6, include=(7.0,))),
        signature="(),()->()",
        params=lambda *shapes: [{"share": 0.25}, {"share": 0.5}],
    )
    del mg.OPS["mix"]


def test_calls_of_an_op_of_ones_own_are_drawn_from_its_record(mix):
    calls = collected(op_calls(mix))
    assert {call.params["share"] for call in calls} == {0.25, 0.5}
    first, second = (set(elements(call.inputs[i] for call in calls)) for i in (0, 1))
    assert min(first) >= 0
    assert max(first) <= 1
    assert min(second) >= 5
    assert max(second) == 7


SIMPLEST_CALLS = {
    'mg.OPS["relu"](np.array(0.0))': ("relu", lambda call: True),
    'mg.OPS["log"](np.array(1.0))': ("log", lambda call: True),
    'mg.OPS["add"](np.array(0.0), np.array(0.0))': ("add", lambda call: True),
    'mg.OPS["sum"](np.array(0.0), axis=(), keepdims=False)': ("sum", lambda call: True),
    'mg.OPS["max"](np.array([0.0, 0.0]), axis=(0,), keepdims=False)': (
        "max",
        lambda call: np.size(call.result()) < call.inputs[0].size,
    ),
}


@pytest.mark.parametrize("expected", SIMPLEST_CALLS)
def test_calls_shrink_to_the_simplest(expected):
    name, wanted = SIMPLEST_CALLS[expected]
    assert repr(simplest(op_calls(name), wanted)) == expected


def test_hypothesis_shows_a_failing_call_as_it_can_be_pasted():
    @settings(database=None)
    @given(op_calls("relu"))
    def fails(call):
        assert not call.inputs[0].size

    with pytest.raises(AssertionError) as caught:
        fails()
    assert 'mg.OPS["relu"](np.array(0.0))' in "".join(caught.value.__notes__)


def test_an_op_that_is_not_there_is_named():
    with pytest.raises(KeyError) as caught:
        op_calls("rectify")
    expected = "op_calls: there is no op 'rectify'. mg.OPS lists those that there are."
    assert caught.value.args == (expected,)


# --- without hypothesis --------------------------------------------------------------------------


def run(program):
    root = Path(mg.__file__).parents[1]
    environment = dict(os.environ, PYTHONPATH=str(root))
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_strategies_are_imported_when_they_are_asked_for():
    program = (
        "import sys, microgrid.testing as testing; print('hypothesis' in sys.modules); "
        "testing.strategies.tensors; print('hypothesis' in sys.modules)"
    )
    assert run(program).stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    "asked",
    [
        "mg.testing.strategies",
        "from microgrid.testing import strategies",
        "import microgrid.testing.strategies",
        "from microgrid.testing.strategies import tensors",
    ],
)
def test_without_hypothesis_the_error_says_how_to_get_it(asked):
    program = f"""
import sys, microgrid as mg
sys.modules["hypothesis"] = None
try:
    {asked}
except ImportError as error:
    print(error)
"""
    assert run(program).stdout.strip() == (
        "microgrid.testing.strategies: hypothesis is not installed, and strategies need it. "
        "Install the extra: pip install 'microgrid[test]'."
    )


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match=r"module 'microgrid.testing' has no attribute 'nope'"):
        mg.testing.nope
