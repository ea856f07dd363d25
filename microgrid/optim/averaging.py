"""Averages of weights over the steps of a training: smoother than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import ops
from ..arrays import Array, as_array
from ..core import Tensor, assign, wrap
from ..errors import StateError
from ..ops.arithmetic import quiet
from ..recording import no_grad
from .optimizer import as_list, check_parameter
from .settings import check_share, is_share


class AveragedWeights:
    """a += (1 - decay) * (p - a) after each step: a running mean of each parameter p.

    The first `update()` makes a equal p. With decay=None each has the same weight: a is the mean of
    all p so far, as in stochastic weight averaging; then call `update()` from the epoch on from
    which they shall count. Parameters themselves stay as they are, but inside `applied()`.

    Buffers are not averaged. After swapping weights in, running statistics of BatchNorm1d are still
    those of the last weights.

    Args:
        params: Tensors, float[...] each, as `model.parameters()`.
        decay: the share of the average that is kept, from 0 to 1; or None. It may be changed
            between steps, also of compiled ones.

    Attributes:
        parameters: what is averaged.
        averages: for each of them a Tensor of its shape and dtype; zeros before the first update.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or decay makes no sense.
        GraphError: a Tensor is not a leaf.

    Source: Polyak & Juditsky (1992); Izmailov et al. (2018) for the mean. Equal to PyTorch's
    AveragedModel, with get_ema_multi_avg_fn(decay) or without.

    >>> import microgrid as mg
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> averaged = mg.optim.AveragedWeights([p], decay=0.75)
    >>> averaged.update()
    >>> p.data = [9.0]
    >>> averaged.update()
    >>> with averaged.applied():
    ...     print(p.tolist())
    [3.0]
    >>> p.tolist()
    [9.0]
    """

    def __init__(self, params: Iterable[Tensor], decay: float | None = 0.999) -> None:
        self.parameters: tuple[Any, ...] = tuple(as_list("AveragedWeights", params))
        if not self.parameters:
            raise ValueError(
                "AveragedWeights: no parameters were given. Pass model.parameters() of a model "
                "that has some; a generator can be used once only."
            )
        taken: set[int] = set()
        for p in self.parameters:
            check_parameter("AveragedWeights", p, taken)
            taken.add(id(p))
        self.averages = tuple(wrap(np.zeros_like(p._data)) for p in self.parameters)
        # Tensors, so that compiled steps read them anew and count on.
        self._updates = Tensor(0)
        self._decay = None if decay is None else Tensor(_checked(decay))

    @property
    def decay(self) -> float | None:
        """The share of the average that is kept in an update, or None for the mean of all.

        Raises:
            ValueError: it is set to no number from 0 to 1, or where the mean of all is taken.
        """
        return None if self._decay is None else self._decay.item()

    @decay.setter
    def decay(self, decay: float) -> None:
        if self._decay is None:
            raise ValueError(
                "AveragedWeights: a decay was set where the mean of all is taken. Make another, "
                "with decay=0.999."
            )
        assign(self._decay, _checked(decay))

    @property
    def updates(self) -> int:
        """How many updates there were."""
        return int(self._updates.item())

    @quiet
    def update(self) -> None:
        """Move the averages towards the parameters as they are now: call it after `step()`."""
        with no_grad():
            share = self._share()
            shares = {p.dtype: ops.astype(share, p.dtype) for p in self.parameters}
            for p, a in zip(self.parameters, self.averages, strict=True):
                share = shares[p.dtype]
                # From the nearer end: p - a has lost what is small, and 1 must give exactly p.
                near = share < 0.5
                rest = (p - a) * ops.where(near, share, share - 1)
                assign(a, ops.where(near, a, p) + rest)
            assign(self._updates, self._updates + 1)

    def _share(self) -> Any:
        """Return how far an average goes towards its parameter: at first all the way."""
        if self._decay is None:
            return 1 / (self._updates + 1)
        return ops.where(self._updates == 0, 1.0, 1 - self._decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the parameters be their averages inside a `with` block.

        Afterwards they are what they were: what the block has changed of them is lost.

        Raises:
            RuntimeError: there was no update yet.
        """
        if not self._updates._data:
            raise RuntimeError(
                "AveragedWeights: applied() was called before the first update(), so there are no "
                "averages. Call update() after each step."
            )
        kept = [p.detach() for p in self.parameters]
        self._write(self.averages)
        try:
            yield
        finally:
            self._write(kept)

    def _write(self, values: Iterable[Tensor]) -> None:
        with no_grad():
            for p, value in zip(self.parameters, values, strict=True):
                assign(p, value)

    def guarded(self) -> Iterator[tuple[str, str, tuple[Any, ...], Any]]:
        """Yield what a compiled step relies on: whose values are read anew in each step."""
        for part in (*self.parameters, *self.averages, self._updates, self._decay):
            yield "averages", "", (), part

    def state_dict(self) -> dict[str, Any]:
        """Return decay, the number of updates and the averages, as copies."""
        return {
            "decay": self.decay,
            "updates": self.updates,
            "averages": [a.numpy() for a in self.averages],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a saved state, or, if any of it does not fit, nothing.

        Raises:
            StateError: something does not fit; the message lists all of it.
        """
        faults = self._faults(state_dict)
        if faults:
            raise StateError(
                f"load_state_dict: the state does not fit this AveragedWeights: "
                f"{'; '.join(faults)}. Nothing was loaded. Give it the parameters it had when "
                "saved."
            )
        for a, value in zip(self.averages, state_dict["averages"], strict=True):
            assign(a, value)
        assign(self._updates, state_dict["updates"])
        if self._decay is not None:
            assign(self._decay, float(state_dict["decay"]))

    def _faults(self, state: Any) -> list[str]:
        """Return all that does not fit, in words."""
        if not isinstance(state, Mapping):
            return [f"a state of type {type(state).__name__}, needed a dict"]
        faults = [f"missing {key}" for key in self.state_dict() if key not in state]
        if faults:
            return faults
        decay, updates, averages = state["decay"], state["updates"], state["averages"]
        if self._decay is None and decay is not None:
            faults.append(f"decay is {decay!r}, needed None")
        elif self._decay is not None and not is_share(decay):
            faults.append(f"decay is {decay!r}, needed a number from 0 to 1")
        if type(updates) is not int or updates < 0:
            faults.append(f"updates is {updates!r}, needed an integer, at least 0")
        if not isinstance(averages, (list, tuple)) or len(averages) != len(self.averages):
            return [*faults, f"averages that are no list of {len(self.averages)} arrays"]
        for i, (own, value) in enumerate(zip(self.averages, averages, strict=True)):
            faults += _misfit(i, own, value)
        return faults

    def __repr__(self) -> str:
        return f"AveragedWeights({len(self.parameters)} parameters, decay={self.decay!r})"


def _misfit(i: int, own: Tensor, value: Any) -> list[str]:
    try:
        array: Array = as_array(f"average {i}", value)
    except (TypeError, ValueError):  # no number, or lists of unequal lengths
        return [f"average {i} is of type {type(value).__name__}, needed an array"]
    if (array.shape, array.dtype) == (own.shape, own.dtype):
        return []
    return [
        f"average {i} has shape {array.shape} and dtype {array.dtype}, needed {own.shape} and "
        f"{own.dtype}"
    ]


def _checked(decay: Any) -> float:
    check_share("AveragedWeights", {"decay": decay}, "decay")
    return float(decay)
