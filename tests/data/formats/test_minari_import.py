"""Minari datasets with images: imported once, opened without reading them, and imported again when they change."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from gcrl_zoo.data import TrajectoryStore, open_store
from gcrl_zoo.data.formats import minari_import
from gcrl_zoo.data.formats.minari_storage import About
from gcrl_zoo.data.formats.minari_writer import write_minari
from gcrl_zoo.data.formats.own_folder import FORMAT, HEADER, checksum
from gcrl_zoo.data.open import import_images
from gcrl_zoo.record.__main__ import main as record_command
from tests.support.recordings import ID

pytestmark = pytest.mark.usefixtures("datasets")
VIEW = spaces.Box(0, 255, (24, 20, 3), np.uint8)
OBSERVATIONS = spaces.Dict({"view": VIEW, "speed": spaces.Box(0, 1, (2,)), "desired_goal": VIEW})


def write(lengths: Sequence[int] = (4, 9), space: spaces.Space[Any] = OBSERVATIONS, **arguments: Any) -> Path:
    """Write or change a Minari dataset, and return its folder."""
    rng = np.random.default_rng(sum(lengths))

    def column(part: spaces.Space[Any], n: int) -> Any:
        if isinstance(part, spaces.Dict):
            return {key: column(each, n) for key, each in part.items()}
        return rng.integers(0, 256, (n, *part.shape), np.uint8) if part == VIEW else rng.random((n, *part.shape))

    with write_minari(ID, space, spaces.Discrete(3), About(), **arguments) as writer:
        for i, n in enumerate(lengths):
            writer.add(
                EpisodeBuffer(
                    id=writer.n_before + i,
                    observations=column(space, n + 1),
                    actions=rng.integers(0, 3, n),
                    rewards=rng.random(n),
                    terminations=np.arange(1, n + 1) == n,
                    truncations=np.zeros(n, bool),
                )
            )
    return Path(minari.load_dataset(ID).storage.data_path).parent


def assert_holds_dataset(store: TrajectoryStore) -> None:
    dataset = minari.load_dataset(ID)
    assert (store.observation_space, store.action_space) == (dataset.observation_space, dataset.action_space)
    assert store.name == ID
    for episode, recorded in zip(store.episodes(), dataset.iterate_episodes(), strict=True):
        columns = recorded.observations
        columns = columns if isinstance(columns, dict) else {"observation": columns}
        assert {*episode.observations} == {*columns} - {"desired_goal"}
        for key, column in episode.observations.items():
            np.testing.assert_array_equal(column, columns[key].astype(column.dtype))
        np.testing.assert_array_equal(episode.actions, recorded.actions)
        np.testing.assert_array_equal(episode.rewards, recorded.rewards.astype(np.float32))
        assert episode.terminated


def data_folder(folder: Path) -> str:
    [found] = (folder / "gcrl_zoo").glob("data-*")
    return found.name


@pytest.mark.parametrize("space", [OBSERVATIONS, VIEW], ids=["dict", "box"])
def test_images_are_imported_once(space: spaces.Space[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(space=space)
    assert_holds_dataset(open_store(ID, keep=False))
    first = data_folder(folder)
    with monkeypatch.context() as patched:
        patched.setattr(minari_import, "open_minari", None)  # not read again
        store = open_store(folder, keep=False)
    assert_holds_dataset(store)
    assert data_folder(folder) == first
    assert store._table.frames and all(column.nbytes < 5_000 for column in store._table.frames.values())


def test_vectors_are_read_directly() -> None:
    folder = write(space=spaces.Box(0, 1, (2,)))
    assert_holds_dataset(open_store(ID))
    assert [path.name for path in folder.iterdir()] == ["data"]
    with pytest.raises(ValueError, match=f"^{ID} has no images, and needs no import"):
        import_images(ID)


def test_a_dataset_that_has_changed_is_imported_again() -> None:
    folder = write()
    open_store(ID)
    first = data_folder(folder)
    write([5], append=True)
    assert not (folder / "gcrl_zoo").exists()  # it would be a copy of something that is old
    assert open_store(ID).lengths.tolist() == [4, 9, 5]
    write([7], force=True)
    assert_holds_dataset(open_store(ID))
    later = time.time() + 10
    os.utime(folder / "data" / "main_data.hdf5", (later, later))
    second = data_folder(folder)
    assert_holds_dataset(open_store(ID, keep=False))
    assert len({first, second, data_folder(folder)}) == 3


@pytest.mark.parametrize("file", ["header.json", "lengths", "frames0"])
def test_a_damaged_import_is_made_again_or_refused(file: str) -> None:
    folder = write()
    open_store(ID, keep=False)
    [path] = (folder / "gcrl_zoo").rglob(file)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    store = open_store(ID, keep=False)
    if file == "frames0":  # which is only seen when it is used
        with pytest.raises(ValueError, match=r"The images of .*frames0 are damaged"):
            list(store.episodes())
        store, _ = import_images(ID)
    assert_holds_dataset(store)


@pytest.mark.parametrize("content", [[], {}])
def test_an_import_with_another_header_is_made_again(content: Any) -> None:
    folder = write()
    open_store(ID, keep=False)
    header = {"format": FORMAT, "checksum": checksum(content), "content": content}
    (folder / "gcrl_zoo" / HEADER).write_text(json.dumps(header))
    assert_holds_dataset(open_store(ID, keep=False))


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("call", ["pathlib.Path.mkdir", "gcrl_zoo.data.formats.own_folder_writer._File.write"])
def test_images_are_read_into_memory_where_nothing_can_be_written(
    call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(call, fail)
        with pytest.warns(UserWarning, match=rf"^Cannot write {folder}/gcrl_zoo: .* The images are not") as said:
            store = open_store(ID)
            open_store(ID)
    assert len(said) == 1
    assert_holds_dataset(store)
    assert [path.name for path in folder.iterdir()] == ["data"]


def test_filtered_datasets_are_read_into_memory() -> None:
    write()
    dataset = minari.load_dataset(ID).filter_episodes(lambda episode: len(episode) > 5)
    assert open_store(dataset).lengths.tolist() == [9]


def test_bad_episodes_are_named_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write()
    monkeypatch.setattr("gcrl_zoo.data.episode.LARGEST", {np.dtype(np.float32): 0.99, np.dtype(np.int64): 2**63 - 1})
    with pytest.raises(ValueError, match=rf"^Episode 0 of {ID} has rewards whose sum exceeds"):
        open_store(ID)
    assert [path.name for path in folder.iterdir()] == ["data"]


def open_there(queue: Any) -> None:
    store = open_store(ID)
    queue.put((store.n_steps, data_folder(Path(minari.load_dataset(ID).storage.data_path).parent)))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processes_that_open_it_at_the_same_time_import_it_once() -> None:
    write([20] * 10)
    context = get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=open_there, args=(queue,)) for _ in range(3)]
    for child in children:
        child.start()
    found = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert len({*found}) == 1 and found[0][0] == 200


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    folder = write()
    for given in (ID, str(folder)):
        with pytest.raises(SystemExit) as left:
            record_command(["--import", given])
        assert left.value.code == 0
        assert capsys.readouterr().out == f"{ID}: 2 episodes, 13 steps, {folder / 'gcrl_zoo'}\n"
    shutil.rmtree(folder)
    (folder.parent / "file.npz").write_bytes(b"x")
    for given, sentence in ((ID, "There is no dataset"), (str(folder.parent / "file.npz"), "is not a Minari dataset")):
        with pytest.raises(SystemExit) as left:
            record_command(["--import", given])
        assert left.value.code == 2 and sentence in capsys.readouterr().err
