"""One gradient step, the same for every method."""

from __future__ import annotations

import torch as th
from torch import Tensor

from gcrl_zoo.common.optimizers import OptimizedPolicy, metric_of


class NonFiniteLoss(ValueError):
    """Training diverged. A ``ValueError``, so that a hyperparameter search prunes the trial instead of dying."""


class Updater:
    """
    Clips and steps, and adds up metrics on the device: nothing here waits for the device until ``flush``.

    :param policy: owner of the parameters and the optimizers
    :param max_grad_norm: clip the gradient of each optimizer to this norm; None for no clipping
    """

    def __init__(self, policy: OptimizedPolicy, max_grad_norm: float | None) -> None:
        self.policy = policy
        self.max_grad_norm = max_grad_norm
        self.parameters = {
            name: [p for group in optimizer.param_groups for p in group["params"]]
            for name, optimizer in policy.optimizers.items()
        }
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def step(self, loss: Tensor, metrics: dict[str, Tensor]) -> None:
        """
        :param loss: scalar
        :param metrics: scalars to average until the next ``flush``
        """
        optimizers = self.policy.optimizers
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.max_grad_norm is not None:
            norms = {
                metric_of("grad_norm", name): th.nn.utils.clip_grad_norm_(self.parameters[name], self.max_grad_norm)
                for name in optimizers
            }
            metrics = {**metrics, **norms}
        for optimizer in optimizers.values():
            optimizer.step()
        self.note({"loss": loss, **metrics})

    def note(self, metrics: dict[str, Tensor]) -> None:
        """:param metrics: scalars to average until the next ``flush``"""
        for name, value in metrics.items():
            value = value.detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    @property
    def has_notes(self) -> bool:
        """Whether there is anything to ``flush``."""
        return bool(self._sums)

    def flush(self) -> dict[str, float]:
        """
        Mean of each metric since the last call. Waits for the device.

        :raises NonFiniteLoss: a loss since the last call was NaN or infinite
        """
        names = list(self._sums)
        values = th.stack([self._sums[name].float() for name in names]).tolist() if names else []
        means = {name: value / self._counts[name] for name, value in zip(names, values, strict=True)}
        self._sums.clear()
        self._counts.clear()
        bad = sorted(name for name, mean in means.items() if not abs(mean) < float("inf"))
        if bad:
            raise NonFiniteLoss(
                f"Training diverged: {', '.join(bad)} became NaN or infinite; "
                "lower learning_rate or max_grad_norm, and check the scale of rewards and observations."
            )
        return means
