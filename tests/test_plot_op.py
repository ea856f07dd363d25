"""Pictures of ops and of functions: value, slope, and both sides of each kink."""

import re

import numpy as np
import pytest

import microgrid as mg

pytest.importorskip("matplotlib")


def line(axes, label):
    return next(found for found in axes.get_lines() if found.get_label() == label)


def dots(axes, filled, colour="#D55E00"):
    """Return the points of the dots of the slope, open or filled, from left to right."""
    found = [
        point
        for dot in axes.get_lines()
        if dot.get_marker() == "o" and dot.get_color() == colour
        if (dot.get_markerfacecolor() != "white") == filled
        for point in zip(*dot.get_data(), strict=True)
    ]
    return sorted((float(x), float(y)) for x, y in found)


def refused(message, error=ValueError):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def test_an_op_is_drawn_with_its_slope():
    axes = mg.plot.op(mg.OPS["tanh"])
    x, value = line(axes, "value").get_data()
    assert np.allclose(value, np.tanh(x))
    assert np.allclose(line(axes, "slope").get_ydata(), 1 - np.tanh(x) ** 2)


def test_the_axes_say_what_they_are():
    axes = mg.plot.op("relu")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "value and slope")


def test_the_slope_breaks_at_a_kink_with_open_dots_on_its_sides_and_a_filled_one_at_its_slope():
    axes = mg.plot.op("relu6")
    x, slope = line(axes, "slope").get_data()
    assert np.isnan(slope[x == 0]).all()
    assert np.all((slope == 0) | (slope == 1) | np.isnan(slope))
    assert dots(axes, filled=False) == [(0, 0), (0, 1), (6, 0), (6, 1)]
    assert dots(axes, filled=True) == [(0, 0), (6, 0)]


def test_the_filled_dot_is_explained_where_there_is_one():
    def labels(name):
        return [text.get_text() for text in mg.plot.op(name).get_legend().get_texts()]

    assert labels("relu") == ["value", "slope", "slope used at the kink"]
    assert labels("tanh") == ["value", "slope"]


def test_every_kink_of_a_piecewise_linear_op_is_inside_the_picture():
    for op in mg.OPS.values():
        if op.pieces:
            axes = mg.plot.op(op)
            low, high = line(axes, "value").get_xdata()[[0, -1]]
            assert all(low < knot < high for knot in op.pieces(**op.params((1,))[0]).knots)


@pytest.mark.parametrize(
    ("name", "kinks"), [("selu", [(0, 1.0507)]), ("hardswish", [(-3, 0), (3, 1)])]
)
def test_the_kinks_of_ops_that_bend_elsewhere_too_are_found(name, kinks):
    # 1e-4: selu's scale is 1.05070...
    assert np.allclose(dots(mg.plot.op(name), filled=True), kinks, atol=1e-4)


@pytest.mark.parametrize("name", ["tanh", "elu", "softplus", "gelu"])
def test_no_kink_is_found_where_there_is_none(name):
    assert dots(mg.plot.op(name), filled=False) == []


def test_the_value_breaks_where_it_jumps():
    axes = mg.plot.op("sign")
    x, value = line(axes, "value").get_data()
    assert np.isnan(value[x == 0]).all()
    assert set(value[x != 0]) == {-1, 1}
    assert dots(axes, filled=False, colour="#0072B2") == [(0, -1), (0, 1)]
    assert dots(axes, filled=True, colour="#0072B2") == [(0, 0)]


@pytest.mark.parametrize("op", ["leaky_relu", mg.leaky_relu, mg.OPS["leaky_relu"]])
def test_the_parameters_of_an_op_can_be_chosen_and_are_told(op):
    axes = mg.plot.op(op, negative_slope=0.3)
    assert axes.get_title() == "leaky_relu(negative_slope=0.3)"
    assert np.nanmin(line(axes, "slope").get_ydata()) == 0.3


def test_the_parameters_of_a_public_function_can_be_chosen_too():
    axes = mg.plot.op("piecewise_linear", knots=[1.0], slopes=[2.0, -1.0])
    assert dots(axes, filled=False) == [(1, -1), (1, 2)]


def test_an_op_is_drawn_where_it_is_told():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert mg.plot.op(mg.relu, axes, interval=(-2, 1)) is axes
    assert line(axes, "value").get_xdata()[[0, -1]].tolist() == [-2, 1]


@pytest.mark.parametrize(
    "name", [name for name, op in mg.OPS.items() if op.signature == "()->()" and not op.effect]
)
def test_every_op_of_one_number_can_be_drawn(name):
    assert mg.plot.op(name).get_title().startswith(name)


# --- functions -----------------------------------------------------------------------------------


def test_a_bias_moves_the_kink_of_a_function():
    axes = mg.plot.op(lambda x: mg.relu(7 + x), interval=(-10, 1))
    assert dots(axes, filled=False) == [(-7, 0), (-7, 1)]
    assert dots(axes, filled=True) == [(-7, 0)]


def test_kinks_nearer_to_one_another_than_the_points_are_told_apart():
    axes = mg.plot.op(lambda x: mg.relu(x - 0.5) + mg.relu(x - 0.501))
    assert dots(axes, filled=False) == [(0.5, 0), (0.5, 1), (0.501, 1), (0.501, 2)]


def test_kinks_inside_a_network_are_found():
    model = mg.nn.MLP([1, 6, 6, 1], rng=1, dtype=np.float64)
    for p in model.parameters():
        p.data = np.random.default_rng(p.size).normal(size=p.shape)
    axes = mg.plot.op(lambda x: model(x[:, None])[:, 0])
    kinks = sorted({x for x, _ in dots(axes, filled=False)})
    # The oracle: where second differences on a fine grid are not rounding.
    x = np.linspace(-5, 5, 100_001)
    bent = np.abs(np.diff(mg.predict(model, x[:, None])[:, 0], 2)) > 1e-7
    places = x[1:-1][bent]
    groups = places[np.diff(places, prepend=-9) > 1e-3]
    assert len(kinks) >= 6
    assert np.allclose(kinks, groups, atol=2e-4)  # two steps of the grid


def test_a_choice_between_two_functions_is_a_jump_where_they_differ():
    axes = mg.plot.op(lambda x: mg.where(x > 2, x, 0.0 * x))
    assert dots(axes, filled=False, colour="#0072B2")[0][0] == 2


def test_a_function_has_its_name_as_title():
    def bent(x):
        return mg.absolute(x)

    assert mg.plot.op(bent).get_title() == "bent"
    assert mg.plot.op(lambda x: x * x).get_title() == "f"


# --- what cannot be drawn ------------------------------------------------------------------------


def test_an_op_of_two_inputs_is_refused():
    message = (
        "plot.op: add of signature (),()->() was given; it draws elementwise ops of one input. "
        "Choose one with the signature ()->(), or write a function of one number."
    )
    for op in ("add", mg.add):
        with refused(message):
            mg.plot.op(op)


def test_a_name_that_no_op_has_is_refused():
    message = (
        "plot.op: the op 'rely' is not known. mg.OPS lists the names; a function of ops can be "
        "drawn too."
    )
    with refused(message):
        mg.plot.op("rely")


def test_a_number_is_refused():
    message = (
        "plot.op: a value of type int was given; it needs an op, its name, or a function of one "
        "Tensor."
    )
    with refused(message, TypeError):
        mg.plot.op(3)


def test_an_empty_interval_is_refused():
    message = (
        "plot.op: interval=(1, 1) was given; it needs two finite numbers, the lower one first."
    )
    with refused(message):
        mg.plot.op("relu", interval=(1, 1))


def test_a_function_of_all_numbers_at_once_is_refused():
    message = (
        "plot.op: the function returned shape () for a Tensor of shape (401,); it must return one "
        "number for each. Index the result, as in lambda x: model(x[:, None])[:, 0]."
    )
    with refused(message):
        mg.plot.op(lambda x: x.sum())
