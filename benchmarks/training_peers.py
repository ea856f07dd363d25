"""One training step in each library, as a good user of it would write the step.

Each function takes a case `[sizes, batch]` and returns the step (forward, loss, backward, SGD
update) and a function that runs a few steps and returns the last loss. Weights and data are the
same for all, so the losses must be too: so the benchmark knows that all do the same work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LEARNING_RATE = 0.01
CHECKED_STEPS = 5

Built = tuple[Callable[[], Any], Callable[[], float]]


class Task:
    """A net with ReLU and a batch; the loss is cross-entropy for 10 outputs, else squared error."""

    def __init__(self, case: Any) -> None:
        self.sizes, self.batch = case
        rng = np.random.default_rng(0)
        pairs = list(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        self.weights = [_float32(rng.normal(0, np.sqrt(2 / n), (n, m))) for n, m in pairs]
        self.biases = [np.zeros(m, np.float32) for _, m in pairs]
        self.x = _float32(rng.normal(size=(self.batch, self.sizes[0])))
        self.classify = self.sizes[-1] == 10
        if self.classify:
            self.y = rng.integers(10, size=self.batch)
        else:
            self.y = _float32(rng.normal(size=(self.batch, self.sizes[-1])))


def _float32(x: Any) -> Any:
    return np.ascontiguousarray(x, dtype=np.float32)


def _built(step: Callable[[], Any], read: Callable[[Any], float] = float) -> Built:
    def check() -> float:
        for _ in range(CHECKED_STEPS - 1):
            step()
        return read(step())

    return step, check


def microgrid_eager(case: Any) -> Built:
    import microgrid as mg

    task = Task(case)
    model = mg.nn.MLP(task.sizes)
    for parameter, value in zip(model.parameters(), _in_turn(task), strict=True):
        parameter.data = value
    optimizer = mg.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    x, y = mg.tensor(task.x), mg.tensor(task.y)
    loss_of = mg.cross_entropy if task.classify else mg.mse_loss

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return _built(step)


def _in_turn(task: Task) -> list[Any]:
    """Return weight, bias, weight, bias and so on."""
    return [p for pair in zip(task.weights, task.biases, strict=True) for p in pair]


def torch_eager(case: Any, compiled: bool = False) -> Built:
    import torch
    from torch.nn import functional

    task = Task(case)
    layers: list[Any] = []
    for w, b in zip(task.weights, task.biases, strict=True):
        linear = torch.nn.Linear(*w.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
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

    return _built(step, torch.Tensor.item)


def torch_compile(case: Any) -> Built:
    return torch_eager(case, compiled=True)


def jax_jit(case: Any) -> Built:
    import jax
    import jax.numpy as jnp

    task = Task(case)
    x, y = jnp.asarray(task.x), jnp.asarray(task.y)
    params = [
        (jnp.asarray(w), jnp.asarray(b)) for w, b in zip(task.weights, task.biases, strict=True)
    ]

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
        out = x @ params[-1][0] + params[-1][1]
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

    return _built(step)


def mygrad_step(case: Any) -> Built:
    import mygrad
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    mygrad.turn_memory_guarding_off()  # its own advice for speed
    task = Task(case)
    params = [mygrad.tensor(p) for p in _in_turn(task)]

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

    return _built(step)


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

    return _built(step)


def sklearn_step(case: Any) -> Built:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    task = Task(case)
    kind = MLPClassifier if task.classify else MLPRegressor
    # It minimises half the squared error, so twice the rate gives the steps of the others.
    half = 1 if task.classify else 2
    model = kind(
        hidden_layer_sizes=task.sizes[1:-1], solver="sgd", learning_rate_init=half * LEARNING_RATE,
        momentum=0.0, nesterovs_momentum=False, alpha=0.0, batch_size=task.batch, shuffle=False,
    )  # fmt: skip
    y = task.y if task.classify else task.y.ravel()
    # The first call makes the arrays, which then take the weights that all peers start from.
    model.partial_fit(task.x, y, **({"classes": range(10)} if task.classify else {}))
    for own, value in zip(
        model.coefs_ + model.intercepts_, task.weights + task.biases, strict=True
    ):
        own[...] = value

    def step() -> Any:
        model.partial_fit(task.x, y)
        return half * model.loss_

    return _built(step)


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

    return _built(step)


def numpy_by_hand(case: Any) -> Built:
    task = Task(case)
    weights, biases, rows = task.weights, task.biases, np.arange(task.batch)

    def step() -> Any:
        inputs = [task.x]
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            z = inputs[-1] @ w
            z += b
            inputs.append(np.maximum(z, 0, out=z))
        out = inputs[-1] @ weights[-1] + biases[-1]
        if task.classify:
            out -= out.max(axis=1, keepdims=True)
            g = np.exp(out)
            total = g.sum(axis=1, keepdims=True)
            loss = (np.log(total[:, 0]) - out[rows, task.y]).mean()
            g /= total
            g[rows, task.y] -= 1
            g /= task.batch
        else:
            out -= task.y
            loss = np.square(out).mean()
            g = out * (2 / out.size)
        for i in reversed(range(len(weights))):
            gw, gb = inputs[i].T @ g, g.sum(axis=0)
            if i:
                g = g @ weights[i].T
                g *= inputs[i] > 0
            gw *= LEARNING_RATE
            gb *= LEARNING_RATE
            weights[i] -= gw
            biases[i] -= gb
        return loss

    return _built(step)


def matrix_products(case: Any) -> Built:
    """The products of the step alone, into existing arrays: the floor for all who use this BLAS."""
    task = Task(case)
    calls: list[tuple[Any, Any, Any]] = []
    inputs = [task.x]
    for w in task.weights:
        calls.append((inputs[-1], w, np.empty((task.batch, w.shape[1]), np.float32)))
        inputs.append(calls[-1][-1])
    for i in reversed(range(len(task.weights))):
        w, g = task.weights[i], np.ones_like(inputs[i + 1])
        calls.append((inputs[i].T, g, np.empty_like(w)))
        if i:
            calls.append((g, w.T, np.empty_like(inputs[i])))

    def step() -> None:
        for a, b, out in calls:
            np.matmul(a, b, out)

    return step, lambda: float("nan")


PEERS: dict[str, tuple[str, Callable[[Any], Built | None]]] = {
    "microgrid": ("microgrid", microgrid_eager),
    "torch": ("torch", torch_eager),
    "torch.compile": ("torch", torch_compile),
    "jax": ("jax", jax_jit),
    "mygrad": ("mygrad", mygrad_step),
    "autograd": ("autograd", autograd_step),
    "sklearn": ("sklearn", sklearn_step),
    "micrograd": ("micrograd", micrograd_step),
    "numpy": ("numpy", numpy_by_hand),
    "products": ("numpy", matrix_products),
}
