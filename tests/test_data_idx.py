"""IDX files: read back as written, and refused when anything in them is wrong."""

import gzip
import math
import os
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from microgrid.datasets import load_idx
from microgrid.errors import FileFormatError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx(array):
    """Write an array as the format's description has it."""
    code = CODES[array.dtype.str[1:]]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def header(code, *shape, dimensions=None):
    count = len(shape) if dimensions is None else dimensions
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, count, *shape)


@pytest.fixture
def read(tmp_path):
    def read(content, **options):
        path = tmp_path / "data"
        path.write_bytes(content)
        return load_idx(path, **options)

    return read


arrays = st.sampled_from(list(CODES)).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays, st.booleans())
def test_what_was_written_is_read(read, array, packed):
    content = idx(array)
    found = read(gzip.compress(content) if packed else content)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


def flipped(content, bit):
    return bytes(b ^ (1 << bit % 8) if i == bit // 8 else b for i, b in enumerate(content))


@pytest.mark.parametrize("length", range(len(idx(IMAGES))))
def test_a_file_that_is_cut_off_is_refused(read, length):
    with pytest.raises(FileFormatError, match=r"^load_idx: .*(cut off|it begins with)"):
        read(idx(IMAGES)[:length])


def test_a_header_with_any_bit_wrong_is_refused(read):
    for bit in range(8 * 16):
        if bit == 8 * 2:
            continue  # uint8 becomes int8, of the same size
        with pytest.raises(FileFormatError, match=r"^load_idx: "):
            read(flipped(idx(IMAGES), bit))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_packed_file_is_refused_or_holds_the_same(read, data):
    packed = gzip.compress(idx(IMAGES), mtime=0)
    place = data.draw(st.integers(0, len(packed) - 1))
    value = data.draw(st.integers(0, 255))
    try:
        found = read(packed[:place] + bytes([value]) + packed[place + 1 :])
    except FileFormatError:
        return
    assert np.array_equal(found, IMAGES)  # a name, a date or a flag that says nothing


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_packed_file_that_is_cut_off_is_refused(read, keep):
    packed = gzip.compress(idx(np.random.default_rng(0).integers(0, 255, 1000, np.uint8)))
    with pytest.raises(FileFormatError, match="what gzip packed is damaged"):
        read(packed[: int(keep * len(packed))])


def test_the_checksum_of_a_packed_file_is_tested(read):
    packed = bytearray(gzip.compress(idx(IMAGES)))
    packed[-8] ^= 1
    with pytest.raises(FileFormatError, match="what gzip packed is damaged: CRC check failed"):
        read(bytes(packed))


def test_the_name_of_a_file_says_nothing(tmp_path):
    (tmp_path / "plain.gz").write_bytes(idx(IMAGES))
    assert np.array_equal(load_idx(tmp_path / "plain.gz"), IMAGES)


BIG = 2**32 - 1
REFUSED = [
    (b"", "it begins with b''; an IDX file begins with two zeros, the kind of number and how many "
     "dimensions there are."),
    (b"\x00\x01\x08\x01", "it begins with b'\\x00\\x01\\x08\\x01'; an IDX file begins with two "
     "zeros, the kind of number and how many dimensions there are."),
    (header(0x0A, 1), "the kind of number is 0x0A; it needs one of 0x08, 0x09, 0x0B, 0x0C, 0x0D, "
     "0x0E."),
    (header(0x08, dimensions=65), "there are 65 dimensions; arrays have 64 at most."),
    (header(0x08, 1, dimensions=2), "the header ends early; 2 dimensions need as many lengths. It "
     "was cut off."),
    (header(0x0E, BIG, BIG, BIG), f"shape ({BIG}, {BIG}, {BIG}) is more than memory can address."),
    (header(0x0E, BIG, 0, BIG), f"shape ({BIG}, 0, {BIG}) is more than memory can address."),
    (header(0x08, 60000, 28, 28) + b"\0" * 99, "the header tells of 47040000 bytes, shape "
     "(60000, 28, 28); the file is too short for that. It was cut off, or is none of IDX."),
    (idx(IMAGES) + b"\0", "something follows the 24 bytes of data; the file must end there."),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_wrong_with_a_file_is_said(read, tmp_path, content, message):
    with pytest.raises(FileFormatError, match=f"^{re.escape(f'load_idx: {tmp_path}')}") as caught:
        read(content)
    assert str(caught.value) == f"load_idx: {tmp_path / 'data'}: {message}"


def peak_of(call):
    """Return the greatest amount of memory that was in use during a call that is refused."""
    tracemalloc.start()
    with pytest.raises(FileFormatError):
        call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_header_that_promises_much_takes_no_memory(read):
    lies = header(0x0E, 10**8), gzip.compress(header(0x0E, 10**8))
    for content in lies:
        # gzip's own buffers are 128 KiB or more.
        assert peak_of(lambda content=content: read(content)) < 10**6


def bomb(size):
    """A packed file of zeros: a thousandth of what it holds."""
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(header(0x08, size))
    return start + packer.compress(bytes(size)) + packer.flush()


def test_a_bomb_is_limited(read):
    content = bomb(10**7)
    assert peak_of(lambda: read(content, max_bytes=10**6)) < 10**6
    message = (
        "the header tells of 10000000 bytes, shape (10000000,); at most 1000000 are read from a "
        "packed file. Pass a larger max_bytes if you trust it."
    )
    with pytest.raises(FileFormatError, match=re.escape(message)):
        read(content, max_bytes=10**6)
    assert read(content).sum() == 0


def test_what_follows_in_a_packed_file_is_not_unpacked(read):
    content = gzip.compress(idx(IMAGES) + bytes(10**7))
    assert peak_of(lambda: read(content)) < 10**6


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no such file")
def test_what_has_no_end_is_refused():
    with pytest.raises(FileFormatError, match=r"^load_idx: /dev/zero is no file with an end"):
        load_idx("/dev/zero")


def test_a_path_of_another_type_is_refused():
    with pytest.raises(TypeError, match=r"^load_idx: a int was given as path"):
        load_idx(3)


def test_mnist_has_the_size_that_it_should():
    assert math.prod((60000, 28, 28)) < 1 << 30
