"""One door to all kinds of datasets."""

from __future__ import annotations

import os
from pathlib import Path

from gcrl_zoo.data.minari import dataset_folder, read_minari
from gcrl_zoo.data.ogbench import is_ogbench, missing, ogbench_file, read_ogbench
from gcrl_zoo.data.store import TrajectoryStore

# Hyperparameter search builds the model anew for each trial, several at a time in one process: read once, share.
_opened: dict[Path, tuple[int, TrajectoryStore]] = {}


def open_store(dataset: str | Path | TrajectoryStore) -> TrajectoryStore:
    """The episodes of a dataset, checked. Those of a file or folder are read once per process, and are read-only.

    :param dataset: a store; the path of a file that :meth:`TrajectoryStore.save` wrote, or of an OGBench dataset; the
        path of a Minari dataset (the folder that contains ``data``, or ``data`` itself); or the id of a dataset that
        Minari or OGBench has downloaded
    :raises ValueError: one sentence on what is wrong and what to do
    """
    store = dataset if isinstance(dataset, TrajectoryStore) else _open(_locate(dataset))
    if not store.n_episodes:
        raise ValueError(f"The dataset {store.name} is empty; record some episodes first.")
    if store.lengths.max() == 1:
        raise ValueError(
            f"Every episode of {store.name} has one step only, so that nothing leads anywhere; "
            f"record whole episodes instead of single transitions."
        )
    return store


def _locate(dataset: str | Path) -> Path:
    """The file, or the ``data`` folder of a Minari dataset."""
    path = Path(dataset).expanduser()
    if path.is_file():
        return path.resolve()
    for folder in (path, path / "data"):
        if (folder / "metadata.json").is_file():
            return folder.resolve()
    if isinstance(dataset, str) and not dataset.startswith((".", "~", os.sep)) and path.suffix != ".npz":
        return _of_id(dataset).resolve()
    if path.is_dir():
        raise ValueError(f"The folder {path} holds no Minari dataset; give the folder that contains its 'data' folder.")
    raise ValueError(f"There is no file or folder {path}; give an existing path or the id of a dataset.")


def _of_id(dataset_id: str) -> Path:
    """Where Minari or OGBench keeps a dataset."""
    file = ogbench_file(dataset_id)
    if file.is_file():
        return file
    try:
        return dataset_folder(dataset_id)
    except ValueError as error:
        raise missing(dataset_id) or error from None


def _open(path: Path) -> TrajectoryStore:
    parts = [path, *path.iterdir()] if path.is_dir() else [path]
    changed = max(part.stat().st_mtime_ns for part in parts)
    if path not in _opened or _opened[path][0] != changed:
        _opened[path] = (changed, _read(path).freeze())
    return _opened[path][1]


def _read(path: Path) -> TrajectoryStore:
    if path.is_dir():
        return read_minari(path)
    return read_ogbench(path) if is_ogbench(path) else TrajectoryStore.load(path, name=str(path))
