"""
A store as a folder: a header, and data files that are memory-mapped when they are opened::

    NAME/header.json     describes the store; a file that it does not list is not part of the store
    NAME/data-xxxxxxxx/  lengths, terminated          one entry per episode
                         packed, array0, array1, ...  numbers: one entry per slot, those of the slot PADDING first
                         frames0, frames1, ...        images: compressed chunks, one after another
                         frames0.chunks, ...          the end and the CRC-32 of each chunk
                         frames0.runs, ...            which frames belong to which slots
                         frames0.tail, ...            frames that do not fill a chunk, not compressed

Saving again writes a new data folder and then replaces the header. A process that is killed at any moment therefore
leaves the complete old version or the complete new one.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard

from gcrl_zoo.data.arrays import FLOAT, INT, Array, DType
from gcrl_zoo.data.checks import is_whole
from gcrl_zoo.data.columns import PADDING, RESERVED, SLOT, FrameColumn, Table
from gcrl_zoo.data.columns.array import PACKED
from gcrl_zoo.data.columns.base import Layout
from gcrl_zoo.data.columns.frames import Frames
from gcrl_zoo.data.formats.containers import FACT_TYPES, Form, UnreadableFile, reading_file, unreadable
from gcrl_zoo.data.formats.space_json import space_from_json
from gcrl_zoo.data.recorded_wrappers import check_wrappers

FORMAT = "gcrl_zoo folder 1"
HEADER = "header.json"
DATA = "data-"
LONGEST_HEADER = 2**26
LARGEST_ENTRY = 2**27  # numbers in one entry of a column
PORTION = 2**16  # entries that are checked at a time
DATA_NAME = re.compile(DATA + "[0-9a-f]{8}")
CONTENT = {"name", "capacity", "spaces", "source", "data", "columns", "observations", "extras", "frames", "files"}
WRAPPERS = "wrappers"  # an optional entry of the content
COMPUTED = ("first", "last")  # arrays of a table that are not stored


class SavedFolder(NamedTuple):
    """
    What a folder holds.

    :param table: the columns of all episodes
    :param lengths: (M,) number of steps of each episode
    :param terminated: (M,) whether each ended in a terminal state
    :param about: other arguments of a store: its name, capacity, spaces and wrappers
    """

    table: Table
    lengths: Array
    terminated: Array
    about: dict[str, Any]


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a store."""
    return os.path.isfile(os.path.join(path, HEADER))


def array_files(table: Table) -> dict[str, str]:
    """By array of a table that is stored: the name of its file."""
    stored = [key for key in table.arrays.arrays if key not in COMPUTED]
    large = [key for key in stored if key != PACKED]
    return {key: key if key == PACKED else f"array{large.index(key)}" for key in stored}


def frame_files(table: Table) -> dict[str, str]:
    """By column of images: the name of its file."""
    return {key: f"frames{i}" for i, key in enumerate(table.frames)}


def checksum(content: Mapping[str, Any]) -> int:
    """The CRC-32 of the content of a header."""
    return zlib.crc32(json.dumps(content).encode())


def read_header(path: Path) -> dict[str, Any]:
    """
    The content of a header, which is as it was written.

    :raises UnreadableFile: it is not; the message names the file
    """
    file = path / HEADER
    if not file.is_file() or file.stat().st_size > LONGEST_HEADER:
        raise unreadable(file, f"it is not a regular file of at most {LONGEST_HEADER:,} bytes")
    with reading_file(file):
        header = json.loads(file.read_bytes())
        if not isinstance(header, dict) or "format" not in header:
            raise unreadable(file, "it names no format")
        if header["format"] != FORMAT:
            raise unreadable(file, f"its format is {header['format']!r}, this version reads '{FORMAT}'")
        content: dict[str, Any] = header["content"]
        if header["checksum"] != checksum(content):
            raise unreadable(file, "its checksum does not match")
        if content.keys() - {WRAPPERS} != CONTENT:
            raise unreadable(file, f"it describes {', '.join(content)}")
    return content


def open_folder(path: Path) -> SavedFolder:
    """
    Open a store. Numbers are compared with their checksums; images are read, and compared, when they are used.

    :raises UnreadableFile: a file is missing, damaged or shorter than it was; the message names it
    """
    while True:
        content = read_header(path)
        try:
            return _open_data(path, content)
        except UnreadableFile:
            if read_header(path) == content:  # else another process has replaced the store meanwhile
                raise


def _open_data(path: Path, content: dict[str, Any]) -> SavedFolder:
    with reading_file(path / HEADER):
        if not DATA_NAME.fullmatch(content["data"]):
            raise ValueError(f"its data folder is {content['data']!r}")
        files = _Files(path / content["data"], content["files"])
        lengths = files.array("lengths", INT)
        terminated = files.array("terminated", np.dtype(np.bool_))
        if (lengths < 1).any() or len(terminated) != len(lengths):
            raise ValueError(f"it has an episode of length {lengths.min(initial=1)}")
        n_slots = sum(lengths.tolist()) + len(lengths)
        capacity = content["capacity"]
        if n_slots >= np.iinfo(SLOT).max or not (capacity is None or (is_whole(capacity, 2) and capacity >= n_slots)):
            raise ValueError(f"it has {n_slots} slots and a capacity of {capacity}")
        about = {"name": str(content["name"]), "capacity": capacity}
        for argument, text in zip(("observation_space", "action_space"), content["spaces"], strict=True):
            about[argument] = space_from_json(text)
        about["wrappers"] = check_wrappers(content.get(WRAPPERS))
        return SavedFolder(_table(content, files, lengths), lengths, terminated, about)


def _table(content: dict[str, Any], files: _Files, lengths: Array) -> Table:
    """The columns, on memory-mapped files."""
    n_slots = int((lengths + 1).sum())
    layout = {key: (tuple(map(int, shape)), np.dtype(dtype)) for key, (shape, dtype) in content["columns"].items()}
    observations, extras = tuple(content["observations"]), tuple(content["extras"])
    _check_layout(layout, observations, extras, n_slots)
    table = Table(None, str(files.folder.parent))
    if not n_slots:
        return table
    table.set_layout(layout, observations, extras)
    lasts = PADDING + np.cumsum(lengths + 1)
    arrays = {"first": _per_slot(lasts - lengths, lengths), "last": _per_slot(lasts, lengths)}
    for key, name in array_files(table).items():
        empty = table.arrays.arrays[key]
        arrays[key] = files.array(name, empty.dtype, empty.shape[1:])
        if len(arrays[key]) != n_slots + 1:
            raise ValueError(f"'{name}' has {len(arrays[key])} entries, not {n_slots + 1}")
    table.arrays.adopt(arrays)
    for key, name in frame_files(table).items():
        table.frames[key] = _frame_column(files, name, layout[key][0], content["frames"][key], n_slots)
    return table


def _per_slot(values: Array, lengths: Array) -> Array:
    """The value of the episode of each slot, and 0 for the slot PADDING."""
    return np.concatenate([[PADDING], np.repeat(values, lengths + 1)]).astype(SLOT)


def _check_layout(layout: Layout, observations: Sequence[str], extras: Sequence[str], n_slots: int) -> None:
    """Check that columns are such as episodes have."""
    named = {*observations, *extras}
    known = named <= layout.keys() <= named | RESERVED and not named & RESERVED
    if not known or bool(n_slots) != bool(observations):
        raise ValueError(f"it has {n_slots} slots and the columns {', '.join(layout) or 'none'}")
    for key, (shape, dtype) in layout.items():
        allowed = {"actions": (FLOAT, INT)}.get(key, (FLOAT,) if key in RESERVED else FACT_TYPES)
        if dtype not in allowed or min(shape, default=0) < 0 or prod(shape) > LARGEST_ENTRY:
            raise ValueError(f"its column '{key}' is {Form(shape, dtype)}")


def _frame_column(files: _Files, name: str, shape: tuple[int, ...], about: list[int], n_slots: int) -> FrameColumn:
    """A column of images whose chunks are memory-mapped."""
    stack, per_chunk = about
    if stack != 1 and stack != shape[0]:
        raise ValueError(f"'{name}' has stacks of {stack} frames in entries of shape {shape}")
    frame = shape[1:] if stack > 1 else shape
    chunks = Chunks(files.map(name), files.array(f"{name}.chunks", INT, (2,)), per_chunk * prod(frame))
    frames = Frames(frame, chunks, files.array(f"{name}.tail", np.dtype(np.uint8), frame), str(files.folder / name))
    slots, last = runs = files.array(f"{name}.runs", INT).reshape(2, -1)
    counts = np.diff(slots, append=n_slots + 1)
    if (
        (frames.per_chunk, len(frames.tail) < per_chunk) != (per_chunk, True)
        or slots[0] != PADDING + 1
        or (counts < 1).any()
        or (last < stack - 1).any()
        or (last + counts > len(frames)).any()
    ):
        raise ValueError(f"'{name}' does not have the images of all slots")
    return FrameColumn(shape, frames, stack, np.array(runs), str(files.folder / name))


class Chunks(Sequence[Any]):
    """
    Compressed chunks of images, one after another in a memory-mapped file.

    :param data: (n,) uint8 of the file
    :param index: (m, 2) the end and the CRC-32 of each chunk
    :param size: of a chunk when it is decompressed
    """

    def __init__(self, data: Array, index: Array, size: int) -> None:
        self._offsets = np.concatenate([[0], index[:, 0]])
        if (np.diff(self._offsets) < 0).any() or self._offsets[-1] != len(data):
            raise ValueError("its chunks are not one after another")
        self._data, self._checksums, self._size = data, index[:, 1], size

    def __len__(self) -> int:
        return len(self._checksums)

    def __getitem__(self, number: Any) -> Any:
        chunk = self._data[self._offsets[number] : self._offsets[number + 1]].data
        if zlib.crc32(chunk) != self._checksums[number]:
            raise ValueError("its checksum does not match")
        if zstandard.frame_content_size(chunk) != self._size:  # as much memory would be taken, whatever it is
            raise ValueError("its size is wrong")
        return chunk


class _Files:
    """
    The data files of a folder.

    :param folder: that they are in
    :param listed: size and checksum by name
    """

    def __init__(self, folder: Path, listed: Mapping[str, list[int]]) -> None:
        self.folder, self._listed = folder, listed

    def map(self, name: str) -> Array:
        """All bytes of a file, memory-mapped. A change of them is not written to the file."""
        path, size = self.folder / name, self._listed[name][0]
        if not path.is_file():
            raise unreadable(path, "there is no such file")
        if path.stat().st_size != size:
            raise unreadable(path, f"it has {path.stat().st_size:,} bytes, but {size:,} were written")
        with reading_file(path):
            return np.asarray(np.memmap(path, np.uint8, "c")) if size else np.empty(0, np.uint8)

    def array(self, name: str, dtype: DType, shape: tuple[int, ...] = ()) -> Array:
        """An array, memory-mapped, of entries of this dtype and shape. Its values are those that were written."""
        data = self.map(name)
        if zlib.crc32(data.data) != self._listed[name][1]:
            raise unreadable(self.folder / name, "its checksum does not match")
        with reading_file(self.folder / name):
            array = data.view(dtype).reshape(-1, *shape)
            for field in dtype.names or [...]:
                _check_values(array[field])
        return array


def _check_values(values: Array) -> None:
    """Check that numbers are such as episodes have."""
    for start in range(0, len(values), PORTION):
        portion = values[start : start + PORTION]
        if portion.dtype == np.bool_ and (portion.view(np.uint8) > 1).any():
            raise ValueError("it has values that are neither true nor false")
        if portion.dtype.kind == "f" and not np.isfinite(portion).all():
            raise ValueError("it has values that are not finite")
