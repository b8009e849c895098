"""The scripted driver of CarRacing, without drawing."""

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo.scripted.car_racing import SKILLS, best_driver, driver
from gcrl_zoo.wrappers import FrameSkip


@pytest.fixture
def env(monkeypatch):
    """A CarRacing environment that draws nothing, since the driver does not look at frames."""
    from gymnasium.envs.box2d.car_racing import CarRacing

    monkeypatch.setattr(CarRacing, "_render", lambda self, mode: np.zeros((96, 96, 3), np.uint8))
    return DummyVecEnv([lambda: FrameSkip(gym.make("CarRacing-v3", disable_env_checker=True), 4)])


def play(env, policy, seed, n_steps=250):
    """Return the sum of the rewards and the actions of an episode."""
    env.seed(seed)
    observation, starts, total, actions = env.reset(), np.ones(1, dtype=bool), 0.0, []
    for _ in range(n_steps):
        action, _ = policy.predict(observation, None, starts)
        observation, reward, starts, _ = env.step(action)
        total += reward[0]
        actions.append(action[0])
        if starts[0]:
            break
    return total, np.array(actions)


def test_the_best_driver_drives_a_lap(env):
    total, actions = play(env, best_driver(env), seed=1)
    assert total > 850
    assert env.action_space.contains(actions.min(0)) and env.action_space.contains(actions.max(0))


def test_the_seed_decides_skill_and_mistakes(env):
    policy = driver(env)
    episodes = [play(env, policy, seed, 30)[1] for seed in (1, 2, 1)]
    np.testing.assert_array_equal(episodes[0], episodes[2])
    assert (episodes[0] != episodes[1]).any()


def test_episodes_use_all_skills(env):
    env.reset()
    car = SimpleNamespace(track=env.envs[0].unwrapped.track)
    policy, skills = driver(env), set()
    for seed in range(60):
        car.np_random_seed = seed
        skills.add(policy.start(car).skill)
    assert skills == {*SKILLS}
