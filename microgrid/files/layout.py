"""Where the tensors of a safetensors file lie: the header as data, checked, and as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import FileFormatError
from .scanner import Scanner, shown

# By alignment, widest first: the order in which the format's reference implementation writes.
DTYPES = {
    "U64": "<u8", "I64": "<i8", "F64": "<f8", "F32": "<f4", "U32": "<u4", "I32": "<i4",
    "F16": "<f2", "U16": "<u2", "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
# Dtypes of the format for which NumPy has none, or microgrid no use.
FOREIGN = ("BF16", "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4")
METADATA = "__metadata__"
CHECKSUM = "microgrid.sha256"
FIELDS = ("dtype", "shape", "data_offsets")
MOST_DIMENSIONS = 64  # NumPy's limit


class Entry(NamedTuple):
    """A tensor in the header: its name, dtype and shape, and where its bytes lie in the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """What a file says of itself: its tensors in the order of their bytes, and its metadata."""

    entries: list[Entry]
    metadata: dict[str, str]

    def without_checksum(self) -> Header:
        """Return the header that the checksum covers."""
        rest = {key: text for key, text in self.metadata.items() if key != CHECKSUM}
        return Header(self.entries, rest)


def header_bytes(header: Header) -> bytes:
    """Return the header as JSON, as the reference implementation writes it.

    >>> header_bytes(Header([Entry("a", "F32", (2,), 0, 8)], {}))
    b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    """
    content: dict[str, object] = {}
    if header.metadata:
        content[METADATA] = dict(sorted(header.metadata.items()))
    for name, dtype, shape, begin, end in header.entries:
        content[name] = {"dtype": dtype, "shape": shape, "data_offsets": (begin, end)}
    import json  # here, since few programs need it

    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def parse_header(text: bytes, data_size: int, origin: int = 0) -> Header:
    """Return the header that a JSON text describes, checked against the size of the data.

    Raises:
        FileFormatError: the text is not a header, or its tensors do not fill the data exactly.
    """
    if not text.startswith(b"{"):
        raise Scanner(text, origin).fault("'{', the start of a JSON object")
    scanner = Scanner(text, origin)
    entries: list[Entry] = []
    metadata: dict[str, str] = {}
    for name in scanner.members():
        if name == METADATA:
            for key in scanner.members():
                metadata[key] = scanner.string()
        else:
            entries.append(_scan_entry(scanner, name))
    scanner.end()
    # By name where the places are the same, as of empty tensors, so that the order is one only.
    entries.sort(key=lambda entry: (entry.begin, entry.end, entry.name))
    _check_places(entries, data_size)
    return Header(entries, metadata)


def _scan_entry(scanner: Scanner, name: str) -> Entry:
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    offsets: tuple[int, ...] = ()
    for field in scanner.members():
        if field == "dtype":
            dtype = scanner.string()
        elif field == "shape":
            shape = scanner.naturals(MOST_DIMENSIONS)
        elif field == "data_offsets":
            offsets = scanner.naturals(2)
        else:
            raise FileFormatError(
                f"tensor {shown(name)} has a field {shown(field)}; it needs {', '.join(FIELDS)}."
            )
    if dtype is None or shape is None or len(offsets) != 2:
        raise FileFormatError(
            f"tensor {shown(name)} lacks one of {', '.join(FIELDS)}; it needs all, and two offsets."
        )
    entry = Entry(name, dtype, shape, offsets[0], offsets[1])
    _check_size(entry)
    return entry


def _check_size(entry: Entry) -> None:
    """Raise unless the dtype is known and shape and offsets tell the same number of bytes."""
    name, dtype, shape, begin, end = entry
    if dtype in FOREIGN:
        raise FileFormatError(
            f"tensor {shown(name)} has dtype {dtype}, for which NumPy has no numbers; it needs one "
            f"of {', '.join(DTYPES)}. Convert it, as to F32, with the library that wrote it."
        )
    if dtype not in DTYPES:
        raise FileFormatError(
            f"tensor {shown(name)} has dtype {shown(dtype)}; it needs one of {', '.join(DTYPES)}."
        )
    width = int(DTYPES[dtype][2])
    # Zeros do not count: NumPy's limit holds for the other lengths of an empty array too.
    if math.prod(length for length in shape if length) * width > sys.maxsize:
        raise FileFormatError(
            f"tensor {shown(name)} has shape {shape}, more than memory can address; "
            "it needs one of fewer numbers."
        )
    size = math.prod(shape) * width
    if end - begin != size:
        raise FileFormatError(
            f"tensor {shown(name)} of shape {shape} and dtype {dtype} lies from {begin} to {end}; "
            f"it needs {size} bytes there."
        )


def _check_places(entries: list[Entry], data_size: int) -> None:
    """Raise unless the tensors, in the order of their bytes, fill the data exactly."""
    filled = 0
    for entry in entries:
        if entry.begin != filled:
            what = "overlaps the one before" if entry.begin < filled else "leaves a hole before it"
            raise FileFormatError(
                f"tensor {shown(entry.name)} starts at {entry.begin} of the data and {what}; "
                f"it needs to start at {filled}."
            )
        filled = entry.end
    if filled != data_size:
        what = "cut off" if filled > data_size else "followed by something else"
        raise FileFormatError(
            f"the data has {data_size} bytes; the header's tensors need {filled}. "
            f"The file was {what}."
        )


def check_metadata(who: str, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return the metadata as a dict of text to text.

    Raises:
        TypeError: it is something else.
        ValueError: a key is microgrid's own, or something is not Unicode text.
    """
    if not isinstance(metadata, (Mapping, type(None))):
        raise TypeError(
            f"{who}: metadata of type {type(metadata).__name__} was given; "
            "it needs a dict of text to text."
        )
    for key, value in (metadata or {}).items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(
                f"{who}: metadata {key!r}: {value!r} was given; it needs text for text. "
                "Write other values as text, as with json.dumps."
            )
        check_text(who, "a metadata text", key)
        check_text(who, "a metadata text", value)
        if key == CHECKSUM:
            raise ValueError(
                f"{who}: metadata {key!r} was given, which is the checksum's own key. "
                "Choose another."
            )
    return dict(metadata or {})


def check_text(who: str, what: str, text: str) -> None:
    """Raise if a str is not Unicode text.

    Raises:
        ValueError: it has half a surrogate pair.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            f"{who}: {what} {shown(text)} was given, which UTF-8 cannot write; "
            "it needs Unicode text. Remove the lone surrogates."
        ) from None
