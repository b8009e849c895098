"""``force_reset=False`` goes on in the environment as it is."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from tests.support.envs import PointEnv
from tests.support.matrix import every_case, sources_of


class CountsResets(DummyVecEnv):
    """A vectorised environment that counts how often it is asked to reset."""

    resets = 0

    def reset(self):
        self.resets += 1
        return super().reset()


class Lasting(gym.Wrapper):
    """Episodes of 15 steps."""

    def reset(self, **kwargs):
        self.steps = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        observation, reward, _, _, info = self.env.step(action)
        self.steps += 1
        return observation, reward, False, self.steps == 15, info


def env_of(case, n_envs=1, observation="box"):
    return CountsResets([lambda: Lasting(case.wrap(PointEnv(observation)))] * n_envs)


@every_case
def test_set_env_as_in_sb3(case, tmp_path):
    """``test_set_env`` of SB3."""
    env, other = env_of(case), env_of(case)
    model = case.make(env).learn(32)
    model.set_env(other, force_reset=True)
    assert model._last_obs is None
    model.learn(32, reset_num_timesteps=True)
    assert model.num_timesteps == 32 and other.resets == 1
    model.set_env(Lasting(case.wrap(PointEnv())))
    model.learn(32)
    with pytest.raises(AssertionError):
        model.set_env(env_of(case, n_envs=2))
    model.set_env(model.get_env(), force_reset=False)
    assert model._last_obs is not None
    model.learn(32, reset_num_timesteps=False)
    assert model.num_timesteps == 64
    current = model.get_env()
    model.save(tmp_path / "agent")
    model = case.algorithm.load(tmp_path / "agent", env=current, force_reset=False)
    assert model._last_obs is not None
    model.learn(32, reset_num_timesteps=False)
    assert model.num_timesteps == 96
    model = case.algorithm.load(tmp_path / "agent", env=env_of(case), force_reset=True)
    assert model._last_obs is None
    model.learn(32, reset_num_timesteps=False)
    assert model.num_timesteps == 96
    assert case.algorithm.load(tmp_path / "agent", env=env_of(case, n_envs=2)).learn(32).num_timesteps == 32


@sources_of("own play")
@pytest.mark.parametrize("observation", ["image", "goal"])
def test_episodes_under_way_go_on_in_the_same_environment(case, source, observation):
    """Episodes of 15 steps, interrupted by the end of training after 10: nothing is cut or glued."""
    env = env_of(case, 2, observation)
    model = case.make(env, learning_starts=99).learn(20)
    model.set_env(model.get_env(), force_reset=False)
    model.learn(20, reset_num_timesteps=False)
    assert env.resets == 1 and model.replay_buffer.lengths.tolist() == [15, 15]
    model.set_env(model.get_env())
    model.learn(20, reset_num_timesteps=False)
    assert env.resets == 2 and model.replay_buffer.lengths.tolist() == [15, 15]


@sources_of("own play")
@pytest.mark.parametrize("load", [False, True], ids=["set_env", "load"])
def test_episodes_begin_where_another_environment_is(case, source, load, tmp_path):
    """Around the environments that were played in, so that it is where the last observation was made."""
    env = env_of(case, 2)
    model = case.make(env, learning_starts=99).learn(20)
    other = CountsResets([lambda each=each: each for each in env.envs])
    if load:
        model.save(tmp_path / "agent")
        model = case.algorithm.load(tmp_path / "agent", env=other, force_reset=False)
    else:
        model.set_env(other, force_reset=False)
    at = model.policy.roles.facts(model._last_obs)
    model.learn(20, reset_num_timesteps=False)
    assert other.resets == 0 and model.num_timesteps == 40
    episodes = list(model.replay_buffer.episodes())
    assert [episode.length for episode in episodes] == [5, 5]
    for index, episode in enumerate(episodes):
        for key, facts in episode.observations.items():
            np.testing.assert_array_equal(facts[0], at[key][index].astype(facts.dtype))


@sources_of("own play")
def test_another_number_of_environments_needs_a_reset(case, source, tmp_path):
    case.make(env_of(case, 2)).learn(20).save(tmp_path / "agent")
    model = case.algorithm.load(tmp_path / "agent", env=env_of(case, 3), force_reset=False)
    with pytest.raises(ValueError, match=r"^[^\n]* 2 [^\n]* 3 [^\n]*force_reset[^\n]*\.$"):
        model.learn(20, reset_num_timesteps=False)
