"""Errors of writing to disk, as one sentence that names the file and says what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

FREE = "free some space, or write to another disk"
ANOTHER = "choose another place, or change the permissions of this one"
PROBLEMS = {
    errno.ENOSPC: ("the disk is full", FREE),
    errno.EDQUOT: ("your disk quota is used up", FREE),
    errno.EFBIG: ("the file would be larger than is allowed here", "raise the limit (ulimit -f), or write elsewhere"),
    errno.EROFS: ("the file system is read-only", "choose another place"),
    errno.EACCES: ("permission is denied", ANOTHER),
    errno.EPERM: ("permission is denied", ANOTHER),
    errno.EISDIR: ("it is a folder", "give the name of a file"),
    errno.ESPIPE: ("it is a device, a pipe or a socket, not a file", "give the name of a file"),
    errno.ELOOP: ("its symbolic links lead in a circle", "choose another place"),
    errno.ENOTEMPTY: ("a folder of this name is not empty", "choose another name"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another place"),
    errno.EEXIST: ("a part of the path is a file, not a folder", "choose another place"),
    errno.ENOENT: ("a folder of the path is missing", "create it, or choose another place"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.EINVAL: ("the name is not valid here", "choose another one"),
    errno.EIO: ("the disk reports an error", "check the disk, or write to another one"),
}
"""By number of the operating system's error: what is wrong, and what to do."""


class WriteError(OSError):
    """
    A file that could not be written.

    :param number: of the operating system's error
    :param path: of the file or folder
    """

    def __init__(self, number: int, path: str) -> None:
        problem, advice = PROBLEMS.get(number, (os.strerror(number), "choose another place"))
        super().__init__(number, f"Cannot write {path}: {problem}; {advice}.")
        self.path = path

    def __reduce__(self) -> tuple[type[WriteError], tuple[int | None, str]]:
        return type(self), (self.errno, self.path)

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def writing(path: str | os.PathLike[str] | IO[bytes]) -> Iterator[None]:
    """
    Around code that writes.

    :param path: of the file or folder that a message should name, or the file object
    :raises WriteError: in place of an error of the disk
    """
    try:
        yield
    except WriteError:
        raise  # it names the file already
    except (OSError, RuntimeError) as error:
        number = _number(error)
        if number is None:
            raise
        raise WriteError(number, _name(path)) from error


def reserve(path: Path, n_bytes: int) -> None:
    """
    Checks that a file can grow. HDF5 needs this: where a write fails, h5py may crash the process.

    :param path: of the file, which may be there already
    :param n_bytes: by which it should grow
    :raises OSError: there is no room
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with tempfile.TemporaryFile(dir=path.parent) as probe:  # as large as the file, since limits of size count, too
            try:
                return os.posix_fallocate(probe.fileno(), path.stat().st_size if path.exists() else 0, n_bytes)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):  # of file systems without it
                    raise
    if shutil.disk_usage(path.parent).free < n_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def _number(error: BaseException) -> int | None:
    """Number of the disk's error, also where torch, zipfile, h5py or shutil raise another exception because of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno
        match = re.search(r"(?:\[Errno |errno = )(\d+)", str(cause))
        if match:
            return int(match[1])
        cause = cause.__cause__ or cause.__context__
    return None


def _name(path: str | os.PathLike[str] | IO[bytes]) -> str:
    if isinstance(path, (str, os.PathLike)):
        return os.fspath(path)
    name = getattr(path, "name", None)
    return name if isinstance(name, str) else "to the file object"
