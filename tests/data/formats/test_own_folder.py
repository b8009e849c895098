"""Stores in folders of our format: opened without reading images, and complete, damaged and refused, or absent."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from gcrl_zoo.data import Episode, TrajectoryStore, open_store
from gcrl_zoo.data.disk import WriteError
from gcrl_zoo.data.formats import own_folder, own_folder_writer
from gcrl_zoo.data.formats.own_folder import HEADER, checksum
from tests.data.test_disk import ERRORS, file_size_limit
from tests.support.data_episodes import assert_same, assert_same_episode, varied_episode

SHAPE = (20, 20, 3)  # six of these make a chunk
N_DAMAGES = 100


def image_episode(rng: np.random.Generator, length: int, stack: int = 1) -> Episode:
    """An episode with an image that compresses, a vector that is not packed, and columns that are."""
    frames = np.zeros((length + stack, *SHAPE), np.uint8)
    frames[:, :4] = rng.integers(0, 256, (length + stack, 4, 20, 3))
    stacks = np.stack([frames[i : i + stack] for i in range(length + 1)])
    varied = varied_episode(rng, length)
    observations = {"view": stacks if stack > 1 else frames, "wide": rng.random((length + 1, 80))}
    return Episode(observations | varied.observations, varied.actions, varied.rewards, varied.terminated, varied.extras)


def image_store(*lengths: int, stack: int = 1, **arguments: Any) -> TrajectoryStore:
    rng = np.random.default_rng(0)
    return TrajectoryStore.from_episodes([image_episode(rng, n, stack) for n in lengths], **arguments)


def assert_same_store(a: TrajectoryStore, b: TrajectoryStore) -> None:
    assert (a.capacity, a.n_episodes, a.observation_keys) == (b.capacity, b.n_episodes, b.observation_keys)
    for one, other in zip(a.episodes(), b.episodes(), strict=True):
        assert_same_episode(one, other)
    assert_same(a.returns, b.returns)
    assert_same(a.lengths, b.lengths)
    for key in ("return_to_go", "episode_return") if a.has_rewards else ():
        assert_same(a.take(key, a.slots), b.take(key, b.slots))


def without_labels(store: TrajectoryStore) -> TrajectoryStore:
    episodes = [Episode(each.observations, None, None) for each in store.unlabelled().episodes()]
    return TrajectoryStore.from_episodes(episodes)


STORES: dict[str, Callable[[], TrajectoryStore]] = {
    "images": lambda: image_store(3, 8, 1),
    "stacks": lambda: image_store(3, 8, stack=3),
    "with a capacity": lambda: image_store(30, 9, 12, 14, capacity=50),
    "best": lambda: image_store(3, 8, 1, 4).best(0.5),
    "without actions": lambda: image_store(3, 8).unlabelled(),
    "without rewards": lambda: without_labels(image_store(3, 8)),
    "without images": lambda: TrajectoryStore.from_episodes([varied_episode(np.random.default_rng(0), 5)]),
    "fewer images than a chunk": lambda: image_store(2),
    "no episodes": TrajectoryStore,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved store of three episodes."""
    image_store(3, 8, 1, name="mine").save(tmp_path / "store", folder=True)
    return tmp_path / "store"


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_a_folder_holds_the_store(make: Callable[[], TrajectoryStore], tmp_path: Path) -> None:
    store = make()
    store.save(tmp_path / "store", folder=True)
    loaded = TrajectoryStore.load(tmp_path / "store")
    assert_same_store(loaded, store)
    assert loaded.name == store.name
    rng = np.random.default_rng(1)
    for length in (4, 30, 2):  # of a mapped store, too, the oldest leave first
        episode = image_episode(rng, length) if "view" in store.observation_keys else varied_episode(rng, length)
        if store.has_actions and "view" in store.observation_keys and store.take("view", store.slots).ndim == 4:
            loaded.append(episode)
            assert_same_episode(loaded.episode(-1), episode)
            assert loaded.capacity is None or loaded.n_slots <= loaded.capacity


def test_an_opened_folder_is_shared_and_follows_the_files(folder: Path) -> None:
    store = open_store(folder)
    assert open_store(str(folder)) is store and store.name == str(folder)
    with pytest.raises(ValueError, match="is read-only"):
        store.append(store.episode(0))
    image_store(5).save(folder, folder=True)
    assert open_store(folder).lengths.tolist() == [5]
    assert store.episode(1).length == 8  # on the old files, until it is dropped


def test_opening_reads_no_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [chunks] = folder.glob("data-*/frames0")
    written, chunk = chunks.read_bytes(), own_folder.Chunks.__getitem__
    chunks.write_bytes(bytes(len(written)))
    store = TrajectoryStore.load(folder)
    assert store.take("rewards", store.steps).shape == (12,)
    with pytest.raises(ValueError, match=r"The images of .*frames0 are damaged"):
        store.take("view", store.slots[:1])
    chunks.write_bytes(written)
    asked = []
    monkeypatch.setattr(own_folder.Chunks, "__getitem__", lambda self, i: asked.append(i) or chunk(self, i))
    TrajectoryStore.load(folder).take("view", store.slots[7:8])
    assert asked == [1]


def test_a_store_that_is_replaced_while_it_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array, saved = own_folder._Files.array, []

    def late(self: Any, name: str, *args: Any) -> Any:
        if name == "terminated" and not saved:
            saved.append(image_store(5))
            saved[0].save(folder, folder=True)
        return array(self, name, *args)

    monkeypatch.setattr(own_folder._Files, "array", late)
    assert_same_store(TrajectoryStore.load(folder), saved[0])
    (folder / "data-00000000").symlink_to(folder / "removed")  # listed, but removed by another process
    assert open_store(folder).lengths.tolist() == [5]


def test_spaces_are_kept(tmp_path: Path) -> None:
    observations = spaces.Dict({"a": spaces.Box(-np.inf, 1, (2,)), "b": spaces.Discrete(3, start=1)})
    for i, space in enumerate((spaces.MultiBinary(2), spaces.MultiDiscrete([2, 3]), spaces.Text(3), None)):
        store = image_store(3, observation_space=observations, action_space=space)
        store.save(tmp_path / str(i), folder=True)
        loaded = TrajectoryStore.load(tmp_path / str(i))
        assert (loaded.observation_space, loaded.action_space) == (observations, space)


# ------------------------------------------------------------------ damaged and forged folders


def truncate(whole: bytes, rng: np.random.Generator) -> bytes:
    return whole[: rng.integers(len(whole))]


def flip(whole: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(whole)
    damaged[rng.integers(len(whole))] ^= rng.integers(1, 256)
    return bytes(damaged)


def swap(whole: bytes, rng: np.random.Generator) -> bytes:
    half = len(whole) // 2
    return whole[half:] + whole[:half]


def longer(whole: bytes, rng: np.random.Generator) -> bytes:
    return whole + b"\0"


def lose(whole: bytes, rng: np.random.Generator) -> None:
    return None


def test_damaged_folders_are_read_as_they_were_or_refused(folder: Path) -> None:
    rng, original, read = np.random.default_rng(0), image_store(3, 8, 1), 0
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    mutations = truncate, flip, flip, swap, longer, lose
    for i in range(N_DAMAGES):
        path, mutation = files[i % len(files)], mutations[rng.integers(len(mutations))]
        whole = path.read_bytes()
        damaged = mutation(whole, rng)
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        try:
            assert_same_store(TrajectoryStore.load(folder), original)
            read += 1
        except ValueError as error:
            told = str(error)
            assert str(path) in told or path.name == HEADER or "frames0" in told, told
            assert str(folder) in told and "\n" not in told and told.endswith("."), told
        path.write_bytes(whole)
    assert read < N_DAMAGES / 10


FORGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another folder": lambda content: content.update(data="../data-00000000"),
    "a file that is not listed": lambda content: content["files"].pop("lengths"),
    "a column that is not there": lambda content: content["columns"].update(more=[[1000], "<f4"]),
    "another dtype": lambda content: content["columns"].update(rewards=[[], "<f8"]),
    "objects": lambda content: content["columns"].update(choice=[[], "|O"]),
    "a huge column": lambda content: content["columns"].update(view=[[10**6, 10**6], "|u1"]),
    "a name of the store": lambda content: content["observations"].append("rewards"),
    "stacks that are none": lambda content: content["frames"].update(view=[2, 6]),
    "larger chunks": lambda content: content["frames"].update(view=[1, 7]),
    "too small a capacity": lambda content: content.update(capacity=3),
    "a huge space": lambda content: content.update(
        spaces=['{"type": "Box", "dtype": "uint8", "shape": [1000000, 1000000], "low": 0, "high": 1}', None]
    ),
    "an unknown space": lambda content: content.update(spaces=['{"type": "Graph"}', None]),
    "a list": lambda content: [content],
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_forged_headers_are_refused(folder: Path, change: Callable[[Any], Any]) -> None:
    header = json.loads((folder / HEADER).read_text())
    content = change(header["content"])
    header["content"] = content if isinstance(content, list) else header["content"]
    header["checksum"] = checksum(header["content"])
    (folder / HEADER).write_text(json.dumps(header))
    with pytest.raises(ValueError, match=rf"^{folder}.* cannot be read \(.*\); download or save it again\.$"):
        TrajectoryStore.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "gcrl_zoo folder 9"}', '{"format": 1e999}'])
def test_headers_of_other_kinds(folder: Path, text: str) -> None:
    (folder / HEADER).write_text(text)
    with pytest.raises(ValueError, match=rf"^{folder / HEADER} cannot be read \("):
        open_store(folder)


def test_values_that_episodes_cannot_have(folder: Path) -> None:
    """Also where the checksum belongs to them."""
    header = json.loads((folder / HEADER).read_text())
    files = header["content"]["files"]
    [wide] = folder.glob("data-*/array0")
    values = np.fromfile(wide, np.float32)
    values[123] = np.nan
    values.tofile(wide)
    files["array0"][1] = own_folder.zlib.crc32(values.data)
    header["checksum"] = checksum(header["content"])
    (folder / HEADER).write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"array0 cannot be read \(it has values that are not finite\)"):
        TrajectoryStore.load(folder)


# ------------------------------------------------------------------ disks, kills and other processes


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in folder.rglob("*"))


@pytest.mark.parametrize("n_bytes", [0, 10_000])
def test_a_full_disk_leaves_the_old_store(folder: Path, n_bytes: int) -> None:
    before, store = names(folder.parent), image_store(30, 60)
    for place in (folder, folder.parent / "new"):
        with (
            file_size_limit(n_bytes),
            pytest.raises(WriteError, match=f"^Cannot write {place}: the file would be") as e,
        ):
            store.save(place, folder=True)
        assert all(words in str(e.value) for words in ERRORS[errno.EFBIG])
    assert names(folder.parent) == before
    assert_same_store(TrajectoryStore.load(folder), image_store(3, 8, 1))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("call", ["pathlib.Path.mkdir", "pathlib.Path.open", "os.replace", "tempfile.mkstemp"])
def test_every_error_of_the_disk_is_one_sentence(
    folder: Path, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    before, store = names(folder.parent), image_store(4)
    with monkeypatch.context() as patched:
        patched.setattr(call, fail)
        with pytest.raises(WriteError, match=rf"^Cannot write {folder}.*{ERRORS[number][0]}; .*\.$"):
            store.save(folder, folder=True)
    assert names(folder.parent) == before
    assert_same_store(TrajectoryStore.load(folder), image_store(3, 8, 1))


def test_folders_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WriteError, match=f"Cannot write {tmp_path}: a folder of this name is not empty"):
        image_store(3).save(tmp_path, folder=True)
    with pytest.raises(WriteError, match=r"notes.txt: a part of the path is a file"):
        image_store(3).save(tmp_path / "notes.txt", folder=True)
    assert names(tmp_path) == ["notes.txt"]


def test_episodes_that_differ_leave_nothing(tmp_path: Path) -> None:
    def episodes() -> Iterator[Episode]:
        yield image_episode(np.random.default_rng(0), 3)
        yield varied_episode(np.random.default_rng(0), 3)

    place = tmp_path / "store"
    with (
        pytest.raises(ValueError, match="give all episodes the same columns"),
        own_folder_writer.locked_folder(place),
        own_folder_writer.FolderWriter(place, "x") as writer,
    ):
        for episode in episodes():
            writer.add(episode)
    assert not place.exists()


@pytest.mark.parametrize("step", [0, 3, 10, "replace"])
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_kill_at_any_moment_leaves_the_old_store(folder: Path, step: int | str, old: bool) -> None:
    if not old:
        shutil.rmtree(folder)
    child = os.fork()
    if not child:
        write, calls = own_folder_writer._File.write, 0

        def dying(*args: Any) -> None:
            nonlocal calls
            if calls == step:
                os._exit(9)
            calls += 1
            write(*args)

        try:
            own_folder_writer._File.write = dying  # type: ignore[method-assign]
            if step == "replace":
                os.replace = lambda *args: os._exit(9)  # type: ignore[assignment]
            image_store(4, 5).save(folder, folder=True)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    if old:
        assert_same_store(TrajectoryStore.load(folder), image_store(3, 8, 1))
    else:
        with pytest.raises(ValueError, match="holds neither a Minari dataset nor a saved store"):
            open_store(folder)
    image_store(2).save(folder, folder=True)  # and removes what the other left
    assert names(folder).count("data") == 1 and TrajectoryStore.load(folder).lengths.tolist() == [2]


def save_often(folder: Path, length: int) -> None:
    for _ in range(5):
        image_store(length, length).save(folder, folder=True)


def test_processes_that_save_at_the_same_time(tmp_path: Path) -> None:
    context = get_context("fork")
    children = [context.Process(target=save_often, args=(tmp_path / "store", n)) for n in (4, 7)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    store = TrajectoryStore.load(tmp_path / "store")
    n = int(store.lengths[0])
    assert_same_store(store, image_store(n, n))
    assert names(tmp_path / "store").count("data") == 1
