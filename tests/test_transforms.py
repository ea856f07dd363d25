"""Derivatives of functions against formulas, and against each other.

jvp, vjp, hvp, jacobian and hessian are different ways to the same numbers. Where a test compares
two, one of them is `vjp` or `grad`, that is the rules, which test_ops.py compares with differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from battery import Call, calls
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid.core import Op

Function = Callable[..., Any]
RNG = np.random.default_rng(0)
A = RNG.standard_normal((3, 3))

# Some tens of roundings of numbers below 100.
CLOSE = 1e-12


def close(actual: Any, expected: Any, tolerance: float = CLOSE) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=tolerance, atol=tolerance)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


# --- formulas ------------------------------------------------------------------------------------


def quadratic(x: Any) -> Any:
    return x @ (A @ x)


def rosenbrock(x: Any) -> Any:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def test_gradient_and_hessian_of_a_quadratic_form() -> None:
    x = normal(3)
    close(mg.grad(quadratic)(x), (A + A.T) @ x)
    close(mg.hessian(quadratic)(x), A + A.T)


def test_rosenbrock() -> None:
    a, b = -1.25, 2.0
    gradient = [-400 * a * (b - a**2) - 2 * (1 - a), 200 * (b - a**2)]
    hessian = [[1200 * a**2 - 400 * b + 2, -400 * a], [-400 * a, 200.0]]
    x, v = np.array([a, b]), np.array([3.0, -0.5])
    # Every number on the way is a short dyadic fraction, so that the results are exact.
    assert mg.grad(rosenbrock)(x).tolist() == gradient
    assert mg.hessian(rosenbrock)(x).tolist() == hessian
    assert mg.hvp(rosenbrock, (x,), (v,)).tolist() == (np.array(hessian) @ v).tolist()


def test_jacobian_of_softmax() -> None:
    x = normal(4)
    s = np.exp(x) / np.exp(x).sum()
    close(mg.jacobian(mg.softmax)(x), np.diag(s) - np.outer(s, s))


def test_jacobian_of_a_matrix_by_a_matrix() -> None:
    X = np.arange(6.0).reshape(2, 3)
    found = mg.jacobian(lambda x: x.T)(X)
    assert found.shape == (3, 2, 2, 3)
    assert all(found[i, j, j, i] == 1 for i in range(3) for j in range(2))
    assert found.sum() == 6


def test_third_and_fourth_derivatives_of_polynomials_are_exact() -> None:
    def polynomial(x: Any) -> Any:
        return 2 * x**4 - x**3 + 5 * x

    derivatives = [polynomial]
    for _ in range(4):
        derivatives.append(mg.grad(derivatives[-1]))
    assert [f(3.0) for f in derivatives] == [150, 194, 198, 138, 48]


def test_third_derivatives_by_jacobian_of_hessian() -> None:
    found = mg.jacobian(mg.hessian(lambda x: x[0] ** 2 * x[1] * x[2]))(np.array([2.0, 3.0, 5.0]))
    expected = np.zeros((3, 3, 3))
    for i, j, k, value in ((0, 0, 1, 10), (0, 0, 2, 6), (0, 1, 2, 4)):
        for place in {(i, j, k), (i, k, j), (j, i, k), (j, k, i), (k, i, j), (k, j, i)}:
            expected[place] = value
    assert found.tolist() == expected.tolist()


def test_hessian_by_several_arguments_has_all_blocks() -> None:
    x, y = np.array([1.0, 2.0]), np.array([3.0, 5.0, 7.0])
    (xx, xy), (yx, yy) = mg.hessian(lambda x, y: (x * x).sum() * y.sum(), argnums=(0, 1))(x, y)
    assert xx.tolist() == (30 * np.eye(2)).tolist()
    assert xy.tolist() == np.outer(2 * x, np.ones(3)).tolist()
    assert yx.tolist() == xy.T.tolist()
    assert yy.tolist() == np.zeros((3, 3)).tolist()


def test_hessian_of_several_results_has_one_for_each() -> None:
    found = mg.hessian(lambda x: mg.stack([x[0] ** 2, x[0] * x[1]]))(np.array([2.0, 3.0]))
    assert found.tolist() == [[[2, 0], [0, 0]], [[0, 1], [1, 0]]]


def test_jvp_of_a_product_is_leibnizs_rule() -> None:
    y, t = mg.jvp(lambda a, b: a * b, (2.0, 3.0), (1.0, 10.0))
    assert (y.item(), t) == (6, 23)


def test_vjp_of_a_product() -> None:
    y, pullback = mg.vjp(lambda a, b: a * b, 2.0, 3.0)
    assert y.item() == 6
    assert pullback(10.0) == (30, 20)


# --- one against the other -----------------------------------------------------------------------

W1, W2 = normal(3, 4), normal(4, 2)


def net(x: Any) -> Any:
    return mg.softplus(mg.tanh(x @ W1) @ W2) * x.sum()


def net_loss(x: Any) -> Any:
    return mg.logsumexp(net(x))


def test_jvp_is_the_jacobian_times_the_tangent() -> None:
    x, t = normal(3), normal(3)
    close(mg.jvp(net, (x,), (t,))[1], mg.jacobian(net)(x) @ t)


def test_vjp_is_the_cotangent_times_the_jacobian() -> None:
    x, u = normal(3), normal(2)
    close(mg.vjp(net, x)[1](u)[0], u @ mg.jacobian(net)(x))


def test_hessian_is_symmetric_and_hvp_is_its_product() -> None:
    x, v = normal(3), normal(3)
    hessian = mg.hessian(net_loss)(x)
    close(hessian, hessian.T)
    close(mg.hvp(net_loss, (x,), (v,)), hessian @ v)


def test_hvp_is_forward_over_reverse() -> None:
    x, v = normal(3), normal(3)
    close(mg.jvp(mg.grad(net_loss), (x,), (v,))[1], mg.hvp(net_loss, (x,), (v,)))


def test_hvp_by_several_arguments_mixes_them() -> None:
    x, y, u, v = (normal(2) for _ in range(4))

    def f(x: Any, y: Any) -> Any:
        return (mg.sin(x) * mg.exp(y)).sum() * x.sum()

    (xx, xy), (yx, yy) = mg.hessian(f, argnums=(0, 1))(x, y)
    first, second = mg.hvp(f, (x, y), (u, v))
    close(first, xx @ u + xy @ v)
    close(second, yx @ u + yy @ v)


def test_jacobian_agrees_with_central_differences() -> None:
    x, h = normal(3), 1e-5
    columns = [
        (net(mg.tensor(x + d)).data - net(mg.tensor(x - d)).data) / (2 * h) for d in h * np.eye(3)
    ]
    close(mg.jacobian(net)(x), np.stack(columns, -1), 1e-8)  # h² and the rounding over h


@pytest.mark.parametrize("shape", [(), (1,), (2,), (2, 3), (0,), (2, 0)], ids=str)
@pytest.mark.parametrize("out", [(), (1,), (3, 2), (0,), (7, 1)], ids=str)
def test_jacobian_of_any_shapes_is_the_matrix_of_a_linear_map(
    shape: tuple[int, ...], out: tuple[int, ...]
) -> None:
    M = normal(*out, *shape)
    rows, columns = int(np.prod(out)), int(np.prod(shape))

    def f(x: Any) -> Any:
        return (M.reshape(rows, columns) @ x.reshape(columns)).reshape(out)

    x = normal(*shape)
    found = mg.jacobian(f)(x)
    assert np.shape(found) == (*out, *shape)
    assert np.array_equal(found, M)
    t = normal(*shape)
    close(mg.jvp(f, (x,), (t,))[1], (M.reshape(rows, columns) @ t.ravel()).reshape(out))


# --- every op ------------------------------------------------------------------------------------


def floats(op: Op, call: Call) -> list[int]:
    rules = op.rules(len(call.inputs))
    return [i for i, a in enumerate(call.inputs) if a.dtype.kind == "f" and rules[i] is not None]


def of_floats(op: Op, call: Call) -> tuple[Function, list[np.ndarray]]:
    """Return the op as a function of its float inputs, and these."""
    varied = floats(op, call)

    def f(*xs: Any) -> Any:
        inputs: list[Any] = list(call.inputs)
        for i, x in zip(varied, xs, strict=True):
            inputs[i] = x
        return op(*inputs, **call.params)

    return f, [call.inputs[i] for i in varied]


def check_forward_is_the_adjoint_of_backward(op: Op, call: Call, tolerance: float) -> bool:
    """⟨u, J t⟩ = ⟨u J, t⟩ for random u and t; return whether there was something to compare."""
    f, xs = of_floats(op, call)
    if not xs or call.value().dtype.kind != "f":
        return False
    ts = [call.random(x.shape, x.dtype, tag=i) for i, x in enumerate(xs)]
    y, tangent = mg.jvp(f, xs, ts)
    tangent = np.asarray(tangent)
    assert (tangent.shape, tangent.dtype) == (y.shape, y.dtype)
    u = call.random(y.shape, y.dtype, tag=99)
    slopes = mg.vjp(f, *xs)[1](u)
    assert all(g.dtype == x.dtype for g, x in zip(slopes, xs, strict=True))
    products = [np.asarray(g * t, float) for g, t in zip(slopes, ts, strict=True)]
    if not all(np.isfinite(p).all() for p in products):
        return False
    forward = np.asarray(u * tangent, float)
    tolerance = max(tolerance, 10 * float(np.finfo(y.dtype).eps))  # astype rounds to less
    size = 1 + np.abs(forward).sum() + sum(np.abs(p).sum() for p in products)
    assert abs(forward.sum() - sum(p.sum() for p in products)) <= tolerance * size, op.name
    return bool(tangent.size)


def check_forward_over_reverse_is_reverse_over_reverse(op: Op, call: Call) -> bool:
    """The ops of which rules are made have a forward mode too."""
    f, xs = of_floats(op, call)
    if not xs or call.value().dtype != np.float64:
        return False
    if any(((x != 0) & (np.abs(x) < 1e-3)).any() for x in xs):
        return False  # second derivatives as large as 1/x, of which nothing but rounding may remain
    if op.name == "prelu" and (xs[0] == 0).any():
        return False  # at a kink the second derivatives need not be symmetric
    w = call.random(call.value().shape)
    ts = [call.random(x.shape, tag=i) for i, x in enumerate(xs)]

    def loss(*xs: Any) -> Any:
        return (w * f(*xs)).sum()

    forward = mg.jvp(mg.grad(loss, tuple(range(len(xs)))), xs, ts)[1]
    backward = mg.vjp(mg.grad(loss, tuple(range(len(xs)))), *xs)[1](tuple(ts))
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)  # some hundreds of roundings
    return any(np.any(a) for a in forward)


def compared(op: Op, check: Callable[[Op, Call], bool], dtype: Any = np.float64) -> int:
    """Return of how many calls of the op something was compared."""
    found = 0

    @settings(max_examples=15)
    @given(data=st.data())
    def run(data: Any) -> None:
        nonlocal found
        found += check(op, data.draw(calls(op)).cast(dtype))

    run()
    return found


DIFFERENTIABLE = sorted(name for name, op in mg.OPS.items() if op.has_gradient)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # A few tens of roundings, relative to the sum of what is added up.
    [(np.float64, 1e-13), (np.float32, 1e-4)],
    ids=["float64", "float32"],
)
def test_forward_mode_holds_for_every_op(name: str, dtype: Any, tolerance: float) -> None:
    def check(op: Op, call: Call) -> bool:
        return check_forward_is_the_adjoint_of_backward(op, call, tolerance)

    assert compared(mg.OPS[name], check, dtype)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_forward_mode_of_every_rule_agrees_with_going_back_through_it(name: str) -> None:
    compared(mg.OPS[name], check_forward_over_reverse_is_reverse_over_reverse)


def test_a_rule_that_is_not_linear_is_found() -> None:
    op = declared(lambda g, y, x: g * mg.absolute(g), name="crooked")
    call = Call(op, [np.array([1.0, 2.0])], {}, 0)
    with pytest.raises(AssertionError, match=r"^crooked"):
        check_forward_is_the_adjoint_of_backward(op, call, CLOSE)


PIECEWISE = sorted(name for name, op in mg.OPS.items() if op.pieces is not None)


@pytest.mark.parametrize("name", PIECEWISE)
def test_forward_mode_of_straight_pieces_is_exact_on_fractions(name: str) -> None:
    op = mg.OPS[name]
    x = np.array([Fraction(n, 3) for n in (-10, -3, -1, 0, 1, 2, 3, 18)], object)
    t = np.array([Fraction(n, 7) for n in range(1, 9)], object)
    for params in op.params(()):
        slopes = mg.vjp(lambda x, p=params: op(x, **p), x)[1](np.full(8, Fraction(1)))[0]
        tangent = mg.jvp(lambda x, p=params: op(x, **p), (x,), (t,))[1]
        assert (tangent == slopes * t).all()
        assert not any(isinstance(value, float) for value in tangent)


def test_jacobian_of_a_net_on_fractions_is_exact() -> None:
    W = np.array([[Fraction(1, 3), Fraction(-2, 5)], [Fraction(7, 2), Fraction(1, 9)]], object)
    x = np.array([Fraction(1, 2), Fraction(5, 3)], object)
    active = np.array([[v > 0 for v in W @ x]])
    expected = W.T @ np.where(active.T, W, Fraction(0))
    found = mg.jacobian(lambda x: W.T @ mg.relu(W @ x))(x)
    assert (found == expected).all()


def test_fractions_stay_fractions_through_a_mean() -> None:
    x = np.array([Fraction(1, 2), Fraction(5, 3), Fraction(-1)], object)

    def f(x: Any) -> Any:
        return mg.mean(mg.relu(x))

    third = Fraction(1, 3)
    derivatives = [
        *mg.grad(f)(x),
        *mg.jacobian(f)(x),  # by rows
        *mg.jacobian(lambda x: mg.stack([mg.mean(x), x.sum(), x[0]]))(x[:1]).ravel(),  # columns
        mg.jvp(f, (x,), (x,))[1],
        *mg.hvp(lambda x: mg.mean(x * x) / 2, (x,), (x,)),
    ]
    expected = [third, third, 0, third, third, 0, 1, 1, 1, Fraction(13, 18), *(third * x)]
    assert derivatives == expected
    assert all(isinstance(value, Fraction) for value in derivatives)


# --- how much it takes ---------------------------------------------------------------------------


def declared(rule: Function, name: str = "counted") -> Op:
    return Op(name=name, doc="x.", kernel=np.positive, vjps=(rule,), domains=(mg.Domain(),))


@pytest.fixture(autouse=True)
def _ops_as_they_were() -> Iterator[None]:
    before = set(mg.OPS)
    yield
    for name in set(mg.OPS) - before:
        del mg.OPS[name]


@pytest.mark.parametrize(("rows", "columns", "passes"), [(2, 5, 2), (5, 2, 1), (3, 3, 3)])
def test_jacobian_goes_back_once_for_each_row_or_builds_one_way_forward(
    rows: int, columns: int, passes: int
) -> None:
    count = []
    op = declared(lambda g, y, x: (count.append(1), g)[1])
    M = normal(rows, columns)
    assert np.array_equal(mg.jacobian(lambda x: M @ op(x))(np.ones(columns)), M)
    assert len(count) == passes


def test_what_f_was_given_from_outside_is_not_gone_through() -> None:
    def never(g: Any, y: Any, x: Any) -> Any:
        raise AssertionError("the way back passed a constant")

    x = mg.tensor(2.0, requires_grad=True)
    outside = declared(never)(x)
    assert mg.grad(lambda y: y * outside)(3.0).item() == 2
    assert mg.grad(lambda y: y * y * outside)(outside).item() == 8


def test_what_does_not_depend_on_the_argument_is_not_gone_through() -> None:
    def never(g: Any, y: Any, x: Any) -> Any:
        raise AssertionError("the way back passed a parameter")

    op, p = declared(never), mg.tensor(2.0, requires_grad=True)
    assert mg.grad(lambda x: x * mg.exp(op(p) * 0))(3.0).item() == 1


def test_a_long_chain_takes_no_stack_and_is_walked_once() -> None:
    def chain(x: Any) -> Any:
        for _ in range(5000):
            x = x + 1
        return x * x

    assert mg.grad(chain)(1.0) == 10002
    assert mg.jvp(chain, (1.0,), (1.0,))[1] == 10002
    assert mg.hvp(chain, (1.0,), (3.0,)) == 6
