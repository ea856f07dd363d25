"""The ReLU doctor on gradients and updates, and that it changes nothing."""

import pickle
import re

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 20)).astype(np.float32)
Y = RNG.normal(size=(200, 1)).astype(np.float32)


def normal(scale):
    """Return an initialiser of normal numbers."""

    def init(shape, rng, dtype):
        return (scale * np.random.default_rng(rng).normal(size=shape)).astype(dtype)

    return init


def deep(depth, activation, init, width=20):
    layers = [nn.Dense(width, width, activation, init=init, rng=i) for i in range(depth)]
    return nn.Sequential(*layers, nn.Dense(width, 1, rng=99))


def diagnosed(model, **options):
    return mg.diagnose(model, X, Y, loss="mse", **options)


def kinds(report):
    return [finding.kind for finding in report.findings]


# --- gradients -----------------------------------------------------------------------------------


def gradients_by_hand(model):
    """Return the norms of the gradients towards the hidden layers and weights of an MLP."""
    hs = [X.astype(float)]
    ws = [(p.weight.numpy().astype(float), p.bias.numpy().astype(float)) for p in model]
    for w, b in ws:
        z = hs[-1] @ w + b
        hs.append(np.maximum(z, 0))
    g = 2 * (z - Y) / len(Y)
    towards_h, towards_w = [], []
    for (w, _), h in zip(ws[::-1], hs[-2::-1], strict=True):
        towards_w.append(np.sqrt(((h.T @ g) ** 2).sum()))
        g = g @ w.T
        if h is not hs[0]:
            towards_h.append(np.sqrt((g**2).sum()))
            g = g * (h > 0)
    return towards_h[::-1], towards_w[::-1]


def test_gradients_are_those_of_the_chain_rule_written_out():
    model = nn.MLP([20, 8, 6, 1], rng=0)
    report = diagnosed(model)
    towards_h, towards_w = gradients_by_hand(model)
    # float32 sums of 200 samples, each rounded by 6e-8 of its size.
    close = {"rtol": 1e-5}
    np.testing.assert_allclose([row.gradient for row in report.rows], towards_h, **close)
    np.testing.assert_allclose([row.gradient for row in report.weights], towards_w, **close)
    np.testing.assert_allclose(report.rows[0].ratio, towards_h[0] / towards_h[1], **close)
    assert report.rows[-1].ratio is None
    assert [row.name for row in report.weights] == ["0.weight", "1.weight", "2.weight"]
    assert report.loss == mg.mse_loss(model(X), Y).item()


@pytest.mark.parametrize("depth", [10, 20, 50])
def test_gradients_vanish_in_deep_nets_of_tanh_with_small_weights_and_not_in_those_of_relu(depth):
    report = diagnosed(deep(depth, "tanh", normal(0.1)))
    assert kinds(report)[0] == "vanishing"
    assert report.rows[0].gradient < 1e-3 * report.rows[-1].gradient
    assert not {"vanishing", "exploding"} & set(kinds(diagnosed(deep(depth, "relu", "he_normal"))))


def test_the_sigmoid_vanishes_with_the_best_of_its_initialisers():
    assert "vanishing" in kinds(diagnosed(deep(10, "sigmoid", "glorot_normal")))


@pytest.mark.parametrize("depth", [10, 20])
def test_gradients_explode_in_deep_relu_nets_with_large_weights(depth):
    report = diagnosed(deep(depth, "relu", normal(1.0)))
    assert kinds(report)[0] == "exploding"
    assert report.rows[0].gradient > 1e3 * report.rows[-1].gradient


def test_the_advice_on_depth_says_from_where_to_where():
    model = nn.Sequential(*(nn.Dense(1, 1, "relu", bias=False) for _ in range(5)))
    for layer in model:
        layer.weight.data = [[0.125]]
    ones = np.ones((4, 1))
    report = mg.diagnose(model, ones, -ones, loss="l1")
    assert [row.gradient for row in report.rows] == [0.5 * 0.125**k for k in (4, 3, 2, 1, 0)]
    assert report.advice[0] == (
        "Gradients vanish, from 0.5 in layer 4 to 0.00012 in layer 0, 0.12 times a layer: use relu "
        "with he_normal, put BatchNorm1d between layers, or take fewer layers."
    )
    for layer in model:
        layer.weight.data = [[8.0]]
    assert mg.diagnose(model, ones, -ones, loss="l1").advice[0] == (
        "Gradients explode, from 0.5 in layer 4 to 2e+03 in layer 0, 8 times a layer: start with "
        "smaller weights such as he_normal, clip with mg.optim.clip_grad_norm_, or put BatchNorm1d "
        "between layers."
    )


def test_a_dead_layer_cuts_those_before_it_off():
    model = nn.MLP([20, 4, 4, 4, 1], rng=0)
    model[2].bias.data = [-99] * 4
    report = diagnosed(model)
    assert [row.gradient for row in report.rows[:2]] == [0, 0]
    assert report.advice[0] == (
        "No gradient reaches 2 of 3 activations, layer 1 (relu) among them: look for dead layers, "
        "detach() or an op without a slope behind it."
    )


def test_gradients_that_are_not_finite_are_told():
    def slope_at_0(x):
        return mg.sqrt(x - x.detach())

    model = nn.Sequential(nn.Dense(20, 2, "relu", rng=0), slope_at_0)
    report = mg.diagnose(model, X, X[:, :2], loss="mse")
    assert report.advice[0] == (
        "The gradient of 0.weight has nan or infinities: run the backward pass inside "
        "mg.detect_anomaly() to see the line they come from."
    )


def test_an_activation_that_the_loss_does_not_depend_on_has_gradient_0():
    class Aside(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Dense(20, 3, "relu", rng=0), nn.Dense(20, 1, rng=1)

        def forward(self, x):
            self.a(x)
            return self.b(x)

    assert diagnosed(Aside()).rows[0].gradient == 0


def test_the_gradients_of_frozen_layers_are_left_out_and_those_of_activations_are_not():
    model = nn.MLP([20, 4, 4, 1], rng=0)
    expected = diagnosed(model)
    model[0].weight.requires_grad = False
    report = diagnosed(model)
    assert [row.name for row in report.weights] == ["1.weight", "2.weight"]
    assert report.rows[0].gradient == expected.rows[0].gradient


def test_penalties_and_constraints_of_weights_count_as_in_a_training():
    model = nn.Dense(
        20, 1, rng=0,
        weight_penalty=nn.penalties.L2(0.5), weight_constraint=lambda w: mg.clip(w, -0.1, 0.1),
    )  # fmt: skip
    before = model.weight.numpy()
    (row,) = diagnosed(model, optimizer=mg.optim.SGD(model.parameters(), lr=0.01)).weights
    assert np.array_equal(model.weight.numpy(), before)
    (mg.mse_loss(model(X), Y) + model.penalty()).backward()
    assert row.gradient == pytest.approx(np.linalg.norm(model.weight.grad), rel=1e-6)
    mg.optim.SGD(model.parameters(), lr=0.01).step()
    assert np.abs(model.weight.numpy()).max() <= np.float32(0.1)
    expected = np.linalg.norm(model.weight.numpy() - before) / np.linalg.norm(before)
    assert row.update == pytest.approx(expected, rel=1e-6)


# --- updates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Lion"])
def test_updates_are_those_of_the_step_that_follows(name):
    model = nn.MLP([20, 8, 1], rng=0)
    optimizer = getattr(mg.optim, name)(model.parameters(), lr=0.01)
    mg.fit(model, X, Y, loss="mse", optimizer=optimizer, verbose=0, rng=0)  # it remembers something
    report = diagnosed(model, optimizer=optimizer)
    before = model.state_dict()
    mg.mse_loss(model(X), Y).backward()
    optimizer.step()
    for row in report.weights:
        old, new = before[row.name].astype(float), model.state_dict()[row.name].astype(float)
        # The difference of float32 numbers is exact in float32 too, or nearly.
        expected = np.sqrt(((new - old) ** 2).sum() / (old**2).sum())
        assert row.update == pytest.approx(expected, rel=1e-4)
        assert row.norm == pytest.approx(np.sqrt((old**2).sum()), rel=1e-12)


def test_updates_that_are_too_large_or_too_small_are_told():
    model = nn.MLP([20, 8, 1], rng=0)
    fast = diagnosed(model, optimizer=mg.optim.SGD(model.parameters(), lr=1.0))
    slow = diagnosed(model, optimizer=mg.optim.SGD(model.parameters(), lr=1e-7))
    assert "large update" in kinds(fast)
    assert "small update" not in kinds(fast)
    assert re.fullmatch(
        r"A step changes \d\.weight by [\d.]+ of its norm, where 0\.001 is usual: lower the "
        r"learning rate, or clip the gradients\.",
        fast.advice[-1],
    )
    assert re.fullmatch(
        r"A step changes \d\.weight by [\d.]+e-\d+ of its norm, where 0\.001 is usual: raise the "
        r"learning rate, unless the training is at its end\.",
        slow.advice[-1],
    )


def test_a_weight_of_zeros_has_no_ratio():
    model = nn.Dense(20, 1, init="zeros")
    assert diagnosed(model, optimizer="sgd").weights[0].update is None


def test_the_table_with_gradients_has_two_parts():
    model = nn.MLP([20, 8, 1], rng=0)
    lines = repr(diagnosed(model, optimizer="adam")).splitlines()
    assert lines[0].startswith("Activations on 200 samples, loss ")
    assert lines[1].split()[-2:] == ["gradient", "ratio"]
    assert lines[3] == ""
    assert lines[4].split() == ["weight", "shape", "norm", "gradient", "update"]
    assert "update" not in repr(diagnosed(model))


# --- what it leaves as it was --------------------------------------------------------------------


def with_everything():
    """Return a model with all that a forward pass may change, in the middle of a training."""
    model = nn.Sequential(
        nn.Dense(20, 8, rng=0), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5, rng=1),
        nn.Dense(8, 8, activation=nn.RReLU(rng=2), rng=3), nn.Dense(8, 1, rng=4),
    )  # fmt: skip
    optimizer = mg.optim.Adam(model.parameters())
    mg.fit(model, X, Y, loss="mse", optimizer=optimizer, verbose=0, rng=0)
    model[0].weight.grad = np.ones((20, 8), np.float32)
    return model, optimizer


def everything_of(model, optimizer):
    """Return all of their state, as bytes where it is arrays."""
    grads = [None if p.grad is None else p.grad.tobytes() for p in model.parameters()]
    generators = [model[3].rng.bit_generator.state, model[4].activation.rng.bit_generator.state]
    kinds = [type(module) for module in model.modules()]
    return (
        pickle.dumps(model.state_dict()),
        pickle.dumps(optimizer.state_dict()),
        grads, generators, kinds, [module.training for module in model.modules()],
        [p.serial for p in model.parameters()],
    )  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
def test_model_generators_statistics_and_optimiser_stay_as_they_were(training):
    model, optimizer = with_everything()
    model.train(training)
    before = everything_of(model, optimizer)
    diagnosed(model, optimizer=optimizer)
    assert everything_of(model, optimizer) == before


def test_it_looks_at_the_model_in_the_mode_that_it_is_in():
    model, _ = with_everything()
    in_training = mg.diagnose(model, X)
    in_evaluation = mg.diagnose(model.eval(), X)
    assert [row.kind for row in in_training.rows] == ["relu", "prelu"]
    assert [row.kind for row in in_evaluation.rows] == ["relu", "leaky_relu"]
    assert mg.diagnose(model, X) == in_evaluation


def test_a_training_goes_on_as_if_nobody_had_looked():
    results = []
    for look in (False, True):
        model, optimizer = with_everything()
        if look:
            diagnosed(model, optimizer=optimizer)
        mg.fit(model, X, Y, loss="mse", optimizer=optimizer, verbose=0, rng=5)
        results.append(pickle.dumps(model.state_dict()))
    assert results[0] == results[1]


def test_a_compiled_step_is_not_traced_anew():
    model = nn.MLP([20, 8, 1], rng=0)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)

    @mg.compile
    def step(x, y):
        loss = mg.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(X, Y)
        diagnosed(model, optimizer=optimizer)
    assert step.traces == 1


def test_a_model_with_a_compiled_prediction_is_diagnosed_and_keeps_it():
    model = nn.MLP([20, 8, 1], rng=0)
    mg.predict(model, X, batch_size=10)
    expected = mg.diagnose(nn.MLP([20, 8, 1], rng=0), X)
    kept = vars(model)["_predictor"]
    assert mg.diagnose(model, X) == expected
    assert vars(model)["_predictor"] is kept
    assert kept.traces == 1
