"""Checks of the files of a Minari dataset, made before Minari reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from gcrl_zoo.data.checks import is_whole
from gcrl_zoo.data.formats.containers import reading_file, unreadable
from gcrl_zoo.data.formats.hdf5 import Hdf5, open_hdf5
from gcrl_zoo.data.formats.space_json import check_size

if TYPE_CHECKING:
    from minari import MinariDataset

METADATA = "metadata.json"
HDF5 = "main_data.hdf5"
IMPORTED = "gcrl_zoo"  # the folder beside the data of a dataset to which images are imported
LARGEST_METADATA = 2**26
MOST_EPISODES = 10**7
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN = 0xDA


def check_metadata(folder: Path) -> None:
    """Refuse metadata without spaces: Minari would create the environment to get them, which imports its module.

    :param folder: the ``data`` folder of a dataset
    :raises ValueError: one sentence that names the file
    """
    path = folder / METADATA
    if not path.is_file() or path.stat().st_size > LARGEST_METADATA:
        raise unreadable(path, f"it is not a regular file of at most {LARGEST_METADATA:,} bytes")
    with reading_file(path):
        metadata = json.loads(path.read_text("utf-8"))
        if not isinstance(metadata, dict):
            raise unreadable(path, "it has no entries")
        if not is_whole(metadata.get("total_episodes"), 0) or metadata["total_episodes"] > MOST_EPISODES:
            raise unreadable(path, f"its total_episodes is {metadata.get('total_episodes')!r}")
        for key in ("observation_space", "action_space"):
            if not isinstance(metadata.get(key), str):
                raise unreadable(path, f"it has no '{key}'")
            check_size(metadata[key], f"'{key}'")


def count_slots(dataset: MinariDataset) -> int:
    """Check the file of a dataset, and count the observations of its episodes.

    :param dataset: may be filtered; of Minari's other format (not HDF5) only the metadata are used
    :raises ValueError: one sentence that names the file and what is wrong with it
    """
    folder = Path(dataset.storage.data_path)
    if dataset.storage.FORMAT != "hdf5":
        return int(dataset.total_steps) + int(dataset.total_episodes)
    frames = _frames(dataset)
    with open_hdf5(folder / HDF5) as file:
        lengths = file.lengths()
        for key in lengths:
            shape = frames.get(key.partition("/")[2])
            if shape is not None:
                _check_frames(file, key, lengths[key], shape)
    slots = 0
    for i in dataset.episode_indices.tolist():
        rewards = f"episode_{i}/rewards"
        if rewards not in lengths:
            raise unreadable(folder / HDF5, f"it has no array '{rewards}'")
        slots += lengths[rewards] + 1
    return slots


def _frames(dataset: MinariDataset) -> dict[str, tuple[int, ...]]:
    """The observations that Minari compresses frame by frame, and the shape of a frame."""
    from minari.dataset.minari_storage import is_image_space

    space = dataset.observation_space
    parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    if not dataset.storage.metadata.get("jpeg_encoding", True):
        return {}
    return {
        f"observations/{k}".rstrip("/"): tuple(part.shape or ()) for k, part in parts.items() if is_image_space(part)
    }


def _check_frames(file: Hdf5, key: str, n_frames: int, shape: tuple[int, ...]) -> None:
    """Refuse frames in other formats or sizes, since a few bytes can declare a huge one."""
    rows = file.rows(key)
    for step in range(n_frames):
        frame = np.asarray(rows(1)[0])
        if jpeg_shape(frame.tobytes()) != shape:
            raise unreadable(file.name, f"'{key}' is not a JPEG of shape {shape} at step {step}")


def jpeg_shape(frame: bytes) -> tuple[int, ...] | None:
    """The shape in the header of a JPEG: (height, width) or (height, width, channels). None for other data."""
    found: list[tuple[int, ...]] = []
    at = 2
    while frame[:2] == b"\xff\xd8" and frame[at : at + 1] == b"\xff" and at + 10 <= len(frame):
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == START_OF_SCAN:
            return found[0] if len(found) == 1 else None
        if marker in FRAME_HEADERS:
            height, width = (int.from_bytes(frame[at + i : at + i + 2], "big") for i in (5, 7))
            found.append((height, width, frame[at + 9]) if frame[at + 9] > 1 else (height, width))
        at += 2 + length
    return None
