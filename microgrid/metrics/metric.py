"""Figures of many batches: what they have in common, and functions made into such."""

from __future__ import annotations

import copy
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array
from .samples import Samples, as_samples


class Metric(ABC):
    """A figure of many batches: `start()`, then `add(...)` for each batch, then `result()`.

    `fit` and `evaluate` go through these three, so that the figure of an epoch is that of all its
    samples, also where it is no mean over batches. Called on arrays, a metric gives the figure of
    these alone. Subclass it for a figure of your own.

    `add`, and the call, take prediction any[n, ...], target any[n, ...], sample_weight float[n].

    Attributes:
        name: under which `fit` reports it.
        running: whether `result()` is cheap enough to be shown while batches come in.
        better: "max" if more is better, "min" if less is, None if that cannot be said. What looks
            for the best epoch goes by it.
        kept: the names of the attributes that `start()` and `add()` set, numbers and arrays: with
            them a run that was saved in the middle of an epoch goes on, and copies of the metric
            stay apart. `fit` and `evaluate` use a copy.

    Raises:
        TypeError: a subclass lacks `start`, `add` or `result`.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> class Largest(mg.metrics.Metric):
    ...     name = "largest"
    ...     def start(self):
    ...         self.found = -np.inf
    ...     def add(self, prediction, target, sample_weight=None):
    ...         self.found = max(self.found, float(prediction.max()))
    ...     def result(self):
    ...         return self.found
    >>> Largest()(np.array([1.0, 3.0, 2.0]), None)
    3.0
    """

    name: str = ""
    running: bool = True
    better: str | None = None
    kept: tuple[str, ...] = ()

    @abstractmethod
    def start(self) -> None:
        """Forget what was added."""

    @abstractmethod
    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Take in a batch: arrays of as many samples, and their weights if they differ."""

    @abstractmethod
    def result(self) -> Any:
        """Return the figure of all that was added since the start; nan if that is nothing."""

    def __call__(self, prediction: Any, target: Any, sample_weight: Any = None) -> Any:
        """Return the figure of these samples alone; what was added before stays as it is."""
        alone = copied(self)
        alone.start()
        alone.add(prediction, target, sample_weight)
        return alone.result()

    def state_dict(self) -> dict[str, Any]:
        """Return what was added so far: numbers and arrays by name."""
        return {name: getattr(self, name) for name in self.kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another of the same kind stood, as `state_dict` told."""
        for name in self.kept:
            setattr(self, name, state[name])

    def __repr__(self) -> str:
        return f"<metric {self.name or type(self).__name__}>"


class BuiltIn(Metric):
    """A metric of this package: `who` is the function that its errors name."""

    who: str

    def __init__(self, name: str | None = None) -> None:
        self.name = self.who if name is None else name
        self.start()


class OverSamples(BuiltIn):
    """A mean over samples, each of which has a figure."""

    kept = ("_sum", "_weight")

    def start(self) -> None:
        """Forget what was added."""
        self._sum = self._weight = 0.0

    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Add up the figures of these samples."""
        samples = as_samples(self.who, prediction, target, sample_weight)
        with np.errstate(all="ignore"):
            each = self._each(samples)
            # float64, or integers where they are truth values: many numbers are added up.
            self._sum += float(each.sum() if samples.weight is None else each @ samples.weight)
        self._weight += samples.total

    def result(self) -> float:
        """Return the mean over the samples so far."""
        return self._sum / self._weight if self._weight else math.nan

    @abstractmethod
    def _each(self, samples: Samples) -> Array:
        """Return float64[n] or bool[n], a figure for each sample."""


class Averaged(Metric):
    """The mean over samples of a function of (prediction, target) that is called batch by batch.

    That is right for functions that are themselves means over samples, and takes no memory. For
    others it depends on how the samples are cut into batches.

    Args:
        function: of arrays (prediction, target), any[n, ...], returns one number. If it has a
            parameter `sample_weight`, it gets the weights, float[n], where there are some.
        name: under which `fit` reports it; by default the function's.

    Raises:
        TypeError: from `add`, the function returned something else than one number.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> def bias(prediction, target):
    ...     return np.mean(prediction - target)
    >>> metric = mg.metrics.Averaged(bias)
    >>> metric.add(np.array([1.0, 2.0]), np.array([0.0, 0.0]))
    >>> metric.add(np.array([3.0]), np.array([0.0]))
    >>> metric.result()
    2.0
    """

    kept = ("_sum", "_weight")

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.name = name_of(function) if name is None else name
        self._function = function
        self._takes_weights = takes_weights(function)
        self.start()

    def start(self) -> None:
        """Forget what was added."""
        self._sum = self._weight = 0.0

    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Call the function for these samples."""
        if self._takes_weights and sample_weight is not None:
            weight = float(np.sum(sample_weight))
            options = {"sample_weight": sample_weight}
        else:
            weight, options = float(len(target)), {}
        if weight:
            value = self._function(prediction, target, **options)
            self._sum += as_number(self.name, value) * weight
            self._weight += weight

    def result(self) -> float:
        """Return the mean over the samples so far."""
        return self._sum / self._weight if self._weight else math.nan


class Collecting(Metric):
    """A figure of all samples together, for which they are kept."""

    running = False

    def start(self) -> None:
        """Forget what was added."""
        self._batches: list[tuple[Array, Array, Array | None]] = []

    def add(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        """Keep these samples."""
        weight = None if sample_weight is None else np.asarray(sample_weight)
        self._batches.append((np.asarray(prediction), np.asarray(target), weight))

    def result(self) -> Any:
        """Return the figure of all that was added; nan if that is nothing."""
        if not self._batches:
            return math.nan
        whole = self.state_dict()
        return self._figure(whole["prediction"], whole["target"], whole.get("weight"))

    def state_dict(self) -> dict[str, Any]:
        """Return the samples so far as arrays, by name."""
        if not self._batches:
            return {}
        predictions, targets, weights = zip(*self._batches, strict=True)
        whole = {"prediction": np.concatenate(predictions), "target": np.concatenate(targets)}
        if any(w is not None for w in weights):
            pairs = zip(weights, targets, strict=True)
            whole["weight"] = np.concatenate(
                [np.ones(len(t)) if w is None else w for w, t in pairs]
            )
        return whole

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another of the same kind stood, as `state_dict` told."""
        self.start()
        if state:
            self._batches.append((state["prediction"], state["target"], state.get("weight")))

    @abstractmethod
    def _figure(self, prediction: Array, target: Array, weight: Array | None) -> Any:
        """Return the figure of all samples."""


class Collected(Collecting):
    """What a function of (prediction, target) gives for all samples of an epoch at once.

    So `fit` and `evaluate` use functions of yours. The predictions of the epoch are kept in memory
    until its end.

    Args:
        function: of arrays (prediction, target), any[n, ...], returns one number. If it has a
            parameter `sample_weight`, it gets the weights, float[n], where there are some.
        name: under which `fit` reports it; by default the function's.

    Raises:
        ValueError: from `result`, the batches are of shapes that cannot be joined.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> def spread(prediction, target):
    ...     return np.ptp(prediction - target)
    >>> metric = mg.metrics.Collected(spread)
    >>> metric.add(np.array([1.0, 2.0]), np.array([0.0, 0.0]))
    >>> metric.add(np.array([4.0]), np.array([0.0]))
    >>> float(metric.result())
    3.0
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.name = name_of(function) if name is None else name
        self._function = function
        self._takes_weights = takes_weights(function)
        self.start()

    def _figure(self, prediction: Array, target: Array, weight: Array | None) -> Any:
        if weight is not None and self._takes_weights:
            return self._function(prediction, target, sample_weight=weight)
        return self._function(prediction, target)


def copied(metric: Metric) -> Metric:
    """Return another metric of the same options, which can be used while this one takes batches."""
    other = copy.copy(metric)
    for name in metric.kept:
        if name in vars(metric):  # start() and add() may change it in place
            setattr(other, name, copy.deepcopy(getattr(metric, name)))
    return other


def name_of(function: Any) -> str:
    """Return by what name a function is reported; for a partial one, that of the whole."""
    inner = getattr(function, "func", function)
    return str(getattr(inner, "__name__", type(inner).__name__))


def takes_weights(function: Callable[..., Any]) -> bool:
    """Return whether a function has a parameter `sample_weight`."""
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions in C do not tell
        return False


def as_number(name: str, value: Any) -> float:
    """Return what a metric gave as a float.

    Raises:
        TypeError: it is not one number.
    """
    array = np.asarray(value)
    if array.size == 1 and isinstance(array.item(), Real):
        return float(array.item())
    given = f"shape {array.shape}" if array.size != 1 else f"type {type(value).__name__}"
    raise TypeError(
        f"metric {name!r}: {given} was returned; one number is needed. Reduce it, as with a mean."
    )
