"""
The forces of the method, each a function from branches of the network to a scalar.

A branch is one way of filling the inputs of f (s: state, R: achieved return, g: a later state, -: missing):

======================  ==============  =========================================================
branch                  inputs          read by
======================  ==============  =========================================================
``goal_free``           (s_k, R, -)     acting on a target return
``goal_given``          (s_k, [R], g)   the inverse model, and acting towards a goal
``one_step``            (s_k, [R], g)   the same, with the very next state for a goal
``goal_only``           (-, [R], s_g)   the other side of VICReg
======================  ==============  =========================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch as th
from torch import Tensor
from torch.nn import functional as F

from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.losses.vicreg import VICRegLoss
from gcrl_zoo.methods.gcsl_vicreg.policies import GCSLVICRegPolicy
from gcrl_zoo.nets.tokens import TokenBottleneck


class Branches:
    """
    The branches of one batch, computed when first asked for and then shared by all terms.

    :param policy: owner of f
    :param batch: :class:`~gcrl_zoo.data.samplers.GoalBatch` of tensors
    """

    def __init__(self, policy: GCSLVICRegPolicy, batch: Any) -> None:
        self.policy, self.batch = policy, batch
        self.achieved = Inputs()
        if batch.returns_to_go is not None:  # both are offered; the policy reads the one that it is conditioned on
            self.achieved = Inputs(
                episode_return=batch.episode_returns.unsqueeze(1),  # (B, 1)
                return_to_go=batch.returns_to_go.unsqueeze(1),  # (B, 1)
            )

    @property
    def return_with_goal(self) -> Tensor | None:
        """(B, 1), scaled, where f sees the return beside a goal"""
        return self.policy.scaled_return(self.achieved) if self.policy.goal_with_return else None

    def _towards(self, goals: dict[str, Tensor]) -> Tensor:
        return self.policy.inverse.represent(self.batch.observations, goals, self.return_with_goal)

    @cached_property
    def goal_given(self) -> Tensor:
        """(B, D)"""
        return self._towards(self.batch.goals)

    @cached_property
    def one_step(self) -> Tensor:
        """(B, D)"""
        return self.goal_given if self.batch.successors is None else self._towards(self.batch.successors)

    @cached_property
    def described(self) -> tuple[Tensor, Tensor]:
        """Two of (B, D): the goal-free and the goal-only branch before the bottleneck."""
        given = self.achieved if self.policy.goal_only_with_return else Inputs()
        return self._goal_free, self.policy.describe(given._replace(goal=self.batch.goals))

    @cached_property
    def _goal_free(self) -> Tensor:
        return self.policy.describe(self.achieved._replace(state=self.batch.observations))

    @cached_property
    def goal_free(self) -> Tensor:
        """(B, D)"""
        return self.policy.network.bottleneck(self._goal_free)

    @cached_property
    def goal_only(self) -> Tensor:
        """(B, D)"""
        return self.policy.network.bottleneck(self.described[1])

    @property
    def acting(self) -> Tensor:
        """(B, D), the branch that acts: towards a goal where the environment asks for one, else for a return"""
        return self.goal_given if self.policy.roles.desired_goal else self.goal_free

    def disturbed(self, size: float) -> Branches:
        """The branches of states nearby, see :meth:`~gcrl_zoo.nets.inverse.Change.disturbed`"""
        assert self.policy.change is not None
        nearby = self.policy.change.disturbed(self.batch.observations, size)
        following = self.batch.goals if self.batch.successors is None else self.batch.successors
        return Branches(self.policy, self.batch._replace(observations=nearby, successors=following))

    @cached_property
    def state(self) -> Tensor:
        """(B, O), features of the state"""
        return self.policy.encoder(self.batch.observations)

    @cached_property
    def next_change(self) -> Tensor:
        """(B, F), the way to the very next state"""
        assert self.policy.change is not None
        following = self.batch.goals if self.batch.successors is None else self.batch.successors
        return self.policy.change.scaled(self.batch.observations, following)

    @cached_property
    def expanded(self) -> tuple[Tensor, Tensor]:
        """Two of (B, E): the sides of VICReg."""
        return self.policy.expander(self.goal_free), self.policy.expander(self.goal_only)

    @cached_property
    def token_logits(self) -> tuple[Tensor, Tensor]:
        """Two of (B, K): what the goal-free and the goal-only branch attend to."""
        assert isinstance(self.policy.network.bottleneck, TokenBottleneck)
        free, only = self.described
        return self.policy.network.bottleneck.logits(free), self.policy.network.bottleneck.logits(only)


Metrics = dict[str, Tensor]
Term = Callable[[Branches], tuple[Tensor, Metrics]]


def vicreg_term(loss: VICRegLoss) -> Term:
    """Streaming, as in the notes: a state and a goal of one trajectory, each with its return, should look alike."""

    def vicreg(unlabelled: Branches) -> tuple[Tensor, Metrics]:
        value, parts = loss(*unlabelled.expanded)
        return value, {f"vicreg_{name}": part for name, part in parts.items()}

    return vicreg


def predict(unlabelled: Branches) -> tuple[Tensor, Metrics]:
    """Streaming: the expanded state should tell the expanded goal, by way of a predictor. Gradient into both."""
    assert unlabelled.policy.predictor is not None
    state, goal = unlabelled.expanded
    return F.mse_loss(unlabelled.policy.predictor(state), goal), {}


def tokens(unlabelled: Branches) -> tuple[Tensor, Metrics]:
    """Streaming: the state should attend to the tokens that the goal attends to. Gradient into both."""
    state, goal = unlabelled.token_logits
    return -(goal.softmax(-1) * state.log_softmax(-1)).sum(-1).mean(), {}


def align(unlabelled: Branches) -> tuple[Tensor, Metrics]:
    """
    Streaming: what to do for a return, or for a goal, is what leads to the next state of a trajectory that got there.
    The branch that acts learns its actions here; the inverse model is the teacher and does not move.
    """
    student = unlabelled.policy.head(unlabelled.acting)
    with th.no_grad():
        teacher = unlabelled.policy.head(unlabelled.one_step)
    return unlabelled.policy.head.imitate(student, teacher).mean(), {}


def inverse(labelled: Branches) -> tuple[Tensor, Metrics]:
    """Bootstrapping: which action led from the state to the goal. Own play knows, in hindsight."""
    batch, model = labelled.batch, labelled.policy.inverse
    return model.loss(batch.observations, batch.goals, batch.actions, labelled.return_with_goal), {}


def forward(labelled: Branches) -> tuple[Tensor, Metrics]:
    """Bootstrapping: where the action led. A model of its own, which only ``consistency`` asks."""
    assert labelled.policy.forward_model is not None
    actions = labelled.policy.head.encode(labelled.batch.actions)
    return F.mse_loss(labelled.policy.forward_model(labelled.state, actions), labelled.next_change), {}


def consistency_term(disturbance: float) -> Term:
    """:param disturbance: how far from the unlabelled states to begin, in usual differences of consecutive states"""

    def consistency(unlabelled: Branches) -> tuple[Tensor, Metrics]:
        """
        Streaming: what the acting branch does should lead to the next state, by the forward model, which does not move.
        Where several actions lead to the same state, the inverse model can only tell their mean, which may lead
        elsewhere; here any of them will do (the forward consistency of Pathak et al. 2018, "Zero-Shot Visual
        Imitation"). Begun a little off the unlabelled state, it teaches to come back, as no unlabelled state can.
        """
        if disturbance:
            unlabelled = unlabelled.disturbed(disturbance)
        forward_model, head = unlabelled.policy.forward_model, unlabelled.policy.head
        assert forward_model is not None
        actions = head.expected(head(unlabelled.acting))
        return F.mse_loss(forward_model.frozen(unlabelled.state, actions), unlabelled.next_change), {}

    return consistency
