"""Faults, planted in the compiler, are found by the comparisons with eager code: they can fail."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_compile_held as held
import test_compile_live as live
import test_compile_plan as plans
import test_compile_training as grid
from compiled import World, check_live, trained
from hypothesis import HealthCheck, Phase, given, settings
from test_compile_programs import check_program
from test_compile_updates import never_zeroing

import microgrid as mg
from microgrid.compiler import emit, guards, passes, plan
from microgrid.compiler.program import Call, Program
from microgrid.compiler.replays import Replay
from microgrid.compiler.trace import Tracer
from microgrid.testing.strategies import programs

Patch = pytest.MonkeyPatch


@settings(
    max_examples=100, database=None, phases=[Phase.generate], report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(program=programs())
def random_programs(program: Any) -> None:
    check_program(program, seed=0)


def training() -> None:
    grid.test_compiled_training_is_eager_training("Tanh", "mse", "momentum", "float32")


def accumulation() -> None:
    assert check_live(lambda w: trained(w, never_zeroing), args=BATCH) is None


def one_gradient_of_two() -> None:
    def build(w: World) -> Any:
        w.p, w.q = (mg.tensor(np.ones(3), requires_grad=True) for _ in range(2))
        w.optimizer = mg.optim.SGD([w.p, w.q], lr=0.1)
        w.seen = lambda: [w.p.data, w.q.data, w.p.grad, w.q.grad]

        def step(x: Any) -> Any:
            w.optimizer.zero_grad()
            loss = ((w.p + w.q) * x).sum()
            loss.backward()
            w.optimizer.step()
            return loss

        return step

    assert check_live(build, args=(mg.ones(3),)) is None


def held_data() -> None:
    held.test_what_is_held_shows_what_eager_code_shows(never_zeroing, 0, held.HOLDS["data"])


def live_number() -> None:
    live.test_a_number_that_changes_is_seen(live.cell)


def reading() -> None:
    with pytest.raises(mg.errors.TraceError):
        mg.compile(lambda x: x * float(x))(mg.tensor(2.0))


def drawing() -> None:
    def build(w: World) -> Any:
        draw = itertools.count().__next__  # whose state nobody can look at
        return lambda x: x + np.full(3, draw())

    check_live(build, args=(mg.zeros(3),))


def difference() -> None:
    x = mg.tensor([1.0, 2.0])
    step = mg.compile(lambda x: mg.exp(x) - x)
    for _ in range(3):
        assert np.array_equal(step(x).data, (mg.exp(x) - x).data)


BATCH = (np.ones((2, 2), np.float32), np.zeros((2, 1), np.float32))


def replaced(word: str, change: Callable[[Program], int]) -> Callable[[Patch], None]:
    """Return a fault: what a pass does in place of what it should."""
    return lambda patch: patch.setitem(passes.PASSES, word, change)


def drop_products(program: Program) -> int:
    """Leave out products with any constant, not only with 1."""
    renamed: dict[Any, Any] = {}
    kept = []
    for line in program.lines:
        passes.rename(line, renamed, {})
        if isinstance(line, Call) and line.op.name == "multiply":
            for constant, other in (line.inputs, line.inputs[::-1]):
                if constant.kind == "constant" and other.shape == line.result.shape:
                    renamed[line.result] = other
                    break
            else:
                kept.append(line)
        else:
            kept.append(line)
    program.lines = kept
    program.outputs = [renamed.get(v, v) for v in program.outputs]
    program.gradients = {
        leaf: None if v is None else renamed.get(v, v) for leaf, v in program.gradients.items()
    }
    return 1


def drop_updates(program: Program) -> int:
    """Leave out what changes parameters."""
    program.lines = [line for line in program.lines if isinstance(line, Call)]
    return 1


def turn_around(program: Program) -> int:
    """Exchange the operands of differences."""
    for line in program.calls():
        a, b = line.inputs[0], line.inputs[-1]
        if line.op.name in ("subtract", "divide", "matmul") and a.shape == b.shape:
            line.inputs = (b, a)
    return 1


def forget_too_early(patch: Patch) -> None:
    right = plan._last_uses

    def wrong(program: Program) -> Any:
        return {value: max(line - 1, 0) for value, line in right(program).items()}

    patch.setattr(plan, "_last_uses", wrong)


def let_all_pass(patch: Patch) -> None:
    """Believe in the second trace whatever it is."""
    patch.setattr(Replay, "confirm", lambda self, *_: setattr(self, "confirmed", True))


def same(name: str, value: Any, owner: Any) -> Callable[[Patch], None]:
    """Return a fault: a function that always returns the same."""
    return lambda patch: patch.setattr(owner, name, lambda *args, **options: value)


# What is wrong, and which of the comparisons must find it.
FAULTS: dict[str, tuple[Callable[[Patch], None], Callable[[], None]]] = {
    "products dropped": (replaced("skipped", drop_products), random_programs),
    "updates dropped": (replaced("pruned", drop_updates), training),
    "operands exchanged": (replaced("folded", turn_around), difference),
    "memory given back too early": (forget_too_early, random_programs),
    "parameters of ops not told apart": (
        same("frozen", (), passes), plans.test_ops_with_other_parameters_are_not_shared,
    ),
    "writes not seen by sharing": (
        lambda patch: patch.setattr(passes, "Write", type("None_", (), {})),
        plans.test_what_is_written_between_is_not_shared,
    ),
    "gradients not left behind": (same("_leave_gradients", None, emit.Emitter), accumulation),
    "gradients not brought home": (same("_bring_home", None, plan._Planner), one_gradient_of_two),
    "parameters moved while held": (same("is_held_once", True, plan), held_data),
    "numbers not guarded": (same("_holds", None, guards.Guard), live_number),
    "reading let pass": (same("read", None, Tracer), reading),
    "drawn arrays let pass": (let_all_pass, drawing),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "comparison"), FAULTS.values(), ids=list(FAULTS))
def test_planted_faults_are_found(
    monkeypatch: Patch, fault: Callable[[Patch], None], comparison: Callable[[], None]
) -> None:
    comparison()  # it passes without the fault
    fault(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        comparison()
