"""Pictures: what all have in common, learning curves, misread digits."""

import doctest
import pkgutil
import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

import microgrid as mg
from microgrid import plot
from microgrid.errors import ShapeError

pytest.importorskip("matplotlib")

HISTORY = {
    "loss": [2.0, 1.0, 0.5, 0.2, 0.05],
    "accuracy": [0.2, 0.5, 0.8, 0.9, 1.0],
    "val_loss": [2.1, 1.2, 0.8, 0.7, 0.6],
    "val_accuracy": [0.1, 0.4, 0.7, 0.8, 0.9],
}
MODULES = sorted(m.name for m in pkgutil.iter_modules(plot.__path__, "microgrid.plot."))


def misread(count, n=60):
    images = np.random.default_rng(0).random((n, 64))
    labels = np.arange(n) % 10
    answers = np.where(np.arange(n) < count, (labels + 1) % 10, labels)
    return images, labels, answers


def line(axes, label):
    return next(found for found in axes.get_lines() if found.get_label() == label)


def refused(message, error=ValueError):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


@pytest.mark.parametrize("name", ["microgrid.plot", *MODULES])
def test_the_examples_run(name):
    found = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


def test_every_public_function_has_an_example():
    functions = {name: f for name, f in vars(plot).items() if callable(f)}
    bare = [name for name, f in functions.items() if ">>>" not in f.__doc__]
    assert bare == []


def test_pictures_do_not_touch_pyplot(tmp_path):
    code = (
        "import sys; from microgrid import plot; plot.history({'loss': [1.0]})"
        ".figure.savefig(sys.argv[1]); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "loss.png")], check=True)


def test_a_figure_given_as_axes_is_refused():
    from matplotlib.figure import Figure

    message = (
        "plot.op: ax of type Figure was given; it needs the Axes of matplotlib. "
        "Leave it out, or pass figure.add_subplot()."
    )
    with refused(message, TypeError):
        mg.plot.op("relu", Figure())


# --- learning curves -----------------------------------------------------------------------------


def test_curves_are_drawn_over_epochs_counted_from_1():
    loss, accuracy = plot.history(HISTORY).figure.axes
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for label, key in (("training", name), ("validation", f"val_{name}")):
            x, y = line(axes, label).get_data()
            assert x.tolist() == [1, 2, 3, 4, 5]
            assert list(y) == HISTORY[key]


def test_a_history_that_goes_on_has_its_own_epochs():
    run = mg.History(history={"loss": [2.0, 1.0]}, epoch=[10, 11])
    assert line(plot.history(run), "training").get_xdata().tolist() == [11, 12]


def test_curves_have_labelled_axes_and_a_legend():
    for axes in plot.history(HISTORY).figure.axes:
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "training",
            "validation",
        ]


def test_the_two_curves_differ_in_more_than_colour():
    axes = plot.history(HISTORY)
    assert len({found.get_linestyle() for found in axes.get_lines()}) == 2


def test_given_axes_take_the_loss_or_what_is_named():
    from matplotlib.figure import Figure

    left, right = Figure().subplots(1, 2)
    assert plot.history(HISTORY, left) is left
    assert plot.history(HISTORY, right, "accuracy") is right
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "accuracy")


def test_many_curves_are_drawn_in_several_rows():
    rates = {"loss": [1.0], **{f"metric_{i}": [1.0] for i in range(4)}}
    axes = plot.history(rates).figure.axes
    assert [ax.get_ylabel() for ax in axes] == ["loss", *(f"metric {i}" for i in range(4))]
    assert len({ax.get_subplotspec().rowspan.start for ax in axes}) == 2


def test_only_a_loss_that_falls_far_has_a_logarithmic_scale(tmp_path):
    near = plot.history({"loss": [1.0, 0.2]})
    far = plot.history({"loss": [1.0, 0.01]})
    zero = plot.history({"loss": [1.0, 0.1, 0.0]})
    assert [axes.get_yscale() for axes in (near, far, zero)] == ["linear", "log", "linear"]
    zero.figure.savefig(tmp_path / "loss.png")


def test_a_history_without_epochs_is_refused():
    with refused("plot.history: the history has no epochs. Train for at least one."):
        plot.history(mg.History())


def test_what_is_no_history_is_refused():
    message = (
        "plot.history: a value of type list was given; it needs the History that fit returns, "
        "or a dict of lists."
    )
    with refused(message, TypeError):
        plot.history([1.0, 0.5])


def test_a_name_that_the_history_has_not_is_refused():
    message = "plot.history: the history has no 'mae'; it has loss. Name one of them."
    with refused(message):
        plot.history({"loss": [1.0]}, name="mae")


# --- misread digits ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 11, 60])
def test_at_most_twenty_misread_digits_are_shown_and_all_are_counted(count):
    images, labels, answers = misread(count)
    figure = plot.misread(images, labels, answers)
    shown = [axes for axes in figure.axes if axes.get_images()]
    assert len(shown) == min(count, 20)
    assert figure.get_suptitle().startswith(f"{count} of 60 digits misread")


def test_a_misread_digit_is_shown_with_what_it_is_and_was_read_as():
    images, labels, answers = misread(3)
    axes = plot.misread(images, labels, answers).axes[2]
    assert axes.get_title() == "2 read as 3"
    assert np.array_equal(axes.get_images()[0].get_array(), images[2].reshape(8, 8))


@pytest.mark.parametrize("who", ["misread", "save_report"])
@pytest.mark.parametrize(
    ("change", "given", "needed"),
    [
        (
            {"images": np.zeros((60, 60))},
            "images of 60 pixels were given",
            "a picture needs as many rows as columns, as 64 pixels have 8 of each. Cut the "
            "pictures to squares.",
        ),
        (
            {"images": np.zeros((60, 8, 8))},
            "images of shape (60, 8, 8) were given",
            "it needs (n, pixels). Flatten each picture, as with images.reshape(len(images), -1).",
        ),
        (
            {"predictions": np.zeros((60, 10))},
            "labels of shape (60,) and predictions of shape (60, 10) were given for 60 images",
            "it needs one class of each for an image. Of scores take argmax(axis=1).",
        ),
        (
            {"images": np.zeros((59, 64))},
            "labels of shape (60,) and predictions of shape (60,) were given for 59 images",
            "it needs one class of each for an image. Of scores take argmax(axis=1).",
        ),
    ],
)
def test_what_are_no_digits_is_refused(tmp_path, who, change, given, needed):
    digits = dict(zip(("images", "labels", "predictions"), misread(3), strict=True)) | change
    report = {"path": tmp_path / "report.png", "history": HISTORY} if who == "save_report" else {}
    with refused(f"plot.{who}: {given}; {needed}", ShapeError):
        getattr(plot, who)(**report, **digits)


# --- the report ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG\r\n"), (".pdf", b"%PDF"), (".svg", b"<?xml")]
)
def test_a_report_is_written_in_the_format_of_its_name(tmp_path, suffix, start):
    path = tmp_path / f"report{suffix}"
    plot.save_report(path, HISTORY, *misread(3))
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["report.xyz", "report.jpg", "report", ".png"])
def test_a_report_is_written_in_no_other_format(tmp_path, name):
    path = tmp_path / name
    message = (
        f"plot.save_report: the path {str(path)!r} was given; its name must end in one of .png, "
        ".pdf, .svg. Choose one of these formats."
    )
    with refused(message):
        plot.save_report(path, HISTORY, *misread(3))
    assert not list(tmp_path.iterdir())


def test_a_report_needs_a_path():
    message = 'plot.save_report: a int was given as path. Pass a str or a Path, as "report.png".'
    with refused(message, TypeError):
        plot.save_report(3, HISTORY, *misread(3))


def test_a_report_of_one_epoch_can_be_drawn(tmp_path):
    once = {name: values[:1] for name, values in HISTORY.items()}
    plot.save_report(tmp_path / "report.png", once, *misread(0))
