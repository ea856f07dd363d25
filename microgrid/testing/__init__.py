"""Checks of gradients, for microgrid's tests and for users' own."""

from .gradcheck import GradientError as GradientError
from .gradcheck import gradcheck as gradcheck
from .gradcheck import worst_gradient_error as worst_gradient_error
