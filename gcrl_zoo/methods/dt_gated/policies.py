"""A Decision Transformer's policy with several action heads, and a gate for the return."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import numpy as np
import torch as th
from annotated_types import Ge, Le
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.common.arguments import Fraction
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.methods.dt.policies import DTPolicy


class Gate(nn.Module):
    """
    ``state + sigmoid(W [state; return]) * V return``

    :param width: D of both
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh, self.value = nn.Linear(2 * width, width), nn.Linear(width, width, bias=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """Mix the outputs at the return and at the state, (..., 2, D) -> (..., D)."""
        returns, states = outputs.unbind(-2)
        return states + self.opening(outputs) * self.value(returns)

    def opening(self, outputs: Tensor) -> Tensor:
        """Return the opening of the gate, from 0, closed, to 1: (..., 2, D) -> (..., D)."""
        return self.weigh(outputs.flatten(-2)).sigmoid()


class GatedDTPolicy(DTPolicy):
    """
    Predicts several actions at each step, and adds the output at the return through a gate.

    :param n_actions: number n of actions predicted at each step
    :param gate: whether the return reaches the action heads through a gate
    :param ensemble: acting averages all predictions of an action; a prediction made one step earlier has this fraction
        of the weight. None uses only the newest prediction
    :param kwargs: of :class:`~gcrl_zoo.methods.dt.policies.DTPolicy`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        n_actions: Annotated[int, Ge(1), Le(1024)] = 4,
        gate: bool = True,
        ensemble: Fraction | None = None,
        **kwargs: Any,
    ) -> None:
        self.n_actions, self.reads_returns, self.ensemble = n_actions, gate, ensemble
        super().__init__(observation_space, action_space, **kwargs)
        width = self.tokens.width
        self.gate = Gate(width) if gate else None
        # Equal at first, each for an action further ahead.
        self.later = nn.ModuleList([copy.deepcopy(self.head) for _ in range(n_actions - 1)])

    @property
    def heads(self) -> list[Any]:
        """Of the next action, and of those after it."""
        return [self.head, *self.later]

    def represent_step(self, outputs: Tensor) -> Tensor:
        return super().represent_step(outputs) if self.gate is None else self.gate(outputs)

    def no_predictions(self, n_envs: int) -> Tensor | None:
        """Return the weighted sums of the predictions of the next n actions, and the sums of weights: (E, n, P + 1)."""
        if self.ensemble is None:
            return None
        return self.target_return.new_zeros(n_envs, self.n_actions, self.head.linear.out_features + 1)

    def predict_actions(
        self, z: Tensor, predictions: Tensor | None, episode_starts: np.ndarray | Tensor
    ) -> tuple[Tensor, Tensor | None]:
        if predictions is None:
            return super().predict_actions(z, predictions, episode_starts)
        params = th.stack([head(z) for head in self.heads], dim=1)  # (E, n, P)
        newest = F.pad(params, (0, 1), value=1.0)
        earlier = predictions[:, 1:] * to_tensors(~episode_starts, self.device)[:, None, None] * self.ensemble
        predictions = newest + F.pad(earlier, (0, 0, 0, 1))
        return predictions[:, 0, :-1] / predictions[:, 0, -1:], predictions
