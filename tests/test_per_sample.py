"""Gradients and Jacobians sample by sample: values, what is refused, what stays as it was."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import microgrid as mg
from microgrid import nn
from microgrid.errors import GraphError, ShapeError
from microgrid.per_sample import PerSample
from microgrid.testing.strategies import networks

N = 7
F64 = {"dtype": np.float64}


def squared(prediction, target):
    return mg.mse_loss(prediction, target, reduction="none")


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape)


class Embedding(nn.Module):
    def __init__(self, by_index):
        self.by_index = by_index
        self.table = nn.Parameter(draw(5, 3))
        self.out = nn.Dense(3, 2, rng=0, **F64)

    def forward(self, x):
        return self.out(self.table[x] if self.by_index else mg.take(self.table, x, axis=0))


class FirstToken(nn.Module):
    """A learned row before the rows of each sample, a Dense over all rows at once."""

    def __init__(self):
        self.token = nn.Parameter(draw(1, 4))
        self.out = nn.Dense(4, 2, "tanh", rng=0, **F64)

    def forward(self, x):
        token = mg.broadcast_to(self.token, (len(x), 1, 4))
        rows = mg.concatenate([token, x], axis=1).reshape((-1, 4))
        return self.out(rows).reshape((len(x), -1, 2)).sum(axis=1)


class Columns(nn.Module):
    """Samples in columns, a parameter used twice, and one that is computed of others."""

    def __init__(self):
        self.w = nn.Parameter(draw(4, 3))
        self.v = nn.Parameter(draw(2, 4))
        self.scale = nn.Parameter(np.float64(0.3))

    def forward(self, x):
        mixed = (self.v * self.scale) @ mg.tanh(self.w @ mg.transpose(x))
        return mg.transpose(mixed) * self.scale


class Einsum(nn.Module):
    def __init__(self):
        self.w = nn.Parameter(draw(2, 3, 3))

    def forward(self, x):
        return mg.einsum("ni,kij,nj->nk", x, self.w, x)


class Cosine(nn.Module):
    """Directions of weights: a product of parameters alone, and a reduction of them."""

    def __init__(self):
        self.v, self.w = nn.Parameter(draw(3, 4)), nn.Parameter(draw(4, 2))

    def forward(self, x):
        w = self.v @ self.w
        return x @ (w / mg.norm(w, axis=0))


def chain(*layers):
    return nn.Sequential(nn.Dense(3, 6, rng=0, **F64), *layers, nn.Dense(6, 2, rng=1, **F64))


MODELS = {
    "MLP": lambda: nn.MLP([3, 5, 2], "tanh", rng=0, **F64),
    "no bias": lambda: nn.Dense(3, 2, bias=False, rng=0, **F64),
    "PReLU": lambda: chain(nn.PReLU()),
    "LayerNorm": lambda: chain(nn.LayerNorm(6, **F64)),
    "BatchNorm1d in evaluation": lambda: chain(nn.BatchNorm1d(6, **F64).eval()),
    "PiecewiseLinear": lambda: chain(nn.PiecewiseLinear([-1.0, 0.0, 1.0])),
    "Maxout": lambda: nn.Sequential(chain(), nn.Dense(2, 4, rng=2, **F64), nn.Maxout(2)),
    "take": lambda: Embedding(False),
    "index": lambda: Embedding(True),
    "broadcast and concatenate": FirstToken,
    "columns": Columns,
    "einsum": Einsum,
    "norm of a product": Cosine,
}
every_model = pytest.mark.parametrize("name", MODELS)


def problem(name, n=N):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 3))
    if name in ("take", "index"):
        x = rng.integers(5, size=n)
    if name == "broadcast and concatenate":
        x = rng.normal(size=(n, 3, 4))
    return MODELS[name](), x, rng.normal(size=(n, 2))


def one_by_one(model, x, y):
    """Run forward and backward for each sample alone."""
    found = {}
    for i in range(len(x)):
        gradient = mg.grad(lambda m, i=i: squared(m(x[i : i + 1]), y[i : i + 1]).sum())(model)
        for key, g in gradient.items():
            found.setdefault(key, []).append(g.numpy())
    return {key: np.stack(parts) for key, parts in found.items()}


# --- values --------------------------------------------------------------------------------------


@every_model
def test_gradients_are_those_of_a_loop_over_samples(name):
    model, x, y = problem(name)
    found = mg.per_sample_gradients(model, squared, x, y)
    expected = one_by_one(model, x, y)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        # Matrix products of one row and of several are summed in another order.
        np.testing.assert_allclose(found[key].numpy(), value, rtol=1e-12, atol=1e-13)


@every_model
def test_jacobians_are_those_of_mg_jacobian(name):
    model, x, _ = problem(name)
    found = mg.per_sample_jacobian(model, x)
    whole = mg.jacobian(lambda m: m(x))(model)
    for key, value in whole.items():
        assert found[key].shape == value.shape
        np.testing.assert_allclose(found[key].numpy(), value.numpy(), rtol=1e-12, atol=1e-13)


@given(
    networks(batch=4, values="integer")
    | networks(batch=3, dtype=object, values="dyadic")
    | networks(batch=2, dtype=np.float32, values="dyadic"),
    st.integers(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_on_exact_numbers_jacobians_are_exactly_those_of_a_loop(drawn, row):
    model, x = drawn
    alone = mg.jacobian(lambda m: m(x[row : row + 1]))(model)
    for key, j in mg.per_sample_jacobian(model, x).items():
        assert (j.data[row] == alone[key].data[0]).all()


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
def test_gradients_equal_those_of_torch_func(activation):
    torch = pytest.importorskip("torch")
    model = nn.MLP([3, 5, 4, 2], activation, rng=0, **F64)
    x, y = draw(N, 3), draw(N, 2)
    twin = {key: torch.tensor(p.numpy()) for key, p in model.named_parameters()}
    act = {"tanh": torch.tanh, "relu": torch.relu}.get(activation, torch.nn.functional.softplus)

    def loss(ps, x, y):
        for k in range(3):
            x = x @ ps[f"{k}.weight"] + ps[f"{k}.bias"]
            x = act(x) if k < 2 else x
        return ((x - y) ** 2).sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    expected = each(twin, torch.tensor(x), torch.tensor(y))
    for key, g in mg.per_sample_gradients(model, squared, x, y).items():
        # softplus is another formula there
        np.testing.assert_allclose(g.numpy(), expected[key].numpy(), rtol=1e-12, atol=1e-13)


def test_gradients_of_a_classifier_sum_to_that_of_the_batch():
    model, labels = nn.MLP([3, 5, 4], rng=0, **F64), np.arange(N) % 4
    found = mg.per_sample_gradients(
        model, lambda z, t: mg.cross_entropy(z, t, reduction="none"), draw(N, 3), labels
    )
    whole = mg.grad(lambda m: mg.cross_entropy(m(draw(N, 3)), labels, reduction="sum"))(model)
    for key, g in whole.items():
        np.testing.assert_allclose(found[key].numpy().sum(0), g.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_samples(n):
    model, x, y = problem("MLP", n)
    found = mg.per_sample_gradients(model, squared, x, y)
    assert {key: g.shape for key, g in found.items()} == {
        key: (n, *p.shape) for key, p in model.named_parameters()
    }
    for key, value in one_by_one(model, x, y).items():
        np.testing.assert_allclose(found[key].numpy(), value, rtol=1e-12, atol=1e-13)


def test_dropout_uses_the_mask_of_each_sample():
    model, x = nn.Sequential(nn.Dense(3, 50, rng=0), nn.Dropout(0.5, rng=0)), draw(2, 3)
    found = mg.per_sample_jacobian(model, x)["0.bias"].numpy()
    kept = found != 0
    assert (kept.sum(axis=2) <= 1).all()
    assert (kept[0] != kept[1]).any()


def test_a_parameter_that_is_not_used_has_zeros():
    model = nn.Sequential(nn.Dense(3, 2, rng=0))
    model.spare = nn.Parameter([1.0, 2.0])
    assert (
        mg.per_sample_jacobian(model, draw(N, 3))["spare"].numpy().tolist()
        == [[[0.0, 0.0]] * 2] * N
    )


def test_frozen_parameters_are_left_out():
    model = nn.MLP([3, 4, 2], rng=0)
    model[0].weight.requires_grad = False
    assert list(mg.per_sample_jacobian(model, draw(N, 3))) == ["0.bias", "1.weight", "1.bias"]


def test_gradients_have_the_dtype_of_their_parameters():
    found = mg.per_sample_gradients(nn.MLP([3, 4, 2], rng=0), squared, draw(N, 3), draw(N, 2))
    assert {g.dtype for g in found.values()} == {np.dtype(np.float32)}


def test_nothing_in_the_model_changes():
    model, x, y = problem("MLP")
    squared(model(x), y).sum().backward()
    before = {key: p.grad.copy() for key, p in model.named_parameters()}
    mg.per_sample_gradients(model, squared, x, y)
    for key, p in model.named_parameters():
        assert (p.grad == before[key]).all()


def test_what_is_nan_in_one_sample_stays_there():
    model, x, y = problem("MLP")
    x[2] = np.nan
    found = mg.per_sample_gradients(model, squared, x, y)["0.weight"].numpy()
    assert np.isnan(found).any(axis=(1, 2)).tolist() == [i == 2 for i in range(N)]


# An index of an array is a value that Python reads, which no compiled step may do.
@pytest.mark.parametrize("name", [name for name in MODELS if name != "index"])
def test_a_compiled_jacobian_is_the_plain_one_bit_for_bit(name):
    model, x, _ = problem(name)
    step = mg.compile(lambda x: PerSample("test", model, model.parameters(), (x,)).jacobian())
    step(x)
    others = x[::-1].copy()
    replayed = [j.numpy() for j in step(others)]
    for found, expected in zip(replayed, mg.per_sample_jacobian(model, others).values()):  # noqa: B905
        assert (found == expected.numpy()).all()
    assert step.traces == 1


def test_dense_layers_need_no_loop_over_samples():
    model, x, _ = problem("MLP")
    batch = PerSample("test", model, model.parameters(), (x,))
    batch.jacobian()
    assert batch.loops == 0


# --- what is refused -----------------------------------------------------------------------------


def refused(error, message, *args):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        mg.per_sample_gradients(*args)


@pytest.mark.parametrize("n", [2, N])
@pytest.mark.parametrize(
    ("mixing", "name"),
    [
        (lambda z: mg.softmax(z, axis=0), "softmax"),
        (lambda z: mg.cumsum(z, axis=0), "cumsum"),
        (lambda z: mg.flip(mg.cumsum(mg.flip(z, 0), axis=0), 0), "flip"),
        (lambda z: z * mg.take(z, np.arange(len(z)) - 1, axis=0), "take"),
    ],
)
def test_samples_that_mix_are_found(mixing, name, n):
    model = chain(mixing)
    refused(
        GraphError,
        f"per_sample_gradients: samples mix in {name}, whose result of shape ({n}, 6) depends on "
        "several of them; each needs to be alone, along one axis. Call eval() if it is batch "
        "normalisation, or take mg.jacobian.",
        model, squared, draw(n, 3), draw(n, 2),
    )  # fmt: skip


def test_a_mean_over_the_batch_is_found_by_its_shape():
    with pytest.raises(GraphError, match=r"samples mix in mean, whose result of shape \(6,\)"):
        mg.per_sample_jacobian(chain(lambda z: z - mg.mean(z, axis=0)), draw(N, 3))


def under_no_grad(z):
    with mg.no_grad():
        return z * mg.mean(z, axis=0)


@pytest.mark.parametrize(
    ("mixing", "name"),
    [
        (lambda z: z * mg.mean(z, axis=0).detach(), "multiply"),
        (lambda z: z * mg.mean(z.detach(), axis=0), "multiply"),
        (lambda z: z + (z - mg.mean(z, axis=0)).detach(), "add"),
        (lambda z: z + under_no_grad(z), "add"),
    ],
)
def test_samples_that_mix_where_no_gradient_goes_are_found(mixing, name):
    message = (
        f"samples mix in what is detached before {name}, whose result has shape ({N}, 6); each "
        "needs to be alone. Detach what depends on one sample, or take mg.jacobian."
    )
    model, x, y = chain(mixing), draw(N, 3), draw(N, 2)
    refused(GraphError, f"per_sample_gradients: {message}", model, squared, x, y)
    with pytest.raises(GraphError, match=f"^{re.escape('LevenbergMarquardt: ' + message)}$"):
        mg.optim.LevenbergMarquardt(model.parameters()).step(lambda x, y: model(x) - y, x, y)


@pytest.mark.parametrize(
    "inner",
    [
        lambda z: z * z.detach(),
        lambda z: z * mg.mean(z, axis=1, keepdims=True).detach(),
        lambda z: z * (z.detach() > 0),
    ],
)
def test_what_is_detached_of_each_sample_alone_is_a_constant(inner):
    model, x, y = chain(inner), draw(N, 3), draw(N, 2)
    found = mg.per_sample_gradients(model, squared, x, y)
    for key, value in one_by_one(model, x, y).items():  # another order of summation: a few ulps
        np.testing.assert_allclose(found[key].numpy(), value, rtol=1e-12, atol=1e-13)


def test_detached_dropout_is_not_compared_as_each_run_draws_its_own():
    model = chain(lambda z: z * nn.Dropout(0.5, rng=0)(z).detach())
    assert mg.per_sample_jacobian(model, draw(N, 3))["0.weight"].shape[0] == N


def test_what_is_no_module_is_refused():
    message = (
        "per_sample_jacobian: a model of type function was given; it needs a Module, whose "
        "parameters are found by name. Make a subclass of mg.nn.Module of it."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        mg.per_sample_jacobian(lambda x: x, draw(N, 3))


def test_batch_normalisation_in_training_is_refused_before_it_changes_anything():
    norm = nn.BatchNorm1d(6)
    with pytest.raises(ShapeError, match="two values per feature"):
        mg.per_sample_jacobian(chain(norm), draw(N, 3))
    assert norm.num_batches_tracked.item() == 0


def test_a_reduced_loss_is_refused():
    refused(
        ShapeError,
        "per_sample_gradients: the result has shape () for 7 samples and of shape () for one; it "
        'needs a row for each sample. Use reduction="none", and pass all arrays that have a row '
        "for each sample.",
        chain(), mg.mse_loss, draw(N, 3), draw(N, 2),
    )  # fmt: skip


def test_arrays_of_different_lengths_are_refused():
    refused(
        ShapeError,
        "per_sample_gradients: arrays of shapes (7, 3), (6, 2) were given; each needs a row for "
        "each sample.",
        chain(), squared, draw(N, 3), draw(N - 1, 2),
    )  # fmt: skip


def test_a_model_that_branches_on_the_batch_size_is_refused():
    refused(
        GraphError,
        "per_sample_gradients: the function does something else for one sample than for 7; it "
        "needs to do the same. Leave out what depends on the batch size.",
        chain(lambda z: mg.tanh(z) if len(z) > 1 else z), squared, draw(N, 3), draw(N, 2),
    )  # fmt: skip


def test_a_result_that_is_no_tensor_is_refused():
    refused(
        GraphError,
        "per_sample_gradients: the function returned a float; it needs a Tensor. Compute it from "
        "the parameters by microgrid's ops.",
        chain(), lambda p, t: 1.0, draw(N, 3), draw(N, 2),
    )  # fmt: skip
