"""How hypothesis draws: the same examples in every run, unless asked to search.

pytest --hypothesis-profile=search   new random examples, and more of them
pytest --hypothesis-profile=quick    few examples

pytest --backend=numba               what tests compile they compile for that backend
"""

import gc
import signal

import pytest
from hypothesis import settings

import microgrid as mg

# A shell that starts the tests in the background lets them ignore Ctrl-C, and so do the processes
# that they start; those that are about Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("quick", settings.get_profile("repeatable"), max_examples=10)
settings.register_profile("search", deadline=None, derandomize=False, max_examples=1000)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--backend", default="numpy", help="what mg.compile is given by default")


def pytest_configure(config: pytest.Config) -> None:
    """Let all tests compile for the backend that was asked for."""
    mg.compile.__kwdefaults__["backend"] = config.getoption("backend")


def pytest_collection_finish() -> None:
    """Leave the tests themselves, hundreds of thousands of objects, out of Python's collections."""
    gc.collect()
    gc.freeze()
