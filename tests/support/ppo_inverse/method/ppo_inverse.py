"""PPO with an inverse dynamics model beside the policy, trained on the same rollouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import obs_as_tensor

from gcrl_zoo.common.arguments import Environment, Policy, PositiveInt

from .policies import InverseCnnPolicy, InverseMultiInputPolicy, InversePolicy


class PPOInverse(PPO):
    """
    :param policy: policy class or alias
    :param env: environment or id
    :param inverse_epochs: gradient steps of the inverse model on each rollout
    :param kwargs: of :class:`~stable_baselines3.PPO`
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": InversePolicy,
        "CnnPolicy": InverseCnnPolicy,
        "MultiInputPolicy": InverseMultiInputPolicy,
    }
    policy: InversePolicy
    #: State that is saved with the agent.
    n_inverse_updates: int

    def __init__(
        self, policy: Policy, env: Environment | None = None, inverse_epochs: PositiveInt = 1, **kwargs: Any
    ) -> None:
        self.inverse_epochs = inverse_epochs
        self.n_inverse_updates = 0
        super().__init__(policy, env, **kwargs)

    def train(self) -> None:
        self.train_inverse()  # before PPO flattens the rollout
        super().train()

    def train_inverse(self) -> None:
        """Train the inverse model on the steps of the rollout after which the episode goes on."""
        buffer = self.rollout_buffer
        inside = ~buffer.episode_starts[1:].astype(bool)  # (T-1, E)
        if not inside.any():
            return
        before = obs_as_tensor(_each(buffer.observations, lambda rows: rows[:-1][inside]), self.device)
        after = obs_as_tensor(_each(buffer.observations, lambda rows: rows[1:][inside]), self.device)
        actions = th.as_tensor(buffer.actions[:-1][inside], device=self.device).float()
        for _ in range(self.inverse_epochs):
            loss = self.policy.inverse_loss(before, after, actions)
            self.policy.inverse_optimizer.zero_grad()
            loss.backward()
            self.policy.inverse_optimizer.step()
            self.n_inverse_updates += 1
        self.logger.record("train/inverse_loss", loss.item())

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        files, variables = super()._get_torch_save_params()
        return [*files, "policy.inverse_optimizer"], variables


def _each(observations: Any, part: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The part of an array, or of each array of a dict."""
    if isinstance(observations, dict):
        return {key: part(each) for key, each in observations.items()}
    return part(observations)
