"""The policy of gcsl: state and goal in, representation out."""

from __future__ import annotations

from typing import Any

import torch as th
from gymnasium import spaces
from torch import Tensor, nn

from gcrl_zoo.common.arguments import Widths
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.step_policy import StepPolicy
from gcrl_zoo.nets.mlp import last_width, mlp


class GCSLPolicy(StepPolicy):
    """
    A multi-layer perceptron over state, goal and, on demand, the number of steps that are left. A second head predicts
    the time that fast episodes take to the goal, which only training uses.

    :param net_arch: widths of the hidden layers; the last one is the input of the heads
    :param layer_norm: normalise each hidden layer before its activation
    :param horizon: whether the policy also sees the number of steps to the goal; acting uses ``target_horizon``
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    target_horizon: Tensor
    mean_horizon: Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        net_arch: Widths = (256, 256),
        layer_norm: bool = False,
        horizon: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space, last_width(net_arch), **kwargs)
        self.horizon = horizon
        width = self.encoder.features_dim + self.goal_encoder.features_dim + horizon
        self.body = mlp([width, *net_arch], self.activation_fn, layer_norm, activate_last=True)
        self.time_to_goal = nn.Linear(last_width(net_arch), 1)
        self.register_buffer("target_horizon", th.ones(1))
        self.register_buffer("mean_horizon", th.ones(1))

    def represent(self, inputs: Inputs) -> Tensor:
        parts = [self.encode_state(inputs), self.encode_goal(inputs)]
        if self.horizon:
            assert inputs.horizon is not None
            parts.append(inputs.horizon.log1p())  # one step matters less when the goal is further away
        return self.body(th.cat(parts, dim=1))

    def command(self, inputs: Inputs) -> Inputs:
        """Ask to reach the goal within ``target_horizon`` steps, at every step."""
        if not self.horizon or inputs.goal is None:
            return inputs
        return inputs._replace(horizon=self.target_horizon.expand(inputs.batch_size, 1))

    @property
    def target_description(self) -> str:
        within = f", within {self.target_horizon.item():.0f} steps" if self.horizon else ""
        return f"the environment's goal{within}"
