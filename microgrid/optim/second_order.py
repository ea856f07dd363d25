"""What the optimisers share that take all parameters as one vector, and call what they minimise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Array, as_array
from ..core import Tensor, assign
from ..errors import DtypeError, StateError, TraceError
from ..recording import watcher
from .optimizer import Group, Optimizer, Params
from .saving import faults_of


class SecondOrder(Optimizer):
    """The base of optimisers that evaluate a closure, as often as they need, in each step.

    Subclasses write `step(closure)`, and name in `memory` what they remember, and in `tallies` what
    of it are counts. It is forgotten when other parameters require a gradient than before.

    Attributes:
        loss: what was reached in the last step; None before the first.
        status: why the last step ended, in a word.
        needs_closure: True, where other optimisers have no such attribute.
    """

    needs_closure = True
    memory: tuple[str, ...] = ()
    tallies: tuple[str, ...] = ()
    example = ""

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        self.loss: float | None = None
        self.status = "new"
        self._remembered: list[Tensor] = []  # the parameters that the memory is of

    def add_param_group(self, group: Group) -> None:
        """Take the one group that there is.

        Raises:
            ValueError: there is one already.
        """
        if self.param_groups:
            raise ValueError(
                f"{self._name}: a second group was given; it takes all parameters as one vector. "
                "Give one list of parameters."
            )
        super().add_param_group(group)
        for p in self.parameters():
            if p.dtype.kind != "f":
                raise DtypeError(
                    f"{self._name}: a parameter of dtype {p.dtype} was given; it needs floats. "
                    "Convert it with astype(float)."
                )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the one group."""
        return self.param_groups[0]

    def check_call(self, closure: Any) -> None:
        """Raise unless a step can be made here with this closure.

        Raises:
            TypeError: there is no closure.
            TraceError: the step is traced.
            ValueError: a parameter has a constraint, or none requires a gradient.
        """
        if not callable(closure):
            what = "no closure" if closure is None else f"a closure of {type(closure).__name__}"
            raise TypeError(
                f"{self._name}: step was called with {what}; it evaluates the model several times "
                f"in each step. Write {self.example}."
            )
        observer = watcher()
        if observer is not None and observer.sees_arrays:
            raise TraceError(
                f"compile: step() of {self._name} was called in the traced step. It decides by "
                "values how to go on. Call it outside; compile the closure instead."
            )
        if not self.trained():
            raise ValueError(
                f"{self._name}: no parameter requires a gradient. Set requires_grad=True on some."
            )
        if any(getattr(p, "constraint", None) is not None for p in self.parameters()):
            raise ValueError(
                f"{self._name}: a parameter has a constraint, which its steps would not keep. "
                "Use another optimiser, or compute the parameter from one without a constraint."
            )

    # --- all parameters as one vector ------------------------------------------------------------

    def trained(self) -> list[Tensor]:
        """Return the parameters that require a gradient."""
        return [p for p in self.parameters() if p.requires_grad]

    def point(self) -> Array:
        """Return the values of the trained parameters, as float64[n]."""
        return np.concatenate([p._data.ravel().astype(np.float64) for p in self.trained()])

    def move(self, point: Array) -> None:
        """Write values into the trained parameters, each in its own dtype."""
        start = 0
        with np.errstate(all="ignore"):  # what overflows is inf, and is seen in the loss
            for p in self.trained():
                part = point[start : start + p.size].reshape(p.shape)
                assign(p, part.astype(p.dtype))
                start += p.size

    # --- saving and loading ----------------------------------------------------------------------

    def remember(self, **arrays: Any) -> None:
        """Keep arrays as the state, under the first parameter."""
        self.state[self.parameters()[0]] = {k: np.array(v) for k, v in arrays.items()}
        self._remembered = self.trained()

    def recall(self) -> dict[str, Array]:
        """Return what was kept; nothing before the first step, or once others are trained."""
        if list(map(id, self._remembered)) != list(map(id, self.trained())):
            return {}
        return self.state.get(self.parameters()[0], {})

    def state_dict(self) -> dict[str, Any]:
        """Return the settings and what is remembered, as copies."""
        saved = super().state_dict()
        return saved if self.recall() else {**saved, "state": {}}

    def faults_of_memory(self, saved: Mapping[str, Array]) -> list[str]:
        """Return what does not fit in saved arrays of the right names, in words."""
        return []

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a saved state, or, if any of it does not fit, nothing.

        Raises:
            StateError: something does not fit; the message lists all of it.
        """
        saved, faults = self._memory_in(state_dict)
        rest = {**state_dict, "state": {}} if isinstance(state_dict, Mapping) else state_dict
        faults = faults_of(self, rest) + faults
        if faults:
            raise StateError(
                f"load_state_dict: the state does not fit this {self._name}: {'; '.join(faults)}. "
                "Nothing was loaded. Build the optimiser as it was when saved."
            )
        (group,) = state_dict["param_groups"]
        self.settings.update({key: value for key, value in group.items() if key != "params"})
        self.state = {}
        if saved:
            self.remember(**saved)

    def _memory_in(self, state_dict: Any) -> tuple[dict[str, Array], list[str]]:
        """Return the saved arrays, and what is wrong with them."""
        state = state_dict.get("state") if isinstance(state_dict, Mapping) else None
        if not isinstance(state, Mapping):
            return {}, ["missing state"] if isinstance(state_dict, Mapping) else []
        if not state:
            return {}, []
        if [str(key) for key in state] != ["0"] or not isinstance(next(iter(state.values())), dict):
            return {}, [f"a state under {', '.join(map(str, state))}, needed one under 0"]
        given = next(iter(state.values()))
        faults = [f"missing {name}" for name in self.memory if name not in given]
        faults += [f"unexpected {name}" for name in given if name not in self.memory]
        arrays = {}
        for name, value in given.items():
            try:
                arrays[name] = as_array(name, value)
            except (TypeError, ValueError):
                faults.append(f"{name} is of type {type(value).__name__}, needed an array")
        return arrays, faults or self._numbers_in(arrays) or self.faults_of_memory(arrays)

    def _numbers_in(self, arrays: Mapping[str, Array]) -> list[str]:
        faults = []
        for name, array in arrays.items():
            if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
                faults.append(f"{name} is not of finite numbers")
            elif name in self.tallies and not (array.dtype.kind in "iu" and (array >= 0).all()):
                faults.append(f"{name} is not an integer, at least 0")
        return faults
