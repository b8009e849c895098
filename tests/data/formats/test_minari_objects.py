"""Datasets given as objects of Minari, filtered or combined, and ids given as paths."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

import minari
import numpy as np
import pytest

from gcrl_zoo import BC, DT, GCSLVICReg
from gcrl_zoo.data import open_store
from gcrl_zoo.record import record
from gcrl_zoo.wrappers import ReturnToGo
from tests.common.test_bad_input import refusal
from tests.support.data_episodes import assert_same_episode
from tests.support.envs import PointEnv
from tests.support.recordings import ID

pytestmark = pytest.mark.usefixtures("datasets")
SMALL: dict[str, Any] = {"batch_size": 8, "device": "cpu", "seed": 0}


def recorded(dataset_id: str = ID, n_episodes: int = 6, seed: int = 0) -> minari.MinariDataset:
    return record(None, PointEnv(), dataset_id, n_episodes=n_episodes, seed=seed)


class AsPath(os.PathLike[str]):
    """What any library may hand over as a path."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __fspath__(self) -> str:
        return self.text


@pytest.mark.parametrize("kind", [str, Path, PurePosixPath, AsPath])
def test_an_id_may_be_a_path(kind: Any) -> None:
    dataset = recorded()
    store = open_store(kind(ID))
    assert store is open_store(ID) and store.n_episodes == 6
    assert open_store(kind(str(dataset.storage.data_path))) is store
    assert open_store(kind(str(dataset.storage.data_path.parent))) is store
    BC("MlpPolicy", PointEnv(), dataset=kind(ID), **SMALL).learn(2)


@pytest.mark.parametrize("kind", [str, Path, AsPath])
def test_what_is_nowhere_is_named(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded()
    refusal(ValueError, lambda: open_store(kind("test/plai-v0")), "'test/plai-v0'", ID)
    refusal(ValueError, lambda: open_store(kind("nothing.npz")), "no file or folder nothing.npz")
    refusal(ValueError, lambda: open_store(kind("~no_such_user/nothing.npz")), "~no_such_user/nothing.npz")
    refusal(ValueError, lambda: open_store(kind(str(tmp_path / "nothing"))), "nothing")
    refusal(
        ValueError, lambda: open_store(kind(str(tmp_path))), f"The folder {tmp_path} holds neither a Minari dataset"
    )
    refusal(ValueError, lambda: open_store(kind("x" * 300 + ".npz")), "no file or folder")
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path)
    missing = "There is no dataset 'plain' here" if kind is str else "The folder plain holds neither a Minari dataset"
    refusal(ValueError, lambda: open_store(kind("plain")), missing)


@pytest.mark.parametrize("what", [3, 2.5, None, [ID], b"test/play-v0", {"id": ID}, np.zeros(3), PointEnv])
def test_what_is_no_dataset_is_shown(what: Any) -> None:
    refusal(ValueError, lambda: open_store(what), "is not a dataset", "an id, a path, a TrajectoryStore or a minari.Mi")


def test_a_dataset_of_minari_is_the_one_that_its_id_opens() -> None:
    dataset = recorded()
    assert open_store(dataset) is open_store(ID)


def test_the_episodes_of_a_filtered_dataset_are_those_of_its_indices() -> None:
    dataset = recorded()
    chosen = dataset.filter_episodes(lambda episode: episode.id % 2 == 1)
    assert chosen.episode_indices.tolist() == [1, 3, 5]
    store, whole = open_store(chosen), open_store(ID)
    assert store.name == "test/play-v0 (3 of 6 episodes)" and store.n_slots == chosen.total_steps + 3
    for found, index in zip(store.episodes(), (1, 3, 5), strict=True):
        assert_same_episode(found, whole.episode(index))
    twice = chosen.filter_episodes(lambda episode: episode.id > 1)
    assert_same_episode(open_store(twice).episode(0), whole.episode(3))
    refusal(ValueError, lambda: open_store(dataset.filter_episodes(lambda episode: False)), "0 of 6", "is empty")


def test_a_combined_dataset() -> None:
    one, other = recorded("test/one-v0", 3), recorded("test/other-v0", 2, seed=1)
    combined = minari.combine_datasets([one, other], "test/both-v0")
    store = open_store(combined)
    assert store.n_episodes == 5 and store.n_steps == one.total_steps + other.total_steps
    assert_same_episode(store.episode(4), open_store(other).episode(1))
    assert_same_episode(open_store(combined.filter_episodes(lambda e: e.id == 3)).episode(0), store.episode(3))


def test_files_that_are_gone() -> None:
    dataset = recorded()
    chosen = dataset.filter_episodes(lambda episode: episode.id == 0)
    minari.delete_dataset(ID)
    for each in (dataset, chosen):
        refusal(ValueError, lambda each=each: open_store(each), "Minari cannot read the dataset in", "play-v0")


@pytest.mark.parametrize("argument", ["dataset", "stream"])
def test_agents_learn_from_them(argument: str, tmp_path: Path) -> None:
    """An id that opens the same episodes is kept in the zip; a filtered dataset is left out, as a store is."""
    dataset = recorded()
    filtered = dataset.filter_episodes(lambda episode: episode.id < 4)
    own: dict[str, Any] = {"own_play": True, "learning_starts": 0, "train_freq": 4} if argument == "stream" else {}
    for given, n_episodes in ((dataset, 6), (filtered, 4)):
        agent = GCSLVICReg("MlpPolicy", PointEnv(), **{argument: given}, **own, **SMALL).learn(20)
        opened = getattr(agent._data, argument)
        assert opened.n_episodes == n_episodes and agent._n_updates
        agent.learn(4)
        assert getattr(agent._data, argument) is opened  # read once
        agent.save(tmp_path / "agent.zip")
        if given is dataset:
            loaded = GCSLVICReg.load(tmp_path / "agent.zip", env=PointEnv())
            assert getattr(loaded, argument) == ID
        else:
            loaded = GCSLVICReg.load(tmp_path / "agent.zip", env=PointEnv())
            assert getattr(loaded, argument) is None
            refusal(ValueError, lambda loaded=loaded: loaded.learn(4), f"`{argument}` handed over", f"`{argument}=`")
            loaded = GCSLVICReg.load(tmp_path / "agent.zip", env=PointEnv(), **{argument: filtered})
        assert loaded.learn(4)._n_updates


def test_an_id_that_opens_another_dataset_is_not_kept(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset of another place."""
    dataset = recorded(n_episodes=3)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(datasets / "elsewhere"))
    agent = BC("MlpPolicy", PointEnv(), dataset=dataset, **SMALL).learn(2)
    assert agent.dataset is dataset and agent._handed_over() == ["dataset"]
    recorded(n_episodes=2)
    assert BC("MlpPolicy", PointEnv(), dataset=dataset, **SMALL)._data.dataset.n_episodes == 3


def test_episodes_that_are_added_to_a_filtered_dataset_are_learned_from() -> None:
    dataset = recorded()
    filtered = dataset.filter_episodes(lambda episode: episode.id < 4)
    agent = DT("MultiInputPolicy", ReturnToGo(PointEnv()), dataset=filtered, **SMALL).learn(2)
    filtered.episode_indices = np.arange(5)
    assert agent.learn(2)._data.dataset.n_episodes == 5
