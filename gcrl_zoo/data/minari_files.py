"""Checks of the files of a Minari dataset, made before Minari reads them."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcrl_zoo.data.checks import is_whole
from gcrl_zoo.data.containers import unreadable
from gcrl_zoo.data.hdf5 import open_hdf5, retold

if TYPE_CHECKING:
    from minari import MinariDataset

METADATA = "metadata.json"
HDF5 = "main_data.hdf5"
LARGEST_METADATA = 2**26
LARGEST_SPACE = 2**27  # numbers in one observation
MOST_EPISODES = 10**7


def check_metadata(folder: Path) -> None:
    """Refuse metadata that name no spaces, since Minari would then make the environment, and import its module.

    :param folder: the ``data`` folder of a dataset
    :raises ValueError: one sentence that names the file
    """
    path = folder / METADATA
    if not path.is_file() or path.stat().st_size > LARGEST_METADATA:
        raise unreadable(path, f"it is no regular file of at most {LARGEST_METADATA:,} bytes")
    with retold(path):
        metadata = json.loads(path.read_text("utf-8"))
        if not isinstance(metadata, dict):
            raise unreadable(path, "it has no entries")
        if not is_whole(metadata.get("total_episodes"), 0) or metadata["total_episodes"] > MOST_EPISODES:
            raise unreadable(path, f"its total_episodes is {metadata.get('total_episodes')!r}")
        for key in ("observation_space", "action_space"):
            if not isinstance(metadata.get(key), str):
                raise unreadable(path, f"it has no '{key}'")
            for shape in _shapes(json.loads(metadata[key])):
                if prod(shape) > LARGEST_SPACE:
                    raise unreadable(path, f"its '{key}' has a part of shape {shape}")


def _shapes(space: Any) -> list[list[int]]:
    """The shapes of a space and its parts, as they are written down."""
    if isinstance(space, list):
        return [shape for part in space for shape in _shapes(part)]
    if not isinstance(space, dict):
        return []
    subspaces = space.get("subspaces", [])
    parts = _shapes([*subspaces.values()] if isinstance(subspaces, dict) else subspaces)
    return [[int(n) for n in space["shape"]], *parts] if "shape" in space else parts


def count_slots(dataset: MinariDataset) -> int:
    """Check the file of a dataset, and count the observations of its episodes.

    :param dataset: may be filtered; in Minari's other format, its metadata are believed
    :raises ValueError: one sentence that names the file and what is wrong with it
    """
    folder = Path(dataset.storage.data_path)
    if dataset.storage.FORMAT != "hdf5":
        return int(dataset.total_steps) + int(dataset.total_episodes)
    with open_hdf5(folder / HDF5) as file:
        lengths = file.lengths()
    slots = 0
    for i in dataset.episode_indices.tolist():
        rewards = f"episode_{i}/rewards"
        if rewards not in lengths:
            raise unreadable(folder / HDF5, f"it has no array '{rewards}'")
        slots += lengths[rewards] + 1
    return slots
