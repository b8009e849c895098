"""Reads OGBench datasets. The package ``ogbench`` need not be installed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from gcrl_zoo.data.arrays import Array
from gcrl_zoo.data.episode import Episode
from gcrl_zoo.data.formats.containers import Container, check_numbers, read_flags
from gcrl_zoo.data.store import TrajectoryStore

FOLDER = "~/.ogbench/data"  # ogbench.utils.DEFAULT_DATASET_DIR
COLUMNS = ("observations", "actions", "terminals")
UNREAD = ("qpos", "qvel", "button_states")
LAYOUT = f"OGBench: {', '.join(COLUMNS)} (and {', '.join(UNREAD)})"
FAMILIES = "pointmaze|antmaze|humanoidmaze|antsoccer|cube|scene|puzzle|powderworld"
DATASET_ID = re.compile(
    rf"(?P<name>(visual-)?({FAMILIES})(-\w+)*?)(?P<made>-(singletask|oraclerep)(-task\d)?)?(?P<version>-v\d+)(-val)?"
)


def ogbench_file(dataset_id: str) -> Path:
    """Where ``ogbench.download_datasets`` puts a dataset, whether or not the file exists.

    :param dataset_id: such as ``"pointmaze-medium-navigate-v0"``; with ``-val`` at the end, its validation split
    """
    return Path(FOLDER, f"{dataset_id}.npz").expanduser()


def missing(dataset_id: str) -> ValueError | None:
    """The error for a dataset that does not exist; None if the id is not like those of OGBench."""
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


def is_ogbench(keys: Collection[str]) -> bool:
    """Whether a file has all arrays of this layout, and no others."""
    return {*keys} - {*UNREAD} == {*COLUMNS}


def read_ogbench(arrays: Container) -> TrajectoryStore:
    """All trajectories, each as an episode that was cut: actions, no rewards, one observation.

    :param arrays: with ``observations`` (N, ...), ``actions`` (N, ...) and ``terminals`` (N,), which is 1 in the last
        row of each trajectory; ``qpos``, ``qvel`` and ``button_states`` are not read
    :raises ValueError: one sentence that names the file and what is wrong with it
    """
    n_rows = check_numbers(arrays, COLUMNS)
    lasts = np.flatnonzero(read_flags(arrays, "terminals"))
    if not len(lasts) or lasts[-1] != n_rows - 1:
        raise ValueError(
            f"{arrays.name} breaks off within a trajectory, since 'terminals' is not 1 in its last row; "
            f"download it again, or mark where each trajectory ends."
        )
    return TrajectoryStore.from_episodes(_episodes(arrays, lasts), name=arrays.name, n_slots=n_rows)


def _episodes(arrays: Container, lasts: Array) -> Iterator[Episode]:
    """Cut the rows after each terminal. The last row of a trajectory holds an observation only."""
    observations, actions = arrays.rows("observations"), arrays.rows("actions")
    for n in np.diff(lasts, prepend=-1).tolist():
        yield Episode({"observation": observations(n)}, actions(n)[:-1], rewards=None)
