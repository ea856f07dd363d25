"""Adam and its kin: steps along a running mean of gradients, divided by their usual size."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ..arrays import Array
from .moments import running_mean, running_square, shrink, step_down, with_decay
from .optimizer import Group, Optimizer, Params, Slots
from .settings import check_at_least_zero, check_betas, check_flags


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps): m and v are running means of the gradient and its square.

    m becomes beta1 * m + (1 - beta1) * g, and v becomes beta2 * v + (1 - beta2) * g**2. Both start
    at 0; so after t steps they are divided by 1 - beta1**t and 1 - beta2**t first. With
    weight_decay, g + weight_decay * p takes the place of g.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the learning rate: about the change of a parameter in a step.
        betas: the shares of m and of v that are kept.
        eps: added to the divisor.
        weight_decay: pulls p towards 0, through m and v; AdamW does it apart from them.
        amsgrad: divide by the largest v so far.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Kingma & Ba (2015), in the order of the end of its section 2; Reddi, Kale & Kumar (2018)
    for amsgrad, with PyTorch's maximum of the uncorrected v.

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = mg.optim.Adam([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()  # the first step has the size of lr
    >>> p.numpy().round(6).tolist()
    [0.75, -1.75]
    """

    slots = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    counts: ClassVar[dict[str, float]] = {"step": 0}
    decisive = ("amsgrad",)
    elementwise = True
    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        settings = self.checked(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
        )
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings make no sense."""
        check_at_least_zero(self._name, settings, "lr", "eps", "weight_decay")
        check_flags(self._name, settings, "amsgrad")
        check_betas(self._name, settings)

    def remembered(self, group: Group) -> dict[str, float]:
        """Return which slots the settings of a group need, and the number each is filled with."""
        return dict.fromkeys(self.slots if group["amsgrad"] else self.slots[:2], 0.0)

    def update(self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place."""
        lr, decay = float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = map(float, group["betas"])
        t = slots["step"].item()
        m, v = slots["exp_avg"], slots["exp_avg_sq"]
        if decay and self.decoupled:
            shrink(data, lr * decay)
        elif decay:
            g = with_decay(g, data, decay)
        running_mean(m, g, 1 - beta1, scratch)
        running_square(v, g, beta2, scratch)
        if group["amsgrad"]:
            v = np.maximum(slots["max_exp_avg_sq"], v, out=slots["max_exp_avg_sq"])
        # m / (sqrt(v) / root + eps) without its inner division
        root = math.sqrt(1 - beta2**t)
        np.sqrt(v, scratch)
        np.add(scratch, np.array(float(group["eps"]) * root, data.dtype), scratch)
        np.divide(m, scratch, scratch)
        step_down(data, lr * root / (1 - beta1**t), scratch)


class AdamW(Adam):
    """Adam whose weight decay stands apart: p -= lr * weight_decay * p before the step.

    So parameters with large gradients are pulled towards 0 as much as others. Settings and state
    are Adam's.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the learning rate: about the change of a parameter in a step.
        betas: the shares of m and of v that are kept.
        eps: added to the divisor.
        weight_decay: pulls p towards 0, by the share lr * weight_decay in each step.
        amsgrad: divide by the largest v so far.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Loshchilov & Hutter (2019), with PyTorch's product lr * weight_decay.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> p = mg.tensor([8.0], requires_grad=True)
    >>> p.grad = np.zeros(1)
    >>> mg.optim.AdamW([p], lr=0.5, weight_decay=0.5).step()
    >>> p
    tensor([6.], requires_grad=True)
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: the step looks ahead along the running mean.

    p -= lr * ((1 - mu_t) / (1 - M_t) * g + mu_(t+1) / (1 - M_(t+1)) * m) / (sqrt(v) + eps). Here m
    and v are Adam's, v divided by 1 - beta2**t; mu_t = beta1 * (1 - 0.96**(t * momentum_decay) / 2)
    is the momentum of step t, and M_t the product of mu_1 to mu_t.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the learning rate: about the change of a parameter in a step.
        betas: the shares of m and of v that are kept.
        eps: added to the divisor.
        weight_decay: pulls p towards 0.
        momentum_decay: how fast mu_t grows from half of beta1 to beta1.
        decoupled_weight_decay: pull as AdamW does, not through the gradient.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Dozat (2016), with PyTorch's schedule of momentum.

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = mg.optim.NAdam([p], lr=0.1)
    >>> for _ in range(200):
    ...     optimizer.zero_grad()
    ...     (p - 3).square().sum().backward()
    ...     optimizer.step()
    >>> abs(p.item() - 3) < 0.01
    True
    """

    slots = ("exp_avg", "exp_avg_sq")
    counts: ClassVar[dict[str, float]] = {"step": 0, "mu_product": 1.0}
    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
    ) -> None:
        settings = self.checked(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings make no sense."""
        check_at_least_zero("NAdam", settings, "lr", "eps", "weight_decay", "momentum_decay")
        check_flags("NAdam", settings, "decoupled_weight_decay")
        check_betas("NAdam", settings)

    def count(self, group: Group, slots: Slots) -> None:
        """Count one more step of a parameter, in place, before `update`."""
        super().count(group, slots)
        product = slots["mu_product"]
        np.multiply(product, _momentum(group, slots["step"].item()), product)

    def update(self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place."""
        lr, decay = float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = map(float, group["betas"])
        t, product = slots["step"].item(), slots["mu_product"].item()
        m, v = slots["exp_avg"], slots["exp_avg_sq"]
        if decay and group["decoupled_weight_decay"]:
            shrink(data, lr * decay)
        elif decay:
            g = with_decay(g, data, decay)
        running_mean(m, g, 1 - beta1, scratch)
        running_square(v, g, beta2, scratch)
        now, ahead = _momentum(group, t), _momentum(group, t + 1)
        root = math.sqrt(1 - beta2**t)
        np.sqrt(v, scratch)
        np.add(scratch, np.array(float(group["eps"]) * root, data.dtype), scratch)
        direction = np.asarray(g * np.array((1 - now) / (1 - product), data.dtype))
        share = np.array(ahead / (1 - product * ahead), data.dtype)
        np.add(direction, np.multiply(m, share), direction)
        np.divide(direction, scratch, scratch)
        step_down(data, lr * root, scratch)


def _momentum(group: Group, t: int) -> float:
    """Return mu_t."""
    decay = float(group["momentum_decay"])
    return float(group["betas"][0]) * (1 - 0.5 * 0.96 ** (t * decay))  # type: ignore[no-any-return]
