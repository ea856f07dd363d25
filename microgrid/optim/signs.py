"""Optimisers that go by the sign of the gradient, not by its size."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from .moments import number, running_mean, shrink, step_down
from .optimizer import Group, Optimizer, Params, Slots
from .settings import check_at_least_zero, check_betas, is_pair


class Rprop(Optimizer):
    """p -= s * sign(g): each number has a step size s of its own, which starts at lr.

    Where g has the sign that it had before, s is multiplied by the second of etas. Where it has the
    other sign, s is multiplied by the first, and the number stays where it is for once. For whole
    data sets in each step: the noise of small batches turns signs.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the first step size.
        etas: what step sizes are multiplied by after a turn, and without one.
        step_sizes: the least and the largest step size.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Riedmiller & Braun (1993), as the variant without backtracking of Igel & Huesken (2000).

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0, -100.0], requires_grad=True)
    >>> optimizer = mg.optim.Rprop([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.75, -99.75]
    """

    slots = ("prev", "step_size")
    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
    ) -> None:
        super().__init__(params, self.checked(lr=lr, etas=etas, step_sizes=step_sizes))

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings make no sense."""
        check_at_least_zero("Rprop", settings, "lr")
        etas, sizes = settings["etas"], settings["step_sizes"]
        if not is_pair(etas) or not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(
                f"Rprop: etas={etas!r} was given; it must be a number between 0 and 1, and one "
                "above 1."
            )
        if not is_pair(sizes) or not 0 <= sizes[0] <= sizes[1]:
            raise ValueError(
                f"Rprop: step_sizes={sizes!r} was given; it must be two numbers, at least 0, the "
                "smaller one first."
            )

    def remembered(self, group: Group) -> dict[str, float]:
        """Return which slots the settings of a group need, and the number each is filled with."""
        return {"prev": 0.0, "step_size": float(group["lr"])}

    def update(self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place."""
        before, size, dtype = slots["prev"], slots["step_size"], data.dtype
        less, more = (number(float(eta), dtype) for eta in group["etas"])
        low, high = (number(float(bound), dtype) for bound in group["step_sizes"])
        np.multiply(before, g, scratch)
        turned = scratch < 0
        np.multiply(size, more, out=size, where=scratch > 0)
        np.multiply(size, less, out=size, where=turned)
        np.minimum(np.maximum(size, low, out=size), high, out=size)
        np.copyto(before, g)
        np.copyto(before, 0, where=turned)
        np.sign(before, scratch)
        np.multiply(scratch, size, scratch)
        np.subtract(data, scratch, data)


class Lion(Optimizer):
    """p -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p): the evolved sign momentum.

    After that m becomes beta2 * m + (1 - beta2) * g. All numbers move by lr: take about a tenth of
    Adam's, and ten times its weight decay. It remembers half of what Adam does.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the learning rate: the change of a parameter in a step.
        betas: the shares of m in the step, and of m that are kept.
        weight_decay: pulls p towards 0, by the share lr * weight_decay in each step.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Chen et al. (2023), algorithm 2.

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0, -100.0], requires_grad=True)
    >>> optimizer = mg.optim.Lion([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.75, -99.75]
    """

    slots = ("exp_avg",)
    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.0001,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, self.checked(lr=lr, betas=betas, weight_decay=weight_decay))

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings make no sense."""
        check_at_least_zero("Lion", settings, "lr", "weight_decay")
        check_betas("Lion", settings)

    def update(self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place."""
        lr, decay = float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = map(float, group["betas"])
        m = slots["exp_avg"]
        if decay:
            shrink(data, lr * decay)
        np.subtract(g, m, scratch)
        np.multiply(scratch, number(1 - beta1, data.dtype), scratch)
        np.add(m, scratch, scratch)
        np.sign(scratch, scratch)
        step_down(data, lr, scratch)
        running_mean(m, g, 1 - beta2, scratch)
