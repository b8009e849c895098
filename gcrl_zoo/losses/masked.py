"""Means over what is there."""

from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """
    :param values: (...)
    :param mask: (...) bool, True where a value counts; somewhere at least
    :return: scalar
    """
    return (values * mask).sum() / mask.sum()
