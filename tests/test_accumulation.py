"""Gradients gathered over several small batches: exactly those of one large batch."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import Twins

import microgrid as mg
from microgrid import nn, optim

MICRO, PARTS = 4, 4


def dyadic(rng, *shape):
    """Return eighths: sums and products of a few of them are exact in any order."""
    return rng.integers(-8, 9, shape) / 8


def dyadic_model():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Dense(3, 4, "relu", dtype=float), nn.Dense(4, 2, dtype=float))
    for p in model.parameters():
        p.data = dyadic(rng, *p.shape)
    return model


def batch(rng):
    return dyadic(rng, MICRO * PARTS, 3), dyadic(rng, MICRO * PARTS, 2)


def parts(x, y):
    return [(x[i : i + MICRO], y[i : i + MICRO]) for i in range(0, MICRO * PARTS, MICRO)]


def of_whole(model, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        loss = mg.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def of_parts(model, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        total = 0.0
        for part_x, part_y in parts(x, y):
            loss = mg.mse_loss(model(part_x), part_y) / PARTS
            loss.backward()
            total = total + loss.detach()
        optimizer.step()
        return total

    return step


SETTINGS = [
    (optim.SGD, {"lr": 0.125}),
    (optim.SGD, {"lr": 0.125, "momentum": 0.5, "weight_decay": 0.125}),
    (optim.Adam, {"lr": 0.125}),
]
each_setting = pytest.mark.parametrize(("make", "settings"), SETTINGS)


@each_setting
@pytest.mark.parametrize("compiled", [False, True])
def test_small_batches_add_up_to_a_large_one_exactly(make, settings, compiled):
    x, y = batch(np.random.default_rng(1))
    results = []
    for build in (of_whole, of_parts):
        model = dyadic_model()
        step = build(model, make(model.parameters(), **settings))
        loss = (mg.compile(step) if compiled else step)(x, y).item()
        grads = [p.grad.tolist() for p in model.parameters()]
        results.append((loss, grads, [p.tolist() for p in model.parameters()]))
    assert results[0] == results[1]


@each_setting
def test_they_do_in_compiled_functions_of_their_own(make, settings):
    rng = np.random.default_rng(1)
    whole, split = dyadic_model(), dyadic_model()
    large = of_whole(whole, make(whole.parameters(), **settings))
    optimizer = make(split.parameters(), **settings)
    update = mg.compile(optimizer.step)

    @mg.compile
    def add(x, y):
        loss = mg.mse_loss(split(x), y) / PARTS
        loss.backward()
        return loss

    for _ in range(4):
        x, y = batch(rng)
        optimizer.zero_grad()
        assert sum(add(*part).item() for part in parts(x, y)) == large(x, y).item()
        update()
        for p, q in zip(split.parameters(), whole.parameters(), strict=True):
            assert p.grad.tolist() == q.grad.tolist()
            assert p.tolist() == q.tolist()
            p.data = q.data = np.round(p.numpy() * 8) / 8  # dyadic again
    assert add.traces == 2  # a first gradient, and one more to be added


@each_setting
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_accumulation_is_eager_accumulation(make, settings, dtype):
    def build():
        model = nn.MLP([3, 5, 2], "tanh", rng=0, dtype=dtype)
        optimizer = make(model.parameters(), **settings)
        step = of_parts(model, optimizer)
        return step, lambda: [[[p.data, p.grad] for p in model.parameters()]]

    twins, rng = Twins(build), np.random.default_rng(2)
    for _ in range(6):
        twins.call(*(part.astype(dtype) for part in batch(rng)))
    assert twins.compiled.traces == 1


def test_parts_of_unequal_size_count_by_their_share():
    x, y = batch(np.random.default_rng(3))
    model = dyadic_model()
    mg.mse_loss(model(x), y).backward()
    expected = [p.grad.tolist() for p in model.parameters()]
    model.zero_grad()
    for part in (slice(0, 4), slice(4, 16)):
        share = (part.stop - part.start) / len(x)
        (mg.mse_loss(model(x[part]), y[part]) * share).backward()
    found = [p.grad for p in model.parameters()]
    for g, whole in zip(found, expected, strict=True):
        np.testing.assert_allclose(g, whole, rtol=1e-14, atol=1e-15)  # 12 is no power of 2
