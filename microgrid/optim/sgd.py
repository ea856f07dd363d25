"""Stochastic gradient descent: a step downhill, with momentum if asked for."""

from __future__ import annotations

from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Tensor, next_serial
from ..ops.arithmetic import quiet
from .optimizer import Group, Optimizer, Params, Slots
from .settings import check_at_least_zero, check_flags

FLOAT32 = np.dtype(np.float32)


@lru_cache(maxsize=64)
def _rate(lr: float, dtype: np.dtype[Any]) -> Array:
    """Return a learning rate as an array, which is multiplied twice as fast as a float.

    It has the dtype of the parameter, as a NumPy float64 is not weak (NEP 50): that would turn
    float32 arithmetic to float64.
    """
    return np.array(lr, dtype)


class SGD(Optimizer):
    """p -= lr * d, where d is the gradient g, or with momentum a running sum of gradients b.

    With weight_decay, g + weight_decay * p takes the place of g. With momentum, b starts as the
    first g and becomes momentum * b + (1 - dampening) * g; d is b, or with nesterov
    g + momentum * b.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts with settings of their own.
        lr: the learning rate.
        momentum: the share of b that is kept.
        dampening: the share of g that is not added to b.
        weight_decay: pulls p towards 0.
        nesterov: look ahead by one step; it needs momentum, and no dampening.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf. (One that requires no gradient gets none, and stays.)

    Source: Sutskever, Martens, Dahl & Hinton (2013), with PyTorch's placing of lr.

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = mg.optim.SGD([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0., 0.], requires_grad=True)
    """

    slots = ("momentum_buffer",)
    decisive = ("momentum",)
    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        settings = self.checked(
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings make no sense."""
        check_at_least_zero("SGD", settings, "lr", "momentum", "weight_decay")
        check_flags("SGD", settings, "nesterov")
        momentum, dampening = settings["momentum"], settings["dampening"]
        if not isinstance(dampening, Real):
            raise ValueError(f"SGD: dampening={dampening!r} was given; it must be a number.")
        if settings["nesterov"] and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"SGD: nesterov=True was given with momentum={momentum!r} and "
                f"dampening={dampening!r}; it needs momentum above 0 and dampening 0."
            )

    def update(
        self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots | None
    ) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place."""
        if group["momentum"] or group["weight_decay"]:
            buffer = None if slots is None else slots.get("momentum_buffer")
            g = _direction(data, g, group, scratch, buffer)
        np.multiply(g, _rate(float(group["lr"]), data.dtype), scratch)
        np.subtract(data, scratch, data)

    def write_update(
        self, line: Any, group: Group, data: Array, g: Array, scratch: Array, slots: Slots
    ) -> bool:
        """Write the plain update out, for the compiler, and that with momentum alone."""
        direction = slots.get("momentum_buffer") if group["momentum"] else g
        turned = group["momentum"] and (group["nesterov"] or group["dampening"])
        if group["weight_decay"] or turned or direction is None:
            return False
        line.require("not {0}['weight_decay']", group)
        if group["momentum"]:
            line.require("not {0}['nesterov'] and not {0}['dampening']", group)
            momentum = np.empty((), data.dtype)
            line.text("{0}[()] = {1}['momentum']", momentum, group)
            line(np.multiply, direction, momentum, direction)
            line(np.add, direction, g, direction)
        rate = np.empty((), data.dtype)
        line.text("{0}[()] = {1}['lr']", rate, group)
        line(np.multiply, direction, rate, scratch)
        line(np.subtract, data, scratch, data)
        return True

    @quiet
    def _step(self) -> None:
        memory, multiply, subtract = self._scratch, np.multiply, np.subtract  # found faster so
        try:
            for group in self.param_groups:
                lr = float(group["lr"])
                dtype, rate = FLOAT32, _rate(lr, FLOAT32)
                plain = not group["momentum"] and not group["weight_decay"]
                for p in group["params"]:
                    g = p.grad
                    if g is None:
                        continue
                    data = p._data
                    scratch, size, needed = memory.get(p) or self.scratch(p)
                    # NumPy would stretch a smaller one; to look at the size first is faster.
                    if g.size != size and g.shape != data.shape:
                        self.check_gradients()
                    direction = g if plain else self._remembered(p, g, group, scratch)
                    if dtype is not needed:
                        dtype, rate = needed, _rate(lr, needed)
                    multiply(direction, rate, scratch)
                    subtract(data, scratch, data)
                    p.serial = next_serial()
        except (AttributeError, TypeError, ValueError):
            self.check_gradients()
            raise

    def _remembered(self, p: Tensor, g: Array, group: dict[str, Any], scratch: Array) -> Array:
        """Return what lr multiplies, in `scratch` or in the momentum buffer of p."""
        slots = self.state.get(p)
        if slots is not None or not group["momentum"]:
            buffer = None if slots is None else slots["momentum_buffer"]
            return _direction(p._data, g, group, scratch, buffer)
        # Later the buffer's shape and dtype will tell; np.array would cast anything.
        if g.shape != p.shape or not np.can_cast(g.dtype, p.dtype, "same_kind"):
            self.check_gradients()
        start = _direction(p._data, g, {**group, "momentum": 0.0}, scratch, None)
        buffer = np.array(start, p.dtype)
        self.state[p] = {"momentum_buffer": buffer}
        free = None if start is scratch else scratch
        return _ahead(start, buffer, group, scratch, free) if group["nesterov"] else buffer


def _direction(data: Array, g: Array, group: Group, scratch: Array, buffer: Array | None) -> Array:
    """Return what lr multiplies, in `scratch` or in the momentum buffer, which goes on."""
    momentum, dampening = float(group["momentum"]), float(group["dampening"])
    decay = float(group["weight_decay"])
    if decay:
        np.multiply(data, decay, out=scratch)
        g = np.add(g, scratch, out=scratch)
    if not momentum or buffer is None:
        return g
    free = None if g is scratch else scratch
    np.multiply(buffer, momentum, out=buffer)
    np.add(buffer, np.multiply(g, 1 - dampening, out=free) if dampening else g, out=buffer)
    return _ahead(g, buffer, group, scratch, free) if group["nesterov"] else buffer


def _ahead(g: Array, buffer: Array, group: Group, scratch: Array, free: Array | None) -> Array:
    """Return Nesterov's direction, a step further along the buffer."""
    momentum = float(group["momentum"])
    ahead: Array = np.add(g, np.multiply(buffer, momentum, out=free), out=scratch)
    return ahead
