"""OGBench datasets as stores. Their files are read as they are: the package ``ogbench`` need not be installed."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gcrl_zoo.data.episode import Array, Episode
from gcrl_zoo.data.store import TrajectoryStore

FOLDER = "~/.ogbench/data"  # ogbench.utils.DEFAULT_DATASET_DIR
COLUMNS = ("observations", "actions", "terminals")
FAMILIES = "pointmaze|antmaze|humanoidmaze|antsoccer|cube|scene|puzzle|powderworld"
DATASET_ID = re.compile(
    rf"(?P<name>(visual-)?({FAMILIES})(-\w+)*?)(?P<made>-(singletask|oraclerep)(-task\d)?)?(?P<version>-v\d+)(-val)?"
)


def ogbench_file(dataset_id: str) -> Path:
    """Where ``ogbench.download_datasets`` puts a dataset, be it there or not.

    :param dataset_id: such as ``"pointmaze-medium-navigate-v0"``; with ``-val`` behind it, its validation split
    """
    return Path(FOLDER, f"{dataset_id}.npz").expanduser()


def missing(dataset_id: str) -> ValueError | None:
    """What to say of a dataset that is not there; None when its name is not like those of OGBench."""
    match = DATASET_ID.fullmatch(dataset_id)
    if match is None:
        return None
    plain = match["name"] + match["version"]
    if match["made"]:
        return ValueError(
            f"There is no file for '{dataset_id}', because its environment adds the rewards or goals; "
            f"give '{plain}', which holds the trajectories."
        )
    return ValueError(
        f"There is no dataset '{dataset_id}' in {ogbench_file(dataset_id).parent}; download it by "
        f"`python -c \"import ogbench; ogbench.download_datasets(['{plain}'])\"`, or give the path of its file."
    )


def is_ogbench(path: Path) -> bool:
    """Whether a file has arrays by OGBench's names, which files of :meth:`TrajectoryStore.save` do not have.

    :raises ValueError: when an ``.npz`` file is cut off
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return not {"observations.npy", "terminals.npy"}.isdisjoint(archive.namelist())
    except zipfile.BadZipFile as error:
        if path.suffix == ".npz":
            raise _unreadable(path, error) from error
        return False


def read_ogbench(path: Path) -> TrajectoryStore:
    """All trajectories of an OGBench file, each as an episode that was cut: actions, no rewards, one observation.

    :param path: of an ``.npz`` file with ``observations`` (N, ...), ``actions`` (N, ...) and ``terminals`` (N,), which
        is 1 in the last row of each trajectory; ``qpos``, ``qvel`` and ``button_states`` are left out
    :raises ValueError: one sentence that names the file and what is wrong with it
    """
    arrays = _read(path)
    return TrajectoryStore.from_episodes(_episodes(arrays), name=str(path), n_slots=len(arrays["terminals"]))


def _read(path: Path) -> dict[str, Array]:
    """The columns of a file, checked to be of one length and to end with a trajectory."""
    try:
        with np.load(path, allow_pickle=False) as entries:
            absent = [column for column in COLUMNS if column not in entries]
            arrays: dict[str, Array] = {column: entries[column] for column in COLUMNS if not absent}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error) from error
    if absent:
        raise ValueError(f"{path} lacks '{absent[0]}'; an OGBench dataset has {', '.join(COLUMNS)}.")
    terminals = arrays["terminals"]
    for column, array in arrays.items():
        if array.shape[:1] != (terminals.size,) or terminals.ndim > 1:
            raise ValueError(
                f"{path} has '{column}' of shape {array.shape} beside 'terminals' of shape {terminals.shape}; "
                f"give one entry per row, those of final observations included."
            )
    odd = terminals[~np.isin(terminals, (0, 1))]
    if odd.size:
        raise ValueError(f"{path} has {odd[0]} in 'terminals'; give 1 where a trajectory ends and 0 elsewhere.")
    if not terminals[-1:].any():
        raise ValueError(
            f"{path} breaks off within a trajectory, since 'terminals' is not 1 in its last row; "
            f"download it anew, or mark where each trajectory ends."
        )
    return arrays


def _episodes(arrays: Mapping[str, Array]) -> Iterator[Episode]:
    """Cut the rows behind each terminal, of which the last row of a trajectory holds an observation only."""
    start = 0
    for last in np.flatnonzero(arrays["terminals"]).tolist():
        yield Episode(
            observations={"observation": arrays["observations"][start : last + 1]},
            actions=arrays["actions"][start:last],
            rewards=None,
        )
        start = last + 1


def _unreadable(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return ValueError(f"{path} cannot be read ({reason}); download or save it anew.")
