"""Inverse dynamics: predicts the action that leads from one state to a later one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from torch import Tensor, nn

from gcrl_zoo.common.actions import HeadKind, make_action_head
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.encoders import fit_encoders
from gcrl_zoo.data.samplers import GoalPairs
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.nets.encoders import DictEncoder
from gcrl_zoo.nets.heads import ActionHead
from gcrl_zoo.nets.inverse import Change, InverseNetwork
from gcrl_zoo.nets.motion import Motion

#: Pairs of states from which a statistic is estimated.
MANY = 10_000

States = Mapping[str, Tensor]


class InverseDynamics(nn.Module):
    """
    Predicts the action that leads from a state to a goal, which is a later state. It needs no policy and no algorithm:
    :meth:`from_encoders` makes one for given spaces.

    :param encoder: of states
    :param goal_encoder: of goals
    :param change: difference between state and goal; None to leave it out
    :param network: module ``(state, goal, change, *further) -> (B, D)`` on the features of these
    :param head: distribution of actions, on the output of the network
    :param motion: movement between images, put beside the change; None to leave it out
    """

    def __init__(
        self,
        encoder: DictEncoder,
        goal_encoder: DictEncoder,
        change: Change | None,
        network: nn.Module,
        head: ActionHead,
        motion: Motion | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.goal_encoder = encoder, goal_encoder
        self.change, self.motion = change, motion
        self.network, self.head = network, head

    @classmethod
    def from_encoders(
        cls,
        encoders: Mapping[str, nn.Module],
        action_space: spaces.Space,
        net_arch: Sequence[int] = (256, 256),
        layer_norm: bool = False,
        activation: type[nn.Module] = nn.ReLU,
        action_head: HeadKind = "auto",
        action_head_kwargs: Mapping[str, Any] | None = None,
        motion: Motion | None = None,
    ) -> InverseDynamics:
        """
        Make a multi-layer perceptron over state, goal and their difference, whose goals are whole states.

        :param encoders: encoder by key of the observation, see :func:`~gcrl_zoo.common.encoders.make_encoders`
        :param action_space: ``Discrete`` or ``Box``
        :param net_arch: widths of the hidden layers
        :param layer_norm: normalise each hidden layer before its activation
        :param activation: of the hidden layers
        :param action_head: distribution of actions, see :func:`~gcrl_zoo.common.actions.make_action_head`
        :param action_head_kwargs: options of the head
        :param motion: replaces the encoders of the images whose movement it encodes
        """
        moving = {} if motion is None else motion.shapes
        encoder = DictEncoder({key: each for key, each in encoders.items() if key not in moving})
        change = Change(encoders)
        change_dim = change.features_dim + (0 if motion is None else motion.features_dim)
        network = InverseNetwork(encoder.features_dim, change_dim, net_arch, layer_norm, activation)
        head = make_action_head(action_space, network.features_dim, action_head, **(action_head_kwargs or {}))
        return cls(encoder, encoder, change, network, head, motion)

    def represent(self, states: States, goals: States, *further: Any) -> Tensor:
        """
        Compute what the action head sees.

        :param states: (B, ...) by key
        :param goals: (B, ...) by key
        :param further: inputs of the network, such as the return
        :return: (B, D)
        """
        change = None if self.change is None else self.change(states, goals)
        if self.motion is not None:
            moved = self.motion(states, goals)
            change = moved if change is None else th.cat([change, moved], dim=1)
        return self.network(self.encoder(states), self.goal_encoder(goals), change, *further)

    def forward(self, states: States, goals: States, *further: Any) -> Tensor:
        """
        Predict actions.

        :param states: (B, ...) by key
        :param goals: (B, ...) by key
        :param further: inputs of the network, such as the return
        :return: (B, P) parameters for ``head``
        """
        return self.head(self.represent(states, goals, *further))

    def loss(self, states: States, goals: States, actions: Tensor, *further: Any) -> Tensor:
        """
        Compute the negative log-likelihood of actions.

        :param states: (B, ...) by key
        :param goals: (B, ...) by key
        :param actions: (B, A) or (B,) in the units of the environment
        :param further: inputs of the network, such as the return
        :return: scalar, the mean over the batch
        """
        return self.head.nll(self(states, goals, *further), actions).mean()

    def fit(self, store: TrajectoryStore, max_horizon: int | None = 1) -> None:
        """
        Fit all statistics: of the encoders, and of the change. Call it once, before the first update.

        :param store: trajectories, of which only observations are read
        :param max_horizon: see :meth:`fit_change`
        """
        fit_encoders(self.encoder, store)
        self.fit_change(store, max_horizon)

    def fit_change(self, store: TrajectoryStore, max_horizon: int | None = 1) -> None:
        """
        Fit the scale of the change between a state and a goal, once the encoders have their statistics.

        :param store: trajectories, of which only vector observations are read
        :param max_horizon: goals lie at most so many steps ahead; None for anywhere in the rest of the episode
        """
        if self.change is None or not self.change.features_dim:
            return
        pairs = GoalPairs(store, max_horizon=max_horizon).draw(np.random.default_rng(0), MANY)
        states, goals = ({key: store.take(key, slots) for key in self.change.place.keys} for slots in pairs)
        device = self.change.scale.device
        self.change.fit(to_tensors(states, device), to_tensors(goals, device))
