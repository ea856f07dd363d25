"""Pictures of what a classifier of points says everywhere in the plane."""

import re

import numpy as np
import pytest

import microgrid as mg

pytest.importorskip("matplotlib")

SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
SMALL = 21  # points each way


def refused(message, error=ValueError):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def by_side(points):
    """Class 1 where the first number is positive, as scores of two classes."""
    return np.stack([0 * points[:, 0], points[:, 0]], axis=1)


def coloured_at(axes, point):
    """Return the colours of the regions that contain a point."""
    return [
        tuple(region.get_facecolor()[0][:3])
        for region in axes.collections
        if hasattr(region, "levels") and region.filled and len(region.get_facecolor())
        if any(path.contains_point(point) for path in region.get_paths())
    ]


def lines_at_zero(axes):
    """Return the points of the lines between regions, and of kinks: one array a line."""
    return [
        path.vertices
        for found in axes.collections
        if hasattr(found, "levels") and not found.filled
        for path in found.get_paths()
        if len(path.vertices)
    ]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_each_side_of_the_boundary_has_the_colour_of_its_class():
    axes = mg.plot.decision_regions(by_side, SQUARE, [0, 1, 0, 1], resolution=SMALL)
    left, right = coloured_at(axes, (-0.5, 0.3)), coloured_at(axes, (0.5, 0.3))
    assert len(left) == len(right) == 1
    samples = [c for c in axes.collections if not hasattr(c, "levels")]
    assert left == [tuple(samples[0].get_facecolor()[0][:3])]
    assert right == [tuple(samples[1].get_facecolor()[0][:3])]


def test_the_boundary_is_where_two_classes_are_as_good():
    axes = mg.plot.decision_regions(by_side, SQUARE, [0, 1, 0, 1], resolution=SMALL)
    (line,) = lines_at_zero(axes)
    # Rounding of the grid's points.
    assert np.allclose(line[:, 0], 0, atol=1e-12)


@pytest.mark.parametrize("score", [lambda p: p[:, 0], lambda p: p[:, :1]])
@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [-1, 1, -1, 1], [[0], [1], [0], [1]]])
def test_one_score_is_positive_for_the_second_class(score, labels):
    one = mg.plot.decision_regions(score, SQUARE, labels, resolution=SMALL)
    two = mg.plot.decision_regions(by_side, SQUARE, [0, 1, 0, 1], resolution=SMALL)
    for point in ((-0.5, 0.3), (0.5, 0.3)):
        assert coloured_at(one, point) == coloured_at(two, point)


def test_several_classes_meet_where_their_scores_do():
    centres = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])

    def nearest(points):
        return -((points[:, None] - centres) ** 2).sum(axis=2)

    axes = mg.plot.decision_regions(nearest, centres, [0, 1, 2], resolution=SMALL)
    colours = [coloured_at(axes, point) for point in centres]
    assert [len(found) for found in colours] == [1, 1, 1]
    assert len({found[0] for found in colours}) == 3


def test_a_class_that_nowhere_wins_has_no_region_and_a_name():
    def never(points):
        return np.stack([points[:, 0], -points[:, 0], 0 * points[:, 0] - 9], axis=1)

    axes = mg.plot.decision_regions(never, SQUARE, [0, 1, 0, 1], resolution=SMALL)
    assert len([c for c in axes.collections if hasattr(c, "levels") and c.filled]) == 2
    assert legend(axes) == ["0", "1", "2"]


def test_a_model_that_says_the_same_everywhere_can_be_drawn():
    axes = mg.plot.decision_regions(lambda p: 0 * p, SQUARE, [0, 1, 0, 1], resolution=SMALL)
    assert lines_at_zero(axes) == []
    axes.figure.draw_without_rendering()


def test_the_model_is_asked_in_evaluation_mode_and_stays_as_it_is():
    model = mg.nn.Sequential(mg.nn.Dense(2, 2, rng=0), mg.nn.Dropout(0.5, rng=0))
    mg.plot.decision_regions(model, SQUARE, [0, 1, 0, 1], resolution=SMALL, kinks=True)
    assert model.training
    assert "_predictor" not in vars(model)


def test_classes_differ_in_shape_too():
    axes = mg.plot.decision_regions(by_side, SQUARE, [0, 1, 0, 1], resolution=SMALL)
    samples = [c for c in axes.collections if not hasattr(c, "levels")]
    assert len({len(c.get_paths()[0].vertices) for c in samples}) == 2


def test_it_is_drawn_where_it_is_told_with_names():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    names = ["cat", "dog"]
    found = mg.plot.decision_regions(
        by_side, SQUARE, [0, 1, 0, 1], ax, resolution=SMALL, class_names=names
    )
    assert found is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("first feature", "second feature")
    assert legend(ax) == names


# --- kinks ---------------------------------------------------------------------------------------


def test_the_kinks_of_a_first_layer_are_the_lines_where_its_units_are_zero():
    model = mg.nn.MLP([2, 3, 2], rng=0, dtype=np.float64)
    model[0].bias.data = np.array([0.1, -0.2, 0.3])
    axes = mg.plot.decision_regions(model, SQUARE, [0, 1, 0, 1], resolution=SMALL, kinks=True)
    weight, bias = model[0].weight.data, model[0].bias.data
    lines = lines_at_zero(axes)[-3:]
    for unit, line in enumerate(lines):
        # The unit is linear, and so is a contour between points: only rounding is left.
        assert np.allclose(line @ weight[:, unit] + bias[unit], 0, atol=1e-12)
    assert legend(axes) == ["0", "1", "kinks, layer 1"]


def test_the_kinks_of_functions_called_in_forward_are_found_too():
    class Net(mg.nn.Module):
        def __init__(self):
            self.first, self.second = mg.nn.Dense(2, 4, rng=0), mg.nn.Dense(4, 4, rng=1)

        def forward(self, x):
            h = mg.clip(self.first(x), -1, 1)
            return mg.maximum(self.second(h), 0.0)

    axes = mg.plot.decision_regions(Net(), SQUARE, [0, 1, 0, 1], resolution=SMALL, kinks=True)
    assert legend(axes)[-2:] == ["kinks, layer 1", "kinks, layer 2"]


def test_a_smooth_net_has_no_kinks():
    model = mg.nn.MLP([2, 3, 2], "tanh", rng=0)
    axes = mg.plot.decision_regions(model, SQUARE, [0, 1, 0, 1], resolution=SMALL, kinks=True)
    assert legend(axes) == ["0", "1"]


# --- what cannot be drawn ------------------------------------------------------------------------


def test_points_of_three_numbers_are_refused():
    message = (
        "plot.decision_regions: x has shape (4, 3); it needs float[n, 2], two numbers a point. "
        "Choose two columns, as in x[:, :2]."
    )
    with refused(message, mg.errors.ShapeError):
        mg.plot.decision_regions(by_side, np.zeros((4, 3)), [0, 1, 0, 1])


def test_labels_of_another_length_are_refused():
    message = "plot.decision_regions: x has shape (4, 2) and y (3,); it needs one label a point."
    with refused(message, mg.errors.ShapeError):
        mg.plot.decision_regions(by_side, SQUARE, [0, 1, 0])


def test_a_label_that_is_no_class_is_refused():
    message = (
        "plot.decision_regions: y has labels from 0 to 2, and the model tells 2 classes; it needs "
        "whole numbers from 0 to 1."
    )
    with refused(message):
        mg.plot.decision_regions(by_side, SQUARE, [0, 1, 2, 1], resolution=SMALL)


def test_too_few_names_are_refused():
    message = "plot.decision_regions: 1 class names were given for 2 classes; it needs one each."
    with refused(message):
        mg.plot.decision_regions(
            by_side, SQUARE, [0, 1, 0, 1], resolution=SMALL, class_names=["cat"]
        )


def test_a_model_that_gives_something_else_is_refused():
    message = (
        "plot.decision_regions: the model returned shape () for 441 points; it must return a score "
        "for each, or one for each class."
    )
    with refused(message, mg.errors.ShapeError):
        mg.plot.decision_regions(np.sum, SQUARE, [0, 1, 0, 1], resolution=SMALL)


def test_what_is_no_model_is_refused():
    message = (
        "plot.decision_regions: a value of type int was given as the model; it needs a Module, or "
        "a function of float[n, 2]."
    )
    with refused(message, TypeError):
        mg.plot.decision_regions(3, SQUARE, [0, 1, 0, 1])


def test_a_resolution_of_one_point_is_refused():
    message = "plot.decision_regions: resolution=1 was given; it must be at least 2."
    with refused(message):
        mg.plot.decision_regions(by_side, SQUARE, [0, 1, 0, 1], resolution=1)
