"""Optimisers: they change parameters by their gradients. Schedules change learning rates."""

from .adam import Adam as Adam
from .adam import AdamW as AdamW
from .adam import NAdam as NAdam
from .adaptive import Adadelta as Adadelta
from .adaptive import Adagrad as Adagrad
from .adaptive import RMSprop as RMSprop
from .averaging import AveragedWeights as AveragedWeights
from .clipping import clip_grad_norm_ as clip_grad_norm_
from .clipping import clip_grad_value_ as clip_grad_value_
from .cycles import OneCycleLR as OneCycleLR
from .cycles import ReduceLROnPlateau as ReduceLROnPlateau
from .cycles import SequentialLR as SequentialLR
from .lbfgs import LBFGS as LBFGS
from .levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
from .optimizer import Optimizer as Optimizer
from .schedules import CosineAnnealingLR as CosineAnnealingLR
from .schedules import ExponentialLR as ExponentialLR
from .schedules import LambdaLR as LambdaLR
from .schedules import LinearWarmup as LinearWarmup
from .schedules import MultiStepLR as MultiStepLR
from .schedules import Schedule as Schedule
from .schedules import StepLR as StepLR
from .sgd import SGD as SGD
from .signs import Lion as Lion
from .signs import Rprop as Rprop
