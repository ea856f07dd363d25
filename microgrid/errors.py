"""One class for each kind of mistake, each a subclass of the builtin that NumPy users catch.

Messages read *who: what was given; what is needed. How to fix it.*
"""

from __future__ import annotations


class MicrogridError(Exception):
    """The base of every error that microgrid raises on purpose."""


class ShapeError(MicrogridError, ValueError):
    """Shapes do not fit each other or what the operation takes."""


class DtypeError(MicrogridError, TypeError):
    """A dtype cannot be used here: text as data, integers with a gradient."""


class GraphError(MicrogridError, RuntimeError):
    """The graph cannot be differentiated: it is missing, released, or its inputs have changed."""


class TraceError(MicrogridError, RuntimeError):
    """A step cannot be traced into a program."""


class FileFormatError(MicrogridError, ValueError):
    """A file does not hold what its format promises."""


class StateError(MicrogridError, ValueError):
    """A saved state does not fit the model or the optimiser that is to take it."""


class NonFiniteError(MicrogridError, FloatingPointError):
    """Training met a nan or an infinity where only numbers make sense.

    Attributes:
        history: what was reached before it happened, or None.
    """

    history: object = None


class AnomalyError(NonFiniteError):
    """Under `detect_anomaly`, an op or its rule was the first to give a nan or an infinity.

    Attributes:
        op: the name of the op; None if a gradient was given that was not finite.
        filename: where the op was called: the file, lineno: the line's number, and text: the line.
            They are None, None and "" if that is not known.
    """

    op: str | None = None
    filename: str | None = None
    lineno: int | None = None
    text: str = ""
