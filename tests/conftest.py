"""How hypothesis draws: the same examples in every run, unless asked to search.

pytest --hypothesis-profile=search   new random examples, and more of them
pytest --hypothesis-profile=quick    few examples
"""

import gc
import signal

from hypothesis import settings

# A shell that starts the tests in the background lets them ignore Ctrl-C, and so do the processes
# that they start; those that are about Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("quick", settings.get_profile("repeatable"), max_examples=10)
settings.register_profile("search", deadline=None, derandomize=False, max_examples=1000)
settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Leave the tests themselves, hundreds of thousands of objects, out of Python's collections."""
    gc.collect()
    gc.freeze()
