"""Files that are damaged, cut off, foreign or made to harm are refused before memory is taken."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import FileFormatError
from microgrid.files import layout, safetensors

ALL = "U64, I64, F64, F32, U32, I32, F16, U16, I16, I8, U8, BOOL"
QUOTE = '"'
GOOD = '"dtype":"F32","shape":[1],"data_offsets":[0,4]'


def entry(dtype: str = '"F32"', shape: str = "[1]", offsets: str = "[0,4]", name: str = "a") -> str:
    return f'"{name}":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}'


def refusal(path: Path, content: bytes) -> str:
    """Return what is wrong with a file by its FileFormatError, without who and where."""
    path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(FileFormatError) as caught:
        mg.load(path)
    assert path.read_bytes() == before
    opening = f"load: {path}: "
    assert str(caught.value).startswith(opening)
    return str(caught.value).removeprefix(opening)


def with_header(header: str | bytes, data: bytes = b"\0\0\0\0") -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


# --- the length of the header --------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_without_room_for_a_length(tmp_path: Path, size: int) -> None:
    assert refusal(tmp_path / "f", b"{" * size) == (
        f"it has {size} bytes; a safetensors file needs 8 for the header's length. "
        "It is cut off, or of another format."
    )


@pytest.mark.parametrize("length", [3, 2**31, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file(tmp_path: Path, length: int) -> None:
    assert refusal(tmp_path / "f", struct.pack("<Q", length) + b"{}") == (
        f"its first 8 bytes tell a header of {length} bytes; it needs at most 2. "
        "It is cut off, or of another format."
    )


def test_a_header_longer_than_the_formats_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 100_000_001))
        file.truncate(200_000_000)  # takes no room on the disk
    tracemalloc.start()
    with pytest.raises(FileFormatError) as caught:
        mg.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value) == (
        f"load: {path}: its first 8 bytes tell a header of 100000001 bytes; it needs at most "
        "100000000. It is cut off, or of another format."
    )
    assert peak < 100_000  # the file's buffer, and pytest's objects


# --- the header ----------------------------------------------------------------------------------

HEADERS: list[tuple[str | bytes, str]] = [
    ("", "at byte 8 there is the end of the header; it needs '{', the start of a JSON object."),
    (" {}", "at byte 8 there is ' {}'; it needs '{', the start of a JSON object."),
    ("[]", "at byte 8 there is '[]'; it needs '{', the start of a JSON object."),
    ("{", "at byte 9 there is the end of the header; it needs '\"'."),
    ("{} {}", "at byte 11 there is '{}'; it needs nothing but blanks behind the JSON object."),
    ("{}\0", r"at byte 10 there is '\x00'; it needs nothing but blanks behind the JSON object."),
    (f"{{{entry()},}}", "at byte 62 there is '}'; it needs '\"'."),
    ("{'a':1}", "at byte 9 there is \"'a':1}\"; it needs '\"'."),
    (
        '{"a',
        "at byte 11 there is the end of the header; it needs a closing quote before control "
        "characters and the end.",
    ),
    (
        '{"a\\"',
        "at byte 13 there is the end of the header; it needs a closing quote before control "
        "characters and the end.",
    ),
    (
        '{"a\n":1}',
        "at byte 11 there is '\\n\":1}'; it needs a closing quote before control "
        "characters and the end.",
    ),
    (
        '{"\\ud800":1}',
        "at byte 10 there is '\\\\ud800\":1}'; it needs Unicode text in UTF-8 with JSON's escapes.",
    ),
    (
        '{"\\x41":1}',
        "at byte 10 there is '\\\\x41\":1}'; it needs Unicode text in UTF-8 with JSON's escapes.",
    ),
    (
        b'{"\xc0\x80":1}',
        "at byte 10 there is '\\xc0\\x80\":1}'; it needs Unicode text in UTF-8 with "
        "JSON's escapes.",
    ),
    (
        f"{{{entry()},{entry()}}}",
        "the name 'a' occurs twice in one object; it needs each name once.",
    ),
    (
        f"{{{entry()},{entry(name=chr(92) + 'u0061')}}}",
        "the name 'a' occurs twice in one object; it needs each name once.",
    ),
    (
        f'{{"a":{{{GOOD},"dtype":"F32"}}}}',
        "the name 'dtype' occurs twice in one object; it needs each name once.",
    ),
    (
        f'{{"__metadata__":{{}},"__metadata__":{{}},{entry()}}}',
        "the name '__metadata__' occurs twice in one object; it needs each name once.",
    ),
    (
        '{"__metadata__":{"k":"1","k":"1"}}',
        "the name 'k' occurs twice in one object; it needs each name once.",
    ),
    ('{"__metadata__":{"k":1}}', "at byte 29 there is '1}}'; it needs '\"'."),
    ('{"__metadata__":null}', "at byte 24 there is 'null}'; it needs '{'."),
    ('{"a":[]}', "at byte 13 there is '[]}'; it needs '{'."),
    ('{"a":' * 50_000, "tensor 'a' has a field 'a'; it needs dtype, shape, data_offsets."),
    (
        f'{{"a":{{{GOOD},"code":"1"}}}}',
        "tensor 'a' has a field 'code'; it needs dtype, shape, data_offsets.",
    ),
    (
        '{"a":{"dtype":"F32","shape":[1]}}',
        "tensor 'a' lacks one of dtype, shape, data_offsets; it needs all, and two offsets.",
    ),
    (
        f"{{{entry(offsets='[0]')}}}",
        "tensor 'a' lacks one of dtype, shape, data_offsets; it needs all, and two offsets.",
    ),
    (
        f"{{{entry(offsets='[0,4,4]')}}}",
        "at byte 60 there is '4]}}'; it needs at most 2 numbers in this array.",
    ),
    (f"{{{entry(dtype='3')}}}", "at byte 22 there is '3,\"shape\":[1'; it needs '\"'."),
    (
        f"{{{entry(dtype=chr(34) + 'f32' + chr(34))}}}",
        f"tensor 'a' has dtype 'f32'; it needs one of {ALL}.",
    ),
    (
        f"{{{entry(dtype=chr(34) + 'BF16' + chr(34))}}}",
        "tensor 'a' has dtype BF16, for which NumPy has no numbers; it needs one of "
        f"{ALL}. Convert it, as to F32, with the library that wrote it.",
    ),
    *(
        (
            f"{{{entry(shape=f'[{number}]')}}}",
            f"at byte 37 there is {f'{number}],{QUOTE}data_offset'[:12]!r}; "
            "it needs a whole number from 0 to 2**63 - 1.",
        )
        for number in ("-1", "1.0", "1e0", "true", "NaN", '"1"', "[1]", "9" * 30)
    ),
    (
        f"{{{entry(shape='[01]')}}}",
        "at byte 37 there is '01],\"data_of'; it needs a whole number from 0 to 2**63 - 1.",
    ),
    (
        f"{{{entry(shape='[' + '1,' * 64 + '1]')}}}",
        "at byte 165 there is '1],\"data_off'; it needs at most 64 numbers in this array.",
    ),
    # --- sizes and places
    (
        f"{{{entry(shape='[2]')}}}",
        "tensor 'a' of shape (2,) and dtype F32 lies from 0 to 4; it needs 8 bytes there.",
    ),
    (
        f"{{{entry(offsets='[4,0]')}}}",
        "tensor 'a' of shape (1,) and dtype F32 lies from 4 to 0; it needs 4 bytes there.",
    ),
    (
        # 2**64 + 4 bytes, which would be 4 in 64 bits.
        f"{{{entry(shape='[4611686018427387905]')}}}",
        "tensor 'a' has shape (4611686018427387905,), more than memory can address; "
        "it needs one of fewer numbers.",
    ),
    (
        f"{{{entry(shape='[0,4294967296,4294967296]', offsets='[0,0]')}}}",
        "tensor 'a' has shape (0, 4294967296, 4294967296), more than memory can address; "
        "it needs one of fewer numbers.",
    ),
    (
        f"{{{entry(offsets='[1,5]')}}}",
        "tensor 'a' starts at 1 of the data and leaves a hole before it; it needs to start at 0.",
    ),
    (
        f"{{{entry()},{entry(name='b')}}}",
        "tensor 'b' starts at 0 of the data and overlaps the one before; it needs to start at 4.",
    ),
    (
        f"{{{entry()},{entry(name='b', offsets='[8,12]')}}}",
        "tensor 'b' starts at 8 of the data and leaves a hole before it; it needs to start at 4.",
    ),
    (
        f"{{{entry()},{entry(name='b', offsets='[4,8]')}}}",
        "the data has 4 bytes; the header's tensors need 8. The file was cut off.",
    ),
    (
        "{}",
        "the data has 4 bytes; the header's tensors need 0. The file was followed by something "
        "else.",
    ),
]


@pytest.mark.parametrize(("header", "message"), HEADERS, ids=range(len(HEADERS)))
def test_a_wrong_header_is_refused_in_words(
    tmp_path: Path, header: str | bytes, message: str
) -> None:
    found = refusal(tmp_path / "f", with_header(header))
    assert found == message


@pytest.mark.parametrize("dtype", layout.FOREIGN)
def test_dtypes_that_numpy_lacks_are_named(tmp_path: Path, dtype: str) -> None:
    found = refusal(tmp_path / "f", with_header(f"{{{entry(dtype=chr(34) + dtype + chr(34))}}}"))
    assert found.startswith(f"tensor 'a' has dtype {dtype}, for which NumPy has no numbers;")


def test_a_long_name_is_cut_in_the_message(tmp_path: Path) -> None:
    header = f"{{{entry(name='n' * 10_000, offsets='[1,5]')}}}"
    assert len(refusal(tmp_path / "f", with_header(header))) < 200


def test_a_truth_value_is_0_or_1(tmp_path: Path) -> None:
    header = f"{{{entry(dtype=chr(34) + 'BOOL' + chr(34), shape='[4]')}}}"
    assert refusal(tmp_path / "f", with_header(header, b"\0\1\2\0")) == (
        "tensor 'a' of dtype BOOL has a byte that is neither 0 nor 1; it needs truth values."
    )


def test_every_cut_is_found(tmp_path: Path) -> None:
    whole = b"".join(safetensors.encode("", {"a": np.ones(2), "b": np.ones(1)}, None))
    for size in range(len(whole)):
        assert refusal(tmp_path / "f", whole[:size])


def test_bytes_behind_the_end_are_found(tmp_path: Path) -> None:
    whole = b"".join(safetensors.encode("", {"a": np.ones(2)}, None))
    assert refusal(tmp_path / "f", whole + b"\0") == (
        "the data has 17 bytes; the header's tensors need 16. "
        "The file was followed by something else."
    )


def test_other_formats_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", x=np.ones(3))
    np.save(tmp_path / "f.npy", np.ones(3))
    for name in ("f.npz", "f.npy"):
        assert "of another format" in refusal(tmp_path / name, (tmp_path / name).read_bytes())


def test_a_folder_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        mg.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFormatError) as caught:
        mg.load(tmp_path / "pipe")
    assert str(caught.value) == (
        f"load: {tmp_path / 'pipe'}: it is a device or a pipe; "
        "it needs to be a file, of a known size."
    )


def test_a_file_that_shrinks_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    mg.save(path, {"x": np.ones(100_000)})
    parse = safetensors.parse_header

    def parse_and_cut(*arguments: Any) -> Any:
        os.truncate(path, 1000)
        return parse(*arguments)

    monkeypatch.setattr(safetensors, "parse_header", parse_and_cut)
    with pytest.raises(FileFormatError) as caught:
        mg.load(path)
    assert str(caught.value) == (
        f"load: {path}: it became shorter while it was read; it needs to stay as it is."
    )


def test_metadata_of_a_damaged_header_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(with_header("{}"))
    with pytest.raises(FileFormatError, match=r"^load_metadata: .*: the data has 4 bytes; the"):
        mg.files.load_metadata(tmp_path / "f")


def test_a_failed_load_leaves_the_model(tmp_path: Path) -> None:
    model = mg.nn.Dense(2, 2, rng=0)
    before = model.state_dict()
    mg.save(tmp_path / "f", model)
    damaged = (tmp_path / "f").read_bytes()[:-1] + b"\x55"
    (tmp_path / "f").write_bytes(damaged)
    with pytest.raises(FileFormatError):
        model.load_state_dict(mg.load(tmp_path / "f"))
    assert all(np.array_equal(model.state_dict()[name], before[name]) for name in before)


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        '{"a":{"shape":[' + "1," * 500_000 + "1]}}",
        '{"a":{"shape":' + "[" * 1_000_000,
        '{"a":' * 200_000,
        '{"a":{"x":[' + "{}," * 300_000,
        '{"' + "\\n" * 400_000,
    ],
    ids=["a long shape", "nested arrays", "nested objects", "many objects", "many escapes"],
)
def test_a_hostile_header_takes_no_more_memory_than_it_is_long(tmp_path: Path, header: str) -> None:
    content = with_header(header)
    path = tmp_path / "f"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(FileFormatError):
        mg.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * len(content)
