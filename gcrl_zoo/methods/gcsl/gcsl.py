"""Goal-conditioned supervised learning."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
import torch as th
from annotated_types import Ge, Unit
from torch import Tensor

from gcrl_zoo.common.arguments import Discount, Environment, Fraction, NonNegative, Policy, PositiveInt
from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import GoalPairs, Sampler, Strategy
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.losses.expectile import expectile_loss
from gcrl_zoo.methods.gcsl.policies import GCSLPolicy


class GCSL(TrajectoryAlgorithm):
    """
    Goal-conditioned supervised learning (Ghosh et al. 2021, `arXiv:1912.06088 <https://arxiv.org/abs/1912.06088>`_):
    each step demonstrates how to reach the states that came after it. Rewards are not used.

    :param policy: ``"MultiInputPolicy"`` (or ``"MlpPolicy"``, ``"CnnPolicy"``: names of one class)
    :param env: an environment with goals; see
        :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`, as for all other arguments
    :param goal_strategy: how to relabel the goal of a step: ``"future"``, ``"final"``, ``"episode"``,
        ``"geometric"`` or ``"random"``, see :class:`~gcrl_zoo.data.samplers.GoalPairs`
    :param max_horizon: largest distance of ``future`` and ``geometric`` goals; None for no limit
    :param discount: discount of ``geometric`` goals, whose mean distance is 1 / (1 - discount) steps
    :param detour_penalty: down-weights steps that reached their goal later than the fastest trajectories from the same
        state. A delay of one mean horizon multiplies the weight by exp(-detour_penalty). 0 gives all steps the same
        weight, as in the paper. Cannot be combined with policies that see the ``horizon``
    :param expectile: expectile of the time from a state to a goal; the detour penalty uses it as the fastest time
    :param target_horizon: number of steps to the goal that acting is conditioned on, if the policy sees the ``horizon``
    """

    needs: ClassVar[Needs] = Needs(actions=True, goals=True)
    policy_buffers: ClassVar[tuple[str, ...]] = (*TrajectoryAlgorithm.policy_buffers, "target_horizon")
    policy: GCSLPolicy

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        goal_strategy: Strategy = "future",
        max_horizon: Annotated[PositiveInt, Unit("steps")] | None = None,
        discount: Discount = 0.99,
        detour_penalty: NonNegative = 0.0,
        expectile: Fraction = 0.1,
        target_horizon: Annotated[float, Ge(1), Unit("steps")] = 1,
        **kwargs: Any,
    ) -> None:
        self.goal_strategy, self.max_horizon, self.discount = goal_strategy, max_horizon, discount
        self.detour_penalty, self.expectile, self.target_horizon = detour_penalty, expectile, target_horizon
        super().__init__(policy, env, **kwargs)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        GoalPairs(TrajectoryStore(), self.goal_strategy, self.max_horizon, self.discount)  # raises if they do not fit

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.detour_penalty and self.policy.horizon:
            raise ValueError(
                f"A policy that sees the `horizon` distinguishes slow ways from fast ones without a penalty: set "
                f"detour_penalty ({self.detour_penalty}) to 0, or leave `horizon` out of policy_kwargs."
            )

    def fit_statistics(self, unlabelled: TrajectoryStore) -> None:
        super().fit_statistics(unlabelled)
        self.policy.target_horizon.fill_(self.target_horizon)
        pairs = self._pairs(unlabelled)
        horizons = pairs.horizons(pairs.draw(np.random.default_rng(0), 10_000))  # (10_000,)
        if horizons.any():
            self.policy.mean_horizon.fill_(horizons[horizons > 0].mean())

    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        return {"labelled": self._pairs(labelled)}

    def _pairs(self, store: TrajectoryStore) -> GoalPairs:
        return GoalPairs(store, self.goal_strategy, self.max_horizon, self.discount, self.policy.roles.goal_keys)

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        batch, policy = batches["labelled"], self.policy
        horizon = batch.horizons.unsqueeze(1).float()  # (B, 1)
        z = policy.represent(Inputs(state=batch.observations, goal=batch.goals, horizon=horizon))  # (B, D)
        nll = policy.head.nll(policy.head(z), batch.actions)  # (B,)
        if not self.detour_penalty:
            return nll.mean(), {"nll": nll.mean()}
        delay = (horizon / policy.mean_horizon - policy.time_to_goal(z)).squeeze(1)  # (B,)
        ahead = horizon.squeeze(1) > 0  # (B,)
        weights = self._weights(delay.detach(), ahead)
        losses = {
            "nll": (weights * nll).sum() / weights.sum().clamp_min(1e-6),
            "time_to_goal": (expectile_loss(delay, self.expectile) * ahead).mean(),
        }
        return losses["nll"] + losses["time_to_goal"], {**losses, "weight": weights.mean()}

    def _weights(self, delay: Tensor, ahead: Tensor) -> Tensor:
        """
        Down-weight slow ways. An episode that overshoots a goal and returns contains two opposite actions for the same
        state and goal; the slower one should count less.

        :param delay: (B,) time lost against the fastest ways, in mean horizons
        :param ahead: (B,) whether the goal lies ahead of the step in its episode
        :return: (B,)
        """
        return th.where(ahead, (-self.detour_penalty * delay.relu()).exp(), 1.0)
