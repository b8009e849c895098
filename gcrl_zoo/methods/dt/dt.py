"""Decision Transformer: predicts the next action from past states, actions and the return-to-go."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch as th
from torch import Tensor

from gcrl_zoo.common.arguments import Environment, Fraction, Policy
from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import Sampler
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.data.windows import Windows
from gcrl_zoo.losses.masked import masked_mean
from gcrl_zoo.methods.dt.policies import DTPolicy
from gcrl_zoo.nets.fast.matmul import fast_matmul


class DT(TrajectoryAlgorithm):
    """
    Decision Transformer (Chen et al. 2021, `arXiv:2106.01345 <https://arxiv.org/abs/2106.01345>`_): predicts actions
    from the past and the return-to-go; acting asks for a high return. It learns from a dataset or from own play, whose
    returns are known in hindsight.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (names of one class)
    :param env: environment in a ``gcrl_zoo.wrappers.ReturnToGo``, because a policy receives no rewards; for the other
        arguments see :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`
    :param top_fraction: train only on this fraction of the episodes, those with the highest return
    :param bf16: compute in bfloat16 where torch's autocast considers it safe; weights stay float32
    :param target_return: target return for acting; default: the highest return in the data, online plus one standard
        deviation of the returns
    """

    needs: ClassVar[Needs] = Needs(rewards=True, return_to_go=True)
    policy: DTPolicy

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        top_fraction: Fraction = 1.0,
        bf16: bool = False,
        **kwargs: Any,
    ) -> None:
        self.top_fraction, self.bf16 = top_fraction, bf16
        super().__init__(policy, env, **kwargs)

    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        best = labelled if self.top_fraction == 1 else labelled.best(self.top_fraction)
        return {"labelled": Windows(best, self.policy.context_length, ahead=self.policy.n_actions)}

    def choose_target(self, unlabelled: TrajectoryStore) -> float:
        """
        Choose the highest return in the data; in own play, one standard deviation of the returns more, as upside-down
        reinforcement learning does (Srivastava et al. 2019). Asking for the best return so far would never exceed it.
        """
        best = super().choose_target(unlabelled)
        return best + float(unlabelled.returns.std()) if self.plays and self.target_return is None else best

    def update_context(self) -> AbstractContextManager[None]:
        return fast_matmul(self.device)

    def represent(self, batch: Any) -> Tensor:
        """Return (B, K, D) in float32: bfloat16 would be too coarse for the actions that heads compute."""
        with th.autocast(self.device.type, th.bfloat16, enabled=self.bf16):
            return self.policy.represent_windows(batch).float()

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        batch, head = batches["labelled"], self.policy.head
        params = head(self.represent(batch))  # (B, K, P)
        nll = head.nll(params.flatten(0, 1), batch.actions.flatten(0, 1))
        loss = masked_mean(nll, batch.mask.flatten())
        return loss, {"nll": loss}
