"""Calibration: corrects predictions that shrink towards their mean."""

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
    :param rate: weight of a new batch in the running moments
    :param min_slope: smallest slope, so that what cannot be predicted is magnified at most by its inverse
    """

    moments: Tensor
    weight: Tensor

    def __init__(self, size: int, rate: float = 0.01, min_slope: float = 0.2) -> None:
        super().__init__()
        self.rate, self.min_slope = rate, min_slope
        #: Running means of prediction, truth, prediction * truth and truth squared.
        self.register_buffer("moments", th.zeros(4, size))
        self.register_buffer("weight", th.zeros(()))

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
        """Forget all data: another network will make the predictions."""
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
        return th.where(self.weight > 0, corrected, predicted)
