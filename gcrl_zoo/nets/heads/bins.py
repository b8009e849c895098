"""The head for continuous actions that predicts a distribution over bins."""

from typing import Annotated

import torch as th
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional as F

from gcrl_zoo.nets.heads.box import BoxHead, Limits
from gcrl_zoo.nets.heads.categorical import kl_of_logits, sample_categorical


class BinsHead(BoxHead):
    """
    A categorical over bins for each dimension. An action is chosen as the centre of its bin.

    :param n_bins: number of bins for each action dimension
    :param include_bounds: whether the centres of the first and the last bin are the bounds of the actions, so that
        the head can choose the bounds exactly. These two bins are then half as wide as the others. If not, all bins
        have the same width
    """

    bin_centers: Tensor

    def __init__(
        self,
        features_dim: int,
        low: Tensor,
        high: Tensor,
        n_bins: Annotated[int, Ge(2), Le(65536)] = 15,
        include_bounds: bool = False,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(features_dim, n_bins, low, high, limits)
        self.n_bins, self.include_bounds = n_bins, include_bounds
        if include_bounds:
            centers = th.arange(1 - n_bins, n_bins, 2) / (n_bins - 1)  # exactly -1, 1 and, of an odd number, 0
        else:
            centers = th.linspace(-1 + 1 / n_bins, 1 - 1 / n_bins, n_bins)
        self.register_buffer("bin_centers", centers)

    def expected(self, params: Tensor) -> Tensor:
        return self.logits(params).softmax(-1) @ self.bin_centers

    def logits(self, params: Tensor) -> Tensor:
        """Split the parameters by dimension of the action, (B, A * n_bins) -> (B, A, n_bins)."""
        return params.unflatten(-1, (-1, self.n_bins))

    def bins_of(self, actions: Tensor) -> Tensor:
        """
        Return the numbers of the bins that hold some actions.

        :param actions: (B, *shape) in the environment's units
        :return: (B, A) int64, from 0 to n_bins - 1
        """
        unit = self.encode(actions) + 1  # 0 to 2
        if self.include_bounds:
            return (unit * ((self.n_bins - 1) / 2)).round().long().clamp(0, self.n_bins - 1)
        return (unit * (self.n_bins / 2)).long().clamp(0, self.n_bins - 1)

    def nll(self, params: Tensor, actions: Tensor) -> Tensor:
        bins, logits = self.bins_of(actions), self.logits(params)
        return F.cross_entropy(logits.flatten(0, 1), bins.flatten(), reduction="none").view_as(bins).sum(-1)

    def imitate(self, params: Tensor, teacher: Tensor, bounded: bool = True) -> Tensor:
        return kl_of_logits(self.logits(teacher.detach()), self.logits(params)).sum(-1)

    def act(self, params: Tensor, deterministic: bool = False) -> Tensor:
        logits = self.logits(params)
        bins = logits.argmax(-1) if deterministic else sample_categorical(logits)
        return self.to_env(self.bin_centers[bins])
