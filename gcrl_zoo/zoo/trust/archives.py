"""Zip archives, read within limits: no bombs, no members that land elsewhere, none that has no business there."""

from __future__ import annotations

import io
import re
import stat
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PureWindowsPath

import numpy as np

from gcrl_zoo.zoo.trust.refusal import BROKEN, MAX_BYTES, Untrusted, refuse, shown, told

MAX_MEMBERS = 10_000
MAX_RATIO = 200  # a log of numbers packs to a third; a bomb to a thousandth
CHUNK = 2**16

ARRAY_MEMBERS = re.compile(r"[^/]+\.npy")
METRICS_MEMBERS = re.compile(r"evaluations\.npz|\w[\w.-]*\.csv")


def members(
    source: Path | bytes, where: str, names: re.Pattern[str], packed: bool = True
) -> Iterator[tuple[str, bytes]]:
    """
    :param source: the archive
    :param where: for messages: the file, and the place in it
    :param names: that its members may have
    :param packed: whether they may be compressed
    :return: name and content of each member, read whole and found as its checksum says
    :raises Untrusted: a member is odd, too large, or broken
    """
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    try:
        with zipfile.ZipFile(source if isinstance(source, Path) else io.BytesIO(source)) as archive:
            _check_list(archive.infolist(), size, where, names, packed)
            for info in archive.infolist():
                with archive.open(info) as member:
                    # In pieces: asked for all at once, zipfile unpacks first and then cuts to the length announced.
                    content = b"".join(iter(partial(member.read, CHUNK), b""))
                if len(content) != info.file_size:
                    refuse(f"{where}/{info.filename}", "is shorter than its archive says", BROKEN)
                yield info.filename, content
    except Untrusted:
        raise
    except Exception as error:
        refuse(where, f"is no whole zip archive ({told(error)})", BROKEN)


def _check_list(infos: list[zipfile.ZipInfo], size: int, where: str, names: re.Pattern[str], packed: bool) -> None:
    """What an archive says of its members, before any is unpacked."""
    # So is what is left of an agent that was cut: the weights are archives.
    if infos and min(info.header_offset for info in infos) > 0:
        refuse(where, "is no zip archive, but has one at its end", BROKEN)
    if len(infos) > MAX_MEMBERS:
        refuse(where, f"has {len(infos)} members, where honest ones stay below {MAX_MEMBERS}")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > min(MAX_BYTES, MAX_RATIO * size):
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
    for _ in members(path, str(path), re.compile(names)):
        pass


def check_arrays(source: Path | bytes, where: str) -> None:
    """
    :param source: of an ``.npz``
    :param where: for messages: the file, and the place in it
    :raises Untrusted: an array in it holds objects, which numpy would unpickle, or it is no such file
    """
    for name, content in members(source, where, ARRAY_MEMBERS):
        try:
            if not content.startswith(np.lib.format.MAGIC_PREFIX):
                raise ValueError("no array")
            np.load(io.BytesIO(content), allow_pickle=False)
        except Exception as error:
            refuse(f"{where}/{name}", f"is no array of plain numbers ({told(error)})")


def check_metrics(path: Path) -> None:
    """
    RL Zoo unpacks these last, over all else that it has downloaded.

    :param path: of a ``train_eval_metrics.zip``
    :raises Untrusted: it holds more than results of evaluations and logs of episodes
    """
    for name, content in members(path, str(path), METRICS_MEMBERS):
        if name.endswith(".npz"):
            check_arrays(content, f"{path}/{name}")
