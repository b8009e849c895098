"""Which success rates RL Zoo's monitor files hold, for ``rl_zoo3.plots.plot_train -y success``."""

import functools
import re
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.registry import discover

#: Environments that say ``is_success`` themselves. RL Zoo knows the package by its old name, ``gym.envs.robotics``.
GOAL_ENVS = re.compile(r"gymnasium_robotics\.envs\.(fetch|shadow_dexterous_hand)\b")


def patch(manager: type[Any]) -> None:
    """
    For our algorithms: monitor files of Fetch and Hand environments hold ``is_success``, and the ``info_keywords`` of
    ``monitor_kwargs`` may come from the ``env_wrapper``, which then is inside of the monitor.

    :param manager: RL Zoo's ``ExperimentManager``
    """
    stock = manager.create_envs

    @functools.wraps(stock)
    def create_envs(self: Any, *args: Any, **kwargs: Any) -> VecEnv:
        if self.algo not in discover():
            return stock(self, *args, **kwargs)
        if not self.monitor_kwargs and GOAL_ENVS.match(self.entry_point(self.env_name.gym_id)):
            self.monitor_kwargs = {"info_keywords": ("is_success",)}
        keywords, wrapper = self.monitor_kwargs.get("info_keywords"), self.env_wrapper
        if not keywords or wrapper is None:
            return stock(self, *args, **kwargs)
        self.monitor_kwargs["info_keywords"] = tuple(keywords)  # YAML has lists, SB3 adds tuples
        self.env_wrapper = inside_monitor(wrapper)
        try:
            return stock(self, *args, **kwargs)
        finally:
            self.env_wrapper = wrapper

    manager.create_envs = create_envs


def inside_monitor(wrapper: Callable[..., Any]) -> Callable[[Any], Any]:
    """
    :param wrapper: of environments
    :return: the same, but around the environment that a Monitor is around
    """

    def wrap(env: Any) -> Any:
        if not isinstance(env, Monitor):
            return wrapper(env)
        env.env = wrapper(env.env)
        return env

    return wrap
