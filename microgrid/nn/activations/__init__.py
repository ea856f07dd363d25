"""Activations as layers. Each applies the op of its name; what it means is written there."""

from .kinked import CReLU as CReLU
from .kinked import Hardsigmoid as Hardsigmoid
from .kinked import Hardswish as Hardswish
from .kinked import Hardtanh as Hardtanh
from .kinked import LeakyReLU as LeakyReLU
from .kinked import Maxout as Maxout
from .kinked import ReLU as ReLU
from .kinked import ReLU6 as ReLU6
from .kinked import Softshrink as Softshrink
from .layer import NAMED as NAMED
from .layer import Activation as Activation
from .layer import activation_name as activation_name
from .layer import named_activation as named_activation
from .smooth import CELU as CELU
from .smooth import ELU as ELU
from .smooth import GELU as GELU
from .smooth import SELU as SELU
from .smooth import LogSoftmax as LogSoftmax
from .smooth import Mish as Mish
from .smooth import Sigmoid as Sigmoid
from .smooth import SiLU as SiLU
from .smooth import Softmax as Softmax
from .smooth import Softplus as Softplus
from .smooth import Softsign as Softsign
from .smooth import Tanh as Tanh
