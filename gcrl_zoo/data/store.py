"""The store: all episodes end to end in flat columns, so that a batch is a gather."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from gymnasium import Space

from gcrl_zoo.data.checks import is_number, is_whole, optional_whole, whole
from gcrl_zoo.data.columns import SLOT, Table
from gcrl_zoo.data.columns.growing import GrowingArrays
from gcrl_zoo.data.episode import FLOAT, INT, Array, Episode, EpisodeError
from gcrl_zoo.data.formats import own
from gcrl_zoo.data.rows import Change, Rows, Shown, Stack


class TrajectoryStore:
    """Episodes in flat columns. An episode of T steps takes T + 1 slots, the last one for its final observation.

    A slot is a row of all columns. ``steps`` lists the slots at which something was done; ``first[slot]`` and
    ``last[slot]`` bound the episode that a slot belongs to, so a slot is a step iff ``slot < last[slot]``. Columns
    are the keys of observations and extras, and, where known, ``actions`` and ``rewards`` (zero in the last slot),
    ``return_to_go`` (sum of rewards from this step to the end) and ``episode_return``.

    Slot numbers hold until the next :meth:`append`, which may move or evict older episodes.

    :param capacity: slots to keep at most; beyond it whole episodes leave, oldest first. None keeps all.
    :param name: what messages call this store, such as a dataset id
    :param observation_space: of the recorded environment, where known
    :param action_space: of the recorded environment, where known
    """

    def __init__(
        self,
        capacity: int | None = None,
        name: str = "own play",
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
    ) -> None:
        capacity = optional_whole(capacity, f"The capacity (slots) of {name}", least=2)
        self.capacity = capacity
        self.name = name
        self.observation_space = observation_space
        self.action_space = action_space
        self._read_only = False
        self._shown = Shown()
        self._made_at: int | None = None  # for a view of some episodes: the version that it shows

        # What grows lies in objects that views share: one row per slot, one per step (its slot), one per episode.
        limit = None if capacity is None else capacity + capacity // 4
        self._table = Table(limit, name)
        self._steps = GrowingArrays({"slot": ((), SLOT)}, limit=limit)
        self._episodes = GrowingArrays(
            {"last": ((), SLOT), "length": ((), INT), "return": ((), FLOAT), "terminated": ((), np.dtype(np.bool_))}
        )

    @classmethod
    def from_episodes(
        cls,
        episodes: Iterable[Episode],
        capacity: int | None = None,
        name: str = "own play",
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
        n_slots: int | None = None,
    ) -> TrajectoryStore:
        """A store of these episodes; errors name the episode.

        :param n_slots: slots that a lazy iterable will need, so that memory is taken only once
        :raises ValueError: an episode has a fault, which the message names, or an argument is out of its range
        """
        store = cls(capacity, name, observation_space, action_space)
        n_slots = optional_whole(n_slots, "n_slots", least=0)
        if n_slots is None and isinstance(episodes, Sequence):
            n_slots = sum(episode.length + 1 for episode in episodes if isinstance(episode, Episode))
        if n_slots is not None:
            n_slots = n_slots if capacity is None else min(n_slots, capacity)
            store._table.reserve(n_slots)
            store._steps.reserve(n_slots)
        count = 0
        try:
            for episode in episodes:
                store.append(episode)
                count += 1
        except EpisodeError as error:
            raise error.at(f"Episode {count} of {name}") from None
        return store

    @property
    def n_slots(self) -> int:
        """N, the number of slots."""
        return self.n_steps + self.n_episodes

    @property
    def n_steps(self) -> int:
        """Number of steps in all episodes."""
        return len(self._steps)

    @property
    def n_episodes(self) -> int:
        """M, the number of episodes."""
        return len(self._episodes)

    @property
    def version(self) -> int:
        """Grows with each append."""
        return self._table.version

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use, compressed images as they are; memory-mapped files do not count."""
        return self._table.nbytes

    @property
    def has_actions(self) -> bool:
        """Whether actions can be read: they were recorded, and this is no :meth:`unlabelled` view."""
        return "actions" in self._table.layout and "actions" not in self._shown.hidden

    @property
    def has_rewards(self) -> bool:
        """Whether rewards were recorded."""
        return "rewards" in self._table.layout

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
        """(N,) all slots in order, those of final observations included; computed anew at each call."""
        return np.sort(np.concatenate([self.steps, self.final_slots]))

    @property
    def steps(self) -> Array:
        """(n_steps,) int32 the slot of each step, oldest first."""
        self._check_fresh()
        return self._steps["slot"]

    @property
    def final_slots(self) -> Array:
        """(M,) int32 the slot of each final observation, oldest first."""
        self._check_fresh()
        return self._episodes["last"]

    @property
    def first(self) -> Array:
        """int32, indexed by slot: the first slot of its episode."""
        return self._table.arrays.arrays["first"]

    @property
    def last(self) -> Array:
        """int32, indexed by slot: the last slot of its episode."""
        return self._table.arrays.arrays["last"]

    @property
    def returns(self) -> Array:
        """(M,) float32 sum of rewards; zero without rewards."""
        return self._episodes["return"]

    @property
    def lengths(self) -> Array:
        """(M,) int64 number of steps T."""
        return self._episodes["length"]

    @property
    def terminated(self) -> Array:
        """(M,) bool: ended in a terminal state instead of being cut."""
        return self._episodes["terminated"]

    def take(self, column: str, slots: Array) -> Array:
        """The only door to the data.

        :param column: a key of observations or extras, ``actions``, ``rewards``, ``return_to_go``, ``episode_return``
        :param slots: of any shape
        :return: ``slots.shape`` + the shape of one entry
        """
        return np.asarray(self.rows(slots)[column], order="C")

    def rows(self, slots: Array) -> Rows:
        """:meth:`take` for several columns of the same slots, which costs hardly more than one of them.

        :param slots: of any shape
        :return: what gives a column as ``rows[column]``
        """
        self._check_fresh()
        return Rows(self._table, slots, self._shown, self._check_readable)

    def episode(self, i: int) -> Episode:
        """A copy of the i-th episode; a negative number counts from the newest.

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

    def append(self, episode: Episode) -> None:
        """Add an episode; those for which there is no room any more leave, oldest first.

        :raises ValueError: the store is read-only, or the episode does not fit
        """
        if not isinstance(episode, Episode):
            raise ValueError(f"{self.name} keeps objects of the class Episode; a {type(episode).__name__} was given.")
        if self._read_only:
            raise ValueError(f"{self.name} is read-only, being a view or a shared dataset; append to a copy() of it.")
        length = episode.length
        if self.capacity is not None and length + 1 > self.capacity:
            raise EpisodeError(
                f"takes {length + 1} slots, more than the capacity of {self.name} ({self.capacity}); "
                f"raise the capacity (buffer_size) or cut episodes earlier with max_episode_steps"
            )
        columns = self._table.check_and_layout(episode)
        self._make_room(length + 1)
        first = self._table.write(columns, length + 1)
        last = first + length
        step = self._steps.grow(length)
        self._steps.arrays["slot"][step : step + length] = np.arange(first, last)
        row = self._episodes.grow(1)
        facts = {"last": last, "length": length, "return": episode.episode_return, "terminated": episode.terminated}
        for key, fact in facts.items():
            self._episodes.arrays[key][row] = fact

    def best(self, fraction: float) -> TrajectoryStore:
        """A view of the episodes of highest return; among equals the later ones.

        It shows the store as it is now: using it after the store has changed is an error.

        :param fraction: of the episodes, in (0, 1], rounded up to at least one episode
        :raises ValueError: the fraction is out of its range, or the store has no rewards or no episodes
        """
        if not is_number(fraction) or not 0 < fraction <= 1:
            raise ValueError(f"The best fraction {fraction!r} of {self.name} was asked for; give a number in (0, 1].")
        if not self.has_rewards or not self.n_episodes:
            missing = "rewards" if self.n_episodes else "episodes"
            raise ValueError(f"The best episodes of {self.name} were asked for, but it holds no {missing}.")
        count = math.ceil(round(fraction * self.n_episodes, 9))  # 0.07 * 100 is 7.000000000000001
        chosen = np.sort(np.argsort(self.returns, kind="stable")[-count:])
        return self._choose(chosen, f"the best {fraction:.2%} of {self.name}")

    def newest(self, count: int) -> TrajectoryStore:
        """A view of the newest episodes, which shows the store as it is now, as :meth:`best` does.

        :param count: of episodes, at least 1; a store that has fewer shows all
        :raises ValueError: the count is no whole number of at least 1
        """
        count = whole(count, f"The number of newest episodes of {self.name}")
        return self._choose(np.arange(self.n_episodes)[-count:], f"the newest of {self.name}")

    def _choose(self, chosen: Array, name: str) -> TrajectoryStore:
        """:param chosen: indices of episodes, ascending"""
        view = self._view(name)
        view._made_at = self.version
        view._episodes = self._episodes.select(chosen)
        view._steps = self._steps.select(np.flatnonzero(np.isin(self.last[self.steps], self.final_slots[chosen])))
        return view

    def unlabelled(self) -> TrajectoryStore:
        """A view whose actions cannot be read. It grows with its store."""
        view = self._view(self.name)
        view._shown = replace(self._shown, hidden=frozenset({"actions"}))
        return view

    def changed(self, changes: Mapping[str, Change]) -> TrajectoryStore:
        """A view in which columns are changed when they are read, such as images whose channels come first.

        It needs no memory, and grows with its store.

        :param changes: by column, a function of (n, ...) entries that returns n entries, in any shape and dtype
        """
        return self._showing(self._shown.changed(changes))

    def stacked(self, stacks: Mapping[str, Stack]) -> TrajectoryStore:
        """A view whose observations are stacks of the last frames, made when they are read.

        It needs no memory, and grows with its store.

        :param stacks: by column
        """
        return self._showing(self._shown.stacked(stacks))

    def _showing(self, shown: Shown) -> TrajectoryStore:
        view = self._view(self.name)
        view._shown = shown
        view.observation_space = None  # it is that of the store
        return view

    def copy(self, capacity: int | None = None) -> TrajectoryStore:
        """An independent store with the same episodes, such as own play that begins with a dataset."""
        return TrajectoryStore.from_episodes(
            self.episodes(), capacity, self.name, self.observation_space, self.action_space, n_slots=self.n_slots
        )

    def freeze(self) -> TrajectoryStore:
        """Refuse further episodes, because this store is shared; returns itself."""
        self._read_only = True
        return self

    def moments(self, key: str) -> tuple[Array, Array]:
        """Mean and standard deviation of each dimension, float32, over all slots in which the column has an entry."""
        if not self.n_episodes:
            raise ValueError(f"The moments of '{key}' were asked for, but {self.name} holds no episodes.")
        values = self.take(key, self.steps if key in ("actions", "rewards") else self.slots)
        mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
        return np.asarray(mean, FLOAT), np.asarray(std, FLOAT)

    def save(self, path: str | Path | IO[bytes]) -> None:
        """Write all episodes to a file of exactly this name, atomically, or to a file object; without pickle."""
        own.write(path, self)

    @classmethod
    def load(cls, path: str | Path | IO[bytes], name: str | None = None) -> TrajectoryStore:
        """The store that :meth:`save` wrote; spaces are not part of the file.

        :param name: what messages call the store; None: as before
        :raises ValueError: one sentence that names the file and what is wrong with it
        """
        with own.opened(path) as saved:
            source = str(path) if isinstance(path, (str, Path)) else "the file object"
            store = cls.from_episodes(saved.episodes, saved.capacity, source, n_slots=saved.n_slots)
        store.name = saved.name if name is None else name
        return store

    def _view(self, name: str) -> TrajectoryStore:
        """A read-only store on the same memory."""
        view = copy.copy(self)
        view.name = name
        view._read_only = True
        return view

    def _check_fresh(self) -> None:
        if self._made_at is not None and self._made_at != self._table.version:
            raise ValueError(f"This view, {self.name}, was made before more episodes came in; make it again.")

    def _check_readable(self, column: str) -> None:
        if column in self._table.layout and column not in self._shown.hidden:
            return
        if column == "actions" and self.n_episodes:
            raise ValueError(f"The actions of {self.name} cannot be read, because this view of it is unlabelled.")
        known = ", ".join(self._table.layout) or "no episodes yet"
        raise ValueError(f"There is no column '{column}' in {self.name}; it has {known}.")

    def _make_room(self, n_slots: int) -> None:
        """Evict old episodes until ``n_slots`` more fit, and let everything that counts slots follow if they move."""
        if self.capacity is not None:
            while self.n_slots + n_slots > self.capacity:
                length = int(self.lengths[0])
                self._table.drop(length + 1)
                self._steps.drop(length)
                self._episodes.drop(1)
        moved = self._table.reserve(n_slots)
        if moved:
            for numbers in (self._steps["slot"], self._episodes["last"]):
                numbers -= moved
