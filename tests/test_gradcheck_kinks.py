"""gradcheck at kinks: what counts as right there, what kind of point it is, and higher orders."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from own_ops import changed, declared, doubled, passing, variable

import microgrid as mg
from microgrid.errors import ShapeError
from microgrid.testing import gradcheck, gradgradcheck, report

named = pytest.mark.parametrize


def rejects(func: Any, *inputs: Any, **options: Any) -> bool:
    return not gradcheck(func, inputs, raise_exception=False, **options)


def fraction(x: Any) -> np.ndarray:
    return np.frompyfunc(Fraction, 1, 1)(np.array(x))


# --- the kind of a point, and both slopes ---------------------------------------------------------

# A function, where, what backward gives by the convention, the slopes left and right, the kind.
POINTS = {
    "relu": (mg.relu, 0.0, 0, 0, 1, "kink"),
    "relu at -0": (mg.relu, -0.0, 0, 0, 1, "kink"),
    "absolute": (mg.absolute, 0.0, 0, -1, 1, "kink"),
    "leaky relu": (lambda x: mg.leaky_relu(x, 0.25), 0.0, 0.25, 0.25, 1, "kink"),
    "relu6 at 6": (mg.relu6, 6.0, 0, 1, 0, "kink"),
    "hardtanh at -1": (mg.hardtanh, -1.0, 0, 0, 1, "kink"),
    "clip at 2": (lambda x: mg.clip(x, -1, 2), 2.0, 0, 1, 0, "kink"),
    "maximum with a number": (lambda x: mg.maximum(x, 3.0), 3.0, 0, 0, 1, "kink"),
    "maximum of two functions": (lambda x: mg.maximum(x, -3 * x), 0.0, -1, -3, 1, "kink"),
    "hinge": (lambda x: mg.relu(1 - x), 1.0, 0, -1, 0, "kink"),
    "where": (lambda x: mg.where(x > 0, x, x / 2), 0.0, 0.5, 0.5, 1, "kink"),
    "max": (lambda x: mg.max(mg.stack([x, 3 * x])), 0.0, 2, 1, 3, "kink"),
    "norm": (lambda x: mg.norm(mg.stack([3 * x, 4 * x])), 0.0, 0, -5, 5, "kink"),
    "elu of alpha 2": (lambda x: mg.elu(x, 2.0), 0.0, 1, 2, 1, "kink"),
    "hardswish at 3": (mg.hardswish, 3.0, 1, 1.5, 1, "kink"),
    "sum of a kink and a curve": (lambda x: mg.relu(x) + mg.exp(x), 0.0, 1, 1, 2, "kink"),
    "relu(x) - relu(-x)": (lambda x: mg.relu(x) - mg.relu(-x), 0.0, 0, 1, 1, "artifact"),
    "|x| + x - 2 relu(x)": (
        lambda x: mg.absolute(x) + x - 2 * mg.relu(x), 0.0, 1, 0, 0, "artifact",
    ),
    "sign": (mg.sign, 0.0, 0, 0, 0, "jump"),
    "where with a step": (lambda x: mg.where(x > 0, x + 1, x / 2), 0.0, 0.5, 0.5, 1, "jump"),
    "x |x|": (lambda x: x * mg.absolute(x), 0.0, None, None, None, "smooth"),
    "square of relu": (lambda x: mg.relu(x) ** 2, 0.0, None, None, None, "smooth"),
    "where without a bend": (lambda x: mg.where(x >= 0, x, x), 0.0, None, None, None, "smooth"),
    "maximum of x and x": (lambda x: mg.maximum(x, x), 1.0, None, None, None, "smooth"),
}  # fmt: skip
INEXACT = {
    "norm", "elu of alpha 2", "hardswish at 3", "sum of a kink and a curve", "where",
    "where with a step", "where without a bend",
}  # fmt: skip


@named("name", POINTS)
@named("dtype", ["float64", "float32", "float16"])
def test_the_kind_of_a_point_and_its_slopes(name, dtype):
    func, at, slope, left, right, kind = POINTS[name]
    found = report(func, variable(at, dtype))
    assert (found.ok, found.kind) == (True, kind)
    if kind == "smooth":
        assert found.bends == []
        return
    (bend,) = found.bends
    assert bend.kind == kind
    assert bend.what == "the slope of the result towards input 0"
    # The slopes come from differences in float64, extrapolated; but the way that a norm goes from
    # 0, which is its choice, and the gradient are rounded to the dtype.
    rounded = 4 * float(np.finfo(dtype).eps)
    close = 1e-9 if name != "norm" else rounded
    assert [bend.left, bend.right] == pytest.approx([left, right], rel=close, abs=1e-9)
    assert float(bend.analytic) == pytest.approx(slope, rel=rounded)


@named("dtype", ["float64", "float32", "float16"])
def test_the_number_next_to_a_kink_is_smooth(dtype):
    x = variable(np.finfo(dtype).smallest_subnormal, dtype)
    assert report(mg.relu, x).kind == report(mg.relu, -x).kind == "smooth"
    assert gradcheck(mg.relu, x)


EXACT = {name: point for name, point in POINTS.items() if name not in INEXACT}


@named(("func", "at", "slope", "left", "right", "kind"), EXACT.values(), ids=EXACT)
def test_in_fractions_the_slopes_are_exact(func, at, slope, left, right, kind):
    found = report(func, variable(fraction(at)))
    assert (found.ok, found.kind) == (True, kind)
    if kind != "smooth":
        (bend,) = found.bends
        assert (bend.analytic, bend.left, bend.right) == (slope, left, right)


@named("seed", range(30))
def test_two_inputs_that_meet_at_a_kink_are_never_taken_for_smooth(seed):
    """A direction with equal components would leave y - |x| at 0."""
    func = lambda x, y: mg.relu(y - mg.absolute(x))  # noqa: E731
    assert report(func, [variable(1.0), variable(1.0)], rng=seed).kind == "kink"


def test_of_several_kinds_the_worst_is_told():
    func = lambda x, y: (mg.absolute(x), mg.relu(y) - mg.relu(-y))  # noqa: E731
    found = report(func, [variable(0.0), variable(0.0)])
    assert found.kind == "artifact"
    assert {(bend.kind, bend.what) for bend in found.bends} == {
        ("kink", "the slope of result 0 towards input 0"),
        ("artifact", "the slope of result 1 towards input 1"),
    }


def test_a_limiting_gradient_outside_of_the_slopes_is_no_artifact_of_max_y_minus_x():
    """max(y - |x|, 0) at 0 is flat along x and bends along y: 0 is a slope along both."""
    found = report(lambda x, y: mg.relu(y - mg.absolute(x)), [variable(0.0), variable(0.0)])
    assert [(bend.what[-7:], bend.left, bend.right) for bend in found.bends] == [("input 1", 0, 1)]


def test_float32_rounding_is_no_artifact():
    """1/6 in float32 is not the slope in float64, but all that float32 can say."""
    found = report(lambda x: mg.hardsigmoid(x).sum(), variable([0.1, 0.5, 3.0], np.float32))
    assert [bend.what for bend in found.bends] == ["the slope of the result towards input 0[2]"]


def test_float32_rounding_is_no_jump():
    """Both pieces give 0.3 at 1, but for the last bit."""
    func = lambda x: mg.where(x > 1, 0.1 * x + 0.2, 0.3 * x)  # noqa: E731
    assert report(func, variable(1.0, np.float32)).kind == "kink"
    assert report(func, variable(1.0)).kind == "kink"


def test_kinks_among_many_inputs_are_seen_along_a_random_direction():
    found = report(lambda x: mg.absolute(x).sum(), variable(np.zeros(5000)))
    assert found.kind == "kink"
    assert "along a random direction of all inputs" in found.bends[0].what


# --- what each of the three words accepts ---------------------------------------------------------

ARTIFACT = lambda x: mg.relu(x) - mg.relu(-x)  # noqa: E731


@named("kinks", ["verify", "strict", "ignore"])
@named("name", [name for name, point in POINTS.items() if point[-1] in ("kink", "smooth")])
def test_a_slope_between_those_of_its_sides_is_always_right(name, kinks):
    func, at, *_ = POINTS[name]
    assert gradcheck(func, variable(at), kinks=kinks)


@named("name", [name for name, point in POINTS.items() if point[-1] in ("artifact", "jump")])
def test_only_strict_rejects_what_no_slope_of_the_function_is(name):
    func, at, *_ = POINTS[name]
    assert gradcheck(func, variable(at), kinks="verify")
    assert gradcheck(func, variable(at), kinks="ignore")
    assert rejects(func, variable(at), kinks="strict")


def test_strict_says_which_slopes_there_are_and_how_to_have_one():
    found = report(ARTIFACT, variable(0.0), kinks="strict")
    assert str(found.failures[0]) == (
        "the slope of the result towards input 0: the gradient gives 0, the values 1.0 on the left "
        "and 1.0 on the right; artifact point. Each op follows its convention, but their "
        "composition has another slope. grad(f, toward=v) gives one that the function has."
    )
    assert mg.grad(ARTIFACT, toward=1.0)(0.0) == 1.0


def test_strict_says_that_a_jump_has_no_slope():
    found = report(mg.sign, variable(0.0), kinks="strict")
    assert str(found.failures[0]).endswith(
        "jump point. The value jumps here, so that the function has no slope."
    )


def test_ignore_looks_at_no_sides():
    assert report(ARTIFACT, variable(0.0), kinks="ignore").bends == []


@named("kinks", ["verify", "strict", "ignore"])
@named("slope", [-0.5, 0.5, 1.0, 2.0])
def test_another_slope_at_the_kink_than_the_pieces_say_is_wrong(slope, kinks):
    """Also between the slopes on the two sides: the convention is one number."""
    rule = lambda g, y, x: g * mg.where(x == 0, slope, x > 0)  # noqa: E731
    with changed("relu", vjps=(rule,)) as op:
        assert rejects(op, variable([0.0, 1.0]), kinks=kinks)
        assert gradcheck(op, variable([1e-300, 1.0]), kinks=kinks)


@named("kinks", ["verify", "strict", "ignore"])
@named(("share", "right"), [(0.5, True), (0.0, False), (1.0, False), (0.25, False)])
def test_the_share_of_a_tie_is_the_convention_and_no_other(share, right, kinks):
    def rule(mine: Any, other: Any) -> Any:
        return mg.where(mine == other, share, mine > other)

    vjps = (lambda g, y, a, b: g * rule(a, b), lambda g, y, a, b: g * rule(b, a))
    with changed("maximum", vjps=vjps) as op:
        pair = variable([1.0, 2.0]), variable([1.0, 3.0])
        assert rejects(op, *pair, kinks=kinks) != right


# --- near kinks -----------------------------------------------------------------------------------

KNOTS = {
    "relu": (mg.relu, 0.0), "absolute": (mg.absolute, 0.0), "leaky relu": (mg.leaky_relu, 0.0),
    "hardtanh": (mg.hardtanh, 1.0), "relu6": (mg.relu6, 6.0), "hardswish": (mg.hardswish, -3.0),
    "where": (lambda x: mg.where(x > 2, x * x, 4 * x - 4), 2.0),
    "maximum": (lambda x: mg.maximum(x * x, x), 1.0), "norm": (mg.norm, 0.0),
    "max": (lambda x: mg.max(mg.stack([x, -x, x * x])), 0.0),
}  # fmt: skip


@named("beside", [5e-7, -5e-7, 1e-12, -1e-12])
@named(("func", "knot"), KNOTS.values(), ids=KNOTS)
def test_near_a_kink_the_gradient_is_that_of_the_piece(func, knot, beside):
    x = variable(knot + beside)
    assert gradcheck(func, x)
    assert report(func, x).kind == "smooth"
    with doubled() as op:
        flat = mg.grad(func)(x).item() == 0  # of which the double is right
        assert rejects(lambda x: op(func(x)), x) != flat


@named("beside", [5e-7, 1e-12])
def test_near_a_kink_the_slope_of_the_other_piece_is_wrong(beside):
    rule = lambda g, y, x: g * (x > 1e-6)  # noqa: E731
    with changed("relu", vjps=(rule,)) as op:
        assert rejects(op, variable(beside))
        assert gradcheck(op, variable(-beside))


# --- ops of one's own that do not tell of their pieces --------------------------------------------


def bent(slope: float) -> Any:
    """Declare relu without its pieces, and with some slope at 0."""
    rule = lambda g, y, x: g * mg.where(x == 0, slope, x > 0)  # noqa: E731
    return declared(name="bent", kernel=lambda x, out=None: np.maximum(x, 0), vjps=(rule,))


@named(("slope", "right"), [(0, True), (0.3, True), (1, True), (-0.1, False), (1.5, False)])
def test_without_pieces_any_slope_between_the_sides_is_right(slope, right):
    with bent(slope) as op:
        assert rejects(op, variable([0.0, 1.0])) != right
        assert rejects(op, variable(0.0)) != right


def test_without_pieces_slopes_beside_the_kink_are_checked():
    with bent(0) as op:
        assert gradcheck(op, variable([5e-7, -5e-7, 1e-12, -1e-12]))


SHARES = [(0.5, 0.5), (0.25, 0.75), (0.0, 1.0), (0.25, 0.25), (0.0, 0.0), (1.0, 1.0)]


@named(("mine", "others"), SHARES)
def test_without_pieces_the_shares_of_a_tie_must_add_up_to_one(mine, others):
    """max(t, t) is t: along the diagonal there is no kink, and the slope is 1."""

    def share(a: Any, b: Any, at_tie: float) -> Any:
        return mg.where(a == b, at_tie, a > b)

    with declared(
        name="larger", kernel=lambda a, b, out=None: np.maximum(a, b),
        vjps=(
            lambda g, y, a, b: g * share(a, b, mine),
            lambda g, y, a, b: g * share(b, a, others),
        ),
        domains=(mg.Domain(), mg.Domain()), signature="(),()->()",
    ) as op:  # fmt: skip
        assert rejects(op, variable(1.0), variable(1.0)) == (mine + others != 1)


# --- second and third derivatives -----------------------------------------------------------------

SMOOTH = {
    "tanh": mg.tanh, "exp": mg.exp, "cube": lambda x: x**3, "softplus": mg.softplus,
    "softmax": mg.softmax, "ratio": lambda x: x / (1 + x * x), "logsumexp": mg.logsumexp,
    "linear": lambda x: 3 * x, "constant": lambda x: mg.tensor(3.0), "relu": mg.relu,
    "square of relu": lambda x: mg.relu(x) ** 2, "maximum": lambda x: mg.maximum(x**2, x),
}  # fmt: skip


@named("func", SMOOTH.values(), ids=SMOOTH)
@named("at", [[0.5, -2.0, 1.25], [0.0, 1.0, 1.0]], ids=["anywhere", "kinks and ties"])
def test_second_and_third_derivatives_are_right(func, at):
    assert gradcheck(func, variable(at), order=2)
    assert gradcheck(func, variable(at), order=3)
    assert gradgradcheck(func, variable(at))


def test_a_fault_of_second_order_only_is_found_there():
    """The slope of x**3 as a constant: right values, no slope of its own."""

    def rule(g: Any, y: Any, x: Any) -> Any:
        return g * np.asarray(3 * np.square(np.asarray(x)))

    with declared(name="cube", kernel=lambda x, out=None: x * x * x, vjps=(rule,)) as op:
        x = variable([0.5, -2.0])
        assert gradcheck(op, x)
        assert rejects(op, x, order=2)
        assert not gradgradcheck(op, x, raise_exception=False)


def test_a_fault_of_third_order_only_is_found_there():
    def second(g: Any, y: Any, x: Any) -> Any:
        return g * np.asarray(6 * np.asarray(x))

    with (
        declared(name="slope", kernel=lambda x, out=None: 3 * x * x, vjps=(second,)) as slope,
        declared(
            name="cube", kernel=lambda x, out=None: x * x * x,
            vjps=(lambda g, y, x: g * slope(x),),
        ) as op,
    ):  # fmt: skip
        x = variable([0.5, -2.0])
        assert gradcheck(op, x, order=2)
        assert rejects(op, x, order=3)


def test_the_report_of_a_second_order_fault_says_the_order():
    with passing(lambda g, y, x: g * (1 + 0 * np.asarray(x))) as right:
        assert gradcheck(right, variable([0.5]), order=2)

    def rule(g: Any, y: Any, x: Any) -> Any:
        return 2 * g * np.asarray(x)

    with declared(name="own_square", kernel=lambda x, out=None: x * x, vjps=(rule,)) as op:
        found = report(op, variable([0.5]), order=2)
    assert found.mode == "selection check of order 2, float64"
    assert found.op == "own_square, call 0 of 1, on shapes (1,)"


# --- gradgradcheck --------------------------------------------------------------------------------


WEIGHTS = {
    "None": None, "an array": np.ones(2), "a list of one": [np.ones(2)],
    "a Tensor": mg.tensor([1.0, -3.0]), "integers": [np.array([2, 3])], "numbers": [[2, 3]],
}  # fmt: skip


@named("grad_outputs", WEIGHTS.values(), ids=WEIGHTS)
def test_results_may_be_weighted_as_the_caller_likes(grad_outputs):
    assert gradgradcheck(mg.tanh, variable([0.5, -2.0]), grad_outputs)


@named(
    ("given", "shapes"),
    [(np.ones(3), "(3,)"), (np.ones(1), "(1,)"), ([np.ones(2)] * 2, "(2,), (2,)")],
    ids=["longer", "broadcast", "two"],
)
def test_weights_that_do_not_fit_are_refused(given, shapes):
    message = (
        rf"gradgradcheck: grad_outputs of shapes {shapes} were given; the function has results of "
        "floats of shapes (2,), and each needs one. Leave them out to have them drawn."
    )
    with pytest.raises(ShapeError) as error:
        gradgradcheck(mg.tanh, variable([0.5, -2.0]), given)
    assert str(error.value) == message


def test_each_of_several_results_has_weights():
    func = lambda x: (mg.tanh(x), mg.argmax(x), mg.exp(x).sum())  # noqa: E731
    assert gradgradcheck(func, variable([0.5, -2.0]))
    assert gradgradcheck(func, variable([0.5, -2.0]), [np.ones(2), np.array(3.0)])


def test_gradgradcheck_is_reproducible():
    x = variable(np.linspace(-1, 1, 200))
    errors = []
    for _ in range(2):
        with declared(
            name="own_cube", kernel=lambda x, out=None: x * x * x,
            vjps=(lambda g, y, x: 3 * g * np.square(np.asarray(x)),),
        ) as op, pytest.raises(AssertionError) as error:  # fmt: skip
            gradgradcheck(op, x, rng=5)
        errors.append(str(error.value))
    assert errors[0] == errors[1]
