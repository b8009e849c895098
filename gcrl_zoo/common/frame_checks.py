"""Refuses data whose frames were made by other wrappers than the environment's, where shapes do not show it."""

from __future__ import annotations

from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data.frame_wrappers import difference_of_frames, has_frames
from gcrl_zoo.data.recorded_wrappers import METADATA_KEY, WrapperList, describe_wrappers


def check_frames(recorded: WrapperList | None, name: str, roles: Roles, env: VecEnv, argument: str) -> None:
    """
    Check that the frames of data are those of an environment: the same skip, crop, colours and size, in the same order.

    :param recorded: wrappers of the recorded environment; None if unknown
    :param name: of the data
    :param roles: of the environment's observation space; without images nothing is checked
    :param env: with all its wrappers
    :param argument: ``"dataset"`` or ``"stream"``, as the user wrote it
    :raises ValueError: the wrappers differ; names both
    """
    if recorded is None or not has_frames(roles.facts_space):
        return
    if difference := difference_of_frames(recorded, _wrappers_of(env)):
        raise ValueError(
            f"{argument} '{name}' does not fit the environment: {difference}; use the wrappers of the data, or data "
            "that was recorded with those of the environment."
        )


def _wrappers_of(env: VecEnv) -> WrapperList | None:
    """
    Describe the Gymnasium wrappers of an environment; None if unknown, such as those in other processes, unless RL Zoo
    made them (see ``zoo/spaces.py``).
    """
    bare = env.unwrapped
    if isinstance(bare, DummyVecEnv):
        return describe_wrappers(bare.envs[0])
    found: WrapperList | None = env.get_attr(METADATA_KEY, 0)[0] if env.has_attr(METADATA_KEY) else None
    return found
