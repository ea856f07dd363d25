"""Losses by PyTorch: values and gradients of every option with every other, in both dtypes."""

from itertools import product

import numpy as np
import pytest

import microgrid as mg

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
P, T = RNG.normal(size=(6, 4)) * 2, RNG.normal(size=(6, 4)) * 2
Z = RNG.normal(size=(6, 4)) * 3
LOGS = np.log(RNG.dirichlet(np.ones(4), size=6))
LABELS = np.array([0, 3, 1, 1, 2, 0])
IGNORED = np.array([0, -100, 1, -100, 2, 0])
SOFT = RNG.dirichlet(np.ones(4), size=6)
HOLES = SOFT * (SOFT > 0.2)  # probabilities of 0 among them
COUNTS = np.array([0, 1, 2, 5] * 6).reshape(6, 4).astype(float)
WEIGHT = np.array([0.5, 2.0, 1.0, 3.0])
MEANS = ["mean", "sum", "none"]
# float64: both round each of a few operations. float32: so do they, and terms cancel.
TOLERANCES = {"float64": {"rtol": 1e-12, "atol": 1e-13}, "float32": {"rtol": 2e-5, "atol": 2e-5}}


def options(**choices):
    """Return every combination of the choices."""
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


# name, PyTorch's where it is another, prediction, target, options
CASES = [
    ("mse_loss", None, P, T, options(reduction=MEANS)),
    ("l1_loss", None, P, T, options(reduction=MEANS)),
    ("huber_loss", None, P, T, options(reduction=MEANS, delta=[1.0, 0.3])),
    ("smooth_l1_loss", None, P, T, options(reduction=MEANS, beta=[1.0, 0.3, 0.0])),
    (
        "multi_margin_loss", None, Z, LABELS,
        options(reduction=MEANS, p=[1, 2], margin=[1.0, 0.3, -0.5, 0.0], weight=[None, WEIGHT]),
    ),
    ("kl_div_loss", "kl_div", LOGS, SOFT, options(reduction=[*MEANS, "batchmean"])),
    ("kl_div_loss", "kl_div", LOGS, HOLES, options(reduction=[*MEANS, "batchmean"])),
    (
        "kl_div_loss", "kl_div", LOGS, np.log(SOFT),
        options(reduction=[*MEANS, "batchmean"], log_target=[True]),
    ),
    (
        "poisson_nll_loss", None, P, COUNTS,
        options(reduction=MEANS, log_input=[True], full=[True, False]),
    ),
    (
        "poisson_nll_loss", None, np.exp(P), COUNTS,
        options(reduction=MEANS, log_input=[False], full=[True, False], eps=[1e-8, 0.5]),
    ),
    ("nll_loss", None, Z, LABELS, options(reduction=MEANS, weight=[None, WEIGHT])),
    (
        "nll_loss", None, Z, IGNORED,
        options(reduction=MEANS, weight=[None, WEIGHT], ignore_index=[-100]),
    ),
    ("nll_loss", None, Z, LABELS, options(reduction=MEANS, ignore_index=[1, 0, 7])),
    (
        "cross_entropy", None, Z, IGNORED,
        options(reduction=MEANS, weight=[None, WEIGHT], label_smoothing=[0.0, 0.1, 1.0],
                ignore_index=[-100]),
    ),
    *(
        ("cross_entropy", None, Z, labels,
         options(reduction=MEANS, weight=[None, WEIGHT], label_smoothing=[0.0, 0.1, 1.0]))
        for labels in (LABELS, SOFT)
    ),
    *(
        ("binary_cross_entropy_with_logits", None, Z, target,
         options(reduction=MEANS, weight=[None, WEIGHT], pos_weight=[None, WEIGHT]))
        for target in (SOFT, (SOFT > 0.3).astype(float))
    ),
]  # fmt: skip
EACH = [
    pytest.param(name, theirs or name, p, t, given, id=f"{name} {i}: {given}")
    for i, (name, theirs, p, t, every) in enumerate(CASES)
    for given in every
]


def cast(value, dtype):
    """Return an array in the dtype if it has floats."""
    floats = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(dtype) if floats else value


def by_pytorch(name, prediction, target, **given):
    p = torch.tensor(prediction, requires_grad=True)
    given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
    value = getattr(torch.nn.functional, name)(p, torch.tensor(target), **given)
    value.sum().backward()
    return value.detach().numpy(), p.grad.numpy()


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "theirs", "prediction", "target", "given"), EACH)
def test_values_and_gradients_equal_pytorchs(name, theirs, prediction, target, given, dtype):
    prediction, target = cast(prediction, dtype), cast(target, dtype)
    given = {key: cast(value, dtype) for key, value in given.items()}
    p = mg.tensor(prediction, requires_grad=True)
    value = getattr(mg, name)(p, target, **given)
    value.sum().backward()
    expected = by_pytorch(theirs, prediction, target, **given)
    for found, wanted in zip((value.numpy(), p.grad), expected, strict=True):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found, wanted, **TOLERANCES[dtype])


@pytest.mark.parametrize("log_target", [False, True])
def test_gradients_towards_the_target_equal_pytorchs(log_target):
    target = np.log(SOFT) if log_target else SOFT
    t, twin = mg.tensor(target, requires_grad=True), torch.tensor(target, requires_grad=True)
    mg.kl_div_loss(LOGS, t, log_target=log_target).backward()
    theirs = torch.nn.functional.kl_div
    theirs(torch.tensor(LOGS), twin, log_target=log_target, reduction="sum").backward()
    np.testing.assert_allclose(t.grad * t.size, twin.grad.numpy(), **TOLERANCES["float64"])


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_the_mean_of_ignored_rows_alone_is_nan_as_pytorchs(name):
    labels = np.full(6, -100)
    value = getattr(mg, name)(Z, labels, ignore_index=-100)
    assert np.isnan(value)
    assert np.isnan(by_pytorch(name, Z, labels)[0])
