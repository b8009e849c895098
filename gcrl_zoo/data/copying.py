"""Copies the columns of a store. Compressed images are shared, not copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from gcrl_zoo.data.arrays import Array, DType
from gcrl_zoo.data.columns import PADDING, Table
from gcrl_zoo.data.rows import Reversible, Rows, Shown

PORTION = 2**24
"""Bytes that are copied at a time."""


def split(table: Table, shown: Shown, single_frames: bool) -> tuple[Shown, Shown]:
    """Split what a store shows into what a copy shows too, and what is applied when it is made.

    Images keep changes that can be reversed, since compressed images are shared as they are.

    :param single_frames: keep stacks, too
    """
    stacks = {} if single_frames else shown.stacks
    kept = {
        key: change
        for key, change in shown.changes.items()
        if key in table.frames and isinstance(change, Reversible) and key not in stacks
    }
    applied = {key: change for key, change in shown.changes.items() if key not in kept}
    return Shown(kept, shown.stacks if single_frames else {}), Shown(applied, stacks)


def copy_columns(
    table: Table,
    applied: Shown,
    slots: Array,
    lengths: Array,
    sources: Mapping[str, str | Array],
    dtypes: Mapping[str, DType],
    keys: tuple[tuple[str, ...], tuple[str, ...]],
    name: str,
) -> Table:
    """A new table with the entries of some slots, at the slots 1, 2, ...

    :param applied: changes of its columns
    :param slots: (N,) of whole episodes, one after another
    :param lengths: (M,) number of steps of the episodes
    :param sources: by new column, the column that it is copied from, or its entries (N, ...)
    :param dtypes: by new column, where the dtype changes
    :param keys: of observations and of extras
    :param name: what messages call the data
    """
    shared = {
        key: source
        for key, source in sources.items()
        if isinstance(source, str)
        and source in table.frames
        and source not in applied.altered
        and dtypes.get(key, np.uint8) == np.uint8
    }
    layout = {key: table.layout[source] for key, source in shared.items()}
    copied = {key: source for key, source in sources.items() if key not in shared}

    def read(start: int, stop: int) -> dict[str, Array]:
        rows = Rows(table, slots[start:stop], applied)
        found = {key: rows[source] if isinstance(source, str) else source[start:stop] for key, source in copied.items()}
        return {key: values.astype(dtypes.get(key, values.dtype), copy=False) for key, values in found.items()}

    one = read(0, 1)
    layout |= {key: (values.shape[1:], values.dtype) for key, values in one.items()}
    new = Table(None, name)
    new.set_layout({key: layout[key] for key in sources}, *keys)
    for key, source in shared.items():
        new.frames[key] = table.frames[source].share(slots)
    new.arrays.reserve(len(slots))
    new.arrays.grow(len(slots))
    for start, stop in _portions(len(slots), sum(values.nbytes for values in one.values())):
        new.fill(PADDING + 1 + start, read(start, stop))
    ends = PADDING + np.cumsum(lengths + 1)
    new.arrays["first"][:] = np.repeat(ends - lengths, lengths + 1)
    new.arrays["last"][:] = np.repeat(ends, lengths + 1)
    return new


def _portions(n: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut n entries of some bytes each."""
    step = max(1, PORTION // max(1, size))
    return ((start, min(n, start + step)) for start in range(0, n, step))
