"""Whether more or less of a figure is better, by the name that `fit` gives it."""

from __future__ import annotations

import re

from .by_class import F1, Precision, Recall
from .classification import Accuracy, TopKAccuracy
from .confusion import BalancedAccuracy
from .likelihood import LogLoss
from .metric import BuiltIn
from .ranking import AveragePrecision, RocAuc
from .regression import MAE, MSE, R2, RMSE, MaxError

MEASURED: tuple[type[BuiltIn], ...] = (
    Accuracy, BalancedAccuracy, TopKAccuracy, Precision, Recall, F1, RocAuc, AveragePrecision,
    LogLoss, MSE, RMSE, MAE, MaxError, R2,
)  # fmt: skip
# By name, as `fit` is built upon this package and not the other way round.
LOSSES = (
    "loss", "mse", "mae", "l1", "huber", "smooth_l1", "pinball", "epsilon_insensitive",
    "cross_entropy", "nll", "binary_cross_entropy", "hinge", "squared_hinge", "multi_margin",
    "kl_div", "poisson_nll",
)  # fmt: skip
DIRECTIONS: dict[str, str | None] = {
    **dict.fromkeys(LOSSES, "min"),
    **{metric.who: metric.better for metric in MEASURED},
}


def direction(name: str) -> str | None:
    """Return "max" or "min", what is best of a result of `fit`, or None if its name does not tell.

    Args:
        name: of a metric or a loss that `fit` knows, or "loss"; all of them with "val_" before it
            too.

    Raises:
        TypeError: `name` is not a string.

    >>> import microgrid as mg
    >>> [mg.metrics.direction(name) for name in ("val_accuracy", "top_3_accuracy", "loss", "time")]
    ['max', 'max', 'min', None]
    """
    if not isinstance(name, str):
        raise TypeError(
            f"direction: a name of type {type(name).__name__} was given; it needs a string, as "
            '"val_accuracy". Pass the name under which `fit` reports the figure.'
        )
    plain = name.removeprefix("val_")
    if re.fullmatch(r"top_[1-9]\d*_accuracy", plain):
        return TopKAccuracy.better
    return DIRECTIONS.get(plain)
