"""Activation functions by their name or class."""

from typing import Any

import torch as th
from torch import Tensor, nn

NAMES = tuple(name for name in nn.modules.activation.__all__ if name != "MultiheadAttention")


def activation_class(activation: str | type[nn.Module]) -> type[nn.Module]:
    """
    Return the class of an activation.

    :param activation: a class, or the name of one in ``torch.nn``: ``"Tanh"``, ``"nn.Tanh"`` or ``"torch.nn.Tanh"``
    :return: the class
    :raises ValueError: no activation has this name
    """
    if not isinstance(activation, str):
        return activation
    name = activation.removeprefix("torch.").removeprefix("nn.")
    if name not in NAMES:
        raise ValueError(f"activation_fn is {activation!r}; give one of {', '.join(NAMES)}.")
    return getattr(nn, name)


def is_activation(activation: Any) -> bool:
    """
    Check that it needs no arguments and keeps shape and dtype.

    :param activation: anything
    """
    try:
        x = th.linspace(-1, 1, 8).view(2, 4)
        y = activation_class(activation)()(x)
    except Exception:  # of whatever class a user gives
        return False
    return isinstance(y, Tensor) and y.shape == x.shape and y.dtype == x.dtype
