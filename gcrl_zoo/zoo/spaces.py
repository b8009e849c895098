"""Check observation spaces before RL Zoo vectorises an environment, because SB3 cannot vectorise all of them."""

from collections.abc import Callable
from typing import Any

from gymnasium import Env

from gcrl_zoo.common.roles import Roles


def checked(wrapper: Callable[[Env[Any, Any]], Env[Any, Any]] | None, env: Env[Any, Any]) -> Env[Any, Any]:
    """
    Wrap an environment and check that its observations are supported.

    :param wrapper: RL Zoo's ``env_wrapper``
    :param env: the environment
    :return: the wrapped environment
    :raises ValueError: its observations are not supported (Tuple, Text, ...)
    """
    env = env if wrapper is None else wrapper(env)
    Roles.of(env.observation_space)
    return env
