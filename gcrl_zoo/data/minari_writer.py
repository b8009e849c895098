"""Stores of Minari: datasets that are whole or not there."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.envs.registration import EnvSpec

from gcrl_zoo.data.episode import Episode, EpisodeError
from gcrl_zoo.data.minari import check_spaces, unreadable
from gcrl_zoo.data.spaces import same_values

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

# Minari itself is imported late, as in the reader.

PENDING_BYTES = 32_000_000
MONITOR = "stable_baselines3.common.monitor:Monitor"  # changes nothing, so that it need not be made again


@dataclass(frozen=True)
class About:
    """What a dataset says of itself.

    :param env_spec: makes its environment anew
    :param algorithm_name: who played
    :param author: who recorded
    :param description: what is in it
    """

    env_spec: EnvSpec | None = None
    algorithm_name: str = ""
    author: str | None = None
    description: str = ""

    def metadata(self) -> dict[str, Any]:
        """In Minari's words and types."""
        author = {self.author} if self.author else set()
        return {"algorithm_name": self.algorithm_name, "author": author, "description": self.description}


class MinariWriter:
    """Adds episodes to a dataset, of which only a few wait in memory. It counts those that it adds.

    :param dataset_id: for messages
    :param storage: where they go
    """

    def __init__(self, dataset_id: str, storage: MinariStorage) -> None:
        self.dataset_id = dataset_id
        self.storage = storage
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
        self.n_episodes += 1
        self.n_steps += checked.length
        self.total_return += checked.episode_return
        kept = {
            "observations": _cast(self.storage.observation_space, columns),
            "actions": _cast(self.storage.action_space, episode.actions),
        }
        self._pending.append(replace(episode, **kept))
        self._bytes += sum(column.nbytes for column in facts.values())
        if self._bytes > PENDING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self.storage.update_episodes(self._pending)
        self._pending, self._bytes = [], 0


def check_target(dataset_id: str, append: bool = False, force: bool = False) -> Path:
    """The folder of a dataset that may be written.

    :param append: to an existing one
    :param force: replace an existing one
    :raises ValueError: the id is none, or taken
    """
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path

    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError):  # TypeError: it has no version
        raise ValueError(
            f"'{dataset_id}' is no dataset id; give one like 'cartpole/ppo-v0': a namespace (of two letters or more), "
            f"a name and a version."
        ) from None
    target = Path(get_dataset_path(dataset_id))
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
    return (folder / "data" / "metadata.json").is_file()


@contextmanager
def write_minari(
    dataset_id: str,
    observation_space: Space[Any],
    action_space: Space[Any],
    about: About,
    append: bool = False,
    force: bool = False,
) -> Iterator[MinariWriter]:
    """Write a dataset that is whole or not there: it takes its place when the block ends without an error.

    :param dataset_id: where, such as ``"cartpole/ppo-v0"``
    :param observation_space: of the recorded environment
    :param action_space: of the recorded environment
    :param about: what else is known of it
    :param append: to an existing dataset, which stays as it is until then
    :param force: replace an existing dataset, which stays as it is until then
    :raises ValueError: one sentence on what is wrong and what to do
    """
    from minari.storage.datasets_root_dir import get_dataset_path

    target = check_target(dataset_id, append, force)
    check_spaces(dataset_id, observation_space, action_space)
    # Hidden, so that Minari does not list it, and beside its namespaces, so that it can be moved there in one go.
    # Absolute, since Minari cannot tell the size of a dataset in a relative folder.
    with tempfile.TemporaryDirectory(dir=get_dataset_path().resolve(), prefix=".partial-") as place:
        partial = Path(place, "new")
        if append and target.exists():
            shutil.copytree(target, partial)
            storage = _storage(dataset_id, partial / "data", observation_space, action_space, about)
        else:
            partial.mkdir()
            storage = _new_storage(dataset_id, partial / "data", observation_space, action_space, about)
        writer = MinariWriter(dataset_id, storage)
        yield writer
        if not writer.n_episodes:
            raise ValueError(f"No episode was recorded for '{dataset_id}'.")
        writer.flush()
        _make_namespace(dataset_id)
        old = Path(place, "old")
        try:
            if target.exists():
                os.replace(target, old)
            os.replace(partial, target)
        except BaseException:
            if old.exists() and not target.exists():
                os.replace(old, target)
            raise


def _new_storage(
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
    facts = {"dataset_id": dataset_id, "minari_version": __version__, "code_permalink": ""}
    storage.update_metadata({**facts, **about.metadata()})
    return storage


def _storage(
    dataset_id: str, folder: Path, observation_space: Space[Any], action_space: Space[Any], about: About
) -> MinariStorage:
    """That of a dataset which gets more episodes of the same environment."""
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
    more = about.metadata()
    more["author"] |= metadata.get("author", set())
    for key in ("algorithm_name", "description"):
        more[key] = "; ".join(dict.fromkeys(filter(None, (metadata.get(key), more[key]))))
    storage.update_metadata(more)
    return storage


def _check_stored(dataset_id: str, storage: MinariStorage) -> None:
    """Episodes that other programs wrote may have other shapes than their spaces; ours would not go together with them.

    :raises ValueError: the first episode has
    """
    for episode in storage.get_episodes(range(min(storage.total_episodes, 1))):
        for what, space in (("observations", storage.observation_space), ("actions", storage.action_space)):
            for key, part, column in _columns(space, episode[what]):
                if np.shape(column)[1:] != part.shape:
                    raise ValueError(
                        f"'{dataset_id}' cannot be appended to: its {what}{key} are stored in shape "
                        f"{np.shape(column)[1:]}, but those of its space {part} have shape {part.shape}; record a new "
                        "dataset."
                    )


def _columns(space: Space[Any], values: Any) -> Iterator[tuple[str, Space[Any], Any]]:
    """The parts of an observation or action: how to name it in a message, its space, and its column."""
    if isinstance(space, spaces.Dict):
        yield from ((f" '{key}'", part, values[key]) for key, part in space.items() if key in values)
    else:
        yield "", space, values


def _cast(space: Space[Any], values: Any) -> Any:
    """Columns in the types of a dataset, which may be others than those of an environment with the same values."""
    if isinstance(space, spaces.Dict):
        return {key: _cast(part, values[key]) for key, part in space.items()}
    return np.asarray(values, dtype=space.dtype)


def _make_namespace(dataset_id: str) -> None:
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.namespace import create_namespace, list_local_namespaces

    namespace = parse_dataset_id(dataset_id)[0]
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)


def recoverable(spec: EnvSpec | None) -> EnvSpec | None:
    """What of a spec can be written down, and made of it again. What cannot is named in a warning."""
    if spec is None:
        return None
    spec = copy.deepcopy(spec)
    lost = [each.name for each in spec.additional_wrappers if each.kwargs is None and each.entry_point != MONITOR]
    spec.additional_wrappers = tuple(each for each in spec.additional_wrappers if each.kwargs is not None)
    if lost:
        warnings.warn(
            f"The environment that is recovered from the dataset will lack {', '.join(lost)}, which cannot be made "
            f"again, because it is no gymnasium.utils.RecordConstructorArgs.",
            stacklevel=2,
        )
    try:
        spec.to_json()
    except (TypeError, ValueError) as error:
        warnings.warn(f"The environment cannot be recovered from the dataset: {error}", stacklevel=2)
        return None
    return spec
