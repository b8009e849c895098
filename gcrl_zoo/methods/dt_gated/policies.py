"""A Decision Transformer's policy with several action heads, and a gate for the return."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import numpy as np
import torch as th
from annotated_types import Ge, Le
from gymnasium import spaces
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.common.arguments import Fraction
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.policies import State
from gcrl_zoo.common.roles import Inputs
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
        """(..., 2, D), at the return and at the state -> (..., D)"""
        returns, states = outputs.unbind(-2)
        return states + self.opening(outputs) * self.value(returns)

    def opening(self, outputs: Tensor) -> Tensor:
        """(..., 2, D) -> (..., D), from 0, closed, to 1"""
        return self.weigh(outputs.flatten(-2)).sigmoid()


class GatedDTPolicy(DTPolicy):
    """
    :param n_actions: n, how many actions are predicted at each step
    :param gate: let the return in through a gate
    :param ensemble: when acting, what all predictions of the action say, each weighing this many times as much as the
        one made a step later, in (0, 1]; None for the newest alone
    :param kwargs: of :class:`~gcrl_zoo.methods.dt.policies.DTPolicy`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        n_actions: Annotated[int, Ge(1), Le(1024)] = 4,
        gate: bool = True,
        ensemble: Fraction | None = None,
        **kwargs: Any,
    ) -> None:
        self.n_actions, self.reads_returns, self.ensemble = n_actions, gate, ensemble
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)
        width = self.tokens.width
        self.gate = Gate(width) if gate else None
        # Alike at first, each for an action further ahead.
        self.later = nn.ModuleList([copy.deepcopy(self.head) for _ in range(n_actions - 1)])
        self.optimizer = self.make_optimizer(lr_schedule)

    @property
    def heads(self) -> list[Any]:
        """Of the next action, and of those after it."""
        return [self.head, *self.later]

    def represent_step(self, outputs: Tensor) -> Tensor:
        return super().represent_step(outputs) if self.gate is None else self.gate(outputs)

    def initial_state(self, n_envs: int) -> State:
        state = super().initial_state(n_envs)
        if self.ensemble is None:
            return state
        width = self.head.linear.out_features
        blank = self.target_return.new_zeros(n_envs, self.n_actions, width + 1)
        return blank, *state

    def step(
        self, inputs: Inputs, state: State | None, episode_starts: np.ndarray, deterministic: bool = False
    ) -> tuple[Tensor, State]:
        if self.ensemble is None:
            return super().step(inputs, state, episode_starts, deterministic)
        assert state is not None
        votes = state[0]
        z, memory = self.look(inputs, state[1:], episode_starts)
        # A prediction's parameters, and beside them a one that counts it; those of the same action are summed up.
        params = th.stack([head(z) for head in self.heads], dim=1)  # (E, n, P)
        fresh = F.pad(params, (0, 1), value=1.0)
        earlier = votes[:, 1:] * to_tensors(~episode_starts, self.device)[:, None, None] * self.ensemble
        votes = fresh + F.pad(earlier, (0, 0, 0, 1))
        chosen = self.head.act(votes[:, 0, :-1] / votes[:, 0, -1:], deterministic)
        return chosen, (votes, *memory, chosen)
