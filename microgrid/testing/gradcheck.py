"""Gradients against values: for functions made of ops, and for any function of arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import Tensor
from .bends import as_failures, bends_of
from .black_box import ArrayFunction, BlackBoxCheck
from .comparison import Comparison
from .diagnosis import advice, again, failing_op
from .findings import Failure, GradientError, Report
from .orders import listed, slopes_of
from .selection_check import Check
from .subject import Subject
from .taylor import is_linear, remainder_orders

KINKS = ("verify", "strict", "ignore")


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    kinks: str = "verify",
    order: int = 1,
    rng: np.random.Generator | int | None = None,
    gradient: Callable[..., Any] | None = None,
    exact: bool = False,
) -> bool:
    """Return whether the gradient of a function is right: at kinks too, and exactly there.

    Of a function made of ops the choices at kinks are recorded and held fast, and the gradient is
    compared with values of the function so frozen. The tolerance is what rounding explains, and
    does not grow with the size of the arrays. Arrays of Fractions are compared exactly. Up to 4096
    entries of the Jacobian are compared one by one, beyond that along random integer directions.

    Args:
        func: takes the inputs, returns a Tensor or a sequence or dict of them.
        inputs: one or several; the Tensors that require a gradient are checked, of any float dtype
            or of Fractions.
        eps: the step around which a black box is looked at.
        atol, rtol: how exactly the values must tell the slope. Where they do not, the gradient
            counts as unverified, which is a failure. A wrong gradient is never excused by these.
        raise_exception: raise with a report, instead of returning False.
        kinks: "verify" accepts the convention of each op; "strict" also asks that the gradient lies
            between the slopes on the two sides; "ignore" does not look at the sides.
        order: 2 checks the second derivatives too, 3 the third.
        rng: None, a seed or a generator, for the directions.
        gradient: of a black box. `func` then takes arrays; `gradient` takes the same and returns
            what is claimed: for each array its gradient, or the Jacobian if the result has a shape.
        exact: ask for equality of floats, too. On piecewise-linear functions of small dyadic
            numbers (multiples of 1/2, 1/4, ...) nothing is rounded.

    Raises:
        GradientError: the gradient is wrong or cannot be verified, and `raise_exception` is set.
        ValueError: no input requires a gradient, or an option is not known.

    Source: the signature is that of torch.autograd.gradcheck. The method is described in
        docs/checking_gradients.md.

    >>> import microgrid as mg
    >>> x = mg.tensor([0.5, -2.0, 0.0], requires_grad=True)
    >>> gradcheck(mg.relu, x)
    True
    >>> gradcheck(np.sin, np.array(0.5), gradient=np.cos)
    True
    """
    found = report(
        func, inputs, eps=eps, atol=atol, rtol=rtol, kinks=kinks, order=order, rng=rng,
        gradient=gradient, exact=exact,
    )  # fmt: skip
    if raise_exception and not found.ok:
        raise GradientError(f"gradcheck: {found}")
    return found.ok


@np.errstate(all="ignore")
def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    kinks: str = "verify",
    rng: np.random.Generator | int | None = None,
) -> bool:
    """Return whether the second derivatives of a function are right.

    Args:
        func, inputs, atol, rtol, raise_exception, kinks, rng: as of `gradcheck`.
        grad_outputs: what the results are weighted with; None draws integers.

    Raises:
        GradientError: a second derivative is wrong, and `raise_exception` is set.

    >>> import microgrid as mg
    >>> gradgradcheck(mg.tanh, mg.tensor([0.5, -2.0], requires_grad=True))
    True
    """
    _check_options(kinks)
    seed, given = _seed(rng), listed(inputs)
    _check_inputs(given)
    slopes, extended = slopes_of(func, given, np.random.default_rng(seed), grad_outputs)
    found = _report_on(slopes, extended, seed, atol, rtol, kinks, 2)
    options = _unusual(gradgradcheck, grad_outputs=grad_outputs, atol=atol, rtol=rtol, kinks=kinks)
    found.again = again(func, given, seed, "gradgradcheck", **options)
    if not found.ok:
        found.op = failing_op(func, given, seed, 2) if found.refuted else ""
    if raise_exception and not found.ok:
        raise GradientError(f"gradgradcheck: {found}")
    return found.ok


@np.errstate(all="ignore")
def report(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    kinks: str = "verify",
    order: int = 1,
    rng: np.random.Generator | int | None = None,
    gradient: Callable[..., Any] | None = None,
    exact: bool = False,
) -> Report:
    """Return all that `gradcheck` finds: failures, and the kinks and artifacts at the point.

    >>> import microgrid as mg
    >>> found = report(lambda x: mg.relu(x) - mg.relu(-x), mg.tensor(0.0, requires_grad=True))
    >>> found.ok, found.kind
    (True, 'artifact')
    >>> float(found.bends[0].left), float(found.bends[0].right)
    (1.0, 1.0)
    """
    _check_options(kinks, order)
    seed, given = _seed(rng), listed(inputs)
    options = _unusual(
        gradcheck, eps=eps, atol=atol, rtol=rtol, kinks=kinks, order=order, gradient=gradient,
        exact=exact,
    )  # fmt: skip
    if gradient is not None:
        _check_black_box(order, exact)
        found = _report_on_black_box(func, given, gradient, seed, eps, atol, rtol)
        found.again = again(func, given, seed, **options)
        return found
    _check_inputs(given)
    slopes, extended = func, given
    for number in range(1, order + 1):
        if number > 1:
            slopes, extended = slopes_of(slopes, extended, np.random.default_rng(seed))
        found = _report_on(slopes, extended, seed, atol, rtol, kinks, number, exact)
        if not found.ok:
            break
    found.again = again(func, given, seed, **options)
    if not found.ok:
        found.op = failing_op(func, given, seed, number) if found.refuted else ""
    return found


def _report_on(
    func: Callable[..., Any],
    inputs: list[Any],
    seed: int,
    atol: float,
    rtol: float,
    kinks: str,
    order: int,
    exact: bool = False,
) -> Report:
    subject = Subject(func, inputs)
    check = Check(subject, np.random.default_rng(seed), atol, rtol, exact)
    failures, worst = check.compare()
    arithmetic = "exact" if subject.exact else f"{subject.native}{', exact' if exact else ''}"
    found = _summary(f"selection check of order {order}, {arithmetic}", check, failures, worst)
    if not failures and not subject.exact and not check.blind:
        orders = remainder_orders(check)
        found.order = float(orders.min(initial=np.inf))
        found.failures = [_linear_remainder(order) for order in orders if is_linear(order)]
    if found.failures and found.refuted:
        found.advice = advice(subject, seed)
    elif not found.failures and kinks != "ignore":
        found.bends = bends_of(check)
        if kinks == "strict":
            found.failures = as_failures(found.bends)
    return found


def _report_on_black_box(
    func: Any, inputs: list[Any], gradient: Any, seed: int, eps: float, atol: float, rtol: float
) -> Report:
    subject = ArrayFunction(func, inputs, gradient)
    check = BlackBoxCheck(subject, np.random.default_rng(seed), eps, atol, rtol)
    failures, worst = check.compare()
    return _summary(f"black box, {subject.native}", check, failures, worst)


def _linear_remainder(order: float) -> Failure:
    what = "the slope of a result along a random direction of all inputs"
    why = f"What is left after the linear part falls as the step to the power {order:.2f}, not 2."
    return Failure(what, "a linear part", "another", 0, 0, "smooth", why)


def _summary(mode: str, check: Comparison, failures: list[Failure], worst: float) -> Report:
    count = len(check.directions) * len(check.upstream)
    return Report(mode, count, len(check.directions), check.miss, worst, failures)


def _check_options(kinks: str, order: Any = 1) -> None:
    if kinks not in KINKS:
        raise ValueError(f"gradcheck: kinks={kinks!r} was given; it must be one of {KINKS}.")
    if not isinstance(order, (int, np.integer)) or order < 1:
        raise ValueError(f"gradcheck: order={order!r} was given; it must be 1 or more, an integer.")


def _check_black_box(order: int, exact: bool) -> None:
    for given in (f"order={order}" if order != 1 else "", "exact=True" if exact else ""):
        if given:
            raise ValueError(
                f"gradcheck: {given} was given with gradient=; of a black box first derivatives "
                "are checked, to rounding. For the second, check the gradient as a function itself."
            )


def _unusual(check: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Return the options that are not the defaults of a check."""
    usual = inspect.signature(check).parameters
    return {
        name: value
        for name, value in options.items()
        if value is not usual[name].default
        and (not isinstance(value, (int, float, str)) or value != usual[name].default)
    }


def _check_inputs(inputs: list[Any]) -> None:
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        raise ValueError(
            "gradcheck: no input requires a gradient, so there is nothing to check. Pass Tensors "
            "with requires_grad=True, or arrays and gradient= to check a function of arrays."
        )


def _seed(rng: np.random.Generator | int | None) -> int:
    return rng if isinstance(rng, int) else int(np.random.default_rng(rng).integers(2**32))
