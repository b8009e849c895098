"""Reading a store: its episodes, its columns, and views of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from gymnasium import Space

from gcrl_zoo.data.checks import is_number, is_whole, whole
from gcrl_zoo.data.columns import Table
from gcrl_zoo.data.episode import FLOAT, Array, Episode
from gcrl_zoo.data.index import Index
from gcrl_zoo.data.recorded_wrappers import WrapperList
from gcrl_zoo.data.rows import Change, Rows, Shown, Stack

PORTION = 2**25
"""Numbers of which moments are computed at a time."""


class ReadableStore:
    """What can be read from a :class:`~gcrl_zoo.data.store.TrajectoryStore`."""

    name: str
    observation_space: Space[Any] | None
    action_space: Space[Any] | None
    wrappers: WrapperList | None  # of the recorded environment; None if unknown
    _table: Table  # shared with views, like the index
    _index: Index
    _shown: Shown
    _read_only: bool
    _made_at: int | None  # for a view of some episodes: the version that it shows

    @property
    def n_slots(self) -> int:
        """N, the number of slots."""
        return self.n_steps + self.n_episodes

    @property
    def n_steps(self) -> int:
        """Number of steps in all episodes."""
        return len(self._index.steps)

    @property
    def n_episodes(self) -> int:
        """M, the number of episodes."""
        return len(self._index.episodes)

    @property
    def version(self) -> int:
        """A number that grows with each append."""
        return self._table.version

    @property
    def nbytes(self) -> int:
        """Bytes of all numbers, memory-mapped ones included, and of the compressed images that are in memory."""
        return self._table.nbytes

    @property
    def has_actions(self) -> bool:
        """Whether actions can be read. False if none were recorded, and for an :meth:`unlabelled` view."""
        return "actions" in self._table.layout and "actions" not in self._shown.hidden

    @property
    def has_rewards(self) -> bool:
        """Whether rewards were recorded."""
        return "rewards" in self._table.layout

    @property
    def stacks(self) -> Mapping[str, Stack]:
        """By column, how its entries are stacked when they are read, see :meth:`stacked`."""
        return self._shown.stacks

    @property
    def observation_keys(self) -> tuple[str, ...]:
        """Columns with observations; none before the first episode."""
        return self._table.observation_keys

    @property
    def extra_keys(self) -> tuple[str, ...]:
        """Columns with extras; none before the first episode."""
        return self._table.extra_keys

    @property
    def slots(self) -> Array:
        """(N,) all slots in order, including those of final observations; computed at each call."""
        return np.sort(np.concatenate([self.steps, self.final_slots]))

    @property
    def steps(self) -> Array:
        """(n_steps,) int32 the slot of each step, oldest first."""
        self._check_current()
        return self._index.steps["slot"]

    @property
    def final_slots(self) -> Array:
        """(M,) int32 the slot of each final observation, oldest first."""
        self._check_current()
        return self._index.episodes["last"]

    @property
    def first(self) -> Array:
        """The first slot of the episode of each slot: int32, indexed by slot."""
        return self._table.arrays.arrays["first"]

    @property
    def last(self) -> Array:
        """The last slot of the episode of each slot: int32, indexed by slot."""
        return self._table.arrays.arrays["last"]

    @property
    def returns(self) -> Array:
        """(M,) float32 sum of rewards; zero without rewards."""
        return self._index.episodes["return"]

    @property
    def lengths(self) -> Array:
        """(M,) int64 number of steps T."""
        return self._index.episodes["length"]

    @property
    def terminated(self) -> Array:
        """(M,) bool: whether the episode ended in a terminal state (False: truncated)."""
        return self._index.episodes["terminated"]

    def take(self, column: str, slots: Array) -> Array:
        """Read entries of one column.

        :param column: a key of observations or extras, ``actions``, ``rewards``, ``return_to_go``, ``episode_return``
        :param slots: of any shape
        :return: ``slots.shape`` + the shape of one entry
        """
        return np.asarray(self.rows(slots)[column], order="C")

    def rows(self, slots: Array) -> Rows:
        """Read several columns at the same slots, which takes little longer than reading one of them.

        :param slots: of any shape
        :return: ``rows[column]`` is what :meth:`take` returns for this column
        """
        self._check_current()
        return Rows(self._table, slots, self._shown, self._check_readable)

    def episode(self, i: int) -> Episode:
        """Copy the i-th episode. A negative number counts from the newest one.

        :raises ValueError: there is no such episode
        """
        if not is_whole(i, -self.n_episodes) or i >= self.n_episodes:
            raise ValueError(f"Episode {i!r} of {self.name} was asked for, but it has {self.n_episodes} episodes.")
        i = int(i)
        last, length = int(self.final_slots[i]), int(self.lengths[i])
        slots = np.arange(last - length, last + 1)
        return Episode(
            observations={key: self.take(key, slots) for key in self.observation_keys},
            actions=self.take("actions", slots[:-1]) if self.has_actions else None,
            rewards=self.take("rewards", slots[:-1]) if self.has_rewards else None,
            terminated=bool(self.terminated[i]),
            extras={key: self.take(key, slots) for key in self.extra_keys},
        )

    def episodes(self) -> Iterator[Episode]:
        """Copies of all episodes, oldest first."""
        return (self.episode(i) for i in range(self.n_episodes))

    def best(self, fraction: float) -> Self:
        """A view of the episodes with the highest returns; of equal ones the newer. All of them are the store itself.

        The view shows the store as it is now. Using it after an append is an error.

        :param fraction: of the episodes, in (0, 1], rounded up to at least one episode
        :raises ValueError: the fraction is out of its range, or the store has no rewards or no episodes
        """
        if not is_number(fraction) or not 0 < fraction <= 1:
            raise ValueError(f"The best fraction {fraction!r} of {self.name} was asked for; give a number in (0, 1].")
        if not self.has_rewards or not self.n_episodes:
            missing = "rewards" if self.n_episodes else "episodes"
            raise ValueError(f"The best episodes of {self.name} were asked for, but it holds no {missing}.")
        if fraction == 1:
            return self
        count = math.ceil(round(fraction * self.n_episodes, 9))  # 0.07 * 100 is 7.000000000000001
        chosen = np.sort(np.argsort(self.returns, kind="stable")[-count:])
        return self._choose(chosen, f"the best {fraction:.2%} of {self.name}")

    def newest(self, count: int) -> Self:
        """A view of the newest episodes. Using it after an append is an error.

        :param count: of episodes, at least 1; a store that has fewer shows all
        :raises ValueError: the count is no whole number of at least 1
        """
        count = whole(count, f"The number of newest episodes of {self.name}")
        return self._choose(np.arange(self.n_episodes)[-count:], f"the newest of {self.name}")

    def _choose(self, chosen: Array, name: str) -> Self:
        """:param chosen: indices of episodes, ascending"""
        view = self._view(name)
        view._made_at = self.version
        view._index = self._index.choose(chosen, self.last)
        return view

    def unlabelled(self) -> Self:
        """A view without actions. It shows later episodes too."""
        view = self._view(self.name)
        view._shown = replace(self._shown, hidden=frozenset({"actions"}))
        return view

    def changed(self, changes: Mapping[str, Change]) -> Self:
        """A view in which columns are changed when they are read, such as images whose channels come first.

        It needs no memory, and shows later episodes too.

        :param changes: by column, a function of (n, ...) entries that returns n entries, in any shape and dtype
        """
        return self._showing(self._shown.changed(changes))

    def stacked(self, stacks: Mapping[str, Stack]) -> Self:
        """A view whose observations are stacks of the last frames, made when they are read.

        It needs no memory, and shows later episodes too.

        :param stacks: by column
        """
        return self._showing(self._shown.stacked(stacks))

    def _showing(self, shown: Shown) -> Self:
        view = self._view(self.name)
        view._shown = shown
        view.observation_space = None  # it is that of the store
        return view

    def moments(self, key: str) -> tuple[Array, Array]:
        """Mean and standard deviation of each dimension, float32, over all slots in which the column has an entry."""
        if not self.n_episodes:
            raise ValueError(f"The moments of '{key}' were asked for, but {self.name} holds no episodes.")
        slots = self.steps if key in ("actions", "rewards") else self.slots
        size = max(1, PORTION // max(1, self.take(key, slots[:1]).size))
        portions = [slots[start : start + size] for start in range(0, len(slots), size)]
        mean = sum(self.take(key, each).sum(axis=0, dtype=np.float64) for each in portions) / len(slots)
        variance = sum(np.square(self.take(key, each) - mean).sum(axis=0) for each in portions) / len(slots)
        return np.asarray(mean, FLOAT), np.asarray(np.sqrt(variance), FLOAT)

    def _view(self, name: str) -> Self:
        """A read-only store on the same memory."""
        view = copy.copy(self)
        view.name = name
        view._read_only = True
        return view

    def _check_current(self) -> None:
        if self._made_at is not None and self._made_at != self._table.version:
            raise ValueError(f"This view, {self.name}, was made before more episodes came in; make it again.")

    def _check_readable(self, column: str) -> None:
        if column in self._table.layout and column not in self._shown.hidden:
            return
        if column == "actions" and self.n_episodes:
            raise ValueError(f"The actions of {self.name} cannot be read, because this view of it is unlabelled.")
        known = ", ".join(self._table.layout) or "no episodes yet"
        raise ValueError(f"There is no column '{column}' in {self.name}; it has {known}.")
