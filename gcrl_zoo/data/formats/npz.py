"""Reading ``.npz`` files: what they declare is checked first, and arrays come row by row.

``numpy.load`` leaves some ten kinds of exceptions to its caller, stops reading before the checksum of a shortened array
is compared, and holds each array as a whole.
"""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from gcrl_zoo.data.arrays import Array, DType
from gcrl_zoo.data.formats.containers import Form, Rows, check_expansion, reading_file, unreadable

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of a zip archive; the second one is empty
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy.savez and numpy.savez_compressed
FLAGS = 0x080E  # of members that are not encrypted: levels of compression, sizes after the data, names in UTF-8
NUMPY = b"\x93NUMPY"
LONGEST_HEADER = 10_000  # numpy's own limit
KINDS = "biufU"


class Npz:
    """An open ``.npz`` file, a :class:`~gcrl_zoo.data.formats.containers.Container`.

    :param file: open for reading
    :param name: for messages
    :raises ValueError: one sentence that names the file and says why it cannot be read
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        with reading_file(self.name):
            self._archive = zipfile.ZipFile(file)
            size = file.seek(0, io.SEEK_END)
        members = self._archive.infolist()
        self._check(members, size)
        self._members: dict[str, tuple[zipfile.ZipInfo, int, bool]] = {}  # with the length of the header, and the order
        self.forms: dict[str, Form] = {}
        for info in members:
            with reading_file(self.name):
                self._open(info)
        check_expansion(name, sum(form.nbytes for form in self.forms.values()), size)

    @property
    def checksums(self) -> dict[str, int]:
        """The CRC-32 of each array and its header, which is compared when the array has been read."""
        return {key: info.CRC for key, (info, _, _) in self._members.items()}

    def rows(self, key: str) -> Rows:
        """Read an array from its first row on; a single number counts as one row."""
        info, header, transposed = self._members[key]
        shape, dtype = self.forms[key]
        with reading_file(self.name):
            member: Any = self._archive.open(info)
            file = io.BufferedReader(member, 2**17)
            file.read(header)
        if transposed:
            whole = self._reader(file, key, shape[::-1], dtype)(shape[-1]).T
            return rows_of(whole)
        return self._reader(file, key, shape or (1,), dtype)

    def _reader(self, file: io.BufferedReader[Any], key: str, shape: tuple[int, ...], dtype: DType) -> Rows:
        left = shape[0]

        def read(n: int) -> Array:
            nonlocal left
            left -= n
            with reading_file(self.name):
                rows = np.empty((n, *shape[1:]), dtype)
                if left < 0 or file.readinto(rows.reshape(-1).view(np.uint8).data) != rows.nbytes:
                    raise ValueError(f"'{key}' is shorter than it declares")
                if not left and file.read(1):  # reading to the end compares the checksum
                    raise ValueError(f"'{key}' is longer than it declares")
            if dtype == np.bool_ and rows.view(np.uint8).max(initial=0) > 1:
                raise unreadable(self.name, f"'{key}' has values that are neither true nor false")
            return rows

        return read

    def _check(self, members: list[zipfile.ZipInfo], size: int) -> None:
        """Refuse what an archive written by NumPy cannot have."""
        if len({info.filename for info in members}) < len(members):
            raise unreadable(self.name, "two of its entries have the same name")
        for info in members:
            fault = (
                (not info.filename.endswith(".npy") and "is not an array")
                or (info.compress_type not in METHODS and "is compressed in a way that NumPy does not use")
                or (info.flag_bits & ~FLAGS and "is encrypted")
            )
            if fault:
                raise unreadable(self.name, f"its entry '{info.filename}' {fault}")
        if sum(info.compress_size for info in members) > size:
            raise unreadable(self.name, "its entries overlap")

    def _open(self, info: zipfile.ZipInfo) -> None:
        """Read the header of an array."""
        key = info.filename.removesuffix(".npy")
        with self._archive.open(info) as file:
            start = file.read(8)
            if start[:6] != NUMPY or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
                raise ValueError(f"'{key}' is not an array of NumPy")
            width = 2 if start[6] == 1 else 4
            length = int.from_bytes(file.read(width), "little")
            if length > LONGEST_HEADER:
                raise ValueError(f"'{key}' has a header of {length} bytes")
            form, transposed = _parse(file.read(length), key)
        header = 8 + width + length
        if info.file_size != header + form.nbytes:
            raise ValueError(f"'{key}' declares {form}, which is not what it holds")
        self._members[key] = info, header, transposed and len(form.shape) > 1
        self.forms[key] = form


@contextmanager
def open_npz(file: str | Path | IO[bytes]) -> Iterator[Npz]:
    """Open a file, or use an open one.

    :raises ValueError: one sentence that names the file and says why it cannot be read
    """
    if not isinstance(file, (str, Path)):
        yield Npz(file, str(getattr(file, "name", "The file object")))
        return
    try:
        opened = open(file, "rb")
    except OSError as error:
        raise unreadable(file, error.strerror or error) from error
    with opened:
        yield Npz(opened, str(file))


def rows_of(array: Array) -> Rows:
    """The next n rows of an array in memory."""
    start = 0

    def read(n: int) -> Array:
        nonlocal start
        start += n
        return array[start - n : start]

    return read


def _parse(header: bytes, key: str) -> tuple[Form, bool]:
    """The form that a header declares, and whether the array lies in Fortran's order."""
    try:
        fields = ast.literal_eval(header.decode("latin1").rstrip(" \n"))
        description, transposed, shape = fields["descr"], fields["fortran_order"], fields["shape"]
        dtype = np.dtype(description) if isinstance(description, str) else None
        valid = len(fields) == 3 and isinstance(transposed, bool) and isinstance(shape, tuple) and len(shape) <= 32
        valid = valid and all(type(n) is int and n >= 0 for n in shape)
    except Exception:  # whatever the parser of Python raises: the header is damaged
        raise ValueError(f"'{key}' has a damaged header") from None
    if dtype is not None and dtype.hasobject:
        raise ValueError(f"Object arrays such as '{key}' can run code, and are not loaded")
    if not valid or dtype is None or dtype.kind not in KINDS:
        raise ValueError(f"'{key}' has a header that declares no plain numbers")
    return Form(shape, dtype), transposed
