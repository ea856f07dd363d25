"""microgrid: a small autograd framework on NumPy alone."""

from . import errors as errors
from .core import Op as Op
from .core import Tensor as Tensor
from .core import assign as assign
from .creation import full as full
from .creation import ones as ones
from .creation import ones_like as ones_like
from .creation import tensor as tensor
from .creation import zeros as zeros
from .creation import zeros_like as zeros_like
from .backward import gradients as gradients
from .ops import *
from .record import OPS as OPS
from .record import Domain as Domain
from .record import EachInput as EachInput
from .record import Pieces as Pieces
from .recording import enable_grad as enable_grad
from .recording import is_grad_enabled as is_grad_enabled
from .recording import no_grad as no_grad
from . import protocols as _protocols
