"""What all columns of a store have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from gcrl_zoo.data.arrays import Array, DType

PADDING = 0
"""The slot that belongs to no episode: every column is zero there."""

SLOT: DType = np.dtype(np.int32)
RESERVED = frozenset({"first", "last", "packed", "actions", "rewards", "return_to_go", "episode_return"})
"""Names that observations and extras cannot have."""

Layout: TypeAlias = Mapping[str, tuple[tuple[int, ...], DType]]
"""By column: the shape of one entry and its dtype."""

ValuesT = TypeVar("ValuesT")


class Column(Protocol[ValuesT]):
    """One column of a store, or several that are read together.

    A slot is the number of an entry. Slots are written in ascending order without gaps, from 1 on, and dropped from the
    front; slot 0 (:data:`PADDING`) reads as zeros.
    """

    def take(self, slots: Array) -> ValuesT:
        """Read entries.

        :param slots: of any shape
        :return: ``slots.shape`` + the shape of one entry
        """
        ...

    def write(self, first: int, values: ValuesT) -> None:
        """Write the entries of the slots ``first``, ``first + 1``, ..., behind all others."""
        ...

    def drop(self, n: int) -> None:
        """Remove the n oldest entries."""
        ...

    def relocate(self, moved: int) -> None:
        """Reduce the slot number of every entry by ``moved``."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        ...
