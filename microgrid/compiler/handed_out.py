"""Gradients as a traced step sees them: arrays that NumPy may not compute with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..arrays import Array
from ..core import Tensor
from ..recording import reads


def _refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Raise a TraceError: a replay would not do this again."""
    reads("NumPy's arithmetic on .grad")
    raise TypeError(".grad of a traced step was used after it")  # nobody traces any more


class GradientInTrace(np.ndarray):
    """`.grad` of a leaf while a step is traced: what NumPy does with it no replay would do."""

    __array_ufunc__ = __array_function__ = __getitem__ = __setitem__ = _refuse
    __bool__ = __float__ = __int__ = __iter__ = __contains__ = _refuse
    item = tolist = copy = astype = fill = dot = sum = mean = max = min = _refuse


class HandedOut:
    """The leaves whose `.grad` is such an array now, with the plain ones."""

    def __init__(self, leaves: Iterable[Tensor]) -> None:
        self.before = {leaf: leaf.grad for leaf in leaves}
        self._plain: dict[Tensor, tuple[Any, Array]] = {}
        for leaf in self.before:
            self.cover(leaf)
        self.last = {leaf: leaf.grad for leaf in self.before}

    def cover(self, leaf: Tensor) -> None:
        """Let nobody compute with `.grad` of the leaf outside the ops."""
        if type(leaf.grad) is np.ndarray:
            covered = leaf.grad.view(GradientInTrace)
            self._plain[leaf] = covered, leaf.grad
            leaf.grad = covered

    def plain(self, leaf: Tensor) -> Any:
        """Return `.grad` of the leaf as the plain array that it is."""
        covered, array = self._plain.get(leaf, (None, None))
        return array if covered is not None and leaf.grad is covered else leaf.grad

    def uncover(self) -> list[Tensor]:
        """Give all leaves their plain arrays back; return those that had one."""
        leaves = list(self._plain)
        for leaf in leaves:
            leaf.grad = self.plain(leaf)
        self._plain.clear()
        return leaves
