"""Decision Transformer with temporal VICReg: representations of consecutive states agree and do not collapse."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from gcrl_zoo.common.arguments import Environment, NonNegative, Options, Policy, arguments_of
from gcrl_zoo.losses.masked import masked_mean
from gcrl_zoo.losses.vicreg import VICRegLoss, effective_rank, spread
from gcrl_zoo.methods.dt.dt import DT
from gcrl_zoo.methods.dt_vicreg.policies import DTVICRegPolicy


class DTVICReg(DT):
    """
    "vicreg on temporal axis, consistency between vectors at t and t+1", an experiment of unpublished research notes.

    Adds VICReg (Bardes et al. 2022) on expanded representations of consecutive states to the loss on actions. See
    :class:`~gcrl_zoo.methods.dt.DT` for all else.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (names of one class)
    :param action_weight: weight of the action loss
    :param vicreg_weight: weight of the VICReg loss
    :param vicreg: weights ``invariance``, ``variance``, ``covariance`` and ``gamma`` inside the VICReg loss
    """

    policy: DTVICRegPolicy

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        action_weight: NonNegative = 1.0,
        vicreg_weight: NonNegative = 0.04,
        vicreg: Annotated[Options, arguments_of(VICRegLoss)] | None = None,
        **kwargs: Any,
    ) -> None:
        self.action_weight, self.vicreg_weight, self.vicreg = action_weight, vicreg_weight, vicreg
        super().__init__(policy, env, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        self._vicreg = VICRegLoss(**(self.vicreg or {}))

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_vicreg"]

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        batch, policy = batches["labelled"], self.policy
        z = self.represent(batch)  # (B, K, D)
        params, expanded = policy.head(z), policy.expander(z)
        nll = masked_mean(policy.head.nll(params.flatten(0, 1), batch.actions.flatten(0, 1)), batch.mask.flatten())
        now, then = expanded[:, :-1].flatten(0, 1), expanded[:, 1:].flatten(0, 1)
        vicreg, terms = self._vicreg(now, then, batch.mask[:, 1:].flatten())
        return self.action_weight * nll + self.vicreg_weight * vicreg, {"nll": nll, **terms}

    def train_metrics(self, batches: dict[str, Any]) -> dict[str, Tensor]:
        """Return the spread and the effective rank of the representations, which show a collapse."""
        z = self.policy.expander(self.policy.represent_windows(batches["labelled"]))[
            :, 0
        ]  # the first step of each window
        deviations = spread(z)
        return {"spread_min": deviations.min(), "spread_mean": deviations.mean(), "effective_rank": effective_rank(z)}
