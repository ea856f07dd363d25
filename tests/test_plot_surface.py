"""Pictures of a loss over two directions of the parameters, with the path of descent."""

import re

import numpy as np
import pytest

import microgrid as mg
from microgrid.plot.directions import plane_of
from microgrid.plot.paths import flat

pytest.importorskip("matplotlib")

X = np.linspace(-1, 1, 9)[:, None]
Y = 2 * X + 0.5
FEW = 7  # points each way


def refused(message, error=ValueError):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def line(dtype=np.float64):
    return mg.nn.Dense(1, 1, rng=0, dtype=dtype)


def labelled(axes, label):
    return next(found for found in axes.get_lines() if found.get_label() == label)


def descended(model, **options):
    path = mg.plot.Path(model, **options)
    mg.fit(
        model, X, Y, loss="mse", optimizer=mg.optim.SGD(model.parameters(), 0.1), batch_size=3,
        epochs=4, verbose=0, rng=0, callbacks=[path],
    )  # fmt: skip
    return path


# --- the landscape -------------------------------------------------------------------------------


def test_of_a_model_with_two_numbers_the_axes_are_these_two():
    model = line()
    axes = mg.plot.loss_surface(model, X, Y, "mse", span=1.0, resolution=FEW)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("weight[0, 0]", "bias[0]")
    weight = model.weight.data.item()
    assert np.allclose(axes.get_xlim(), (weight - 1, weight + 1))
    assert np.allclose(axes.get_ylim(), (-1, 1))


def test_the_height_is_the_loss_there():
    seen = []

    def loss(prediction, target):
        seen.append(prediction.data.copy())
        return mg.mse_loss(prediction, target)

    mg.plot.loss_surface(line(), X, Y, loss, span=1.0, resolution=3)
    assert len(seen) == 9
    weight = line().weight.data.item()
    expected = [X * (weight + a) + b for b in (-1, 0, 1) for a in (-1, 0, 1)]
    assert np.allclose(seen, expected)


def test_the_levels_of_a_loss_that_spans_decades_are_logarithmic():
    def scale(y):
        axes = mg.plot.loss_surface(line(), X, y, "mse", span=3.0, resolution=FEW)
        return type(axes.collections[0].norm).__name__

    assert scale(Y) == "LogNorm"
    assert scale(Y + 100.0) == "Normalize"


def test_a_flat_loss_can_be_drawn(tmp_path):
    model = mg.nn.MLP([1, 2, 1], rng=0)
    model[0].bias.data = np.full(2, -100.0)
    axes = mg.plot.loss_surface(
        model, X, Y, "mse", resolution=FEW, directions=("0.bias[0]", "0.bias[1]")
    )
    axes.figure.savefig(tmp_path / "flat.png")


def test_the_model_stays_as_it_is():
    model = line()
    before = flat(model)
    mg.plot.loss_surface(model, X, Y, "mse", resolution=FEW)
    assert np.array_equal(flat(model), before)
    assert model.training


# --- the path ------------------------------------------------------------------------------------


def test_the_path_is_drawn_over_two_parameters_where_they_were():
    model = line()
    path = descended(model)
    axes = mg.plot.loss_surface(model, X, Y, "mse", path, resolution=FEW)
    drawn = np.stack(labelled(axes, "path").get_data(), axis=1)
    assert np.allclose(drawn, path.points)
    start, end = (labelled(axes, name).get_xydata()[0] for name in ("start", "end"))
    assert np.allclose([start, end], [path.points[0], flat(model)])


def test_the_picture_contains_the_path():
    model = mg.nn.MLP([1, 4, 1], rng=0)
    axes = mg.plot.loss_surface(model, X, Y, "mse", descended(model), resolution=FEW)
    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    across, up = labelled(axes, "path").get_data()
    assert low < across.min() < across.max() < high
    assert bottom < up.min() < up.max() < top


def test_a_path_notes_the_start_and_each_epoch_or_batch():
    assert len(descended(line())) == 1 + 4
    assert len(descended(line(), every="batch")) == 1 + 4 * 3


def test_in_a_loop_of_ones_own_the_path_is_called():
    model = line()
    path = mg.plot.Path(model)
    path()
    model.weight.data = np.array([[7.0]])
    path()
    assert path.points[1].tolist() == [7.0, 0.0]
    assert path.points[0].tolist() != path.points[1].tolist()


def test_a_path_is_also_an_array():
    axes = mg.plot.loss_surface(line(), X, Y, "mse", [[0, 0], [1, 1]], resolution=FEW)
    assert labelled(axes, "path").get_xydata().tolist() == [[0, 0], [1, 1]]


# --- directions ----------------------------------------------------------------------------------


def test_principal_directions_are_orthogonal_and_hold_a_path_in_a_plane():
    model = mg.nn.MLP([1, 2, 1], rng=0, dtype=np.float64)
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(2, model.num_parameters()))
    path = flat(model) + rng.normal(size=(9, 2)) @ basis
    plane = plane_of(model, "pca", path, None)
    # 1e-12: rounding of a decomposition of numbers near 1.
    assert np.allclose(plane.directions @ plane.directions.T, np.eye(2), atol=1e-12)
    back = np.stack([plane.at(place) for place in plane.project(path)])
    assert np.allclose(back, path, atol=1e-12)


def test_a_random_direction_moves_each_unit_by_as_much_as_its_weights_are_large():
    model = mg.nn.MLP([3, 4, 2], rng=0, dtype=np.float64)
    plane = plane_of(model, "random", np.zeros((0, 26)), 0)
    for direction in plane.directions:
        weight, bias = direction[:12].reshape(3, 4), direction[12:16]
        norms = np.linalg.norm(model[0].weight.data, axis=0)
        assert np.allclose(np.linalg.norm(weight, axis=0), norms)
        assert not bias.any()


def test_random_directions_are_repeated_by_their_seed():
    model = mg.nn.MLP([1, 4, 1], rng=0)
    first, second, other = (plane_of(model, "random", np.zeros((0, 13)), s) for s in (0, 0, 1))
    assert np.array_equal(first.directions, second.directions)
    assert not np.array_equal(first.directions, other.directions)


@pytest.mark.parametrize(
    ("steps", "label"), [(5, "1st principal direction"), (2, "first random"), (0, "first random")]
)
def test_the_directions_are_chosen_by_what_there_is(steps, label):
    model = mg.nn.MLP([1, 2, 1], rng=0)
    path = np.random.default_rng(0).normal(size=(steps, 7))
    axes = mg.plot.loss_surface(model, X, Y, "mse", path, resolution=2, rng=0)
    assert axes.get_xlabel().startswith(label)


def test_two_directions_may_be_given_as_arrays():
    model = line()
    axes = mg.plot.loss_surface(
        model, X, Y, "mse", directions=([1, 1], [1, -1]), span=0.5, resolution=3
    )
    assert (axes.get_xlabel(), axes.get_xlim()) == ("first direction", (-0.5, 0.5))


# --- what cannot be drawn ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"directions": "both"},
            'plot.loss_surface: directions=\'both\' was given; it needs "random", "pca", the '
            'names of two parameters, as in ("0.weight[0, 0]", "0.bias[0]"), or two arrays.',
        ),
        (
            {"directions": "pca"},
            'plot.loss_surface: directions="pca" was given with a path of 0 points; it needs at '
            "least 3. Note more of them.",
        ),
        (
            {"directions": "pca", "path": [[0, 0], [1, 1], [2, 2]]},
            "plot.loss_surface: the path is a straight line, which has one direction only. Name "
            'two parameters as directions, or use "random".',
        ),
        (
            {"directions": ("weight[0, 0]", "slope")},
            "plot.loss_surface: 'slope' was given; the parameters are weight, bias. Name one of "
            "them.",
        ),
        (
            {"directions": ("weight[0, 1]", "bias")},
            "plot.loss_surface: 'weight[0, 1]' was given; weight has shape (1, 1), and it needs an "
            "index of one number of it.",
        ),
        (
            {"directions": ("bias", "bias[0]")},
            "plot.loss_surface: 'bias' was given twice; it needs two parameters.",
        ),
        (
            {"directions": ([1.0], [1.0, 2.0])},
            "plot.loss_surface: directions of sizes 1 and 2 were given; the model has 2 "
            "parameters, and each direction needs as many numbers.",
        ),
        (
            {"directions": ([1, 2], [2, 4])},
            "plot.loss_surface: the two directions are one, or 0. Pass two that differ.",
        ),
        ({"span": 0}, "plot.loss_surface: span=0 was given; it must be a number above 0."),
        (
            {"path": [[1.0, 2.0, 3.0]]},
            "plot.loss_surface: a path of shape (1, 3) was given; the model has 2 parameters, and "
            "it needs float[steps, 2]. Use Path(model).",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with refused(message):
        mg.plot.loss_surface(line(), X, Y, "mse", resolution=2, **options)


def test_a_loss_that_is_nowhere_finite_is_refused():
    with refused("plot.loss_surface: the loss is nowhere finite. Choose a smaller span."):
        mg.plot.loss_surface(line(), X, Y, lambda p, y: (p * np.inf).sum(), resolution=2)


def test_random_directions_of_a_model_without_weights_are_refused():
    class Bias(mg.nn.Module):
        def __init__(self):
            self.bias = mg.nn.Parameter(np.zeros(1))

        def forward(self, x):
            return x + self.bias

    message = (
        "plot.loss_surface: random directions move weights of two dimensions, and the model has "
        "none that is not 0. Name two parameters as directions."
    )
    with refused(message):
        mg.plot.loss_surface(Bias(), X, Y, "mse")


def test_a_path_without_a_model_is_refused():
    with refused("plot.Path: it knows no model. Pass one, Path(model)."):
        mg.plot.Path()()


def test_a_path_of_what_is_neither_epoch_nor_batch_is_refused():
    message = "plot.Path: every='step' was given; it must be 'epoch' or 'batch'."
    with refused(message):
        mg.plot.Path(line(), every="step")
