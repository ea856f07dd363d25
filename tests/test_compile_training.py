"""Training, compiled: every layer with every loss and every setting of SGD is eager training.

50 steps each, bit for bit: losses, parameters, gradients, what the optimiser remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from compiled import Twins

import microgrid as mg
from microgrid import nn

STEPS = 50
BATCH, WIDTH, CLASSES = 6, 4, 3

LAYERS: dict[str, Callable[[Any], Any]] = {
    name: lambda rng, name=name: getattr(nn, name)()
    for name in (
        "CELU", "ELU", "GELU", "SELU", "CReLU", "Hardsigmoid", "Hardswish", "Hardtanh",
        "LeakyReLU", "LogSoftmax", "Maxout", "Mish", "PReLU", "ReLU", "ReLU6", "Sigmoid", "SiLU",
        "Softmax", "Softplus", "Softshrink", "Softsign", "Tanh",
    )
} | {
    "RReLU": lambda rng: nn.RReLU(rng=rng),
    "tanh GELU": lambda rng: nn.GELU("tanh"),
    "PReLU of each": lambda rng: nn.PReLU(WIDTH),
    "Dense without bias": lambda rng: nn.Dense(WIDTH, 5, "relu", bias=False, rng=rng),
    "Linear": lambda rng: nn.Linear(WIDTH, WIDTH, rng=rng),
    "MLP": lambda rng: nn.MLP([WIDTH, 5, 2], "tanh", rng=rng),
    "Sequential": lambda rng: nn.Sequential(nn.Tanh(), nn.Dense(WIDTH, 3, rng=rng), nn.ReLU()),
    "absolute": lambda rng: mg.absolute,
    "BatchNorm1d": lambda rng: nn.BatchNorm1d(WIDTH),
    "Dropout": lambda rng: nn.Dropout(0.3, rng=rng),
    "Flatten": lambda rng: nn.Flatten(),
    "Identity": lambda rng: nn.Identity(),
    "Lambda": lambda rng: nn.Lambda(mg.sin),
    "LayerNorm": lambda rng: nn.LayerNorm(WIDTH),
    "PiecewiseLinear": lambda rng: nn.PiecewiseLinear([-1, 0, 1], features=WIDTH),
}  # fmt: skip


def near(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(BATCH, CLASSES))


def signs(rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random((BATCH, CLASSES)) < 0.5, -1.0, 1.0)


def fractions(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 5, (BATCH, CLASSES)) / 4


def labels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, CLASSES, BATCH)


def small_labels(rng: np.random.Generator) -> np.ndarray:
    return labels(rng).astype(np.uint8)


def columns(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=BATCH)


def counts(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 4, (BATCH, CLASSES)) * 1.0


def shares(rng: np.random.Generator) -> np.ndarray:
    return np.eye(CLASSES)[labels(rng)] * 0.75 + 0.25 / CLASSES


WEIGHT = np.array([0.5, 2.0, 1.25])
OF_SAMPLES = np.array([0.5, 0.0, 2.0, 1.0, 0.25, 3.0])

# Each with what draws targets for it.
LOSSES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mse": (mg.mse_loss, near),
    "sum of squares": (lambda p, t: mg.mse_loss(p, t, reduction="sum"), near),
    "squares": (lambda p, t: mg.mse_loss(p, t, reduction="none").sum(), near),
    "l1": (mg.l1_loss, near),
    "huber": (lambda p, t: mg.huber_loss(p, t, delta=0.5), near),
    "smooth l1": (lambda p, t: mg.smooth_l1_loss(p, t, beta=0.5), near),
    "cross entropy": (mg.cross_entropy, labels),
    "cross entropy of small integers": (mg.cross_entropy, small_labels),
    "cross entropy, sum": (lambda p, t: mg.cross_entropy(p, t, reduction="sum"), labels),
    "cross entropy of shares": (mg.cross_entropy, shares),
    "cross entropy, weighted": (lambda p, t: mg.cross_entropy(p, t, weight=WEIGHT), labels),
    "cross entropy, smoothed": (lambda p, t: mg.cross_entropy(p, t, label_smoothing=0.1), labels),
    "nll": (lambda p, t: mg.nll_loss(mg.log_softmax(p, axis=-1), t), labels),
    "nll, weighted": (
        lambda p, t: mg.nll_loss(mg.log_softmax(p, axis=-1), t, weight=WEIGHT), labels,
    ),
    "binary cross entropy": (mg.binary_cross_entropy_with_logits, fractions),
    "binary cross entropy, weighted": (
        lambda p, t: mg.binary_cross_entropy_with_logits(p, t, weight=WEIGHT, pos_weight=WEIGHT),
        fractions,
    ),
    "hinge": (mg.hinge_loss, signs),
    "squared hinge": (mg.squared_hinge_loss, signs),
    "mse, samples": (lambda p, t: mg.mse_loss(p, t, sample_weight=OF_SAMPLES), near),
    "cross entropy, samples": (
        lambda p, t: mg.cross_entropy(p, t, sample_weight=OF_SAMPLES, ignore_index=1), labels,
    ),
    "multi margin": (mg.multi_margin_loss, labels),
    "multi margin, squares": (lambda p, t: mg.multi_margin_loss(p, t, p=2, weight=WEIGHT), labels),
    "pinball": (lambda p, t: mg.pinball_loss(p, t, quantile=0.2), near),
    "quantiles": (lambda p, t: mg.pinball_loss(p, t, quantile=[0.1, 0.5, 0.9]), columns),
    "epsilon insensitive": (mg.epsilon_insensitive_loss, near),
    "kl div": (lambda p, t: mg.kl_div_loss(mg.log_softmax(p), t, reduction="batchmean"), shares),
    "kl div of logs": (
        lambda p, t: mg.kl_div_loss(mg.log_softmax(p), mg.log(t), log_target=True), shares,
    ),
    "poisson": (lambda p, t: mg.poisson_nll_loss(p, t, full=True), counts),
    "poisson, rates": (
        lambda p, t: mg.poisson_nll_loss(mg.softplus(p), t, log_input=False), counts,
    ),
}  # fmt: skip
# Those before it meet every layer, the others the first few.
FIRST_OF_FEW = list(LOSSES).index("mse, samples")

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"lr": 0.05},
    "momentum": {"lr": 0.05, "momentum": 0.9},
    "dampening": {"lr": 0.05, "momentum": 0.5, "dampening": 0.25},
    "weight decay": {"lr": 0.05, "weight_decay": 0.1},
    "nesterov": {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    "all but dampening": {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.01, "nesterov": True},
    "two groups": {"lr": 0.02, "momentum": 0.5},
    "schedule": {"lr": 0.1, "momentum": 0.9},
    "frozen": {"lr": 0.05, "weight_decay": 0.01},
}


def network(layer: str, dtype: Any) -> nn.Sequential:
    """Return a network around the layer, in this dtype."""
    rng = np.random.default_rng(0)
    middle = LAYERS[layer](rng)
    first = nn.Dense(2, WIDTH, rng=rng)
    with mg.no_grad():
        width = middle(first(np.zeros((2, 2), np.float32))).shape[1]
    model = nn.Sequential(first, middle, nn.Dense(width, CLASSES, rng=rng))
    for module in model.modules():
        for name, p in list(vars(module).items()):
            if isinstance(p, nn.Parameter):
                setattr(module, name, nn.Parameter(p.data, dtype))
    return model


def optimizer_of(model: nn.Sequential, setting: str) -> mg.optim.SGD:
    """Return an optimiser in this setting; freeze what it says."""
    parameters = list(model.parameters())
    if setting == "frozen":
        parameters[0].requires_grad = False
    if setting != "two groups":
        return mg.optim.SGD(parameters, **SETTINGS[setting])
    groups = [{"params": parameters[::2]}, {"params": parameters[1::2], "lr": 0.1, "momentum": 0.0}]
    return mg.optim.SGD(groups, **SETTINGS[setting])


def training(layer: str, loss: str, setting: str, dtype: Any) -> Callable[[], Any]:
    """Return a builder of a training step; its last argument is for the schedule."""

    def build() -> Any:
        model = network(layer, dtype)
        optimizer = optimizer_of(model, setting)

        def step(x: Any, y: Any) -> Any:
            value = LOSSES[loss][0](model(x), y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            return value

        def seen() -> Any:
            if setting == "schedule":
                for group in optimizer.param_groups:
                    group["lr"] *= 0.9
                    group["momentum"] = 0.9 - group["lr"]
            parameters = [[p.data, p.grad] for p in model.parameters()]
            return parameters, optimizer.state_dict(), [b.data for b in model.buffers()]

        return step, seen

    return build


# Each layer with each of the usual losses; settings and dtypes run through both.
GRID = [
    (layer, loss, list(SETTINGS)[(row + column) % len(SETTINGS)], dtype)
    for (row, layer), (column, loss) in product(enumerate(LAYERS), enumerate(LOSSES))
    for dtype in [("float32", "float64")[(row + column // len(SETTINGS)) % 2]]
    if column < FIRST_OF_FEW or row < len(SETTINGS)
]


def test_the_grid_has_every_layer_loss_and_setting_in_both_dtypes() -> None:
    layers = {name for name, kind in vars(nn).items() if isinstance(kind, type) and name[0] != "_"}
    assert layers - set(LAYERS) <= {"Buffer", "Dense", "Module", "Parameter"}
    assert {case[0::3] for case in GRID} == set(product(LAYERS, ("float32", "float64")))
    assert {case[1:4:2] for case in GRID} == set(product(LOSSES, ("float32", "float64")))
    assert {case[2:] for case in GRID} == set(product(SETTINGS, ("float32", "float64")))
    assert {case[1:3] for case in GRID} == set(product(LOSSES, SETTINGS))
    assert {case[0:3:2] for case in GRID} == set(product(LAYERS, SETTINGS))


@pytest.mark.parametrize(("layer", "loss", "setting", "dtype"), GRID)
def test_compiled_training_is_eager_training(
    layer: str, loss: str, setting: str, dtype: str
) -> None:
    twins = Twins(training(layer, loss, setting, dtype))
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        x = rng.normal(size=(BATCH, 2)).astype(dtype)
        y = LOSSES[loss][1](rng)
        twins.call(x, y.astype(dtype) if y.dtype.kind == "f" else y)
    assert twins.compiled.traces <= 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [*nn.activations.NAMED, None])
@pytest.mark.parametrize(("loss", "batch"), [("mse", 33), ("cross entropy", 65), ("l1", 1)])
def test_compiled_training_of_wide_layers_is_eager_training(
    activation: Any, loss: str, batch: int, dtype: str
) -> None:
    # Wide enough for the loops of wide registers, with a rest.
    def build() -> Any:
        model = nn.MLP([70, 129, 50, CLASSES], activation, rng=0, dtype=dtype)
        if activation in ("crelu", "maxout"):
            model = nn.Sequential(
                nn.Dense(70, 129, activation, rng=0, dtype=dtype),
                nn.Dense(258, CLASSES, rng=0, dtype=dtype),
            )
        optimizer = mg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.01)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            value = LOSSES[loss][0](model(x), y)
            value.backward()
            optimizer.step()
            return value

        return step, lambda: [[p.data, p.grad] for p in model.parameters()]

    twins = Twins(build)
    rng = np.random.default_rng(1)
    for _ in range(4):
        y = rng.integers(0, CLASSES, batch)
        targets = y if loss == "cross entropy" else rng.normal(size=(batch, CLASSES)).astype(dtype)
        twins.call(rng.normal(size=(batch, 70)).astype(dtype), targets)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("left_out", ["flat", "reuse", "inline"])
def test_training_compiled_without_a_pass_is_eager_training(setting: str, left_out: str) -> None:
    twins = Twins(training("ReLU", "cross entropy", setting, "float32"), without=[left_out])
    rng = np.random.default_rng(1)
    for _ in range(10):
        twins.call(rng.normal(size=(BATCH, 2)).astype(np.float32), labels(rng))


@pytest.mark.parametrize("layer", LAYERS)
def test_compiled_predictions_are_eager_predictions(layer: str) -> None:
    model = network(layer, np.float32).eval()
    predict = mg.compile(model)
    rng = np.random.default_rng(2)
    for size in (1, 5, 1, 8, 5):
        x = rng.normal(size=(size, 2)).astype(np.float32)
        with mg.no_grad():
            expected = model(x)
        assert predict(x).data.tobytes() == expected.data.tobytes()
    assert predict.traces == 3


def test_batches_of_odd_sizes_are_each_trained_as_eager_code_does() -> None:
    twins = Twins(training("ReLU", "cross entropy", "momentum", "float32"))
    rng = np.random.default_rng(3)
    for size in (6, 6, 2, 6, 1, 2, 6, 1):
        twins.call(rng.normal(size=(size, 2)).astype(np.float32), rng.integers(0, CLASSES, size))
    assert twins.compiled.traces == 3
