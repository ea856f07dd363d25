"""The two directions of a picture of a loss: what each is called, and how the parameters move."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..nn import Module
from ..nn.init import Rng
from .paths import flat

WHO = "plot.loss_surface"
ENTRY = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<index>[\d, -]+)\])?")


@dataclass(frozen=True)
class Plane:
    """A plane of parameters: centre + a * first + b * second.

    Attributes:
        centre: float[num_parameters].
        directions: float[2, num_parameters].
        labels: of the two axes.
        origin: what the axes show at the centre.
    """

    centre: Array
    directions: Array
    labels: tuple[str, str]
    origin: tuple[float, float] = (0.0, 0.0)

    def at(self, place: Array) -> Array:
        """Return the parameters at a point of the picture, float[2]."""
        return np.asarray(self.centre + (place - self.origin) @ self.directions)

    def project(self, points: Array) -> Array:
        """Return float[n, 2], the points of the plane nearest to float[n, num_parameters]."""
        steps, *_ = np.linalg.lstsq(self.directions.T, (points - self.centre).T, rcond=None)
        return np.asarray(steps.T + self.origin)


def plane_of(model: Module, directions: Any, path: Array, rng: Rng) -> Plane:
    """Return the plane that is asked for.

    Raises:
        ValueError: there is no such plane.
    """
    centre = flat(model)
    if directions is None:
        entries = _names_of_two(model)
        directions = entries or ("pca" if len(path) > 2 else "random")
    if isinstance(directions, str):
        if directions == "random":
            return _random(model, centre, np.random.default_rng(rng))
        if directions == "pca":
            return _principal(centre, path)
    elif isinstance(directions, Sequence) and len(directions) == 2:
        if all(isinstance(d, str) for d in directions):
            return _two_entries(model, centre, directions)
        return _given(centre, directions)
    raise ValueError(
        f'{WHO}: directions={directions!r} was given; it needs "random", "pca", the names of two '
        'parameters, as in ("0.weight[0, 0]", "0.bias[0]"), or two arrays.'
    )


def _names_of_two(model: Module) -> list[str]:
    """Return the names of both parameters of a model that has two numbers, else none."""
    if model.num_parameters() != 2:
        return []
    return [
        f"{name}[{', '.join(map(str, index))}]" if index else name
        for name, p in model.named_parameters()
        for index in np.ndindex(p.shape)
    ]


def _two_entries(model: Module, centre: Array, names: Sequence[str]) -> Plane:
    places = [_place(model, name) for name in names]
    if places[0] == places[1]:
        raise ValueError(f"{WHO}: {names[0]!r} was given twice; it needs two parameters.")
    directions = np.zeros((2, centre.size))
    directions[[0, 1], places] = 1.0
    origin = (float(centre[places[0]]), float(centre[places[1]]))
    return Plane(centre, directions, (names[0], names[1]), origin)


def _place(model: Module, entry: str) -> int:
    """Return where among all parameters in a row one number is, as "0.weight[0, 1]"."""
    match = ENTRY.fullmatch(entry)
    start = 0
    for name, p in model.named_parameters():
        if match and name == match["name"]:
            if match["index"] is None and p.size == 1:
                return start
            index = tuple(int(i) for i in (match["index"] or "").split(",") if i.strip())
            if len(index) == p.ndim and all(
                -n <= i < n for i, n in zip(index, p.shape, strict=True)
            ):
                return start + int(np.arange(p.size).reshape(p.shape)[index])
            raise ValueError(
                f"{WHO}: {entry!r} was given; {name} has shape {p.shape}, and it needs an index of "
                "one number of it."
            )
        start += p.size
    names = ", ".join(name for name, _ in model.named_parameters())
    raise ValueError(f"{WHO}: {entry!r} was given; the parameters are {names}. Name one of them.")


def _random(model: Module, centre: Array, rng: np.random.Generator) -> Plane:
    """Return random directions in which each unit's weights move by as much as they are large.

    Biases stay. Source: Li, Xu, Taylor, Studer & Goldstein (2018), Visualizing the loss landscape
    of neural nets.
    """
    directions = np.zeros((2, centre.size))
    start = 0
    for p in model.parameters():
        if p.ndim > 1:
            # The last axis counts the units; a filter is all that leads into one.
            weight = p.data.reshape(-1, p.shape[-1]).astype(float)
            for direction in directions:
                drawn = rng.standard_normal(weight.shape)
                drawn *= np.linalg.norm(weight, axis=0) / np.linalg.norm(drawn, axis=0)
                direction[start : start + p.size] = drawn.ravel()
        start += p.size
    if not directions.any():
        raise ValueError(
            f"{WHO}: random directions move weights of two dimensions, and the model has none that "
            "is not 0. Name two parameters as directions."
        )
    return Plane(centre, directions, ("first random direction", "second random direction"))


def _principal(centre: Array, path: Array) -> Plane:
    """Return the two directions in which most of the path lies."""
    if len(path) < 3:
        raise ValueError(
            f'{WHO}: directions="pca" was given with a path of {len(path)} points; it needs at '
            "least 3. Note more of them."
        )
    _, sizes, components = np.linalg.svd(path - path.mean(axis=0), full_matrices=False)
    if len(sizes) < 2 or sizes[1] <= 1e-12 * sizes[0]:
        raise ValueError(
            f"{WHO}: the path is a straight line, which has one direction only. Name two "
            'parameters as directions, or use "random".'
        )
    share = sizes**2 / (sizes**2).sum()
    first, second = (
        f"{name} principal direction of the path ({part:.0%})"
        for name, part in zip(("1st", "2nd"), share, strict=False)
    )
    return Plane(centre, components[:2], (first, second))


def _given(centre: Array, directions: Sequence[Any]) -> Plane:
    arrays = [np.asarray(d, float).ravel() for d in directions]
    if any(a.shape != centre.shape for a in arrays):
        raise ValueError(
            f"{WHO}: directions of sizes {arrays[0].size} and {arrays[1].size} were given; the "
            f"model has {centre.size} parameters, and each direction needs as many numbers."
        )
    if np.linalg.matrix_rank(np.stack(arrays)) < 2:
        raise ValueError(f"{WHO}: the two directions are one, or 0. Pass two that differ.")
    return Plane(centre, np.stack(arrays), ("first direction", "second direction"))
