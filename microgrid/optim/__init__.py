"""Optimisers: they change parameters by their gradients."""

from .optimizer import Optimizer as Optimizer
from .sgd import SGD as SGD
