"""``load(env=)`` and ``set_env`` compare spaces by the values that they hold, and name a missing wrapper."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from gcrl_zoo import BC, DT, GCSL
from gcrl_zoo.wrappers import FixedGoal, ReturnToGo
from tests.common.test_bad_input import refusal
from tests.support.envs import PointEnv


class Strict(gym.Env):
    """Episodes of 5 steps in any spaces; only actions of the space and its dtype are taken."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action) and action.dtype == self.action_space.dtype
        self.steps += 1
        return self.observation_space.sample(), 0.0, False, self.steps == 5, {}


def box(dtype, high=1.0):
    return spaces.Box(dtype(-0.1), dtype(high), (2,), dtype)


PLAIN = box(np.float32), spaces.Discrete(3)
DTYPES = {
    "discrete actions": (PLAIN, (PLAIN[0], spaces.Discrete(3, dtype=np.int32))),
    "continuous actions": ((PLAIN[0], box(np.float32, 0.3)), (PLAIN[0], box(np.float64, 0.3))),
    "box": (PLAIN, (box(np.float64), PLAIN[1])),
    "discrete": ((spaces.Discrete(3), PLAIN[1]), (spaces.Discrete(3, dtype=np.int32), PLAIN[1])),
    "several": ((spaces.MultiDiscrete([3, 4]), PLAIN[1]), (spaces.MultiDiscrete([3, 4], dtype=np.int32), PLAIN[1])),
}
DTYPES["dict"] = tuple(
    (spaces.Dict({key: DTYPES[key][i][0] for key in ("box", "discrete", "several")}), PLAIN[1]) for i in (0, 1)
)
SMALL = {"learning_starts": 5, "train_freq": 5, "gradient_steps": 1, "batch_size": 4}
TINY = {"embed_dim": 16, "n_layers": 1}
both_ways = pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
by_load = pytest.mark.parametrize("load", [False, True], ids=["set_env", "load"])


def give(model, env, load, path):
    """The agent in another environment."""
    if load:
        model.save(path)
        return type(model).load(path, env=env)
    model.set_env(env)
    return model


@by_load
@both_ways
@pytest.mark.parametrize("pair", DTYPES.values(), ids=DTYPES)
def test_another_dtype_is_no_other_space(pair, backwards, load, tmp_path):
    trained, other = pair[::-1] if backwards else pair
    model = BC("MultiInputPolicy" if isinstance(trained[0], spaces.Dict) else "MlpPolicy", Strict(*trained), **SMALL)
    n_envs = 2 if load else 1
    env = DummyVecEnv([lambda: Strict(*other)] * n_envs)
    model = give(model.learn(10), env, load, tmp_path / "agent")
    assert model.n_envs == n_envs and model.get_env().unwrapped is env.unwrapped
    model.learn(20, reset_num_timesteps=False)
    assert model.num_timesteps == 30 and model.observation_space == trained[0] and model.action_space == trained[1]
    current = model.get_env()
    model.set_env(current)
    assert model.get_env() is current


OTHERS = {
    "number": (PLAIN[0], spaces.Discrete(4)),
    "start": (PLAIN[0], spaces.Discrete(3, start=1)),
    "kind": (PLAIN[0], box(np.float32)),
    "shape": (spaces.Box(-1, 1, (3,)), PLAIN[1]),
    "bounds": (box(np.float32, 2.0), PLAIN[1]),
}


@by_load
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_other_values_are_refused(other, load, tmp_path):
    model = BC("MlpPolicy", Strict(*PLAIN), **SMALL)
    refusal(ValueError, lambda: give(model, Strict(*other), load, tmp_path / "agent"), "do not match", "trained in")


@by_load
def test_a_missing_wrapper_is_named(load, tmp_path):
    path = tmp_path / "agent"
    model = DT("MultiInputPolicy", ReturnToGo(PointEnv()), policy_kwargs=TINY)
    refusal(ValueError, lambda: give(model, PointEnv(), load, path), "'return_to_go'", "ReturnToGo(env)")
    model = GCSL("MultiInputPolicy", FixedGoal(PointEnv(), goal=[0.5, 0.5], threshold=0.3))
    refusal(ValueError, lambda: give(model, PointEnv(), load, path), "'desired_goal'", "FixedGoal(env")
    model = BC("MlpPolicy", PointEnv())
    refusal(ValueError, lambda: give(model, ReturnToGo(PointEnv()), load, path), "leave out the wrapper `ReturnToGo`")
