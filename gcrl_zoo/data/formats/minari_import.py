"""
Minari datasets with images, imported once into a folder of our own format.

The folder lies beside the ``data`` folder of the dataset and is memory-mapped, so images take up memory only while a
batch of them is in use. When the files of the dataset change, it is imported again.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from gymnasium import Space, spaces
from tqdm import tqdm

from gcrl_zoo.data.columns import is_frame
from gcrl_zoo.data.disk import WriteError
from gcrl_zoo.data.episode import EpisodeError
from gcrl_zoo.data.formats.containers import UnreadableFile
from gcrl_zoo.data.formats.minari import (
    COMMANDS,
    check_dataset,
    episodes,
    open_minari,
    read_episodes,
    reading,
    wrappers_of,
)
from gcrl_zoo.data.formats.minari_checks import IMPORTED
from gcrl_zoo.data.formats.own_folder import is_folder, read_header
from gcrl_zoo.data.formats.own_folder_writer import FolderWriter, locked_folder
from gcrl_zoo.data.store import TrajectoryStore


def read_minari(data: Path) -> TrajectoryStore:
    """
    All episodes of a Minari dataset. If it has images, they are imported at the first time.

    :param data: the ``data`` folder of the dataset
    :raises ValueError: one sentence that names the dataset and what is wrong with it
    """
    store = _imported(data)
    if store is not None:
        return store
    dataset = open_minari(data)
    if not has_images(dataset.observation_space):
        return read_episodes(dataset)
    try:
        return import_minari(data)
    except WriteError as error:
        warnings.warn(f"{error} The images are not imported, but read into memory each time.", stacklevel=2)
        return read_episodes(dataset)


def import_minari(data: Path, again: bool = False) -> TrajectoryStore:
    """
    Import a Minari dataset, unless another process does so meanwhile, and open the result.

    :param data: the ``data`` folder of the dataset
    :param again: replace an import, even if it belongs to these files
    :raises ValueError: one sentence that names the dataset and what is wrong with it
    :raises WriteError: the folder beside ``data`` cannot be written, the disk is full, ...
    """
    dataset, place, source = open_minari(data), import_folder(data), _source(data)
    if not has_images(dataset.observation_space):
        raise ValueError(f"{dataset.id} has no images, and needs no import; it is read directly.")
    check_dataset(dataset)
    about = dataset.id, None, dataset.observation_space, dataset.action_space, wrappers_of(dataset.storage)
    with locked_folder(place):
        store = None if again else _imported(data)
        if store is not None:
            return store
        bar = tqdm(total=int(dataset.total_episodes), desc=f"Importing {dataset.id}", unit="episode", disable=None)
        count = 0
        try:
            with bar, FolderWriter(place, *about, source) as writer, reading(dataset):
                for episode in episodes(dataset):
                    writer.add(episode)
                    count += 1
                    bar.update()
        except EpisodeError as error:
            raise error.at(f"Episode {count} of {dataset.id}") from None
        return TrajectoryStore.load(place)


def import_folder(data: Path) -> Path:
    """Where a dataset is imported to.

    :param data: the ``data`` folder of the dataset
    """
    return data.parent / (IMPORTED if data.name == "data" else f"{IMPORTED}-{data.name}")


def has_images(space: Space[Any]) -> bool:
    """Whether observations contain images, which stores compress."""
    parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    return any(
        isinstance(part, spaces.Box) and key not in COMMANDS and is_frame(part.shape, part.dtype)
        for key, part in parts.items()
    )


def _imported(data: Path) -> TrajectoryStore | None:
    """What was imported; None if nothing was, the dataset has changed since then, or the import is damaged."""
    place = import_folder(data)
    if not is_folder(place):
        return None
    try:
        return TrajectoryStore.load(place) if read_header(place)["source"] == _source(data) else None
    except UnreadableFile:
        return None


def _source(data: Path) -> dict[str, list[int]]:
    """Size and time of the last change of each file of a dataset."""
    files = sorted(path for path in data.rglob("*") if path.is_file())
    return {str(path.relative_to(data)): [(stat := path.stat()).st_size, stat.st_mtime_ns] for path in files}
