"""Zip archives, read within limits: no bombs, no members that land elsewhere, none that has no business there."""

from __future__ import annotations

import io
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

import numpy as np

from gcrl_zoo.zoo.trust.refusal import BROKEN, MAX_BYTES, Untrusted, opened, refuse, shown, told

MAX_MEMBERS = 10_000
MAX_ENTRY = 512  # bytes that the list of members has for each of them
MAX_RATIO = 200  # a log of numbers packs to a third; a bomb to a thousandth
MAX_HEADER = 2**14  # bytes of the description that an array begins with
CHUNK = 2**16

ARRAY_MEMBERS = re.compile(r"[^/]+\.npy")
METRICS_MEMBERS = re.compile(r"evaluations\.npz|\w[\w.-]*\.csv")
MAX_EVALUATIONS = 2**26


def members(
    source: Path | bytes, where: str, names: re.Pattern[str], packed: bool = True, keep: int = MAX_BYTES
) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """
    Reads each member whole, compares it with its checksum, and holds one at a time in memory.

    :param source: the archive
    :param where: for messages: the file, and the place in it
    :param names: that its members may have
    :param packed: whether they may be compressed
    :param keep: bytes of each member to return
    :return: entry and content of each member
    :raises Untrusted: a member is odd, too large, or broken
    """
    try:
        with opened(source) if isinstance(source, Path) else io.BytesIO(source) as file:
            size = file.seek(0, os.SEEK_END)
            _check_directory(file, where)
            with zipfile.ZipFile(file) as archive:
                _check_list(archive.infolist(), size, where, names, packed)
                for info in archive.infolist():
                    yield info, _content(archive, info, where, keep)
    except Untrusted:
        raise
    except Exception as error:
        refuse(where, f"is no whole zip archive ({told(error)})", BROKEN)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str, keep: int) -> bytes:
    """The first bytes of a member, all of which are read."""
    kept, size = io.BytesIO(), 0
    with archive.open(info) as member:
        # In pieces: asked for all at once, zipfile unpacks first and then cuts to the length announced.
        for piece in iter(partial(member.read, CHUNK), b""):
            kept.write(piece[: max(0, keep - size)])
            size += len(piece)
    if size != info.file_size:
        refuse(f"{where}/{info.filename}", "is shorter than its archive says", BROKEN)
    return kept.getvalue()


def _check_directory(file: BinaryIO, where: str) -> None:
    """Before ``zipfile`` makes an object of each entry in the list of members."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[zipfile._ECD_SIZE] > MAX_MEMBERS * MAX_ENTRY:  # type: ignore[attr-defined]
        refuse(where, f"has a list of members of {end[zipfile._ECD_SIZE]} bytes")  # type: ignore[attr-defined]


def _check_list(infos: list[zipfile.ZipInfo], size: int, where: str, names: re.Pattern[str], packed: bool) -> None:
    """What an archive says of its members, before any is unpacked."""
    # So is what is left of an agent that was cut: the weights are archives.
    if infos and min(info.header_offset for info in infos) > 0:
        refuse(where, "is no zip archive, but has one at its end", BROKEN)
    if len(infos) > MAX_MEMBERS:
        refuse(where, f"has {len(infos)} members, where honest ones stay below {MAX_MEMBERS}")
    unpacked = sum(info.file_size for info in infos)
    # Members that are not packed have no more bytes than the archive, unless they lie on top of each other.
    if unpacked > min(MAX_BYTES, MAX_RATIO * size if packed else size):
        refuse(where, f"has {size} bytes and would unpack to {unpacked}")
    known: set[str] = set()
    for info in infos:
        if fault := _fault(info, known, names, packed):
            refuse(where, f"has a member {shown(info.orig_filename)}, which {fault}")
        known.add(info.filename.lower())


def _fault(info: zipfile.ZipInfo, known: set[str], names: re.Pattern[str], packed: bool) -> str | None:
    """What is wrong with a member, if anything is."""
    path = PureWindowsPath(info.orig_filename)  # knows drives, and both kinds of slashes
    if path.anchor or ".." in path.parts or "\\" in info.orig_filename or "\0" in info.orig_filename:
        return "would land outside of its folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED and not (packed and info.compress_type == zipfile.ZIP_DEFLATED):
        return "is compressed in a way that nobody uses here"
    if info.filename.lower() in known:  # torch tells no case apart
        return "is there twice"
    if not names.fullmatch(info.filename):
        return "has no place there"
    return None


def check_archive(path: Path, names: str) -> None:
    """
    :param path: of a zip
    :param names: that its members may have, as a regular expression
    :raises Untrusted: it holds others, would unpack to too much, or is broken
    """
    for _ in members(path, str(path), re.compile(names), keep=0):
        pass


def check_arrays(source: Path | bytes, where: str) -> None:
    """
    :param source: of an ``.npz``
    :param where: for messages: the file, and the place in it
    :raises Untrusted: an array in it holds objects, which numpy would unpickle, or says that it is larger than it is
    """
    for info, start in members(source, where, ARRAY_MEMBERS, keep=MAX_HEADER):
        try:
            size, length = _array_size(start)
        except Exception as error:
            refuse(f"{where}/{info.filename}", f"is no array of plain numbers ({told(error)})")
        if length + size != info.file_size:
            refuse(f"{where}/{info.filename}", f"has {info.file_size - length} bytes for an array of {size}", BROKEN)


def _array_size(start: bytes) -> tuple[int, int]:
    """Bytes of an array, as its header has them, and of the header."""
    file = io.BytesIO(start)
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = header(file)
    if dtype.kind not in "biufcSU":
        raise ValueError(f"objects or fields of kind {dtype.kind!r}")
    return math.prod(shape) * dtype.itemsize, file.tell()


def check_metrics(path: Path) -> None:
    """
    RL Zoo unpacks these last, over all else that it has downloaded.

    :param path: of a ``train_eval_metrics.zip``
    :raises Untrusted: it holds more than results of evaluations and logs of episodes
    """
    for info, content in members(path, str(path), METRICS_MEMBERS, keep=MAX_EVALUATIONS):
        if info.filename.endswith(".npz"):
            check_arrays(content, f"{path}/{info.filename}")
