"""The error that all checks raise, and functions that open and read files within limits."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from reprlib import Repr
from typing import BinaryIO, NoReturn

TRUST = "load it only if you trust its author, with TRUST_REMOTE_CODE=True"
BROKEN = "it was truncated or changed: download it again, from a source that you trust"

MAX_BYTES = 2**31
KINDS = {
    stat.S_ISDIR: "a directory",
    stat.S_ISFIFO: "a FIFO",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


class Untrusted(ValueError):
    """A file holds something that is not allowed, or cannot be read."""


class Offence(Exception):
    """Raised where the name of the file is not known; the message is the rest of a sentence that begins with it."""


def refuse(where: str, what: str, remedy: str = TRUST) -> NoReturn:
    """
    Raise ``Untrusted`` with a complete sentence.

    :param where: the file, and the place in it
    :param what: what is wrong, as the rest of the sentence
    :param remedy: what to do
    :raises Untrusted: always
    """
    raise Untrusted(f"{where} {what}; {remedy}.")


def shown(offender: object, length: int = 100) -> str:
    """Return a short ``repr`` of an untrusted value, without control characters for terminals."""
    brief = Repr()  # the repr of nested values that repeat their parts may be of any length
    brief.maxstring = brief.maxother = brief.maxlong = length
    try:
        text = brief.repr(offender)
    except ValueError:  # Python refuses to write an integer of more than 4300 digits
        text = f"a large {type(offender).__name__}"
    return text if len(text) <= length else f"{text[:length]}..."


def described(error: Exception) -> str:
    """Return the type and message of an error of a library, for the middle of a sentence."""
    return f"{type(error).__name__}: {shown(str(error))}"


def open_regular(path: Path) -> BinaryIO:
    """
    Open a regular file or a link to one: opening a FIFO would wait for a writer, and reading a device may never end.

    :param path: of the file
    :raises Untrusted: it is not a regular file, or cannot be opened
    """
    try:
        # O_NONBLOCK does not wait for the writer of a FIFO. fstat below examines the file that was opened.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        mode = _mode(path)
        kind = next((name for test, name in KINDS.items() if test(mode)), None)
        refuse(str(path), f"is {kind}, not a file" if kind else f"cannot be opened ({described(error)})", BROKEN)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        refuse(str(path), f"is {next(name for test, name in KINDS.items() if test(mode))}, not a file", BROKEN)
    return os.fdopen(descriptor, "rb")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def read(path: Path, limit: int = MAX_BYTES) -> bytes:
    """
    Read a whole file.

    :param path: of a file
    :param limit: bytes that it may have
    :raises Untrusted: it is larger, or no regular file
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
    if max(size, len(content)) > limit:
        refuse(str(path), f"has {max(size, len(content))} bytes, which exceeds the limit of {limit}")
    return content
