"""Expectile regression."""

import torch as th
from torch import Tensor


def expectile_loss(error: Tensor, expectile: float) -> Tensor:
    """
    Squared error with weight ``expectile`` for targets above the prediction and ``1 - expectile`` for those below
    (Newey and Powell 1987). The minimum is the mean for 0.5 and moves towards the smallest target for 0.

    :param error: (...) target minus prediction
    :param expectile: in (0, 1]
    :return: (...)
    """
    return th.where(error > 0, expectile, 1 - expectile) * error.square()
