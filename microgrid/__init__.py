"""microgrid: a small autograd framework on NumPy alone.

>>> import microgrid as mg
>>> x = mg.tensor([1.0, -2.0, 3.0], requires_grad=True)
>>> mg.relu(x).sum().backward()
>>> x.grad
array([1., 0., 1.])
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import errors as errors
from . import nn as nn
from . import optim as optim
from . import protocols
from .backward import gradients as gradients
from .core import Op as Op
from .core import Tensor as Tensor
from .core import assign as assign
from .creation import full as full
from .creation import ones as ones
from .creation import ones_like as ones_like
from .creation import tensor as tensor
from .creation import zeros as zeros
from .creation import zeros_like as zeros_like
from .nn.losses import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .nn.losses import cross_entropy as cross_entropy
from .nn.losses import epsilon_insensitive_loss as epsilon_insensitive_loss
from .nn.losses import hinge_loss as hinge_loss
from .nn.losses import huber_loss as huber_loss
from .nn.losses import kl_div_loss as kl_div_loss
from .nn.losses import l1_loss as l1_loss
from .nn.losses import mse_loss as mse_loss
from .nn.losses import multi_margin_loss as multi_margin_loss
from .nn.losses import nll_loss as nll_loss
from .nn.losses import pinball_loss as pinball_loss
from .nn.losses import poisson_nll_loss as poisson_nll_loss
from .nn.losses import smooth_l1_loss as smooth_l1_loss
from .nn.losses import squared_hinge_loss as squared_hinge_loss
from .ops import absolute as absolute
from .ops import add as add
from .ops import affine as affine
from .ops import argmax as argmax
from .ops import argmin as argmin
from .ops import astype as astype
from .ops import broadcast_to as broadcast_to
from .ops import celu as celu
from .ops import clip as clip
from .ops import concatenate as concatenate
from .ops import copy as copy
from .ops import cos as cos
from .ops import crelu as crelu
from .ops import cumsum as cumsum
from .ops import divide as divide
from .ops import dot as dot
from .ops import einsum as einsum
from .ops import elu as elu
from .ops import equal as equal
from .ops import exp as exp
from .ops import expand_dims as expand_dims
from .ops import expm1 as expm1
from .ops import flip as flip
from .ops import gelu as gelu
from .ops import getitem as getitem
from .ops import greater as greater
from .ops import greater_equal as greater_equal
from .ops import hardsigmoid as hardsigmoid
from .ops import hardswish as hardswish
from .ops import hardtanh as hardtanh
from .ops import isfinite as isfinite
from .ops import leaky_relu as leaky_relu
from .ops import less as less
from .ops import less_equal as less_equal
from .ops import log as log
from .ops import log1p as log1p
from .ops import log_softmax as log_softmax
from .ops import logaddexp as logaddexp
from .ops import logsumexp as logsumexp
from .ops import matmul as matmul
from .ops import max as max
from .ops import maximum as maximum
from .ops import maxout as maxout
from .ops import mean as mean
from .ops import mean_squared_error as mean_squared_error
from .ops import min as min
from .ops import minimum as minimum
from .ops import mish as mish
from .ops import moveaxis as moveaxis
from .ops import multiply as multiply
from .ops import negative as negative
from .ops import norm as norm
from .ops import not_equal as not_equal
from .ops import one_hot as one_hot
from .ops import outer as outer
from .ops import pad as pad
from .ops import piecewise_linear as piecewise_linear
from .ops import power as power
from .ops import prelu as prelu
from .ops import prod as prod
from .ops import reciprocal as reciprocal
from .ops import relu as relu
from .ops import relu6 as relu6
from .ops import reshape as reshape
from .ops import rrelu as rrelu
from .ops import selu as selu
from .ops import sigmoid as sigmoid
from .ops import sign as sign
from .ops import silu as silu
from .ops import sin as sin
from .ops import softmax as softmax
from .ops import softplus as softplus
from .ops import softshrink as softshrink
from .ops import softsign as softsign
from .ops import split as split
from .ops import sqrt as sqrt
from .ops import square as square
from .ops import squeeze as squeeze
from .ops import stack as stack
from .ops import std as std
from .ops import subtract as subtract
from .ops import sum as sum
from .ops import swapaxes as swapaxes
from .ops import take as take
from .ops import take_along_axis as take_along_axis
from .ops import tanh as tanh
from .ops import transpose as transpose
from .ops import var as var
from .ops import where as where
from .pieces import Pieces as Pieces
from .record import OPS as OPS
from .record import Domain as Domain
from .record import EachInput as EachInput
from .recording import enable_grad as enable_grad
from .recording import is_grad_enabled as is_grad_enabled
from .recording import no_grad as no_grad
from .selection import Selection as Selection

# Imported when first asked for: together they would take as long as all the rest.
if _TYPE_CHECKING:
    from . import callbacks as callbacks
    from . import datasets as datasets
    from . import files as files
    from . import metrics as metrics
    from . import plot as plot
    from . import testing as testing
    from .anomaly import detect_anomaly as detect_anomaly
    from .compiler import compile as compile
    from .diagrams import to_dot as to_dot
    from .diagrams import to_mermaid as to_mermaid
    from .directional import directional_derivative as directional_derivative
    from .doctor import diagnose as diagnose
    from .doctor import revive as revive
    from .explanation import explain as explain
    from .files import load as load
    from .files import save as save
    from .per_sample import per_sample_gradients as per_sample_gradients
    from .per_sample import per_sample_jacobian as per_sample_jacobian
    from .train import History as History
    from .train import evaluate as evaluate
    from .train import fit as fit
    from .train import load_checkpoint as load_checkpoint
    from .train import predict as predict
    from .train import save_checkpoint as save_checkpoint
    from .transforms import grad as grad
    from .transforms import hessian as hessian
    from .transforms import hvp as hvp
    from .transforms import jacobian as jacobian
    from .transforms import jvp as jvp
    from .transforms import value_and_grad as value_and_grad
    from .transforms import vjp as vjp

_LATER = {
    "callbacks": None,
    "datasets": None,
    "files": None,
    "metrics": None,
    "plot": None,
    "testing": None,
    "detect_anomaly": "anomaly",
    "compile": "compiler",
    "to_dot": "diagrams",
    "to_mermaid": "diagrams",
    "diagnose": "doctor",
    "explain": "explanation",
    "load": "files",
    "save": "files",
    "revive": "doctor",
    "History": "train",
    "evaluate": "train",
    "fit": "train",
    "load_checkpoint": "train",
    "predict": "train",
    "save_checkpoint": "train",
    "directional_derivative": "directional",
    "per_sample_gradients": "per_sample",
    "per_sample_jacobian": "per_sample",
    "grad": "transforms",
    "hessian": "transforms",
    "hvp": "transforms",
    "jacobian": "transforms",
    "jvp": "transforms",
    "value_and_grad": "transforms",
    "vjp": "transforms",
}

__version__ = "0.1.0"

del protocols

__all__ = sorted({name for name in globals() if not name.startswith("_")} | _LATER.keys())


def __getattr__(name: str) -> _Any:
    if name not in _LATER and name not in _LATER.values():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _LATER.get(name)
    value = _import_module(f".{home or name}", __name__)
    if home:
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
