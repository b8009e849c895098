"""What a method needs of its data and its environment, and advice for environments that lack goals or returns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from gcrl_zoo.common.observations import ADD_RETURN
from gcrl_zoo.common.roles import PLAIN, Roles

WRAPPER = "gcrl_zoo.wrappers.FixedGoal"


class Needs(NamedTuple):
    """
    What a method needs of its data and its environment.

    :param actions: of the dataset (a ``stream`` never needs them)
    :param rewards: of the dataset and the stream
    :param stream: whether the method can learn from a ``stream``
    :param goals: whether the environment must ask for goals
    :param return_to_go: whether the environment must ask for returns
    :param without_rewards: for messages: advice where rewards are needed and the data has none
    """

    actions: bool = True
    rewards: bool = False
    stream: bool = False
    goals: bool = False
    return_to_go: bool = False
    without_rewards: str = "give data that has them"


def check_commands(name: str, needs: Needs, observation_space: spaces.Space) -> None:
    """
    Check that an observation space has the goals and returns that a method needs.

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


def goal_advice(observation_space: spaces.Space) -> str:
    """
    Describe how to give goals to an environment. The example runs as it is, but its goal is arbitrary.

    :param observation_space: of an environment without goals
    """
    facts = Roles.of(observation_space).facts_space
    key = PLAIN if PLAIN in facts.spaces else next(iter(facts.spaces))
    arguments = example(facts[key])
    if arguments is None:
        return (
            "wrap it in one of gcrl_zoo.wrappers, such as DatasetGoal, whose goals are observations of a dataset "
            "(docs/wrappers.md)."
        )
    if key != PLAIN:
        arguments["key"] = key
    wrapped = f"[{{'{WRAPPER}': {arguments}}}]"
    called = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return (
        f'wrap it, for example by -params "env_wrapper:{wrapped}" on the command line, by env_wrapper: {wrapped} in '
        f"YAML, or by {WRAPPER}(env, {called}) in Python, with a goal of yours (docs/wrappers.md)."
    )


def example(space: spaces.Space) -> dict[str, Any] | None:
    """
    Return arguments of ``FixedGoal`` that fit an observation.

    :param space: of one part of the observation
    :return: arguments by name; None where a goal would be too long to write down
    """
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return {"goal": [np.clip(0, space.low[0], space.high[0]).item()], "indices": [0], "threshold": 0.1}
    shape = space.shape or ()
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)) and len(shape) < 2:
        goal = np.broadcast_to(getattr(space, "start", 0), shape).tolist()
        return {"goal": goal, "threshold": 0}
    return None
