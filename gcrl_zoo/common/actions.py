"""Actions of the environment: which head predicts them, their dtype and their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces

from gcrl_zoo.common.arguments import check_arguments
from gcrl_zoo.data.episode import action_dtype
from gcrl_zoo.nets.heads import ActionHead, BinsHead, CategoricalHead, DeterministicHead, GaussianHead, checked_limits

#: Options of heads that the action space decides.
FROM_SPACES = {"features_dim", "low", "high", "n_actions", "start"}
HeadKind = Literal["auto", "categorical", "deterministic", "gaussian", "bins"]

BOX_HEADS: dict[str, type[ActionHead]] = {
    "deterministic": DeterministicHead,
    "gaussian": GaussianHead,
    "bins": BinsHead,
}


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
        self.stored_dtype = action_dtype(space.dtype)
        self.bounds = (space.low, space.high) if isinstance(space, spaces.Box) else None

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        """
        Convert and clip actions.

        :param actions: (E, ...) any float dtype (``Box``), or any integers that the space contains (``Discrete``)
        :return: (E, ...) of the dtype of the space, inside it
        """
        if self.bounds is not None:
            low, high = self.bounds
            actions = np.minimum(np.maximum(actions, low), high)  # np.clip takes several times as long
        return actions.astype(self.dtype, copy=False)

    def stored(self, actions: np.ndarray) -> np.ndarray:
        """
        Convert actions to the dtype of stores and memories.

        :param actions: (E, ...) as an environment got them
        :return: (E, ...) float32 or int64
        """
        return actions.astype(self.stored_dtype, copy=False)


def refuse_unbounded(space: spaces.Space) -> None:
    """
    Refuse action spaces without finite bounds.

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


def action_head_class(space: spaces.Space, kind: str, kwargs: Mapping[str, Any]) -> type[ActionHead]:
    """
    Choose the class of an action head, and check its options.

    :param space: ``Discrete`` or ``Box`` action space
    :param kind: see :func:`make_action_head`
    :param kwargs: options of that head
    :raises ValueError: the head does not fit the action space, or an option has a value that it does not allow
    :raises TypeError: the head has no such option
    """
    if isinstance(space, spaces.Discrete):
        if kind not in ("auto", "categorical"):
            raise ValueError(
                f"action_head: {kind} is for continuous actions, but this environment's are {space}; "
                "leave action_head out."
            )
        head: type[ActionHead] = CategoricalHead
        kind = "categorical"
    else:
        kind = "deterministic" if kind == "auto" else kind
        if kind not in BOX_HEADS:
            raise ValueError(
                f"action_head: {kind} does not fit the action space {space}; choose one of {', '.join(BOX_HEADS)}."
            )
        head = BOX_HEADS[kind]
    check_arguments(
        head, kwargs, f"action_head_kwargs of the head {kind} has no entry", "action_head_kwargs: ", given=FROM_SPACES
    )
    if kwargs.get("limits") is not None:
        checked_limits(*_bounds_of(space), kwargs["limits"])
    return head


def make_action_head(space: spaces.Space, features_dim: int, kind: HeadKind = "auto", **kwargs: Any) -> ActionHead:
    """
    Make the head that turns a representation into a distribution of actions.

    :param space: ``Discrete`` or ``Box`` action space
    :param features_dim: width of the representation
    :param kind: ``"auto"`` (categorical or deterministic), ``"deterministic"``, ``"gaussian"`` or ``"bins"``
    :param kwargs: options of that head, e.g. ``n_bins``
    :raises ValueError: the head does not fit the action space, or an option has a value that it does not allow
    :raises TypeError: the head has no such option
    """
    head = action_head_class(space, kind, kwargs)
    if isinstance(space, spaces.Discrete):
        return CategoricalHead(features_dim, int(space.n), int(space.start))
    low, high = _bounds_of(space)
    return head(features_dim, low=low, high=high, **kwargs)  # type: ignore[call-arg]


def _bounds_of(space: spaces.Space) -> tuple[th.Tensor, th.Tensor]:
    """Return the smallest and the largest action of a ``Box``. Bounds that are not finite are refused."""
    assert isinstance(space, spaces.Box)
    refuse_unbounded(space)
    # On the CPU, also while a policy is built on the meta device: heads look at the values.
    return th.as_tensor(space.low, device="cpu"), th.as_tensor(space.high, device="cpu")
