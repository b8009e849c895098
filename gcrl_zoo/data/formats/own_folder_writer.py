"""Writes a store to a folder, episode by episode. See :mod:`~gcrl_zoo.data.formats.own_folder` for the format."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space

from gcrl_zoo.data.arrays import INT, Array
from gcrl_zoo.data.columns import PADDING, Table
from gcrl_zoo.data.columns.frames import Frames
from gcrl_zoo.data.disk import writing
from gcrl_zoo.data.episode import Episode
from gcrl_zoo.data.formats.own_folder import DATA, FORMAT, HEADER, WRAPPERS, array_files, checksum, frame_files
from gcrl_zoo.data.formats.space_json import space_to_json
from gcrl_zoo.data.recorded_wrappers import WrapperList
from gcrl_zoo.data.whole_file import LOCKS, lock, whole_file

if TYPE_CHECKING:
    from gcrl_zoo.data.store import TrajectoryStore


def save_folder(path: str | Path, store: TrajectoryStore) -> None:
    """
    Write a store to a folder, which is created, or replaced if it holds a store already.

    :raises WriteError: the disk is full, the folder is read-only or holds something else, ...
    """
    about = store.name, store.capacity, store.observation_space, store.action_space, store.wrappers
    with locked_folder(Path(path)), FolderWriter(Path(path), *about) as writer:
        for episode in store.episodes():
            writer.add(episode)


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """
    Create a folder for a store if there is none, and wait until no other process writes to it.

    :raises WriteError: it cannot be written to, or holds something else
    """
    with writing(path):
        handle = _create_and_lock(path)
    try:
        with writing(path):
            if any(entry.name != HEADER and not entry.name.startswith((DATA, ".")) for entry in path.iterdir()):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        yield
    finally:
        with suppress(OSError):
            path.rmdir()  # if nothing was written
        if handle is not None:
            os.close(handle)


def _create_and_lock(path: Path) -> int | None:
    """:return: a handle that holds the lock until it is closed; None where there are no locks"""
    while True:
        path.mkdir(parents=True, exist_ok=True)
        if not LOCKS:
            return None
        handle = os.open(path, os.O_RDONLY)
        lock(handle, wait=True)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)  # another process removed the folder before it was locked


class FolderWriter:
    """
    Writes episodes one after another, with about one of them in memory. They are valid when the block ends.

    :param path: of the folder, locked by :func:`locked_folder`
    :param name: of the store
    :param capacity: of the store
    :param observation_space: of the recorded environment, if known
    :param action_space: of the recorded environment, if known
    :param wrappers: of the recorded environment, if known
    :param source: JSON that says what was read, for a comparison later
    """

    def __init__(
        self,
        path: Path,
        name: str,
        capacity: int | None = None,
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
        wrappers: WrapperList | None = None,
        source: Any = None,
    ) -> None:
        spaces = [space_to_json(space) for space in (observation_space, action_space)]
        self._content: dict[str, Any] = {"name": name, "capacity": capacity, "spaces": spaces, "source": source}
        if wrappers is not None:
            self._content[WRAPPERS] = wrappers
        self._path, self._data = path, path / f"{DATA}{secrets.token_hex(4)}"
        self._table = Table(None, name)
        self._n_slots = PADDING + 1
        self._lengths: list[int] = []
        self._terminated: list[bool] = []
        self._files: dict[str, _File] = {}
        self._chunks: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)  # end and checksum of each, by file

    def __enter__(self) -> FolderWriter:
        with writing(self._path):
            self._data.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = None
        try:
            if error is None:
                with writing(self._path):
                    self._finish()
                kept = self._data
        finally:
            for file in self._files.values():
                with suppress(OSError):
                    file.close()
            # Without an error, what is left of earlier versions and killed processes; with one, what this one wrote.
            for folder in [self._data] if kept is None else self._path.glob(f"{DATA}*"):
                if folder != kept:
                    shutil.rmtree(folder, ignore_errors=True)

    def add(self, episode: Episode) -> None:
        """
        Write an episode.

        :raises EpisodeError: its columns are not those of the first one
        :raises WriteError: the disk is full, ...
        """
        table, n_slots = self._table, episode.length + 1
        columns = table.check_and_layout(episode)
        with writing(self._path):
            if not self._lengths:
                for key, name in array_files(table).items():
                    self._append(name, np.zeros_like(table.arrays.arrays[key][:1]))  # the slot PADDING
            for key, name in frame_files(table).items():
                table.frames[key].write(self._n_slots, columns[key])
                self._append_chunks(name, table.frames[key].frames)
            first = table.arrays.grow(n_slots)
            table.arrays.write(first, {key: column for key, column in columns.items() if key not in table.frames})
            for key, name in array_files(table).items():
                self._append(name, table.arrays[key])
            table.arrays.drop(n_slots)
        self._n_slots += n_slots
        self._lengths.append(episode.length)
        self._terminated.append(episode.terminated)

    def _append_chunks(self, name: str, frames: Frames) -> None:
        """Write the chunks that are full, and free their memory."""
        for number in frames.chunk_numbers:
            chunk = frames.chunk(number)
            self._append(name, chunk)
            self._chunks[name].append((self._files[name].size, zlib.crc32(chunk)))
        frames.drop_before(len(frames) - len(frames.tail))

    def _append(self, name: str, data: Any) -> None:
        """Add bytes or an array to a file."""
        if name not in self._files:
            self._files[name] = _File(self._data / name)
        if isinstance(data, np.ndarray) and data.dtype.names:
            clean = np.zeros_like(data)
            clean[...] = data  # leaves the gaps between fields zero
            data = clean
        self._files[name].write(data)

    def _finish(self) -> None:
        """Write what is known at the end only, and the header."""
        table = self._table
        for key, name in frame_files(table).items():
            column = table.frames[key]
            self._append(name, b"")
            self._append(f"{name}.chunks", np.array(self._chunks[name], INT))
            self._append(f"{name}.runs", column.runs.astype(INT))
            self._append(f"{name}.tail", column.frames.tail)
        self._append("lengths", np.array(self._lengths, INT))
        self._append("terminated", np.array(self._terminated, np.bool_))
        for file in self._files.values():
            file.close()
        content = {
            **self._content,
            "data": self._data.name,
            "columns": {key: [list(shape), dtype.str] for key, (shape, dtype) in table.layout.items()},
            "observations": list(table.observation_keys),
            "extras": list(table.extra_keys),
            "frames": {key: [column.stack, column.frames.per_chunk] for key, column in table.frames.items()},
            "files": {name: [file.size, file.checksum] for name, file in self._files.items()},
        }
        with whole_file(self._path / HEADER) as header:
            text = {"format": FORMAT, "checksum": checksum(content), "content": content}
            header.write(json.dumps(text).encode())


class _File:
    """A file that is written from front to back, with its size and CRC-32."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.size = self.checksum = 0

    def write(self, data: bytes | Array) -> None:
        view = data if isinstance(data, bytes) else np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
        self._file.write(view)
        self.size += len(view)
        self.checksum = zlib.crc32(view, self.checksum)

    def close(self) -> None:
        self._file.close()
