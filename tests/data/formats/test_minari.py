"""Datasets from Minari and from files, and one sentence for each way in which they can be bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from gcrl_zoo.data import TrajectoryStore, open_store

BOX = spaces.Box(-np.inf, np.inf, (2,), np.float64)
MOVE = spaces.Box(-1, 1, (3,), np.float32)
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for Minari datasets, and an empty working folder."""
    place, here = tmp_path / "minari", tmp_path / "here"
    place.mkdir()
    here.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(place))
    monkeypatch.chdir(here)
    return place


@pytest.fixture
def make(datasets: Path) -> Make:
    """Write a Minari dataset of random episodes of these lengths, and return its folder."""

    def make(
        dataset_id: str = "test/box-v0",
        lengths: tuple[int, ...] = (4, 6, 1),
        observation_space: spaces.Space = BOX,
        action_space: spaces.Space = MOVE,
        change: Callable[[int, dict[str, Any]], None] = lambda i, fields: None,
    ) -> Path:
        observation_space.seed(0)
        action_space.seed(0)
        buffers = []
        for i, length in enumerate(lengths):
            fields: dict[str, Any] = {
                "observations": _column(observation_space, length + 1),
                "actions": _column(action_space, length),
                "rewards": np.arange(length) + i,
                "terminations": np.arange(1, length + 1) == (length if i % 2 else 0),
                "truncations": np.arange(1, length + 1) == (0 if i % 2 else length),
            }
            change(i, fields)
            buffers.append(EpisodeBuffer(id=i, **fields))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the author, whom we do not give
            minari.create_dataset_from_buffers(
                dataset_id,
                buffers,
                observation_space=observation_space,
                action_space=action_space,
                jpeg_encoding=False,
            )
        return datasets / dataset_id

    return make


def _column(space: spaces.Space, length: int) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _column(part, length) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_column(part, length) for part in space)
    samples = [space.sample() for _ in range(length)]
    return samples if isinstance(space, spaces.Text) else np.array(samples)


def test_a_dataset_opens_by_id_and_by_both_folders(make: Make) -> None:
    folder = make()
    store = open_store("test/box-v0")
    assert open_store(folder) is open_store(str(folder / "data")) is store
    assert (store.name, store.lengths.tolist()) == ("test/box-v0", [4, 6, 1])
    assert store.terminated.tolist() == [False, True, False]
    assert (store.observation_space, store.action_space) == (BOX, MOVE)
    for kept, recorded in zip(store.episodes(), minari.load_dataset("test/box-v0").iterate_episodes(), strict=True):
        assert list(kept.observations) == ["observation"]
        np.testing.assert_array_equal(kept.observations["observation"], recorded.observations.astype(np.float32))
        np.testing.assert_array_equal(kept.actions, recorded.actions)
        np.testing.assert_array_equal(kept.rewards, recorded.rewards)
    with pytest.raises(ValueError, match=r"test/box-v0 is read-only.*copy\(\)"):
        store.append(store.episode(0))
    assert len(store.last) == 1 + store.n_slots  # memory was taken once


def test_dict_image_and_discrete_spaces(make: Make) -> None:
    image = spaces.Box(0, 255, (32, 36, 3), np.uint8)
    make(
        "test/dict-v0",
        observation_space=spaces.Dict({"view": image, "room": spaces.Discrete(5), "keys": spaces.MultiBinary(2)}),
        action_space=spaces.Discrete(4),
    )
    store = open_store("test/dict-v0")
    [recorded, *_] = minari.load_dataset("test/dict-v0").iterate_episodes()
    episode = store.episode(0)
    assert set(store.observation_keys) == {"view", "room", "keys"}
    for key, column in episode.observations.items():
        np.testing.assert_array_equal(column, recorded.observations[key])
    assert episode.observations["view"].dtype == np.uint8
    assert episode.observations["view"].shape == (5, 32, 36, 3)
    assert episode.actions is not None and (episode.actions.dtype, episode.actions.shape) == (np.int64, (4,))

    make("test/discrete-v0", observation_space=spaces.Discrete(3))
    assert open_store("test/discrete-v0").take("observation", np.ones(2, int)).shape == (2,)


def test_saved_stores_open_by_path_and_follow_the_file(make: Make) -> None:
    make()
    store = open_store("test/box-v0").copy()
    store.save("mine")  # in the working folder: existing paths come before ids
    opened = open_store("mine")
    assert (opened.n_steps, opened.name.endswith("mine")) == (11, True)
    assert open_store(Path("mine").resolve()) is opened
    with pytest.raises(ValueError, match="is read-only"):
        opened.append(store.episode(0))
    store.append(store.episode(0))
    store.save("mine")
    os.utime("mine", ns=(0, 0))  # a clock too coarse to tell the two apart would make this test flaky
    assert open_store("mine").n_steps == 15
    assert open_store(store) is store


def test_unknown_ids_list_the_nearest_local_ones(make: Make, datasets: Path) -> None:
    with pytest.raises(
        ValueError, match=r"'hopper/x-v0' here \(local ones: none\); run `minari download hopper/x-v0`, or"
    ):
        open_store("hopper/x-v0")
    for name in ("aa/one-v0", "hopper/medium-v0", "two-v0", "hopper/mixed-v0", "three-v0", "four-v0", "five-v0"):
        make(name, lengths=(2,))
    (datasets / "broken-v0" / "data").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            ValueError, match=r"\(local ones: hopper/mixed-v0, hopper/medium-v0, \S*, \S*, \S* and 2 more\)"
        ):
            open_store("hopper/mixd-v0")
    for odd in ("hopper", "hopper/mixed", "no such thing!"):
        with pytest.raises(ValueError, match=f"There is no dataset '{odd}' here"):
            open_store(odd)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    for nowhere in (str(tmp_path / "nothing"), Path("nothing"), "./nothing", "~/nothing/at/all"):
        with pytest.raises(ValueError, match=r"There is no file or folder .*nothing"):
            open_store(nowhere)
    with pytest.raises(ValueError, match=r"The folder .* holds neither a Minari dataset"):
        open_store(tmp_path)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="text holds no trajectories"):
        open_store(tmp_path / "text")


@pytest.mark.parametrize("key", ["observations", "actions", "rewards"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_numbers_are_named_by_dataset_episode_and_step(make: Make, key: str, value: float) -> None:
    def spoil(i: int, fields: dict[str, Any]) -> None:
        if i == 1:
            fields[key] = fields[key].astype(float)
            fields[key][3] = value

    make(change=spoil)
    with pytest.raises(
        ValueError, match=rf"^Episode 1 of test/box-v0 holds {value} in {key[:-1]}.* at step 3; [^.]*\.$"
    ):
        open_store("test/box-v0")


def test_episodes_of_wrong_length(make: Make) -> None:
    make(change=lambda i, fields: fields.update(rewards=np.zeros(5)) if i == 1 else None)
    with pytest.raises(ValueError, match=r"^Episode 1 of test/box-v0 has rewards of length 5, but 6 belong to its 7"):
        open_store("test/box-v0")


def test_datasets_without_episodes_or_with_single_steps_only(make: Make) -> None:
    make("test/single-v0", lengths=(1, 1, 1))
    with pytest.raises(ValueError, match=r"^Every episode of test/single-v0 has one step only.*record whole episodes"):
        open_store("test/single-v0")
    folder = make("test/empty-v0", lengths=(2,))
    metadata = folder / "data" / "metadata.json"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "total_episodes": 0, "total_steps": 0}))
    with pytest.raises(ValueError, match=r"^The dataset test/empty-v0 is empty; record some episodes first\.$"):
        open_store("test/empty-v0")
    with pytest.raises(ValueError, match="The dataset own play is empty"):
        open_store(TrajectoryStore())


@pytest.mark.parametrize(
    ("observation_space", "action_space", "sentence"),
    [
        (spaces.Dict({"a": BOX, "b": spaces.Dict({"c": BOX})}), MOVE, r"the observation 'b' is a Dict \(nested\)"),
        (spaces.Tuple((BOX, BOX)), MOVE, r"the observation space is a Tuple \(nested\)"),
        (spaces.Dict({"a": BOX, "mission": spaces.Text(5, min_length=5)}), MOVE, "the observation 'mission' is a Text"),
        (BOX, spaces.Dict({"a": MOVE}), r"the action space is a Dict \(nested\)"),
    ],
)
def test_spaces_that_are_not_supported(make: Make, observation_space: Any, action_space: Any, sentence: str) -> None:
    make("test/odd-v0", observation_space=observation_space, action_space=action_space)
    with pytest.raises(ValueError, match=rf"^In test/odd-v0 {sentence}; use [^.]*\.$"):
        open_store("test/odd-v0")


def test_minaris_own_reasons_come_through_in_one_sentence(make: Make) -> None:
    data = make() / "data"
    metadata = data / "metadata.json"
    whole = json.loads(metadata.read_text())
    for change, reason in (
        ({"minari_version": "0.0.1"}, "does not support the dataset generated by Minari 0.0.1"),
        ({"data_format": "papyrus"}, "papyrus"),
    ):
        metadata.write_text(json.dumps({**whole, **change}))
        with pytest.raises(ValueError, match=rf"^Minari cannot read the dataset in \S*data: .*{reason}.*\.$") as caught:
            open_store("test/box-v0")
        assert "\n" not in str(caught.value)
    metadata.write_text(json.dumps({**whole, "total_episodes": 99}))
    with pytest.raises(
        ValueError, match=r"main_data\.hdf5 cannot be read \(it has no array 'episode_3/rewards'\); download"
    ):
        open_store("test/box-v0")
    for total in (10**15, -1, 2.5, "3", None):
        metadata.write_text(json.dumps({**whole, "total_episodes": total}))
        with pytest.raises(ValueError, match=rf"metadata\.json cannot be read \(its total_episodes is {total!r}\); "):
            open_store("test/box-v0")
    metadata.write_text(json.dumps({**whole, "total_steps": 10**15}))  # the arrays count, not what is said of them
    assert open_store("test/box-v0").lengths.tolist() == [4, 6, 1]
    (data / "main_data.hdf5").write_bytes(b"not hdf5")
    with pytest.raises(
        ValueError, match=r"main_data\.hdf5 cannot be read \(Unable to .*\); download or save it again\.$"
    ):
        open_store("test/box-v0")


def test_the_data_layer_loads_neither_torch_nor_minari() -> None:
    loaded = "import sys, gcrl_zoo.data; print({'torch', 'stable_baselines3', 'rl_zoo3', 'minari'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "set()\n"
    )
