"""gradcheck where weights vanish beside 1: no difference of values can show them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from own_ops import declared

import microgrid as mg

FUNCTIONS = {
    "cross entropy": lambda x: mg.cross_entropy(x, np.array([0])),
    "log softmax": mg.log_softmax,
    "logsumexp": mg.logsumexp,
    "softmax": mg.softmax,
}


def point(*values: float) -> mg.Tensor:
    return mg.tensor([values], requires_grad=True)


@pytest.mark.parametrize("gap", [1.0, 5.0, 8.0, 20.0, 36.0, 57.0, 700.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_right_gradients_are_accepted_whatever_the_gap(name: str, gap: float) -> None:
    for seed in range(3):
        assert mg.testing.gradcheck(FUNCTIONS[name], [point(0.0, -gap)], rng=seed)


def test_logits_of_any_size_are_accepted() -> None:
    rng = np.random.default_rng(0)
    for scale in (1, 6, 12, 30):
        x = mg.tensor(rng.normal(size=(3, 4)) * scale, requires_grad=True)
        assert mg.testing.gradcheck(lambda x: mg.cross_entropy(x, np.array([0, 1, 2])), [x], rng=1)


@pytest.mark.parametrize("factor", [1 + 1e-6, 1 - 1e-3, 2.0])
def test_a_wrong_factor_is_found_all_the_same(factor: float) -> None:
    own = mg.Op(
        name="own_logsumexp", doc="ln Σ exp(x[i])",
        kernel=lambda x, out=None: np.log(np.exp(x).sum(keepdims=True), out=out),
        vjps=(lambda g, y, x: factor * g * mg.exp(x - y),),
        domains=(mg.Domain(),), signature="(...)->(...)",
        inner=lambda x: 1,
    )  # fmt: skip

    def check(x: Any) -> bool:
        return mg.testing.gradcheck(own, [x], raise_exception=False)

    try:
        assert not check(point(0.0, -1.0))
        assert not check(point(0.0, -8.0))
    finally:
        del mg.OPS["own_logsumexp"]


# --- terms that cancel ---------------------------------------------------------------------------


@pytest.mark.parametrize("power", range(2, 12))
@pytest.mark.parametrize("factor", [1, -1, 1.1])
def test_a_black_box_whose_terms_cancel_is_accepted(power: int, factor: float) -> None:
    # log cosh is near x²/2, but the terms that it is made of have rounding errors of log 2.
    x = np.array(factor * 2.0**-power)
    for seed in range(3):
        assert mg.testing.gradcheck(
            lambda x: np.logaddexp(x, -x) - np.log(2), x, gradient=np.tanh, rng=seed
        )


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("power", range(2, 12))
def test_an_op_whose_terms_cancel_is_accepted(power: int, dtype: str) -> None:
    def kernel(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        size = np.abs(x)
        return np.subtract(size + np.log1p(np.exp(-2 * size)), x.dtype.type(np.log(2)), out=out)

    rule = lambda g, y, x: g * mg.tanh(x)  # noqa: E731
    x = mg.tensor([2.0**-power], dtype=dtype, requires_grad=True)
    with declared(name="own_log_cosh", kernel=kernel, vjps=(rule,), signature="()->()") as op:
        for seed in range(3):
            assert mg.testing.gradcheck(op, [x], rng=seed)
