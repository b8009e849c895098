"""Replaces a Minari dataset by a complete one. A kill at any moment loses neither the old one nor the new one."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from urllib.parse import quote

from gcrl_zoo.data.disk import writing

PARTIAL, READY = ".partial-", ".ready-"
"""Beginnings of the names of hidden folders, which Minari does not list: datasets that are being written, and complete
ones that are about to take their place."""


def swap(dataset_id: str, new: Path, aside: Path) -> None:
    """
    Three renames: ``new`` becomes ready, the old dataset goes aside, the ready one takes its place. Killed after the
    first of them, :func:`recover` does the rest. An error undoes what was done.

    :param dataset_id: of both
    :param new: folder of the complete dataset
    :param aside: where the old dataset goes, to be deleted
    """
    recover(dataset_id)  # another process may have been killed meanwhile
    target, ready = _places(dataset_id)
    with writing(target):
        os.replace(new, ready)
        try:
            _finish(target, ready, aside)
        except BaseException:
            if aside.exists() and not target.exists():
                os.replace(aside, target)
            if ready.exists():
                os.replace(ready, new)
            raise


def recover(dataset_id: str) -> None:
    """
    Move a complete dataset, which a killed process left beside its place, into its place, and warn about it.

    :param dataset_id: of any dataset
    """
    target, ready = _places(dataset_id)
    if not os.path.isdir(ready):  # False, not an error, for a name that no folder can have
        return
    with writing(target), temporary_folder() as place:
        _finish(target, ready, Path(place, "old"))
    warnings.warn(
        f"The last recording of '{dataset_id}' was stopped when it was complete but not in its place yet; it is now.",
        stacklevel=2,
    )


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a dataset that is being written, beside the namespaces: one rename moves it into its place."""
    return tempfile.TemporaryDirectory(dir=_root(), prefix=PARTIAL)


def _root() -> Path:
    """The folder of all datasets; absolute, since Minari cannot tell the size of a dataset in a relative folder."""
    from minari.storage.datasets_root_dir import get_dataset_path

    return Path(get_dataset_path()).resolve()


def _places(dataset_id: str) -> tuple[Path, Path]:
    """The folder of a dataset, and that of its successor."""
    root = _root()
    return root / dataset_id, root / f"{READY}{quote(dataset_id, safe='')}"


def _finish(target: Path, ready: Path, aside: Path) -> None:
    if target.exists():
        os.replace(target, aside)
    try:
        os.replace(ready, target)
    except FileNotFoundError:  # another process recovered it at this moment
        if not target.exists():
            raise
