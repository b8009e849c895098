"""The gcsl net of EXP6: state, return and goal in, representation out, any of them possibly missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.losses.vicreg import Expander
from gcrl_zoo.nets.mlp import mlp


class InputSlot(nn.Module):
    """
    The place of one input, which may be missing.

    :param features_dim: width F of the input
    :param embedding_dim: width of its own embedding; None to pass the input on as it is
    :param missing: ``"null"`` puts a learned vector where nothing is, ``"noise"`` a fresh draw of N(0, I)
    """

    def __init__(self, features_dim: int, embedding_dim: int | None, missing: str) -> None:
        super().__init__()
        self.features_dim = features_dim
        self.width = features_dim if embedding_dim is None else embedding_dim
        self.embed: nn.Module = nn.Identity()
        if embedding_dim is not None:
            self.embed = nn.Sequential(nn.Linear(features_dim, embedding_dim), nn.ReLU())
        self.null = nn.Parameter(th.zeros(self.width)) if missing == "null" else None

    def forward(self, features: Tensor | None, like: Tensor) -> Tensor:
        """
        :param features: (B, F), or None
        :param like: any tensor (B, ...) on the device
        :return: (B, width)
        """
        if features is not None:
            return self.embed(features)
        if self.null is not None:
            return self.null.expand(like.shape[0], -1)
        return self.embed(th.randn(like.shape[0], self.features_dim, device=like.device))


class GCSLVICRegPolicy(ConditionedPolicy):
    """
    ``f(state, episode_return, goal)`` with an action head, and an expander that only training uses.

    :param net_arch: widths of the hidden layers of f
    :param embedding_dim: width of each input's own embedding; None concatenates the raw inputs (``exp6_concat``)
    :param missing: what stands for a missing input, ``"null"`` (learned) or ``"noise"`` (the notes)
    :param goal_with_return: whether f sees the return beside a goal; without it the return cannot tell the inverse
        model how good the play was that it learns from
    :param expander_dim: width of the expander
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        net_arch: Sequence[int] = (256,),
        representation_dim: int = 128,
        embedding_dim: int | None = 128,
        missing: str = "null",
        goal_with_return: bool = False,
        expander_dim: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space, representation_dim, **kwargs)
        if missing not in ("null", "noise"):
            raise ValueError(f"missing: '{missing}' is neither 'null' nor 'noise'.")
        self.goal_with_return = goal_with_return
        self.state_slot = InputSlot(self.encoder.features_dim, embedding_dim, missing)
        self.return_slot = InputSlot(1, embedding_dim, missing)
        self.goal_slot = InputSlot(self.goal_encoder.features_dim, embedding_dim, missing)
        width = self.state_slot.width + self.return_slot.width + self.goal_slot.width
        self.body = mlp([width, *net_arch, representation_dim])
        self.expander = Expander(representation_dim, expander_dim)
        self.optimizer = self.make_optimizer(lr_schedule)

    def represent(self, inputs: Inputs) -> Tensor:
        state = None if inputs.state is None else self.encoder(inputs.state)
        goal = None if inputs.goal is None else self.goal_encoder(inputs.goal)
        returns = None if inputs.episode_return is None else inputs.episode_return / self.return_scale
        like = state if state is not None else goal
        assert like is not None, "a representation needs a state or a goal"
        slots = [self.state_slot(state, like), self.return_slot(returns, like), self.goal_slot(goal, like)]
        return self.body(th.cat(slots, dim=1))

    def command(self, inputs: Inputs) -> Inputs:
        """Without a goal, ask for the target return; with one, for the goal (and the return, where f sees both)."""
        if inputs.goal is not None and not self.goal_with_return:
            return inputs
        state = next(iter(inputs.state.values())) if inputs.state is not None else self.target_return
        return inputs._replace(episode_return=self.target_return.expand(len(state), 1))
