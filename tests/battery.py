"""The battery: what every op must satisfy, drawn from its record.

Each check takes an op and one call of it, and raises AssertionError if the op fails. So that the
checks are known to be able to fail, tests/test_the_tests.py runs them on ops with planted faults.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

import microgrid as mg
from microgrid.core import Op
from microgrid.pieces import least_norm
from microgrid.testing.strategies import OpCall, op_calls

STEP = 1e-6


class Call(OpCall):
    """A call drawn from the record of an op, and a seed for what else is random in a check."""

    def __init__(self, op: Op, inputs: Any, params: dict[str, Any], seed: int) -> None:
        super().__init__(op, inputs, params)
        self.seed = seed

    def value(self) -> np.ndarray:
        """Return what the kernel gives."""
        return np.asarray(self.op.kernel(*self.inputs, **self.params))

    def cast(self, dtype: Any) -> Call:
        """Return the call with inputs of another float dtype."""
        inputs = [a.astype(dtype) if a.dtype.kind == "f" else a for a in self.inputs]
        return Call(self.op, inputs, self.params, self.seed)

    def contiguous(self) -> Call:
        """Return the call with the inputs as NumPy makes them: in C order, in memory of their own.

        A view with other strides may be summed in another order, and a reshape must copy it.
        """
        return Call(self.op, [a.copy() for a in self.inputs], self.params, self.seed)

    def random(self, shape: tuple[int, ...], dtype: Any = np.float64, tag: int = 0) -> np.ndarray:
        rng = np.random.default_rng([self.seed, tag])
        return np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape)).astype(dtype)

    def __repr__(self) -> str:
        return f"{super().__repr__()} with seed {self.seed}"


@functools.lru_cache(maxsize=256)
def calls(op: Op, **options: Any) -> Any:
    """Return a strategy of legal calls of the op, with the options of `op_calls`."""
    drawn = st.tuples(op_calls(op, **options), st.integers(0, 2**32 - 1))
    return drawn.map(lambda pair: Call(op, pair[0].inputs, pair[0].params, pair[1]))


# --- values --------------------------------------------------------------------------------------


def check_value(op: Op, call: Call) -> None:
    """The kernel's value is that of the independent reference."""
    assert op.reference is not None, f"{op.name} has no reference"
    if op.signature in ("()->()", "(),()->()", "(),(),()->()"):
        expected = np.array(
            [
                op.reference(*(v.item() for v in values), **call.params)
                for values in np.nditer(call.inputs, flags=["zerosize_ok"], order="C")
            ]
            if len(call.inputs) > 1
            else [op.reference(v, **call.params) for v in call.inputs[0].ravel().tolist()]
        ).reshape(np.broadcast_shapes(*(a.shape for a in call.inputs)))
    else:
        expected = np.asarray(op.reference(*call.inputs, **call.params))
    value = call.value()
    assert value.shape == expected.shape, f"{op.name}: shape {value.shape}, not {expected.shape}"
    if value.dtype.kind in "bi":
        np.testing.assert_array_equal(value, expected)
        return
    # A few roundings of each side, of sums of up to 27 terms below 10 in size; float32 results
    # (of astype and one_hot) are exact roundings of the reference.
    tolerance = 1e-12 if value.dtype == np.float64 else 1e-7
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


def check_same_from_tensors(op: Op, call: Call) -> None:
    """A Tensor among the inputs changes nothing but the type of the result."""
    call = call.contiguous()
    plain = op(*call.inputs, **call.params)
    tensors = op(*map(mg.tensor, call.inputs), **call.params)
    assert isinstance(plain, (np.ndarray, np.generic))
    assert isinstance(tensors, mg.Tensor)
    assert tensors.dtype == plain.dtype
    np.testing.assert_array_equal(tensors.data, plain)


# --- gradients -----------------------------------------------------------------------------------


def check_gradient(op: Op, call: Call) -> int:
    """The rules agree with finite differences; return how many slopes were compared.

    Where there is no rule the slope must be 0.
    """
    if call.value().dtype != np.float64:
        return 0
    weights = call.random(call.value().shape)

    def loss(*arrays: np.ndarray) -> float:
        return float(np.sum(weights * np.asarray(op.kernel(*arrays, **call.params))))

    if _differentiates(op, call):
        grads = _first_order(op, call, call.inputs, weights)
    else:
        grads = [None] * len(call.inputs)
    slopes = [
        np.zeros(a.shape) if g is None and a.dtype.kind == "f" else g
        for a, g in zip(call.inputs, grads, strict=True)
    ]
    return _compare(op, call.inputs, slopes, loss)


def check_second_gradient(op: Op, call: Call) -> int:
    """The rules of the rules agree with finite differences of the rules."""
    if not _is_double(op, call):
        return 0
    weights = call.random(call.value().shape)
    arrays = [weights, *call.inputs]  # the rules are functions of the incoming gradient too
    floats = _float_inputs(op, call)
    directions = [call.random(call.inputs[i].shape, tag=i + 1) for i in floats]

    def slopes_along(*values: np.ndarray) -> float:
        grads = _first_order(op, call, list(values[1:]), values[0])
        return float(sum(np.sum(d * grads[i]) for d, i in zip(directions, floats, strict=True)))

    tensors = [mg.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y = op(*tensors[1:], **call.params)
    xs = [tensors[1 + i] for i in floats]
    first = mg.gradients(y, xs, tensors[0], create_graph=True)
    total = sum(
        ((mg.tensor(d) * g).sum() for d, g in zip(directions, first, strict=True)), mg.tensor(0.0)
    )
    seconds: list[Any] = [None] * len(arrays)
    wanted = [0, *(1 + i for i in floats)]
    if total.requires_grad:
        found = mg.gradients(total, [tensors[i] for i in wanted])
    else:
        found = [mg.zeros_like(tensors[i]) for i in wanted]
    for i, g in zip(wanted, found, strict=True):
        seconds[i] = g.data
    return _compare(op, arrays, seconds, slopes_along)


def _float_inputs(op: Op, call: Call) -> list[int]:
    rules = op.rules(len(call.inputs))
    return [i for i, a in enumerate(call.inputs) if a.dtype.kind == "f" and rules[i] is not None]


def _differentiates(op: Op, call: Call) -> bool:
    return bool(op.has_gradient and _float_inputs(op, call) and call.value().dtype.kind == "f")


def _is_double(op: Op, call: Call) -> bool:
    return _differentiates(op, call) and call.value().dtype == np.float64


def _first_order(op: Op, call: Call, arrays: list[np.ndarray], weights: np.ndarray) -> list[Any]:
    tensors = [mg.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y = op(*tensors, **call.params)
    y.backward(weights.astype(y.dtype))
    rules = op.rules(len(arrays))
    for x, a, rule in zip(tensors, arrays, rules, strict=True):
        if x.requires_grad and rule is not None:
            assert x.grad is not None, f"{op.name}: an input got no gradient"
            assert x.grad.shape == a.shape, f"{op.name}: gradient {x.grad.shape} for {a.shape}"
            assert x.grad.dtype == a.dtype, f"{op.name}: gradient {x.grad.dtype} for {a.dtype}"
    return [x.grad for x in tensors]


def _compare(op: Op, arrays: list[np.ndarray], grads: list[Any], loss: Any) -> int:
    """Compare every slope with differences of `loss`, but where its two one-sided slopes differ."""
    if not any(a.size for a in arrays):
        return 0
    here = loss(*arrays)
    compared = 0
    for i, grad in enumerate(grads):
        if grad is None:
            continue
        for place in np.ndindex(arrays[i].shape):
            right, left = _sides(arrays, i, place, loss, here, STEP)
            central = (right + left) / 2
            scale = 1 + abs(central) + abs(here)
            if not abs(right - left) < 1e-4 * scale or abs(right) > 1e4 * (1 + abs(here)):
                continue  # a kink or a jump: check_kinks tells what the slope must be there
            # The curvature may jump (elu): that shifts the mean of the two sides by a step's share.
            if not abs(central - grad[place]) < 2e-6 * scale:
                wider = sum(_sides(arrays, i, place, loss, here, 2 * STEP)) / 2
                if abs(wider - central) > abs(central) / 4:
                    continue  # jumps that nearly cancel: a jump over twice the way is half as steep
                raise AssertionError(
                    f"{op.name}: input {i} at {place}: rule {grad[place]}, differences {central}"
                )
            compared += 1
    return compared


def _sides(
    arrays: list[np.ndarray], i: int, place: Any, loss: Any, here: float, step: float
) -> tuple[float, float]:
    """Return the slopes to the right and to the left along one element of input i."""
    moved = [a.copy() if j == i else a for j, a in enumerate(arrays)]
    slopes = []
    for signed in (step, -step):
        moved[i][place] = arrays[i][place] + signed
        slopes.append((loss(*moved) - here) / (moved[i][place] - arrays[i][place]))
    return slopes[0], slopes[1]


# --- kinks ---------------------------------------------------------------------------------------


def check_kinks(op: Op, params: dict[str, Any]) -> None:
    """Values and slopes follow the pieces exactly, at each knot and between them."""
    assert op.pieces is not None
    pieces = op.pieces(**params)
    for dtype in (np.float64, np.float32, np.float16, object):
        expected = dict(_expected_slopes(pieces))
        points = [Fraction(x) if dtype is object else dtype(x) for x in expected]
        if 0 in expected and dtype is not object:
            points.append(dtype(-0.0))
        for x in points:
            t = mg.tensor(np.array(x, dtype), requires_grad=True)
            y = op(t, **params)
            y.backward()
            slope = expected[Fraction(x) if dtype is object else float(x)]
            want = slope if dtype is object else dtype(slope)
            assert t.grad == want, (
                f"{op.name}{params} in {dtype}: slope {t.grad} at {x}, not {slope}"
            )
            assert least_norm_is_inside(pieces, float(x), slope)
    _check_continuity(op, params, pieces)


def _expected_slopes(pieces: Any) -> Any:
    knots = pieces.knots
    for knot, left, right in zip(knots, pieces.slopes, pieces.slopes[1:], strict=False):
        yield float(knot), least_norm(left, right)
    middles = [(a + b) / 2 for a, b in pairwise(knots)]
    outside = [knots[0] - 1, *middles, knots[-1] + 1] if knots else [0]
    yield from zip(map(float, outside), pieces.slopes, strict=True)


def least_norm_is_inside(pieces: Any, x: float, slope: Any) -> bool:
    """Return whether the slope lies between those on the two sides of x, and none is nearer 0."""
    left = pieces.slopes[sum(float(k) < x for k in pieces.knots)]
    right = pieces.slopes[sum(float(k) <= x for k in pieces.knots)]
    low, high = min(left, right), max(left, right)
    nearest = 0 if low <= 0 <= high else min(abs(low), abs(high))
    return bool(low <= slope <= high and abs(slope) == nearest)


def _check_continuity(op: Op, params: dict[str, Any], pieces: Any) -> None:
    """The values a step to each side of every knot follow from the slopes, in exact arithmetic."""
    step = Fraction(1, 1024)
    if any(float(s) != Fraction(s) for s in pieces.slopes):
        return
    for knot, left, right in zip(pieces.knots, pieces.slopes, pieces.slopes[1:], strict=False):
        knot = Fraction(knot)
        at = [op(np.array(x, object), **params) for x in (knot - step, knot, knot + step)]
        low, mid, high = (Fraction(v.item() if isinstance(v, np.ndarray) else v) for v in at)
        assert mid - low == Fraction(left) * step, f"{op.name}{params}: value left of {knot}"
        assert high - mid == Fraction(right) * step, f"{op.name}{params}: value right of {knot}"


# --- dtypes, memory, flags -----------------------------------------------------------------------


def check_dtype(op: Op, call: Call, dtype: Any) -> None:
    """Floats keep their dtype, forward and backward, and the value is the float64 one, rounded."""
    wide, narrow = call.value(), call.cast(dtype)
    if wide.dtype.kind != "f" or "dtype" in call.params:
        return
    y = narrow.value()
    assert y.dtype == dtype, f"{op.name}: {np.dtype(dtype)} became {y.dtype}"
    if _differentiates(op, narrow):
        _first_order(op, narrow, narrow.inputs, narrow.random(y.shape, dtype))
    same = narrow.cast(np.float64).value()  # of the rounded inputs
    if op.name in ("direction", "sign", "preference", "shares"):
        return np.testing.assert_allclose(y, same, rtol=np.finfo(dtype).eps)
    # A chain of some tens of roundings, of intermediate results up to a hundred times the last one.
    unit = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(y.astype(float), same, rtol=50 * unit, atol=300 * unit)


def check_inputs_untouched(op: Op, call: Call) -> None:
    """No kernel and no rule writes to its inputs: they may be read-only."""
    before = [a.copy() for a in call.inputs]
    writeable = [a for a in call.inputs if a.flags.writeable]  # broadcast views are not
    for a in writeable:
        a.flags.writeable = False
    try:
        y = np.asarray(op.kernel(*call.inputs, **call.params))
        if _differentiates(op, call):
            g = call.random(y.shape, y.dtype)
            g.flags.writeable = False
            with np.errstate(all="ignore"):  # as in a backward pass
                for rule in op.rules(len(call.inputs)):
                    if rule is not None:
                        rule(g, y, *call.inputs, **call.params)
    finally:
        for a in writeable:
            a.flags.writeable = True
    for a, b in zip(call.inputs, before, strict=True):
        np.testing.assert_array_equal(a, b)


def check_out(op: Op, call: Call) -> None:
    """`out=` receives the result, bit for bit, and is what the kernel returns."""
    y = call.value()
    out = np.empty_like(y)
    out.fill(np.array(7).astype(y.dtype))
    returned = op.kernel(*call.inputs, out=out, **call.params)
    assert returned is out, f"{op.name}: out= was not returned"
    np.testing.assert_array_equal(out, y)


def check_flags(op: Op, call: Call) -> None:
    """in_place and view say what the kernel does."""
    call = call.contiguous()
    y = call.value()
    shared = any(np.shares_memory(y, a) for a in call.inputs)
    assert shared == (op.view and y.size > 0), f"{op.name}: view={op.view}, but shared={shared}"
    if not op.in_place:
        return
    for i, a in enumerate(call.inputs):
        if a.shape == y.shape and a.dtype == y.dtype:
            arrays = [b.copy() if j == i else b for j, b in enumerate(call.inputs)]
            op.kernel(*arrays, out=arrays[i], **call.params)
            # Where memory overlaps NumPy takes another loop: x ** -1 is then no division, and may
            # differ in the last place.
            unit = np.finfo(y.dtype).eps if y.dtype.kind == "f" else 0
            message = f"{op.name}: in place over input {i}"
            np.testing.assert_allclose(arrays[i], y, rtol=unit, err_msg=message)


def check_documentation(op: Op) -> None:
    """The record says in sentences what it computes, and as a formula."""
    assert op.doc.strip().endswith("."), f"{op.name}: doc is no sentence"
    assert op.formula, f"{op.name}: no formula"
    assert op.reference is not None, f"{op.name}: no reference"
