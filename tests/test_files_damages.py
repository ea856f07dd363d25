"""Thousands of damaged files and dozens of killed writers, and proof that faults would be found."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from microgrid.files import layout, safetensors, scanner

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_refused_or_loaded_rightly(seed: int) -> None:
    counts = script("file_mutations").run(files=2000, seed=seed)
    assert counts["refused"] > 1500
    assert counts["loaded"] > 0
    assert counts["undamaged, loaded"] == 20


@pytest.mark.parametrize(
    ("module", "check"),
    [(layout, "_check_places"), (layout, "_check_size"), (scanner.Scanner, "end")],
)
def test_a_reader_without_a_check_is_found_out(
    monkeypatch: pytest.MonkeyPatch, module: Any, check: str
) -> None:
    monkeypatch.setattr(module, check, lambda *_: None)
    with pytest.raises((AssertionError, ValueError, MemoryError, KeyError)):
        script("file_mutations").run(files=20_000, seed=3)


def test_a_reader_without_a_checksum_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "CHECKSUM", "nobody's")
    with pytest.raises(AssertionError, match="wrongly loaded"):
        damage_those_with_a_checksum(script("file_mutations"), monkeypatch)


def damage_those_with_a_checksum(mutations: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the damages on files that were saved while checksums were still told."""
    with monkeypatch.context() as context:
        context.setattr(safetensors, "CHECKSUM", layout.CHECKSUM)
        corpus = mutations.originals(np.random.default_rng(0))
    monkeypatch.setattr(mutations, "originals", lambda _: corpus)
    mutations.run(files=20_000, seed=4)


def kill(*options: str) -> tuple[dict[str, int], int]:
    """Return how often each outcome came, and the exit status."""
    command = [sys.executable, str(BENCHMARKS / "killed_writers.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    pairs = [part.split() for part in done.stdout.splitlines()[0].split(", ")]
    return {what: int(count) for count, what in pairs}, done.returncode


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_a_killed_writer_leaves_the_old_file_or_the_new_one() -> None:
    counts, status = kill("--kills", "20")
    assert sum(counts.values()) == 20
    assert counts.keys() <= {"old", "new"}
    assert status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_a_writer_without_a_temporary_file_is_found_out() -> None:
    counts, _ = kill("--kills", "20", "--direct")
    assert counts["broken"] > 0
