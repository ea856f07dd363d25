"""Pictures of the gradient's norm in each layer."""

import re

import numpy as np
import pytest

import microgrid as mg

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(16, 4)), RNG.integers(0, 3, 16)


def refused(message, error=ValueError):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def curve(axes, number=0):
    return axes.get_lines()[number].get_ydata()


def test_norms_are_those_of_all_parameters_of_a_layer_together():
    model = mg.nn.MLP([4, 5, 3], "tanh", rng=0, dtype=np.float64)
    axes = mg.plot.gradient_flow(model, X, Y, "cross_entropy")
    # The oracle: central differences of the loss, one parameter after the other.
    norms = []
    for layer in model:
        squares = 0.0
        for p in layer.parameters():
            for i in np.ndindex(p.shape):
                ends = []
                for step in (1e-6, -1e-6):
                    before = p.data.copy()
                    p.data[i] += step
                    ends.append(mg.cross_entropy(model(X), Y).item())
                    p.data[:] = before
                squares += ((ends[0] - ends[1]) / 2e-6) ** 2
        norms.append(squares**0.5)
    assert np.allclose(curve(axes), norms, rtol=1e-6)  # central differences: about 1e-9


def test_axes_are_labelled_and_the_scale_is_logarithmic():
    axes = mg.plot.gradient_flow(mg.nn.MLP([4, 5, 3], rng=0), X, Y, "cross_entropy")
    assert axes.get_xlabel() == "layer, from input to output"
    assert axes.get_ylabel() == "norm of the gradient"
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1"]
    assert axes.get_legend() is None


def test_several_models_are_told_apart_on_the_same_axes():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    for name in ("tanh", "relu"):
        for depth in (2, 12):
            model = mg.nn.MLP([4] * depth + [3], name, rng=0)
            assert mg.plot.gradient_flow(model, X, Y, "cross_entropy", ax, label=name) is ax
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["tanh", "tanh", "relu", "relu"]
    lines = ax.get_lines()
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 4
    assert [len(line.get_xdata()) for line in lines] == [2, 12, 2, 12]
    ax.figure.draw_without_rendering()


def test_a_gradient_of_exactly_zero_has_a_cross_at_the_bottom(tmp_path):
    model = mg.nn.MLP([4, 5, 3], rng=0)
    model[0].bias.data = np.full(5, -1000.0)
    axes = mg.plot.gradient_flow(model, X, Y, "cross_entropy")
    line, cross = axes.get_lines()
    assert np.isnan(line.get_ydata()).tolist() == [True, False]
    assert (cross.get_xdata().tolist(), cross.get_ydata().tolist()) == ([1], [0])
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "exactly 0"
    axes.figure.savefig(tmp_path / "flow.png")


def test_a_gradient_that_is_not_finite_has_a_cross_at_the_top():
    model = mg.nn.MLP([4, 5, 3], rng=0)
    model[1].weight.data = np.full((5, 3), np.inf)
    axes = mg.plot.gradient_flow(model, X, Y, "cross_entropy")
    cross = axes.get_lines()[1]
    assert (cross.get_label(), set(cross.get_ydata())) == ("not finite", {1})
    axes.figure.draw_without_rendering()


def test_the_model_stays_as_it_is():
    model = mg.nn.Sequential(mg.nn.Dense(4, 3, rng=0), mg.nn.BatchNorm1d(3), mg.nn.Dropout(rng=0))
    before = model.state_dict()
    mg.plot.gradient_flow(model, X, Y, "cross_entropy")
    for name, value in model.state_dict().items():
        assert np.array_equal(value, before[name])
    assert all(p.grad is None for p in model.parameters())


def test_a_frozen_model_is_refused():
    model = mg.nn.Dense(4, 3, rng=0)
    for p in model.parameters():
        p.requires_grad = False
    message = (
        "plot.gradient_flow: no parameter of the Dense requires a gradient. Set requires_grad=True "
        "on some."
    )
    with refused(message):
        mg.plot.gradient_flow(model, X, Y, "cross_entropy")


def test_a_function_is_refused():
    message = (
        "plot.gradient_flow: the model given is of type Op; it needs a Module. Subclass "
        "mg.nn.Module, or use Sequential."
    )
    with refused(message, TypeError):
        mg.plot.gradient_flow(mg.relu, X, Y, "cross_entropy")
