"""What a check found, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import MicrogridError

SHOWN = 5
TOO_COARSE = "The values are too coarse to tell, or the function is not smooth here."


class GradientError(MicrogridError, AssertionError):
    """A gradient is not that of its function.

    >>> import microgrid as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> try:
    ...     mg.testing.gradcheck(lambda x: x * x.detach(), x)  # slope 3, and the values say 6
    ... except mg.testing.GradientError as error:
    ...     print(str(error).splitlines()[1])
    This is wrong:
    """


@dataclass
class Failure:
    """One slope that is wrong, or that could not be verified.

    Attributes:
        what: which slope: of which result, towards which input.
        analytic: what the gradient says; None if there is nothing to compare.
        numerical: what the values say.
        tolerance: how far the two may be apart.
        step: at which the numerical slope is best.
        kind: of the point: "smooth", "kink", "artifact" or "unverified".
        why: what follows, as a sentence.
    """

    what: str
    analytic: Any
    numerical: Any
    tolerance: float
    step: float
    kind: str
    why: str = ""

    def __str__(self) -> str:
        if self.analytic is None:
            return f"{self.what}: {self.why}"
        numbers = f"the gradient gives {_number(self.analytic)}, the values {self.numerical!s}"
        if not isinstance(self.numerical, str):
            numbers = (
                f"the gradient gives {_number(self.analytic)}, the values "
                f"{_number(self.numerical)} ± {self.tolerance:.1e} (step {self.step:.1e})"
            )
        return f"{self.what}: {numbers}; {self.kind} point.{' ' + self.why if self.why else ''}"


def unverified(what: str, why: str) -> Failure:
    """Return the failure to compare anything at all."""
    return Failure(what, None, None, 0.0, 0.0, "unverified", why)


@dataclass
class Bend:
    """A direction along which the slopes on the two sides differ, or the gradient is neither's.

    Attributes:
        what: which result, along which direction.
        analytic: what the gradient says.
        left, right: the one-sided slopes.
        kind: "kink" if the gradient lies between them, else "artifact"; "jump" if the value jumps.
    """

    what: str
    analytic: Any
    left: Any
    right: Any
    kind: str

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.what}: the gradient gives {_number(self.analytic)}; the slopes "
            f"are {_number(self.left)} on the left and {_number(self.right)} on the right."
        )


@dataclass
class Report:
    """What a check of a gradient found.

    It is what `mg.testing.report` returns.

    Attributes:
        mode: "selection check" or "black box", with the order and the dtype.
        slopes: how many slopes were compared, of how many directions.
        directions: along how many directions, float[...] of the shapes of the inputs.
        miss: the probability that directions miss a wrong Jacobian, 0 if all entries were compared.
        worst: the largest error, as a share of what is tolerated.
        failures: what is wrong; none if the gradient is right.
        order: the power of the step with which what is left after the linear part falls: 2 or more,
            and inf if nothing rises above rounding, or if it was not measured.
        bends: kinks and artifacts at the point.
        op: the first op whose own rule fails, with its call.
        advice: what to do about the failures.
        again: a call that runs the same check again.

    >>> import microgrid as mg
    >>> found = mg.testing.report(lambda x: x * x.detach(), mg.tensor(3.0, requires_grad=True))
    >>> found.ok, found.failures[0].analytic.item(), round(float(found.failures[0].numerical))
    (False, 3.0, 6)
    """

    mode: str
    slopes: int = 0
    directions: int = 0
    miss: float = 0.0
    worst: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    bends: list[Bend] = field(default_factory=list)
    order: float = float("inf")
    op: str = ""
    advice: str = ""
    again: str = ""

    @property
    def ok(self) -> bool:
        """Whether the gradient is right."""
        return not self.failures

    @property
    def refuted(self) -> bool:
        """Whether something is wrong, and not only too coarse to tell."""
        return any(not failure.why.startswith(TOO_COARSE) for failure in self.failures)

    @property
    def kind(self) -> str:
        """The kind of the point: "smooth", "kink", "artifact" or "jump"."""
        kinds = {bend.kind for bend in self.bends}
        return next((kind for kind in ("jump", "artifact", "kink") if kind in kinds), "smooth")

    def __str__(self) -> str:
        directions = _counted(self.directions, "direction")
        head = f"{self.mode}: {_counted(self.slopes, 'slope')} along {directions}"
        chance = f", a fault is missed with probability at most {self.miss:.0e}"
        lines = [head + (chance if self.miss else ", every entry of the Jacobian") + "."]
        if self.ok:
            worst = f" The largest error is {self.worst:.2g} of what is tolerated."
            lines.append(f"All agree; the point is {_with_article(self.kind)}." + worst)
        else:
            lines.append("This is wrong:")
        lines += _some(self.failures)
        if self.op:
            lines.append(f"The rule that fails by itself: {self.op}.")
        if self.advice:
            lines.append(self.advice)
        lines += _some(self.bends)
        if self.again and not self.ok:
            lines.append(f"To run it again: {self.again}")
        return "\n".join(lines)


def _some(items: list[Any]) -> list[str]:
    shown = [f"  {item}" for item in items[:SHOWN]]
    rest = len(items) - SHOWN
    return shown + ([f"  ... and {rest} more."] if rest > 0 else [])


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _number(x: Any) -> str:
    return f"{float(x):.17g}" if isinstance(x, (float, np.floating)) else str(x)


def _with_article(kind: str) -> str:
    return {"smooth": "smooth", "kink": "a kink", "artifact": "an artifact", "jump": "a jump"}[kind]
