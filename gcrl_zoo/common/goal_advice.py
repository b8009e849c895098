"""Advice for an environment without goals: a wrapper that fits its observation, ready to be copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from gcrl_zoo.common.roles import PLAIN, Roles

WRAPPER = "gcrl_zoo.wrappers.FixedGoal"


def goal_advice(observation_space: spaces.Space) -> str:
    """
    :param observation_space: of an environment without goals
    :return: how to give it one; the example runs as it is, but its goal is arbitrary
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
    :param space: of one part of the observation
    :return: arguments of ``FixedGoal`` that fit; None where a goal would be too long to write down
    """
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return {"goal": [np.clip(0, space.low[0], space.high[0]).item()], "indices": [0], "threshold": 0.1}
    shape = space.shape or ()
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)) and len(shape) < 2:
        goal = np.broadcast_to(getattr(space, "start", 0), shape).tolist()
        return {"goal": goal, "threshold": 0}
    return None
