"""A store as one file: an ``.npz`` archive without pickle, written atomically and fully checked when it is read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gcrl_zoo.data.arrays import FLOAT, INT, Array
from gcrl_zoo.data.checks import is_whole
from gcrl_zoo.data.episode import Episode
from gcrl_zoo.data.formats.containers import FACT_TYPES, Rows, read, unreadable
from gcrl_zoo.data.formats.npz import Npz, open_npz
from gcrl_zoo.data.recorded_wrappers import WrapperList, check_wrappers
from gcrl_zoo.data.whole_file import whole_file

if TYPE_CHECKING:
    from gcrl_zoo.data.store import TrajectoryStore

FORMAT = "gcrl_zoo trajectories 2"
HEADER = {"format", "name", "capacity", "checksums"}
WRAPPERS = "wrappers"  # an optional entry of the header
ENTRIES = ("header", "lengths", "terminated")
FACTS, EXTRAS = "observations ", "extras "
PORTION = 2**24  # bytes that are copied at a time


class Saved(NamedTuple):
    """What a file holds. Its episodes can be read once, while it is open."""

    name: str
    capacity: int | None
    n_slots: int
    episodes: Iterator[Episode]
    wrappers: WrapperList | None


def save_file(path: str | Path | IO[bytes], store: TrajectoryStore) -> None:
    """Write a store to a file.

    :param path: a file of exactly this name is written, and an old one stays whole until the new one is complete; or
        an open file
    :raises WriteError: the disk is full, the folder is read-only, ...
    """
    columns = {FACTS + key: key for key in store.observation_keys}
    columns |= {EXTRAS + key: key for key in store.extra_keys}
    columns |= {key: key for key, known in (("actions", store.has_actions), ("rewards", store.has_rewards)) if known}
    with whole_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for entry, column in columns.items():
            _write_column(archive, entry, store, column)
        _write(archive, "lengths", store.lengths)
        _write(archive, "terminated", store.terminated)
        # The archive protects the bytes of each entry. The header, written last, protects their names and number.
        checksums = {info.filename.removesuffix(".npy"): info.CRC for info in archive.infolist()}
        header: dict[str, Any] = {
            "format": FORMAT,
            "name": store.name,
            "capacity": store.capacity,
            "checksums": checksums,
        }
        if store.wrappers is not None:
            header[WRAPPERS] = store.wrappers
        _write(archive, "header", np.array(json.dumps(header)))


def _write(archive: zipfile.ZipFile, entry: str, array: Array) -> None:
    with archive.open(f"{entry}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _write_column(archive: zipfile.ZipFile, entry: str, store: TrajectoryStore, column: str) -> None:
    """Write a column in portions, since images may fill most of the memory."""
    slots = store.slots
    one = store.take(column, slots[:1])
    portion = max(1, PORTION // max(1, one.nbytes))
    form = {"descr": one.dtype.str, "fortran_order": False, "shape": (len(slots), *one.shape[1:])}
    with archive.open(f"{entry}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, form)
        for start in range(0, len(slots), portion):
            file.write(store.take(column, slots[start : start + portion]).tobytes())


@contextmanager
def open_file(path: str | Path | IO[bytes]) -> Iterator[Saved]:
    """Open a file, or a file object from where it stands, that :func:`save_file` wrote.

    :raises ValueError: one sentence that names the file: there is none, or what is wrong with it
    """
    if isinstance(path, (str, Path)) and not Path(path).is_file():
        raise ValueError(f"There is no file {path}; give the path of a file that TrajectoryStore.save wrote.")
    with open_npz(path) as archive:
        if not archive.forms.keys() >= {*ENTRIES}:
            raise ValueError(f"{archive.name} holds no trajectories; give a file that TrajectoryStore.save wrote.")
        header = _header(archive)
        lengths, terminated = _lengths(archive), read(archive, "terminated")
        n_slots = int(lengths.sum()) + len(lengths)
        capacity = header["capacity"]
        if capacity is not None and not (is_whole(capacity, 2) and capacity >= n_slots):
            raise unreadable(archive.name, f"its capacity is {capacity!r} for {n_slots} slots")
        _check_columns(archive, n_slots)
        columns = {entry: archive.rows(entry) for entry in archive.forms if entry not in ENTRIES}
        episodes = _episodes(columns, lengths, terminated)
        yield Saved(header["name"], capacity, n_slots, episodes, header.get(WRAPPERS))


def _header(archive: Npz) -> dict[str, Any]:
    """The header, checked against the entries of the archive."""
    shape, dtype = archive.forms["header"]
    if shape or dtype.kind != "U":
        raise unreadable(archive.name, "its header is not text")
    try:
        header = json.loads(str(archive.rows("header")(1)[0]))
    except (ValueError, RecursionError):
        raise unreadable(archive.name, "its header is damaged") from None
    if not isinstance(header, dict) or "format" not in header:
        raise unreadable(archive.name, "its header names no format")
    if header["format"] != FORMAT:
        raise unreadable(archive.name, f"its format is {header['format']!r}, this version reads '{FORMAT}'")
    if header.keys() - {WRAPPERS} != HEADER or not isinstance(header["name"], str):
        raise unreadable(archive.name, "its header is not as it was written")
    if header["checksums"] != {entry: crc for entry, crc in archive.checksums.items() if entry != "header"}:
        raise unreadable(archive.name, "its entries are not those that were written")
    try:
        check_wrappers(header.get(WRAPPERS))
    except ValueError as error:
        raise unreadable(archive.name, error) from None
    return header


def _lengths(archive: Npz) -> Array:
    """(M,) the length of each episode, at least 1."""
    form, of_ends = archive.forms["lengths"], archive.forms["terminated"]
    if len(form.shape) != 1 or form.dtype != INT or of_ends != (form.shape, np.dtype(np.bool_)):
        raise unreadable(archive.name, f"it has lengths as {form} and terminated as {of_ends}")
    lengths = read(archive, "lengths")
    longest = max(shape[0] if shape else 0 for shape, _ in archive.forms.values())
    odd = lengths[(lengths < 1) | (lengths > longest)]
    if odd.size:
        raise unreadable(archive.name, f"it has an episode of length {odd[0]}")
    return lengths


def _check_columns(archive: Npz, n_slots: int) -> None:
    """Each entry is a column with one row per slot, in a dtype in which stores keep it."""
    columns = {entry: form for entry, form in archive.forms.items() if entry not in ENTRIES}
    if bool(n_slots) != any(entry.startswith(FACTS) for entry in columns):
        raise unreadable(archive.name, f"it has {n_slots} slots and the columns {', '.join(columns) or 'none'}")
    for entry, form in columns.items():
        allowed = {"actions": (FLOAT, INT), "rewards": (FLOAT,)}.get(entry, FACT_TYPES)
        known = entry in ("actions", "rewards") or entry.startswith((FACTS, EXTRAS))
        if not known or form.dtype not in allowed or form.shape[:1] != (n_slots,):
            raise unreadable(archive.name, f"it has '{entry}' as {form} for {n_slots} slots")


def _episodes(columns: dict[str, Rows], lengths: Array, terminated: Array) -> Iterator[Episode]:
    """Cut the columns into episodes; actions and rewards have an empty row for the final observation."""
    for length, end in zip(lengths.tolist(), terminated.tolist(), strict=True):
        parts = {entry: rows(length + 1) for entry, rows in columns.items()}
        yield Episode(
            observations={key.removeprefix(FACTS): part for key, part in parts.items() if key.startswith(FACTS)},
            actions=parts["actions"][:-1] if "actions" in parts else None,
            rewards=parts["rewards"][:-1] if "rewards" in parts else None,
            terminated=end,
            extras={key.removeprefix(EXTRAS): part for key, part in parts.items() if key.startswith(EXTRAS)},
        )
