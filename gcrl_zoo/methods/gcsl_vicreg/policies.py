"""The gcsl net of EXP6: state, return and goal in, representation out, any of them possibly missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.losses.vicreg import Expander
from gcrl_zoo.nets.encoders import DictEncoder, VectorEncoder
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
    ``f(state, return, goal)`` with an action head, and an expander that only training uses.

    :param net_arch: widths of the hidden layers of f
    :param embedding_dim: width of each input's own embedding; None concatenates the raw inputs
    :param missing: what stands for a missing input, ``"null"`` (learned) or ``"noise"`` (the notes)
    :param return_token: the return that f is conditioned on: ``"return_to_go"`` tells good steps of an episode from
        its bad ones, ``"episode_return"`` (the notes) is the same for all steps of an episode
    :param goal_with_return: whether f sees the return beside a goal; without it the return cannot tell the inverse
        model how good the play was that it learns from
    :param change: f also sees the way from the state to the goal where both are there: one step apart they differ by
        little, and what an action did is in that little; the vector entries of the goal only
    :param expander_dim: width of the expander
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    change_scale: Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        net_arch: Sequence[int] = (256,),
        representation_dim: int = 128,
        embedding_dim: int | None = 128,
        missing: str = "null",
        return_token: str = "return_to_go",
        goal_with_return: bool = False,
        change: bool = True,
        expander_dim: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(observation_space, action_space, representation_dim, **kwargs)
        if missing not in ("null", "noise"):
            raise ValueError(f"missing: '{missing}' is neither 'null' nor 'noise'.")
        if return_token not in ("return_to_go", "episode_return"):
            raise ValueError(f"return_token: '{return_token}' is neither 'return_to_go' nor 'episode_return'.")
        self.return_token = return_token
        self.goal_with_return = goal_with_return
        self.state_slot = InputSlot(self.encoder.features_dim, embedding_dim, missing)
        self.return_slot = InputSlot(1, embedding_dim, missing)
        self.goal_slot = InputSlot(self.goal_encoder.features_dim, embedding_dim, missing)
        vectors = {key: e for key, e in self.goal_encoder.items() if isinstance(e, VectorEncoder)} if change else {}
        self.place = DictEncoder(vectors)
        self.change_slot = InputSlot(self.place.features_dim, embedding_dim, missing) if vectors else None
        self.register_buffer("change_scale", th.ones(self.place.features_dim))
        slots = [self.state_slot, self.return_slot, self.goal_slot, *([self.change_slot] if vectors else [])]
        self.body = mlp([sum(slot.width for slot in slots if slot), *net_arch, representation_dim])
        self.expander = Expander(representation_dim, expander_dim)
        self.optimizer = self.make_optimizer(lr_schedule)

    def represent(self, inputs: Inputs) -> Tensor:
        state = None if inputs.state is None else self.encoder(inputs.state)
        goal = None if inputs.goal is None else self.goal_encoder(inputs.goal)
        returns = inputs.return_to_go if self.return_token == "return_to_go" else inputs.episode_return
        if returns is not None:
            returns = returns / self.return_scale
        like = state if state is not None else goal
        assert like is not None, "a representation needs a state or a goal"
        slots = [self.state_slot(state, like), self.return_slot(returns, like), self.goal_slot(goal, like)]
        if self.change_slot is not None:
            slots.append(self.change_slot(self._change(inputs), like))
        return self.body(th.cat(slots, dim=1))

    def _change(self, inputs: Inputs) -> Tensor | None:
        if inputs.state is None or inputs.goal is None:
            return None
        return (self.place(inputs.goal) - self.place(inputs.state)) / self.change_scale

    @th.no_grad()
    def fit_change(self, states: Mapping[str, Tensor], goals: Mapping[str, Tensor]) -> None:
        """
        Scale the way to a goal, once, by pairs as training will draw them.

        :param states: (B, ...) by key
        :param goals: (B, ...) by key
        """
        if self.change_slot is not None:
            deviation = (self.place(goals) - self.place(states)).std(0)
            self.change_scale.copy_(th.where(deviation > 1e-6, deviation, 1.0))

    def command(self, inputs: Inputs) -> Inputs:
        """
        Without a goal, ask for the target return; with one, for the goal (and the return, where f sees both). A
        ``ReturnToGo`` wrapper counts down from the target; without it the whole target is asked for at every step.
        """
        if inputs.goal is not None and not self.goal_with_return:
            return inputs._replace(return_to_go=None)
        assert inputs.state is not None
        target = self.target_return.expand(len(next(iter(inputs.state.values()))), 1)
        received = 0.0 if inputs.return_to_go is None else inputs.return_to_go
        return inputs._replace(episode_return=target, return_to_go=target + received)
