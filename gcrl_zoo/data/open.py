"""Opens datasets by id or path, whatever their format."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcrl_zoo.data.formats.containers import Container, unreadable
from gcrl_zoo.data.formats.d4rl import LAYOUT as D4RL
from gcrl_zoo.data.formats.d4rl import is_d4rl, read_d4rl
from gcrl_zoo.data.formats.hdf5 import MAGIC as HDF5
from gcrl_zoo.data.formats.hdf5 import open_hdf5
from gcrl_zoo.data.formats.minari import dataset_folder, is_minari, is_unfiltered, read_episodes
from gcrl_zoo.data.formats.minari_checks import METADATA
from gcrl_zoo.data.formats.minari_import import import_folder, import_minari, read_minari
from gcrl_zoo.data.formats.npz import MAGIC, open_npz
from gcrl_zoo.data.formats.ogbench import LAYOUT as OGBENCH
from gcrl_zoo.data.formats.ogbench import is_ogbench, missing, ogbench_file, read_ogbench
from gcrl_zoo.data.formats.own_file import ENTRIES
from gcrl_zoo.data.formats.own_folder import HEADER, is_folder
from gcrl_zoo.data.memory import available_memory, not_enough
from gcrl_zoo.data.store import TrajectoryStore

if TYPE_CHECKING:
    from minari import MinariDataset

VERSIONED = re.compile(r"-v\d+$")
"""The end of a Minari id. A path object that ends like this and does not exist is used as an id."""

SHOWN = 12  # arrays in a message

# Hyperparameter search builds a model per trial, several at a time in one process: they share one copy of the data.
_opened: dict[Path, tuple[int, TrajectoryStore]] = {}


def open_store(dataset: str | os.PathLike[str] | TrajectoryStore | MinariDataset, keep: bool = True) -> TrajectoryStore:
    """The episodes of a dataset, checked. Those of a file or folder are read once per process, and are read-only.

    Images of Minari datasets are imported at the first time, see :mod:`gcrl_zoo.data.formats.minari_import`.

    :param dataset: a store; the path of a file or folder of :meth:`TrajectoryStore.save`, or of a file of OGBench or
        D4RL; the path of a Minari dataset (the folder that contains ``data``, or ``data`` itself); the id of a dataset
        that Minari or OGBench has downloaded; or a ``minari.MinariDataset``, of which the episodes in its
        ``episode_indices`` are read
    :param keep: in memory for the next caller; False for a caller that copies the data and drops it
    :raises ValueError: one sentence on what is wrong and what to do
    """
    store = _store_of(dataset, keep)
    if not store.n_episodes:
        raise ValueError(f"The dataset {store.name} is empty; record some episodes first.")
    if store.lengths.max() == 1:
        raise ValueError(
            f"Every episode of {store.name} has one step only, which gives nothing to reach; "
            f"record whole episodes instead of single transitions."
        )
    return store


def _store_of(dataset: Any, keep: bool) -> TrajectoryStore:
    if isinstance(dataset, TrajectoryStore):
        return dataset
    if isinstance(dataset, (str, os.PathLike)) and isinstance(os.fspath(dataset), str):
        return _open(_locate(dataset), keep)
    if is_minari(dataset):
        return (
            _open(Path(dataset.storage.data_path).resolve(), keep)
            if is_unfiltered(dataset)
            else read_episodes(dataset).freeze()
        )
    raise ValueError(
        f"{dataset!r:.80} is not a dataset; give an id, a path, a TrajectoryStore or a minari.MinariDataset."
    )


def import_images(dataset: str | os.PathLike[str]) -> tuple[TrajectoryStore, Path]:
    """Import a Minari dataset with images, even if it was imported before.

    :param dataset: its id or path
    :return: its episodes, and the folder that they were written to
    :raises ValueError: one sentence on what is wrong and what to do
    :raises WriteError: the disk is full, the folder of the dataset is read-only, ...
    """
    path = _locate(dataset)
    if path.is_file() or is_folder(path):
        raise ValueError(f"{path} is not a Minari dataset and needs no import; pass it to open_store or dataset=.")
    return import_minari(path, again=True), import_folder(path)


def _locate(dataset: str | os.PathLike[str]) -> Path:
    """The file or folder of a store, or the ``data`` folder of a Minari dataset."""
    if isinstance(dataset, str) and not dataset.strip():
        raise ValueError(f"The name of the dataset is empty ({dataset!r}); give an id or a path, or leave it out.")
    path = Path(os.path.expanduser(dataset))
    if os.path.isfile(path) or is_folder(path):  # False, not an error, for a name that no file can have
        return path.resolve()
    for folder in (path, path / "data"):
        if os.path.isfile(folder / METADATA):
            return folder.resolve()
    text = dataset if isinstance(dataset, str) else path.as_posix()
    if not text.startswith((".", "~", "/", os.sep)) and path.suffix != ".npz":
        try:
            return _of_id(text).resolve()
        except ValueError:
            if isinstance(dataset, str) or VERSIONED.search(text):
                raise
    if os.path.isdir(path):
        raise ValueError(
            f"The folder {path} holds neither a Minari dataset nor a saved store; give the folder that contains 'data' "
            f"or '{HEADER}'."
        )
    raise ValueError(f"There is no file or folder {path}; give an existing path or the id of a dataset.")


def _of_id(dataset_id: str) -> Path:
    """Where Minari or OGBench stores a dataset."""
    file = ogbench_file(dataset_id)
    if file.is_file():
        return file
    try:
        return dataset_folder(dataset_id)
    except ValueError as error:
        raise missing(dataset_id) or error from None


def is_source(dataset: Any) -> bool:
    """Whether a value has a type that :func:`open_store` opens."""
    if isinstance(dataset, (str, os.PathLike)):
        return isinstance(os.fspath(dataset), str)
    return isinstance(dataset, TrajectoryStore) or is_minari(dataset)


def as_kept(dataset: Any) -> Any:
    """
    What is saved in an agent's zip for a dataset argument.

    :param dataset: as for :func:`open_store`, or None
    :return: the id of a ``minari.MinariDataset`` if the id opens the same episodes; otherwise the argument itself
    """
    if not is_minari(dataset) or not is_unfiltered(dataset):
        return dataset
    try:
        found = dataset_folder(dataset.id)
    except ValueError:
        return dataset
    return dataset.id if found.resolve() == Path(dataset.storage.data_path).resolve() else dataset


def is_handed_over(dataset: Any) -> bool:
    """Whether a dataset was given as an object, which cannot be opened again by an id or path."""
    return dataset is not None and not isinstance(dataset, (str, os.PathLike))


def _open(path: Path, keep: bool) -> TrajectoryStore:
    parts = [path / HEADER] if is_folder(path) else [path, *path.iterdir()] if path.is_dir() else [path]
    changed = max(part.stat().st_mtime_ns for part in parts)
    if path in _opened and _opened[path][0] == changed:
        return _opened[path][1]
    _opened.pop(path, None)  # not in memory while the new one is read
    store = _read(path).freeze()
    if keep:
        _opened[path] = changed, store
    return store


def _read(path: Path) -> TrajectoryStore:
    try:
        if is_folder(path):
            return TrajectoryStore.load(path, name=str(path))
        return read_minari(path) if path.is_dir() else _read_file(path)
    except MemoryError:
        raise not_enough(str(path), "more", available_memory()) from None


def _read_file(path: Path) -> TrajectoryStore:
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
            if not arrays.forms.keys() >= {*ENTRIES}:
                return _read_arrays(arrays)
        return TrajectoryStore.load(path, name=str(path))
    if start == HDF5:
        with open_hdf5(path) as arrays_of_hdf5:
            return _read_arrays(arrays_of_hdf5)
    raise ValueError(
        f"{path} holds no trajectories, since it is neither an .npz nor an HDF5 file; "
        f"give a file of TrajectoryStore.save, D4RL or OGBench."
    )


def _read_arrays(arrays: Container) -> TrajectoryStore:
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
