"""The training step in NumPy alone: written by hand, planned by hand, and its products alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from training_task import LEARNING_RATE, Built, Task, built

LINE = 64  # bytes: of the cache, and of the widest vector register


def by_hand(case: Any) -> Built:
    """The step as one writes it without thinking of memory, apart from the plain `out=`."""
    task = Task(case)
    weights, biases, rows = task.weights, task.biases, np.arange(task.batch)

    def step() -> Any:
        inputs = [task.x]
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            z = inputs[-1] @ w
            z += b
            inputs.append(np.maximum(z, 0, out=z))
        out = inputs[-1] @ weights[-1] + biases[-1]
        if task.classify:
            out -= out.max(axis=1, keepdims=True)
            g = np.exp(out)
            total = g.sum(axis=1, keepdims=True)
            loss = (np.log(total[:, 0]) - out[rows, task.y]).mean()
            g /= total
            g[rows, task.y] -= 1
            g /= task.batch
        else:
            out -= task.y
            loss = np.square(out).mean()
            g = out * (2 / out.size)
        for i in reversed(range(len(weights))):
            gw, gb = inputs[i].T @ g, g.sum(axis=0)
            if i:
                g = g @ weights[i].T
                g *= inputs[i] > 0
            gw *= LEARNING_RATE
            gb *= LEARNING_RATE
            weights[i] -= gw
            biases[i] -= gb
        return loss

    return built(step)


def planned(case: Any) -> Built:
    """The step as a straight line of calls that all write into memory laid out beforehand.

    Each line is what a patient person would write for this one net: no array is made, parameters
    and gradients are one vector each so that the update is two calls, and sums over the batch are
    products with ones.
    """
    plan = Planned(Task(case))
    scope: dict[str, Any] = {}
    body = "\n    ".join(plan.lines)
    exec(f"def step():\n    {body}\n    return loss", plan.names, scope)
    return built(scope["step"])


class Planned:
    """Writes the lines of the planned step, and holds the arrays that they name.

    Attributes:
        lines: one call each.
        names: what stands for what in them.
    """

    def __init__(self, task: Task) -> None:
        self.lines: list[str] = []
        self.task, self.last = task, len(task.weights) - 1
        functions = ("add", "subtract", "multiply", "divide", "maximum", "exp", "log", "sign")
        self.names: dict[str, Any] = {name: getattr(np, name) for name in functions}
        self.names |= {"x0": task.x, "y": task.y, "rate": np.float32(LEARNING_RATE)}
        self.names["zero"] = np.float32(0)  # a Python float would be cast in every call
        self.lay_out()
        self.forward()
        if task.classify:
            self.cross_entropy()
        else:
            self.squared_error()
        self.backward()
        self.lines += ["multiply(G, rate, U)", "subtract(P, U, P)"]

    def lay_out(self) -> None:
        """Give the parameters p, their gradients gp, the results x and their gradients g a place.

        P, G, U are the vectors of all parameters, gradients and updates.
        """
        task = self.task
        shapes = [p.shape for p in task.in_turn()]
        parameters, gradients = self.take("P", *shapes), self.take("G", *shapes)
        self.take("U", *shapes)
        for own, value in zip(parameters, task.in_turn(), strict=True):
            own[...] = value
        for i in range(self.last + 1):
            w, b, gw, gb = *parameters[2 * i : 2 * i + 2], *gradients[2 * i : 2 * i + 2]
            self.names |= {f"w{i}": w, f"wT{i}": w.T, f"b{i}": b, f"gw{i}": gw, f"gb{i}": gb}
            self.new(f"x{i + 1}", task.batch, task.sizes[i + 1])
            self.new(f"g{i + 1}", task.batch, task.sizes[i + 1])
            self.names[f"xT{i}"] = self.names[f"x{i}"].T
        self.new("ones", task.batch)[...] = 1

    def take(self, name: str, *shapes: tuple[int, ...]) -> list[Any]:
        """Make a vector with a part for each shape, each at a line of the cache."""
        per_line = LINE // 4
        sizes = [-(-int(np.prod(shape)) // per_line) * per_line for shape in shapes]
        raw = np.zeros(4 * sum(sizes) + LINE, np.uint8)
        first = -raw.ctypes.data % LINE
        vector = self.names[name] = raw[first : first + 4 * sum(sizes)].view(np.float32)
        starts = np.cumsum([0, *sizes])
        return [
            vector[start : start + int(np.prod(shape))].reshape(shape)
            for start, shape in zip(starts, shapes, strict=False)
        ]

    def new(self, name: str, *shape: int) -> Any:
        """Make an array with this name."""
        (array,) = self.take(name, shape)
        self.names[name] = array
        return array

    def forward(self) -> None:
        """x{i+1} is the result of layer i."""
        for i in range(self.last + 1):
            self.lines += [f"x{i}.dot(w{i}, x{i + 1})", f"add(x{i + 1}, b{i}, x{i + 1})"]
            if i < self.last:
                self.lines.append(f"maximum(x{i + 1}, zero, x{i + 1})")

    def cross_entropy(self) -> None:
        """The loss, and its slope in the logits z as g."""
        batch, classes = self.task.batch, self.task.sizes[-1]
        n = self.last + 1
        self.names |= {"z": self.names[f"x{n}"], "g": self.names[f"g{n}"]}
        self.names["places"] = np.arange(0, batch * classes, classes)
        self.names["flat"] = np.empty(batch, np.int64)
        self.names["share"] = np.float32(1 / batch)
        self.new("peak", batch, 1)
        self.new("total", batch)
        self.names["own_column"] = self.new("own", batch)[:, None]
        self.new("ones_of_classes", classes)[...] = 1
        self.lines += [
            "add(places, y, flat)",
            "maximum.reduce(z, 1, None, peak, True)",
            "subtract(z, peak, z)",
            "z.take(flat, None, own, 'clip')",
            "exp(z, g)",
            "g.dot(ones_of_classes, total)",
            "loss = -own.dot(ones)",
            "log(total, own)",
            "loss = (loss + own.dot(ones)) * share",
            "divide(share, total, own)",
            "multiply(g, own_column, g)",
            "g.take(flat, None, own, 'clip')",
            "subtract(own, share, own)",
            "g.put(flat, own)",
        ]

    def squared_error(self) -> None:
        """The loss, and its slope as g."""
        n, size = self.last + 1, self.task.batch * self.task.sizes[-1]
        z, g = self.names[f"x{n}"], self.names[f"g{n}"]
        self.names |= {"z": z, "g": g, "errors": z.reshape(-1)}
        self.names |= {"share": np.float32(1 / size), "twice": np.float32(2 / size)}
        self.lines += [
            "subtract(z, y, z)",
            "loss = errors.dot(errors) * share",
            "multiply(z, twice, g)",
        ]

    def backward(self) -> None:
        """g{i} is the slope in x{i}; x{i} is above 0 where its unit is on, so sign is the mask."""
        for i in reversed(range(self.last + 1)):
            self.lines += [f"xT{i}.dot(g{i + 1}, gw{i})", f"ones.dot(g{i + 1}, gb{i})"]
            if i:
                self.lines += [
                    f"g{i + 1}.dot(wT{i}, g{i})",
                    f"sign(x{i}, x{i})",
                    f"multiply(g{i}, x{i}, g{i})",
                ]


def products(case: Any) -> Built:
    """The products of the step alone, into existing arrays: the floor for all who use this BLAS."""
    task = Task(case)
    calls: list[tuple[Any, Any, Any]] = []
    inputs = [task.x]
    for w in task.weights:
        calls.append((inputs[-1], w, np.empty((task.batch, w.shape[1]), np.float32)))
        inputs.append(calls[-1][-1])
    for i in reversed(range(len(task.weights))):
        w, g = task.weights[i], np.ones_like(inputs[i + 1])
        calls.append((inputs[i].T, g, np.empty_like(w)))
        if i:
            calls.append((g, w.T, np.empty_like(inputs[i])))

    def step() -> None:
        for a, b, out in calls:
            np.matmul(a, b, out)

    return step, lambda: float("nan")
