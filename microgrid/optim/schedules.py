"""Schedules: the learning rate of each group as a function of the number of steps taken."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

from ..recording import reads
from .optimizer import Optimizer
from .settings import check_count, check_counts, check_number, check_state


class Schedule:
    """The base of schedules: subclasses write `rate`, a formula of the number of steps.

    A schedule writes `lr` into the groups when it is made and at each `step`; compiled steps read
    it there. Each group's own lr at the beginning is kept in it as "initial_lr".

    Args:
        optimizer: whose groups it writes to.

    Attributes:
        last_epoch: how many steps the schedule has taken.

    Raises:
        TypeError: `optimizer` is none.
        NotImplementedError: a subclass has no `rate`.

    >>> import microgrid as mg
    >>> class Halving(mg.optim.Schedule):
    ...     def rate(self, base, t):
    ...         return base * 0.5**t
    >>> optimizer = mg.optim.SGD([mg.zeros(1)], lr=1.0)
    >>> schedule = Halving(optimizer)
    >>> for _ in range(3):
    ...     schedule.step()
    >>> optimizer.param_groups[0]["lr"]
    0.125
    """

    saved: tuple[str, ...] = ("last_epoch",)

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{self._name}: an optimizer of type {type(optimizer).__name__} was given; it "
                "needs one such as SGD(model.parameters(), lr=0.1)."
            )
        self.optimizer = optimizer
        self.last_epoch = 0
        self._write()

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def base_lrs(self) -> list[float]:
        """The learning rate that each group began with."""
        groups = self.optimizer.param_groups
        return [float(group.setdefault("initial_lr", group["lr"])) for group in groups]

    def rate(self, base: float, t: int) -> float:
        """Return the learning rate after t steps of a group that began with `base`."""
        raise NotImplementedError(f"{self._name}: rate is not defined.")

    def rates(self, t: int) -> list[float]:
        """Return the learning rates of all groups after t steps."""
        return [self.rate(base, t) for base in self.base_lrs]

    def step(self) -> None:
        """Go on by one step, or one epoch: as often as it is called.

        Raises:
            TraceError: it is called in a compiled step, where it would be called once for all.
        """
        reads(f"{self._name}.step()")
        self.last_epoch += 1
        self._write()

    def _write(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.rates(self.last_epoch), strict=True):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """Return the learning rates that the groups have now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    # --- saving and loading ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return where it stands, as plain numbers and lists."""
        return {"base_lrs": self.base_lrs, **{name: getattr(self, name) for name in self.saved}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a saved state, and write its learning rates; or, if it does not fit, nothing.

        Raises:
            StateError: something does not fit; the message lists all of it.
            Exception: what `rate`, or a function of yours, raises there.
        """
        check_state(self, state_dict)
        before = self.state_dict()
        self._take(state_dict)
        try:
            self._write()
        except BaseException:  # of a function of the user's
            self._take(before)
            raise

    def _take(self, state: Mapping[str, Any]) -> None:
        for group, base in zip(self.optimizer.param_groups, state["base_lrs"], strict=True):
            group["initial_lr"] = float(base)
        for name in self.saved:
            setattr(self, name, state[name])

    def __repr__(self) -> str:
        return f"{self._name}(last_epoch={self.last_epoch}, lr={self.get_last_lr()})"


class LambdaLR(Schedule):
    """lr = base * f(t), where f is a function of yours.

    Args:
        optimizer: whose groups it writes to.
        lr_lambda: a function of the number of steps; or a list of them, one for each group.

    Raises:
        TypeError: something in `lr_lambda` is no function, or `optimizer` is none.
        ValueError: it is a list of another length than there are groups, or a function gives
            something else than a number from 0 up.

    >>> import microgrid as mg
    >>> optimizer = mg.optim.SGD([mg.zeros(1)], lr=1.0)
    >>> schedule = mg.optim.LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        groups = len(getattr(optimizer, "param_groups", ()))
        self.functions: list[Any] = [lr_lambda] * groups
        if isinstance(lr_lambda, (list, tuple)):
            self.functions = list(lr_lambda)
        if not all(map(callable, self.functions)):
            raise TypeError(
                f"LambdaLR: lr_lambda={lr_lambda!r} was given; it must be a function of the number "
                "of steps, or a list of them."
            )
        if len(self.functions) != groups and hasattr(optimizer, "param_groups"):
            raise ValueError(
                f"LambdaLR: {len(self.functions)} functions were given for {groups} groups; give "
                "one for each, or one for all."
            )
        super().__init__(optimizer)

    def rates(self, t: int) -> list[float]:
        """Return the learning rates of all groups after t steps."""
        pairs = zip(self.base_lrs, self.functions, strict=True)
        return [base * _factor(f(t), t) for base, f in pairs]


def _factor(value: Any, t: int) -> float:
    if not isinstance(value, Real) or not float(value) >= 0:
        raise ValueError(f"LambdaLR: lr_lambda({t}) is {value!r}; it must be a number, at least 0.")
    return float(value)


class StepLR(Schedule):
    """lr = base * gamma**(t // step_size): a fall every `step_size` steps.

    Args:
        optimizer: whose groups it writes to.
        step_size: after how many steps the rate falls.
        gamma: what it is multiplied by.

    Raises:
        TypeError: `optimizer` is none.
        ValueError: step_size is no integer above 0, or gamma is negative.

    >>> import microgrid as mg
    >>> schedule = mg.optim.StepLR(mg.optim.SGD([mg.zeros(1)], lr=1.0), step_size=2, gamma=0.5)
    >>> for _ in range(5):
    ...     schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = check_count("StepLR", "step_size", step_size)
        self.gamma = check_number("StepLR", "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        """Return the learning rate after t steps of a group that began with `base`."""
        return base * float(self.gamma ** (t // self.step_size))


class MultiStepLR(Schedule):
    """lr = base * gamma**k, where k of the milestones have been reached.

    Args:
        optimizer: whose groups it writes to.
        milestones: after how many steps the rate falls, in any order; one given twice counts twice.
        gamma: what it is multiplied by.

    Raises:
        TypeError: `optimizer` is none.
        ValueError: gamma is negative, or a milestone no integer from 0 up.

    >>> import microgrid as mg
    >>> optimizer = mg.optim.SGD([mg.zeros(1)], lr=1.0)
    >>> schedule = mg.optim.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> for _ in range(3):
    ...     schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(check_counts("MultiStepLR", "milestones", milestones))
        self.gamma = check_number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        """Return the learning rate after t steps of a group that began with `base`."""
        return base * float(self.gamma ** bisect_right(self.milestones, t))


class ExponentialLR(Schedule):
    """lr = base * gamma**t.

    Args:
        optimizer: whose groups it writes to.
        gamma: what the rate is multiplied by in each step.

    Raises:
        TypeError: `optimizer` is none.
        ValueError: gamma is negative.

    >>> import microgrid as mg
    >>> schedule = mg.optim.ExponentialLR(mg.optim.SGD([mg.zeros(1)], lr=1.0), gamma=0.5)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = check_number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        """Return the learning rate after t steps of a group that began with `base`."""
        return base * float(self.gamma**t)


class CosineAnnealingLR(Schedule):
    """lr = eta_min + (base - eta_min) * (1 + cos(pi * t / T_max)) / 2.

    It falls to eta_min in T_max steps, slowly at both ends; after that it would rise again.

    Args:
        optimizer: whose groups it writes to.
        T_max: how many steps it falls for.
        eta_min: the rate at the end.

    Raises:
        TypeError: `optimizer` is none.
        ValueError: T_max is no integer above 0, or eta_min is negative.

    Source: Loshchilov & Hutter (2017), without restarts.

    >>> import microgrid as mg
    >>> schedule = mg.optim.CosineAnnealingLR(mg.optim.SGD([mg.zeros(1)], lr=1.0), T_max=10)
    >>> for _ in range(10):
    ...     schedule.step()
    >>> schedule.get_last_lr()
    [0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
    ) -> None:
        self.T_max = check_count("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = check_number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        """Return the learning rate after t steps of a group that began with `base`."""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2


class LinearWarmup(Schedule):
    """lr = base * factor, which goes from start_factor to end_factor in total_iters steps.

    PyTorch calls it LinearLR. With SequentialLR another schedule can follow.

    Args:
        optimizer: whose groups it writes to.
        start_factor: the factor at the beginning.
        end_factor: the factor from then on.
        total_iters: how many steps it takes.

    Raises:
        TypeError: `optimizer` is none.
        ValueError: total_iters is no integer above 0, or a factor is negative.

    Source: Goyal et al. (2017), section 2.2.

    >>> import microgrid as mg
    >>> optimizer = mg.optim.SGD([mg.zeros(1)], lr=1.0)
    >>> schedule = mg.optim.LinearWarmup(optimizer, start_factor=0.25, total_iters=3)
    >>> for _ in range(2):
    ...     schedule.step()
    >>> schedule.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        self.start_factor = check_number("LinearWarmup", "start_factor", start_factor)
        self.end_factor = check_number("LinearWarmup", "end_factor", end_factor)
        self.total_iters = check_count("LinearWarmup", "total_iters", total_iters)
        super().__init__(optimizer)

    def rate(self, base: float, t: int) -> float:
        """Return the learning rate after t steps of a group that began with `base`."""
        share = min(t, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)
