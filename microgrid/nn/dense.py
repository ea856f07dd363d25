"""Fully connected layers, and layers in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import DTypeLike

from ..core import Operand, Tensor
from ..errors import ShapeError
from ..ops import affine, matmul
from ..ops.draws import as_generator
from .activations import activation_name, named_activation
from .init import INITIALIZERS, Initializer, Rng
from .module import Module, Parameter, as_integer, check_instance, float_dtype, in_dtype_of
from .parameter import Rule

Activation: TypeAlias = "str | Callable[..., Any] | None"

# Like relu these lose about half of the variance, which He's factor of 2 restores.
LIKE_RELU = frozenset(
    (
        "relu", "leaky_relu", "prelu", "rrelu", "relu6", "crelu", "elu", "celu", "gelu", "silu",
        "mish", "hardswish", "softplus",
    )
)  # fmt: skip


WEIGHTS = "fO"  # kinds of dtypes: floats, or objects as exact Fractions


class Dense(Module):
    """activation(x @ weight + bias): every output depends on every input.

    Args:
        in_features: the size of the last dimension of x.
        out_features: the size of the last dimension of the result.
        activation: a name such as "relu", a function, or a layer; None for none.
        bias: whether there is one; it starts at 0.
        init: a name in `mg.nn.init`, or a function of (shape, rng, dtype). "auto" is he_normal for
            relu and its kin, lecun_normal for selu, and glorot_uniform for all others and none.
        rng: None, a seed, or a generator, for the first weights.
        dtype: of the parameters.
        weight_constraint, bias_constraint: what the parameter becomes after each step of an
            optimiser: one of `mg.nn.constraints`, or a function in ops; None for as it is.
        weight_penalty, bias_penalty: what `fit` adds to the loss: one of `mg.nn.penalties`, or a
            function in ops that returns a number; None for nothing.

    Input shape: float[..., in_features]. Arrays and lists are cast to the dtype of the weight.
    Output shape: float[..., out_features].

    Attributes:
        weight: float[in_features, out_features].
        bias: float[out_features], or None.

    Raises:
        ValueError: a size is below 1, a name is not known, or a rule is given for a bias that there
            is not.
        TypeError: a size is no integer; activation, init, a constraint or penalty is no function;
            or rng is none of these.
        DtypeError: the dtype is not one of floats. In a call, x does not hold numbers.
        ShapeError: in a call, the last dimension of x is not in_features. A constraint returns
            another shape than that of its parameter, a penalty more than one number, or init
            another shape than it was asked for.

    >>> import microgrid as mg
    >>> layer = mg.nn.Dense(3, 2, activation="relu", rng=0)
    >>> layer
    Dense(3, 2, activation=relu)
    >>> layer([[1.0, 2.0, 3.0]]).shape
    (1, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Activation = None,
        bias: bool = True,
        init: str | Initializer = "auto",
        rng: Rng = None,
        dtype: DTypeLike = np.float32,
        weight_constraint: Rule | None = None,
        bias_constraint: Rule | None = None,
        weight_penalty: Rule | None = None,
        bias_penalty: Rule | None = None,
    ) -> None:
        self.in_features = as_integer("Dense", "in_features", in_features, least=1)
        self.out_features = as_integer("Dense", "out_features", out_features, least=1)
        self.activation = named_activation("Dense", activation)
        float_dtype("Dense", dtype, WEIGHTS)
        shape = (self.in_features, self.out_features)
        weight = _initializer(init, self.activation)(shape, rng=rng, dtype=dtype)
        self.weight = Parameter(_of_shape(weight, shape), dtype)
        self.bias = Parameter(np.zeros(self.out_features), dtype) if bias else None
        self.weight.constraint, self.weight.penalty = weight_constraint, weight_penalty
        if self.bias is not None:
            self.bias.constraint, self.bias.penalty = bias_constraint, bias_penalty
            return
        for name, rule in (("bias_constraint", bias_constraint), ("bias_penalty", bias_penalty)):
            if rule is not None:
                raise ValueError(
                    f"Dense: {name} was given with bias=False; there is no bias. Leave it out."
                )

    def forward(self, x: Operand) -> Any:
        """Return activation(x @ weight + bias)."""
        if type(x) is Tensor and x._data.dtype.kind == "f":  # the usual case: no further call
            t: Tensor = x
        else:
            t = in_dtype_of("Dense", self.weight, x)
        try:
            y = matmul(t, self.weight) if self.bias is None else affine(t, self.weight, self.bias)
        except ShapeError as error:
            raise self._misfit(t, error) from None
        return y if self.activation is None else self.activation(y)

    def _misfit(self, x: Tensor, error: ShapeError) -> ShapeError:
        if x.shape[-1:] == (self.in_features,):
            return error  # a parameter was replaced by one of another shape
        return ShapeError(
            f"{self!r}: an input of shape {x.shape} was given; its last dimension must be "
            f"{self.in_features}. Reshape it, or change in_features."
        )

    def extra_repr(self) -> str:
        """Return the sizes, and what is not the default."""
        parts = [f"{self.in_features}, {self.out_features}"]
        if self.activation is not None and not isinstance(self.activation, Module):
            parts.append(f"activation={activation_name(self.activation)}")
        parts += ["bias=False"] * (self.bias is None)
        for name in ("weight", "bias"):
            for what in ("constraint", "penalty"):
                rule = getattr(getattr(self, name), what, None)
                if rule is not None:
                    parts.append(f"{name}_{what}={getattr(rule, '__name__', repr(rule))}")
        return ", ".join(parts)


Linear = Dense


class Sequential(Module):
    """Layers in a row: each takes the result of the one before.

    Args:
        layers: Modules or functions of one Tensor, or one list of them.

    An index gives a layer, a slice a Sequential of the same layers (not copies). Parameters are
    named by position: "0.weight".

    Input shape: any[...], as the first layer takes it. Output shape: any[...], as the last layer
    returns it; without layers x itself.

    Raises:
        TypeError: a layer cannot be called, or is a class of layers.
        IndexError: there is no layer of an index.
        Exception: in a call, what a layer raises, as ShapeError for a shape that it does not take.

    >>> import microgrid as mg
    >>> model = mg.nn.Sequential(mg.nn.Dense(4, 8), mg.nn.ReLU(), mg.nn.Dense(8, 2))
    >>> len(model), model[0]
    (3, Dense(4, 8))
    >>> model[:2]
    Sequential(
      (0): Dense(4, 8)
      (1): ReLU()
    )
    """

    def __init__(self, *layers: Callable[..., Any] | Iterable[Callable[..., Any]]) -> None:
        given: tuple[Any, ...] = layers
        if len(given) == 1 and isinstance(given[0], (list, tuple, Iterator)):
            given = tuple(given[0])
        for i, layer in enumerate(given):
            check_instance(f"Sequential: layer {i}", layer)
            if not callable(layer):
                raise TypeError(
                    f"Sequential: layer {i} given is of type {type(layer).__name__}; it needs "
                    "Modules or functions. Pass the layers themselves."
                )
        self.layers: list[Callable[..., Any]] = list(given)

    def _attributes(self) -> Iterable[tuple[str, Any]]:
        # Names by position, then what a subclass adds.
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))
        yield from ((name, value) for name, value in vars(self).items() if name != "layers")

    def forward(self, x: Operand) -> Any:
        """Return the result of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(*self.layers[index])
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(self.layers)


class MLP(Sequential):
    """A multilayer perceptron: a Sequential of Dense layers, the last one without activation.

    Args:
        sizes: of the input, of each hidden layer, and of the output.
        activation: of the hidden layers: a name, a function, or a layer that they then share.
        rng: None, a seed, or a generator, for the first weights.
        dtype: of the parameters.

    Input shape: float[..., sizes[0]]. Arrays and lists are cast to the dtype of the parameters.
    Output shape: float[..., sizes[-1]].

    Raises:
        ValueError: there are fewer than two sizes, one is below 1, or the name is not known.
        TypeError: the sizes are not a list of integers, or activation or rng is none of these.
        DtypeError: the dtype is not one of floats. In a call, x does not hold numbers.
        ShapeError: in a call, the last dimension of x is not sizes[0].

    >>> import microgrid as mg
    >>> mg.nn.MLP([2, 16, 1])
    MLP(
      (0): Dense(2, 16, activation=relu)
      (1): Dense(16, 1)
    )
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation = "relu",
        rng: Rng = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        try:
            sizes = list(sizes)
        except TypeError:
            raise TypeError(
                f"MLP: sizes={sizes!r} was given; it needs a list of integers. Begin with the size "
                "of the input, end with that of the output."
            ) from None
        if len(sizes) < 2:
            raise ValueError(
                f"MLP: sizes={sizes} was given; it needs at least the sizes of input and "
                "output. Put the sizes of hidden layers in between."
            )
        float_dtype("MLP", dtype, WEIGHTS)
        generator = as_generator("MLP", rng)
        last = len(sizes) - 2
        super().__init__(
            *(
                Dense(n, m, activation if i < last else None, rng=generator, dtype=dtype)
                for i, (n, m) in enumerate(pairwise(sizes))
            )
        )


def _initializer(init: str | Initializer, activation: Callable[..., Any] | None) -> Any:
    if init == "auto":
        name = activation_name(activation)
        if name == "selu":
            return INITIALIZERS["lecun_normal"]
        return INITIALIZERS["he_normal" if name in LIKE_RELU else "glorot_uniform"]
    if not isinstance(init, str):
        return init
    if init not in INITIALIZERS:
        raise ValueError(
            f"Dense: init={init!r} is not known; the names are auto, {', '.join(INITIALIZERS)}. "
            "Pass a function of (shape, rng, dtype) for another."
        )
    return INITIALIZERS[init]


def _of_shape(weight: Any, shape: tuple[int, int]) -> Any:
    if np.shape(weight) != shape:
        raise ShapeError(
            f"Dense: init returned shape {np.shape(weight)}; the weight has shape {shape}. "
            "Return an array of the shape that was asked for."
        )
    return weight
