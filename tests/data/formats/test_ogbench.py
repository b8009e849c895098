"""OGBench's files: read as its own loader reads them, found where it keeps them, and refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minari import create_dataset_from_buffers
from minari.data_collector import EpisodeBuffer

from gcrl_zoo.data import open_store
from tests.support.data_episodes import told_store
from tests.support.envs import make_env

LENGTHS = (4, 6, 1)
NAME = "pointmaze-medium-navigate-v0"
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, in which OGBench and Minari keep their datasets, and an empty working folder."""
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    monkeypatch.chdir(here)
    return home


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write an OGBench file with three trajectories; keywords replace arrays, None leaves one out."""

    def make(path: Path = tmp_path / "maze.npz", **changes: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **{k: v for k, v in (columns() | changes).items() if v is not None})
        return path

    return make


def columns() -> dict[str, np.ndarray]:
    """What OGBench writes: one row more than steps for each trajectory, whose action means nothing."""
    rng = np.random.default_rng(0)
    rows = sum(LENGTHS) + len(LENGTHS)
    terminals = np.zeros(rows, dtype=bool)
    terminals[np.cumsum(np.array(LENGTHS) + 1) - 1] = True
    actions = rng.uniform(-1, 1, (rows, 2)).astype(np.float32)
    actions[terminals] = np.nan
    observations = rng.standard_normal((rows, 3)).astype(np.float32)
    return {"observations": observations, "actions": actions, "terminals": terminals, "qpos": np.zeros((rows, 5))}


def test_trajectories_become_episodes_that_were_cut(make: Make) -> None:
    path = make()
    store = open_store(path)
    assert open_store(str(path)) is store
    assert (store.name, store.lengths.tolist(), store.terminated.any()) == (str(path), [*LENGTHS], False)
    assert (store.has_actions, store.has_rewards) == (True, False)
    assert (store.observation_keys, store.extra_keys) == (("observation",), ())
    start, written = 0, columns()
    for episode, length in zip(store.episodes(), LENGTHS, strict=True):
        np.testing.assert_array_equal(
            episode.observations["observation"], written["observations"][start : start + length + 1]
        )
        np.testing.assert_array_equal(episode.actions, written["actions"][start : start + length])
        start += length + 1
    assert len(store.last) == 1 + store.n_slots  # memory was taken once
    with pytest.raises(ValueError, match=r"is read-only.*copy\(\)"):
        store.append(store.episode(0))


def test_the_same_steps_as_ogbenchs_own_loader(make: Make) -> None:
    load_dataset = pytest.importorskip("ogbench.utils").load_dataset
    path = make()
    theirs, store = load_dataset(str(path)), open_store(path)
    np.testing.assert_array_equal(store.take("observation", store.steps), theirs["observations"])
    np.testing.assert_array_equal(store.take("observation", store.steps + 1), theirs["next_observations"])
    np.testing.assert_array_equal(store.take("actions", store.steps), theirs["actions"])
    np.testing.assert_array_equal(store.steps + 1 == store.last[store.steps], theirs["terminals"])


def test_images_and_choices_keep_their_kind(make: Make) -> None:
    rows = sum(LENGTHS) + len(LENGTHS)
    images = np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 3), dtype=np.uint8)
    store = open_store(make(observations=images, actions=np.arange(rows, dtype=np.int32)))
    np.testing.assert_array_equal(store.take("observation", store.slots), images)
    assert store.take("observation", store.steps).dtype == np.uint8
    assert store.take("actions", store.steps[:5]).tolist() == [0, 1, 2, 3, 5]
    assert open_store(make(terminals=columns()["terminals"].astype(np.float32))).n_episodes == 3


def test_files_of_our_own_stay_our_own(tmp_path: Path) -> None:
    for name in ("mine.npz", "mine"):
        told_store(3, 4).save(tmp_path / name)
        assert open_store(tmp_path / name).has_rewards
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(ValueError, match=r"other.npz holds no trajectories"):
        open_store(tmp_path / "other.npz")


def test_an_id_is_looked_for_where_ogbench_downloads_to(make: Make, home: Path) -> None:
    folder = home / ".ogbench" / "data"
    how = rf"in {folder}; download it by `python -c \"import ogbench; ogbench\.download_datasets\(\['{NAME}'\]\)\"`, or"
    for name in (NAME, f"{NAME}-val"):
        with pytest.raises(ValueError, match=rf"^There is no dataset '{name}' {how}"):
            open_store(name)
        make(folder / f"{name}.npz")
        assert open_store(name).name == str(folder / f"{name}.npz")
    for made in ("singletask", "singletask-task3", "oraclerep"):
        with pytest.raises(ValueError, match=rf"^There is no file for 'scene-play-{made}-v0'.*give 'scene-play-v0'"):
            open_store(f"scene-play-{made}-v0")


def test_other_ids_are_minaris(make: Make) -> None:
    for name in ("hopper-medium-v0", "D4RL/pointmaze/umaze-v2", "cubes-v0", "pointmaze/x-v0"):
        with pytest.raises(ValueError, match=rf"There is no dataset '{name}' here .*`minari download {name}`"):
            open_store(name)
    with pytest.raises(ValueError, match=r"^There is no file or folder data/maze\.npz"):
        open_store("data/maze.npz")


@pytest.mark.filterwarnings("ignore::UserWarning")  # about the author, whom we do not give
def test_a_minari_dataset_may_have_the_name_of_one_of_ogbench(home: Path) -> None:
    rewards, ends = np.zeros(3), np.zeros(3, dtype=bool)
    space = make_env().observation_space
    buffer = EpisodeBuffer(0, None, None, np.zeros((4, 2)), np.zeros((3, 2)), rewards, ends, ends)
    create_dataset_from_buffers(NAME, [buffer], observation_space=space, action_space=space)
    assert open_store(NAME).has_rewards


ROWS = columns()
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "observations": (
        {"observations": None},
        r"holds no trajectories .* has actions \(float32 of shape \(14, 2\)\), qpos ",
    ),
    "actions": ({"actions": None}, r"holds no trajectories .*; OGBench: observations, actions, terminals \(and qpos, "),
    "terminals": ({"terminals": None}, r"holds no trajectories .* D4RL: observations, actions, rewards, terminals, "),
    "short": (
        {"actions": ROWS["actions"][:-1]},
        r"has 'actions' of shape \(13, 2\), but its longest column has 14 rows",
    ),
    "number": ({"observations": np.zeros(())}, r"has 'observations' of shape \(\), but "),
    "column": ({"terminals": np.zeros((14, 2))}, r"has 'terminals' of shape \(14, 2\); give one number per row"),
    "no end": ({"terminals": np.zeros(14)}, r"breaks off within a trajectory, since 'terminals' is not 1 in its last "),
    "no rows": ({k: v[:0] for k, v in ROWS.items()}, r"has no rows in 'observations'"),
    "odd": ({"terminals": ROWS["terminals"] * 0.5}, r"has 0\.5 in 'terminals'; give 1 in rows that it marks and 0 "),
    "text": (
        {"observations": np.full((14, 2), "a")},
        r"has 'observations' of dtype <U1; give a column of plain numbers",
    ),
    "pickle": ({"actions": np.array([None] * 14)}, r"cannot be read \(Object arrays.*\); download or save it again"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_files_are_named_with_what_is_wrong(make: Make, bad: str) -> None:
    changes, sentence = BAD[bad]
    with pytest.raises(ValueError, match=rf"^\S*/maze\.npz {sentence}") as caught:
        open_store(make(**changes))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_bad_numbers_and_lone_observations_are_named_by_episode(make: Make) -> None:
    observations = ROWS["observations"].copy()
    observations[6, 1] = np.nan  # the second row of the second trajectory
    with pytest.raises(
        ValueError, match=r"^Episode 1 of \S*maze\.npz holds nan in observation 'observation' at step 1"
    ):
        open_store(make(observations=observations))
    terminals = ROWS["terminals"].copy()
    terminals[-2] = True
    with pytest.raises(ValueError, match=r"^Episode 2 of \S*maze\.npz has no step"):
        open_store(make(terminals=terminals))


def test_broken_files_are_told_from_files_of_another_kind(make: Make, tmp_path: Path) -> None:
    path = make()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"^\S*maze\.npz cannot be read \(File is not a zip file\); download or save"):
        open_store(path)
    middle = whole.index(b"observations.npy") + 100
    path.write_bytes(whole[:middle] + bytes(20) + whole[middle + 20 :])
    with pytest.raises(ValueError, match=r"^\S*maze\.npz cannot be read \(.*\); download or save it again\.$"):
        open_store(path)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="text holds no trajectories"):
        open_store(tmp_path / "text")
