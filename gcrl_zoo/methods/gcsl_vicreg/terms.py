"""
The forces of the method, each a function from branches of the network to a scalar.

A branch is one way of filling the inputs of f (s: state, R: achieved return, g: goal, -: missing):

======================  ==============  =========================================================
branch                  inputs          read by
======================  ==============  =========================================================
``goal_free``           (s_k, R, -)     acting on a target return
``goal_given``          (s_k, [R], g)   the inverse model, and acting towards a goal
``goal_only``           (-, R, s_g)     the other side of VICReg
======================  ==============  =========================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch as th
from torch import Tensor

from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.losses.vicreg import VICRegLoss
from gcrl_zoo.methods.gcsl_vicreg.policies import GCSLVICRegPolicy


class Branches:
    """
    The branches of one batch, computed when first asked for and then shared by all terms.

    :param policy: owner of f
    :param batch: :class:`~gcrl_zoo.data.samplers.GoalBatch` of tensors
    """

    def __init__(self, policy: GCSLVICRegPolicy, batch: Any) -> None:
        self.policy, self.batch = policy, batch
        # Both returns are offered; the policy reads the one that it is conditioned on.
        self.achieved = Inputs(
            episode_return=batch.episode_returns.unsqueeze(1),  # (B, 1)
            return_to_go=batch.returns_to_go.unsqueeze(1),  # (B, 1)
        )

    @cached_property
    def goal_free(self) -> Tensor:
        """(B, D)"""
        return self.policy.represent(self.achieved._replace(state=self.batch.observations))

    @cached_property
    def goal_given(self) -> Tensor:
        """(B, D)"""
        given = self.achieved if self.policy.goal_with_return else Inputs()
        return self.policy.represent(given._replace(state=self.batch.observations, goal=self.batch.goals))

    @cached_property
    def goal_only(self) -> Tensor:
        """(B, D)"""
        return self.policy.represent(self.achieved._replace(goal=self.batch.goals))

    @cached_property
    def expanded(self) -> tuple[Tensor, Tensor]:
        """Two of (B, E): the sides of VICReg."""
        return self.policy.expander(self.goal_free), self.policy.expander(self.goal_only)


Metrics = dict[str, Tensor]
Term = Callable[[Branches], tuple[Tensor, Metrics]]


def vicreg_term(loss: VICRegLoss) -> Term:
    """Streaming, as in the notes: a state and a goal of one trajectory, each with its return, should look alike."""

    def vicreg(watched: Branches) -> tuple[Tensor, Metrics]:
        value, parts = loss(*watched.expanded)
        return value, {f"vicreg_{name}": part for name, part in parts.items()}

    return vicreg


def align(watched: Branches) -> tuple[Tensor, Metrics]:
    """
    Streaming: what to do for a return is what leads to the goal that such a trajectory reached. The goal-free branch
    learns its actions here and nowhere else; the inverse model is the teacher and does not move.
    """
    with th.no_grad():
        teacher = watched.policy.head(watched.goal_given)
    return watched.policy.head.imitate(watched.policy.head(watched.goal_free), teacher).mean(), {}


def inverse(played: Branches) -> tuple[Tensor, Metrics]:
    """Bootstrapping: which action led from the state to the goal. Own play knows, in hindsight."""
    return played.policy.head.nll(played.policy.head(played.goal_given), played.batch.actions).mean(), {}
