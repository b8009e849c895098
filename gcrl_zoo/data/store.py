"""The store keeps all episodes in flat columns, one after another, so that sampling a batch is a gather."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from gymnasium import Space

from gcrl_zoo.data.checks import optional_whole
from gcrl_zoo.data.columns import PADDING, Table
from gcrl_zoo.data.copying import copy_columns, split
from gcrl_zoo.data.episode import FLOAT, Array, DType, Episode, EpisodeError
from gcrl_zoo.data.formats import own_file, own_folder, own_folder_writer
from gcrl_zoo.data.index import Index
from gcrl_zoo.data.readable_store import ReadableStore
from gcrl_zoo.data.recorded_wrappers import WrapperList
from gcrl_zoo.data.rows import Shown


class TrajectoryStore(ReadableStore):
    """Episodes in flat columns. An episode of T steps takes T + 1 slots, the last one for its final observation.

    A slot is a row of all columns. ``steps`` lists the slots that have an action. ``first[slot]`` and ``last[slot]``
    are the bounds of the episode of a slot, so a slot is a step if and only if ``slot < last[slot]``. Columns are the
    keys of observations and extras, and, where known, ``actions`` and ``rewards`` (zero in the last slot),
    ``return_to_go`` (sum of rewards from this step to the end) and ``episode_return``.

    Slot numbers are valid until the next :meth:`append`, which may move or evict older episodes.

    :param capacity: maximum number of slots; beyond it the oldest episodes are evicted. None for no limit
    :param name: what messages call this store, such as a dataset id
    :param observation_space: of the recorded environment, where known
    :param action_space: of the recorded environment, where known
    :param wrappers: of the recorded environment, where known, see :mod:`gcrl_zoo.data.recorded_wrappers`
    """

    def __init__(
        self,
        capacity: int | None = None,
        name: str = "own play",
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
        wrappers: WrapperList | None = None,
    ) -> None:
        capacity = optional_whole(capacity, f"The capacity (slots) of {name}", least=2)
        self.capacity = capacity
        self.name = name
        self.observation_space = observation_space
        self.action_space = action_space
        self.wrappers = wrappers
        self._read_only = False
        self._shown = Shown()
        self._made_at: int | None = None  # for a view of some episodes: the version that it shows

        # What grows lies in objects that views share.
        limit = None if capacity is None else capacity + capacity // 4
        self._table, self._index = Table(limit, name), Index(limit)

    @classmethod
    def from_episodes(
        cls,
        episodes: Iterable[Episode],
        capacity: int | None = None,
        name: str = "own play",
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
        n_slots: int | None = None,
        wrappers: WrapperList | None = None,
    ) -> TrajectoryStore:
        """A store of these episodes; errors name the episode.

        :param n_slots: slots that a lazy iterable will need, so that memory is taken only once
        :raises ValueError: an episode has a fault, which the message names, or an argument is out of its range
        """
        store = cls(capacity, name, observation_space, action_space, wrappers)
        n_slots = optional_whole(n_slots, "n_slots", least=0)
        if n_slots is None and isinstance(episodes, Sequence):
            n_slots = sum(episode.length + 1 for episode in episodes if isinstance(episode, Episode))
        if n_slots is not None:
            n_slots = n_slots if capacity is None else min(n_slots, capacity)
            store._table.reserve(n_slots)
            store._index.steps.reserve(n_slots)
        count = 0
        try:
            for episode in episodes:
                store.append(episode)
                count += 1
        except EpisodeError as error:
            raise error.at(f"Episode {count} of {name}") from None
        return store

    @classmethod
    def from_table(cls, table: Table, lengths: Array, terminated: Array, **arguments: Any) -> TrajectoryStore:
        """A store of columns that exist already, such as memory-mapped ones.

        :param table: columns of all episodes, without a gap
        :param lengths: (M,) number of steps of each episode
        :param terminated: (M,) whether each ended in a terminal state
        :param arguments: of the constructor
        """
        store = cls(**arguments)
        table.arrays.limit = store._table.arrays.limit
        store._table = table
        ends = PADDING + np.cumsum(lengths + 1)
        returns = store.take("episode_return", ends) if store.has_rewards else np.zeros(len(ends), FLOAT)
        if len(lengths):
            store._index.extend(PADDING + 1, lengths, returns, terminated)
        return store

    def append(self, episode: Episode) -> None:
        """Add an episode. The oldest ones are evicted where the capacity would be exceeded.

        :raises ValueError: the store is read-only, or the episode does not fit
        """
        if not isinstance(episode, Episode):
            raise ValueError(f"{self.name} keeps objects of the class Episode; a {type(episode).__name__} was given.")
        if self._read_only:
            raise ValueError(f"{self.name} is read-only, being a view or a shared dataset; append to a copy() of it.")
        length = episode.length
        if self.capacity is not None and length + 1 > self.capacity:
            raise _too_long(length + 1, self.name, self.capacity)
        if self._shown.altered:
            episode = replace(episode, observations=self._shown.stored(episode.observations))
        columns = self._table.check_and_layout(episode)
        self._make_room(length + 1)
        first = self._table.write(columns, length + 1)
        self._index.append(first, length, episode.episode_return, episode.terminated)

    def copy(
        self,
        capacity: int | None = None,
        dtypes: Mapping[str, DType] | None = None,
        added: Mapping[str, str | Array] | None = None,
        single_frames: bool = True,
    ) -> TrajectoryStore:
        """An independent store with the same episodes, such as own play that begins with a dataset.

        Compressed images are shared, not copied.

        :param dtypes: observations to copy, with their dtypes; extras are left out then. None: all, as they are
        :param added: further observations: another name for one that is there, or (N, ...) entries in the order of
            :attr:`slots`
        :param single_frames: if this is a view with stacks of frames, make the copy one, too, to which only episodes
            can be appended whose stacks have the same padding. False: stacks are copied, and all fit
        :raises ValueError: the longest episode has more slots than the capacity
        """
        source = self._newest_within(optional_whole(capacity, f"The capacity (slots) of {self.name}", least=2))
        if not source.n_episodes:
            return TrajectoryStore(capacity, self.name, self.observation_space, self.action_space, self.wrappers)
        added, kept = added or {}, self.observation_keys if dtypes is None else tuple(dtypes)
        keys = (*kept, *added), self.extra_keys if dtypes is None else ()
        rest = set(self._table.layout) - {*self.observation_keys, *self.extra_keys} - self._shown.hidden
        columns = [*kept, *keys[1], *(key for key in self._table.layout if key in rest)]
        sources = {**{key: key for key in columns}, **added}
        shown, applied = split(self._table, self._shown, single_frames)
        table = copy_columns(self._table, applied, source.slots, source.lengths, sources, dtypes or {}, keys, self.name)
        new = TrajectoryStore.from_table(table, source.lengths, source.terminated, capacity=capacity, name=self.name)
        if dtypes is None:
            new.observation_space, new.action_space = self.observation_space, self.action_space
            new.wrappers = self.wrappers
        new._shown = shown.renamed({key: source for key, source in sources.items() if isinstance(source, str)})
        return new

    def _newest_within(self, capacity: int | None) -> TrajectoryStore:
        """A view of the newest episodes that fit, or the store itself if all fit."""
        sizes = self.lengths + 1
        if capacity is None or sizes.sum() <= capacity:
            return self
        if sizes.max() > capacity:
            raise _too_long(int(sizes.max()), self.name, capacity).at(f"Episode {sizes.argmax()} of {self.name}")
        return self.newest(int(np.searchsorted(sizes[::-1].cumsum(), capacity, side="right")))

    def freeze(self) -> TrajectoryStore:
        """Make the store read-only, because it is shared. Returns itself."""
        self._read_only = True
        return self

    def save(self, path: str | Path | IO[bytes], folder: bool = False) -> None:
        """Write all episodes, atomically and without pickle.

        :param path: a file of exactly this name, or an open file
        :param folder: write a folder instead, which keeps the spaces and is memory-mapped when it is loaded
        :raises WriteError: the disk is full, the folder is read-only, ...
        """
        if not folder:
            own_file.save_file(path, self)
        elif isinstance(path, (str, Path)):
            own_folder_writer.save_folder(path, self)
        else:
            raise ValueError(f"{path!r:.80} is a file object; give the path of a folder, or leave out folder=True.")

    @classmethod
    def load(cls, path: str | Path | IO[bytes], name: str | None = None) -> TrajectoryStore:
        """Open what :meth:`save` wrote: a file is read into memory, a folder is memory-mapped.

        :param name: what messages call the store; None: as before
        :raises ValueError: one sentence that names the file and what is wrong with it
        """
        if isinstance(path, (str, Path)) and own_folder.is_folder(path):
            folder = own_folder.open_folder(Path(path))
            about = folder.about if name is None else {**folder.about, "name": name}
            return cls.from_table(folder.table, folder.lengths, folder.terminated, **about)
        with own_file.open_file(path) as saved:
            source = str(path) if isinstance(path, (str, Path)) else "the file object"
            about = {"n_slots": saved.n_slots, "wrappers": saved.wrappers}
            store = cls.from_episodes(saved.episodes, saved.capacity, source, **about)
        store.name = saved.name if name is None else name
        return store

    def _make_room(self, n_slots: int) -> None:
        """Evict old episodes until ``n_slots`` more fit, and renumber slots if they move."""
        if self.capacity is not None:
            while self.n_slots + n_slots > self.capacity:
                self._table.drop(self._index.drop() + 1)
        moved = self._table.reserve(n_slots)
        if moved:
            self._index.relocate(moved)


def _too_long(n_slots: int, name: str, capacity: int) -> EpisodeError:
    return EpisodeError(
        f"takes {n_slots} slots, more than the capacity of {name} ({capacity}); "
        f"raise the capacity (buffer_size) or cut episodes earlier with max_episode_steps"
    )
