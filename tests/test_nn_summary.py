"""The table that summary() returns."""

import re

import numpy as np
import pytest

import microgrid as mg
from microgrid import nn


def model() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Dense(6, 4, rng=0), nn.BatchNorm1d(4), nn.Dropout(rng=0), nn.Dense(4, 2)
    )


def test_the_whole_table_with_shapes():
    expected = """\
Model: Sequential
Layer (type)     Output shape  Parameters  Bytes
------------------------------------------------
0 (Flatten)      (None, 6)              0      0
1 (Dense)        (None, 4)             28    112
2 (BatchNorm1d)  (None, 4)              8     32
3 (Dropout)      (None, 4)              0      0
4 (Dense)        (None, 2)             10     40
------------------------------------------------
Total parameters: 46 (184 bytes)
Trainable: 46 (184 bytes)
Frozen: 0 (0 bytes)
Buffers: 9 (40 bytes)"""
    assert model().summary((None, 2, 3)) == expected


def test_without_an_input_there_is_no_column_of_shapes():
    lines = model().summary().splitlines()
    assert lines[1].split() == ["Layer", "(type)", "Parameters", "Bytes"]
    assert lines[4].split() == ["1", "(Dense)", "28", "112"]


@pytest.mark.parametrize(
    "x", [(5, 2, 3), np.ones((5, 2, 3)), mg.ones((5, 2, 3)), [[[1] * 3] * 2] * 5]
)
def test_a_whole_shape_and_an_example_give_sizes_of_the_batch(x):
    assert "4 (Dense)        (5, 2) " in model().summary(x)


def test_nothing_changes_by_a_summary():
    net = model()
    net[3].eval()
    state, draws = net.state_dict(), net[3].rng.bit_generator.state
    net.summary((None, 2, 3))
    assert all(np.array_equal(state[name], value) for name, value in net.state_dict().items())
    assert net[3].rng.bit_generator.state == draws
    assert [layer.training for layer in net] == [True, True, True, False, True]
    assert type(net[1]) is nn.Dense


def test_numbers_and_bytes_are_those_of_the_parameters():
    net = nn.MLP([100, 50, 10], dtype=float)
    lines = net.summary((None, 100)).splitlines()
    numbers = 100 * 50 + 50 + 50 * 10 + 10
    assert lines[-3] == f"Total parameters: {numbers:,} ({8 * numbers:,} bytes)"
    assert lines[3].split()[-2:] == ["5,050", "40,400"]


def test_frozen_parameters_are_told_apart():
    net = nn.MLP([2, 3, 1])
    for p in net[0].parameters():
        p.requires_grad = False
    lines = net.summary().splitlines()
    assert lines[3].startswith("0 (Dense, frozen) ")
    assert lines[-2:] == ["Trainable: 4 (16 bytes)", "Frozen: 9 (36 bytes)"]


def test_models_in_models_have_a_row_for_each_layer():
    class Block(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter(np.ones(3, "f"))
            self.inner = nn.Dense(3, 3, activation=nn.PReLU())
            self.spare = nn.Dense(3, 1)

        def forward(self, x):
            return x + self.scale * self.inner(x)

    lines = nn.Sequential(Block(), nn.Dense(3, 2)).summary((None, 3)).splitlines()[3:-4]
    assert [line.split("  ")[0] for line in lines] == [
        "0 (Block)", "0.inner (Dense)", "0.inner.activation (PReLU)", "0.spare (Dense)",
        "1 (Dense)",
    ]  # fmt: skip
    assert [line.split()[-2] for line in lines] == ["3", "12", "1", "4", "8"]
    assert re.search(r"\)  +-  +4 ", lines[3])  # never called


def test_what_is_shared_counts_once():
    layer = nn.Dense(3, 3)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert net.summary((None, 3)).splitlines()[-3] == "Total parameters: 12 (48 bytes)"
    tied = nn.Sequential(nn.Dense(3, 3), nn.Dense(3, 3))
    tied[1].weight = tied[0].weight
    lines = tied.summary().splitlines()
    assert [line.split()[-2] for line in lines[3:5]] == ["12", "3"]


def test_several_results_are_shown_one_after_another():
    class Two(nn.Module):
        def forward(self, x):
            return x, mg.sum(x)

    assert "(Two)         (None, 3), ()" in Two().summary((None, 3))


def test_a_layer_alone_is_a_model():
    assert nn.Dense(2, 1).summary((None, 2)).splitlines()[3].split() == [
        "(Dense)", "(None,", "1)", "3", "12",
    ]  # fmt: skip


def test_a_tuple_that_is_no_shape_is_refused():
    message = (
        "summary: the tuple (None, 2.5) was given; a shape has integers, and None for the batch. "
        "Pass an example as an array."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        nn.Dense(2, 1).summary((None, 2.5))


def test_a_negative_size_is_refused():
    message = (
        "summary: the tuple (None, -5) was given; sizes are at least 0. Write None for the batch."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        nn.Dense(2, 1).summary((None, -5))


def test_a_list_that_is_a_shape_is_refused():
    message = "summary: the list [None, 2] was given; a shape is a tuple. Pass (None, 2)."
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        nn.Dense(2, 1).summary([None, 2])


def test_an_input_that_does_not_fit_is_the_error_of_the_layer():
    with pytest.raises(mg.errors.ShapeError, match="its last dimension must be 2"):
        nn.Dense(2, 1).summary((None, 3))
