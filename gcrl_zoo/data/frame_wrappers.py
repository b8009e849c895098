"""Compares how the frames of a dataset and those of an environment are made, by their wrappers."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from gcrl_zoo.data.recorded_wrappers import WrapperList

NOT_COMPARED = frozenset(
    # These add to single frames, or stack them.
    "FrameStackObservation ReturnToGo GoalWrapper DatasetGoal FixedGoal InfoGoal LandingPad SampledGoal Upright "
    "TimeAwareObservation TimeFeatureWrapper "
    # These change actions, rewards or the ends of episodes.
    "ActionWrapper ActionNoiseWrapper ActionSmoothingWrapper StickyAction StickyActionEnv RewardWrapper "
    "DelayedRewardWrapper NormalizeReward LiftSuccess TruncatedOnSuccessWrapper EpisodicLifeEnv FireResetEnv "
    "NoopResetEnv".split()
)
"""Classes of wrappers that may differ between a dataset and an environment with the same frames."""
SAME = {"YAMLCompatResizeObservation": "ResizeObservation"}
"""Classes with the same effect as another one."""


def has_frames(space: spaces.Space[Any]) -> bool:
    """Whether an observation space has entries that are images, or stacks of images."""
    entries = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return any(isinstance(each, spaces.Box) and each.dtype == np.uint8 and len(each.shape) >= 2 for each in entries)


def difference_of_frames(recorded: WrapperList | None, wrapped: WrapperList | None) -> str | None:
    """Compare the wrappers that change single frames, or which frames there are.

    :param recorded: wrappers of the recorded environment; None if unknown
    :param wrapped: wrappers of another environment; None if unknown
    :return: both, for a message; None if they are equal, or one of them is unknown
    """
    if recorded is None or wrapped is None:
        return None
    of_data, of_env = (compared(wrappers) for wrappers in (recorded, wrapped))
    if of_data == of_env:
        return None
    return f"its frames are made by {_in_words(of_data)}, the environment's by {_in_words(of_env)}"


def compared(wrappers: WrapperList) -> WrapperList:
    """The wrappers that are compared.

    :param wrappers: see :func:`~gcrl_zoo.data.recorded_wrappers.describe_wrappers`
    """
    return [[SAME.get(name, name), arguments] for name, arguments in wrappers if NOT_COMPARED.isdisjoint(_bases(name))]


def _bases(name: str) -> set[str]:
    """The name of a class and, if it is one of Gymnasium's, of its base classes."""
    found = getattr(gym.wrappers, name, None)
    return {name, *(base.__name__ for base in getattr(found, "__mro__", ()))}


def _in_words(wrappers: WrapperList) -> str:
    words = [f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})" for name, arguments in wrappers]
    return ", ".join(words) or "no wrapper"
