"""Write success to RL Zoo's monitor files, for ``rl_zoo3.plots.plot_train -y success``."""

import re
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.monitor import Monitor

#: Environments that report ``is_success``. RL Zoo looks for the package by its old name, ``gym.envs.robotics``.
GOAL_ENVS = re.compile(r"gymnasium_robotics\.envs\.(fetch|shadow_dexterous_hand)\b")


def record_success(manager: Any) -> Callable[[Any], Any] | None:
    """
    Set ``monitor_kwargs`` such that monitor files of Fetch and Hand environments contain ``is_success``.

    The ``env_wrapper`` may provide the ``info_keywords`` of ``monitor_kwargs``. It is then applied inside the monitor.

    :param manager: RL Zoo's ``ExperimentManager``
    :return: its ``env_wrapper``, changed if ``info_keywords`` are given
    """
    if not manager.monitor_kwargs and GOAL_ENVS.match(manager.entry_point(manager.env_name.gym_id)):
        manager.monitor_kwargs = {"info_keywords": ("is_success",)}
    keywords, wrapper = manager.monitor_kwargs.get("info_keywords"), manager.env_wrapper
    if not keywords or wrapper is None:
        return wrapper
    manager.monitor_kwargs["info_keywords"] = tuple(keywords)  # YAML has lists, SB3 adds tuples
    return inside_monitor(wrapper)


def inside_monitor(wrapper: Callable[..., Any]) -> Callable[[Any], Any]:
    """
    Apply a wrapper inside of a Monitor.

    :param wrapper: function that wraps an environment
    :return: function that wraps the environment inside of a Monitor
    """

    def wrap(env: Any) -> Any:
        if not isinstance(env, Monitor):
            return wrapper(env)
        env.env = wrapper(env.env)
        return env

    return wrap
