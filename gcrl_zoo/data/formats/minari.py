"""Reads Minari datasets."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space, spaces

from gcrl_zoo.data.disk import WriteError
from gcrl_zoo.data.episode import Episode, EpisodeError
from gcrl_zoo.data.formats.containers import UnreadableFile, one_line
from gcrl_zoo.data.formats.minari_checks import check_metadata, count_slots
from gcrl_zoo.data.formats.minari_swap import recover
from gcrl_zoo.data.memory import NotEnoughMemory
from gcrl_zoo.data.recorded_wrappers import METADATA_KEY, WrapperList, check_wrappers
from gcrl_zoo.data.store import TrajectoryStore

if TYPE_CHECKING:
    from minari import MinariDataset
    from minari.dataset.minari_storage import MinariStorage

# Minari itself is imported late: most runs have no dataset, and should not wait for it.

SIMPLE = (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)
SHOWN_IDS = 5
COMMANDS = ("desired_goal", "return_to_go")
"""Observations that are inputs of the recorded policy, not facts. They are left out, and computed for each batch."""


def dataset_folder(dataset_id: str) -> Path:
    """The ``data`` folder of a dataset in Minari's own place (the variable ``MINARI_DATASETS_PATH`` moves it).

    :raises ValueError: when it is not there; the message names those that are, and how to download
    """
    from minari.storage.datasets_root_dir import get_dataset_path

    folder = Path(get_dataset_path(dataset_id), "data")
    if dataset_id and not os.path.isdir(folder):
        recover(dataset_id)
    if dataset_id and os.path.isdir(folder):
        return folder
    raise ValueError(
        f"There is no dataset '{dataset_id}' here (local ones: {_local_ids(nearest_to=dataset_id)}); "
        f"run `minari download {dataset_id}`, or give another id or a path."
    )


def _local_ids(nearest_to: str) -> str:
    """The ids of local datasets for a message, a few only."""
    from minari import list_local_datasets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about other datasets that are broken
        ids = list(list_local_datasets())
    ids.sort(key=lambda known: -SequenceMatcher(None, known.lower(), nearest_to.lower()).ratio())
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return (", ".join(ids[:SHOWN_IDS]) or "none") + more


def open_minari(folder: Path) -> MinariDataset:
    """
    Open a Minari dataset whose files may come from anybody.

    :param folder: the ``data`` folder of the dataset
    :raises ValueError: one sentence that names the folder and why it cannot be read
    """
    from minari import MinariDataset

    check_metadata(folder)
    try:
        return MinariDataset(folder)
    except Exception as error:  # whatever is wrong with the files: Minari's reason is the best there is
        raise unreadable(folder, error) from error


def is_minari(value: Any) -> bool:
    """Whether this is a ``minari.MinariDataset``. Does not import Minari."""
    cls = getattr(sys.modules.get("minari"), "MinariDataset", None)
    return cls is not None and isinstance(value, cls)


def is_unfiltered(dataset: MinariDataset) -> bool:
    """
    Whether a dataset has all episodes of its files, in their order: it is not filtered.

    :raises ValueError: the files cannot be read
    """
    try:
        return np.array_equal(dataset.episode_indices, np.arange(dataset.storage.total_episodes))
    except Exception as error:
        raise unreadable(Path(dataset.storage.data_path), error) from error


def read_episodes(dataset: MinariDataset) -> TrajectoryStore:
    """
    Read the episodes of a Minari dataset into memory, only those in its ``episode_indices``.

    :param dataset: may be filtered
    :raises ValueError: one sentence that names the dataset and what is wrong with it
    """
    name, n_slots = dataset.id, check_dataset(dataset)
    if not is_unfiltered(dataset):
        name = f"{name} ({dataset.total_episodes} of {dataset.storage.total_episodes} episodes)"
    with reading(dataset):
        return TrajectoryStore.from_episodes(
            episodes(dataset),
            None,
            name,
            dataset.observation_space,
            dataset.action_space,
            n_slots,
            wrappers_of(dataset.storage),
        )


def wrappers_of(storage: MinariStorage) -> WrapperList | None:
    """
    Read the wrappers of the recorded environment.

    :return: None if the dataset does not state them
    :raises ValueError: the metadata are damaged
    """
    try:
        return check_wrappers(storage.metadata.get(METADATA_KEY))
    except Exception as error:
        raise unreadable(Path(storage.data_path), error) from error


def check_dataset(dataset: MinariDataset) -> int:
    """
    Check the spaces and the file of a dataset.

    :return: number of observations in its episodes
    """
    check_spaces(dataset.id, dataset.observation_space, dataset.action_space)
    return count_slots(dataset)


@contextmanager
def reading(dataset: MinariDataset) -> Iterator[None]:
    """Replace errors of the libraries that read a dataset by one sentence that names it."""
    try:
        yield
    except (EpisodeError, MemoryError, NotEnoughMemory, WriteError, UnreadableFile):
        raise
    except Exception as error:
        raise unreadable(Path(dataset.storage.data_path), error) from error


def episodes(dataset: MinariDataset) -> Iterator[Episode]:
    """Read the episodes of a dataset one after another."""
    for episode in dataset.iterate_episodes():
        observations: Any = episode.observations
        columns = observations if isinstance(observations, dict) else {"observation": observations}
        yield Episode(
            observations={key: column for key, column in columns.items() if key not in COMMANDS},
            actions=episode.actions,
            rewards=episode.rewards,
            terminated=bool(np.any(episode.terminations[-1:])),
        )


def check_spaces(name: str, observation_space: Space[Any], action_space: Space[Any]) -> None:
    """Raise an error for spaces that episodes cannot hold.

    :param name: of the dataset, for the message
    """
    parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {"": observation_space}
    if not parts:
        raise ValueError(f"In {name} the observation is an empty Dict, so there is nothing to store; add an entry.")
    for key, part in parts.items():
        if not isinstance(part, SIMPLE):
            what = f"the observation '{key}'" if key else "the observation space"
            raise ValueError(
                f"In {name} {what} is {_kind(part)}; use one whose observations are Box, Discrete or a flat Dict."
            )
    if not isinstance(action_space, SIMPLE):
        raise ValueError(f"In {name} the action space is {_kind(action_space)}; use one with Box or Discrete actions.")


def _kind(space: Space[Any]) -> str:
    nested = " (nested)" if isinstance(space, (spaces.Dict, spaces.Tuple)) else ""
    return f"a {type(space).__name__}{nested}"


def unreadable(folder: Path, error: Exception) -> ValueError:
    """The error for a dataset that Minari cannot read, with Minari's reason."""
    return ValueError(f"Minari cannot read the dataset in {folder}: {one_line(error)}.")
