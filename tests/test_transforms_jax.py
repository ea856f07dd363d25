"""The transforms against JAX's, in float64, on smooth networks with nested parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import microgrid as mg

jax = pytest.importorskip("jax")

Function = Callable[..., Any]

# JAX warns about platforms that it does not find, and about what it will drop one day.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _doubles() -> Iterator[None]:
    """Let JAX compute in float64, in this module only."""
    if hasattr(jax, "enable_x64"):
        switch = jax.enable_x64(True)
    else:
        switch = contextlib.ExitStack()
        switch.enter_context(__import__("jax.experimental").experimental.enable_x64())
    with switch:
        yield


def compare(actual: Any, expected: Any) -> None:
    """The structures are the same, and so are the numbers to 1e-10."""
    if isinstance(expected, dict):
        assert sorted(actual) == sorted(expected)
        pairs = [(actual[key], expected[key]) for key in expected]
    elif isinstance(expected, (list, tuple)):
        assert type(actual) is type(expected)
        assert len(actual) == len(expected)
        pairs = list(zip(actual, expected, strict=True))
    else:
        expected = np.asarray(expected)
        assert expected.dtype == np.float64
        actual = np.asarray(actual)
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)
        return
    for pair in pairs:
        compare(*pair)


# --- networks, as functions of the library that computes -----------------------------------------

RNG = np.random.default_rng(5)


def layers(*sizes: int) -> list[dict[str, np.ndarray]]:
    return [
        {"w": RNG.standard_normal((m, n)), "b": RNG.standard_normal(n)} for m, n in pairwise(sizes)
    ]


class Jax:
    """JAX's functions by microgrid's names."""

    tanh, exp, sin = jax.numpy.tanh, jax.numpy.exp, jax.numpy.sin
    softplus, sigmoid, silu = jax.nn.softplus, jax.nn.sigmoid, jax.nn.silu
    mish, elu = jax.nn.mish, jax.nn.elu
    softmax, log_softmax = jax.nn.softmax, jax.nn.log_softmax
    logsumexp, einsum = jax.nn.logsumexp, jax.numpy.einsum
    vjp = jax.vjp

    @staticmethod
    def gelu(x: Any) -> Any:
        return jax.nn.gelu(x, approximate=False)

    @staticmethod
    def hvp(f: Function, primals: Any, tangents: Any) -> Any:
        return Jax.jvp(jax.grad(f), primals, tangents)[1]

    @staticmethod
    def jvp(f: Function, primals: Any, tangents: Any) -> Any:
        return jax.jit(lambda *given: jax.jvp(f, *given))(tuple(primals), tuple(tangents))


def compiled(transform: Function) -> Function:
    """Compile as a whole what the transform gives: one by one, the ops take much longer."""
    return lambda f, argnums=0: jax.jit(transform(f, argnums))


for name in ("grad", "value_and_grad", "jacobian", "hessian"):
    setattr(Jax, name, staticmethod(compiled(getattr(jax, name))))


def forward(lib: Any, activation: str) -> Function:
    def net(parameters: Any, x: Any) -> Any:
        for layer in parameters[:-1]:
            x = getattr(lib, activation)(x @ layer["w"] + layer["b"])
        return x @ parameters[-1]["w"] + parameters[-1]["b"]

    return net


def cross_entropy(lib: Any, activation: str) -> Function:
    def loss(parameters: Any, x: Any) -> Any:
        scores = forward(lib, activation)(parameters, x)
        return -(LABELS * lib.log_softmax(scores)).sum() / len(LABELS)

    return loss


def attention(lib: Any, _: str) -> Function:
    """One head of attention, whose softmax and products mix all rows."""

    def loss(parameters: Any, x: Any) -> Any:
        q, k = (x @ layer["w"] + layer["b"] for layer in parameters)
        weights = lib.softmax(lib.einsum("ik,jk->ij", q, k) / 2.0)
        return lib.logsumexp(lib.einsum("ij,jk->ik", weights, lib.sin(x)))

    return loss


X = RNG.standard_normal((4, 3))
LABELS = np.eye(2)[[0, 1, 1, 0]]
PARAMETERS = layers(3, 5, 2)
PROJECTIONS = [layers(3, 2)[0], layers(3, 2)[0]]

CASES = [
    *((cross_entropy, name, PARAMETERS) for name in ("tanh", "softplus", "gelu", "silu", "mish")),
    (cross_entropy, "sigmoid", layers(3, 4, 4, 2)),
    (attention, "", PROJECTIONS),
]
each_loss = pytest.mark.parametrize(
    ("loss", "activation", "parameters"), CASES, ids=[f"{f.__name__}-{a}" for f, a, _ in CASES]
)


def like(tree: Any) -> Any:
    """Return random numbers in the structure of the tree."""
    if isinstance(tree, dict):
        return {key: like(part) for key, part in tree.items()}
    if isinstance(tree, list):
        return [like(part) for part in tree]
    return RNG.standard_normal(np.shape(tree))


@each_loss
def test_value_and_gradient(loss: Function, activation: str, parameters: Any) -> None:
    for lib, check in both():
        check(lib.value_and_grad(loss(lib, activation), (0, 1))(parameters, X))


@each_loss
def test_hessian(loss: Function, activation: str, parameters: Any) -> None:
    for lib, check in both():
        check(lib.hessian(loss(lib, activation), (0, 1))(parameters, X))


@each_loss
def test_product_with_the_hessian(loss: Function, activation: str, parameters: Any) -> None:
    tangent = like(parameters)
    for lib, check in both():
        f = loss(lib, activation)
        check(lib.hvp(lambda p, f=f: f(p, X), (parameters,), (tangent,)))


@each_loss
def test_jvp(loss: Function, activation: str, parameters: Any) -> None:
    tangents = (like(parameters), like(X))
    for lib, check in both():
        check(lib.jvp(loss(lib, activation), (parameters, X), tangents))


@pytest.mark.parametrize("activation", ["tanh", "elu", "gelu"])
def test_jacobian_vjp_and_jvp_of_a_net_of_several_outputs(activation: str) -> None:
    cotangent, tangents = like(LABELS), (like(PARAMETERS), like(X))
    for lib, check in both():
        net = forward(lib, activation)
        y, pullback = lib.vjp(net, PARAMETERS, X)
        check((y, pullback(cotangent), lib.jvp(net, (PARAMETERS, X), tangents)))
    for lib, check in both():
        check(lib.jacobian(forward(lib, activation), (0, 1))(PARAMETERS, X))


def test_jacobian_of_nested_results() -> None:
    for lib, check in both():

        def f(p: Any, x: Any, lib: Any = lib) -> Any:
            hidden = lib.tanh(x @ p["w"] + p["b"])
            return {"hidden": hidden, "pair": (lib.exp(p["b"]), [hidden.sum()])}

        check(lib.jacobian(f)(PARAMETERS[0], X))


def test_jacobian_of_more_results_than_arguments() -> None:
    for lib, check in both():
        check(lib.jacobian(lambda x, lib=lib: {"y": lib.sin(x @ PARAMETERS[0]["w"])})(X[0]))


def test_third_derivatives() -> None:
    def f(lib: Any) -> Function:
        return lambda x: lib.logsumexp(lib.tanh(x) * x)

    for lib, check in both():
        check(lib.jacobian(lib.hessian(f(lib)))(X[0]))


def test_forward_over_reverse_over_forward() -> None:
    x, t = X[0], X[1]
    for lib, check in both():

        def f(x: Any, lib: Any = lib) -> Any:
            return lib.jvp(lambda x: lib.softmax(x * x), (x,), (x,))[1].sum() + (
                lib.jvp(lambda x: lib.sin(x) * lib.exp(x), (x,), (t,))[1].sum()
            )

        check(lib.jvp(lib.grad(f), (x,), (t,)))


def both() -> Iterator[tuple[Any, Function]]:
    """Yield microgrid and JAX, each with what takes its result; then the two are compared."""
    results: list[Any] = []
    for lib in (mg, Jax):
        yield lib, results.append
    compare(*results)
