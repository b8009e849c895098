"""What a method needs, and whether the environment offers it; checked before anything is trained."""

from __future__ import annotations

import math
from typing import NamedTuple

from gymnasium import spaces
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecNormalize,
    is_vecenv_wrapped,
)

from gcrl_zoo.common.goal_advice import goal_advice
from gcrl_zoo.common.observations import ADD_RETURN
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data.checks import is_number


class Needs(NamedTuple):
    """
    What a method reads of its data.

    :param actions: of the dataset (a ``stream`` never needs them)
    :param rewards: of the dataset and the stream
    :param stream: whether the method can watch a ``stream`` at all
    :param goals: whether the environment must ask for goals
    :param return_to_go: whether the environment must ask for returns
    :param without_rewards: for messages: what to do about data without rewards where they are needed
    """

    actions: bool = True
    rewards: bool = False
    stream: bool = False
    goals: bool = False
    return_to_go: bool = False
    without_rewards: str = "give data that has them"


def check_commands(name: str, needs: Needs, observation_space: spaces.Space) -> None:
    """
    :param name: of the method, for messages
    :param needs: of the agent
    :param observation_space: of the environment
    :raises ValueError: the environment gives no goals or no returns, and the agent needs them
    """
    if needs.goals and not Roles.of(observation_space).desired_goal:
        raise ValueError(
            f"{name} acts towards goals, but the environment has none (no 'desired_goal' in its observation); "
            + goal_advice(observation_space)
        )
    if needs.return_to_go and not Roles.of(observation_space).return_to_go:
        raise ValueError(
            f"{name} must see how much return is still to come, but the environment shows no 'return_to_go'; "
            f"{ADD_RETURN}."
        )


def check_environment(name: str, action_space: spaces.Space, env: VecEnv | None) -> None:
    """
    :param name: of the method, for messages
    :param action_space: of the environment
    :param env: with all its wrappers; None where an agent is only loaded
    :raises ValueError: one sentence that names what does not fit
    """
    if not isinstance(action_space, (spaces.Box, spaces.Discrete)):
        raise ValueError(
            f"{name} plays Box and Discrete actions, not {action_space}; change the action space by a wrapper."
        )
    if isinstance(action_space, spaces.Box) and (action_space.dtype.kind != "f" or not action_space.shape):
        raise ValueError(
            f"{name} plays Box actions that are vectors of floats, not {action_space}; change the action space by a "
            "wrapper, such as `gymnasium.wrappers.TransformAction`."
        )
    if isinstance(action_space, spaces.Box) and 0 in action_space.shape:
        raise ValueError(
            f"{name} cannot choose actions of {action_space}, which has no entries; give an environment whose actions "
            "have at least one."
        )
    if env is None:
        return
    if any(each.norm_obs for each in normalizers(env)):
        raise ValueError(
            f"{name} normalises observations itself, with statistics saved in the agent: remove `normalize` "
            "(VecNormalize), whose moving statistics a dataset has never seen, or set norm_obs=False in it."
        )
    if is_vecenv_wrapped(env, VecFrameStack):
        raise ValueError(
            f"{name} cannot take `frame_stack`, which stacks goals and returns too; "
            "use `env_wrapper: gymnasium.wrappers.FrameStackObservation` instead, inside (in a list: before) the "
            "wrapper that gives goals or returns."
        )


def normalizers(env: VecEnv) -> list[VecNormalize]:
    """:param env: with all its wrappers; those that normalise come back, the innermost last"""
    found = []
    while isinstance(env, VecEnvWrapper):
        found += [env] if isinstance(env, VecNormalize) else []
        env = env.venv
    return found


def check_room(env: VecEnv, capacity: int | None, max_episode_steps: float | None) -> None:
    """
    :param env: for own play
    :param capacity: of the store of own play
    :param max_episode_steps: where own episodes are cut; None for nowhere
    :raises ValueError: an episode that runs to its time limit would not fit
    """
    limits = [math.inf if max_episode_steps is None else max_episode_steps]
    if env.has_attr("_max_episode_steps"):  # of Gymnasium's TimeLimit; not every `spec` can leave a subprocess
        told = [limit for limit in env.get_attr("_max_episode_steps") if is_number(limit)]
        limits += [max(told)] if told else []
    slots = min(limits) + 1
    if capacity is not None and capacity < slots < math.inf:
        raise ValueError(
            f"buffer_size is {capacity}, but an episode may take {slots - 1:.0f} steps and has one observation more; "
            f"raise buffer_size to at least {slots:.0f}, or cut episodes earlier with max_episode_steps."
        )
