"""A policy that sees the state, and beside it an inverse dynamics model that sees the next state as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from torch import Tensor

from gcrl_zoo.common.actions import HeadKind, make_action_head
from gcrl_zoo.common.arguments import Options, Widths
from gcrl_zoo.methods.bc.policies import BCPolicy
from gcrl_zoo.nets.encoders import DictEncoder, with_own_weights
from gcrl_zoo.nets.heads import GaussianHead
from gcrl_zoo.nets.inverse import Change, InverseModel


class BCOPolicy(BCPolicy):
    """
    A multi-layer perceptron that ignores every command, and its teacher, which only training uses. They share the
    statistics of the data and no weights.

    :param net_arch: widths of the hidden layers, the last of which the action head sees
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
        self.inverse_encoder = DictEncoder(own)
        self.change = Change(own)
        dims = self.encoder.features_dim, self.change.features_dim
        self.inverse = InverseModel(*dims, inverse_arch, layer_norm, self.activation_fn)
        self.inverse_head = make_action_head(
            action_space, self.inverse.features_dim, action_head, **(action_head_kwargs or {})
        )
        if isinstance(self.head, GaussianHead) and isinstance(self.inverse_head, GaussianHead):
            self.head.log_std = self.inverse_head.log_std  # imitation is of means: only the teacher learns a spread

    def infer(self, states: Mapping[str, Tensor], successors: Mapping[str, Tensor]) -> Tensor:
        """
        What was done between two states, says the inverse model.

        :param states: (B, ...) by key
        :param successors: (B, ...) by key, one step later
        :return: (B, P) parameters for ``inverse_head``
        """
        encode = self.inverse_encoder
        hidden = self.inverse(encode(states), encode(successors), self.change(states, successors))
        return self.inverse_head(hidden)
