"""Behavioural cloning from observation."""

from __future__ import annotations

from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from gcrl_zoo.common.arguments import Environment, Fraction, Policy
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.sources import Needs
from gcrl_zoo.common.statistics import fit_change
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import GoalPairs, Sampler
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.methods.bco.policies import BCOPolicy


class BCO(TrajectoryAlgorithm):
    """
    Behavioural cloning from observation (Torabi et al. 2018, `arXiv:1805.01954 <https://arxiv.org/abs/1805.01954>`_):
    an inverse dynamics model learns from own play which action leads from one state to the next, and tells the actions
    of the trajectories that are watched, which are never read. A policy clones what it tells. No goal and no return is
    asked for.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (one class; it looks at the spaces)
    :param env: see :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`, as for all other arguments
    :param stream_fraction: watch only this fraction of the episodes, those of highest return; below 1 it needs rewards
    """

    needs: ClassVar[Needs] = Needs(
        actions=True, stream=True, without_rewards="set stream_fraction to 1, which watches all episodes"
    )
    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": BCOPolicy,
        "CnnPolicy": BCOPolicy,
        "MultiInputPolicy": BCOPolicy,
    }
    policy: BCOPolicy

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        stream_fraction: Fraction = 1.0,
        **kwargs: Any,
    ) -> None:
        self.stream_fraction = stream_fraction
        super().__init__(policy, env, **kwargs)

    @property
    def data_needs(self) -> Needs:
        return self.needs._replace(rewards=self.stream_fraction < 1)

    def fit_statistics(self, watched: TrajectoryStore) -> None:
        super().fit_statistics(watched)
        fit_change(self.policy.change, watched, max_horizon=1, device=self.device)

    def make_samplers(self, played: TrajectoryStore, watched: TrajectoryStore) -> dict[str, Sampler]:
        best = watched if self.stream_fraction == 1 else watched.best(self.stream_fraction)
        return {"played": transitions(played), "watched": transitions(best)}

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        policy, played, watched = self.policy, batches["played"], batches["watched"]
        told = policy.infer(played.observations, played.goals)
        inverse = policy.inverse_head.nll(told, played.actions).mean()
        with th.no_grad():  # the teacher does not move towards its pupil
            labels = policy.infer(watched.observations, watched.goals)
        chosen = policy.head(policy.represent(Inputs(state=watched.observations)))
        clone = policy.head.imitate(chosen, labels).mean()
        return inverse + clone, {"inverse": inverse, "clone": clone}


def transitions(store: TrajectoryStore) -> GoalPairs:
    """Steps of a store, each with all that was seen one step later as its goal."""
    return GoalPairs(store, max_horizon=1)
