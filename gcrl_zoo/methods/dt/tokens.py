"""From steps to tokens."""

import torch as th
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.nets.fast.weights import CachedWeights, WeightCache

#: Tokens of a step: the action before it, return-to-go, state.
TOKENS = 3


class StepTokens(CachedWeights):
    """
    A linear embedding each of action, return and state, plus one of the time in the episode that they belong to. One
    product makes all three.

    :param action_dim: A, width of an encoded action
    :param state_dim: S, width of an encoded state
    :param width: D of a token
    :param max_timesteps: later steps of an episode share one embedding of time
    """

    belongs: Tensor

    def __init__(self, action_dim: int, state_dim: int, width: int, max_timesteps: int) -> None:
        super().__init__()
        self.width, self.last = width, max_timesteps - 1
        self.action, self.return_to_go = nn.Linear(action_dim, width), nn.Linear(1, width)
        self.state, self.time = nn.Linear(state_dim, width), nn.Embedding(max_timesteps, width)
        nn.init.normal_(self.time.weight, std=0.02)  # hardly anything, beside the state
        self.register_buffer("belongs", th.tensor([-1, 0, 0]), persistent=False)
        self.cache_weights()

    def cache_weights(self) -> None:
        layers, self._times = (self.action, self.return_to_go, self.state), (self.time.weight,)
        self.matrix = WeightCache(
            self.make_matrix, [weight for layer in layers for weight in (layer.weight, layer.bias)]
        )

    def make_matrix(self) -> tuple[Tensor, Tensor]:
        """(3D, A + 1 + S) and (3D,): the embeddings side by side"""
        layers = self.action, self.return_to_go, self.state
        return th.block_diag(*(layer.weight for layer in layers)), th.cat([layer.bias for layer in layers])

    def forward(self, actions: Tensor, returns_to_go: Tensor, states: Tensor, timesteps: Tensor) -> Tensor:
        """
        :param actions: (..., A) before the steps; what comes of them at the beginning of an episode means nothing
        :param returns_to_go: (..., 1) scaled
        :param states: (..., S)
        :param timesteps: (...) since the beginning of the episode
        :return: (..., 3, D)
        """
        tokens = F.linear(th.cat((actions, returns_to_go, states), dim=-1), *self.matrix())
        times = (timesteps.unsqueeze(-1) + self.belongs).clamp_(0, self.last)
        return tokens.view(*times.shape, self.width) + F.embedding(times, self._times[0])
