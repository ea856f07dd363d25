"""Gradients and optimisers in compiled steps: what is seen after each call is what eager shows."""

from __future__ import annotations

from typing import Any

import pytest
from compiled import World, check_training, trained, usual

import microgrid as mg

# --- how gradients are gathered -------------------------------------------------------------------


def zeroing_first(w: World, x: Any, y: Any) -> Any:
    w.optimizer.zero_grad()
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    w.optimizer.step()
    return loss


def zeroing_last(w: World, x: Any, y: Any) -> Any:
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    w.optimizer.step()
    w.optimizer.zero_grad()
    return loss


def zeroing_the_model(w: World, x: Any, y: Any) -> Any:
    w.model.zero_grad()
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    w.optimizer.step()
    return loss


def zeroing_some(w: World, x: Any, y: Any) -> Any:
    w.model[0].zero_grad()
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    w.optimizer.step()
    return loss


def never_zeroing(w: World, x: Any, y: Any) -> Any:
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    w.optimizer.step()
    return loss


def only_backward(w: World, x: Any, y: Any) -> Any:
    loss = mg.mse_loss(w.model(x), y)
    loss.backward()
    return loss


def only_step(w: World, x: Any, y: Any) -> Any:
    w.optimizer.step()
    return mg.mse_loss(w.model(x), y)


def two_losses(w: World, x: Any, y: Any) -> Any:
    w.optimizer.zero_grad()
    first, second = mg.mse_loss(w.model(x), y), mg.l1_loss(w.model(x), y)
    first.backward()
    second.backward()
    w.optimizer.step()
    return first, second


def one_graph_twice(w: World, x: Any, y: Any) -> Any:
    w.optimizer.zero_grad()
    loss = mg.mse_loss(w.model(x), y)
    loss.backward(retain_graph=True)
    loss.backward()
    w.optimizer.step()
    return loss


def two_steps(w: World, x: Any, y: Any) -> Any:
    return [usual(w, x, y), usual(w, x, y)]


def one_gradient_twice(w: World, x: Any, y: Any) -> Any:
    loss = usual(w, x, y)
    w.optimizer.step()
    return loss


def two_steps_that_accumulate(w: World, x: Any, y: Any) -> Any:
    return [never_zeroing(w, x, y), never_zeroing(w, x, y)]


def backward_with_a_gradient(w: World, x: Any, y: Any) -> Any:
    w.optimizer.zero_grad()
    out = w.model(x)
    out.backward(out.detach() - y)
    w.optimizer.step()
    return out


def backward_with_an_argument(w: World, x: Any, y: Any) -> Any:
    w.optimizer.zero_grad()
    out = w.model(x)
    out.backward(y)
    w.optimizer.step()
    return out


def gradients_by_hand(w: World, x: Any, y: Any) -> Any:
    loss = mg.mse_loss(w.model(x), y)
    parameters = list(w.model.parameters())
    found = mg.gradients(loss, parameters)
    with mg.no_grad():
        for p, g in zip(parameters, found, strict=True):
            p -= 0.1 * g
    return loss, found


def assigned(w: World, x: Any, y: Any) -> Any:
    loss = mg.mse_loss(w.model(x), y)
    p = w.model[0].weight
    mg.assign(p, p.detach() * 0.5 - mg.gradients(loss, p))
    return loss, mg.mse_loss(w.model(x), y)


def set_data(w: World, x: Any, y: Any) -> Any:
    p = w.model[0].weight
    p.data = p.detach() * 0.5
    return w.model(x)


def double_backward(w: World, x: Any, y: Any) -> Any:
    w.optimizer.zero_grad()
    loss = mg.mse_loss(w.model(x), y)
    found = mg.gradients(loss, list(w.model.parameters()), create_graph=True)
    penalty = sum(((g * g).sum() for g in found), mg.tensor(0.0))
    (loss + 0.1 * penalty).backward()
    w.optimizer.step()
    return loss, penalty


def transforms(w: World, x: Any, y: Any) -> Any:
    value, found = mg.value_and_grad(lambda m: mg.mse_loss(m(x), y))(w.model)
    with mg.no_grad():
        for name, p in w.model.named_parameters():
            p -= found[name] * 0.1
    return value


def grad_of_the_input(w: World, x: Any, y: Any) -> Any:
    return mg.grad(lambda x: mg.mse_loss(w.model(x), y))(x), usual(w, x, y)


def moving_average(w: World, x: Any, y: Any) -> Any:
    loss = usual(w, x, y)
    if not w.held:
        return loss
    with mg.no_grad():
        for average, p in zip(w.held, w.model.parameters(), strict=True):
            average *= 0.9
            average += p * 0.1
    return loss


def clearing_at_the_end(w: World, x: Any, y: Any) -> Any:
    loss = usual(w, x, y)
    w.model.zero_grad()
    return loss


def half_without_a_graph(w: World, x: Any, y: Any) -> Any:
    w.optimizer.zero_grad()
    with mg.no_grad():
        hidden = w.model[0](x)
    loss = mg.mse_loss(w.model[1](hidden), y)
    loss.backward()
    w.optimizer.step()
    return loss


def used_twice(w: World, x: Any, y: Any) -> Any:
    w.optimizer.zero_grad()
    weight = w.model[0].weight
    loss = mg.mse_loss(w.model(x), y) + (weight * weight).sum() + weight.sum()
    loss.backward()
    w.optimizer.step()
    return loss


def switched_inside(w: World, x: Any, y: Any) -> Any:
    w.model.eval()
    out = w.model(x)
    w.model.train()
    return usual(w, x, y), out


def reading_the_state(w: World, x: Any, y: Any) -> Any:
    loss = usual(w, x, y)
    return loss, *w.model.parameters()


STEPS = [
    usual, zeroing_first, zeroing_last, zeroing_the_model, zeroing_some, never_zeroing,
    only_backward, only_step, two_losses, one_graph_twice, two_steps, one_gradient_twice,
    two_steps_that_accumulate, backward_with_a_gradient, backward_with_an_argument,
    gradients_by_hand, assigned, set_data, double_backward, transforms, grad_of_the_input,
    moving_average, clearing_at_the_end, half_without_a_graph, used_twice, switched_inside,
    reading_the_state,
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "weight_decay": 0.01}], ids=str)
def test_steps_of_all_kinds_are_those_of_eager_code(step: Any, settings: Any) -> None:
    check_training(lambda w: trained(w, step, **settings), before=6, after=6)


def hold_averages(w: World) -> None:
    w.held = [mg.tensor(p.data) for p in w.model.parameters()]


def test_a_moving_average_of_parameters_is_that_of_eager_code() -> None:
    check_training(lambda w: trained(w, moving_average), hold_averages)
