"""What is recorded is what happened: in the environment, by the agent, and in a dataset that is whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO, SAC, HerReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecNormalize

from gcrl_zoo import GCSL, GCSLVICReg
from gcrl_zoo.data import open_store
from gcrl_zoo.record import record
from gcrl_zoo.wrappers import ReturnToGo
from tests.support.envs import ACTIONS, OBSERVATIONS, PointEnv, make_env
from tests.support.recordings import ID, POINT, Point, assert_replays, episodes, untrained

pytestmark = pytest.mark.usefixtures("datasets")


class Counter:
    """An agent whose action is the number of the step in its episode, which only its memory tells it."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[np.ndarray, Any]:
        (count,) = state or (np.zeros(len(observation), dtype=np.int64),)
        count = np.where(episode_start, 0, count)
        return count % 5, (count + 1,)


# ------------------------------------------------------------------ what is recorded


@pytest.mark.parametrize("action", [*ACTIONS, "multi_discrete"])
@pytest.mark.parametrize("observation", [*OBSERVATIONS, "multi_discrete", "multi_binary"])
def test_every_kind_of_observation_and_action_replays_without_loss(observation: str, action: str) -> None:
    dataset = record(None, PointEnv(observation, action), ID, n_episodes=4)
    assert_replays(dataset, PointEnv(observation, action))
    store = open_store(ID)
    assert store.n_episodes == dataset.total_episodes == 4
    assert store.lengths.tolist() == [len(episode) for episode in dataset]
    assert "episode" in repr(dataset[0]).lower()


def test_ends_are_told_from_cuts() -> None:
    dataset = record(None, PointEnv(), ID, n_episodes=30)
    for episode in dataset:
        ended, cut = bool(episode.terminations[-1]), bool(episode.truncations[-1])
        assert not episode.terminations[:-1].any() and not episode.truncations[:-1].any()
        assert ended or (cut and len(episode) == 12)
    terminated = [bool(episode.terminations[-1]) for episode in dataset]
    assert open_store(ID).terminated.tolist() == terminated
    assert 0 < sum(terminated) < 30


@pytest.mark.parametrize("action", ACTIONS)
def test_noise_is_in_the_actions_that_were_executed(action: str) -> None:
    model = untrained(action=action)
    calm = record(model, gym.make(POINT, action=action), "test/calm-v0", n_timesteps=100, seed=3)
    wild = record(model, gym.make(POINT, action=action), "test/wild-v0", n_timesteps=2000, seed=3, noise=0.3)
    assert_replays(wild, wild.recover_environment())
    seen = np.concatenate([episode.observations[:-1] for episode in wild])
    actions = np.concatenate([episode.actions for episode in wild])
    wanted = model.predict(seen, deterministic=True)[0]
    np.testing.assert_allclose(
        np.concatenate([e.actions for e in calm]),
        model.predict(np.concatenate([e.observations[:-1] for e in calm]), deterministic=True)[0],
        atol=1e-6,
    )
    if action == "discrete":
        assert (actions != wanted).mean() == pytest.approx(0.3 * 4 / 5, abs=0.03)
    else:
        low, high = wild.action_space.low, wild.action_space.high
        assert (actions >= low).all() and (actions <= high).all()
        np.testing.assert_allclose((actions - wanted).std(axis=0), 0.3 * (high - low) / 2, rtol=0.1)


def test_of_several_levels_each_episode_draws_one() -> None:
    model = untrained()
    dataset = record(model, POINT, ID, n_episodes=40, noise=[0, 1])
    changed = [
        (episode.actions != model.predict(episode.observations[:-1], deterministic=True)[0]).mean()
        for episode in dataset
        if len(episode) > 5
    ]
    assert 0 < sum(each == 0 for each in changed) < len(changed)


def test_episodes_do_not_depend_on_how_many_environments_play() -> None:
    model = untrained()
    alone = record(model, POINT, "test/one-v0", n_episodes=11, seed=5)
    together = record(model, POINT, "test/four-v0", n_episodes=11, seed=5, n_envs=4)
    for (seed, one), (same, four) in zip(episodes(alone), episodes(together), strict=True):
        assert seed == same
        np.testing.assert_array_equal(one.observations, four.observations)
        np.testing.assert_array_equal(one.actions, four.actions)
    other = record(model, POINT, "test/other-v0", n_episodes=11, seed=6)
    assert not {seed for seed, _ in episodes(alone)} & {seed for seed, _ in episodes(other)}


def test_bounds_and_channels_of_observations_may_differ() -> None:
    model = untrained("CartPole-v1")
    model.observation_space = spaces.Box(-9, 9, (4,))  # as another version of Gymnasium has it
    assert record(model, "CartPole-v1", ID, n_episodes=1).total_episodes == 1
    env = PointEnv("image", "box")
    model = PPO("CnnPolicy", env, n_steps=64, seed=0)
    assert model.observation_space != env.observation_space
    assert record(model, PointEnv("image", "box"), "test/image-v0", n_episodes=1).total_episodes == 1


class Global(PointEnv):
    """It starts where NumPy's global generator says, as OGBench's environments do."""

    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        self.point = np.random.uniform(-1, 1, 2)
        return self.observe(), {}


@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_seed_is_that_of_numpy_too(n_envs: int) -> None:
    dataset = record(None, DummyVecEnv([Global] * n_envs), ID, n_episodes=6)
    for seed, episode in episodes(dataset):
        np.random.seed(seed)
        np.testing.assert_array_equal(Global().reset(seed=seed)[0], episode.observations[0])


def test_steps_are_counted_in_whole_episodes() -> None:
    dataset = record(None, POINT, ID, n_timesteps=100, n_envs=3)
    lengths = [len(episode) for episode in dataset]
    assert sum(lengths[:-1]) < 100 <= sum(lengths) == dataset.total_steps


def test_vectors_of_environments_are_recorded_below_what_they_add() -> None:
    env = VecFrameStack(VecNormalize(DummyVecEnv([Point, Point])), 3)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, seed=0).learn(32)
    statistics = env.venv.obs_rms.mean.copy()
    dataset = record(model, model.get_env(), ID, n_episodes=5)
    np.testing.assert_array_equal(env.venv.obs_rms.mean, statistics)
    assert env.venv.training and all(type(each) is Point for each in env.unwrapped.envs)
    assert dataset.observation_space == Point().observation_space
    assert_replays(dataset, Point())
    model.learn(32)


class Clock(PointEnv):
    """Its achieved goal counts on at each step of an episode, and leaps between episodes of 50 steps."""

    def __init__(self) -> None:
        super().__init__("goal", "box", max_steps=50)
        self.observation_space = spaces.Dict({key: spaces.Box(0, 1e6, (1,)) for key in self.observation_space})
        self.now = 0

    def reset(self, **kwargs: Any) -> Any:
        self.now += 100
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        self.now += 1
        observation, reward, _, *rest = super().step(action)
        return observation, reward, False, *rest

    def observe(self) -> Any:
        return {key: np.array([self.now], np.float32) for key in self.observation_space}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return np.zeros(np.shape(achieved_goal)[:-1])


@pytest.mark.parametrize("own", [lambda model, env: model.get_env(), lambda model, env: env], ids=["its", "mine"])
@pytest.mark.filterwarnings("ignore:Nothing was learned")
def test_learning_goes_on_with_new_episodes(own: Callable[..., Any]) -> None:
    env = Clock()
    model = GCSL("MultiInputPolicy", env, learning_starts=1000, seed=0).learn(70)
    record(model, own(model, env), ID, n_episodes=2)
    model.learn(130, reset_num_timesteps=False)
    times = [episode.observations["achieved_goal"][:, 0] for episode in model.replay_buffer.episodes()]
    assert len(times) == 3 and all((np.diff(each) == 1).all() for each in times)


@pytest.mark.parametrize("buffer", [None, HerReplayBuffer])
def test_learning_of_sb3_goes_on_with_new_episodes(buffer: Any) -> None:
    model = SAC("MultiInputPolicy", Clock(), replay_buffer_class=buffer, learning_starts=1000, seed=0).learn(70)
    record(model, model.get_env(), ID, n_episodes=2)
    model.learn(80, reset_num_timesteps=False)
    kept = model.replay_buffer
    before, after = (part["achieved_goal"][:150] for part in (kept.observations, kept.next_observations))
    assert (after - before == 1).all()
    if buffer:
        assert kept.ep_start[[0, 50, 70, 120], 0].tolist() == [0, 50, 70, 120]
        assert kept.ep_length[[0, 50, 70], 0].tolist() == [50, 20, 50]


@pytest.mark.filterwarnings("ignore:Nothing was learned")
def test_learning_goes_on_where_it_was_when_another_environment_was_played() -> None:
    model = GCSL("MultiInputPolicy", Clock(), learning_starts=1000, seed=0).learn(70)
    last = model._last_obs
    record(model, Clock(), ID, n_episodes=2)
    assert model._last_obs is last


# ------------------------------------------------------------------ who plays


def test_memory_is_handed_on_and_forgotten_where_an_episode_begins() -> None:
    dataset = record(Counter(), POINT, ID, n_episodes=9, n_envs=3)
    for episode in dataset:
        np.testing.assert_array_equal(episode.actions, np.arange(len(episode)) % 5)


def test_a_recurrent_agent_plays_as_in_a_loop_of_ones_own() -> None:
    model = untrained(algorithm=RecurrentPPO, action="box")
    dataset = record(model, gym.make(POINT, action="box"), ID, n_episodes=3)
    for _, episode in episodes(dataset):
        state, start = None, np.ones(1, dtype=bool)
        for seen, action in zip(episode.observations[:-1], episode.actions, strict=True):
            wanted, state = model.predict(seen[None], state, start, deterministic=True)
            np.testing.assert_allclose(wanted[0], action, atol=1e-6)
            start = np.zeros(1, dtype=bool)


def test_a_memory_of_actions_gets_the_executed_ones() -> None:
    class Rememberer(Counter):
        """Repeats its last action; its policy is told when another one was executed."""

        action_space = PointEnv().action_space

        def predict(self, observation: Any, state: Any = None, *rest: Any, **kwargs: Any) -> tuple[np.ndarray, Any]:
            (last,) = state or (np.full(len(observation), 2),)
            return last, (last,)

        @property
        def policy(self) -> Any:
            return self

        def remember(self, state: Any, actions: np.ndarray) -> Any:
            return (actions,)

    dataset = record(Rememberer(), PointEnv(max_steps=200), ID, n_episodes=5, noise=0.2)
    actions = np.concatenate([episode.actions for episode in dataset])
    assert 0.05 < np.mean([a != b for a, b in pairwise(actions)]) < 0.3 and len(set(actions)) == 5


def test_sampled_actions_follow_the_seed() -> None:
    model = untrained()
    datasets = [
        record(model, POINT, f"test/{i}-v0", n_episodes=3, deterministic=False, seed=seed)
        for i, seed in enumerate((1, 1, 2))
    ]
    first, again, other = (np.concatenate([episode.actions for episode in dataset]) for dataset in datasets)
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or (first != other).any()


# ------------------------------------------------------------------ who reads it


def test_a_goal_environment_is_recorded_whole_and_learnt_from() -> None:
    env = make_env("goal", n_envs=2)
    agent = GCSLVICReg("MultiInputPolicy", env, learning_starts=10, batch_size=8, seed=0)
    dataset = record(agent, env, ID, n_episodes=8, noise=0.2)
    assert set(dataset[0].observations) == {"observation", "achieved_goal", "desired_goal"}
    assert open_store(ID).observation_keys == ("achieved_goal", "observation")
    GCSLVICReg("MultiInputPolicy", make_env("goal"), dataset=ID, batch_size=8, seed=0).learn(3)


def test_an_agent_in_a_wrapper_is_recorded_recovered_and_learnt_from() -> None:
    env = make_vec_env("CartPole-v1", 2, wrapper_class=ReturnToGo, wrapper_kwargs={"target": 9})
    agent = GCSLVICReg("MultiInputPolicy", env, learning_starts=10, batch_size=8, seed=0)
    dataset = record(agent, env, ID, n_episodes=4)
    assert_replays(dataset, dataset.recover_environment())
    assert dataset[0].observations["return_to_go"][:3, 0].tolist() == [9, 8, 7]
    assert open_store(ID).observation_keys == ("observation",)
    for policy, learner in (("MultiInputPolicy", env), ("MlpPolicy", "CartPole-v1")):
        GCSLVICReg(policy, learner, dataset=ID, batch_size=8, seed=0).learn(3)


@pytest.mark.parametrize(("kind", "place"), [("image", "observations"), ("dict", "observations/image")])
def test_images_are_compressed_without_loss(kind: str, place: str, datasets: Path) -> None:
    record(None, PointEnv(kind), ID, n_episodes=2)
    dataset = record(None, PointEnv(kind), ID, n_episodes=2, append=True)
    assert_replays(dataset, PointEnv(kind))
    with h5py.File(datasets / ID / "data" / "main_data.hdf5") as file:
        stored = [file[f"episode_{i}/{place}"] for i in range(4)]
        assert all(5 * each.id.get_storage_size() < each.nbytes and each.compression == "gzip" for each in stored)


def test_episodes_that_minari_adds_go_together_with_ours() -> None:
    dataset = record(None, PointEnv("image"), ID, n_episodes=2)
    dataset.storage.update_episodes([EpisodeBuffer(**ours(dataset[0]), seed=7)])
    dataset = record(None, PointEnv("image"), ID, n_episodes=1, append=True)
    assert dataset.total_episodes == open_store(ID).n_episodes == 4
    np.testing.assert_array_equal(dataset[2].observations, dataset[0].observations)


def ours(episode: minari.EpisodeData) -> dict[str, Any]:
    names = ("observations", "actions", "rewards", "terminations", "truncations", "infos")
    return {name: getattr(episode, name) for name in names}


def test_what_is_known_of_a_dataset_is_in_it(datasets: Path) -> None:
    dataset = record(untrained("CartPole-v1"), "CartPole-v1", ID, n_episodes=2, author="Ada", noise=0.1)
    metadata = dataset.storage.metadata
    assert (metadata["algorithm_name"], metadata["author"], metadata["code_permalink"]) == ("PPO", {"Ada"}, "")
    assert metadata["description"] == "PPO on CartPole-v1, deterministic=True, noise=0.1, seed=0"
    assert (metadata["jpeg_encoding"], dataset.env_spec.id) == (False, "CartPole-v1")
    assert minari.list_local_datasets() and minari.load_dataset(ID).total_episodes == 2
    assert {path.name for path in datasets.iterdir()} == {"test"}
    assert_replays(dataset, dataset.recover_environment())


def test_wrappers_that_cannot_be_made_again_are_named() -> None:
    class Odd(gym.Wrapper):
        pass

    with pytest.warns(UserWarning, match=r"will lack Odd, which cannot be made again"):
        dataset = record(None, Odd(gym.make("CartPole-v1")), ID, n_episodes=2)
    assert_replays(dataset, dataset.recover_environment())
    gym.register("Local-v0", entry_point=PointEnv)
    with pytest.warns(UserWarning, match=r"^The environment cannot be recovered .*Callable found"):
        assert record(None, gym.make("Local-v0"), ID, n_episodes=2, force=True).env_spec is None


# ------------------------------------------------------------------ whole or not there


def test_a_dataset_is_not_overwritten_unless_asked_to() -> None:
    first = [seed for seed, _ in episodes(record(None, POINT, ID, n_episodes=3, author="Ada"))]
    with pytest.raises(ValueError, match=r"^There is a dataset 'test/play-v0' already; .*--append.*--force\)\.$"):
        record(None, POINT, ID, n_episodes=1)
    assert minari.load_dataset(ID).total_episodes == 3
    replaced = record(None, POINT, ID, n_episodes=2, force=True)
    assert [seed for seed, _ in episodes(replaced)] == first[:2]
    assert replaced.storage.metadata["author"] == set()


def test_appended_episodes_are_new_ones_and_tell_who_played() -> None:
    record(None, POINT, ID, n_episodes=3, author="Ada", append=True)  # to nothing
    dataset = record(untrained(), POINT, ID, n_episodes=4, append=True, author="Bob", description="better")
    assert dataset.total_episodes == 7 and len({seed for seed, _ in episodes(dataset)}) == 7
    assert dataset.total_steps == sum(len(episode) for episode in dataset) == open_store(ID).n_steps
    metadata = dataset.storage.metadata
    assert (metadata["author"], metadata["algorithm_name"]) == ({"Ada", "Bob"}, "random; PPO")
    assert metadata["description"] == "random on Point-v0, seed=0; better"
    assert_replays(dataset, dataset.recover_environment())
    with pytest.raises(ValueError, match=r"^'test/play-v0' cannot be appended to: its actions are Discrete.* are Box"):
        record(None, PointEnv("box", "box"), ID, n_episodes=4, append=True)
    assert minari.load_dataset(ID).total_episodes == 7


class Broken(PointEnv):
    def __init__(self, error: type[BaseException], steps: int = 40) -> None:
        super().__init__()
        self.error, self.left = error, steps

    def step(self, action: Any) -> Any:
        self.left -= 1
        if not self.left:
            raise self.error("stop")
        return super().step(action)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("mode", ["", "append", "force"])
def test_a_recording_that_stops_leaves_everything_as_it_was(datasets: Path, error: type, mode: str) -> None:
    if mode:
        record(None, PointEnv(), ID, n_episodes=3)
    before = {path: path.stat().st_mtime_ns for path in datasets.rglob("*") if path != datasets}
    with pytest.raises(error):
        record(None, Broken(error), ID, n_episodes=100, **({mode: True} if mode else {}))
    assert {path: path.stat().st_mtime_ns for path in datasets.rglob("*")} == before


def test_a_dataset_is_kept_when_its_successor_cannot_take_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    record(None, PointEnv(), ID, n_episodes=3)
    replace = os.replace

    def stop(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        record(None, PointEnv(), ID, n_episodes=1, force=True)
    assert minari.load_dataset(ID).total_episodes == 3


def test_a_relative_place_for_datasets_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", "here")
    assert record(None, POINT, ID, n_episodes=2).total_episodes == open_store(ID).n_episodes == 2


def test_long_recordings_do_not_wait_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcrl_zoo.data.formats.minari_writer.PENDING_BYTES", 100)
    assert_replays(record(None, PointEnv(), ID, n_episodes=20), PointEnv())


# ------------------------------------------------------------------ what is refused

BAD: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "id": (PointEnv, {"dataset_id": "no id"}, r"'no id' is not a dataset id; give one like 'cartpole/ppo-v0'"),
    "version": (PointEnv, {"dataset_id": "test/play"}, r"'test/play' is not a dataset id; give one like"),
    "none": (PointEnv, {"n_episodes": None}, r"n_episodes is None and n_timesteps is None; give one of them"),
    "both": (PointEnv, {"n_timesteps": 5}, r"n_episodes is 3 and n_timesteps is 5; give one of them"),
    "zero": (PointEnv, {"n_episodes": 0}, r"n_episodes is 0 and n_timesteps is None; give one of them, at least 1"),
    "n_envs": (PointEnv, {"n_envs": 0}, r"n_envs is 0; give at least 1"),
    "random": (PointEnv, {"noise": 0.1}, r"noise is for an agent's .* actions, not for random actions; leave it out"),
    "many": (
        lambda: PointEnv(action="multi_discrete"),
        {"noise": 0.1, "model": Counter()},
        r"noise is for .* not for Multi",
    ),
    "level": (PointEnv, {"noise": -1, "model": Counter()}, r"noise is -1; give a number from 0 to 1,000"),
    "agent": (
        PointEnv,
        {"model": untrained("CartPole-v1")},
        r"The agent acts in Discrete\(2\), but the environment has",
    ),
    "observer": (
        lambda: PointEnv("dict", "box"),
        {"model": untrained(action="box")},
        r"The agent observes Box\(.*, but the environment has Dict\(.*; use its own environment, including wrappers",
    ),
    "tuple": (lambda: Tupled(), {}, r"In test/play-v0 the observation space is a Tuple \(nested\); use one whose"),
    "nan": (
        lambda: PointEnv(broken=20, broken_part="observation"),
        {},
        r"Episode \d of test/play-v0 holds nan in observation 'observation' at step \d+",
    ),
}


class Tupled(PointEnv):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Tuple([self.observation_space])


@pytest.mark.parametrize("bad", BAD)
def test_what_is_refused_is_named_and_leaves_nothing(datasets: Path, bad: str) -> None:
    make, arguments, sentence = BAD[bad]
    arguments = {"model": None, "dataset_id": ID, "n_episodes": 3, **arguments}
    with pytest.raises(ValueError, match=rf"^{sentence}") as caught:
        record(env=make(), **arguments)
    assert str(caught.value).endswith(".") and not list(datasets.iterdir())


def test_environments_of_other_processes_and_folders_of_others_are_refused(datasets: Path) -> None:
    env = SubprocVecEnv([PointEnv])
    with pytest.raises(ValueError, match=r"but those of a SubprocVecEnv are in others; give a DummyVecEnv\.$"):
        record(None, env, ID, n_episodes=1)
    env.close()
    record(None, PointEnv(), "test-v0/play-v0", n_episodes=1)
    with pytest.raises(ValueError, match=r"^The folder \S*test-v0 holds something else than a Minari dataset"):
        record(None, PointEnv(), "test-v0", n_episodes=1, force=True)
    for inside in ("test-v0/play-v0/more-v0", "test-v0/play-v0/data/more-v0"):
        with pytest.raises(ValueError, match=r"would lie in the dataset \S*play-v0; choose another namespace\.$"):
            record(None, PointEnv(), inside, n_episodes=1)
