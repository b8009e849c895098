"""Check observation spaces, and note wrappers, before RL Zoo vectorises an environment."""

from collections.abc import Callable
from typing import Any

from gymnasium import Env

from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data.recorded_wrappers import METADATA_KEY, describe_wrappers


def checked(wrapper: Callable[[Env[Any, Any]], Env[Any, Any]] | None, env: Env[Any, Any]) -> Env[Any, Any]:
    """
    Wrap an environment, check that its observations are supported, and note the names of its wrappers.

    :param wrapper: RL Zoo's ``env_wrapper``
    :param env: the environment
    :return: the wrapped environment
    :raises ValueError: its observations are not supported (Tuple, Text, ...)
    """
    env = env if wrapper is None else wrapper(env)
    Roles.of(env.observation_space)
    vars(env.unwrapped)[METADATA_KEY] = describe_wrappers(env)  # an environment in another process can be asked for it
    return env
