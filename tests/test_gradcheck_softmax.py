"""gradcheck where weights vanish beside 1: no difference of values can show them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
