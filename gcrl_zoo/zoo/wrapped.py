"""
Environments under ids of ours, with goals and success as our methods want them: ``gcrl_zoo/CartPoleUpright-v1``.

They are registered as Gymnasium loads, by names alone: nothing else is imported before ``gymnasium.make``.
"""

from __future__ import annotations

import importlib
import math
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import gymnasium as gym

# Gymnasium is imported late: as it loads it calls us, who would be half loaded if it were us who load it.

PACKAGES = {"robotics": "gymnasium_robotics", "ogbench": "ogbench"}  # extra -> what registers the environments inside


class Wrapped(NamedTuple):
    """
    What an id stands for.

    :param inside: id of the environment inside
    :param extra: the extra of gcrl_zoo that it needs, or ""
    :param steps: its time limit; what is registered cannot ask, since the extra may be missing
    :param wrapper: our wrapper around it
    :param arguments: of the environment inside
    :param options: of the wrapper
    """

    inside: str
    extra: str
    steps: int
    wrapper: str
    arguments: dict[str, Any]
    options: dict[str, Any]


EPISODIC = {"continuing_task": False}  # ends at the goal, instead of going on to the time limit
XY = [0.5, 0.5, *[math.inf] * 27]  # of an ant, its place

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
    Make the ids known. A failure costs a warning: it must not take Gymnasium along, which most use without us.

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
    The entry point of all our ids: an environment of another package without its wrappers, which ``make`` puts on.

    :param inside: its id
    :param extra: the extra of gcrl_zoo that it needs, or ""
    :param kwargs: of the environment
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
