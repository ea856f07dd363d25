"""Strategies for hypothesis: arrays at kinks, calls of ops, networks and programs for your tests.

The only part of microgrid that needs hypothesis, from the extra `test`. It is imported once it is
asked for, as `mg.testing.strategies`.
"""

try:
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError(
        "microgrid.testing.strategies: hypothesis is not installed, and strategies need it. "
        "Install the extra: pip install 'microgrid[test]'."
    ) from error

from .arrays import arrays_near_kinks as arrays_near_kinks
from .arrays import tensors as tensors
from .calls import OpCall as OpCall
from .calls import op_calls as op_calls
from .networks import Network as Network
from .networks import NetworkCall as NetworkCall
from .networks import networks as networks
from .program import Program as Program
from .program import Step as Step
from .programs import programs as programs
