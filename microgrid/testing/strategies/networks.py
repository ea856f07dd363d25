"""Small networks, with a batch to feed them, whose units often sit exactly at a kink."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import DTypeLike

from ...arrays import Array
from ...core import Tensor
from ...nn import Dense, Module, Sequential
from ...nn.activations import Activation as ActivationLayer
from ...nn.activations import named_activation
from ...ops import affine
from ...record import OPS
from ...recording import no_grad
from .arrays import Numbers, Values, laid_out, numbers_for, one_of_points
from .written import written

Activation: TypeAlias = "str | Callable[..., Any]"

# Their knots and slopes are multiples of 1/2: of dyadic numbers everything is exact.
PIECEWISE_LINEAR = ("relu", "absolute", "hardtanh", "relu6", "softshrink")
LARGEST = 2  # weight: a few layers of such keep whole numbers exact in single precision
MOST_UNITS, MOST_ROWS = 4, 3
SIZES = st.lists(st.integers(1, MOST_UNITS), min_size=3, max_size=4)


class Network(Sequential):
    """Dense layers from given weights. Its repr is Python that builds it, weights and all.

    Args:
        layers: for each its weight float[inputs, outputs], its bias float[outputs], and its
            activation as Dense takes it: a name, a function, a layer, or None.

    Raises:
        DtypeError: a weight or a bias is not numeric.
        ShapeError: a bias does not fit its weight.
        ValueError, TypeError: a weight has not two dimensions, or Dense has no such activation.

    >>> import microgrid as mg
    >>> mg.testing.strategies.Network(([[2.0], [1.0]], [-1.0], "relu"))([[1.0, 0.5]])
    tensor([[1.5]], op=relu)
    >>> mg.testing.strategies.Network(([[2.0]], [-1.0], "relu"))
    Network((np.array([[2.0]]), np.array([-1.0]), 'relu'))
    """

    def __init__(self, *layers: tuple[Any, Any, Activation | None]) -> None:
        super().__init__(*(_dense(*layer) for layer in layers))

    def __repr__(self) -> str:
        return f"Network({', '.join(map(_written_layer, self))})"


class NetworkCall(NamedTuple):
    """A network and a batch for it.

    Attributes:
        model: the network.
        x: float[batch, inputs].

    >>> import numpy as np
    >>> import microgrid as mg
    >>> model = mg.testing.strategies.Network(([[2.0]], [-1.0], None))
    >>> mg.testing.strategies.NetworkCall(model, np.array([[3.0]]))
    (Network((np.array([[2.0]]), np.array([-1.0]), None)), np.array([[3.0]]))
    """

    model: Network
    x: Array

    def __repr__(self) -> str:
        return f"({self.model!r}, {written(self.x)})"


def networks(
    *,
    sizes: Sequence[int] | None = None,
    activations: Sequence[Activation] = PIECEWISE_LINEAR,
    batch: int | None = None,
    dtype: DTypeLike = np.float64,
    values: Values = "any",
) -> SearchStrategy[NetworkCall]:
    """Return a strategy of pairs of a small network and a batch of inputs for it.

    A network is an `mg.nn.Sequential` of Dense layers, the last one without activation. Many of its
    hidden units sit exactly at a kink of their activation for one row of the batch, since their
    bias was chosen so.

    Args:
        sizes: of the input, of each hidden layer, and of the output; by default there are one or
            two hidden layers, and sizes up to 4.
        activations: names, functions or layers, one of which is drawn for each hidden layer.
        batch: rows of x; by default up to 3.
        dtype: of weights and x: float16, float32, float64, or object for Fractions. With those
            values and gradients of piecewise-linear networks are exact.
        values: of weights and x: "integer" for whole numbers only, "dyadic" for multiples of 1/4.
            With the default activations values and gradients are exact then, in float32 and
            float64 too. The bias of a unit at a kink is what puts it there.

    Returns:
        A strategy of `NetworkCall`: (model, x), of x float[batch, inputs].

    Raises:
        DtypeError: the dtype is none of those.
        ValueError: there are fewer than two sizes, no activations, or one that is not known.
        TypeError: an activation is neither a name, a function nor a layer.

    >>> import microgrid as mg
    >>> from hypothesis import given
    >>> @given(mg.testing.strategies.networks(sizes=[2, 3, 1], values="integer"))
    ... def test_whole_numbers_stay_whole(drawn):
    ...     model, x = drawn
    ...     y = model(x).data
    ...     assert y.shape == (len(x), 1)
    >>> test_whole_numbers_stay_whole()
    """
    numbers = numbers_for("networks", dtype, values)
    if sizes is not None and len(sizes) < 2:
        raise ValueError(
            f"networks: sizes={list(sizes)} was given; it needs at least the sizes of input and "
            "output."
        )
    if not activations:
        raise ValueError("networks: no activations were given; it needs at least one.")
    for activation in activations:
        named_activation("networks", activation)
    return _networks(
        None if sizes is None else list(sizes), st.sampled_from(list(activations)), batch, numbers
    )


@dataclass
class _Layer:
    """What was drawn for a layer: for each unit also the row of the batch to tie at, 0 for none."""

    weight: Array
    bias: Array
    activation: Activation | None
    rows: list[int]
    knot: Any


@st.composite
def _networks(
    draw: DrawFn,
    sizes: list[int] | None,
    activations: SearchStrategy[Activation],
    batch: int | None,
    numbers: Numbers,
) -> NetworkCall:
    elements = one_of_points(numbers.points((0, 1, -1)), numbers.between(-LARGEST, LARGEST))

    def array(*shape: int) -> Array:
        return laid_out(draw, numbers.dtype, shape, elements, ties=False, layouts=False)

    first, *hidden, last = sizes or draw(SIZES)
    x = array(batch or draw(st.integers(1, MOST_ROWS)), first)
    layers, width = [], first
    for size in hidden:
        activation = draw(activations)
        knot = draw(st.sampled_from(_knots(activation, numbers)))
        rows = [draw(st.integers(0, len(x))) for _ in range(size)]
        layers.append(_Layer(array(width, size), array(size), activation, rows, knot))
        width = _width(activation, size, numbers)
    layers.append(_Layer(array(width, last), array(last), None, [0] * last, 0))
    if sizes is None:
        x = _without_some(draw, x, layers, numbers)
    return NetworkCall(Network(*_tied(x, layers)), x)


def _without_some(draw: DrawFn, x: Array, layers: list[_Layer], numbers: Numbers) -> Array:
    """Leave out units here and there; return x without those of the input.

    It is for shrinking: to leave out a unit is one change, to draw a smaller network is many.
    """

    def kept(size: int) -> list[int]:
        return [i for i in range(size) if draw(st.integers(0, 7))] or [0]

    units = kept(x.shape[1])
    x = x[:, units]
    for layer in layers:
        layer.weight = layer.weight[units]
        size = len(layer.bias)
        width = _width(layer.activation, size, numbers)
        units = kept(size) if width == size else list(range(width))
        if width == size:
            layer.weight, layer.bias = layer.weight[:, units], layer.bias[units]
            layer.rows = [layer.rows[i] for i in units]
    return x


def _tied(x: Array, layers: list[_Layer]) -> list[tuple[Array, Array, Activation | None]]:
    """Return weights, biases and activations; biases put units at kinks for the rows drawn."""
    for layer in layers:
        # By the same op as the layer's, so that it rounds in the same way.
        sums = np.asarray(affine(x, layer.weight, np.zeros_like(layer.bias)))
        for unit, row in enumerate(layer.rows):
            if row:
                layer.bias[unit] = layer.knot - sums[row - 1, unit]
        x = _values(layer.activation, sums + layer.bias)
    return [(layer.weight, layer.bias, layer.activation) for layer in layers]


def _knots(activation: Activation, numbers: Numbers) -> list[Any]:
    """Return where the activation has its kinks: from its op's pieces, else just 0."""
    function: Any = named_activation("networks", activation)
    options: dict[str, Any] = {}
    if isinstance(function, ActivationLayer):
        options, function = function.options, type(function).op
    op = OPS.get(getattr(function, "__name__", ""))
    if op is None or op.pieces is None:
        return numbers.points((0,))
    given = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in given if p.default is not p.empty}
    return numbers.points(op.pieces(**defaults | options).knots) or numbers.points((0,))


@no_grad()
def _values(activation: Activation | None, x: Array) -> Array:
    function = named_activation("networks", activation)
    return x if function is None else np.asarray(function(Tensor(x)).data)


def _width(activation: Activation | None, size: int, numbers: Numbers) -> int:
    """Return how many results the activation has for this many units."""
    return len(_values(activation, np.zeros((1, size), numbers.dtype))[0])


def _dense(weight: Any, bias: Any, activation: Activation | None) -> Dense:
    weight = np.asarray(weight)
    rows, columns = weight.shape
    layer = Dense(
        rows,
        columns,
        activation,
        init=lambda shape, rng, dtype: weight,
        dtype=weight.dtype,
    )
    if layer.bias is not None:
        layer.bias.data = np.asarray(bias)
    return layer


def _written_layer(layer: Any) -> str:
    activation = layer.activation
    if isinstance(activation, Module):
        name = f"mg.nn.{activation!r}"
    else:
        name = "None" if activation is None else repr(activation.__name__)
    return f"({written(layer.weight.data)}, {written(layer.bias.data)}, {name})"
