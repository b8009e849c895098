"""Calibration: corrects predictions that shrink towards their mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch as th
from torch import Tensor, nn


class Calibration(nn.Module):
    """
    Estimates, for each entry, the line ``prediction = intercept + slope * truth``, and inverts it.

    A prediction with the least squared error shrinks: the less an input determines the truth, the nearer its
    prediction is to the mean of the training data. So its slope is below 1. Where predictions are labels for other
    data, whose mean is another one, all labels are drawn to the wrong mean. The inverted line has a slope of 1 instead.
    The corrected predictions have larger errors, which average out when a network learns from them.

    :param size: A, number of entries
    :param chosen: (A,) whether to correct an entry; None for all. The correction also magnifies what differs between
        the training data and other data for another reason than the truth. Leave out entries that are hardly
        predictable
    :param rate: weight of a new batch in the running moments
    :param min_slope: smallest slope, so that what cannot be predicted is magnified at most by its inverse
    """

    moments: Tensor
    weight: Tensor
    chosen: Tensor

    def __init__(
        self, size: int, chosen: Sequence[bool] | None = None, rate: float = 0.01, min_slope: float = 0.2
    ) -> None:
        super().__init__()
        self.register_buffer("chosen", th.tensor([True] * size if chosen is None else list(chosen)), persistent=False)
        self.rate, self.min_slope = rate, min_slope
        #: Running means of prediction, truth, prediction * truth and truth squared.
        self.register_buffer("moments", th.zeros(4, size))
        self.register_buffer("weight", th.zeros(()))

    @classmethod
    def of(cls, calibrated: bool | Sequence[bool], size: int) -> Calibration | None:
        """
        Make a calibration from the argument ``calibrated_labels`` of a policy.

        :param calibrated: whether to correct all entries, or for each entry whether to correct it
        :param size: number of entries
        :return: None if no entry is to be corrected
        :raises ValueError: the list has another length
        """
        given = th.as_tensor(calibrated, device="cpu")  # also while a policy is built on the meta device
        chosen = given.expand(size).tolist() if given.ndim == 0 else given.tolist()
        if len(chosen) != size:
            raise ValueError(
                f"calibrated_labels is {chosen}, but an action has {size} dimensions; give one value for each, or "
                "one for all."
            )
        return cls(size, chosen) if any(chosen) else None

    @th.no_grad()
    def update(self, predicted: Tensor, true: Tensor, mask: Tensor) -> None:
        """
        Update the running moments.

        :param predicted: (B, A)
        :param true: (B, A)
        :param mask: (B,) bool, True where a row counts
        """
        weights = (mask / mask.sum().clamp(min=1)).unsqueeze(1)
        batch = th.stack([(each * weights).sum(0) for each in (predicted, true, predicted * true, true.square())])
        self.moments += self.rate * (batch - self.moments)
        self.weight += self.rate * (1 - self.weight)

    @th.no_grad()
    def reset(self) -> None:
        """Set all moments to zero: another network will make the predictions."""
        self.moments.zero_()
        self.weight.zero_()

    def slope(self) -> Tensor:
        """Compute the slope of each entry, (A,)."""
        p, t, pt, tt = self.moments / self.weight.clamp(min=self.rate)  # the moments begin at zero, like the weight
        return (pt - p * t) / (tt - t.square()).clamp(min=1e-6)

    def forward(self, predicted: Tensor) -> Tensor:
        """
        Correct predictions; before the first update they stay as they are.

        :param predicted: (B, A)
        :return: (B, A)
        """
        p, t = self.moments[:2] / self.weight.clamp(min=self.rate)
        corrected = t + (predicted - p) / self.slope().clamp(min=self.min_slope)
        return th.where(self.chosen & (self.weight > 0), corrected, predicted)
