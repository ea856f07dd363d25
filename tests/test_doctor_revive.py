"""`mg.revive`: dead units learn again, and the network computes what it did."""

import re

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(360, 4)).astype(np.float32)
Y = np.maximum(X[:, :1], 0) - np.maximum(X[:, 1:2], 0)


def sick(*sizes, dead=(1, 4), activation="relu"):
    """Return an MLP some of whose first units are dead."""
    model = nn.MLP([4, *sizes, 1], activation, rng=0)
    model[0].bias.data[list(dead)] = -99
    return model


def message(text):
    return "^" + re.escape(text) + "$"


# --- lesson 15 -----------------------------------------------------------------------------------


def test_a_dying_relu_is_found_by_name_revived_and_learns():
    model = nn.Sequential(nn.Dense(4, 8, rng=0), nn.ReLU(), nn.Dense(8, 1, rng=1))
    model[0].bias.data[3] = -99

    def gradients_of_unit_3():
        model.zero_grad()
        mg.mse_loss(model(X), Y).backward()
        return model[0].weight.grad[:, 3], model[0].bias.grad[3], model[2].weight.grad[3]

    report = mg.diagnose(model, X)
    assert [(row.name, row.dead) for row in report.rows] == [("1", (3,))]
    assert [np.abs(g).max() for g in gradients_of_unit_3()] == [0, 0, 0]  # exactly

    assert mg.revive(model, X, rng=0) == {"0": [3]}
    assert mg.diagnose(model, X)["1"].dead == ()
    incoming, bias, outgoing = gradients_of_unit_3()
    assert np.abs(incoming).max() == np.abs(bias) == 0  # nobody hears the unit yet
    assert np.abs(outgoing).max() > 0
    optimizer = mg.optim.SGD(model.parameters(), lr=0.05)
    optimizer.step()
    assert all(np.abs(g).max() > 0 for g in gradients_of_unit_3())


def test_a_net_with_all_units_dead_learns_after_a_revival():
    model = nn.MLP([4, 16, 1], rng=0)
    model[0].bias.data = [-99] * 16
    losses = []
    for _ in range(2):
        optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
        run = mg.fit(model, X, Y, loss="mse", optimizer=optimizer, epochs=15, verbose=0, rng=0)
        losses.append(run.history["loss"][-1])
        mg.revive(model, X, rng=0, optimizer=optimizer)
    assert losses[0] > 0.5 * Y.var()  # only the last bias could learn
    assert losses[1] < 0.1 * losses[0]


def test_two_dead_layers_in_a_row_are_both_revived():
    model = nn.MLP([4, 8, 8, 1], rng=0)
    for layer in (model[0], model[1]):
        layer.bias.data = [-99] * 8
    before = mg.predict(model, X)
    assert mg.revive(model, X, rng=0) == {"0": list(range(8)), "1": list(range(8))}
    report = mg.diagnose(model, X)
    assert [row.dead for row in report.rows] == [(), ()]
    assert np.array_equal(mg.predict(model, X), before)


# --- what it does --------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "relu6", "hardsigmoid"])
def test_the_results_stay_and_half_of_the_samples_activate_a_unit(activation):
    model = sick(8, activation=activation)
    before = mg.predict(model, X)
    mg.revive(model, X, rng=0)
    # A unit that says 0 adds exact zeros to sums, before and after.
    assert np.array_equal(mg.predict(model, X), before)
    z = X @ model[0].weight.numpy() + model[0].bias.numpy()
    knot = -3 if activation == "hardsigmoid" else 0
    assert [int((z[:, unit] > knot).sum()) for unit in (1, 4)] == [180, 180]


def test_what_a_stuck_unit_has_said_is_added_to_the_bias_behind():
    model = sick(8, activation="hardtanh")  # it says -1
    before = mg.predict(model, X)
    assert mg.revive(model, X, rng=0) == {"0": [1, 4]}
    assert not np.array_equal(model[1].bias.numpy(), [0])
    # Sums of 8 float32 numbers near 1 in another order.
    np.testing.assert_allclose(mg.predict(model, X), before, atol=1e-6)


def test_healthy_units_keep_their_weights_to_the_bit():
    model = sick(8)
    before = model.state_dict()
    mg.revive(model, X, rng=1)
    healthy = [0, 2, 3, 5, 6, 7]
    for name, array in model.state_dict().items():
        if name == "1.weight":
            assert np.array_equal(array[healthy], before[name][healthy])
            assert not array[[1, 4]].any()
        elif name != "1.bias":
            assert np.array_equal(array[..., healthy], before[name][..., healthy])
            assert not np.isclose(array[..., [1, 4]], before[name][..., [1, 4]]).any()


def test_new_weights_are_drawn_as_dense_draws_them():
    model = sick(8)
    mg.revive(model, X, rng=5)
    expected = nn.init.he_normal((4, 8), rng=5)
    assert np.array_equal(model[0].weight.numpy()[:, [1, 4]], expected[:, [1, 4]])
    model = sick(8)
    mg.revive(model, X, rng=5, init="orthogonal")
    expected = nn.init.orthogonal((4, 8), rng=5)
    assert np.array_equal(model[0].weight.numpy()[:, [1, 4]], expected[:, [1, 4]])


def test_nothing_is_done_where_nothing_is_dead():
    model = nn.MLP([4, 8, 1], rng=0)
    before = [(p.numpy(), p.serial) for p in model.parameters()]
    assert mg.revive(model, X) == {}
    for p, (array, serial) in zip(model.parameters(), before, strict=True):
        assert np.array_equal(p.numpy(), array)
        assert p.serial == serial


def test_without_a_bias_a_unit_that_nothing_wakes_gets_the_other_sign():
    x = np.abs(X)
    x[:, 0] += 9
    for seed in range(10):
        model = nn.Sequential(nn.Dense(4, 8, "relu", bias=False, rng=0), nn.Dense(8, 1, rng=1))
        model[0].weight.data[:, 2] = -1
        mg.revive(model, x, rng=seed)
        assert mg.diagnose(model, x)["0"].dead == ()


def test_samples_that_are_all_the_same_wake_the_unit_too():
    model = sick(8)
    mg.revive(model, np.ones((5, 4)), rng=0)
    assert mg.diagnose(model, np.ones((5, 4)))["0"].dead == ()


def test_a_unit_is_put_past_a_kink_where_its_samples_differ_by_less_than_rounding():
    tiny = np.linspace(-1e-20, 1e-20, 50)[:, None]
    model = nn.Sequential(nn.Dense(1, 1, activation="softshrink", rng=0), nn.Dense(1, 1, rng=1))
    assert mg.revive(model, tiny, rng=0) == {"0": [0]}
    assert mg.diagnose(model, tiny)["0"].dead == ()


def test_dropout_and_flatten_on_the_way_do_not_hide_who_hears_a_unit():
    model = nn.Sequential(
        nn.Dense(4, 8, rng=0), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5, rng=0), nn.Dense(8, 1)
    )
    model[0].bias.data[2] = -99
    before = mg.predict(model, X)
    state = model[3].rng.bit_generator.state
    assert mg.revive(model, X, rng=0) == {"0": [2]}
    assert np.array_equal(mg.predict(model, X), before)
    assert model[3].rng.bit_generator.state == state
    assert model.training


def test_parameters_of_a_users_own_are_revived_too():
    class Own(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(np.random.default_rng(0).normal(size=(4, 3)))
            self.b = nn.Parameter(np.array([0.0, -99.0, 0.0]))
            self.v = nn.Parameter(np.ones((3, 1)))

        def forward(self, x):
            return mg.relu(x @ self.w + self.b) @ self.v

    model = Own()
    before = mg.predict(model, X)
    assert mg.revive(model, X, rng=0) == {"w": [1]}
    assert np.array_equal(mg.predict(model, X), before)


# --- what it leaves ------------------------------------------------------------------------------


class Wired(nn.Module):
    """A net whose forward is given."""

    def __init__(self, wiring):
        self.a, self.b = nn.Dense(4, 4, rng=0), nn.Dense(4, 4, rng=1)
        self.a.bias.data[2] = -99
        self.wiring = wiring

    def forward(self, x):
        return self.wiring(self, x)


@pytest.mark.parametrize(
    "wiring",
    [
        lambda net, x: mg.relu(net.a(x) * 2),  # not right behind
        lambda net, x: net.a(net.b(x)) + mg.relu(net.a(x)),  # the weight serves elsewhere too
        lambda net, x: mg.relu(z := net.a(x)) + z,  # a gradient flows past the relu
        lambda net, x: mg.softplus(net.a(x)),  # it has no kink
        lambda net, x: mg.relu(net.a(x)) + mg.relu(net.a(-1e9 * x)),  # at work in the other call
    ],
)
def test_a_unit_that_does_something_else_too_is_left_alone(wiring):
    assert mg.revive(Wired(wiring), X) == {}


def test_a_unit_that_is_heard_elsewhere_too_is_revived_with_its_outgoing_weights_as_they_are():
    model = Wired(lambda net, x: (h := mg.relu(net.a(x))) + net.b(h))
    before = model.b.weight.numpy()
    assert mg.revive(model, X, rng=0) == {"a": [2]}
    assert np.array_equal(model.b.weight.numpy(), before)


def test_frozen_layers_are_left_alone():
    model = sick(8)
    model[0].weight.requires_grad = False
    assert mg.revive(model, X) == {}
    assert not mg.diagnose(model, X)["0"].revivable
    model[0].weight.requires_grad, model[1].weight.requires_grad = True, False
    before = model[1].weight.numpy()
    assert mg.revive(model, X, rng=0) == {"0": [1, 4]}
    assert np.array_equal(model[1].weight.numpy(), before)


def test_a_revival_that_fails_changes_nothing():
    model = nn.MLP([4, 8, 8, 1], rng=0)
    for layer in (model[0], model[1]):
        layer.bias.data = [-99] * 8
    before = model.state_dict()

    def once(shape, rng, dtype):
        if shape == (8, 8):
            raise RuntimeError("no more")
        return nn.init.he_normal(shape, rng, dtype)

    with pytest.raises(RuntimeError, match="no more"):
        mg.revive(model, X, init=once)
    assert all(np.array_equal(model.state_dict()[name], before[name]) for name in before)


def test_what_the_optimiser_remembers_of_these_weights_starts_anew():
    model = sick(8)
    optimizer = mg.optim.Adam(model.parameters(), lr=1e-6)
    mg.fit(model, X, Y, loss="mse", optimizer=optimizer, verbose=0, rng=0)
    for slots in optimizer.state.values():
        for name in ("exp_avg", "exp_avg_sq"):
            slots[name][...] = 7
    mg.revive(model, X, rng=0, optimizer=optimizer)
    for p, index in (
        (model[0].weight, (slice(None), [1, 4])),
        (model[0].bias, [1, 4]),
        (model[1].weight, [1, 4]),
    ):
        fresh = np.zeros(p.shape, bool)
        fresh[index] = True
        for name in ("exp_avg", "exp_avg_sq"):
            assert np.array_equal(optimizer.state[p][name], np.where(fresh, 0, 7))
    assert (optimizer.state[model[1].bias]["exp_avg"] == 7).all()


def test_a_compiled_step_goes_on_with_the_revived_units():
    model = sick(8)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    @mg.compile
    def step(x, y):
        loss = mg.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(X, Y)
    mg.revive(model, X, rng=0, optimizer=optimizer)
    woken = model[0].weight.numpy()[:, [1, 4]]
    for _ in range(3):
        step(X, Y)
    assert step.traces == 1
    assert (model[0].weight.numpy()[:, [1, 4]] != woken).all()


# --- errors --------------------------------------------------------------------------------------


def test_an_unknown_initialiser_is_refused():
    text = (
        "revive: init='he' is not known; the names are auto, "
        f"{', '.join(nn.init.INITIALIZERS)}. Pass a function of (shape, rng, dtype) for another."
    )
    with pytest.raises(ValueError, match=message(text)):
        mg.revive(sick(8), X, init="he")


def test_an_optimiser_by_name_is_refused():
    text = (
        "revive: the optimizer given is of type str; it needs an object such as "
        "SGD(model.parameters(), lr=0.1)."
    )
    with pytest.raises(TypeError, match=message(text)):
        mg.revive(sick(8), X, optimizer="sgd")


def test_a_model_of_another_kind_is_refused():
    text = (
        "revive: the model given is of type list; it needs a Module. "
        "Subclass mg.nn.Module, or use Sequential."
    )
    with pytest.raises(TypeError, match=message(text)):
        mg.revive([], X)
