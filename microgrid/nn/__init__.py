"""Networks: modules, layers, first weights and losses."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import init as init
from . import losses as losses
from .activations import CELU as CELU
from .activations import ELU as ELU
from .activations import GELU as GELU
from .activations import SELU as SELU
from .activations import CReLU as CReLU
from .activations import Hardsigmoid as Hardsigmoid
from .activations import Hardswish as Hardswish
from .activations import Hardtanh as Hardtanh
from .activations import LeakyReLU as LeakyReLU
from .activations import LogSoftmax as LogSoftmax
from .activations import Maxout as Maxout
from .activations import Mish as Mish
from .activations import ReLU as ReLU
from .activations import ReLU6 as ReLU6
from .activations import Sigmoid as Sigmoid
from .activations import SiLU as SiLU
from .activations import Softmax as Softmax
from .activations import Softplus as Softplus
from .activations import Softshrink as Softshrink
from .activations import Softsign as Softsign
from .activations import Tanh as Tanh
from .dense import MLP as MLP
from .dense import Dense as Dense
from .dense import Linear as Linear
from .dense import Sequential as Sequential
from .module import Buffer as Buffer
from .module import Module as Module
from .module import Parameter as Parameter
from .piecewise import PiecewiseLinear as PiecewiseLinear
from .rectifiers import PReLU as PReLU
from .rectifiers import RReLU as RReLU
from .regularise import BatchNorm1d as BatchNorm1d
from .regularise import Dropout as Dropout
from .regularise import LayerNorm as LayerNorm
from .shaping import Flatten as Flatten
from .shaping import Identity as Identity
from .shaping import Lambda as Lambda

# Imported when first asked for, since few models have any.
if _TYPE_CHECKING:
    from . import constraints as constraints
    from . import penalties as penalties

_LATER = "constraints", "penalties"


def __getattr__(name: str) -> _Any:
    if name in _LATER:
        return _import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
