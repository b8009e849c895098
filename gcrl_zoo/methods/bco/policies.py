"""A policy that acts on the state, and the inverse dynamics model that labels actions for it."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from gcrl_zoo.common.actions import HeadKind
from gcrl_zoo.common.arguments import Options, Widths
from gcrl_zoo.common.inverse_dynamics import InverseDynamics
from gcrl_zoo.methods.bc.policies import BCPolicy
from gcrl_zoo.nets.encoders import with_own_weights
from gcrl_zoo.nets.heads import GaussianHead


class BCOPolicy(BCPolicy):
    """
    Multi-layer perceptron that ignores every command, and an inverse dynamics model that only training uses. They share
    the statistics of the data and no weights.

    :param net_arch: widths of the hidden layers; the last one is the input of the action head
    :param inverse_arch: widths of the hidden layers of the inverse model
    :param layer_norm: normalise each hidden layer before its activation
    :param action_head: distribution of the actions of the policy and of the inverse model
    :param action_head_kwargs: options of the action head
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        net_arch: Widths = (256, 256),
        inverse_arch: Widths = (256, 256),
        layer_norm: bool = False,
        action_head: HeadKind = "auto",
        action_head_kwargs: Options | None = None,
        **kwargs: Any,
    ) -> None:
        heads = {"action_head": action_head, "action_head_kwargs": action_head_kwargs}
        super().__init__(observation_space, action_space, net_arch, layer_norm, **heads, **kwargs)
        # Encoders with weights, those of images, are the inverse model's own; the others hold only statistics.
        own = {key: with_own_weights(each) for key, each in self.encoder.items()}
        self.inverse = InverseDynamics.from_encoders(
            own, action_space, inverse_arch, layer_norm, self.activation_fn, action_head, action_head_kwargs
        )
        if isinstance(self.head, GaussianHead) and isinstance(self.inverse.head, GaussianHead):
            self.head.log_std = self.inverse.head.log_std  # imitation is of means: only the teacher learns a spread
