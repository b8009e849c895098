"""Advantage-weighted imitation with a state value, after implicit Q-learning (Kostrikov et al. 2022)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch as th
from torch import Tensor

from gcrl_zoo.common.arguments import Discount, Environment, Fraction, NonNegative, Policy
from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import Sampler
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.data.transitions import Transitions
from gcrl_zoo.losses.expectile import expectile_loss

from .policies import ValuePolicy


class ValueLearner(TrajectoryAlgorithm):
    """
    :param policy: policy class or alias
    :param env: environment or id
    :param gamma: discount of the value
    :param expectile: of the one-step targets that the value learns; 0.5 for the value of the behaviour
    :param temperature: actions weigh exp(temperature * advantage); 0 for plain imitation, which needs no rewards
    :param tau: part of the value network that enters its target network after each update
    :param kwargs: of the base
    """

    needs: ClassVar[Needs] = Needs(actions=True, rewards=True)
    policy: ValuePolicy

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        gamma: Discount = 0.99,
        expectile: Fraction = 0.7,
        temperature: NonNegative = 1.0,
        tau: Fraction = 0.05,
        **kwargs: Any,
    ) -> None:
        self.gamma, self.expectile, self.temperature, self.tau = gamma, expectile, temperature, tau
        super().__init__(policy, env, **kwargs)

    @property
    def data_needs(self) -> Needs:
        return self.needs._replace(rewards=self.temperature > 0)

    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        return {"labelled": Transitions(labelled)}

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        batch, policy = batches["labelled"], self.policy
        params = policy.head(policy.represent(Inputs(state=batch.observations)))
        nll = policy.head.nll(params, batch.actions)  # (B,)
        if not self.temperature:
            return nll.mean(), {"nll": nll.mean()}
        with th.no_grad():
            features = policy.encoder(batch.observations)
            following = policy.target(policy.encoder(batch.next_observations)).squeeze(1)  # (B,)
            targets = batch.rewards + self.gamma * following * ~batch.terminated
        error = targets - policy.value(features).squeeze(1)  # (B,) the advantage
        weights = (self.temperature * error.detach()).exp().clamp(max=100)
        losses = {"nll": (weights * nll).mean(), "value_loss": expectile_loss(error, self.expectile).mean()}
        return losses["nll"] + losses["value_loss"], {**losses, "value": (targets - error).mean()}

    @th.no_grad()
    def after_update(self) -> None:
        policy = self.policy
        for target, source in zip(policy.target.parameters(), policy.value.parameters(), strict=True):
            target.lerp_(source, self.tau)
