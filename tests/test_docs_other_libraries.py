"""The examples with other libraries in docs/checking_gradients.md run, where these are there."""

from __future__ import annotations

import doctest
import importlib
import re
import sys
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "checking_gradients.md"
HEAD = ">>> import numpy as np\n>>> import microgrid as mg\n"
TEXT = re.findall(r"^```text\n(>>> .*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def library_of(block: str) -> str:
    return re.findall(r">>> import (\w+)", block)[0]


def test_each_of_the_libraries_has_an_example():
    assert sorted(map(library_of, TEXT)) == ["autograd", "jax", "torch"]


@pytest.fixture(autouse=True)
def _jax_as_it_was():
    """Let JAX keep its precision for other tests: the example asks for float64."""
    before = getattr(sys.modules.get("jax"), "config", None)
    wide = before is not None and before.jax_enable_x64
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", wide)


@pytest.mark.parametrize("block", TEXT, ids=library_of)
def test_an_example_with_another_library_gives_the_output_that_the_page_shows(block):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of as they are imported is not ours
        try:
            importlib.import_module(library_of(block))
        except ModuleNotFoundError as error:
            pytest.skip(f"{error.name} is not installed")
    reports: list[str] = []
    test = doctest.DocTestParser().get_doctest(HEAD + block, {}, library_of(block), None, 0)
    doctest.DocTestRunner(verbose=False).run(test, out=reports.append)
    assert not reports, "".join(reports)
