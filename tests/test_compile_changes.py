"""What is done between the calls of a compiled step is seen, or refused: nothing is frozen."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import World, X, Y, check_training, trained, usual
from test_compile_updates import never_zeroing, only_backward, only_step, zeroing_last

import microgrid as mg
from microgrid import nn

# --- what the user does between calls -------------------------------------------------------------


def change_weight(w: World) -> None:
    w.model[0].weight.data = w.model[0].weight.data * 2


def change_an_element(w: World) -> None:
    w.model[0].weight.data[0, 1] = 3.0


def load_model(w: World) -> None:
    state = {name: a + 0.5 for name, a in w.model.state_dict().items()}
    w.model.load_state_dict(state)


def load_optimizer(w: World) -> None:
    state = w.optimizer.state_dict()
    for slots in state["state"].values():
        slots["momentum_buffer"] = slots["momentum_buffer"] * 3 + 1
    state["param_groups"][0]["lr"] = 0.03
    w.optimizer.load_state_dict(state)


def forget_momentum(w: World) -> None:
    w.optimizer.state.clear()


def forget_momentum_of_one(w: World) -> None:
    w.optimizer.state.pop(w.model[0].weight, None)


def rebind_momentum(w: World) -> None:
    for slots in w.optimizer.state.values():
        slots["momentum_buffer"] = slots["momentum_buffer"] * 0


def write_momentum(w: World) -> None:
    for slots in w.optimizer.state.values():
        slots["momentum_buffer"][...] = 1


def set_(**settings: Any) -> Callable[[World], None]:
    return lambda w: w.optimizer.param_groups[0].update(settings)


def new_optimizer(w: World) -> None:
    w.optimizer = mg.optim.SGD(w.model.parameters(), lr=0.2, momentum=0.5)


def eager_step(w: World) -> None:
    usual(w, X * 2, Y)


def zero(w: World) -> None:
    w.model.zero_grad()


def set_gradients(w: World) -> None:
    for p in w.model.parameters():
        p.grad = np.ones_like(p.data)


def set_one_gradient(w: World) -> None:
    w.model[0].bias.grad = np.full(3, 0.5, np.float32)


def write_gradients(w: World) -> None:
    for p in w.model.parameters():
        if p.grad is not None:
            p.grad *= 0.5


def freeze(w: World) -> None:
    w.model[0].weight.requires_grad = False


def thaw(w: World) -> None:
    w.model[0].weight.requires_grad = True


def rebind_weight(w: World) -> None:
    w.model[0].weight = nn.Parameter(np.full((2, 3), 0.25), np.float32)


def rebind_bias_to_none(w: World) -> None:
    w.model[0].bias = None


def replace_layer(w: World) -> None:
    w.model.layers[0] = nn.Dense(2, 3, "relu", rng=1)


def append_layer(w: World) -> None:
    w.model.layers.append(nn.Dense(1, 1, rng=1))


def insert_function(w: World) -> None:
    w.model.layers.insert(1, mg.relu)


def replace_activation(w: World) -> None:
    w.model[0].activation = mg.relu


def tie(w: World) -> None:
    w.model[1].bias = nn.Parameter(np.zeros(1), np.float32)
    w.model[0].bias = w.model[0].bias


def copy_model(w: World) -> None:
    w.model = copy.deepcopy(w.model)


def pickle_model(w: World) -> None:
    w.model = pickle.loads(pickle.dumps(w.model))


def copy_both(w: World) -> None:
    w.model, w.optimizer = copy.deepcopy((w.model, w.optimizer))


def add_group(w: World) -> None:
    w.model.layers.append(nn.Dense(1, 1, rng=1))
    w.optimizer.add_param_group({"params": w.model[2].parameters(), "lr": 0.5})


def replace_member(w: World) -> None:
    w.optimizer.param_groups[0]["params"][0] = w.extra = nn.Parameter(np.ones((2, 3)), np.float32)
    w.model[0].weight = w.extra


CHANGES = [
    change_weight, change_an_element, load_model, load_optimizer, forget_momentum,
    forget_momentum_of_one, rebind_momentum, write_momentum, set_(lr=0.01), set_(momentum=0.5),
    set_(momentum=0.0), set_(weight_decay=0.1), set_(dampening=0.5), set_(nesterov=True),
    set_(lr=np.float32(0.1)), set_(lr=1), new_optimizer, eager_step, zero, set_gradients,
    set_one_gradient, write_gradients, freeze, thaw, rebind_weight, rebind_bias_to_none,
    replace_layer, append_layer, insert_function, replace_activation, tie, copy_model,
    pickle_model, copy_both, add_group, replace_member,
]  # fmt: skip
NAMES = [getattr(change, "__name__", "") + str(i) for i, change in enumerate(CHANGES)]


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
@pytest.mark.parametrize("step", [usual, never_zeroing, only_backward, only_step, zeroing_last])
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}], ids=str)
def test_changes_between_calls_are_seen(change: Any, step: Any, settings: Any) -> None:
    if "nesterov" in NAMES[CHANGES.index(change)] and not settings:
        return
    check_training(lambda w: trained(w, step, **settings), change, refused=True)
    check_training(
        lambda w: trained(w, step, **settings), eager_step, change, set_(lr=0.02), refused=True
    )
