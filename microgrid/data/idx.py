"""Files in the IDX format, in which MNIST comes: an array of one kind of number."""

from __future__ import annotations

import math
import os
import stat
import struct
import sys
from typing import IO, Any

import numpy as np

from ..arrays import Array, native
from ..errors import FileFormatError
from ..files import as_path

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"  # no IDX file begins so: theirs are two zeros
MOST_DIMENSIONS = 64  # NumPy's limit
MOST_FROM_ONE_BYTE = 1032  # of what deflate can make
GIBIBYTE = 1 << 30


def load_idx(path: str | os.PathLike[str], *, max_bytes: int = GIBIBYTE) -> Array:
    """Return the array of an IDX file, as those of MNIST are, also of one packed by gzip.

    The header is checked before memory is taken: an array larger than the file can hold is refused.

    Args:
        path: a str or a Path. Whether the file is packed is told by its content, not by its name.
        max_bytes: a packed file that says it holds more is refused; for it may be small and yet
            fill the memory.

    Returns:
        uint8, int8, int16, int32, float32 or float64[...], in native byte order, of its own memory.

    Raises:
        FileFormatError: the file is damaged, cut off, too large or of another format.
        TypeError: the path is of another type.
        OSError: the file cannot be read.

    Source: Y. LeCun, C. Cortes & C. J. C. Burges, The MNIST database of handwritten digits.

    >>> import microgrid as mg
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "labels.idx1-ubyte")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     mg.datasets.load_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    place = as_path("load_idx", path)
    with open(place, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise FileFormatError(f"load_idx: {place} is no file with an end; it needs one.")
        start = file.read(len(GZIP))
        file.seek(0)
        try:
            if start == GZIP:
                return _unpacked(file, about.st_size, max_bytes)
            return _read(file, about.st_size)
        except FileFormatError as error:
            raise FileFormatError(f"load_idx: {place}: {error}") from None


def _unpacked(file: IO[bytes], packed: int, max_bytes: int) -> Array:
    import gzip  # here, since few programs need it
    import zlib

    try:
        with gzip.GzipFile(fileobj=file) as content:
            return _read(content, packed * MOST_FROM_ONE_BYTE, max_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"what gzip packed is damaged: {error}") from None


def _read(file: Any, at_most: int, max_bytes: int | None = None) -> Array:
    """Return the array in a file of a known size or, with `max_bytes`, of at most that size."""
    dtype, shape, header = _header(file)
    size = math.prod(shape) * dtype.itemsize
    if max_bytes is not None and size > max_bytes:
        raise FileFormatError(
            f"the header tells of {size} bytes, shape {shape}; at most {max_bytes} are read from a "
            "packed file. Pass a larger max_bytes if you trust it."
        )
    if header + size > at_most:
        raise FileFormatError(
            f"the header tells of {size} bytes, shape {shape}; the file is too short for that. "
            "It was cut off, or is none of IDX."
        )
    array = np.empty(shape, dtype)
    view, filled = array.reshape(-1).view(np.uint8), 0
    while filled < size:
        count = file.readinto(view[filled:])
        if not count:
            raise FileFormatError(
                f"the data ends after {filled} bytes; shape {shape} needs {size}. It was cut off."
            )
        filled += count
    if file.read(1):  # with gzip that also tests the checksum
        raise FileFormatError(
            f"something follows the {size} bytes of data; the file must end there."
        )
    return native(array)


def _header(file: Any) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return dtype and shape of the array, and how many bytes told them."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise FileFormatError(
            f"it begins with {magic!r}; an IDX file begins with two zeros, the kind of number and "
            "how many dimensions there are."
        )
    kind, dimensions = magic[2], magic[3]
    if kind not in DTYPES:
        known = ", ".join(f"0x{code:02X}" for code in DTYPES)
        raise FileFormatError(f"the kind of number is 0x{kind:02X}; it needs one of {known}.")
    if dimensions > MOST_DIMENSIONS:
        raise FileFormatError(
            f"there are {dimensions} dimensions; arrays have {MOST_DIMENSIONS} at most."
        )
    lengths = file.read(4 * dimensions)
    if len(lengths) < 4 * dimensions:
        raise FileFormatError(
            f"the header ends early; {dimensions} dimensions need as many lengths. It was cut off."
        )
    dtype = np.dtype(DTYPES[kind])
    shape = struct.unpack(f">{dimensions}I", lengths)
    # Zeros do not count: NumPy's limit holds for the other lengths of an empty array too.
    if math.prod(length for length in shape if length) * dtype.itemsize > sys.maxsize:
        raise FileFormatError(f"shape {shape} is more than memory can address.")
    return dtype, shape, 4 + 4 * dimensions
