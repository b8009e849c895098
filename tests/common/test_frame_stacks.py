"""Stacks of frames: what is read from a store equals what the environment's wrapper shows, to the bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import DelayObservation, FrameStackObservation, RescaleObservation, TimeLimit
from stable_baselines3.common.vec_env import DummyVecEnv, VecTransposeImage

from gcrl_zoo.common.data_layout import as_own_play, fit_layout, frame_stacks, with_achieved_goals
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data import Episode, GoalPairs, Steps, TrajectoryStore, Transitions, Windows
from gcrl_zoo.data.rows import Stack
from gcrl_zoo.methods.bc import BC
from gcrl_zoo.wrappers import DatasetGoal, FixedGoal

SPACES: dict[str, spaces.Space[Any]] = {
    "image": spaces.Box(0, 255, (40, 40, 3), np.uint8),
    "grey": spaces.Box(0, 255, (36, 36), np.uint8),
    "vector": spaces.Box(-1, 1, (3,), np.float32),
    "choice": spaces.Discrete(4),
}
SPACES["dict"] = spaces.Dict({key: SPACES[key] for key in ("image", "vector")})


class Random(gym.Env[Any, Any]):
    """Random observations; episodes of 3 to 9 steps, of which half are terminated."""

    action_space = spaces.Discrete(3)

    def __init__(self, kind: str) -> None:
        self.observation_space = SPACES[kind]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(3, 12))
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._left -= 1
        return self.observation_space.sample(), 1.0, self._left == 0, False, {}


def play(env: gym.Env[Any, Any], n: int) -> list[Episode]:
    """Some episodes, as the environment shows them."""
    episodes = []
    for seed in range(n):
        seen, done, ended = [env.reset(seed=seed)[0]], False, False
        while not done:
            observation, _, ended, cut, _ = env.step(seed % 3)
            seen.append(observation)
            done = ended or cut
        rows = seen if isinstance(seen[0], dict) else [{"observation": each} for each in seen]
        columns = {key: np.stack([row[key] for row in rows]) for key in rows[0] if key != "desired_goal"}
        length = len(seen) - 1
        episodes.append(Episode(columns, np.full(length, seed % 3), np.ones(length), ended))
    return episodes


def custom(kind: str) -> Any:
    SPACES[kind].seed(7)
    return SPACES[kind].sample()


def assert_same(found: Any, expected: Any) -> None:
    """The same batches."""
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, dict):
            assert a.keys() == b.keys()
            assert_same(a.values(), b.values())
        else:
            np.testing.assert_array_equal(a, b)


CASES = [
    ("image", 4, "reset"),
    ("image", 3, "zero"),
    ("image", 2, "custom"),
    ("grey", 4, "custom"),
    ("vector", 3, "zero"),
    ("choice", 2, "reset"),
    ("dict", 3, "reset"),
    ("dict", 2, "zero"),
    ("vector", 1, "reset"),
]


@pytest.mark.parametrize(("kind", "size", "padding"), CASES)
def test_stacks_equal_those_of_the_wrapper(kind: str, size: int, padding: str) -> None:
    def make(stacked: bool = True) -> gym.Env[Any, Any]:
        env = TimeLimit(Random(kind), 9)
        given = custom(kind) if padding == "custom" else padding
        return FrameStackObservation(env, size, padding_type=given) if stacked else env

    env = VecTransposeImage(DummyVecEnv([make])) if kind == "dict" else DummyVecEnv([make])
    roles = Roles.of(env.observation_space)
    stacks = frame_stacks(env, roles)
    assert {*stacks} == {*roles.facts_space.spaces}
    stacked, single = play(make(), 12), play(make(stacked=False), 12)
    expected = TrajectoryStore.from_episodes(stacked, capacity=60)

    shown = fit_layout(TrajectoryStore.from_episodes(single, capacity=60), roles, env.action_space, stacks)
    begun = fit_layout(TrajectoryStore.from_episodes(single[:6]), roles, env.action_space, stacks)
    own, copied = as_own_play(begun, roles, 60), as_own_play(begun, roles, 60, single_frames=False)
    for episode in stacked[6:]:
        own.append(episode)
        copied.append(episode)
    for store in (shown, own, copied, as_own_play(own, roles, 60), as_own_play(expected, roles, 60)):
        assert store.n_episodes == expected.n_episodes
        shapes = {key: entry.shape[1:] for key, entry in store.episode(0).observations.items()}
        assert shapes == {key: space.shape for key, space in roles.facts_space.spaces.items()}
        for sampler in (
            Steps,
            Transitions,
            lambda store: Windows(store, 5, ahead=2),
            lambda store: GoalPairs(store, "random", successors=True),
        ):
            rng = np.random.default_rng(1), np.random.default_rng(1)
            assert_same(sampler(store).sample(rng[0], 64), sampler(expected).sample(rng[1], 64))
        for i, episode in enumerate(expected.episodes()):
            assert_same(store.episode(i).observations.values(), episode.observations.values())
    assert own.newest(1).unlabelled().episode(0).observations.keys() == own.episode(0).observations.keys()
    for key in own._table.frames:  # each frame once, the first ones as often as a stack needs them
        assert own._table.frames[key].stack == 1
        assert own._table.frames[key].shape == roles.facts_space[key].shape[1:]
        for store in (expected, copied):
            assert len(store._table.frames[key].frames) == sum(len(each.actions) + size for each in stacked)


def test_stacks_that_another_wrapper_changed_do_not_join_single_frames() -> None:
    class Halved(gym.ObservationWrapper[Any, Any, Any]):
        def observation(self, observation: Any) -> Any:
            return observation // 2 + 1

    def make() -> gym.Env[Any, Any]:
        return Halved(FrameStackObservation(TimeLimit(Random("image"), 9), 3, padding_type="zero"))

    env = DummyVecEnv([make])
    roles, episodes = Roles.of(env.observation_space), play(make(), 3)
    store = TrajectoryStore.from_episodes(episodes)
    for found, expected in zip(store.episodes(), episodes, strict=True):
        assert_same(found.observations.values(), expected.observations.values())
    single = TrajectoryStore.from_episodes(play(Random("image"), 2))
    own = as_own_play(fit_layout(single, roles, env.action_space, frame_stacks(env, roles)), roles, None)
    with pytest.raises(ValueError, match=r"stacks in 'observation' that differ .*FrameStackObservation; put wrappers"):
        own.append(episodes[0])


def test_other_wrappers_make_no_stacks() -> None:
    for wrap in (DelayObservation, lambda env, n: RescaleObservation(env, np.float32(0), np.float32(1))):
        env = DummyVecEnv([lambda wrap=wrap: wrap(Random("vector"), 3)])
        assert frame_stacks(env, Roles.of(env.observation_space)) == {}


@pytest.mark.parametrize("cut", [None, 4])
def test_own_play_with_stacks_joins_single_frames(cut: int | None) -> None:
    def make() -> gym.Env[Any, Any]:
        return FrameStackObservation(TimeLimit(Random("image"), 9), 4)

    dataset = TrajectoryStore.from_episodes(play(TimeLimit(Random("image"), 9), 4)).freeze()
    chunk = dataset._table.frames["observation"].frames.chunk(0)
    given: dict[str, Any] = {"batch_size": 4, "learning_starts": 0, "train_freq": 20, "gradient_steps": 1, "seed": 0}
    agent = BC("CnnPolicy", make(), dataset=dataset, own_play=True, max_episode_steps=cut, device="cpu", **given)
    agent.learn(20)
    buffer = agent.replay_buffer
    assert buffer.n_episodes > dataset.n_episodes
    assert buffer.take("observation", buffer.steps).shape[1:] == (4, 40, 40, 3)
    column = buffer._table.frames["observation"]
    assert (column.stack, column.shape) == ((1, (40, 40, 3)) if cut is None else (4, (4, 40, 40, 3)))
    assert (column.frames.chunk(0) is chunk) == (cut is None)
    assert agent.predict(agent.env.reset())[0].shape == (1,)


def test_goals_of_a_dataset_of_images_copy_no_image() -> None:
    def make() -> gym.Env[Any, Any]:
        goal = np.zeros((4, 40, 40, 3), np.uint8)
        return FixedGoal(FrameStackObservation(TimeLimit(Random("image"), 9), 4), goal=goal, threshold=1.0)

    env = DummyVecEnv([make])
    roles = Roles.of(env.observation_space)
    dataset = TrajectoryStore.from_episodes(play(TimeLimit(Random("image"), 9), 4)).freeze()
    fitted = fit_layout(dataset, roles, env.action_space, frame_stacks(env, roles))
    store = with_achieved_goals(fitted, roles, env, "dataset")
    for key in ("observation", "achieved_goal"):
        assert store._table.frames[key].frames.chunk(0) is dataset._table.frames["observation"].frames.chunk(0)
    expected = TrajectoryStore.from_episodes(play(make(), 4))
    for found, episode in zip(store.episodes(), expected.episodes(), strict=True):
        assert_same([found.observations[key] for key in episode.observations], episode.observations.values())


@pytest.mark.parametrize(("kind", "padding"), [("grey", "reset"), ("image", "zero"), ("dict", "custom")])
@pytest.mark.parametrize("final", [True, False])
def test_goals_of_a_dataset_of_single_frames_are_stacks(kind: str, padding: str, final: bool) -> None:
    def make() -> gym.Env[Any, Any]:
        given = custom(kind) if padding == "custom" else padding
        return FrameStackObservation(TimeLimit(Random(kind), 9), 4, padding_type=given)

    dataset = TrajectoryStore.from_episodes(play(TimeLimit(Random(kind), 9), 4)).freeze()
    key = "image" if kind == "dict" else "observation"
    env = DatasetGoal(make(), dataset, final=final, threshold=1.0, key=key)
    seen = [each.observations[key] for each in play(make(), 4)]
    goals = np.stack([each[-1] for each in seen]) if final else np.concatenate(seen)
    for seed in range(5):
        goal = env.reset(seed=seed)[0]["desired_goal"]
        assert (goals == goal).reshape(len(goals), -1).all(1).any()
    with pytest.raises(ValueError, match=r"takes goals from observations of shape \(4, .*, but got \(1, 40, 40, 4\)"):
        other = Episode({key: np.zeros((5, 40, 40, 4), np.uint8)}, np.zeros(4, np.int64), np.ones(4))
        DatasetGoal(make(), TrajectoryStore.from_episodes([other]), threshold=1.0, key=key)


def test_own_play_of_images_channels_last_shares_them() -> None:
    env = VecTransposeImage(DummyVecEnv([lambda: TimeLimit(Random("image"), 9)]))
    roles = Roles.of(env.observation_space)
    dataset = TrajectoryStore.from_episodes(play(TimeLimit(Random("image"), 9), 4)).freeze()
    own = as_own_play(fit_layout(dataset, roles, env.action_space), roles, 100)
    assert own._table.frames["observation"].frames.chunk(0) is dataset._table.frames["observation"].frames.chunk(0)
    new = np.random.default_rng(0).integers(0, 256, (5, 3, 40, 40), np.uint8)
    own.append(Episode({"observation": new}, np.zeros(4, np.int64), np.ones(4)))
    np.testing.assert_array_equal(own.episode(-1).observations["observation"], new)
    turned = np.moveaxis(dataset.episode(0).observations["observation"], -1, 1)
    np.testing.assert_array_equal(own.episode(0).observations["observation"], turned)


def test_stacks_of_grey_images_may_have_their_frames_last() -> None:
    env = DummyVecEnv([lambda: FrameStackObservation(TimeLimit(Random("grey"), 9), 4)])
    roles, [episode] = Roles.of(env.observation_space), play(env.envs[0], 1)
    stacks = episode.observations["observation"]
    last = Episode({"observation": np.moveaxis(stacks, 1, -1)}, episode.actions, episode.rewards)
    fitted = fit_layout(TrajectoryStore.from_episodes([last]), roles, env.action_space, frame_stacks(env, roles))
    np.testing.assert_array_equal(fitted.episode(0).observations["observation"], stacks)


def stacking(padding: str) -> gym.Env[Any, Any]:
    return FrameStackObservation(TimeLimit(Random("image"), 9), 4, padding_type=padding)


PLAY: dict[str, Any] = {"batch_size": 4, "learning_starts": 0, "train_freq": 20, "gradient_steps": 1, "seed": 0}


@pytest.mark.parametrize("change", ["another padding", "left in the middle of an episode"])
def test_own_play_goes_on_in_another_environment(change: str) -> None:
    dataset = TrajectoryStore.from_episodes(play(TimeLimit(Random("image"), 9), 4))
    agent = BC("CnnPolicy", stacking("zero"), dataset=dataset, own_play=True, device="cpu", **PLAY)
    agent.learn(15)
    before = list(agent.replay_buffer.episodes())
    if change == "another padding":
        agent.set_env(stacking("reset"))
    else:
        agent.set_env(copy.deepcopy(agent.env), force_reset=False)
    agent.learn(30, reset_num_timesteps=False)
    assert agent.replay_buffer.n_episodes > len(before)
    for old, new in zip(before, agent.replay_buffer.episodes(), strict=False):
        assert_same(new.observations.values(), old.observations.values())


def test_own_play_with_goals_keeps_single_frames() -> None:
    goal = np.zeros((4, 40, 40, 3), np.uint8)
    dataset = TrajectoryStore.from_episodes(play(TimeLimit(Random("image"), 9), 4))
    env = FixedGoal(stacking("reset"), goal=goal, threshold=1.0)
    agent = BC("MultiInputPolicy", env, dataset=dataset, own_play=True, device="cpu", **PLAY)
    agent.learn(20)
    assert agent.replay_buffer.n_episodes > 4
    assert {key: column.stack for key, column in agent.replay_buffer._table.frames.items()} == {
        "observation": 1,
        "achieved_goal": 1,
    }


def test_a_loaded_buffer_of_single_frames_takes_episodes_that_are_cut(tmp_path: Path) -> None:
    TrajectoryStore.from_episodes(play(TimeLimit(Random("image"), 9), 4)).save(tmp_path / "single.npz")
    agent = BC("CnnPolicy", stacking("zero"), own_play=True, max_episode_steps=4, device="cpu", **PLAY)
    agent.load_replay_buffer(tmp_path / "single.npz")
    agent.learn(20)
    assert agent.replay_buffer.n_episodes > 4


def test_episodes_without_the_stacks_are_refused_in_one_sentence() -> None:
    store = TrajectoryStore.from_episodes(play(Random("image"), 2)).stacked({"observation": Stack(2)}).copy()
    with pytest.raises(ValueError, match=r"^The episode has 'observation' as nothing .* give all episodes the same"):
        store.append(Episode({"other": np.zeros((3, 2))}, np.zeros(2, np.int64), np.ones(2)))
