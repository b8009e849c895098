"""From steps to tokens."""

import torch as th
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.nets.fast.cache import NetworkCache
from gcrl_zoo.nets.fast.direct import can_bypass, exporting, submodules, weights_of

#: Tokens of a step: the action before it, return-to-go, state.
TOKENS = 3

layers_of = submodules("action", "return_to_go", "state", "time")


class StepTokens(nn.Module):
    """
    Embeds action, return-to-go and state of a step, each by a linear layer, and adds an embedding of the time step that
    they belong to. One matrix product computes all three.

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
        nn.init.normal_(self.time.weight, std=0.02)  # small beside the embedding of the state
        self.register_buffer("belongs", th.tensor([-1, 0, 0]), persistent=False)
        self.combined = NetworkCache(StepTokens.combine)

    def forward(self, actions: Tensor, returns_to_go: Tensor, states: Tensor, timesteps: Tensor) -> Tensor:
        """
        Embed steps.

        :param actions: (..., A) before the steps; arbitrary for the first step of an episode
        :param returns_to_go: (..., 1) scaled
        :param states: (..., S)
        :param timesteps: (...) since the beginning of the episode
        :return: (..., 3, D)
        """
        computes_gradients = th.is_grad_enabled() or exporting()
        combined = self.combine() if computes_gradients else self.combined(self)
        times = (timesteps.unsqueeze(-1) + self.belongs).clamp_(0, self.last)
        if combined is None:
            parts = self.action(actions), self.return_to_go(returns_to_go), self.state(states)
            return th.stack(parts, dim=-2) + self.time(times)
        weight, bias, time = combined
        tokens = F.linear(th.cat((actions, returns_to_go, states), dim=-1), weight, bias)
        return tokens.view(*timesteps.shape, TOKENS, self.width) + F.embedding(times, time)

    def combine(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """
        Make one layer of the three.

        :return: its weight and bias, and the embeddings of time; None if calling a layer does more than its class says
        """
        action, return_to_go, state, time = layers = layers_of(self)
        if not can_bypass(*layers):
            return None
        return *side_by_side(*weights_of(action), *weights_of(return_to_go), *weights_of(state)), time.weight


def side_by_side(*weights_and_biases: Tensor) -> tuple[Tensor, Tensor]:
    """
    Join layers into one that computes all of them.

    :param weights_and_biases: (D, .) and (D,) of each layer
    :return: (3D, A + 1 + S) and (3D,), one layer that computes all three from their inputs side by side
    """
    return th.block_diag(*weights_and_biases[::2]), th.cat(weights_and_biases[1::2])
