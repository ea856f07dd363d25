"""Strategies for networks and programs: what they promise is drawn, legal, and shrinks well."""

import functools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from drawing import NAMES, alike, collected, pasted, simplest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid.testing.strategies import Network, Program, Step, networks, op_calls, programs

DTYPES = [np.float16, np.float32, np.float64, object]
FLOATS = DTYPES[:3]
PUBLIC = sorted(n for n, op in mg.OPS.items() if op.has_gradient and not (op.private or op.effect))


@functools.lru_cache
def drawn_networks(**options):
    return collected(networks(**options), 80)


@functools.lru_cache
def drawn_programs(**options):
    return collected(programs(**options), 150)


# --- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_inputs_results_and_gradients_have_the_dtype(dtype):
    for model, x in drawn_networks(dtype=dtype):
        y = model(x)
        y.sum().backward()
        arrays = [x, y.data, *(p.data for p in model.parameters())]
        arrays += [p.grad for p in model.parameters()]
        assert {a.dtype for a in arrays} == {np.dtype(dtype)}


def test_networks_have_one_or_two_hidden_layers_of_up_to_four_units():
    depths = Counter(len(model) for model, _ in drawn_networks())
    assert set(depths) == {2, 3}
    assert {layer.out_features for model, _ in drawn_networks() for layer in model} == {1, 2, 3, 4}
    assert {len(x) for _, x in drawn_networks()} == {1, 2, 3}


KINKS = {
    "relu": [0], "absolute": [0], "hardtanh": [-1, 1], "relu6": [0, 6], "softshrink": [-0.5, 0.5],
}  # fmt: skip


def units_and_those_at_kinks(drawn):
    """Count the hidden units, and those that are at a kink for some row, walking through each net.

    The sums are computed by NumPy, in the drawn numbers.
    """
    units = tied = 0
    for model, x in drawn:
        for layer in model[:-1]:
            sums = x @ layer.weight.data + layer.bias.data
            at_kink = np.isin(sums.astype(float), KINKS[layer.activation.__name__])
            units, tied = units + at_kink.shape[1], tied + at_kink.any(axis=0).sum()
            x = np.asarray(layer.activation(sums))
    return units, tied


@pytest.mark.parametrize("values", ["any", "integer", "dyadic"])
def test_every_other_hidden_unit_is_at_a_kink(values):
    units, tied = units_and_those_at_kinks(drawn_networks(values=values))
    assert tied > units / 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_hidden_units_are_at_kinks_in_every_dtype(dtype):
    units, tied = units_and_those_at_kinks(drawn_networks(dtype=dtype))
    assert tied > units / 2


def test_the_default_activations_all_occur():
    names = {layer.activation.__name__ for model, _ in drawn_networks() for layer in model[:-1]}
    assert names == set(KINKS)


@pytest.mark.parametrize("values", ["integer", "dyadic"])
def test_dyadic_networks_are_exact_in_single_precision(values):
    for model, x in drawn_networks(values=values, dtype=np.float32):
        exact = Network(*(layer_of_fractions(layer) for layer in model))
        y, expected = model(x), exact(np.vectorize(Fraction, otypes=[object])(x))
        y.sum().backward()
        expected.sum().backward()
        assert (y.data == expected.data).all()
        for p, q in zip(model.parameters(), exact.parameters(), strict=True):
            assert (p.grad == q.grad).all()


def layer_of_fractions(layer):
    arrays = [np.vectorize(Fraction, otypes=[object])(p.data) for p in (layer.weight, layer.bias)]
    return (*arrays, layer.activation)


@pytest.mark.parametrize(("values", "step"), [("integer", 1), ("dyadic", 0.25)])
def test_weights_and_inputs_are_multiples_of_a_step(values, step):
    for model, x in drawn_networks(values=values):
        assert (x % step == 0).all()
        assert all((layer.weight.data % step == 0).all() for layer in model)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_network_and_its_batch_can_be_pasted(dtype):
    for drawn in drawn_networks(dtype=dtype):
        model, x = pasted(drawn)
        assert repr((model, 0)) == repr((drawn.model, 0))
        assert alike(x, drawn.x)
        assert alike(model(x).data, drawn.model(drawn.x).data)


def test_sizes_batch_and_activations_can_be_given():
    activations = ["tanh", mg.gelu, mg.nn.LeakyReLU(0.5)]
    drawn = collected(networks(sizes=[2, 5, 5, 3], batch=4, activations=activations), 30)
    for model, x in drawn:
        assert x.shape == (4, 2)
        assert [layer.weight.shape for layer in model] == [(2, 5), (5, 5), (5, 3)]
    used = {repr(layer.activation) for model, _ in drawn for layer in model[:-1]}
    assert len(used) == 3
    assert pasted(drawn[0])[0](x).shape == (4, 3)


def test_activations_that_widen_are_followed_by_layers_that_fit():
    for model, x in collected(networks(activations=["crelu", mg.nn.Maxout(1)]), 50):
        assert model(x).shape == (len(x), model[-1].out_features)


def test_the_simplest_network_has_a_unit_in_each_of_two_layers():
    assert repr(simplest(networks(), lambda drawn: True)) == (
        "(Network((np.array([[0.0]]), np.array([0.0]), 'relu'), "
        "(np.array([[0.0]]), np.array([0.0]), None)), np.array([[0.0]]))"
    )


def test_networks_shrink_to_few_units_and_one_row():
    model, x = simplest(
        networks(values="integer"), lambda drawn: drawn.model(drawn.x).data.max() > 1
    )
    assert sum(layer.weight.size for layer in model) <= 6
    assert len(x) == 1
    assert np.isin([v for p in model.parameters() for v in p.data.flat], (0, 1, -1, 2, -2)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sizes": [3]},
            "networks: sizes=[3] was given; it needs at least the sizes of input and output.",
        ),
        ({"activations": []}, "networks: no activations were given; it needs at least one."),
    ],
)
def test_networks_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        networks(**options)
    assert str(caught.value) == message


# --- programs ------------------------------------------------------------------------------------


def with_tensors(program):
    inputs = [mg.tensor(x, requires_grad=True) for x in program.inputs]
    return inputs, program(*inputs)


def values_of(program):
    """Return the value of each step, by name; computed one by one from the records."""
    values = {f"x{i}": x for i, x in enumerate(program.inputs)}
    for i, step in enumerate(program.steps):
        args = [values[x] if isinstance(x, str) else x for x in step.args]
        values[f"y{i}"] = mg.OPS[step.op].run(args, step.params)
    return values


@pytest.mark.parametrize("dtype", FLOATS)
def test_programs_give_one_finite_number_and_finite_gradients(dtype):
    for program in drawn_programs(dtype=dtype):
        inputs, y = with_tensors(program)
        assert y.shape == ()
        assert y.dtype == dtype
        assert np.isfinite(y.data)
        if y.requires_grad:
            y.backward()
        for x in inputs:  # without a gradient if it is only compared
            assert x.grad is None or x.grad.dtype == dtype
            assert x.grad is None or np.isfinite(x.grad).all()


def test_results_are_moderate_until_they_are_summed():
    for program in drawn_programs():
        for name, value in values_of(program).items():
            if name[0] == "x" or program.steps[int(name[1:])].op not in ("sum", "add"):
                assert np.max(np.abs(value)) <= 100


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_op_with_a_gradient_can_be_called(name):
    for program in collected(programs(ops=[name], max_calls=3), 5):
        assert name in {step.op for step in program.steps}
        _, y = with_tensors(program)
        assert y.shape == ()


def test_programs_call_many_ops():
    called = Counter(step.op for program in drawn_programs() for step in program.steps)
    assert len(called) > 45


def test_comparisons_feed_where():
    found = 0
    for program in drawn_programs(ops=("where", "multiply")):
        for step in program.steps:
            if step.op == "where":
                condition = program.steps[int(step.args[0][1:])]
                found += condition.op in ("greater", "less", "equal", "not_equal")
    assert found > 60


def uses(program):
    return Counter(x for step in program.steps for x in step.args if isinstance(x, str))


def test_inputs_and_results_are_used_again():
    drawn = drawn_programs()
    again = [p for p in drawn if any(n > 1 for n in uses(p).values())]
    results = [p for p in drawn if any(n > 1 for x, n in uses(p).items() if x[0] == "y")]
    assert len(again) > len(drawn) / 3
    assert len(results) > len(drawn) / 8


def test_every_value_is_used():
    for program in drawn_programs():
        names = {f"x{i}" for i in range(len(program.inputs))}
        names |= {f"y{i}" for i in range(len(program.steps) - 1)}
        assert names == set(uses(program))


def test_programs_have_several_calls_and_no_more_than_wanted():
    joining = {"sum", "add", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
    for most in (1, 5):
        drawn = drawn_programs(max_calls=most)
        counts = [sum(step.op not in joining for step in program.steps) for program in drawn]
        assert max(counts) == most
    assert sum(count > 2 for count in counts) > len(counts) / 4


@pytest.mark.parametrize("options", [{}, {"dtype": np.float32}, {"dtype": object}])
def test_a_program_can_be_pasted(options):
    for program in drawn_programs(**options):
        again = pasted(program)
        assert repr(again) == repr(program)
        assert all(map(alike, again.inputs, program.inputs))
        assert alike(again(*again.inputs), program(*program.inputs))


@pytest.mark.parametrize("options", [{}, {"dtype": np.float16}, {"dtype": object}])
def test_the_source_of_a_program_is_python_that_computes_the_same(options):
    for program in drawn_programs(**options):
        names = dict(NAMES)
        exec(program.source, names)
        inputs, y = with_tensors(program)
        assert alike(names["program"](*inputs).data, y.data)
        calls = [line for line in program.source.splitlines() if "mg.OPS" in line]
        assert len(calls) == len(program.steps)


def test_results_may_be_left_as_they_come():
    shapes = {program(*program.inputs).shape for program in drawn_programs(scalar=False)}
    assert len(shapes) > 5


def test_inputs_can_be_whole_numbers():
    for program in drawn_programs(values="integer"):
        assert all((x % 1 == 0).all() for x in program.inputs)


def one_sided_slopes(program, h):
    """Return the slopes of a program of floats to both sides along whole numbers."""
    moves = [np.resize([1.0, -2.0, 3.0], x.shape) for x in program.inputs]

    def at(t):
        return program(*(x + t * v for x, v in zip(program.inputs, moves, strict=True)))

    return (at(h) - at(0)) / h, (at(0) - at(-h)) / h


def test_smooth_programs_have_one_slope_everywhere():
    """Slopes differ by h times the curvature, some thousands here, and 1e-14 / h of rounding."""
    for program in drawn_programs(smooth=True):
        right, left = one_sided_slopes(program, h=1e-7)
        assert abs(right - left) < 1e-2 * (1 + abs(right))


def test_other_programs_have_two_where_they_bend():
    """Otherwise the test above would prove nothing."""
    bent = 0
    for program in drawn_programs():
        right, left = one_sided_slopes(program, h=1e-7)
        bent += abs(right - left) > 0.1
    assert bent > 2


def test_piecewise_linear_programs_are_straight_on_both_sides_exactly():
    """With Fractions, a step can be smaller than any distance to another kink."""
    bent = 0
    for program in drawn_programs(dtype=object, piecewise_linear=True):
        h = Fraction(1, 2**400)
        right, left = one_sided_slopes_of_fractions(program, h)
        assert one_sided_slopes_of_fractions(program, 2 * h) == (right, left)
        assert abs(right) < 2**100  # it would be larger at a jump
        bent += right != left
    assert bent > 10


def one_sided_slopes_of_fractions(program, h):
    moves = [np.resize([Fraction(1), Fraction(-2)], x.shape) for x in program.inputs]

    def at(t):
        moved = [x + t * v for x, v in zip(program.inputs, moves, strict=True)]
        return program(*(np.asarray(x, object) for x in moved)).item()

    return (at(h) - at(0)) / h, (at(0) - at(-h)) / h


def test_programs_of_fractions_stay_exact():
    for program in drawn_programs(dtype=object):
        for value in values_of(program).values():
            assert value.dtype == bool or {type(x) for x in value.flat} <= {Fraction, int}


SIMPLEST_PROGRAMS = [
    ({}, 'Program([np.array(0.0)], [Step("negative", "x0")])'),
    ({"smooth": True}, 'Program([np.array(0.0)], [Step("negative", "x0")])'),
    ({"dtype": object}, 'Program([np.array(Fraction(0, 1))], [Step("negative", "x0")])'),
    ({"ops": ["log"]}, 'Program([np.array(1.0)], [Step("log", "x0")])'),
    (
        {"ops": ["where"]},
        'Program([np.array(0.0)], [Step("greater", "x0", "x0"), Step("where", "y0", "x0", "x0")])',
    ),
]


@pytest.mark.parametrize(("options", "expected"), SIMPLEST_PROGRAMS)
def test_the_simplest_program_is_one_call_of_one_number(options, expected):
    assert repr(simplest(programs(**options), lambda program: True)) == expected


@pytest.mark.parametrize("name", ["square", "maximum", "softmax", "matmul"])
def test_programs_shrink_to_what_must_be_there(name):
    program = simplest(programs(), lambda p: name in {step.op for step in p.steps})
    assert len(program.steps) <= 3
    assert sum(x.size for x in program.inputs) <= 3


def test_a_program_takes_as_many_arguments_as_it_has_inputs():
    program = Program([np.array(1.0)], [Step("exp", "x0")])
    with pytest.raises(TypeError) as caught:
        program(1.0, 2.0)
    assert str(caught.value) == "program: 2 inputs were given; it takes 1."


@pytest.mark.parametrize("options", [{"ops": ["relu"], "smooth": True}, {"ops": []}])
def test_programs_of_no_op_are_refused(options):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        programs(**options)
    assert str(caught.value) == (
        f"programs: of {len(options['ops'])} ops none can be called in at most 8 calls with "
        f"dtype=float64, smooth={'smooth' in options} and piecewise_linear=False."
    )


def test_an_op_that_is_not_there_is_named():
    with pytest.raises(KeyError) as caught:
        programs(ops=["rectify"])
    expected = "programs: there is no op 'rectify'. mg.OPS lists those that there are."
    assert caught.value.args == (expected,)


@pytest.fixture
def halve():
    yield mg.Op(
        name="halve",
        doc="Half of x.",
        kernel=lambda x, out=None: np.multiply(x, 0.5, out=out),
        vjps=(lambda g, y, x: 0.5 * g,),
        domains=(mg.Domain(),),
    )
    del mg.OPS["halve"]


def test_programs_of_an_op_of_ones_own_are_drawn_from_its_record(halve):
    for program in collected(programs(ops=[halve], piecewise_linear=True), 20):
        assert {step.op for step in program.steps} <= {"halve", "sum", "add"}


@given(data=st.data())
@settings(max_examples=20)
def test_strategies_can_be_drawn_one_after_another(data):
    call = data.draw(op_calls("relu"))
    program = data.draw(programs(ops=["relu"]))
    model, x = data.draw(networks())
    assert np.min(call.result(), initial=0) >= 0
    assert program(*program.inputs) >= 0
    assert model(x).shape[0] == len(x)
