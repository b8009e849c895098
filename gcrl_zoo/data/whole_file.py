"""Write files atomically, and remove what killed runs left half-written."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from gcrl_zoo.data.disk import writing

try:
    import fcntl

    LOCKS = True
except ImportError:  # Windows, where leftovers stay
    LOCKS = False

#: End of the names of our temporary files: ``.NAME.RANDOM.gcrl_partial``.
SUFFIX = ".gcrl_partial"


@contextmanager
def whole_file(path: str | Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """
    Write a file that is either complete or absent: a run killed while saving keeps the file that it saved earlier.

    A killed run leaves its temporary file in the folder. The next call for a file in that folder removes it. A
    temporary file that a live process still writes is locked and stays.

    :param path: of the file; missing folders are created. A symbolic link stays, and its target is written. A file
        object is written to as it is
    :return: binary file to write to; it is renamed to ``path`` when the block ends without an error
    :raises WriteError: the disk is full, the folder is read-only, ``path`` is a folder, a device, a FIFO, ...
    """
    with writing(path):
        if not isinstance(path, (str, Path)):
            yield path
            return
        path = _target(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        with _replacing(path) as file:
            yield file


def _target(path: str | Path) -> Path:
    """The file to replace, which is where symbolic links lead. The rename would replace the links themselves."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):  # a new file; creating its folder tells what is wrong with that
        return target
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):  # the rename would destroy a device, a FIFO or a socket
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
    return target


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that takes the place of ``path`` when the block ends without an error."""
    handle, partial = _locked_temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            # mkstemp makes private files; this one gets the permissions of any other new file.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(partial, 0o666 & ~umask)
            file.flush()
            if LOCKS:  # while the lock is held: closing the file gives it up
                os.replace(partial, path)
        if not LOCKS:  # Windows renames closed files only
            os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _locked_temporary(path: Path) -> tuple[int, str]:
    """A new file beside ``path``, as an open handle and a name. Its lock shows that somebody writes it."""
    while True:
        # The beginning of the name only: a name that is just short enough for the file must do for this one, too.
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=SUFFIX)
        lock(handle, wait=True)
        if os.path.exists(partial):
            return handle, partial
        os.close(handle)  # another process took it for a leftover before the lock was there


def lock(handle: int, wait: bool) -> bool:
    """Whether the file is locked now. False where another process holds the lock, or where locks are not supported."""
    if not LOCKS:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove_leftovers(folder: Path) -> None:
    """A process that dies gives up its locks, so a temporary file that can be locked has no writer."""
    for leftover in folder.glob(f".*{SUFFIX}"):
        with suppress(OSError):  # already removed, or owned by another user
            handle = os.open(leftover, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                if lock(handle, wait=False):
                    leftover.unlink()
            finally:
                os.close(handle)
