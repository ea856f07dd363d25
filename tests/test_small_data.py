"""On real data that is small, a net is at least as good as scikit-learn's of the same size."""

from __future__ import annotations

import importlib
import statistics
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "diabetes"])
def test_five_folds_are_predicted_at_least_as_well(monkeypatch, name):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    small_data = importlib.import_module("small_data")
    scores = small_data.compare(name, epochs=60, seeds=1)
    own, rival = ([s for s, _ in scores[peer]] for peer in ("microgrid", "scikit-learn"))
    # A fold's score hangs on luck: the standard error of the difference is allowed for.
    differences = [a - b for a, b in zip(own, rival, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    assert statistics.mean(differences) >= -error
