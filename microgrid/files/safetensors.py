"""The safetensors format: a length, a JSON header, and the numbers; arrays to bytes and back.

Source: the description and the reference implementation of the format,
https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from io import BufferedReader
from typing import Any

import numpy as np

from ..arrays import Array, as_array, native
from ..errors import DtypeError, FileFormatError
from .layout import (
    CHECKSUM,
    DTYPES,
    METADATA,
    Entry,
    Header,
    check_metadata,
    check_text,
    header_bytes,
    parse_header,
)
from .scanner import shown

LENGTH = 8  # bytes of the header's length; the data too starts at a multiple of it
LONGEST_HEADER = 100_000_000  # the reference implementation's limit
CODES = {np.dtype(numpy_name): code for code, numpy_name in DTYPES.items()}
RANKS = {code: rank for rank, code in enumerate(DTYPES)}


# --- writing -------------------------------------------------------------------------------------


def encode(
    who: str, state: Mapping[str, Any], metadata: Mapping[str, str] | None, checksum: bool = True
) -> list[bytes | memoryview]:
    """Return the bytes of a file, in parts: what the arrays hold is copied only if it must be.

    Raises:
        DtypeError: a value is no array of a dtype that the format has.
        TypeError, ValueError: a name or a metadata item is not text.
    """
    texts = check_metadata(who, metadata)
    arrays = {name: _in_file_order(who, name, value) for name, value in state.items()}
    names = sorted(arrays, key=lambda name: (RANKS[CODES[arrays[name].dtype]], name))
    entries, end = [], 0
    for name in names:
        begin, end = end, end + arrays[name].nbytes
        entries.append(Entry(name, CODES[arrays[name].dtype], arrays[name].shape, begin, end))
    views = [_bytes_of(arrays[name]) for name in names]
    header = Header(entries, texts)
    if checksum:
        header.metadata[CHECKSUM] = _checksum(header, views)
    text = header_bytes(header)
    text += b" " * (-len(text) % LENGTH)
    if len(text) > LONGEST_HEADER:
        raise ValueError(
            f"{who}: the names and the metadata take {len(text)} bytes; the format has room for "
            f"{LONGEST_HEADER}. Shorten them, or save in several files."
        )
    return [len(text).to_bytes(LENGTH, "little"), text, *views]


def _in_file_order(who: str, name: Any, value: Any) -> Array:
    """Return a value as an array whose memory is as the file has it: C order, little-endian."""
    if not isinstance(name, str):
        raise TypeError(
            f"{who}: the name {name!r} of type {type(name).__name__} was given; names are text. "
            "Use str."
        )
    check_text(who, "the name", name)
    if name == METADATA:
        raise ValueError(
            f"{who}: the name {METADATA} was given, under which the format keeps its metadata. "
            "Rename that array."
        )
    if isinstance(value, (Mapping, str, bytes, type(None))):
        raise DtypeError(
            f"{who}: {shown(name)} is of type {type(value).__name__}; it needs an array. "
            "Give nested values names of their own, and texts to metadata."
        )
    array = as_array(f"{who}: {shown(name)}", value)
    little = array.dtype.newbyteorder("<")
    if little not in CODES:
        raise DtypeError(
            f"{who}: {shown(name)} has dtype {array.dtype}; the format has {', '.join(DTYPES)}. "
            "Convert it with astype."
        )
    # Not ascontiguousarray, which gives an array of no dimensions one.
    array = np.asarray(array, little, order="C")
    # A truth value made by a view may be any byte; in a file it is 0 or 1.
    return array.view(np.uint8) != 0 if array.dtype.kind == "b" else array


def _bytes_of(array: Array) -> memoryview:
    """Return the memory of an array in C order, as bytes."""
    return array.reshape(-1).view(np.uint8).data


def _checksum(header: Header, views: list[memoryview]) -> str:
    """Return the digest of all that a file says: names, dtypes, shapes, metadata and numbers."""
    import hashlib  # here, since few programs need it

    digest = hashlib.sha256(_covered(header))
    for view in views:
        digest.update(view)
    return digest.hexdigest()


def _covered(header: Header) -> bytes:
    """Return the header as the checksum sees it: in one order, whoever has written the file."""
    entries = sorted(header.entries, key=lambda entry: (entry.begin, entry.end, entry.name))
    return header_bytes(Header(entries, header.metadata).without_checksum())


# --- reading -------------------------------------------------------------------------------------


def read(who: str, path: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the metadata of a file.

    Raises:
        FileFormatError: it is not what the format promises.
        OSError: it cannot be read.
    """
    try:
        with _opened(path) as file:
            header = _read_header(file)
            return _read_arrays(file, header), header.without_checksum().metadata
    except FileFormatError as error:
        raise FileFormatError(f"{who}: {path}: {error}") from None


def read_metadata(who: str, path: str) -> dict[str, str]:
    """Return the metadata of a file, without reading its numbers.

    Raises:
        FileFormatError: its header is not what the format promises.
        OSError: it cannot be read.
    """
    try:
        with _opened(path) as file:
            return _read_header(file).without_checksum().metadata
    except FileFormatError as error:
        raise FileFormatError(f"{who}: {path}: {error}") from None


def _opened(path: str) -> BufferedReader:
    # Without waiting, or a pipe that nobody writes to would be waited for.
    no_wait = getattr(os, "O_NONBLOCK", 0)
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | no_wait))


def _read_header(file: BufferedReader) -> Header:
    """Return the header, all of it checked; the file then stands at the data."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise FileFormatError("it is a device or a pipe; it needs to be a file, of a known size.")
    size = status.st_size
    if size < LENGTH:
        raise FileFormatError(
            f"it has {size} bytes; a safetensors file needs {LENGTH} for the header's length. "
            "It is cut off, or of another format."
        )
    length = int.from_bytes(_exactly(file, LENGTH), "little")
    if length > min(LONGEST_HEADER, size - LENGTH):
        raise FileFormatError(
            f"its first {LENGTH} bytes tell a header of {length} bytes; it needs at most "
            f"{min(LONGEST_HEADER, size - LENGTH)}. It is cut off, or of another format."
        )
    return parse_header(_exactly(file, length), size - LENGTH - length, LENGTH)


def _exactly(file: BufferedReader, size: int) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise FileFormatError("it became shorter while it was read; it needs to stay as it is.")
    return found


def _read_arrays(file: BufferedReader, header: Header) -> dict[str, Array]:
    """Return the arrays, each with memory of its own, if the checksum agrees."""
    checksum = header.metadata.get(CHECKSUM)
    import hashlib  # here, since few programs need it

    digest = None if checksum is None else hashlib.sha256(_covered(header))
    arrays: dict[str, Array] = {}
    for entry in header.entries:
        array = np.empty(entry.shape, DTYPES[entry.dtype])
        view = _bytes_of(array)
        if file.readinto(view) != len(view):
            raise FileFormatError("it became shorter while it was read; it needs to stay as it is.")
        if digest is not None:
            digest.update(view)
        arrays[entry.name] = array
    if digest is not None and digest.hexdigest() != checksum:
        raise FileFormatError(
            f"its content does not agree with its checksum, {CHECKSUM} in the metadata; it needs "
            "to be as it was saved. It was damaged, or changed by a program that kept the old "
            "checksum: load it there, and save it without."
        )
    for name, array in arrays.items():
        _check_truth_values(name, array)
    return {name: native(array) for name, array in arrays.items()}


def _check_truth_values(name: str, array: Array) -> None:
    if array.dtype.kind == "b" and array.size and int(array.view(np.uint8).max()) > 1:
        raise FileFormatError(
            f"tensor {shown(name)} of dtype BOOL has a byte that is neither 0 nor 1; "
            "it needs truth values."
        )
