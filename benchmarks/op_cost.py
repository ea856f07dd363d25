"""Time one op on small arrays, forward and forward with backward, against other libraries.

    python benchmarks/op_cost.py --json ops.json --chart ops.png

On small arrays the arithmetic costs next to nothing, so this is the price of an op call itself.
Every input requires a gradient, so the forward call records. micrograd computes on single numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import report

Call = Callable[[], Any]
Built = tuple[Call, Callable[[], float]]
Function = Callable[..., Any]

MODES = ("forward", "forward+backward")

# The calls that are spelled alike in every library, on two matrices and a row.
ALIKE: dict[str, Function] = {
    "add": lambda a, b, row: a + b,
    "add a row": lambda a, b, row: a + row,
    "multiply": lambda a, b, row: a * b,
    "divide": lambda a, b, row: a / b,
    "matmul": lambda a, b, row: a @ b,
    "sum": lambda a, b, row: a.sum(),
    "max": lambda a, b, row: a.max(),
    "reshape": lambda a, b, row: a.reshape(-1),
    "index": lambda a, b, row: a[1],
}
UNARY = ("exp", "tanh", "relu", "log_softmax")
BINARY = ("add", "multiply", "divide", "matmul")
OPS = (*ALIKE, *UNARY)


def arrays(size: int) -> list[Any]:
    """Return two square matrices and a row, float32."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.5, 1.5, (2, size, size)).astype(np.float32)
    return [a, b, b[0].copy()]


def function_of(op: str, *unary: Function) -> Function:
    """Return the op as a function of two matrices and a row, given a library's `UNARY` ones."""
    if op in ALIKE:
        return ALIKE[op]
    function = unary[UNARY.index(op)]
    return lambda a, b, row: function(a)


def log_softmax_in(namespace: Any) -> Function:
    """Return log_softmax as its user writes it who has only NumPy's functions."""
    exp, log = namespace.exp, namespace.log

    def log_softmax(x: Any) -> Any:
        x = x - x.max(axis=-1, keepdims=True)
        return x - log(exp(x).sum(axis=-1, keepdims=True))

    return log_softmax


def numpy_alone(case: Any) -> Built | None:
    op, mode, size = case
    if mode != "forward":
        return None  # there is nothing to compare with but a formula
    f = function_of(op, np.exp, np.tanh, lambda x: np.maximum(x, 0), log_softmax_in(np))
    a, b, row = arrays(size)
    return lambda: f(a, b, row), lambda: float(f(a, b, row).sum())


def microgrid_ops(case: Any) -> Built:
    import microgrid as mg

    op, mode, size = case
    f = function_of(op, mg.exp, mg.tanh, mg.relu, mg.log_softmax)
    leaves = [mg.tensor(x, requires_grad=True) for x in arrays(size)]
    seed = np.ones(f(*leaves).shape, np.float32)
    return _built(f, mode, leaves, seed, clear=leaves)


def torch_ops(case: Any) -> Built:
    import torch

    op, mode, size = case
    f = function_of(op, torch.exp, torch.tanh, torch.relu, lambda x: torch.log_softmax(x, -1))
    leaves = [torch.from_numpy(x).requires_grad_() for x in arrays(size)]
    seed = torch.ones_like(f(*leaves).detach())
    return _built(f, mode, leaves, seed, clear=leaves)


def mygrad_ops(case: Any) -> Built:
    import mygrad
    from mygrad.nnet.activations import logsoftmax, relu

    mygrad.turn_memory_guarding_off()  # its own advice for speed
    op, mode, size = case
    f = function_of(op, mygrad.exp, mygrad.tanh, relu, logsoftmax)
    leaves = [mygrad.tensor(x) for x in arrays(size)]
    seed = np.ones(f(*leaves).shape, np.float32)
    return _built(f, mode, leaves, seed, clear=[])  # the next use of a leaf forgets its gradient


def _built(f: Function, mode: str, leaves: list[Any], seed: Any, clear: list[Any]) -> Built:
    """Return the call, alone or with a backward pass from `seed` into fresh gradients."""
    a, b, row = leaves

    def with_backward() -> None:
        for leaf in clear:
            leaf.grad = None
        f(a, b, row).backward(seed)

    call = (lambda: f(a, b, row)) if mode == "forward" else with_backward
    return call, lambda: float(f(a, b, row).sum().item())


def autograd_ops(case: Any) -> Built:
    import autograd.numpy as anp
    from autograd import make_vjp

    op, mode, size = case
    f = function_of(op, anp.exp, anp.tanh, lambda x: anp.maximum(x, 0), log_softmax_in(anp))
    inputs = arrays(size)
    wanted = {"add a row": (0, 2)}.get(op, (0, 1) if op in BINARY else 0)
    trace = make_vjp(f, wanted)
    y = trace(*inputs)[1]
    seed = np.ones_like(y)

    def with_backward() -> None:
        trace(*inputs)[0](seed)

    call = (lambda: trace(*inputs)) if mode == "forward" else with_backward
    return call, lambda: float(y.sum())


def micrograd_ops(case: Any) -> Built | None:
    from micrograd.engine import Value

    op, mode, _ = case
    if op not in ("add", "multiply", "divide", "relu"):
        return None
    f = function_of(op, *UNARY[:2], Value.relu)
    a, b = Value(0.75), Value(1.25)

    def with_backward() -> None:
        a.grad = b.grad = 0
        f(a, b, None).backward()

    call = (lambda: f(a, b, None)) if mode == "forward" else with_backward
    return call, lambda: float("nan")


PEERS: dict[str, tuple[str, Callable[[Any], Built | None]]] = {
    "microgrid": ("microgrid", microgrid_ops),
    "torch": ("torch", torch_ops),
    "mygrad": ("mygrad", mygrad_ops),
    "autograd": ("autograd", autograd_ops),
    "micrograd": ("micrograd", micrograd_ops),
    "numpy": ("numpy", numpy_alone),
}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.options(__doc__, PEERS, seconds=0.05, threads=1)
    parser.add_argument("--ops", nargs="+", choices=OPS, default=list(OPS), help="what to call")
    parser.add_argument(
        "--size", type=harness.count, default=4, help="rows and columns of the matrices"
    )
    settings = parser.parse_args(arguments)
    cases = {f"{op}, {mode}": (op, mode, settings.size) for mode in MODES for op in settings.ops}
    rows, about = harness.interleave("op_cost", cases, settings)
    times = report.times_of(rows, settings.best)
    for mode in MODES:
        of_mode = {
            (op, peer): times[f"{op}, {mode}", peer]
            for op in settings.ops
            for peer in settings.peers
            if (f"{op}, {mode}", peer) in times
        }
        print(report.comparison(mode, settings.ops, settings.peers, of_mode), end="\n\n")
    size = f"{settings.size}{report.TIMES}{settings.size}"
    print(
        f"Microseconds a call on {size} float32, and in brackets how many times microgrid's it is."
    )
    print(report.notes(settings, rows, about, "the sums of the results"))
    report.write_json(settings.json, settings, about=about, calls=rows)
    groups = {case: case for case in cases}
    report.draw_times(settings.chart, groups, settings.peers, times, "microseconds a call")


if __name__ == "__main__":
    main()
