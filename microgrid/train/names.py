"""Losses and optimisers that `fit` knows by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .. import nn, optim
from ..core import Tensor
from ..nn import losses
from ..optim import Optimizer

Loss: TypeAlias = Callable[[Any, Any], Any]

LOSSES: dict[str, Loss] = {
    "mse": losses.mse_loss,
    "mae": losses.l1_loss,
    "l1": losses.l1_loss,
    "huber": losses.huber_loss,
    "smooth_l1": losses.smooth_l1_loss,
    "pinball": losses.pinball_loss,
    "epsilon_insensitive": losses.epsilon_insensitive_loss,
    "cross_entropy": losses.cross_entropy,
    "nll": losses.nll_loss,
    "binary_cross_entropy": losses.binary_cross_entropy_with_logits,
    "hinge": losses.hinge_loss,
    "squared_hinge": losses.squared_hinge_loss,
    "multi_margin": losses.multi_margin_loss,
    "kl_div": losses.kl_div_loss,
    "poisson_nll": losses.poisson_nll_loss,
}
OPTIMIZERS: dict[str, Callable[[list[Tensor]], Optimizer]] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "nadam": optim.NAdam,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "adadelta": optim.Adadelta,
    "rprop": optim.Rprop,
    "lion": optim.Lion,
}


def named_loss(who: str, loss: str | Loss) -> Loss:
    """Return the loss, given by name (also that of its function) or as a function.

    Raises:
        ValueError: the name is not known.
        TypeError: it is neither a name nor a function.
    """
    if isinstance(loss, str):
        by_function = {getattr(function, "__name__", ""): function for function in LOSSES.values()}
        found: Loss = _known(who, "loss", loss, {**by_function, **LOSSES}, LOSSES, "a function")
        return found
    if not callable(loss):
        raise TypeError(
            f"{who}: the loss given is of type {type(loss).__name__}; it needs a name or a "
            "function of (prediction, target)."
        )
    return loss


def named_optimizer(who: str, optimizer: str | Optimizer, model: nn.Module) -> Optimizer:
    """Return the optimiser, given by name or as an object that has parameters of the model.

    Raises:
        ValueError: the name is not known, or no parameter of the model would be trained.
        TypeError: it is neither a name nor an optimiser.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError(
            f"{who}: no parameter of the {type(model).__name__} requires a gradient. "
            "Give it layers with parameters, or set requires_grad=True on some."
        )
    if isinstance(optimizer, str):
        make = _known(who, "optimizer", optimizer.lower(), OPTIMIZERS, OPTIMIZERS, "an object")
        made: Optimizer = make(trained)
        return made
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{who}: the optimizer given is of type {type(optimizer).__name__}; it needs a name "
            "or an object such as SGD(model.parameters(), lr=0.1)."
        )
    ours = {id(p) for p in trained}
    if not any(id(p) in ours for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            f"{who}: the optimizer has no parameter of this model, so nothing would be learned. "
            "Make it from model.parameters() of the same model."
        )
    return optimizer


def _known(
    who: str, what: str, name: str, table: Mapping[str, Any], shown: Mapping[str, Any], other: str
) -> Any:
    if name not in table:
        raise ValueError(
            f"{who}: the {what} {name!r} is not known; the names are {', '.join(shown)}. "
            f"Pass {other} for another."
        )
    return table[name]
