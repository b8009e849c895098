"""Data lies in memory once; data that does not fit is refused with how much it needs and how much there is."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from gcrl_zoo.common.data_layout import fit_layout
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data import Episode, TrajectoryStore, memory, open_store
from gcrl_zoo.data.columns import frames as column_of_frames
from gcrl_zoo.methods.bc import BC
from tests.support.envs import ACTION_SPACES, PointEnv, make_store

SHAPE = (36, 36, 1)
N_EPISODES, LENGTH = 40, 99
N_SLOTS = N_EPISODES * (LENGTH + 1)
FRAMES = N_SLOTS * 36 * 36  # bytes


def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N_SLOTS, *SHAPE), dtype=np.uint8)


def rows(**more: Any) -> dict[str, Any]:
    ends = np.arange(N_SLOTS) % (LENGTH + 1) == LENGTH
    return {"observations": frames(), "actions": np.zeros((N_SLOTS, 2), np.float32), "terminals": ends, **more}


def own(path: Path) -> None:
    episodes = (
        Episode({"observation": part}, np.zeros((LENGTH, 2)), np.zeros(LENGTH))
        for part in frames().reshape(N_EPISODES, LENGTH + 1, *SHAPE)
    )
    TrajectoryStore.from_episodes(episodes, n_slots=N_SLOTS).save(path)


def own_folder(path: Path) -> None:
    own(path)
    store = TrajectoryStore.load(path)
    path.unlink()
    store.save(path, folder=True)


def write_npz(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def ogbench(path: Path) -> None:
    write_npz(path, rows())


def d4rl(path: Path) -> None:
    write_npz(path, rows(rewards=np.zeros(N_SLOTS), timeouts=np.zeros(N_SLOTS)))


def d4rl_followed(path: Path) -> None:
    seen = rows(rewards=np.zeros(N_SLOTS), timeouts=np.zeros(N_SLOTS))
    write_npz(path, {**seen, "next_observations": np.roll(seen["observations"], -1, axis=0)})


def d4rl_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for key, column in rows(rewards=np.zeros(N_SLOTS), timeouts=np.zeros(N_SLOTS)).items():
            file.create_dataset(key, data=column, chunks=True)


def of_minari(path: Path) -> None:
    ends = np.arange(LENGTH) == LENGTH - 1
    buffers = [
        EpisodeBuffer(i, None, None, part, np.zeros((LENGTH, 2), np.float32), np.zeros(LENGTH), ends, ~ends)
        for i, part in enumerate(frames().reshape(N_EPISODES, LENGTH + 1, *SHAPE))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the author, whom we do not give
        dataset = minari.create_dataset_from_buffers(
            "test/frames-v0",
            buffers,
            observation_space=spaces.Box(0, 255, SHAPE, np.uint8),
            action_space=ACTION_SPACES["box"],
            jpeg_encoding=False,
        )
    path.symlink_to(dataset.storage.data_path)


KINDS = (own, ogbench, d4rl, d4rl_followed, d4rl_hdf5, of_minari)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minari").mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def peak(act: Callable[[], Any]) -> tuple[int, Any]:
    """The most memory that something took meanwhile, in bytes, and what it returned."""
    tracemalloc.start()
    try:
        result = act()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_opening_images_takes_their_size_once(kind: Callable[[Path], None], tmp_path: Path) -> None:
    kind(tmp_path / "data")
    taken, store = peak(lambda: open_store(tmp_path / "data"))
    assert store.n_slots >= N_SLOTS
    assert taken < 1.4 * FRAMES


@pytest.mark.parametrize(("kind", "most"), [(own_folder, 0.1), (of_minari, 0.4)])
def test_images_on_disk_take_little_memory(kind: Callable[[Path], None], most: float, tmp_path: Path) -> None:
    """Importing those of Minari does not take much, either."""
    kind(tmp_path / "data")
    taken, store = peak(lambda: open_store(tmp_path / "data"))
    assert taken < most * FRAMES
    taken, _ = peak(lambda: open_store(store.copy()))
    assert taken < 0.1 * FRAMES


def test_an_agent_that_sees_images_another_way_round_takes_their_size_once(tmp_path: Path) -> None:
    of_minari(tmp_path / "data")
    env = PointEnv("image", "box")
    BC("CnnPolicy", env, dataset=make_store("image", "box"), device="cpu", batch_size=8)  # imports what it needs
    taken, agent = peak(lambda: BC("CnnPolicy", env, dataset=tmp_path / "data", device="cpu", batch_size=8))
    assert agent._data.dataset.take("observation", agent._data.dataset.steps[:1]).shape == (1, 1, 36, 36)
    assert taken < 1.5 * FRAMES


def test_a_dataset_that_own_play_has_taken_over_does_not_stay(tmp_path: Path) -> None:
    of_minari(tmp_path / "data")
    env = PointEnv("image", "box")
    BC("CnnPolicy", env, dataset=make_store("image", "box"), device="cpu", batch_size=8)  # imports what it needs
    tracemalloc.start()
    try:
        agent = BC("CnnPolicy", env, dataset=tmp_path / "data", own_play=True, device="cpu", batch_size=8)
        agent._open_data()  # as `learn` does
        assert agent.replay_buffer.n_slots == N_SLOTS and agent._data.dataset is None and not agent._data._opened
        assert tracemalloc.get_traced_memory()[0] < 1.4 * FRAMES
    finally:
        tracemalloc.stop()


def test_columns_are_changed_when_they_are_read(tmp_path: Path) -> None:
    own(tmp_path / "data")
    store = open_store(tmp_path / "data")
    roles = Roles.of(spaces.Box(0, 255, (1, 36, 36), np.uint8))
    taken, turned = peak(lambda: fit_layout(store, roles))
    assert taken < 0.01 * FRAMES
    slots = store.steps[:12].reshape(3, 4)
    expected = np.moveaxis(store.take("observation", slots), -1, 2)
    for found in (turned.take("observation", slots), turned.rows(slots).part(np.s_[:])["observation"]):
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(turned.take("observation", slots[0, 0]), expected[0, 0])
    assert turned.newest(1).episode(0).observations["observation"].shape == (LENGTH + 1, 1, 36, 36)
    assert turned.copy().take("observation", slots).shape == (3, 4, 1, 36, 36)
    back = turned.changed({"observation": lambda entries: np.moveaxis(entries, 1, -1)})  # changes follow each other
    np.testing.assert_array_equal(back.take("observation", slots), store.take("observation", slots))
    wide = turned.changed({"observation": np.atleast_2d}).changed({"observation": np.atleast_3d})
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(wide)).take("observation", slots), expected)


def test_saving_takes_a_portion_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path / "data")
    store = open_store(tmp_path / "data")
    monkeypatch.setattr("gcrl_zoo.data.formats.own_file.PORTION", FRAMES // 20)
    monkeypatch.setattr(column_of_frames, "CACHE_BYTES", FRAMES // 20)
    taken, _ = peak(lambda: store.save(tmp_path / "copy"))
    assert taken < 0.4 * FRAMES


@pytest.mark.parametrize("kind", KINDS)
def test_data_that_does_not_fit_is_refused_before_it_is_loaded(
    kind: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column_of_frames, "FRAME_BYTES", 2**40)  # arrays, whose size is known before
    kind(tmp_path / "data")
    monkeypatch.setattr(memory, "SMALL", 2**20)
    monkeypatch.setattr(memory, "available_memory", lambda: 3 * 2**20)

    def refusal() -> str:
        with pytest.raises(ValueError, match=r" needs 5\.\d MiB of memory, but 3\.0 MiB are available; use ") as caught:
            open_store(tmp_path / "data")
        return str(caught.value)

    taken, sentence = peak(refusal)
    assert "\n" not in sentence
    assert ("test/frames-v0" if kind is of_minari else str(tmp_path / "data")) in sentence
    assert taken < 0.4 * FRAMES


def test_a_store_says_what_it_would_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_of_frames, "FRAME_BYTES", 2**40)  # arrays, whose size is known before
    episode = Episode({"observation": np.zeros((3, 84, 84, 4), np.uint8)}, np.zeros((2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"^frames needs 26,\d{3}\.\d\d GiB of memory, but .* available; use"):
        TrajectoryStore.from_episodes(iter([episode]), name="frames", n_slots=10**9)
    with pytest.raises(ValueError, match=r"^frames needs .* GiB of memory, but "):
        TrajectoryStore.from_episodes(iter([episode]), name="frames", n_slots=10**18)
    monkeypatch.setattr(memory, "available_memory", lambda: None)  # where the system does not say
    with pytest.raises(ValueError, match=r"^frames needs .* GiB of memory, but less is available; use fewer"):
        TrajectoryStore.from_episodes(iter([episode]), name="frames", n_slots=10**13)


@pytest.mark.parametrize("compressed", [False, True])
def test_own_play_that_outgrows_the_memory_keeps_what_it_has(compressed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (101, 84, 84), np.uint8)
    episode = Episode({"observation": noise}, np.zeros((100, 2)), np.zeros(100))
    store = TrajectoryStore()
    monkeypatch.setattr(memory, "SMALL", 2**20)
    if compressed:  # their size is known only afterwards, so memory is asked for a little at a time
        monkeypatch.setattr(memory, "available_memory", lambda: 6 * 2**20 - store.nbytes)
    else:
        monkeypatch.setattr(column_of_frames, "FRAME_BYTES", 2**40)
        monkeypatch.setattr(memory, "available_memory", lambda: 4 * 2**20)
    with pytest.raises(ValueError, match=r"^own play needs \d\.\d MiB of memory, but \d\.\d MiB are available"):
        while True:
            store.append(episode)
    assert store.n_episodes > 2
    np.testing.assert_array_equal(store.episode(-1).observations["observation"], noise)
    monkeypatch.setattr(memory, "available_memory", lambda: 2**40)
    store.append(episode)
    np.testing.assert_array_equal(store.episode(-1).observations["observation"], noise)


def test_the_limit_of_a_process_counts() -> None:
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31));"
        "from gcrl_zoo.data.memory import available_memory; print(available_memory())"
    )
    told = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True).stdout
    assert 0 < int(told) < 2**31
