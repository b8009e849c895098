"""Wrappers: Gymnasium's and SB3's own checks, the spec round trip, and RL Zoo's door."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as gym_check_env
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env

from gcrl_zoo.wrappers import ReturnToGo


class Goals(gym.Env):
    """Two numbers to be reached; the reward is minus the distance."""

    observation_space = spaces.Dict(
        {key: spaces.Box(-9, 9, (2,), np.float32) for key in ("observation", "achieved_goal", "desired_goal")}
    )
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self._observation(), {}

    def step(self, action):
        self.place = np.clip(self.place + action, -9, 9).astype(np.float32)
        return (
            self._observation(),
            float(self.compute_reward(self.place, np.zeros(2, np.float32), {})),
            False,
            False,
            {},
        )

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -np.linalg.norm(achieved_goal - desired_goal, axis=-1)

    def _observation(self):
        return {"observation": self.place, "achieved_goal": self.place, "desired_goal": np.zeros(2, np.float32)}


@pytest.fixture(params=["vector", "dict"])
def env(request):
    """A wrapped environment, of each kind of observation."""
    gym.register("Goals-v0", entry_point=f"{__name__}:Goals", max_episode_steps=20)
    yield ReturnToGo(gym.make("CartPole-v1" if request.param == "vector" else "Goals-v0"), target=100)
    gym.registry.pop("Goals-v0")


def test_checks(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(different from the unwrapped version|infinity).*")
        gym_check_env(env, skip_render_check=True)
        sb3_check_env(env)


def test_the_value_is_the_target_minus_the_rewards_so_far(env):
    env.action_space.seed(0)
    for _ in range(2):
        observation, _ = env.reset(seed=0)
        to_go = 100.0
        for _ in range(5):
            assert observation in env.observation_space
            assert observation["return_to_go"].dtype == np.float32
            np.testing.assert_allclose(observation["return_to_go"], [to_go], rtol=1e-6)
            observation, reward, *_ = env.step(env.action_space.sample())
            to_go -= reward


def test_the_rest_of_the_observation_is_untouched(env):
    inner, _ = env.unwrapped.reset(seed=3)
    outer, _ = env.reset(seed=3)
    inner = inner if isinstance(inner, dict) else {"observation": inner}
    assert set(outer) == {*inner, "return_to_go"}
    for key, value in inner.items():
        np.testing.assert_array_equal(outer[key], value)


def test_spec_round_trip(env):
    again = gym.make(env.spec)
    assert isinstance(again, ReturnToGo)
    assert again.target == 100
    assert again.observation_space == env.observation_space


def test_twice_is_once_too_often(env):
    with pytest.raises(ValueError, match="already has the key 'return_to_go'; use the wrapper only once"):
        ReturnToGo(env)


def test_methods_of_the_environment_stay_reachable():
    env = ReturnToGo(Goals())
    assert env.compute_reward(np.ones(2), np.ones(2), {}) == 0
    assert env.get_wrapper_attr("compute_reward")(np.ones(2), np.ones(2), {}) == 0
    assert not hasattr(ReturnToGo(gym.make("CartPole-v1")), "compute_reward")
    venv = make_vec_env(Goals, n_envs=2, wrapper_class=ReturnToGo)
    assert venv.env_method("compute_reward", np.ones(2), np.ones(2), {}) == [0, 0]


@pytest.mark.parametrize(
    ("entry", "target"),
    [("gcrl_zoo.wrappers.ReturnToGo", 0.0), ([{"gcrl_zoo.wrappers.ReturnToGo": {"target": 7}}], 7.0)],
)
def test_as_env_wrapper_of_rl_zoo(entry, target):
    venv = make_vec_env("CartPole-v1", n_envs=2, wrapper_class=get_wrapper_class({"env_wrapper": entry}))
    np.testing.assert_array_equal(venv.reset()["return_to_go"], [[target], [target]])
    observation, *_ = venv.step([0, 0])
    np.testing.assert_array_equal(observation["return_to_go"], [[target - 1], [target - 1]])
