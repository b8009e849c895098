"""Minari's storages, opened for writing: a new one, or that of a dataset that gets more episodes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.envs.registration import EnvSpec

from gcrl_zoo.data.arrays import Array
from gcrl_zoo.data.columns import is_frame
from gcrl_zoo.data.formats.minari import unreadable, wrappers_of
from gcrl_zoo.data.formats.minari_checks import HDF5
from gcrl_zoo.data.recorded_wrappers import METADATA_KEY, WrapperList
from gcrl_zoo.data.spaces import same_values

if TYPE_CHECKING:
    import h5py
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

# Minari itself is imported late, as in the reader.

CHUNK_BYTES = 2**14  # of images that are compressed together; larger chunks are hardly smaller in all
MONITOR = "stable_baselines3.common.monitor:Monitor"  # changes nothing, so it is left out


@dataclass(frozen=True)
class About:
    """Description of a dataset.

    :param env_spec: of its environment
    :param algorithm_name: who played
    :param author: who recorded
    :param description: what is in it
    :param wrappers: of its environment, see :mod:`gcrl_zoo.data.recorded_wrappers`; None if unknown
    """

    env_spec: EnvSpec | None = None
    algorithm_name: str = ""
    author: str | None = None
    description: str = ""
    wrappers: WrapperList | None = None

    def metadata(self) -> dict[str, Any]:
        """The same as Minari's metadata."""
        author = {self.author} if self.author else set()
        return {"algorithm_name": self.algorithm_name, "author": author, "description": self.description}


def new_storage(
    dataset_id: str, folder: Path, observation_space: Space[Any], action_space: Space[Any], about: About
) -> MinariStorage:
    from minari import __version__
    from minari.dataset.minari_storage import MinariStorage

    storage = MinariStorage.new(
        folder,
        observation_space=observation_space,
        action_space=action_space,
        env_spec=recoverable(about.env_spec),
        jpeg_encoding=False,  # which would lose something of each image
    )
    facts: dict[str, Any] = {"dataset_id": dataset_id, "minari_version": __version__, "code_permalink": ""}
    if about.wrappers is not None:
        facts[METADATA_KEY] = about.wrappers
    storage.update_metadata({**facts, **about.metadata()})
    return storage


def more_storage(
    dataset_id: str, folder: Path, observation_space: Space[Any], action_space: Space[Any], about: About
) -> MinariStorage:
    """Open the storage of a dataset to add episodes of the same environment."""
    from minari.dataset.minari_storage import MinariStorage

    try:
        storage = MinariStorage.read(folder)
        metadata = storage.metadata
    except Exception as error:
        raise unreadable(folder, error) from error
    for what, recorded, given in (
        ("observations", storage.observation_space, observation_space),
        ("actions", storage.action_space, action_space),
    ):
        if not same_values(recorded, given):
            raise ValueError(
                f"'{dataset_id}' cannot be appended to: its {what} are {recorded}, the environment's are {given}."
            )
    _check_stored(dataset_id, storage)
    _check_same_wrappers(dataset_id, storage, about.wrappers)
    more = about.metadata()
    more["author"] |= metadata.get("author", set())
    for key in ("algorithm_name", "description"):
        more[key] = "; ".join(dict.fromkeys(filter(None, (metadata.get(key), more[key]))))
    storage.update_metadata(more)
    return storage


def _check_same_wrappers(dataset_id: str, storage: MinariStorage, given: WrapperList | None) -> None:
    recorded = wrappers_of(storage)
    if recorded is not None and given is not None and recorded != given:
        raise ValueError(
            f"'{dataset_id}' cannot be appended to: it was recorded with the wrappers {recorded}, the environment has "
            f"{given}; use the same wrappers, or record a new dataset."
        )


def _check_stored(dataset_id: str, storage: MinariStorage) -> None:
    """Episodes that other programs wrote may have other shapes than their spaces; ours would not go together with them.

    :raises ValueError: the first episode has
    """
    for episode in storage.get_episodes(range(min(storage.total_episodes, 1))):
        for what, space in (("observations", storage.observation_space), ("actions", storage.action_space)):
            for key, part, column in _columns(space, episode[what]):
                if np.shape(column)[1:] != part.shape:
                    name = f"{what} '{key}'" if key else what
                    raise ValueError(
                        f"'{dataset_id}' cannot be appended to: its {name} are stored in shape "
                        f"{np.shape(column)[1:]}, but those of its space {part} have shape {part.shape}; record a new "
                        "dataset."
                    )


def _columns(space: Space[Any], values: Any) -> Iterator[tuple[str, Space[Any], Any]]:
    """The parts of an observation or action: key ("" if it is no Dict), space, and column."""
    if isinstance(space, spaces.Dict):
        yield from ((key, part, values[key]) for key, part in space.items() if key in values)
    else:
        yield "", space, values


def add_episodes(storage: MinariStorage, episodes: Sequence[EpisodeBuffer]) -> None:
    """
    Write episodes, with images compressed without loss.

    Minari itself stores images as JPEG or not compressed. But it adds to arrays that exist already, so empty ones are
    created here.

    :param storage: of HDF5, opened by :func:`new_storage` or :func:`more_storage`
    :param episodes: in the types of the dataset
    """
    import h5py

    first = int(storage.total_episodes)
    if not storage.metadata.get("jpeg_encoding", True):
        with h5py.File(storage.data_path / HDF5, "a", track_order=True) as file:
            for number, episode in enumerate(episodes, first):
                for key, part, _ in _columns(storage.observation_space, episode.observations):
                    if part.dtype is not None and is_frame(part.shape or (), part.dtype):
                        _create_compressed(file, f"episode_{number}/observations/{key}".rstrip("/"), part)
    storage.update_episodes(replace(episode, id=number) for number, episode in enumerate(episodes, first))


def _create_compressed(file: h5py.File, name: str, space: Space[Any]) -> None:
    shape = space.shape or ()
    file.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=(max(1, CHUNK_BYTES // prod(shape)), *shape),
        dtype=space.dtype,
        compression="gzip",
    )


def returns_of(storage: MinariStorage) -> Array:
    """
    Read the returns of all episodes, and nothing else.

    :param storage: of HDF5
    :return: (M,) float64
    """
    import h5py

    with h5py.File(storage.data_path / HDF5) as file:
        return np.array([file[f"episode_{i}/rewards"][()].sum() for i in range(storage.total_episodes)], np.float64)


def cast(space: Space[Any], values: Any) -> Any:
    """Columns in the types of a dataset, which may be others than those of an environment with the same values."""
    if isinstance(space, spaces.Dict):
        return {key: cast(part, values[key]) for key, part in space.items()}
    return np.asarray(values, dtype=space.dtype)


def recoverable(spec: EnvSpec | None) -> EnvSpec | None:
    """The part of a spec that can be saved and used again; a warning names the rest."""
    if spec is None:
        return None
    spec = copy.deepcopy(spec)
    lost = [each.name for each in spec.additional_wrappers if each.kwargs is None and each.entry_point != MONITOR]
    spec.additional_wrappers = tuple(each for each in spec.additional_wrappers if each.kwargs is not None)
    if lost:
        warnings.warn(
            f"The environment that is recovered from the dataset will lack {', '.join(lost)}, which cannot be made "
            f"again, because it is not a gymnasium.utils.RecordConstructorArgs.",
            stacklevel=2,
        )
    try:
        spec.to_json()
    except (TypeError, ValueError) as error:
        warnings.warn(f"The environment cannot be recovered from the dataset: {error}", stacklevel=2)
        return None
    return spec
