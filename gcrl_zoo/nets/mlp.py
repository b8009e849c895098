"""Multi-layer perceptrons."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(
    sizes: Sequence[int],
    activation: type[nn.Module] = nn.ReLU,
    layer_norm: bool = False,
    activate_last: bool = False,
) -> nn.Sequential:
    """
    Linear layers with an activation between them.

    :param sizes: width of the input, of each hidden layer and of the output
    :param activation: module class put between two layers
    :param layer_norm: normalise before each activation
    :param activate_last: put an activation behind the last layer, too
    :return: module mapping (B, sizes[0]) to (B, sizes[-1])
    """
    layers: list[nn.Module] = []
    for index, (width_in, width_out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(width_in, width_out))
        if index < len(sizes) - 2 or activate_last:
            if layer_norm:
                layers.append(nn.LayerNorm(width_out))
            layers.append(activation())
    return nn.Sequential(*layers)


def last_width(net_arch: Sequence[int]) -> int:
    """
    Return the width of the last hidden layer.

    :param net_arch: widths of the hidden layers
    :return: that of the last one, which the heads see
    :raises ValueError: there is none
    """
    if not len(net_arch):
        raise ValueError(f"net_arch is {net_arch!r}; give a list of at least one width, such as [256, 256].")
    return net_arch[-1]
