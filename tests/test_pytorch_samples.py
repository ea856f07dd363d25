"""PyTorch's own samples of its operators: values and gradients of both libraries must agree.

PyTorch keeps a database of its operators, `op_db`, with arguments to test each of them. Every
sample that microgrid has the words for (pytorch_twins.py) runs through both. What differs on
purpose is in pytorch_differences.py with its reason, and is shown to be so at one point. Without
PyTorch, or without what its database needs (expecttest), these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import inspect
import random
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from pytorch_differences import DIFFERENCES, NO_SECOND_DERIVATIVE, SINGLE_PRECISION, Difference
from pytorch_twins import BINARY, GIVEN, LACKS, TWINS, Lacking

import microgrid as mg

if importlib.util.find_spec("torch") is None:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

# Numbers agree to this, relative to themselves or, where terms cancel, to 1 % of the largest. The
# worst in four draws were 7e-12, a second derivative of logsumexp at 1400, where PyTorch's weights
# are exp(x - y), and 1.4e-4, a cross-entropy with weights of both signs. Most others reach 1e-14
# and 1e-5: the two add up in different orders.
TOLERANCE = {"float64": 1e-10, "float32": 5e-4}

# Of results: PyTorch rounds float64 to float16 by way of float32, which can be one unit off.
OF_RESULT = {**TOLERANCE, "float16": 1e-3}

# The larger samples differ from the others in nothing else.
MOST_ELEMENTS = 40_000

CONSTANT = {"argmax", "argmin", "eq", "ge", "gt", "isfinite", "le", "lt", "ne"}
CONSTANT |= {"nn.functional.one_hot"}

# PyTorch fails to draw their reference samples: it asks for gradients of integers.
ONLY_COMMON_SAMPLES = {"clamp", "where"}

# Ops of microgrid that no sample goes through: PyTorch has none of the kind.
ONLY_HERE = {"piecewise_linear"}


# --- the samples ---------------------------------------------------------------------------------


@cache
def load() -> dict[str, Any] | str:
    """Return PyTorch's operators by name, or why they cannot be had."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        # It would load settings for hypothesis that then hold for every other test.
        patch.setitem(sys.modules, "hypothesis", None)
        try:
            from torch.testing._internal.common_methods_invocations import op_db
        except ImportError as error:
            return f"PyTorch's operators and their samples cannot be imported: {error}"
    return {f"{op.name}.{op.variant_test_name}".rstrip("."): op for op in op_db}


@pytest.fixture
def operators() -> dict[str, Any]:
    found = load()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@contextmanager
def seeded_generators() -> Iterator[None]:
    """Seed the global generators that PyTorch draws samples from, and put them back afterwards."""
    import torch

    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        yield
    random.setstate(state)
    np.random.set_state(numpy_state)  # noqa: NPY002


@dataclass
class Call:
    """One sample as arguments of both, and its tensors that require a gradient."""

    name: str
    theirs: tuple[Any, Any]
    ours: tuple[Any, Any]
    leaves: list[tuple[Any, mg.Tensor]]

    def __str__(self) -> str:
        return f"{self.name}{self.ours[0]} {self.ours[1]}"


def calls(name: str, dtype: str, reference: bool = False) -> Iterator[Call]:
    """Yield the samples of an op.

    The reference samples are the common ones and more: other strides, zeros, ties, huge numbers,
    infinities and nan.
    """
    import torch

    op, kind = load()[name], getattr(torch, dtype)
    kind = kind if kind in op.dtypes else torch.int64
    wanted = op.supports_autograd and kind.is_floating_point
    # Not by op.sample_inputs(), which inspects the stack of calls and seeds anew for each sample.
    draw = (op.reference_inputs_func if reference else None) or op.sample_inputs_func
    with seeded_generators():
        samples = list(draw(op, "cpu", kind, wanted))
    for sample in samples:
        args = [sample.input, *sample.args]
        if name == "nn.functional.cross_entropy" and args[1].is_floating_point():
            total = args[1].detach().sum(1, keepdim=True)
            args[1] = args[1] / total  # microgrid wants probabilities that sum to 1
        yield call_of(name, args, sample.kwargs)


def call_of(name: str, args: list[Any], options: dict[str, Any]) -> Call:
    import torch

    leaves: list[tuple[Any, mg.Tensor]] = []

    def both(argument: Any) -> tuple[Any, Any]:
        if isinstance(argument, torch.Tensor):
            theirs = argument.detach().requires_grad_(argument.requires_grad)
            ours = mg.tensor(argument.detach().numpy(), requires_grad=argument.requires_grad)
            if argument.requires_grad:
                leaves.append((theirs, ours))
            return theirs, ours
        if isinstance(argument, (list, tuple)):
            pairs = [both(item) for item in argument]
            return type(argument)(p[0] for p in pairs), type(argument)(p[1] for p in pairs)
        return argument, argument

    theirs, ours = both(args)
    given = GIVEN.get(name, {})
    pairs = {key: both(value) for key, value in options.items() if key not in given}
    their_options, our_options = ({key: p[side] for key, p in pairs.items()} for side in (0, 1))
    return Call(name, (theirs, their_options | given), (ours, our_options), leaves)


def refuse(call: Call) -> None:
    """Raise Lacking if the sample cannot run for a reason that is not its op's own."""
    args, options = call.ours
    known = inspect.signature(TWINS[call.name]).parameters
    for argument in LACKS.intersection(options) - set(known):
        raise Lacking(f"the argument {argument}")
    tensors = [x for x in args if isinstance(x, (mg.Tensor, list, tuple))]
    if not tensors or (call.name.startswith("__r") and isinstance(args[0], float)):
        raise Lacking("numbers in place of tensors")
    if sum(x.size for x in tensors if isinstance(x, mg.Tensor)) > MOST_ELEMENTS:
        raise Lacking("large samples")


def results(call: Call) -> list[tuple[Any, mg.Tensor]]:
    """Return the results of both, pairwise.

    Raises:
        Lacking: microgrid has no words for the sample.
    """
    refuse(call)
    with np.errstate(all="ignore"):  # NumPy warns of inf - inf and of overflow, PyTorch does not
        ours = TWINS[call.name](*call.ours[0], **call.ours[1])
    theirs = load()[call.name].op(*call.theirs[0], **call.theirs[1])
    if call.name.endswith("reduction_with_dim"):
        theirs = theirs.values  # and not the indices
    if isinstance(ours, mg.Tensor):
        return [(theirs, ours)]
    return list(zip(theirs, ours, strict=True))


# --- the comparison ------------------------------------------------------------------------------


def plain(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().numpy(force=True))


def agree(what: str, call: Call, theirs: Any, ours: Any, tolerance: float, **scope: Any) -> None:
    """Assert that both are equal but for rounding, except where the mask `but` is True.

    `scale` is the size of numbers that were added up, where it can be that of none of the results.
    """
    a, b = np.asarray(ours), plain(theirs)
    assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{what} of {call}"
    but = scope.get("but")
    if but is not None and but.any():
        a, b = a[~shrunk(but, a.shape)], b[~shrunk(but, a.shape)]
    finite = np.abs(b[np.isfinite(b)]) if a.dtype.kind == "f" else np.zeros(())
    slack = tolerance * max(finite.max(initial=0), scope.get("scale", 0)) / 100
    if not np.allclose(a, b, tolerance, slack, equal_nan=True):
        np.testing.assert_allclose(a, b, tolerance, slack, err_msg=f"{what} of {call}")


def shrunk(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return whether the mask holds anywhere that an operand of this shape was repeated to."""
    mask = mask.any(tuple(range(mask.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1)
    return np.broadcast_to(mask.any(repeated, keepdims=True), shape)


def differing(call: Call, values: bool = False) -> np.ndarray | None:
    """Return where this call is known to differ, in slopes or in values too."""
    found = [d.where for d in DIFFERENCES if call.name in d.ops and (d.values or not values)]
    if not any(found):
        return None
    count = 1 + (call.name in BINARY)
    operands = [np.asarray(x) for x in (*call.ours[0], *call.ours[1].values())[:count]]
    with np.errstate(all="ignore"):
        return np.logical_or.reduce([where(*operands) for where in found if where is not None])


def upstream(tensors: list[mg.Tensor], seed: int) -> tuple[list[np.ndarray], float]:
    """Return a random gradient for each, and the size of the largest number in them."""
    rng = np.random.default_rng(seed)
    drawn = [np.asarray(rng.standard_normal(x.shape)).astype(x.dtype) for x in tensors]
    return drawn, max((np.abs(g).max(initial=0) for g in drawn), default=0)


@dataclass
class Tally:
    """What came of an op's samples: how many ran, why others did not, by which ops they ran."""

    ran: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    ops: set[str] = field(default_factory=set)


@cache
def compare(name: str, dtype: str) -> Tally:
    """Compare the values and gradients of all samples of an op."""
    tally = Tally()
    for i, call in enumerate(calls(name, dtype, reference=name not in ONLY_COMMON_SAMPLES)):
        try:
            pairs = results(call)
        except Lacking as reason:
            tally.skipped[str(reason)] += 1
            continue
        tally.ran += 1
        for theirs, ours in pairs:
            tolerance = OF_RESULT.get(str(ours.dtype), 0)
            agree("value", call, theirs, ours, tolerance, but=differing(call, values=True))
            assert ours.requires_grad == theirs.requires_grad, str(call)
            tally.ops |= ops_of(ours)
        pairs = [pair for pair in pairs if pair[1].requires_grad]
        if pairs:
            least = 1e-7 if name in SINGLE_PRECISION else 0
            compare_gradients(call, pairs, max(least, TOLERANCE[dtype]), seed=i)
    return tally


def compare_gradients(
    call: Call, pairs: list[tuple[Any, mg.Tensor]], tolerance: float, seed: int
) -> None:
    import torch

    gs, size = upstream([y for _, y in pairs], seed)
    for (theirs, ours), g in zip(pairs, gs, strict=True):
        theirs.backward(torch.from_numpy(g), retain_graph=True)
        ours.backward(g, retain_graph=True)
    for theirs, ours in call.leaves:
        but = differing(call)
        agree("gradient", call, theirs.grad, ours.grad, tolerance, but=but, scale=size)


def ops_of(result: mg.Tensor) -> set[str]:
    """Return the names of the ops that a result was computed by."""
    names, stack = set(), [result]
    while stack:
        node = stack.pop()
        stack += node.inputs or ()
        if node.op is not None:
            names.add(node.op.name)
    return names


def compare_second(call: Call, seed: int) -> None:
    """Compare what multiplies random directions in the gradients of the gradients.

    Raises:
        Lacking: microgrid has no words for the sample.
    """
    import torch

    their_ys, our_ys = zip(*results(call), strict=True)
    their_xs, our_xs = (list(side) for side in zip(*call.leaves, strict=True))
    gs, _ = upstream(our_ys, seed)
    directions, size = upstream(our_xs, seed + 1)
    their_gs = [torch.from_numpy(g).requires_grad_() for g in gs]
    our_gs = [mg.tensor(g, requires_grad=True) for g in gs]

    zeros = {"allow_unused": True, "materialize_grads": True}
    theirs = torch.autograd.grad(their_ys, their_xs, their_gs, create_graph=True, **zeros)
    # Neither slope need depend on anything, as that of sign does not: 0 makes them differentiable.
    their_slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for g, d in zip(theirs, directions, strict=True):
        their_slope = their_slope + (g * torch.from_numpy(d)).sum()
    expected = torch.autograd.grad(their_slope, their_xs + their_gs, **zeros)

    our_slope = mg.tensor(0.0, requires_grad=True)
    for y, g in zip(our_ys, our_gs, strict=True):
        ours = mg.gradients(y, our_xs, g, create_graph=True)
        our_slope += sum((g * d).sum() for g, d in zip(ours, directions, strict=True))
    found = mg.gradients(our_slope, our_xs + our_gs)
    for a, b in zip(expected, found, strict=True):
        agree("second derivative", call, a, b, TOLERANCE["float64"], scale=size)


# --- the tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", TWINS)
def test_values_and_gradients_agree(name: str, dtype: str, operators: dict[str, Any]) -> None:
    tally = compare(name, dtype)
    assert tally.ran, f"no sample of {name} ran: {dict(tally.skipped)}"


@pytest.mark.parametrize("name", sorted(set(TWINS) - CONSTANT - NO_SECOND_DERIVATIVE))
def test_second_derivatives_agree(name: str, operators: dict[str, Any]) -> None:
    ran = 0
    for i, call in enumerate(calls(name, "float64")):
        try:
            compare_second(call, seed=i)
            ran += 1
        except Lacking:
            continue
    assert ran, f"no sample of {name} ran"


def test_thousands_of_samples_ran(operators: dict[str, Any], record_property: Any) -> None:
    tallies = [compare(name, "float64") for name in TWINS]
    ran, skipped = sum(t.ran for t in tallies), sum((t.skipped for t in tallies), Counter())
    print(f"{ran} samples of {len(TWINS)} operators ran; not offered: {dict(skipped)}")
    record_property("samples", ran)
    assert ran > 4000


def test_every_op_with_a_gradient_was_compared(operators: dict[str, Any]) -> None:
    compared = set().union(*(compare(name, "float64").ops for name in TWINS))
    known = {name for name, op in mg.OPS.items() if op.has_gradient and not op.private}
    assert not known - compared - ONLY_HERE, "give them a twin, or list them as only here"


@pytest.mark.parametrize(("name", "difference"), [(n, d) for d in DIFFERENCES for n in d.ops])
def test_difference_is_as_stated(name: str, difference: Difference, operators: Any) -> None:
    import torch

    args = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in difference.at]
    call = call_of(name, args, difference.options)
    ((theirs, ours),) = results(call)
    theirs.sum().backward()
    ours.sum().backward()
    their_leaf, our_leaf = call.leaves[difference.towards]
    np.testing.assert_array_equal(our_leaf.grad.flat[0], difference.ours)
    if torch.__version__.startswith("2.13."):
        slope = plain(their_leaf.grad).flat[0]
        assert np.isclose(slope, difference.theirs, rtol=1e-7, equal_nan=True).any()
