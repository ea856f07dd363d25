"""What a network is: an object whose attributes are parameters and further such objects."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..arrays import Array, as_array
from ..core import Operand, Tensor, assign, wrap
from ..errors import StateError
from ..ops.piecewise import zero
from ..recording import changes
from .parameter import Buffer as Buffer
from .parameter import Parameter as Parameter
from .parameter import float_dtype as float_dtype
from .parameter import in_dtype as in_dtype
from .parameter import in_dtype_of as in_dtype_of
from .summary import table

Self = TypeVar("Self", bound="Module")
Kept = TypeVar("Kept", bound=Tensor)


def as_integer(who: str, name: str, value: Any, least: int | None = None) -> int:
    """Return an option as an int.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is below `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{who}: {name}={value!r} was given; it must be an integer.") from None
    if least is not None and number < least:
        raise ValueError(f"{who}: {name}={number} was given; it must be at least {least}.")
    return number


def check_instance(what: str, layer: object) -> None:
    """Raise if a class of Modules was given where one of its instances is meant.

    Raises:
        TypeError: it is a class.
    """
    if isinstance(layer, type) and issubclass(layer, Module):
        raise TypeError(
            f"{what} given is the class {layer.__name__}; it needs a layer. "
            f"Make one: {layer.__name__}(...)."
        )


class Mismatch(NamedTuple):
    """The names that a loaded state lacked, and those it had besides."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """The base of layers and models: write `forward`, and make parameters attributes.

    Parameters, Buffers and Modules are found in the attributes, also inside lists, tuples and
    dicts, in the order in which they were set. One that is found twice is shared: it counts once,
    under the name found first. pickle and deepcopy keep it shared.

    Attributes:
        training: True in training, False in evaluation. Layers that differ between the two read it.

    Input shape: any[...], what `forward` takes. Output shape: any[...], what it returns. A call
    passes both on as they are.

    Raises:
        NotImplementedError: in a call, no `forward` was written.
        TypeError: an attribute that is a Parameter or Buffer is set to neither such a one nor None.

    >>> import microgrid as mg
    >>> class Line(mg.nn.Module):
    ...     def __init__(self):
    ...         self.slope = mg.nn.Parameter(2.0)
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> line = Line()
    >>> line(3.0)
    tensor(6., dtype=float32, op=multiply)
    >>> dict(line.named_parameters()).keys()
    dict_keys(['slope'])
    """

    training = True

    def __init_subclass__(cls, **options: Any) -> None:
        """Make a call of the class a call of its own `forward`, with nothing in between."""
        super().__init_subclass__(**options)
        if "forward" in vars(cls) and "__call__" not in vars(cls):
            cls.__call__ = cls.forward  # type: ignore[method-assign]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Return what `forward` returns."""
        return self.forward(*inputs, **options)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Return the result for the inputs: every Module defines it."""
        raise NotImplementedError(
            f"{type(self).__name__}: forward is not defined. Write forward(self, x)."
        )

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        if isinstance(before, (Parameter, Buffer)) and value is not None:
            kind = Parameter if isinstance(before, Parameter) else Buffer
            if not isinstance(value, kind):
                raise TypeError(
                    f"{type(self).__name__}: {name} is a {kind.__name__}, and a value of type "
                    f"{type(value).__name__} was given for it; it needs a {kind.__name__}, or "
                    f"None. Write to {name}.data to change the numbers."
                )
        super().__setattr__(name, value)
        changes[0] += 1

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        changes[0] += 1

    # --- what it is made of ----------------------------------------------------------------------

    def _attributes(self) -> Iterable[tuple[str, Any]]:
        return vars(self).items()

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this Module, named "", and all inside it by dotted names, outer ones first."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            inner = _members(module._attributes())
            stack += [(_dotted(name, key), m) for key, m in inner if isinstance(m, Module)][::-1]

    def modules(self) -> Iterator[Module]:
        """Yield this Module and all inside it."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every Parameter once, with its dotted name such as "0.weight".

        Raises:
            ValueError: one name stands for two.
        """
        return self._named(Parameter)

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Yield every Buffer once, with its dotted name such as "1.running_mean".

        Raises:
            ValueError: one name stands for two.
        """
        return self._named(Buffer)

    def _named(self, *kinds: type[Kept]) -> Iterator[tuple[str, Kept]]:
        """Yield every Tensor of these kinds once, with its dotted name."""
        seen: set[int] = set()
        names: set[str] = set()
        for name, module in self.named_modules():
            for key, member in _members(module._attributes()):
                if not isinstance(member, kinds) or id(member) in seen:
                    continue
                whole = _dotted(name, key)
                if whole in names:
                    raise ValueError(
                        f"{type(self).__name__}: the name {whole} stands for two "
                        f"{type(member).__name__}s, so one would be lost when saved. Rename an "
                        "attribute or a key of a dict."
                    )
                seen.add(id(member))
                names.add(whole)
                yield whole, member

    def parameters(self) -> Iterator[Parameter]:
        """Yield every Parameter once, as `named_parameters` does."""
        return (parameter for _, parameter in self.named_parameters())

    def buffers(self) -> Iterator[Buffer]:
        """Yield every Buffer once, as `named_buffers` does."""
        return (buffer for _, buffer in self.named_buffers())

    def num_parameters(self) -> int:
        """Return how many numbers the parameters hold."""
        return sum(parameter.size for parameter in self.parameters())

    def penalty(self) -> Tensor:
        """Return the sum of the penalties of all parameters, 0 if none has one: float[].

        >>> import microgrid as mg
        >>> layer = mg.nn.Dense(2, 1, init="constant", weight_penalty=mg.nn.penalties.L2(0.5))
        >>> layer.weight.data = [[1.0], [3.0]]
        >>> layer.penalty().item()
        5.0
        """
        from .penalties import penalty_of  # here, since few models have penalties

        total = penalty_of(self)
        if total is not None:
            return total
        dtype = next((p.dtype for p in self.parameters()), np.dtype(np.float32))
        return wrap(zero(dtype))

    # --- training and evaluation -----------------------------------------------------------------

    def train(self: Self, mode: bool = True) -> Self:
        """Set `training` here and in all Modules inside; return self."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: Self) -> Self:
        """Set `training` to False here and in all Modules inside; return self."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients: `grad` of every Parameter becomes None."""
        for parameter in self.parameters():
            parameter.zero_grad()

    # --- its state -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Return the values of the parameters and buffers by name, as copies: any[...] each.

        Raises:
            ValueError: one name stands for two.

        >>> import microgrid as mg
        >>> {name: array.shape for name, array in mg.nn.Dense(3, 2).state_dict().items()}
        {'weight': (3, 2), 'bias': (2,)}
        """
        return {name: kept.numpy() for name, kept in self._state()}

    def _state(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        return self._named(Parameter, Buffer)

    def load_state_dict(self, state_dict: Mapping[str, Operand], strict: bool = True) -> Mismatch:
        """Write the values into parameters and buffers, all or, if any does not fit, none.

        Args:
            state_dict: arrays or Tensors by name, of the shapes and dtypes of this state.
            strict: whether names that are missing or unexpected are errors too.

        Returns:
            The names that were missing and unexpected.

        Raises:
            StateError: something does not fit; the message lists all of it.
        """
        if not isinstance(state_dict, Mapping):
            raise StateError(
                f"load_state_dict: a state of type {type(state_dict).__name__} was given; it needs "
                "a dict of arrays by name. Pass what state_dict() returned."
            )
        own = dict(self._state())
        mismatch = Mismatch(
            [name for name in own if name not in state_dict],
            [name for name in state_dict if name not in own],
        )
        values, faults = _fitting(own, state_dict)
        if strict:
            missing, unexpected = mismatch
            faults = [f"missing {name}" for name in missing] + faults
            faults += [f"unexpected {name}" for name in unexpected]
        if faults:
            raise StateError(
                f"load_state_dict: the state does not fit this {type(self).__name__}: "
                f"{'; '.join(faults)}. Nothing was loaded. Build the model as it was when saved."
            )
        for name, kept in own.items():
            if name in values:
                assign(kept, values[name])
        return mismatch

    # --- how it looks ----------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the repr: subclasses say what they are."""
        return ""

    @recursive_repr("...")
    def __repr__(self) -> str:
        inner = [
            f"  ({key}): {member!r}".replace("\n", "\n  ")
            for key, member in _members(self._attributes())
            if isinstance(member, Module)
        ]
        extra = self.extra_repr()
        if not inner:
            return f"{type(self).__name__}({extra})"
        lines = [f"  {extra}"] * bool(extra) + inner
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def summary(self, x: Any = None) -> str:
        """Return a table of the layers: output shapes, numbers that are learned, bytes; and totals.

        Args:
            x: an example of the input, or its shape as a tuple, in which None stands for any size
                of the batch; with None there is no column of output shapes. The forward pass that
                finds them runs on a copy in evaluation mode, and changes nothing.

        A row is a layer: a Module with parameters of its own, or without Modules inside. What is
        shared counts in the first row. A layer that was not called shows "-".

        Raises:
            TypeError: the tuple is no shape, or a list is given that is one.
            ValueError: a size is negative.

        >>> import microgrid as mg
        >>> print(mg.nn.MLP([2, 3, 1]).summary((None, 2)))
        Model: MLP
        Layer (type)  Output shape  Parameters  Bytes
        ---------------------------------------------
        0 (Dense)     (None, 3)              9     36
        1 (Dense)     (None, 1)              4     16
        ---------------------------------------------
        Total parameters: 13 (52 bytes)
        Trainable: 13 (52 bytes)
        Frozen: 0 (0 bytes)
        """
        return table(self, x)


def _dotted(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _members(attributes: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield Parameters, Buffers and Modules among the values, and in the containers among them."""
    for key, value in attributes:
        if isinstance(value, (Parameter, Buffer, Module)):
            yield key, value
        elif isinstance(value, (list, tuple)):
            yield from _members((f"{key}.{i}", item) for i, item in enumerate(value))
        elif isinstance(value, dict):
            yield from _members((f"{key}.{name}", item) for name, item in value.items())


def _fitting(
    own: Mapping[str, Tensor], state: Mapping[str, Any]
) -> tuple[dict[str, Array], list[str]]:
    """Return copies of the values that fit this model's own, and what is wrong with the others."""
    values, faults = {}, []
    for name, kept in own.items():
        if name not in state:
            continue
        try:
            # A copy: it may be a view of the very Tensor that is written to.
            value = np.array(as_array(name, state[name]), copy=True)
        except (TypeError, ValueError):  # no number, or lists of unequal lengths
            faults.append(f"{name} is of type {type(state[name]).__name__}, needed an array")
            continue
        if value.shape != kept.shape:
            faults.append(f"{name} has shape {value.shape}, needed {kept.shape}")
        if value.dtype != kept.dtype:
            faults.append(f"{name} has dtype {value.dtype}, needed {kept.dtype}")
        values[name] = value
    return values, faults
