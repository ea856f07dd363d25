"""Figures that tell how good predictions are: functions of arrays, and the same over batches.

`f1(prediction, target)` is a number of arrays that are there as a whole; `F1()` is an object that
takes batches, for `fit` and `evaluate`. A prediction is what models return, scores or logits: the
largest in a row decides among classes, the sign decides for one score. Integers, one a sample, are
classes themselves.

>>> import numpy as np
>>> import microgrid as mg
>>> scores, labels = np.array([[2.0, 1.0], [0.5, 3.0], [1.0, 0.0]]), np.array([0, 1, 1])
>>> mg.metrics.accuracy(scores, labels) == mg.metrics.accuracy(scores.argmax(axis=1), labels)
True
"""

from .by_class import F1 as F1
from .by_class import Precision as Precision
from .by_class import Recall as Recall
from .by_class import f1 as f1
from .by_class import precision as precision
from .by_class import recall as recall
from .classification import Accuracy as Accuracy
from .classification import TopKAccuracy as TopKAccuracy
from .classification import accuracy as accuracy
from .classification import top_k_accuracy as top_k_accuracy
from .confusion import BalancedAccuracy as BalancedAccuracy
from .confusion import ConfusionMatrix as ConfusionMatrix
from .confusion import balanced_accuracy as balanced_accuracy
from .confusion import confusion_matrix as confusion_matrix
from .direction import direction as direction
from .likelihood import LogLoss as LogLoss
from .likelihood import log_loss as log_loss
from .metric import Averaged as Averaged
from .metric import Collected as Collected
from .metric import Metric as Metric
from .ranking import AveragePrecision as AveragePrecision
from .ranking import RocAuc as RocAuc
from .ranking import average_precision as average_precision
from .ranking import roc_auc as roc_auc
from .regression import MAE as MAE
from .regression import MSE as MSE
from .regression import R2 as R2
from .regression import RMSE as RMSE
from .regression import MaxError as MaxError
from .regression import mae as mae
from .regression import max_error as max_error
from .regression import mse as mse
from .regression import r2 as r2
from .regression import rmse as rmse
