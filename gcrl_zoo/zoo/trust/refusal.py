"""The one error of the checks, and how it is told."""

from pathlib import Path
from typing import NoReturn

TRUST = "load it only if you trust its author, with TRUST_REMOTE_CODE=True"
BROKEN = "it was cut or changed on its way: get it again, from a source that you trust"

MAX_BYTES = 2**31


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
    """:param offender: what a stranger wrote; as ``repr``, so that it sends nothing to a terminal, and not too long"""
    text = repr(offender)
    return text if len(text) <= length else f"{text[:length]}..."


def told(error: Exception) -> str:
    """:param error: of a library, for the middle of a sentence"""
    return f"{type(error).__name__}: {shown(str(error))}"


def read(path: Path, limit: int = MAX_BYTES) -> bytes:
    """
    :param path: of a file
    :param limit: bytes that it may have
    :raises Untrusted: it is larger
    """
    if (size := path.stat().st_size) > limit:
        refuse(str(path), f"has {size} bytes, where honest ones stay below {limit}")
    return path.read_bytes()
