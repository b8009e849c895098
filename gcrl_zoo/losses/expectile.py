"""Expectile regression: between the mean and the extremes."""

import torch as th
from torch import Tensor


def expectile_loss(error: Tensor, expectile: float) -> Tensor:
    """
    Squared error that weighs what lies above the prediction by ``expectile`` and what lies below by the rest
    (Newey and Powell 1987). Its minimum is the mean for 0.5, and moves towards the smallest value for 0.

    :param error: (...) target minus prediction
    :param expectile: in (0, 1]
    :return: (...)
    """
    return th.where(error > 0, expectile, 1 - expectile) * error.square()
