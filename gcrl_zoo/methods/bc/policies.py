"""The policy of bc: state in, representation out."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from torch import Tensor

from gcrl_zoo.common.arguments import Widths
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.step_policy import StepPolicy
from gcrl_zoo.nets.mlp import last_width, mlp


class BCPolicy(StepPolicy):
    """
    A multi-layer perceptron that ignores every command.

    :param net_arch: widths of the hidden layers; the last one is the input of the action head
    :param layer_norm: normalise each hidden layer before its activation
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        net_arch: Widths = (256, 256),
        layer_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space, last_width(net_arch), **kwargs)
        self.body = mlp([self.encoder.features_dim, *net_arch], self.activation_fn, layer_norm, activate_last=True)

    def represent(self, inputs: Inputs) -> Tensor:
        return self.body(self.encode_state(inputs))
