"""Writing a file so that it is, at any instant, the old one or the new one, whole."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress

NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def write(who: str, path: str, parts: Iterable[bytes | memoryview]) -> None:
    """Write the parts to a file, or leave what was there.

    They go to a temporary file in the same folder, and to the disk, before it takes the place of
    the old one. A symbolic link stays, and what it points at is replaced. The new file has the
    permissions of the old one; without one, those that any new file has.

    Raises:
        OSError: it cannot be written. The old file is as it was, and nothing else is left.
    """
    target = os.path.realpath(path)
    old = _old_status(who, path, target)
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".microgrid-{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)  # less the process's umask
    try:
        with open(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            if old is not None:
                _take_over(temporary, old)
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:  # Ctrl-C too leaves no litter
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _old_status(who: str, path: str, target: str) -> os.stat_result | None:
    """Return what is known of the file to be replaced, None without one.

    Raises:
        OSError: there is something that must not be replaced.
    """
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(
            errno.EISDIR, f"{who}: a folder was given; it needs the path of a file", path
        )
    if not stat.S_ISREG(old.st_mode):
        raise OSError(
            errno.EINVAL, f"{who}: a device or a pipe was given; it needs the path of a file", path
        )
    # Replacing takes the right to write to the folder only, but a file was locked to be kept.
    if not os.access(target, os.W_OK):
        raise PermissionError(
            errno.EACCES, f"{who}: the file must not be written to; change its permissions", path
        )
    return old


def _take_over(temporary: str, old: os.stat_result) -> None:
    """Give the new file the owner and the permissions of the old one, as far as is allowed."""
    new = os.stat(temporary)
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.chown(temporary, old.st_uid, old.st_gid)
    os.chmod(temporary, stat.S_IMODE(old.st_mode))


def _sync_folder(folder: str) -> None:
    """Bring the file's new name to the disk, where folders can be synchronised."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)
