"""Behavioural cloning from observation."""

from __future__ import annotations

from typing import Any, ClassVar

import torch as th
from torch import Tensor

from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.data.samplers import GoalPairs, Sampler
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.methods.bc.bc import BC
from gcrl_zoo.methods.bco.policies import BCOPolicy


class BCO(BC):
    """
    Behavioural cloning from observation (Torabi et al. 2018, `arXiv:1805.01954 <https://arxiv.org/abs/1805.01954>`_):
    an inverse dynamics model learns from own play which action leads from one state to the next. It predicts the
    actions of the unlabelled trajectories, and a policy clones its predictions. Acting needs neither a goal nor a
    target return.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (names of one class)
    :param env: see :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`, as for all other arguments
    :param top_fraction: clone only this fraction of the unlabelled episodes, those with the highest return; below 1
        needs rewards
    """

    needs: ClassVar[Needs] = Needs(
        actions=True, stream=True, without_rewards="set top_fraction to 1, which clones all episodes"
    )
    policy: BCOPolicy

    def fit_statistics(self, unlabelled: TrajectoryStore) -> None:
        super().fit_statistics(unlabelled)
        self.policy.inverse.fit_change(unlabelled)

    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        best = unlabelled if self.top_fraction == 1 else unlabelled.best(self.top_fraction)
        return {"labelled": transitions(labelled), "unlabelled": transitions(best)}

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        policy, labelled, unlabelled = self.policy, batches["labelled"], batches["unlabelled"]
        inverse = policy.inverse.loss(labelled.observations, labelled.goals, labelled.actions)
        with th.no_grad():  # cloning does not train the inverse model
            labels = policy.inverse(unlabelled.observations, unlabelled.goals)
        clone = policy.head.imitate(policy.respond(Inputs(state=unlabelled.observations)), labels).mean()
        return inverse + clone, {"inverse": inverse, "clone": clone}


def transitions(store: TrajectoryStore) -> GoalPairs:
    """Sample steps of a store, each with the next observation as its goal."""
    return GoalPairs(store, max_horizon=1)
