"""Reading several columns of a store at the same slots, and showing them in another form than they are stored in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from gcrl_zoo.data.arrays import Array, EpisodeError
from gcrl_zoo.data.columns import Table

Change: TypeAlias = Callable[[Array], Array]
"""Takes (n, ...) entries of a column and returns n entries, in any shape and dtype."""


@runtime_checkable
class Reversible(Protocol):
    """A change that can be reversed, so that episodes can be appended to a store that shows it."""

    def __call__(self, entries: Array) -> Array:
        """Change (n, ...) entries as they are stored."""
        ...

    def undo(self, entries: Array) -> Array:
        """Return (n, ...) entries as they are stored."""
        ...


@dataclass(frozen=True)
class Stack:
    """How an environment stacks the last frames of an episode, see ``gymnasium.wrappers.FrameStackObservation``.

    :param size: number of frames, the oldest first
    :param padding: stands for frames from before the episode; None for the first frame of the episode
    """

    size: int
    padding: Array | None = None

    @classmethod
    def of_wrapper(cls, stack_size: int, padding_type: str, padding: Array) -> Stack:
        """The stack that the wrapper makes, from its attributes.

        :param stack_size: number of frames
        :param padding_type: ``"reset"`` for the first frame of the episode
        :param padding: stands for frames from before the episode, unless the type is ``"reset"``
        """
        return cls(int(stack_size), None if padding_type == "reset" else np.asarray(padding))

    def makes(self, stacks: Array) -> bool:
        """Whether the stacks (n, size, ...) of an episode consist of their newest frames and the padding."""
        if stacks.shape[1:2] != (self.size,):
            return False
        wanted = np.arange(len(stacks))[:, None] + np.arange(1 - self.size, 1)
        return np.array_equal(stacks, self.padded(stacks[:, -1][np.maximum(wanted, 0)], wanted < 0))

    def equals(self, other: Stack) -> bool:
        """Whether both stack frames in the same way."""
        return self.size == other.size and np.array_equal(self.padding, other.padding)  # type: ignore[arg-type]

    def padded(self, stacks: Array, before: Array) -> Array:
        """The stacks with padding where ``before`` is True."""
        if self.padding is not None:
            stacks[before] = self.padding
        return stacks


@dataclass(frozen=True)
class Shown:
    """What a store shows of its table, and in which form.

    :param changes: by column, what is applied to entries that are read
    :param stacks: by column, how frames are stacked, after the changes
    :param hidden: columns that must not be read
    """

    changes: Mapping[str, Change] = field(default_factory=dict)
    stacks: Mapping[str, Stack] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    @cached_property
    def altered(self) -> frozenset[str]:
        """Columns that are not shown as they are stored."""
        return frozenset({*self.changes, *self.stacks, *self.hidden})

    def changed(self, changes: Mapping[str, Change]) -> Shown:
        """The same with further changes, which come after those that are there."""
        earlier = dict(self.changes)
        for key, change in changes.items():
            earlier[key] = partial(_one_after_another, earlier[key], change) if key in earlier else change
        return replace(self, changes=earlier)

    def stored(self, observations: Mapping[str, Array]) -> dict[str, Array]:
        """Observations of an episode, (T+1, ...) each, in the form in which they are stored.

        :raises EpisodeError: stacks are not those that are made of the stored frames
        """
        found = dict(observations)
        for key, stack in self.stacks.items():
            if key not in found:
                continue
            if not stack.makes(found[key]):
                raise EpisodeError(
                    f"has stacks in '{key}' that differ from those of gymnasium.wrappers.FrameStackObservation; "
                    "put wrappers that change observations inside of it"
                )
            found[key] = found[key][:, -1]
        for key, change in self.changes.items():
            if isinstance(change, Reversible) and key in found:
                found[key] = change.undo(found[key])
        return found

    def renamed(self, sources: Mapping[str, str]) -> Shown:
        """The same for other columns.

        :param sources: by new name, the old one; columns that are not named are left out
        """
        changes = {key: self.changes[old] for key, old in sources.items() if old in self.changes}
        stacks = {key: self.stacks[old] for key, old in sources.items() if old in self.stacks}
        return Shown(changes, stacks)

    def stacked(self, stacks: Mapping[str, Stack]) -> Shown:
        """The same with other stacks."""
        return replace(self, stacks={**self.stacks, **stacks})


class Rows:
    """What a store holds at some slots. Packed columns are read together, others when they are asked for.

    :param table: of the store
    :param slots: of any shape
    :param shown: in which form
    :param check: raises an error for a column that must not be read
    :param records: the packed columns at these slots, if they have been read already
    """

    def __init__(
        self,
        table: Table,
        slots: Array,
        shown: Shown,
        check: Callable[[str], None] = lambda column: None,
        records: Array | None = None,
    ) -> None:
        self._table, self._slots, self._shown, self._check = table, slots, shown, check
        self._records = table.arrays.records(slots) if records is None else records
        packed = table.arrays.packed
        self._plain = packed - shown.altered if shown.altered else packed

    def __getitem__(self, column: str) -> Array:
        """One column: ``slots.shape`` + the shape of one entry. Packed ones are strided views."""
        if column in self._plain and self._records is not None:  # the fast way, of most columns
            return self._records[column]
        self._check(column)
        stack = self._shown.stacks.get(column)
        return self._entries(column, self._slots, self._records) if stack is None else self._stacks(column, stack)

    def part(self, index: Any) -> Rows:
        """The rows at ``slots[index]``."""
        records = None if self._records is None else self._records[index]
        return Rows(self._table, self._slots[index], self._shown, self._check, records)

    def _entries(self, column: str, slots: Array, records: Array | None) -> Array:
        """Entries at slots, with the changes."""
        frames = self._table.frames.get(column)
        values = self._table.arrays.read(column, slots, records) if frames is None else frames.take(slots)
        if column not in self._shown.changes:
            return values
        shape = np.shape(slots)
        changed = self._shown.changes[column](values.reshape(-1, *values.shape[len(shape) :]))
        return np.ascontiguousarray(changed).reshape(*shape, *changed.shape[1:])

    def _stacks(self, column: str, stack: Stack) -> Array:
        """The last frames at each slot: ``slots.shape`` + (size, ...)."""
        arrays = self._table.arrays
        wanted = np.asarray(self._slots)[..., None] + np.arange(1 - stack.size, 1)
        first = arrays.arrays["first"].take(self._slots)[..., None]
        inside = np.maximum(wanted, first)
        return stack.padded(self._entries(column, inside, arrays.records(inside)), wanted < first)


def _one_after_another(first: Change, second: Change, entries: Array) -> Array:
    return second(first(entries))
