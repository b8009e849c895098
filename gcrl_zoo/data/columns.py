"""The columns of a store: what they are called, how they lie in memory, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gcrl_zoo.data.episode import FLOAT, Array, DType, Episode, EpisodeError
from gcrl_zoo.data.tape import Layout, Tape

PADDING = 0
"""The slot that belongs to no episode: every column is zero there."""

SLOT: DType = np.dtype(np.int32)
PACKED = "packed"
PACKED_BYTES = 256
RESERVED = frozenset({"first", "last", PACKED, "actions", "rewards", "return_to_go", "episode_return"})


class Columns(Tape):
    """The slots of a store.

    A batch reads most columns at the same random slots, and what it waits for is memory. Columns of few bytes per slot
    are therefore packed side by side in one array of records, and read together; images lie on their own. So do the
    bounds of episodes, ``first`` and ``last``, which samplers read before they know the slots.

    :param limit: rows beyond which the arrays grow only when the live ones would not fit
    :param name: what messages call the data
    """

    def __init__(self, limit: int | None, name: str) -> None:
        super().__init__({"first": ((), SLOT), "last": ((), SLOT)}, offset=PADDING + 1, limit=limit, name=name)
        self.layout: Layout = {}  # of what episodes bring; the first one decides
        self.observation_keys: tuple[str, ...] = ()
        self.extra_keys: tuple[str, ...] = ()

    def of(self, episode: Episode) -> dict[str, Array]:
        """The columns of one episode, checked to be those of all others."""
        columns = _columns(episode)
        layout = {key: (column.shape[1:], column.dtype) for key, column in columns.items()}
        if not self.layout:
            self.add_columns(_pack(layout))
            self.layout = layout
            self.observation_keys, self.extra_keys = tuple(episode.observations), tuple(episode.extras)
        if layout != self.layout:
            raise EpisodeError(f"has {_differences(layout, self.layout)}; give all episodes the same columns")
        return columns

    def write(self, columns: Mapping[str, Array], n_slots: int) -> int:
        """Add the slots of one episode, and return the first."""
        first = self.grow(n_slots)
        for key, column in columns.items():
            target = self.arrays[key] if key in self.arrays else self.arrays[PACKED][key]
            target[first : first + len(column)] = column
            target[first + len(column) : first + n_slots] = 0  # no action and no reward in the last slot
        self.arrays["first"][first : first + n_slots] = first
        self.arrays["last"][first : first + n_slots] = first + n_slots - 1
        return first


class Rows:
    """What a store holds at some slots. Packed columns have been read together, others are read when asked for.

    :param slots: of any shape
    :param check: raises an error for a column that must not be read
    :param changes: of what is read, by column: functions of (n, ...) entries, which return as many
    :param packed: the records at these slots, where they have been read already
    """

    def __init__(
        self,
        columns: Columns,
        slots: Array,
        check: Callable[[str], None],
        changes: Mapping[str, Callable[[Array], Array]],
        packed: Array | None = None,
    ) -> None:
        if packed is None and PACKED in columns.arrays:
            packed = columns.arrays[PACKED].take(slots)
        self._columns, self._slots, self._check, self._packed = columns, slots, check, packed
        self._changes = changes

    def __getitem__(self, column: str) -> Array:
        """One column: ``slots.shape`` + the shape of one entry. Packed ones come as strided views."""
        self._check(column)
        array = self._columns.arrays.get(column)
        if array is not None:
            values = array.take(self._slots, axis=0)
        else:
            assert self._packed is not None
            values = self._packed[column]
        if column not in self._changes:
            return values
        shape = np.shape(self._slots)
        changed = self._changes[column](values.reshape(-1, *values.shape[len(shape) :]))
        return np.ascontiguousarray(changed).reshape(*shape, *changed.shape[1:])

    def part(self, index: Any) -> Rows:
        """The rows at ``slots[index]``."""
        packed = None if self._packed is None else self._packed[index]
        return Rows(self._columns, self._slots[index], self._check, self._changes, packed)


def _columns(episode: Episode) -> dict[str, Array]:
    """Observations, extras and what follows from rewards: (T+1, ...) each, but (T, ...) actions and rewards."""
    given = [*episode.observations, *episode.extras]
    for key in given:
        if key in RESERVED:
            raise EpisodeError(f"calls an observation or extra '{key}', which is the store's own name; choose another")
        if given.count(key) > 1:
            raise EpisodeError(f"has both an observation and an extra '{key}'; choose another name for one of them")
    columns = {**episode.observations, **episode.extras}
    if episode.actions is not None:
        columns["actions"] = episode.actions
    if episode.rewards is not None:
        to_go = np.zeros(episode.length + 1)
        to_go[:-1] = episode.rewards[::-1].cumsum(dtype=np.float64)[::-1]
        columns["rewards"] = episode.rewards
        columns["return_to_go"] = to_go.astype(FLOAT)
        columns["episode_return"] = np.full(episode.length + 1, episode.episode_return, FLOAT)
    return columns


def _pack(layout: Layout) -> Layout:
    """The same columns, the small ones as fields of one."""
    small = [key for key, (shape, dtype) in layout.items() if np.dtype((dtype, shape)).itemsize <= PACKED_BYTES]
    # Aligned, because tensors cannot be made of fields whose distance is no multiple of their size.
    record = np.dtype([(key, layout[key][1], layout[key][0]) for key in small], align=True)
    large = {key: form for key, form in layout.items() if key not in small}
    return {**large, PACKED: ((), record)} if small else large


def _differences(layout: Layout, expected: Layout) -> str:
    def told(form: tuple[tuple[int, ...], DType] | None) -> str:
        return "nothing" if form is None else f"{form[1]} of shape {form[0]}"

    return " and ".join(
        f"'{key}' as {told(layout.get(key))} where earlier episodes have {told(expected.get(key))}"
        for key in sorted({*layout, *expected})
        if layout.get(key) != expected.get(key)
    )
