"""Functions of functions: from f to its derivative.

An argument to differentiate by may be a number, an array, a Tensor, a Module (its parameters), or a
dict, list or tuple of these. Derivatives come in the same structure: Tensors for Tensors and
parameters, arrays for arrays and numbers.

A derivative has a graph, and is a Tensor, if an argument requires a gradient, or anything else that
f used: a parameter, or the variable of an outer transform. Under `no_grad()` it has none, which
takes less time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .arrays import exact
from .core import Tensor, wrap
from .directional import gradient_toward
from .linearise import Linearised, Way, filled_like, seed_for, unwrapped
from .nested import Structure
from .ops import stack


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that gives what f gives, and its gradient.

    Args:
        f: takes float[...] or what is nested of it; returns a Tensor of one element, as float[].
        argnums: the place of the argument to differentiate by, or several places.
        has_aux: f returns a pair (value, aux), of which aux is handed out as it is.

    Returns:
        A function of the same arguments, to (value, gradient), or ((value, aux), gradient). With
        several places the gradient is a tuple. It has the structure and the shapes of the argument,
        and a dict for a Module: name -> gradient of each parameter that requires one.

    Raises:
        GraphError: f's result is no Tensor, or has not one element.
        DtypeError: an argument to differentiate by is not numeric.
        IndexError: there is no argument at a place of `argnums`.
        TypeError: f does not return a pair although `has_aux`.

    >>> import microgrid as mg
    >>> mg.value_and_grad(lambda x: x**3)(2.0)
    (tensor(8.), np.float64(12.0))
    >>> mg.value_and_grad(lambda p: p["w"] * p["b"])({"w": 2.0, "b": 3.0})
    (tensor(6.), {'w': np.float64(3.0), 'b': np.float64(2.0)})
    """
    return _evaluated("value_and_grad", f, argnums, has_aux)


def grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    toward: Any = None,
    has_aux: bool = False,
) -> Callable[..., Any]:
    """Return the function that gives f's gradient; nest it for higher orders.

    Args:
        f: takes float[...] or what is nested of it; returns a Tensor of one element, as float[].
        argnums: the place of the argument to differentiate by, or several places.
        toward: a direction, of the structure and shapes of the argument (a tuple of these if there
            are several places). At a kink the gradient is then that of the piece that comes next on
            the way along it: always a limit of gradients nearby, where the convention of each op
            may give none. It costs tangents where values tie.
        has_aux: f returns a pair (value, aux), of which aux is handed out as it is.

    Returns:
        A function of the same arguments, to the gradient, or to (gradient, aux). It is like that of
        `value_and_grad`, and 0 where the result does not depend on the argument.

    Raises:
        GraphError: f's result is no Tensor, or has not one element.
        DtypeError: an argument to differentiate by is not numeric.
        IndexError: there is no argument at a place of `argnums`.
        ShapeError: `toward` does not fit the argument.
        TypeError: f does not return a pair although `has_aux`.

    Source, of `toward`: Kakade & Lee (2018).

    >>> import microgrid as mg
    >>> cube = lambda x: x**3
    >>> mg.grad(cube)(3.0), mg.grad(mg.grad(cube))(3.0)
    (np.float64(27.0), np.float64(18.0))
    >>> zigzag = lambda x: mg.relu(x) - mg.relu(-x)  # which is x
    >>> mg.grad(zigzag)(0.0), mg.grad(zigzag, toward=1.0)(0.0)
    (np.float64(0.0), np.float64(1.0))
    """
    evaluated = _evaluated("grad", f, argnums, has_aux, toward)

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        value, gradient = evaluated(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return derivative


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Return f's result, and the function that carries a gradient of it back to the arguments.

    Args:
        f: returns a Tensor float[...], or a dict, list or tuple of Tensors.
        primals: its arguments, float[...].

    Returns:
        (result, pullback). `pullback(v)`, for a v of the structure and shapes of the result, is a
        tuple: for each argument v J, where J is its Jacobian. It may be called again and again.

    Raises:
        GraphError: f's result is no Tensor; in the pullback, an argument was written to since.
        DtypeError: an argument is not numeric.
        ShapeError: in the pullback, v does not fit the result.

    >>> import microgrid as mg
    >>> y, pullback = mg.vjp(lambda a, b: a * b, 2.0, 3.0)
    >>> y, pullback(1.0), pullback(10.0)
    (tensor(6.), (np.float64(3.0), np.float64(2.0)), (np.float64(30.0), np.float64(20.0)))
    """
    point = Linearised("vjp", f, primals, {}, range(len(primals)))

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given = list(point.structure.matched("vjp", cotangent, "cotangent", "result"))
        found = point.pull(_seeds("vjp", given, point.results))
        gradients: tuple[Any, ...] = point.like_arguments(found)
        return gradients

    return point.value(), pullback


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return f's result, and how fast it changes as the arguments move along the tangents.

    Args:
        f: returns a Tensor float[...], or a dict, list or tuple of Tensors.
        primals: its arguments, float[...], as a tuple.
        tangents: their velocities: of the same structure and shapes; for a Module a dict by the
            names of its parameters.

    Returns:
        (result, tangent). The tangent is J t, where J is f's Jacobian, and has the structure of the
        result: Tensors, or arrays if primals and tangents hold only arrays and numbers.

    Raises:
        GraphError: f's result is no Tensor.
        DtypeError: an argument is not numeric.
        ShapeError: the tangents do not fit the primals.
        TypeError: `primals` or `tangents` is no tuple or list.

    >>> import microgrid as mg
    >>> mg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    (tensor(6.), np.float64(23.0))
    """
    point, seeds = _at("jvp", f, primals, tangents)
    found = point.forward().carry(seeds, point.records(seeds))
    given = Structure([primals, tangents]).leaves("")
    plain = not any(isinstance(leaf.value, Tensor) for leaf in given)
    tangent = point.like_result([unwrapped(t) if plain else t for t in found])
    return point.value(), tangent


def jacobian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return the function that gives f's Jacobian: how each result changes with each argument.

    Args:
        f: takes float[...], returns a Tensor float[...], or a dict, list or tuple of Tensors.
        argnums: the place of the argument to differentiate by, or several places.

    Returns:
        A function of the same arguments. The Jacobian of y by x has the shape y.shape + x.shape and
        the dtype of x. If f's result is nested, so is what is returned, and in place of each y
        stands what belongs to the arguments: a tuple if there are several places, the structure of
        an argument that is nested.

    Raises:
        GraphError: f's result is no Tensor.
        DtypeError: an argument to differentiate by is not numeric.
        IndexError: there is no argument at a place of `argnums`.

    It takes one pass back for each element of the result, or, if the argument has fewer elements,
    one pass forward for each of those.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> mg.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _jacobian("jacobian", f, argnums)


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return the function that gives f's second derivatives.

    Args:
        f: takes float[...], returns a Tensor of one element, or of several, each with a Hessian of
            its own.
        argnums: the place of the argument to differentiate by, or several places.

    Returns:
        A function of the same arguments: the Jacobian of the Jacobian. For a y of no dimensions its
        shape is x.shape + x.shape. With several places it is a tuple of tuples: entry [i][j] is
        the derivative by argument i and then by argument j. Nested arguments likewise.

    Raises:
        GraphError: f's result is no Tensor.
        DtypeError: an argument to differentiate by is not numeric.
        IndexError: there is no argument at a place of `argnums`.

    >>> import microgrid as mg
    >>> mg.hessian(lambda x, y: x**2 * y, argnums=(0, 1))(3.0, 5.0)
    ((np.float64(10.0), np.float64(6.0)), (np.float64(6.0), np.float64(0.0)))
    """
    return _jacobian("hessian", _jacobian("hessian", f, argnums), argnums)


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Return the product of f's Hessian with a vector, without computing the Hessian.

    Args:
        f: returns a Tensor of one element, as float[].
        primals: its arguments, float[...], as a tuple.
        tangents: the vector: of the same structure and shapes.

    Returns:
        How fast the gradient changes as the arguments move along the tangents: in the structure of
        the argument, or a tuple of these if there are several.

    Raises:
        GraphError: f's result is no Tensor, or has not one element.
        DtypeError: an argument is not numeric.
        ShapeError: the tangents do not fit the primals.
        TypeError: `primals` or `tangents` is no tuple or list.

    It goes back twice: the Hessian is symmetric, so its product with t is the gradient of the
    gradient times t. Forward over reverse gives the same by three passes.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, v = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    >>> mg.hvp(lambda x: (x**3).sum(), (x,), (v,))
    array([6., 0.])
    """
    point, seeds = _at("hvp", f, primals, tangents)
    gradients = point.way.carry([_one("hvp", point)], record=True)
    found = point.way_from(gradients).carry(seeds, point.records(seeds))
    products = point.like_arguments(found)
    return products[0] if len(products) == 1 else products


# --- one derivative ------------------------------------------------------------------------------


def _evaluated(
    who: str,
    f: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    toward: Any = None,
) -> Callable[..., tuple[Any, Any]]:
    @functools.wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if toward is None:
            point = Linearised(who, f, args, kwargs, argnums, has_aux)
            found = point.way.carry([_one(who, point)], point.joined)
        else:
            point, found = gradient_toward(who, f, args, kwargs, argnums, has_aux, toward)
        value = (point.value(), point.aux()) if has_aux else point.value()
        return value, point.like_arguments(found)

    return evaluated


def _one(who: str, point: Linearised) -> Tensor:
    """Return the gradient of the result by itself, if it is one number."""
    return wrap(filled_like(point.single(who), 1))


# --- along given directions ----------------------------------------------------------------------


def _at(
    who: str, f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Linearised, list[Tensor]]:
    """Return f at the primals, and the tangents of its variables."""
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise TypeError(
                f"{who}: {name} is of type {type(given).__name__}; it needs a tuple with an entry "
                "for each argument. For one argument write (x,)."
            )
    found = list(Structure(primals).matched(who, tangents, "tangents", "primals"))
    point = Linearised(who, f, primals, {}, range(len(primals)))
    return point, _seeds(who, found, point.variables)


def _seeds(who: str, given: Sequence[Any], likes: Sequence[Tensor]) -> list[Tensor]:
    return [seed_for(who, x, like) for x, like in zip(given, likes, strict=True)]


# --- all directions ------------------------------------------------------------------------------


def _jacobian(who: str, f: Callable[..., Any], argnums: int | Sequence[int]) -> Callable[..., Any]:
    @functools.wraps(f)
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        point = Linearised(who, f, args, kwargs, argnums)
        rows = sum(y.size for y in point.results)
        columns = sum(x.size for x in point.variables)
        blocks = _by_rows(point) if rows <= columns else _by_columns(point)
        return point.like_result([point.like_arguments(row) for row in blocks])

    return jacobian_of


def _by_rows(point: Linearised) -> list[list[Tensor]]:
    """Return dy/dx for each result y and variable x, by a pass back for each element of y."""
    found = []
    for y, rows in zip(point.results, _basis(point, point.way, point.results), strict=True):
        found.append(
            [_block(parts, 0, y, x) for parts, x in zip(rows, point.variables, strict=True)]
        )
    return found


def _by_columns(point: Linearised) -> list[list[Tensor]]:
    """Return the same, by a pass forward for each element of x."""
    found: list[list[Tensor]] = [[] for _ in point.results]
    for x, columns in zip(
        point.variables, _basis(point, point.forward(), point.variables), strict=True
    ):
        for row, parts, y in zip(found, columns, point.results, strict=True):
            row.append(_block(parts, -1, y, x))
    return found


def _basis(point: Linearised, way: Way, starts: Sequence[Tensor]) -> Iterator[list[list[Tensor]]]:
    """Yield, for each Tensor at the start of the way, what every unit vector becomes, by ends."""
    for i, start in enumerate(starts):
        found: list[list[Tensor]] = [[] for _ in way.variables]
        for place in np.ndindex(start.shape):
            seeds: list[Tensor | None] = [None] * len(starts)
            seeds[i] = _unit(start, place)
            for parts, part in zip(found, way.carry(seeds, point.joined), strict=True):
                parts.append(part)
        yield found


def _unit(x: Tensor, place: tuple[int, ...]) -> Tensor:
    unit = filled_like(x, 0)
    unit[place] = exact(1) if x.dtype.hasobject else 1
    return wrap(unit)


def _block(parts: list[Tensor], axis: int, y: Tensor, x: Tensor) -> Tensor:
    """Return the rows or columns of dy/dx in its shape, and in the dtype of x."""
    shape = (*y.shape, *x.shape)
    if not parts:
        return wrap(np.zeros(shape, x.dtype))
    block = stack(parts, axis).reshape(shape)
    return block if block.dtype == x.dtype else block.astype(x.dtype)
