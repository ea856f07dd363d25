"""A run that was saved and loaded goes on as if it had not been interrupted, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError, FileFormatError, StateError
from microgrid.files import safetensors

# Twelve samples in batches of five: the steps 0, 3, 6 are between epochs, the others within one.
PROGRAM = """
import hashlib, sys
import numpy as np
import microgrid as mg

path, name, mode = sys.argv[1:4]
first, last, total = map(int, sys.argv[4:])
# What is loaded into starts elsewhere, so that whatever is not loaded shows.
rng = np.random.default_rng(2 if first else 1)
model = mg.nn.Sequential(
    mg.nn.Dense(3, 8, rng=rng), mg.nn.BatchNorm1d(8), mg.nn.ReLU(),
    mg.nn.Dropout(0.4, rng=rng.integers(99)), mg.nn.Dense(8, 1, rng=rng),
)
make = {
    "sgd": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: mg.optim.Adam(p, lr=0.1, amsgrad=True),
}
optimizer = make[name](model.parameters())
data = np.random.default_rng(0)
x, y = data.normal(size=(12, 3)).astype("f4"), data.normal(size=(12, 1)).astype("f4")

def step(x, y):
    optimizer.zero_grad()
    loss = mg.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss

run = mg.compile(step) if mode == "compiled" else step
losses, order = [], np.arange(12)
if first:
    extra = mg.load_checkpoint(path, model, optimizer, rng=rng)
    losses, order = extra["losses"], extra["order"]
start = first % 1000
for number in range(start, total):
    if number == last:
        break
    if number % 3 == 0:
        order = rng.permutation(12)
    rows = order[5 * (number % 3):][:5]
    optimizer.param_groups[0]["lr"] = 0.1 / (1 + number)
    losses.append(float(run(x[rows], y[rows]).item()))
else:
    last = total
if last < total:
    extra = {"losses": losses, "order": order}
    mg.save_checkpoint(path, model, optimizer, rng=rng, extra=extra)
else:
    digest = hashlib.sha256()
    for key, array in model.state_dict().items():
        digest.update(array.tobytes())
    for slots in optimizer.state_dict()["state"].values():
        for array in slots.values():
            digest.update(np.asarray(array).tobytes())
    digest.update(repr((losses, rng.random(3), model[3].rng.random(3))).encode())
    digest.update(repr(optimizer.state_dict()["param_groups"]).encode())
    print(digest.hexdigest(), len(losses))
"""


def run(path: Path, name: str, mode: str, first: int, last: int, total: int) -> str:
    """Train from one step to another in a new process; a loaded step 0 is written as 1000."""
    steps = [str(n) for n in (first, last, total)]
    command = [sys.executable, "-c", PROGRAM, str(path), name, mode, *steps]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    folder = tmp_path_factory.mktemp("none")
    return {
        (name, mode): run(folder / "none", name, mode, 0, 8, 8)
        for name in ("sgd", "adam")
        for mode in ("compiled", "eager")
    }


@pytest.mark.parametrize("mode", ["compiled", "eager"])
@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("stop", [0, 3, 4], ids=["before it", "between epochs", "in an epoch"])
def test_a_run_in_two_processes_equals_one(
    tmp_path: Path, uninterrupted: dict[tuple[str, str], str], name: str, mode: str, stop: int
) -> None:
    path = tmp_path / "run.safetensors"
    assert run(path, name, mode, 0, stop, 8) == ""
    assert run(path, name, mode, stop or 1000, 8, 8) == uninterrupted[name, mode]
    assert uninterrupted[name, mode].endswith(" 8\n")


# --- in one process ------------------------------------------------------------------------------


def network(seed: int = 0, hidden: int = 3, dropout: bool = True) -> mg.nn.Module:
    layers = [mg.nn.Dense(2, hidden, rng=seed), mg.nn.Dense(hidden, 1, rng=seed)]
    return mg.nn.Sequential(*layers, *([mg.nn.Dropout(0.5, rng=seed)] if dropout else []))


def trained(seed: int = 0, **options: Any) -> tuple[mg.nn.Module, mg.optim.Optimizer]:
    model = network(seed, **options)
    optimizer = mg.optim.Adam(model.parameters(), lr=0.1, betas=(0.8, 0.9))
    for _ in range(2):
        optimizer.zero_grad()
        mg.mse_loss(model(np.ones((4, 2), "f4")), np.zeros((4, 1), "f4")).backward()
        optimizer.step()
    return model, optimizer


def everything(model: Any, optimizer: Any, rng: np.random.Generator) -> str:
    """Return all that may change, as text."""
    arrays = {k: a.tolist() for k, a in model.state_dict().items()}
    draws = [m.rng.bit_generator.state for m in model.modules() if hasattr(m, "rng")]
    return repr((arrays, optimizer.state_dict(), draws, rng.bit_generator.state))


def test_all_comes_back(tmp_path: Path) -> None:
    saved = (*trained(0), np.random.default_rng(5))
    saved[2].integers(0, 9, 3, np.uint32)  # leaves half a draw in the generator
    mg.save_checkpoint(tmp_path / "f", saved[0], saved[1], rng=saved[2])
    loaded = (*trained(1), np.random.default_rng(6))
    assert everything(*loaded) != everything(*saved)
    assert mg.load_checkpoint(tmp_path / "f", loaded[0], loaded[1], rng=loaded[2]) == {}
    assert everything(*loaded) == everything(*saved)


def test_extra_comes_back_as_it_was(tmp_path: Path) -> None:
    extra = {"epoch": 3, "best": float("inf"), "none": None, "é": ["a", {"b": [0.1, True]}]}
    array = np.arange(6).reshape(2, 3).T
    mg.save_checkpoint(tmp_path / "f", network(), extra={**extra, "order": array})
    found = mg.load_checkpoint(tmp_path / "f", network())
    assert list(found) == [*extra, "order"]
    np.testing.assert_array_equal(found.pop("order"), array, strict=True)
    assert found == extra


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_generator_of_numpy_goes_on(tmp_path: Path, kind: str) -> None:
    make = getattr(np.random, kind)
    rng, other = np.random.Generator(make(1)), np.random.Generator(make(2))
    rng.random(5)
    mg.save_checkpoint(tmp_path / "f", network(), rng=rng)
    mg.load_checkpoint(tmp_path / "f", network(), rng=other)
    assert other.random(700).tolist() == rng.random(700).tolist()


def test_a_model_alone_can_be_loaded_from_a_whole_state(tmp_path: Path) -> None:
    model, optimizer = trained()
    mg.save_checkpoint(tmp_path / "f", model, optimizer, rng=np.random.default_rng())
    other = network(seed=7)
    mg.load_checkpoint(tmp_path / "f", other)
    assert repr(other.state_dict()) == repr(model.state_dict())


def test_a_compiled_step_goes_on_with_what_was_loaded(tmp_path: Path) -> None:
    model, optimizer = trained(dropout=False)
    x = np.ones((4, 2), "f4")

    @mg.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    step(x)
    mg.save_checkpoint(tmp_path / "f", model, optimizer)
    first = [float(step(x).item()) for _ in range(3)]
    mg.load_checkpoint(tmp_path / "f", model, optimizer)
    assert [float(step(x).item()) for _ in range(3)] == first


# --- what does not fit ---------------------------------------------------------------------------


class Fit:
    """What a checkpoint is loaded into, with all that it may be given wrong."""

    def __init__(self, **options: Any) -> None:
        self.model = network(4, options.pop("hidden", 3), options.pop("dropout", True))
        kind = options.pop("optimizer", mg.optim.Adam)
        self.optimizer = kind(self.model.parameters())
        self.rng = np.random.Generator(options.pop("rng", np.random.PCG64)(0))


UNFIT: list[tuple[dict[str, Any], str]] = [
    (
        {"optimizer": mg.optim.SGD},
        "the state is of Adam, and one of SGD is needed. Nothing was loaded. "
        "Build the optimiser as it was when saved, or give none.",
    ),
    (
        {"rng": np.random.MT19937},
        "the generator rng is MT19937, and PCG64 was saved. Nothing was loaded. "
        "Make the generator as it was when saved.",
    ),
    (
        {"dropout": False},
        "generators were saved that the model does not have: model.2.rng. Nothing was loaded. "
        "Build the model as it was when saved.",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), UNFIT)
def test_a_state_that_does_not_fit_changes_nothing(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    path = tmp_path / "f"
    mg.save_checkpoint(path, *trained(), rng=np.random.default_rng(1))
    fit = Fit(**wrong)
    before = everything(fit.model, fit.optimizer, fit.rng)
    with pytest.raises(StateError) as caught:
        mg.load_checkpoint(path, fit.model, fit.optimizer, rng=fit.rng)
    assert str(caught.value) == f"load_checkpoint: {path}: {message}"
    assert everything(fit.model, fit.optimizer, fit.rng) == before


def test_a_model_that_does_not_fit_leaves_the_optimiser_too(tmp_path: Path) -> None:
    model, optimizer = trained()
    mg.save_checkpoint(tmp_path / "f", model, optimizer)
    other, _ = trained(1, hidden=4)
    for own in (None, mg.optim.Adam(model.parameters(), lr=0.5)):  # fits the state, not the model
        before = repr(own.state_dict()) if own else ""
        with pytest.raises(StateError, match=r"0\.weight has shape \(2, 3\), needed \(2, 4\)"):
            mg.load_checkpoint(tmp_path / "f", other, own)
        assert (repr(own.state_dict()) if own else "") == before


def test_a_generator_that_was_not_saved_is_missed(tmp_path: Path) -> None:
    mg.save_checkpoint(tmp_path / "f", network())
    with pytest.raises(StateError) as caught:
        mg.load_checkpoint(tmp_path / "f", network(), rng=np.random.default_rng())
    assert str(caught.value) == (
        f"load_checkpoint: {tmp_path / 'f'}: the generator rng is PCG64, and none was saved. "
        "Nothing was loaded. Make the generator as it was when saved."
    )


def test_arrays_alone_are_no_training_state(tmp_path: Path) -> None:
    mg.save(tmp_path / "f", network())
    with pytest.raises(FileFormatError) as caught:
        mg.load_checkpoint(tmp_path / "f", network())
    assert str(caught.value) == (
        f"load_checkpoint: {tmp_path / 'f'}: it holds arrays, but no training state; it needs to "
        "be written by save_checkpoint. Load the arrays with mg.load."
    )


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "3", "{}", '{"version":2}', '{"version":1,"rng":{}}', '{"version":1,"extra":{}}',
        '{"version":1,"rng":[1],"extra":{}}', '{"version":1,"rng":{},"extra":3}', "[" * 100_000,
        '{"version":1,"rng":{},"extra":{},"param_groups":[3]}',
    ],
    ids=range(11),
)  # fmt: skip
def test_a_training_state_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    mg.save(tmp_path / "f", {}, {"microgrid.checkpoint": content})
    with pytest.raises(FileFormatError) as caught:
        mg.load_checkpoint(tmp_path / "f", network())
    assert str(caught.value) == (
        f"load_checkpoint: {tmp_path / 'f'}: its training state is not one that this version "
        "writes; it needs to be written by save_checkpoint. Save it anew."
    )


def test_an_array_of_no_part_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"version": 1, "rng": {}, "extra": {}})
    mg.save(tmp_path / "f", {"other": np.ones(1)}, {"microgrid.checkpoint": text})
    with pytest.raises(FileFormatError, match="its training state is not one that this version"):
        mg.load_checkpoint(tmp_path / "f", network())


def test_a_damaged_setting_is_found_by_the_checksum(tmp_path: Path) -> None:
    model, optimizer = trained()
    mg.save_checkpoint(tmp_path / "f", model, optimizer)
    content = (tmp_path / "f").read_bytes()
    assert content.count(b'\\"lr\\": 0.1') == 1
    (tmp_path / "f").write_bytes(content.replace(b'\\"lr\\": 0.1', b'\\"lr\\": 0.7'))
    with pytest.raises(FileFormatError, match="does not agree with its checksum"):
        mg.load_checkpoint(tmp_path / "f", model, optimizer)


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, [(1,)], {3}, np.float32(1), object()])
def test_an_extra_that_json_would_change_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        mg.save_checkpoint(tmp_path / "f", network(), extra={"it": value})
    assert str(caught.value) == (
        f"save_checkpoint: extra has 'it' of type {type(value).__name__}, which JSON would not "
        "give back as it is; it needs arrays, numbers, texts, lists, or dicts with texts as keys. "
        "Convert it, as a tuple with list()."
    )
    assert os.listdir(tmp_path) == []


def test_an_extra_array_that_the_format_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DtypeError, match=r"^save_checkpoint: 'extra\.it': data of dtype complex"):
        mg.save_checkpoint(tmp_path / "f", network(), extra={"it": np.array([1j])})


def test_arguments_of_other_types_are_refused(tmp_path: Path) -> None:
    calls = [
        ({"model": {}}, "model of type dict was given; it must be of type Module."),
        ({"optimizer": "sgd"}, "optimizer of type str was given; it must be of type Optimizer."),
        ({"rng": 3}, "rng of type int was given; it must be of type Generator."),
    ]
    for given, message in calls:
        for call in (mg.save_checkpoint, mg.load_checkpoint):
            with pytest.raises(TypeError) as caught:
                call(tmp_path / "f", **{"model": network(), **given})
            assert str(caught.value) == f"{call.__name__}: {message}"


def test_a_failed_save_leaves_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mg.save_checkpoint(tmp_path / "f", network(), extra={"epoch": 1})

    def fail(*_: Any) -> Any:
        yield b"half"
        raise OSError(28, "No space left")

    monkeypatch.setattr(safetensors, "encode", fail)
    with pytest.raises(OSError, match="No space left"):
        mg.save_checkpoint(tmp_path / "f", network(), extra={"epoch": 2})
    assert mg.load_checkpoint(tmp_path / "f", network()) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["f"]
