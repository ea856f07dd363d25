"""Saving and loading: every array comes back, in the very bytes that the format prescribes."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import microgrid as mg
from microgrid.errors import FileFormatError
from microgrid.files import safetensors

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "u2", "u4", "u8", "?"]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda name: name != "__metadata__"
)
LAYOUTS = {
    "as it is": lambda a: a,
    "transposed": lambda a: a.T,
    "Fortran": np.asfortranarray,
    "reversed": lambda a: a[(slice(None, None, -1),) * a.ndim],
    "every second": lambda a: a[(slice(None, None, 2),) * a.ndim],
    "broadcast": lambda a: np.broadcast_to(a, (3, *a.shape)),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}
plain_arrays = hnp.arrays(
    st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)
)
arrays = st.builds(
    lambda a, layout: LAYOUTS[layout](a), plain_arrays, st.sampled_from(sorted(LAYOUTS))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Return whether names, shapes, dtypes and bytes agree; nan and -0.0 are what they are."""
    return found.keys() == expected.keys() and all(
        found[k].shape == a.shape
        and found[k].dtype == a.dtype.newbyteorder("=")
        and found[k].tobytes() == a.astype(a.dtype.newbyteorder("="), order="C").tobytes()
        for k, a in expected.items()
    )


def file_of(path: Path, header: str | bytes, data: bytes = b"") -> Path:
    text = header.encode() if isinstance(header, str) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


# --- round trips ---------------------------------------------------------------------------------


@given(st.dictionaries(NAMES, arrays, max_size=4))
def test_every_dtype_shape_and_layout_comes_back(folder: Path, state: dict[str, Any]) -> None:
    path = folder / "any.safetensors"
    mg.save(path, state)
    loaded = mg.load(path)
    assert same(loaded, state)
    assert all(a.flags.c_contiguous and a.flags.writeable for a in loaded.values())
    assert all(a.flags.owndata and a.flags.aligned for a in loaded.values())


@given(st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]))))
def test_metadata_comes_back(folder: Path, metadata: dict[str, str]) -> None:
    path = folder / "metadata.safetensors"
    mg.save(path, {}, metadata)
    assert mg.files.load_metadata(path) == metadata
    assert mg.load(path) == {}


def test_a_model_comes_back(tmp_path: Path) -> None:
    model, other = mg.nn.MLP([3, 4, 2], rng=0), mg.nn.MLP([3, 4, 2], rng=1)
    mg.save(tmp_path / "m", model)
    other.load_state_dict(mg.load(tmp_path / "m"))
    assert same(other.state_dict(), model.state_dict())


def test_tensors_lists_and_numbers_are_saved_as_arrays(tmp_path: Path) -> None:
    mg.save(tmp_path / "s", {"t": mg.tensor([1.0]), "l": [[1, 2]], "n": 2.5, "f": np.float32(3)})
    expected = {"t": np.ones(1), "l": np.array([[1, 2]]), "n": np.array(2.5)}
    assert same(mg.load(tmp_path / "s"), {**expected, "f": np.array(3, "f4")})


def test_truth_values_of_odd_bytes_become_ones(tmp_path: Path) -> None:
    mg.save(tmp_path / "b", {"b": np.array([0, 2, 255], np.uint8).view(bool)})
    assert mg.load(tmp_path / "b")["b"].view(np.uint8).tolist() == [0, 1, 1]


def test_paths_are_str_or_path(tmp_path: Path) -> None:
    mg.save(str(tmp_path / "p"), {"x": np.ones(1)})
    assert same(mg.load(tmp_path / "p"), mg.load(str(tmp_path / "p")))


# --- the bytes -----------------------------------------------------------------------------------

GOLDEN_HEADER = (
    b'{"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},'
    b'"a":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},'
    b'"b":{"dtype":"F32","shape":[0],"data_offsets":[16,16]},'
    b'"t":{"dtype":"BOOL","shape":[1],"data_offsets":[16,17]}}    '
)
GOLDEN = (
    b"\xe0\0\0\0\0\0\0\0" + GOLDEN_HEADER
    + b"\xfe\xff\xff\xff\xff\xff\xff\xff" + b"\0\0\x80\x3f" + b"\0\0\x20\xc0" + b"\x01"
)  # fmt: skip
GOLDEN_STATE = {
    "b": np.zeros(0, "f4"),
    "a": np.array([[1.0], [-2.5]], "f4"),
    "t": np.array([True]),
    "n": np.array(-2),
}


def test_the_bytes_are_those_written_by_hand() -> None:
    assert b"".join(safetensors.encode("test", GOLDEN_STATE, None, checksum=False)) == GOLDEN


def test_the_bytes_written_by_hand_are_read(tmp_path: Path) -> None:
    (tmp_path / "golden").write_bytes(GOLDEN)
    assert same(mg.load(tmp_path / "golden"), GOLDEN_STATE)


def test_tensors_come_back_in_the_order_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "golden").write_bytes(GOLDEN)
    assert list(mg.load(tmp_path / "golden")) == ["n", "a", "b", "t"]


def test_a_header_in_another_order_with_blanks_is_read(tmp_path: Path) -> None:
    header = """{ "b" : {"shape": [ 1 ], "data_offsets":[2, 4], "dtype": "I16"},\r\n\t
    "\\u00e9\\ud83d\\ude00":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}\n """
    path = file_of(tmp_path / "f", header, b"\0\x3c\2\0")
    assert same(mg.load(path), {"é😀": np.array(1, "f2"), "b": np.array([2], "i2")})


def test_numbers_that_are_not_aligned_in_the_file_are_in_memory(tmp_path: Path) -> None:
    header = (
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        '"b":{"dtype":"F64","shape":[1],"data_offsets":[1,9]}}'
    )
    loaded = mg.load(file_of(tmp_path / "f", header, b"\7" + struct.pack("<d", 0.1)))
    assert loaded["b"].flags.aligned
    assert loaded["b"] == 0.1


def test_two_saves_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = {"a": np.ones(2), "b": np.ones(3)}, {"b": np.ones(3), "a": np.ones(2)}
    mg.save(tmp_path / "1", one, {"x": "1", "y": "2"})
    mg.save(tmp_path / "2", two, {"y": "2", "x": "1"})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


# --- the safetensors package ---------------------------------------------------------------------


@given(st.dictionaries(NAMES, plain_arrays, max_size=6))
def test_the_bytes_are_those_of_the_safetensors_package(
    folder: Path, state: dict[str, Any]
) -> None:
    package = pytest.importorskip("safetensors.numpy")
    path = folder / "ours.safetensors"
    mg.save(path, state)
    written = path.read_bytes()
    length = int.from_bytes(written[:8], "little")
    metadata = json.loads(written[8 : 8 + length])["__metadata__"]
    # Made contiguous by other means than those under test.
    contiguous = {k: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for k, a in state.items()}
    assert written == package.save(contiguous, metadata)


@given(st.dictionaries(NAMES, arrays, max_size=4))
def test_the_safetensors_package_reads_our_files(folder: Path, state: dict[str, Any]) -> None:
    package = pytest.importorskip("safetensors.numpy")
    mg.save(folder / "ours.safetensors", state, {"a": "b"})
    assert same(package.load_file(folder / "ours.safetensors"), state)


@given(st.dictionaries(NAMES, plain_arrays, max_size=4), st.booleans())
def test_files_of_the_safetensors_package_are_read(
    folder: Path, state: dict[str, Any], with_metadata: bool
) -> None:
    package = pytest.importorskip("safetensors.numpy")
    state = {k: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for k, a in state.items()}
    metadata = {"format": "np", "by": "é"} if with_metadata else None
    package.save_file(state, folder / "theirs.safetensors", metadata)
    assert same(mg.load(folder / "theirs.safetensors"), state)
    assert mg.files.load_metadata(folder / "theirs.safetensors") == (metadata or {})


# --- memory --------------------------------------------------------------------------------------


def peak_of(call: Any) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_loading_takes_the_memory_of_the_arrays(tmp_path: Path) -> None:
    state = {str(i): np.zeros(250_000) for i in range(4)}
    mg.save(tmp_path / "big", state)
    # A hundredth for the header, the file's buffer and the objects around the numbers.
    assert peak_of(lambda: mg.load(tmp_path / "big")) < 1.01 * 8_000_000


def test_saving_copies_no_contiguous_array(tmp_path: Path) -> None:
    state = {str(i): np.zeros(250_000) for i in range(4)}
    assert peak_of(lambda: mg.save(tmp_path / "big", state)) < 100_000  # the header and a buffer


# --- the checksum --------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.data())
def test_one_flipped_bit_anywhere_but_in_the_checksums_name_is_found(
    folder: Path, data: st.DataObject
) -> None:
    path = folder / "flipped"
    mg.save(path, GOLDEN_STATE, {"epoch": "3"})
    written = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(written)
    if b'"microgrid.sha256":' not in written:
        return  # a foreign file then, which has no checksum
    try:
        loaded, metadata = mg.load(path), mg.files.load_metadata(path)
    except FileFormatError:
        return
    # One blank may have become another.
    assert same(loaded, GOLDEN_STATE)
    assert metadata == {"epoch": "3"}


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f"
    mg.save(path, {"x": np.arange(3.0)})
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(FileFormatError) as caught:
        mg.load(path)
    assert str(caught.value) == (
        f"load: {path}: its content does not agree with its checksum, microgrid.sha256 in the "
        "metadata; it needs to be as it was saved. It was damaged, or changed by a program that "
        "kept the old checksum: load it there, and save it without."
    )


def test_a_file_whose_header_was_written_anew_still_agrees(tmp_path: Path) -> None:
    path = tmp_path / "f"
    mg.save(path, GOLDEN_STATE, {"a": "1", "b": "2"})
    written = path.read_bytes()
    length = int.from_bytes(written[:8], "little")
    header = json.loads(written[8 : 8 + length])
    turned = dict(reversed(header.items()))
    file_of(path, json.dumps(turned, indent=1), written[8 + length :])
    assert same(mg.load(path), GOLDEN_STATE)
