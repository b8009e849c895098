"""Decision Transformer that predicts several actions and mixes in the return through a gate."""

from __future__ import annotations

from typing import Any

import torch as th
from torch import Tensor

from gcrl_zoo.losses.masked import masked_mean
from gcrl_zoo.methods.dt.dt import DT
from gcrl_zoo.methods.dt_gated.policies import GatedDTPolicy


class GatedDT(DT):
    """
    "dt with multistep action prediction + gate mixing of reward info", an experiment of unpublished research notes.

    The policy predicts the next n actions at each step and executes the first. A gate adds the transformer's output at
    the return token to its output at the state token. See :class:`~gcrl_zoo.methods.dt.DT` for all else.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (names of one class)
    """

    policy: GatedDTPolicy

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        batch, policy = batches["labelled"], self.policy
        z = self.represent(batch)  # (B, K, D)
        params = [head(z).flatten(0, 1) for head in policy.heads]  # (B * K, P) each
        later = [slice(i, i + z.shape[1]) for i in range(policy.n_actions)]
        mask = th.stack([batch.mask[:, steps].flatten() for steps in later])  # (n, B * K)
        errors = [
            head.nll(each, batch.actions[:, steps].flatten(0, 1))
            for head, each, steps in zip(policy.heads, params, later, strict=True)
        ]
        loss = masked_mean(th.stack(errors).flatten(), mask.flatten())
        return loss, {"nll": masked_mean(errors[0], mask[0])}

    def train_metrics(self, batches: dict[str, Any]) -> dict[str, Tensor]:
        """Return the mean opening of the gate, and its standard deviation over steps."""
        if self.policy.gate is None:
            return {}
        opening = self.policy.gate.opening(self.policy.outputs(batches["labelled"])).flatten(0, 1)
        return {"gate_opening": opening.mean(), "gate_spread": opening.std(0).mean()}
