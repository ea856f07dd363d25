"""The checkers of the libraries, each as a judge of cases: with its own defaults.

A verdict is "accepted", "rejected", "declined" (the checker says that the point is no point for it)
or "none" (the library cannot express the case, or its own gradient is not finite).
"""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import chainer_rule, libraries
from .cases import Array, Case, Right

ACCEPTED, REJECTED, DECLINED, NONE = "accepted", "rejected", "declined", "none"


class Judge:
    """A checker, and the library whose gradients it judges.

    Attributes:
        name: as the option and the table say it.
        module: what has to be installed.
        about: what is called, for the line under the table.
    """

    name: str
    module: str
    about: str
    library: Any

    def check(self, case: Case) -> bool:
        """Return whether the checker accepts the case; it may also raise."""
        raise NotImplementedError

    def gradients(self, case: Case) -> Sequence[Any]:
        """Return the library's own gradients of the sum of the results."""
        raise NotImplementedError

    def verdict(self, case: Case) -> dict[str, Any]:
        """Return the verdict on a case, what was said, and the seconds it took."""
        started = time.perf_counter()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outcome, said = self._ask(case)
        seconds = time.perf_counter() - started
        return {"case": case.name, "outcome": outcome, "said": said, "seconds": seconds}

    def _ask(self, case: Case) -> tuple[str, str]:
        if self.library.name in case.without:
            return NONE, "cannot be expressed"
        try:
            if isinstance(case, Right) and not _finite(self.gradients(case)):
                return NONE, "the library's own gradient is not finite"
            return (ACCEPTED if self.check(case) else REJECTED), ""
        except chainer_rule.NotDifferentiableError:
            return DECLINED, "not differentiable"
        except Exception as error:  # an error of any kind keeps the gradient from passing
            return REJECTED, f"{type(error).__name__}: {error}"
        finally:
            self.library.forget()


def _finite(gradients: Sequence[Any]) -> bool:
    return all(np.all(np.isfinite(np.asarray(g, np.float64))) for g in gradients)


class MicrogridJudge(Judge):
    name, module, about = "microgrid", "microgrid", "microgrid.testing.gradcheck"

    def __init__(self) -> None:
        self.library = libraries.Microgrid()

    def check(self, case: Case) -> bool:
        f, inputs = self._ready(case)
        gradcheck = self.library.module.testing.gradcheck
        return bool(gradcheck(f, inputs, order=case.order, rng=0))

    def gradients(self, case: Case) -> Sequence[Any]:
        f, inputs = self._ready(case)
        grads = self.library.module.gradients(self.library.sum(f(*inputs)), inputs)
        return [g.data for g in grads]

    def _ready(self, case: Case) -> tuple[Any, list[Any]]:
        return case.build(self.library), [self.library.array_from(x) for x in case.inputs]


class TorchJudge(Judge):
    name, module, about = "torch", "torch", "torch.autograd.gradcheck"
    fast = False

    def __init__(self) -> None:
        self.library = libraries.Torch()
        self.library.module.set_num_threads(1)

    def check(self, case: Case) -> bool:
        torch = self.library.module
        f, inputs = self._ready(case)
        torch.manual_seed(0)
        passed = torch.autograd.gradcheck(f, inputs, fast_mode=self.fast)
        if passed and case.order == 2:
            passed = torch.autograd.gradgradcheck(f, inputs, fast_mode=self.fast)
        return bool(passed)

    def gradients(self, case: Case) -> Sequence[Any]:
        f, inputs = self._ready(case)
        found = self.library.module.autograd.grad(f(*inputs).sum(), inputs, allow_unused=True)
        return [0.0 if g is None else g.numpy() for g in found]

    def _ready(self, case: Case) -> tuple[Any, tuple[Any, ...]]:
        return case.build(self.library), tuple(self.library.array_from(x) for x in case.inputs)


class TorchFastJudge(TorchJudge):
    name, about = "torch fast", "the same with fast_mode=True"
    fast = True


class JaxJudge(Judge):
    name, module, about = "jax", "jax", "jax.test_util.check_grads, reverse mode, x64"

    def __init__(self) -> None:
        self.library = libraries.Jax()
        self.check_grads = importlib.import_module("jax.test_util").check_grads

    def check(self, case: Case) -> bool:
        f, inputs = self._ready(case)
        self.check_grads(f, inputs, order=case.order, modes=("rev",))
        return True

    def gradients(self, case: Case) -> Sequence[Any]:
        f, inputs = self._ready(case)
        y, vjp = self.library.jax.vjp(f, *inputs)
        return vjp(self.library.ones_like(y))  # type: ignore[no-any-return]

    def _ready(self, case: Case) -> tuple[Any, tuple[Any, ...]]:
        return case.build(self.library), tuple(self.library.array_from(x) for x in case.inputs)


class AutogradJudge(Judge):
    name, module, about = "autograd", "autograd", "autograd.test_util.check_grads, reverse mode"

    def __init__(self) -> None:
        self.library = libraries.Autograd()
        self.check_grads = importlib.import_module("autograd.test_util").check_grads

    def check(self, case: Case) -> bool:
        f, inputs = self._ready(case)
        np.random.seed(0)  # noqa: NPY002  the checker draws from the global state
        places = tuple(range(len(inputs)))
        self.check_grads(f, places, modes=["rev"], order=case.order)(*inputs)
        return True

    def gradients(self, case: Case) -> Sequence[Any]:
        f, inputs = self._ready(case)
        places = tuple(range(len(inputs)))
        vjp, y = importlib.import_module("autograd").make_vjp(f, places)(*inputs)
        return vjp(np.ones_like(y))  # type: ignore[no-any-return]

    def _ready(self, case: Case) -> tuple[Any, list[Array]]:
        return case.build(self.library), [self.library.array_from(x) for x in case.inputs]


class ChainerJudge(MicrogridJudge):
    name, about = "chainer", "Chainer's documented rule on microgrid's gradients"

    def check(self, case: Case) -> bool:
        f, _ = self._ready(case)
        mg = self.library.module
        rng = np.random.default_rng(0)

        def values(arrays: Sequence[Array]) -> Array:
            return np.asarray(f(*[mg.tensor(x) for x in arrays]).data, np.float64)

        def vjp(arrays: Sequence[Array], g: Array) -> list[Array]:
            leaves = [mg.tensor(x, requires_grad=True) for x in arrays]
            return [found.data for found in mg.gradients(f(*leaves), leaves, g)]

        passed = chainer_rule.check_backward(values, vjp, case.inputs, rng)
        return passed and (case.order == 1 or self._check_double(f, case, rng))

    def _check_double(self, f: Any, case: Case, rng: np.random.Generator) -> bool:
        """Check the gradient as a function of the inputs and of the upstream gradient."""
        mg = self.library.module

        def slopes(*leaves: Any) -> Any:
            *xs, g = leaves
            found = mg.gradients(f(*xs), xs, g, create_graph=True)
            return mg.concatenate([mg.reshape(x, (-1,)) for x in found])

        def values(arrays: Sequence[Array]) -> Array:
            leaves = [mg.tensor(x, requires_grad=True) for x in arrays]
            return np.asarray(slopes(*leaves).data)

        def vjp(arrays: Sequence[Array], g: Array) -> list[Array]:
            leaves = [mg.tensor(x, requires_grad=True) for x in arrays]
            return [found.data for found in mg.gradients(slopes(*leaves), leaves, g)]

        y = f(*[mg.tensor(x) for x in case.inputs])
        upstream = rng.standard_normal(y.shape)
        return chainer_rule.check_backward(values, vjp, [*case.inputs, upstream], rng)


JUDGES: dict[str, type[Judge]] = {
    judge.name: judge
    for judge in (MicrogridJudge, TorchJudge, TorchFastJudge, JaxJudge, AutogradJudge, ChainerJudge)
}
