"""Forward dynamics: the next state, given state and action."""

from collections.abc import Sequence

import torch as th
from torch import Tensor, nn

from gcrl_zoo.nets.mlp import mlp


class ForwardModel(nn.Module):
    """
    Predicts the change from a state to the next one, given the action.

    :param state_dim: width O of the features of a state
    :param action_dim: width A of an encoded action
    :param change_dim: width F of the change, see :class:`~gcrl_zoo.nets.inverse.Change`
    :param net_arch: widths of the hidden layers
    :param activation: between layers
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        change_dim: int,
        net_arch: Sequence[int],
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.body = mlp([state_dim + action_dim, *net_arch, change_dim], activation)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """
        Predict the change of the state.

        :param state: (B, O) features
        :param action: (B, A)
        :return: (B, F)
        """
        return self.body(th.cat([state, action], dim=1))

    def frozen(self, state: Tensor, action: Tensor) -> Tensor:
        """As ``forward``, but the gradient reaches the action and not the weights."""
        weights = {name: weight.detach() for name, weight in self.named_parameters()}
        return th.func.functional_call(self, weights, (state, action))
