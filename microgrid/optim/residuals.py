"""Residuals and their Jacobian at a point, for least squares."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..arrays import Array
from ..compiler import Compiled
from ..core import Operand, Tensor
from ..errors import ShapeError, TraceError
from ..per_sample import PerSample
from ..recording import no_grad
from ..transforms import jacobian

# The first evaluation shows that no samples mix, and whether rules run without a loop over them.
COMPILED_FROM = 3


class Residuals:
    """A function that gives residuals, with its Jacobian by some parameters.

    With arrays its rows are samples: the Jacobian takes one pass back for each number of a row, and
    is compiled if it is asked for again and again. Without, it takes one pass for each residual, or
    two for each parameter.

    Args:
        who: what errors begin with.
        function: of the arrays, returns float[rows, ...].
        parameters: by which it is differentiated.
        compiled: whether to compile.
    """

    def __init__(
        self,
        who: str,
        function: Callable[..., Any],
        parameters: Sequence[Tensor],
        compiled: bool,
    ) -> None:
        self.who, self.function, self.parameters = who, function, list(parameters)
        self.asked = self._compiled = compiled
        self._count = 0
        self._values_of = Compiled(self._plainly)
        self._both_of = Compiled(self._by_samples)

    def is_of(self, function: Any, parameters: Sequence[Tensor], compiled: bool) -> bool:
        """Return whether it is made of these."""
        same = function is self.function and compiled == self.asked
        return same and list(map(id, parameters)) == list(map(id, self.parameters))

    def guarded(self) -> Iterator[tuple[str, str, tuple[Any, ...], Any]]:
        """Yield what compiled programs rely on."""
        yield "function", "{0}.function is {1}", (self, self.function), self.function
        for p in self.parameters:
            yield "parameters", "", (), p

    def values(self, batch: Sequence[Operand]) -> Array:
        """Return the residuals, as float64[rows, numbers of a row]."""
        if self._count < COMPILED_FROM or not batch:
            return self._rows(self._plainly(*batch))
        return self._rows(self._run(self._values_of, self._plainly, batch))

    def both(self, batch: Sequence[Operand]) -> tuple[Array, Array]:
        """Return the residuals, and float64[rows, numbers of a row, parameters]."""
        self._count += 1
        if not batch:
            return self._by_rows()
        if self._count == 1:
            first = PerSample(self.who, self.function, self.parameters, batch, apart=True)
            found = self._joined(first)
            self._compiled = self._compiled and not first.loops
        elif self._count < COMPILED_FROM:
            found = self._by_samples(*batch)
        else:
            found = self._run(self._both_of, self._by_samples, batch)
        r = self._rows(found[0])
        return r, np.asarray(found[1], np.float64).reshape(*r.shape, -1)

    def _run(self, compiled: Compiled, plain: Callable[..., Any], batch: Sequence[Operand]) -> Any:
        if self._compiled:
            try:
                return compiled(*batch)
            except TraceError as error:
                self._compiled = False
                warnings.warn(
                    f"{self.who}: the residuals run uncompiled, as they cannot be traced: {error} "
                    "Pass compile=False if that is meant.",
                    stacklevel=4,
                )
        return plain(*batch)

    def _rows(self, residuals: Any) -> Array:
        self._check(residuals)
        rows: Array = residuals._data.astype(np.float64)
        return rows.reshape(len(rows), -1)

    def _check(self, residuals: Any) -> None:
        if not isinstance(residuals, Tensor):
            raise TypeError(
                f"{self.who}: the residuals are of type {type(residuals).__name__}; they must be a "
                "Tensor. Compute them from the parameters by microgrid's ops."
            )
        if not residuals.ndim or not residuals.size:
            raise ShapeError(
                f"{self.who}: residuals of shape {residuals.shape} were given; it needs one or "
                "more in an array. Return the differences, not their sum."
            )

    def _plainly(self, *batch: Operand) -> Any:
        with no_grad():
            return self.function(*batch)

    def _by_samples(self, *batch: Operand) -> tuple[Any, Any]:
        return self._joined(PerSample(self.who, self.function, self.parameters, batch))

    def _joined(self, samples: PerSample) -> tuple[Any, Any]:
        """Return the residuals, and their Jacobian as a matrix."""
        self._check(samples.result)
        count = samples.result.size
        blocks = [ops.reshape(j, (count, -1)) for j in samples.jacobian()]
        return samples.result, ops.concatenate(blocks, axis=1)

    def _by_rows(self) -> tuple[Array, Array]:
        found: list[Any] = []

        def kept(parameters: Any) -> Any:
            found.append(self.function())
            self._rows(found[0])  # or an error that says what is wrong
            return found[0]

        blocks = jacobian(kept)(_Parameters(self.parameters))
        r = self._rows(found[0])
        flat = [np.asarray(j._data, np.float64).reshape(*r.shape, -1) for j in blocks.values()]
        return r, np.concatenate(flat, axis=-1)


class _Parameters:
    """Parameters in the place of a Module, by which a transform differentiates."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters

    def named_parameters(self) -> Iterator[tuple[int, Tensor]]:
        return enumerate(self._parameters)
