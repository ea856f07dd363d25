"""The doctor as a callback of `fit`, and the pictures of its reports."""

import re
import sys

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn
from microgrid.callbacks import ReLUDoctor

X = np.random.default_rng(0).normal(size=(120, 4))
Y = X[:, :1] * X[:, 1:2]


def sick():
    model = nn.MLP([4, 8, 1], rng=0)
    model[0].bias.data[[1, 4]] = -99
    return model


def train(doctor, model=None, epochs=3, **options):
    model = model or sick()
    options = {"optimizer": mg.optim.SGD(model.parameters(), lr=0.01), "verbose": 0, **options}
    return mg.fit(model, X, Y, loss="mse", epochs=epochs, rng=0, callbacks=doctor, **options)


def message(text):
    return "^" + re.escape(text) + "$"


# --- the callback --------------------------------------------------------------------------------


def test_a_report_is_kept_for_each_epoch_and_the_history_has_the_share_of_dead_units():
    doctor = ReLUDoctor(X)
    run = train(doctor)
    assert [report["0"].dead for report in doctor.reports] == [(1, 4)] * 3
    assert run.history["dead_share"] == [0.25] * 3


def test_the_training_is_the_same_with_and_without_a_doctor():
    for look in ({}, {"y": Y}):
        seen, unseen = sick(), sick()
        runs = [train(ReLUDoctor(X, **look), seen), train((), unseen)]
        assert runs[0].history["loss"] == runs[1].history["loss"]
        assert runs[0].programs == runs[1].programs
        for p, q in zip(seen.parameters(), unseen.parameters(), strict=True):
            assert np.array_equal(p.numpy(), q.numpy())


def test_with_targets_gradients_and_updates_are_looked_at_with_the_loss_of_the_training():
    doctor = ReLUDoctor(X, Y)
    model = sick()
    train(doctor, model, epochs=1)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)
    assert doctor.reports == [mg.diagnose(model, X, Y, loss="mse", optimizer=optimizer)]
    other = ReLUDoctor(X, Y, loss="mae")
    train(other, epochs=1)
    assert other.reports[0].loss != doctor.reports[0].loss


def test_every_third_epoch_from_the_first_on():
    doctor = ReLUDoctor(X, every=3)
    run = train(doctor, epochs=7)
    assert len(doctor.reports) == 3
    assert len(run.history["dead_share"]) == 7


def test_dead_units_are_revived_if_that_is_wanted():
    doctor = ReLUDoctor(X, revive=True, rng=0)
    run = train(doctor)
    assert doctor.revived == [{"0": [1, 4]}, {}, {}]
    assert run.history["dead_share"] == [0.25, 0, 0]


def test_a_second_training_begins_anew():
    doctor = ReLUDoctor(X)
    train(doctor)
    train(doctor, epochs=1)
    assert len(doctor.reports) == 1


ADVICE = (
    "ReLUDoctor: 2 of 8 units of layer 0 (relu) are dead on these 120 samples: lower the learning "
    "rate, use leaky_relu, start with he_normal, or call mg.revive(model, x).\n"
)


def test_advice_is_written_once_behind_the_line_of_its_epoch(capsys):
    train(ReLUDoctor(X), verbose=2)
    written = capsys.readouterr().out
    assert written.count("ReLUDoctor") == 1
    first, second, third = re.findall(r"^epoch \d/3 .*\n", written, re.MULTILINE)
    assert written == first + ADVICE + second + third


@pytest.mark.parametrize(
    ("verbose", "of_fit", "written"), [(0, 2, False), (1, 0, True), ("auto", 0, False)]
)
def test_whether_advice_is_written(verbose, of_fit, written, capsys):
    train(ReLUDoctor(X, verbose=verbose), epochs=1, verbose=of_fit)
    assert capsys.readouterr().out.endswith(ADVICE) is written


def test_a_training_that_goes_on_draws_and_tells_what_it_would_have(tmp_path, capsys):
    path = tmp_path / "run"

    def doctor():
        return ReLUDoctor(X, revive=True, verbose=1, rng=3)

    first, second = doctor(), doctor()
    train(first, epochs=1)
    state = first.state_dict()
    mg.save_checkpoint(path, sick(), extra=state)  # it can be saved
    second.load_state_dict(mg.load_checkpoint(path, sick()))
    assert second.state_dict() == state
    assert second.rng.random() == first.rng.random()
    assert state["told"] == ["dead"]


def test_what_was_found_but_not_written_is_written_by_the_training_that_goes_on():
    first, second = ReLUDoctor(X, verbose=1), ReLUDoctor(X, verbose=1)
    states = []

    class Keep(mg.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            states.append(first.state_dict())

    train([first, Keep()], epochs=1)
    second.load_state_dict(states[0])
    assert second.state_dict() == states[0]
    assert [text for _, _, text in states[0]["waiting"]] == [ADVICE[len("ReLUDoctor: ") : -1]]


class Kill(mg.callbacks.Callback):
    """Kills three units at the begin of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 4:
            self.model[0].bias.data[[2, 5, 7]] = -99


@pytest.mark.parametrize("often", [1, 2, 3, 4])
@pytest.mark.parametrize("reviving", [True, False])
def test_a_resumed_training_is_the_one_that_was_not_interrupted(tmp_path, often, reviving):
    def run(epochs, path, **options):
        model = sick()
        optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
        callbacks = [
            Kill(),
            ReLUDoctor(X, every=often, revive=reviving, rng=2),
            mg.callbacks.ModelCheckpoint(tmp_path / path),
        ]
        found = train(callbacks, model, epochs, optimizer=optimizer, **options)
        return found.history, [p.numpy() for p in model.parameters()]

    whole, weights = run(8, "whole")
    run(5, "cut")
    resumed, resumed_weights = run(8, "cut", resume=tmp_path / "cut")
    assert resumed == whole
    for p, q in zip(resumed_weights, weights, strict=True):
        assert np.array_equal(p, q)
    assert len(set(whole["dead_share"])) > 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"every": 0}, "ReLUDoctor: every=0 was given; it must be at least 1."),
        ({"verbose": 3}, 'ReLUDoctor: verbose=3 was given; it must be 0, 1 or "auto".'),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=message(text)):
        ReLUDoctor(X, **options)


# --- pictures ------------------------------------------------------------------------------------


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib")


def widths(axes):
    """Return the lengths of the bars by their label in the legend."""
    labels = axes.get_legend_handles_labels()[1]
    return {
        label: [bar.get_width() for bar in bars]
        for label, bars in zip(labels, axes.containers, strict=True)
    }


def test_the_bars_are_the_shares_of_the_units(matplotlib):
    model = nn.MLP([4, 8, 4, 1], rng=0)
    model[0].bias.data[:3] = -99
    model[1].bias.data[2:3] = 99
    (axes,) = mg.diagnose(model, X).plot()
    bars = widths(axes)
    assert bars["dead"] == [3 / 8, 0]
    assert bars["linear on all"] == [0, 1 / 4]
    assert np.allclose(np.sum(list(bars.values()), axis=0), 1)  # rounded thirds and such
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0 (relu)", "1 (relu)"]
    axes.figure.draw_without_rendering()


def test_the_dots_are_the_norms_of_the_gradients(matplotlib):
    report = mg.diagnose(nn.MLP([4, 8, 4, 1], rng=0), X, Y, loss="mse")
    _, axes = report.plot()
    activations, weights = axes.get_lines()
    assert list(activations.get_xdata()) == [row.gradient for row in report.rows]
    assert list(weights.get_xdata()) == [row.gradient for row in report.weights[:2]]
    assert axes.get_xscale() == "log"
    axes.figure.draw_without_rendering()


def test_gradients_of_0_are_left_out(matplotlib):
    model = nn.MLP([4, 8, 1], rng=0)
    model[1].weight.data = np.zeros((8, 1))
    _, axes = mg.diagnose(model, X, Y, loss="mse").plot()
    assert np.isnan([line.get_xdata()[0] for line in axes.get_lines()]).all()
    axes.figure.draw_without_rendering()


def test_it_is_drawn_where_it_is_told(matplotlib):
    from matplotlib.figure import Figure

    report = mg.diagnose(nn.MLP([4, 8, 1], rng=0), X, Y, loss="mse")
    one = Figure().add_subplot()
    assert report.plot(one) == [one]
    two = Figure().subplots(1, 2)
    assert report.plot(two) == list(two)
    assert mg.diagnose(nn.MLP([4, 8, 1]), X).plot(two) == [two[0]]  # there are no gradients


def test_three_axes_are_refused(matplotlib):
    from matplotlib.figure import Figure

    text = "plot: 3 axes were given; it needs one for the shares, or two, the second for the "
    with pytest.raises(ValueError, match=message(text + "gradients.")):
        mg.diagnose(nn.MLP([4, 8, 1]), X).plot(Figure().subplots(3))


def test_a_report_without_activations_has_no_picture():
    text = (
        "plot: the report has no activation, so there is nothing to draw. Diagnose a model that "
        "calls some."
    )
    with pytest.raises(ValueError, match=message(text)):
        mg.diagnose(nn.Dense(4, 1), X).plot()


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = (
        "plot: matplotlib is not installed, and pictures need it. "
        "Install the extra: pip install 'microgrid[plot]'."
    )
    with pytest.raises(ImportError, match=message(text)):
        mg.diagnose(nn.MLP([4, 8, 1]), X).plot()
