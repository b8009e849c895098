"""Arrays that grow at the end and are dropped from the front."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gcrl_zoo.data.arrays import Array
from gcrl_zoo.data.columns.base import Layout
from gcrl_zoo.data.memory import memory_for


class GrowingArrays:
    """Arrays of equal length whose live rows ``start:stop`` are always contiguous.

    New rows go behind the last one. When the arrays are full, the live rows move back to the beginning if that frees
    enough room, and else to larger arrays: either way a row is moved a constant number of times on average.

    :param layout: shape of one row and dtype of each array
    :param offset: rows at the beginning that are never used and stay zero
    :param limit: rows beyond which the arrays grow only when the live rows would not fit
    :param name: what messages call the data
    """

    def __init__(self, layout: Layout, offset: int = 0, limit: int | None = None, name: str = "The data") -> None:
        self.arrays: dict[str, Array] = {}
        self.offset, self.limit, self.name = offset, limit, name
        self.start = self.stop = self.rows = offset
        self.version = 0  # counts the changes
        self.add_arrays(layout)

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, key: str) -> Array:
        """The live rows of one array, not copied."""
        return self.arrays[key][self.start : self.stop]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and deepcopy leave out the room behind the last row."""
        arrays = {key: array[: self.stop] for key, array in self.arrays.items()}
        return {**self.__dict__, "arrays": arrays, "rows": self.stop}

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, memory-mapped ones and the room behind the last row included."""
        return sum(array.nbytes for array in self.arrays.values())

    def add_arrays(self, layout: Layout) -> None:
        """Add arrays, which is possible only while there are no rows.

        :raises ValueError: they do not fit into memory
        """
        assert not len(self)
        with memory_for(self.rows * _row_bytes(layout), self.name):
            for key, (shape, dtype) in layout.items():
                self.arrays[key] = np.zeros((self.rows, *shape), dtype=dtype)

    def adopt(self, arrays: Mapping[str, Array]) -> None:
        """Use these arrays instead of empty ones. They begin with the rows that are never used."""
        assert not len(self) and {key: array.dtype for key, array in arrays.items()} == {
            key: array.dtype for key, array in self.arrays.items()
        }
        self.arrays = dict(arrays)
        self.stop = self.rows = min(map(len, arrays.values()))
        self.version += 1

    def select(self, rows: Array) -> GrowingArrays:
        """New arrays with copies of these live rows."""
        chosen = GrowingArrays({key: (array.shape[1:], array.dtype) for key, array in self.arrays.items()})
        chosen.grow(len(rows))
        for key in self.arrays:
            chosen[key][...] = self[key][rows]
        return chosen

    def grow(self, n: int) -> int:
        """Add n rows, not yet written, and return the number of the first."""
        self.reserve(n)
        self.stop += n
        self.version += 1
        return self.stop - n

    def drop(self, n: int) -> None:
        """Remove the n oldest rows."""
        self.start += n

    def reserve(self, n: int) -> int:
        """Make room for n more rows, and return by how many rows the live ones moved back.

        :raises ValueError: they do not fit into memory; the rows that are there stay as they are
        """
        if self.stop + n <= self.rows:
            return 0
        live, moved = len(self), self.start - self.offset
        needed = self.offset + live + n
        # Moving within the arrays must free an eighth of them, or arrays that are almost full would move at every call.
        enlarge = needed > self.rows or moved < self.rows // 8
        rows = self.rows
        if enlarge:
            rows += rows // 2
            rows = max(needed, rows if self.limit is None else min(rows, self.limit))
        layout = {key: (array.shape[1:], array.dtype) for key, array in self.arrays.items()}
        with memory_for(enlarge * rows * _row_bytes(layout), self.name):
            targets = {k: np.empty((rows, *shape), dtype) for k, (shape, dtype) in layout.items()} if enlarge else {}
        for key, array in self.arrays.items():
            target = targets.pop(key, array)
            if enlarge:
                target[: self.offset] = np.zeros((), dtype=array.dtype)
            _bytes(target)[self.offset : self.offset + live] = _bytes(array)[self.start : self.stop]
            self.arrays[key] = target
        self.start, self.stop, self.rows = self.offset, self.offset + live, rows
        return moved


def _row_bytes(layout: Layout) -> int:
    """Size of one row in memory."""
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in layout.values())


def _bytes(array: Array) -> Array:
    """Records as opaque bytes: numpy moves those at once, but records field by field."""
    return array.view(np.dtype((np.void, array.itemsize))) if array.dtype.names else array
