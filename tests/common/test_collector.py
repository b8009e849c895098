"""Own play in any vectorised environment, with or without ends of episodes that the environment knows of."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from gcrl_zoo.common.collector import Collector
from gcrl_zoo.common.explorers import Explorer
from gcrl_zoo.wrappers import ReturnToGo
from tests.support.envs import PointEnv
from tests.support.matrix import every_trajectory_case


class Endless(gym.Env):
    """Costs 1 a step, for ever."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, dtype=np.float32), {}

    def step(self, action):
        return np.zeros(2, dtype=np.float32), -1.0, False, False, {}


class Listener(Explorer):
    """Writes down what it hears."""

    def __init__(self):
        self.starts = []

    def command(self, inputs, episode_starts):
        self.starts.append(episode_starts.copy())
        return inputs


def counted_by(policy):
    """What the wrapper counted, at each step, before the policy adds its own command."""
    counts, command = [], policy.command

    def note(inputs):
        counts.append(inputs.return_to_go[:, 0].numpy().copy())
        return command(inputs)

    policy.command = note
    return counts


def listen(case, steps, target, cut=10):
    """Starts and counts over some steps of two endless environments."""
    env = DummyVecEnv([lambda: case.wrap(ReturnToGo(Endless(), target))] * 2)
    policy = case.make(env).policy
    counts = counted_by(policy)
    collector, listener = Collector(env, policy, max_episode_steps=cut), Listener()
    collector.start(env.reset())
    episodes = [episode for _ in range(steps) for episode in collector.step(listener).episodes]
    return np.array(listener.starts), np.array(counts), episodes


@every_trajectory_case
@pytest.mark.parametrize("target", [0.0, 25.0])
def test_a_cut_starts_an_episode_for_everybody(case, target):
    starts, counts, episodes = listen(case, steps=35, target=target)
    expected = np.arange(35) % 10 == 0
    np.testing.assert_array_equal(starts, np.stack([expected, expected], axis=1))
    np.testing.assert_array_equal(counts[:, 0], target + np.arange(35) % 10)
    assert [episode.length for episode in episodes] == [10] * 6 and not any(each.terminated for each in episodes)


@every_trajectory_case
def test_what_the_environment_ends_is_counted_anew(case):
    env = DummyVecEnv([lambda: case.wrap(ReturnToGo(gym.wrappers.TimeLimit(Endless(), 7), 3.0))])
    policy = case.make(env).policy
    counts = counted_by(policy)
    collector, listener = Collector(env, policy, max_episode_steps=5), Listener()
    collector.start(env.reset())
    for _ in range(14):
        collector.step(listener)
    expected = [3.0, 4.0, 5.0, 6.0, 7.0, 3.0, 4.0]  # cut after five steps, ended after seven
    np.testing.assert_array_equal(np.array(counts)[:, 0], expected * 2)


@every_trajectory_case
def test_environments_in_other_processes(case):
    env = SubprocVecEnv([lambda: case.wrap(PointEnv())] * 2, start_method="fork")
    try:
        model = case.make(env).learn(60)
        assert model._n_updates > 0 and model.replay_buffer.n_episodes > 0
    finally:
        env.close()


@every_trajectory_case
@pytest.mark.parametrize("alias", ["MlpPolicy", "MultiInputPolicy"])
def test_any_alias_fits_any_space(case, alias):
    for observation in ("box", "dict"):
        model = case.algorithm(alias, case.env(observation), **{**case.kwargs, "device": "cpu"})
        assert isinstance(model.policy, case.algorithm.policy_aliases[alias])
