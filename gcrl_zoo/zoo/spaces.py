"""RL Zoo vectorises an environment before an algorithm sees it; SB3 cannot vectorise all of them."""

from collections.abc import Callable
from typing import Any

from gymnasium import Env

from gcrl_zoo.common.roles import Roles


def checked(wrapper: Callable[[Env[Any, Any]], Env[Any, Any]] | None, env: Env[Any, Any]) -> Env[Any, Any]:
    """
    :param wrapper: the ``env_wrapper`` of RL Zoo
    :param env: the environment
    :return: the wrapped environment
    :raises ValueError: no network here can read its observations (Tuple, Text, ...)
    """
    env = env if wrapper is None else wrapper(env)
    Roles.of(env.observation_space)
    return env
