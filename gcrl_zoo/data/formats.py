"""Files of trajectories, recognised by what they hold: the bytes at the beginning, then the full set of arrays."""

from __future__ import annotations

from pathlib import Path

from gcrl_zoo.data import files
from gcrl_zoo.data.containers import Container, unreadable
from gcrl_zoo.data.d4rl import LAYOUT as D4RL
from gcrl_zoo.data.d4rl import is_d4rl, read_d4rl
from gcrl_zoo.data.hdf5 import MAGIC as HDF5
from gcrl_zoo.data.hdf5 import open_hdf5
from gcrl_zoo.data.npz import MAGIC, open_npz
from gcrl_zoo.data.ogbench import LAYOUT as OGBENCH
from gcrl_zoo.data.ogbench import is_ogbench, read_ogbench
from gcrl_zoo.data.store import TrajectoryStore

SHOWN = 12


def read_file(path: Path) -> TrajectoryStore:
    """All episodes of a file of :meth:`TrajectoryStore.save`, of D4RL or of OGBench.

    :raises ValueError: one sentence that names the file and what is wrong with it
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise unreadable(path, error.strerror or error) from error
    if start.startswith(MAGIC):
        with open_npz(path) as arrays:
            if not arrays.forms.keys() >= {*files.ENTRIES}:
                return _read(arrays)
        return TrajectoryStore.load(path, name=str(path))
    if start == HDF5:
        with open_hdf5(path) as arrays_of_hdf5:
            return _read(arrays_of_hdf5)
    raise ValueError(
        f"{path} holds no trajectories, since it is neither an .npz nor an HDF5 file; "
        f"give a file of TrajectoryStore.save, D4RL or OGBench."
    )


def _read(arrays: Container) -> TrajectoryStore:
    keys = arrays.forms.keys()
    if is_d4rl(keys):
        return read_d4rl(arrays)
    if is_ogbench(keys):
        return read_ogbench(arrays)
    found = [f"{key} ({form})" for key, form in sorted(arrays.forms.items())]
    more = [f"{len(found) - SHOWN} more"] if len(found) > SHOWN else []
    raise ValueError(
        f"{arrays.name} holds no trajectories in a layout that is known: it has "
        f"{', '.join([*found[:SHOWN], *more]) or 'no arrays'}; exactly these are read: {D4RL}; {OGBENCH}."
    )
