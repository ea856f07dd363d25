import doctest
import re
import subprocess
import sys

import numpy as np
import pytest

import microgrid as mg
from microgrid import plot

pytest.importorskip("matplotlib")

HISTORY = {
    "loss": [2.0, 1.0, 0.5, 0.2, 0.1],
    "accuracy": [0.2, 0.5, 0.8, 0.9, 1.0],
    "val_loss": [2.1, 1.2, 0.8, 0.7, 0.6],
    "val_accuracy": [0.1, 0.4, 0.7, 0.8, 0.9],
}


def misread(count, n=60):
    images = np.random.default_rng(0).random((n, 64))
    labels = np.arange(n) % 10
    answers = np.where(np.arange(n) < count, (labels + 1) % 10, labels)
    return images, labels, answers


def line(axes, label):
    return next(found for found in axes.get_lines() if found.get_label() == label)


def test_the_examples_run():
    found = doctest.testmod(plot)
    assert (found.failed, found.attempted > 0) == (0, True)


# --- learning curves -----------------------------------------------------------------------------


def test_curves_are_drawn_over_epochs_counted_from_1():
    loss, accuracy = plot.plot_history(HISTORY).axes
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for label, key in (("training", name), ("held out", f"val_{name}")):
            x, y = line(axes, label).get_data()
            assert x.tolist() == [1, 2, 3, 4, 5]
            assert list(y) == HISTORY[key]


def test_curves_have_labelled_axes_and_a_legend():
    for axes in plot.plot_history(HISTORY).axes:
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "training",
            "held out",
        ]


def test_the_two_curves_differ_in_more_than_colour():
    axes = plot.plot_history(HISTORY).axes[0]
    assert len({found.get_linestyle() for found in axes.get_lines()}) == 2


def test_a_loss_of_zero_can_be_drawn(tmp_path):
    figure = plot.plot_history({"loss": [1.0, 0.1, 0.0, 0.0, 0.0]})
    figure.savefig(tmp_path / "loss.png")
    assert figure.axes[0].get_yscale() == "linear"


# --- misread digits ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 10, 11, 20, 21, 60])
def test_at_most_twenty_misread_digits_are_shown_and_all_are_counted(count):
    images, labels, answers = misread(count)
    figure = plot.plot_misread(images, labels, answers)
    shown = [axes for axes in figure.axes if axes.get_images()]
    assert len(shown) == min(count, 20)
    assert figure.get_suptitle().startswith(f"{count} of 60 held-out digits misread")


def test_a_misread_digit_is_shown_with_what_it_is_and_was_read_as():
    images, labels, answers = misread(3)
    axes = plot.plot_misread(images, labels, answers).axes[2]
    assert axes.get_title() == "2 read as 3"
    assert np.array_equal(axes.get_images()[0].get_array(), images[2].reshape(8, 8))


# --- the report ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 3, 15, 60])
def test_a_report_is_written_as_a_png(tmp_path, count):
    path = tmp_path / "report.png"
    plot.save_report(path, HISTORY, *misread(count))
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(("suffix", "start"), [(".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_a_report_is_written_in_the_format_of_its_name(tmp_path, suffix, start):
    path = tmp_path / f"report{suffix}"
    plot.save_report(path, HISTORY, *misread(3))
    assert path.read_bytes().startswith(start)


def test_a_report_of_one_epoch_can_be_drawn(tmp_path):
    once = {name: values[:1] for name, values in HISTORY.items()}
    plot.save_report(tmp_path / "report.png", once, *misread(3))


def test_pictures_do_not_touch_pyplot(tmp_path):
    code = (
        "import sys; from microgrid import plot; plot.plot_history({'loss': [1.0]})"
        ".savefig(sys.argv[1]); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "loss.png")], check=True)


# --- ops -----------------------------------------------------------------------------------------


def test_an_op_is_drawn_with_its_slope():
    axes = plot.plot_op(mg.OPS["tanh"])
    x, value = line(axes, "value").get_data()
    assert np.allclose(value, np.tanh(x))
    assert np.allclose(line(axes, "slope").get_ydata(), 1 - np.tanh(x) ** 2)


def test_the_slope_breaks_at_a_kink_and_a_dot_marks_its_value_there():
    axes = plot.plot_op(mg.OPS["relu6"])
    x, slope = line(axes, "slope").get_data()
    assert np.isnan(slope[x == 0]).all()
    assert np.all((slope == 0) | (slope == 1) | np.isnan(slope))
    dots = axes.get_lines()[-1]
    assert dots.get_xdata().tolist() == [0, 6]
    assert dots.get_ydata().tolist() == [0, 0]


def test_every_kink_of_a_piecewise_linear_op_is_inside_the_picture():
    for op in mg.OPS.values():
        if op.pieces:
            axes = plot.plot_op(op)
            low, high = line(axes, "value").get_xdata()[[0, -1]]
            assert all(low < knot < high for knot in op.pieces(**op.params((1,))[0]).knots)


@pytest.mark.parametrize(
    ("name", "kinks", "slopes"), [("selu", [0], [1.0507]), ("hardswish", [-3, 3], [0, 1])]
)
def test_the_kinks_of_ops_that_bend_elsewhere_too_are_found(name, kinks, slopes):
    dots = plot.plot_op(mg.OPS[name]).get_lines()[-1]
    assert dots.get_xdata().tolist() == kinks
    assert np.allclose(dots.get_ydata(), slopes, atol=1e-4)


@pytest.mark.parametrize("name", ["tanh", "elu", "softplus", "gelu"])
def test_no_kink_is_found_where_there_is_none(name):
    assert len(plot.plot_op(mg.OPS[name]).get_lines()[-1].get_xdata()) == 0


def test_the_value_breaks_where_it_jumps():
    x, value = line(plot.plot_op(mg.OPS["sign"]), "value").get_data()
    assert np.isnan(value[x == 0]).all()
    assert set(value[x != 0]) == {-1, 1}


def test_the_parameters_of_an_op_can_be_chosen_and_are_told():
    axes = plot.plot_op(mg.OPS["leaky_relu"], negative_slope=0.3)
    assert axes.get_title() == "leaky_relu(negative_slope=0.3)"
    assert np.nanmin(line(axes, "slope").get_ydata()) == 0.3


def test_an_op_is_drawn_where_it_is_told():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert plot.plot_op(mg.OPS["relu"], axes) is axes


@pytest.mark.parametrize(
    "name", [name for name, op in mg.OPS.items() if op.signature == "()->()" and not op.effect]
)
def test_every_op_of_one_number_can_be_drawn(name):
    plot.plot_op(mg.OPS[name]).figure.draw_without_rendering()


def test_an_op_of_two_inputs_is_refused():
    message = (
        "plot_op: add of signature (),()->() was given; it draws elementwise ops of one input. "
        "Choose one with the signature ()->()."
    )
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        plot.plot_op(mg.OPS["add"])
