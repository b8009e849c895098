"""VICReg: variance, invariance, covariance regularisation (Bardes, Ponce and LeCun, 2022)."""

from typing import Annotated

import torch as th
from annotated_types import Ge
from torch import Tensor, nn

from gcrl_zoo.losses.masked import masked_mean

Weight = Annotated[float, Ge(0)]


def covariance_matrix(z: Tensor, mask: Tensor | None = None) -> Tensor:
    """
    Covariance of the rows.

    :param z: (B, D)
    :param mask: (B,) bool, True where a row counts; None for everywhere
    :return: (D, D)
    """
    if mask is None:
        centered = z - z.mean(0)
        return centered.T @ centered / (z.shape[0] - 1)
    weights, n = mask.unsqueeze(1).to(z.dtype), mask.sum()
    centered = (z - (z * weights).sum(0) / n.clamp(min=1)) * weights
    return centered.T @ centered / (n - 1).clamp(min=1)


def spread(z: Tensor) -> Tensor:
    """
    Standard deviation of each dimension over the batch; all near zero means collapse.

    :param z: (B, D)
    :return: (D,)
    """
    return z.std(0)


def effective_rank(z: Tensor) -> Tensor:
    """
    The exponential of the entropy of the normalised singular values (Roy and Vetterli, 2007):
    the number of directions that the representations use.

    :param z: (B, D)
    :return: scalar between 1 and D
    """
    singular = th.linalg.svdvals(z - z.mean(0))
    p = singular / singular.sum().clamp(min=1e-12)
    return (-(p * p.clamp(min=1e-12).log()).sum()).exp()


class VICRegLoss(nn.Module):
    """
    ``invariance * mse(x, y) + variance * V + covariance * C``, with the gradient into both sides.

    V is the hinge that keeps each dimension's standard deviation above ``gamma`` (mean over dimensions and both
    sides), C the sum of the squared off-diagonal covariances divided by D (added over both sides). Means are over the
    rows of the batch, whatever its size.

    :param invariance: weight of the mean squared error (lambda in the paper)
    :param variance: weight of the hinge (mu)
    :param covariance: weight of the decorrelation (nu)
    :param gamma: the standard deviation to keep
    :param stop_gradient: compute the mean squared error without a gradient into y, as for a prediction of y
    """

    EPSILON = 1e-4

    def __init__(
        self,
        invariance: Weight = 25.0,
        variance: Weight = 25.0,
        covariance: Weight = 1.0,
        gamma: Weight = 1.0,
        stop_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.invariance, self.variance, self.covariance, self.gamma = invariance, variance, covariance, gamma
        self.stop_gradient = stop_gradient

    def forward(
        self, x: Tensor, y: Tensor, mask: Tensor | None = None, predicted: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """
        Compute the loss between two sets of representations.

        :param x: (B, D), B > 1
        :param y: (B, D)
        :param mask: (B,) bool, True where a row counts; None for everywhere
        :param predicted: (B, D) a prediction of y, which the mean squared error compares with y instead of x
        :return: the loss, and its unweighted terms ``invariance``, ``variance`` and ``covariance``
        """
        covariance_x, covariance_y = covariance_matrix(x, mask), covariance_matrix(y, mask)
        target = y.detach() if self.stop_gradient else y
        apart = ((x if predicted is None else predicted) - target).square().mean(1)
        terms = {
            "invariance": apart.mean() if mask is None else masked_mean(apart, mask),
            "variance": (self._hinge(covariance_x) + self._hinge(covariance_y)) / 2,
            "covariance": self._decorrelation(covariance_x) + self._decorrelation(covariance_y),
        }
        loss = (
            self.invariance * terms["invariance"]
            + self.variance * terms["variance"]
            + self.covariance * terms["covariance"]
        )
        return loss, terms

    def _hinge(self, covariance: Tensor) -> Tensor:
        return (self.gamma - (covariance.diagonal() + self.EPSILON).sqrt()).relu().mean()

    @staticmethod
    def _decorrelation(covariance: Tensor) -> Tensor:
        return (covariance.square().sum() - covariance.diagonal().square().sum()) / covariance.shape[0]


class Expander(nn.Sequential):
    """
    The network between a representation and the loss on it; used in training only.

    :param features_dim: width D of the representation
    :param width: width of both layers
    """

    def __init__(self, features_dim: int, width: int = 256) -> None:
        super().__init__(
            nn.Linear(features_dim, width),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Linear(width, width),
        )
