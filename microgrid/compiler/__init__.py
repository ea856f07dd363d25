"""The compiler: a step is traced once, planned, and replayed as straight-line Python."""

from .step import Compiled as Compiled
from .step import check_backend as check_backend
from .step import compile as compile
