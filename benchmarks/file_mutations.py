"""Damage safetensors files at random: each must be refused or loaded rightly.

    python benchmarks/file_mutations.py --files 100000

To refuse is to raise a FileFormatError. What was loaded is compared with what Python's own JSON
reads in the damaged file, and with what the safetensors package reads if it is installed; under an
intact checksum it must be what was saved. The memory and the time of every load are watched.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import microgrid as mg
from microgrid.files import safetensors

try:
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_by_the_package
except ImportError:
    load_by_the_package = None

TOKEN = re.compile(rb'"[^"]*"|[0-9]+|[{}\[\],:]')
TOKENS = [
    b"0", b"1", b"-1", b"2.0", b"1e3", b"00", b"4", b"8", b"16", b"4294967296", b"9" * 40,
    b"9223372036854775807", b"18446744073709551615", b"null", b"true", b"NaN", b"[]", b"{}", b'""',
    b'"F32"', b'"F64"', b'"BF16"', b'"BOOL"', b'"U8"', b'"I64"', b'"__metadata__"', b'"shape"',
    b'"data_offsets"', b'"dtype"', b'"w"', b'"\\ud800"', b'"\xff"', b'"\\u0000"', b"{", b"}", b"[",
    b"]", b",", b":", b'"', b"\\", b"", b" ", b"\0", b"[" * 5000, b'{"a":' * 2000, b"1," * 3000,
]  # fmt: skip
LENGTHS = [0, 1, 2, 7, 8, 2**31, 2**32, 10**8, 10**8 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
SPARE_MEMORY = 100_000  # bytes: the file's buffer and Python's objects, whatever the file's size
LONGEST = 5.0  # seconds: no load of a small file takes as long on any machine

Arrays = dict[str, np.ndarray]


def originals(rng: np.random.Generator) -> list[tuple[bytes, Arrays]]:
    """Return files, with what is in them: with and without a checksum, small and larger."""
    states: list[Arrays] = [
        {},
        {"w": rng.normal(size=(2, 3)).astype("f4"), "b": np.zeros(3, "f4"), "n": np.array(7)},
        {"é": rng.normal(size=4), "empty": np.zeros((0, 3), "f2"), "t": np.array([True, False])},
        {
            f"layer.{i}": rng.integers(0, 9, i).astype(["u1", "i2", "u4", "i8"][i % 4])
            for i in range(9)
        },
        {"w": rng.normal(size=(300, 100)), "b": np.zeros(100)},
    ]
    return [
        (b"".join(safetensors.encode("", state, texts, checksum)), state)
        for state in states
        for texts in (None, {"epoch": "3", "by": "é\\n"})
        for checksum in (True, False)
    ]


def mutated(file: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one to three damages."""
    damages = (flip_bits, cut, insert, remove, change_length, edit_header, edit_header, edit_header)
    for _ in range(rng.integers(1, 4)):
        file = damages[rng.integers(len(damages))](file, rng)
    return file


def flip_bits(file: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(file)
    # Mostly in the header, where the damage differs from place to place.
    end = len(file) if rng.random() < 0.3 else min(len(file), 600)
    for _ in range(rng.integers(1, 4) if end else 0):
        damaged[rng.integers(end)] ^= 1 << rng.integers(8)
    return bytes(damaged)


def cut(file: bytes, rng: np.random.Generator) -> bytes:
    return file[: rng.integers(len(file) + 1)]


def insert(file: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(len(file) + 1)
    return file[:at] + rng.bytes(rng.integers(1, 20)) + file[at:]


def remove(file: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(len(file) + 1)
    return file[:at] + file[at + rng.integers(1, 20) :]


def change_length(file: bytes, rng: np.random.Generator) -> bytes:
    near = int.from_bytes(file[:8], "little") + int(rng.integers(-9, 10))
    length = near if rng.random() < 0.5 else LENGTHS[rng.integers(len(LENGTHS))]
    return (length % 2**64).to_bytes(8, "little") + file[8:]


def edit_header(file: bytes, rng: np.random.Generator) -> bytes:
    """Replace a token of the header by another, and tell the new length."""
    length = int.from_bytes(file[:8], "little")
    header, data = file[8 : 8 + length], file[8 + length :]
    places = [found.span() for found in TOKEN.finditer(header)]
    if not places:
        return file
    start, end = places[rng.integers(len(places))]
    other = places[rng.integers(len(places))]
    token = header[slice(*other)] if rng.random() < 0.5 else TOKENS[rng.integers(len(TOKENS))]
    start = end if rng.random() < 0.2 else start  # beside it
    header = header[:start] + token + header[end:]
    return len(header).to_bytes(8, "little") + header + data


def read_leniently(file: bytes) -> tuple[Arrays, bool]:
    """Return the arrays as Python's JSON and NumPy read them, and whether there is a checksum."""
    length = int.from_bytes(file[:8], "little")
    header, data = json.loads(file[8 : 8 + length]), file[8 + length :]
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = "bool" if entry["dtype"] == "BOOL" else entry["dtype"].lower()
        width = {"f": "float", "i": "int", "u": "uint"}.get(dtype[0], "") + dtype[1:]
        numbers = np.frombuffer(data[begin:end], "bool" if dtype == "bool" else width)
        arrays[name] = numbers.reshape(entry["shape"])
    return arrays, "microgrid.sha256" in metadata


def same(one: Arrays, two: Arrays) -> bool:
    return one.keys() == two.keys() and all(
        (one[name].shape, one[name].dtype, one[name].tobytes())
        == (two[name].shape, two[name].dtype, two[name].tobytes())
        for name in one
    )


def agrees_with_the_package(file: bytes, loaded: Arrays) -> bool:
    if load_by_the_package is None:
        return True
    try:
        return same(loaded, load_by_the_package(file))
    except SafetensorError:
        return False


def outcome(path: str, file: bytes, saved: Arrays) -> str:
    """Return "refused" or "loaded"; anything else raises."""
    with open(path, "wb") as damaged:
        damaged.write(file)
    started = time.perf_counter()
    tracemalloc.start()
    try:
        loaded = mg.load(path)
    except mg.errors.FileFormatError as error:
        if not str(error).startswith(f"load: {path}: "):
            raise AssertionError(f"the message does not say which file: {error}") from error
        loaded = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if peak > 2 * len(file) + SPARE_MEMORY:
        raise AssertionError(f"{peak} bytes of memory for a file of {len(file)}: {file[:600]!r}")
    if time.perf_counter() - started > LONGEST:
        raise AssertionError(f"it took too long: {file[:600]!r}")
    if loaded is None:
        return "refused"
    expected, checked = read_leniently(file)
    if not same(loaded, expected) or (checked and not same(loaded, saved)):
        raise AssertionError(f"wrongly loaded: {file[:600]!r}")
    if not agrees_with_the_package(file, loaded):
        raise AssertionError(f"the safetensors package reads something else: {file[:600]!r}")
    return "loaded"


def run(files: int, seed: int) -> Counter[str]:
    """Damage so many files; return how often each outcome came."""
    rng = np.random.default_rng(seed)
    corpus, counts = originals(rng), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "damaged.safetensors")
        for file, saved in corpus:
            counts["undamaged, " + outcome(path, file, saved)] += 1
        for _ in range(files):
            file, saved = corpus[rng.integers(len(corpus))]
            counts[outcome(path, mutated(file, rng), saved)] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=100_000, help="how many files (100000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other damages (0)")
    options = parser.parse_args()
    started = time.perf_counter()
    counts = run(options.files, options.seed)
    seconds = time.perf_counter() - started
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    print(f"no crash, no wrong load, no memory beyond twice the file; {seconds:.0f} s")


if __name__ == "__main__":
    main()
