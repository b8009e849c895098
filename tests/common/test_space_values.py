"""Spaces are compared by the values that they hold, and data by what is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from gcrl_zoo import BC, DT, GCSLVICReg
from gcrl_zoo.data import Episode, TrajectoryStore, open_store
from gcrl_zoo.data.spaces import same_values
from gcrl_zoo.record import record
from gcrl_zoo.wrappers import ReturnToGo
from tests.common.test_bad_input import refusal
from tests.support.envs import PointEnv, make_store
from tests.support.recordings import ID

TYPES = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32)
LARGE = float(np.finfo(np.float32).max)
BOX = spaces.Box(np.array([-0.1, 0]), np.array([0.3, np.inf]), dtype=np.float64)


def seeded(space: spaces.Space) -> spaces.Space:
    space.seed(7)
    space.sample()
    return space


SAME: dict[str, tuple[spaces.Space, spaces.Space]] = {
    **{f"Discrete {t.__name__}": (spaces.Discrete(5, start=2), spaces.Discrete(5, start=2, dtype=t)) for t in TYPES},
    **{
        f"MultiDiscrete {t.__name__}": (spaces.MultiDiscrete([3, 100]), spaces.MultiDiscrete([3, 100], dtype=t))
        for t in TYPES
    },
    **{f"Box {t.__name__}": (spaces.Box(0, 100, (2,), np.int64), spaces.Box(0, 100, (2,), t)) for t in TYPES},
    "start in a small type": (
        spaces.MultiDiscrete([100], start=[100]),
        spaces.MultiDiscrete([100], dtype=np.int8, start=[100]),
    ),
    "MultiBinary": (spaces.MultiBinary(4), spaces.MultiDiscrete([2] * 4)),
    "MultiBinary of a shape": (spaces.MultiBinary([2, 2]), spaces.MultiBinary((2, 2), seed=1)),
    "Box in float32": (BOX, spaces.Box(BOX.low.astype(np.float32), BOX.high.astype(np.float32))),
    "Box in float16": (BOX, spaces.Box(BOX.low.astype(np.float16), BOX.high.astype(np.float16), dtype=np.float16)),
    "rounding of zero": (spaces.Box(0, 1, (2,)), spaces.Box(np.float32(1e-9), 1, (2,))),
    "infinite bounds": (spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-LARGE, LARGE, (2,), np.float64)),
    "float64's largest": (
        spaces.Box(-np.inf, np.inf, (2,)),
        spaces.Box(-np.finfo(np.float64).max, np.finfo(np.float64).max, (2,), np.float64),
    ),
    "key order": (spaces.Dict({"a": BOX, "b": spaces.Discrete(2)}), spaces.Dict({"b": spaces.Discrete(2), "a": BOX})),
    "parts": (
        spaces.Dict(a=spaces.Tuple([spaces.Discrete(2)])),
        spaces.Dict(a=spaces.Tuple([spaces.Discrete(2, dtype=np.int32)])),
    ),
    "seed": (spaces.Discrete(5), seeded(spaces.Discrete(5))),
    "Text": (spaces.Text(5), spaces.Text(5, seed=1)),
}
OTHER: dict[str, tuple[spaces.Space, spaces.Space]] = {
    "n": (spaces.Discrete(5), spaces.Discrete(4)),
    "start": (spaces.Discrete(5), spaces.Discrete(5, start=1)),
    "nvec": (spaces.MultiDiscrete([3, 4]), spaces.MultiDiscrete([4, 3])),
    "one by one": (spaces.Discrete(3), spaces.MultiDiscrete([3])),
    "bits": (spaces.MultiBinary(4), spaces.MultiBinary(5)),
    "bounds": (spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1.001, (2,))),
    "small bounds": (spaces.Box(-1e-9, 1e-9, (2,)), spaces.Box(-2e-9, 2e-9, (2,))),
    "bounds of integers": (spaces.Box(0, 10**6, (1,), np.int32), spaces.Box(0, 10**6 + 1, (1,), np.int32)),
    "unbounded": (spaces.Box(-1, 1, (2,)), spaces.Box(-1, np.inf, (2,))),
    "shape": (spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (2, 1))),
    "floats": (spaces.Box(0, 255, (2,), np.uint8), spaces.Box(0, 255, (2,), np.float32)),
    "keys": (spaces.Dict(a=BOX), spaces.Dict(b=BOX)),
    "a part": (spaces.Dict(a=BOX), spaces.Dict(a=spaces.Discrete(2))),
    "length": (spaces.Tuple([BOX]), spaces.Tuple([BOX, BOX])),
    "kind": (spaces.Text(5), spaces.Discrete(5)),
    "Text": (spaces.Text(5), spaces.Text(6)),
}


@pytest.mark.parametrize("pair", SAME)
def test_spaces_with_the_same_values(pair: str) -> None:
    one, other = SAME[pair]
    assert same_values(one, other) and same_values(other, one)


@pytest.mark.parametrize("pair", OTHER)
def test_spaces_with_other_values(pair: str) -> None:
    one, other = OTHER[pair]
    assert not same_values(one, other) and not same_values(other, one)


# ------------------------------------------------------------------ wherever spaces meet


class Typed(PointEnv):
    """The point environment, whose spaces hold the same in other types."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space, self.action_space = observation_space, action_space

    def step(self, action: Any) -> Any:
        return super().step(np.asarray(action, self.action_space.dtype)[()])


BOX_ACTIONS = PointEnv(action="box").action_space
TYPED: dict[str, tuple[spaces.Space, str]] = {
    **{t.__name__: (spaces.Discrete(5, start=2, dtype=t), "discrete") for t in TYPES},
    "float64": (spaces.Box(BOX_ACTIONS.low, BOX_ACTIONS.high, dtype=np.float64), "box"),
}


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.usefixtures("datasets")
def test_what_was_recorded_fits_the_environment_that_it_came_from(kind: str) -> None:
    """In its own types and in those of the same environment in another version; and so does what is appended."""
    space, action = TYPED[kind]
    env = Typed(spaces.Box(-1, 1, (2,), np.float32), space, action=action)
    record(None, env, ID, n_episodes=3)
    record(None, env, ID, n_episodes=2, append=True)
    dataset = record(None, PointEnv(action=action), ID, n_episodes=2, append=True)
    for episode in dataset:
        assert all(map(dataset.action_space.contains, episode.actions))
        assert all(map(dataset.observation_space.contains, episode.observations))
    for each in (env, PointEnv(action=action)):
        agent = BC("MlpPolicy", each, dataset=ID, batch_size=8, device="cpu", seed=0).learn(2)
        record(agent, env, "test/own-v0", n_episodes=1, force=True)
    assert open_store(ID).n_episodes == 7


# ------------------------------------------------------------------ what is stored counts


def wide(shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(-2, 2, shape)


def store_of(observations: Any, actions: Any, space: spaces.Space | None = None) -> TrajectoryStore:
    columns = observations if isinstance(observations, dict) else {"observation": observations}
    episode = Episode(columns, actions, np.arange(len(actions), dtype=float)[:, None])
    return TrajectoryStore.from_episodes([episode] * 3, name="theirs", action_space=space)


def typed(observation_space: spaces.Space, action_space: spaces.Space) -> Any:
    return ReturnToGo(Typed(observation_space, action_space))


SEEN = np.linspace(-1, 1, 10).reshape(5, 2)
CHOICES = np.array([2, 4, 3, 2])
AMOUNTS = np.linspace(-1, 1, 4)
CHOICE = PointEnv().action_space

# environment's actions, stored actions, what is learned from
HARMLESS: dict[str, tuple[spaces.Space, np.ndarray, np.ndarray]] = {
    "Discrete as (T, 1)": (CHOICE, CHOICES[:, None], CHOICES),
    "Discrete as (T, 1, 1)": (CHOICE, CHOICES[:, None, None], CHOICES),
    "Discrete as (T, 1) of uint8": (CHOICE, CHOICES[:, None].astype(np.uint8), CHOICES),
    "Box(1,) as (T,)": (wide((1,)), AMOUNTS, AMOUNTS[:, None]),
    "Box(1,) as (T, 1, 1)": (wide((1,)), AMOUNTS[:, None, None], AMOUNTS[:, None]),
    "Box(1, 1) as (T,)": (wide((1, 1)), AMOUNTS, AMOUNTS[:, None, None]),
}


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("kind", HARMLESS)
def test_actions_in_another_shape_that_means_the_same(kind: str, declared: bool) -> None:
    space, actions, wanted = HARMLESS[kind]
    store = store_of(SEEN, actions, space if declared else None)
    for algorithm in (BC, DT):
        agent = algorithm("MultiInputPolicy", typed(wide((2,)), space), dataset=store, batch_size=8, device="cpu")
        learned = agent.learn(2)._data.dataset
        np.testing.assert_array_equal(learned.episode(0).actions, wanted.astype(learned.episode(0).actions.dtype))
        np.testing.assert_array_equal(learned.episode(0).rewards, np.arange(4))


def test_whole_amounts_of_a_declared_box() -> None:
    actions = np.array([[0, 1], [-1, 2], [1, 1], [0, 0]])
    for space in (wide((2,)), spaces.Box(-2, 2, (2,), np.float64)):
        store = store_of(SEEN, actions, space)
        agent = DT("MultiInputPolicy", typed(wide((2,)), wide((2,))), dataset=store, batch_size=8, device="cpu")
        assert agent.learn(2)._data.dataset.episode(0).actions.dtype == np.float32
    undeclared = store_of(SEEN, actions)
    make = lambda: BC("MultiInputPolicy", typed(wide((2,)), wide((2,))), dataset=undeclared)  # noqa: E731
    refusal(ValueError, make, "'theirs'", "integers of shape (2,)", "Box(-2.0, 2.0, (2,), float32)", "float32")


# environment's actions, stored actions, words of the refusal
WRONG: dict[str, tuple[spaces.Space, np.ndarray, tuple[str, ...]]] = {
    "one-hot": (CHOICE, np.eye(5, dtype=int)[CHOICES - 2], ("(5,)", "one-hot", "`actions.argmax(axis=1) + 2`")),
    "one-hot floats": (CHOICE, np.eye(5)[CHOICES - 2], ("(5,)", "one-hot", "`actions.argmax(axis=1) + 2`")),
    "one-hot from 0": (spaces.Discrete(5), np.eye(5)[CHOICES], ("one-hot", "`actions.argmax(axis=1)`")),
    "several choices": (CHOICE, np.stack([CHOICES] * 2, 1), ("integers", "(2,)")),
    "choices as floats": (CHOICE, CHOICES.astype(float), ("float32", "int64")),
    "Box(2,) as (T, 1)": (wide((2,)), AMOUNTS[:, None], ("(1,)",)),
    "Box(2,) as (T,)": (wide((2,)), AMOUNTS, ("()",)),
    "Box(2,) as (T, 3)": (wide((2,)), np.stack([AMOUNTS] * 3, 1), ("(3,)",)),
    "Box(2,) as (T, 2, 1)": (wide((2,)), np.stack([AMOUNTS] * 2, 1)[..., None], ("(2, 1)",)),
    "Box(1,) as (T, 2)": (wide((1,)), np.stack([AMOUNTS] * 2, 1), ("(2,)",)),
    "Box(2, 2) as (T, 4)": (wide((2, 2)), np.stack([AMOUNTS] * 4, 1), ("(4,)",)),
}


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("kind", WRONG)
def test_actions_in_a_shape_that_means_something_else(kind: str, declared: bool) -> None:
    space, actions, words = WRONG[kind]
    store = store_of(SEEN, actions, space if declared else None)
    env = typed(wide((2,)), space)
    for algorithm in (BC, DT):
        told = refusal(ValueError, lambda a=algorithm: a("MultiInputPolicy", env, dataset=store), "'theirs'", *words)
        assert ("one-hot" in told) == ("one-hot" in kind) and str(space) in told


SCALARS: dict[str, tuple[spaces.Space, np.ndarray]] = {
    "Box(1,)": (wide((1,)), np.linspace(-1, 1, 5)),
    "Discrete": (spaces.Discrete(4), np.array([0, 1, 2, 3, 0])),
    "MultiDiscrete": (spaces.MultiDiscrete([4]), np.array([0, 1, 2, 3, 0])),
    "MultiBinary": (spaces.MultiBinary(1), np.array([0, 1, 1, 0, 0])),
}


@pytest.mark.parametrize("argument", ["dataset", "stream"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
@pytest.mark.parametrize("kind", SCALARS)
def test_observations_in_another_shape_that_means_the_same(kind: str, shape: tuple[int, ...], argument: str) -> None:
    space, values = SCALARS[kind]
    stored = store_of({"observation": values.reshape(5, *shape), "achieved_goal": SEEN}, CHOICES)
    env = Typed(spaces.Dict(observation=space, achieved_goal=wide((2,)), desired_goal=wide((2,))), CHOICE)
    agent = GCSLVICReg("MultiInputPolicy", env, **{argument: stored}, own_play=True, batch_size=8, device="cpu")
    opened = agent.replay_buffer if argument == "dataset" else agent._data.stream
    assert opened.episode(0).observations["observation"].shape == (5, *space.shape)
    np.testing.assert_array_equal(opened.episode(0).observations["achieved_goal"], SEEN.astype(np.float32))


def test_one_hot_observations_and_goals() -> None:
    one_hot = np.eye(4)[SCALARS["Discrete"][1]]
    env = Typed(spaces.Dict({k: spaces.Discrete(4) for k in ("achieved_goal", "desired_goal")}), CHOICE)
    make = lambda: GCSLVICReg("MultiInputPolicy", env, dataset=store_of({"achieved_goal": one_hot}, CHOICES))  # noqa: E731
    refusal(ValueError, make, "'theirs'", "(4,)", "one-hot", "`achieved_goal.argmax(axis=1)`")


def test_a_replay_buffer_in_another_shape_goes_on(tmp_path: Any) -> None:
    """With commands and extras, which own play does not keep."""
    store = make_store()
    episodes = [
        replace(
            each,
            observations={**each.observations, "more": each.observations["observation"]},
            actions=each.actions[:, None],
            extras={"asked": np.ones(each.length + 1)},
        )
        for each in store.episodes()
    ]
    TrajectoryStore.from_episodes(episodes).save(tmp_path / "buffer")
    agent = BC("MlpPolicy", PointEnv(), learning_starts=0, train_freq=12, batch_size=8, device="cpu", own_play=True)
    agent.load_replay_buffer(tmp_path / "buffer")
    assert agent.learn(60).replay_buffer.n_episodes > store.n_episodes
    TrajectoryStore.from_episodes([replace(e, actions=np.eye(5)[e.actions - 2]) for e in store.episodes()]).save(
        tmp_path / "buffer"
    )
    refusal(ValueError, lambda: agent.load_replay_buffer(tmp_path / "buffer"), "replay buffer", "one-hot")


# ------------------------------------------------------------------ recordings


def write_as(actions: np.ndarray, observations: np.ndarray, root: Any) -> None:
    """A dataset of another program, whose arrays have other shapes than its spaces."""
    folder = root / "test" / "play-v0" / "data"
    folder.mkdir(parents=True)
    env = PointEnv()
    storage = MinariStorage.new(folder, env.observation_space, env.action_space)
    storage.update_metadata({"dataset_id": ID, "minari_version": minari.__version__})
    ends = np.zeros(4, dtype=bool)
    storage.update_episodes(
        [
            EpisodeBuffer(
                observations=observations, actions=actions, rewards=np.ones(4), terminations=ends, truncations=ends
            )
        ]
    )


@pytest.mark.parametrize(
    ("what", "actions", "seen"), [("actions", CHOICES[:, None], SEEN), ("obs", CHOICES, SEEN[:, :1])]
)
def test_stored_shapes_are_compared_before_more_is_appended(datasets: Any, what: str, actions: Any, seen: Any) -> None:
    write_as(actions, seen, datasets)
    make = lambda: record(None, PointEnv(), ID, n_episodes=1, append=True)  # noqa: E731
    refusal(ValueError, make, f"'{ID}' cannot be appended to", f"its {what}", "stored in shape (1,)", "new dataset")
    assert minari.load_dataset(ID).total_episodes == 1


class Bent(PointEnv):
    """What it shows has another shape than its space."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def observe(self) -> Any:
        return np.resize(self.point, self.shape)


class Columnar:
    """Its choices come as (E, 1)."""

    def predict(self, observation: Any, *rest: Any, **kwargs: Any) -> Any:
        return np.full((len(observation), 1), 2), None


@pytest.mark.usefixtures("datasets")
def test_what_is_recorded_has_the_shape_of_its_space() -> None:
    make = lambda: record(None, Bent((3,)), ID, n_episodes=1)  # noqa: E731
    refusal(ValueError, make, "observation has shape (3,)", str(PointEnv().observation_space))


def test_an_agent_whose_choices_are_columns(datasets: Any) -> None:
    class Taking(PointEnv):
        def step(self, action: Any) -> Any:
            return super().step(int(np.reshape(action, ())))

    dataset = record(Columnar(), Taking(), ID, n_episodes=1)
    assert dataset[0].actions.shape == (len(dataset[0]),)
