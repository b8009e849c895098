"""Read zip archives within limits: no zip bombs, no paths outside the folder, no unexpected members."""

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

from gcrl_zoo.zoo.trust.refusal import BROKEN, MAX_BYTES, Untrusted, described, open_regular, refuse, shown

MAX_MEMBERS = 10_000
MAX_ENTRY = 512  # bytes of an entry in the list of members
MAX_RATIO = 200  # logs of numbers compress to a third, zip bombs to a thousandth
MAX_HEADER = 2**14  # bytes of the header of an array
CHUNK = 2**16

ARRAY_MEMBERS = re.compile(r"[^/]+\.npy")
METRICS_MEMBERS = re.compile(r"evaluations\.npz|\w[\w.-]*\.csv")
MAX_EVALUATIONS = 2**26


def members(
    source: Path | bytes, where: str, names: re.Pattern[str], packed: bool = True, keep: int = MAX_BYTES
) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """
    Yield each member, read completely and compared with its checksum, one at a time.

    :param source: the archive
    :param where: for messages: the file, and the place in it
    :param names: allowed names of members
    :param packed: whether members may be compressed
    :param keep: bytes of each member to return
    :return: entry and content of each member
    :raises Untrusted: a member is unexpected, too large or damaged
    """
    try:
        with open_regular(source) if isinstance(source, Path) else io.BytesIO(source) as file:
            size = file.seek(0, os.SEEK_END)
            _check_directory(file, where)
            with zipfile.ZipFile(file) as archive:
                _check_list(archive.infolist(), size, where, names, packed)
                for info in archive.infolist():
                    yield info, _content(archive, info, where, keep)
    except Untrusted:
        raise
    except Exception as error:
        refuse(where, f"is not a complete zip archive ({described(error)})", BROKEN)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str, keep: int) -> bytes:
    """Read a whole member; return its first bytes."""
    first, size = io.BytesIO(), 0
    with archive.open(info) as member:
        # In chunks: at once, zipfile would unpack everything before it truncates to the announced length.
        for piece in iter(partial(member.read, CHUNK), b""):
            first.write(piece[: max(0, keep - size)])
            size += len(piece)
    if size != info.file_size:
        refuse(f"{where}/{info.filename}", "is shorter than its archive says", BROKEN)
    return first.getvalue()


def _check_directory(file: BinaryIO, where: str) -> None:
    """Limit the list of members before ``zipfile`` creates an object for each entry."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[zipfile._ECD_SIZE] > MAX_MEMBERS * MAX_ENTRY:  # type: ignore[attr-defined]
        refuse(where, f"has a list of members of {end[zipfile._ECD_SIZE]} bytes")  # type: ignore[attr-defined]


def _check_list(infos: list[zipfile.ZipInfo], size: int, where: str, names: re.Pattern[str], packed: bool) -> None:
    """Check what an archive says about its members, before any is unpacked."""
    # A truncated agent looks like this, since its weights are archives.
    if infos and min(info.header_offset for info in infos) > 0:
        refuse(where, "has other data before its zip archive", BROKEN)
    if len(infos) > MAX_MEMBERS:
        refuse(where, f"has {len(infos)} members, which exceeds the limit of {MAX_MEMBERS}")
    unpacked = sum(info.file_size for info in infos)
    # Uncompressed members cannot have more bytes than the archive, unless they overlap.
    if unpacked > min(MAX_BYTES, MAX_RATIO * size if packed else size):
        refuse(where, f"has {size} bytes and would unpack to {unpacked}")
    known: set[str] = set()
    for info in infos:
        if fault := _fault(info, known, names, packed):
            refuse(where, f"has a member {shown(info.orig_filename)}, which {fault}")
        known.add(info.filename.lower())


def _fault(info: zipfile.ZipInfo, known: set[str], names: re.Pattern[str], packed: bool) -> str | None:
    """Return what is wrong with a member, None for nothing."""
    path = PureWindowsPath(info.orig_filename)  # handles drives and both kinds of slashes
    if path.anchor or ".." in path.parts or "\\" in info.orig_filename or "\0" in info.orig_filename:
        return "would be written outside its folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED and not (packed and info.compress_type == zipfile.ZIP_DEFLATED):
        return "uses a compression that is not allowed"
    if info.filename.lower() in known:  # torch ignores case
        return "appears twice"
    if not names.fullmatch(info.filename):
        return "is not expected there"
    return None


def check_archive(path: Path, names: str) -> None:
    """
    Check the members of a zip by their names and sizes.

    :param path: of a zip
    :param names: regular expression for the names of its members
    :raises Untrusted: it has other members, would unpack to too much, or is damaged
    """
    for _ in members(path, str(path), re.compile(names), keep=0):
        pass


def check_arrays(source: Path | bytes, where: str) -> None:
    """
    Check that an ``.npz`` holds arrays of plain numbers.

    :param source: of an ``.npz``
    :param where: for messages: the file, and the place in it
    :raises Untrusted: an array holds objects, which numpy would unpickle, or its header gives another size
    """
    for info, start in members(source, where, ARRAY_MEMBERS, keep=MAX_HEADER):
        try:
            size, length = _array_size(start)
        except Exception as error:
            refuse(f"{where}/{info.filename}", f"is not an array of plain numbers ({described(error)})")
        if length + size != info.file_size:
            refuse(f"{where}/{info.filename}", f"has {info.file_size - length} bytes for an array of {size}", BROKEN)


def _array_size(start: bytes) -> tuple[int, int]:
    """Return the bytes of an array according to its header, and the bytes of the header."""
    file = io.BytesIO(start)
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = header(file)
    if dtype.kind not in "biufcSU":
        raise ValueError(f"objects or fields of kind {dtype.kind!r}")
    return math.prod(shape) * dtype.itemsize, file.tell()


def check_metrics(path: Path) -> None:
    """
    Check the archive of results. RL Zoo unpacks it last, over the other files that it downloaded.

    :param path: of a ``train_eval_metrics.zip``
    :raises Untrusted: it holds anything but results of evaluations and logs of episodes
    """
    for info, content in members(path, str(path), METRICS_MEMBERS, keep=MAX_EVALUATIONS):
        if info.filename.endswith(".npz"):
            check_arrays(content, f"{path}/{info.filename}")
