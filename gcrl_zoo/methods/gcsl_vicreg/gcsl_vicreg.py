"""GCSL with VICReg: learns behaviour from action-free trajectories, and the effect of actions from own play."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch as th
from annotated_types import Unit
from torch import Tensor

from gcrl_zoo.common.arguments import (
    Discount,
    Environment,
    Fraction,
    NonNegative,
    Options,
    Policy,
    PositiveInt,
    arguments_of,
)
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.inverse_dynamics import MANY
from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.phases import Phases, Updates, phase_cycle
from gcrl_zoo.common.terms import WeightedTerms, check_sources, weighted_terms
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import GoalPairs, Sampler
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.losses.vicreg import VICRegLoss, effective_rank, spread
from gcrl_zoo.methods.gcsl_vicreg.policies import GCSLVICRegPolicy
from gcrl_zoo.methods.gcsl_vicreg.terms import (
    Branches,
    Term,
    align,
    consistency_term,
    forward,
    inverse,
    predict,
    tokens,
    vicreg_term,
)
from gcrl_zoo.nets.tokens import TokenBottleneck, token_perplexity

TermName = Literal["vicreg", "predict", "tokens", "align", "consistency", "inverse", "forward"]
#: Of the returns-to-go in the best episode: the one to ask for.
TARGET_QUANTILE = 0.9
DEFAULT_TERMS = {
    "vicreg": 0.0,
    "predict": 0.0,
    "tokens": 0.0,
    "align": 1.0,
    "consistency": 0.0,
    "inverse": 1.0,
    "forward": 0.0,
}


class GCSLVICReg(TrajectoryAlgorithm):
    """
    Goal-conditioned supervised learning with VICReg: EXP6 of unpublished research notes, and the version that works.

    Unlabelled trajectories, with states and returns but no actions, show what to do; own play teaches an inverse model
    which action leads from one state to another. The loss is a weighted sum of terms (see
    :mod:`~gcrl_zoo.methods.gcsl_vicreg.terms`): ``vicreg``, ``predict``, ``tokens``, ``align`` and ``consistency`` on
    unlabelled data, ``inverse`` and ``forward`` on labelled data. The agent acts without a goal, on a target return;
    where the environment asks for a goal, it acts towards that.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (names of one class)
    :param env: see :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`, as for all other arguments
    :param terms: weights of terms that replace the defaults: 1 for ``align`` and ``inverse``, 0 for all others. A term
        of weight 0 is not computed
    :param vicreg: weights ``invariance``, ``variance``, ``covariance`` and ``gamma`` inside the VICReg term
    :param max_horizon: largest distance of a goal; None for anywhere in the rest of the episode
    :param goal_discount: in environments with goals: discount of the geometric distribution of goal distances in the
        stream; ``max_horizon`` does not limit it
    :param top_fraction: use only this fraction of the stream's episodes, those with the highest return
    :param disturbance: perturbation of the states of the stream for ``consistency``, in units of the typical difference
        of consecutive states
    :param phases: number of updates with ``unlabelled`` and with ``labelled`` data, alternately; None uses both in each
        update
    :param unlabelled_first: number of initial updates with unlabelled data only
    :param target_return: target return for acting; default: the return of the best episode of the stream. If the policy
        sees the return-to-go and the environment has no wrapper ``ReturnToGo``: a quantile of the returns-to-go of
        that episode
    """

    needs: ClassVar[Needs] = Needs(
        rewards=True, stream=True, without_rewards="let the environment ask for goals, which takes none"
    )
    policy: GCSLVICRegPolicy

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        terms: Mapping[TermName, NonNegative] | None = None,
        vicreg: Annotated[Options, arguments_of(VICRegLoss)] | None = None,
        max_horizon: Annotated[PositiveInt, Unit("steps")] | None = 1,
        goal_discount: Discount = 0.99,
        top_fraction: Fraction = 1.0,
        disturbance: NonNegative = 0.0,
        phases: Phases | None = None,
        unlabelled_first: Updates = 0,
        **kwargs: Any,
    ) -> None:
        self.terms, self.vicreg = terms, vicreg
        self.max_horizon, self.goal_discount, self.top_fraction = max_horizon, goal_discount, top_fraction
        self.disturbance, self.phases, self.unlabelled_first = disturbance, phases, unlabelled_first
        super().__init__(policy, env, **kwargs)

    # ------------------------------------------------------------------- set-up

    def _check_arguments(self) -> None:
        super()._check_arguments()
        self._terms = self._weighted_terms()
        self._cycle = self._phase_cycle()

    def _weighted_terms(self) -> WeightedTerms[Term]:
        """Return the weight and the function of each term that is computed, by source and name."""
        weights: dict[Any, float] = {**DEFAULT_TERMS, **(self.terms or {})}
        known: dict[str, dict[str, Term]] = {
            "unlabelled": {
                "vicreg": vicreg_term(VICRegLoss(**(self.vicreg or {}))),
                "predict": predict,
                "tokens": tokens,
                "align": align,
                "consistency": consistency_term(self.disturbance),
            },
            "labelled": {"inverse": inverse, "forward": forward},
        }
        return weighted_terms(known, weights)

    def _phase_cycle(self) -> list[str]:
        """Return the source of each update of a cycle; empty if each update uses both."""
        cycle = phase_cycle(self.phases)
        used = {*cycle, *["unlabelled"] * bool(self.unlabelled_first)}
        check_sources(used, self._terms, "phases or unlabelled_first use")
        return cycle

    def _setup_model(self) -> None:
        super()._setup_model()
        computed, policy = {name for terms in self._terms.values() for name in terms}, self.policy
        if "predict" in computed and policy.predictor is None:
            raise ValueError("terms: 'predict' needs a predictor; give `policy_kwargs: {predictor_dim: 256}`.")
        if "tokens" in computed and not isinstance(policy.network.bottleneck, TokenBottleneck):
            raise ValueError("terms: 'tokens' needs tokens; give `policy_kwargs: {n_tokens: 16}`.")
        if computed & {"consistency", "forward"} and policy.forward_model is None:
            raise ValueError(
                "terms: 'forward' and 'consistency' need a forward model, and goals that are vectors; give "
                "`policy_kwargs: {forward_arch: [256, 256], change: true}`."
            )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_terms", "_cycle"]

    # --------------------------------------------------------------------- data

    @property
    def data_needs(self) -> Needs:
        goals_only = self.policy.roles.desired_goal and not self.policy.goal_with_return
        return self.needs._replace(rewards=not goals_only or self.top_fraction < 1)

    def fit_statistics(self, unlabelled: TrajectoryStore) -> None:
        super().fit_statistics(unlabelled)
        self.policy.inverse.fit_change(unlabelled, self.max_horizon)

    def choose_target(self, unlabelled: TrajectoryStore) -> float:
        """
        Choose the return of the best episode or, if no wrapper counts the return down, a high quantile of the
        returns-to-go in it. The return of the whole episode lies ahead of its first step only, so asking for it at
        every step would ask the policy to act as at the beginning.
        """
        policy = self.policy
        counted = policy.return_token == "episode_return" or policy.roles.return_to_go
        if self.target_return is not None or counted or not unlabelled.has_rewards:
            return super().choose_target(unlabelled)
        best = unlabelled.best(1 / unlabelled.n_episodes)
        return float(np.quantile(best.take("return_to_go", best.steps), TARGET_QUANTILE))

    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        keys = self.policy.roles.goal_keys
        best = unlabelled if self.top_fraction == 1 else unlabelled.best(self.top_fraction)
        step_by_step = {"align", "consistency", "forward"} & {name for terms in self._terms.values() for name in terms}
        successors = bool(step_by_step) and self.max_horizon != 1  # at one step, the goal is the successor

        def near(store: TrajectoryStore) -> GoalPairs:
            return GoalPairs(store, max_horizon=self.max_horizon, goal_keys=keys, successors=successors)

        samplers = {"unlabelled": near(best), "labelled": near(labelled)}
        if self.policy.roles.desired_goal:
            samplers["unlabelled"] = GoalPairs(best, "geometric", None, self.goal_discount, keys, successors=True)
        return {source: pairs for source, pairs in samplers.items() if self._terms[source]}

    # -------------------------------------------------------------------- learn

    def phase(self, update: int) -> Collection[str] | None:
        if update < self.unlabelled_first:
            return ("unlabelled",)
        if not self._cycle:
            return super().phase(update)
        return (self._cycle[(update - self.unlabelled_first) % len(self._cycle)],)

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        losses: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        for source, batch in batches.items():
            branches = Branches(self.policy, batch)
            for name, (weight, term) in self._terms[source].items():
                metrics[name], parts = term(branches)
                metrics.update(parts)
                losses.append(weight * metrics[name])
        return th.stack(losses).sum(), metrics

    # ----------------------------------------------------------------- metrics

    def heldout_metrics(self, new_episodes: TrajectoryStore) -> dict[str, Tensor]:
        """Return the error of the inverse model on new episodes."""
        if not self._terms["labelled"]:
            return {}
        pairs = GoalPairs(new_episodes, max_horizon=self.max_horizon, goal_keys=self.policy.roles.goal_keys)
        batch = to_tensors(pairs.sample(np.random.default_rng(0), min(MANY, 2 * len(new_episodes.steps))), self.device)
        return {"inverse_held_out": inverse(Branches(self.policy, batch))[0]}

    def train_metrics(self, batches: dict[str, Any]) -> dict[str, Tensor]:
        """
        Return the distance between the actions that acting and the inverse model choose, and the spread and rank of the
        representations, which show a collapse. They are those that VICReg sees, if it has a weight.
        """
        if "unlabelled" not in batches:
            return {}
        unlabelled, head = Branches(self.policy, batches["unlabelled"]), self.policy.head
        representations = unlabelled.expanded[0] if "vicreg" in self._terms["unlabelled"] else unlabelled.acting
        deviations = spread(representations)
        metrics = {
            "action_gap": head.distance(head(unlabelled.acting), head(unlabelled.one_step)).mean(),
            "spread_min": deviations.min(),
            "spread_mean": deviations.mean(),
            "effective_rank": effective_rank(representations),
        }
        if isinstance(self.policy.network.bottleneck, TokenBottleneck):
            metrics["token_perplexity"] = token_perplexity(unlabelled.token_logits[0])
        return metrics
