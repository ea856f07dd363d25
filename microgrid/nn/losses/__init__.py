"""Losses: how wrong a prediction is, as one number to go downhill on.

Each takes a prediction and a target, and `reduction`: "mean", "sum", or "none" for all of them. A
target that needs no gradient is cast to the dtype of the prediction, which is that of the result. A
target of shape (n,) for a prediction of shape (n, 1) is an error: broadcasting would compare
everything with everything.

`sample_weight` has a number for each sample, along the first axis. The mean is then sum(w * l) /
sum(w), as scikit-learn's; a weight of 0 takes a sample out, whatever its loss.
"""

from .classification import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from .classification import cross_entropy as cross_entropy
from .classification import nll_loss as nll_loss
from .distributions import kl_div_loss as kl_div_loss
from .distributions import poisson_nll_loss as poisson_nll_loss
from .margins import hinge_loss as hinge_loss
from .margins import multi_margin_loss as multi_margin_loss
from .margins import squared_hinge_loss as squared_hinge_loss
from .regression import epsilon_insensitive_loss as epsilon_insensitive_loss
from .regression import huber_loss as huber_loss
from .regression import l1_loss as l1_loss
from .regression import mse_loss as mse_loss
from .regression import pinball_loss as pinball_loss
from .regression import smooth_l1_loss as smooth_l1_loss
