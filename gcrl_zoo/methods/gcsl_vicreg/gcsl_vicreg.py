"""GCSL with VICReg streaming: learn what to do by watching, and what actions do by playing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor

from gcrl_zoo.common.arguments import (
    is_number,
    refuse_below,
    refuse_no_fraction,
    refuse_not_whole,
    refuse_unknown,
    shown,
)
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.sources import Needs
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import GoalPairs, Sampler
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.losses.vicreg import VICRegLoss, effective_rank, spread
from gcrl_zoo.methods.gcsl_vicreg.policies import GCSLVICRegPolicy
from gcrl_zoo.methods.gcsl_vicreg.terms import Branches, Term, align, inverse, vicreg_term

#: Of the returns-to-go in the best episode: the one to ask for.
TARGET_QUANTILE = 0.9
DEFAULT_TERMS = {"vicreg": 0.02, "align": 1.0, "inverse": 1.0}


class GCSLVICReg(TrajectoryAlgorithm):
    """
    Our reading of EXP6, an experiment in unpublished research notes, and the version of it that works.

    Streaming watches states and returns, never actions; bootstrapping learns from own play which action leads from
    one state to another. The loss is a weighted sum of three terms (see :mod:`~gcrl_zoo.methods.gcsl_vicreg.terms`):
    ``vicreg`` and ``align`` on what is watched, ``inverse`` on what is played. The agent acts without a goal, on a
    target return; where the environment asks for a goal, it acts towards that.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (one class; it looks at the spaces)
    :param env: see :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`, as for all other arguments
    :param terms: weight of each term; what is left out, or 0, is not computed
    :param vicreg: weights ``invariance``, ``variance``, ``covariance`` and ``gamma`` inside the VICReg term
    :param max_horizon: goals lie at most so many steps ahead; None for anywhere in the rest of the episode
    :param stream_fraction: watch only this fraction of the episodes, those of highest return
    """

    needs: ClassVar[Needs] = Needs(actions=True, rewards=True, stream=True)
    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": GCSLVICRegPolicy,
        "CnnPolicy": GCSLVICRegPolicy,
        "MultiInputPolicy": GCSLVICRegPolicy,
    }
    policy: GCSLVICRegPolicy

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str | None = None,
        terms: Mapping[str, float] | None = None,
        vicreg: Mapping[str, float] | None = None,
        max_horizon: int | None = 1,
        stream_fraction: float = 1.0,
        **kwargs: Any,
    ) -> None:
        self.terms, self.vicreg = terms, vicreg
        self.max_horizon, self.stream_fraction = max_horizon, stream_fraction
        super().__init__(policy, env, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        refuse_unknown(self.vicreg or {}, VICRegLoss, "weight inside `vicreg`")
        for name, weight in (self.vicreg or {}).items():
            if not is_number(weight):
                raise ValueError(f"vicreg: '{name}' is {shown(weight)}; give a number.")
        watched: dict[str, Term] = {"vicreg": vicreg_term(VICRegLoss(**(self.vicreg or {}))), "align": align}
        played: dict[str, Term] = {"inverse": inverse}
        weights = dict(DEFAULT_TERMS if self.terms is None else self.terms)
        unknown = weights.keys() - watched.keys() - played.keys()
        if unknown:
            raise ValueError(f"terms: '{min(unknown)}' is no term; choose from {', '.join([*watched, *played])}.")
        for name, weight in weights.items():
            if not is_number(weight) or weight < 0:
                raise ValueError(f"terms: the weight of '{name}' is {shown(weight)}; give a number from 0 on.")
        if not any(weights.values()):
            raise ValueError(
                "terms: every weight is 0, so there is nothing to learn; leave `terms` out for the default."
            )
        refuse_no_fraction(self, "stream_fraction")
        refuse_below(self, max_horizon=1)
        refuse_not_whole(self, "max_horizon")
        active = {name: float(weight) for name, weight in weights.items() if weight}
        self._terms = {
            source: {name: (active[name], term) for name, term in terms.items() if name in active}
            for source, terms in (("watched", watched), ("played", played))
        }

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_terms"]

    def fit_statistics(self, watched: TrajectoryStore) -> None:
        super().fit_statistics(watched)
        pairs = GoalPairs(watched, max_horizon=self.max_horizon, goal_keys=self.policy.roles.goal_keys)
        batch = to_tensors(pairs.gather(pairs.draw(np.random.default_rng(0), 10_000)), self.device)
        self.policy.fit_change(batch.observations, batch.goals)

    def choose_target(self, watched: TrajectoryStore) -> float:
        """
        Asked at every step for all that a whole episode can earn, f would have to act as at its beginning. So where
        nothing counts down, ask for a return that lay ahead of many steps of the best episode, not of its first ones
        only.
        """
        policy = self.policy
        if self.target_return is not None or policy.return_token == "episode_return" or policy.roles.return_to_go:
            return super().choose_target(watched)
        best = watched.best(1 / watched.n_episodes)
        return float(np.quantile(best.take("return_to_go", best.steps), TARGET_QUANTILE))

    def make_samplers(self, played: TrajectoryStore, watched: TrajectoryStore) -> dict[str, Sampler]:
        keys = self.policy.roles.goal_keys
        stores = {"watched": watched.best(self.stream_fraction), "played": played}
        return {
            source: GoalPairs(stores[source], max_horizon=self.max_horizon, goal_keys=keys)
            for source, terms in self._terms.items()
            if terms
        }

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

    def diagnose(self, batches: dict[str, Any]) -> dict[str, Tensor]:
        """Is VICReg at work, or have representations collapsed?"""
        if "watched" not in batches:
            return {}
        expanded, _ = Branches(self.policy, batches["watched"]).expanded
        deviations = spread(expanded)
        return {
            "spread_min": deviations.min(),
            "spread_mean": deviations.mean(),
            "effective_rank": effective_rank(expanded),
        }
