"""Files of named arrays in any format. Shapes and dtypes are known before an array is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from gcrl_zoo.data.arrays import FLOAT, INT, Array, DType
from gcrl_zoo.data.memory import readable_size

Rows: TypeAlias = Callable[[int], Array]
"""Reads the next n rows of an array."""

NUMBERS = "biuf"
FACT_TYPES: tuple[DType, ...] = (FLOAT, INT, np.dtype(np.uint8), np.dtype(np.bool_))
"""In which stores keep observations and extras."""
HARMLESS = 2**28  # bytes
EXPANSION = 256  # observations of real data sets compress by less


class Form(NamedTuple):
    """Shape and dtype of an array in a file."""

    shape: tuple[int, ...]
    dtype: DType

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return "a group" if self.dtype.kind == "V" else f"{self.dtype} of shape {self.shape}"


class Container(Protocol):
    """An open file of arrays. Every error is a ValueError of one sentence that names the file."""

    @property
    def name(self) -> str:
        """Name of the file, for messages."""
        ...

    @property
    def forms(self) -> Mapping[str, Form]:
        """Shape and dtype of each array in the file."""
        ...

    def rows(self, key: str) -> Rows:
        """Read an array in parts, from its first row on."""
        ...


def read(container: Container, key: str) -> Array:
    """Load a whole array."""
    return container.rows(key)(container.forms[key].shape[0])


class UnreadableFile(ValueError):
    """A file is damaged or unsafe."""


def unreadable(name: object, reason: object) -> UnreadableFile:
    """The error for a damaged or unsafe file.

    :param name: of the file
    :param reason: in a few words, or the exception of a library
    """
    return UnreadableFile(f"{name} cannot be read ({one_line(reason)}); download or save it again.")


def one_line(reason: object) -> str:
    """Text for the middle of a sentence.

    :param reason: in a few words, or the exception of a library
    """
    return " ".join(str(reason).split()).rstrip(".") or type(reason).__name__


@contextmanager
def reading_file(name: object) -> Iterator[None]:
    """Replace every exception of the libraries that read a file by an error of one sentence.

    :param name: of the file
    :raises UnreadableFile: in place of an error in this block
    """
    try:
        yield
    except (MemoryError, UnreadableFile):
        raise
    except Exception as error:
        raise unreadable(name, error) from error


def check_expansion(name: str, declared: int, stored: int) -> None:
    """Refuse a small file that would fill the memory.

    :param name: of the file
    :param declared: bytes of all arrays as the file declares them
    :param stored: size of the file in bytes
    """
    if declared > max(HARMLESS, EXPANSION * stored):
        raise unreadable(
            name, f"it declares arrays of {readable_size(declared)}, which is more than {EXPANSION} times its own size"
        )


def check_numbers(container: Container, keys: Iterable[str]) -> int:
    """Check that columns have one row each per step, and hold plain numbers.

    :return: the number of rows
    :raises ValueError: a sentence that names the file and the column
    """
    keys = list(keys)
    n_rows = max((container.forms[key].shape[:1] or (0,))[0] for key in keys)
    for key in keys:
        shape, dtype = container.forms[key]
        if shape[:1] != (n_rows,):
            raise ValueError(
                f"{container.name} has '{key}' of shape {shape}, but its longest column has {n_rows} rows; "
                f"give one entry per row in every column."
            )
        if dtype.kind not in NUMBERS:
            raise ValueError(f"{container.name} has '{key}' of dtype {dtype}; give a column of plain numbers.")
    if not n_rows:
        raise ValueError(f"{container.name} has no rows in '{keys[0]}'; record some episodes first.")
    return n_rows


def read_flags(container: Container, key: str) -> Array:
    """Load a column that marks rows: (N,) or (N, 1) numbers, each 0 or 1.

    :return: (N,) bool
    :raises ValueError: a sentence that names the file and the column
    """
    n_rows, *rest = container.forms[key].shape
    if rest not in ([], [1]):
        raise ValueError(
            f"{container.name} has '{key}' of shape {container.forms[key].shape}; give one number per row."
        )
    flags = read(container, key).reshape(n_rows)
    odd = flags[~np.isin(flags, (0, 1))]
    if odd.size:
        raise ValueError(f"{container.name} has {odd[0]} in '{key}'; give 1 in rows that it marks and 0 elsewhere.")
    return flags.astype(np.bool_)
