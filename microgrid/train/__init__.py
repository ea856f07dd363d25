"""Training, measuring and using models on arrays."""

from .fit import evaluate as evaluate
from .fit import fit as fit
from .fit import predict as predict
from .history import History as History
