"""Levenberg-Marquardt: minima, damping, odd Jacobians, what it refuses, its state."""

import copy
import itertools
import pickle
import re

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError, GraphError, NonFiniteError, ShapeError, StateError
from microgrid.optim import LevenbergMarquardt
from microgrid.optim.damped import damped_step


def leaf(*values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def straight_line(n=20, columns=3):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, columns)), rng.normal(size=n)
    w = leaf(*[0.0] * columns)
    return X, y, w, lambda x, y: x @ w - y


def curve(seed=0, n=60, dtype=np.float64, sizes=(1, 8, 1)):
    x = np.linspace(-1, 1, n)[:, None]
    model = mg.nn.MLP(list(sizes), "tanh", rng=seed, dtype=dtype)
    return model, x, np.sin(3 * x), lambda x, y: model(x) - y


# --- linear least squares ------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["qr", "normal"])
def test_one_undamped_step_solves_linear_least_squares(solver):
    X, y, w, residuals = straight_line()
    LevenbergMarquardt([w], damping=0, max_iter=1, solver=solver).step(residuals, X, y)
    expected = np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(w.data, expected, rtol=1e-12)  # roundoff of another algorithm


@pytest.mark.parametrize("solver", ["qr", "normal"])
def test_one_damped_step_is_ridge_regression(solver):
    X, y, w, residuals = straight_line()
    LevenbergMarquardt([w], damping=0.1, max_iter=1, solver=solver).step(residuals, X, y)
    u = 0.1 * np.diag(X.T @ X).max()
    expected = np.linalg.solve(X.T @ X + u * np.eye(3), X.T @ y)
    np.testing.assert_allclose(w.data, expected, rtol=1e-12)


def test_scaled_damping_is_by_the_diagonal():
    X, y, w, residuals = straight_line()
    LevenbergMarquardt([w], damping=0.1, max_iter=1, scaled=True).step(residuals, X, y)
    A = X.T @ X
    np.testing.assert_allclose(
        w.data, np.linalg.solve(A + 0.1 * np.diag(np.diag(A)), X.T @ y), rtol=1e-12
    )


def test_sample_weights_are_those_of_weighted_least_squares():
    X, y, w, residuals = straight_line()
    weight = np.arange(20.0)
    LevenbergMarquardt([w], damping=0, max_iter=1).step(residuals, X, y, sample_weight=weight)
    expected = np.linalg.solve((X.T * weight) @ X, (X.T * weight) @ y)
    np.testing.assert_allclose(w.data, expected, rtol=1e-12)


def test_a_weight_counts_for_each_number_of_a_row():
    X, y = np.ones((2, 1)), np.array([[1.0, 10.0], [3.0, 30.0]])
    w = leaf([0.0, 0.0])
    optimizer = LevenbergMarquardt([w], damping=0, max_iter=1)
    optimizer.step(lambda x, y: x @ w - y, X, y, sample_weight=[3, 1])
    np.testing.assert_allclose(w.data, [[1.5, 15.0]], rtol=1e-12)


@pytest.mark.parametrize("damping", [0, 1e-8])
def test_columns_that_are_equal_share_what_is_shortest(damping):
    X, y, w, residuals = straight_line()
    X[:, 2] = X[:, 1]
    LevenbergMarquardt([w], damping=damping, max_iter=3).step(residuals, X, y)
    expected = np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(w.data, expected, rtol=1e-6)  # of the damping


@pytest.mark.parametrize("damping", [0, 1e-8])
@pytest.mark.parametrize("solver", ["qr", "normal"])
def test_of_many_solutions_with_few_residuals_the_nearest_is_found(damping, solver):
    X, y, w, residuals = straight_line(n=4, columns=9)
    LevenbergMarquardt([w], damping=damping, solver=solver).step(residuals, X, y)
    np.testing.assert_allclose(w.data, np.linalg.pinv(X) @ y, rtol=1e-6)  # of the damping


@pytest.mark.parametrize("shape", [(30, 5), (5, 30), (6, 6)])
@pytest.mark.parametrize("solver", ["qr", "normal"])
def test_a_damped_step_solves_its_equations(shape, solver):
    rng = np.random.default_rng(1)
    J, r, u = rng.normal(size=shape), rng.normal(size=shape[0]), rng.uniform(0.1, 2, shape[1])
    h = damped_step(J, r, u, solver)
    np.testing.assert_allclose(J.T @ (J @ h + r) + u * h, 0, atol=1e-12)  # roundoff


def test_qr_keeps_the_digits_that_the_normal_equations_lose():
    J = np.array([[1.0, 1.0], [1e-9, 0.0], [0.0, 1e-9]])
    exact = np.array([2.0, -1.0])
    found = damped_step(J, -J @ exact, np.zeros(2), "qr")
    np.testing.assert_allclose(found, exact, rtol=1e-6)  # 1e9 times roundoff


# --- curves --------------------------------------------------------------------------------------

# NIST StRD, nonlinear regression: data, starts, certified parameters and sums of squares.
MISRA_X = [
    77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0,
]  # fmt: skip
MISRA_Y = [
    10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47,
    81.78,
]  # fmt: skip
NIST = {
    "Misra1a": (
        lambda b, x: b[0] * (1 - mg.exp(-b[1] * x)), MISRA_X, MISRA_Y,
        [(500, 1e-4), (250, 5e-4)], (2.3894212918e2, 5.5015643181e-4), 1.2455138894e-1,
    ),
    "DanWood": (
        lambda b, x: b[0] * x ** b[1], [1.309, 1.471, 1.490, 1.565, 1.611, 1.680],
        [2.138, 3.421, 3.597, 4.340, 4.882, 5.660],
        [(1, 5), (0.7, 4)], (7.6886226176e-1, 3.8604055871e0), 4.3173084083e-3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", NIST)
def test_certified_parameters_are_found(name, start, scaled):
    f, x, y, starts, parameters, squares = NIST[name]
    b = leaf(*starts[start])
    optimizer = LevenbergMarquardt([b], max_iter=200, scaled=scaled)
    optimizer.step(lambda x, y: f(b, x) - y, np.array(x), np.array(y))
    # Certified to 11 digits; the loss of nearly equal points cannot tell the last ones.
    np.testing.assert_allclose(b.data, parameters, rtol=1e-9)
    np.testing.assert_allclose(2 * optimizer.loss, squares, rtol=1e-10)


@pytest.mark.parametrize("damping", [0, 1e-3, 10.0])
def test_the_minimum_of_rosenbrocks_function_is_found_without_arrays(damping):
    p = leaf(-1.2, 1.0)
    optimizer = LevenbergMarquardt([p], damping=damping, max_iter=200)
    before = optimizer.step(lambda: mg.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]]))
    assert before == pytest.approx(12.1, rel=1e-12)
    np.testing.assert_allclose(p.data, [1, 1], rtol=1e-12)
    assert optimizer.loss < 1e-24
    assert optimizer.status in ("gradient", "step")


@pytest.mark.parametrize("compiled", [True, False])
def test_a_net_fits_a_curve(compiled):
    model, x, y, residuals = curve()
    optimizer = LevenbergMarquardt(model.parameters(), max_iter=60, compile=compiled)
    before = optimizer.step(residuals, x, y)
    after = 0.5 * ((model(x).data - y) ** 2).sum()
    assert optimizer.loss == pytest.approx(after, rel=1e-9)  # summed in another order
    assert after < 1e-5 * before


def test_compiled_steps_are_the_plain_ones_bit_for_bit():
    found = []
    for compiled in (True, False):
        model, x, y, residuals = curve()
        optimizer = LevenbergMarquardt(model.parameters(), max_iter=10, compile=compiled)
        optimizer.step(residuals, x, y)
        found.append(np.concatenate([p.data.ravel() for p in model.parameters()]))
    assert (found[0] == found[1]).all()


def test_samples_and_rows_lead_to_the_same_steps():
    found = []
    for with_arrays in (True, False):
        model, x, y, residuals = curve(n=10)
        optimizer = LevenbergMarquardt(model.parameters(), max_iter=3)
        if with_arrays:
            optimizer.step(residuals, x, y)
        else:
            optimizer.step(lambda f=residuals, x=x, y=y: f(x, y))
        found.append(optimizer.loss)
    assert found[0] == pytest.approx(found[1], rel=1e-9)  # roundoff, over three steps


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_parameters_keep_their_dtype_and_shape(dtype):
    model, x, y, residuals = curve(dtype=dtype)
    shapes = [p.shape for p in model.parameters()]
    optimizer = LevenbergMarquardt(model.parameters(), max_iter=30)
    before = optimizer.step(lambda x, y: residuals(x, y.astype(dtype)), x, y)
    assert [p.shape for p in model.parameters()] == shapes
    assert {p.dtype for p in model.parameters()} == {np.dtype(dtype)}
    assert optimizer.loss < 0.01 * before


def test_each_step_lowers_the_loss():
    model, x, y, residuals = curve()
    optimizer = LevenbergMarquardt(model.parameters(), max_iter=1)
    losses = []
    for _ in range(30):
        losses += [optimizer.step(residuals, x, y), optimizer.loss]
    assert all(after <= before for before, after in itertools.pairwise(losses))


def test_another_function_or_other_arrays_may_follow():
    model, x, y, residuals = curve()
    optimizer = LevenbergMarquardt(model.parameters(), max_iter=4)
    optimizer.step(residuals, x, y)
    optimizer.step(residuals, x[::2].copy(), y[::2].copy())
    before = 0.5 * (4 * (model(x).data - 1) ** 2).sum()
    found = optimizer.step(lambda x: 2 * (model(x) - 1), x)
    assert found == pytest.approx(before, rel=1e-12)  # summed in another order
    assert optimizer.loss < 0.1 * before


def test_frozen_parameters_stay():
    model, x, y, residuals = curve()
    model[0].weight.requires_grad = False
    before = model[0].weight.numpy()
    LevenbergMarquardt(model.parameters(), max_iter=3).step(residuals, x, y)
    assert (model[0].weight.data == before).all()


def test_other_parameters_than_before_begin_anew():
    def trained(steps_before):
        model, x, y, residuals = curve()
        start = [p.numpy() for p in model.parameters()]
        optimizer = LevenbergMarquardt(model.parameters(), max_iter=3)
        if steps_before:
            optimizer.step(residuals, x, y)
        for p, value in zip(model.parameters(), start, strict=True):
            p.data = value
        model[0].weight.requires_grad = False
        optimizer.step(residuals, x, y)
        assert (model[0].weight.data == start[0]).all()
        return optimizer.loss

    assert trained(1) == trained(0)


def test_parameters_without_numbers_stay():
    x = np.ones((3, 2))
    p, q = mg.zeros((2, 0), requires_grad=True), mg.zeros(2)
    optimizer = LevenbergMarquardt([p])
    assert optimizer.step(lambda x: x @ q + mg.sum(p) - 1, x) == 1.5
    assert optimizer.status == "gradient"


def test_grad_is_not_touched():
    model, x, y, residuals = curve()
    LevenbergMarquardt(model.parameters(), max_iter=3).step(residuals, x, y)
    assert all(p.grad is None for p in model.parameters())


# --- damping and ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_to_where_residuals_are_not_finite_is_not_taken(bad):
    p = leaf(1.0)
    optimizer = LevenbergMarquardt([p], damping=0, max_iter=1)
    # The step without damping leads to 0, where it is not finite.
    optimizer.step(lambda: mg.where(p > 0.5, p, bad))
    assert 0.5 < p.item() < 1
    assert optimizer.recall()["damping"] > 0


def test_the_damping_is_nielsens():
    p = leaf(2.0)
    optimizer = LevenbergMarquardt([p], damping=0.5, max_iter=1)
    optimizer.step(lambda: p**2)
    u, r, J = 0.5 * 16, 4.0, 4.0
    h = -J * r / (J * J + u)
    gain = (r**2 - (2 + h) ** 4) / (r**2 - (r + J * h) ** 2)
    expected = u * max(1 / 3, 1 - (2 * gain - 1) ** 3)
    assert optimizer.recall()["damping"] == pytest.approx(expected, rel=1e-12)


def test_damping_grows_faster_with_each_step_that_fails():
    p = leaf(0.0)
    optimizer = LevenbergMarquardt([p], damping=1.0, max_iter=1)
    # The slope at 0 is 1, and the residual rises on the way down it until the step is below 1/8:
    # u is 1, 2, 8 before it falls.
    optimizer.step(lambda: mg.where(p > -0.12, 1 + p, 2.0).reshape((1,)))
    assert p.item() == pytest.approx(-1 / 9, rel=1e-12)


@pytest.mark.parametrize(
    ("setting", "value", "status"),
    [
        ("tolerance_grad", 1.0, "gradient"), ("tolerance_step", 1.0, "step"),
        ("tolerance_loss", 1.0, "loss"), ("max_iter", 2, "iterations"),
    ],
)  # fmt: skip
def test_each_reason_to_end_is_told(setting, value, status):
    p = leaf(-1.2, 1.0)
    optimizer = LevenbergMarquardt([p], **{"max_iter": 100, setting: value})
    optimizer.step(lambda: mg.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]]))
    assert optimizer.status == status


def test_where_no_damping_helps_it_ends_and_nothing_has_changed():
    p = leaf(1.0)
    optimizer = LevenbergMarquardt([p], damping=0.5)
    optimizer.step(lambda: mg.where(p == 1.0, p, 2.0))
    assert (optimizer.status, p.item(), optimizer.loss) == ("step", 1.0, 0.5)
    assert optimizer.recall()["damping"] == 0.5


# --- its state -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scaled", [False, True])
def test_a_saved_state_goes_on_bit_for_bit(scaled):
    def run(steps, state=None, values=None):
        model, x, y, residuals = curve()
        optimizer = LevenbergMarquardt(model.parameters(), max_iter=2, scaled=scaled)
        if state is not None:
            model.load_state_dict(values)
            optimizer.load_state_dict(pickle.loads(pickle.dumps(state)))
        for _ in range(steps):
            optimizer.step(residuals, x, y)
        return model.state_dict(), optimizer.state_dict()

    whole, _ = run(6)
    values, state = run(3)
    resumed, _ = run(3, state, values)
    for name, value in whole.items():
        assert (resumed[name] == value).all()


def test_a_checkpoint_holds_the_damping(tmp_path):
    model, x, y, residuals = curve()
    optimizer = LevenbergMarquardt(model.parameters(), max_iter=3)
    optimizer.step(residuals, x, y)
    mg.save_checkpoint(tmp_path / "run.safetensors", model, optimizer)
    other, *_ = curve(seed=1)
    again = LevenbergMarquardt(other.parameters(), max_iter=3)
    mg.load_checkpoint(tmp_path / "run.safetensors", other, again)
    assert again.recall()["damping"] == optimizer.recall()["damping"]


def test_an_optimiser_can_be_copied_after_a_compiled_step():
    model, x, y, residuals = curve()
    optimizer = LevenbergMarquardt(model.parameters(), max_iter=5)
    optimizer.step(residuals, x, y)
    twin = copy.deepcopy(optimizer)
    assert twin.recall()["damping"] == optimizer.recall()["damping"]
    assert twin.trained()[0] is not optimizer.trained()[0]


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ({}, "missing damping; missing growth; missing scale"),
        ({"damping": 1.0, "growth": 2.0, "scale": [1.0]}, "scale has shape (1,), needed (2,)"),
        (
            {"damping": 1.0, "growth": 2.0, "scale": [1.0, 1.0], "momentum": 1.0},
            "unexpected momentum",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused(state, fault):
    optimizer = LevenbergMarquardt([leaf(1.0, 2.0)])
    saved = optimizer.state_dict() | {"state": {0: state}}
    message = (
        f"load_state_dict: the state does not fit this LevenbergMarquardt: {fault}. Nothing was "
        "loaded. Build the optimiser as it was when saved."
    )
    with pytest.raises(StateError, match=f"^{re.escape(message)}$"):
        optimizer.load_state_dict(saved)


# --- what is refused -----------------------------------------------------------------------------


def refused(error, message, call, *args, **options):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(*args, **options)


def test_a_step_without_residuals_says_what_to_write():
    optimizer = LevenbergMarquardt([leaf(1.0)])
    refused(
        TypeError,
        "LevenbergMarquardt: step was called with no closure; it evaluates the model several "
        "times in each step. Write optimizer.step(residuals, x, y), where residuals(x, y) returns "
        "model(x) - y.",
        optimizer.step,
    )  # fmt: skip


def test_a_step_in_a_compiled_step_is_refused():
    X, y, w, residuals = straight_line()
    optimizer = LevenbergMarquardt([w])

    @mg.compile
    def step(x, y):
        optimizer.step(residuals, x, y)
        return w + 0

    refused(
        mg.errors.TraceError,
        "compile: step() of LevenbergMarquardt was called in the traced step. It decides by "
        "values how to go on. Call it outside; compile the closure instead.",
        step, X, y,
    )  # fmt: skip


def test_several_groups_are_refused():
    refused(
        ValueError,
        "LevenbergMarquardt: a second group was given; it takes all parameters as one vector. "
        "Give one list of parameters.",
        LevenbergMarquardt, [{"params": [leaf(1.0)]}, {"params": [leaf(2.0)]}],
    )  # fmt: skip


def test_a_parameter_with_a_constraint_is_refused():
    p = mg.nn.Parameter(np.ones(2))
    p.constraint = mg.relu
    refused(
        ValueError,
        "LevenbergMarquardt: a parameter has a constraint, which its steps would not keep. Use "
        "another optimiser, or compute the parameter from one without a constraint.",
        LevenbergMarquardt([p]).step, lambda: p,
    )  # fmt: skip


def test_fractions_are_refused():
    p = mg.tensor(np.array([1, 2], object), requires_grad=True)
    refused(
        DtypeError,
        "LevenbergMarquardt: a parameter of dtype object was given; it needs floats. Convert it "
        "with astype(float).",
        LevenbergMarquardt, [p],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"damping": -1}, "damping=-1 was given; it must be a number, at least 0."),
        ({"max_iter": 0}, "max_iter=0 was given; it must be an integer, at least 1."),
        ({"solver": "svd"}, "solver='svd' was given; it must be one of ('qr', 'normal')."),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    refused(
        ValueError, f"LevenbergMarquardt: {message}", LevenbergMarquardt, [leaf(1.0)], **settings
    )


def test_residuals_that_are_not_finite_at_the_start_are_an_error():
    X, y, w, residuals = straight_line()
    y[3] = np.nan
    optimizer = LevenbergMarquardt([w])
    refused(
        NonFiniteError,
        "LevenbergMarquardt: the loss is nan where the step begins, or its Jacobian is not "
        "finite; both must be. Look for the first nan with mg.detect_anomaly().",
        optimizer.step, residuals, X, y,
    )  # fmt: skip


def test_one_number_instead_of_residuals_is_refused():
    p = leaf(1.0)
    optimizer = LevenbergMarquardt([p])
    refused(
        ShapeError,
        "LevenbergMarquardt: residuals of shape () were given; it needs one or more in an array. "
        "Return the differences, not their sum.",
        optimizer.step, lambda: (p**2).sum(),
    )  # fmt: skip


def test_an_empty_batch_is_refused():
    model = mg.nn.Dense(2, 2, rng=0)
    refused(
        ShapeError,
        "LevenbergMarquardt: residuals of shape (0, 2) were given; it needs one or more in an "
        "array. Return the differences, not their sum.",
        LevenbergMarquardt(model.parameters()).step, model, np.zeros((0, 2)),
    )  # fmt: skip


def test_samples_that_mix_are_refused():
    X, y, w, _ = straight_line()
    with pytest.raises(GraphError, match="samples mix in mean"):
        LevenbergMarquardt([w]).step(lambda x, y: x @ w - mg.mean(x @ w), X, y)


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (
            np.ones(3), ShapeError,
            "of shape (3,) was given for 20 rows of residuals; it needs (20,).",
        ),
        (
            -np.ones(20), ValueError,
            "has a number that is negative, nan or infinite; it needs numbers from 0 up.",
        ),
    ],
)  # fmt: skip
def test_weights_that_make_no_sense_are_refused(weight, error, message):
    X, y, w, residuals = straight_line()
    optimizer = LevenbergMarquardt([w])
    refused(
        error, f"LevenbergMarquardt: sample_weight {message}",
        optimizer.step, residuals, X, y, sample_weight=weight,
    )  # fmt: skip


def test_what_cannot_be_traced_runs_uncompiled_with_a_warning():
    model, x, y, _ = curve()
    optimizer = LevenbergMarquardt(model.parameters(), max_iter=5)

    def residuals(x, y):
        return (model(x) - y) * float(mg.tensor(1.0))

    with pytest.warns(UserWarning, match="the residuals run uncompiled, as they cannot be traced"):
        before = optimizer.step(residuals, x, y)
    assert optimizer.loss < before
