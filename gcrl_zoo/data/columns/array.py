"""Columns that lie in memory as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gcrl_zoo.data.arrays import Array
from gcrl_zoo.data.columns.base import PADDING, SLOT, Column, Layout
from gcrl_zoo.data.columns.growing import GrowingArrays

PACKED = "packed"
PACKED_BYTES = 256


class ArrayColumns(GrowingArrays, Column[Mapping[str, Array]]):
    """All columns of a store that are not images.

    A batch reads most columns at the same random slots, and what it waits for is memory. Columns of few bytes per slot
    are therefore packed side by side in one array of records, and read together. Larger ones lie in arrays of their
    own. So do the bounds of episodes, ``first`` and ``last``, which samplers read before they know the slots.

    :param limit: slots beyond which the arrays grow only when the live ones would not fit
    :param name: what messages call the data
    """

    def __init__(self, limit: int | None, name: str) -> None:
        super().__init__({"first": ((), SLOT), "last": ((), SLOT)}, offset=PADDING + 1, limit=limit, name=name)
        self.packed: frozenset[str] = frozenset()  # names of the packed columns

    def add_columns(self, layout: Layout) -> None:
        """Add columns, which is possible only while there are no slots."""
        small = [key for key, (shape, dtype) in layout.items() if np.dtype((dtype, shape)).itemsize <= PACKED_BYTES]
        # Aligned, because tensors cannot be made of fields whose distance is no multiple of their size.
        record = np.dtype([(key, layout[key][1], layout[key][0]) for key in small], align=True)
        self.packed = frozenset(small)
        large = {key: form for key, form in layout.items() if key not in small}
        self.add_arrays({**large, PACKED: ((), record)} if small else large)

    def records(self, slots: Array) -> Array | None:
        """The packed columns, read together: fields of an array of ``slots.shape``. None if no column is packed."""
        return self.arrays[PACKED].take(slots) if PACKED in self.arrays else None

    def read(self, column: str, slots: Array, records: Array | None) -> Array:
        """One column, which is a strided view if it is packed.

        :param records: what :meth:`records` returned for these slots
        """
        array = self.arrays.get(column)
        if array is not None:
            return array.take(slots, axis=0)
        assert records is not None
        return records[column]

    def take(self, slots: Array) -> Mapping[str, Array]:
        records = self.records(slots)
        names = {*self.arrays, *self.packed} - {PACKED}
        return {name: self.read(name, slots, records) for name in names}

    def write(self, first: int, values: Mapping[str, Array]) -> None:
        n_slots = self.stop - first
        self.fill(first, values)
        for key, value in values.items():  # no action and no reward in the last slot
            self._array(key)[first + len(value) : first + n_slots] = 0
        self.arrays["first"][first : first + n_slots] = first
        self.arrays["last"][first : first + n_slots] = first + n_slots - 1

    def fill(self, first: int, values: Mapping[str, Array]) -> None:
        """Overwrite the entries of the slots from ``first`` on."""
        for key, value in values.items():
            self._array(key)[first : first + len(value)] = value

    def _array(self, column: str) -> Array:
        return self.arrays[column] if column in self.arrays else self.arrays[PACKED][column]

    def relocate(self, moved: int) -> None:
        for bound in (self["first"], self["last"]):
            bound -= moved
