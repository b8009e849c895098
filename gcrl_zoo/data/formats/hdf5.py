"""Reads HDF5 files from untrusted sources.

HDF5 can take the data of an array from other files (links, external storage, virtual datasets), load filters from
shared libraries, and declare any size with almost nothing stored. Only what a real recording contains is read: numbers
that are stored in this very file, in sizes that it can hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gcrl_zoo.data.arrays import Array
from gcrl_zoo.data.formats.containers import NUMBERS, Form, Rows, check_expansion, reading_file, unreadable

if TYPE_CHECKING:
    import h5py
    from h5py.h5d import DatasetID
    from h5py.h5g import GroupID

# h5py itself is imported late: most runs have no HDF5 file, and should not wait for it.

MAGIC = b"\x89HDF\r\n\x1a\n"
FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # deflate, shuffle, fletcher32, szip, nbit, scaleoffset and lzf: all built in
COMPRESSION = 1100  # deflate shortens by 1,032 at most
UNWRITTEN = 2**16  # bytes that may be declared with nothing stored, as for an array of zeros
LARGEST_CHUNK = 2**26
CHUNK_CACHE = 2**25  # an episode begins in the chunks in which the one before ends: decompress them once
ENTRY = 16  # bytes of an entry of any length: its size and where it lies
GROUP = np.dtype(np.void)


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5]:
    """Open a file.

    :raises ValueError: one sentence that names the file: HDF5 cannot read it
    """
    import h5py

    if not path.is_file():  # opening a named pipe would wait forever
        raise unreadable(path, "it is not a regular file")
    with reading_file(path):
        file = h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE)
    with file:
        with reading_file(path):
            opened = Hdf5(file, path)
        yield opened


class Hdf5:
    """An open file, a :class:`~gcrl_zoo.data.formats.containers.Container` of the arrays at its root.

    A group appears under its name with a slash at the end. Its contents are not read.

    :param file: open for reading
    :param path: of the file
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        from h5py import h5o

        self.name = str(path)
        self._file, self._path = file, path
        self._size = os.path.getsize(path)
        self._seen = {h5o.get_info(file.id).addr}  # addresses of objects
        self._declared = self._stored = 0

    @cached_property
    def forms(self) -> dict[str, Form]:
        """Shape and dtype of each array at the root. They are checked here."""
        from h5py import h5d

        found: dict[str, Form] = {}
        with reading_file(self.name):
            for key, item in self._members(self._file.id, ""):
                if isinstance(item, h5d.DatasetID):
                    self._check(item, key, NUMBERS)
                    found[key] = Form(item.shape, item.dtype)
                else:
                    found[f"{key}/"] = Form((), GROUP)
            check_expansion(self.name, self._declared, self._size)
        return found

    def rows(self, key: str) -> Rows:
        """Read an array from its first row on."""
        dataset, start = self._file[key], 0

        def read(n: int) -> Array:
            nonlocal start
            with reading_file(self.name):
                rows: Array = dataset[start : start + n]
            start += n
            return rows

        return read

    def lengths(self) -> dict[str, int]:
        """Check everything in the file, for readers that read all of it; strings and bytes of any length included.

        :return: the number of rows of each array, by its path
        :raises ValueError: one sentence that names the file and what it must not have
        """
        found: dict[str, int] = {}
        with reading_file(self.name):
            self._walk(self._file.id, "", found)
            check_expansion(self.name, self._declared, self._size)
        return found

    def _walk(self, group: GroupID, place: str, found: dict[str, int]) -> None:
        from h5py import h5d

        for key, item in self._members(group, place):
            if isinstance(item, h5d.DatasetID):
                self._check(item, key, NUMBERS + "SO")
                found[key] = item.shape[0] if item.shape else 1
            else:
                self._walk(item, f"{key}/", found)

    # The functions below use h5py's low-level interface: the other one takes twice as long as reading the episodes.

    def _members(self, group: GroupID, place: str) -> Iterator[tuple[str, DatasetID | GroupID]]:
        """What lies in a group itself: no links to elsewhere, and nothing twice."""
        from h5py import h5d, h5g, h5l, h5o

        for name in group:
            key = place + name.decode("utf-8", "replace")
            if group.links.get_info(name).type != h5l.TYPE_HARD:
                raise self._refused(key, "is a link to another place or file")
            item = h5o.open(group, name)
            address = h5o.get_info(item).addr
            if address in self._seen or not isinstance(item, (h5g.GroupID, h5d.DatasetID)):
                raise self._refused(key, "is not a separate array or group")
            self._seen.add(address)
            yield key, item

    def _check(self, dataset: DatasetID, key: str, kinds: str) -> None:
        """Refuse whatever is not stored here, as plain numbers, in about the size that it declares."""
        from h5py import h5d, h5s

        created, dtype = dataset.get_create_plist(), dataset.dtype
        layout = created.get_layout()
        if created.get_external_count() or layout not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED):
            raise self._refused(key, "takes its data from other places or files")
        if dtype.kind not in kinds or dataset.get_space().get_simple_extent_type() == h5s.NULL:
            raise self._refused(key, f"holds no plain numbers (its dtype is {dtype})")
        filters = {created.get_filter(i)[0] for i in range(created.get_nfilters())}
        if not filters <= FILTERS:
            raise self._refused(key, "is compressed in a way that HDF5 does not have built in")
        declared, stored = prod(dataset.shape) * dtype.itemsize, dataset.get_storage_size()
        chunk = prod(created.get_chunk()) * dtype.itemsize if layout == h5d.CHUNKED else 0
        if declared > UNWRITTEN + COMPRESSION * stored or chunk > max(LARGEST_CHUNK, declared):
            raise self._refused(key, f"declares {max(declared, chunk):,} bytes, but stores {stored:,}")
        if dtype.kind == "O":
            declared = self._size_of_entries(dataset, key, bool(filters))
        self._declared += declared
        self._stored += stored
        if self._stored > self._size:
            raise self._refused(key, "stores more than the file can hold")

    def _size_of_entries(self, dataset: DatasetID, key: str, filtered: bool) -> int:
        """Sum of the sizes of strings or compressed frames, taken from the file before any of them is loaded."""
        from h5py import check_vlen_dtype

        base, widths = check_vlen_dtype(dataset.dtype), self._file.id.get_create_plist().get_sizes()
        if (base not in (str, bytes) and base != np.uint8) or filtered or widths != (8, 8):
            raise self._refused(key, f"holds no plain numbers (its dtype is {dataset.dtype})")
        entries = ENTRY * prod(dataset.shape)
        size = sum(int(np.frombuffer(part, "<u4")[::4].sum(dtype=np.uint64)) for part in self._parts(dataset, entries))
        if size > self._size:
            raise self._refused(key, f"declares {size:,} bytes, which is more than the file has")
        return entries + size

    def _parts(self, dataset: DatasetID, size: int) -> Iterator[bytes]:
        """The raw entries of a dataset, in the parts in which they lie in the file."""
        from h5py import h5d

        places = [(dataset.get_offset(), size)]
        if dataset.get_create_plist().get_layout() == h5d.CHUNKED:
            chunks = map(dataset.get_chunk_info, range(dataset.get_num_chunks()))
            places = [(chunk.byte_offset, chunk.size) for chunk in chunks]
        with self._path.open("rb") as file:
            for offset, length in places:
                if offset is not None:  # None: nothing is stored
                    file.seek(offset)
                    yield file.read(length - length % ENTRY)

    def _refused(self, key: str, fault: str) -> ValueError:
        return unreadable(self.name, f"'{key}' {fault}")
