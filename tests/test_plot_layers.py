"""What hidden layers give, and pictures of it: distributions, weights, principal components."""

import re

import numpy as np
import pytest

import microgrid as mg

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4))


def refused(message, error=ValueError):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def names(model):
    return [name for name, _ in mg.plot.hidden(model, X)]


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


# --- hidden layers -------------------------------------------------------------------------------


def test_hidden_layers_give_what_slices_of_the_model_give():
    model = mg.nn.MLP([4, 6, 5, 3], rng=0)
    found = dict(mg.plot.hidden(model, X))
    assert list(found) == ["0", "1"]
    for i, h in enumerate(found.values(), 1):
        assert np.array_equal(h, mg.predict(model[:i], X))


def test_activations_that_forward_calls_as_functions_are_layers():
    class Net(mg.nn.Module):
        def __init__(self):
            self.first, self.second = mg.nn.Dense(4, 6, rng=0), mg.nn.Dense(6, 6, rng=1)
            self.last = mg.nn.Dense(6, 3, rng=2)

        def forward(self, x):
            h = mg.relu(self.first(x))
            return self.last(mg.relu(self.second(h) + h) * 2)

    net = Net()
    found = dict(mg.plot.hidden(net, X))
    assert list(found) == ["first", "relu", "second", "relu#2"]
    assert np.array_equal(found["relu"], np.maximum(found["first"], 0))
    assert np.array_equal(found["relu#2"], np.maximum(found["second"] + found["relu"], 0))


def test_a_model_of_bare_parameters_has_the_activations_that_it_calls():
    class Net(mg.nn.Module):
        def __init__(self):
            self.weight = mg.nn.Parameter(RNG.normal(size=(4, 2)))

        def forward(self, x):
            return mg.tanh(x @ self.weight) * 2

    assert names(Net()) == ["tanh"]


def test_functions_and_blocks_in_a_sequential_are_found():
    block = mg.nn.Sequential(mg.nn.Dense(4, 4, rng=0), mg.nn.ReLU(), mg.nn.Dense(4, 4, rng=0))
    model = mg.nn.Sequential(block, mg.tanh, mg.nn.Flatten(), mg.nn.Dense(4, 3, rng=0))
    assert names(model)[:4] == ["0.0", "0.1", "0.2", "tanh"]


def test_a_layer_with_an_activation_inside_is_one_layer():
    model = mg.nn.Sequential(mg.nn.Dense(4, 5, mg.nn.PReLU(), rng=0), mg.nn.Dense(5, 2, rng=0))
    assert names(model) == ["0"]


def test_a_layer_that_passes_on_what_it_got_is_none():
    model = mg.nn.Sequential(mg.nn.Dense(4, 5, rng=0), mg.nn.Identity(), mg.nn.Dense(5, 2, rng=0))
    assert names(model) == ["0"]


def test_a_layer_that_is_called_twice_is_found_twice():
    layer = mg.nn.Dense(4, 4, "relu", rng=0)
    assert names(mg.nn.Sequential(layer, layer, mg.nn.Dense(4, 2, rng=0))) == ["0", "0#2"]


def test_the_copy_computes_in_evaluation_mode_and_the_model_stays_as_it_is():
    model = mg.nn.Sequential(
        mg.nn.Dense(4, 5, rng=0), mg.nn.BatchNorm1d(5), mg.nn.Dropout(0.9), mg.nn.Dense(5, 2)
    )
    before = model.state_dict()
    first, second = (dict(mg.plot.hidden(model, X)) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert type(model) is mg.nn.Sequential


def test_what_is_no_module_has_no_layers():
    message = (
        "plot.hidden: the model given is of type Op; it needs a Module. Subclass mg.nn.Module, or "
        "use Sequential."
    )
    with refused(message, TypeError):
        mg.plot.hidden(mg.relu, X)


# --- activations ---------------------------------------------------------------------------------


def test_a_row_is_a_layer_with_its_share_of_exact_zeros():
    model = mg.nn.MLP([4, 6, 5, 3], rng=0)
    axes = mg.plot.activations(model, X)
    shares = [np.mean(h == 0) for _, h in mg.plot.hidden(model, X)]
    told = [f"layer {i}\n{share:.0%} exactly 0" for i, share in enumerate(shares)]
    assert labels(axes.yaxis) == told
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("activation", "")
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is at the top


def test_the_height_of_a_row_is_in_proportion_to_how_many_activations_are_there():
    model = mg.nn.MLP([4, 6, 3], "tanh", rng=0)
    axes = mg.plot.activations(model, X)
    heights, edges, base = axes.patches[0].get_data()
    counts, _ = np.histogram(mg.plot.hidden(model, X)[0][1], edges)
    # 0.8 is the height of a row's peak.
    assert np.allclose(base - heights, 0.8 * counts / counts.max())
    assert labels(axes.yaxis) == ["layer 0"]


def test_layers_of_zeros_and_of_nan_can_be_drawn():
    model = mg.nn.MLP([4, 6, 5, 3], rng=0)
    model[0].bias.data = np.full(6, -1000.0)
    model[1].bias.data = np.full(5, np.nan)
    axes = mg.plot.activations(model, X)
    assert labels(axes.yaxis) == ["layer 0\n100% exactly 0", "layer 1\n100 not finite"]
    axes.figure.draw_without_rendering()


def test_a_model_without_hidden_layers_has_no_activations_to_draw():
    message = (
        "plot.activations: the Dense has no hidden layer: what its layers give is what it returns."
    )
    with refused(message):
        mg.plot.activations(mg.nn.Dense(4, 2), X)


# --- weights -------------------------------------------------------------------------------------


def test_rows_of_weights_are_named_after_the_parameters():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert mg.plot.weights(mg.nn.MLP([4, 6, 3], rng=0), ax) is ax
    assert labels(ax.yaxis) == ["0.weight", "1.weight"]
    assert ax.get_xlabel() == "weight"


@pytest.mark.parametrize("layer", [0, "0", "0.weight"])
def test_each_unit_of_a_layer_is_a_picture_of_its_weights(layer):
    model = mg.nn.MLP([9, 5, 3], rng=0)
    axes = mg.plot.weights(model, layer=layer)
    shown = np.asarray(axes.get_images()[0].get_array())
    assert shown.shape == (2 * 3 + 1, 3 * 3 + 2)  # five pictures, three a row, and gaps
    for unit in range(5):
        top, left = unit // 3 * 4, unit % 3 * 4
        picture = shown[top : top + 3, left : left + 3]
        assert np.array_equal(picture.ravel(), model[0].weight.data[:, unit])
    assert np.isnan(shown[3]).all()
    assert axes.get_title() == "layer 0: the weights into each of 5 units"


def test_weights_that_make_no_square_are_one_picture_unless_a_shape_is_given():
    model = mg.nn.MLP([6, 5, 3], rng=0)
    whole = mg.plot.weights(model, layer=0)
    assert np.array_equal(whole.get_images()[0].get_array(), model[0].weight.data)
    assert (whole.get_xlabel(), whole.get_ylabel()) == ("unit", "input")
    parts = mg.plot.weights(model, layer=0, shape=(2, 3))
    assert parts.get_images()[0].get_array().shape == (2 * 2 + 1, 3 * 3 + 2)


def test_no_more_than_64_units_are_shown_and_that_is_said():
    axes = mg.plot.weights(mg.nn.MLP([4, 100, 3], rng=0), layer=0)
    assert axes.get_title() == "layer 0: the weights into the first 64 of 100 units"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"layer": 7},
            "plot.weights: layer='7' was given; those with weights are 0.weight, 1.weight. Name "
            "one of them.",
        ),
        (
            {"layer": 0, "shape": (3, 3)},
            "plot.weights: shape=(3, 3) was given; a unit of 0.weight has 4 weights, and the two "
            "numbers must multiply to that.",
        ),
    ],
)
def test_weights_that_are_not_there_are_refused(options, message):
    with refused(message):
        mg.plot.weights(mg.nn.MLP([4, 6, 3], rng=0), **options)


def test_a_model_without_weights_is_refused():
    message = (
        "plot.weights: the ReLU has no parameter of two dimensions or more, so there are no "
        "weights to draw."
    )
    with refused(message):
        mg.plot.weights(mg.nn.ReLU())


# --- principal components ------------------------------------------------------------------------


def drawn_points(axes):
    return np.concatenate([group.get_offsets() for group in axes.collections])


def test_the_two_components_hold_what_can_be_held_in_a_plane():
    plane = RNG.normal(size=(2, 7))
    flat = RNG.normal(size=(30, 2)) @ plane + 5
    axes = mg.plot.representation(flat, np.zeros(30, int))
    found = drawn_points(axes)

    def distances(points):
        return np.linalg.norm(points[:, None] - points, axis=-1)

    # 1e-10: rounding of a decomposition of numbers near 10.
    assert np.allclose(distances(found), distances(flat), atol=1e-10)


def test_the_axes_tell_the_share_of_the_variance():
    values = np.zeros((4, 3))
    values[:, 0] = [-3, 3, 0, 0]
    values[:, 2] = [0, 0, 1, -1]
    axes = mg.plot.representation(values, [0, 0, 1, 1])
    assert axes.get_xlabel() == "1st principal component (90%)"
    assert axes.get_ylabel() == "2nd principal component (10%)"
    assert np.allclose(drawn_points(axes), [[-3, 0], [3, 0], [0, 1], [0, -1]])


def test_classes_of_short_names_are_drawn_as_their_names():
    axes = mg.plot.representation(RNG.normal(size=(20, 5)), np.arange(20) % 10)
    shapes = {group.get_paths()[0].vertices.tobytes() for group in axes.collections}
    assert len(axes.collections) == len(shapes) == 10
    assert axes.get_legend() is None
    axes.figure.draw_without_rendering()


def test_classes_of_long_names_are_in_the_legend():
    axes = mg.plot.representation(X, np.arange(20) % 2, class_names=["upper", "lower"])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["upper", "lower"]


def test_short_names_of_other_signs_are_in_the_legend_too():
    axes = mg.plot.representation(X, np.arange(20) % 2, class_names=["a^", "$"])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a^", "$"]
    axes.figure.draw_without_rendering()


def test_samples_that_are_all_the_same_can_be_drawn():
    axes = mg.plot.representation(np.ones((5, 3)), [0, 1, 2, 1, 0])
    assert not drawn_points(axes).any()
    axes.figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        (
            np.ones((3, 1)),
            [0, 1, 2],
            "plot.representation: activations of shape (3, 1) and 3 labels were given; it needs "
            "float[n, features] of two features or more, and a label for each sample.",
        ),
        (
            np.ones((3, 2)),
            [0, 1],
            "plot.representation: activations of shape (3, 2) and 2 labels were given; it needs "
            "float[n, features] of two features or more, and a label for each sample.",
        ),
        (
            [[1.0, np.nan], [0.0, 0.0]],
            [0, 1],
            "plot.representation: an activation is nan or infinite; all must be finite.",
        ),
        (
            np.ones((2, 2)),
            [0.5, 1],
            "plot.representation: the labels must be whole numbers from 0.",
        ),
    ],
)
def test_what_has_no_components_is_refused(values, classes, message):
    with refused(message):
        mg.plot.representation(values, classes)
