"""Writes Minari datasets atomically: a dataset is complete or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space

from gcrl_zoo.data.disk import reserve, writing
from gcrl_zoo.data.episode import Episode, EpisodeError
from gcrl_zoo.data.formats.minari import check_spaces
from gcrl_zoo.data.formats.minari_checks import HDF5, IMPORTED, METADATA
from gcrl_zoo.data.formats.minari_storage import About, add_episodes, cast, more_storage, new_storage
from gcrl_zoo.data.formats.minari_swap import recover, swap, temporary_folder

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

# Minari itself is imported late, as in the reader.

PENDING_BYTES = 32_000_000
# How much an HDF5 file grows, to be on the safe side: per step, per column of an episode, and once.
STEP_BYTES, COLUMN_BYTES, OTHER_COLUMNS, SPARE_BYTES = 16, 8_000, 6, 1_000_000


class MinariWriter:
    """Adds episodes to a dataset and counts them. Few of them are in memory at a time.

    :param dataset_id: for messages
    :param storage: where they go
    :param target: for messages: the folder that the dataset is for
    """

    def __init__(self, dataset_id: str, storage: MinariStorage, target: Path) -> None:
        self.dataset_id, self.storage, self.target = dataset_id, storage, target
        self.n_before = storage.total_episodes
        self.n_episodes = self.n_steps = 0
        self.total_return = 0.0
        self._pending: list[EpisodeBuffer] = []
        self._bytes = 0

    def add(self, episode: EpisodeBuffer) -> None:
        """Add an episode.

        :raises EpisodeError: when our reader would refuse it
        """
        columns: Any = episode.observations
        facts = columns if isinstance(columns, dict) else {"observation": columns}
        try:
            checked = Episode(facts, np.asarray(episode.actions), np.asarray(episode.rewards))
        except EpisodeError as error:
            raise error.at(f"Episode {self.n_before + self.n_episodes} of {self.dataset_id}") from None
        converted = {
            "observations": cast(self.storage.observation_space, columns),
            "actions": cast(self.storage.action_space, episode.actions),
        }
        self.n_episodes += 1
        self.n_steps += checked.length
        self.total_return += checked.episode_return
        self._pending.append(replace(episode, **converted))
        self._bytes += sum(column.nbytes for column in (*facts.values(), np.asarray(episode.actions)))
        self._bytes += checked.length * STEP_BYTES + (len(facts) + OTHER_COLUMNS) * COLUMN_BYTES
        if self._bytes > PENDING_BYTES:
            self.flush()

    def flush(self) -> None:
        """
        Write the episodes that are in memory.

        :raises WriteError: the disk is full, ...
        """
        with writing(self.target):
            reserve(self.storage.data_path / HDF5, self._bytes + SPARE_BYTES)
            add_episodes(self.storage, self._pending)
        self._pending, self._bytes = [], 0


def check_target(dataset_id: str, append: bool = False, force: bool = False) -> Path:
    """The folder of a dataset that may be written.

    :param append: to an existing one
    :param force: replace an existing one
    :raises ValueError: the id is invalid or taken
    """
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path

    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError):  # TypeError: it has no version
        raise ValueError(
            f"'{dataset_id}' is not a dataset id; give one like 'cartpole/ppo-v0': a namespace (of two letters or "
            f"more), a name and a version."
        ) from None
    with writing(os.environ.get("MINARI_DATASETS_PATH", "~/.minari/datasets")):
        target = Path(get_dataset_path(dataset_id))  # which creates the folder of all datasets
    recover(dataset_id)
    for place in target.parents[: dataset_id.count("/")]:
        if _is_dataset(place):
            raise ValueError(f"'{dataset_id}' would lie in the dataset {place}; choose another namespace.")
    if not target.exists():
        return target
    if not _is_dataset(target):
        raise ValueError(f"The folder {target} holds something else than a Minari dataset; choose another dataset id.")
    if not (append or force):
        raise ValueError(
            f"There is a dataset '{dataset_id}' already; choose another id, append to it (append=True, --append), "
            f"or replace it (force=True, --force)."
        )
    return target


def _is_dataset(folder: Path) -> bool:
    return (folder / "data" / METADATA).is_file()


@contextmanager
def write_minari(
    dataset_id: str,
    observation_space: Space[Any],
    action_space: Space[Any],
    about: About,
    append: bool = False,
    force: bool = False,
) -> Iterator[MinariWriter]:
    """Write a dataset. It appears when the block ends without an error; otherwise nothing changes.

    :param dataset_id: where, such as ``"cartpole/ppo-v0"``
    :param observation_space: of the recorded environment
    :param action_space: of the recorded environment
    :param about: what else is known of it
    :param append: to an existing dataset, which stays as it is until then
    :param force: replace an existing dataset, which stays as it is until then
    :raises ValueError: one sentence on what is wrong and what to do
    :raises WriteError: the disk is full, the folder is read-only, ...
    """
    target = check_target(dataset_id, append, force)
    check_spaces(dataset_id, observation_space, action_space)
    spaces_and_about = observation_space, action_space, about
    with writing(target):
        folder = temporary_folder()
    with folder as place:
        partial = Path(place, "new")
        with writing(target):
            if append and target.exists():
                shutil.copytree(target, partial, ignore=shutil.ignore_patterns(IMPORTED))
                storage = more_storage(dataset_id, partial / "data", *spaces_and_about)
            else:
                partial.mkdir()
                storage = new_storage(dataset_id, partial / "data", *spaces_and_about)
        writer = MinariWriter(dataset_id, storage, target)
        yield writer
        if not writer.n_episodes:
            raise ValueError(f"No episode was recorded for '{dataset_id}'.")
        writer.flush()
        with writing(target):
            _make_namespace(dataset_id)
        swap(dataset_id, partial, Path(place, "old"))


def _make_namespace(dataset_id: str) -> None:
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.namespace import create_namespace, list_local_namespaces

    namespace = parse_dataset_id(dataset_id)[0]
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)
