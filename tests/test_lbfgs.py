"""L-BFGS and its line search: trajectories, minima, conditions, what it refuses, its state."""

import math
import pickle
import re

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import NonFiniteError, StateError
from microgrid.optim import LBFGS
from microgrid.optim.lbfgs import product
from microgrid.optim.line_search import Trial, strong_wolfe


def leaf(*values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def closure_of(optimizer, f):
    def closure():
        optimizer.zero_grad()
        loss = f()
        loss.backward()
        return loss

    return closure


def rosenbrock(p):
    return 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2


def net(dtype=np.float64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2)).astype(dtype)
    model = mg.nn.MLP([2, 8, 1], "tanh", rng=0, dtype=dtype)
    return model, x, np.sin(x[:, :1] * 2) * x[:, 1:]


# --- trajectories and minima ---------------------------------------------------------------------

SETTINGS = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 3},
    {"line_search_fn": "strong_wolfe", "lr": 0.3, "max_eval": 9},
    {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-3},
    {"line_search_fn": None, "lr": 0.1},
    {"line_search_fn": None, "lr": 0.1, "tolerance_grad": 1e-2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_trajectory_equals_pytorchs(settings):
    torch = pytest.importorskip("torch")
    model, x, y = net()
    twins = [torch.tensor(p.numpy(), requires_grad=True) for p in model.parameters()]
    full = {"history_size": 100, "max_iter": 6, **settings}
    ours, theirs = LBFGS(model.parameters(), **full), torch.optim.LBFGS(twins, **full)

    def closure():
        theirs.zero_grad()
        w1, b1, w2, b2 = twins
        prediction = torch.tanh(torch.tensor(x) @ w1 + b1) @ w2 + b2
        loss = ((prediction - torch.tensor(y)) ** 2).mean()
        loss.backward()
        return loss

    own = closure_of(ours, lambda: mg.mse_loss(model(x), y))
    for _ in range(4):
        assert ours.step(own) == pytest.approx(theirs.step(closure).item(), rel=1e-9)
        for p, twin in zip(model.parameters(), twins, strict=True):
            # Roundoff, which grows from step to step.
            np.testing.assert_allclose(p.data, twin.detach().numpy(), rtol=0, atol=1e-9)
    assert ours.recall()["evaluations"] == theirs.state[twins[0]]["func_evals"]


@pytest.mark.parametrize("history", [2, 10, 100])
def test_the_minimum_of_rosenbrocks_function_is_found(history):
    p = leaf(-1.2, 1.0)
    optimizer = LBFGS([p], max_iter=100, history_size=history, tolerance_change=0)
    before = optimizer.step(closure_of(optimizer, lambda: rosenbrock(p)))
    assert before == pytest.approx(24.2, rel=1e-12)
    np.testing.assert_allclose(p.data, [1, 1], rtol=1e-6)  # of tolerance_grad
    assert optimizer.status == "gradient"


def test_a_quadratic_bowl_is_left_after_as_many_iterations_as_it_has_dimensions():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6, 6))
    A = A @ A.T + np.eye(6)
    p = leaf(*rng.normal(size=6))
    optimizer = LBFGS([p], max_iter=25, tolerance_grad=1e-10, tolerance_change=0)
    optimizer.step(closure_of(optimizer, lambda: 0.5 * (p @ (A @ p))))
    np.testing.assert_allclose(p.data, 0, atol=1e-9)


def test_the_two_loops_give_the_matrix_of_bfgs():
    rng = np.random.default_rng(0)
    steps = list(rng.normal(size=(3, 5)))
    A = rng.normal(size=(5, 5))
    changes = [(A @ A.T + np.eye(5)) @ s for s in steps]
    H = 0.7 * np.eye(5)
    for s, y in zip(steps, changes, strict=True):  # Nocedal & Wright, equation 6.17
        V = np.eye(5) - np.outer(s, y) / (y @ s)
        H = V @ H @ V.T + np.outer(s, s) / (y @ s)
    g = rng.normal(size=5)
    np.testing.assert_allclose(product(g, changes, steps, 0.7), H @ g, rtol=1e-10)  # roundoff


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_parameters_keep_their_dtype(dtype):
    model, x, y = net(dtype)
    optimizer = LBFGS(model.parameters(), max_iter=40)
    before = optimizer.step(closure_of(optimizer, lambda: mg.mse_loss(model(x), y)))
    assert {p.dtype for p in model.parameters()} == {np.dtype(dtype)}
    assert optimizer.loss < 0.2 * before


def test_a_compiled_closure_leads_to_the_same_bits():
    found = []
    for compiled in (True, False):
        model, x, y = net()
        optimizer = LBFGS(model.parameters(), max_iter=20)
        closure = closure_of(optimizer, lambda m=model, x=x, y=y: mg.mse_loss(m(x), y))
        optimizer.step(mg.compile(closure) if compiled else closure)
        found.append(np.concatenate([p.data.ravel() for p in model.parameters()]))
    assert (found[0] == found[1]).all()


def test_a_closure_may_return_a_number():
    p = leaf(3.0)
    optimizer = LBFGS([p])

    def closure():
        p.grad = 2 * p.data
        return float(p.item() ** 2)

    assert optimizer.step(closure) == 9.0
    assert p.item() == pytest.approx(0, abs=1e-9)


def test_a_parameter_without_a_gradient_stays():
    p, q = leaf(3.0), leaf(5.0)
    optimizer = LBFGS([p, q])
    optimizer.step(closure_of(optimizer, lambda: (p**2).sum()))
    assert (abs(p.item()) < 1e-6, q.item()) == (True, 5.0)


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"tolerance_grad": 1e9}, "gradient"), ({"tolerance_change": 1e6}, "slope"),
        ({"tolerance_change": 1.0}, "change"), ({"max_iter": 3, "max_eval": 99}, "iterations"),
        ({"max_eval": 2}, "evaluations"),
    ],
)  # fmt: skip
def test_each_reason_to_end_is_told(settings, status):
    p = leaf(-1.2, 1.0)
    optimizer = LBFGS([p], **settings)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(p)))
    assert optimizer.status == status


# --- the line search -----------------------------------------------------------------------------

CURVES = {
    "bowl": (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    "quartic": (lambda t: (t - 1) ** 4, lambda t: 4 * (t - 1) ** 3),
    "sine": (lambda t: -math.sin(t) + 0.1 * t, lambda t: -math.cos(t) + 0.1),
    "far": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "wall": (
        lambda t: -math.log(5 - t) - t if t < 5 else math.nan,
        lambda t: 1 / (5 - t) - 1 if t < 5 else math.nan,
    ),
}


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("name", CURVES)
def test_the_strong_wolfe_conditions_hold(name, first):
    f, slope = CURVES[name]

    def evaluate(t):
        return Trial(t, f(t), slope(t), np.array([slope(t)]))

    start = evaluate(0.0)
    found, calls = strong_wolfe(evaluate, start, first, largest=1.0)
    assert found.loss <= start.loss + 1e-4 * found.length * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
    assert calls <= 26


def test_a_loss_that_only_rises_leaves_everything_where_it_was():
    def evaluate(t):
        return Trial(t, t + 1.0 if t else 0.0, -1.0, np.array([-1.0]))

    found, calls = strong_wolfe(evaluate, evaluate(0.0), 1.0, largest=1.0)
    assert (found.length, found.loss) == (0.0, 0.0)
    assert calls <= 26


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_not_kept(bad):
    p = leaf(-1.0)
    optimizer = LBFGS([p], lr=100.0, max_iter=30)
    optimizer.step(closure_of(optimizer, lambda: mg.where(p < 0.5, (p - 0.4) ** 2, bad).sum()))
    assert p.item() == pytest.approx(0.4, abs=1e-6)


# --- its state -----------------------------------------------------------------------------------


@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
@pytest.mark.parametrize("history", [2, 100])
def test_a_saved_state_goes_on_bit_for_bit(line_search, history, tmp_path):
    settings = {"max_iter": 4, "history_size": history, "line_search_fn": line_search, "lr": 0.5}

    def prepared():
        model, x, y = net()
        optimizer = LBFGS(model.parameters(), **settings)
        return model, optimizer, closure_of(optimizer, lambda: mg.mse_loss(model(x), y))

    model, optimizer, closure = prepared()
    for k in range(6):
        if k == 3:
            mg.save_checkpoint(tmp_path / "run.safetensors", model, optimizer)
            values, state = model.state_dict(), pickle.dumps(optimizer.state_dict())
        optimizer.step(closure)
    by_state, by_file = prepared(), prepared()
    by_state[0].load_state_dict(values)
    by_state[1].load_state_dict(pickle.loads(state))
    mg.load_checkpoint(tmp_path / "run.safetensors", *by_file[:2])
    for again, its_optimizer, its_closure in (by_state, by_file):
        for _ in range(3):
            its_optimizer.step(its_closure)
        for name, value in model.state_dict().items():
            assert (again.state_dict()[name] == value).all()


def test_other_parameters_than_before_begin_anew():
    def trained(steps_before):
        a, b = leaf(0.5, -1.0), leaf(2.0)
        optimizer = LBFGS([a, b], max_iter=3)
        closure = closure_of(optimizer, lambda: rosenbrock(a) + (b**2).sum())
        if steps_before:
            optimizer.step(closure)
            a.data, b.data = [0.5, -1.0], [2.0]
        b.requires_grad = False
        saved = optimizer.state_dict()
        assert saved["state"] == {}
        optimizer.load_state_dict(saved)
        optimizer.step(closure)
        return a.tolist(), b.tolist()

    assert trained(1) == trained(0)
    assert trained(1)[1] == [2.0]


def test_parameters_without_numbers_stay():
    p = mg.zeros((2, 0), requires_grad=True)
    optimizer = LBFGS([p])
    assert optimizer.step(closure_of(optimizer, lambda: mg.sum(p) + 1)) == 1.0
    assert optimizer.status == "gradient"


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("length", math.nan, "length is not of finite numbers"),
        ("scale", True, "scale is not of finite numbers"),
        ("iterations", -3.5, "iterations is not an integer, at least 0"),
        ("evaluations", -1, "evaluations is not an integer, at least 0"),
    ],
)
def test_a_state_that_makes_no_sense_is_refused(name, value, fault):
    p = leaf(-1.2, 1.0)
    optimizer = LBFGS([p], max_iter=3)
    optimizer.step(closure_of(optimizer, lambda: rosenbrock(p)))
    saved = optimizer.state_dict()
    saved["state"][0][name] = value
    message = (
        f"load_state_dict: the state does not fit this LBFGS: {fault}. Nothing was loaded. Build "
        "the optimiser as it was when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        optimizer.load_state_dict(saved)


def test_a_state_of_another_size_is_refused():
    p = leaf(1.0, 2.0)
    optimizer = LBFGS([p], max_iter=1)
    optimizer.step(closure_of(optimizer, lambda: (p**2).sum()))
    message = (
        "load_state_dict: the state does not fit this LBFGS: direction has shape (2,), needed "
        "(1,); gradient has shape (2,), needed (1,); changes has shape (0, 2), needed (0, 1); "
        "steps has shape (0, 2), needed (0, 1). Nothing was loaded. Build the optimiser as it was "
        "when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        LBFGS([leaf(1.0)]).load_state_dict(optimizer.state_dict() | {})


# --- what is refused -----------------------------------------------------------------------------


def refused(error, message, call, *args, **options):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(*args, **options)


def test_a_step_without_a_closure_says_what_to_write():
    refused(
        TypeError,
        "LBFGS: step was called with no closure; it evaluates the model several times in each "
        "step. Write optimizer.step(closure), where closure() calls optimizer.zero_grad(), "
        "computes the loss, calls loss.backward() and returns the loss.",
        LBFGS([leaf(1.0)]).step,
    )  # fmt: skip


def test_a_closure_that_goes_not_backward_is_refused():
    p = leaf(1.0)
    refused(
        TypeError,
        "LBFGS: no parameter has a gradient after the closure was called; it must call "
        "backward() on the loss.",
        LBFGS([p]).step, lambda: (p**2).sum(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "what"),
    [
        (None, "a NoneType"),
        ("loss", "a str"),
        (mg.zeros(2), "a Tensor of shape (2,)"),
        (np.zeros((0, 1)), "a ndarray of shape (0, 1)"),
    ],
)
def test_a_closure_that_returns_no_loss_is_refused(loss, what):
    p = leaf(1.0)

    def closure():
        (p * p).sum().backward()
        return loss

    refused(
        TypeError,
        f"LBFGS: the closure returned {what}; it must return the loss, one number. Write "
        "`return loss` at its end.",
        LBFGS([p]).step, closure,
    )  # fmt: skip


def test_a_loss_that_is_nan_at_the_start_is_an_error():
    p = leaf(np.nan)
    optimizer = LBFGS([p])
    refused(
        NonFiniteError,
        "LBFGS: the loss is nan where the step begins, and its gradient has 1 numbers that are "
        "not; both must be finite. Look for the first nan with mg.detect_anomaly().",
        optimizer.step, closure_of(optimizer, lambda: (p**2).sum()),
    )  # fmt: skip


def test_frozen_parameters_alone_are_refused():
    p = mg.tensor([1.0])
    refused(
        ValueError,
        "LBFGS: no parameter requires a gradient. Set requires_grad=True on some.",
        LBFGS([p]).step, lambda: 0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1}, "lr=-1 was given; it must be a number, at least 0."),
        ({"history_size": 0}, "history_size=0 was given; it must be an integer, at least 1."),
        ({"max_eval": 0}, "max_eval=0 was given; it must be an integer, at least 1."),
        (
            {"line_search_fn": "armijo"},
            "line_search_fn='armijo' was given; it must be \"strong_wolfe\" or None.",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    refused(ValueError, f"LBFGS: {message}", LBFGS, [leaf(1.0)], **settings)
