"""The ReLU doctor: which units are dead, saturated or linear, and where activations are found."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import microgrid as mg
from microgrid import nn
from microgrid.doctor.advice import findings_of
from microgrid.doctor.units import FLAT, NEARLY_ALL

X = np.random.default_rng(0).normal(size=(360, 2))


def of_column(activation, *columns):
    """Return the row of an activation on units whose inputs are the given columns."""
    x = np.stack([np.asarray(column, float) for column in columns], axis=1)
    (row,) = mg.diagnose(nn.Lambda(activation), x).rows
    return row


def message(text):
    return "^" + re.escape(text) + "$"


# --- what a unit is ------------------------------------------------------------------------------


def test_a_relu_without_a_positive_input_is_dead_and_one_without_a_negative_is_linear():
    row = of_column(mg.relu, [-1, -2, -3], [-1, 2, 3], [1, 2, 3], [0, 0, 0])
    assert (row.dead, row.linear, row.saturated) == ((0, 3), (2,), ())
    assert (row.dead_share, row.linear_share, row.saturated_share) == (0.5, 0.25, 0)


def test_a_leaky_relu_does_not_die():
    row = of_column(mg.leaky_relu, [-1, -2, -3], [-1, 2, 3])
    assert (row.dead, row.linear, row.saturated) == ((), (0,), ())


def test_a_prelu_dies_only_if_its_slope_is_0():
    model = nn.PReLU(2)
    model.slope.data = np.array([0.0, 0.25])
    assert mg.diagnose(model, -np.ones((3, 2))).rows[0].dead == (0,)


@pytest.mark.parametrize("edge", [2.0, -2.0])
def test_tanh_is_saturated_beyond_2(edge):
    row = of_column(mg.tanh, [edge * 0.99] * 3 + [0], [edge * 1.01] * 4)
    assert row.saturated == (1,)


def test_the_sigmoid_is_saturated_beyond_4():
    row = of_column(mg.sigmoid, [3.9, 3.9, 0], [4.1, 4.1, -4.1])
    assert row.saturated == (1,)


def test_flat_is_the_slope_of_tanh_at_2():
    # 1 - y**2 is exact to some 1e-16 / 0.07, as 1 is not cancelled away.
    assert pytest.approx(1 - np.tanh(2.0) ** 2, rel=1e-13) == FLAT


@pytest.mark.parametrize(("flat", "found"), [(94, ()), (95, (0,)), (99, (0,))])
def test_a_unit_is_saturated_if_it_is_flat_on_95_of_100_samples(flat, found):
    assert NEARLY_ALL == 0.95
    for activation in (mg.tanh, mg.hardtanh):
        assert of_column(activation, [9.0] * flat + [0.0] * (100 - flat)).saturated == found


def test_bounded_straight_units_saturate_at_their_bounds_and_die_if_they_never_leave_them():
    inside = [0.5] + [9.0] * 99
    row = of_column(mg.hardtanh, inside, [9.0] * 100, [-9.0] * 50 + [9.0] * 50, [0.5, 0.1] * 50)
    assert (row.dead, row.saturated, row.linear) == ((1, 2), (0,), (3,))
    row = of_column(mg.relu6, inside, [9.0] * 100, [-9.0] * 100)
    assert (row.dead, row.saturated, row.linear) == ((1, 2), (0,), ())


def test_a_relu_that_is_mostly_off_is_sparse_and_not_saturated():
    row = of_column(mg.relu, [-1.0] * 99 + [1.0])
    assert (row.dead, row.saturated, row.sparsity) == ((), (), 0.99)


def test_a_tanh_with_small_inputs_is_linear():
    assert of_column(mg.tanh, [-0.01, 0.02, 0.03], [-1, 0, 1]).linear == (0,)


@pytest.mark.parametrize("sign", [1, -1])
def test_units_on_one_side_of_an_absolute_value_are_linear(sign):
    row = of_column(mg.absolute, [sign * 1, sign * 2], [-1, 2])
    assert (row.linear, row.dead) == ((0,), ())


def test_softshrink_on_both_of_its_slopes_is_not_linear_although_they_are_equal():
    row = of_column(mg.softshrink, [-1, 1], [1, 2], [0.1, -0.1])
    assert (row.linear, row.dead) == ((1,), (2,))


def test_a_step_without_a_slope_is_dead():
    assert mg.diagnose(nn.Dense(2, 3, activation=mg.sign), X).rows[0].dead == (0, 1, 2)


@st.composite
def nets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    sizes = [draw(st.integers(1, 6)) for _ in range(draw(st.integers(2, 4)))]
    model = nn.MLP([*sizes, 1], rng=rng)
    for p in model.parameters():
        # Small integers: many units are dead, and many inputs exactly at the kink.
        p.data = rng.integers(-2, 3, p.shape)
    return model, rng.integers(-2, 3, (draw(st.integers(1, 9)), sizes[0])).astype(float)


@given(nets())
def test_units_of_random_nets_are_those_that_a_count_by_hand_finds(net):
    model, h = net
    report = mg.diagnose(model, h)
    assert len(report.rows) == len(model) - 1
    for layer, row in zip(model, report.rows, strict=False):
        z = [
            [
                sum(a * w for a, w in zip(sample, column, strict=True)) + b
                for column, b in zip(layer.weight.numpy().T, layer.bias.numpy(), strict=True)
            ]
            for sample in h
        ]
        units = range(layer.out_features)
        assert row.dead == tuple(j for j in units if not any(sample[j] > 0 for sample in z))
        assert row.linear == tuple(j for j in units if all(sample[j] > 0 for sample in z))
        h = np.maximum(z, 0)
        assert row.sparsity == np.mean(h == 0)


def test_zeros_mean_and_std_are_those_of_numpy():
    model = nn.MLP([2, 16, 1], rng=0)
    h = model[0](X).numpy()
    row = mg.diagnose(model, X)["0"]
    assert row.sparsity == np.count_nonzero(h == 0) / h.size
    # The doctor adds in float64, as here.
    assert row.mean == h.astype(float).mean()
    assert row.std == h.astype(float).std()


def test_units_are_the_last_axis():
    x = -np.ones((5, 3, 2))
    x[4, 2, 1] = 1
    row = mg.diagnose(nn.ReLU(), x).rows[0]
    assert (row.units, row.dead) == (2, (0,))


def test_the_share_of_a_report_is_that_of_all_its_units():
    model = nn.MLP([2, 4, 12, 1], rng=0)
    model[0].bias.data = [-99, -99, 0, 0]
    dead = [len(row.dead) for row in mg.diagnose(model, X).rows]
    assert mg.diagnose(model, X).dead_share == sum(dead) / 16


def test_what_is_not_finite_is_told_first():
    model = nn.MLP([2, 4, 1], rng=0)
    model[0].weight.data = np.full((2, 4), np.nan)
    assert mg.diagnose(model, X).findings[0].text == (
        "Layer 0 (relu) gives nan or infinities: run the model inside mg.detect_anomaly() to see "
        "the line they come from."
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [slice(None), slice(3, 4)], ids=["all", "one"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "relu6"])
def test_of_samples_that_are_not_finite_nothing_is_said_about_units(bad, rows, activation):
    x = X.copy()
    x[rows] = bad
    report = mg.diagnose(nn.MLP([2, 4, 1], activation, rng=0), x)
    row = report.rows[0]
    assert (row.dead, row.saturated, row.linear) == ((), (), ())
    assert {finding.kind for finding in report.findings} <= {"not finite"}


def test_beside_units_that_are_not_finite_dead_ones_are_told():
    model = nn.MLP([2, 4, 1], rng=0)
    model[0].bias.data = [np.nan, -99, np.inf, 0]
    report = mg.diagnose(model, X)
    assert report["0"].dead == (1,)
    assert [finding.kind for finding in report.findings] == ["not finite", "dead"]


def test_an_update_that_is_not_finite_hides_no_other():
    model = nn.MLP([2, 4, 4, 1], rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=1e3)
    mixed = mg.diagnose(model, X, X[:, :1], loss="mse", optimizer=optimizer)
    rows = [replace(row, update=np.nan) if row.name == "0.weight" else row for row in mixed.weights]
    found = findings_of(mixed.rows, rows, 360)
    assert [f.layer for f in found if f.kind == "large update"] == ["2.weight"]


# --- where activations are found -----------------------------------------------------------------


def named(model, x=X):
    return [(row.name, row.kind, row.layer) for row in mg.diagnose(model, x).rows]


def test_layers_functions_and_activations_of_dense_are_found_by_their_place():
    model = nn.Sequential(
        nn.Dense(2, 3), nn.Tanh(), nn.Dense(3, 3, "relu"), nn.Dense(3, 3), mg.relu6, nn.Dense(3, 1)
    )
    assert named(model) == [("1", "tanh", "0"), ("2", "relu", "2"), ("4", "relu6", "3")]


class Net(nn.Module):
    def __init__(self):
        self.hidden = nn.Dense(2, 3, rng=0)
        self.block = nn.Sequential(nn.Dense(3, 3, "tanh", rng=1), nn.Dense(3, 3, rng=2))
        self.w = nn.Parameter(np.ones((3, 2)))
        self.b = nn.Parameter(np.zeros(2))

    def forward(self, x):
        h = mg.relu(self.hidden(x))
        h = mg.leaky_relu(self.block(h))
        h = mg.maximum(h @ self.w + self.b, 0.0)
        return mg.clip(mg.square(h) * 2, -1, 1).sum(axis=1)


def test_calls_in_a_forward_are_named_after_the_layer_before_them():
    assert named(Net()) == [
        ("hidden", "relu", "hidden"),
        ("block.0", "tanh", "block.0"),
        ("block.1", "leaky_relu", "block.1"),
        ("w", "clip", "w"),
        ("clip", "clip", ""),
    ]


def test_a_layer_inside_a_dense_and_one_that_is_called_twice_have_names_of_their_own():
    shared = nn.ReLU()
    model = nn.Sequential(nn.Dense(2, 3, shared), nn.Dense(3, 3), shared, shared)
    assert [name for name, _, _ in named(model)] == ["0.activation", "2", "2#2"]


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_both_gelus_are_gelus(approximate):
    assert named(nn.Sequential(nn.Dense(2, 3), nn.GELU(approximate))) == [("1", "gelu", "0")]
    row = of_column(lambda x: mg.gelu(x, approximate), [-9, -9], [-1, 2], [9, 8])
    assert (row.saturated + row.dead, row.linear) == ((0,), (2,))


def test_what_only_looks_like_an_activation_is_none():
    model = nn.Sequential(
        nn.Dense(2, 3), nn.BatchNorm1d(3), nn.LayerNorm(3), nn.Dropout(0.5),
        nn.Lambda(lambda x: mg.sqrt(-x * 2 + mg.exp(x) + 99)), nn.PiecewiseLinear([0.0, 1.0]),
        nn.Maxout(3), nn.Softmax(),
    )  # fmt: skip
    report = mg.diagnose(model, X)
    assert report.rows == ()
    assert report.advice == [
        "No activation was called: unless something else bends, as Maxout does, the layers are "
        "together a linear one; put relu behind all but the last."
    ]


def test_any_op_that_bends_counts_in_the_place_of_an_activation():
    assert [kind for _, kind, _ in named(nn.Dense(2, 3, activation=mg.sin))] == ["sin"]
    assert named(nn.Dense(2, 3, activation=mg.negative)) == []


def test_an_op_of_the_users_is_found_with_its_pieces():
    op = mg.Op(
        name="ramp", doc="-x where x is negative, else 0",
        kernel=lambda x, out=None: np.maximum(-x, 0, out=out),
        vjps=(lambda g, y, x: g * -(x < 0),), domains=(mg.Domain(),),
        pieces=lambda: mg.Pieces((0,), (-1, 0)),
    )  # fmt: skip
    try:
        row = of_column(op, [1, 2], [-1, 2], [-1, -2])
    finally:
        del mg.OPS["ramp"]
    assert (row.kind, row.dead, row.linear) == ("ramp", (0,), (2,))


def test_random_slopes_in_training_are_found():
    assert named(nn.RReLU(rng=0)) == [("prelu", "prelu", "")]


def test_a_model_that_was_compiled_is_diagnosed_as_it_is():
    model = nn.MLP([2, 8, 1], rng=0)
    compiled = mg.compile(model)
    compiled(X)
    assert mg.diagnose(compiled, X) == mg.diagnose(model, X)


def test_a_model_with_a_compiled_method_is_seen_through():
    class Compiled(nn.Module):
        def __init__(self):
            self.layer = nn.Dense(2, 3, "relu", rng=0)

        @mg.compile
        def inner(self, x):
            return self.layer(x)

        def forward(self, x):
            return self.inner(x)

    assert named(Compiled()) == [("layer", "relu", "layer")]


def test_under_no_grad_and_detect_anomaly_the_report_is_the_same():
    model = nn.MLP([2, 8, 1], rng=0)
    expected = mg.diagnose(model, X, X[:, :1], loss="mse")
    with mg.no_grad(), mg.detect_anomaly():
        assert mg.diagnose(model, X, X[:, :1], loss="mse") == expected


# --- how it is told ------------------------------------------------------------------------------


def test_the_advice_on_dead_units():
    model = nn.Sequential(nn.Dense(2, 16, rng=0), nn.ReLU(), nn.Dense(16, 1, rng=1))
    model[0].bias.data[[3, 5, 8]] = -99
    assert mg.diagnose(model, X).advice == [
        "3 of 16 units of layer 1 (relu) are dead on these 360 samples: lower the learning rate, "
        "use leaky_relu, start with he_normal, or call mg.revive(model, x)."
    ]


def test_few_samples_are_said_to_be_few():
    model = nn.MLP([2, 1, 1], rng=0)
    model[0].bias.data = [-99]
    assert [finding.kind for finding in mg.diagnose(model, X[:100]).findings] == ["dead"]
    dead, few = mg.diagnose(model, X[:99]).findings
    assert dead.kind == "dead"
    assert few.text == (
        "A healthy unit may be silent by chance on as few as 99 samples: pass 100 or more before "
        "you act on dead units."
    )


def test_the_table():
    model = nn.MLP([1, 2, 1], rng=0)
    for p, value in zip(model.parameters(), ([[1, -1]], [0, -4], [[1], [1]], [0]), strict=True):
        p.data = value
    assert repr(mg.diagnose(model, np.arange(-3.0, 197.0)[:, None])) == (
        "Activations on 200 samples\n"
        "layer  kind  units  dead  saturated  linear  zeros  mean   std\n"
        "0      relu      2     1          0       0    51%  48.3  63.2\n"
        "\n"
        "* 1 of 2 units of layer 0 (relu) is dead on these 200 samples: lower the learning rate, "
        "use leaky_relu, start with he_normal, or call mg.revive(model, x)."
    )


def test_the_same_finding_in_several_layers_is_told_once():
    model = nn.MLP([2] + [1] * 9, rng=0)
    for layer in model:
        layer.bias.data = [-99]
    text = repr(mg.diagnose(model, X))
    assert text.endswith("Likewise in layers 1, 2, 3, 4, 5 and 2 more.")


def test_a_row_that_is_not_there_is_told_with_those_that_are():
    report = mg.diagnose(nn.MLP([2, 3, 3, 1]), X)
    text = "Report: no activation is called '2'; the names are 0, 1."
    with pytest.raises(KeyError, match=message(repr(text))):
        report["2"]


# --- errors --------------------------------------------------------------------------------------


def test_a_function_is_no_model():
    text = (
        "diagnose: the model given is of type function; it needs a Module. "
        "Subclass mg.nn.Module, or use Sequential."
    )
    with pytest.raises(TypeError, match=message(text)):
        mg.diagnose(lambda x: x, X)


def test_no_samples_are_refused():
    text = "diagnose: x has shape (0, 2): there are no samples."
    with pytest.raises(ValueError, match=message(text)):
        mg.diagnose(nn.MLP([2, 1]), X[:0])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"y": X},
            "diagnose: y was given without loss; gradients need both. Pass loss, or leave y out.",
        ),
        (
            {"loss": "mse"},
            "diagnose: loss was given without y; gradients need both. Pass y, or leave loss out.",
        ),
        (
            {"optimizer": "sgd"},
            "diagnose: optimizer was given without y and loss; a step needs gradients. Pass them, "
            "or leave optimizer out.",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(given, text):
    with pytest.raises(ValueError, match=message(text)):
        mg.diagnose(nn.MLP([2, 2]), X, **given)
