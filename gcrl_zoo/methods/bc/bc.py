"""Behaviour cloning."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from gcrl_zoo.common.arguments import Environment, Fraction, Policy
from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import Sampler, Steps
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.methods.bc.policies import BCPolicy


class BC(TrajectoryAlgorithm):
    """
    Behaviour cloning: maximises the likelihood of the actions in a dataset, or in its best episodes ("10 % BC" of Chen
    et al. 2021 with ``top_fraction=0.1``). Without a dataset it clones the best episodes of own play, which makes it a
    cross-entropy method over episodes.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (names of one class)
    :param env: see :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`, as for all other arguments
    :param top_fraction: clone only this fraction of the episodes, those with the highest return; below 1 needs rewards
    """

    needs: ClassVar[Needs] = Needs(without_rewards="set top_fraction to 1, which clones all episodes")
    policy: BCPolicy

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        top_fraction: Fraction = 1.0,
        **kwargs: Any,
    ) -> None:
        self.top_fraction = top_fraction
        super().__init__(policy, env, **kwargs)

    @property
    def data_needs(self) -> Needs:
        return self.needs._replace(rewards=self.top_fraction < 1)

    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        best = labelled if self.top_fraction == 1 else labelled.best(self.top_fraction)
        return {"labelled": Steps(best)}

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        batch = batches["labelled"]
        params = self.policy.respond(Inputs(state=batch.observations))
        loss = self.policy.head.nll(params, batch.actions).mean()
        return loss, {"nll": loss}
