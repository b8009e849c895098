"""Converts actions to the dtype of the action space, and clips them to its bounds."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from gcrl_zoo.data.episode import action_dtype


class ToActionSpace:
    """
    Converts actions to the dtype of an action space and clips them to its bounds.

    Networks compute in float32. The bounds of a float64 space lie between two float32 numbers (``float32(0.1) > 0.1``),
    and float16 is coarser than float32, so an environment that asserts ``action_space.contains(action)`` would refuse
    what a network computes. Every action goes through an instance of this class before an environment gets it.

    :param space: ``Discrete`` or ``Box`` action space
    """

    def __init__(self, space: spaces.Space) -> None:
        assert space.dtype is not None
        self.dtype = space.dtype
        #: Dtype of actions in stores and memories: float32 or int64.
        self.kept_dtype = action_dtype(space.dtype)
        self.bounds = (space.low, space.high) if isinstance(space, spaces.Box) else None

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        """
        :param actions: (E, ...) any float dtype (``Box``), or any integers that the space contains (``Discrete``)
        :return: (E, ...) of the dtype of the space, inside it
        """
        if self.bounds is not None:
            low, high = self.bounds
            actions = np.minimum(np.maximum(actions, low), high)  # np.clip takes several times as long
        return actions.astype(self.dtype, copy=False)

    def kept(self, actions: np.ndarray) -> np.ndarray:
        """
        :param actions: (E, ...) as an environment got them
        :return: (E, ...) as a store keeps them
        """
        return actions.astype(self.kept_dtype, copy=False)


def refuse_unbounded(space: spaces.Space) -> None:
    """
    :param space: of actions
    :raises ValueError: a ``Box`` without finite float32 bounds, by which networks and noise scale actions
    """
    if not isinstance(space, spaces.Box):
        return
    with np.errstate(over="ignore"):
        bounds = np.stack((space.low, space.high)).astype(np.float32)
    if not np.isfinite(bounds).all():
        raise ValueError(
            f"The action space {space} has bounds that are infinite or beyond float32, but actions are scaled by them; "
            "give it bounds with a wrapper, such as `gymnasium.wrappers.TransformAction(env, lambda action: action, "
            f"gymnasium.spaces.Box(-1, 1, {space.shape}))`, and leave out `gymnasium.wrappers.ClipAction`, which "
            "removes them."
        )
