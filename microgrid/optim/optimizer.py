"""What all optimisers share: parameters in groups with their own settings, and a state to save."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ..arrays import Array
from ..core import Tensor, assign, next_serial
from ..errors import DtypeError, GraphError, ShapeError, StateError
from ..nn.parameter import in_use
from ..ops.arithmetic import quiet
from ..recording import no_grad, watcher
from .saving import faults_of

Params: TypeAlias = "Iterable[Tensor] | Iterable[dict[str, Any]]"
Group: TypeAlias = Mapping[str, Any]
Slots: TypeAlias = dict[str, Array]

ONE = np.array(1)

Scratch: TypeAlias = tuple[Array, int, "np.dtype[Any]"]  # memory, its size and dtype


class Optimizer:
    """The base of optimisers: subclasses write `update`, `check` and name their state in `slots`.

    Args:
        params: Tensors, float[...] each, or groups of them as dicts: {"params": tensors, "lr": 1}.
            What a group does not set, it takes from `defaults`.
        defaults: the settings.

    Attributes:
        param_groups: the groups, whose settings may be changed between steps.
        state: per parameter, the arrays that the optimiser remembers, by name.
        slots: the names of those that have the shape of the parameter.
        counts: the names of single numbers that are remembered too, as how many steps a parameter
            has taken, and what they start with.
        decisive: the settings that decide, by being 0 or not, what is remembered.
        elementwise: whether `update` treats each element alike, so that several parameters can be
            updated as one long vector.

    Raises:
        TypeError: `params` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one is given twice, or a setting makes no sense.
        GraphError: a Tensor is not a leaf.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> class SignDescent(mg.optim.Optimizer):
    ...     def update(self, group, data, g, scratch, slots):
    ...         data -= group["lr"] * np.sign(g)
    >>> x = mg.tensor([3.0, -3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> SignDescent([x], {"lr": 0.5}).step()
    >>> x.data
    array([ 2.5, -2.5])
    """

    slots: tuple[str, ...] = ()
    counts: ClassVar[dict[str, float]] = {}
    decisive: tuple[str, ...] = ()
    elementwise = False

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        given = as_list(self._name, params, "Tensors or of groups")
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Array]] = {}
        self._scratch: dict[Tensor, Scratch] = {}
        if not given:
            raise ValueError(
                f"{self._name}: no parameters were given. Pass model.parameters() of a model that "
                "has some; a generator can be used once only."
            )
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def step(self) -> None:
        """Change the parameters by their gradients; a parameter whose `grad` is None stays.

        Those that have a `constraint` are brought back to where it holds.

        Raises:
            ShapeError: a gradient, set by hand, has not the shape of its parameter.
            TypeError: a gradient, set by hand, is no array.
            NotImplementedError: a subclass has no `update`.
        """
        observer = watcher()
        if observer is None:
            self._step()
        else:
            observer.acts(self._step, self)
        if "constraint" in in_use:
            self.apply_constraints()

    @quiet
    def apply_constraints(self) -> None:
        """Let the constraint of each parameter that has a gradient hold again; `step` does it.

        An optimiser with a `step` of its own calls this at the end.
        """
        observer = watcher()
        for p in self.parameters():
            constraint = getattr(p, "constraint", None)
            if constraint is None:
                continue
            g = p.grad if observer is None else observer.accumulates(p)
            if g is not None:
                with no_grad():
                    assign(p, constraint(p))

    @quiet
    def _step(self) -> None:
        """Change the parameters."""
        if type(self).update is Optimizer.update:
            raise NotImplementedError(f"{self._name}: step is not defined.")
        for group in self.param_groups:
            starts = self.remembered(group)
            for p in group["params"]:
                g, data = p.grad, p._data
                if g is None:
                    continue
                if type(g) is not np.ndarray or g.shape != data.shape:
                    self.check_gradients()
                if g.dtype is not data.dtype:
                    if not np.can_cast(g.dtype, data.dtype, "same_kind"):
                        self.check_gradients()
                    g = g.astype(data.dtype)
                scratch = (self._scratch.get(p) or self.scratch(p))[0]
                slots = self.state.get(p)
                if slots is None or not slots.keys() >= starts.keys():
                    slots = self._remember(p, starts)
                if self.counts:
                    self.count(group, slots)
                self.update(group, data, g, scratch, slots)
                p.serial = next_serial()

    def remembered(self, group: Group) -> dict[str, float]:
        """Return which slots the settings of a group need, and the number each is filled with."""
        return dict.fromkeys(self.slots, 0.0)

    def _remember(self, p: Tensor, starts: Mapping[str, float]) -> dict[str, Array]:
        """Return the slots of p, those that it had not yet among them."""
        counts = {name: np.array(start) for name, start in self.counts.items()}
        slots = self.state.setdefault(p, counts)
        for name, start in starts.items():
            if name not in slots:
                slots[name] = np.full_like(p._data, start)
        return slots

    def count(self, group: Group, slots: Slots) -> None:
        """Count one more step of a parameter, in place, before `update`."""
        np.add(slots["step"], ONE, slots["step"])

    def check(self, settings: Group) -> None:
        """Raise a ValueError if the settings of a group make no sense."""

    def checked(self, **settings: Any) -> dict[str, Any]:
        """Return the settings as the defaults, if `check` finds that they make sense."""
        self.check(settings)
        return settings

    def zero_grad(self) -> None:
        """Forget the gradients: `grad` of every parameter becomes None."""
        for group in self.param_groups:
            for p in group["params"]:
                p.zero_grad()

    def add_param_group(self, group: Group) -> None:
        """Take a further group of parameters, as the constructor does.

        Raises:
            TypeError, ValueError, GraphError: as the constructor.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(
                f"{self._name}: a group of type {type(group).__name__} was given; it needs a dict "
                'with "params" and the settings that differ from the defaults.'
            )
        members = group["params"]
        tensors = [members] if isinstance(members, Tensor) else as_list(self._name, members)
        if not tensors:
            raise ValueError(f"{self._name}: a group has no parameters. Leave it out.")
        unknown = [key for key in group if key != "params" and key not in self.defaults]
        if unknown:
            raise ValueError(
                f"{self._name}: a group sets {', '.join(map(str, unknown))}; "
                f"the settings are {', '.join(self.defaults)}."
            )
        taken = {id(p) for known in self.param_groups for p in known["params"]}
        for p in tensors:
            check_parameter(self._name, p, taken)
            taken.add(id(p))
        full = {"params": tensors, **self.defaults}
        full.update({key: value for key, value in group.items() if key != "params"})
        self.check(full)
        self.param_groups.append(full)

    def check_gradients(self) -> None:
        """Raise if a gradient that was set by hand does not fit its parameter.

        Raises:
            ShapeError: one has another shape.
            TypeError: one is no array, or has a dtype that is not that of numbers like it.
        """
        for i, p in enumerate(self.parameters()):
            if p.grad is not None and not isinstance(p.grad, np.ndarray):
                raise TypeError(
                    f"{self._name}: the grad of parameter {i} is of type {type(p.grad).__name__}; "
                    "it must be an array or None. Use np.array(..., p.dtype)."
                )
            if p.grad is not None and p.grad.shape != p.shape:
                raise ShapeError(
                    f"{self._name}: the grad of parameter {i} has shape {p.grad.shape}; the "
                    f"parameter has {p.shape}, and the shapes must be equal."
                )
            if p.grad is not None and not np.can_cast(p.grad.dtype, p.dtype, "same_kind"):
                raise TypeError(
                    f"{self._name}: the grad of parameter {i} has dtype {p.grad.dtype}; the "
                    f"parameter has {p.dtype}. Use np.array(..., p.dtype)."
                )

    def scratch(self, p: Tensor) -> Scratch:
        """Return memory of the shape and dtype of p, for use within one update."""
        if p not in self._scratch:
            everyone = self.parameters()
            # One piece of memory for all: it stays in the cache while p after p is updated.
            pool = np.empty(max(q._data.nbytes for q in everyone), np.uint8)
            self._scratch.clear()  # the dict stays: `step` has it in hand
            for q in everyone:
                data = q._data
                # NumPy would stretch a gradient of the same size along a first dimension of 1.
                size = -1 if data.size == 0 or data.shape[:1] == (1,) else data.size
                self._scratch[q] = (_shaped_as(data, pool), size, data.dtype)
        return self._scratch[p]

    def update(self, group: Group, data: Array, g: Array, scratch: Array, slots: Slots) -> None:
        """Change the values in `data` by the gradient g and the group's settings, in place.

        Args:
            group: the settings.
            data, g: float[...].
            scratch: of their shape, to work in.
            slots: what the optimiser remembers of them, to be changed in place; counts have been
                changed already.
        """
        raise NotImplementedError(f"{self._name}: update is not defined.")

    def write_update(
        self, line: Any, group: Group, data: Array, g: Array, scratch: Array, slots: Slots
    ) -> bool:
        """Write `update` out for the compiler, if it can be written better than called.

        Args:
            line: what writes, as for `Op.inline`.
            group: the settings, to be read in each step.
            data, g, scratch, slots: as for `update`.
        """
        return False

    def guarded(self) -> Iterator[tuple[str, str, tuple[Any, ...], Any]]:
        """Yield what a compiled step relies on; the settings are read anew in each step."""
        groups = self.param_groups
        yield "param_groups", "{0}.param_groups is {1}", (self, groups), None
        yield "param_groups", f"len({{0}}) == {len(groups)}", (groups,), None
        for group in groups:
            members = group["params"]
            yield "params", "{0}['params'] is {1}", (group, members), None
            yield "params", f"len({{0}}) == {len(members)}", (members,), None
            for p in members:
                yield "params", "", (), p
        yield "state", "{0}.state is {1}", (self, self.state), None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_scratch": {}}

    # --- saving and loading ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the settings of the groups and the remembered arrays, as copies.

        Parameters are numbered in the order of the groups: {"state": {0: {"momentum_buffer": …}},
        "param_groups": [{"params": [0, 1], "lr": 0.1, …}]}.
        """
        numbers = {id(p): i for i, p in enumerate(self.parameters())}
        return {
            "state": {
                numbers[id(p)]: {name: array.copy() for name, array in slots.items()}
                for p, slots in self.state.items()
                if id(p) in numbers
            },
            "param_groups": [
                {**group, "params": [numbers[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a saved state, or, if any of it does not fit, nothing.

        Raises:
            StateError: something does not fit; the message lists all of it.
        """
        faults = faults_of(self, state_dict)
        if faults:
            raise StateError(
                f"load_state_dict: the state does not fit this {self._name}: {'; '.join(faults)}. "
                "Nothing was loaded. Build the optimiser as it was when saved."
            )
        parameters = self.parameters()
        state = {
            parameters[int(i)]: {name: np.array(array) for name, array in slots.items()}
            for i, slots in state_dict["state"].items()
        }
        saved_groups = state_dict["param_groups"]
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            group.update({key: value for key, value in saved.items() if key != "params"})
        self.state = state

    def parameters(self) -> list[Tensor]:
        """Return the parameters of all groups, in their order."""
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = [
            ", ".join(
                [f"{len(group['params'])} parameters"]
                + [f"{key}={value!r}" for key, value in group.items() if key != "params"]
            )
            for group in self.param_groups
        ]
        return f"{self._name}({'; '.join(groups)})"


def as_list(who: str, params: Any, what: str = "Tensors") -> list[Any]:
    """Return the parameters as a list.

    Raises:
        TypeError: one Tensor, group or model was given.
    """
    model = callable(getattr(params, "parameters", None))
    single = isinstance(params, (Tensor, Mapping, str)) or not isinstance(params, Iterable)
    if model or single:
        remedy = "Pass model.parameters()." if model else "Put it in a list."
        raise TypeError(
            f"{who}: one {type(params).__name__} was given; params is an iterable of {what}. "
            f"{remedy}"
        )
    return list(params)


def check_parameter(who: str, p: Any, taken: set[int]) -> None:
    """Raise unless p is a leaf whose id is not among those taken.

    Raises:
        TypeError: it is no Tensor.
        DtypeError: it cannot have a gradient, as one of integers.
        GraphError: it is not a leaf.
        ValueError: it was given before.
    """
    if not isinstance(p, Tensor):
        raise TypeError(
            f"{who}: a parameter of type {type(p).__name__} was given; it needs "
            "Tensors. Pass model.parameters(), not names or arrays."
        )
    if p.dtype.kind not in "fO":
        raise DtypeError(
            f"{who}: a parameter of dtype {p.dtype} was given; it needs floats, as integers have "
            "no gradient. Make it with dtype=float."
        )
    if not p.is_leaf:
        raise GraphError(
            f"{who}: a result of {p.op.name if p.op else '?'} (shape {p.shape}) was "
            "given; only a leaf can be optimised. Pass what it was computed from."
        )
    if id(p) in taken:
        raise ValueError(
            f"{who}: a parameter of shape {p.shape} was given twice; it would be "
            "updated twice a step. Give each once: model.parameters() does."
        )


def _shaped_as(data: Array, pool: Array) -> Array:
    """Return the start of `pool` with the shape and dtype of `data`."""
    if data.dtype.hasobject:
        return np.empty_like(data)
    return pool[: data.nbytes].view(data.dtype).reshape(data.shape)
