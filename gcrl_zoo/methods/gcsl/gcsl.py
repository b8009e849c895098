"""Goal-conditioned supervised learning."""

from __future__ import annotations

from typing import Any, ClassVar

from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor

from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.sources import Needs
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import GoalPairs, Sampler, Strategy
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.methods.gcsl.policies import GCSLPolicy


class GCSL(TrajectoryAlgorithm):
    """
    Goal-conditioned supervised learning (Ghosh et al. 2021, `arXiv:1912.06088 <https://arxiv.org/abs/1912.06088>`_):
    every step is a demonstration of how to reach what came after it. No rewards are used.

    :param policy: ``"MultiInputPolicy"`` (or ``"MlpPolicy"``, ``"CnnPolicy"``: one class; it looks at the spaces)
    :param env: an environment that asks for goals; see
        :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`, as for all other arguments
    :param goal_strategy: where the goal of a step lies in hindsight: ``"future"``, ``"final"``, ``"episode"``,
        ``"geometric"`` or ``"random"``, see :class:`~gcrl_zoo.data.samplers.GoalPairs`
    :param max_horizon: ``future`` and ``geometric`` goals lie at most so many steps ahead; None for no limit
    :param discount: of ``geometric`` goals, which lie 1 / (1 - discount) steps ahead in the mean
    :param target_horizon: steps within which acting asks for the goal, where the policy sees the ``horizon``
    """

    needs: ClassVar[Needs] = Needs(actions=True, goals=True)
    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": GCSLPolicy,
        "CnnPolicy": GCSLPolicy,
        "MultiInputPolicy": GCSLPolicy,
    }
    policy: GCSLPolicy

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str | None = None,
        goal_strategy: Strategy = "future",
        max_horizon: int | None = None,
        discount: float = 0.99,
        target_horizon: int = 1,
        **kwargs: Any,
    ) -> None:
        self.goal_strategy, self.max_horizon, self.discount = goal_strategy, max_horizon, discount
        self.target_horizon = target_horizon
        super().__init__(policy, env, **kwargs)

    def make_samplers(self, played: TrajectoryStore, watched: TrajectoryStore) -> dict[str, Sampler]:
        goal_keys = self.policy.roles.goal_keys
        return {"played": GoalPairs(played, self.goal_strategy, self.max_horizon, self.discount, goal_keys)}

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        batch = batches["played"]
        inputs = Inputs(state=batch.observations, goal=batch.goals, horizon=batch.horizons.unsqueeze(1).float())
        params = self.policy.head(self.policy.represent(inputs))
        loss = self.policy.head.nll(params, batch.actions).mean()
        return loss, {"nll": loss}
