"""Masked mean."""

from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """
    Mean of the values that the mask selects.

    :param values: (...)
    :param mask: (...) bool, True where a value counts
    :return: scalar, 0 if none does
    """
    return (values * mask).sum() / mask.sum().clamp(min=1)
