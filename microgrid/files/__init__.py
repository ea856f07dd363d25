"""Arrays in files, in the safetensors format: `mg.save`, `mg.load`. No code is in such a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

from ..arrays import Array
from . import atomic, safetensors


class HasState(Protocol):
    """What has its arrays by name, as a Module does."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the arrays by name."""


def save(
    path: str | os.PathLike[str],
    model_or_state: HasState | Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the arrays of a model to a safetensors file, which replaces an old one at once.

    At any instant, also if the process is killed, the path holds the old file or the new one,
    whole. A checksum of all that the file says is in its metadata.

    Args:
        path: where to write: a str or a Path.
        model_or_state: a Module, or arrays or Tensors any[...] by name. Dtypes are float64,
            float32, float16, bool, and integers with or without sign.
        metadata: texts by name, to be kept with the arrays.

    Raises:
        TypeError: the path, the state, a name or the metadata is of another type.
        DtypeError: a value is no array, or of another dtype.
        ValueError: a text is not Unicode, or a name is the format's own.
        OSError: the file cannot be written. An old one is as it was.

    >>> import microgrid as mg
    >>> import os, tempfile
    >>> model = mg.nn.Dense(3, 2, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     mg.save(path, model)
    ...     mg.nn.Dense(3, 2).load_state_dict(mg.load(path))
    Mismatch(missing_keys=[], unexpected_keys=[])
    """
    place = as_path("save", path)
    state = model_or_state
    if not isinstance(state, Mapping):
        if isinstance(state, type) or not callable(getattr(state, "state_dict", None)):
            what = state.__name__ if isinstance(state, type) else type(state).__name__
            raise TypeError(
                f"save: {'the class' if isinstance(state, type) else 'an object of type'} {what} "
                "was given; it needs a model, or a dict of arrays by name. "
                "Call save(path, model)."
            )
        state = state.state_dict()
    atomic.write("save", place, safetensors.encode("save", state, metadata))


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Return the arrays of a safetensors file by name: `model.load_state_dict(mg.load(path))`.

    The header is checked, all of it, before memory is taken for a number, and the checksum, if
    there is one, before anything is returned. Each array has memory of its own, in C order.

    Args:
        path: a str or a Path.

    Returns:
        name -> any[...].

    Raises:
        FileFormatError: the file is damaged, cut off, or of another format; or it has a tensor
            of a dtype that NumPy lacks, as BF16.
        TypeError: the path is of another type.
        OSError: the file cannot be read.

    >>> import numpy as np
    >>> import microgrid as mg
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "arrays.safetensors")
    ...     mg.save(path, {"x": np.array([1.5, 2.5]), "n": np.array(3)})
    ...     mg.load(path)
    {'n': array(3), 'x': array([1.5, 2.5])}
    """
    return safetensors.read("load", as_path("load", path))[0]


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata of a safetensors file; its numbers are not read, nor its checksum tested.

    Args:
        path: a str or a Path.

    Returns:
        Texts by name.

    Raises:
        FileFormatError: the header is not what the format promises.
        TypeError: the path is of another type.
        OSError: the file cannot be read.

    >>> import microgrid as mg
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     mg.save(path, mg.nn.Dense(3, 2), metadata={"trained on": "digits"})
    ...     mg.files.load_metadata(path)
    {'trained on': 'digits'}
    """
    return safetensors.read_metadata("load_metadata", as_path("load_metadata", path))


def as_path(who: str, path: Any, example: str = "model.safetensors") -> str:
    """Return a path as a str; the error shows the example of one.

    Raises:
        TypeError: it is something else.
    """
    found = os.fspath(path) if isinstance(path, os.PathLike) else path
    if isinstance(found, str):
        return found
    if hasattr(path, "read") or hasattr(path, "write"):
        remedy = "Pass the path of the file, not the open file."
    else:
        remedy = f'Pass a str or a Path, as "{example}".'
    raise TypeError(f"{who}: a {type(path).__name__} was given as path. {remedy}")
