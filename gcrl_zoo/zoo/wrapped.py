"""
Environment ids with wrappers for goals and success, such as ``gcrl_zoo/CartPoleUpright-v1``.

They are registered when Gymnasium is imported, by name only: nothing else is imported before ``gymnasium.make``.
"""

from __future__ import annotations

import importlib
import math
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import gymnasium as gym

# Gymnasium is imported late, because its import calls this module, which would be incomplete otherwise.

#: By extra: the package that registers its environments.
PACKAGES = {"robotics": "gymnasium_robotics", "ogbench": "ogbench"}


class Wrapped(NamedTuple):
    """
    An environment id with a wrapper.

    :param inside: id of the inner environment
    :param extra: extra of gcrl_zoo that it needs, or ""
    :param steps: time limit; repeated here because the extra may be missing when the id is registered
    :param wrapper: our wrapper around it
    :param arguments: arguments of the inner environment
    :param options: arguments of the wrapper
    """

    inside: str
    extra: str
    steps: int
    wrapper: str
    arguments: dict[str, Any]
    options: dict[str, Any]


EPISODIC = {"continuing_task": False}  # the episode ends at the goal
XY = [0.5, 0.5, *[math.inf] * 27]  # compares only the position of the ant

WRAPPED = {
    "gcrl_zoo/CartPoleUpright-v1": Wrapped("CartPole-v1", "", 500, "Upright", {}, {}),
    "gcrl_zoo/LunarLanderPad-v3": Wrapped("LunarLander-v3", "box2d", 1000, "LandingPad", {}, {}),
    "gcrl_zoo/PointMaze_UMaze-v3": Wrapped("PointMaze_UMaze-v3", "robotics", 300, "LiftSuccess", EPISODIC, {}),
    "gcrl_zoo/PointMaze_Medium-v3": Wrapped("PointMaze_Medium-v3", "robotics", 600, "LiftSuccess", EPISODIC, {}),
    "gcrl_zoo/PointMaze_Large-v3": Wrapped("PointMaze_Large-v3", "robotics", 800, "LiftSuccess", EPISODIC, {}),
    "gcrl_zoo/AntMaze_UMaze-v5": Wrapped("AntMaze_UMaze-v5", "robotics", 700, "LiftSuccess", EPISODIC, {}),
    "gcrl_zoo/ogbench-pointmaze-medium-v0": Wrapped(
        "pointmaze-medium-v0", "ogbench", 1000, "InfoGoal", {}, {"threshold": 1.0}
    ),
    "gcrl_zoo/ogbench-antmaze-medium-v0": Wrapped(
        "antmaze-medium-v0", "ogbench", 1000, "InfoGoal", {}, {"threshold": XY}
    ),
}


def register(gymnasium: ModuleType) -> None:
    """
    Register the ids. A failure is only a warning, because it must not break the import of Gymnasium.

    :param gymnasium: the loaded package
    """
    try:
        from gymnasium.envs.registration import WrapperSpec

        for id, env in WRAPPED.items():
            if id not in gymnasium.registry:
                gymnasium.register(
                    id,
                    entry_point="gcrl_zoo.zoo.wrapped:bare",
                    max_episode_steps=env.steps,
                    kwargs={"inside": env.inside, "extra": env.extra, **env.arguments},
                    additional_wrappers=(WrapperSpec(env.wrapper, f"gcrl_zoo.wrappers:{env.wrapper}", env.options),),
                )
    except Exception as error:
        warnings.warn(f"gcrl_zoo cannot register its environments ({type(error).__name__}: {error}).", stacklevel=2)


def bare(inside: str, extra: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """
    Create the inner environment without its wrappers, which ``gymnasium.make`` adds. The entry point of all our ids.

    :param inside: id of the inner environment
    :param extra: extra of gcrl_zoo that it needs, or ""
    :param kwargs: arguments of the environment
    :raises gymnasium.error.DependencyNotInstalled: the extra is missing
    """
    import gymnasium as gym

    try:
        if extra in PACKAGES:
            importlib.import_module(PACKAGES[extra])
        return gym.make(inside, disable_env_checker=True, **kwargs).unwrapped
    except (ImportError, gym.error.DependencyNotInstalled) as error:
        raise gym.error.DependencyNotInstalled(
            f'{inside} needs an extra that is not installed ({error}); run `pip install "gcrl_zoo[{extra}]"`.'
        ) from error
