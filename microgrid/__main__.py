"""`python -m microgrid`: a small network learns to read handwritten digits."""

from __future__ import annotations

import argparse
import math
import os
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike

import microgrid as mg

from . import plot
from .arrays import Array
from .testing import worst_gradient_error

PIXELS, CLASSES, HELD_OUT = 64, 10, 360
ITEM = 8  # bytes of a weight in float64
CHECKED = 64  # digits on which the gradients are checked
QUIET, LINES = 0, 2  # what fit calls them
TOLERANCE = 1e-5  # rounding leaves about 1e-8 here
ACTIVATIONS = (
    "relu", "leaky_relu", "relu6", "hardtanh", "absolute", "tanh", "sigmoid", "softplus", "elu",
    "selu", "gelu", "silu", "mish",
)  # fmt: skip
# Slopes near 1 on both sides of 0: at the usual rate nets of two hidden layers diverge.
LEARNING_RATE, SMALLER_RATE = 0.1, 0.02
NEED_SMALLER_RATE = ("hardtanh", "absolute", "elu", "selu")
GUESSING = 2.5 / CLASSES  # below this accuracy a net has learned next to nothing
DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130  # the exit status


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, test and report as the arguments say; return the exit status.

    Raises:
        SystemExit: the arguments ask for help, or cannot be followed (status 2).
    """
    options = make_parser().parse_args(arguments)
    if options.learning_rate is None:
        small = options.activation in NEED_SMALLER_RATE
        options.learning_rate = SMALLER_RATE if small else LEARNING_RATE
    try:
        return run(options)
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)
    except mg.errors.NonFiniteError as error:
        return complain(str(error), FAILED)
    except MemoryError:
        return complain("the network does not fit into memory. Choose a smaller --hidden.", FAILED)
    except BrokenPipeError:  # the reader, as in `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return complain(str(error), FAILED)


def complain(message: str, status: int) -> int:
    """Write one line to stderr, whatever the message quotes; return the status."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    print(f"microgrid: {line}", file=sys.stderr)
    return status


# --- the options ---------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Write the message to stderr and leave with status 2."""
        sys.exit(complain(f"{message}. See --help.", MISUSED))


def make_parser() -> Parser:
    """Return the parser of the options."""
    parser = Parser(
        prog="python -m microgrid",
        description="Train a small network by stochastic gradient descent (SGD) to read 8x8 images "
        "of handwritten digits; test it on digits that it has not seen; check its gradients.",
        allow_abbrev=False,
    )
    add_training_options(parser)
    parser.add_argument(
        "--plot", metavar="FILE.png", type=picture,
        help="draw learning curves and misread digits; needs pip install 'microgrid[plot]'",
    )  # fmt: skip
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "-v", "--verbose", action="store_const", const=LINES, dest="show", default="auto",
        help="show one line per epoch, on a terminal too",
    )  # fmt: skip
    shown.add_argument(
        "-q", "--quiet", action="store_const", const=QUIET, dest="show",
        help="show the results only",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"microgrid {mg.__version__}")
    return parser


def add_training_options(parser: Parser) -> None:
    """Add what decides how the network learns, with defaults under which it learns well."""

    def option(*names: str, default: Any, about: str, **rest: Any) -> None:
        parser.add_argument(*names, default=default, help=f"{about} (%(default)s)", **rest)

    count = number(int, 1)
    option("--epochs", default=20, metavar="N", type=count, about="passes over the digits")
    option("--hidden", default="256", metavar="N[,N]", type=sizes, about="units per hidden layer")
    option(
        "--activation", default="relu", metavar="NAME", choices=ACTIVATIONS,
        about=f"what follows each hidden layer, one of {', '.join(ACTIVATIONS)}",
    )  # fmt: skip
    parser.add_argument(
        "--learning-rate", "--lr", metavar="X", type=number(float, 0, low_open=True),
        help="the length of a step for a gradient of length 1 "
        f"({LEARNING_RATE}; {SMALLER_RATE} for {', '.join(NEED_SMALLER_RATE)})",
    )  # fmt: skip
    option(
        "--momentum", default=0.9, metavar="X", type=number(float, 0, 1),
        about="the share of a step that the next one repeats, from 0 to below 1",
    )  # fmt: skip
    option("--batch-size", default=16, metavar="N", type=count, about="digits per step")
    option(
        "--seed", default=0, metavar="N", type=number(int, 0),
        about="decides which digits are held out, the first weights, and the order of the digits",
    )  # fmt: skip


def number(
    kind: type[int] | type[float], low: float, below: float = math.inf, *, low_open: bool = False
) -> Callable[[str], float]:
    """Return what reads a number of a kind, from `low` (or above it) to below `below`."""
    needed = f"a {'whole ' if kind is int else ''}number {'above' if low_open else 'from'} {low}"
    if below < math.inf:
        needed += f" to below {below}"

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if low <= value < below and not (low_open and value == low):
            return value
        raise ArgumentTypeError(f"{text!r} was given; it needs {needed}")

    return read


def sizes(text: str) -> list[int]:
    """Return the numbers in "64,32"."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ArgumentTypeError(f"{text!r} was given; it needs sizes from 1, as in 64 or 64,32")
    if any(n * m * ITEM > sys.maxsize for n, m in pairwise([PIXELS, *found, CLASSES])):
        raise ArgumentTypeError(f"{text!r} was given; no memory has room for so many weights")
    return found


def picture(text: str) -> Path:
    """Return the path of a picture that can be drawn and written."""
    path = Path(text)
    if path.suffix.lower() not in plot.FORMATS:
        raise ArgumentTypeError(
            f"{text!r} was given; it needs a name that ends in {', '.join(plot.FORMATS)}"
        )
    try:
        plot.require_matplotlib("--plot")
        new = not path.exists()
        path.open("ab").close()
        if new:
            path.unlink()
    except ImportError:
        raise ArgumentTypeError(
            "matplotlib is not installed; it comes with pip install 'microgrid[plot]'"
        ) from None
    except OSError as error:
        raise ArgumentTypeError(f"{text!r} cannot be written: {error.strerror}") from None
    return path


# --- the job -------------------------------------------------------------------------------------


def run(options: Namespace) -> int:
    """Train a network on the digits, and print what it achieves; return the exit status."""
    started = perf_counter()
    rng = np.random.default_rng(options.seed)
    x, y = mg.datasets.load_digits(scale=True)
    x_train, x_test, y_train, y_test = mg.datasets.train_test_split(
        x, y, test_size=HELD_OUT, rng=rng, stratify=y
    )
    model = make_model(options, rng)
    if options.show != QUIET:
        print(describe(options, model, len(x_train)), flush=True)
    before = perf_counter()
    history = mg.fit(
        model, x_train, y_train, loss="cross_entropy",
        optimizer=mg.optim.SGD(model.parameters(), options.learning_rate, options.momentum),
        batch_size=options.batch_size, epochs=options.epochs, metrics="accuracy",
        validation_data=(x_test, y_test), verbose=options.show, rng=rng,
    )  # fmt: skip
    training = perf_counter() - before
    if options.show == LINES:
        print(
            f"the training steps ran compiled: {history.programs} programs, one a size of batch"
            if history.programs
            else "the training steps ran uncompiled"
        )
    answers = mg.predict(model, x_test).argmax(axis=1)
    if options.show != QUIET:
        print(confusion_table(y_test, answers))
    if options.plot is not None and history.epoch:
        plot.save_report(options.plot, history.history, x_test, y_test, answers)
        print(f"learning curves and misread digits are drawn in {options.plot}")
    error = gradient_error(options, model, x_test, y_test)
    print(f"gradients checked against finite differences: worst relative error {error:.1e}")
    print(f"{perf_counter() - started:.1f} seconds, {training:.1f} of them training")
    right = int(np.sum(answers == y_test))
    print(f"test accuracy {right / HELD_OUT:.3f} ({right} of {HELD_OUT})", flush=True)
    return verdict(options, error, history, right / HELD_OUT)


def make_model(
    options: Namespace, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32
) -> mg.nn.MLP:
    """Return the network that the options describe."""
    return mg.nn.MLP([PIXELS, *options.hidden, CLASSES], options.activation, rng, dtype)


def verdict(options: Namespace, error: float, history: mg.History, accuracy: float) -> int:
    """Return the exit status; say on stderr why it is not 0."""
    if not error <= TOLERANCE:
        return complain(f"the gradients are wrong by {error:.1e} of their size", FAILED)
    if history.interrupted:
        done = f"{len(history.epoch)} of {options.epochs} epochs"
        return complain(f"interrupted after {done}", INTERRUPTED)
    if accuracy < GUESSING:
        return complain(
            f"did not learn: the test accuracy is {accuracy:.3f}, and guessing gives "
            f"{1 / CLASSES:g}. Lower --learning-rate ({options.learning_rate:g}), or, if the loss "
            "is falling, raise --epochs.",
            FAILED,
        )
    return DONE


def describe(options: Namespace, model: mg.nn.Module, count: int) -> str:
    """Return two lines that say what is going to happen."""
    layers = "-".join(map(str, [PIXELS, *options.hidden, CLASSES]))
    return (
        f"{count} handwritten digits to learn from, {HELD_OUT} held out (seed {options.seed})\n"
        f"network {layers} with {options.activation}, {model.num_parameters()} numbers to learn; "
        f"SGD with learning rate {options.learning_rate:g}, momentum {options.momentum:g}, "
        f"batch size {options.batch_size}"
    )


def confusion_table(labels: Array, answers: Array) -> str:
    """Return a table of how often each digit (row) was read as each (column).

    >>> print(confusion_table(np.array([0, 0, 1]), np.array([0, 9, 1])).splitlines()[2])
       0   1   .   .   .   .   .   .   .   .   1
    """
    counts = np.zeros((CLASSES, CLASSES), int)
    np.add.at(counts, (labels, answers), 1)
    rows = [["", *range(CLASSES)]]
    rows += [[digit, *(n or "." for n in row)] for digit, row in enumerate(counts.tolist())]
    table = ("".join(f"{cell:>4}" for cell in row) for row in rows)
    return "\n".join(["how often each digit (row) was read as which (column)", *table])


def gradient_error(options: Namespace, model: mg.nn.Module, x: Array, y: Array) -> float:
    """Return how far the gradients of the loss are from finite differences, at worst, relatively.

    Both are computed on a copy of the model in float64: in float32 the differences would be noise.
    """
    exact = make_model(options, dtype=np.float64)
    state = model.state_dict()
    exact.load_state_dict({name: value.astype(np.float64) for name, value in state.items()})
    # Wrong labels: for right ones a trained net's gradients are near 0, and rounding drowns them.
    images, labels = x.astype(np.float64), (y + 1) % CLASSES

    def error_on(batch: slice) -> float:
        return worst_gradient_error(
            lambda: mg.cross_entropy(exact(images[batch]), labels[batch]),
            exact.parameters(), eps=1e-7, tolerance=TOLERANCE, rng=options.seed,
        )  # fmt: skip

    error = math.inf
    for start in range(0, HELD_OUT, CHECKED):
        error = error_on(slice(start, start + CHECKED))
        # A kink within reach of a step spoils a difference but not the gradient: then the next
        # batch decides. A fault would show in every one.
        if error <= TOLERANCE:
            break
    return error


if __name__ == "__main__":
    sys.exit(main())
