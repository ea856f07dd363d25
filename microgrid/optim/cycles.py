"""Schedules with phases, and the one that watches a loss."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..recording import reads
from .optimizer import Optimizer
from .schedules import Schedule
from .settings import (
    check_count,
    check_counts,
    check_number,
    check_positive,
    check_share,
    check_state,
    is_share,
)


class OneCycleLR(Schedule):
    """Up to max_lr and down to nearly nothing, in total_steps: for training that is short.

    From max_lr / div_factor it rises to max_lr in the share pct_start of the steps, then it falls
    to that beginning divided by final_div_factor. Momentum (`momentum`, or the first of `betas`)
    goes the other way. Call `step` after each batch.

    Args:
        optimizer: whose groups it writes to.
        max_lr: the highest rate; or a list, one for each group.
        total_steps: how many steps there are in all.
        epochs, steps_per_epoch: their product may be given in place of total_steps.
        pct_start: the share of the steps in which it rises.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether momentum is changed too.
        base_momentum: the momentum at max_lr.
        max_momentum: the momentum at both ends.
        div_factor: how much lower the first rate is than max_lr.
        final_div_factor: how much lower the last rate is than the first.
        three_phase: fall as steeply as it rose, and then on to the last rate.

    Raises:
        TypeError: `optimizer` is none.
        ValueError: a setting makes no sense, or the optimiser has no momentum to change.

    Source: Smith & Topin (2018), with PyTorch's phases.

    >>> import microgrid as mg
    >>> optimizer = mg.optim.Adam([mg.zeros(1)])
    >>> schedule = mg.optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> rates = schedule.get_last_lr()
    >>> for _ in range(9):
    ...     schedule.step()
    ...     rates += schedule.get_last_lr()
    >>> [round(rate, 2) for rate in rates]
    [0.04, 0.52, 1.0, 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        who = "OneCycleLR"
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = check_count(who, "epochs", epochs) * check_count(
                who, "steps_per_epoch", steps_per_epoch
            )
        self.total_steps = check_count(who, "total_steps", total_steps)
        self.curve = _curve(anneal_strategy)
        self.highest = _for_each_group(who, "max_lr", max_lr, optimizer)
        self.cycle_momentum, self.three_phase = bool(cycle_momentum), bool(three_phase)
        self.momenta = base_momentum, max_momentum
        if cycle_momentum:
            _check_momenta(optimizer, base_momentum=base_momentum, max_momentum=max_momentum)
        self.div_factor = check_positive(who, "div_factor", div_factor)
        self.final_div_factor = check_positive(who, "final_div_factor", final_div_factor)
        check_share(who, {"pct_start": pct_start}, "pct_start")
        self.ends = self._ends(pct_start)
        super().__init__(optimizer)

    def _ends(self, share: float) -> list[float]:
        """Return after how many steps each phase ends."""
        last, rise = self.total_steps - 1, share * self.total_steps - 1
        return [rise, 2 * rise, last] if self.three_phase else [rise, last]

    def rates(self, t: int) -> list[float]:
        """Return the learning rates of all groups after t steps."""
        found = []
        for high in self.highest:
            low = high / self.div_factor
            levels = [low, high, low, low / self.final_div_factor]
            found.append(self._value(t, levels if self.three_phase else [low, high, levels[-1]]))
        return found

    def _value(self, t: int, levels: list[float]) -> float:
        """Return what goes from level to level, one phase after another."""
        start = 0.0
        for i, end in enumerate(self.ends):
            if t <= end or end is self.ends[-1]:
                share = (t - start) / (end - start) if end != start else 1.0
                return self.curve(levels[i], levels[i + 1], share)
            start = end
        return levels[-1]

    def step(self) -> None:
        """Go on by one batch.

        Raises:
            ValueError: all steps have been taken.
        """
        if self.last_epoch >= self.total_steps:
            raise ValueError(
                f"OneCycleLR: step was called {self.last_epoch + 1} times; total_steps is "
                f"{self.total_steps}. Make the cycle as long as the training."
            )
        super().step()

    def _write(self) -> None:
        super()._write()
        if not self.cycle_momentum:
            return
        low, high = self.momenta
        levels = [high, low, high, high] if self.three_phase else [high, low, high]
        momentum = self._value(self.last_epoch, levels)
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


def _for_each_group(who: str, name: str, given: Any, optimizer: Any) -> list[float]:
    """Return a rate for each group."""
    groups = len(getattr(optimizer, "param_groups", ()))
    rates = list(given) if isinstance(given, (list, tuple)) else [given] * groups
    if len(rates) != groups and hasattr(optimizer, "param_groups"):
        raise ValueError(
            f"{who}: {len(rates)} rates {name} were given for {groups} groups; give one for each, "
            "or one for all."
        )
    return [check_number(who, name, rate) for rate in rates]


def _check_momenta(optimizer: Any, **momenta: Any) -> None:
    groups = getattr(optimizer, "param_groups", ())
    if not all("momentum" in group or "betas" in group for group in groups):
        raise ValueError(
            f"OneCycleLR: {type(optimizer).__name__} has neither momentum nor betas, which would "
            "change. Pass cycle_momentum=False."
        )
    for name, value in momenta.items():
        if not is_share(value) or value == 1:
            raise ValueError(
                f"OneCycleLR: {name}={value!r} was given; it must be a number, at least 0 and "
                "below 1."
            )


def _curve(strategy: Any) -> Callable[[float, float, float], float]:
    if strategy not in ("cos", "linear"):
        raise ValueError(
            f"OneCycleLR: anneal_strategy={strategy!r} was given; it must be 'cos' or 'linear'."
        )
    return _cosine if strategy == "cos" else _linear


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _linear(start: float, end: float, share: float) -> float:
    return (end - start) * share + start


class SequentialLR(Schedule):
    """One schedule after another: each starts anew when its turn comes.

    Args:
        optimizer: whose groups they write to.
        schedulers: the schedules, all of this optimiser.
        milestones: after how many steps the second one starts, and the third, and so on.

    Raises:
        ValueError: there is not one milestone less than schedules, milestones do not grow, or a
            schedule is of another optimiser or cannot be told by the number of steps.

    >>> import microgrid as mg
    >>> optimizer = mg.optim.SGD([mg.zeros(1)], lr=1.0)
    >>> warmup = mg.optim.LinearWarmup(optimizer, start_factor=0.5, total_iters=2)
    >>> cosine = mg.optim.CosineAnnealingLR(optimizer, T_max=8)
    >>> schedule = mg.optim.SequentialLR(optimizer, [warmup, cosine], [2])
    >>> rates = schedule.get_last_lr()
    >>> for _ in range(6):
    ...     schedule.step()
    ...     rates += schedule.get_last_lr()
    >>> [round(rate, 2) for rate in rates]
    [0.5, 0.75, 1.0, 0.96, 0.85, 0.69, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int]
    ) -> None:
        if not isinstance(schedulers, (list, tuple)):
            raise ValueError(
                f"SequentialLR: schedulers={schedulers!r} was given; it must be a list of "
                "schedules, such as StepLR."
            )
        self.schedulers = list(schedulers)
        self.milestones = check_counts("SequentialLR", "milestones", milestones)
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(self.schedulers)} schedules and {len(self.milestones)} "
                "milestones were given; it needs one milestone less than schedules."
            )
        if self.milestones != sorted(set(self.milestones)):
            raise ValueError(
                f"SequentialLR: milestones={self.milestones} was given; each must be above the one "
                "before."
            )
        for schedule in self.schedulers:
            if not isinstance(schedule, Schedule) or isinstance(schedule, SequentialLR):
                raise ValueError(
                    f"SequentialLR: a {type(schedule).__name__} was given; it needs schedules of "
                    "the number of steps, such as StepLR."
                )
            if schedule.optimizer is not optimizer:
                raise ValueError(
                    f"SequentialLR: the {type(schedule).__name__} was made for another optimizer. "
                    "Make all for the same one."
                )
        super().__init__(optimizer)

    def _write(self) -> None:
        turn = bisect_right(self.milestones, self.last_epoch)
        schedule = self.schedulers[turn]
        schedule.last_epoch = self.last_epoch - (self.milestones[turn - 1] if turn else 0)
        schedule._write()


class ReduceLROnPlateau:
    """Multiply the learning rate by `factor` when a number has not got better for a while.

    Call `step(loss)` after each epoch, with a number or float[].

    Args:
        optimizer: whose groups it writes to.
        mode: "min" if lower is better, "max" if higher is.
        factor: what the rate is multiplied by.
        patience: how many epochs without a better number are allowed.
        threshold: by how much a number must be better to count.
        threshold_mode: "rel" for a share of the best one, "abs" for a difference.
        cooldown: how many epochs after a fall are not counted.
        min_lr: the lowest rate; or a list, one for each group.
        eps: smaller falls are left out.

    Raises:
        TypeError: `optimizer` is none.
        ValueError: a setting makes no sense.

    >>> import microgrid as mg
    >>> optimizer = mg.optim.SGD([mg.zeros(1)], lr=1.0)
    >>> schedule = mg.optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    saved = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.last_epoch = 0
        self.mode = _one_of("mode", mode, "min", "max")
        self.threshold_mode = _one_of("threshold_mode", threshold_mode, "rel", "abs")
        self.factor = check_number("ReduceLROnPlateau", "factor", factor)
        if self.factor >= 1:
            raise ValueError(
                f"ReduceLROnPlateau: factor={factor!r} was given; it must be below 1, so that the "
                "rate falls."
            )
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"ReduceLROnPlateau: an optimizer of type {type(optimizer).__name__} was given; it "
                "needs one such as SGD(model.parameters(), lr=0.1)."
            )
        self.optimizer = optimizer
        who = "ReduceLROnPlateau"
        self.patience = check_count(who, "patience", patience, least=0)
        self.cooldown = check_count(who, "cooldown", cooldown, least=0)
        self.threshold = check_number(who, "threshold", threshold)
        self.eps = check_number(who, "eps", eps)
        self.min_lrs = _for_each_group(who, "min_lr", min_lr, optimizer)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    def step(self, metrics: Any) -> None:
        """Take note of the number of this epoch.

        Raises:
            TraceError: it is called in a compiled step.
            TypeError, ValueError: it is no number.
        """
        reads("ReduceLROnPlateau.step()")
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                lr = max(group["lr"] * self.factor, low)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * current > sign * self.best * (1 + sign * self.threshold)
        return sign * current > sign * self.best + self.threshold

    def get_last_lr(self) -> list[float]:
        """Return the learning rates that the groups have now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return where it stands, as plain numbers; the optimiser's state has the rates."""
        return {name: getattr(self, name) for name in self.saved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a saved state, or, if it does not fit, nothing.

        Raises:
            StateError: something does not fit; the message lists all of it.
        """
        check_state(self, state_dict)
        for name in self.saved:
            setattr(self, name, state_dict[name])

    def __repr__(self) -> str:
        return f"ReduceLROnPlateau(best={self.best}, lr={self.get_last_lr()})"


def _one_of(name: str, value: str, *choices: str) -> str:
    if value not in choices:
        raise ValueError(
            f"ReduceLROnPlateau: {name}={value!r} was given; it must be "
            f"{' or '.join(map(repr, choices))}."
        )
    return value
