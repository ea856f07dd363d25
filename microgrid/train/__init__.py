"""Training, measuring and using models on arrays."""

from .checkpoint import load_checkpoint as load_checkpoint
from .checkpoint import save_checkpoint as save_checkpoint
from .fit import evaluate as evaluate
from .fit import fit as fit
from .fit import predict as predict
from .history import History as History
