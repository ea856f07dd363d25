"""One training step in each library, as a good user of it would write the step.

Each function takes a case `[sizes, batch]` and returns the step (forward, loss, backward, SGD
update) and a function that runs a few steps and returns the last loss. Weights and data are the
same for all, so the losses must be too: so the benchmark knows that all do the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy_peers
from training_task import LEARNING_RATE, Built, Task, built


def microgrid_step(task: Task) -> Callable[[Any, Any], Any]:
    """Return the step as its user writes it, a function of a batch."""
    import microgrid as mg

    model = microgrid_model(task)
    optimizer = mg.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    loss_of = mg.cross_entropy if task.classify else mg.mse_loss

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def microgrid_model(task: Task) -> Any:
    """Return the net with the task's weights."""
    import microgrid as mg

    model = mg.nn.MLP(task.sizes)
    for parameter, value in zip(model.parameters(), task.in_turn(), strict=True):
        parameter.data = value
    return model


def microgrid_eager(case: Any) -> Built:
    import microgrid as mg

    task = Task(case)
    step = microgrid_step(task)
    x, y = mg.tensor(task.x), mg.tensor(task.y)
    return built(lambda: step(x, y))


def microgrid_compiled(case: Any, without: Iterable[str] = (), backend: str = "numpy") -> Built:
    import microgrid as mg

    task = Task(case)
    step = mg.compile(microgrid_step(task), without=without, backend=backend)
    return built(lambda: step(task.x, task.y))


def microgrid_numba(case: Any) -> Built:
    return microgrid_compiled(case, backend="numba")


def torch_model(task: Task) -> Any:
    """Return the net with the task's weights."""
    import torch

    layers: list[Any] = []
    for w, b in zip(task.weights, task.biases, strict=True):
        linear = torch.nn.Linear(*w.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def torch_eager(case: Any, compiled: bool = False) -> Built:
    import torch
    from torch.nn import functional

    task = Task(case)
    model = torch_model(task)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    x, y = torch.from_numpy(task.x), torch.from_numpy(task.y)
    loss_of = functional.cross_entropy if task.classify else functional.mse_loss

    def forward(x: Any, y: Any) -> Any:
        return loss_of(model(x), y)

    if compiled:
        forward = torch.compile(forward)

    def step() -> Any:
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return built(step, torch.Tensor.item)


def torch_compile(case: Any) -> Built:
    return torch_eager(case, compiled=True)


def jax_forward(params: Any, x: Any) -> Any:
    """Return the net's results for a batch."""
    import jax

    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    return x @ params[-1][0] + params[-1][1]


def jax_jit(case: Any) -> Built:
    import jax
    import jax.numpy as jnp

    task = Task(case)
    x, y = jnp.asarray(task.x), jnp.asarray(task.y)
    params = [
        (jnp.asarray(w), jnp.asarray(b)) for w, b in zip(task.weights, task.biases, strict=True)
    ]

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        out = jax_forward(params, x)
        if not task.classify:
            return jnp.mean((out - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], axis=1))

    def update(params: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), loss

    update = jax.jit(update, donate_argnums=0)

    def step() -> Any:
        nonlocal params
        params, loss = update(params, x, y)
        return loss.block_until_ready()

    return built(step)


def mygrad_step(case: Any) -> Built:
    import mygrad
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    mygrad.turn_memory_guarding_off()  # its own advice for speed
    task = Task(case)
    params = [mygrad.tensor(p) for p in task.in_turn()]

    def step() -> Any:
        out = task.x
        for i in range(0, len(params), 2):
            out = out @ params[i] + params[i + 1]
            if i + 2 < len(params):
                out = relu(out)
        loss = (
            softmax_crossentropy(out, task.y) if task.classify else mygrad.mean((out - task.y) ** 2)
        )
        loss.backward()
        for p in params:
            p.data -= LEARNING_RATE * p.grad  # the next use of p forgets p.grad
        return loss

    return built(step)


def autograd_step(case: Any) -> Built:
    import autograd.numpy as anp
    from autograd import value_and_grad

    task = Task(case)
    params = list(zip(task.weights, task.biases, strict=True))
    rows = np.eye(10, dtype=np.float32)[task.y] if task.classify else None  # faster than indexing

    def loss_of(params: Any) -> Any:
        out = task.x
        for w, b in params[:-1]:
            out = anp.maximum(out @ w + b, 0)
        out = out @ params[-1][0] + params[-1][1]
        if rows is None:
            return anp.mean((out - task.y) ** 2)
        out = out - anp.max(out, axis=1, keepdims=True)
        logs = out - anp.log(anp.sum(anp.exp(out), axis=1, keepdims=True))
        return -anp.sum(logs * rows) / task.batch

    loss_and_grads = value_and_grad(loss_of)

    def step() -> Any:
        loss, grads = loss_and_grads(params)
        for (w, b), (gw, gb) in zip(params, grads, strict=True):
            w -= LEARNING_RATE * gw
            b -= LEARNING_RATE * gb
        return loss

    return built(step)


def sklearn_model(task: Task, batch_size: int | None = None) -> Any:
    """Return the net with the task's weights, and so far trained on nothing."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPClassifier if task.classify else MLPRegressor
    # It minimises half the squared error, so twice the rate gives the steps of the others.
    rate = LEARNING_RATE if task.classify else 2 * LEARNING_RATE
    model = kind(
        hidden_layer_sizes=task.sizes[1:-1], solver="sgd", learning_rate_init=rate,
        momentum=0.0, nesterovs_momentum=False, alpha=0.0, batch_size=batch_size or task.batch,
        shuffle=False,
    )  # fmt: skip
    # The first call makes the arrays, which then take the weights that all peers start from.
    if task.classify:
        model.partial_fit(task.x, task.y, classes=range(10))
    else:
        model.partial_fit(task.x, task.y.ravel())
    values = task.weights + task.biases
    for own, value in zip(model.coefs_ + model.intercepts_, values, strict=True):
        own[...] = value
    return model


def sklearn_step(case: Any) -> Built:
    task = Task(case)
    model = sklearn_model(task)
    y, scale = (task.y, 1) if task.classify else (task.y.ravel(), 2)

    def step() -> Any:
        model.partial_fit(task.x, y)
        return scale * model.loss_

    return built(step)


def micrograd_step(case: Any) -> Built | None:
    from micrograd.nn import MLP

    task = Task(case)
    if task.classify:
        return None  # no exp, no log; and a step would take minutes
    model = MLP(task.sizes[0], task.sizes[1:])
    for layer, w, b in zip(model.layers, task.weights, task.biases, strict=True):
        for j, neuron in enumerate(layer.neurons):
            neuron.b.data = float(b[j])
            for i, weight in enumerate(neuron.w):
                weight.data = float(w[i, j])
    rows = [(row.tolist(), float(target[0])) for row, target in zip(task.x, task.y, strict=True)]

    def step() -> Any:
        model.zero_grad()
        loss = sum((model(row) - target) ** 2 for row, target in rows) / len(rows)
        loss.backward()
        for p in model.parameters():
            p.data -= LEARNING_RATE * p.grad
        return loss.data

    return built(step)


def pytensor_numba(case: Any) -> Built:
    import pytensor
    import pytensor.tensor as pt

    # Nothing is left over from an earlier run, so that the time of compiling is the true one.
    pytensor.config.numba__cache = False
    task = Task(case)
    x = pt.matrix(dtype="float32")
    y = pt.vector(dtype="int64") if task.classify else pt.matrix(dtype="float32")
    params = [pytensor.shared(p, borrow=True) for p in task.in_turn()]
    out = x
    for i in range(0, len(params), 2):
        out = out @ params[i] + params[i + 1]
        if i + 2 < len(params):
            out = pt.maximum(out, 0)
    if task.classify:
        loss = -pt.special.log_softmax(out, axis=1)[pt.arange(y.shape[0]), y].mean()
    else:
        loss = ((out - y) ** 2).mean()
    rate = np.float32(LEARNING_RATE)  # a Python float would make float64 of all
    updates = [(p, p - rate * g) for p, g in zip(params, pytensor.grad(loss, params), strict=True)]
    update = pytensor.function([x, y], loss, updates=updates, mode="NUMBA")
    update.trust_input = True  # its own advice for speed
    return built(lambda: update(task.x, task.y))


PEERS: dict[str, tuple[str, Callable[[Any], Built | None]]] = {
    "microgrid": ("microgrid", microgrid_compiled),
    "microgrid numba": ("numba", microgrid_numba),
    "microgrid eager": ("microgrid", microgrid_eager),
    "torch": ("torch", torch_eager),
    "torch.compile": ("torch", torch_compile),
    "jax": ("jax", jax_jit),
    "pytensor": ("pytensor", pytensor_numba),
    "mygrad": ("mygrad", mygrad_step),
    "autograd": ("autograd", autograd_step),
    "sklearn": ("sklearn", sklearn_step),
    "micrograd": ("micrograd", micrograd_step),
    "numpy": ("numpy", numpy_peers.by_hand),
    "numpy planned": ("numpy", numpy_peers.planned),
    "products": ("numpy", numpy_peers.products),
}
