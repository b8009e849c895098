"""``load`` and ``set_env`` take the environments that the constructor takes, and refuse others as it does."""

import gymnasium as gym
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo import BC
from tests.common.test_bad_input import refusal
from tests.support.matrix import every_trajectory_case

CART_POLE = "CartPole-v1"
NO_ENVIRONMENTS = {"number": 5, "list": [], "function": gym.make, "class": gym.Env, "dict": {}, "false": False}


@pytest.fixture
def saved(tmp_path):
    BC("MlpPolicy", CART_POLE, learning_starts=0, gradient_steps=1, train_freq=80).save(tmp_path / "agent")
    return tmp_path / "agent"


def test_an_id_is_taken(saved):
    model = BC.load(saved, env=CART_POLE)
    assert model.get_env().num_envs == 1
    model.set_env(CART_POLE)
    model = BC.load(saved)
    model.set_env(CART_POLE)
    assert model.learn(80).num_timesteps == 80


@pytest.mark.parametrize("given", NO_ENVIRONMENTS.values(), ids=NO_ENVIRONMENTS)
def test_what_is_no_environment_is_refused_as_in_the_constructor(saved, given):
    told = refusal(ValueError, lambda: BC("MlpPolicy", given), "env", "environment or its id")
    assert refusal(ValueError, lambda: BC.load(saved, env=given)) == told
    assert refusal(ValueError, lambda: BC.load(saved).set_env(given)) == told


def test_none_is_refused_except_to_load(saved):
    assert BC.load(saved, env=None).get_env() is None
    refusal(ValueError, lambda: BC.load(saved).set_env(None), "environment", "None")


@every_trajectory_case
def test_an_agent_is_not_made_without_an_environment(case):
    name = case.algorithm.__name__
    for make in (lambda: case.algorithm("MlpPolicy", None), lambda: case.algorithm("MlpPolicy")):
        refusal(ValueError, make, f"{name} needs an environment", "load")


def test_vectorised_environments_are_taken(saved):
    model = BC.load(saved, env=DummyVecEnv([lambda: gym.make(CART_POLE)] * 2))
    assert model.n_envs == 2 and model.learn(80).num_timesteps == 80
