"""What a check of gradients is asked for, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..core import Tensor

KINKS = ("verify", "strict", "ignore")
NEEDLESS = {
    "check_backward_ad", "check_batched_forward_grad", "check_batched_grad", "check_forward_ad",
    "check_fwd_over_rev", "check_grad_dtypes", "check_rev_over_rev", "check_sparse_nnz",
    "check_undefined_grad", "eps", "fast_mode", "gen_non_contig_grad_outputs", "masked",
    "nondet_tol",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """The options of one check, with the meaning and the defaults that `gradcheck` gives them.

    Attributes:
        who: the function that was called, for errors.
        seed: of the directions.
    """

    who: str
    seed: int
    eps: float = 1e-6
    atol: float = 1e-5
    rtol: float = 1e-3
    kinks: str = "verify"
    order: int = 1
    gradient: Callable[..., Any] | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        for name in ("atol", "rtol"):
            value = getattr(self, name)
            self._require(_is_number(value) and value >= 0, name, "a number, 0 or more")
        good = _is_number(self.eps) and 0 < self.eps < np.inf
        self._require(good, "eps", "a finite number above 0")
        whole = isinstance(self.order, (int, np.integer))
        self._require(whole and self.order >= 1, "order", "1 or more, an integer")
        self._require(self.kinks in KINKS, "kinks", f"one of {KINKS}")
        if self.gradient is not None:
            self._check_black_box()

    def _require(self, right: bool, name: str, needed: str) -> None:
        if not right:
            given = getattr(self, name)
            raise ValueError(f"{self.who}: {name}={given!r} was given; it must be {needed}.")

    def _check_black_box(self) -> None:
        check_callable(self.who, "gradient", self.gradient)
        if self.kinks == "ignore":
            raise ValueError(
                f"{self.who}: kinks='ignore' was given with gradient=; of a black box nothing but "
                "its values on both sides is known. Leave it out: any slope between them passes."
            )
        order = f"order={self.order}" if self.order != 1 else ""
        for given in (order, "exact=True" if self.exact else ""):
            if given:
                raise ValueError(
                    f"{self.who}: {given} was given with gradient=; of a black box first "
                    "derivatives are checked, to rounding. For the second, check the gradient as a "
                    "function itself."
                )

    def unusual(self) -> dict[str, Any]:
        """Return the options that are not the defaults."""
        pairs = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        del pairs["who"], pairs["seed"]
        return {name: value for name, (value, usual) in pairs.items() if value != usual}


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.integer, np.floating))


def seed_of(who: str, rng: Any) -> int:
    """Return a seed from what was given as rng: itself, or drawn from a generator, or at random."""
    try:
        generator = np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise ValueError(
            f"{who}: rng={rng!r} was given; it must be None, a seed of 0 or more, or a "
            "numpy.random.Generator."
        ) from None
    return rng if isinstance(rng, int) else int(generator.integers(2**32))


def refuse_others(who: str, others: Mapping[str, Any]) -> None:
    """Raise for options that the check does not have, as PyTorch's does."""
    for name in others:
        if name in NEEDLESS:
            raise TypeError(
                f"{who}: {name}= is an option of PyTorch's check; this one does without. Leave it "
                "out."
            )
        raise TypeError(f"{who}: there is no option {name}=. help(mg.testing.{who}) lists those.")


def check_callable(who: str, name: str, given: Any) -> None:
    """Raise unless a function was given."""
    if not callable(given):
        raise TypeError(
            f"{who}: {name} is a value of type {type(given).__name__}; it needs a function of the "
            "inputs."
        )


def check_inputs(who: str, inputs: list[Any]) -> None:
    """Raise unless an input requires a gradient."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        raise ValueError(
            f"{who}: no input requires a gradient, so there is nothing to check. Pass Tensors with "
            "requires_grad=True, or arrays and gradient= to check a function of arrays."
        )
