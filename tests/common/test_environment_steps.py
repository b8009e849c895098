"""What environments get wrong in own play is explained; VecNormalize around them changes nothing."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecNormalize

from gcrl_zoo.common.environments import check_observation, check_rewards, final_facts
from tests.support.case import data_of, differing, weights_of
from tests.support.envs import PointEnv
from tests.support.matrix import every_trajectory_case, sources_of


class Changed(VecEnvWrapper):
    """Changes the infos of finished episodes."""

    def __init__(self, venv, change):
        super().__init__(venv)
        self.change = change

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        observation, rewards, dones, infos = self.venv.step_wait()
        for index in np.flatnonzero(dones):
            self.change(infos[index])
        return observation, rewards, dones, infos


def refusal(call, *words):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and "recording" not in message, message
    assert all(word in message for word in words), message


@sources_of("own play")
@pytest.mark.parametrize("observation", ["box", "goal"])
def test_a_vec_env_without_last_observations(case, source, observation):
    missing = lambda info: info.pop("terminal_observation")  # noqa: E731
    none = lambda info: info.update(terminal_observation=None)  # noqa: E731
    short = lambda info: info.update(terminal_observation=np.zeros(1))  # noqa: E731
    empty = lambda info: info.update(terminal_observation={})  # noqa: E731
    for change in (missing, none, short, empty):
        env = Changed(case.env(observation, n_envs=2), change)
        refusal(lambda env=env: case.make(env).learn(60), "Environment ", "'terminal_observation'", "SubprocVecEnv")


def test_the_last_observation_is_compared():
    like = {"observation": np.zeros((3, 2)), "cell": np.zeros(3)}
    good = {"observation": np.ones(2), "cell": 4, "desired_goal": np.ones(1)}
    assert final_facts({"terminal_observation": good}, like, 1, 7).keys() == like.keys()
    for change, words in (
        ({"observation": np.ones(3)}, ("'observation'", "(3,)", "(2,)")),
        ({"cell": np.ones(1)}, ("'cell'", "(1,)", "shape ()")),
        ({"cell": None}, ("'cell'", "is missing")),
        ({"observation": np.array([0, np.inf])}, ("Environment 1", "inf", "'observation'", "step 7")),
    ):
        refusal(lambda c=change: final_facts({"terminal_observation": {**good, **c}}, like, 1, 7), *words)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39], ids=repr)
def test_numbers_that_cannot_be_stored(bad):
    lengths, starts = np.array([4, 5, 6]), np.array([False, False, True])
    for dtype in (np.float16, np.float32, np.float64):
        with np.errstate(over="ignore"):
            column = np.array([[0, 1], [2, bad], [bad, bad]]).astype(dtype)
        refusal(
            lambda c=column: check_rewards(c[:, 1], lengths), "Environment 1", str(column[1, 1]), "step 5", "reward"
        )
        for shown, key in ((column, "observation"), ({"cell": np.arange(3), "b": column}, "b")):
            refusal(lambda o=shown: check_observation(o, lengths, starts), "Environment 1", f"'{key}'", "step 5")
        refusal(lambda c=column: check_observation(c[2:], lengths[2:], starts[2:], 2), "Environment 2", "step 0")
    check_rewards(np.array([3e38, -3e38], dtype=np.float32), lengths)
    check_observation({"a": np.arange(3), "b": np.zeros((3, 0))}, lengths, starts)


@sources_of("own play")
@pytest.mark.parametrize("action", ["discrete", "box"])
@pytest.mark.parametrize("part", ["reward", "observation"])
def test_own_play_names_the_environment_and_the_step(case, source, action, part):
    """At once, also in random play; an episode lasts 12 steps at most."""
    parts = [{}, {"broken": 5, "broken_part": part}]
    env = DummyVecEnv([lambda each=each: case.wrap(PointEnv("box", action, **each)) for each in parts])
    model = case.make(env)
    refusal(lambda: model.learn(100), "Environment 1", "nan", part, "by a wrapper")
    assert model.num_timesteps == 10


class Nowhere(gym.ObservationWrapper):
    """Asks for a goal that is none."""

    def observation(self, observation):
        return {**observation, "desired_goal": observation["desired_goal"] * np.nan}


@sources_of("own play")
def test_a_goal_that_is_none(case, source):
    env = DummyVecEnv([lambda: Nowhere(case.wrap(PointEnv("goal")))])
    refusal(lambda: case.make(env).learn(30), "Environment 0", "nan", "'desired_goal'", "step 0")


def normalized(env, **settings):
    return VecNormalize(env, norm_obs=False, **settings)


@sources_of("own play")
def test_normalised_rewards_change_nothing(case, source, tmp_path):
    """What the environment gives is stored, so the same is learned; statistics can be evaluated with and saved."""
    settings = {"gradient_steps": 1, "learning_starts": 0, "max_episode_steps": 5}
    plain = case.make(case.env(n_envs=2), **settings).learn(24)
    env = normalized(normalized(case.env(n_envs=2)))
    callbacks = [EvalCallback(normalized(normalized(case.env())), eval_freq=6, n_eval_episodes=1, verbose=0)]
    callbacks += [CheckpointCallback(6, str(tmp_path), save_vecnormalize=True)]
    model = case.make(env, **settings).learn(24, callbacks)
    assert not differing(weights_of(plain), weights_of(model))
    np.testing.assert_array_equal(plain.replay_buffer.returns, model.replay_buffer.returns)
    model.save(tmp_path / "agent")
    case.algorithm.load(tmp_path / "agent", env=env).learn(20)


@every_trajectory_case
def test_normalised_observations_are_refused(case):
    for wrap in (
        VecNormalize,
        lambda env: VecNormalize(env, norm_reward=False),
        lambda env: normalized(VecNormalize(env)),
    ):
        refusal(lambda wrap=wrap: case.make(wrap(case.env())), "`normalize`", "norm_obs=False")


@sources_of("own play", "dataset")
def test_a_replay_buffer_that_was_set_to_none_is_an_empty_one(case, source, tmp_path):
    model, steps = case.make(**data_of(source)), 40 if source == "own play" else 2
    model.learn(steps).save_replay_buffer(tmp_path / "buffer")
    full = model.replay_buffer.n_episodes
    model.replay_buffer = None
    model.load_replay_buffer(tmp_path / "buffer")
    assert model.replay_buffer.n_episodes == full and model.replay_buffer.capacity == model.buffer_size
    model.replay_buffer = None
    model.save_replay_buffer(tmp_path / "empty")
    model.replay_buffer = None
    model.learn(steps)
    assert bool(model.replay_buffer.n_episodes) == (source == "own play")
