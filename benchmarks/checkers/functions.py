"""The functions that cases are written in, by NumPy's names, whichever library computes them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .cases import Array


class Functions:
    """A library's own functions, and those that it lacks composed as its user would."""

    def __init__(self, module: ModuleType | None) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    # --- what only differs in name -----------------------------------------------------------

    def astype(self, x: Any, dtype: str) -> Any:
        return x.astype(dtype)

    def array(self, constant: Array, like: Any) -> Any:
        """Return a constant as an array of the library, in the dtype of `like`."""
        return constant.astype(like.dtype)

    def frozen(self, x: Any) -> Any:
        """Return the values of x as a constant."""
        return x

    def argsort(self, x: Any) -> Any:
        return np.argsort(np.asarray(x))

    def put(self, like: Any, places: Any, g: Any) -> Any:
        """Return zeros with g written to the places; of equal places the last wins."""
        y = np.zeros_like(np.asarray(like))
        y[places] = np.asarray(g)
        return y

    def put_add(self, like: Any, places: Any, g: Any) -> Any:
        """Return zeros with g added at the places."""
        y = np.zeros_like(np.asarray(like))
        np.add.at(y, places, np.asarray(g))
        return y

    # --- what not every library has ----------------------------------------------------------

    def relu(self, x: Any) -> Any:
        return self.maximum(x, 0.0)

    def leaky_relu(self, x: Any, slope: float = 0.01) -> Any:
        return self.where(x > 0, x, slope * x)

    def hardtanh(self, x: Any) -> Any:
        return self.clip(x, -1.0, 1.0)

    def relu6(self, x: Any) -> Any:
        return self.clip(x, 0.0, 6.0)

    def hardsigmoid(self, x: Any) -> Any:
        return self.clip(x / 6 + 0.5, 0.0, 1.0)

    def hardswish(self, x: Any) -> Any:
        return x * self.hardsigmoid(x)

    def softshrink(self, x: Any) -> Any:
        return self.where(x > 0.5, x - 0.5, self.where(x < -0.5, x + 0.5, 0 * x))

    def elu(self, x: Any, alpha: float = 1.0) -> Any:
        return self.where(x > 0, x, alpha * self.expm1(self.minimum(x, 0.0)))

    def sigmoid(self, x: Any) -> Any:
        return 0.5 * (1 + self.tanh(0.5 * x))

    def softplus(self, x: Any) -> Any:
        return self.logaddexp(x, 0 * x)

    def softsign(self, x: Any) -> Any:
        return x / (1 + self.absolute(x))

    def logsumexp(self, x: Any) -> Any:
        top = self.max(x, axis=-1, keepdims=True)
        return (self.log(self.sum(self.exp(x - top), axis=-1, keepdims=True)) + top)[..., 0]

    def log_softmax(self, x: Any) -> Any:
        shifted = x - self.max(x, axis=-1, keepdims=True)
        return shifted - self.log(self.sum(self.exp(shifted), axis=-1, keepdims=True))

    def softmax(self, x: Any) -> Any:
        e = self.exp(x - self.max(x, axis=-1, keepdims=True))
        return e / self.sum(e, axis=-1, keepdims=True)

    def norm(self, x: Any) -> Any:
        return self.sqrt(self.sum(x * x))

    def huber(self, x: Any) -> Any:
        """Return Huber's function: x * x / 2 up to |x| = 1, |x| - 1/2 beyond."""
        size = self.absolute(x)
        return self.where(size <= 1, 0.5 * x * x, size - 0.5)
