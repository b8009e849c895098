"""
The terms of the loss, each a function from branches of the network to a scalar.

A branch fills the inputs of the network f in one way (s: state, R: achieved return, g: a later state, -: missing):

======================  ==============  =========================================================
branch                  inputs          used by
======================  ==============  =========================================================
``goal_free``           (s_k, R, -)     acting on a target return
``goal_given``          (s_k, [R], g)   the inverse model, and acting towards a goal
``one_step``            (s_k, [R], g)   the same, with the next state as the goal
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
    Compute the branches of one batch on first use, and share them among all terms.

    :param policy: that holds f
    :param batch: :class:`~gcrl_zoo.data.samplers.GoalBatch` of tensors
    """

    def __init__(self, policy: GCSLVICRegPolicy, batch: Any) -> None:
        self.policy, self.batch = policy, batch
        self.achieved = Inputs()
        if batch.returns_to_go is not None:  # the policy reads one of the two
            self.achieved = Inputs(
                episode_return=batch.episode_returns.unsqueeze(1),  # (B, 1)
                return_to_go=batch.returns_to_go.unsqueeze(1),  # (B, 1)
            )

    @property
    def return_with_goal(self) -> Tensor | None:
        """Return the scaled return, (B, 1), where f sees it beside a goal; else None."""
        return self.policy.scaled_return(self.achieved) if self.policy.goal_with_return else None

    def _towards(self, goals: dict[str, Tensor]) -> Tensor:
        return self.policy.inverse.represent(self.batch.observations, goals, self.return_with_goal)

    @cached_property
    def goal_given(self) -> Tensor:
        """Represent states with their goals, (B, D)."""
        return self._towards(self.batch.goals)

    @cached_property
    def one_step(self) -> Tensor:
        """Represent states with the next states as goals, (B, D)."""
        return self.goal_given if self.batch.successors is None else self._towards(self.batch.successors)

    @cached_property
    def described(self) -> tuple[Tensor, Tensor]:
        """Return the goal-free and the goal-only branch before the bottleneck, two of (B, D)."""
        given = self.achieved if self.policy.goal_only_with_return else Inputs()
        return self._goal_free, self.policy.describe(given._replace(goal=self.batch.goals))

    @cached_property
    def _goal_free(self) -> Tensor:
        return self.policy.describe(self.achieved._replace(state=self.batch.observations))

    @cached_property
    def goal_free(self) -> Tensor:
        """Represent states with their returns, without goals, (B, D)."""
        return self.policy.network.bottleneck(self._goal_free)

    @cached_property
    def goal_only(self) -> Tensor:
        """Represent goals without states, (B, D)."""
        return self.policy.network.bottleneck(self.described[1])

    @property
    def acting(self) -> Tensor:
        """Return the branch that acts, (B, D): towards a goal if the environment asks for one, else on a return."""
        return self.goal_given if self.policy.roles.desired_goal else self.goal_free

    def disturbed(self, size: float) -> Branches:
        """Return the branches of states nearby, see :meth:`~gcrl_zoo.nets.inverse.Change.disturbed`."""
        assert self.policy.change is not None
        nearby = self.policy.change.disturbed(self.batch.observations, size)
        following = self.batch.goals if self.batch.successors is None else self.batch.successors
        return Branches(self.policy, self.batch._replace(observations=nearby, successors=following))

    @cached_property
    def state(self) -> Tensor:
        """Encode the states, (B, O)."""
        return self.policy.encoder(self.batch.observations)

    @cached_property
    def next_change(self) -> Tensor:
        """Return the scaled difference to the next states, (B, F)."""
        assert self.policy.change is not None
        following = self.batch.goals if self.batch.successors is None else self.batch.successors
        return self.policy.change.scaled(self.batch.observations, following)

    @cached_property
    def expanded(self) -> tuple[Tensor, Tensor]:
        """Return the two sides of VICReg, two of (B, E)."""
        return self.policy.expander(self.goal_free), self.policy.expander(self.goal_only)

    @cached_property
    def token_logits(self) -> tuple[Tensor, Tensor]:
        """Return the logits over the tokens of the goal-free and the goal-only branch, two of (B, K)."""
        assert isinstance(self.policy.network.bottleneck, TokenBottleneck)
        free, only = self.described
        return self.policy.network.bottleneck.logits(free), self.policy.network.bottleneck.logits(only)


Metrics = dict[str, Tensor]
Term = Callable[[Branches], tuple[Tensor, Metrics]]


def vicreg_term(loss: VICRegLoss) -> Term:
    """VICReg between a state and a goal of one unlabelled trajectory, each with its return, as in the notes."""

    def vicreg(unlabelled: Branches) -> tuple[Tensor, Metrics]:
        value, parts = loss(*unlabelled.expanded)
        return value, {f"vicreg_{name}": part for name, part in parts.items()}

    return vicreg


def predict(unlabelled: Branches) -> tuple[Tensor, Metrics]:
    """Predict the expanded goal from the expanded state of unlabelled data. The gradient flows into both."""
    assert unlabelled.policy.predictor is not None
    state, goal = unlabelled.expanded
    return F.mse_loss(unlabelled.policy.predictor(state), goal), {}


def tokens(unlabelled: Branches) -> tuple[Tensor, Metrics]:
    """Make a state of unlabelled data attend to the tokens that its goal attends to. The gradient flows into both."""
    state, goal = unlabelled.token_logits
    return -(goal.softmax(-1) * state.log_softmax(-1)).sum(-1).mean(), {}


def align(unlabelled: Branches) -> tuple[Tensor, Metrics]:
    """
    Imitate, on unlabelled data, the action that the inverse model infers between a state and the next one. The branch
    that acts learns its actions here; no gradient flows into the inverse model.
    """
    student = unlabelled.policy.head(unlabelled.acting)
    with th.no_grad():
        teacher = unlabelled.policy.head(unlabelled.one_step)
    return unlabelled.policy.head.imitate(student, teacher).mean(), {}


def inverse(labelled: Branches) -> tuple[Tensor, Metrics]:
    """Predict the action of own play that led from the state to the goal: the inverse dynamics model."""
    batch, model = labelled.batch, labelled.policy.inverse
    return model.loss(batch.observations, batch.goals, batch.actions, labelled.return_with_goal), {}


def forward(labelled: Branches) -> tuple[Tensor, Metrics]:
    """Predict the next state from the state and the action of own play; only ``consistency`` uses this model."""
    assert labelled.policy.forward_model is not None
    actions = labelled.policy.head.encode(labelled.batch.actions)
    return F.mse_loss(labelled.policy.forward_model(labelled.state, actions), labelled.next_change), {}


def consistency_term(disturbance: float) -> Term:
    """
    Make the term ``consistency``.

    :param disturbance: distance from the unlabelled states at which it starts, in usual differences of consecutive
        states
    """

    def consistency(unlabelled: Branches) -> tuple[Tensor, Metrics]:
        """
        Choose actions that lead to the next unlabelled state according to the frozen forward model (forward
        consistency, Pathak et al. 2018, "Zero-Shot Visual Imitation"). If several actions lead to the same state, the
        inverse model predicts their mean, which may lead elsewhere; this term accepts any of them. Started near an
        unlabelled state instead of at it, the term teaches the policy to come back.
        """
        if disturbance:
            unlabelled = unlabelled.disturbed(disturbance)
        forward_model, head = unlabelled.policy.forward_model, unlabelled.policy.head
        assert forward_model is not None
        actions = head.expected(head(unlabelled.acting))
        return F.mse_loss(forward_model.frozen(unlabelled.state, actions), unlabelled.next_change), {}

    return consistency
