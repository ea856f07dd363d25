"""One class for each kind of mistake, each a subclass of the builtin that NumPy users catch.

Messages read *who: what was given; what is needed. How to fix it.*
"""

from __future__ import annotations


class MicrogridError(Exception):
    """The base of every error that microgrid raises on purpose.

    >>> import microgrid as mg
    >>> try:
    ...     mg.tensor([1.0, 2.0]) + mg.tensor([1.0, 2.0, 3.0])
    ... except mg.errors.MicrogridError as error:
    ...     print(type(error).__name__)
    ShapeError
    """


class ShapeError(MicrogridError, ValueError):
    """Shapes do not fit each other or what the operation takes.

    >>> import microgrid as mg
    >>> mg.tensor([1.0, 2.0]) + mg.tensor([1.0, 2.0, 3.0])
    Traceback (most recent call last):
        ...
    microgrid.errors.ShapeError: add: shapes (2,) and (3,) do not broadcast together: 2 and 3 in the
    last place.
    """


class DtypeError(MicrogridError, TypeError):
    """A dtype cannot be used here: text as data, integers with a gradient.

    >>> import microgrid as mg
    >>> mg.tensor([1, 2], requires_grad=True)
    Traceback (most recent call last):
        ...
    microgrid.errors.DtypeError: tensor: requires_grad=True was given for dtype int64; a gradient
    needs a dtype that varies continuously. Use float data, as in tensor(data, dtype=float).
    """


class GraphError(MicrogridError, RuntimeError):
    """The graph cannot be differentiated: it is missing, released, or its inputs have changed.

    >>> import microgrid as mg
    >>> mg.tensor([1.0, 2.0], requires_grad=True).backward()
    Traceback (most recent call last):
        ...
    microgrid.errors.GraphError: backward: the result has shape (2,) and no gradient was given. Pass
    one of that shape, or reduce with sum() or mean().
    """


class TraceError(MicrogridError, RuntimeError):
    """A step cannot be traced into a program.

    >>> import microgrid as mg
    >>> step = mg.compile(lambda x: x if x > 0 else -x)
    >>> try:
    ...     step(mg.tensor(1.0))
    ... except mg.errors.TraceError as error:
    ...     print(str(error).partition(" (")[0])
    compile: bool() was asked for in the traced step
    """


class FileFormatError(MicrogridError, ValueError):
    """A file does not hold what its format promises.

    >>> import microgrid as mg
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "weights.safetensors")
    ...     _ = path.write_bytes(b"no")
    ...     try:
    ...         mg.load(path)
    ...     except mg.errors.FileFormatError as error:
    ...         print(str(error).rpartition("; ")[2])
    a safetensors file needs 8 for the header's length. It is cut off, or of another format.
    """


class StateError(MicrogridError, ValueError):
    """A saved state does not fit the model or the optimiser that is to take it.

    >>> import microgrid as mg
    >>> mg.nn.Dense(2, 1).load_state_dict({})
    Traceback (most recent call last):
        ...
    microgrid.errors.StateError: load_state_dict: the state does not fit this Dense: missing weight;
    missing bias. Nothing was loaded. Build the model as it was when saved.
    """


class NonFiniteError(MicrogridError, FloatingPointError):
    """Training met a nan or an infinity where only numbers make sense.

    Attributes:
        history: what was reached before it happened, or None.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> x, far = np.ones((4, 1)), np.full((4, 1), 1e30)  # its square is beyond float32
    >>> try:
    ...     mg.fit(mg.nn.Dense(1, 1), x, far, loss="mse", optimizer="sgd", verbose=0)
    ... except mg.errors.NonFiniteError as error:
    ...     print(error.history, str(error).partition(";")[0])
    <History of 0 epochs> fit: the loss is inf in epoch 1, batch 1
    """

    history: object = None


class AnomalyError(NonFiniteError):
    """Under `detect_anomaly`, an op or its rule was the first to give a nan or an infinity.

    Attributes:
        op: the name of the op; None if a gradient was given that was not finite.
        filename: where the op was called: the file, lineno: the line's number, and text: the line.
            They are None, None and "" if that is not known.

    >>> import microgrid as mg
    >>> try:
    ...     with mg.detect_anomaly():
    ...         mg.log(mg.tensor(-1.0, requires_grad=True))
    ... except mg.errors.AnomalyError as error:
    ...     print(error.op)
    log
    """

    op: str | None = None
    filename: str | None = None
    lineno: int | None = None
    text: str = ""
