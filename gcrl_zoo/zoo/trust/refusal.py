"""The one error of the checks, how it is worded, and how a file is opened and read within limits."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from reprlib import Repr
from typing import BinaryIO, NoReturn

TRUST = "load it only if you trust its author, with TRUST_REMOTE_CODE=True"
BROKEN = "it was cut or changed on its way: get it again, from a source that you trust"

MAX_BYTES = 2**31
KINDS = {
    stat.S_ISDIR: "a directory",
    stat.S_ISFIFO: "a FIFO",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


class Untrusted(ValueError):
    """A file holds what no honest one needs, or cannot be read as what it should be."""


class Offence(Exception):
    """What a file does that it may not, as the rest of a sentence: raised where the file is not known."""


def refuse(where: str, what: str, remedy: str = TRUST) -> NoReturn:
    """
    :param where: the file, and the place in it
    :param what: the offender, as the rest of a sentence
    :param remedy: what to do
    :raises Untrusted: always
    """
    raise Untrusted(f"{where} {what}; {remedy}.")


def shown(offender: object, length: int = 100) -> str:
    """:param offender: untrusted text; returned as a short ``repr``, which sends no control characters to a terminal"""
    brief = Repr()  # a nested value that repeats its parts may have a repr of any length
    brief.maxstring = brief.maxother = brief.maxlong = length
    try:
        text = brief.repr(offender)
    except ValueError:  # Python refuses to write an integer of more than 4300 digits
        text = f"a large {type(offender).__name__}"
    return text if len(text) <= length else f"{text[:length]}..."


def told(error: Exception) -> str:
    """:param error: of a library, for the middle of a sentence"""
    return f"{type(error).__name__}: {shown(str(error))}"


def opened(path: Path) -> BinaryIO:
    """
    Open a regular file, or a link to one. Opening a FIFO waits for a writer, and reading a device may never end.

    :param path: of the file
    :raises Untrusted: there is something else in its place, or nothing that can be read
    """
    try:
        # O_NONBLOCK does not wait for the writer of a FIFO. What was opened is examined, not what the path names next.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        mode = _mode(path)
        kind = next((name for test, name in KINDS.items() if test(mode)), None)
        refuse(str(path), f"is {kind}, and no file" if kind else f"cannot be opened ({told(error)})", BROKEN)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        refuse(str(path), f"is {next(name for test, name in KINDS.items() if test(mode))}, and no file", BROKEN)
    return os.fdopen(descriptor, "rb")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def read(path: Path, limit: int = MAX_BYTES) -> bytes:
    """
    :param path: of a file
    :param limit: bytes that it may have
    :raises Untrusted: it is larger, or no regular file
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
    if max(size, len(content)) > limit:
        refuse(str(path), f"has {max(size, len(content))} bytes, where honest ones stay below {limit}")
    return content
