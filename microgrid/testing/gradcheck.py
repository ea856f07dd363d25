"""Gradients against values: for functions made of ops, and for any function of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .bends import as_failures, bends_of, told_once
from .black_box import ArrayFunction, BlackBoxCheck
from .comparison import Comparison
from .diagnosis import advice, again, failing_op
from .findings import Failure, GradientError, Report
from .options import Options, check_callable, check_inputs, refuse_others, seed_of
from .orders import listed, slopes_of
from .selection_check import Check
from .subject import Subject
from .taylor import is_linear, remainder_orders


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
    **others: Any,
) -> bool:
    """Return whether the gradient of a function is right: at kinks too, and exactly there.

    Of a function made of ops the choices at kinks are recorded and held fast, and the gradient is
    compared with values of the function so frozen. The tolerance is what rounding explains, and
    does not grow with the size of the arrays. Arrays of Fractions are compared exactly. Up to 4096
    entries of the Jacobian are compared one by one, beyond that along random integer directions.

    Args:
        func: takes the inputs, returns a Tensor float[...] or a sequence or dict of them.
        inputs: float[...], one or several; the Tensors that require a gradient are checked, of any
            float dtype or of Fractions.
        eps: the step around which a black box is looked at.
        atol, rtol: how exactly the values must tell the slope. Where they do not, the gradient
            counts as unverified, which is a failure. A wrong gradient is never excused by these.
        raise_exception: raise with a report, instead of returning False.
        kinks: "verify" accepts the convention of each op; "strict" also asks that the gradient lies
            between the slopes on the two sides; "ignore" does not look at the sides. Of a black box
            more than "strict" asks for is not known, and it is always asked for.
        order: 2 checks the second derivatives too, 3 the third.
        rng: None, a seed or a generator, for the directions.
        gradient: of a black box. `func` then takes arrays; `gradient` takes the same and returns
            what is claimed: for each array its gradient, or the Jacobian if the result has a shape:
            float[*shape of the result, *shape of the array].
        exact: ask for equality of floats, too. On piecewise-linear functions of small dyadic
            numbers (multiples of 1/2, 1/4, ...) nothing is rounded.
        others: no others. PyTorch's are refused one by one, with what to do.

    Raises:
        GradientError: the gradient is wrong or cannot be verified, and `raise_exception` is set.
        TypeError: `func` or `gradient` is no function, `func` returns no floats, or there is no
            such option.
        ValueError: no input requires a gradient, or an option has a value that it cannot have.

    Source: the signature is that of torch.autograd.gradcheck. The method is described in
        docs/checking_gradients.md.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x = mg.tensor([0.5, -2.0, 0.0], requires_grad=True)
    >>> mg.testing.gradcheck(mg.relu, x)
    True
    >>> mg.testing.gradcheck(np.sin, np.array(0.5), gradient=np.cos)
    True
    """
    found = report(
        func, inputs, eps=eps, atol=atol, rtol=rtol, kinks=kinks, order=order, rng=rng,
        gradient=gradient, exact=exact, **others,
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
    **others: Any,
) -> bool:
    """Return whether the second derivatives of a function are right.

    Args:
        func: takes the inputs, returns a Tensor float[...] or a sequence or dict of them.
        inputs: float[...], one or several; the Tensors that require a gradient are checked.
        grad_outputs: float[...], what each result is weighted with; None draws integers.
        atol, rtol, raise_exception, kinks, rng: as of `mg.testing.gradcheck`.
        others: no others. PyTorch's are refused one by one, with what to do.

    Raises:
        GradientError: a second derivative is wrong, and `raise_exception` is set.
        ShapeError, DtypeError: `grad_outputs` does not fit the results, or is not numeric.
        TypeError: `func` is no function or returns no floats, or there is no such option.
        ValueError: no input requires a gradient, or an option has a value that it cannot have.

    >>> import microgrid as mg
    >>> mg.testing.gradgradcheck(mg.tanh, mg.tensor([0.5, -2.0], requires_grad=True))
    True
    """
    refuse_others("gradgradcheck", others)
    seed, given = seed_of("gradgradcheck", rng), listed(inputs)
    options = Options("gradgradcheck", seed, atol=atol, rtol=rtol, kinks=kinks)
    check_callable("gradgradcheck", "func", func)
    check_inputs("gradgradcheck", given)
    slopes, extended = slopes_of(func, given, np.random.default_rng(seed), grad_outputs)
    found = _report_on(Subject(slopes, extended), options, 2)
    weights = {} if grad_outputs is None else {"grad_outputs": grad_outputs}
    found.again = again(func, given, seed, "gradgradcheck", **weights, **options.unusual())
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
    **others: Any,
) -> Report:
    """Return all that `gradcheck` finds: failures, and the kinks and artifacts at the point.

    Args:
        func: takes the inputs, returns a Tensor float[...] or a sequence or dict of them.
        inputs: float[...], one or several; the Tensors that require a gradient are checked.
        eps, atol, rtol: the step for a black box, and how exactly the values must tell the slope.
        kinks: "verify", "strict" or "ignore": what is asked of the gradient at a kink.
        order: 2 checks the second derivatives too, 3 the third.
        rng: None, a seed or a generator, for the directions.
        gradient: what is claimed, of a `func` of arrays.
        exact: ask for equality of floats, too.
        others: no others. PyTorch's are refused one by one, with what to do.

    All are as of `mg.testing.gradcheck`.

    Returns:
        A `mg.testing.Report`; a wrong gradient raises nothing here.

    Raises:
        TypeError: `func` or `gradient` is no function, `func` returns no floats, or there is no
            such option.
        ValueError: no input requires a gradient, or an option has a value that it cannot have.

    >>> import microgrid as mg
    >>> x = mg.tensor(0.0, requires_grad=True)
    >>> found = mg.testing.report(lambda x: mg.relu(x) - mg.relu(-x), x)
    >>> found.ok, found.kind
    (True, 'artifact')
    >>> float(found.bends[0].left), float(found.bends[0].right)
    (1.0, 1.0)
    """
    refuse_others("gradcheck", others)
    seed, given = seed_of("gradcheck", rng), listed(inputs)
    options = Options("gradcheck", seed, eps, atol, rtol, kinks, order, gradient, exact)
    check_callable("gradcheck", "func", func)
    if gradient is not None:
        found = _report_on_black_box(ArrayFunction(func, given, gradient), options)
    else:
        found = _report_on_orders(func, given, options)
    found.again = again(func, given, seed, **options.unusual())
    return found


def _report_on_orders(func: Callable[..., Any], inputs: list[Any], options: Options) -> Report:
    """Return the report on derivatives of the first order that fails, or else of the last."""
    check_inputs(options.who, inputs)
    slopes, extended, number = func, inputs, 1
    found = _report_on(Subject(slopes, extended), options, number)
    while found.ok and number < options.order:
        number += 1
        slopes, extended = slopes_of(slopes, extended, np.random.default_rng(options.seed))
        found = _report_on(Subject(slopes, extended), options, number)
    found.op = failing_op(func, inputs, options.seed, number) if found.refuted else ""
    return found


def _report_on(subject: Subject, options: Options, order: int) -> Report:
    rng = np.random.default_rng(options.seed)
    check = Check(subject, rng, options.atol, options.rtol, options.exact)
    failures, worst = check.compare()
    arithmetic = f"{subject.native}{', exact' if options.exact else ''}"
    mode = f"selection check of order {order}, {'exact' if subject.exact else arithmetic}"
    found = _summary(mode, check, failures, worst)
    if not failures and not subject.exact and not check.blind:
        orders = remainder_orders(check)
        found.order = float(orders.min(initial=np.inf))
        found.failures = [_linear_remainder(order) for order in orders if is_linear(order)]
    if found.failures and found.refuted:
        found.advice = advice(subject, options.seed)
    elif not found.failures and options.kinks != "ignore":
        found.bends = told_once([*check.unseen, *bends_of(check)])
        if options.kinks == "strict":
            found.failures = as_failures(found.bends)
    return found


def _report_on_black_box(subject: ArrayFunction, options: Options) -> Report:
    rng = np.random.default_rng(options.seed)
    check = BlackBoxCheck(subject, rng, options.eps, options.atol, options.rtol)
    failures, worst = check.compare()
    found = _summary(f"black box, {subject.native}", check, failures, worst)
    found.bends = [] if failures else told_once(check.unseen)
    return found


def _linear_remainder(order: float) -> Failure:
    what = "the slope of a result along a random direction of all inputs"
    why = f"What is left after the linear part falls as the step to the power {order:.2f}, not 2."
    return Failure(what, "a linear part", "another", 0, 0, "smooth", why)


def _summary(mode: str, check: Comparison, failures: list[Failure], worst: float) -> Report:
    count = len(check.directions) * len(check.upstream)
    return Report(mode, count, len(check.directions), check.miss, worst, failures)
