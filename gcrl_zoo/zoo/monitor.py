"""Which success rates RL Zoo's monitor files hold, for ``rl_zoo3.plots.plot_train -y success``."""

import re
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.monitor import Monitor

#: Environments that say ``is_success`` themselves. RL Zoo knows the package by its old name, ``gym.envs.robotics``.
GOAL_ENVS = re.compile(r"gymnasium_robotics\.envs\.(fetch|shadow_dexterous_hand)\b")


def record_success(manager: Any) -> Callable[[Any], Any] | None:
    """
    Set ``monitor_kwargs`` so that monitor files of Fetch and Hand environments hold ``is_success``. The
    ``info_keywords`` of ``monitor_kwargs`` may come from the ``env_wrapper``, which then goes inside the monitor.

    :param manager: RL Zoo's ``ExperimentManager``
    :return: its ``env_wrapper``, changed where ``info_keywords`` are given
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
    :param wrapper: of environments
    :return: the same, but around the environment that a Monitor is around
    """

    def wrap(env: Any) -> Any:
        if not isinstance(env, Monitor):
            return wrapper(env)
        env.env = wrapper(env.env)
        return env

    return wrap
