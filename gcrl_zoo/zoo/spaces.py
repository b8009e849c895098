"""RL Zoo vectorises an environment before an algorithm sees it; SB3 cannot vectorise all of them."""

import functools
from collections.abc import Callable
from typing import Any

from gymnasium import Env
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.common.roles import Roles
from gcrl_zoo.registry import discover


def patch(manager: type[Any]) -> None:
    """
    For our algorithms: refuse observations that no network here can read (Tuple, Text, ...) in one sentence.

    :param manager: RL Zoo's ``ExperimentManager``
    """
    stock = manager.create_envs

    @functools.wraps(stock)
    def create_envs(self: Any, *args: Any, **kwargs: Any) -> VecEnv:
        if self.algo not in discover():
            return stock(self, *args, **kwargs)
        wrapper = self.env_wrapper
        self.env_wrapper = functools.partial(_checked, wrapper)
        try:
            return stock(self, *args, **kwargs)
        finally:
            self.env_wrapper = wrapper

    manager.create_envs = create_envs


def _checked(wrapper: Callable[[Env[Any, Any]], Env[Any, Any]] | None, env: Env[Any, Any]) -> Env[Any, Any]:
    env = env if wrapper is None else wrapper(env)
    Roles.of(env.observation_space)
    return env
