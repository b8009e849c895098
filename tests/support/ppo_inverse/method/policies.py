"""Actor-critic policies of SB3 with an inverse dynamics model and its optimizer."""

from __future__ import annotations

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import make_proba_distribution
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from gcrl_zoo.common.arguments import HiddenWidths
from gcrl_zoo.nets.mlp import mlp


class InversePolicy(ActorCriticPolicy):
    """
    :param inverse_arch: widths of the hidden layers of the inverse dynamics model
    :param kwargs: of :class:`~stable_baselines3.common.policies.ActorCriticPolicy`
    """

    def __init__(self, *args: Any, inverse_arch: HiddenWidths = (64,), **kwargs: Any) -> None:
        self.inverse_arch = list(inverse_arch)  # before SB3 calls _build
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self._inverse_dist = make_proba_distribution(self.action_space)
        widths = [2 * self.features_dim, *self.inverse_arch]
        head = self._inverse_dist.proba_distribution_net(widths[-1])
        head = head[0] if isinstance(head, tuple) else head  # of a Gaussian, its mean
        self.inverse = nn.Sequential(mlp(widths, activate_last=True), head)
        # PPO's own optimizer was built above, so it does not hold these parameters.
        self.inverse_optimizer = self.optimizer_class(
            self.inverse.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    def inverse_loss(self, observations: PyTorchObs, following: PyTorchObs, actions: Tensor) -> Tensor:
        """
        Negative log-likelihood of the actions between pairs of observations; squared error for ``Box`` actions.

        :param observations: (B, ...)
        :param following: (B, ...) the observations after the actions
        :param actions: (B, A)
        :return: () mean over the batch
        """
        with th.no_grad():
            pairs = th.cat([self._features(observations), self._features(following)], dim=1)  # (B, 2D)
        params = self.inverse(pairs)
        if isinstance(self.action_space, spaces.Box):
            return ((params - actions) ** 2).sum(dim=1).mean()
        actions = actions.flatten() if isinstance(self.action_space, spaces.Discrete) else actions
        return -self._inverse_dist.proba_distribution(params).log_prob(actions).mean()

    def _features(self, observations: PyTorchObs) -> Tensor:
        features = self.extract_features(observations)
        return features[0] if isinstance(features, tuple) else features

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "inverse_arch": self.inverse_arch}


class InverseCnnPolicy(InversePolicy, ActorCriticCnnPolicy):
    """For images."""


class InverseMultiInputPolicy(InversePolicy, MultiInputActorCriticPolicy):
    """For ``Dict`` observations."""
