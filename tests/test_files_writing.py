"""Writing is all or nothing, and what cannot be written is refused in words."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import DtypeError
from microgrid.files import atomic, safetensors

OLD = {"x": np.arange(3.0)}
NEW = {"x": np.arange(5.0)}
CONTENT = b"the content of a file"


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    return found.keys() == expected.keys() and all(
        np.array_equal(found[name], expected[name]) for name in expected
    )


# --- writing at once -----------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["write", "fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException
) -> None:
    mg.save(tmp_path / "f", OLD)

    def fail(*_: Any) -> None:
        raise error

    def parts(*_: Any) -> Any:
        yield b"the first bytes"
        raise error

    if function == "write":
        monkeypatch.setattr(safetensors, "encode", parts)
    else:
        monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        mg.save(tmp_path / "f", NEW)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["f"]
    assert same(mg.load(tmp_path / "f"), OLD)


def test_a_state_that_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    mg.save(tmp_path / "f", OLD)
    with pytest.raises(DtypeError):
        mg.save(tmp_path / "f", {"x": np.ones(2), "y": np.array([1j])})
    assert os.listdir(tmp_path) == ["f"]
    assert same(mg.load(tmp_path / "f"), OLD)


def test_the_disk_has_the_numbers_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        whole = status.st_size == len(CONTENT)
        events.append("folder" if stat.S_ISDIR(status.st_mode) else f"file, whole: {whole}")
        fsync(descriptor)

    def watched_replace(source: str, target: str) -> None:
        assert os.path.dirname(source) == os.path.dirname(target)
        events.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    atomic.write("save", str(tmp_path / "f"), [CONTENT[:9], CONTENT[9:]])
    assert events == ["file, whole: True", "replace", "folder"]


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    mg.save(tmp_path / "there" / "f", OLD)
    (tmp_path / "link").symlink_to(Path("there", "f"))
    mg.save(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink()
    assert same(mg.load(tmp_path / "there" / "f"), NEW)


def test_a_link_to_nothing_makes_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("f")
    mg.save(tmp_path / "link", NEW)
    assert same(mg.load(tmp_path / "f"), NEW)
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o640])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    mg.save(tmp_path / "f", OLD)
    os.chmod(tmp_path / "f", mode)
    mg.save(tmp_path / "f", NEW)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    mg.save(tmp_path / "f", NEW)
    (tmp_path / "other").touch()
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_name_as_long_as_a_folder_takes_is_saved(tmp_path: Path) -> None:
    mg.save(tmp_path / ("f" * 255), NEW)
    assert same(mg.load(tmp_path / ("f" * 255)), NEW)


def test_a_write_protected_file_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    mg.save(path, OLD)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to anything
    with pytest.raises(PermissionError) as caught:
        mg.save(path, NEW)
    assert str(caught.value) == (
        f"[Errno 13] save: the file must not be written to; change its permissions: '{path}'"
    )
    assert same(mg.load(path), OLD)


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        mg.save(tmp_path, NEW)
    assert str(caught.value) == (
        f"[Errno 21] save: a folder was given; it needs the path of a file: '{tmp_path}'"
    )
    assert os.listdir(tmp_path) == []


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(OSError, match="save: a device or a pipe was given; it needs the path"):
        mg.save(os.devnull, NEW)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_folder_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mg.save(tmp_path / "none" / "f", NEW)


def test_a_file_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mg.load(tmp_path / "f")


# --- what is refused -----------------------------------------------------------------------------

ALL = "U64, I64, F64, F32, U32, I32, F16, U16, I16, I8, U8, BOOL"
REFUSED: list[tuple[Any, Any, type[Exception], str]] = [
    (
        mg.nn.Dense, None, TypeError,
        "save: the class Dense was given; it needs a model, or a dict of arrays by name. "
        "Call save(path, model).",
    ),
    (
        [np.ones(1)], None, TypeError,
        "save: an object of type list was given; it needs a model, or a dict of arrays by name. "
        "Call save(path, model).",
    ),
    (
        {"x": np.ones(2, complex)}, None, DtypeError,
        "save: 'x': data of dtype complex128 was given; it needs real numbers (float, integer, "
        "bool, or Fraction objects). Convert it first.",
    ),
    (
        {"x": np.ones(2, np.longdouble)}, None, DtypeError,
        f"save: 'x' has dtype {np.dtype(np.longdouble)}; the format has {ALL}. "
        "Convert it with astype.",
    ),
    (
        {"x": np.array([1], object)}, None, DtypeError,
        f"save: 'x' has dtype object; the format has {ALL}. Convert it with astype.",
    ),
    (
        {"state": {}}, None, DtypeError,
        "save: 'state' is of type dict; it needs an array. Give nested values names of their own, "
        "and texts to metadata.",
    ),
    (
        {1: np.ones(1)}, None, TypeError,
        "save: the name 1 of type int was given; names are text. Use str.",
    ),
    (
        {"__metadata__": np.ones(1)}, None, ValueError,
        "save: the name __metadata__ was given, under which the format keeps its metadata. "
        "Rename that array.",
    ),
    (
        {"\ud800": np.ones(1)}, None, ValueError,
        "save: the name '\\ud800' was given, which UTF-8 cannot write; it needs Unicode text. "
        "Remove the lone surrogates.",
    ),
    (
        {}, {"epoch": 3}, TypeError,
        "save: metadata 'epoch': 3 was given; it needs text for text. "
        "Write other values as text, as with json.dumps.",
    ),
    (
        {}, [("a", "b")], TypeError,
        "save: metadata of type list was given; it needs a dict of text to text.",
    ),
    (
        {}, {"a": "\udfff"}, ValueError,
        "save: a metadata text '\\udfff' was given, which UTF-8 cannot write; "
        "it needs Unicode text. Remove the lone surrogates.",
    ),
    (
        {}, {"microgrid.sha256": ""}, ValueError,
        "save: metadata 'microgrid.sha256' was given, which is the checksum's own key. "
        "Choose another.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("state", "metadata", "error", "message"), REFUSED)
def test_what_cannot_be_saved_is_refused_in_words(
    tmp_path: Path, state: Any, metadata: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        mg.save(tmp_path / "f", state, metadata)
    assert str(caught.value) == message
    assert os.listdir(tmp_path) == []


def test_a_header_that_readers_would_refuse_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors, "LONGEST_HEADER", 1000)
    with pytest.raises(ValueError, match="save: the names and the metadata take 1120 bytes; the "):
        mg.save(tmp_path / "f", {}, {"text": "x" * 1000})


def test_an_open_file_is_no_path(tmp_path: Path) -> None:
    with open(tmp_path / "f", "w+b") as file:
        for who, call in (("save", lambda: mg.save(file, {})), ("load", lambda: mg.load(file))):
            with pytest.raises(TypeError) as caught:
                call()
            assert str(caught.value) == (
                f"{who}: a BufferedRandom was given as path. "
                "Pass the path of the file, not the open file."
            )


@pytest.mark.parametrize("path", [3, None, b"name"])
def test_a_path_is_text(path: Any) -> None:
    with pytest.raises(TypeError) as caught:
        mg.load(path)
    assert str(caught.value) == (
        f"load: a {type(path).__name__} was given as path. "
        'Pass a str or a Path, as "model.safetensors".'
    )
