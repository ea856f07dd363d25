"""Random numbers as ops, so that a compiled step draws anew each time it is run."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array, exact, into
from ..core import Op
from ..record import Domain

# A text: numpy.random takes long to import.
Rng: TypeAlias = "np.random.Generator | int | None"


def as_generator(who: str, rng: Any) -> np.random.Generator:
    """Return the generator that `rng` is or seeds.

    Raises:
        TypeError: it is none of what an rng can be.
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise TypeError(
            f"{who}: rng={rng!r} was given; it must be None, a seed (an integer, at least 0), or a "
            "numpy.random.Generator."
        ) from None


def _uniform_like(x: Array, out: Array | None = None, *, low: float, high: float, rng: Rng) -> Any:
    drawn = as_generator("rrelu", rng).uniform(low, high, x.shape)
    if x.dtype.hasobject:  # a float would make Fractions floats
        ratios = np.fromiter(map(exact, drawn.flat), object, drawn.size)
        return into(out, ratios.reshape(drawn.shape))
    return into(out, drawn.astype(x.dtype, copy=False) if x.dtype.kind == "f" else drawn)


uniform_like = Op(
    name="uniform_like",
    doc="Numbers drawn between low and high by the generator or seed `rng`, in the shape of x.",
    kernel=_uniform_like,
    vjps=(None,),
    domains=(Domain(),),
    signature="(...)->(...)",
    params=lambda shape: [{"low": 0.0, "high": 1.0, "rng": 0}],
    reference=lambda x, low, high, rng: np.random.default_rng(rng).uniform(low, high, x.shape),
    formula="low + (high - low) * u",
    effect=True,
    private=True,
)


def _kept_like(x: Array, out: Array | None = None, *, p: float, rng: Rng) -> Any:
    # Single precision whatever the dtype of x: it is faster, and a seed keeps the same elements.
    drawn = np.random.default_rng(rng).random(x.shape, np.float32)
    return np.greater_equal(drawn, p, out=out)


kept_like = Op(
    name="kept_like",
    doc="Truth values in the shape of x, each False with probability p.",
    kernel=_kept_like,
    vjps=(None,),
    domains=(Domain(),),
    signature="(...)->(...)",
    params=lambda shape: [{"p": p, "rng": 0} for p in (0.5, 0.0, 1.0)],
    reference=lambda x, p, rng: np.random.default_rng(rng).random(x.shape, np.float32) >= p,
    formula="u >= p",
    effect=True,
    private=True,
)
