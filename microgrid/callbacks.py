"""Callbacks of `fit`, under Keras's names."""

from .doctor import ReLUDoctor as ReLUDoctor
from .train.callbacks import Callback as Callback
from .train.callbacks import LambdaCallback as LambdaCallback
from .train.callbacks import LearningRateScheduler as LearningRateScheduler
from .train.callbacks import TerminateOnNaN as TerminateOnNaN
from .train.monitors import CSVLogger as CSVLogger
from .train.monitors import EarlyStopping as EarlyStopping
from .train.monitors import ModelCheckpoint as ModelCheckpoint
