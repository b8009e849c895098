"""Success under SB3's name: that of the step, and the environment's own word first."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gym_check_env
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env

from gcrl_zoo.wrappers import LiftSuccess


class Says(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Says the next of some infos at each step."""

    def __init__(self, env, infos):
        gym.utils.RecordConstructorArgs.__init__(self, infos=infos)
        super().__init__(env)
        self.infos = infos

    def reset(self, **kwargs):
        self.rest = list(self.infos)
        return self.env.reset(**kwargs)

    def step(self, action):
        return *self.env.step(action)[:-1], self.rest.pop(0) if len(self.rest) > 1 else self.rest[0]


def lift(infos, **kwargs):
    """What ``is_success`` is at each step."""
    env = LiftSuccess(Says(gym.make("CartPole-v1"), infos), **kwargs)
    env.reset(seed=0)
    return [env.step(i % 2)[-1]["is_success"] for i in range(len(infos))]


def test_checks():
    env = LiftSuccess(Says(gym.make("CartPole-v1"), [{"success": 0.0}]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(different from the unwrapped version|infinity).*")
        gym_check_env(env, skip_render_check=True)
        sb3_check_env(env)


@pytest.mark.parametrize("kind", [bool, float, np.float32, np.bool_, lambda value: np.array([value])])
def test_success_is_that_of_the_step(kind):
    flags = lift([{"success": kind(value)} for value in (0, 1, 0)])
    assert flags == [False, True, False] and all(type(flag) is bool for flag in flags)


def test_the_environments_own_word_comes_first():
    assert lift([{"success": True, "is_success": "mine"}]) == ["mine"]
    assert lift([{"is_success": False}]) == [False]


def test_another_key():
    assert lift([{"solved": 1, "success": 0}], key="solved") == [True]


def test_the_info_of_the_environment_is_left_alone():
    info = {"success": True}
    lift([info])
    assert info == {"success": True}


@pytest.mark.parametrize(("info", "message"), [({}, "only nothing"), ({"won": 1, "x": 2}, "only 'won', 'x'")])
def test_an_environment_that_does_not_say(info, message):
    with pytest.raises(ValueError, match=f"LiftSuccess found no 'success' in the info of .*, {message}; give its name"):
        lift([info])


def test_spec_round_trip():
    again = gym.make(LiftSuccess(gym.make("CartPole-v1"), key="solved").spec)
    assert isinstance(again, LiftSuccess) and again.key == "solved"


@pytest.fixture(scope="module")
def maze():
    """A maze whose goal stays where it is, so that one can walk through it, as env_wrapper of RL Zoo."""
    gym.register_envs(pytest.importorskip("gymnasium_robotics"))
    wrapper = get_wrapper_class({"env_wrapper": "gcrl_zoo.wrappers.LiftSuccess"})
    return make_vec_env("PointMaze_UMaze-v3", wrapper_class=wrapper, env_kwargs={"continuing_task": True})


def test_a_point_that_passes_its_goal(maze):
    """The point is put before, on and behind its goal."""
    maze.reset()
    point = maze.envs[0].unwrapped
    flags = []
    for distance in (-0.6, 0, 0.6):
        point.point_env.set_state(point.goal + np.array([distance, 0]), np.zeros(2))
        _, _, _, (info,) = maze.step(np.zeros((1, 2)))
        flags.append((bool(info["success"]), info["is_success"]))
    assert flags == [(False, False), (True, True), (False, False)]


def test_methods_of_the_environment_stay_reachable(maze):
    assert maze.envs[0].compute_reward(np.zeros((3, 2)), np.zeros((3, 2)), {}).tolist() == [1, 1, 1]
    assert not hasattr(LiftSuccess(gym.make("CartPole-v1")), "compute_reward")
