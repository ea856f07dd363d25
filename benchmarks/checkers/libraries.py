"""One adapter per library: its functions by NumPy's names, and how a user declares an op in it.

Each is made only when asked for, since it imports its library. A `Primitive` becomes an
`mg.Op`, a `torch.autograd.Function`, a `jax.custom_vjp` or a `primitive` of autograd.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from .cases import Array, Function, Primitive
from .functions import Functions


class Microgrid(Functions):
    """microgrid: a primitive is an `mg.Op`, declared under a private name until `forget`."""

    name = "microgrid"

    NATIVE = (
        "relu", "leaky_relu", "hardtanh", "relu6", "hardsigmoid", "hardswish", "softshrink", "elu",
        "sigmoid", "softplus", "softsign", "softmax", "log_softmax", "norm", "astype",
    )  # fmt: skip

    def __init__(self) -> None:
        import microgrid as mg

        super().__init__(mg)
        self.kernels = Functions(np)
        self.declared: list[str] = []
        for name in self.NATIVE:
            setattr(self, name, getattr(mg, name))

    def logsumexp(self, x: Any) -> Any:
        return self.module.logsumexp(x, axis=-1)

    def huber(self, x: Any) -> Any:
        return self.module.huber_loss(x, np.zeros(x.shape, x.dtype), reduction="none")

    def frozen(self, x: Any) -> Any:
        return x.detach() if isinstance(x, self.module.Tensor) else x

    def signbit(self, x: Any) -> Any:
        return np.signbit(np.asarray(x))

    def array_from(self, x: Array) -> Any:
        return self.module.tensor(x, requires_grad=True)

    def op(self, primitive: Primitive) -> Function:
        mg = self.module
        name = f"planted_{len(mg.OPS)}_{len(self.declared)}"
        count = len(primitive.rules)
        dimensions = "()" if primitive.elementwise else "(...)"
        pieces = None
        if primitive.knots is not None:
            data = mg.Pieces(primitive.knots, primitive.slopes, primitive.through)
            pieces = lambda: data  # noqa: E731
        op = mg.Op(
            name=name,
            doc="An op of the benchmark.",
            kernel=self._kernel(primitive.forward),
            vjps=tuple(self._rule(rule) for rule in primitive.rules),
            domains=(mg.Domain(),) * count,
            signature=",".join([dimensions] * count) + f"->{dimensions}",
            pieces=pieces,
        )
        self.declared.append(name)
        return op

    def _kernel(self, forward: Function) -> Function:
        def kernel(*inputs: Array, out: Array | None = None) -> Any:
            y = forward(self.kernels, *inputs)
            if out is None:
                return y
            np.copyto(out, y)
            return out

        return kernel

    def _rule(self, rule: Function) -> Function:
        return lambda g, y, *inputs: rule(self, g, y, *inputs)

    def forget(self) -> None:
        """Remove the declared ops from `mg.OPS`."""
        while self.declared:
            del self.module.OPS[self.declared.pop()]


class Torch(Functions):
    """PyTorch: a primitive is a `torch.autograd.Function`."""

    name = "torch"

    def __init__(self) -> None:
        import torch

        super().__init__(torch)
        nn = torch.nn.functional
        self.kernels = self
        self.relu, self.leaky_relu, self.hardtanh = nn.relu, nn.leaky_relu, nn.hardtanh
        self.relu6, self.hardsigmoid, self.hardswish = nn.relu6, nn.hardsigmoid, nn.hardswish
        self.softshrink, self.elu, self.softplus = nn.softshrink, nn.elu, nn.softplus
        self.softsign, self.sigmoid, self.norm = nn.softsign, torch.sigmoid, torch.linalg.norm

    def maximum(self, a: Any, b: Any) -> Any:
        return self.module.maximum(*self._tensors(a, b))

    def minimum(self, a: Any, b: Any) -> Any:
        return self.module.minimum(*self._tensors(a, b))

    def max(self, x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        return self.module.amax(x, () if axis is None else axis, keepdims)

    def min(self, x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        return self.module.amin(x, () if axis is None else axis, keepdims)

    def std(self, x: Any, axis: int | None = None, ddof: int = 0) -> Any:
        return self.module.std(x, axis, correction=ddof)

    def prod(self, x: Any) -> Any:
        return self.module.prod(x)

    def sort(self, x: Any) -> Any:
        return self.module.sort(x).values

    def transpose(self, x: Any, axes: tuple[int, ...]) -> Any:
        return self.module.permute(x, axes)

    def flip(self, x: Any, axis: int) -> Any:
        return self.module.flip(x, (axis,))

    def logsumexp(self, x: Any) -> Any:
        return self.module.logsumexp(x, -1)

    def softmax(self, x: Any) -> Any:
        return self.module.softmax(x, -1)

    def log_softmax(self, x: Any) -> Any:
        return self.module.log_softmax(x, -1)

    def huber(self, x: Any) -> Any:
        return self.module.nn.functional.huber_loss(x, 0 * x.detach(), reduction="none")

    def _tensors(self, *operands: Any) -> list[Any]:
        like = next(x for x in operands if isinstance(x, self.module.Tensor))
        return [self.module.as_tensor(x, dtype=like.dtype) for x in operands]

    def astype(self, x: Any, dtype: str) -> Any:
        return x.to(getattr(self.module, dtype))

    def array(self, constant: Array, like: Any) -> Any:
        return self.module.as_tensor(constant).to(like.dtype)

    def array_from(self, x: Array) -> Any:
        # Always in double precision, for which its page says that the defaults are.
        y = self.module.empty(x.shape, dtype=self.module.float64)
        return y.copy_(self.module.as_tensor(x)).requires_grad_()

    def frozen(self, x: Any) -> Any:
        return x.detach()

    def argsort(self, x: Any) -> Any:
        return self.module.argsort(x.detach())

    def put(self, like: Any, places: Any, g: Any) -> Any:
        y = self.module.zeros_like(like)
        y[places] = g
        return y

    def put_add(self, like: Any, places: Any, g: Any) -> Any:
        places = self.module.as_tensor(places)
        return self.module.zeros_like(like).index_put((places,), g, accumulate=True)

    def op(self, primitive: Primitive) -> Function:
        library = self

        class Declared(self.module.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                y = primitive.forward(library, *inputs)
                ctx.save_for_backward(y, *inputs)
                return y

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                y, *inputs = ctx.saved_tensors
                return tuple(rule(library, g, y, *inputs) for rule in primitive.rules)

        return Declared.apply  # type: ignore[no-any-return]

    def forget(self) -> None:
        pass


class Jax(Functions):
    """JAX in 64 bits: a primitive is a `jax.custom_vjp`."""

    name = "jax"

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        super().__init__(jax.numpy)
        self.jax, nn = jax, jax.nn
        self.kernels = self
        self.relu, self.leaky_relu, self.hardtanh = nn.relu, nn.leaky_relu, nn.hard_tanh
        self.relu6, self.hardsigmoid, self.hardswish = nn.relu6, nn.hard_sigmoid, nn.hard_swish
        self.elu, self.softplus, self.softsign = nn.elu, nn.softplus, nn.soft_sign
        self.sigmoid, self.softmax, self.log_softmax = nn.sigmoid, nn.softmax, nn.log_softmax
        self.norm = self.module.linalg.norm

    def logsumexp(self, x: Any) -> Any:
        return self.jax.nn.logsumexp(x, axis=-1)

    def array(self, constant: Array, like: Any) -> Any:
        return self.module.asarray(constant, like.dtype)

    def array_from(self, x: Array) -> Any:
        return self.module.asarray(x)

    def frozen(self, x: Any) -> Any:
        return self.jax.lax.stop_gradient(x)

    def argsort(self, x: Any) -> Any:
        return self.module.argsort(self.frozen(x))

    def put(self, like: Any, places: Any, g: Any) -> Any:
        return self.module.zeros_like(like).at[places].set(g)

    def put_add(self, like: Any, places: Any, g: Any) -> Any:
        return self.module.zeros_like(like).at[places].add(g)

    def op(self, primitive: Primitive) -> Function:
        def value(*inputs: Any) -> Any:
            return primitive.forward(self, *inputs)

        def forward(*inputs: Any) -> Any:
            y = value(*inputs)
            return y, (y, inputs)

        def backward(saved: Any, g: Any) -> Any:
            y, inputs = saved
            found = (rule(self, g, y, *inputs) for rule in primitive.rules)
            return tuple(gx.astype(x.dtype) for gx, x in zip(found, inputs, strict=True))

        declared = self.jax.custom_vjp(value)
        declared.defvjp(forward, backward)
        return declared  # type: ignore[no-any-return]

    def forget(self) -> None:
        pass


class Autograd(Functions):
    """autograd: a primitive is a `primitive` with a `defvjp`."""

    name = "autograd"

    def __init__(self) -> None:
        super().__init__(importlib.import_module("autograd.numpy"))
        self.extend = importlib.import_module("autograd.extend")
        self.kernels = Functions(np)

    def array_from(self, x: Array) -> Any:
        return x.astype(np.float64)  # its tolerances know no other precision

    def norm(self, x: Any) -> Any:
        return self.module.linalg.norm(x)

    def frozen(self, x: Any) -> Any:
        while isinstance(x, importlib.import_module("autograd.tracer").Box):
            x = x._value
        return x

    def op(self, primitive: Primitive) -> Function:
        declared = self.extend.primitive(lambda *xs: primitive.forward(self.kernels, *xs))
        self.extend.defvjp(declared, *(self._vjp_maker(rule) for rule in primitive.rules))
        return declared  # type: ignore[no-any-return]

    def _vjp_maker(self, rule: Function) -> Function:
        return lambda y, *inputs: lambda g: rule(self, g, y, *inputs)

    def forget(self) -> None:
        pass
