"""A policy with a value network, its target network and an optimizer for each of the two that are trained."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from gymnasium import spaces
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor

from gcrl_zoo.common.arguments import HiddenWidths, NonNegative, Width
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.step_policy import StepPolicy
from gcrl_zoo.nets.mlp import mlp


class ValuePolicy(StepPolicy):
    """
    :param net_arch: widths of the hidden layers
    :param representation_dim: width of what the action head sees
    :param value_rate: learning rate of the value network, as a multiple of the policy's
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    further_optimizers: ClassVar[tuple[str, ...]] = ("value_optimizer",)

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        net_arch: HiddenWidths = (64,),
        representation_dim: Width = 32,
        value_rate: NonNegative = 3.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space, representation_dim, **kwargs)
        self.value_rate = value_rate
        width = self.encoder.features_dim
        self.body = mlp([width, *net_arch, representation_dim], self.activation_fn)
        self.value = mlp([width, *net_arch, 1], self.activation_fn)
        self.target = copy.deepcopy(self.value).requires_grad_(False)

    def make_optimizers(self, lr_schedule: Schedule) -> None:
        self.value_optimizer = self.make_optimizer(lr_schedule, self.value)
        self.optimizer = self.make_optimizer(lr_schedule, self.encoder, self.body, self.head)

    def learning_rates(self, rate: float) -> dict[str, float]:
        return {"optimizer": rate, "value_optimizer": self.value_rate * rate}

    def represent(self, inputs: Inputs) -> Tensor:
        return self.body(self.encode_state(inputs))
