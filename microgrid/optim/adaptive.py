"""Optimisers with a learning rate for each number, by how large its gradients have been."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..arrays import Array
from .moments import number, running_mean, running_square, step_down, with_decay
from .optimizer import Group, Optimizer, Params, Slots
from .settings import check_at_least_zero, check_flags, check_share


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(v) + eps), where v becomes alpha * v + (1 - alpha) * g**2.

    With momentum, b = momentum * b + g / (sqrt(v) + eps) takes the place of the quotient. Centered,
    the square of a running mean of g is taken from v first: what is left is the variance.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the learning rate.
        alpha: the share of v that is kept.
        eps: added to the divisor.
        weight_decay: pulls p towards 0: g + weight_decay * p takes the place of g.
        momentum: the share of b that is kept.
        centered: divide by the standard deviation of g.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Tieleman & Hinton (2012), lecture 6.5; Graves (2013) for the centred one. A variance
    that rounding makes negative counts as 0.

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = mg.optim.RMSprop([p], lr=0.25, alpha=0.75)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # g is 2, v is 1
    >>> round(p.item(), 6)
    0.5
    """

    slots = ("square_avg", "momentum_buffer", "grad_avg")
    decisive = ("momentum", "centered")
    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        settings = self.checked(
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings make no sense."""
        check_at_least_zero("RMSprop", settings, "lr", "eps", "weight_decay", "momentum")
        check_flags("RMSprop", settings, "centered")
        check_share("RMSprop", settings, "alpha")

    def remembered(self, group: Group) -> dict[str, float]:
        """Return which slots the settings of a group need, and the number each is filled with."""
        needed = {"square_avg": 0.0}
        if group["momentum"]:
            needed["momentum_buffer"] = 0.0
        if group["centered"]:
            needed["grad_avg"] = 0.0
        return needed

    def update(self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place."""
        alpha, momentum = float(group["alpha"]), float(group["momentum"])
        v, dtype = slots["square_avg"], data.dtype
        if group["weight_decay"]:
            g = with_decay(g, data, float(group["weight_decay"]))
        running_square(v, g, alpha, scratch)
        if group["centered"]:
            mean = slots["grad_avg"]
            running_mean(mean, g, 1 - alpha, scratch)
            np.multiply(mean, mean, scratch)
            np.subtract(v, scratch, scratch)
            v = np.maximum(scratch, number(0.0, dtype), out=scratch)
        np.sqrt(v, scratch)
        np.add(scratch, number(float(group["eps"]), dtype), scratch)
        np.divide(g, scratch, scratch)
        if momentum:
            buffer = slots["momentum_buffer"]
            np.multiply(buffer, number(momentum, dtype), buffer)
            np.add(buffer, scratch, buffer)
            np.copyto(scratch, buffer)
        step_down(data, float(group["lr"]), scratch)


class Adagrad(Optimizer):
    """p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps), where s is the sum of all g**2.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the learning rate.
        lr_decay: how fast it falls with the number t of the step.
        weight_decay: pulls p towards 0: g + weight_decay * p takes the place of g.
        initial_accumulator_value: what s starts with.
        eps: added to the divisor.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Duchi, Hazan & Singer (2011).

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0, 100.0], requires_grad=True)
    >>> optimizer = mg.optim.Adagrad([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # the first step has the size of lr
    >>> p.numpy().round(6).tolist()
    [0.5, 99.5]
    """

    slots = ("sum",)
    counts: ClassVar[dict[str, float]] = {"step": 0}
    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        settings = self.checked(
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings make no sense."""
        names = "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"
        check_at_least_zero("Adagrad", settings, *names)

    def remembered(self, group: Group) -> dict[str, float]:
        """Return which slots the settings of a group need, and the number each is filled with."""
        return {"sum": float(group["initial_accumulator_value"])}

    def update(self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place."""
        total = slots["sum"]
        if group["weight_decay"]:
            g = with_decay(g, data, float(group["weight_decay"]))
        np.multiply(g, g, scratch)
        np.add(total, scratch, total)
        np.sqrt(total, scratch)
        np.add(scratch, number(float(group["eps"]), data.dtype), scratch)
        np.divide(g, scratch, scratch)
        t = slots["step"].item()
        step_down(data, float(group["lr"]) / (1 + (t - 1) * float(group["lr_decay"])), scratch)


class Adadelta(Optimizer):
    """p -= lr * d, where d = sqrt(u + eps) / sqrt(v + eps) * g: a step in units of p itself.

    v and u are running means of the squares of g and of d: v becomes rho * v + (1 - rho) * g**2
    before, and u becomes rho * u + (1 - rho) * d**2 after d is found.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the learning rate, 1 in the paper.
        rho: the share of u and v that is kept.
        eps: added to both; its root is the size of the first steps.
        weight_decay: pulls p towards 0: g + weight_decay * p takes the place of g.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Zeiler (2012).

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = mg.optim.Adadelta([p])
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> round(p.item(), 6)
    0.996838
    """

    slots = ("square_avg", "acc_delta")
    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, self.checked(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay))

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings make no sense."""
        check_at_least_zero("Adadelta", settings, "lr", "eps", "weight_decay")
        check_share("Adadelta", settings, "rho")

    def update(self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place."""
        rho, eps = float(group["rho"]), number(float(group["eps"]), data.dtype)
        v, u = slots["square_avg"], slots["acc_delta"]
        if group["weight_decay"]:
            g = with_decay(g, data, float(group["weight_decay"]))
        running_square(v, g, rho, scratch)
        delta = np.asarray(np.sqrt(u + eps))
        np.add(v, eps, scratch)
        np.sqrt(scratch, scratch)
        np.divide(delta, scratch, delta)
        np.multiply(delta, g, delta)
        running_square(u, delta, rho, scratch)
        step_down(data, float(group["lr"]), delta)
