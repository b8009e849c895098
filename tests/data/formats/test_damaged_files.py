"""Damaged and forged files of trajectories: what they hold is read as it was written, or refused in one sentence."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcrl_zoo.data import TrajectoryStore, open_store
from gcrl_zoo.data.formats import containers
from tests.data.formats.test_d4rl import columns as d4rl_columns
from tests.data.formats.test_ogbench import columns as ogbench_columns
from tests.support.data_episodes import assert_same, assert_same_episode, varied_episode

N_MUTATIONS = 150  # of each file here; 5,000 of each were tried by hand
Rng = np.random.Generator


def own_file() -> bytes:
    """A file of ours, small enough for each byte to count."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    TrajectoryStore.from_episodes([varied_episode(rng, n) for n in (3, 5, 2)], capacity=40, name="mine").save(file)
    return file.getvalue()


def npz(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


WHOLE = {"own": own_file(), "ogbench": npz(ogbench_columns()), "d4rl": npz(d4rl_columns())}


# ------------------------------------------------------------------------------------------------- mutations


def truncate(whole: bytes, rng: Rng) -> bytes:
    return whole[: rng.integers(len(whole))]


def flip(whole: bytes, rng: Rng) -> bytes:
    """Change one byte or a few."""
    damaged = bytearray(whole)
    for at in rng.integers(len(whole), size=rng.choice([1, 1, 1, 2, 8])):
        damaged[at] ^= rng.integers(1, 256)
    return bytes(damaged)


def cut_out(whole: bytes, rng: Rng) -> bytes:
    start, stop = np.sort(rng.integers(len(whole), size=2))
    return whole[:start] + whole[stop:]


def overwrite(whole: bytes, rng: Rng) -> bytes:
    start, n = rng.integers(len(whole)), rng.integers(1, 60)
    return whole[:start] + (bytes(n) if rng.random() < 0.5 else rng.bytes(n)) + whole[start + n :]


def members(whole: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(entries: list[tuple[str, bytes]]) -> bytes:
    """A valid archive, checksums included, of whatever entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about duplicate names
        for name, content in entries:
            made.writestr(name, content)
    return file.getvalue()


def swap(whole: bytes, rng: Rng) -> bytes:
    entries = members(whole)
    a, b = rng.choice([*entries], 2, replace=False)
    return archive([*(entries | {a: entries[b], b: entries[a]}).items()])


def lose(whole: bytes, rng: Rng) -> bytes:
    entries = members(whole)
    del entries[rng.choice([*entries])]
    return archive([*entries.items()])


def add(whole: bytes, rng: Rng) -> bytes:
    entries = members(whole)
    name = rng.choice(["extras more.npy", "observations more.npy", "rewards.npy", "dones.npy", "more.txt", *entries])
    return archive([*entries.items(), (name, entries[rng.choice([*entries])])])


def rename(whole: bytes, rng: Rng) -> bytes:
    entries = members(whole)
    name = rng.choice([*entries])
    other = rng.choice(["observations other.npy", "rewards.npy", "other.npy", "OBSERVATIONS.npy", name + " "])
    return archive([(other if each == name else each, content) for each, content in entries.items()])


def damage_entry(whole: bytes, rng: Rng) -> bytes:
    """Damage an array before the archive takes its checksum."""
    entries = members(whole)
    name = rng.choice([*entries])
    mutation = rng.choice([truncate, flip, cut_out, overwrite])
    return archive([*(entries | {name: mutation(entries[name], rng)}).items()])


def change_array(whole: bytes, rng: Rng) -> bytes:
    """Another dtype, shape or number of rows in a valid array."""
    entries = members(whole)
    name = rng.choice([*entries])
    array = np.load(io.BytesIO(entries[name]))
    dtypes = ["f2", "f4", "f8", "i1", "i4", "i8", "u8", "?", "U3", "S2", "c8", "M8[s]", "O", ">f4", ">i8"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changes: list[Callable[[], Any]] = [
            lambda: array.astype(rng.choice(dtypes)),
            lambda: array[:-1] if array.ndim else array.reshape(1),
            lambda: np.concatenate([array, array[:1]]) if array.ndim else np.array([array, array]),
            lambda: array[..., None],
            lambda: array.reshape(-1),
            lambda: array.T,
            lambda: np.asfortranarray(array),
            lambda: array[:0] if array.ndim else np.array(""),
            lambda: array[::-1] if array.ndim else np.array("{}"),
            lambda: np.array(array.ravel()[:1])[0],
            lambda: np.roll(array, 1),
        ]
        try:
            changed = changes[rng.integers(len(changes))]()
        except (TypeError, ValueError):
            changed = np.zeros(3)
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(changed), allow_pickle=True)
    return archive([*(entries | {name: file.getvalue()}).items()])


MUTATIONS = (truncate, flip, cut_out, overwrite, swap, lose, add, rename, damage_entry, change_array)


# --------------------------------------------------------------------------------- an independent reader


def plain(path: Path) -> list[list[Any]]:
    """The episodes of a file of D4RL or OGBench: observations, actions, rewards, terminated; read the simple way."""
    with np.load(path) as arrays:
        data = {key: arrays[key] for key in arrays}
    of_d4rl = "timeouts" in data
    terminals = data["terminals"].ravel().astype(bool)
    ends = terminals | data["timeouts"].ravel().astype(bool) if of_d4rl else terminals.copy()
    ends[-1] = True
    found, start = [], 0
    for last in np.flatnonzero(ends):
        rows = slice(start, last + 1)
        seen, acts = data["observations"][rows], data["actions"][rows]
        rewards = data["rewards"][rows].ravel() if of_d4rl else None
        start = last + 1
        if "next_observations" in data:
            seen = np.concatenate([seen, data["next_observations"][last : last + 1]])
            found.append([seen, acts, rewards, bool(terminals[last])])
        elif len(seen) > 1:
            found.append([seen, acts[:-1], None if rewards is None else rewards[:-1], False])
    return found


def assert_reads_as(store: TrajectoryStore, expected: list[list[Any]]) -> None:
    assert store.n_episodes == len(expected)
    for episode, (seen, acts, rewards, terminated) in zip(store.episodes(), expected, strict=True):
        np.testing.assert_array_equal(episode.observations["observation"], seen.astype(np.float32))
        np.testing.assert_array_equal(episode.actions, acts.astype(np.float32))
        assert_same(episode.rewards, None if rewards is None else rewards.astype(np.float32))
        assert episode.terminated is terminated


def outcome(kind: str, path: Path, original: TrajectoryStore) -> bool:
    """Whether a file was read; raises if it was read as something else, or refused in any other way than it should."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about rewards that are left out
            store = open_store(path)
    except ValueError as error:
        sentence = str(error)
        assert str(path) in sentence and "\n" not in sentence and sentence.endswith("."), sentence
        return False
    if kind == "own":
        assert (store.n_episodes, store.capacity) == (original.n_episodes, original.capacity)
        for a, b in zip(store.episodes(), original.episodes(), strict=True):
            assert_same_episode(a, b)
    else:
        assert_reads_as(store, plain(path))
    return True


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_files_are_read_as_they_were_or_refused(kind: str, tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "whole"
    path.write_bytes(WHOLE[kind])
    original, read = open_store(path), 0
    for i in range(N_MUTATIONS):
        mutation = MUTATIONS[i % len(MUTATIONS)]
        path = tmp_path / f"{i}_{mutation.__name__}"
        path.write_bytes(mutation(WHOLE[kind], rng))
        read += outcome(kind, path, original)
        path.unlink()
    assert read < N_MUTATIONS / 2


# --------------------------------------------------------------------------- forged files: all checksums are right

COLUMNS = {"observations x": np.zeros((8, 2), np.float32), "actions": np.zeros((8, 1), np.float32)}
LENGTHS, ENDS = np.array([2, 4]), np.array([True, False])


def forge(path: Path, header: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a file of ours with other entries; None leaves one out."""
    arrays = {**COLUMNS, "lengths": LENGTHS, "terminated": ENDS, **changes}
    arrays = {key: np.asanyarray(value) for key, value in arrays.items() if value is not None}
    with zipfile.ZipFile(path, "w") as made:
        for key, array in arrays.items():
            with made.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=True)
        checksums = {info.filename.removesuffix(".npy"): info.CRC for info in made.infolist()}
        facts = {"format": "gcrl_zoo trajectories 2", "name": "x", "capacity": None, "checksums": checksums}
        facts = {key: value for key, value in (facts | (header or {})).items() if value != "left out"}
        with made.open("header.npy", "w") as file:
            np.lib.format.write_array(file, np.array(json.dumps(facts)))
    return path


def test_a_forged_file_is_a_valid_one_without_changes(tmp_path: Path) -> None:
    store = TrajectoryStore.load(forge(tmp_path / "file"))
    assert (store.lengths.tolist(), store.terminated.tolist(), store.name) == ([2, 4], [True, False], "x")


FORGED: dict[str, dict[str, Any]] = {
    "too long": {"lengths": np.array([3, 30])},
    "rows left over": {"lengths": np.array([3, 1])},
    "negative": {"lengths": np.array([8, -2])},
    "no step": {"lengths": np.array([6, 0])},
    "overflow": {"lengths": np.array([2**62, 2**62])},
    "fractions": {"lengths": np.array([2.9, 4])},
    "whole floats": {"lengths": np.array([2.0, 4.0])},
    "small integers": {"lengths": np.array([2, 4], np.uint8)},
    "text": {"lengths": np.array(["2", "4"])},
    "two columns": {"lengths": np.array([[2], [4]])},
    "a number": {"lengths": np.array(6)},
    "one end": {"terminated": np.array([True])},
    "nan as end": {"terminated": np.array([np.nan, 0.5])},
    "numbers as ends": {"terminated": np.array([1, 0])},
    "no lengths": {"lengths": None},
    "no ends": {"terminated": None},
    "no observations": {"observations x": None},
    "no episodes": {"lengths": np.zeros(0, int), "terminated": np.zeros(0, bool)},
    "short actions": {"actions": np.zeros((7, 1), np.float32)},
    "long extras": {"extras y": np.zeros((9, 1), np.float32)},
    "double": {"observations x": np.zeros((8, 2))},
    "complex": {"observations x": np.zeros((8, 2), np.complex64)},
    "dates": {"observations x": np.zeros(8, "M8[s]")},
    "objects": {"observations x": np.array([None] * 8)},
    "flags as actions": {"actions": np.zeros((8, 1), bool)},
    "rewards of several numbers": {"rewards": np.zeros((8, 2), np.float32)},
    "nan": {"observations x": np.full((8, 2), np.nan, np.float32)},
    "unknown entry": {"dones": np.zeros(8, bool)},
    "reserved name": {"observations actions": np.zeros((8, 2), np.float32)},
    "unnamed observation": {"observations ": np.zeros((8, 2), np.float32)},
    "another format": {"header": {"format": "gcrl_zoo trajectories 1"}},
    "no format": {"header": {"format": "left out"}},
    "no name": {"header": {"name": 3}},
    "capacity too small": {"header": {"capacity": 7}},
    "capacity of a fraction": {"header": {"capacity": 8.5}},
    "capacity as text": {"header": {"capacity": "8"}},
    "more in the header": {"header": {"n_slots": 10**13}},
    "no checksums": {"header": {"checksums": {}}},
}


@pytest.mark.parametrize("forged", FORGED)
def test_forged_files_are_refused(forged: str, tmp_path: Path) -> None:
    path = forge(tmp_path / "file", **FORGED[forged])
    for read in (TrajectoryStore.load, open_store):
        with pytest.raises(ValueError, match=str(path)) as caught:
            read(path)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def patched(name: bytes, central: int, local: int, value: bytes) -> bytes:
    """A file of OGBench's layout with other bytes in both headers of one entry."""
    damaged = bytearray(WHOLE["ogbench"])
    in_local, in_central = damaged.index(name), damaged.rindex(name)
    damaged[in_central - 46 + central : in_central - 46 + central + len(value)] = value
    damaged[in_local - 30 + local : in_local - 30 + local + len(value)] = value
    return bytes(damaged)


def header_only(header: bytes) -> bytes:
    """An archive whose observations have this header, and no data."""
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    return archive([("observations.npy", start), ("actions.npy", start), ("terminals.npy", start)])


ARCHIVES = {
    "encrypted": patched(b"observations.npy", 8, 6, b"\x01\x00"),
    "strongly encrypted": patched(b"observations.npy", 8, 6, b"\x41\x00"),
    "bzip2": patched(b"observations.npy", 10, 8, b"\x0c\x00"),
    "unknown compression": patched(b"observations.npy", 10, 8, b"\x63\x00"),
    "empty": archive([]),
    "no arrays": archive([("observations.npy", b"hello"), ("actions.npy", b""), ("terminals.npy", b"\x93NUMPY")]),
    "unfinished header": header_only(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,"),
    "tokens": header_only(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L,), '''"),
    "deep header": header_only(b"(" * 9_000),
    "calls": header_only(b"{'descr': '<f4', 'fortran_order': False, 'shape': (print(1),)}"),
    "negative shape": header_only(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2)}"),
    "flag as shape": header_only(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}"),
    "huge shape": header_only(b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000, 99999999999)}"),
    "records": header_only(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}"),
    "unknown dtype": header_only(b"{'descr': '<q99', 'fortran_order': False, 'shape': (3,)}"),
    "no dictionary": header_only(b"[1, 2, 3]"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_that_numpy_and_zipfile_stumble_over(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "maze.npz"
    path.write_bytes(ARCHIVES[kind])
    assert not outcome("ogbench", path, TrajectoryStore())


def test_an_array_that_is_cut_short_with_its_checksum_unread(tmp_path: Path) -> None:
    """A smaller shape in the header: numpy stops reading before the end, where the checksum is compared."""
    arrays = {**ogbench_columns(), "observations": np.ones((14, 9000), np.float32)}
    file = io.BytesIO()
    np.savez(file, **arrays)
    damaged = file.getvalue().replace(b"(14, 9000)", b"(14, 2000)")
    (tmp_path / "maze.npz").write_bytes(damaged)
    with np.load(tmp_path / "maze.npz") as loaded:
        assert loaded["observations"].shape == (14, 2000)
    assert not outcome("ogbench", tmp_path / "maze.npz", TrajectoryStore())


def test_a_small_file_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros compress by a thousand; such a file would declare gigabytes."""
    arrays = {"observations": np.zeros((5000, 640)), "actions": np.zeros((5000, 2)), "terminals": np.ones(5000)}
    path = tmp_path / "maze.npz"
    path.write_bytes(npz(arrays))
    monkeypatch.setattr(containers, "HARMLESS", 2**20)
    with pytest.raises(ValueError, match=r"maze\.npz cannot be read \(it declares arrays of 24\.5 MiB, .* 256 times"):
        open_store(path)
