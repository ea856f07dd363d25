"""A program: calls of ops, one after another, as data that can be run, read and pasted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arrays import Array
from ...core import Tensor
from ...record import OPS
from .written import written, written_options


class Step:
    """One call in a program.

    Args:
        op: the name of the op in `mg.OPS`.
        args: names of what it is called on: "x0", "x1", ... are the inputs of the program, "y0",
            "y1", ... the results of its steps. An array, any[...], stands for itself.
        params: the op's parameters.

    >>> import microgrid as mg
    >>> mg.testing.strategies.Step("sum", "x0", axis=(0,), keepdims=False)
    Step("sum", "x0", axis=(0,), keepdims=False)
    """

    def __init__(self, op: str, /, *args: str | Array, **params: Any) -> None:
        self.op, self.args, self.params = op, args, params

    def __repr__(self) -> str:
        args = [f'"{x}"' if isinstance(x, str) else written(x) for x in self.args]
        return (
            f"Step({', '.join([f'{self.op!r}'.replace(chr(39), chr(34)), *args, *self._rest()])})"
        )

    @property
    def source(self) -> str:
        """The call as Python."""
        args = [x if isinstance(x, str) else written(x) for x in self.args]
        return f'mg.OPS["{self.op}"]({", ".join([*args, *self._rest()])})'

    def _rest(self) -> list[str]:
        return [written_options(self.params)] if self.params else []


class Program:
    """A function made of ops, with inputs for it. Its repr is Python that builds it.

    Args:
        inputs: any[...], arrays to run it on.
        steps: its calls; the last one's result is that of the program.

    Attributes:
        inputs: arrays to run it on.
        steps: its calls.

    Raises:
        TypeError: when called, with another number of inputs.
        KeyError: when called, a step names an op or a value that there is not.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> Program, Step = mg.testing.strategies.Program, mg.testing.strategies.Step
    >>> program = Program([np.array(3.0)], [Step("square", "x0"), Step("add", "y0", "x0")])
    >>> print(program.source)
    def program(x0):
        y0 = mg.OPS["square"](x0)
        y1 = mg.OPS["add"](y0, x0)
        return y1
    >>> program(*program.inputs)
    array(12.)
    >>> program
    Program([np.array(3.0)], [Step("square", "x0"), Step("add", "y0", "x0")])
    """

    def __init__(self, inputs: Sequence[Array], steps: Sequence[Step]) -> None:
        self.inputs, self.steps = list(inputs), list(steps)

    def __call__(self, *inputs: Any) -> Any:
        """Return the result for arrays, or for Tensors, in the place of the inputs.

        Raises:
            TypeError: their number is not that of the inputs.
        """
        if len(inputs) != len(self.inputs):
            raise TypeError(
                f"program: {len(inputs)} inputs were given; it takes {len(self.inputs)}."
            )
        tensors = any(isinstance(x, Tensor) for x in inputs)
        values = {f"x{i}": x if tensors else np.asarray(x) for i, x in enumerate(inputs)}
        for i, step in enumerate(self.steps):
            op = OPS[step.op]
            args = [values[x] if isinstance(x, str) else x for x in step.args]
            # Of arrays it stays an array: a number would lose its dtype to the next step.
            values[f"y{i}"] = op(*args, **step.params) if tensors else op.run(args, step.params)
        return values[f"y{len(self.steps) - 1}"]

    @property
    def source(self) -> str:
        """The function as Python, one call a line."""
        inputs = ", ".join(f"x{i}" for i in range(len(self.inputs)))
        lines = [f"y{i} = {step.source}" for i, step in enumerate(self.steps)]
        lines.append(f"return y{len(self.steps) - 1}")
        return "\n    ".join([f"def program({inputs}):", *lines])

    def __repr__(self) -> str:
        return f"Program({written(self.inputs)}, {self.steps!r})"


def pruned(program: Program) -> Program:
    """Return the program without what its result does not need.

    >>> import numpy as np
    >>> steps = [Step("exp", "x0"), Step("square", "x1"), Step("negative", "y1")]
    >>> pruned(Program([np.array(0.0), np.array(2.0)], steps))
    Program([np.array(2.0)], [Step("square", "x0"), Step("negative", "y0")])
    """
    needed = {f"y{len(program.steps) - 1}"}
    for i in reversed(range(len(program.steps))):
        if f"y{i}" in needed:
            needed |= {x for x in program.steps[i].args if isinstance(x, str)}
    inputs = [i for i in range(len(program.inputs)) if f"x{i}" in needed]
    steps = [i for i in range(len(program.steps)) if f"y{i}" in needed]
    names = {f"x{i}": f"x{place}" for place, i in enumerate(inputs)}
    names |= {f"y{i}": f"y{place}" for place, i in enumerate(steps)}
    return Program(
        [program.inputs[i] for i in inputs], [_renamed(program.steps[i], names) for i in steps]
    )


def _renamed(step: Step, names: dict[str, str]) -> Step:
    args = [names[x] if isinstance(x, str) else x for x in step.args]
    return Step(step.op, *args, **step.params)
